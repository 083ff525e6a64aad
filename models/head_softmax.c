/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The full softmax, linear and cross entropy in one:
 *
 *   z = E x,  lse = log sum exp z
 *   loss = (1 - eps) (lse - z_y) + eps (lse - mean z) + zloss lse^2                  eps: label smoothing
 *   dLoss/dz_v = (1 + 2 zloss lse) p_v - eps/V - (1 - eps) [v = y]
 *
 * Each thread owns a contiguous range of the V rows and walks it in tiles of TILE rows, so that a tile of E and
 * of logits stays in its cache and dE needs no locks. The logits of one chunk are kept, tile after tile,
 *   z:  tile 0 (n, TILE) | tile 1 (n, TILE) | ...      n V floats within HEAD_BYTES
 * and become the gradient in place on the way back. Every thread carries its own running maximum and sum of
 * exponentials (Milakov, Gimelshein 2018, arXiv 1805.02867); they are merged in the order of the threads. */
#include "models/head.h"
#include <math.h>

enum { TILE = 1024, EVAL = 256 };       /* rows of a tile; positions of a block of nll */

/* of one position over one thread's rows: max z, sum exp(z - max), sum z */
typedef struct { double max, sum, total; } Stat;

typedef struct {
    const Exec  *exec;
    Param       *w;                 /* (V, d) */
    int          V, d, chunk;
    double       eps, zloss;
    const float *x;                 /* of the last forward: (n, d), (n) */
    const int   *y;
    int          n;
    float       *z;                 /* (chunk, V), tile-major */
    float       *lse;               /* (chunk) */
    float       *dx;                /* (threads, chunk, d): each thread's share */
    Stat        *stat;              /* (threads, max(chunk, EVAL)) */
    float       *target;            /* (max(chunk, EVAL)): z_y */
    float       *scan;              /* (threads, EVAL, TILE): logits that nobody needs again */
    float       *lp;                /* (V) */
} Softmax;

static void *make(const Spec *s, const Exec *e, Params *ps, const HeadData *data, int d, Arena *a)
{
    const int V = data->V;
    Softmax *h = arena_get(a, sizeof *h);
    const size_t threads = (size_t)e->threads;
    *h = (Softmax){ .exec = e, .V = V, .d = d, .chunk = head_chunk(V),
                    .eps = spec_num(s, "smoothing"), .zloss = spec_num(s, "zloss") };
    const size_t chunk = (size_t)h->chunk, most = chunk > EVAL ? chunk : EVAL;
    h->w = head_rows(s, ps, "head.weight", V, d, 0);
    h->z = arena_raw(a, sizeof(float) * chunk * (size_t)V);
    h->lse = arena_raw(a, sizeof(float) * chunk);
    h->dx = arena_raw(a, sizeof(float) * threads * chunk * (size_t)d);
    h->stat = arena_raw(a, sizeof(Stat) * threads * most);
    h->target = arena_raw(a, sizeof(float) * most);
    h->scan = arena_raw(a, sizeof(float) * threads * EVAL * TILE);
    h->lp = arena_raw(a, sizeof(float) * (size_t)V);
    return h;
}

static int chunk(const void *h) { return ((const Softmax *)h)->chunk; }

/* the rows of a thread: whole blocks of 16 */
static void range(const Softmax *h, int part, int *r0, int *r1)
{
    const long blocks = (h->V + 15) / 16, parts = h->exec->threads;
    const long lo = blocks * part / parts * 16, hi = blocks * (part + 1) / parts * 16;
    *r0 = lo < h->V ? (int)lo : h->V;
    *r1 = hi < h->V ? (int)hi : h->V;
}

/* The logits of n positions against rows [r0, r0 + rows) into z (n, rows), and what they add to each position. */
static void see_tile(const Softmax *h, float *z, Stat *stat, const float *x, const int *y, int n, int r0, int rows)
{
    const F32 *f = h->exec->f;
    gemm1(h->exec->gemm, 'N', 'T', n, rows, h->d, 1, x, h->d, h->w->v + (size_t)r0 * h->d, h->d, 0, z, rows);
    for (int i = 0; i < n; i++, z += rows) {
        Stat *s = &stat[i];
        const double max = (double)f->max(z, rows);
        if (max > s->max) {
            s->sum *= exp(s->max - max);
            s->max = max;
        }
        s->sum += (double)f->sumexp(z, rows, (float)s->max);
        s->total += (double)f->sum(z, rows);
        if (y[i] >= r0 && y[i] < r0 + rows) h->target[i] = z[y[i] - r0];
    }
}

