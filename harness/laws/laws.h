/* SPDX-License-Identifier: GPL-3.0-or-later */
/* laws.h -- what must hold of everything registered. `eightysix check`, the tests and every cell
 * (before it times anything) call the same laws. A law returns NULL, or an error message that
 * names what broke and the seed. */
#ifndef LAWS_H
#define LAWS_H
#include "kernels/ternary.h"
#include "models/head.h"
#include "models/model.h"

/* Equal to the reference bit for bit on `shapes` random shapes and on the adversarial ones; every
 * batch row; poisoned outputs; guards around y, packed and scratch intact. */
const char *law_kernel(const TernaryKernel *, uint64_t seed, int shapes, Arena *);
/* The same for up to 2^24 - 1 columns, the limit of the contract; a second or so, 2 GB of arena */
const char *law_kernel_wide(const TernaryKernel *, uint64_t seed, Arena *);
/* Products of floats, or of what gemm_bf16 made of a provider: the sum in double of the operands,
 * or of the rounded ones, to the rounding of float sums; for `shapes` random products. */
const char *law_gemm(const Gemm *, uint64_t seed, int shapes, Arena *);
/* Sums to one, nll = -logprob, backward = finite differences (inputs and every parameter), samples
 * follow logprob. */
const char *law_head(const HeadDef *, uint64_t seed, Arena *);
/* Every operation of the tape against finite differences; and of each float table what no operation
 * of the tape uses. */
const char *law_ops(uint64_t seed, Arena *);
const char *law_rows(const F32 *, uint64_t seed, Arena *);
/* Activations (kernels/activations.def): values and slopes against the definition in double. */
const char *law_activations(const F32 *, Arena *);
/* Ternary layers: values and gradients against the definition in double (part of law_ops). */
const char *law_linear(const Exec *, uint64_t seed, Arena *);
float      *law_normals(Arena *, long n, Rng *);       /* n draws of N(0, 1) */
/* Of a model with its law_words and more_words (" leak=mean", or ""): no look-ahead, to the bit;
 * prefill equals decoding equals forward, alone and in a batch, to 1e-5 of the largest value (flips
 * of int8 rounding are counted and printed to `out` when it is not NULL); gradients of the whole
 * model; save and load is the identity. */
const char *law_model(const ModelDef *, const char *more_words, uint64_t seed, FILE *out,
                      Arena *);
/* A directory of reference tensors (manifest.json and raw files) against this program: prints the
 * worst relative error per group to `out` when not NULL. NULL when all are within tolerance;
 * otherwise an error message. *bad 1: it is about the directory, which is not as it has to be. */
const char *law_parity(const char *dir, FILE *out, int *bad, Arena *);
#endif
