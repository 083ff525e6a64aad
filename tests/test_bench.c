/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The shim: samples arrive, iterations are those asked for, its file is what compare.py reads. The
 * command: a kernel that is wrong on one shape only is found on that shape, and is not timed. */
#include "harness/bench/bench.h"
#include "kernels/cpu.h"
#include "kernels/gemm.h"
#include "tests/place.h"
#include <jansson.h>
#include <math.h>
#include <signal.h>

enum { ROUNDS = 3 };
typedef struct { int bench, round; long iters; double ns; char name[32]; } Sample;
typedef struct { Sample s[16]; int n; } Samples;

static void take(void *ctx, int bench, const char *name, int round, double ns, long iters)
{
    Samples *all = ctx;
    Sample *s = &all->s[all->n++];
    *s = (Sample){ .bench = bench, .round = round, .iters = iters, .ns = ns };
    snprintf(s->name, sizeof s->name, "%s", name);
}

static void count(void *ctx, long iters) { *(long *)ctx += iters; }
static void sleeps(void *ctx, long iters)
{
    (void)ctx;
    for (; iters > 0; iters--) usleep(2000);
}

static void check_entry(const json_t *e, const Sample *s)
{
    assert_string_equal(json_string_value(json_object_get(e, "name")), s->name);
    assert_string_equal(json_string_value(json_object_get(e, "run_name")), s->name);
    assert_string_equal(json_string_value(json_object_get(e, "run_type")), "iteration");
    assert_string_equal(json_string_value(json_object_get(e, "time_unit")), "ns");
    assert_int_equal(json_integer_value(json_object_get(e, "repetitions")), ROUNDS);
    assert_int_equal(json_integer_value(json_object_get(e, "repetition_index")), s->round);
    assert_int_equal(json_integer_value(json_object_get(e, "iterations")), s->iters);
    assert_true(json_is_integer(json_object_get(e, "threads")));
    assert_true(json_is_number(json_object_get(e, "cpu_time")));
    const double real = json_number_value(json_object_get(e, "real_time"));
    assert_true(real >= 0.999 * s->ns && real <= 1.001 * s->ns);
}

static void samples_and_file(void **state)
{
    (void)state;
    char path[] = "/tmp/bench.XXXXXX";
    const char *why;
    Samples all = { .n = 0 };
    long done = 0;
    close(mkstemp(path));
    Gbench *g = gbench_open(path, ROUNDS, take, &all, &why);
    assert_non_null(g);
    const int a = gbench_add(g, "count/8x8/n1/t1", count, &done, 100, 0),
              b = gbench_add(g, "sleep/(a+b)*", sleeps, NULL, 0, 0);
    for (int r = 0; r < ROUNDS; r++) {
        gbench_run(g, r % 2 ? a : b, 7, r);
        gbench_run(g, r % 2 ? b : a, 7, r);
    }
    holds(gbench_close(g));
    assert_int_equal(all.n, 2 * ROUNDS);
    assert_int_equal(done, 7 * ROUNDS);
    json_error_t error;
    json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!file) fail_msg("line %d: %s", error.line, error.text);
    const json_t *list = json_object_get(file, "benchmarks");
    assert_true(json_is_object(json_object_get(file, "context")));
    assert_int_equal(json_array_size(list), all.n);
    for (int i = 0; i < all.n; i++) {
        const int first = i % 2 == 0, want = first == (all.s[i].round % 2) ? a : b;
        assert_int_equal(all.s[i].round, i / 2);
        assert_int_equal(all.s[i].bench, want);
        assert_int_equal(all.s[i].iters, 7);
        if (want == b) assert_true(all.s[i].ns >= 2e6 && all.s[i].ns < 2e8);
        check_entry(json_array_get(list, (size_t)i), &all.s[i]);
    }
    json_decref(file);
    unlink(path);
}

static void no_such_place(void **state)
{
    (void)state;
    const char *why = NULL;
    assert_null(gbench_open("/nowhere/at/all.json", 1, take, NULL, &why));
    assert_non_null(strstr(why, "/nowhere/at/all.json"));
}

static void spoiled(int32_t *y, const void *packed, const void *scratch, int n, int r0, int r1,
                    int rows, int cols, int bits)
{
    ternary_kernels[0]->gemm(y, packed, scratch, n, r0, r1, rows, cols, bits);
    if (rows == 256 && cols == 683 && r1 == rows) y[rows - 1]++;
}

