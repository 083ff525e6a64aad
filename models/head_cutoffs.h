/* SPDX-License-Identifier: GPL-3.0-or-later */
/* head_cutoffs.h -- where the adaptive softmax ends its short list and its tails. */
#ifndef HEAD_CUTOFFS_H
#define HEAD_CUTOFFS_H

enum { HEAD_TAILS = 6 };

/* text: ranks that rise, "2000,10000", or "auto", the cheapest of the model in the file; mass (V+1): share of the tokens
 * whose rank is below. Writes cut[0..K], the last is V; returns K, the number of tails, 1..HEAD_TAILS. V >= 2. */
int head_cutoffs(int *cut, const char *text, const double *mass, int V, int d);
#endif
