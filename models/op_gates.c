/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Gates and halves: what the models of arXiv 2406.02528 put between their linear layers. */
#include "models/tape_inner.h"
#include <math.h>
#include <string.h>

/* ---- y = one half of the columns of x;  dx += dy there ---- */
typedef struct { Var y, x; int second; } Half;

static void half_back(Tape *t, void *ctx)
{
    const Half *o = ctx;
    const long n = o->y.cols;
    const float *dy = tape_grad(t, o->y);
    float *dx = tape_grad(t, o->x) + (o->second ? n : 0);
    SHARED(o->y.rows, for (long r = lo; r < hi; r++)
        t->exec->f->axpy(dx + 2 * n * r, 1, dy + n * r, n));
    grad_done(t, o->y);
}

Var op_half(Tape *t, Var x, int second)
{
    const long n = x.cols / 2;
    tape_operand(x);
    CHECK(x.cols % 2 == 0);
    Var y = tape_var(t, x.rows, (int)n, NULL);
    const float *from = x.v + (second ? n : 0);
    SHARED(x.rows, for (long r = lo; r < hi; r++)
        memcpy(y.v + n * r, from + 2 * n * r, sizeof(float) * (size_t)n));
    if (t->recording) *(Half *)tape_note(t, half_back, sizeof(Half)) = (Half){ y, x, second };
    return y;
}

/* ---- y = f(g) u, x = [g u] ---- */
typedef struct { Var y, x; Activation activation; } GluHalves;

static void glu_halves_back(Tape *t, void *ctx)
{
    const GluHalves *o = ctx;
    const GluLoops *f = &t->exec->f->glu[o->activation];
    const long n = o->y.cols;
    int fresh;
    const float *dy = tape_grad(t, o->y);
    float *dx = grad_to(t, o->x, &fresh);
    SHARED(o->y.rows, for (long r = lo; r < hi; r++) {
        const long at = 2 * n * r;
        f->back(dx + at, dx + at + n, dy + n * r, o->x.v + at, o->x.v + at + n, n, !fresh);
    });
    grad_done(t, o->y);
}

Var op_glu_halves(Tape *t, Var x, Activation activation)
{
    const F32 *f = t->exec->f;
    const long n = x.cols / 2;
    tape_operand(x);
    CHECK(x.cols % 2 == 0);
    Var y = tape_var(t, x.rows, (int)n, NULL);
    SHARED(x.rows, for (long r = lo; r < hi; r++)
        f->glu[activation].forward(y.v + n * r, x.v + 2 * n * r, x.v + 2 * n * r + n, n));
    tape_reads(x);
    if (t->recording)
        *(GluHalves *)tape_note(t, glu_halves_back, sizeof(GluHalves)) =
            (GluHalves) { y, x, activation };
    return y;
}

/* ---- lower bounds: p = softmax of w over the layers; y_l = p_1 + .. + p_l ---- */
typedef struct { Var y; Param *w; double *p; } Bounds;

static void bounds_back(Tape *t, void *ctx)
{
    const Bounds *o = ctx;
    const int layers = o->y.rows, d = o->y.cols;
    const float *dy = tape_grad(t, o->y);
    for (int c = 0; c < d && !o->w->frozen; c++) {
        double sum = 0, mean = 0;
        /* dp_l = the sum of dy from layer l on; none for the first */
        for (int l = layers - 1; l > 0; l--) {
            sum += (double)dy[(size_t)l * d + c];
            mean += o->p[(size_t)l * d + c] * sum;
        }
        sum = 0;
        for (int l = layers - 1; l >= 0; l--) {
            sum = l ? sum + (double)dy[(size_t)l * d + c] : 0;
            o->w->g[(size_t)l * d + c] += (float)(o->p[(size_t)l * d + c] * (sum - mean));
        }
    }
    grad_done(t, o->y);
}

Var op_bounds(Tape *t, Param *w)
{
    const int layers = w->rows, d = w->cols;
    Bounds o = { tape_var(t, layers, d, NULL), w,
                 arena_raw(&t->pass, sizeof(double) * (size_t)w->n) };
    for (int c = 0; c < d; c++) {
        double sum = 0, bound = 0;
        for (int l = 0; l < layers; l++)
            sum += o.p[(size_t)l * d + c] = exp((double)w->v[(size_t)l * d + c] - (double)w->v[c]);
        for (int l = 0; l < layers; l++) {
            const double p = o.p[(size_t)l * d + c] /= sum;
            if (l) bound += p;
            o.y.v[(size_t)l * d + c] = (float)bound;
        }
    }
    if (t->recording) *(Bounds *)tape_note(t, bounds_back, sizeof(Bounds)) = o;
    return o.y;
}

/* ---- y = low + (1 - low) sigmoid(x) ---- */
typedef struct { Var y, x, bounds; int layer; } Above;

static void above_back(Tape *t, void *ctx)
{
    const Above *o = ctx;
    const int d = o->x.cols;
    const size_t row = (size_t)o->layer * (size_t)d;
    const float *dy = tape_grad(t, o->y), *low = o->bounds.v + row;
    float *dx = tape_grad(t, o->x), *dlow = tape_grad(t, o->bounds) + row;
    /* threads share the columns and take every row: sums in fixed order */
    SHARED(d, t->exec->f->sigmoid_above_back(dx + lo, dlow + lo, dy + lo, o->x.v + lo, low + lo,
                                             o->x.rows, (int)(hi - lo), d));
    grad_done(t, o->y);
}

Var op_sigmoid_above(Tape *t, Var x, Var bounds, int layer)
{
    const int d = x.cols;
    tape_operand(x);
    tape_operand(bounds);
    CHECK(bounds.cols == d && layer >= 0 && layer < bounds.rows);
    Var y = tape_var(t, x.rows, d, NULL);
    const float *low = bounds.v + (size_t)layer * (size_t)d;
    SHARED(x.rows, t->exec->f->sigmoid_above(y.v + lo * d, x.v + lo * d, low, (int)(hi - lo), d,
                                             d));
    tape_reads(x);
    tape_reads(bounds);
    if (t->recording)
        *(Above *)tape_note(t, above_back, sizeof(Above)) = (Above){ y, x, bounds, layer };
    return y;
}

/* ---- y = silu(x) (1 - f) ---- */
typedef struct { Var y, x, f; } InputGate;

static void input_gate_back(Tape *t, void *ctx)
{
    const InputGate *o = ctx;
    const float *dy = tape_grad(t, o->y);
    float *dx = tape_grad(t, o->x), *df = tape_grad(t, o->f);
    SHARED((long)o->y.rows * o->y.cols,
           t->exec->f->input_gate_back(dx + lo, df + lo, dy + lo, o->x.v + lo, o->f.v + lo,
                                       hi - lo));
    grad_done(t, o->y);
}

Var op_input_gate(Tape *t, Var x, Var f)
{
    tape_operand(x);
    tape_operand(f);
    CHECK(x.rows == f.rows && x.cols == f.cols);
    Var y = tape_var(t, x.rows, x.cols, NULL);
    SHARED((long)x.rows * x.cols, t->exec->f->input_gate(y.v + lo, x.v + lo, f.v + lo, hi - lo));
    tape_reads(x);
    tape_reads(f);
    if (t->recording)
        *(InputGate *)tape_note(t, input_gate_back, sizeof(InputGate)) = (InputGate){ y, x, f };
    return y;
}
