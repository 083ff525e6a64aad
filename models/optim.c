/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/optim.h"
#include "models/normuon.h"
#include <math.h>
#include <string.h>

struct Optim {
    const Exec *exec;
    Params     *params;
    Arena       room;                    /* of one NorMuon update */
    float       lr, lr_head, lr_normuon, beta1, beta2, decay, keep, max_norm;
    float       scale, clip;             /* of this step */
    double     *sumsq;                   /* (threads) of one parameter's gradient */
};
static const float ADAMW_EPS = 1e-8f;
enum { SHARE = 1024 };                   /* values below which a further thread does not pay */

static void optim_read(Optim *o, const Spec *spec)
{
    o->lr = (float)spec_num(spec, "lr");
    o->lr_head = spec_num(spec, "lr_head") > 0 ? (float)spec_num(spec, "lr_head") : o->lr;
    o->lr_normuon = (float)spec_num(spec, "lr_normuon");
    o->beta1 = (float)spec_num(spec, "beta1");
    o->beta2 = (float)spec_num(spec, "beta2");
    o->decay = (float)spec_num(spec, "decay_weight");
    o->keep = (float)spec_num(spec, "ema");
    o->max_norm = (float)spec_num(spec, "clip");
}

/* Memory of one parameter, by its group */
static void optim_add(const Optim *o, const Spec *spec, Param *p, Arena *a)
{
    const int by_row = spec_is(spec, "update", "rows") && p->group == GROUP_ADAMW && p->ndim == 2;
    CHECK(p->g);
    if (by_row) p->touched = arena_get(a, (size_t)p->rows);
    if (p->group == GROUP_NORMUON && spec_is(spec, "optimizer", "adamw")) p->group = GROUP_ADAMW;
    const int normuon = p->group == GROUP_NORMUON;
    p->m = arena_get(a, sizeof(float) * (size_t)p->n);
    p->s = arena_get(a, sizeof(float) * (size_t)(normuon ? p->rows : p->n));
    if (o->keep <= 0) return;
    p->ema = arena_raw(a, sizeof(float) * (size_t)p->n);
    memcpy(p->ema, p->v, sizeof(float) * (size_t)p->n);
}

Optim *optim_new(const Spec *spec, const Exec *e, Params *ps, Arena *a)
{
    Optim *o = arena_get(a, sizeof *o);
    long largest = 0;
    o->exec = e;
    o->params = ps;
    o->sumsq = arena_get(a, sizeof *o->sumsq * (size_t)e->threads);
    optim_read(o, spec);
    for (int i = 0; i < ps->n; i++) {
        Param *p = ps->p[i];
        if (!p->trainable) continue;
        optim_add(o, spec, p, a);
        if (p->group == GROUP_NORMUON && p->n > largest) largest = p->n;
    }
    o->room = arena_new(sizeof(float) * 9 * (size_t)largest + (1 << 20));
    return o;
}

/* ---- which values are updated, and by which thread ---- */

/* How many threads share p */
static int optim_threads_of(const Optim *o, const Param *p)
{
    return p->n < SHARE * o->exec->threads ? 1 : o->exec->threads;
}

/* The first row of part t of `parts`: each part has about equally many touched rows */
static long optim_first_row(const Param *p, int t, int parts)
{
    long count = 0, r = 0;
    if (!p->touched) return (long)p->rows * t / parts;
    for (int i = 0; i < p->rows; i++) count += p->touched[i];
    const long before = count * t / parts;
    for (count = 0; r < p->rows && (t == parts || count < before); r++) count += p->touched[r];
    return r;
}

/* The values [*lo, *hi) of part t: whole rows; of a vector about equally many values */
static void optim_share(const Param *p, int t, int parts, long *lo, long *hi)
{
    if (p->rows == 1) {
        part(p->n, t, parts, SHARE, lo, hi);
        return;
    }
    *lo = optim_first_row(p, t, parts) * p->cols;
    *hi = optim_first_row(p, t + 1, parts) * p->cols;
}

