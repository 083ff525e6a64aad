/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The operations that are not matrix products: look-up, norm, sums, products, non-linearities. */
#include "models/tape_inner.h"
#include <string.h>

/* free 1: nobody else reads a and b in the backward pass */
typedef struct { Var y, a, b; int free; Activation activation; } Operands;

static long size(Var x) { return (long)x.rows * x.cols; }

/* ---- y[i] = table[tok[i]];  dtable[tok[i]] += dy[i] ---- */
typedef struct { Var y; Param *table; const int *tok; } Embed;

static void embed_back(Tape *t, void *ctx)
{
    const Embed *e = ctx;
    if (e->table->frozen) {
        grad_done(t, e->y);
        return;
    }
    const int d = e->y.cols;
    const F32 *f = t->exec->f;
    const float *dy = tape_grad(t, e->y);
    for (int i = 0; i < e->y.rows; i++) param_touch(e->table, e->tok[i]);
    /* threads share the columns and take every row: no race, sums in fixed order */
    SHARED(d,
        for (int i = 0; i < e->y.rows; i++)
            f->axpy(e->table->g + (size_t)e->tok[i] * d + lo, 1, dy + (size_t)i * d + lo, hi - lo));
    grad_done(t, e->y);
}

Var op_embed(Tape *t, Param *table, const int *tok, int n)
{
    const int d = table->cols;
    Var y = tape_var(t, n, d, NULL);
    for (int i = 0; i < n; i++) CHECK(tok[i] >= 0 && tok[i] < table->rows);
    SHARED(n, for (long i = lo; i < hi; i++)
        memcpy(y.v + i * d, table->v + (long)tok[i] * d, sizeof(float) * (size_t)d));
    if (t->recording) *(Embed *)tape_note(t, embed_back, sizeof(Embed)) = (Embed){ y, table, tok };
    return y;
}

/* ---- RMSNorm ---- */
typedef struct { Var y, x; Param *gain; float *rstd; } Norm;

enum { NORM_BLOCK = 32 };

static int norm_blocks(Var x) { return (x.rows + NORM_BLOCK - 1) / NORM_BLOCK; }

float *norm_sums(Tape *t, Var x)
{
    return arena_get(&t->pass, sizeof(float) * (size_t)norm_blocks(x) * (size_t)x.cols);
}

void norm_back_part(const Tape *t, const NormBack *b, int p)
{
    const size_t d = (size_t)b->x.cols;
    long lo, hi;
    part(b->x.rows, p, t->exec->threads, NORM_BLOCK, &lo, &hi);
    for (long i = lo; i < hi; i += NORM_BLOCK)
        t->exec->f->rmsnorm_back(b->dx + i * d, b->dgain + i / NORM_BLOCK * d, b->dy + i * d,
                                 b->x.v + i * d, b->gain->v, b->rstd + i,
                                 (int)(hi - i < NORM_BLOCK ? hi - i : NORM_BLOCK), (int)d);
}

void norm_back_gain(const Tape *t, const NormBack *b)
{
    const int d = b->x.cols;
    for (int i = 0; i < norm_blocks(b->x); i++)
        t->exec->f->axpy(b->gain->g, 1, b->dgain + (size_t)i * d, d);
}

static void norm_back(Tape *t, void *ctx)
{
    const Norm *o = ctx;
    const int threads = t->exec->threads;
    NormBack b = { o->x, o->gain, o->rstd, tape_grad(t, o->y), tape_grad(t, o->x), NULL };
    const size_t at = t->pass.used;
    b.dgain = norm_sums(t, o->x);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int p = 0; p < threads; p++) norm_back_part(t, &b, p);
    norm_back_gain(t, &b);
    arena_reset(&t->pass, at);
    grad_done(t, o->y);
}

Var op_rmsnorm(Tape *t, Var x, Param *gain, double eps, int to_linear)
{
    const int d = x.cols, threads = t->exec->threads;
    tape_operand(x);
    CHECK(gain->n == d);
    Var y = tape_var(t, x.rows, d, NULL);
    float *rstd = arena_raw(&t->pass, sizeof(float) * (size_t)x.rows);
    const Quant *quant = to_linear && t->int8 ? quant_room(t, y) : NULL;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int p = 0; p < threads; p++) {
        long lo, hi;
        part(x.rows, p, threads, 1, &lo, &hi);
        const size_t at = (size_t)lo * (size_t)d;
        const int n = (int)(hi - lo);
        if (quant)
            t->exec->f->rmsnorm_quant(y.v + at, rstd + lo, quant->q + at, quant->inv + lo, x.v + at,
                                      gain->v, n, d, (float)eps, t->act_bits);
        else t->exec->f->rmsnorm(y.v + at, rstd + lo, x.v + at, gain->v, n, d, (float)eps);
    }
    tape_reads(x);
    if (t->recording) *(Norm *)tape_note(t, norm_back, sizeof(Norm)) = (Norm){ y, x, gain, rstd };
    return y;
}

/* ---- y = a + b; y.g is a.g ---- */
static void add_back(Tape *t, void *ctx)
{
    const Operands *o = ctx;
    int fresh;
    const float *dy = tape_grad(t, o->y);
    float *db = grad_to(t, o->b, &fresh);
    SHARED(size(o->y),
        if (fresh) memcpy(db + lo, dy + lo, sizeof(float) * (size_t)(hi - lo));
        else t->exec->f->axpy(db + lo, 1, dy + lo, hi - lo));
}

