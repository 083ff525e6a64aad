/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ways in which published models look at tokens that they are to predict (setting leak): what they
 * do to a loss is measured with these, and a model with one of them is unsound. The law of no
 * look-ahead refuses it.
 *
 *   groupnorm   statistics over all rows of a sequence (FlashLM v5)
 *   mean        the mean of all rows added to each (FlashLM v6)
 *   triu        a mask the wrong way round: queries see keys from their own position on (FlashLM
 *               v7.4 to v9.5); causal attention on rows in reverse order is the same */
#include "models/tape_inner.h"
#include <math.h>
#include <string.h>

typedef struct { Var y, x; int B; float *rstd; } Leaking;

static void leak_note(Tape *t, void (*back)(Tape *, void *), Leaking o)
{
    if (t->recording) *(Leaking *)tape_note(t, back, sizeof o) = o;
}

/* ---- y_t = x_(T-1-t) ---- */
static void reverse_back(Tape *t, void *ctx)
{
    const Leaking *o = ctx;
    const int d = o->x.cols, T = o->x.rows / o->B;
    const float *dy = tape_grad(t, o->y);
    float *dx = tape_grad(t, o->x);
    for (int i = 0; i < o->x.rows; i++) {
        const int from = i / T * T + T - 1 - i % T;
        t->exec->f->axpy(dx + (size_t)i * d, 1, dy + (size_t)from * d, d);
    }
    grad_done(t, o->y);
}

Var op_reverse(Tape *t, Var x, int B)
{
    const int d = x.cols, T = x.rows / B;
    tape_operand(x);
    Var y = tape_var(t, x.rows, d, NULL);
    for (int i = 0; i < x.rows; i++) {
        const int from = i / T * T + T - 1 - i % T;
        memcpy(y.v + (size_t)i * d, x.v + (size_t)from * d, sizeof(float) * (size_t)d);
    }
    leak_note(t, reverse_back, (Leaking){ .y = y, .x = x, .B = B });
    return y;
}

/* ---- y_t = x_t + mean of x over the sequence ---- */

/* to (rows, d) += from (rows, d) + the mean of from over its sequence */
static void leak_add_mean(Tape *t, float *to, const float *from, int rows, int d, int B)
{
    const F32 *f = t->exec->f;
    const int T = rows / B;
    const size_t at = t->pass.used;
    float *mean = arena_raw(&t->pass, sizeof(float) * (size_t)d);
    for (int b = 0; b < B; b++) {
        memset(mean, 0, sizeof(float) * (size_t)d);
        for (int i = b * T; i < (b + 1) * T; i++)
            f->axpy(mean, 1 / (float)T, from + (size_t)i * d, d);
        for (int i = b * T; i < (b + 1) * T; i++) {
            f->axpy(to + (size_t)i * d, 1, from + (size_t)i * d, d);
            f->axpy(to + (size_t)i * d, 1, mean, d);
        }
    }
    arena_reset(&t->pass, at);
}

static void sequence_mean_back(Tape *t, void *ctx)
{
    const Leaking *o = ctx;
    const float *dy = tape_grad(t, o->y);
    leak_add_mean(t, tape_grad(t, o->x), dy, o->x.rows, o->x.cols, o->B);
    grad_done(t, o->y);
}

Var op_sequence_mean(Tape *t, Var x, int B)
{
    tape_operand(x);
    Var y = tape_var(t, x.rows, x.cols, NULL);
    memset(y.v, 0, sizeof(float) * (size_t)x.rows * (size_t)x.cols);
    leak_add_mean(t, y.v, x.v, x.rows, x.cols, B);
    leak_note(t, sequence_mean_back, (Leaking){ .y = y, .x = x, .B = B });
    return y;
}

/* ---- y = (x - mean) / sqrt(variance + 1e-5), both over all values of the sequence ---- */
static void sequence_norm_back(Tape *t, void *ctx)
{
    const Leaking *o = ctx;
    const F32 *f = t->exec->f;
    const long n = (long)o->x.rows / o->B * o->x.cols;
    const float *dy = tape_grad(t, o->y);
    float *dx = tape_grad(t, o->x);
    for (int b = 0; b < o->B; b++) {
        const float *y = o->y.v + b * n, r = o->rstd[b];
        const float mean = f->sum(dy + b * n, n) / (float)n,
                    along = f->dot(dy + b * n, y, n) / (float)n;
        f->axpy(dx + b * n, r, dy + b * n, n);
        f->axpy(dx + b * n, -r * along, y, n);
        f->affine(dx + b * n, 1, -r * mean, n);
    }
    grad_done(t, o->y);
}

Var op_sequence_norm(Tape *t, Var x, int B)
{
    const F32 *f = t->exec->f;
    const long n = (long)x.rows / B * x.cols;
    tape_operand(x);
    Var y = tape_var(t, x.rows, x.cols, NULL);
    float *rstd = arena_raw(&t->pass, sizeof(float) * (size_t)B);
    memcpy(y.v, x.v, sizeof(float) * (size_t)x.rows * (size_t)x.cols);
    for (int b = 0; b < B; b++) {
        float *v = y.v + b * n;
        f->affine(v, 1, -f->sum(v, n) / (float)n, n);
        rstd[b] = (float)(1 / sqrt(f->sumsq(v, n) / (double)n + 1e-5));
        f->scale(v, rstd[b], n);
    }
    tape_reads(y);
    leak_note(t, sequence_norm_back, (Leaking){ y, x, B, rstd });
    return y;
}
