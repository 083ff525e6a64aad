/* SPDX-License-Identifier: GPL-3.0-or-later */
/* stats.h -- what raw samples allow to be said. */
#ifndef STATS_H
#define STATS_H
#include "kernels/base.h"

/* The median and an interval for the median of the law the samples come from, whatever that law is: between two order
 * statistics, counted from 1. Of n samples B ~ Binomial(n, 1/2) fall below that median, so
 *     P(x[low_rank] <= median <= x[high_rank]) = P(low_rank <= B <= n - low_rank),   high_rank = n + 1 - low_rank */
typedef struct Interval {
    double median, low, high;
    int    low_rank, high_rank;
    double coverage;             /* exact: the least of these that is >= level; below it where n is too small for that */
} Interval;
Interval stats_median(const double *x, int n, double level, Arena *);    /* n >= 1; x stays as it is */
#endif
