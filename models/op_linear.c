/* SPDX-License-Identifier: GPL-3.0-or-later */
/* y = x W', W float or ternary, activations float or int8.
 *
 * Quantisers of W (rows, cols), one number per tensor:
 *   v3       t = mean|W|; q = sign(W) (|W| > t); no scale                          (FlashLM v3's notebook)
 *   absmean  a = max(mean|W|, 1e-5); q = a clamp(round(W / a), -1, 1)              (arXiv 2406.02528, BitLinear)
 * Straight-through: dX = dY q, dW = dY' X, where X is what was multiplied (the quantised rows for act=int8).
 *
 * bwd=int8: dX = inv a (k W), k = floor(dY / inv + u), u uniform in [0, 1), inv = max|dY| / 127 per row: E k = dY / inv,
 * so E dX is the exact one. The rows are those of a gradient, whose scale is anybody's guess: no floor under max|dY|. */
#include "models/tape_inner.h"
#include <math.h>
#include <string.h>

typedef struct {                 /* Param.cache: the quantised weight of one version */
    long    version;
    float  *q;                   /* (rows, cols) with its scale, for dense products */
    int8_t *codes;               /* (rows, cols) in {-1, 0, 1} */
    float   scale;
    void   *packed;              /* the kernel's; NULL until int8 is asked for */
    void   *packed_t;            /* the same of the transpose, NULL until a gradient is asked for by bwd=int8 */
    long    version_t;
    long    steps, draws;        /* gradients rounded since the parameter's last update, which was number `steps` */
} Ternary;

static void quantise(Tape *t, const Param *w, Ternary *c)
{
    const int v3 = spec_is(t->spec, "quant", "v3");
    const float mean = (float)(t->exec->f->sumabs(w->v, w->n) / (double)w->n);
    const float a = mean > 1e-5f ? mean : 1e-5f, inv = 1.0f / a;
    c->scale = v3 ? 1.0f : a;
    for (long i = 0; i < w->n; i++) {
        const float x = w->v[i];
        float q;
        if (v3) q = (float)((x > mean) - (x < -mean));
        else {
            q = rintf(x * inv);
            q = q < -1 ? -1 : q > 1 ? 1 : q;
        }
        c->codes[i] = (int8_t)q;
        c->q[i] = q * c->scale;
    }
}

static const Ternary *ternary_of(Tape *t, Param *w)
{
    const TernaryKernel *k = t->exec->kernel;
    Ternary *c = w->cache;
    if (!c) {
        w->cache = c = arena_get(t->home, sizeof *c);
        c->q = arena_get(t->home, sizeof(float) * (size_t)w->n);
        c->codes = arena_get(t->home, (size_t)w->n);
        if (t->int8) c->packed = arena_get(t->home, k->packed_size(w->rows, w->cols));
    }
    if (c->version == w->version) return c;
    quantise(t, w, c);
    if (t->int8) k->pack(c->packed, c->codes, w->rows, w->cols);
    c->version = w->version;
    return c;
}

/* y (n, rows) = inv[i] scale (x8 codes'), packed codes of (rows, cols). Many rows of x8: every thread takes its share of
 * them with the whole weight; few: every thread takes its share of the weight's rows. */
typedef struct { const void *packed; float scale; int rows, cols, bits; } Codes;
static void int8_product(Tape *t, const Codes *w, const int8_t *x8, const float *inv, float *y, int n)
{
    const TernaryKernel *k = t->exec->kernel;
    const int threads = t->exec->threads, rows = w->rows, cols = w->cols, bits = w->bits, by_n = n >= 16 * threads;
    const size_t at = t->pass.used, share = by_n ? (size_t)(n + threads - 1) / (size_t)threads + 16 : (size_t)n;
    const size_t each = (k->scratch_size((int)share, cols, bits) + 63) / 64 * 64;
    char *room = arena_raw(&t->pass, each * (size_t)(by_n ? threads : 1));
    int32_t *sum = (int32_t *)y;              /* the sums become floats in place */
    if (!by_n) k->prepare(room, x8, n, cols, bits);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int p = 0; p < threads; p++) {
        long lo = 0, hi = n;
        int r0 = 0, r1 = rows;
        char *mine = room;
        if (by_n) {
            part(n, p, threads, 16, &lo, &hi);
            mine += each * (size_t)p;
            if (lo < hi) k->prepare(mine, x8 + (size_t)lo * cols, (int)(hi - lo), cols, bits);
        } else ternary_rows(rows, p, threads, &r0, &r1);
        if (lo >= hi || r0 >= r1) continue;
        k->gemm(sum + (size_t)lo * rows, w->packed, mine, (int)(hi - lo), r0, r1, rows, cols, bits);
        for (long i = lo; i < hi; i++) {
            const float s = inv[i] * w->scale;
            int32_t *from = sum + (size_t)i * rows;
            for (int r = r0; r < r1; r++) {
                const float v = s * (float)from[r];
                memcpy(&from[r], &v, sizeof v);
            }
        }
    }
    arena_reset(&t->pass, at);
}

