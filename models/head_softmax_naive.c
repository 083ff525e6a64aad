/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The full softmax as it is first written: each intermediate is a matrix in memory, each step passes over it.
 *
 *   Z = X E'                    (n, V) logits
 *   P = log softmax Z           (n, V) in place
 *   loss = (1 - eps) (-P_y) + eps (-mean P) + zloss lse^2
 *   G = (1 + 2 zloss lse) exp P - eps/V - (1 - eps) [v = y]      (n, V) a second matrix
 *   dX += G E,  dE += G' X
 *
 * What softmax is compared with: the same loss, three plain products, all positions at once. 2 n V floats,
 * 823 MB at n = 2048 and V = 50,257: that many are reserved, pages come with the positions that are used. */
#include "models/head_full.h"
#include <math.h>

typedef struct {
    const Exec  *exec;
    Full        *full;              /* for evaluation */
    Param       *w;                 /* (V, d) */
    int          V, d, n;
    double       eps, zloss;
    const float *x;                 /* of the last forward: (n, d), (n) */
    const int   *y;
    float       *lp, *g;            /* (HEAD_CHUNK, V) log probabilities; their gradient */
    float       *lse;               /* (HEAD_CHUNK) */
    double      *loss;              /* (HEAD_CHUNK) */
} Naive;

static void *make(const Spec *s, const Exec *e, Params *ps, const HeadData *data, int d, Arena *a)
{
    Naive *h = arena_get(a, sizeof *h);
    const size_t n = HEAD_CHUNK, V = (size_t)data->V;
    *h = (Naive){ .exec = e, .V = data->V, .d = d,
                  .eps = spec_num(s, "smoothing"), .zloss = spec_num(s, "zloss") };
    h->w = head_rows(s, ps, "head.weight", data->V, d, 0);
    h->full = full_new(e, h->w, FULL_EVAL, a);
    h->lse = arena_raw(a, sizeof(float) * n);
    h->loss = arena_raw(a, sizeof(double) * n);
    h->lp = arena_raw(a, sizeof(float) * n * V);
    h->g = arena_raw(a, sizeof(float) * n * V);
    return h;
}

static int chunk(const void *h) { return (void)h, HEAD_CHUNK; }

static double forward(void *head, const float *x, const int *y, int n)
{
    Naive *h = head;
    const int V = h->V;
    double loss = 0;
    CHECK(n >= 1 && n <= HEAD_CHUNK);
    for (int i = 0; i < n; i++) CHECK(y[i] >= 0 && y[i] < V);
    h->x = x, h->y = y, h->n = n;
    gemm(h->exec->gemm, 'N', 'T', n, V, h->d, 1, x, h->d, h->w->v, h->d, 0, h->lp, V);
#pragma omp parallel for num_threads(h->exec->threads) schedule(static)
    for (int i = 0; i < n; i++) {
        float *lp = h->lp + (size_t)i * V;
        const double lse = head_lse(h->exec->f, lp, V);
        h->exec->f->affine(lp, 1, -(float)lse, V);
        const double mean = head_sum(h->exec->f, lp, V) / V;
        h->lse[i] = (float)lse;
        h->loss[i] = -(1 - h->eps) * (double)lp[y[i]] - h->eps * mean + h->zloss * lse * lse;
    }
    for (int i = 0; i < n; i++) loss += h->loss[i];
    return loss;
}

static void backward(void *head, float *dx, float scale)
{
    Naive *h = head;
    const Gemm *g = h->exec->gemm;
    const int V = h->V, d = h->d, n = h->n;
#pragma omp parallel for num_threads(h->exec->threads) schedule(static)
    for (int i = 0; i < n; i++) {
        float *gi = h->g + (size_t)i * V;
        h->exec->f->exp(gi, h->lp + (size_t)i * V, V, 0);
        h->exec->f->affine(gi, 1.0f + 2.0f * (float)h->zloss * h->lse[i], -(float)(h->eps / V), V);
        gi[h->y[i]] -= (float)(1 - h->eps);
    }
    gemm(g, 'N', 'N', n, d, V, scale, h->g, V, h->w->v, d, 1, dx, d);
    if (h->w->frozen) return;
    param_touch_all(h->w);
    gemm(g, 'T', 'N', V, d, n, scale, h->g, V, h->x, d, 1, h->w->g, d);
}

static double nll(const void *h, const float *x, const int *y, int n, float *out)
{
    return full_nll(((const Naive *)h)->full, x, y, n, out);
}

static void logprob(const void *h, const float *x, float *lp)
{
    full_logprob(((const Naive *)h)->full, x, lp);
}

static int sample(const void *h, const float *x, double temperature, Rng *rng)
{
    return full_sample(((const Naive *)h)->full, x, temperature, rng);
}

/* Three products. Per chunk E is read twice, its gradient read and written. A row of logits is written, read
 * and rewritten as log probabilities, read again; one of gradients is written and read by two products. */
static Cost cost(const void *head, int n)
{
    const Naive *h = head;
    const double rows = h->V, chunks = ceil((double)n / HEAD_CHUNK);
    return (Cost){ 6.0 * n * rows * h->d, sizeof(float) * (4 * chunks * rows * h->d + 7.0 * n * rows) };
}

const HeadDef head_softmax_naive = {
    "softmax_naive", "the full softmax with logits and gradients in memory", "the textbook", 1,
    .make = make, .chunk = chunk, .forward = forward, .backward = backward, .nll = nll, .logprob = logprob,
    .sample = sample, .cost = cost,
};
