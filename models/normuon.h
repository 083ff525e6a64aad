/* SPDX-License-Identifier: GPL-3.0-or-later */
/* normuon.h -- NorMuon, as run by FlashLM v3:
 *
 *   m  = .95 m + .05 g
 *   O  = NS5(m)                              Newton-Schulz, five steps
 *   s  = .999 s + .001 rowmean(O^2)
 *   O /= sqrt(s) + 1e-8
 *   v -= lr 0.2 sqrt(rows cols) / (|O|_F + 1e-8) O
 *   ema = keep ema + (1 - keep) v */
#ifndef NORMUON_H
#define NORMUON_H
#include "models/exec.h"
#include "models/params.h"

/* One step of p with the clip factor `clip` of its gradient, which becomes zero. m (rows, cols),
 * s (rows); ema may be NULL. Scratch from the arena, at most 9 values per value of p; it is given
 * back. */
void normuon_update(const Exec *, Param *p, float clip, float lr, float keep, Arena *);
/* Newton-Schulz: O (rows, cols) of M by five steps of (3.4445, -4.7750, 2.0315) */
void normuon_ns5(const Exec *, float *O, const float *M, int rows, int cols, Arena *);
/* Floating-point operations of its products; of a symmetric one only half are computed */
double normuon_flops(int rows, int cols);
#endif