/* ---- records; before any test that runs threads in this process, because they are forked ---- */

/* Two kernels of no registry on one cell, recorded in the place's database */
static int run_recorded(Place *p, const TernaryKernel *one, const TernaryKernel *two,
                        const char *filter)
{
    const TernaryKernel *const kernels[] = { one, two, NULL };
    return bench_run(&(BenchPlan){ .what = "kernels", .filter = filter, .rounds = 2, .seed = 1,
                                   .threads = { 1 }, .n_threads = 1, .json = 1, .db = p->path,
                                   .kernels = kernels });
}

/* The first column of the first row, as text */
static const char *asked(Place *p, const char *question)
{
    const char *said;
    const int code =
        place_shell(p, arena_text(&p->a, "sqlite3 %s \"%s\"", p->path, question), &said);
    if (code) fail_msg("%s", said);
    return arena_text(&p->a, "%.*s", (int)strcspn(said, "\n"), said);
}

/* What else ran on this machine is not what these tests are about */
static void undisturbed(Place *p)
{
    by_hand(p, p->path, "DELETE FROM text WHERE key GLOB 'disturbed:*'");
}

/* No list outside a kernel's own fields says whether a figure shows it */
static void new_kernel_is_in_the_figures(void **state)
{
    Place *p = *state;
    TernaryKernel novel = *ternary_kernels[0], lesser = novel;
    novel.name = "novel";
    novel.drawn = 1;
    novel.min_bits = 1;
    lesser.name = "lesser";
    lesser.drawn = 0;
    assert_int_equal(run_recorded(p, &novel, &lesser, "^(novel|lesser)/2560x2560/n8/t1$"), 0);
    undisturbed(p);
    assert_string_equal(asked(p, "SELECT count(*) FROM kernel_cell"), "2");
    assert_string_equal(asked(p, "SELECT group_concat(label) FROM kernels WHERE NOT is_peak"),
                        "novel");
    assert_string_equal(asked(p, "SELECT group_concat(label) FROM roofline WHERE NOT is_peak"),
                        "novel");
    assert_string_equal(asked(p, "SELECT kernel FROM bench_kernel WHERE sliced"), "novel");
    assert_string_equal(asked(p, "SELECT status || error FROM run"), "ok");
}

/* ---- cells that were disturbed ---- */
static const BenchSeen good = { .time = { .median = 100, .low = 96, .high = 103 }, .guess_ns = 98,
                                .percent = 92, .limit = "int8_amx", .before = 1e12,
                                .after = 1.02e12 };

static void expect_disturbed(BenchSeen s, const char *what)
{
    Arena a = arena_new(1 << 20);
    const char *why = bench_disturbed(&s, &a);
    if (!what && why) fail_msg("expected an undisturbed cell: %s", why);
    if (what && (!why || !strstr(why, what)))
        fail_msg("expected '%s' in: %s", what, why ? why : "(undisturbed)");
    arena_drop(&a);
}

static void cells_know_that_they_were_disturbed(void **state)
{
    (void)state;
    BenchSeen s = good;
    expect_disturbed(s, NULL);
    s.switches = 9;                                /* alone they say nothing of the time */
    s.steal = 0.02;
    expect_disturbed(s, NULL);
    s.time.high = 124;
    expect_disturbed(s, "its interval is 0.28 of its median (gave way 9 times, 2.0 % stolen)");
    s = good;
    s.time = (Interval){ .median = 3.7e6, .low = 3.6e6, .high = 3.9e6 };       /* a steady hog */
    s.guess_ns = 8.7e3;
    expect_disturbed(s, "its median is 425 times its fastest call");
    s = good;
    s.percent = 104.9;
    expect_disturbed(s, NULL);
    s.percent = 106;
    expect_disturbed(s, "it is at 106 % of its limit int8_amx");
    s = good;
    s.after = 0.8e12;
    expect_disturbed(s, "the probe int8_amx moved by -20 %");
    s.after = 1.3e12;
    expect_disturbed(s, "the probe int8_amx moved by +30 %");
    s = (BenchSeen){ .time = good.time, .percent = NAN };        /* nothing else is known of it */
    expect_disturbed(s, NULL);
}

