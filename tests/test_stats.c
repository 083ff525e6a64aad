/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Intervals of the median: their ranks against tables of the binomial law, their coverage against simulation. */
#include "harness/stats.h"
#include "tests/test.h"
#include <math.h>

static void known_ranks(void **state)
{
    (void)state;
    static const struct { int n, low; double coverage; } known[] = { { 5, 1, 0.9375 }, { 6, 1, 0.96875 }, { 10, 2, 0.978515625 },
        { 15, 4, 0.96484375 }, { 20, 6, 0.958610534668 }, { 1, 1, 0 } };
    Arena a = arena_new(1 << 20);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        double x[20];
        const int n = known[i].n;
        for (int k = 0; k < n; k++) x[k] = (k * 7 + 3) % n + 1;      /* 1..n out of order, 7 being prime to them */
        const Interval v = stats_median(x, n, 0.95, &a);
        assert_int_equal(v.low_rank, known[i].low);
        assert_int_equal(v.high_rank, n + 1 - known[i].low);
        assert_true(v.low == v.low_rank && v.high == v.high_rank);
        assert_true(v.median == (n + 1) / 2.0);
        assert_true(fabs(v.coverage - known[i].coverage) < 1e-9);
    }
    arena_drop(&a);
}

static void coverage_by_simulation(void **state)
{
    (void)state;
    enum { N = 15, TRIES = 40000 };
    Rng rng = rng_at(test_seed(), STREAM_CHECK, 0);
    Arena a = arena_new(1 << 20);
    int inside = 0;
    double says = 0;
    for (int i = 0; i < TRIES; i++) {
        double x[N];
        for (int k = 0; k < N; k++) x[k] = -log(1 - rng_uniform(&rng));          /* exponential: its median is ln 2 */
        const Interval v = stats_median(x, N, 0.95, &a);
        inside += v.low <= 0.69314718056 && 0.69314718056 <= v.high;
        says = v.coverage;
    }
    const double is = (double)inside / TRIES;
    if (fabs(is - says) > 0.01) fail_msg("covers %.4f, says %.4f", is, says);
    arena_drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(known_ranks), cmocka_unit_test(coverage_by_simulation) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
