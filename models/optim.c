/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/optim.h"
#include <math.h>
#include <string.h>

struct Optim {
    const Exec *exec;
    Params     *params;
    Arena       room;                    /* of one NorMuon update */
    float       lr, lr_head, lr_normuon, beta1, beta2, decay, keep, max_norm;
    float       scale, clip;             /* of this step */
};
static const float ADAMW_EPS = 1e-8f, NORMUON_MOMENTUM = 0.95f, NORMUON_BETA2 = 0.999f, NORMUON_EPS = 1e-8f;
enum { SHARE = 1024 };                   /* values a thread takes at a time, in multiples */

Optim *optim_new(const Spec *spec, const Exec *e, Params *ps, Arena *a)
{
    Optim *o = arena_get(a, sizeof *o);
    long largest = 0;
    o->exec = e;
    o->params = ps;
    o->lr = (float)spec_num(spec, "lr");
    o->lr_head = spec_num(spec, "lr_head") > 0 ? (float)spec_num(spec, "lr_head") : o->lr;
    o->lr_normuon = (float)spec_num(spec, "lr_normuon");
    o->beta1 = (float)spec_num(spec, "beta1");
    o->beta2 = (float)spec_num(spec, "beta2");
    o->decay = (float)spec_num(spec, "decay_weight");
    o->keep = (float)spec_num(spec, "ema");
    o->max_norm = (float)spec_num(spec, "clip");
    for (int i = 0; i < ps->n; i++) {
        Param *p = ps->p[i];
        if (!p->used) continue;
        const int normuon = p->group == GROUP_NORMUON;
        p->m = arena_get(a, sizeof(float) * (size_t)p->n);
        p->s = arena_get(a, sizeof(float) * (size_t)(normuon ? p->rows : p->n));
        if (o->keep > 0) {
            p->ema = arena_raw(a, sizeof(float) * (size_t)p->n);
            memcpy(p->ema, p->v, sizeof(float) * (size_t)p->n);
        }
        if (normuon && p->n > largest) largest = p->n;
    }
    o->room = arena_new(sizeof(float) * 16 * (size_t)largest + (1 << 20));
    return o;
}

double optim_norm(Optim *o, Owner owner)
{
    const int threads = o->exec->threads;
    double sum = 0, part[64];
    for (int i = 0; i < o->params->n; i++) {
        const Param *p = o->params->p[i];
        if (p->owner != owner || !p->used || p->frozen) continue;
        if (p->n < SHARE * threads) { sum += o->exec->f->sumsq(p->g, p->n); continue; }
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (int t = 0; t < threads; t++) {
            const long blocks = p->n / SHARE, lo = blocks * t / threads * SHARE;
            const long hi = t == threads - 1 ? p->n : blocks * (t + 1) / threads * SHARE;
            part[t] = o->exec->f->sumsq(p->g + lo, hi - lo);
        }
        for (int t = 0; t < threads; t++) sum += part[t];
    }
    return sum;
}

void optim_begin(Optim *o, double lr_scale, double norm)
{
    const float clip = o->max_norm / ((float)norm + 1e-6f);
    o->scale = (float)lr_scale;
    o->clip = o->max_norm > 0 && clip < 1 ? clip : 1;
}

static float rate(const Optim *o, const Param *p)
{
    return o->scale * (strncmp(p->name, "head.", 5) ? o->lr : o->lr_head);
}

static void adamw(Optim *o, Param *p, long lo, long hi)
{
    o->exec->f->adamw(p->v + lo, p->g + lo, p->m + lo, p->s + lo, p->ema ? p->ema + lo : NULL, hi - lo, o->clip,
                      rate(o, p), o->beta1, o->beta2, ADAMW_EPS, p->group == GROUP_ADAMW ? o->decay : 0,
                      1 - powf(o->beta1, (float)p->steps), 1 - powf(o->beta2, (float)p->steps), o->keep);
}

static void adamw_dense(Optim *o, Param *p)
{
    const int threads = o->exec->threads;
    p->steps++;
    if (p->n < SHARE * threads) { adamw(o, p, 0, p->n); return; }
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        const long blocks = p->n / SHARE;
        adamw(o, p, blocks * t / threads * SHARE, t == threads - 1 ? p->n : blocks * (t + 1) / threads * SHARE);
    }
}

/* X = M / |M|_F, then five times X = (3.4445 I - 4.7750 A + 2.0315 A A) X with A = X X'; a tall X takes the products
 * from the other side (A = X' X, X A), which is the same as transposing it first and needs no copy. */
