/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A cluster of the adaptive head is timed alone, with the functions the head runs
 * (models/adaptive_level.h) and the update of its parameters; a tail copies its positions together
 * before and adds their gradients after. Rows of a tied short list are updated with the embedding;
 * what they cost beside that is copying them and adding their gradients.
 *
 * The least of several times counts: other work on the machine only adds to a time. The grid of
 * ranks is coarse (a factor of 1.4 at V = 50,257), so that what noise is left seldom changes the
 * choice; the choice is recorded, and a checkpoint keeps it. */
#include "harness/train/autotune.h"
#include "harness/util/clock.h"
#include "models/adaptive_level.h"
#include "models/optim.h"
#include <limits.h>
#include <math.h>
#include <string.h>

enum { GRID = 32, LEAST_N = 16, LEAST_RUNS = 2 };
static const double ENOUGH = 4e-3;      /* seconds of runs of one cell */
static const double AUTOTUNE_EPS = 0.1; /* label smoothing: any but 0 costs the same */

typedef struct {
    const Exec *e;
    Params *ps;
    Optim  *optim;
    Param  *proj, *out;            /* (m, d), NULL for the short list; (k, m) */
    TailLevel  tail;
    ShortLevel top;
    int     d, m, k, n;
    int    *y;                     /* (n) */
    float  *x, *xs, *dx;           /* (n, d) */
    float  *p, *dp, *z;            /* (n, m), (n, k) */
    float  *copy;                  /* (k, d) of a tied short list, NULL: not tied */
    double *loss;
} Cluster;

static void autotune_make_cluster(Cluster *c, const Spec *spec, int i, int k, int most, Arena *a)
{
    const size_t n = (size_t)most, d = (size_t)c->d;
    c->m = cutoffs_width(c->d, i);
    c->k = k;
    c->ps = params_new(a);
    c->proj = i ? params_add(c->ps, "head.proj", (int[]) { c->m, c->d, 0 }, GROUP_ADAMW, OWNER_HEAD)
                : NULL;
    c->out = params_add(c->ps, "head.out", (int[]){ k, c->m, 0 }, GROUP_ADAMW, OWNER_HEAD);
    c->tail = (TailLevel){ c->proj, c->out, k, c->m, c->d };
    c->top = (ShortLevel){ c->out, c->out->v, NULL, k, c->d, head_weight_new(a), 0 };
    c->optim = optim_new(spec, c->e, c->ps, a);
    c->x = arena_get(a, sizeof(float) * n * d);
    c->xs = arena_get(a, sizeof(float) * n * d);
    c->dx = arena_get(a, sizeof(float) * n * d);
    c->copy =
        !i && spec_int(spec, "short_tied") ? arena_get(a, sizeof(float) * (size_t)k * d) : NULL;
    c->p = arena_get(a, sizeof(float) * n * (size_t)c->m);
    c->dp = arena_get(a, sizeof(float) * n * (size_t)c->m);
    c->z = arena_get(a, sizeof(float) * n * (size_t)k);
    c->y = arena_get(a, sizeof(int) * n);
    c->loss = arena_get(a, sizeof(double) * n);
    for (size_t j = 0; j < n * d; j++) c->x[j] = (float)(j % 7) - 3;
}

static void autotune_pass(void *ctx)
{
    const Cluster *c = ctx;
    const int n = c->n, d = c->d;
    if (!c->proj) {
        ShortLevel top = c->top;
        top.version = c->out->version;
        short_level_forward(c->e, &top, c->x, c->y, n, AUTOTUNE_EPS, c->z, c->loss);
        short_level_backward(c->e, &top, c->x, c->z, n, 1, c->dx);
        return;
    }
    memcpy(c->xs, c->x, sizeof(float) * (size_t)n * (size_t)d);
    tail_level_forward(c->e, &c->tail, c->xs, c->y, n, AUTOTUNE_EPS, c->p, c->z, c->loss);
    tail_level_backward(c->e, &c->tail, c->x, c->p, c->z, n, 1, c->dp, c->xs);
    for (int i = 0; i < n; i++) c->e->f->axpy(c->dx + (size_t)i * d, 1, c->xs + (size_t)i * d, d);
}

static void autotune_update(void *ctx)
{
    const Cluster *c = ctx;
    if (c->copy) {
        memcpy(c->copy, c->out->v, sizeof(float) * (size_t)c->out->n);
        c->e->f->axpy(c->out->g, 1, c->copy, c->out->n);
        memset(c->copy, 0, sizeof(float) * (size_t)c->out->n);
        return;
    }
    param_touch_all(c->out);
    if (c->proj) param_touch_all(c->proj);
    optim_begin(c->optim, 1, sqrt(optim_norm(c->optim, OWNER_HEAD)));
    optim_update(c->optim, OWNER_HEAD);
}

