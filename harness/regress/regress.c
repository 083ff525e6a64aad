/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command regress: two builds, laws and quality, then rounds until every benchmark is decided or the
 * looks are used up, instruction counts, the verdict.
 *
 * Every run carries its own proof. A probe benchmark has two sides more: a second copy of base, which must
 * not differ, and base with a delay of 5 %, which must be found REGRESSED. If either goes wrong the verdict
 * of the run is INVALID. */
#include "harness/regress/regress.h"
#include "harness/sweep/child.h"
#include "harness/util/clock.h"
#include "harness/util/progress.h"
#include "harness/util/options.h"
#include <errno.h>
#include <math.h>
#include <regex.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: eightysix regress --base REF --head REF [--rounds N] [--filter RE] [--markdown FILE] [--junit FILE] ...\n\n"
    "Builds two commits in work trees under build/regress, with one make and one compiler, and says whether head is slower or\n"
    "worse than base. REF may be the path of a program that was built before. Run it in the root of the repository.\n\n"
    "  --rounds N        of the first look (20); what is undecided then gets as many again\n"
    "  --samples K       of a block, 10 ms or more each (5)\n"
    "  --floor P         percent that nobody minds (2)\n"
    "  --filter RE       benchmarks whose name matches (POSIX extended)\n"
    "  --seed N          of the order of blocks (1); --cpu C the core to run on (the last); --jobs N of make (all cores)\n"
    "  --always          measure even when the code is the same\n"
    "  --times-only      no laws, no quality, no instruction counts\n"
    "  --accept-quality  losses may get better by more than the tolerance; --quality P sets that tolerance, percent (0.1)\n"
    "  --markdown FILE   a report for a pull request; --junit FILE: one for CI\n"
    "  --db FILE         where raw samples and verdicts go (results/results.db); --no-db records nothing\n\n"
    "exit code: 0 pass; 1 a regression, or wrong results; 2 bad usage, or a build that fails; 3 inconclusive, or an invalid\n"
    "measurement; 130 interrupted. results/BENCHMARKS.md explains.\n";

enum { SIDE_BASE, SIDE_HEAD, SIDE_CONTROL, SIDE_CANARY, SIDES, MOST_ROUNDS = 1000, MOST_SAMPLES = 100 };
static const char *const side_names[] = { "base", "head", "control", "canary" };
#define BLOCK_LIMIT_S 120
#define DELAY 0.05

typedef struct Options {
    const char *base, *head, *filter, *markdown, *junit, *db;
    int         rounds, samples, cpu, jobs, always, times_only, accept;
    uint64_t    seed;
    double      tolerance;
} Options;

typedef struct Run {
    Gate        gate;
    Options     o;
    Arena       home, round;             /* round: what one round needs */
    const char *binary[SIDES];
    const char *quality[GATE_MOST], *quality_words[GATE_MOST];
    int         qualities;
    GateRecord *record;                  /* NULL: nothing is recorded */
    double      began;
} Run;

/* ---- what both builds can do ---- */
typedef struct Lists {
    GateBench   bench[GATE_MOST];
    const char *quality[GATE_MOST], *words[GATE_MOST];
    int         benches, qualities;
    Arena      *a;
} Lists;

static void hear_list(void *ctx, const Record *l)
{
    Lists *s = ctx;
    char name[256];
    double budget;
    int probe, end = 0;
    if (l->kind != 't') return;
    if (!strcmp(l->name, "bench") && s->benches < GATE_MOST &&
        sscanf(l->text, "%255s %lf %d", name, &budget, &probe) == 3)
        s->bench[s->benches++] = (GateBench){ .name = arena_text(s->a, "%s", name), .budget = budget / 100,
                                              .probe = probe };
    if (!strcmp(l->name, "quality") && s->qualities < GATE_MOST && sscanf(l->text, "%255s %n", name, &end) == 1) {
        s->quality[s->qualities] = arena_text(s->a, "%s", name);
        s->words[s->qualities++] = arena_text(s->a, "%s", l->text + end);
    }
}

static Lists *list_of(const GateBuild *b, Arena *a)
{
    Lists *s = arena_get(a, sizeof *s);
    s->a = a;
    const char *const words[] = { b->binary, "regress-sample", "list", NULL };
    gate_run(words, BLOCK_LIMIT_S, hear_list, s, a);
    return s;
}

