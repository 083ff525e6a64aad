/* SPDX-License-Identifier: GPL-3.0-or-later */
/* BitLinear as a framework executes its published definition (arXiv 2406.02528), for
 * bitlinear=naive: one elementary operation after the other over the whole tensor, each with a
 * result of its own that is kept, and a product of floats. What it computes is what the fused layer
 * does, but for rounding.
 *
 *   y  = x rsqrt(mean(x^2) + eps) gain
 *   Y  = y + (round(y s) clamped / s - y),   s = 127 / max(max|y|, 1e-5) per row
 *   W~ = W + (round(W r) clamped / r - W),   r = 1 / max(mean|W|, 1e-5)
 *   out = Y W~'
 * Straight-through: dy = dout W~, dW = dout' Y. The weight is quantised in every forward pass.
 * Loops are simple, and run at the speed of memory on all threads. */
#include "models/tape_inner.h"
#include <math.h>

typedef struct {
    Var    y, x;
    Param *gain, *w;
    float *rstd, *norm, *rows, *weight;      /* (n); x rstd (n, cols); Y (n, cols); W~ */
} Naive;

static float *naive_room(Tape *t, long n)
{
    return arena_raw(&t->pass, sizeof(float) * (size_t)n);
}

/* A new tensor, element by element: of (rows, cols), i is the element, c its column, r its row */
#define NAIVE_EACH(TO, ROWS, COLS, EXPRESSION)                                  \
    do {                                                                        \
        float *const to_ = (TO);                                                \
        const long cols_ = (COLS);                                              \
        SHARED((ROWS), for (long r = lo; r < hi; r++)                           \
            for (long c = 0, i = r * cols_; c < cols_; c++, i++)                \
                to_[i] = (EXPRESSION));                                         \
    } while (0)

