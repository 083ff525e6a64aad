/* SPDX-License-Identifier: GPL-3.0-or-later */
/* headlab.h -- heads refitted on the same frozen hidden states: what a head costs in loss by itself.
 *
 * Of every head, and of the checkpoint's own as it was trained: exact loss on the validation text; the part of its first
 * level (HeadDef.parts); both by frequency: words by falling count in the training text, cut into ten groups of equal
 * share of its tokens (the middle of a word's share decides). Beside them the unigram law, one added to every count, and
 * interpolated Kneser-Ney bigrams (bigram.h). */
#ifndef HEADLAB_H
#define HEADLAB_H
#include "models/head.h"

enum { DECILES = 10 };
typedef struct Anatomy { double nll[DECILES + 1], part[DECILES + 1]; } Anatomy;    /* [0]: all words; part NAN: no levels */

void headlab_deciles(int *decile, const long *freq, int V, Arena *);               /* decile (V), 1..DECILES */
/* nll, part (n), part NULL: no levels; a decile without a token is NAN. count (DECILES + 1) gets its tokens */
void headlab_anatomy(Anatomy *, long *count, const int *decile, const int *y, long n, const float *nll, const float *part);

int headlab_main(int argc, char **argv);       /* the command `headlab` */
#endif