static int index_of(const char *const *list, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(list[i], name)) return i;
    return -1;
}

static const GateBench *bench_of(const Lists *s, const char *name)
{
    for (int i = 0; i < s->benches; i++)
        if (!strcmp(s->bench[i].name, name)) return &s->bench[i];
    return NULL;
}

/* Budgets, probes and settings are base's: a commit cannot loosen its own gate. */
static void choose(Run *r)
{
    Gate *g = &r->gate;
    Arena *a = &r->home;
    const Lists *base = list_of(g->base, a), *head = list_of(g->head, a);
    regex_t re;
    const char *filter = r->o.filter ? r->o.filter : ".";
    if (regcomp(&re, filter, REG_EXTENDED | REG_NOSUB))
        die("--filter %s: not a POSIX extended regular expression", filter);
    g->bench = arena_get(a, sizeof *g->bench * GATE_MOST);
    for (int i = 0; i < base->benches; i++) {
        if (regexec(&re, base->bench[i].name, 0, NULL, 0)) continue;
        if (bench_of(head, base->bench[i].name)) g->bench[g->benches++] = base->bench[i];
        else gate_note(g, arena_text(a, "%s: gone from head, not compared", base->bench[i].name));
    }
    for (int i = 0; i < head->benches; i++)
        if (!bench_of(base, head->bench[i].name))
            gate_note(g, arena_text(a, "%s: new in head, nothing to compare with", head->bench[i].name));
    for (int i = 0; i < head->qualities; i++) {
        const int k = index_of(base->quality, base->qualities, head->quality[i]);
        r->quality[r->qualities] = head->quality[i];
        r->quality_words[r->qualities++] = k < 0 ? head->words[i] : base->words[k];
    }
    for (int i = 0; i < base->qualities; i++)
        if (index_of(head->quality, head->qualities, base->quality[i]) < 0)
            gate_note(g, arena_text(a, "%s: its quality is gone from head, not compared", base->quality[i]));
    regfree(&re);
    if (!g->benches) die("--filter %s: no benchmark that both builds have has such a name", filter);
    int probes = 0;
    for (int i = 0; i < g->benches; i++) probes += g->bench[i].probe;
    if (!probes) g->bench[0].probe = 1;      /* no run without its proof, whatever the filter */
    if (strcmp(g->base->compiler, g->head->compiler))
        gate_note(g, "compilers differ: the comparison includes that");
    if (strcmp(g->base->flags, g->head->flags)) gate_note(g, "compiler flags differ: the change includes that");
}

/* ---- blocks ---- */
typedef struct Block { double ns[MOST_SAMPLES], whole[MOST_SAMPLES]; int n; long iters, switches, steal; } Block;

static void hear_block(void *ctx, const Record *l)
{
    Block *b = ctx;
    if (l->kind == 'p' && b->n < MOST_SAMPLES && l->iters > 0) {
        b->whole[b->n] = l->value;
        b->ns[b->n++] = l->value / (double)l->iters;
    }
    if (l->kind != 'n') return;
    if (!strcmp(l->name, "iters")) b->iters = (long)l->value;
    if (!strcmp(l->name, "switches")) b->switches = (long)l->value;
    if (!strcmp(l->name, "steal")) b->steal = (long)l->value;
}

/* iters 0: asks how many it should be */
static Block block(Run *r, const char *bench, int side, long iters)
{
    Arena *a = &r->round;
    Block b = { .n = 0 };
    const char *const words[] = { "OMP_NUM_THREADS=1", r->binary[side], "regress-sample", "time", bench,
        "--iters", arena_text(a, "%ld", iters),
        "--samples", arena_text(a, "%d", r->o.samples), "--cpu", arena_text(a, "%d", r->o.cpu), "--delay",
        side == SIDE_CANARY ? arena_text(a, "%g", r->gate.delay) : "0", NULL };
    const GateRun run = gate_run(words, BLOCK_LIMIT_S, hear_block, &b, a);
    if (gate_interrupted()) return b;
    if (strcmp(run.status, "ok")) die("%s of %s: %s: %s", bench, side_names[side], run.status, run.error);
    if (iters ? b.n != r->o.samples : b.iters < 1)
        die("%s of %s: expected %d samples, got %d", bench, side_names[side], r->o.samples, b.n);
    return b;
}

