/* SPDX-License-Identifier: GPL-3.0-or-later */
/* optim.h -- AdamW, NorMuon (normuon.h), schedules, clipping, averaging.
 *
 * AdamW (Loshchilov, Hutter 2019; as PyTorch 1.13): v *= 1 - lr wd; m = b1 m + (1-b1) g; s = b2 s + (1-b2) g^2;
 *   v -= lr / (1-b1^t) m / (sqrt(s) / sqrt(1-b2^t) + eps)
 * Clip: g *= min(1, max_norm / (|g| + 1e-6)) over all parameters. EMA: ema = keep ema + (1-keep) v.
 *
 * update=rows: of the matrices of AdamW only rows that were touched since the last update (Param's map) are read and
 * written. A row that was not keeps v, m, s and ema: no moment decays, no weight, and its average stands still. t
 * counts the updates of the parameter, not those of the row, as PyTorch's SparseAdam has it. */
#ifndef OPTIM_H
#define OPTIM_H
#include "models/exec.h"
#include "models/params.h"

typedef struct Optim Optim;
Optim *optim_new  (const Spec *, const Exec *, Params *, Arena *);    /* gives every trainable parameter its m, s, ema */
double optim_norm (Optim *, Owner);         /* sum of squares of this owner's gradients */
/* Sets the step: lr_scale of the schedule, clip factor from the total norm; then updates are made per owner */
void   optim_begin (Optim *, double lr_scale, double norm);
void   optim_update(Optim *, Owner);        /* every trainable, unfrozen parameter; gradients become zero */
double optim_flops(const Params *);         /* of the Newton-Schulz products of a step; all else is bound by memory */
/* The schedule `schedule`, `warmup`, `decay` at a step of `total` (0: unknown, no decay): a factor of the base rates. */
double optim_schedule(const Spec *, long step, double progress);
#endif
