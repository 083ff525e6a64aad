/* SPDX-License-Identifier: GPL-3.0-or-later */
/* y = x W', W float or ternary, activations float or int8.
 *
 * Quantisers of W (rows, cols), one number per tensor:
 *   v3        t = mean|W|;  q = sign(W) (|W| > t);  no scale          (FlashLM v3's notebook)
 *   absmean   a = max(mean|W|, 1e-5);  q = a clamp(round(W / a), -1, 1)
 *                                                                     (arXiv 2406.02528, BitLinear)
 * Straight-through: dX = dY q, dW = dY' X, where X is what was multiplied (the quantised rows for
 * act=int8).
 *
 * bwd=int8: dX = inv a (k W), k = floor(dY / inv + u), u uniform in [0, 1), inv = max|dY| / 127 per
 * row. The expectation of k is dY / inv, so that of dX is the exact one. Rows of a gradient may
 * have any scale: max|dY| has no lower bound here, as max|x| has in the forward pass.
 *
 * precision: X q', dY q and dY' X are each a product of floats, or of operands rounded to bfloat16.
 * Products of int8 stay what they are. */
#include "models/tape_inner.h"
#include <string.h>

typedef struct {                 /* Param.cache: the quantised weight of one version */
    long    version;             /* 0: only the last two are in use, of a float weight */
    float  *q;                   /* (rows, cols) with its scale, for dense products */
    int8_t *codes;               /* (rows, cols) in {-1, 0, 1} */
    float   scale;
    void   *packed;              /* the kernel's; NULL until int8 is asked for */
    /* the same of the transpose, NULL until a gradient is asked for by bwd=int8 */
    void   *packed_t;
    long    version_t;
    /* gradients rounded since the parameter's last update, which was number `steps` */
    long    steps, draws;
    /* what the provider of dense products made of q, or of the float weight */
    GemmWeight forward, back;
} Ternary;

static void linear_quantise(Tape *t, const Param *w, Ternary *c)
{
    const int v3 = !strcmp(t->quant, "v3");
    const float mean = (float)(t->exec->f->sumabs(w->v, w->n) / (double)w->n);
    const float a = mean > 1e-5f ? mean : 1e-5f;
    const int threads = t->exec->threads;
    c->scale = v3 ? 1.0f : a;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int p = 0; p < threads; p++) {
        long lo, hi;
        part(w->n, p, threads, 64, &lo, &hi);
        t->exec->f->ternary(c->codes + lo, c->q + lo, w->v + lo, hi - lo, v3 ? mean : a, c->scale,
                            !v3);
    }
}

static Ternary *linear_cache_of(Tape *t, Param *w)
{
    if (!w->cache) w->cache = arena_get(t->home, sizeof(Ternary));
    return w->cache;
}

static const Ternary *linear_ternary_of(Tape *t, Param *w)
{
    const TernaryKernel *k = t->exec->kernel;
    Ternary *c = linear_cache_of(t, w);
    if (!c->q) {
        c->q = arena_get(t->home, sizeof(float) * (size_t)w->n);
        c->codes = arena_get(t->home, (size_t)w->n);
        if (t->int8) c->packed = arena_get(t->home, k->packed_size(w->rows, w->cols));
    }
    if (c->version == w->version) return c;
    linear_quantise(t, w, c);
    if (t->int8) k->pack(c->packed, c->codes, w->rows, w->cols);
    c->version = w->version;
    return c;
}

typedef struct { const void *packed; float scale; int rows, cols, bits; } Codes;
typedef struct { const F32 *f; const float *inv; float *y, scale; int rows; } Scaling;

/* The integer sums y[lo..hi)[r0..r1) become floats in place. */
static void linear_scale(void *ctx, int lo, int hi, int r0, int r1)
{
    const Scaling *s = ctx;
    for (int i = lo; i < hi; i++) {
        float *y = s->y + (size_t)i * (size_t)s->rows + (size_t)r0;
        s->f->from_int(y, (const int32_t *)y, s->inv[i] * s->scale, r1 - r0);
    }
}

/* y (n, rows) = inv[i] scale (x8 codes'), codes (rows, cols) as packed */
static void linear_int8_product(Tape *t, const Codes *w, const int8_t *x8, const float *inv,
                                float *y, int n)
{
    const size_t at = t->pass.used;
    Scaling s = { t->exec->f, inv, y, w->scale, w->rows };
    const TernaryProduct p = { .kernel = t->exec->kernel,
                               .packed = w->packed,
                               .x = x8,
                               .y = (int32_t *)y,
                               .n = n,
                               .rows = w->rows,
                               .cols = w->cols,
                               .act_bits = w->bits,
                               .threads = t->exec->threads,
                               .done = linear_scale,
                               .ctx = &s };
    ternary_product(&p, arena_raw(&t->pass, ternary_room_size(&p)));
    arena_reset(&t->pass, at);
}

