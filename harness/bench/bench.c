/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command bench: its words, the rounds, the table, the records.
 *
 *     for each group:  check every cell -> iterations = SAMPLE_S / the fastest, once for all of
 * them (see FAR) -> rounds of all cells in random order, one sample each -> medians with intervals
 * So what disturbs the machine meets every cell alike, and no cell is timed with another number of
 * iterations than its neighbours. */
#include "harness/bench/bench.h"
#include "harness/util/clock.h"
#include "harness/store/db.h"
#include "harness/util/options.h"
#include "kernels/cpu.h"
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <omp.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: eightysix bench kernels|heads|ops|machine [--filter RE] [--all] [--threads 1,2] "
    "[--rounds N] ...\n\n"
    "Checks, then times, cells of\n"
    "  kernels     the ternary product and dense float products: "
    "<kernel>/<rows>x<cols>/n<n>/t<threads>[/b<bits>][/cold]\n"
    "  heads       forward and backward of every output layer:   <head>/V<V>/d<d>/n<n>/t<threads>\n"
    "  ops         float operations by instruction set:          <op>/<isa>/<shape>\n"
    "  machine     what this CPU and its memory give at most:    <probe>/t<threads>\n\n"
    "  --filter RE   cells whose name matches (POSIX extended); without it a small set that takes "
    "a minute\n"
    "  --all         every cell; ref and portable only up to 2^30 multiply-adds\n"
    "  --threads L   numbers of threads, 1,2 (as many as there are cores; machine: one and all)\n"
    "  --cold        also n = 1 with weights from memory: 300 MB of copies in turn\n"
    "  --rounds N    samples of every cell (15); --seed N (1)\n"
    "  --json        one JSON object per cell and line instead of the table\n"
    "  --benchmark_out FILE   JSON of Google Benchmark, for its compare.py\n"
    "  --db FILE     where raw samples are recorded (results/results.db); --no-db records "
    "nothing\n\n"
    "A kernel's time is prepare + gemm. Cells of one shape share one number of iterations (a "
    "sample takes 5 ms or more) and\n"
    "are interleaved in random order. % is of the limit named beside it, probed in this run. [] is "
    "a 95 % interval.\n"
    "Exit 0: fine; 1: a check failed; 2: bad usage.\n";

enum { MOST_CELLS = 1024, MOST_PEAKS = 64, MOST_ROUNDS = 10000 };
#define SAMPLE_S 5e-3
#define LEVEL 0.95

struct Bench {
    BenchPlan   plan;
    Arena       home, group;
    Gbench     *g;
    regex_t     filter;
    BenchCell  *cell[MOST_CELLS], *now;
    int         n, position, shown, broken, header;
    double      peak[MOST_PEAKS][BENCH_THREADS + 1];
    /* the group of the last probe, from 1; groups done */
    int         probed[MOST_PEAKS][BENCH_THREADS + 1], groups;
    int         times[MOST_PEAKS][BENCH_THREADS + 1];               /* it was probed */
    const Host *host;
    Db         *db;
    long        run;
    Rng         rng;
};

static const struct { const char *name; void (*run)(Bench *); const char *filter;
} kinds[] = { { "kernels", bench_kernels,
                "(_(amx|avx512|avx2|neon|neon_dot|dnnl|openblas)|read)/(1024x1024|2560x2560)/"
                "n(1|512)/t[0-9]+(/cold)?$" },
              { "heads", bench_heads, "/n512/" },
              { "ops", bench_ops, "." },
              { "machine", bench_machine, "." } };
enum { KINDS = sizeof kinds / sizeof *kinds };

const BenchPlan *bench_plan(const Bench *b) { return &b->plan; }
Arena *bench_arena(Bench *b) { return &b->group; }
Arena *bench_home(Bench *b) { return &b->home; }

int bench_wants(Bench *b, const char *name)
{
    return (b->plan.all && !b->plan.filter) || !regexec(&b->filter, name, 0, NULL, 0);
}