static double autotune_least_seconds(void (*run)(void *), void *ctx)
{
    double least = INFINITY, sum = 0;
    for (int i = 0; i < LEAST_RUNS || sum < ENOUGH; i++) {
        const double began = clock_now();
        run(ctx);
        const double s = clock_now() - began;
        sum += s;
        if (s < least) least = s;
    }
    return least;
}

/* Passes no larger than a head's buffer allows; of a row of k at least the fewest positions */
static void autotune_cluster(CutoffTable *t, const Spec *spec, const Exec *e, int i, int a, int d)
{
    Arena room = arena_new((size_t)1 << 34);
    const long floats = HEAD_BYTES / (long)sizeof(float), k = (long)t->k[a];
    int ns = 1;
    while (ns < t->ns && k * (long)t->n[ns] <= floats) ns++;
    Cluster c = { .e = e, .d = d };
    autotune_make_cluster(&c, spec, i, (int)k, (int)t->n[ns - 1], &room);
    for (int b = 0; b < ns; b++) {
        c.n = (int)t->n[b];
        t->pass[i][a][b] = autotune_least_seconds(autotune_pass, &c);
    }
    t->update[i][a] = autotune_least_seconds(autotune_update, &c);
    arena_drop(&room);
}

void autotune_table(CutoffTable *t, const Spec *spec, const Exec *e, int V, int n, int d)
{
    *t = (CutoffTable){ .clusters = CUTOFF_CLUSTERS };
    for (int k = 64; k < V && t->ks < CUTOFF_KS - 1; k *= 4) t->k[t->ks++] = k;
    t->k[t->ks++] = V;
    for (int m = 4; t->ns < CUTOFF_NS && (m <= n || t->ns == 0); m *= 4) t->n[t->ns++] = m;
    for (int i = 0; i < t->clusters; i++) {
        const int same = i > 1 && cutoffs_width(d, i) == cutoffs_width(d, i - 1);
        if (same) memcpy(t->pass[i], t->pass[i - 1], sizeof t->pass[i]);
        if (same) memcpy(t->update[i], t->update[i - 1], sizeof t->update[i]);
        for (int a = 0; a < t->ks && !same; a++) autotune_cluster(t, spec, e, i, a, d);
    }
    cutoffs_table_mend(t);
}

/* The positions a step supervises at once: in 1, 2, 4 ... passes, each as wide as a head's buffer
 * then allows */
static int autotune_cheapest(int *cut, const CutoffTable *t, const Spec *spec, int n,
                             const double *mass, int V, Arena *a)
{
    const double share = spec_num(spec, "short_share");
    double least = INFINITY;
    int K = 0;
    for (int passes = 1, last = 0; !last; passes *= 2) {
        const int each = (n + passes - 1) / passes;
        last = each <= LEAST_N;
        if (each > HEAD_CHUNK) continue;
        const CutoffLoad load = { t, (double)n / passes,
                                  (double)passes * (double)spec_int(spec, "accum") };
        const long width = HEAD_BYTES / (long)sizeof(float) / ((each + 15) / 16 * 16);
        const CutoffModel m = { .cost = cutoffs_measured_cost, .g = &load, .points = GRID,
                                .short_share = share, .width = last ? LONG_MAX : width };
        int try[MOST_TAILS + 1];
        double cost;
        const int found = cutoffs_search(try, &cost, &m, mass, V, a);
        if (cost >= least) continue;
        least = cost;
        K = found;
        memcpy(cut, try, sizeof try);
    }
    return K;
}

const char *autotune_cutoffs(const Spec *spec, const Exec *e, const HeadData *data, int d, Arena *a)
{
    const long all = spec_int(spec, "batch") * spec_int(spec, "seq");
    const double positions = spec_num(spec, "fraction") * (double)all;
    const int V = data->V, n = positions > 1 ? (int)lround(positions) : 1;
    double *mass = arena_raw(a, sizeof *mass * ((size_t)V + 1));
    HeadRank *rank = arena_raw(a, sizeof *rank * (size_t)V);
    CutoffTable t;
    int cut[MOST_TAILS + 1] = { 0 };
    head_rank(rank, data->freq, V);
    head_mass(mass, rank, V);
    autotune_table(&t, spec, e, V, n < HEAD_CHUNK ? n : HEAD_CHUNK, d);
    const int K = autotune_cheapest(cut, &t, spec, n, mass, V, a);
    if (!K)
        die("short_share=%s: expected a share that a short list can have",
            spec_str(spec, "short_share"));
    char *text = arena_text(a, "%d", cut[0]);
    for (int i = 1; i < K; i++) text = arena_text(a, "%s,%d", text, cut[i]);
    return text;
}
