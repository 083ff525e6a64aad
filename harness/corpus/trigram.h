/* SPDX-License-Identifier: GPL-3.0-or-later */
/* trigram.h -- the next token by the two before: interpolated Kneser-Ney (Kneser, Ney 1995; Chen,
 * Goodman 1999), a discount for each order.
 *
 *   p(w | u v) = max(c(uvw) - D3, 0) / c(uv.) + D3 N(uv.) / c(uv.) p(w | v)
 *   p(w | v)   = max(a(vw) - D2, 0) / a(v.) + D2 N(v.) / a(v.) q(w)
 *   q(w)       = (N(.w) + 1) / (N(..) + V)
 *   (where uv was never seen, p(w | v); where v was not, q(w))
 *   D          = (n1 + 1) / (n1 + 2 n2 + 2)
 *
 * c: counts of triples; a(vw): in how many different triples vw is the end; N: numbers of different
 * ends of triples, and of pairs; n1, n2: how many of the counts of an order are one, two. Adding
 * one gives every token a probability above zero. */
#ifndef TRIGRAM_H
#define TRIGRAM_H
#include "kernels/base.h"
#include "models/token_ids.h"

typedef struct Trigram Trigram;
/* tok (n), n >= 3, ids below V; takes up to 60 bytes per token */
const Trigram *trigram_make(TokenIds tok, long n, int V, Arena *);
double         trigram_logp(const Trigram *, int u, int v, int w);     /* ln p(w | u v) */
#endif
