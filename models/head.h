/* SPDX-License-Identifier: GPL-3.0-or-later */
/* head.h -- output layers: from hidden states (n, d) to the probability of the next token.
 *
 * Forward and backward may be fused inside a head, which sees up to chunk() positions at once. Everything a
 * head costs is charged to it: building its tree, sorting by class, its optimiser step.
 * Laws, tested over the registry: sum over V of exp(lp) = 1; nll = -lp[y]; backward = finite differences of
 * forward; samples follow logprob (chi square). */
#ifndef HEAD_H
#define HEAD_H
#include "models/exec.h"
#include "models/params.h"

typedef struct Optim Optim;
typedef struct { double flops, bytes; } Cost;     /* of forward + backward of n positions, counted not measured */

typedef struct HeadDef {
    const char *name, *brief, *source;    /* source: the paper or repository it re-implements */
    int         normalised;  /* 1: nll is exact by itself; 0: training loss only, nll makes a full pass */
    /* declares its parameters in Params with OWNER_HEAD (a tied head claims "embedding.weight", which the
     * model has declared before); freq (V): counts of the training tokens, all >= 0 */
    void  *(*make)    (const Spec *, const Exec *, Params *, const long *freq, int V, int d, Arena *);
    int    (*chunk)   (const void *h);                  /* most positions of one forward/backward pair */
    /* x (n,d), y (n): sum over n of the training loss in nats. May keep what backward needs: x and y must stay */
    double (*forward) (void *h, const float *x, const int *y, int n);
    /* after forward: dx (n,d) += scale dLoss/dx; parameter gradients += scale dLoss/dp, unless frozen */
    void   (*backward)(void *h, float *dx, float scale);
    void   (*update)  (void *h, Optim *);               /* NULL: a dense update of every OWNER_HEAD parameter */
    /* exact, whatever the training loss: writes nll[i] (n) when not NULL, returns the sum, nats; any n */
    double (*nll)     (const void *h, const float *x, const int *y, int n, float *nll);
    void   (*logprob) (const void *h, const float *x, float *lp);       /* one position: x (d) -> lp (V) */
    int    (*sample)  (const void *h, const float *x, double temperature, Rng *);   /* 0: the most probable */
    Cost   (*cost)    (const void *h, int n);
} HeadDef;

extern const HeadDef *const heads[];                    /* NULL-ended */
const HeadDef *head_find(const char *name);             /* NULL when there is none */

/* For heads without a faster way: sample by one logprob and a walk. lp is scratch (V). */
int head_sample_full(const HeadDef *, const void *h, int V, float *lp, const float *x, double temperature, Rng *);
#endif