BenchCell *bench_cell(Bench *b, const char *name, GbenchWork *work, void *ctx)
{
    if (!bench_wants(b, name)) return NULL;
    CHECK(b->n < MOST_CELLS);
    BenchCell *c = arena_get(&b->group, sizeof *c);
    c->name = arena_text(&b->group, "%s", name);
    c->work = work;
    c->ctx = ctx;
    c->ns = arena_get(&b->group, sizeof *c->ns * (size_t)b->plan.rounds);
    return b->cell[b->n++] = c;
}

void bench_skip(Bench *b, const char *what, const char *why)
{
    (void)b;
    fprintf(stderr, "skip  %s: %s\n", what, why);
}

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

double bench_peak(Bench *b, const char *name, int threads)
{
    CHECK(threads >= 1 && threads <= BENCH_THREADS);
    for (int i = 0; probes[i].name; i++) {
        CHECK(i < MOST_PEAKS);
        if (strcmp(probes[i].name, name)) continue;
        double *peak = &b->peak[i][threads];
        if (b->probed[i][threads] > b->groups || !probe_runs_here(&probes[i])) return *peak;
        const double now = machine_probe(&probes[i], threads);      /* once in every group */
        const int bytes = !strcmp(probes[i].unit, "B/s"), k = b->times[i][threads]++;
        *peak = bytes ? (*peak * k + now) / (k + 1) : now > *peak ? now : *peak;
        b->probed[i][threads] = b->groups + 1;
        return *peak;
    }
    return 0;
}

static void take(void *ctx, int bench, const char *name, int round, double ns, long iters)
{
    Bench *b = ctx;
    BenchCell *c = b->now;
    CHECK(bench == c->id && !strcmp(name, c->name) && c->samples < b->plan.rounds);
    c->ns[c->samples++] = ns;
    if (b->db)
        db_record(b->db, b->run,
                  &(Record) { .kind = 'p',
                              .name = name,
                              .step = round,
                              .position = b->position,
                              .value = ns * (double)iters,
                              .iters = iters });
}

/* ---- one group ---- */
/* One number for all, but for what is FAR slower than the fastest: that takes fewer, and its
 * samples are longer all the same */
