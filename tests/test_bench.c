/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The shim: samples arrive, iterations are those asked for, its file is what compare.py reads. The
 * command: a kernel that is wrong on one shape only is found on that shape, and is not timed. */
#include "harness/bench/bench.h"
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
    assert_string_equal(asked(p, "SELECT count(*) FROM kernel_cell"), "2");
    assert_string_equal(asked(p, "SELECT group_concat(label) FROM kernels WHERE NOT is_peak"),
                        "novel");
    assert_string_equal(asked(p, "SELECT group_concat(label) FROM roofline WHERE NOT is_peak"),
                        "novel");
    assert_string_equal(asked(p, "SELECT kernel FROM bench_kernel WHERE sliced"), "novel");
    assert_string_equal(asked(p, "SELECT status || error FROM run"), "ok");
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
        cmocka_unit_test(samples_and_file),
        cmocka_unit_test(no_such_place),
        cmocka_unit_test(wrong_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
