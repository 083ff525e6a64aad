/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The full softmax, its linear layer and cross entropy in one:
 *
 *   z = E x,  lse = log sum exp z
 *   loss = (1 - eps) (lse - z_y) + eps (lse - mean z) + zloss lse^2      eps: label smoothing
 *   dLoss/dz_v = (1 + 2 zloss lse) p_v - eps/V - (1 - eps) [v = y]
 *
 * The exponentials of one chunk are kept, each minus the largest logit of its tile, tile after tile
 * of head_full's pass,
 *
 *   z:  tile 0 (n, TILE) | tile 1 (n, TILE) | ...      n V floats within HEAD_BYTES
 *
 * and become the gradient in place in backward, each tile by the thread of its rows: dE needs no
 * locks.
 *
 *   head_quant     E is quantised; its gradient is passed to the parameter unchanged. bitlinear: x
 *                  is normalised and quantised before (head_bit.h)
 *   rows=freq      the rows of E in the order of counts. A head's own matrix is kept in that order;
 *                  of a tied one E is a copy, made once per update, and the gradient of a tile is
 *                  scattered to the rows it came from
 *   filter=delta   of every position the products of (1 + 2 zloss lse) p with blocks of small p are
 *                  left out, at most delta of the mass (head_filter.h). The other two terms are
 *                  added exactly, at O((V + n) d):
 *                    dx_i -= eps/V sum_v E_v + (1 - eps) E_y
 *                    dE_v -= eps/V sum_i x_i
 *                    dE_y -= (1 - eps) x_i */
#include "models/head_bit.h"
#include "models/head_filter.h"
#include <math.h>
#include <string.h>

typedef struct {
    const Exec  *exec;
    Full        *full;
    Param       *w;                 /* (V, d) */
    int          V, d, chunk;
    double       eps, zloss;
    BitInput    *bit;               /* head_quant=bitlinear; NULL: x is multiplied as it is */
    const float *x;                 /* of the last forward, as multiplied: (n, d), (n) */
    const int   *y;
    int          n;
    FullKeep     keep;
    float       *lse;               /* (chunk) */
    float       *dx;                /* (threads, chunk, d): each thread's part */
    float       *de;                /* (threads, TILE, d) dE of a tile, to be scattered; or NULL */
    Filter      *filter;            /* NULL: every product is made */
    float       *sum_e, *sum_x;     /* of the filter: (threads, d), parts of sum_v E_v; (d) */
    long         summed;            /* version of w for which sum_e was computed */
} Softmax;

static FullQuant softmax_quant_of(const Spec *s)
{
    if (spec_is(s, "head_quant", "int8")) return FULL_INT8;
    return spec_is(s, "head_quant", "f32") ? FULL_F32 : FULL_TERNARY;
}

static void *softmax_make(const Spec *s, const Exec *e, Params *ps, const HeadData *data, int d,
                          Arena *a)
{
    const int V = data->V, tied = (int)spec_int(s, "tied"),
              bit = spec_is(s, "head_quant", "bitlinear");
    const double delta = spec_num(s, "filter");
    const size_t threads = (size_t)e->threads, row = sizeof(float) * (size_t)d;
    Softmax *h = arena_get(a, sizeof *h);
    if (!(delta >= 0 && delta < 1))
        return params_fail(ps, arena_text(a, "filter=%g: expected a mass from 0 to less than 1",
                                          delta));
    if (bit && tied)
        return params_fail(ps, "head_quant=bitlinear tied=1: expected tied=0, a matrix of its own, "
                               "as it has a norm of its own");
    *h = (Softmax){ .exec = e, .V = V, .d = d, .chunk = head_chunk(V),
                    .eps = spec_num(s, "smoothing"), .zloss = spec_num(s, "zloss") };
    const size_t n = (size_t)h->chunk;
    h->w = head_rows(s, ps, NULL, V, d, 0);
    if (bit) h->bit = bit_input_new(s, e, ps, d, h->chunk, a);
    h->full = full_new(e, h->w, h->chunk, a);
    if (spec_is(s, "rows", "freq")) full_by_count(h->full, data->freq, tied, a);
    full_quantise(h->full, softmax_quant_of(s), a);
    h->keep.exps = arena_raw(a, sizeof(float) * n * (size_t)V);
    h->keep.shift = arena_raw(a, sizeof(float) * n * full_tiles(h->full));
    h->lse = arena_raw(a, sizeof(float) * n);
    h->dx = arena_raw(a, row * threads * n);
    if (h->full->from) h->de = arena_raw(a, row * threads * FULL_TILE);
    if (delta > 0) {
        h->full->grain = FULL_BLOCK;
        h->filter = filter_new(delta, V, h->chunk, a);
        h->keep.blocks = h->filter->lse;
        h->sum_e = arena_raw(a, row * threads);
        h->sum_x = arena_raw(a, row);
    }
    return h;
}