static void a_quiet_machine_is_known(void **state)
{
    (void)state;
    Arena a = arena_new(1 << 20);
    QuietLook q = { .busy = 0.01, .load = 0.4, .probe = 1e11, .before = 1.01e11 };
    assert_null(quiet_lacks(&q, &a));
    q.busy = 0.5;
    assert_string_equal(quiet_lacks(&q, &a), "others use 50 % of its cores (load 0.40)");
    q.busy = 0.01;
    q.steal = 0.02;
    assert_string_equal(quiet_lacks(&q, &a), "other virtual machines take 2 % of its time");
    q.steal = 0;
    q.before = 1.2e11;
    assert_string_equal(quiet_lacks(&q, &a), "its speed moved by 17 %");
    q.before = 0;
    assert_string_equal(quiet_lacks(&q, &a), "its speed was measured only once");
    arena_drop(&a);
}

static void figures_leave_disturbed_cells_out(void **state)
{
    Place *p = *state;
    TernaryKernel novel = *ternary_kernels[0];
    novel.name = "novel";
    novel.drawn = 1;
    assert_int_equal(run_recorded(p, &novel, NULL, "^novel/2560x2560/n8/t1$"), 0);
    undisturbed(p);
    by_hand(p, p->path, "INSERT INTO text SELECT id, 'disturbed:novel/2560x2560/n8/t1', 'a hog' "
                        "FROM run");
    assert_string_equal(asked(p, "SELECT disturbed FROM kernel_cell"), "a hog");
    /* nor do claims read their rounds */
    static const char rounds[] = "SELECT count(*) FROM bench_sample WHERE name GLOB 'novel/*'";
    assert_string_equal(asked(p, rounds), "0");
    assert_string_equal(asked(p, "SELECT disturbed FROM records"), "1");
    assert_string_equal(asked(p, "SELECT count(*) FROM kernels WHERE NOT is_peak"), "0");
    assert_string_equal(asked(p, "SELECT count(*) FROM roofline WHERE NOT is_peak"), "0");
    /* an older run of it, which nothing disturbed, stands for it */
    assert_int_equal(run_recorded(p, &novel, NULL, "^novel/2560x2560/n8/t1$"), 0);
    undisturbed(p);
    assert_string_equal(asked(p, rounds), "4");
    by_hand(p, p->path, "INSERT INTO metric VALUES (1, 'shared', 0, 1)");
    assert_string_equal(asked(p, rounds), "2");
    by_hand(p, p->path, "UPDATE metric SET value = 0 WHERE run = 1 AND name = 'shared'");
    by_hand(p, p->path, "INSERT INTO text VALUES (2, 'disturbed:novel/2560x2560/n8/t1', 'a hog')");
    assert_string_equal(asked(p, "SELECT run || coalesce(disturbed, '') FROM kernel_cell"), "1");
    assert_string_equal(asked(p, "SELECT count(*) FROM kernels WHERE NOT is_peak"), "1");
    assert_string_equal(asked(p, "SELECT disturbed FROM records"), "0");
}

/* Records of a machine with NEON are a column beside those of others, whichever came last */
static void neon_is_a_column(void **state)
{
    Place *p = *state;
    TernaryKernel k = *ternary_kernels[0], neon = k;
    k.name = "i2_avx2";
    neon.name = "i2_neon_dot";
    assert_int_equal(run_recorded(p, &k, NULL, "^i2_avx2/256x683/n8/t1$"), 0);
    assert_string_equal(asked(p, "SELECT count(*) FROM kernel_neon"), "0");
    assert_int_equal(run_recorded(p, &neon, NULL, "^i2_neon_dot/256x683/n8/t1$"), 0);
    by_hand(p, p->path,
            "DROP TRIGGER run_final; INSERT INTO machine (cpu, isa, cores, kernel, hostname, "
            "governor, virt, mem_kb, l1d_kb, l2_kb, l3_kb) SELECT 'an ARM', 'neon,dotprod', 4, "
            "kernel, 'arm', governor, virt, mem_kb, l1d_kb, l2_kb, l3_kb FROM machine LIMIT 1; "
            "UPDATE run SET machine = (SELECT id FROM machine WHERE cpu = 'an ARM') WHERE id = 2");
    assert_string_equal(asked(p, "SELECT group_concat(kernel) FROM kernel_cell"), "i2_avx2");
    assert_string_equal(asked(p, "SELECT layout || ' ' || kernel || ' ' || cpu FROM kernel_neon"),
                        "i2 i2_neon_dot an ARM");
    by_hand(p, p->path, "UPDATE run SET status = 'fail' WHERE id = 1");
    assert_string_equal(asked(p, "SELECT group_concat(kernel) FROM kernel_cell"), "i2_neon_dot");
}

