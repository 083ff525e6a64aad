/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What runs along a sequence, channel by channel: the linear recurrence and the depthwise
 * convolution. Threads share sequences and blocks of channels; each sum has one thread and a fixed
 * order. */
#include "models/tape_inner.h"
#include <string.h>

enum { CHANNELS = 64 };              /* of an item of work: whole cache lines */

static int sequence_blocks(int d) { return (d + CHANNELS - 1) / CHANNELS; }

/* The channels [*c, *c + n) of block i; returns n */
static int sequence_block(int i, int d, int *c)
{
    *c = i * CHANNELS;
    return d - *c < CHANNELS ? d - *c : CHANNELS;
}

/* ---- h_t = f_t h_(t-1) + i_t ---- */
typedef struct { Var h, f, i; int B; } Scan;

/* Every value is read once: whole rows are what memory likes. Channels of an item of work, a
 * multiple of CHANNELS: all, or as many as let every thread have its share of B sequences */
static int scan_width(const Tape *t, int B, int d)
{
    const int threads = t->exec->threads;
    int parts = 1;
    while (B * parts % threads && B * parts < 4 * threads && parts < sequence_blocks(d)) parts++;
    return (sequence_blocks(d) + parts - 1) / parts * CHANNELS;
}

/* Of item i the sequence *b and the channels [*c, *c + n); returns n */
static int scan_item(int i, int d, int width, int *b, int *c)
{
    const int parts = (d + width - 1) / width;
    *b = i / parts;
    *c = i % parts * width;
    return d - *c < width ? d - *c : width;
}

static void scan_back(Tape *t, void *ctx)
{
    const Scan *o = ctx;
    const int d = o->h.cols, T = o->h.rows / o->B, width = scan_width(t, o->B, d),
              items = o->B * ((d + width - 1) / width);
    tape_lap(t, LAP_MIX_BACK);
    float *dh = tape_grad(t, o->h), *df = tape_grad(t, o->f), *di = tape_grad(t, o->i);
#pragma omp parallel for num_threads(t->exec->threads) schedule(static)
    for (int item = 0; item < items; item++) {
        int b, c;
        const int n = scan_item(item, d, width, &b, &c);
        const size_t at = (size_t)b * (size_t)T * (size_t)d + (size_t)c;
        t->exec->f->scan_back(df + at, di + at, dh + at, o->f.v + at, o->h.v + at, T, n, d);
    }
    grad_done(t, o->h);
    tape_lap(t, LAP_MIX_BACK_END);
}

Var op_scan(Tape *t, Var f, Var i, int B, Carry *const *carry, size_t offset)
{
    const int d = f.cols, T = f.rows / B, width = scan_width(t, B, d),
              items = B * ((d + width - 1) / width);
    tape_operand(f);
    tape_operand(i);
    CHECK(f.rows == i.rows && i.cols == d && f.rows % B == 0 && (!carry || !t->recording));
    tape_lap(t, LAP_MIX);
    Var h = tape_var(t, f.rows, d, NULL);
#pragma omp parallel for num_threads(t->exec->threads) schedule(static)
    for (int item = 0; item < items; item++) {
        int b, c;
        const int n = scan_item(item, d, width, &b, &c);
        const size_t at = (size_t)b * (size_t)T * (size_t)d + (size_t)c;
        float *last = carry ? carry[b]->state + offset + c : NULL;
        t->exec->f->scan(h.v + at, f.v + at, i.v + at, last, T, n, d);
        if (last) memcpy(last, h.v + at + (size_t)(T - 1) * (size_t)d, sizeof(float) * (size_t)n);
    }
    tape_reads(f);
    tape_reads(h);
    if (t->recording) *(Scan *)tape_note(t, scan_back, sizeof(Scan)) = (Scan){ h, f, i, B };
    tape_lap(t, LAP_MIX_END);
    return h;
}

/* ---- the depthwise convolution ---- */
typedef struct { Var y, x; Param *w; float *taps; int B; } Depthwise;

/* (k, d) of w (d, 1, k) */
static float *depthwise_taps(Tape *t, const float *w, int d, int k)
{
    float *to = arena_raw(&t->pass, sizeof(float) * (size_t)d * (size_t)k);
    for (int c = 0; c < d; c++)
        for (int j = 0; j < k; j++) to[(size_t)j * d + c] = w[(size_t)c * k + j];
    return to;
}