/* To the nearest integer, ties to even, for |x| < 2^22 */
static inline float naive_round(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }
static inline float naive_clamp(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

/* v + (quantised - v), quantised = clamp(round(v scale)) / scale, a scale per row */
static float *naive_quantised(Tape *t, const float *v, const float *scale, long rows, long cols,
                              float low, float high)
{
    const long n = rows * cols;
    float *scaled = naive_room(t, n), *rounded = naive_room(t, n), *clamped = naive_room(t, n),
          *back = naive_room(t, n), *apart = naive_room(t, n), *sum = naive_room(t, n);
    NAIVE_EACH(scaled, rows, cols, v[i] * scale[r]);
    NAIVE_EACH(rounded, rows, cols, naive_round(scaled[i]));
    NAIVE_EACH(clamped, rows, cols, naive_clamp(rounded[i], low, high));
    NAIVE_EACH(back, rows, cols, clamped[i] / scale[r]);
    NAIVE_EACH(apart, rows, cols, back[i] - v[i]);
    NAIVE_EACH(sum, rows, cols, v[i] + apart[i]);
    return sum;
}

static void naive_norm(Tape *t, Naive *o, float *y, double eps)
{
    const long n = o->x.rows, d = o->x.cols;
    const float *x = o->x.v, *gain = o->gain->v;
    float *square = naive_room(t, n * d), *mean = naive_room(t, n);
    const F32 *f = t->exec->f;
    NAIVE_EACH(square, n, d, x[i] * x[i]);
    SHARED(n, for (long r = lo; r < hi; r++) mean[r] = f->sum(square + r * d, d) / (float)d);
    SHARED(n, for (long r = lo; r < hi; r++) o->rstd[r] = 1 / sqrtf(mean[r] + (float)eps));
    NAIVE_EACH(o->norm, n, d, x[i] * o->rstd[r]);
    NAIVE_EACH(y, n, d, o->norm[i] * gain[c]);
}

static float *naive_rows(Tape *t, const float *y, long n, long d)
{
    float *size = naive_room(t, n * d), *most = naive_room(t, n), *scale = naive_room(t, n);
    const F32 *f = t->exec->f;
    NAIVE_EACH(size, n, d, fabsf(y[i]));
    SHARED(n, for (long r = lo; r < hi; r++) most[r] = f->max(size + r * d, d));
    SHARED(n, for (long r = lo; r < hi; r++) scale[r] = 127 / (most[r] > 1e-5f ? most[r] : 1e-5f));
    return naive_quantised(t, y, scale, n, d, -128, 127);
}

static float *naive_weight(Tape *t, const Param *w)
{
    const long rows = w->rows, cols = w->cols;
    const float *v = w->v;
    float *size = naive_room(t, w->n), *scale = naive_room(t, rows);
    NAIVE_EACH(size, rows, cols, fabsf(v[i]));
    const float mean = (float)(t->exec->f->sumabs(size, w->n) / (double)w->n);
    for (long r = 0; r < rows; r++) scale[r] = 1 / (mean > 1e-5f ? mean : 1e-5f);
    return naive_quantised(t, v, scale, rows, cols, -1, 1);
}

/* dx += rstd (u - norm mean(u norm)), u = dy gain;  dgain += sum dy norm */
static void naive_norm_back(Tape *t, const Naive *o, const float *dy, float *dx)
{
    const long n = o->x.rows, d = o->x.cols;
    const float *gain = o->gain->v, *norm = o->norm;
    float *by_gain = naive_room(t, n * d), *u = naive_room(t, n * d),
          *product = naive_room(t, n * d), *along = naive_room(t, n * d),
          *across = naive_room(t, n * d), *mean = naive_room(t, n);
    const F32 *f = t->exec->f;
    NAIVE_EACH(by_gain, n, d, dy[i] * norm[i]);
    if (!o->gain->frozen)
        SHARED(d, for (long r = 0; r < n; r++)
            f->axpy(o->gain->g + lo, 1, by_gain + r * d + lo, hi - lo));
    NAIVE_EACH(u, n, d, dy[i] * gain[c]);
    NAIVE_EACH(product, n, d, u[i] * norm[i]);
    SHARED(n, for (long r = lo; r < hi; r++) mean[r] = f->sum(product + r * d, d) / (float)d);
    NAIVE_EACH(along, n, d, norm[i] * mean[r]);
    NAIVE_EACH(across, n, d, u[i] - along[i]);
    NAIVE_EACH(dx, n, d, dx[i] + across[i] * o->rstd[r]);
}

static void naive_back(Tape *t, void *ctx)
{
    const Naive *o = ctx;
    const int n = o->x.rows, rows = o->w->rows, cols = o->w->cols;
    const float *dout = tape_grad(t, o->y);
    float *dx = tape_grad(t, o->x);
    const size_t at = t->pass.used;
    float *dy = naive_room(t, (long)n * cols);
    tape_lap(t, LAP_BACK);
    if (!o->w->frozen)
        gemm(t->exec->dw, 'T', 'N', rows, cols, n, 1, dout, rows, o->rows, cols, 1, o->w->g, cols);
    gemm(t->exec->dx, 'N', 'N', n, cols, rows, 1, dout, rows, o->weight, cols, 0, dy, cols);
    tape_lap(t, LAP_BACK_END);
    naive_norm_back(t, o, dy, dx);
    arena_reset(&t->pass, at);
    grad_done(t, o->y);
}

Var op_bit_naive(Tape *t, Var x, Param *gain, Param *w, double eps)
{
    const int n = x.rows, d = x.cols;
    tape_operand(x);
    CHECK(gain->n == d && w->cols == d);
    Naive o = { .y = tape_var(t, n, w->rows, NULL), .x = x, .gain = gain, .w = w,
                .rstd = naive_room(t, n), .norm = naive_room(t, (long)n * d) };
    float *y = naive_room(t, (long)n * d);
    naive_norm(t, &o, y, eps);
    o.rows = naive_rows(t, y, n, d);
    o.weight = naive_weight(t, w);
    tape_lap(t, LAP_FORWARD);
    gemm(t->exec->forward, 'N', 'T', n, w->rows, d, 1, o.rows, d, o.weight, d, 0, o.y.v, w->rows);
    tape_lap(t, LAP_FORWARD_END);
    tape_reads(x);
    if (t->recording) *(Naive *)tape_note(t, naive_back, sizeof(Naive)) = o;
    return o.y;
}