static void list_names_kernels_of_the_other_architecture(void **state)
{
    Place *p = *state;
    const char *said = place_expect(p, 0, "list kernels");
    const int here = ternary_find("i2_avx2") != NULL;
    assert_true(here != (ternary_find("i2_neon") != NULL));
    assert_says(said, here ? "  i2_neon_dot   a kernel of ARM64, which no program"
                           : "  i2_avx2       a kernel of x86-64, which no program");
    for (int i = 0; ternary_kernels[i]; i++)
        assert_silent(said, arena_text(&p->a, "  %-13s a kernel of", ternary_kernels[i]->name));
}

enum { HOGS = 64, HOGS_A_CORE = 2 };
static int spin(pid_t hog[HOGS])
{
    const int n = HOGS_A_CORE * (int)sysconf(_SC_NPROCESSORS_ONLN);
    const int hogs = n < HOGS ? n : HOGS;
    const pid_t us = getpid();
    fflush(NULL);
    for (int i = 0; i < hogs; i++)
        if (!(hog[i] = fork())) {
            for (volatile long at = 0; getppid() == us; at++) continue;
            _exit(0);
        }
    return hogs;
}

static void spin_end(const pid_t hog[HOGS], int hogs)
{
    for (int i = 0; i < hogs; i++) {
        kill(hog[i], SIGKILL);
        waitpid(hog[i], NULL, 0);
    }
}

/* Attention beside the products that it is made of, and a recurrence beside memory */
static void sequences_are_timed(void **state)
{
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    const int all = getenv("EIGHTYSIX_LONG") != NULL;      /* the recurrence fills its memory */
    const char *said = place_expect(p, 0, arena_text(&p->a, "bench sequence --filter '^%s/T256/' "
                                                     "--threads 2 --rounds 1 --again 0 --no-db "
                                                     "--json", all ? "[^+]*" : "attention[^+]*"));
    for (int i = 0; i < 2 + all; i++) {
        static const char *const names[] = { "\"attention/T256/d256/h4/B8/t2\"",
                                             "\"attention_products_",
                                             "\"scan/T256/d1024/B32/t2\"" };
        assert_says(said, names[i]);
    }
    if (all) assert_says(said, "triad_dram");
}

static void bench_beside_hogs_says_so(void **state)
{
    Place *p = *state;
    pid_t hog[HOGS];
    if (!getenv("EIGHTYSIX_LONG")) skip();           /* hogs would disturb the other tests */
    const int hogs = spin(hog);
    const char *said = "";
    for (int i = 0; i < 3 && !strstr(said, "DISTURBED: its"); i++)
        said = place_expect(p, 0, arena_text(&p->a, "bench ops --filter "
            "'^(rmsnorm|exp|adamw)/' --threads 1 --again 1 --rounds 9 --db %s", p->path));
    spin_end(hog, hogs);
    assert_says(said, "DISTURBED: its");
    assert_says(said, "cells were disturbed: figures leave them out");
    const char *last = "run = (SELECT max(id) FROM run)";
    assert_string_equal(asked(p, arena_text(&p->a, "SELECT (SELECT value FROM metric WHERE name = "
        "'disturbed' AND %s) = (SELECT count(*) FROM text WHERE key GLOB 'disturbed:*' AND %s)",
        last, last)), "1");
    assert_string_equal(asked(p, arena_text(&p->a, "SELECT count(*) > 0 FROM metric WHERE name "
        "GLOB 'switches:*' AND value > 0 AND %s", last)), "1");
    /* the samples of the measurement before are kept, apart */
    assert_string_equal(asked(p, "SELECT (count(*) % 9) || ' ' || (count(*) > 0) FROM metric "
                                 "WHERE name GLOB 'discarded:*'"), "0 1");
    assert_string_equal(asked(p, "SELECT max(rounds) FROM timing"), "9");
}

