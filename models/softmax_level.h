/* SPDX-License-Identifier: GPL-3.0-or-later */
/* softmax_level.h -- one level of a tree of softmaxes: a position that has come to a group goes on to one of the group's rows.
 *
 *   -log p = -log softmax(W_g x)[row],   W_g: the rows [start[g], start[g+1]) of the level
 *
 *   row of the level  0 1 2 | 3 4 5 6 7 | 8 9 ...       start = 0 3 8 ..., owner = 0 0 0 1 1 1 1 1 2 2 ...
 *
 * Groups are many, and few positions meet in one: rows are taken where they lie, each once (rows_dot of f32.h), and
 * positions are sorted by group. A thread takes whole groups, so its positions and its rows: no locks, and the same bits
 * for any number of threads.
 *
 * While the rows of a group are in the cache, forward turns logits into dLoss/dz and these into dLoss/dx. The gradients of
 * the rows are put off: backward only keeps dLoss/dz of its positions, and softmax_level_flush adds up what all positions since
 * the last one have to say to a row, which is then read and written once. */
#ifndef SOFTMAX_LEVEL_H
#define SOFTMAX_LEVEL_H
#include "models/head.h"

typedef struct SoftmaxLevel {
    const Exec *exec;
    Param      *w;               /* (.., d) */
    const int  *list;            /* (rows) where in w a row of the level is; NULL: at its own number */
    const int  *start, *owner;   /* (groups+1), (rows) */
    const double *mass;          /* (groups) share of the training tokens */
    int         groups, d;
} SoftmaxLevel;

/* what a level keeps of its positions */
typedef struct SoftmaxLevelPass SoftmaxLevelPass;
/* chunk: most positions of one softmax_level_forward; room: how many it can put off */
SoftmaxLevelPass *softmax_level_pass(const SoftmaxLevel *, int chunk, int room, Arena *);

int  softmax_level_most(const SoftmaxLevel *);      /* rows of the largest group */
/* n positions x (n, d) that go to row[i] of the level, or do not come here (-1): loss[i] += the smoothed cross entropy
 * and dx (n, d) += dLoss/dx; eps < 0: the exact loss, and dx is left alone */
void softmax_level_forward (const SoftmaxLevel *, SoftmaxLevelPass *, const float *x, const int *row, int n, double eps, double *loss, float *dx);
/* Puts off scale times the gradients of the positions seen last, as numbers softmax_level_deferred .. softmax_level_deferred + n of all put off */
void softmax_level_defer(const SoftmaxLevel *, SoftmaxLevelPass *, float scale);
int  softmax_level_deferred(const SoftmaxLevelPass *);
/* Adds the gradients put off to those of w, unless it is frozen; x (softmax_level_deferred, d) are their positions */
void softmax_level_flush(const SoftmaxLevel *, SoftmaxLevelPass *, const float *x);

/* z (rows of group g) = log softmax(W_g x); and for all groups, lp (rows) = above[g] + that */
void softmax_level_logprob_of(const SoftmaxLevel *, int g, const float *x, float *z);
void softmax_level_logprob   (const SoftmaxLevel *, const float *above, const float *x, float *lp);

/* forward + backward + settle of n positions in chunks of at most `chunk`, expected over the training tokens */
Cost softmax_level_cost(const SoftmaxLevel *, int n, int chunk);
#endif
