/* SPDX-License-Identifier: GPL-3.0-or-later */
/* price.h -- the setting cutoffs=auto: the clusters of an adaptive softmax that are fastest on a machine. */
#ifndef PRICE_H
#define PRICE_H
#include "models/cutoffs.h"
#include "models/head.h"

/* Times forward, backward and update of single clusters with k rows and n positions over a small grid: some
 * seconds. V: the most rows; n: the most positions of a pass; d: the width of the trunk. */
void price_table(CutoffTable *, const Spec *, const Exec *, int V, int n, int d);
/* The cut-offs of least expected time of a step under these settings, as text: "2000,10000" */
const char *price_cutoffs(const Spec *, const Exec *, const HeadData *, int d, Arena *);
#endif