static const void *linear_transpose_of(Tape *t, const Param *w)
{
    const TernaryKernel *k = t->exec->kernel;
    Ternary *c = w->cache;
    CHECK(c && c->version == w->version);
    if (!c->packed_t) c->packed_t = arena_get(t->home, k->packed_size(w->cols, w->rows));
    if (c->version_t == w->version) return c->packed_t;
    const size_t at = t->pass.used;
    int8_t *codes = arena_raw(&t->pass, (size_t)w->n);
    for (int r = 0; r < w->rows; r++)
        for (int i = 0; i < w->cols; i++)
            codes[(size_t)i * w->rows + r] = c->codes[(size_t)r * w->cols + i];
    k->pack(c->packed_t, codes, w->cols, w->rows);
    arena_reset(&t->pass, at);
    c->version_t = w->version;
    return c->packed_t;
}

static uint64_t linear_rounding_key(const Tape *t, const Param *w)
{
    Ternary *c = w->cache;
    uint64_t name = 0xcbf29ce484222325u;                       /* FNV-1a */
    for (const char *s = w->name; *s; s++) name = (name ^ (unsigned char)*s) * 0x100000001b3u;
    if (c->steps != w->steps) {
        c->steps = w->steps;
        c->draws = 0;
    }
    Rng of_param = rng_at(t->seed, STREAM_ROUND, name);
    Rng of_draw = rng_at(rng_u64(&of_param), (uint64_t)c->draws++, (uint64_t)w->steps);
    return rng_u64(&of_draw);
}

/* Compares the estimate `got` with the dense product, for tape_cosine */
static void linear_compare(Tape *t, const float *got, const float *dy, const float *q, int n,
                           int rows, int cols)
{
    const long values = (long)n * cols;
    const size_t at = t->pass.used;
    float *exact = arena_raw(&t->pass, sizeof(float) * (size_t)values);
    gemm(t->exec->gemm, 'N', 'N', n, cols, rows, 1, dy, rows, q, cols, 0, exact, cols);
    for (int i = 0; i < n; i++) {
        const float *a = got + (size_t)i * cols, *b = exact + (size_t)i * cols;
        t->dots[0] += (double)t->exec->f->dot(a, b, cols);
        t->dots[1] += (double)t->exec->f->dot(a, a, cols);
        t->dots[2] += (double)t->exec->f->dot(b, b, cols);
    }
    arena_reset(&t->pass, at);
}

/* dX (n, cols) = or += the estimate from dY (n, rows) */
static void linear_back_int8(Tape *t, const Param *w, const float *dy, float *dx, int n, int fresh)
{
    const int rows = w->rows, threads = t->exec->threads;
    const Ternary *c = w->cache;
    const Codes codes = { linear_transpose_of(t, w), c->scale, w->cols, rows, 8 };
    const uint64_t key = linear_rounding_key(t, w);
    const long values = (long)n * w->cols;
    int8_t *q = arena_raw(&t->pass, (size_t)n * (size_t)rows);
    float *inv = arena_raw(&t->pass, sizeof(float) * (size_t)n);
    float *to = fresh ? dx : arena_raw(&t->pass, sizeof(float) * (size_t)values);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < n; i++) {
        Rng r = rng_at(key, STREAM_ROUND, (uint64_t)i);
        t->exec->f->round_row(q + (size_t)i * rows, inv + i, dy + (size_t)i * rows, rows,
                              rng_u64(&r));
    }
    linear_int8_product(t, &codes, q, inv, to, n);
    if (t->compare) linear_compare(t, to, dy, c->q, n, rows, w->cols);
    if (fresh) return;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int p = 0; p < threads; p++) {
        long lo, hi;
        part(values, p, threads, 16, &lo, &hi);
        t->exec->f->add(dx + lo, dx + lo, to + lo, hi - lo);
    }
}

