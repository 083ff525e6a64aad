/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/stats.h"
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_sort.h>
#include <string.h>

static double covered(int rank, int n)
{
    return 1 - 2 * gsl_cdf_binomial_P((unsigned)(rank - 1), 0.5, (unsigned)n);
}

Interval stats_median(const double *x, int n, double level, Arena *a)
{
    CHECK(n >= 1 && level > 0 && level < 1);
    const size_t at = a->used;
    double *sorted = arena_raw(a, sizeof *sorted * (size_t)n);
    memcpy(sorted, x, sizeof *sorted * (size_t)n);
    gsl_sort(sorted, 1, (size_t)n);
    int rank = 1;
    while (2 * (rank + 1) <= n && covered(rank + 1, n) >= level) rank++;
    const Interval i = { .median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2, .low = sorted[rank - 1], .high = sorted[n - rank],
                         .low_rank = rank, .high_rank = n + 1 - rank, .coverage = n > 1 ? covered(rank, n) : 0 };
    arena_reset(a, at);
    return i;
}
