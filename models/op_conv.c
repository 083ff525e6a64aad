/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The gated convolution on normalised inputs, y = x + sigmoid(conv(n; wg)) conv(n; wv), n = rmsnorm(x) gain.
 *
 * n is not kept: the way back makes it again from x and the scale of its row, a copy that has to be made anyhow.
 * A thread takes one group after another of its part of the sequences, so that rows stay with a thread from one
 * operation to the next. Gradients of weights are summed per half of the sequences and then over the halves: the
 * same for any number of threads. */
#include "models/tape_inner.h"
#include <math.h>
#include <string.h>

enum { HALVES = 2 };

/* Param.cache: every group's weights turned, so that the outputs are whole vectors */
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

static size_t filter_size(const ConvShape *s) { return (size_t)s->k * (size_t)s->c * (size_t)s->w; }

static const Turned *turned(Tape *t, Param *w, const Conv *o)
{
    const int c = o->s.c, k = o->s.k, width = o->s.w;
    const size_t filter = filter_size(&o->s);
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

static int halves(const Conv *o) { return o->B < HALVES ? o->B : HALVES; }

/* Group g of sequence n: its first value in rows of d; in arrays by group */
static size_t in_rows(const Conv *o, long n, int g) { return (size_t)n * (size_t)o->s.T * o->s.d + (size_t)g * o->s.c; }
static size_t in_groups(const Conv *o, long n, int g) { return ((size_t)n * o->groups + (size_t)g) * o->s.T * o->s.c; }

/* item: a group of a half of the sequences */
static void item_forward(Tape *t, const Conv *o, long item, float *room)
{
    const int g = (int)(item % o->groups);
    const size_t w = filter_size(&o->s) * (size_t)g;
    const Turned *wg = o->wg->cache, *wv = o->wv->cache;
    long lo, hi;
    part(o->B, (int)(item / o->groups), halves(o), 1, &lo, &hi);
    for (long n = lo; n < hi; n++) {
        const size_t x = in_rows(o, n, g), kept = in_groups(o, n, g);
        t->exec->f->conv(o->y.v + x, o->gate + kept, o->value + kept, o->x.v + x, o->rstd + n * o->s.T,
                         o->gain->v + (size_t)g * o->s.c, wg->ahead + w, wv->ahead + w, room, &o->s);
    }
}

static void forward(Tape *t, const Conv *o, double eps)
{
    const int threads = t->exec->threads, d = o->s.d;
    const size_t at = t->pass.used, each = conv_room(&o->s);
    float *room = arena_raw(&t->pass, sizeof(float) * each * (size_t)threads);
    turned(t, o->wg, o);
    turned(t, o->wv, o);
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
            part((long)o->groups * halves(o), p, threads, 1, &lo, &hi);
            for (long item = lo; item < hi; item++) item_forward(t, o, item, room + each * (size_t)p);
        }
    }
    arena_reset(&t->pass, at);
}

/* Of the way back: dn (rows, d); dw (halves, groups, 2 filters, k, c, w) */
typedef struct { float *dn, *dw; } Back;

static void item_back(Tape *t, const Conv *o, const Back *b, long item, float *room)
{
    const int g = (int)(item % o->groups);
    const size_t filter = filter_size(&o->s), w = filter * (size_t)g;
    const Turned *wg = o->wg->cache, *wv = o->wv->cache;
    float *dw = b->dw + 2 * filter * (size_t)item;
    long lo, hi;
    part(o->B, (int)(item / o->groups), halves(o), 1, &lo, &hi);
    memset(dw, 0, sizeof(float) * 2 * filter);
    for (long n = lo; n < hi; n++) {
        const size_t x = in_rows(o, n, g), kept = in_groups(o, n, g);
        t->exec->f->conv_back(b->dn + x, dw, dw + filter, o->y.g->p + x, o->gate + kept, o->value + kept, o->x.v + x,
                              o->rstd + n * o->s.T, o->gain->v + (size_t)g * o->s.c, wg->back + w, wv->back + w, room, &o->s);
    }
}

/* A group's weights: the sum of the halves, turned back: dw[o][i][j] += */
static void add_weights(Tape *t, const Conv *o, const Back *b, int g)
{
    const int c = o->s.c, k = o->s.k, w = o->s.w;
    const size_t filter = filter_size(&o->s), half = 2 * filter * (size_t)o->groups;
    float *sum = b->dw + 2 * filter * (size_t)g;
    for (int h = 1; h < halves(o); h++) t->exec->f->axpy(sum, 1, sum + half * (size_t)h, 2 * (long)filter);
    for (int v = 0; v < 2; v++, sum += filter) {
        float *to = (v ? o->wv : o->wg)->g + (size_t)g * c * c * k;
        for (int out = 0; out < c; out++, to += (size_t)c * k)
            for (int i = 0; i < c; i++)
                for (int j = 0; j < k; j++) to[(size_t)i * k + j] += sum[((size_t)j * c + i) * w + out];
    }
}

/* arrays by group as rows of d, for whoever watches */
static float *by_rows(Tape *t, const Conv *o, const float *v)
{
    float *to = arena_raw(&t->pass, sizeof(float) * (size_t)o->x.rows * (size_t)o->s.d);
    for (int n = 0; n < o->B; n++)
        for (int g = 0; g < o->groups; g++)
            for (int i = 0; i < o->s.T; i++)
                memcpy(to + in_rows(o, n, g) + (size_t)i * o->s.d, v + in_groups(o, n, g) + (size_t)i * o->s.c,
                       sizeof(float) * (size_t)o->s.c);
    return to;
}

