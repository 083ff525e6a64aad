/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The rounds of a gate: a process per block of samples, the sides of a benchmark in random order
 * and back.
 *
 * Every run shows that it can be trusted. A probe, a benchmark with two sides more, is run as
 *   base      head
 *   control   a second copy of base, which must not differ from base
 *   canary    base with a delay, which must be found REGRESSED */
#include "harness/regress/regress.h"
#include "harness/util/clock.h"
#include "harness/util/progress.h"
#include "harness/util/shuffle.h"
#include <string.h>

enum { SIDE_BASE, SIDE_HEAD, SIDE_CONTROL, SIDE_CANARY, SIDES };
static const char *const side_names[] = { "base", "head", "control", "canary" };
#define BLOCK_LIMIT_S 120

typedef struct Rounds {
    Gate       *gate;
    const char *binary[SIDES];
    GateRecord *record;
    Arena       round;                   /* what one round needs */
} Rounds;

typedef struct Block {
    double ns[GATE_SAMPLES], whole[GATE_SAMPLES];    /* per iteration; of all of a sample's */
    int    n;
    long   iters, switches, steal;
} Block;

static void rounds_line(void *ctx, const Record *l)
{
    Block *b = ctx;
    if (l->kind == 'p' && b->n < GATE_SAMPLES && l->iters > 0) {
        b->whole[b->n] = l->value;
        b->ns[b->n++] = l->value / (double)l->iters;
    }
    if (l->kind != 'n') return;
    if (!strcmp(l->name, "iters")) b->iters = (long)l->value;
    if (!strcmp(l->name, "switches")) b->switches = (long)l->value;
    if (!strcmp(l->name, "steal")) b->steal = (long)l->value;
}

/* iters 0: asks how many a sample should have */
static Block rounds_block(Rounds *r, const char *bench, int side, long iters)
{
    Arena *a = &r->round;
    Block b = { .n = 0 };
    const int cpu = r->gate->plan.cpu;
    const char *const words[] = { "OMP_NUM_THREADS=1",
                                  r->binary[side],
                                  "regress-sample",
                                  "time",
                                  bench,
                                  "--iters",
                                  arena_text(a, "%ld", iters),
                                  "--samples",
                                  arena_text(a, "%d", r->gate->plan.samples),
                                  "--delay",
                                  side == SIDE_CANARY ? arena_text(a, "%g", r->gate->delay) : "0",
                                  cpu < 0 ? NULL : "--cpu",
                                  arena_text(a, "%d", cpu),
                                  NULL };
    const GateRun run = gate_run(words, BLOCK_LIMIT_S, rounds_line, &b, a);
    if (gate_interrupted()) return b;
    if (strcmp(run.status, "ok"))
        die("%s of %s: %s: %s", bench, side_names[side], run.status, run.error);
    if (iters ? b.n != r->gate->plan.samples : b.iters < 1)
        die("%s of %s: expected %d samples, got %d", bench, side_names[side], r->gate->plan.samples,
            b.n);
    return b;
}

static void rounds_calibrate(Rounds *r)
{
    for (int i = 0; i < r->gate->benches && !gate_interrupted(); i++) {
        GateBench *b = &r->gate->bench[i];
        const double from = clock_now();
        gate_progress(r->gate, "iterations of %s", b->name);
        for (int side = SIDE_BASE; side <= SIDE_HEAD; side++) {
            const long iters = rounds_block(r, b->name, side, 0).iters;
            if (iters > b->iters) b->iters = iters;
        }
        b->seconds += clock_now() - from;
        arena_reset(&r->round, 0);
    }
}

static int rounds_open(const GateBench *b)
{
    const int probe =
        b->probe && (b->control.verdict == GATE_UNKNOWN || b->canary.verdict == GATE_UNKNOWN);
    return b->pair.verdict == GATE_UNKNOWN || probe;
}

