/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cutoffs.h -- where the adaptive softmax ends its short list and its tails. */
#ifndef CUTOFFS_H
#define CUTOFFS_H

enum { MOST_TAILS = 6 };

/* text: ranks that rise, "2000,10000", or "auto", the cheapest of the model in the file; mass (V+1): share of the tokens
 * whose rank is below. Writes cut[0..K], the last is V; returns K, the number of tails, 1..MOST_TAILS. V >= 2. */
int    cutoffs_find(int *cut, const char *text, const double *mass, int V, int d);
double cutoffs_cost(const int *cut, int K, const double *mass, int d);     /* of the model in the file */
#endif