void optim_ns5(const Exec *e, float *O, const float *M, int rows, int cols, Arena *a)
{
    const int tall = rows > cols, r = tall ? cols : rows;
    const size_t at = a->used, bytes = sizeof(float) * (size_t)rows * (size_t)cols, square = sizeof(float) * (size_t)r * (size_t)r;
    float *X = arena_raw(a, bytes), *Y = arena_raw(a, bytes), *A = arena_raw(a, square), *B = arena_raw(a, square);
    const long n = (long)rows * cols;
    memcpy(X, M, bytes);
    e->f->scale(X, 1.0f / ((float)sqrt(e->f->sumsq(M, n)) + 1e-7f), n);
    for (int step = 0; step < 5; step++) {
        if (tall) gemm(e->gemm, 'T', 'N', r, r, rows, 1, X, cols, X, cols, 0, A, r);
        else      gemm(e->gemm, 'N', 'T', r, r, cols, 1, X, cols, X, cols, 0, A, r);
        memcpy(B, A, square);
        gemm(e->gemm, 'N', 'N', r, r, r, 2.0315f, A, r, A, r, -4.7750f, B, r);
        for (int i = 0; i < r; i++) B[(size_t)i * (size_t)r + (size_t)i] += 3.4445f;
        if (tall) gemm(e->gemm, 'N', 'N', rows, r, r, 1, X, cols, B, r, 0, Y, cols);
        else      gemm(e->gemm, 'N', 'N', r, cols, r, 1, B, r, X, cols, 0, Y, cols);
        float *swap = X;
        X = Y;
        Y = swap;
    }
    memcpy(O, X, bytes);
    arena_reset(a, at);
}

static void normuon(Optim *o, Param *p)
{
    const F32 *f = o->exec->f;
    const float w = 1 - NORMUON_MOMENTUM;
    const size_t at = o->room.used;
    float *O = arena_raw(&o->room, sizeof(float) * (size_t)p->n);
    p->steps++;
    f->scale(p->m, NORMUON_MOMENTUM, p->n);
    f->axpy(p->m, w * o->clip, p->g, p->n);
    memset(p->g, 0, sizeof(float) * (size_t)p->n);
    optim_ns5(o->exec, O, p->m, p->rows, p->cols, &o->room);
    for (int r = 0; r < p->rows; r++) {
        float *row = O + (size_t)r * p->cols;
        const float mean = (float)(f->sumsq(row, p->cols) / p->cols);
        p->s[r] = NORMUON_BETA2 * p->s[r] + (1 - NORMUON_BETA2) * mean;
        f->scale(row, 1 / (sqrtf(p->s[r]) + NORMUON_EPS), p->cols);
    }
    const float norm = (float)sqrt(f->sumsq(O, p->n));
    const float lr = o->scale * o->lr_normuon * 0.2f * sqrtf((float)p->n) / (norm + 1e-8f);
    f->axpy(p->v, -lr, O, p->n);
    if (p->ema) {
        f->scale(p->ema, o->keep, p->n);
        f->axpy(p->ema, 1 - o->keep, p->v, p->n);
    }
    arena_reset(&o->room, at);
}

void optim_update_param(Optim *o, Param *p)
{
    if (!p->used || p->frozen) return;
    if (p->group == GROUP_NORMUON) normuon(o, p);
    else adamw_dense(o, p);
    p->version++;
}

void optim_update(Optim *o, Owner owner)
{
    for (int i = 0; i < o->params->n; i++)
        if (o->params->p[i]->owner == owner) optim_update_param(o, o->params->p[i]);
}

void optim_update_rows(Optim *o, Param *p, const int *rows, int n)
{
    CHECK(p->group != GROUP_NORMUON);
    p->steps++;
    for (int i = 0; i < n; i++) adamw(o, p, (long)rows[i] * p->cols, ((long)rows[i] + 1) * p->cols);
    p->version++;
}

double optim_schedule(const Spec *spec, long step, double progress)
{
    const long warmup = spec_int(spec, "warmup");
    const double decay = spec_num(spec, "decay"), left = 1 - progress;
    const double up = step < warmup ? (double)(step + 1) / (double)warmup : 1;
    if (spec_is(spec, "schedule", "wsd")) return up * (decay > 0 && left < decay ? (left > 0 ? left / decay : 0) : 1);
    if (spec_is(spec, "schedule", "cosine")) return up * 0.5 * (1 + cos(3.141592653589793 * (progress < 1 ? progress : 1)));
    if (spec_is(spec, "schedule", "v3")) return up * (step < 9000 ? 1 : step < 10000 ? (double)(10000 - step) / 1000 : 0);
    return up;
}