/* x as int8: the first reader makes it */
static Quant *linear_quant_of(Tape *t, Var x)
{
    if (x.quant && x.quant->q) return x.quant;
    if (!x.quant) x.quant = arena_get(&t->pass, sizeof *x.quant);
    Quant *o = quant_room(t, x);
    const int cols = x.cols, threads = t->exec->threads;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int p = 0; p < threads; p++) {
        long lo, hi;
        part(x.rows, p, threads, 1, &lo, &hi);
        t->exec->f->quant_rows(o->q + (size_t)lo * cols, o->inv + lo, x.v + (size_t)lo * cols,
                               (int)(hi - lo), cols, t->act_bits);
    }
    return o;
}

/* the rows that were multiplied: the quantised ones, as floats */
static const float *linear_multiplied(Tape *t, Quant *o, int n, int cols)
{
    if (o->back) return o->back;
    o->back = arena_raw(&t->pass, sizeof(float) * (size_t)n * (size_t)cols);
#pragma omp parallel for num_threads(t->exec->threads) schedule(static)
    for (int i = 0; i < n; i++) {
        const float inv = o->inv[i];
        const int8_t *q = o->q + (size_t)i * cols;
        float *to = o->back + (size_t)i * cols;
#pragma omp simd
        for (int c = 0; c < cols; c++) to[c] = inv * (float)q[c];
    }
    return o->back;
}

/* Y (n, rows) = X q', or dX (n, cols) = or += dY q: q (rows, cols) is multiplied several times
 * between two updates */
static void linear_forward_product(Tape *t, Param *w, const float *q, const float *x, float *y,
                                   int n)
{
    const GemmProduct p = { .type = GEMM_F32, .tb = 'T', .m = n, .n = w->rows, .k = w->cols,
                            .A = x, .B = q, .version = w->version, .C = y };
    gemm_weight(t->exec->forward, &linear_cache_of(t, w)->forward, &p, t->home);
}

static void linear_back_product(Tape *t, Param *w, const float *q, const float *dy, float *dx,
                                int n, int plus)
{
    const GemmProduct p = { .type = GEMM_F32, .tb = 'N', .m = n, .n = w->cols, .k = w->rows,
                            .plus = plus, .A = dy, .B = q, .version = w->version, .C = dx };
    gemm_weight(t->exec->dx, &linear_cache_of(t, w)->back, &p, t->home);
}



/* quant NULL: the rows that were multiplied are floats */
typedef struct { Var y, x; Param *w; const float *q; Quant *quant; } Linear;

static void linear_back(Tape *t, void *ctx)
{
    const Linear *o = ctx;
    const int n = o->x.rows, rows = o->w->rows, cols = o->w->cols;
    int fresh;
    tape_lap(t, LAP_BACK);
    const float *dy = tape_grad(t, o->y), *x = o->x.v;
    float *dx = grad_to(t, o->x, &fresh);
    if (o->quant && !o->w->frozen) x = linear_multiplied(t, o->quant, n, cols);
    const size_t at = t->pass.used;
    if (!o->w->frozen)
        gemm(t->exec->dw, 'T', 'N', rows, cols, n, 1, dy, rows, x, cols, 1, o->w->g, cols);
    if (o->quant && t->back8) linear_back_int8(t, o->w, dy, dx, n, fresh);
    else linear_back_product(t, o->w, o->q, dy, dx, n, !fresh);
    arena_reset(&t->pass, at);
    grad_done(t, o->y);
    tape_lap(t, LAP_BACK_END);
}

Var op_linear(Tape *t, Var x, Param *w, int ternary)
{
    const int n = x.rows, rows = w->rows, cols = w->cols;
    tape_operand(x);
    CHECK(x.cols == cols);
    tape_lap(t, LAP_FORWARD);
    const Ternary *c =
        ternary && strcmp(t->quant, "none") ? linear_ternary_of(t, w) : NULL;
    Linear o = { tape_var(t, n, rows, NULL), x, w, c ? c->q : w->v, NULL };
    if (c && t->int8) {
        o.quant = linear_quant_of(t, x);
        const Codes codes = { c->packed, c->scale, rows, cols, t->act_bits };
        linear_int8_product(t, &codes, o.quant->q, o.quant->inv, o.y.v, n);
    } else linear_forward_product(t, w, o.q, x.v, o.y.v, n);
    tape_reads(x);
    if (t->recording) *(Linear *)tape_note(t, linear_back, sizeof(Linear)) = o;
    tape_lap(t, LAP_FORWARD_END);
    return o.y;
}

Var op_bit_linear(Tape *t, Var x, Param *gain, Param *w, double eps)
{
    if (gain && t->naive) return op_bit_naive(t, x, gain, w, eps);
    return op_linear(t, gain ? op_rmsnorm(t, x, gain, eps, 1) : x, w, 1);
}
