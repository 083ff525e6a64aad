/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/step.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void step_mark(const Step *s, StepPart part)
{
    if (s->mark) s->mark(s->ctx, part);
}

Batch *batch_new(int B, int T, int supervised, int d, Arena *a)
{
    Batch *b = arena_get(a, sizeof *b);
    const size_t n = (size_t)B * (size_t)T, some = (size_t)supervised;
    CHECK(supervised >= 1 && some <= n);
    *b = (Batch){ .B = B, .T = T, .supervised = supervised };
    b->x = arena_get(a, sizeof(int) * n);
    b->y = arena_get(a, sizeof(int) * n);
    b->pos = arena_get(a, sizeof(int) * n);
    b->target = arena_get(a, sizeof(int) * n);
    if (some == n) return b;
    b->hidden = arena_raw(a, sizeof(float) * some * (size_t)d);
    b->dhidden = arena_raw(a, sizeof(float) * some * (size_t)d);
    return b;
}

/* ---- the next token ---- */
static int step_ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* k of n positions, drawn without replacement, in increasing order; pos (n) */
static void step_draw_positions(int *pos, int n, int k, uint64_t seed, long step, int micro)
{
    Rng r = rng_at(seed, STREAM_POSITIONS, (uint64_t)step << 16 | (uint64_t)micro);
    for (int i = 0; i < n; i++) pos[i] = i;
    for (int i = 0; i < k; i++) {
        const int j = i + (int)rng_below(&r, (uint64_t)(n - i)), swap = pos[i];
        pos[i] = pos[j];
        pos[j] = swap;
    }
    qsort(pos, (size_t)k, sizeof *pos, step_ascending);
}

static void next_token_draw(Batch *b, StepSource *source, void *ctx, uint64_t seed, long step,
                            int micro)
{
    const int n = b->B * b->T;
    source(ctx, seed, step, micro, b->B, b->T, b->x, b->y);
    if (b->supervised == n) return;
    step_draw_positions(b->pos, n, b->supervised, seed, step, micro);
    for (int i = 0; i < b->supervised; i++) b->target[i] = b->y[b->pos[i]];
}

/* The loss at some of the positions, whose hidden states are copied side by side */
static double next_token_pass_some(const Step *s, const Batch *b, Var h, float scale)
{
    const size_t row = (size_t)s->d, bytes = sizeof(float) * row;
    for (int i = 0; i < b->supervised; i++)
        memcpy(b->hidden + (size_t)i * row, h.v + (size_t)b->pos[i] * row, bytes);
    memset(b->dhidden, 0, bytes * (size_t)b->supervised);
    const double loss = step_head(s, b->hidden, b->target, b->dhidden, b->supervised, scale);
    float *dh = tape_grad(s->tape, h);
    for (int i = 0; i < b->supervised; i++)
        memcpy(dh + (size_t)b->pos[i] * row, b->dhidden + (size_t)i * row, bytes);
    return loss;
}

static double next_token_pass(const Step *s, const Batch *b, float scale)
{
    const int n = b->B * b->T;
    step_mark(s, STEP_DATA);
    tape_reset(s->tape, 1);
    Var h = s->model->forward(s->m, s->tape, b->x, b->B, b->T, NULL);
    step_mark(s, STEP_CORE_FORWARD);
    const double loss = b->supervised == n
                            ? step_head(s, h.v, b->y, tape_grad(s->tape, h), n, scale)
                            : next_token_pass_some(s, b, h, scale);
    step_mark(s, STEP_HEAD_BACKWARD);
    tape_backward(s->tape);
    step_mark(s, STEP_CORE_BACKWARD);
    return loss;
}

const Objective objective_next_token = { "next_token", "cross entropy of the next token",
                                         next_token_draw, next_token_pass };

/* ---- what every objective needs ---- */
double step_head(const Step *s, const float *x, const int *y, float *dx, int n, float scale)
{
    const int chunk = s->head->chunk(s->h);
    const size_t d = (size_t)s->d;
    double loss = 0;
    for (int i = 0; i < n; i += chunk) {
        const int m = n - i < chunk ? n - i : chunk;
        loss += s->head->forward(s->h, x + (size_t)i * d, y + i, m);
        step_mark(s, STEP_HEAD_FORWARD);
        s->head->backward(s->h, dx + (size_t)i * d, scale);
        step_mark(s, STEP_HEAD_BACKWARD);
    }
    return loss;
}

double step_norm(const Step *s)
{
    head_flush_grads(s->head, s->h);
    step_mark(s, STEP_HEAD_BACKWARD);
    const double core = s->model ? optim_norm(s->optim, OWNER_CORE) : 0;
    step_mark(s, STEP_CORE_UPDATE);
    return sqrt(core + optim_norm(s->optim, OWNER_HEAD));
}

void step_update(const Step *s, double lr_scale, double norm)
{
    optim_begin(s->optim, lr_scale, norm);
    if (s->head->update) s->head->update(s->h, s->optim);
    else optim_update(s->optim, OWNER_HEAD);
    step_mark(s, STEP_HEAD_UPDATE);
    if (s->model) optim_update(s->optim, OWNER_CORE);
    step_mark(s, STEP_CORE_UPDATE);
}
