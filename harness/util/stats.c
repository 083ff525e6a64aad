/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/util/stats.h"
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_rng.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double *sorted_copy(const double *x, int n, Arena *a)
{
    CHECK(n >= 1);
    double *sorted = arena_raw(a, sizeof *sorted * (size_t)n);
    memcpy(sorted, x, sizeof *sorted * (size_t)n);
    gsl_sort(sorted, 1, (size_t)n);
    return sorted;
}

static double covered(int rank, int n)
{
    return 1 - 2 * gsl_cdf_binomial_P((unsigned)(rank - 1), 0.5, (unsigned)n);
}

Interval stats_median(const double *x, int n, double level, Arena *a)
{
    CHECK(level > 0 && level < 1);
    const size_t at = a->used;
    const double *sorted = sorted_copy(x, n, a);
    int rank = 1;
    while (2 * (rank + 1) <= n && covered(rank + 1, n) >= level) rank++;
    const Interval i = { .median = gsl_stats_median_from_sorted_data(sorted, 1, (size_t)n),
                         .low = sorted[rank - 1],
                         .high = sorted[n - rank], .low_rank = rank, .high_rank = n + 1 - rank,
                         .coverage = n > 1 ? covered(rank, n) : 0 };
    arena_reset(a, at);
    return i;
}

double stats_quantile(const double *x, int n, double q, Arena *a)
{
    const size_t at = a->used;
    const double value = gsl_stats_quantile_from_sorted_data(sorted_copy(x, n, a), 1, (size_t)n, q);
    arena_reset(a, at);
    return value;
}

/* ---- means ---- */
/* (mean - center) / (standard error) of n draws of x with replacement; where all draws are equal,
 * and their standard error is 0, they are drawn again */
static double draw_t(const double *x, int n, double center, gsl_rng *rng)
{
    for (;;) {
        double sum = 0, squares = 0;
        for (int i = 0; i < n; i++) {
            const double off = x[gsl_rng_uniform_int(rng, (unsigned long)n)] - center;
            sum += off;
            squares += off * off;
        }
        const double mean = sum / n, variance = (squares - sum * mean) / (n - 1);
        if (variance > 1e-12 * squares) return mean / sqrt(variance / n);
    }
}

Range stats_bootstrap(const double *x, int n, double level, int draws, uint64_t seed, Arena *a)
{
    CHECK(n >= STATS_BOOTSTRAP_LEAST && level > 0 && level < 1 && draws >= 100);
    const double mean = gsl_stats_mean(x, 1, (size_t)n),
                 se = gsl_stats_sd_m(x, 1, (size_t)n, mean) / sqrt(n);
    if (!(se > 0)) return (Range){ mean, mean, mean };
    const size_t at = a->used;
    double *t = arena_raw(a, sizeof *t * (size_t)draws);
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    CHECK(rng);
    gsl_rng_set(rng, (unsigned long)seed);
    for (int k = 0; k < draws; k++) t[k] = draw_t(x, n, mean, rng);
    gsl_rng_free(rng);
    const Range r = { mean, mean - se * stats_quantile(t, draws, (1 + level) / 2, a),
                      mean - se * stats_quantile(t, draws, (1 - level) / 2, a) };
    arena_reset(a, at);
    return r;
}

Range stats_paired_t(const double *x, const double *y, int n, double level, Arena *a)
{
    CHECK(n >= 2 && level > 0 && level < 1);
    const size_t at = a->used;
    double *d = arena_raw(a, sizeof *d * (size_t)n);
    for (int i = 0; i < n; i++) d[i] = x[i] - y[i];
    const double mean = gsl_stats_mean(d, 1, (size_t)n);
    const double se = gsl_stats_sd_m(d, 1, (size_t)n, mean) / sqrt(n);
    const double half = gsl_cdf_tdist_Pinv((1 + level) / 2, n - 1) * se;
    arena_reset(a, at);
    return (Range){ mean, mean - half, mean + half };
}

/* ---- tests ---- */
/* P(Binomial(n, 1/2) >= k) */
static double tail(int k, int n)
{
    return k <= 0 ? 1 : k > n ? 0 : gsl_cdf_binomial_Q((unsigned)(k - 1), 0.5, (unsigned)n);
}

double stats_sign(const double *x, int n, double floor)
{
    int above = 0;
    for (int i = 0; i < n; i++) above += x[i] > floor;
    return tail(above, n);
}

int stats_sign_needed(int n, double alpha)
{
    int k = n + 1;
    while (k > 0 && tail(k - 1, n) <= alpha) k--;
    return k;
}

void stats_holm(double *adjusted, const double *p, int n, Arena *a)
{
    const size_t at = a->used;
    size_t *order = arena_raw(a, sizeof *order * (size_t)n);
    gsl_sort_index(order, p, 1, (size_t)n);
    double least = 0;
    for (int i = 0; i < n; i++) {
        least = fmax(least, (n - i) * p[order[i]]);
        adjusted[order[i]] = fmin(1, least);
    }
    arena_reset(a, at);
}

double stats_detectable(const double *x, int n, double floor, double alpha, double power, Arena *a)
{
    const int k = stats_sign_needed(n, alpha);
    if (k > n) return INFINITY;
    const size_t at = a->used;
    const double p = gsl_cdf_beta_Pinv(power, k, n - k + 1), median = stats_quantile(x, n, 0.5, a);
    double *off = arena_raw(a, sizeof *off * (size_t)n);
    for (int i = 0; i < n; i++) off[i] = fabs(x[i] - median);
    const double shift = stats_quantile(off, n, fmax(0, 2 * p - 1), a);
    arena_reset(a, at);
    return floor + shift;
}

Change stats_change(const double *x, int n, Arena *a)
{
    CHECK(n >= 2);
    long u = 0, most = 0;
    Change c = { .at = 1 };
    for (int t = 0; t < n - 1; t++) {        /* U_t = U_{t-1} + sum over j of sign(x_t - x_j) */
        for (int j = 0; j < n; j++) u += (x[t] > x[j]) - (x[t] < x[j]);
        if (labs(u) > most) {
            most = labs(u);
            c.at = t + 1;
        }
    }
    const double m = n, k = (double)most;
    c.p = fmin(1, 2 * exp(-6 * k * k / (m * m * m + m * m)));
    c.before = stats_quantile(x, c.at, 0.5, a);
    c.after = stats_quantile(x + c.at, n - c.at, 0.5, a);
    return c;
}
