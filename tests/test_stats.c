/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Statistics against published values, and the coverage of every interval by simulation: on skewed
 * samples, and on pairs of a machine whose speed drifts (AR(1)), within 1 % of what they say. */
#include "harness/util/stats.h"
#include "tests/test.h"
#include <math.h>
#include <string.h>

static void is_near(const char *what, double x, double y, double most)
{
    if (!(fabs(x - y) <= most)) fail_msg("%s is %.10g, expected %.10g", what, x, y);
}
#define near(x, y, most) is_near(#x, x, y, most)

static void known_ranks(void **state)
{
    (void)state;
    static const struct { int n, low; double coverage; } known[] = {
        { 5, 1, 0.9375 }, { 6, 1, 0.96875 }, { 10, 2, 0.978515625 }, { 15, 4, 0.96484375 },
        { 20, 6, 0.958610534668 }, { 1, 1, 0 } };
    Arena a = arena_new(1 << 20);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        double x[20];
        const int n = known[i].n;
        /* 1..n out of order, 7 being prime to them */
        for (int k = 0; k < n; k++) x[k] = (k * 7 + 3) % n + 1;
        const Interval v = stats_median(x, n, 0.95, &a);
        assert_int_equal(v.low_rank, known[i].low);
        assert_int_equal(v.high_rank, n + 1 - known[i].low);
        assert_true(v.low == v.low_rank && v.high == v.high_rank);
        assert_true(v.median == (n + 1) / 2.0);
        assert_true(fabs(v.coverage - known[i].coverage) < 1e-9);
    }
    arena_drop(&a);
}

/* Binomial tables; Holm as R's p.adjust has it; Student's sleep data (1908) as R's t.test(paired)
 * has it */
static void known_tests(void **state)
{
    (void)state;
    static const double p[] = { 0.03, 0.01, 0.04, 0.02, 0.05 },
                        holm[] = { 0.09, 0.05, 0.09, 0.08, 0.09 };
    static const double first[] = { 0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0 };
    static const double second[] = { 1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4 };
    Arena a = arena_new(1 << 20);
    double adjusted[5], x[10] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 0 };
    near(stats_sign(x, 10, 0.5), 11.0 / 1024, 1e-15);
    near(stats_sign(x, 10, 1), 1, 0);                     /* equal is not above */
    near(stats_sign(x, 10, -1), 1.0 / 1024, 1e-15);
    /* P(B >= 18) = 0.000201, P(B >= 17) = 0.00129 */
    assert_int_equal(stats_sign_needed(20, 0.0005), 18);
    assert_int_equal(stats_sign_needed(40, 0.0005), 31);
    assert_int_equal(stats_sign_needed(5, 0.01), 6);
    stats_holm(adjusted, p, 5, &a);
    for (int i = 0; i < 5; i++) near(adjusted[i], holm[i], 1e-12);
    const Range t = stats_paired_t(first, second, 10, 0.95, &a);
    near(t.value, -1.58, 1e-12);
    near(t.low, -2.4598858, 1e-7);
    near(t.high, -0.7001142, 1e-7);
    near(stats_quantile(first, 10, 0.5, &a), 0.35, 1e-12);
    arena_drop(&a);
}

/* The flow of the Nile at Aswan, 1871 to 1970 (Cobb 1978): its level falls after 1898, the 28th
 * year */
static void nile(void **state)
{
    (void)state;
    static const double flow[] = {
        1120, 1160, 963, 1210, 1160, 1160, 813,  1230, 1370, 1140, 995,  935,  1110, 994,  1020,
        960,  1180, 799, 958,  1140, 1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774,  840,
        874,  694,  940, 833,  701,  916,  692,  1020, 1050, 969,  831,  726,  456,  824,  702,
        1120, 1100, 832, 764,  821,  768,  845,  864,  862,  698,  845,  744,  796,  1040, 759,
        781,  865,  845, 944,  984,  897,  822,  1010, 771,  676,  649,  846,  812,  742,  801,
        1040, 860,  874, 848,  890,  744,  749,  838,  1050, 918,  986,  797,  923,  975,  815,
        1020, 906,  901, 1170, 912,  746,  919,  718,  714,  740
    };
    Arena a = arena_new(1 << 20);
    assert_int_equal(sizeof flow / sizeof *flow, 100);
    const Change c = stats_change(flow, 100, &a);
    assert_int_equal(c.at, 28);
    assert_true(c.p < 1e-5 && c.before > 1100 && c.after < 860);
    Rng rng = rng_at(test_seed(), STREAM_CHECK, 1);
    int alarms = 0;
    for (int i = 0; i < 2000; i++) {
        double x[40];
        for (int k = 0; k < 40; k++) x[k] = rng_normal(&rng);
        alarms += stats_change(x, 40, &a).p <= 0.05;
    }
    if (alarms > 120) fail_msg("%d alarms in 2000 series without a change, at 0.05", alarms);
    arena_drop(&a);
}

