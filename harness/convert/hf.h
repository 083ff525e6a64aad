/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hf.h -- published checkpoints (published.h) to checkpoints of this program and back. Tensors are
 * converted one at a time. Each returns NULL or an error message. */
#ifndef HF_H
#define HF_H
#include "harness/convert/published.h"
#include "harness/corpus/data.h"

const char *hf_import(const char *dir, const char *file, Arena *);
const char *hf_export(const char *file, const char *dir, Arena *);

/* ---- what every conversion shares: checkpoint_out.c ---- */
/* A new checkpoint of this program, of parameters t (n) whose data are put by tensors_put, one
 * after the other, and of a vocabulary (NULL: ids only, V of them). NULL and *why */
TensorWriter *checkpoint_out(const char *file, const Spec *, const Tensor *t, int n, Vocab *,
                             long V, long first, Arena *, const char **why);

/* A checkpoint of this program that is to be written in another form */
typedef struct Trained {
    TensorFile *file;
    Spec       *spec;
    TextKept    text;
    Published   as;
    Tensor     *t;                       /* (n) the parameters by their name, data in the file */
    int         n;
} Trained;
/* With the average in place of the values where it is evaluated (eval=ema) */
const char *trained_open (Trained *, const char *file, Arena *);
void        trained_close(Trained *);

/* A directory with expected.json: identical ids and text, logits and log-likelihoods within their
 * tolerance. Prints the worst to `out`. As law_parity (laws.h) */
const char *published_parity(const char *dir, FILE *out, int *bad, Arena *);
int         published_expects(const char *dir);          /* 1: it has such a file */
#endif
