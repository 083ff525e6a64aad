/* SPDX-License-Identifier: GPL-3.0-or-later */
/* synth.h -- the embedded default corpus: a synthetic language whose entropy is known.
 *
 * (the model, its parameters and the filter are stated in synth.c) */
#ifndef SYNTH_H
#define SYNTH_H
#include "kernels/base.h"

typedef struct Synth Synth;
Synth *synth_make(int V, uint64_t seed, Arena *);          /* 2 <= V <= 65536 */
/* the stream of a name (0 training, 1 validation, ...): n tokens, the same for the same V, seed, stream and any n */
void   synth_stream(const Synth *, uint64_t stream, uint16_t *tok, long n);
/* Exact -ln p(tok[i] | tok[0..i-1]) of the true model by its forward filter: nll[i] (n) when not NULL; returns the mean, nats */
double synth_nll(const Synth *, const uint16_t *tok, long n, double *nll);
double synth_unigram_entropy(const Synth *);                /* of the Zipf-Mandelbrot law, nats */
#endif
