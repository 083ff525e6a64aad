/* SPDX-License-Identifier: GPL-3.0-or-later */
/* law_head_parts.h -- what law_head.c and law_head_backward.c share: one head on one case. */
#ifndef LAW_HEAD_PARTS_H
#define LAW_HEAD_PARTS_H
#include "harness/laws/laws.h"

/* tokens of the text heads are told of; settings of a case */
enum { TEXT = 5000, MOST_WORDS = 8 };
typedef struct { int V, d, n, threads; const char *words[MOST_WORDS]; } Case;

/* a tensor that forward depends on: v (n), its gradient by backward, a copy of v */
typedef struct { const char *name; float *v, *g, *copy; long n; Param *param; } Input;

typedef struct {
    const HeadDef *def;
    const Case *c;
    void   *h;
    Params *ps;
    Input  *in;            /* [0] is x */
    int     inputs, n;
    const float *x;
    const int   *y;
    uint64_t seed;
    Rng     rng;
    Arena  *a;
} Lab;

/* the error message, with the case */
const char *head_lab_broken(const Lab *, const char *what);
void        head_lab_fill_gradients(const Lab *, float value);
/* Positions [from, to) through forward and backward; returns the loss */
double      head_lab_pass(const Lab *, int from, int to, float scale);
const char *head_lab_gradients(Lab *);
const char *head_lab_manners(const Lab *);
#endif
