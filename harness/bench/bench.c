/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The rounds of a bench, its table and its records.
 *
 *     for each group:  check every cell
 *                      iterations = SAMPLE_S / the fastest, once for all of them (see FAR)
 *                      rounds of all cells in random order, one sample each
 *                      medians with intervals
 *                      all of it again where a cell was disturbed (bench_disturbed.c)
 *
 * So what disturbs the machine meets every cell alike, and no cell is timed with another number of
 * iterations than its neighbours. */
#include "harness/bench/bench_parts.h"
#include "harness/util/clock.h"
#include "harness/util/shuffle.h"
#include "kernels/cpu.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_S 5e-3                            /* the least time of a sample */
#define LEVEL 0.95

/* filter: without --filter, --shapes and --all */
typedef struct { const char *name; void (*run)(Bench *); const char *filter; } BenchKind;
static const BenchKind bench_kinds[] = {
    { "kernels", bench_kernels, "/(1024x1024|2560x2560)/n(1|512)/t[0-9]+(/cold)?$" },
    { "heads", bench_heads, "/n512/" },
    { "ops", bench_ops, "." },
    { "sequence", bench_sequence, "." },
    { "machine", bench_machine, "." },
};
enum { KINDS = sizeof bench_kinds / sizeof *bench_kinds };

const BenchPlan *bench_plan(const Bench *b) { return &b->plan; }
Arena *bench_arena(Bench *b) { return &b->group; }
Arena *bench_home(Bench *b) { return b->home; }

int bench_wants(Bench *b, const char *name)
{
    if (b->plan.all && !b->plan.filter && !b->plan.shapes) return 1;
    return !regexec(&b->filter, name, 0, NULL, 0);
}

int bench_usual(const Bench *b) { return !b->plan.filter && !b->plan.all; }

BenchCell *bench_cell(Bench *b, const char *name, GbenchWork *work, void *ctx)
{
    if (!bench_wants(b, name)) return NULL;
    CHECK(b->n < BENCH_CELLS);
    BenchCell *c = arena_get(&b->group, sizeof *c);
    c->name = arena_text(&b->group, "%s", name);
    c->work = work;
    c->ctx = ctx;
    c->ns = arena_get(&b->group, sizeof *c->ns * (size_t)b->plan.rounds);
    c->sample = arena_get(&b->group, sizeof *c->sample * (size_t)b->plan.rounds);
    return b->cell[b->n++] = c;
}

void bench_skip(Bench *b, const char *what, const char *why)
{
    fprintf(stderr, "skip  %s: %s\n", what, why);
    if (b->db)
        db_record(b->db, b->run,
                  &(Record) { .kind = 't',
                              .text = why,
                              .name = arena_text(b->home, "skip:%s", what) });
}

void bench_miss(Bench *b, const char *name) { b->missed += bench_wants(b, name); }

double bench_time(GbenchWork *work, void *ctx, double seconds, long *iters)
{
    long n = 1;
    for (;;) {
        const double from = clock_now();
        work(ctx, n);
        const double took = clock_now() - from;
        if (took >= seconds) {
            if (iters) *iters = n;
            return took / (double)n * 1e9;
        }
        const double more = took > 0 ? 1.2 * seconds / took : 1000;
        n = (long)((double)n * (more < 2 ? 2 : more > 1000 ? 1000 : more));
    }
}

void bench_limit(BenchCell *c, const char *compute, double compute_ns, const char *memory,
                 double memory_ns)
{
    const int by_memory = memory_ns > compute_ns;
    c->compute = compute;
    c->compute_ns = compute_ns;
    c->level = memory;
    c->level_ns = memory_ns;
    c->limit_ns = by_memory ? memory_ns : compute_ns;
    c->limit = c->limit_ns > 0 ? by_memory ? memory : compute : NULL;
}

const char *bench_level(Bench *b, double bytes)
{
    const double kb = bytes / 1024;
    return kb <= 0.8 * (double)b->host->l1d_kb  ? "read_l1"
           : kb <= (double)b->host->l2_kb       ? "read_l2"
           : kb <= 0.9 * (double)b->host->l3_kb ? "read_l3"
                                                : "read_dram";
}

