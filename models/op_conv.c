/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The gated convolution on normalised inputs, y = x + sigmoid(conv(n; wg)) conv(n; wv), n =
 * rmsnorm(x) gain.
 *
 * n is not kept: the backward pass computes it again from x and the scale of its row, as it has to
 * copy x anyway. A thread takes one group after another of its part of the sequences, so that rows
 * stay with a thread from one operation to the next. Gradients of weights are summed per half of
 * the sequences and then over the halves: the same for any number of threads. */
#include "models/tape_inner.h"
#include <math.h>
#include <string.h>

enum { HALVES = 2 };

/* Param.cache: every group's weights transposed, so that the outputs are whole vectors */
typedef struct {
    long   version;
    float *ahead;            /* (groups, k, c, w) [j][i][o] */
    float *back;             /* (groups, k, c, w) [j][o][i] */
} Turned;

typedef struct {
    Var         y, x;
    Param      *gain, *wg, *wv;
    float      *rstd, *gate, *value;      /* (rows); (B, groups, T, c) */
    int         B, groups;
    ConvShape   s;                        /* of one group of one sequence */
    const char *name;
} Conv;

static size_t conv_filter_size(const ConvShape *s)
{
    return (size_t)s->k * (size_t)s->c * (size_t)s->w;
}

static const Turned *conv_turned(Tape *t, Param *w, const Conv *o)
{
    const int c = o->s.c, k = o->s.k, width = o->s.w;
    const size_t filter = conv_filter_size(&o->s);
    Turned *to = w->cache;
    if (!to) {
        w->cache = to = arena_get(t->home, sizeof *to);
        to->ahead = arena_get(t->home, sizeof(float) * filter * (size_t)o->groups);
        to->back = arena_get(t->home, sizeof(float) * filter * (size_t)o->groups);
    }
    if (to->version == w->version) return to;
#pragma omp parallel for num_threads(t->exec->threads) schedule(static)
    for (int row = 0; row < o->groups * c; row++) {
        const int g = row / c, out = row % c;
        const float *from = w->v + (size_t)row * c * k;
        for (int j = 0; j < k; j++)
            for (int i = 0; i < c; i++) {
                const size_t tap = (size_t)g * filter + (size_t)j * c * width;
                to->ahead[tap + (size_t)i * width + out] = from[(size_t)i * k + j];
                to->back[tap + (size_t)out * width + i] = from[(size_t)i * k + j];
            }
    }
    to->version = w->version;
    return to;
}

static int conv_halves(const Conv *o) { return o->B < HALVES ? o->B : HALVES; }

/* Offsets of group g of sequence n: in rows of d; in arrays by group */
static size_t conv_in_rows(const Conv *o, long n, int g)
{
    return (size_t)n * (size_t)o->s.T * o->s.d + (size_t)g * o->s.c;
}
static size_t conv_in_groups(const Conv *o, long n, int g)
{
    return ((size_t)n * o->groups + (size_t)g) * o->s.T * o->s.c;
}

/* item: one group of one half of the sequences */
static void conv_item_forward(Tape *t, const Conv *o, long item, float *room)
{
    const int g = (int)(item % o->groups);
    const size_t w = conv_filter_size(&o->s) * (size_t)g;
    const Turned *wg = o->wg->cache, *wv = o->wv->cache;
    long lo, hi;
    part(o->B, (int)(item / o->groups), conv_halves(o), 1, &lo, &hi);
    for (long n = lo; n < hi; n++) {
        const size_t x = conv_in_rows(o, n, g), kept = conv_in_groups(o, n, g);
        t->exec->f->conv(o->y.v + x, o->gate + kept, o->value + kept, o->x.v + x,
                         o->rstd + n * o->s.T, o->gain->v + (size_t)g * o->s.c, wg->ahead + w,
                         wv->ahead + w, room, &o->s);
    }
}

static void conv_forward(Tape *t, const Conv *o, double eps)
{
    const int threads = t->exec->threads, d = o->s.d;
    const size_t at = t->pass.used, each = conv_room(&o->s);
    float *room = arena_raw(&t->pass, sizeof(float) * each * (size_t)threads);
    conv_turned(t, o->wg, o);
    conv_turned(t, o->wv, o);
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static, 1)
        for (int p = 0; p < threads; p++) {
            long lo, hi;
            part(o->x.rows, p, threads, 1, &lo, &hi);
            for (long i = lo; i < hi; i++) {
                const float *x = o->x.v + (size_t)i * d;
                o->rstd[i] = 1.0f / sqrtf(t->exec->f->dot(x, x, d) / (float)d + (float)eps);
            }
        }
#pragma omp for schedule(static, 1)
        for (int p = 0; p < threads; p++) {
            long lo, hi;
            part((long)o->groups * conv_halves(o), p, threads, 1, &lo, &hi);
            for (long item = lo; item < hi; item++)
                conv_item_forward(t, o, item, room + each * (size_t)p);
        }
    }
    arena_reset(&t->pass, at);
}

/* Gradients of the backward pass: dn (rows, d); dw (halves, groups, 2 filters, k, c, w) */
typedef struct { float *dn, *dw; } Back;

