/* SPDX-License-Identifier: GPL-3.0-or-later */
/* anatomy.h -- which words a loss comes from. Words by falling count in the training text are cut
 * into ten groups, each with a tenth of its tokens (a word belongs where the middle of its share
 * lies); of each group the mean loss, and the part of it that a head's first level accounts for. */
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
