/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The full softmax as it is first written, and as a framework with automatic differentiation
 * executes it: operation by operation, each over all positions of a micro-batch, each with its
 * result in a new matrix of memory.
 *
 *   Z  = X E'                                  (n, V) logits
 *   P  = log softmax Z                         (n, V)
 *   loss = (1 - eps) (-P_y) + eps (-mean P)    reads P
 *        + zloss lse^2,  lse = logsumexp Z     reads Z
 *   G  = - eps/V - (1 - eps) [v = y]           (n, V) gradient to P
 *   D  = G - exp(P) sum G                      (n, V) through log softmax; sum G = -1
 *   D += 2 zloss lse exp(Z - lse)              through logsumexp
 *   dX += D E,  dE += D' X
 *
 * The baseline for head=softmax: the same loss, the same three products, the same vector code and
 * threads in every operation. It takes 4 n V floats, 412 MB at n = 512 and V = 50,257, which are
 * given back to the system after a step and taken again in the next, as malloc and free do with
 * blocks of that size. */
#include "models/head_full.h"
#include <math.h>
#include <string.h>

enum { CHUNK = 512 };               /* positions at once: the micro-batch of FlashLM v3, 4 x 128 */
enum { LOGITS, LOGPROBS, DLOGPROBS, DLOGITS, MATRICES };

typedef struct {
    const Exec  *exec;
    Full        *full;              /* for evaluation */
    Param       *w;                 /* (V, d) */
    int          V, d, n;
    double       eps, zloss;
    const float *x;                 /* of the last forward: (n, d), (n) */
    const int   *y;
    float       *m[MATRICES];       /* (CHUNK, V) each */
    double      *lse, *loss;        /* (CHUNK) */
} Naive;

static void *naive_make(const Spec *s, const Exec *e, Params *ps, const HeadData *data, int d,
                        Arena *a)
{
    Naive *h = arena_get(a, sizeof *h);
    *h = (Naive){ .exec = e, .V = data->V, .d = d,
                  .eps = spec_num(s, "smoothing"), .zloss = spec_num(s, "zloss") };
    h->w = head_rows(s, ps, NULL, data->V, d, 0);
    h->full = full_new(e, h->w, FULL_EVAL, a);
    h->lse = arena_raw(a, sizeof *h->lse * CHUNK);
    h->loss = arena_raw(a, sizeof *h->loss * CHUNK);
    for (int i = 0; i < MATRICES; i++)
        h->m[i] = arena_raw(a, sizeof(float) * CHUNK * (size_t)data->V);
    return h;
}

static int naive_chunk(const void *h) { return (void)h, CHUNK; }

/* ---- operations; i is a position ---- */
static float *naive_row(const Naive *h, int matrix, int i)
{
    return h->m[matrix] + (size_t)i * (size_t)h->V;
}

static void naive_log_softmax(Naive *h, int i)
{
    const F32 *f = h->exec->f;
    float *p = naive_row(h, LOGPROBS, i);
    const double lse = head_lse(f, naive_row(h, LOGITS, i), h->V);
    memcpy(p, naive_row(h, LOGITS, i), sizeof *p * (size_t)h->V);
    f->affine(p, 1, -(float)lse, h->V);
}

static void naive_cross_entropy(Naive *h, int i)
{
    const float *p = naive_row(h, LOGPROBS, i);
    h->loss[i] = -(1 - h->eps) * (double)p[h->y[i]];
    if (h->eps > 0) h->loss[i] -= h->eps * head_sum(h->exec->f, p, h->V) / h->V;
}

static void naive_zloss(Naive *h, int i)
{
    h->lse[i] = head_lse(h->exec->f, naive_row(h, LOGITS, i), h->V);
    h->loss[i] += h->zloss * h->lse[i] * h->lse[i];
}

static void naive_cross_entropy_backward(Naive *h, int i)
{
    float *g = naive_row(h, DLOGPROBS, i);
    for (int v = 0; v < h->V; v++) g[v] = -(float)(h->eps / h->V);
    g[h->y[i]] -= (float)(1 - h->eps);
}

