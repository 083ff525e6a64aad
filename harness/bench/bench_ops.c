/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The float operations of kernels/f32.h, every instruction set of this CPU beside each other, on
 * one thread. Each must give what the first table gives, within rounding. */
#include "harness/bench/bench.h"
#include "kernels/cpu.h"
#include "kernels/f32.h"
#include <math.h>
#include <stdlib.h>

enum {
    N = 512,
    D = 256,
    GROUPS = 16,
    TAPS = 4,
    DILATION = 4,
    T = 128,
    ALL = N * D,
    WEIGHTS = D * (D / GROUPS) * TAPS
};
typedef struct { const F32 *f; float *x, *y, *z, *u, *v, *gain, *w, *room; int8_t *q; } Job;

static void ops_rmsnorm(const Job *j) { j->f->rmsnorm(j->y, j->z, j->x, j->gain, N, D, 1e-6f); }
static void ops_exp(const Job *j)     { j->f->exp(j->y, j->x, ALL, 0.5f); }
static void ops_conv(const Job *j)
{
    const ConvShape s = conv_shape(T, D, GROUPS, TAPS, DILATION);
    for (int n = 0; n < N / T; n++)
        for (int g = 0; g < GROUPS; g++) {
            const size_t at = (size_t)n * T * D + (size_t)g * s.c,
                         kept = ((size_t)n * GROUPS + (size_t)g) * T * s.c;
            const float *w = j->w + (size_t)g * TAPS * s.c * s.w;
            j->f->conv(j->y + at, j->z + kept, j->u + kept, j->x + at, j->v + n * T,
                       j->gain + g * s.c, w, w + WEIGHTS, j->room, &s);
        }
}
static void ops_conv_back(const Job *j)
{
    const ConvShape s = conv_shape(T, D, GROUPS, TAPS, DILATION);
    for (int n = 0; n < N / T; n++)
        for (int g = 0; g < GROUPS; g++) {
            const size_t at = (size_t)n * T * D + (size_t)g * s.c,
                         kept = ((size_t)n * GROUPS + (size_t)g) * T * s.c;
            const size_t w = (size_t)g * TAPS * s.c * s.w;
            j->f->conv_back(j->y + at, j->u + w, j->u + WEIGHTS + w, j->x + at, j->x + kept,
                            j->x + kept, j->x + at, j->v + n * T, j->gain + g * s.c, j->w + w,
                            j->w + WEIGHTS + w, j->room, &s);
        }
}
static void ops_adamw(const Job *j)
{
    j->f->adamw(j->y, j->z, j->u, j->v, NULL, ALL, 1, 1e-9f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.5f, 0.5f,
                0.999f);
}
static void ops_quant(const Job *j) { j->f->quant_rows(j->q, j->y, j->x, N, D, 8); }

/* operations (a multiply-add is two; an exponential: those of its polynomial) and bytes read and
 * written, of one call */
static const struct {
    const char *name, *shape;
    void (*run)(const Job *);
    double ops, bytes;
} ops[] = { { "rmsnorm", "512x256", ops_rmsnorm, 4.0 * ALL, 8.0 * ALL },
            { "exp", "131072", ops_exp, 22.0 * ALL, 8.0 * ALL },
            { "conv", "512x256/g16/k4/dil4", ops_conv, 4.0 * N *WEIGHTS, 16.0 * ALL },
            { "conv_back", "512x256/g16/k4/dil4", ops_conv_back, 8.0 * N *WEIGHTS, 20.0 * ALL },
            { "adamw", "131072", ops_adamw, 16.0 * ALL, 32.0 * ALL },
            { "quant_rows", "512x256", ops_quant, 4.0 * ALL, 5.0 * ALL } };
typedef struct { Job job; int op; } Work;

static void ops_run(void *ctx, long iters)
{
    const Work *w = ctx;
    for (; iters > 0; iters--) ops[w->op].run(&w->job);
}

static Work *ops_work_new(const F32 *f, int op, uint64_t seed, Arena *a)
{
    Work *w = arena_get(a, sizeof *w);
    Rng rng = rng_at(seed, STREAM_CHECK, 7);
    Job *j = &w->job;
    w->op = op;
    j->f = f;
    float **const room[] = { &j->x, &j->y, &j->z, &j->u, &j->v };
    for (size_t i = 0; i < sizeof room / sizeof *room; i++)
        *room[i] = arena_get(a, sizeof(float) * ALL);
    for (int i = 0; i < ALL; i++)
        j->x[i] = (float)rng_normal(&rng), j->z[i] = 0.01f * j->x[i], j->v[i] = 1;
    j->gain = arena_get(a, sizeof(float) * D);
    for (int i = 0; i < D; i++) j->gain[i] = 1 + 0.1f * (float)rng_normal(&rng);
    j->w = arena_get(a, sizeof(float) * 2 * WEIGHTS);
    for (int i = 0; i < 2 * WEIGHTS; i++) j->w[i] = 0.1f * (float)rng_normal(&rng);
    const ConvShape s = conv_shape(T, D, GROUPS, TAPS, DILATION);
    j->room = arena_get(a, sizeof(float) * conv_room(&s));
    j->q = arena_get(a, ALL);
    return w;
}

/* one call each, of this table and of the first */
static const char *ops_check(int op, const F32 *f, uint64_t seed, Arena *a)
{
    Work *mine = ops_work_new(f, op, seed, a), *first = ops_work_new(f32_tables[0], op, seed, a);
    ops_run(mine, 1);
    ops_run(first, 1);
    float *const is[] = { mine->job.y, mine->job.z, mine->job.u }, *const be[] = { first->job.y,
                                                                                   first->job.z,
                                                                                   first->job.u };
    for (int k = 0; k < 3; k++) {
        double off = 0, size = 1e-30;
        for (int i = 0; i < ALL; i++) {
            off = fmax(off, fabs((double)is[k][i] - (double)be[k][i]));
            size = fmax(size, fabs((double)be[k][i]));
        }
        if (!(off <= 1e-4 * size))
            return arena_text(a, "output %d is off by %.2g of its largest value", k, off / size);
    }
    for (int i = 0; i < ALL; i++)
        if (abs(mine->job.q[i] - first->job.q[i]) > 1)
            return arena_text(a, "q[%d] is %d, expected %d", i, mine->job.q[i], first->job.q[i]);
    return NULL;
}

void bench_ops(Bench *b)
{
    for (int op = 0; op < (int)(sizeof ops / sizeof *ops); op++) {
        for (int i = 0; f32_tables[i]; i++) {
            const F32 *f = f32_tables[i];
            Arena *a = bench_arena(b);
            const char *name = arena_text(a, "%s/%s/%s", ops[op].name, f->isa, ops[op].shape);
            if ((f->cpu & ~cpu_has()) || !bench_wants(b, name)) continue;
            const uint64_t seed = bench_plan(b)->seed;
            BenchCell *c = bench_cell(b, name, ops_run, ops_work_new(f, op, seed, a));
            c->broken = ops_check(op, f, seed, a);
            c->ops = ops[op].ops;
            c->bytes = ops[op].bytes;
        }
        bench_group(b);
    }
}
