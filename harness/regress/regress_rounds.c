/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The rounds of a gate. A comparison has a process of each side, fresh in every round; on one core
 * they take their samples in turn, ABBA. So the two of a pair are milliseconds apart, and a
 * neighbour that slows this core for longer than that slows both. A build that does not know turns
 * takes all of its samples when it is started.
 *
 * Every run shows that it can be trusted. A probe, a benchmark with two comparisons more, has
 *   base      head
 *   base      control   a second copy of base, which must not differ from base
 *   base      canary    base with a delay, which must be found REGRESSED */
#include "harness/regress/regress.h"
#include "harness/util/clock.h"
#include "harness/util/progress.h"
#include "harness/util/shuffle.h"
#include <string.h>

enum { ROUNDS_HEAD, ROUNDS_CONTROL, ROUNDS_CANARY, ROUNDS_SIDES };
static const char *const rounds_names[] = { "head", "control", "canary" };
#define ROUNDS_LIMIT_S 120

typedef struct Rounds {
    Gate       *gate;
    const char *binary[ROUNDS_SIDES];
    GateRecord *record;
    Arena       round;                   /* what one round needs */
} Rounds;

/* One process; whole: ns of all iterations of a sample; position: of the sample in its comparison,
 * counted by *taken */
typedef struct Block {
    const char *binary, *side;
    double      delay, ns[GATE_SAMPLES], whole[GATE_SAMPLES];
    int         position[GATE_SAMPLES], n, *taken, waits;
    long        iters, switches, steal;
    GateChild  *child;
} Block;

static void rounds_line(void *ctx, const Record *l)
{
    Block *b = ctx;
    if (l->kind == 'p' && b->n < GATE_SAMPLES && l->iters > 0) {
        b->position[b->n] = (*b->taken)++;
        b->whole[b->n] = l->value;
        b->ns[b->n++] = l->value / (double)l->iters;
    }
    if (l->kind != 'n') return;
    if (!strcmp(l->name, "iters")) b->iters = (long)l->value;
    if (!strcmp(l->name, "switches")) b->switches = (long)l->value;
    if (!strcmp(l->name, "steal")) b->steal = (long)l->value;
}

/* Begins a process, up to its first turn. iters 0: asks how many a sample should have */
static void rounds_start(Rounds *r, const char *bench, long iters, Block *b)
{
    Arena *a = &r->round;
    const int cpu = r->gate->plan.cpu;
    const char *const words[] = { "OMP_NUM_THREADS=1",
                                  b->binary,
                                  "regress-sample",
                                  "time",
                                  bench,
                                  "--iters",
                                  arena_text(a, "%ld", iters),
                                  "--samples",
                                  arena_text(a, "%d", r->gate->plan.samples),
                                  "--delay",
                                  arena_text(a, "%g", b->delay),
                                  cpu < 0 ? NULL : "--cpu",
                                  arena_text(a, "%d", cpu),
                                  NULL };
    b->child = gate_start(words, ROUNDS_LIMIT_S, rounds_line, b, a);
    b->waits = gate_wait(b->child);
}

static void rounds_turn(Block *b)
{
    if (!b->waits) return;
    gate_go(b->child);
    b->waits = gate_wait(b->child);
}

static void rounds_end(Rounds *r, const char *bench, Block *b, int expected)
{
    const GateRun run = gate_let_end(b->child, &r->round);
    if (gate_interrupted()) return;
    if (strcmp(run.status, "ok")) die("%s of %s: %s: %s", bench, b->side, run.status, run.error);
    if (b->n != expected)
        die("%s of %s: expected %d samples, got %d", bench, b->side, expected, b->n);
}

static long rounds_iters(Rounds *r, const char *bench, const char *binary, const char *side)
{
    int taken = 0;
    Block b = { .binary = binary, .side = side, .taken = &taken };
    rounds_start(r, bench, 0, &b);
    rounds_end(r, bench, &b, 0);
    if (b.iters < 1 && !gate_interrupted())
        die("%s of %s: expected a number of iterations", bench, side);
    return b.iters;
}

static void rounds_calibrate(Rounds *r)
{
    for (int i = 0; i < r->gate->benches && !gate_interrupted(); i++) {
        GateBench *b = &r->gate->bench[i];
        const double from = clock_now();
        gate_progress(r->gate, "iterations of %s", b->name);
        const long base = rounds_iters(r, b->name, r->gate->base->binary, "base"),
                   head = rounds_iters(r, b->name, r->gate->head->binary, "head");
        b->iters = base > head ? base : head;
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

static void rounds_keep(Rounds *r, GateBench *b, int round, const Block *k)
{
    const GateBlock kept = { b->name, k->side, round, k->n, k->position, k->whole, b->iters,
                             k->switches, k->steal };
    b->switches += k->switches;
    b->steal += k->steal;
    if (r->record) gate_record_block(r->record, &kept);
}

/* One round of one comparison with base; appends its d. coin: which side begins */
static void rounds_pair(Rounds *r, GateBench *b, int side, GateCase *c, int round, int coin)
{
    int taken = 0;
    const char *name = rounds_names[side];
    Block of[] = { { .binary = r->gate->base->binary,
                     .side = arena_text(&r->round, "%s.base", name),
                     .taken = &taken },
                   { .binary = r->binary[side],
                     .side = name,
                     .delay = side == ROUNDS_CANARY ? r->gate->delay : 0,
                     .taken = &taken } };
    for (int i = 0; i < 2; i++) rounds_start(r, b->name, b->iters, &of[i ^ coin]);
    for (int k = 0; k < r->gate->plan.samples; k++)
        for (int i = 0; i < 2; i++) rounds_turn(&of[i ^ coin ^ (k & 1)]);
    for (int i = 0; i < 2; i++) rounds_end(r, b->name, &of[i], r->gate->plan.samples);
    if (gate_interrupted()) return;
    for (int i = 0; i < 2; i++) rounds_keep(r, b, round, &of[i]);
    ((double *)c->d)[c->rounds++] = gate_pairs(of[0].ns, of[1].ns, of[0].n, &r->round);
    if (side != ROUNDS_HEAD) return;
    b->base_ns[b->rounds] = stats_quantile(of[0].ns, of[0].n, 0.5, &r->round);
    b->head_ns[b->rounds++] = stats_quantile(of[1].ns, of[1].n, 0.5, &r->round);
}

/* One round of what is undecided of a benchmark */
static void rounds_bench(Rounds *r, GateBench *b, int round, Rng *rng)
{
    GateCase *const cases[] = { &b->pair, &b->control, &b->canary };
    const double from = clock_now();
    for (int side = 0; side < (b->probe ? ROUNDS_SIDES : 1) && !gate_interrupted(); side++)
        if (cases[side]->verdict == GATE_UNKNOWN)
            rounds_pair(r, b, side, cases[side], round, (int)rng_below(rng, 2));
    b->seconds += clock_now() - from;
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
    r->binary[ROUNDS_HEAD] = g->head->binary;
    r->binary[ROUNDS_CONTROL] = g->control;
    r->binary[ROUNDS_CANARY] = g->base->binary;
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