/* The first run of touched rows in [*lo, end): moves *lo to its start, returns its end. Everything
 * is touched where p->touched is NULL */
static long optim_run(const Param *p, long *lo, long end)
{
    if (!p->touched) return end;
    long r = *lo / p->cols, last = end / p->cols;
    while (r < last && !p->touched[r]) r++;
    *lo = r * p->cols;
    while (r < last && p->touched[r]) r++;
    return r * p->cols;
}

double optim_norm(Optim *o, Owner owner)
{
    double sum = 0, *of = o->sumsq;
    for (int i = 0; i < o->params->n; i++) {
        const Param *p = o->params->p[i];
        if (p->owner != owner || !p->trainable || p->frozen) continue;
        const int threads = optim_threads_of(o, p);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if(threads > 1)
        for (int t = 0; t < threads; t++) {
            long lo, hi, end;
            optim_share(p, t, threads, &lo, &end);
            for (of[t] = 0; (hi = optim_run(p, &lo, end)) > lo; lo = hi)
                of[t] += o->exec->f->sumsq(p->g + lo, hi - lo);
        }
        for (int t = 0; t < threads; t++) sum += of[t];
    }
    return sum;
}

void optim_begin(Optim *o, double lr_scale, double norm)
{
    const float clip = o->max_norm / ((float)norm + 1e-6f);
    o->scale = (float)lr_scale;
    o->clip = o->max_norm > 0 && clip < 1 ? clip : 1;
}

static void optim_adamw(const Optim *o, Param *p)
{
    const int threads = optim_threads_of(o, p);
    const float lr = o->scale * (p->declared_by == OWNER_HEAD ? o->lr_head : o->lr);
    const float decay = p->group == GROUP_ADAMW ? o->decay : 0;
    const float c1 = 1 - powf(o->beta1, (float)p->steps), c2 = 1 - powf(o->beta2, (float)p->steps);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if(threads > 1)
    for (int t = 0; t < threads; t++) {
        long lo, hi, end;
        optim_share(p, t, threads, &lo, &end);
        for (; (hi = optim_run(p, &lo, end)) > lo; lo = hi)
            o->exec->f->adamw(p->v + lo, p->g + lo, p->m + lo, p->s + lo,
                              p->ema ? p->ema + lo : NULL, hi - lo, o->clip, lr, o->beta1, o->beta2,
                              ADAMW_EPS, decay, c1, c2, o->keep);
    }
    if (p->touched) memset(p->touched, 0, (size_t)p->rows);
}

void optim_update(Optim *o, Owner owner)
{
    for (int i = 0; i < o->params->n; i++) {
        Param *p = o->params->p[i];
        if (p->owner != owner || !p->trainable || p->frozen) continue;
        p->steps++;
        if (p->group == GROUP_NORMUON)
            normuon_update(o->exec, p, o->clip, o->scale * o->lr_normuon, o->keep, &o->room);
        else optim_adamw(o, p);
        p->version++;
    }
}

double optim_flops(const Params *ps)
{
    double sum = 0;
    for (int i = 0; i < ps->n; i++) {
        const Param *p = ps->p[i];
        if (p->trainable && p->group == GROUP_NORMUON) sum += normuon_flops(p->rows, p->cols);
    }
    return sum;
}

double optim_schedule(const Spec *spec, long step, double progress)
{
    const long warmup = spec_int(spec, "warmup");
    const double decay = spec_num(spec, "decay"), left = 1 - progress;
    const double up = step < warmup ? (double)(step + 1) / (double)warmup : 1;
    if (spec_is(spec, "schedule", "wsd"))
        return up * (decay > 0 && left < decay ? (left > 0 ? left / decay : 0) : 1);
    if (spec_is(spec, "schedule", "cosine"))
        return up * 0.5 * (1 + cos(3.141592653589793 * (progress < 1 ? progress : 1)));
    if (spec_is(spec, "schedule", "v3"))
        return up * (step < 9000 ? 1 : step < 10000 ? (double)(10000 - step) / 1000 : 0);
    return up;
}
