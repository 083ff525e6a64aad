/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cutoffs.h -- where the adaptive softmax ends its short list and its tails.
 *
 * Words are ranked by falling count. Cluster 0 is the short list with one row for every tail,
 * cluster i is tail i.
 *   mass (V+1)    mass[r]: the share of the tokens whose rank is below r
 *   cut[0..K]     the rank at which cluster i ends; cut[K] = V, for K tails */
#ifndef CUTOFFS_H
#define CUTOFFS_H
#include "kernels/base.h"

enum { MOST_TAILS = 6, CUTOFF_POINTS = 200, CUTOFF_CLUSTERS = 5, CUTOFF_KS = 6, CUTOFF_NS = 5 };

/* text: increasing ranks, "2000,10000", or "counted", the cheapest by counted operations; "auto"
 * needs measurements and must be resolved by the caller. Writes cut, returns K, 1..MOST_TAILS; 0
 * and an error message in *why when text is none of these. V >= 2. Scratch: the arena. */
int cutoffs_find (int *cut, const char *text, const double *mass, int V, int d, Arena *,
                  const char **why);
int cutoffs_width(int d, int i);       /* width of the rows of cluster i: d, or max(8, d / 4^i) */

typedef struct CutoffModel {
    /* of cluster i with k rows, which a share of the positions uses */
    double    (*cost)(const void *g, int i, double k, double share);
    const void *g;
    double      short_share;           /* least mass of the short list */
    int         points;                /* of the grid of ranks, at most CUTOFF_POINTS */
    long        width;                 /* most rows of short list and longest tail together */
} CutoffModel;
CutoffModel cutoffs_counted(const int *d);
double cutoffs_cost  (const CutoffModel *, const int *cut, int K, const double *mass);
/* rank (points+1): V^(g/points), distinct; returns how many */
int    cutoffs_grid  (int *rank, int points, int V);
/* The cheapest cut-offs of the grid with 1..4 tails; their cost in *least. Returns K; 0 and an
 * infinite cost when none is within the bounds */
int    cutoffs_search(int *cut, double *least, const CutoffModel *, const double *mass, int V,
                      Arena *);

/* What clusters cost on a machine, in seconds, by rows k and positions n, both increasing */
typedef struct CutoffTable {
    int    clusters, ks, ns;
    double k[CUTOFF_KS], n[CUTOFF_NS];
    /* forward and backward; 0: not measured */
    double pass[CUTOFF_CLUSTERS][CUTOFF_KS][CUTOFF_NS];
    double update[CUTOFF_CLUSTERS][CUTOFF_KS];            /* the optimiser on k rows */
} CutoffTable;
/* Make the table monotone in k and n (measurements are noisy) and extrapolate missing entries. The
 * first row (smallest k) and the first column (smallest n) must have been measured. */
void   cutoffs_table_mend(CutoffTable *);
/* A step, for the CutoffModel cost of such a table: `passes` passes of n positions each */
typedef struct CutoffLoad { const CutoffTable *table; double n, passes; } CutoffLoad;
double cutoffs_measured_cost(const void *load, int i, double k, double share);
#endif
