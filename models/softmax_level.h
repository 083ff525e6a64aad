/* SPDX-License-Identifier: GPL-3.0-or-later */
/* softmax_level.h -- one level of a tree of softmaxes: each group of the level is a softmax over
 * its rows. A position comes with a group, and its target is one of the group's rows.
 *
 *   -log p = -log softmax(W_g x)[row],   W_g: the rows [start[g], start[g+1]) of the level
 *
 *   row of the level  0 1 2 | 3 4 5 6 7 | 8 9 ...      start = 0 3 8 ...
 *   owner             0 0 0 | 1 1 1 1 1 | 2 2 ...
 *
 * There are many groups, and few positions meet in one. Positions are therefore sorted by group,
 * and the rows of a group are read in place, each once for all of its positions (rows_dot of
 * f32.h). A thread takes whole groups, so that positions and rows belong to it alone: no locks, and
 * the same bits for any number of threads.
 *
 * While the rows of a group are in the cache, forward turns logits into dLoss/dz, and dLoss/dz into
 * dLoss/dx. The gradients of the rows are deferred: softmax_level_defer only keeps dLoss/dz, and
 * softmax_level_flush adds the gradients of all deferred positions, reading and writing each row
 * once:
 *
 *   for each chunk: softmax_level_forward, softmax_level_defer        then: softmax_level_flush */
#ifndef SOFTMAX_LEVEL_H
#define SOFTMAX_LEVEL_H
#include "models/head.h"

typedef struct SoftmaxLevel {
    const Exec *exec;
    Param      *w;               /* (.., d) */
    const int  *list;            /* (rows) which row of w a row of the level is; NULL: the same */
    const int  *start, *owner;   /* (groups+1) first row of a group; (rows) group of a row */
    const double *mass;          /* (groups) share of the training tokens */
    int         groups, d;
} SoftmaxLevel;

/* what a level keeps about its positions */
typedef struct SoftmaxLevelPass SoftmaxLevelPass;
/* chunk: the most positions of one softmax_level_forward; room: how many more can be deferred */
SoftmaxLevelPass *softmax_level_pass(const SoftmaxLevel *, int chunk, int room, Arena *);

/* Cuts `rows` rows of such masses into l->groups runs, which sets start, owner and mass: each takes
 * rows while that brings its mass nearer to an equal share of what is left */
void softmax_level_cut(SoftmaxLevel *l, const double *mass, int rows, Arena *);
int  softmax_level_most(const SoftmaxLevel *);      /* rows of the largest group */
/* n positions x (n, d) with targets row[i], rows of the level; -1: the position is not in this
 * level. loss[i] += the smoothed cross entropy, dx (n, d) += dLoss/dx; eps < 0: the exact loss,
 * dx unchanged */
void softmax_level_forward(const SoftmaxLevel *, SoftmaxLevelPass *, const float *x, const int *row,
                           int n, double eps, double *loss, float *dx);
/* Defers scale times the gradients of the positions of the last softmax_level_forward, after those
 * that are deferred already. */
void softmax_level_defer(const SoftmaxLevel *, SoftmaxLevelPass *, float scale);
int  softmax_level_deferred(const SoftmaxLevelPass *);      /* how many positions are deferred */
/* Adds the gradients of all deferred positions to those of w, unless it is frozen, and forgets the
 * positions. x (softmax_level_deferred, d): their hidden states, in the order they were deferred */
void softmax_level_flush(const SoftmaxLevel *, SoftmaxLevelPass *, const float *x);

/* z (rows of group g) = log softmax(W_g x) */
void softmax_level_logprob_of(const SoftmaxLevel *, int g, const float *x, float *z);
/* the same for all groups: lp (rows) = above[g] + log softmax(W_g x) */
void softmax_level_logprob   (const SoftmaxLevel *, const float *above, const float *x, float *lp);

/* expected cost, over the training tokens, of forward, backward and flush of n positions in chunks
 * of at most `chunk` */
Cost softmax_level_cost(const SoftmaxLevel *, int n, int chunk);
#endif