static void conv_item_back(Tape *t, const Conv *o, const Back *b, long item, float *room)
{
    const int g = (int)(item % o->groups);
    const size_t filter = conv_filter_size(&o->s), w = filter * (size_t)g;
    const Turned *wg = o->wg->cache, *wv = o->wv->cache;
    float *dw = b->dw + 2 * filter * (size_t)item;
    long lo, hi;
    part(o->B, (int)(item / o->groups), conv_halves(o), 1, &lo, &hi);
    memset(dw, 0, sizeof(float) * 2 * filter);
    for (long n = lo; n < hi; n++) {
        const size_t x = conv_in_rows(o, n, g), kept = conv_in_groups(o, n, g);
        t->exec->f->conv_back(b->dn + x, dw, dw + filter, o->y.g->p + x, o->gate + kept,
                              o->value + kept, o->x.v + x, o->rstd + n * o->s.T,
                              o->gain->v + (size_t)g * o->s.c, wg->back + w, wv->back + w, room,
                              &o->s);
    }
}

/* A group's weights: dw[o][i][j] += the sum of the halves, transposed back */
static void conv_add_weights(Tape *t, const Conv *o, const Back *b, int g)
{
    const int c = o->s.c, k = o->s.k, w = o->s.w;
    const size_t filter = conv_filter_size(&o->s), half = 2 * filter * (size_t)o->groups;
    float *sum = b->dw + 2 * filter * (size_t)g;
    for (int h = 1; h < conv_halves(o); h++)
        t->exec->f->axpy(sum, 1, sum + half * (size_t)h, 2 * (long)filter);
    for (int v = 0; v < 2; v++, sum += filter) {
        float *to = (v ? o->wv : o->wg)->g + (size_t)g * c * c * k;
        for (int out = 0; out < c; out++, to += (size_t)c * k)
            for (int i = 0; i < c; i++)
                for (int j = 0; j < k; j++)
                    to[(size_t)i * k + j] += sum[((size_t)j * c + i) * w + out];
    }
}

/* Arrays by group in the order of rows of d, for tape_watch */
static float *conv_by_rows(Tape *t, const Conv *o, const float *v)
{
    float *to = arena_raw(&t->pass, sizeof(float) * (size_t)o->x.rows * (size_t)o->s.d);
    for (int n = 0; n < o->B; n++)
        for (int g = 0; g < o->groups; g++)
            for (int i = 0; i < o->s.T; i++)
                memcpy(to + conv_in_rows(o, n, g) + (size_t)i * o->s.d,
                       v + conv_in_groups(o, n, g) + (size_t)i * o->s.c,
                       sizeof(float) * (size_t)o->s.c);
    return to;
}

static void conv_show(Tape *t, const Conv *o, int gradient)
{
    const size_t at = t->pass.used;
    const long n = (long)o->x.rows * o->s.d;
    if (!t->see || !o->name) return;
    float *gate = conv_by_rows(t, o, o->gate), *value = conv_by_rows(t, o, o->value);
    if (!gradient) for (long i = 0; i < n; i++) gate[i] = logf(gate[i] / (1.0f - gate[i]));
    else {
        float *dgate = arena_raw(&t->pass, sizeof(float) * (size_t)n),
              *dvalue = arena_raw(&t->pass, sizeof(float) * (size_t)n);
        t->exec->f->gate_back(dgate, dvalue, o->y.g->p, gate, value, n);
        gate = dgate;
        value = dvalue;
    }
    t->see(t->see_ctx, arena_text(&t->pass, "%s_gate_pre", o->name), gradient, gate, n);
    t->see(t->see_ctx, arena_text(&t->pass, "%s_value", o->name), gradient, value, n);
    arena_reset(&t->pass, at);
}

static void conv_back(Tape *t, void *ctx)
{
    const Conv *o = ctx;
    const int threads = t->exec->threads;
    const size_t each = conv_room(&o->s), items = (size_t)o->groups * (size_t)conv_halves(o);
    Grad of_n = { .bytes = o->x.g->bytes };
    const Var n = { NULL, &of_n, o->x.rows, o->x.cols, NULL };
    int fresh;
    tape_lap(t, LAP_MIX_BACK);
    /* tape_grad: dLoss/dy, which becomes dLoss/dx in the same memory */
    float *dx = tape_grad(t, o->y), *dn = grad_to(t, n, &fresh);
    const size_t at = t->pass.used;
    conv_show(t, o, 1);
    float *room = arena_raw(&t->pass, sizeof(float) * each * (size_t)threads);
    const Back b = { dn, arena_raw(&t->pass, sizeof(float) * 2 * conv_filter_size(&o->s) * items) };
    const NormBack norm = { o->x, o->gain, o->rstd, dn, dx, norm_sums(t, o->x) };
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static, 1)
        for (int p = 0; p < threads; p++) {
            long lo, hi;
            part((long)items, p, threads, 1, &lo, &hi);
            for (long item = lo; item < hi; item++)
                conv_item_back(t, o, &b, item, room + each * (size_t)p);
        }
