/* SPDX-License-Identifier: GPL-3.0-or-later */
/* y = x W', W float or ternary, activations float or int8.
 *
 * Quantisers of W (rows, cols), one number per tensor:
 *   v3       t = mean|W|; q = sign(W) (|W| > t); no scale                          (FlashLM v3's notebook)
 *   absmean  a = max(mean|W|, 1e-5); q = a clamp(round(W / a), -1, 1)              (arXiv 2406.02528, BitLinear)
 * Straight-through: dX = dY q, dW = dY' X, where X is what was multiplied (the quantised rows for act=int8). */
#include "models/tape_inner.h"
#include <math.h>
#include <string.h>

typedef struct {                 /* Param.cache: the quantised weight of one version */
    long    version;
    float  *q;                   /* (rows, cols) with its scale, for dense products */
    int8_t *codes;               /* (rows, cols) in {-1, 0, 1} */
    float   scale;
    void   *packed;              /* the kernel's; NULL until int8 is asked for */
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

typedef struct { Var y, x; Param *w; const float *q; int8_t *x8; float *inv; } Linear;

static void linear_back(Tape *t, void *ctx)
{
    const Linear *o = ctx;
    const int n = o->x.rows, rows = o->w->rows, cols = o->w->cols;
    int fresh;
    const float *dy = tape_grad(t, o->y), *x = o->x.v;
    float *dx = grad_to(t, o->x, &fresh);
    const size_t at = t->pass.used;
    if (o->x8) {                              /* what was multiplied: the quantised rows */
        float *xq = arena_raw(&t->pass, sizeof(float) * (size_t)n * (size_t)cols);
#pragma omp parallel for num_threads(t->exec->threads) schedule(static)
        for (int i = 0; i < n; i++)
            for (int c = 0; c < cols; c++) xq[(size_t)i * cols + c] = o->inv[i] * (float)o->x8[(size_t)i * cols + c];
        x = xq;
    }
    if (!o->w->frozen) gemm(t->exec->gemm, 'T', 'N', rows, cols, n, 1, dy, rows, x, cols, 1, o->w->g, cols);
    gemm(t->exec->gemm, 'N', 'N', n, cols, rows, 1, dy, rows, o->q, cols, fresh ? 0 : 1, dx, cols);
    arena_reset(&t->pass, at);
    grad_done(t, o->y);
}

/* y (n, rows) = inv[i] scale (x8 codes'). Many rows: every thread takes its share of them with the whole weight;
 * few: every thread takes its share of the weight's rows. */
static void int8_forward(Tape *t, const Ternary *c, const Param *w, const int8_t *x8, const float *inv, float *y, int n)
{
    const TernaryKernel *k = t->exec->kernel;
    const int threads = t->exec->threads, rows = w->rows, cols = w->cols, by_n = n >= 16 * threads;
    const size_t at = t->pass.used, share = by_n ? (size_t)(n + threads - 1) / (size_t)threads + 16 : (size_t)n;
    const size_t each = (k->scratch_size((int)share, cols, t->act_bits) + 63) / 64 * 64;
    char *room = arena_raw(&t->pass, each * (size_t)(by_n ? threads : 1));
    int32_t *sum = (int32_t *)y;              /* the sums become floats in place */
    if (!by_n) k->prepare(room, x8, n, cols, t->act_bits);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int p = 0; p < threads; p++) {
        long lo = 0, hi = n;
        int r0 = 0, r1 = rows;
        char *mine = room;
        if (by_n) {
            part(n, p, threads, 16, &lo, &hi);
            mine += each * (size_t)p;
            if (lo < hi) k->prepare(mine, x8 + (size_t)lo * cols, (int)(hi - lo), cols, t->act_bits);
        } else ternary_rows(rows, p, threads, &r0, &r1);
        if (lo >= hi || r0 >= r1) continue;
        k->gemm(sum + (size_t)lo * rows, c->packed, mine, (int)(hi - lo), r0, r1, rows, cols, t->act_bits);
        for (long i = lo; i < hi; i++) {
            const float s = inv[i] * c->scale;
            int32_t *from = sum + (size_t)i * rows;
            for (int r = r0; r < r1; r++) {
                const float v = s * (float)from[r];
                memcpy(&from[r], &v, sizeof v);
            }
        }
    }
    arena_reset(&t->pass, at);
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
        int8_forward(t, c, w, o.x8, o.inv, o.y.v, n);
    } else
        gemm(t->exec->gemm, 'N', 'T', n, rows, cols, 1, x.v, cols, o.q, cols, 0, o.y.v, rows);
    if (t->recording) *(Linear *)tape_note(t, linear_back, sizeof(Linear)) = o;
    return o.y;
}