static void show(Tape *t, const Conv *o, int gradient)
{
    const size_t at = t->pass.used;
    const long n = (long)o->x.rows * o->s.d;
    if (!t->see || !o->name) return;
    float *gate = by_rows(t, o, o->gate), *value = by_rows(t, o, o->value);
    if (!gradient) for (long i = 0; i < n; i++) gate[i] = logf(gate[i] / (1.0f - gate[i]));
    else {
        float *dgate = arena_raw(&t->pass, sizeof(float) * (size_t)n), *dvalue = arena_raw(&t->pass, sizeof(float) * (size_t)n);
        t->exec->f->gate_back(dgate, dvalue, o->y.g->p, gate, value, n);
        gate = dgate, value = dvalue;
    }
    t->see(t->see_ctx, arena_text(&t->pass, "%s_gate_pre", o->name), gradient, gate, n);
    t->see(t->see_ctx, arena_text(&t->pass, "%s_value", o->name), gradient, value, n);
    arena_reset(&t->pass, at);
}

static void conv_back(Tape *t, void *ctx)
{
    const Conv *o = ctx;
    const int threads = t->exec->threads;
    const size_t each = conv_room(&o->s), items = (size_t)o->groups * (size_t)halves(o);
    Grad of_n = { .bytes = o->x.g->bytes };
    const Var n = { NULL, &of_n, o->x.rows, o->x.cols, NULL };
    int fresh;
    float *dx = tape_grad(t, o->y), *dn = grad_to(t, n, &fresh);           /* dx: of y, and then of x */
    const size_t at = t->pass.used;
    show(t, o, 1);
    float *room = arena_raw(&t->pass, sizeof(float) * each * (size_t)threads);
    const Back b = { dn, arena_raw(&t->pass, sizeof(float) * 2 * filter_size(&o->s) * items) };
    const NormBack norm = { o->x, o->gain, o->rstd, dn, dx, norm_sums(t, o->x) };
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static, 1)
        for (int p = 0; p < threads; p++) {
            long lo, hi;
            part((long)items, p, threads, 1, &lo, &hi);
            for (long item = lo; item < hi; item++) item_back(t, o, &b, item, room + each * (size_t)p);
        }
#pragma omp for schedule(static, 1)
        for (int p = 0; p < threads; p++) {
            long lo, hi;
            part(o->groups, p, threads, 1, &lo, &hi);
            for (int g = (int)lo; g < (int)hi; g++) add_weights(t, o, &b, g);
            norm_back_part(t, &norm, p);
        }
    }
    norm_back_gain(t, &norm);
    arena_reset(&t->pass, at);
    grad_done(t, n);
}

/* One row: the rows its taps reach, side by side, are a sequence of k rows with dilation 1, whose last row is the one */
static Var decode(Tape *t, Conv *o, double eps, float *past)
{
    const int d = o->s.d, k = o->s.k, rows = (k - 1) * o->s.dil;
    const size_t bytes = sizeof(float) * (size_t)d;
    const Var y = o->y;
    float *window = arena_raw(&t->pass, bytes * (size_t)k), *out = arena_raw(&t->pass, bytes * (size_t)k);
    for (int j = 0; j < k - 1; j++) memcpy(window + (size_t)j * d, past + (size_t)j * o->s.dil * d, bytes);
    memcpy(window + (size_t)(k - 1) * d, o->x.v, bytes);
    if (rows) {
        memmove(past, past + d, bytes * (size_t)(rows - 1));
        memcpy(past + (size_t)(rows - 1) * d, o->x.v, bytes);
    }
    o->x = (Var){ window, NULL, k, d, NULL };
    o->y = (Var){ out, NULL, k, d, NULL };
    o->s.T = k;
    o->s.dil = 1;
    forward(t, o, eps);
    memcpy(y.v, out + (size_t)(k - 1) * d, bytes);
    return y;
}

Var op_gated_conv(Tape *t, Var x, Param *gain, double eps, Param *wg, Param *wv, int B, int groups, int k, int dil,
                  float *past, const char *name)
{
    const int d = x.cols, rows = past ? k : x.rows;
    const size_t bytes = sizeof(float) * (size_t)rows * (size_t)d;
    CHECK(x.rows % B == 0 && d % groups == 0 && wg->n == (long)d * (d / groups) * k && wv->n == wg->n && gain->n == d);
    CHECK(!past || (x.rows == 1 && !t->recording));
    Conv o = { .y = tape_var(t, x.rows, d, x.g), .x = x, .gain = gain, .wg = wg, .wv = wv, .B = B, .groups = groups,
               .s = conv_shape(x.rows / B, d, groups, k, dil), .name = name };
    o.rstd = arena_raw(&t->pass, sizeof(float) * (size_t)rows);
    o.gate = arena_raw(&t->pass, bytes);
    o.value = arena_raw(&t->pass, bytes);
    if (past) return decode(t, &o, eps, past);
    forward(t, &o, eps);
    show(t, &o, 0);
    tape_reads(x);
    if (t->recording) {
        if (name) o.name = arena_text(&t->pass, "%s", name);
        *(Conv *)tape_note(t, conv_back, sizeof(Conv)) = o;
    }
    return o.y;
}
