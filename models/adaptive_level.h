/* SPDX-License-Identifier: GPL-3.0-or-later */
/* adaptive_level.h -- one softmax of the adaptive head, forward and backward: the short list, or a
 * tail behind its projection. What the head runs (head_adaptive.c) and what measured cut-offs are
 * timed by (harness/train/autotune.c).
 *
 *   short list   Z = X S'                       dX += s dZ S                    dS += s dZ' X
 *   tail         P = X proj',  Z = P out'       dP = s dZ out,  dX = dP proj    dout += s dZ' P,
 *                                                                               dproj += dP' X
 *
 * The rows of the short list may be packed; every chunk has another number of positions in a tail,
 * for which a provider would have to prepare anew.
 *
 * with s the scale and dZ, in place of Z, dLoss/dZ of head_xent_rows. */
#ifndef ADAPTIVE_LEVEL_H
#define ADAPTIVE_LEVEL_H
#include "models/head.h"

/* S (k, d). own: the parameter it is, or NULL: rows is a copy of several and g collects their
 * gradients */
typedef struct ShortLevel {
    Param       *own;
    const float *rows;
    float       *g;
    int          k, d;
    HeadWeight  *by;             /* what the provider of products made of rows */
    long         version;        /* of rows */
} ShortLevel;
/* proj (m, d), out (k, m) */
typedef struct TailLevel {
    Param *proj, *out;
    int    k, m, d;
} TailLevel;

/* x (n, d), y (n): rows of S; z (n, k); loss (n) += the loss. eps < 0: exact, and z stays logits */
void short_level_forward (const Exec *, const ShortLevel *, const float *x, const int *y, int n,
                          double eps, float *z, double *loss);
/* dx (n, d) +=; gradients of S +=, none of a frozen parameter; z becomes scale z */
void short_level_backward(const Exec *, const ShortLevel *, const float *x, float *z, int n,
                          float scale, float *dx);
/* y (n): ranks within the tail; p (n, m) is kept for backward; z (n, k) and loss as above */
void tail_level_forward  (const Exec *, const TailLevel *, const float *x, const int *y, int n,
                          double eps, float *p, float *z, double *loss);
/* dp (n, m): room; dx (n, d) =; gradients +=, none of a frozen parameter */
void tail_level_backward (const Exec *, const TailLevel *, const float *x, const float *p,
                          const float *z, int n, float scale, float *dp, float *dx);
#endif