static int softmax_chunk(const void *h) { return ((const Softmax *)h)->chunk; }

static double softmax_forward(void *head, const float *x, const int *y, int n)
{
    Softmax *h = head;
    double loss = 0;
    CHECK(n >= 1 && n <= h->chunk);
    if (h->bit) x = bit_input(h->bit, x, n);
    h->x = x;
    h->y = y;
    h->n = n;
    full_pass(h->full, x, y, n, &h->keep);
    for (int i = 0; i < n; i++) {
        const FullStat s = h->full->stat[i];
        const double lse = s.max + log(s.sum), zy = (double)h->full->target[i];
        h->lse[i] = (float)lse;
        loss += (1 - h->eps) * (lse - zy) + h->eps * (lse - s.total / h->V) + h->zloss * lse * lse;
    }
    return loss;
}

/* ---- backward, every product ---- */

/* One tile of thread t, e (rows, d) its rows of E: dx (n, d) = or += scale dZ E; de (rows, d) +=
 * scale dZ' x, or NULL */
typedef struct { const float *e; float *dx, *de; int t, r0, rows, first; float scale; } Tile;

/* The factor that makes (1 + 2 zloss lse) p of the kept exponentials of position i */
static float softmax_factor(const Softmax *h, const Tile *t, int i)
{
    const double lse = (double)h->lse[i],
                 shift = (double)full_shift(&h->keep, t->t, t->r0, h->n)[i];
    return (float)((1 + 2 * h->zloss * lse) * exp(shift - lse));
}

static void softmax_all_products(const Softmax *h, const Tile *t)
{
    const Gemm *g = h->exec->head;
    const int rows = t->rows, d = h->d, n = h->n;
    float *z = h->keep.exps + (size_t)t->r0 * n;
    for (int i = 0; i < n; i++) {
        const int target = full_row(h->full, h->y[i]) - t->r0;
        float *zi = z + (size_t)i * rows;
        h->exec->f->affine(zi, softmax_factor(h, t, i), -(float)(h->eps / h->V), rows);
        if (target >= 0 && target < rows) zi[target] -= (float)(1 - h->eps);
    }
    gemm1(g, 'N', 'N', n, d, rows, t->scale, z, rows, t->e, d, !t->first, t->dx, d);
    if (t->de) gemm1(g, 'T', 'N', rows, d, n, t->scale, z, rows, h->x, d, 1, t->de, d);
}

/* ---- backward, filtered ---- */

/* Positions [i0, i0 + n), rows [c0, c1) of the tile, all kept */
static void softmax_kept_products(const Softmax *h, const Tile *t, int i0, int n, int c0, int c1)
{
    const Gemm *g = h->exec->head;
    const int rows = t->rows, d = h->d, width = c1 - c0;
    const float *x = h->x + (size_t)i0 * d, *e = t->e + (size_t)c0 * d;
    float *z = h->keep.exps + (size_t)t->r0 * h->n + (size_t)i0 * rows + c0;
    for (int i = 0; i < n; i++)
        h->exec->f->scale(z + (size_t)i * rows, softmax_factor(h, t, i0 + i), width);
    gemm1(g, 'N', 'N', n, d, width, t->scale, z, rows, e, d, 1, t->dx + (size_t)i0 * d, d);
    if (t->de)
        gemm1(g, 'T', 'N', width, d, n, t->scale, z, rows, x, d, 1, t->de + (size_t)c0 * d, d);
}

