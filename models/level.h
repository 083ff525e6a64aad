/* SPDX-License-Identifier: GPL-3.0-or-later */
/* level.h -- one level of a tree of softmaxes: a position that has come to a group goes on to one of the group's rows.
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
 * the rows are put off: backward only keeps dLoss/dz of its positions, and level_settle adds up what all positions since
 * the last one have to say to a row, which is then read and written once. */
#ifndef LEVEL_H
#define LEVEL_H
#include "models/head.h"

typedef struct Level {
    const Exec *exec;
    Param      *w;               /* (.., d) */
    const int  *list;            /* (rows) where in w a row of the level is; NULL: at its own number */
    const int  *start, *owner;   /* (groups+1), (rows) */
    const double *mass;          /* (groups) share of the training tokens */
    int         groups, d;
} Level;

/* what a level keeps of its positions */
typedef struct LevelPass LevelPass;
/* chunk: most positions of one level_see; room: how many it can put off */
LevelPass *level_pass(const Level *, int chunk, int room, Arena *);

int  level_most(const Level *);      /* rows of the largest group */
/* n positions x (n, d) that go to row[i] of the level, or do not come here (-1): loss[i] += the smoothed cross entropy
 * and dx (n, d) += dLoss/dx; eps < 0: the exact loss, and dx is left alone */
void level_see (const Level *, LevelPass *, const float *x, const int *row, int n, double eps, double *loss, float *dx);
/* Puts off scale times the gradients of the positions seen last, as numbers level_kept .. level_kept + n of all put off */
void level_keep(const Level *, LevelPass *, float scale);
int  level_kept(const LevelPass *);
/* Adds the gradients put off to those of w, unless it is frozen; x (level_kept, d) are their positions */
void level_settle(const Level *, LevelPass *, const float *x);

/* z (rows of group g) = log softmax(W_g x); and for all groups, lp (rows) = above[g] + that */
void level_logprob_of(const Level *, int g, const float *x, float *z);
void level_logprob   (const Level *, const float *above, const float *x, float *lp);

/* forward + backward + settle of n positions in chunks of at most `chunk`, expected over the training tokens */
Cost level_cost(const Level *, int n, int chunk);
#endif