static void waits_for_a_quiet_machine(void **state)
{
    Place *p = *state;
    pid_t hog[HOGS];
    if (!getenv("EIGHTYSIX_LONG")) skip();           /* hogs would disturb the other tests */
    const char *bench = "bench kernels --filter '^ref/256x256/n1/t1$' --threads 1 --rounds 2 "
                        "--again 0 --db ";
    const int hogs = spin(hog);
    const char *said = place_expect(p, 0, arena_text(&p->a, "%s%s --quiet-wait 2", bench, p->path));
    spin_end(hog, hogs);
    assert_says(said, "waiting for a quiet machine: ");
    assert_says(said, "the machine is not quiet after ");
    assert_string_equal(asked(p, "SELECT value >= 2 FROM metric WHERE name = 'quiet_wait'"), "1");
    assert_string_equal(asked(p, "SELECT value LIKE 'others use %' FROM text WHERE "
                                 "key = 'not_quiet'"), "1");
    said = place_expect(p, 2, arena_text(&p->a, "%s%s --quiet-wait=soon", bench, p->path));
    assert_says(said, "--quiet-wait soon: expected a number");
}

static void dies(int32_t *y, const void *packed, const void *scratch, int n, int r0, int r1,
                 int rows, int cols, int bits)
{
    ternary_kernels[0]->gemm(y, packed, scratch, n, r0, r1, rows, cols, bits);
    if (rows == 2560) die("the kernel gave up at %d rows", rows);
}

static void crashes(int32_t *y, const void *packed, const void *scratch, int n, int r0, int r1,
                    int rows, int cols, int bits)
{
    ternary_kernels[0]->gemm(y, packed, scratch, n, r0, r1, rows, cols, bits);
    if (rows == 2560) raise(SIGKILL);
}

static void dead_bench_is_a_row_that_says_so(void **state)
{
    Place *p = *state;
    TernaryKernel k = *ternary_kernels[0];
    k.name = "novel";
    k.gemm = dies;
    assert_int_equal(run_recorded(p, &k, NULL, "^novel/2560x2560/n1/"), 2);
    assert_string_equal(asked(p, "SELECT status || ': ' || error FROM run WHERE id = 1"),
                        "fail: the kernel gave up at 2560 rows");
    k.gemm = crashes;
    assert_int_equal(run_recorded(p, &k, NULL, "^novel/2560x2560/n1/"), 128 + SIGKILL);
    assert_string_equal(asked(p, "SELECT status || ': ' || error FROM run WHERE id = 2"),
                        "crash: killed by signal 9 (Killed)");
    assert_int_equal(run_recorded(p, &k, NULL, "^nothing/"), 2);
    assert_string_equal(asked(p, "SELECT status || ': ' || error FROM run WHERE id = 3"),
                        "fail: bench kernels: no cell has such a name");
}

/* A limit that is no number is a wrong cell, not one without a limit */
static void no_number_is_a_failure(void **state)
{
    Place *p = *state;
    TernaryKernel k = *ternary_kernels[0];
    const double unreal[] = { NAN, INFINITY };
    int probe = 0;
    while (!strcmp(probes[probe].unit, "B/s") || !probe_runs_here(&probes[probe])) probe++;
    k.name = "novel";
    for (int i = 0; i < 2; i++) {
        k.single = (TernaryCost){ probes[probe].name, 1, 1, unreal[i] };
        assert_int_equal(run_recorded(p, &k, NULL, "^novel/2560x2560/n1/t1$"), 1);
        assert_string_equal(asked(p, "SELECT status || ': ' || error FROM run ORDER BY id DESC"),
                            "fail: a check failed");
        assert_string_equal(asked(p, "SELECT value FROM text WHERE key LIKE 'wrong:novel/%' "
                                     "ORDER BY run DESC"),
                            arena_text(&p->a, "its limit_ns is %s: expected a number",
                                       i ? "infinite" : "nan"));
    }
}

/* Packed weights are rows of their own beside weights as they lie; what cannot run here is recorded
 * with the reason. */