static const void *transpose_of(Tape *t, const Param *w)
{
    const TernaryKernel *k = t->exec->kernel;
    Ternary *c = w->cache;
    CHECK(c && c->version == w->version);
    if (!c->packed_t) c->packed_t = arena_get(t->home, k->packed_size(w->cols, w->rows));
    if (c->version_t == w->version) return c->packed_t;
    const size_t at = t->pass.used;
    int8_t *codes = arena_raw(&t->pass, (size_t)w->n);
    for (int r = 0; r < w->rows; r++)
        for (int i = 0; i < w->cols; i++) codes[(size_t)i * w->rows + r] = c->codes[(size_t)r * w->cols + i];
    k->pack(c->packed_t, codes, w->cols, w->rows);
    arena_reset(&t->pass, at);
    c->version_t = w->version;
    return c->packed_t;
}

enum { LANES = 16 };
typedef struct { uint32_t s[LANES]; } Lanes;       /* xorshift32 (Marsaglia 2003), one generator per lane */

static float largest(const float *x, int d)
{
    float lane[LANES] = { 0 }, m = 0;
    int i = 0;
    for (; i + LANES <= d; i += LANES)
#pragma omp simd
        for (int l = 0; l < LANES; l++) {
            const float v = fabsf(x[i + l]);
            lane[l] = v > lane[l] ? v : lane[l];
        }
    for (; i < d; i++) lane[0] = fabsf(x[i]) > lane[0] ? fabsf(x[i]) : lane[0];
    for (int l = 0; l < LANES; l++) m = lane[l] > m ? lane[l] : m;
    return m;
}

/* q[l] = floor(x[l] s + u), u drawn per lane, for |x s| < 127 */
static inline void round_lanes(int8_t *q, const float *x, float s, int n, Lanes *r)
{
#pragma omp simd
    for (int l = 0; l < n; l++) {
        uint32_t b = r->s[l];
        b ^= b << 13;
        b ^= b >> 17;
        b ^= b << 5;
        r->s[l] = b;
        b = 0x43000000 | b >> 16;                  /* the float 128 + u, u in steps of 2^-16 */
        float up;
        memcpy(&up, &b, sizeof up);
        q[l] = (int8_t)((int)(x[l] * s + up) - 128);           /* positive before it is cut: the floor */
    }
}

/* One row of d; inv = max|x| / 127, 0 for a row of zeros. s is a millionth less than 1 / inv, lest 127 + u become 128. */
static void round_row(int8_t *q, float *inv, const float *x, int d, Rng r)
{
    const float top = largest(x, d), s = top > 1e-30f ? 126.9999f / top : 0;
    Lanes lanes;
    for (int l = 0; l < LANES; l++) lanes.s[l] = (uint32_t)(rng_u64(&r) >> 32) | 1;
    *inv = s > 0 ? top / 127.0f : 0;
    int i = 0;
    for (; i + LANES <= d; i += LANES) round_lanes(q + i, x + i, s, LANES, &lanes);
    round_lanes(q + i, x + i, s, d - i, &lanes);
}

static uint64_t rounding_key(const Tape *t, const Param *w)
{
    Ternary *c = w->cache;
    uint64_t name = 0xcbf29ce484222325u;                       /* FNV-1a */
    for (const char *s = w->name; *s; s++) name = (name ^ (unsigned char)*s) * 0x100000001b3u;
    if (c->steps != w->steps) c->steps = w->steps, c->draws = 0;
    Rng of_param = rng_at(t->seed, STREAM_ROUND, name);
    Rng of_draw = rng_at(rng_u64(&of_param), (uint64_t)c->draws++, (uint64_t)w->steps);
    return rng_u64(&of_draw);
}

