/* SPDX-License-Identifier: GPL-3.0-or-later */
/* model.h -- trunks: from tokens to hidden states. Written once, run three ways: recording (training), not
 * recording (evaluation), and one token at a time with a carry (decoding).
 * Laws, tested over the registry: decoding equals forward; no look-ahead; save and load is the identity. */
#ifndef MODEL_H
#define MODEL_H
#include "models/tape.h"

typedef struct ModelDef {
    const char *name, *brief, *source;
    /* declares its parameters and draws them from seed; the embedding is "embedding.weight" (V, d) */
    void  *(*make)      (const Spec *, const Exec *, Params *, int V, Arena *);
    int    (*width)     (const void *m);                /* d of what forward returns */
    size_t (*carry_size)(const void *m);                /* floats of state per sequence; zeros at its start */
    /* tok (B*T), sequence after sequence -> (B*T, d). With carry (B=1, T=1) it continues a sequence. */
    Var    (*forward)   (void *m, Tape *, const int *tok, int B, int T, float *carry);
    double (*flops)     (const void *m);                /* forward, per token, embedding and head excluded */
} ModelDef;
extern const ModelDef *const models[];                  /* NULL-ended */
const ModelDef *model_find(const char *name);
#endif
