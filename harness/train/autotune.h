/* SPDX-License-Identifier: GPL-3.0-or-later */
/* autotune.h -- what is chosen by measurement: the clusters of an adaptive softmax (cutoffs=auto),
 * the provider of dense products and which of them pack their weight (gemm=auto). A choice is
 * recorded, and kept by a checkpoint. */
#ifndef AUTOTUNE_H
#define AUTOTUNE_H
#include "models/cutoffs.h"
#include "models/head.h"

/* Times forward, backward and update of single clusters with k rows and n positions over a small
 * grid: some seconds. V: the most rows; n: the most positions of a pass; d: the width of the trunk.
 */
void autotune_table(CutoffTable *, const Spec *, const Exec *, int V, int n, int d);
/* The cut-offs of least expected time of a step under these settings, as text: "2000,10000" */
const char *autotune_cutoffs(const Spec *, const Exec *, const HeadData *, int d, Arena *);
/* The provider whose products of a FlashLM v3 layer, forward and to the weights, take the least
 * time; another than the first that loads must be 10 % faster. Measured once for a CPU and a number
 * of threads, some 50 ms, and kept in the cache directory, for the same run must give the same
 * bits. The products are as the setting precision says. *reason: why this one, for the record */
const char *autotune_gemm(const Spec *, int threads, const char **reason, Arena *);
/* Which products of a step with a ternary weight have it packed, as gemm_choose reads it: packed,
 * unless plain is faster, the packing included. For a provider that packs; kept in the same way */
const char *autotune_packed(const Spec *, const Exec *, const Params *, Arena *);
#endif
