/* SPDX-License-Identifier: GPL-3.0-or-later */
/* published.h -- checkpoints as they are published: a directory with config.json, the weights in
 * one file model.safetensors or in several with model.safetensors.index.json, and tokenizer.json.
 * What is known of each architecture is a table (architectures.c): the keys of its configuration
 * and the names and shapes of its tensors, which are also our names. */
#ifndef PUBLISHED_H
#define PUBLISHED_H
#include "models/params.h"
#include "models/spec.h"
#include <jansson.h>

/* Sizes that a configuration names; the last ones are not sizes: a value that has to be the
 * expected one, and one that changes nothing that is computed here */
typedef enum {
    SIZE_V, SIZE_D, SIZE_LAYERS, SIZE_INNER, SIZE_HEADS, SIZE_KV_HEADS, SIZE_HEAD_WIDTH, SIZE_TIED,
    SIZE_BOS, SIZE_EOS, SIZES, KEY_FIXED = SIZES, KEY_FREE
} ConfigKind;

/* expected: "a|b" of KEY_FIXED, which an absent key or null means too. NULL: the key must be
 * there */
typedef struct { const char *key; ConfigKind kind; const char *expected; } ConfigKey;

/* shape: a letter a dimension: V d, L layers, I inner, 2 = 2 inner, D = 2 d, 1, 8. "%d" in a name
 * is the layer; those of a layer stand together. untied: only with an output layer of its own */
typedef struct { const char *name, *shape; int untied; } PublishedTensor;

typedef struct Architecture {
    const char *type;                    /* model_type */
    const char *class_name;              /* architectures[0]; NULL: none is written */
    const char *words;                   /* our settings, besides sizes */
    const char *twin;                    /* a tensor that may repeat the embedding; NULL: none */
    int         inner_step;              /* of inner where it is not said: model_inner's */
    const ConfigKey       *keys;         /* ended by NULL */
    const PublishedTensor *tensors;      /* ended by NULL; the embedding is the first */
} Architecture;
extern const Architecture architectures[];           /* ended by a NULL type */
/* model=transformer quant=absmean: its linear layers have norms. Not published in a directory */
extern const Architecture llama_bitlinear;
const Architecture *published_find(const char *type);        /* NULL: there is none */

typedef struct Published {
    const char         *path;            /* config.json */
    const Architecture *arch;
    long                size[SIZES];     /* -1: not said */
} Published;

/* ---- architectures.c */
/* The tensors of these sizes, F32, in the order of our parameters; *n of them */
Tensor *published_tensors(const Published *, int *n, Arena *);
/* Our settings for it */
Spec   *published_spec   (const Published *, Arena *, const char **why);
/* What of these settings, of a model of ours, no published checkpoint can say. NULL or an error
 * message */
const char *published_from_spec(Published *, const Spec *, const char *path, long V, Arena *);

/* ---- config.c */
/* NULL or an error message: the key, its value and what was expected */
const char *config_read (Published *, const char *path, Arena *);
const char *config_check(Published *, const json_t *config, Arena *);
/* The same by the keys of another form; p->arch is known. A key "tied" says whether it is */
const char *config_keys (Published *, const json_t *config, const ConfigKey *, Arena *);
const char *config_write(const Published *, const char *path, Arena *);

/* ---- weights.c */
typedef struct Weights { TensorFile **file; int files; const char *path; } Weights;
/* The weights of a directory. NULL or an error message */
const char   *weights_open (Weights *, const char *dir, Arena *);
void          weights_close(Weights *);
const Tensor *weights_find (const Weights *, const char *name, const char **path);
/* That each of n tensors is there, of its shape and of F32, F16 or BF16, and no others but a twin
 * of the embedding. NULL or an error message */
const char   *weights_check(const Weights *, const Published *, const Tensor *, int n, Arena *);
/* All values of a tensor as floats to the writer, a part at a time */
void          weights_put  (TensorWriter *, const Tensor *from);
/* `n` values from number `at` on */
void          weights_floats(float *to, const Tensor *from, long at, long n);
const char   *weights_shape(const int *shape, int ndim, Arena *);     /* "[2, 3]" */
#endif
