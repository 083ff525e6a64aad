/* SPDX-License-Identifier: GPL-3.0-or-later */
/* timed_head.h -- a head as benchmarks time it: forward and backward of n given positions, in
 * chunks as the head asks for them, and its deferred gradients; no update. */
#ifndef TIMED_HEAD_H
#define TIMED_HEAD_H
#include "models/head.h"

typedef struct TimedHead {
    const HeadDef *def;
    void          *head;
    int            d, n;
    const float   *x;            /* (n, d) hidden states */
    float         *dx;           /* (n, d) their gradient, accumulated from call to call */
    const int     *y;            /* (n) targets */
    float          scale;        /* of the loss */
} TimedHead;

/* Sets head, of t->def over V words of frequency 1 / rank and an embedding from N(0, 0.02). Its
 * parameters are in `params`, what it takes beside them in `own`. NULL, or an error message. */
const char *timed_head_make(TimedHead *t, const Spec *, const Exec *, int V, Arena *params,
                            Arena *own);
/* GbenchWork: ctx is a TimedHead */
void        timed_head_run (void *ctx, long iters);

/* What settings with so many threads run with; they get that number. Dies with an error message */
const Exec *timed_exec(Spec *, int threads, Arena *);
/* n draws from N(0, sigma) */
float *timed_normals(size_t n, float sigma, Rng *, Arena *);
#endif