/* ---- coverage ---- */
typedef enum { EXPONENTIAL, LOGNORMAL, SKEWED_PAIRS, DRIFTING_PAIRS } Kind;

/* x, y (n); what x - y has for mean and median */
static void draw(Kind kind, double *x, double *y, int n, double *mean, double *median, Rng *rng)
{
    double drift = 0.03 * rng_normal(rng), block[4];
    *mean = kind == EXPONENTIAL ? 1 : kind == LOGNORMAL ? exp(0.125) : 0;
    *median = kind == EXPONENTIAL ? log(2) : kind == LOGNORMAL ? 1 : 0;
    for (int i = 0; i < n; i++) {
        y[i] = 0;
        if (kind == LOGNORMAL) x[i] = exp(0.5 * rng_normal(rng));
        else x[i] = -log(1 - rng_uniform(rng));
        if (kind == SKEWED_PAIRS) y[i] = -log(1 - rng_uniform(rng));
        if (kind != DRIFTING_PAIRS) continue;
        /* ABBA or BAAB of a speed that drifts, 3 %, and skewed noise, 2 % */
        for (int b = 0; b < 4; b++) {
            drift = 0.95 * drift + sqrt(1 - 0.95 * 0.95) * 0.03 * rng_normal(rng);
            block[b] = drift - 0.02 * log(1 - rng_uniform(rng));
        }
        const double outer = (block[0] + block[3]) / 2, inner = (block[1] + block[2]) / 2;
        const int coin = (int)rng_below(rng, 2);
        x[i] = coin ? outer : inner;
        y[i] = coin ? inner : outer;
    }
}

enum { METHOD_MEDIAN, METHOD_T, METHOD_BOOTSTRAP };

static void covers(int method, Kind kind, int n, int tries)
{
    double x[128], y[128], z[128], mean, median, says = 0.95;
    Rng rng = rng_at(test_seed(), STREAM_CHECK, (uint64_t)(1000 * method + 100 * (int)kind + n));
    Arena a = arena_new(1 << 20);
    int inside = 0;
    for (int i = 0; i < tries; i++) {
        draw(kind, x, y, n, &mean, &median, &rng);
        for (int k = 0; k < n; k++) z[k] = x[k] - y[k];
        Range r = { 0, 0, 0 };
        if (method == METHOD_MEDIAN) {
            const Interval v = stats_median(z, n, 0.95, &a);
            r = (Range){ v.median, v.low, v.high };
            mean = median;
            says = v.coverage;
        } else if (method == METHOD_T) r = stats_paired_t(x, y, n, 0.95, &a);
        else r = stats_bootstrap(z, n, 0.95, 1000, (uint64_t)i + 1, &a);
        inside += r.low <= mean && mean <= r.high;
    }
    const double is = (double)inside / tries;
    if (fabs(is - says) > 0.01 || says < 0.95)
        fail_msg("method %d, law %d, n %d covers %.4f, says %.4f", method, (int)kind, n, is, says);
    arena_drop(&a);
}

static void coverage_of_medians(void **state)
{
    (void)state;
    for (Kind kind = EXPONENTIAL; kind <= DRIFTING_PAIRS; kind++)
        covers(METHOD_MEDIAN, kind, 15, 20000), covers(METHOD_MEDIAN, kind, 40, 20000);
}

static void coverage_of_means(void **state)
{
    (void)state;
    covers(METHOD_T, SKEWED_PAIRS, 20, 20000);
    covers(METHOD_T, DRIFTING_PAIRS, 20, 20000);
    covers(METHOD_BOOTSTRAP, EXPONENTIAL, 100, 5000);
    covers(METHOD_BOOTSTRAP, DRIFTING_PAIRS, 100, 5000);
}

/* What it calls detectable is found as often as it says. */
static void detectable(void **state)
{
    (void)state;
    enum { N = 40, TRIES = 4000 };
    Rng rng = rng_at(test_seed(), STREAM_CHECK, 5);
    Arena a = arena_new(1 << 20);
    double x[N], sum = 0;
    int found = 0;
    for (int i = 0; i < TRIES; i++) {
        for (int k = 0; k < N; k++) x[k] = 0.01 * rng_normal(&rng);
        sum += stats_detectable(x, N, 0.02, 0.001, 0.9, &a) / TRIES;
    }
    for (int i = 0; i < TRIES; i++) {
        for (int k = 0; k < N; k++) x[k] = sum + 0.01 * rng_normal(&rng);
        found += stats_sign(x, N, 0.02) <= 0.001;
    }
    near((double)found / TRIES, 0.9, 0.03);
    assert_true(isinf(stats_detectable(x, 6, 0.02, 0.001, 0.9, &a)));
    arena_drop(&a);
}

