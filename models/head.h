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
typedef struct Classes Classes;                   /* of words: classes.h */
typedef struct { double flops, bytes; } Cost;     /* of forward + backward of n positions, counted not measured */

/* What the training text tells a head */
typedef struct HeadData {
    int             V;
    const long     *freq;    /* (V) counts of the training tokens, all >= 0 */
    const uint16_t *tok;     /* (n) the text, for what looks at contexts; NULL where there is none */
    long            n;
    const Classes  *given;   /* for what has classes: these, as another run made them; NULL: its own */
} HeadData;

typedef void HeadSay(void *ctx, const char *name, double value);       /* a number of the run so far */

typedef struct HeadDef {
    const char *name, *brief, *source;    /* source: the paper or repository it re-implements */
    int         normalised;  /* 1: nll is exact by itself; 0: training loss only, nll makes a full pass */
    /* declares its parameters in Params with OWNER_HEAD (a tied head claims "embedding.weight", which the
     * model has declared before) */
    void  *(*make)    (const Spec *, const Exec *, Params *, const HeadData *, int d, Arena *);
    int    (*chunk)   (const void *h);                  /* most positions of one forward/backward pair */
    /* x (n,d), y (n): sum over n of the training loss in nats. May keep what backward needs: x and y must stay */
    double (*forward) (void *h, const float *x, const int *y, int n);
    /* after forward: dx (n,d) += scale dLoss/dx; parameter gradients += scale dLoss/dp, unless frozen, at once or by settle */
    void   (*backward)(void *h, float *dx, float scale);
    /* adds to the parameter gradients what backward has put off; before they are read; NULL: backward puts nothing off */
    void   (*flush_grads)  (void *h);
    void   (*update)  (void *h, Optim *);               /* NULL: a dense update of every OWNER_HEAD parameter */
    /* exact, whatever the training loss: writes nll[i] (n) when not NULL, returns the sum, nats; any n */
    double (*nll)     (const void *h, const float *x, const int *y, int n, float *nll);
    /* of every exact loss, what the first level takes (a class, a cluster): class_nll (n); NULL: one level */
    void   (*class_nll)   (const void *h, const float *x, const int *y, int n, float *class_nll);
    void   (*logprob) (const void *h, const float *x, float *lp);       /* one position: x (d) -> lp (V) */
    int    (*sample)  (const void *h, const float *x, double temperature, Rng *);   /* 0: the most probable */
    Cost   (*cost)    (const void *h, int n);
    void   (*report)  (const void *h, HeadSay *, void *ctx);    /* what its training came to; NULL: nothing */
    const Classes *(*classes)(const void *h);           /* of its words; NULL: it has none */
} HeadDef;

extern const HeadDef *const heads[];                    /* NULL-ended */
const HeadDef *head_find(const char *name);             /* NULL when there is none */
static inline void head_flush_grads(const HeadDef *def, void *h) { if (def->flush_grads) def->flush_grads(h); }

/* ---- what heads share ---- */
enum { HEAD_DRAW = 1 << 20 };     /* heads draw their i-th parameter with param_normal's index HEAD_DRAW + i */
enum { HEAD_CHUNK = 2048, HEAD_BYTES = 25 << 20 };
/* The chunk of a head that keeps `width` floats per position: within HEAD_BYTES, a multiple of 16, 16..HEAD_CHUNK */
int    head_chunk(int width);
/* A matrix drawn from N(0, init_sigma); "embedding.weight", claimed; and the V output rows: that if tied=1, otherwise `own` */
Param *head_matrix(const Spec *, Params *, const char *name, int rows, int cols, int index);
Param *head_embedding(Params *, int V, int d);
Param *head_rows  (const Spec *, Params *, const char *own, int V, int d, int index);
/* Smoothed cross entropy of one softmax: z (c) are logits, afterwards dLoss/dz. The loss, nats:
 *   (1 - eps) (-log p_y) + eps mean over c of (-log p),   d/dz_j = p_j - eps/c - (1 - eps) [j = y] */
double head_xent(const F32 *, float *z, int c, int y, double eps);
/* The same for n rows of z (n, c), over threads; loss (n) is what each adds. eps < 0: exact, z stays as it is */
void   head_xent_rows(const Exec *, float *z, int n, int c, const int *y, double eps, double *loss);
double head_lse   (const F32 *, const float *z, int c);                 /* log sum exp */
double head_sum   (const F32 *, const float *z, int c);
void   head_dots  (const Exec *, float *z, const float *w, const float *x, int rows, int d);  /* z = w x, over threads */
int    head_pick  (const float *z, int c, double temperature, Rng *);   /* from softmax(z / temperature); 0: the largest */
/* Counting sort: pos (n) lists positions group after group, in order; those of g are pos[at[g]..at[g+1]); at (groups+1) */
void   head_group (const int *group, int n, int groups, int *at, int *pos);
typedef struct { long count; int word; } HeadRank;
void   head_rank  (HeadRank *, const long *freq, int V);               /* words by falling count, then by id */
void   head_mass  (double *mass, const HeadRank *, int V);             /* (V+1) share of the counts + 1 of ranks below */
#endif