/* The softmax term, over runs of blocks that are kept */
static void softmax_some_products(const Softmax *h, const Tile *t)
{
    const Filter *f = h->filter;
    const int blocks = (t->rows + FULL_BLOCK - 1) / FULL_BLOCK;
    for (int i0 = 0; i0 < h->n; i0 += FILTER_GROUP) {
        const char *keep = f->keep + (size_t)(i0 / FILTER_GROUP) * f->blocks + t->r0 / FULL_BLOCK;
        const int n = h->n - i0 < FILTER_GROUP ? h->n - i0 : FILTER_GROUP;
        for (int b = 0, end; b < blocks; b = end) {
            end = b + 1;
            if (!keep[b]) continue;
            while (end < blocks && keep[end]) end++;
            softmax_kept_products(h, t, i0, n, b * FULL_BLOCK,
                                  end == blocks ? t->rows : end * FULL_BLOCK);
        }
    }
}

/* The other two terms of the tile's dE */
static void softmax_rest_of_tile(const Softmax *h, const Tile *t)
{
    const F32 *f = h->exec->f;
    const int d = h->d;
    const float even = t->scale * (float)(h->eps / h->V), hit = t->scale * (float)(1 - h->eps);
    if (!t->de) return;
    for (int k = 0; k < t->rows && h->eps > 0; k++)
        f->axpy(t->de + (size_t)k * d, -even, h->sum_x, d);
    for (int i = 0; i < h->n; i++) {
        const int k = full_row(h->full, h->y[i]) - t->r0;
        if (k >= 0 && k < t->rows) f->axpy(t->de + (size_t)k * d, -hit, h->x + (size_t)i * d, d);
    }
}

/* The other two terms of dx (d), position i */
static void softmax_rest_of_position(const Softmax *h, float *dx, int i, float scale)
{
    const F32 *f = h->exec->f;
    const size_t d = (size_t)h->d, target = (size_t)full_row(h->full, h->y[i]);
    f->axpy(dx, -scale * (float)(1 - h->eps), full_matrix(h->full) + target * d, h->d);
    if (h->eps > 0)
        for (int t = 0; t < h->exec->threads; t++)
            f->axpy(dx, -scale * (float)(h->eps / h->V), h->sum_e + (size_t)t * d, h->d);
}

static void softmax_prepare_filter(Softmax *h)
{
    const int threads = h->exec->threads, d = h->d;
    const float *e = full_matrix(h->full);
    filter_choose(h->filter, h->exec, h->lse, h->n);
    memset(h->sum_x, 0, sizeof(float) * (size_t)d);
    for (int i = 0; i < h->n; i++) h->exec->f->axpy(h->sum_x, 1, h->x + (size_t)i * d, d);
    if (h->eps == 0 || h->summed == h->w->version) return;
    memset(h->sum_e, 0, sizeof(float) * (size_t)threads * (size_t)d);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        int r0, r1;
        full_range(h->full, t, &r0, &r1);
        for (int r = r0; r < r1; r++)
            h->exec->f->axpy(h->sum_e + (size_t)t * d, 1, e + (size_t)r * d, d);
    }
    h->summed = h->w->version;
}

/* ---- backward ---- */

static void softmax_tile_back(const Softmax *h, const Tile *t)
{
    const size_t d = (size_t)h->d;
    if (h->de && t->de) memset(t->de, 0, sizeof(float) * (size_t)t->rows * d);
    if (!h->filter) softmax_all_products(h, t);
    else {
        softmax_some_products(h, t);
        softmax_rest_of_tile(h, t);
    }
    if (!h->de || !t->de) return;
    for (int k = 0; k < t->rows; k++)
        h->exec->f->axpy(h->w->g + (size_t)h->full->from[t->r0 + k] * d, 1, t->de + (size_t)k * d,
                         h->d);
}

