/* SPDX-License-Identifier: GPL-3.0-or-later */
/* head_bit.h -- the input side of a BitLinear output layer (arXiv 2406.02528): a norm of its own
 * and, with act=int8, rows rounded to int8. What it gives are floats, for the products of a head.
 *
 *   n = x rsqrt(mean(x^2) + bit_eps) gain;   rows = n, or s round(n / s), s = max|n| / 127
 * Straight-through: dn = drows. */
#ifndef HEAD_BIT_H
#define HEAD_BIT_H
#include "models/head.h"

typedef struct BitInput BitInput;
/* Declares the gain "NAME.norm.weight" (d); most: positions of a forward and backward */
BitInput    *bit_input_new (const Spec *, const Exec *, Params *, int d, int most, Arena *);
/* The rows of x (n, d), valid until the next call; kept for bit_input_back */
const float *bit_input     (BitInput *, const float *x, int n);
/* The same of at most FULL_EVAL positions, without disturbing what is kept */
const float *bit_input_eval(const BitInput *, const float *x, int n);
float       *bit_input_grad(BitInput *, int n);      /* (n, d) zeros, for the rows' gradient */
void         bit_input_back(BitInput *, float *dx);  /* dx (n, d) +=, the gain's gradient += */
#endif