#pragma omp for schedule(static, 1)
        for (int p = 0; p < threads; p++) {
            long lo, hi;
            part(o->groups, p, threads, 1, &lo, &hi);
            for (int g = (int)lo; g < (int)hi; g++) conv_add_weights(t, o, &b, g);
            norm_back_part(t, &norm, p);
        }
    }
    norm_back_gain(t, &norm);
    arena_reset(&t->pass, at);
    grad_done(t, n);
    tape_lap(t, LAP_MIX_BACK_END);
}

long op_gated_conv_rows(const GatedConv *c) { return (long)(c->k - 1) * c->dil; }

/* One sequence's past rows and then x, for a convolution of which the last rows are used. For one
 * row of x: only the rows that its taps reach, side by side, as a sequence of k rows with
 * dilation 1. */
static void conv_window(float *to, const float *past, const float *x, int T, const ConvShape *s)
{
    const size_t row = sizeof(float) * (size_t)s->d;
    const int rows = (s->k - 1) * s->dil;
    for (int j = 0; T == 1 && j < s->k - 1; j++)
        memcpy(to + (size_t)j * s->d, past + (size_t)j * s->dil * s->d, row);
    if (T > 1) memcpy(to, past, row * (size_t)rows);
    memcpy(to + (size_t)(T == 1 ? s->k - 1 : rows) * s->d, x, row * (size_t)T);
}

/* The last `rows` of past and x become the new past */
static void conv_move_on(float *past, const float *x, int T, int rows, int d)
{
    const size_t row = sizeof(float) * (size_t)d;
    const int stay = rows > T ? rows - T : 0;
    memmove(past, past + (size_t)(rows - stay) * d, row * (size_t)stay);
    memcpy(past + (size_t)stay * d, x + (size_t)(T - (rows - stay)) * d,
           row * (size_t)(rows - stay));
}

/* Sequences that continue from their carries: convolved together with their past */
static void conv_continue(Tape *t, const Conv *o, double eps, Carry *const *carry, size_t offset)
{
    const int d = o->s.d, T = o->s.T, rows = (o->s.k - 1) * o->s.dil;
    const int all = T == 1 ? o->s.k : rows + T;                /* rows that conv_window writes */
    const size_t window = (size_t)all * (size_t)d, n = (size_t)o->B * (size_t)all;
    const size_t at = t->pass.used;
    float *x = arena_raw(&t->pass, sizeof(float) * n * (size_t)d);
    float *y = arena_raw(&t->pass, sizeof(float) * n * (size_t)d);
    Conv w = *o;
    w.rstd = arena_raw(&t->pass, sizeof(float) * n);
    w.gate = arena_raw(&t->pass, sizeof(float) * n * (size_t)d);
    w.value = arena_raw(&t->pass, sizeof(float) * n * (size_t)d);
    w.x = (Var){ x, NULL, (int)n, d, NULL };
    w.y = (Var){ y, NULL, (int)n, d, NULL };
    w.s.T = all;
    if (T == 1) w.s.dil = 1;
    for (int b = 0; b < o->B; b++) {
        float *past = carry[b]->state + offset;
        const float *from = o->x.v + (size_t)b * T * d;
        conv_window(x + window * (size_t)b, past, from, T, &o->s);
        conv_move_on(past, from, T, rows, d);
    }
    conv_forward(t, &w, eps);
    for (int b = 0; b < o->B; b++)
        memcpy(o->y.v + (size_t)b * T * d, y + window * (size_t)b + (size_t)(all - T) * d,
               sizeof(float) * (size_t)T * d);
    arena_reset(&t->pass, at);
}

Var op_gated_conv(Tape *t, Var x, const GatedConv *c, int B, Carry *const *carry, size_t offset,
                  const char *name)
{
    const int d = x.cols, groups = c->groups;
    const size_t bytes = sizeof(float) * (size_t)x.rows * (size_t)d;
    const long weights = (long)d * (d / groups) * c->k;
    tape_operand(x);
    CHECK(x.rows % B == 0 && d % groups == 0 && c->wg->n == weights && c->wv->n == weights &&
          c->gain->n == d);
    CHECK(!carry || !t->recording);
    Conv o = { .y = tape_var(t, x.rows, d, x.g),
               .x = x,
               .gain = c->gain,
               .wg = c->wg,
               .wv = c->wv,
               .B = B,
               .groups = groups,
               .s = conv_shape(x.rows / B, d, groups, c->k, c->dil),
               .name = name };
    tape_take_over(o.y, x);
    if (carry) {
        conv_continue(t, &o, c->eps, carry, offset);
        return o.y;
    }
    tape_lap(t, LAP_MIX);
    o.rstd = arena_raw(&t->pass, sizeof(float) * (size_t)x.rows);
    o.gate = arena_raw(&t->pass, bytes);
    o.value = arena_raw(&t->pass, bytes);
    conv_forward(t, &o, c->eps);
    conv_show(t, &o, 0);
    tape_reads(x);
    if (t->recording) {
        if (name) o.name = arena_text(&t->pass, "%s", name);
        *(Conv *)tape_note(t, conv_back, sizeof(Conv)) = o;
    }
    tape_lap(t, LAP_MIX_END);
    return o.y;
}