/* A sample waits for the end of its group: it may be measured again */
static void bench_take(void *ctx, int bench, const char *name, int round, double ns, long iters)
{
    Bench *b = ctx;
    BenchCell *c = b->now;
    (void)round;                 /* of the file, which counts on when a group is measured again */
    CHECK(bench == c->id && !strcmp(name, c->name) && c->samples < b->plan.rounds);
    c->sample[c->samples] = (BenchSample){ .ns = ns, .iters = iters, .position = b->position };
    c->ns[c->samples++] = ns;
}

/* ---- one group ---- */
/* One number for all, but for what is FAR slower than the fastest: that takes fewer, and its
 * samples are longer all the same */
enum { FAR = 20 };
static void bench_choose_iterations(Bench *b)
{
    double fastest = 0;
    for (int i = 0; i < b->n; i++) {
        BenchCell *c = b->cell[i];
        if (c->broken) continue;
        c->work(c->ctx, 1);
        for (int k = 0; k < 3; k++) {      /* the least: a call that was disturbed says too much */
            const double ns = bench_time(c->work, c->ctx, SAMPLE_S / 10, NULL);
            if (!(c->guess_ns > 0) || ns < c->guess_ns) c->guess_ns = ns;
        }
        if (!(c->idle && b->n > 1) && (fastest == 0 || c->guess_ns < fastest))
            fastest = c->guess_ns;
    }
    for (int i = 0; i < b->n; i++) {
        const double slower = fastest > 0 ? b->cell[i]->guess_ns / fastest : 1;
        b->cell[i]->iters =
            fastest > 0 ? (long)ceil(SAMPLE_S * 1e9 / fastest / (slower > FAR ? slower / FAR : 1))
                        : 1;
    }
}

static void bench_add_cells(Bench *b)
{
    for (int i = 0; i < b->n; i++) {
        BenchCell *c = b->cell[i];
        if (!c->broken) c->id = gbench_add(b->g, c->name, c->work, c->ctx, c->ops, c->bytes);
    }
}

static void bench_sample(Bench *b, BenchCell *c, int round)
{
    const Disturbance before = disturbance_now();
    b->now = c;
    gbench_run(b->g, c->id, c->iters, b->attempt * b->plan.rounds + round);
    const Disturbance after = disturbance_now();
    BenchSample *s = &c->sample[c->samples - 1];
    s->switches = after.switches - before.switches;
    s->steal = disturbance_steal_between(&before, &after);
}

static void bench_rounds(Bench *b)
{
    int order[BENCH_CELLS], n = 0;
    for (int i = 0; i < b->n; i++) {
        b->cell[i]->samples = 0;
        if (!b->cell[i]->broken) order[n++] = i;
    }
    for (int r = 0; r < b->plan.rounds; r++) {
        shuffle(&b->rng, order, n, sizeof *order);
        for (b->position = 0; b->position < n; b->position++)
            bench_sample(b, b->cell[order[b->position]], r);
    }
}

static int bench_by_time(const void *x, const void *y)
{
    const BenchCell *a = *(BenchCell *const *)x, *c = *(BenchCell *const *)y;
    return (a->time.median > c->time.median) - (a->time.median < c->time.median);
}

/* Memory is shared with whoever else is on the machine: its limit is what the group's reader found
 * between their rounds */
static void bench_limits_by_reader(Bench *b)
{
    const BenchCell *reader = NULL;
    for (int i = 0; i < b->n; i++)
        if (b->cell[i]->reads) reader = b->cell[i];
    for (int i = 0; i < b->n && reader; i++) {
        BenchCell *c = b->cell[i];
        c->by_reader = c->read > 0;
        if (c->by_reader)
            bench_limit(c, c->compute, c->compute_ns, reader->limit,
                        c->read * reader->time.median / reader->bytes);
    }
}

static void bench_measure(Bench *b)
{
    bench_choose_iterations(b);
    bench_rounds(b);
    for (int i = 0; i < b->n; i++)
        if (!b->cell[i]->broken)
            b->cell[i]->time = stats_median(b->cell[i]->ns, b->cell[i]->samples, LEVEL, &b->group);
    bench_limits_by_reader(b);
    bench_probe_again(b);
}

static void bench_show(Bench *b, BenchCell *c)
{
    if (b->plan.json) bench_show_json(c);
    else bench_show_row(c, b->header++);
    if (b->db) bench_record_cell(b, c);
    b->broken += c->broken != NULL;
    b->disturbed += !c->broken && c->disturbed;
}

