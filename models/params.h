/* SPDX-License-Identifier: GPL-3.0-or-later */
/* params.h -- named tensors: declaring, drawing, saving, loading. */
#ifndef PARAMS_H
#define PARAMS_H
#include "kernels/base.h"

/* which optimiser, see optim.h: NORMUON is for the ternary matrices of a model */
typedef enum { GROUP_NORMUON, GROUP_ADAMW, GROUP_ADAMW_NODECAY } Group;
typedef enum { OWNER_CORE, OWNER_HEAD } Owner;      /* whose phase its update is charged to */

typedef struct Param {
    const char *name;               /* "block.glu.up_proj.weight": the name in the file */
    int     ndim, shape[4];         /* as saved */
    int     rows, cols;             /* as a matrix: shape[0], product of the rest; a vector: 1, n */
    long    n;                      /* rows * cols */
    float  *v, *g;                  /* value and gradient, n each; g is zero between steps, and
                                     * NULL for inference */
    float  *m, *s, *ema;            /* of the optimiser: first moment, second moment, moving
                                     * average; NULL before optim_new */
    unsigned char *touched;         /* (rows) 1: may have a gradient; NULL unless update=rows */
    long    steps;                  /* updates so far, for bias correction */
    Group   group;
    Owner   owner, declared_by;     /* they differ where a head claims the model's embedding */
    int     frozen;                 /* 1: no gradient is needed, no update made */
    int     trainable;              /* 0: not in the loss (FlashLM v3's router): no gradient, no
                                     * update, but counted */
    long    version;                /* of v: who writes v increments it, so that caches can tell */
    void   *cache;                  /* of an operation: v in the form in which it is multiplied */
} Param;

typedef struct Params {
    Param **p;
    int     n;
    Param  *embedding;              /* of the model, for a head that shares it; NULL: none yet */
    const char *output;             /* what the model's checkpoints call an output layer with a
                                     * matrix of its own ("lm_head"); NULL: "head" */
    int     gradients;              /* 0: for inference, see below */
    const char *why;                /* the error message of a make that returned NULL */
    Arena  *arena;
} Params;

Params *params_new (Arena *);
Params *params_new_inference(Arena *);  /* parameters have no gradient (g is NULL) and are frozen */
/* name is copied; shape ended by 0: (int[]){683, 256, 0}; v and g are zero */
Param  *params_add (Params *, const char *name, const int *shape, Group, Owner);
/* The model's embedding (V, d) of OWNER_CORE, declared once, under a name of the model's choice */
Param  *params_add_embedding(Params *, const char *name, int V, int d);
Param  *params_find(const Params *, const char *name);              /* NULL when there is none */
long    params_count(const Params *);                               /* of values */
void    params_zero_grad(Params *);
/* For a make that fails, `return params_fail(ps, arena_text(a, "depth=%ld: ...", depth))`: sets
 * why, returns NULL */
void   *params_fail(Params *, const char *why);

/* Whoever adds to the gradient of a row of a GROUP_ADAMW matrix must touch the row; threads touch
 * different rows. */
static inline void param_touch(Param *p, long row) { if (p->touched) p->touched[row] = 1; }
void param_touch_all(Param *);

/* v from N(0, sigma). Each parameter has an Rng stream of its own, named by index: adding a
 * parameter does not change what others draw. */
void param_normal  (Param *, uint64_t seed, uint64_t index, double sigma);
/* the same, uniform in [-bound, bound) */
void param_uniform (Param *, uint64_t seed, uint64_t index, double bound);
void param_fill    (Param *, float value);
void params_swap_ema(Params *);         /* v <-> ema of every parameter that has one */

/* safetensors: an 8-byte little-endian length, a JSON header, raw little-endian data. A file is
 * written under another name, synced and renamed: it is complete or it is not there. */
typedef struct {
    const char *name, *dtype;       /* dtype: F32 F16 BF16 I32 U16 F64 */
    long        n;
    int         ndim, shape[4];
    void       *data;
} Tensor;
/* n tensors, those of the widest types first; meta: key, value, key, value, NULL. NULL or an error
 * message */
const char *tensors_save(const char *path, const Tensor *, int n, const char *const *meta, Arena *);
/* The same a part at a time, so that no more than that is in memory: the header (the tensors' data
 * are not read); all data in order, each part in turn; and then the end. NULL and *why */
typedef struct TensorWriter TensorWriter;
TensorWriter *tensors_begin (const char *path, const Tensor *, int n, const char *const *meta,
                             Arena *, const char **why);
void          tensors_put   (TensorWriter *, const void *data, size_t bytes);
const char   *tensors_commit(TensorWriter *);        /* NULL or an error message */
void          tensors_cancel(TensorWriter *);        /* nothing is left of it */

typedef struct TensorFile {
    const char *path;
    Tensor     *t;
    int         n;
    char      **meta;
    void       *map;
    size_t      size;
} TensorFile;
/* Maps the file read-only, until tensors_close; validates header, bounds, overlap. NULL and an
 * error message in *why. */
size_t        tensors_dtype_bytes(const char *dtype);     /* of a value; 0: no type of ours */
size_t        tensors_bytes(const Tensor *);              /* of all its values */
int           tensors_same_shape(const Tensor *, const Tensor *);
TensorFile   *tensors_open (const char *path, Arena *, const char **why);
const Tensor *tensors_find (const TensorFile *, const char *name);
const char   *tensors_meta (const TensorFile *, const char *key);      /* NULL when absent */
void          tensors_close(TensorFile *);
/* Reads v of every parameter from the file's tensor of that name. NULL, or an error message that
 * names the tensor that is missing or of another shape */
const char *params_load(Params *, const TensorFile *);
#endif