enum { FAR = 20 };
static void choose_iterations(Bench *b)
{
    double fastest = 0;
    for (int i = 0; i < b->n; i++) {
        BenchCell *c = b->cell[i];
        if (c->broken) continue;
        c->work(c->ctx, 1);
        for (int k = 0; k < 3; k++) {      /* the least: a call that was disturbed says too much */
            const double ns = bench_time(c->work, c->ctx, SAMPLE_S / 10, NULL);
            if (k == 0 || ns < c->guess_ns) c->guess_ns = ns;
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

static void rounds(Bench *b)
{
    int order[MOST_CELLS], n = 0;
    for (int i = 0; i < b->n; i++) {
        BenchCell *c = b->cell[i];
        if (c->broken) continue;
        c->id = gbench_add(b->g, c->name, c->work, c->ctx, c->ops, c->bytes);
        order[n++] = i;
    }
    for (int r = 0; r < b->plan.rounds; r++) {
        for (int i = n - 1; i > 0; i--) {
            const int j = (int)rng_below(&b->rng, (uint64_t)i + 1), kept = order[i];
            order[i] = order[j];
            order[j] = kept;
        }
        for (b->position = 0; b->position < n; b->position++) {
            b->now = b->cell[order[b->position]];
            gbench_run(b->g, b->now->id, b->now->iters, r);
        }
    }
}

static double percent(const BenchCell *c)
{
    return c->limit_ns > 0 && !c->reads ? 100 * c->limit_ns / c->time.median : NAN;
}

static const char *human(char *out, size_t size, double ns)
{
    if (ns < 1e4) snprintf(out, size, "%.0f ns", ns);
    else if (ns < 1e7) snprintf(out, size, "%.1f us", ns / 1e3);
    else snprintf(out, size, "%.1f ms", ns / 1e6);
    return out;
}

static void show_row(Bench *b, const BenchCell *c)
{
    char time[32], low[32], rate[64] = "", bytes[32] = "", limit[64] = "", more[96] = "";
    if (!b->header++)
        printf("%-40s %10s %9s %19s %8s  %s\n", "cell", "time", "GOP/s", "[95 %]", "GB/s",
               "of the limit");
    if (c->broken) {
        printf("%-40s WRONG: %s\n", c->name, c->broken);
        return;
    }
    if (c->ops > 0)
        snprintf(rate, sizeof rate, "%9.1f [%8.1f,%8.1f]", c->ops / c->time.median,
                 c->ops / c->time.high, c->ops / c->time.low);
    else
        snprintf(rate, sizeof rate, "%9s [%s]", "",
                 human(low, sizeof low, c->time.high - c->time.low));
    if (c->bytes > 0) snprintf(bytes, sizeof bytes, "%.1f", c->bytes / c->time.median);
    if (c->reads) snprintf(limit, sizeof limit, "       %s", c->limit);
    else if (c->limit) snprintf(limit, sizeof limit, "%4.0f %% %s", percent(c), c->limit);
    if (c->per > 0)
        snprintf(more, sizeof more, "%.2f us a position, %.0f MB", c->time.median / c->per / 1e3,
                 c->memory / 1e6);
    printf("%-40s %10s %-30s %8s  %s%s\n", c->name, human(time, sizeof time, c->time.median), rate,
           bytes, limit, more);
}

/* a number, or null for what is not one: strict JSON has neither NaN nor infinity */
static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static void show_json(const BenchCell *c)
{
    json_t *o = json_object();
    const int ok = !c->broken;
    json_object_set_new(o, "name", json_string(c->name));
    json_object_set_new(o, "ok", json_boolean(ok));
    json_object_set_new(o, "gops", number(ok && c->ops > 0 ? c->ops / c->time.median : NAN));
    json_object_set_new(o, "gbs", number(ok && c->bytes > 0 ? c->bytes / c->time.median : NAN));
    json_object_set_new(o, "limit", c->limit ? json_string(c->limit) : json_null());
    json_object_set_new(o, "percent_of_limit", number(ok ? percent(c) : NAN));
    json_object_set_new(o, "median_ns", number(ok ? c->time.median : NAN));
    json_object_set_new(o, "ci_low", number(ok ? c->time.low : NAN));
    json_object_set_new(o, "ci_high", number(ok ? c->time.high : NAN));
    if (c->prepare_ns > 0) json_object_set_new(o, "prepare_ns", number(c->prepare_ns));
    if (c->per > 0)
        json_object_set_new(o, "ns_per_position", number(ok ? c->time.median / c->per : NAN));
    if (c->memory > 0) json_object_set_new(o, "memory_bytes", number(c->memory));
    if (c->broken) json_object_set_new(o, "error", json_string(c->broken));
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
    CHECK(text);
    puts(text);
    free(text);
    json_decref(o);
}

static void record(Bench *b, const BenchCell *c)
{
    const struct { const char *what; double value;
    } number_of[] = { { "ops", c->ops },
                      { "bytes", c->bytes },
                      { "limit_ns", c->limit_ns },
                      { "prepare_ns", c->prepare_ns },
                      { "memory", c->memory },
                      { "positions", c->per },
                      { "ci_low", c->broken ? 0 : c->time.low },
                      { "ci_high", c->broken ? 0 : c->time.high } };
    for (size_t i = 0; i < sizeof number_of / sizeof *number_of; i++)
        if (number_of[i].value > 0)
            db_record(
                b->db, b->run,
                &(Record) { .kind = 'n',
                            .value = number_of[i].value,
                            .name = arena_text(&b->group, "%s:%s", number_of[i].what, c->name) });
    if (c->limit)
        db_record(b->db, b->run,
                  &(Record) { .kind = 't',
                              .text = c->limit,
                              .name = arena_text(&b->group, "limit:%s", c->name) });
    if (c->broken)
        db_record(b->db, b->run,
                  &(Record) { .kind = 't',
                              .text = c->broken,
                              .name = arena_text(&b->group, "wrong:%s", c->name) });
}

static int by_time(const void *x, const void *y)
{
    const BenchCell *a = *(BenchCell *const *)x, *c = *(BenchCell *const *)y;
    return (a->time.median > c->time.median) - (a->time.median < c->time.median);
}

/* Memory is shared with whoever else is on the machine: its limit is what the group's reader found
 * between their rounds */
static void limits_by_reader(Bench *b)
{
    const BenchCell *reader = NULL;
    for (int i = 0; i < b->n; i++)
        if (b->cell[i]->reads) reader = b->cell[i];
    for (int i = 0; i < b->n && reader; i++) {
        BenchCell *c = b->cell[i];
        if (c->read > 0)
            bench_limit(c, c->compute, c->compute_ns, reader->limit,
                        c->read * reader->time.median / reader->bytes);
    }
}

void bench_group(Bench *b)
{
    choose_iterations(b);
    rounds(b);
    for (int i = 0; i < b->n; i++)
        if (!b->cell[i]->broken)
            b->cell[i]->time = stats_median(b->cell[i]->ns, b->cell[i]->samples, LEVEL, &b->group);
    limits_by_reader(b);
    qsort(b->cell, (size_t)b->n, sizeof *b->cell, by_time);
    for (int i = 0; i < b->n; i++) {
        if (b->plan.json) show_json(b->cell[i]);
        else show_row(b, b->cell[i]);
        if (b->db) record(b, b->cell[i]);
        b->broken += b->cell[i]->broken != NULL;
    }
    if (b->n > 1 && !b->plan.json) putchar('\n');
    fflush(stdout);
    if (b->db) db_flush(b->db);
    b->shown += b->n;
    b->groups++;
    b->n = 0;
    arena_drop(&b->group);
    b->group = arena_new((size_t)1 << 35);
}

/* ---- the command ---- */
static long whole(const char *option, const char *text, long least, long most)
{
    char *end;
    errno = 0;
    const long x = strtol(text, &end, 10);
    if (errno || end == text || *end || x < least || x > most)
        die("%s %s: expected a whole number, %ld to %ld", option, text, least, most);
    return x;
}

static void read_threads(BenchPlan *p, const char *text, int both)
{
    char words[8192], *save = NULL;
    const int cores = omp_get_num_procs() < BENCH_THREADS ? omp_get_num_procs() : BENCH_THREADS;
    if (!text) {
        if (both && cores > 1) p->threads[p->n_threads++] = 1;
        p->threads[p->n_threads++] = cores;
        return;
    }
    if (strlen(text) >= sizeof words) die("--threads: expected at most %d numbers", BENCH_THREADS);
    snprintf(words, sizeof words, "%s", text);
    for (char *w = strtok_r(words, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        if (p->n_threads == BENCH_THREADS)
            die("--threads %s: expected at most %d numbers", text, BENCH_THREADS);
        p->threads[p->n_threads++] = (int)whole("--threads", w, 1, BENCH_THREADS);
    }
    if (!p->n_threads) die("--threads: expected numbers, as in 1,2");
}

static int read_words(Bench *b, int argc, char **argv)
{
    BenchPlan *p = &b->plan;
    const char *threads = NULL, *n_rounds = "15", *seed = "1";
    int no_db = 0, kind = 0;
    p->db = "results/results.db";
    const Option options[] = { { "--filter", &p->filter, NULL },
                               { "--all", NULL, &p->all },
                               { "--threads", &threads, NULL },
                               { "--cold", NULL, &p->cold },
                               { "--rounds", &n_rounds, NULL },
                               { "--seed", &seed, NULL },
                               { "--json", NULL, &p->json },
                               { "--benchmark_out", &p->out, NULL },
                               { "--db", &p->db, NULL },
                               { "--no-db", NULL, &no_db },
                               { 0 } };
    const int words = options_read(argc, argv, options, help);
    if (words != 1)
        die("bench: expected one of kernels, heads, ops, machine; see eightysix bench --help");
    while (kind < KINDS && strcmp(argv[1], kinds[kind].name)) kind++;
    if (kind == KINDS) die("bench %s: expected one of kernels, heads, ops, machine", argv[1]);
    p->what = kinds[kind].name;
    p->rounds = (int)whole("--rounds", n_rounds, 1, MOST_ROUNDS);
    p->seed = (uint64_t)whole("--seed", seed, 0, INT64_MAX);
    read_threads(p, threads, !strcmp(p->what, "machine"));
    if (no_db) p->db = NULL;
    char why[128];
    const char *re = p->filter ? p->filter : kinds[kind].filter;
    const int bad = regcomp(&b->filter, re, REG_EXTENDED | REG_NOSUB);
    if (bad) {
        regerror(bad, &b->filter, why, sizeof why);
        die("--filter %s: %s", re, why);
    }
    return kind;
}

static void record_begin(Bench *b)
{
    const BenchPlan *p = &b->plan;
    const char *why;
    char key[65], threads[8192] = "";
    b->db = db_open(p->db, &b->home, &why);
    if (!b->db) die("%s", why);
    for (int i = 0; i < p->n_threads; i++)
        snprintf(threads + strlen(threads), sizeof threads - strlen(threads), "%s%d", i ? "," : "",
                 p->threads[i]);
    const char *spec =
        arena_text(&b->home, "bench %s filter=%s threads=%s cold=%d rounds=%d seed=%llu", p->what,
                   p->filter ? p->filter
                   : p->all  ? "all"
                             : "default",
                   threads, p->cold, p->rounds, (unsigned long long)p->seed);
    db_experiment(b->db, "bench", "", spec);
    b->run = db_run_start(b->db, "bench", sha256_hex(spec, strlen(spec), key), spec);
    db_config(b->db, b->run, "bench", p->what);
    db_config(b->db, b->run, "threads", threads);
}

static void record_peaks(Bench *b)
{
    for (int i = 0; probes[i].name; i++)
        for (int t = 1; t <= BENCH_THREADS; t++)
            if (b->peak[i][t] > 0)
                db_record(
                    b->db, b->run,
                    &(Record) { .kind = 'n',
                                .value = b->peak[i][t],
                                .name = arena_text(&b->home, "peak:%s/t%d", probes[i].name, t) });
}

int bench_with(int argc, char **argv, const TernaryKernel *const *kernels)
{
    Arena home = arena_new((size_t)1 << 30);
    Bench *b = arena_get(&home, sizeof *b);
    const char *why;
    b->home = home;
    b->plan.kernels = kernels;
    const int kind = read_words(b, argc, argv);
    b->group = arena_new((size_t)1 << 35);
    b->host = host_read(&b->home);
    b->rng = rng_at(b->plan.seed, STREAM_ROUND, 0);
    /* for libraries that would start threads of their own: the work is split above them */
    omp_set_num_threads(1);
    cpu_flush_denormals();
    b->g = gbench_open(b->plan.out, b->plan.rounds, take, b, &why);
    if (!b->g) die("%s", why);
    if (b->plan.db) record_begin(b);
    const double from = clock_now();
    kinds[kind].run(b);
    if (b->db) record_peaks(b);
    why = gbench_close(b->g);
    if (b->db) {
        db_run_end(b->db, b->run, b->broken ? "fail" : "ok", b->broken ? "a check failed" : "",
                   clock_now() - from, 0);
        db_close(b->db);
    }
    if (why) die("%s", why);
    if (!b->shown) die("bench %s: no cell has such a name", b->plan.what);
    if (b->broken) fprintf(stderr, "%d of %d cells are wrong\n", b->broken, b->shown);
    const int code = b->broken ? 1 : 0;
    regfree(&b->filter);
    arena_drop(&b->group);
    home = b->home;
    arena_drop(&home);
    return code;
}

/* Threads stay on their cores: two that meet on one, beside other jobs, make a barrier a thousand
 * times slower. The runtime reads its settings before main, so the program begins anew. */
int bench_main(int argc, char **argv)
{
    if (!getenv("OMP_PROC_BIND") && !setenv("OMP_PROC_BIND", "close", 1))
        /* main has passed its words from the command on */
        execv("/proc/self/exe", argv - 1);
    return bench_with(argc, argv, ternary_kernels);
}