static void calibrate(Run *r)
{
    for (int i = 0; i < r->gate.benches && !gate_interrupted(); i++) {
        GateBench *b = &r->gate.bench[i];
        for (int side = SIDE_BASE; side <= SIDE_HEAD; side++) {
            const long iters = block(r, b->name, side, 0).iters;
            if (iters > b->iters) b->iters = iters;
        }
        arena_reset(&r->round, 0);
    }
}

static int is_open(const GateBench *b)
{
    const int probe = b->probe && (b->control.verdict == GATE_UNKNOWN || b->canary.verdict == GATE_UNKNOWN);
    return b->pair.verdict == GATE_UNKNOWN || probe;
}

static void shuffle(int *x, int n, Rng *rng)
{
    for (int i = n - 1; i > 0; i--) {
        const int j = (int)rng_below(rng, (uint64_t)i + 1), kept = x[i];
        x[i] = x[j];
        x[j] = kept;
    }
}

/* One round of one benchmark: its sides in random order and back; appends d of whatever is open. */
static void round_of(Run *r, GateBench *b, int round, Rng *rng)
{
    double ns[SIDES][2 * MOST_SAMPLES];
    int order[SIDES] = { SIDE_BASE, SIDE_HEAD, SIDE_CONTROL, SIDE_CANARY }, n[SIDES] = { 0 };
    const int sides = b->probe ? SIDES : 2;
    shuffle(order, sides, rng);
    for (int i = 0; i < 2 * sides && !gate_interrupted(); i++) {
        const int side = order[i < sides ? i : 2 * sides - 1 - i];
        const Block k = block(r, b->name, side, b->iters);
        for (int s = 0; s < k.n; s++) ns[side][n[side]++] = k.ns[s];
        b->switches += k.switches;
        b->steal += k.steal;
        const GateBlock kept = { b->name, side_names[side], round, i, k.n, k.whole, b->iters, k.switches, k.steal };
        if (r->record) gate_record_block(r->record, &kept);
    }
    if (gate_interrupted()) return;
    GateCase *const cases[] = { NULL, &b->pair, &b->control, &b->canary };
    for (int side = 1; side < sides; side++) {
        if (cases[side]->verdict != GATE_UNKNOWN) continue;
        double *d = (double *)cases[side]->d;
        d[cases[side]->rounds++] = gate_shift(ns[SIDE_BASE], n[SIDE_BASE], ns[side], n[side], &r->round);
    }
    b->base_ns[b->rounds] = stats_quantile(ns[SIDE_BASE], n[SIDE_BASE], 0.5, &r->round);
    b->head_ns[b->rounds++] = stats_quantile(ns[SIDE_HEAD], n[SIDE_HEAD], 0.5, &r->round);
}

static void one_round(Run *r, int round, int of)
{
    Gate *g = &r->gate;
    int order[GATE_MOST];
    Rng rng = rng_at(r->o.seed, STREAM_ROUND, (uint64_t)round);
    for (int i = 0; i < g->benches; i++) order[i] = i;
    shuffle(order, g->benches, &rng);
    if (progress_terminal()) progress_say("round %d of %d, %.0f s", round + 1, of, clock_now() - r->began);
    for (int i = 0; i < g->benches && !gate_interrupted(); i++) {
        if (is_open(&g->bench[order[i]])) round_of(r, &g->bench[order[i]], round, &rng);
        arena_reset(&r->round, 0);
    }
    if (r->record) gate_record_flush(r->record);
}

/* Benchmarks are one family; controls another, and so are canaries: a canary is not made harder to see by the
 * number of benchmarks, nor is a control let off by it. */
static int decide(Run *r, int look)
{
    Gate *g = &r->gate;
    GateCase pair[GATE_MOST], control[GATE_MOST], canary[GATE_MOST];
    int probes = 0, open = 0;
    for (int i = 0; i < g->benches; i++) pair[i] = g->bench[i].pair;
    for (int i = 0; i < g->benches; i++)
        if (g->bench[i].probe) control[probes] = g->bench[i].control, canary[probes++] = g->bench[i].canary;
    gate_decide(&g->rule, pair, g->benches, look, &r->round);
    if (probes) {
        gate_decide(&g->rule, control, probes, look, &r->round);
        gate_decide(&g->rule, canary, probes, look, &r->round);
    }
    for (int i = g->benches - 1; i >= 0; i--) {
        GateBench *b = &g->bench[i];
        b->pair = pair[i];
        if (b->probe) b->control = control[--probes], b->canary = canary[probes];
        open += is_open(b);
    }
    return open;
}

