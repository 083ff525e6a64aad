/* SPDX-License-Identifier: GPL-3.0-or-later */
/* head_full.h -- the softmax over all V words: one pass over the rows of E (V, d), z = E x, and the
 * evaluation that is made of it. A head may train with another loss and still be evaluated by this.
 *
 * E is a parameter, or a copy made once per version of it: quantised, or with its rows in the order
 * of counts. */
#ifndef HEAD_FULL_H
#define HEAD_FULL_H
#include "models/head.h"

/* FULL_TILE, FULL_BLOCK: rows of each; FULL_EVAL: positions of a pass of nll */
enum { FULL_TILE = 1024, FULL_BLOCK = 64, FULL_EVAL = 256 };

/* of one position, over the rows of one thread or all: max z, sum exp(z - max), sum z */
typedef struct { double max, sum, total; } FullStat;

typedef enum { FULL_F32, FULL_INT8, FULL_TERNARY } FullQuant;

typedef struct Full {
    const Exec *exec;
    Param      *w;               /* (V, d) */
    int         V, d, grain;     /* a thread's rows begin at a multiple of grain, by default 16 */
    const int  *word, *row;      /* (V) word of a row of E; row of a word; NULL: the same number */
    const int  *from;            /* (V) which row of w a row of E is; NULL: the same one */
    FullQuant   quant;
    float      *copy;            /* (V, d) E; NULL: w itself */
    long        version;         /* of w when it was copied */
    int8_t     *codes;           /* (threads, d) */
    double     *part;            /* (threads) */
    FullStat   *stat;            /* (threads, most); after a pass stat[i] is over all of V */
    float      *target;          /* (most): z_y */
    float      *scan;            /* (threads, FULL_EVAL, FULL_TILE): logits that are not kept */
    float      *lp, *z;          /* (V) by word, by row */
} Full;

/* most: positions of a pass; up to FULL_EVAL are always allowed */
Full *full_new(const Exec *, Param *w, int most, Arena *);
/* Puts rows in the order of falling counts: of a matrix of the head's own (tied 0) the parameter,
 * of a tied one a copy. */
void  full_by_count(Full *, const long *freq, int tied, Arena *);
void  full_quantise(Full *, FullQuant, Arena *);

const float *full_matrix(Full *);                           /* E (V, d) of w's present version */
void  full_range(const Full *, int t, int *r0, int *r1);    /* the rows of thread t */
static inline int full_row(const Full *f, int word) { return f->row ? f->row[word] : word; }

/* What a pass may keep for backward. The rows of a tile from r on are at exps + r n, its shifts at
 * full_shift(). */
typedef struct {
    float *exps;                 /* (V, n): exp(z - shift), tile by tile (n, rows of the tile) */
    float *shift;                /* (tiles, n): the largest z of the tile */
    float *blocks;               /* (V / FULL_BLOCK, n): log sum exp of every block; needs grain =
                                  * FULL_BLOCK; NULL: not wanted */
} FullKeep;
size_t full_tiles(const Full *);                               /* of all threads, at most */
/* (n) the shifts of thread t's tile that begins at row r0 */
static inline float *full_shift(const FullKeep *k, int t, int r0, int n)
{
    return k->shift + (size_t)(r0 / FULL_TILE + t) * (size_t)n;
}

/* n positions against all rows: writes stat and target. keep NULL: nothing is kept, stat.total is
 * not computed, n <= FULL_EVAL */
void   full_pass   (Full *, const float *x, const int *y, int n, const FullKeep *keep);
/* as in HeadDef */
double full_nll    (Full *, const float *x, const int *y, int n, float *nll);
void   full_logprob(Full *, const float *x, float *lp);
int    full_sample (Full *, const float *x, double temperature, Rng *);
#endif