/* All rows for n positions; keep: the logits stay in h->z. Then stat[i] is over all of V. */
static void see_all(const Softmax *h, const float *x, const int *y, int n, int keep)
{
    const int threads = h->exec->threads;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        Stat *stat = h->stat + (size_t)t * n;
        int r0, r1;
        range(h, t, &r0, &r1);
        for (int i = 0; i < n; i++) stat[i] = (Stat){ -INFINITY, 0, 0 };
        for (int r = r0; r < r1; r += TILE)
            see_tile(h, keep ? h->z + (size_t)r * n : h->scan + (size_t)t * EVAL * TILE, stat, x, y, n, r,
                     r1 - r < TILE ? r1 - r : TILE);
    }
    for (int i = 0; i < n; i++) {
        Stat all = h->stat[i];
        for (int t = 1; t < threads; t++) {
            const Stat s = h->stat[(size_t)t * n + i];
            if (s.sum == 0) continue;      /* more threads than blocks of rows */
            const double max = s.max > all.max ? s.max : all.max;
            all = (Stat){ max, all.sum * exp(all.max - max) + s.sum * exp(s.max - max), all.total + s.total };
        }
        h->stat[i] = all;
    }
}

static double forward(void *head, const float *x, const int *y, int n)
{
    Softmax *h = head;
    double loss = 0;
    CHECK(n >= 1 && n <= h->chunk);
    h->x = x, h->y = y, h->n = n;
    see_all(h, x, y, n, 1);
    for (int i = 0; i < n; i++) {
        CHECK(y[i] >= 0 && y[i] < h->V);
        const Stat s = h->stat[i];
        const double lse = s.max + log(s.sum);
        h->lse[i] = (float)lse;
        loss += (1 - h->eps) * (lse - (double)h->target[i]) + h->eps * (lse - s.total / h->V) + h->zloss * lse * lse;
    }
    return loss;
}

/* z (n, rows): logits -> dLoss/dz */
static void tile_gradient(const Softmax *h, float *z, int r0, int rows)
{
    const float even = (float)(h->eps / h->V), hit = (float)(1 - h->eps);
    for (int i = 0; i < h->n; i++, z += rows) {
        h->exec->f->exp(z, z, rows, h->lse[i]);
        head_affine(z, rows, 1.0f + 2.0f * (float)h->zloss * h->lse[i], even);
        if (h->y[i] >= r0 && h->y[i] < r0 + rows) z[h->y[i] - r0] -= hit;
    }
}

static void backward(void *head, float *dx, float scale)
{
    Softmax *h = head;
    const int threads = h->exec->threads, d = h->d, n = h->n;
    const Gemm *g = h->exec->gemm;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        float *share = h->dx + (size_t)t * n * d;
        int r0, r1;
        range(h, t, &r0, &r1);
        if (r0 == r1) for (long i = 0; i < (long)n * d; i++) share[i] = 0;
        for (int r = r0; r < r1; r += TILE) {
            const int rows = r1 - r < TILE ? r1 - r : TILE;
            float *z = h->z + (size_t)r * n;
            tile_gradient(h, z, r, rows);
            gemm1(g, 'N', 'N', n, d, rows, scale, z, rows, h->w->v + (size_t)r * d, d, r > r0, share, d);
            if (!h->w->frozen) gemm1(g, 'T', 'N', rows, d, n, scale, z, rows, h->x, d, 1, h->w->g + (size_t)r * d, d);
        }
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < n; i++)
        for (int t = 0; t < threads; t++) h->exec->f->axpy(dx + (size_t)i * d, 1, h->dx + ((size_t)t * n + i) * d, d);
}

static double nll(const void *head, const float *x, const int *y, int n, float *out)
{
    const Softmax *h = head;
    double sum = 0;
    for (int at = 0; at < n; at += EVAL) {
        const int m = n - at < EVAL ? n - at : EVAL;
        see_all(h, x + (size_t)at * h->d, y + at, m, 0);
        for (int i = 0; i < m; i++) {
            CHECK(y[at + i] >= 0 && y[at + i] < h->V);
            const double one = h->stat[i].max + log(h->stat[i].sum) - (double)h->target[i];
            if (out) out[at + i] = (float)one;
            sum += one;
        }
    }
    return sum;
}

static void logprob(const void *head, const float *x, float *lp)
{
    const Softmax *h = head;
    head_dots(h->exec, lp, h->w->v, x, h->V, h->d);
    head_affine(lp, h->V, 1, (float)head_lse(h->exec->f, lp, h->V));
}

static int sample(const void *head, const float *x, double temperature, Rng *rng)
{
    const Softmax *h = head;
    logprob(h, x, h->lp);
    return head_pick(h->lp, h->V, temperature, rng);
}

/* Three products. Per chunk E is read twice, its gradient read and written; every logit is written, read and
 * rewritten as a gradient, and read by two products. */
static Cost cost(const void *head, int n)
{
    const Softmax *h = head;
    const double rows = h->V, chunks = ceil((double)n / h->chunk);
    return (Cost){ 6.0 * n * rows * h->d, sizeof(float) * (4 * chunks * rows * h->d + 5.0 * n * rows) };
}

const HeadDef head_softmax = {
    "softmax", "the full softmax over V, fused with its loss", "the FlashLM v3 notebook; smoothing and z-loss exact", 1,
    .make = make, .chunk = chunk, .forward = forward, .backward = backward, .nll = nll, .logprob = logprob,
    .sample = sample, .cost = cost,
};
