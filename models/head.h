/* SPDX-License-Identifier: GPL-3.0-or-later */
/* head.h -- output layers: from hidden states (n, d) to the probability of the next token.
 *
 * Forward and backward may be fused inside a head, which is given up to chunk() positions at once.
 * All the time of a head is charged to it: building its tree, sorting by class, its optimiser step.
 *
 * Laws, tested over the registry:
 *   sum over V of exp(lp) = 1
 *   nll = -lp[y]
 *   backward = finite differences of forward
 *   samples are distributed as logprob says (chi square) */
#ifndef HEAD_H
#define HEAD_H
#include "models/exec.h"
#include "models/params.h"
#include "models/token_ids.h"

typedef struct Optim Optim;
typedef struct Classes Classes;                        /* of words: classes.h */
/* of forward + backward of n positions, by counting, not by measurement */
typedef struct { double flops, bytes; } Cost;

/* What a head may know of the training text */
typedef struct HeadData {
    int             V;
    const long     *freq;    /* (V) counts of the training tokens, all >= 0 */
    TokenIds        tok;     /* (n) the text, to count contexts in; tok.at NULL: there is none */
    long            n;
    const Classes  *given;   /* classes to use, made by another run; NULL: the head makes its own */
} HeadData;

typedef void HeadSay(void *ctx, const char *name, double value);   /* takes a number of a report */

typedef struct HeadDef {
    const char *name, *brief, *source;    /* source: the paper or repository it re-implements */
    int         normalised;  /* 1: the training loss is over all V words; 0: over samples of them */
    /* Declares its parameters in Params with OWNER_HEAD; a tied head claims the embedding,
     * which the model has declared before. NULL and an error message in Params.why when a setting
     * or the data do not allow it. */
    void  *(*make)    (const Spec *, const Exec *, Params *, const HeadData *, int d, Arena *);
    int    (*chunk)   (const void *h);           /* most positions of one forward and backward */
    /* x (n, d), y (n): the sum over n of the training loss, nats. May keep pointers: x and y
     * must stay as they are until after backward. */
    double (*forward) (void *h, const float *x, const int *y, int n);
    /* After forward: dx (n, d) += scale dLoss/dx; gradients of parameters that are not frozen
     * += scale dLoss/dp, now or at flush_grads. */
    void   (*backward)(void *h, float *dx, float scale);
    /* Add deferred weight gradients to Param.g. Call after the last backward, before reading g.
     * NULL: nothing is deferred. */
    void   (*flush_grads)  (void *h);
    void   (*update)  (void *h, Optim *);        /* NULL: optim_update of OWNER_HEAD is called */
    /* The exact loss, whatever the training loss: returns the sum over n, any number, in nats;
     * nll[i] (n) when not NULL */
    double (*nll)     (const void *h, const float *x, const int *y, int n, float *nll);
    /* The part of each exact loss due to the first level (choosing a class or cluster):
     * class_nll (n). NULL: the head has one level. */
    void   (*class_nll)   (const void *h, const float *x, const int *y, int n, float *class_nll);
    void   (*logprob) (const void *h, const float *x, float *lp);   /* one position: x (d) */
    /* one position; temperature 0: the most probable word */
    int    (*sample)  (const void *h, const float *x, double temperature, Rng *);
    Cost   (*cost)    (const void *h, int n);
    /* numbers about its training; NULL: none */
    void   (*report)  (const void *h, HeadSay *, void *ctx);
    const Classes *(*classes)(const void *h);    /* classes of words; NULL: it has none */
} HeadDef;

extern const HeadDef *const heads[];                    /* NULL-ended */
const HeadDef *head_find(const char *name);             /* NULL when there is none */
static inline void head_flush_grads(const HeadDef *def, void *h)
{
    if (def->flush_grads) def->flush_grads(h);
}

/* ---- what heads share ---- */
/* heads draw their i-th parameter by param_normal with index HEAD_DRAW + i */
enum { HEAD_DRAW = 1 << 20 };
enum { HEAD_CHUNK = 2048, HEAD_BYTES = 25 << 20 };
/* The chunk of a head that keeps `width` floats per position: as many positions as fit in
 * HEAD_BYTES, a multiple of 16, from 16 to HEAD_CHUNK */
int    head_chunk(int width);
/* A new matrix drawn from N(0, init_sigma) */
Param *head_matrix(const Spec *, Params *, const char *name, int rows, int cols, int index);
/* The embedding (V, d), now owned by the head */
Param *head_embedding(Params *, int V, int d);
const char *head_output(const Params *);      /* Params.output, or "head" */
/* The V output rows: with tied=1 the embedding, otherwise a matrix named by `own`; NULL: by
 * head_output, "NAME.weight" */
Param *head_rows  (const Spec *, Params *, const char *own, int V, int d, int index);
/* A dense matrix of a head as its products read it: packed once for a version of its values, where
 * the provider of dense products packs. Not within a team. */
typedef struct HeadWeight { GemmWeight forward, back; Arena *home; } HeadWeight;
HeadWeight *head_weight_new(Arena *home);
/* The matrix w (rows, d) of this version with n positions, z (n, rows) with ldz from one to the
 * next:  z = x w',  or  dx (n, d) += z w */
typedef struct HeadProduct {
    HeadWeight  *by;             /* what the provider made of w */
    const float *w;
    long         version;
    int          rows, d, n, ldz;
} HeadProduct;
void   head_logits (const Exec *, const HeadProduct *, float *z, const float *x);
void   head_back   (const Exec *, const HeadProduct *, const float *z, float *dx);
/* z (n) *= by, over threads */
void   head_scale  (const Exec *, float *z, long n, float by);
/* Smoothed cross entropy of one softmax: z (c) are logits, afterwards dLoss/dz. Returns, in nats,
 *   loss     = (1 - eps) (-log p_y) + eps mean over c of (-log p)
 *   d/dz_j   = p_j - eps/c - (1 - eps) [j = y] */
double head_xent(const F32 *, float *z, int c, int y, double eps);
/* The same for n rows of z (n, c), over threads; loss[i] += the loss of row i. eps < 0: the exact
 * loss, and z is left as it is */
void   head_xent_rows(const Exec *, float *z, int n, int c, const int *y, double eps, double *loss);
double head_lse   (const F32 *, const float *z, int c);                 /* log sum exp */
double head_sum   (const F32 *, const float *z, int c);
/* z (rows) = w (rows, d) x (d), over threads */
void   head_dots  (const Exec *, float *z, const float *w, const float *x, int rows, int d);
/* a word drawn from softmax(z / temperature); temperature 0: the most probable */
int    head_pick  (const float *z, int c, double temperature, Rng *);
/* Counting sort: pos (n) lists positions group by group, in order; those of group g are
 * pos[at[g]..at[g+1]); at (groups+1) */
void   head_group (const int *group, int n, int groups, int *at, int *pos);
typedef struct { long count; int word; } HeadRank;
void   head_rank  (HeadRank *, const long *freq, int V);   /* words by falling count, then by id */
/* mass (V+1): mass[r], the share of ranks below r; each word counts once more than it occurs */
void   head_mass  (double *mass, const HeadRank *, int V);
#endif
