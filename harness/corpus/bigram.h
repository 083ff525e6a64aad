/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bigram.h -- the next token by the one before: interpolated Kneser-Ney (Kneser, Ney 1995; Chen,
 * Goodman 1999).
 *
 *   p(v | u) = max(c(uv) - D, 0) / c(u.) + D N(u.) / c(u.) q(v)     q(v) where u was never seen
 *   q(v)     = (N(.v) + 1) / (N(..) + V)
 *   D        = (n1 + 1) / (n1 + 2 n2 + 2)
 *
 * c: counts of pairs; N: numbers of different pairs; n1, n2: of pairs seen once, twice. Adding one
 * gives every pair a probability above zero. */
#ifndef BIGRAM_H
#define BIGRAM_H
#include "kernels/base.h"
#include "models/token_ids.h"

typedef struct Bigram Bigram;
/* tok (n), n >= 2, ids below V; takes 8 bytes per token */
const Bigram *bigram_make(TokenIds tok, long n, int V, Arena *);
double        bigram_logp(const Bigram *, int u, int v);     /* ln p(v | u) */
#endif