static void rows_of_packed_weights(void **state)
{
    Place *p = *state;
    const char *why;
    const Gemm *g = gemm_open("dnnl", 1, &p->a, &why);
    if (!g) skip();
    const int code = run_recorded(p, ternary_kernels[0], NULL,
                                  "^((sgemm|u8s8|s8s8|bf16)_dnnl(_plain)?)/256x683/n8/t1$");
    assert_int_equal(code, 0);
    assert_string_equal(asked(p, "SELECT status || error FROM run"), "ok");
    assert_string_equal(asked(p, "SELECT group_concat(kernel) FROM (SELECT kernel FROM kernel_cell "
                                 "WHERE kernel NOT LIKE 'bf16%' ORDER BY kernel)"),
                        "s8s8_dnnl,sgemm_dnnl,sgemm_dnnl_plain,u8s8_dnnl,u8s8_dnnl_plain");
    assert_string_equal(asked(p, "SELECT (SELECT count(*) FROM kernel_cell WHERE kernel = "
                                 "'bf16_dnnl') + (SELECT count(*) FROM text WHERE key = "
                                 "'skip:bf16_dnnl/256x683/n8/t1' AND value LIKE '%bfloat16%')"),
                        "1");
    assert_string_equal(asked(p, "SELECT group_concat(kernel) FROM (SELECT kernel FROM "
                                 "bench_kernel WHERE drawn AND kernel LIKE '%dnnl%' "
                                 "ORDER BY kernel)"),
                        "sgemm_dnnl,u8s8_dnnl");
}

/* A cell that cannot run here is not one that there is not */
static void what_cannot_run_is_skipped(void **state)
{
    Place *p = *state;
    const char *said, *bench = "EIGHTYSIX_CPU=sse2 '%s' bench kernels --threads 1 --filter '%s' "
                               "--db %s";
    if (!(cpu_has() & CPU_AVX2)) skip();
    const char *binary = getenv("EIGHTYSIX_BINARY");
    assert_int_not_equal(place_shell(p, arena_text(&p->a, bench, binary,
                                                   "^i2_avx2/683x256/n1/t1$", p->path), &said), 0);
    assert_says(said, "bench kernels: every cell of such a name is skipped");
    assert_int_not_equal(place_shell(p, arena_text(&p->a, bench, binary, "^i2_avx3/", p->path),
                                     &said), 0);
    assert_says(said, "bench kernels: no cell has such a name");
}

static int run_bench(const TernaryKernel *k, const char *filter)
{
    const TernaryKernel *const kernels[] = { k, NULL };
    return bench_run(&(BenchPlan){ .what = "kernels", .filter = filter, .rounds = 2, .seed = 1,
                                   .threads = { 2 }, .n_threads = 1, .json = 1,
                                   .kernels = kernels });
}

static void wrong_kernel(void **state)
{
    (void)state;
    TernaryKernel k = *ternary_kernels[0];
    assert_int_equal(run_bench(&k, "^ref/256x683/n1/"), 0);
    k.name = "spoiled";
    k.gemm = spoiled;
    assert_int_equal(run_bench(&k, "^spoiled/256x256/n8/"), 0);
    assert_int_equal(run_bench(&k, "^spoiled/256x683/n8/"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(new_kernel_is_in_the_figures, place_make, place_drop),
        cmocka_unit_test_setup_teardown(dead_bench_is_a_row_that_says_so, place_make, place_drop),
        cmocka_unit_test_setup_teardown(no_number_is_a_failure, place_make, place_drop),
        cmocka_unit_test_setup_teardown(rows_of_packed_weights, place_make, place_drop),
        cmocka_unit_test_setup_teardown(figures_leave_disturbed_cells_out, place_make, place_drop),
        cmocka_unit_test_setup_teardown(neon_is_a_column, place_make, place_drop),
        cmocka_unit_test_setup_teardown(list_names_kernels_of_the_other_architecture, place_make,
                                        place_drop),
        cmocka_unit_test_setup_teardown(what_cannot_run_is_skipped, place_make, place_drop),
        cmocka_unit_test_setup_teardown(sequences_are_timed, place_make, place_drop),
        cmocka_unit_test_setup_teardown(bench_beside_hogs_says_so, place_make, place_drop),
        cmocka_unit_test_setup_teardown(waits_for_a_quiet_machine, place_make, place_drop),
        cmocka_unit_test(cells_know_that_they_were_disturbed),
        cmocka_unit_test(a_quiet_machine_is_known),
        cmocka_unit_test(samples_and_file),
        cmocka_unit_test(no_such_place),
        cmocka_unit_test(wrong_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
