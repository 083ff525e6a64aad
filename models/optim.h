/* SPDX-License-Identifier: GPL-3.0-or-later */
/* optim.h -- AdamW, NorMuon (normuon.h), schedules, clipping, averaging.
 *
 * AdamW (Loshchilov, Hutter 2019; as PyTorch 1.13), t the number of the update:
 *   v *= 1 - lr wd
 *   m  = b1 m + (1 - b1) g
 *   s  = b2 s + (1 - b2) g^2
 *   v -= lr / (1 - b1^t) m / (sqrt(s) / sqrt(1 - b2^t) + eps)
 * Clip:  g *= min(1, max_norm / (|g| + 1e-6)) over all parameters
 * EMA:   ema = keep ema + (1 - keep) v
 *
 * The rate is lr, and lr_head for what a head declared (Param.declared_by): an embedding that a
 * tied head claims keeps lr.
 *
 * optimizer=normuon: NorMuon updates the parameters of GROUP_NORMUON, AdamW all others.
 * optimizer=adamw: AdamW updates every parameter; those of GROUP_NORMUON at the rate lr, with
 * weight decay, every row in every step. optim_new then moves them to GROUP_ADAMW.
 *
 * update=rows: of the other matrices of AdamW only rows that were touched since the last update
 * (Param.touched) are read and written. Any other row keeps v, m, s and ema: neither moments nor
 * weights decay, and its average stands still. t counts the updates of the parameter, not those
 * of the row, as in PyTorch's SparseAdam. */
#ifndef OPTIM_H
#define OPTIM_H
#include "models/exec.h"
#include "models/params.h"

typedef struct Optim Optim;
/* Gives every trainable parameter its m, s, ema; they must have gradients (params_new). s has a
 * value per row for NorMuon, otherwise one per value. */
Optim *optim_new  (const Spec *, const Exec *, Params *, Arena *);
double optim_norm (Optim *, Owner);         /* sum of squares of this owner's gradients */
/* Begins a step: lr_scale from the schedule, the clip factor from the total norm; then update
 * each owner */
void   optim_begin (Optim *, double lr_scale, double norm);
void   optim_update(Optim *, Owner);    /* its trainable, unfrozen parameters; zeroes gradients */
/* operations of the Newton-Schulz products of a step; everything else is limited by memory */
double optim_flops(const Params *);
/* The factor of the base rates at a step, by `schedule`, `warmup` and `decay`; progress: the share
 * of the budget used so far, 0 to 1 */
double optim_schedule(const Spec *, long step, double progress);
#endif