/* ---- curves ---- */
/* NIST StRD, nonlinear regression, DanWood: y = b1 x^b2; certified values */
static void dan_wood(void **state)
{
    (void)state;
    static const double x[] = { 1.309, 1.471, 1.490, 1.565, 1.611, 1.680 };
    static const double y[] = { 2.138, 3.421, 3.597, 4.340, 4.882, 5.660 };
    Arena a = arena_new(1 << 20);
    Fit f;
    holds(stats_fit(&f, FIT_POWER, 0, x, y, 6, 0.95, &a));
    near(f.a.value, 7.6886226176e-01, 1e-9);
    near(f.b.value, 3.8604055871e+00, 1e-9);
    near(f.a_se, 1.8281973860e-02, 1e-9);
    near(f.b_se, 5.1726610913e-02, 1e-9);
    near(f.residual, 3.2853114039e-02, 1e-9);
    arena_drop(&a);
}

static void refused_fits(void **state)
{
    (void)state;
    const double x[] = { 1, 2, 3, 4, 5 }, y[] = { 1, 2, -1, 2, 1 }, bad[] = { 1, 2, 0, 4, 5 };
    Arena a = arena_new(1 << 20);
    Fit f;
    assert_non_null(strstr(stats_fit(&f, FIT_POWER, 0, x, y, 2, 0.95, &a), "too few points"));
    assert_non_null(strstr(stats_fit(&f, FIT_SATURATING, 0, x, y, 3, 0.95, &a), "too few points"));
    assert_non_null(strstr(stats_fit(&f, FIT_POWER, 0, x, y, 5, 0.95, &a), "one sign"));
    assert_non_null(strstr(stats_fit(&f, FIT_SATURATING, 1, x, y, 5, 0.95, &a), "y > 0"));
    assert_non_null(strstr(stats_fit(&f, FIT_POWER, 0, bad, x, 5, 0.95, &a), "x > 0"));
    arena_drop(&a);
}

static void coverage_of_curves(FitModel model, int relative, double a, double b, double c)
{
    enum { N = 12, TRIES = 12000 };      /* simulated to 0.2 % */
    Rng rng = rng_at(test_seed(), STREAM_CHECK, (uint64_t)(20 + 2 * (int)model + relative));
    Arena arena = arena_new(1 << 20);
    int inside[3] = { 0 };
    for (int i = 0; i < TRIES; i++) {
        double x[N], y[N];
        for (int k = 0; k < N; k++) {
            x[k] = 1e4 * pow(2, k);
            y[k] = model == FIT_POWER ? a * pow(x[k], b) : c + a * pow(x[k], -b);
            y[k] += 0.01 * rng_normal(&rng) * (relative ? y[k] : 1);
        }
        Fit f;
        holds(stats_fit(&f, model, relative, x, y, N, 0.95, &arena));
        inside[0] += f.a.low <= a && a <= f.a.high;
        inside[1] += f.b.low <= b && b <= f.b.high;
        inside[2] += f.c.low <= c && c <= f.c.high;
    }
    for (int k = 0; k < (model == FIT_POWER ? 2 : 3); k++)
        if (fabs((double)inside[k] / TRIES - 0.95) > 0.01)
            fail_msg("model %d, relative %d, parameter %d: covers %.4f", (int)model, relative, k,
                     (double)inside[k] / TRIES);
    arena_drop(&arena);
}

static void curves(void **state)
{
    (void)state;
    coverage_of_curves(FIT_POWER, 0, 50, -0.3, 0);
    coverage_of_curves(FIT_POWER, 1, 50, -0.3, 0);
    coverage_of_curves(FIT_SATURATING, 0, 50, 0.3, 2);
    coverage_of_curves(FIT_SATURATING, 1, 50, 0.3, 2);
    coverage_of_curves(FIT_SATURATING, 1, -30, 0.4, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(known_ranks),
                                        cmocka_unit_test(known_tests),
                                        cmocka_unit_test(nile),
                                        cmocka_unit_test(coverage_of_medians),
                                        cmocka_unit_test(coverage_of_means),
                                        cmocka_unit_test(detectable),
                                        cmocka_unit_test(dan_wood),
                                        cmocka_unit_test(refused_fits),
                                        cmocka_unit_test(curves) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
