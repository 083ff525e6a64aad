/* SPDX-License-Identifier: GPL-3.0-or-later */
/* stats.h -- what raw samples allow to be said. Nothing here changes its input; coverage is tested
 * by simulation. */
#ifndef STATS_H
#define STATS_H
#include "kernels/base.h"

/* The median and an interval for the median of the law the samples come from, whatever that law is:
 * between two order statistics, counted from 1. Of n samples B ~ Binomial(n, 1/2) fall below that
 * median, so P(x[low_rank] <= median <= x[high_rank]) = P(low_rank <= B <= n - low_rank) with
 * high_rank = n + 1 - low_rank */
typedef struct Interval {
    double median, low, high;
    int    low_rank, high_rank;
    /* exact: the least of these that is >= level; below it where n is too small for that */
    double coverage;
} Interval;
/* n >= 1; x stays as it is */
Interval stats_median(const double *x, int n, double level, Arena *);
/* linear between order statistics, q in [0, 1] */
double   stats_quantile(const double *x, int n, double q, Arena *);

/* An estimate between two limits. */
typedef struct Range { double value, low, high; } Range;
/* The mean by the studentised bootstrap (bootstrap-t; Hall 1988, Ann. Statist. 16): the law of
 * (mean - truth) / (its standard error) is that of the resamples, of whatever skew. BCa and
 * percentile limits, of the mean or the median, cover 1 to 3 % less than they say at these n, so
 * they are not offered; below STATS_BOOTSTRAP_LEAST neither is this. draws: 1000 or more, 400 cover
 * 0.5 % less. */
enum { STATS_BOOTSTRAP_LEAST = 100 };
Range stats_bootstrap(const double *x, int n, double level, int draws, uint64_t seed, Arena *);
/* The mean of x - y by Student's t; differences of about normal law. n >= 2 */
Range stats_paired_t(const double *x, const double *y, int n, double level, Arena *);

/* The probability that as many of n samples or more exceed `floor` when the median of their law
 * does not: one-sided sign test. No assumption but independence; equality counts as not exceeding.
 */
double stats_sign(const double *x, int n, double floor);
/* how many must exceed for p <= alpha; n + 1: no number does */
int    stats_sign_needed(int n, double alpha);
/* Adjusted for n tests at once (Holm 1979): adjusted[i] <= alpha for all that may be rejected at
 * family level alpha. */
void   stats_holm(double *adjusted, const double *p, int n, Arena *);
/* The least shift that the sign test beyond `floor` at alpha finds with probability `power`, for n
 * more samples of which x shows how they scatter around their median (taken as symmetric); INFINITY
 * when n is too small for alpha. k = stats_sign_needed;  P(Binomial(n, p) >= k) = power gives p;
 *     floor + the (2p - 1)-quantile of |x - median| */
double stats_detectable(const double *x, int n, double floor, double alpha, double power, Arena *);

/* Where the level of a series changes, if anywhere: Pettitt 1979 (Appl. Statist. 28): U_t = sum
 * over i <= t < j of sign(x_i - x_j), at the largest |U_t|; p ~ 2 exp(-6 U^2 / (n^3 + n^2)),
 * conservative. Samples [0, at) are before it. n >= 2 */
typedef struct Change { int at; double p, before, after; } Change;      /* before, after: medians */
Change stats_change(const double *x, int n, Arena *);

/* ---- curves (stats_fit.c) ----
 *     power       y = a x^b
 *     saturating  y = c + a x^-b,   b > 0, a of either sign
 * by least squares (gsl_multifit_nlinear); limits by Student's t, for a on the scale of ln |a|.
 * relative: errors in proportion to y (> 0): squares of ln y for power, of the error over y for
 * saturating. x > 0 */
typedef enum { FIT_POWER, FIT_SATURATING } FitModel;
typedef struct Fit {
    Range  a, b, c;              /* c: 0 for power */
    double a_se, b_se, c_se;     /* standard errors */
    /* standard deviation of the residuals, relative where the errors are */
    double residual;
} Fit;
/* NULL, or a sentence: too few points, a number out of range, no convergence. */
const char *stats_fit(Fit *, FitModel, int relative, const double *x, const double *y, int n,
                      double level, Arena *);
#endif