void bench_group(Bench *b)
{
    bench_add_cells(b);
    bench_measure(b);
    for (b->attempt = 0; bench_judge(b) && b->attempt < b->plan.again;) {
        bench_discard(b);
        b->attempt++;
        bench_measure(b);
    }
    for (int i = 0; i < b->n; i++)
        if (!b->cell[i]->broken) b->cell[i]->broken = bench_record_unreal(b->cell[i], &b->group);
    qsort(b->cell, (size_t)b->n, sizeof *b->cell, bench_by_time);
    for (int i = 0; i < b->n; i++) bench_show(b, b->cell[i]);
    if (b->n > 1 && !b->plan.json) putchar('\n');
    fflush(stdout);
    if (b->db) db_flush(b->db);
    b->shown += b->n;
    b->groups++;
    b->n = b->attempt = 0;
    arena_drop(&b->group);
    b->group = arena_new((size_t)1 << 35);
}

/* ---- the run ---- */
/* The filter of the plan, or that of its kind */
static void bench_compile(regex_t *filter, const BenchPlan *p, const BenchKind *kind)
{
    char why[128];
    const char *re = p->filter ? p->filter : p->shapes ? p->shapes : kind->filter;
    const int bad = regcomp(filter, re, REG_EXTENDED | REG_NOSUB);
    if (!bad) return;
    regerror(bad, filter, why, sizeof why);
    die("--%s %s: %s", p->filter ? "filter" : "shapes", re, why);
}

static const BenchKind *bench_kind(const char *name)
{
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(bench_kinds[i].name, name)) return &bench_kinds[i];
    die("bench %s: expected one of kernels, heads, ops, sequence, machine", name);
}

static Bench *bench_new(const BenchPlan *plan)
{
    Arena *home = arena_boot((size_t)1 << 30);
    Bench *b = arena_get(home, sizeof *b);
    b->home = home;
    b->plan = *plan;
    b->group = arena_new((size_t)1 << 35);
    b->host = host_read(home);
    b->rng = rng_at(plan->seed, STREAM_ROUND, 0);
    return b;
}

/* NULL, or why the command fails */
static const char *bench_end(Bench *b)
{
    const char *why = gbench_close(b->g);
    if (!why && *b->unreal) why = arena_text(b->home, "bench %s: %s", b->plan.what, b->unreal);
    if (!why && !b->shown)
        why = arena_text(b->home, "bench %s: %s", b->plan.what,
                         b->missed ? "every cell of such a name is skipped"
                                    : "no cell has such a name");
    return why;
}

static void bench_record_end(Bench *b, const char *why, double seconds, int *ended)
{
    if (!b->db) return;
    bench_record_disturbance(b);
    bench_note(b, "disturbed", b->disturbed);
    db_run_end(b->db, b->run, why || b->broken ? "fail" : "ok",
               why ? why : b->broken ? "a check failed" : "", seconds, 0);
    db_close(b->db);
    *ended = 1;
}

/* run: the row of its records; 0: nothing is recorded */
static int bench_body(const BenchPlan *plan, long run, int *ended)
{
    const BenchKind *kind = bench_kind(plan->what);
    Bench *b = bench_new(plan);
    const char *why;
    bench_compile(&b->filter, plan, kind);
    /* for libraries that would start threads of their own: the work is split above them */
    omp_set_num_threads(1);
    cpu_flush_denormals();
    b->g = gbench_open(b->plan.out, b->plan.rounds, bench_take, b, &why);
    if (!b->g) die("%s", why);
    if (run) bench_record_open(b, run);
    if (plan->quiet_wait > 0) bench_quiet_wait(b);
    const double start = clock_now();
    kind->run(b);
    if (b->db) bench_record_peaks(b);
    why = bench_end(b);
    bench_record_end(b, why, clock_now() - start, ended);
    if (why) die("%s", why);
    if (b->broken) fprintf(stderr, "%d of %d cells are wrong\n", b->broken, b->shown);
    if (b->disturbed)
        fprintf(stderr, "%d of %d cells were disturbed: figures leave them out\n", b->disturbed,
                b->shown);
    const int code = b->broken ? 1 : 0;
    regfree(&b->filter);
    arena_drop(&b->group);
    arena_drop(b->home);
    return code;
}

int bench_run(const BenchPlan *plan)
{
    int ended = 0;
    const BenchKind *kind = bench_kind(plan->what);
    regex_t filter;
    bench_compile(&filter, plan, kind);
    regfree(&filter);
    return plan->db ? bench_record_run(plan, bench_body) : bench_body(plan, 0, &ended);
}