static void naive_log_softmax_backward(Naive *h, int i)
{
    const F32 *f = h->exec->f;
    const float *g = naive_row(h, DLOGPROBS, i);
    float *dz = naive_row(h, DLOGITS, i);
    f->exp(dz, naive_row(h, LOGPROBS, i), h->V, 0);
    f->affine(dz, -(float)head_sum(f, g, h->V), 0, h->V);
    f->axpy(dz, 1, g, h->V);
}

static void naive_zloss_backward(Naive *h, int i)
{
    const F32 *f = h->exec->f;
    float *p = naive_row(h, DLOGPROBS, i);             /* no longer needed: reused for exp(P) */
    f->exp(p, naive_row(h, LOGITS, i), h->V, (float)h->lse[i]);
    f->axpy(naive_row(h, DLOGITS, i), (float)(2 * h->zloss * h->lse[i]), p, h->V);
}

static void naive_each(Naive *h, void op(Naive *, int))
{
#pragma omp parallel for num_threads(h->exec->threads) schedule(static)
    for (int i = 0; i < h->n; i++) op(h, i);
}

/* ---- the head ---- */
static double naive_forward(void *head, const float *x, const int *y, int n)
{
    Naive *h = head;
    double loss = 0;
    CHECK(n >= 1 && n <= CHUNK);
    for (int i = 0; i < n; i++) CHECK(y[i] >= 0 && y[i] < h->V);
    h->x = x;
    h->y = y;
    h->n = n;
    gemm(h->exec->head, 'N', 'T', n, h->V, h->d, 1, x, h->d, h->w->v, h->d, 0, h->m[LOGITS], h->V);
    naive_each(h, naive_log_softmax);
    naive_each(h, naive_cross_entropy);
    if (h->zloss > 0) naive_each(h, naive_zloss);
    for (int i = 0; i < n; i++) loss += h->loss[i];
    return loss;
}

static void naive_backward(void *head, float *dx, float scale)
{
    Naive *h = head;
    const Gemm *g = h->exec->head;
    const int V = h->V, d = h->d, n = h->n;
    const float *dz = h->m[DLOGITS];
    naive_each(h, naive_cross_entropy_backward);
    naive_each(h, naive_log_softmax_backward);
    if (h->zloss > 0) naive_each(h, naive_zloss_backward);
    gemm(g, 'N', 'N', n, d, V, scale, dz, V, h->w->v, d, 1, dx, d);
    if (!h->w->frozen) {
        param_touch_all(h->w);
        gemm(g, 'T', 'N', V, d, n, scale, dz, V, h->x, d, 1, h->w->g, d);
    }
    for (int i = 0; i < MATRICES; i++) pages_return(h->m[i], sizeof(float) * (size_t)n * (size_t)V);
}

static double naive_nll(const void *h, const float *x, const int *y, int n, float *out)
{
    return full_nll(((const Naive *)h)->full, x, y, n, out);
}

static void naive_logprob(const void *h, const float *x, float *lp)
{
    full_logprob(((const Naive *)h)->full, x, lp);
}

static int naive_sample(const void *h, const float *x, double temperature, Rng *rng)
{
    return full_sample(((const Naive *)h)->full, x, temperature, rng);
}

/* Three products. Per chunk E is read twice, its gradient read and written; a row of V is read or
 * written 15 times, and the pages of the four matrices are zeroed. */
static Cost naive_cost(const void *head, int n)
{
    const Naive *h = head;
    const double rows = h->V, chunks = ceil((double)n / CHUNK);
    return (Cost){ 6.0 * n * rows * h->d,
                   sizeof(float) * (4 * chunks * rows * h->d + 19.0 * n * rows) };
}

const HeadDef head_softmax_naive = {
    "softmax_naive",
    "the full softmax operation by operation, each result a matrix in memory",
    "the textbook",
    1,
    .make = naive_make,
    .chunk = naive_chunk,
    .forward = naive_forward,
    .backward = naive_backward,
    .nll = naive_nll,
    .logprob = naive_logprob,
    .sample = naive_sample,
    .cost = naive_cost,
};