/* One round of one benchmark: its sides in random order and back; appends d of undecided cases. */
static void rounds_bench(Rounds *r, GateBench *b, int round, Rng *rng)
{
    double ns[SIDES][2 * GATE_SAMPLES];
    int order[SIDES] = { SIDE_BASE, SIDE_HEAD, SIDE_CONTROL, SIDE_CANARY }, n[SIDES] = { 0 };
    const int sides = b->probe ? SIDES : 2;
    const double from = clock_now();
    shuffle(rng, order, sides, sizeof *order);
    for (int i = 0; i < 2 * sides && !gate_interrupted(); i++) {
        const int side = order[i < sides ? i : 2 * sides - 1 - i];
        const Block k = rounds_block(r, b->name, side, b->iters);
        for (int s = 0; s < k.n; s++) ns[side][n[side]++] = k.ns[s];
        b->switches += k.switches;
        b->steal += k.steal;
        const GateBlock kept = { b->name, side_names[side], round, i, k.n, k.whole, b->iters,
                                 k.switches, k.steal };
        if (r->record) gate_record_block(r->record, &kept);
    }
    b->seconds += clock_now() - from;
    if (gate_interrupted()) return;
    GateCase *const cases[] = { NULL, &b->pair, &b->control, &b->canary };
    for (int side = 1; side < sides; side++) {
        if (cases[side]->verdict != GATE_UNKNOWN) continue;
        double *d = (double *)cases[side]->d;
        d[cases[side]->rounds++] = gate_shift(ns[SIDE_BASE], n[SIDE_BASE], ns[side], n[side],
                                              &r->round);
    }
    b->base_ns[b->rounds] = stats_quantile(ns[SIDE_BASE], n[SIDE_BASE], 0.5, &r->round);
    b->head_ns[b->rounds++] = stats_quantile(ns[SIDE_HEAD], n[SIDE_HEAD], 0.5, &r->round);
}

static void rounds_all(Rounds *r, int round, int of)
{
    Gate *g = r->gate;
    int order[GATE_MOST];
    Rng rng = rng_at(r->gate->plan.seed, STREAM_ROUND, (uint64_t)round);
    for (int i = 0; i < g->benches; i++) order[i] = i;
    shuffle(&rng, order, g->benches, sizeof *order);
    gate_progress(g, "round %d of %d", round + 1, of);
    for (int i = 0; i < g->benches && !gate_interrupted(); i++) {
        if (rounds_open(&g->bench[order[i]])) rounds_bench(r, &g->bench[order[i]], round, &rng);
        arena_reset(&r->round, 0);
    }
    if (r->record) gate_record_flush(r->record);
}

/* Benchmarks, controls and canaries are three families of tests: a canary does not get harder to
 * find with the number of benchmarks, nor does a control pass more easily. */
static int rounds_decide(Rounds *r, int look)
{
    Gate *g = r->gate;
    GateCase pair[GATE_MOST], control[GATE_MOST], canary[GATE_MOST];
    int probes = 0, open = 0;
    for (int i = 0; i < g->benches; i++) pair[i] = g->bench[i].pair;
    for (int i = 0; i < g->benches; i++)
        if (g->bench[i].probe) {
            control[probes] = g->bench[i].control;
            canary[probes++] = g->bench[i].canary;
        }
    gate_decide(&g->rule, pair, g->benches, look, &r->round);
    if (probes) {
        gate_decide(&g->rule, control, probes, look, &r->round);
        gate_decide(&g->rule, canary, probes, look, &r->round);
    }
    for (int i = g->benches - 1; i >= 0; i--) {
        GateBench *b = &g->bench[i];
        b->pair = pair[i];
        if (b->probe) {
            b->control = control[--probes];
            b->canary = canary[probes];
        }
        open += rounds_open(b);
    }
    return open;
}

static void rounds_prepare(Rounds *r, Arena *a)
{
    const size_t bytes = sizeof(double) * (size_t)(r->gate->plan.rounds * r->gate->rule.looks);
    for (int i = 0; i < r->gate->benches; i++) {
        GateBench *b = &r->gate->bench[i];
        GateCase *const cases[] = { &b->pair, &b->control, &b->canary };
        b->base_ns = arena_get(a, bytes);
        b->head_ns = arena_get(a, bytes);
        for (int k = 0; k < 3; k++)
            *cases[k] =
                (GateCase) { .name = b->name, .budget = b->budget, .d = arena_get(a, bytes) };
    }
}

void gate_measure(Gate *g, GateRecord *record, Arena *a)
{
    Rounds *r = arena_get(a, sizeof *r);
    const int each = g->plan.rounds, looks = g->rule.looks;
    int open = 1;
    *r = (Rounds){ .gate = g, .record = record, .round = arena_new((size_t)1 << 30) };
    r->binary[SIDE_BASE] = r->binary[SIDE_CANARY] = g->base->binary;
    r->binary[SIDE_HEAD] = g->head->binary;
    r->binary[SIDE_CONTROL] = g->control;
    rounds_prepare(r, a);
    rounds_calibrate(r);
    g->said = 0;                             /* the first round is told at once */
    for (int look = 1; look <= looks && open && !gate_interrupted(); look++) {
        for (int i = (look - 1) * each; i < look * each && !gate_interrupted(); i++)
            rounds_all(r, i, look * each);
        if (!gate_interrupted()) open = rounds_decide(r, look);
    }
    progress_clear();
    arena_drop(&r->round);
}