/* dX (n, cols) = or += the estimate from dY (n, rows) */
static void back_int8(Tape *t, const Param *w, const float *dy, float *dx, int n, int fresh)
{
    const int rows = w->rows, threads = t->exec->threads;
    const Codes codes = { transpose_of(t, w), ((const Ternary *)w->cache)->scale, w->cols, rows, 8 };
    const uint64_t key = rounding_key(t, w);
    const long values = (long)n * w->cols;
    int8_t *q = arena_raw(&t->pass, (size_t)n * (size_t)rows);
    float *inv = arena_raw(&t->pass, sizeof(float) * (size_t)n);
    float *to = fresh ? dx : arena_raw(&t->pass, sizeof(float) * (size_t)values);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < n; i++)
        round_row(q + (size_t)i * rows, inv + i, dy + (size_t)i * rows, rows, rng_at(key, STREAM_ROUND, (uint64_t)i));
    int8_product(t, &codes, q, inv, to, n);
    if (fresh) return;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int p = 0; p < threads; p++) {
        long lo, hi;
        part(values, p, threads, 16, &lo, &hi);
        t->exec->f->add(dx + lo, dx + lo, to + lo, hi - lo);
    }
}

typedef struct { Var y, x; Param *w; const float *q; int8_t *x8; float *inv; } Linear;

static void linear_back(Tape *t, void *ctx)
{
    const Linear *o = ctx;
    const int n = o->x.rows, rows = o->w->rows, cols = o->w->cols;
    int fresh;
    const float *dy = tape_grad(t, o->y), *x = o->x.v;
    float *dx = grad_to(t, o->x, &fresh);
    const size_t at = t->pass.used;
    if (o->x8 && !o->w->frozen) {             /* what was multiplied: the quantised rows */
        float *xq = arena_raw(&t->pass, sizeof(float) * (size_t)n * (size_t)cols);
#pragma omp parallel for num_threads(t->exec->threads) schedule(static)
        for (int i = 0; i < n; i++)
            for (int c = 0; c < cols; c++) xq[(size_t)i * cols + c] = o->inv[i] * (float)o->x8[(size_t)i * cols + c];
        x = xq;
    }
    if (!o->w->frozen) gemm(t->exec->gemm, 'T', 'N', rows, cols, n, 1, dy, rows, x, cols, 1, o->w->g, cols);
    if (o->x8 && t->back8) back_int8(t, o->w, dy, dx, n, fresh);
    else gemm(t->exec->gemm, 'N', 'N', n, cols, rows, 1, dy, rows, o->q, cols, fresh ? 0 : 1, dx, cols);
    arena_reset(&t->pass, at);
    grad_done(t, o->y);
}

Var op_linear(Tape *t, Var x, Param *w, int ternary)
{
    const int n = x.rows, rows = w->rows, cols = w->cols, threads = t->exec->threads;
    CHECK(x.cols == cols);
    const Ternary *c = ternary && !spec_is(t->spec, "quant", "none") ? ternary_of(t, w) : NULL;
    Linear o = { tape_var(t, n, rows, NULL), x, w, c ? c->q : w->v, NULL, NULL };
    if (c && t->int8) {
        o.x8 = arena_raw(&t->pass, (size_t)n * (size_t)cols);
        o.inv = arena_raw(&t->pass, sizeof(float) * (size_t)n);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (int p = 0; p < threads; p++) {
            long lo, hi;
            part(n, p, threads, 1, &lo, &hi);
            t->exec->f->quant_rows(o.x8 + (size_t)lo * cols, o.inv + lo, x.v + (size_t)lo * cols, (int)(hi - lo), cols, t->act_bits);
        }
        const Codes codes = { c->packed, c->scale, rows, cols, t->act_bits };
        int8_product(t, &codes, o.x8, o.inv, o.y.v, n);
    } else
        gemm(t->exec->gemm, 'N', 'T', n, rows, cols, 1, x.v, cols, o.q, cols, 0, o.y.v, rows);
    if (t->recording) *(Linear *)tape_note(t, linear_back, sizeof(Linear)) = o;
    return o.y;
}
