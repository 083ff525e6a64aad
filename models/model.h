/* SPDX-License-Identifier: GPL-3.0-or-later */
/* model.h -- trunks: from tokens to hidden states. A model's forward is written once and runs
 *   recording                   training
 *   not recording               evaluation
 *   with a carry per sequence   prefill of any length; decoding one token at a time, alone or in
 *                               batches
 * Laws, tested over the registry: prefill equals decoding equals forward; no look-ahead, to the
 * bit; gradients of the whole model equal finite differences (quant=none); save and load is the
 * identity. */
#ifndef MODEL_H
#define MODEL_H
#include "models/tape.h"

typedef struct ModelDef {
    const char *name, *brief, *source;
    /* settings under which the laws run it small: "d=32 conv_groups=4"; several such groups, each
     * of which is run, are joined by " or " */
    const char *law_words;
    /* Declares its parameters and draws them from the setting seed. V: rows of the embedding */
    void  *(*make)      (const Spec *, const Exec *, Params *, int V, Arena *);
    int    (*width)     (const void *m);                    /* d of what forward returns */
    Param *(*embedding) (const void *m);                    /* (V, d); its name is the model's */
    /* floats of state of one sequence of up to `capacity` tokens */
    size_t (*carry_size)(const void *m, long capacity);
    /* tok (B*T), sequence after sequence -> (B*T, d). carry NULL: sequences from their start.
     * Otherwise B carries, each at its own position: every sequence goes on by T tokens, and so
     * does its carry; not while recording. */
    Var    (*forward)   (void *m, Tape *, const int *tok, int B, int T, Carry *const *carry);
    /* of forward, per token of a sequence of T, without embedding and head */
    double (*flops)     (const void *m, int T);
} ModelDef;
extern const ModelDef *const models[];                      /* NULL-ended */
const ModelDef *model_find(const char *name);

/* at the start of a sequence */
Carry *carry_new  (const ModelDef *, const void *m, long capacity, Arena *);
void   carry_reset(Carry *);                                /* back to the start of a sequence */
void   carry_copy (Carry *to, const Carry *from);           /* of the same model and capacity */
/* A model calls it at the end of forward: B sequences have moved on by T tokens. NULL: nothing */
void   carry_advance(Carry *const *carry, int B, int T);

/* ---- what models share: parameters ---- */
Param *model_vector(Params *, const char *name, int n, float fill);
/* A matrix of a linear layer, drawn from N(0, sigma); sigma 0: the caller draws it */
Param *model_matrix(Params *, const char *name, int rows, int cols, double sigma, uint64_t seed);
/* A convolution (d, in, k), drawn as PyTorch does by default */
Param *model_conv  (Params *, const char *name, int d, int in, int k, uint64_t seed);
/* The embedding (V, d), drawn from N(0, init_sigma) */
Param *model_embedding(const Spec *, Params *, const char *name, int V, int d);
/* A layer "NAME.weight" and, with norm 1, the gain of its own norm, "NAME.norm.weight" */
typedef struct BitLinear { Param *w, *gain; } BitLinear;
BitLinear model_bit_linear(Params *, const char *name, int rows, int cols, double sigma,
                           uint64_t seed, int norm);
/* The width of the GLU: the setting inner, or int(8 d / 3) rounded up to a multiple of `step` */
int    model_inner(const Spec *, int step);
/* The setting leak: how a model looks ahead, on purpose; LEAK_NONE: it does not */
typedef enum { LEAK_NONE, LEAK_GROUPNORM, LEAK_MEAN, LEAK_TRIU } Leak;
Leak   model_leak(const Spec *);
/* x, what a mixer of positions has made, with the leak (none for LEAK_TRIU, which is a mask's) */
Var    model_leaking(Tape *, Leak, Var x, int B);
/* Shows a value of layer l as "L<l>.what"; returns it */
Var    model_named(Tape *, int layer, const char *what, Var);
#endif