static void softmax_backward(void *head, float *dx, float scale)
{
    Softmax *h = head;
    const int threads = h->exec->threads, d = h->d, n = h->n;
    const float *e = full_matrix(h->full);
    float *to_rows = h->bit ? bit_input_grad(h->bit, n) : dx;
    if (!h->w->frozen) param_touch_all(h->w);
    if (h->filter) softmax_prepare_filter(h);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        float *share = h->dx + (size_t)t * n * d;
        int r0, r1;
        full_range(h->full, t, &r0, &r1);
        if (r0 == r1 || h->filter) memset(share, 0, sizeof *share * (size_t)n * (size_t)d);
        for (int r = r0; r < r1; r += FULL_TILE) {
            float *de = h->de ? h->de + (size_t)t * FULL_TILE * d : h->w->g + (size_t)r * d;
            softmax_tile_back(h,
                              &(Tile){ e + (size_t)r * d, share, h->w->frozen ? NULL : de, t, r,
                                       r1 - r < FULL_TILE ? r1 - r : FULL_TILE, r == r0, scale });
        }
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < n; i++) {
        float *to = to_rows + (size_t)i * d;
        for (int t = 0; t < threads; t++)
            h->exec->f->axpy(to, 1, h->dx + ((size_t)t * n + i) * d, d);
        if (h->filter) softmax_rest_of_position(h, to, i, scale);
    }
    if (h->bit) bit_input_back(h->bit, dx);
}

/* ---- evaluation, cost, report ---- */

static double softmax_nll(const void *head, const float *x, const int *y, int n, float *out)
{
    const Softmax *h = head;
    double sum = 0;
    if (!h->bit) return full_nll(h->full, x, y, n, out);
    for (int i = 0; i < n; i += FULL_EVAL) {
        const int m = n - i < FULL_EVAL ? n - i : FULL_EVAL;
        const float *rows = bit_input_eval(h->bit, x + (size_t)i * h->d, m);
        sum += full_nll(h->full, rows, y + i, m, out ? out + i : NULL);
    }
    return sum;
}

static void softmax_logprob(const void *head, const float *x, float *lp)
{
    const Softmax *h = head;
    full_logprob(h->full, h->bit ? bit_input_eval(h->bit, x, 1) : x, lp);
}

static int softmax_sample(const void *head, const float *x, double temperature, Rng *rng)
{
    const Softmax *h = head;
    return full_sample(h->full, h->bit ? bit_input_eval(h->bit, x, 1) : x, temperature, rng);
}

/* Three products, less those that the filter left out of the last chunk. Per chunk E is read
 * twice, its gradient read and written; every logit is written, rewritten as a gradient, and
 * read by two products. */
static Cost softmax_cost(const void *head, int n)
{
    const Softmax *h = head;
    const double rows = h->V, chunks = ceil((double)n / h->chunk);
    const double back = h->filter ? 1 - h->filter->share : 1;
    return (Cost){ (2 + 4 * back) * n * rows * h->d,
                   sizeof(float) *
                       ((1 + 3 * back) * chunks * rows * h->d + (1 + 4 * back) * n * rows) };
}

/* filter_mass: what a position lost on average; filter_skipped: the share of products left out */
static void softmax_report(const void *head, HeadSay *say, void *ctx)
{
    const Filter *f = ((const Softmax *)head)->filter;
    if (!f || !f->positions) return;
    say(ctx, "filter_mass", f->mass / (double)f->positions);
    say(ctx, "filter_skipped", f->skips / f->pairs);
}

const HeadDef head_softmax = {
    "softmax",
    "the full softmax over V, fused with its loss",
    "the FlashLM v3 notebook; smoothing and z-loss exact",
    1,
    .make = softmax_make,
    .chunk = softmax_chunk,
    .forward = softmax_forward,
    .backward = softmax_backward,
    .nll = softmax_nll,
    .logprob = softmax_logprob,
    .sample = softmax_sample,
    .cost = softmax_cost,
    .report = softmax_report,
};