Var op_add(Tape *t, Var a, Var b)
{
    tape_operand(a);
    tape_operand(b);
    CHECK(a.rows == b.rows && a.cols == b.cols);
    Var y = t->recording && value_free(b) && a.v != b.v ? tape_over(t, b, a.g)
                                                        : tape_var(t, a.rows, a.cols, a.g);
    tape_take_over(y, a);
    SHARED(size(a), t->exec->f->add(y.v + lo, a.v + lo, b.v + lo, hi - lo));
    if (t->recording)
        *(Operands *)tape_note(t, add_back, sizeof(Operands)) =
            (Operands) { .y = y, .a = a, .b = b };
    return y;
}

/* ---- y = a b ---- */
static void mul_back(Tape *t, void *ctx)
{
    const Operands *o = ctx;
    const float *dy = tape_grad(t, o->y);
    float *da = tape_grad(t, o->a), *db = tape_grad(t, o->b);
    SHARED(size(o->y),
           t->exec->f->mul_back(da + lo, db + lo, dy + lo, o->a.v + lo, o->b.v + lo, hi - lo));
    grad_done(t, o->y);
}

Var op_mul(Tape *t, Var a, Var b)
{
    tape_operand(a);
    tape_operand(b);
    CHECK(a.rows == b.rows && a.cols == b.cols);
    Var y = tape_var(t, a.rows, a.cols, NULL);
    SHARED(size(a), t->exec->f->mul(y.v + lo, a.v + lo, b.v + lo, hi - lo));
    tape_reads(a);
    tape_reads(b);
    if (t->recording)
        *(Operands *)tape_note(t, mul_back, sizeof(Operands)) =
            (Operands) { .y = y, .a = a, .b = b };
    return y;
}

/* ---- sigmoid, SiLU ---- */
static void sigmoid_back(Tape *t, void *ctx)
{
    const Operands *o = ctx;
    const float *dy = tape_grad(t, o->y);
    float *da = tape_grad(t, o->a);
    SHARED(size(o->y), t->exec->f->sigmoid_back(da + lo, dy + lo, o->y.v + lo, hi - lo));
    grad_done(t, o->y);
}

Var op_sigmoid(Tape *t, Var x)
{
    tape_operand(x);
    Var y = tape_var(t, x.rows, x.cols, NULL);
    SHARED(size(x), t->exec->f->sigmoid(y.v + lo, x.v + lo, hi - lo));
    tape_reads(y);
    if (t->recording)
        *(Operands *)tape_note(t, sigmoid_back, sizeof(Operands)) = (Operands) { .y = y, .a = x };
    return y;
}

static void silu_back(Tape *t, void *ctx)
{
    const Operands *o = ctx;
    const float *dy = tape_grad(t, o->y);
    float *da = tape_grad(t, o->a);
    SHARED(size(o->y), t->exec->f->silu_back(da + lo, dy + lo, o->a.v + lo, hi - lo));
    grad_done(t, o->y);
}

Var op_silu(Tape *t, Var x)
{
    tape_operand(x);
    Var y = tape_var(t, x.rows, x.cols, NULL);
    SHARED(size(x), t->exec->f->silu(y.v + lo, x.v + lo, hi - lo));
    tape_reads(x);
    if (t->recording)
        *(Operands *)tape_note(t, silu_back, sizeof(Operands)) = (Operands) { .y = y, .a = x };
    return y;
}

/* ---- f(g) u ---- */
const char *const activation_names[] = {
#define A(name, f) #name,
#include "kernels/activations.def"
#undef A
    NULL
};

Activation activation_find(const char *name)
{
    int i = 0;
    while (i < ACTIVATIONS && strcmp(activation_names[i], name)) i++;
    return (Activation)i;
}

static void glu_back(Tape *t, void *ctx)
{
    const Operands *o = ctx;
    const int over = o->free && !o->a.g->p && !o->b.g->p;
    const float *dy = tape_grad(t, o->y);
    float *da = over ? grad_over(o->a) : tape_grad(t, o->a),
          *db = over ? grad_over(o->b) : tape_grad(t, o->b);
    const GluLoops *f = &t->exec->f->glu[o->activation];
    SHARED(size(o->y),
           f->back(da + lo, db + lo, dy + lo, o->a.v + lo, o->b.v + lo, hi - lo, !over));
    grad_done(t, o->y);
}

Var op_glu(Tape *t, Var g, Var u, Activation activation, int to_linear)
{
    const F32 *f = t->exec->f;
    const GluLoops *glu = &f->glu[activation];
    const long d = g.cols;
    tape_operand(g);
    tape_operand(u);
    CHECK(g.rows == u.rows && g.cols == u.cols);
    Var y = tape_var(t, g.rows, g.cols, NULL);
    const Quant *quant = to_linear && t->int8 ? quant_room(t, y) : NULL;
    SHARED(g.rows,
        if (!quant) glu->forward(y.v + lo * d, g.v + lo * d, u.v + lo * d, (hi - lo) * d);
        for (long i = lo * d, r = lo; quant && r < hi; r++, i += d) {
            glu->forward(y.v + i, g.v + i, u.v + i, d);
            f->quant_rows(quant->q + i, quant->inv + r, y.v + i, 1, (int)d, t->act_bits);
        });
    const int is_free = value_free(g) && value_free(u) && g.v != u.v;
    tape_reads(g);
    tape_reads(u);
    if (t->recording)
        *(Operands *)tape_note(t, glu_back, sizeof(Operands)) =
            (Operands) { y, g, u, is_free, activation };
    return y;
}
