/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cutoffs.h -- where the adaptive softmax ends its short list and its tails.
 *
 * Cluster 0 is the short list with one row for every tail, cluster i is tail i. mass (V+1): the
 * share of the tokens whose rank is below. cut[0..K]: where the clusters end, cut[K] = V, for K
 * tails. */
#ifndef CUTOFFS_H
#define CUTOFFS_H
#include "kernels/base.h"

enum { MOST_TAILS = 6, CUTOFF_POINTS = 200, CUTOFF_CLUSTERS = 5, CUTOFF_KS = 6, CUTOFF_NS = 5 };

/* text: ranks that rise, "2000,10000", or "counted", the cheapest by counted operations; "auto"
 * needs measurements and is the caller's to resolve. Writes cut, returns K, 1..MOST_TAILS; 0 and
 * an error message in *why when text is none of these. V >= 2. Scratch: the arena. */
int cutoffs_find (int *cut, const char *text, const double *mass, int V, int d, Arena *,
                  const char **why);
int cutoffs_width(int d, int i);       /* of the rows of cluster i: d, then max(8, d / 4^i) */

typedef struct CutoffModel {
    /* of cluster i: k rows, met by a share of the positions */
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
/* The cheapest of the grid with 1..4 tails; its cost in *least. 0, an infinite cost: none keeps
 * to the bounds */
int    cutoffs_search(int *cut, double *least, const CutoffModel *, const double *mass, int V,
                      Arena *);

/* What clusters cost on a machine, in seconds; k and n rise */
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
/* The CutoffModel cost of such a table; g is the load of a step: passes of n positions each */
typedef struct CutoffLoad { const CutoffTable *table; double n, passes; } CutoffLoad;
double cutoffs_measured_cost(const void *load, int i, double k, double share);
#endif
