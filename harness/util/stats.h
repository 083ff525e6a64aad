/* SPDX-License-Identifier: GPL-3.0-or-later */
/* stats.h -- what can be concluded from raw samples. Nothing here changes its input; the coverage
 * of intervals is tested by simulation. */
#ifndef STATS_H
#define STATS_H
#include "kernels/base.h"

/* The median and an interval for the median of the distribution of the samples, whatever that is:
 * between two order statistics, counted from 1. Of n samples B ~ Binomial(n, 1/2) fall below that
 * median, so
 *   P(x[low_rank] <= median <= x[high_rank]) = P(low_rank <= B <= n - low_rank),
 *   high_rank = n + 1 - low_rank */
typedef struct Interval {
    double median, low, high;
    int    low_rank, high_rank;
    /* exact: the least possible that is >= level; below level where n is too small for it */
    double coverage;
} Interval;
/* n >= 1; x stays as it is */
Interval stats_median(const double *x, int n, double level, Arena *);
/* linear between order statistics, q in [0, 1] */
double   stats_quantile(const double *x, int n, double q, Arena *);

/* An estimate between two limits. */
typedef struct Range { double value, low, high; } Range;
/* The mean by the studentised bootstrap (bootstrap-t; Hall 1988, Ann. Statist. 16): the
 * distribution of (mean - truth) / (its standard error) is taken from the resamples, however
 * skewed. BCa and percentile limits, of the mean or the median, cover 1 to 3 % less than they say
 * at these n, so they are not offered; nor is this below STATS_BOOTSTRAP_LEAST samples. draws: 1000
 * or more, 400 cover 0.5 % less. */
enum { STATS_BOOTSTRAP_LEAST = 100 };
Range stats_bootstrap(const double *x, int n, double level, int draws, uint64_t seed, Arena *);
/* The mean of x - y by Student's t, for differences that are about normal. n >= 2 */
Range stats_paired_t(const double *x, const double *y, int n, double level, Arena *);

/* One-sided sign test: the probability that at least as many of n samples exceed `floor` when the
 * median of their distribution does not. Assumes independence only; equal to floor is not above. */
double stats_sign(const double *x, int n, double floor);
/* how many must exceed for p <= alpha; n + 1: no number does */
int    stats_sign_needed(int n, double alpha);
/* p-values adjusted for n tests at once (Holm 1979): rejecting where adjusted[i] <= alpha keeps the
 * chance of any false rejection at most alpha. */
void   stats_holm(double *adjusted, const double *p, int n, Arena *);
/* The least shift that the sign test beyond `floor` at alpha finds with probability `power`, for n
 * more samples that scatter around their median as x does (taken as symmetric); INFINITY when n is
 * too small for alpha. With k = stats_sign_needed and p solving P(Binomial(n, p) >= k) = power:
 *   floor + the (2p - 1)-quantile of |x - median| */
double stats_detectable(const double *x, int n, double floor, double alpha, double power, Arena *);

/* Where the level of a series changes, if anywhere (Pettitt 1979, Appl. Statist. 28):
 *   U_t = sum over i <= t < j of sign(x_i - x_j),   U the largest |U_t|
 *   p  ~= 2 exp(-6 U^2 / (n^3 + n^2)), conservative
 * Samples [0, at) are before the change. n >= 2 */
typedef struct Change { int at; double p, before, after; } Change;      /* before, after: medians */
Change stats_change(const double *x, int n, Arena *);

/* ---- curves (stats_fit.c) ----
 *   power       y = a x^b
 *   saturating  y = c + a x^-b,   b > 0, a of either sign
 * by least squares (gsl_multifit_nlinear), x > 0. Limits by Student's t, for a on the scale of
 * ln |a|. relative: errors are in proportion to y, which must be > 0; then the squares are those of
 * errors of ln y (power) or of errors over y (saturating). */
typedef enum { FIT_POWER, FIT_SATURATING } FitModel;
typedef struct Fit {
    Range  a, b, c;              /* c: 0 for power */
    double a_se, b_se, c_se;     /* standard errors */
    /* standard deviation of the residuals; relative where errors are */
    double residual;
} Fit;
/* NULL, or an error message: too few points, a number out of range, no convergence. */
const char *stats_fit(Fit *, FitModel, int relative, const double *x, const double *y, int n,
                      double level, Arena *);
#endif
