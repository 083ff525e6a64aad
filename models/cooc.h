/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cooc.h -- which words stand near which: counts over the training text (co-occurrences), and their
 * positive pointwise mutual information.
 *
 * Rows are words; columns are the most frequent words as context, and one more for all others. */
#ifndef COOC_H
#define COOC_H
#include "models/head.h"
#include "models/svd.h"

/* CSR: row r has values v[at[r] .. at[r+1]) in the columns col[...], which increase; at (rows+1) */
typedef struct Sparse { int rows, cols; long *at; int *col; float *v; } Sparse;

/* The contexts of position i are i + first .. i + last without i. apart 1: every offset has columns
 * of its own */
typedef struct Window { int first, last, contexts, apart; } Window;

enum { COOC_TEXT = 1 << 26 };       /* most tokens that are counted: 4 bytes each meanwhile */
/* (V, contexts + 1), times the number of offsets if apart */
Sparse *cooc_count(const Exec *, const HeadData *, const Window *, Arena *);

/* Replaces counts by
 *   v <- max(0, ln p(r, c) / (p(r) q(c))) n/(n+1) m/(m+1),   q(c) ~ count(c)^(3/4)
 * (Levy, Goldberg, Dagan 2015, section 3.2), of a count n with m the smaller sum of its row and
 * column; the last two factors discount rare events (Pantel, Lin 2002). Zeros are left out */
void      cooc_ppmi (Sparse *, Arena *);
double    cooc_sumsq(const Sparse *);       /* of all values */
LinearMap cooc_map  (const Sparse *);
#endif
