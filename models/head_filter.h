/* SPDX-License-Identifier: GPL-3.0-or-later */
/* head_filter.h -- which products of the softmax gradient are left out, and how much probability
 * mass that costs.
 *
 * Cut Cross-Entropy (Wijmans et al. 2024, arXiv 2411.09009) skips blocks of p below 2^-12. At V =
 * 50,257 a uniform p is 2^-15.6: at the start that threshold drops all. Here the mass that is
 * dropped is bounded:
 *
 *   b       a block of FULL_BLOCK rows           g   a group of FILTER_GROUP positions
 *   m_ib    sum of p_iv over v in b
 *
 *   for each g: blocks b by increasing max over i in g of m_ib;
 *               b is left out when for every i in g
 *               (mass of i left out so far) + m_ib <= delta */
#ifndef HEAD_FILTER_H
#define HEAD_FILTER_H
#include "models/head_full.h"

enum { FILTER_GROUP = 32 };
typedef struct { float top; int block; } FilterRank;

typedef struct Filter {
    double      delta;
    int         blocks;
    float      *lse;             /* (blocks, n) log sum exp by block, of full_pass; then m_ib */
    char       *keep;            /* (groups, blocks) */
    FilterRank *rank;            /* (groups, blocks) */
    double     *dropped;         /* (n) mass left out of a position */
    int        *skipped;         /* (groups) blocks left out */
    double      share;           /* of the last chunk: blocks left out over all */
    double      mass, pairs, skips;      /* over all chunks: mass dropped; pairs of a group and a
                                          * block; pairs left out */
    long        positions;
} Filter;

Filter *filter_new(double delta, int V, int chunk, Arena *);
/* Fills keep from lse (blocks, n) and the log sum exp of each position, total (n). */
void    filter_choose(Filter *, const Exec *, const float *total, int n);
#endif