static void depthwise_back(Tape *t, void *ctx)
{
    const Depthwise *o = ctx;
    const int d = o->x.cols, k = o->w->cols, T = o->x.rows / o->B;
    tape_lap(t, LAP_MIX_BACK);
    const float *dy = tape_grad(t, o->y);
    float *dx = tape_grad(t, o->x);
    const size_t at = t->pass.used;
    float *dw = arena_get(&t->pass, sizeof(float) * (size_t)o->w->n);
#pragma omp parallel for num_threads(t->exec->threads) schedule(static)
    for (int i = 0; i < sequence_blocks(d); i++) {
        int c;
        const int n = sequence_block(i, d, &c);
        for (int b = 0; b < o->B; b++) {
            const size_t row = (size_t)b * (size_t)T * (size_t)d + (size_t)c;
            t->exec->f->taps_back(dx + row, dw + c, dy + row, o->x.v + row, o->taps + c, T, n, d,
                                  k);
        }
    }
    for (int c = 0; c < d && !o->w->frozen; c++)
        for (int j = 0; j < k; j++) o->w->g[(size_t)c * k + j] += dw[(size_t)j * d + c];
    arena_reset(&t->pass, at);
    grad_done(t, o->y);
    tape_lap(t, LAP_MIX_BACK_END);
}

/* Of one sequence, channels c.. of n: y from x and the `past` rows before it, which move on */
static void depthwise_continue(const Depthwise *o, const F32 *f, int b, float *past, float *room)
{
    const int d = o->x.cols, k = o->w->cols, T = o->x.rows / o->B;
    const size_t row = sizeof(float) * (size_t)d, before = (size_t)(k - 1) * (size_t)d;
    const float *x = o->x.v + (size_t)b * (size_t)T * (size_t)d;
    memcpy(room, past, row * (size_t)(k - 1));
    memcpy(room + before, x, row * (size_t)T);
    f->taps(o->y.v + (size_t)b * (size_t)T * (size_t)d, room + before, o->taps, T, k - 1, d, d, k);
    memcpy(past, room + (size_t)T * (size_t)d, row * (size_t)(k - 1));
}

static void depthwise_forward(Tape *t, const Depthwise *o, Carry *const *carry, size_t offset)
{
    const int d = o->x.cols, k = o->w->cols, T = o->x.rows / o->B, blocks = sequence_blocks(d);
    const size_t each = (size_t)(T + k - 1) * (size_t)d, at = t->pass.used;
    float *room = carry ? arena_raw(&t->pass, sizeof(float) * each * (size_t)o->B) : NULL;
#pragma omp parallel for num_threads(t->exec->threads) schedule(static)
    for (int b = 0; b < (carry ? o->B : 0); b++)
        depthwise_continue(o, t->exec->f, b, carry[b]->state + offset, room + each * (size_t)b);
#pragma omp parallel for num_threads(t->exec->threads) schedule(static)
    for (int item = 0; item < (carry ? 0 : o->B * blocks); item++) {
        int c;
        const int n = sequence_block(item % blocks, d, &c);
        const size_t row = (size_t)(item / blocks) * (size_t)T * (size_t)d + (size_t)c;
        t->exec->f->taps(o->y.v + row, o->x.v + row, o->taps + c, T, 0, n, d, k);
    }
    arena_reset(&t->pass, at);
}

Var op_depthwise(Tape *t, Var x, Param *w, int B, Carry *const *carry, size_t offset)
{
    tape_operand(x);
    CHECK(w->rows == x.cols && x.rows % B == 0 && (!carry || !t->recording));
    tape_lap(t, LAP_MIX);
    const Depthwise o = { tape_var(t, x.rows, x.cols, NULL), x, w,
                          depthwise_taps(t, w->v, x.cols, w->cols), B };
    depthwise_forward(t, &o, carry, offset);
    tape_reads(x);
    if (t->recording) *(Depthwise *)tape_note(t, depthwise_back, sizeof(Depthwise)) = o;
    tape_lap(t, LAP_MIX_END);
    return o.y;
}