static void add_up(Gate *g)
{
    for (int i = 0; i < g->benches; i++) {
        const GateBench *b = &g->bench[i];
        g->total.regressed += b->pair.verdict == GATE_REGRESSED;
        g->total.unknown += b->pair.verdict == GATE_UNKNOWN;
        if (!b->probe) continue;
        const int moved = b->control.verdict == GATE_REGRESSED || b->control.verdict == GATE_IMPROVED;
        g->total.invalid += moved + (b->canary.verdict != GATE_REGRESSED);
    }
}

static void prepare_cases(Run *r)
{
    const size_t bytes = sizeof(double) * (size_t)(r->o.rounds * r->gate.rule.looks);
    for (int i = 0; i < r->gate.benches; i++) {
        GateBench *b = &r->gate.bench[i];
        GateCase *const cases[] = { &b->pair, &b->control, &b->canary };
        b->base_ns = arena_get(&r->home, bytes);
        b->head_ns = arena_get(&r->home, bytes);
        for (int k = 0; k < 3; k++)
            *cases[k] = (GateCase){ .name = b->name, .budget = b->budget, .d = arena_get(&r->home, bytes) };
    }
}

static void measure(Run *r)
{
    Gate *g = &r->gate;
    int open = 1;
    prepare_cases(r);
    calibrate(r);
    for (int look = 1; look <= g->rule.looks && open && !gate_interrupted(); look++) {
        for (int i = (look - 1) * r->o.rounds; i < look * r->o.rounds && !gate_interrupted(); i++)
            one_round(r, i, look * r->o.rounds);
        if (!gate_interrupted()) open = decide(r, look);
    }
    progress_clear();
}

/* ---- the command ---- */
static double number(const char *option, const char *text, double least, double most)
{
    char *end;
    errno = 0;
    const double x = strtod(text, &end);
    if (errno || end == text || *end || !(x >= least && x <= most))
        die("%s %s: expected a number, %g to %g", option, text, least, most);
    return x;
}

static int last_core(void)
{
    cpu_set_t set;
    int last = 0;
    if (sched_getaffinity(0, sizeof set, &set)) return 0;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET((size_t)i, &set)) last = i;
    return last;
}

static void read_words(Run *r, int argc, char **argv)
{
    Options *o = &r->o;
    const char *rounds = "20", *samples = "5", *floor = "2", *seed = "1", *quality = "0.1", *cpu = NULL, *jobs = NULL;
    int no_db = 0;
    o->db = "results/results.db";
    const Option options[] = {
        { "--base", &o->base, NULL }, { "--head", &o->head, NULL }, { "--rounds", &rounds, NULL },
        { "--samples", &samples, NULL }, { "--floor", &floor, NULL }, { "--filter", &o->filter, NULL },
        { "--seed", &seed, NULL }, { "--cpu", &cpu, NULL }, { "--jobs", &jobs, NULL },
        { "--always", NULL, &o->always }, { "--times-only", NULL, &o->times_only },
        { "--accept-quality", NULL, &o->accept }, { "--quality", &quality, NULL },
        { "--markdown", &o->markdown, NULL }, { "--junit", &o->junit, NULL }, { "--db", &o->db, NULL },
        { "--no-db", NULL, &no_db }, { 0 } };
    if (options_read(argc, argv, options, help))
        die("regress %s: expected options only; see eightysix regress --help", argv[1]);
    if (!o->base || !o->head) die("regress: expected --base REF and --head REF");
    o->rounds = (int)number("--rounds", rounds, 2, MOST_ROUNDS);
    o->samples = (int)number("--samples", samples, 1, MOST_SAMPLES);
    o->seed = (uint64_t)number("--seed", seed, 0, 1e15);
    o->cpu = cpu ? (int)number("--cpu", cpu, 0, CPU_SETSIZE - 1) : last_core();
    o->jobs = jobs ? (int)number("--jobs", jobs, 1, 1024) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    o->tolerance = number("--quality", quality, 0, 100) / 100;
    if (no_db) o->db = NULL;
    r->gate.rule = gate_rule;
    r->gate.rule.floor = number("--floor", floor, 0, 100) / 100;
    r->gate.rounds = o->rounds;
    r->gate.delay = DELAY;
}

