/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cooc.h -- which words stand near which: counts over the training text, and their positive
 * pointwise mutual information.
 *
 * Columns are the most frequent words as context, and one more for all others. */
#ifndef COOC_H
#define COOC_H
#include "models/head.h"
#include "models/svd.h"

/* CSR: at (rows+1), col and v (at[rows]); the columns of a row rise */
typedef struct Sparse { int rows, cols; long *at; int *col; float *v; } Sparse;

/* The contexts of position i are i + first .. i + last but i; apart: every offset has its own
 * columns */
typedef struct Window { int first, last, contexts, apart; } Window;

enum { COOC_TEXT = 1 << 26 };       /* tokens that are looked at: 4 bytes each while counting */
/* (V, contexts + 1), times the offsets if apart */
Sparse *cooc_count(const Exec *, const HeadData *, const Window *, Arena *);

/* v <- max(0, ln p(r, c) / p(r) q(c)) n/(n+1) m/(m+1) of a count n, m the smaller sum of its row
 * and column, with q(c) ~ count(c)^(3/4) (Levy, Goldberg, Dagan 2015, section 3.2) and a
 * discount for events too rare to mean much (Pantel, Lin 2002); what is zero is left out */
void      cooc_ppmi (Sparse *, Arena *);
double    cooc_sumsq(const Sparse *);       /* of all values */
LinearMap cooc_map  (const Sparse *);
#endif
