/* SPDX-License-Identifier: GPL-3.0-or-later */
/* embed_init.h -- the embedding before training (FlashLM v3 began with the leading components of
 * GPT-2's). */
#ifndef EMBED_INIT_H
#define EMBED_INIT_H
#include "models/head.h"

/* Writes v of the embedding (V, d) by the setting embed_init:
 *   random   as it was drawn; *kept is NAN
 *   pmi      U S of the text's own PPMI matrix, contexts up to two words to either side (d
 *            components), scaled to the root mean square init_sigma; words that do not occur stay
 *            random
 *   FILE     U S of GPT-2's "wte.weight" (V, 768), or any matrix of that name with at least d
 *            columns; not scaled
 * *kept: the share of the matrix' variance (sum of squares) that d components keep. NULL, or an
 * error message. */
const char *embed_init(const Spec *, const Exec *, Param *embedding, const HeadData *, double *kept,
                       Arena *);
#endif