static const char *copy_of(const char *binary, const char *name, Arena *a)
{
    const char *path = arena_text(a, "build/regress/%s", name);
    const char *const words[] = { "cp", "--", binary, path, NULL };
    const GateRun r = gate_run(words, BLOCK_LIMIT_S, NULL, NULL, a);
    if (strcmp(r.status, "ok")) die("%s: %s", path, r.error);
    return path;
}

static void build_both(Run *r)
{
    Gate *g = &r->gate;
    Arena *a = &r->home;
    fprintf(stderr, "building base %s and head %s\n", r->o.base, r->o.head);
    g->base = gate_build(r->o.base, "base", r->o.jobs, a);
    g->head = gate_build(r->o.head, "head", r->o.jobs, a);
    const int known = (g->base->n_objects || !g->base->tree) && (g->head->n_objects || !g->head->tree);
    g->equal = known && !strcmp(g->base->code, g->head->code) && !r->o.always;
    r->binary[SIDE_BASE] = r->binary[SIDE_CANARY] = g->base->binary;
    r->binary[SIDE_HEAD] = g->head->binary;
    r->binary[SIDE_CONTROL] = copy_of(g->base->binary, "control", a);
}

static void report_to(const char *path, void (*report)(const Gate *, FILE *), const Gate *g)
{
    if (!path) return;
    FILE *f = fopen(path, "w");
    if (!f) die("%s: cannot be written: %s", path, strerror(errno));
    report(g, f);
    if (fclose(f)) die("%s: cannot be written: %s", path, strerror(errno));
}

static const char *spec_of(Run *r)
{
    const Options *o = &r->o;
    return arena_text(&r->home, "regress base=%s head=%s filter=%s rounds=%d samples=%d floor=%g seed=%llu cpu=%d",
                      gate_build_name(r->gate.base), gate_build_name(r->gate.head), o->filter ? o->filter : ".",
                      o->rounds, o->samples, r->gate.rule.floor, (unsigned long long)o->seed, o->cpu);
}

static void gate(Run *r)
{
    Gate *g = &r->gate;
    build_both(r);
    choose(r);
    if (r->o.db) r->record = gate_record_begin(g, r->o.db, spec_of(r), &r->home);
    if (!g->equal) {
        if (r->o.times_only) gate_note(g, "times only: laws, quality and instructions were not looked at");
        else {
            fputs("laws and quality\n", stderr);
            gate_check_laws(g, &r->home);
            gate_check_quality(g, r->quality, r->quality_words, r->qualities, r->o.tolerance, r->o.accept,
                               &r->home);
        }
        measure(r);
        if (!r->o.times_only && !gate_interrupted()) gate_check_counts(g, &r->home);
        add_up(g);
    }
}

int regress_main(int argc, char **argv)
{
    Arena home = arena_new((size_t)1 << 32);
    Run *r = arena_get(&home, sizeof *r);
    r->home = home;
    r->round = arena_new((size_t)1 << 30);
    r->gate.note = arena_get(&r->home, sizeof *r->gate.note * GATE_MOST);
    r->began = clock_now();
    read_words(r, argc, argv);
    gate(r);
    const Gate *g = &r->gate;
    const int stopped = gate_interrupted(), code = stopped ? 130 : gate_code(&g->total);
    if (r->record && !stopped) gate_record_verdicts(r->record, g), gate_record_history(r->record, &r->gate);
    if (r->record) gate_record_end(r->record, stopped, clock_now() - r->began);
    gate_build_drop(g->base);
    gate_build_drop(g->head);
    if (!stopped) {
        gate_report(g, stdout);
        report_to(r->o.markdown, gate_markdown, g);
        report_to(r->o.junit, gate_junit, g);
    }
    home = r->home;
    Arena round = r->round;
    arena_drop(&round);
    arena_drop(&home);
    return code;
}
