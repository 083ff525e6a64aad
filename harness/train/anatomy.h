/* SPDX-License-Identifier: GPL-3.0-or-later */
/* anatomy.h -- where a loss comes from: words by falling count in the training text, cut into ten
 * groups of equal share of its tokens (the middle of a word's share decides); of each, the part of
 * a head's first level. */
#ifndef ANATOMY_H
#define ANATOMY_H
#include "models/head.h"

enum { DECILES = 10 };
typedef struct Anatomy {         /* [0]: all words; NAN: no tokens */
    double nll[DECILES + 1], part[DECILES + 1];     /* means; part NAN: no levels */
    long   tokens[DECILES + 1];
} Anatomy;

/* decile (V): 1..DECILES */
void anatomy_deciles(int *decile, const long *freq, int V, Arena *);
/* Of tokens y (n) with losses nll and parts (n); part NULL: no levels */
Anatomy anatomy_of(const int *decile, const int *y, long n, const float *nll, const float *part);
#endif
