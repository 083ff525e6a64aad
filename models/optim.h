/* SPDX-License-Identifier: GPL-3.0-or-later */
/* optim.h -- AdamW, NorMuon, schedules, clipping, averaging.
 *
 * AdamW (Loshchilov, Hutter 2019; as PyTorch 1.13): v *= 1 - lr wd; m = b1 m + (1-b1) g; s = b2 s + (1-b2) g^2;
 *   v -= lr / (1-b1^t) m / (sqrt(s) / sqrt(1-b2^t) + eps)
 * NorMuon (as run by FlashLM v3): m = .95 m + .05 g; O = NS5(m); s = b2 s + (1-b2) rowmean(O^2); O /= sqrt(s) + 1e-8;
 *   v -= lr 0.2 sqrt(rows cols) / (|O|_F + 1e-8) O
 * Clip: g *= min(1, max_norm / (|g| + 1e-6)) over all parameters. EMA: ema = keep ema + (1-keep) v. */
#ifndef OPTIM_H
#define OPTIM_H
#include "models/exec.h"
#include "models/params.h"

typedef struct Optim Optim;
Optim *optim_new  (const Spec *, const Exec *, Params *, Arena *);    /* gives every used parameter its m, s, ema */
double optim_norm (Optim *, Owner);         /* sum of squares of this owner's gradients */
/* Sets the step: lr_scale of the schedule, clip factor from the total norm; then updates are made per owner */
void   optim_begin (Optim *, double lr_scale, double norm);
void   optim_update(Optim *, Owner);        /* dense: every used, unfrozen parameter; gradients become zero */
void   optim_update_param(Optim *, Param *);                          /* one of them */
void   optim_update_rows (Optim *, Param *, const int *rows, int n);  /* AdamW on these rows only (lazy: the rest keeps its state) */
/* The schedule `schedule`, `warmup`, `decay` at a step of `total` (0: unknown, no decay): a factor of the base rates. */
double optim_schedule(const Spec *, long step, double progress);
/* Newton-Schulz: O (rows, cols) of M by five steps of (3.4445, -4.7750, 2.0315); scratch from the arena */
void   optim_ns5(const Exec *, float *O, const float *M, int rows, int cols, Arena *);
#endif
