/* SPDX-License-Identifier: GPL-3.0-or-later */
/* params.h -- named tensors: declaring, drawing, saving, loading. */
#ifndef PARAMS_H
#define PARAMS_H
#include "kernels/base.h"

typedef enum { GROUP_NORMUON, GROUP_ADAMW, GROUP_ADAMW_NODECAY } Group;   /* which optimiser, see optim.h */
typedef enum { OWNER_CORE, OWNER_HEAD } Owner;      /* to which phase its update is charged */

typedef struct Param {
    const char *name;               /* "block.glu.up_proj.weight": the name in the file */
    int     ndim, shape[4];         /* as saved */
    int     rows, cols;             /* as a matrix: shape[0], the product of the rest; a vector is (1, n) */
    long    n;                      /* rows * cols */
    float  *v, *g;                  /* value and gradient, n each; g is zero between steps, and
                                     * NULL for inference */
    float  *m, *s, *ema;            /* the optimiser's: first moment, second moment, average; NULL before optim_new */
    unsigned char *touched;         /* (rows) 1: may have a gradient; NULL unless update=rows, see optim.h */
    long    steps;                  /* updates so far, for bias correction */
    Group   group;
    Owner   owner, declared_by;     /* they differ where a head claims the model's embedding */
    int     frozen;                 /* 1: no gradient is needed, no update made */
    int     trainable;                 /* 0: not in the loss (FlashLM v3's router): no gradient, no update, but counted */
    long    version;                /* of v: whoever writes v increments it; caches compare */
    void   *cache;                  /* an operation's copy of v, as it computes with it */
} Param;

typedef struct Params {
    Param **p;
    int     n;
    int     gradients;              /* 0: for inference, see below */
    const char *why;                /* the error message of a make that returned NULL */
    Arena  *arena;
} Params;

Params *params_new (Arena *);
Params *params_new_inference(Arena *);  /* parameters have no gradient (g is NULL) and are frozen */
/* name is copied; shape ended by 0: (int[]){683, 256, 0}; v and g are zero */
Param  *params_add (Params *, const char *name, const int *shape, Group, Owner);
Param  *params_find(const Params *, const char *name);              /* NULL when there is none */
long    params_count(const Params *);                               /* of values */
void    params_zero_grad(Params *);
/* For a make that cannot, `return params_fail(ps, arena_text(a, "depth=%ld: ...", depth))`: sets
 * why, returns NULL */
void   *params_fail(Params *, const char *why);

/* Whoever adds to the gradient of a row of a matrix of GROUP_ADAMW says so; threads touch rows of their own. */
static inline void param_touch(Param *p, long row) { if (p->touched) p->touched[row] = 1; }
void param_touch_all(Param *);

/* draws: one Rng stream per parameter, named by its index, so that one more does not move the others */
void param_normal  (Param *, uint64_t seed, uint64_t index, double sigma);
void param_fill    (Param *, float value);
void params_swap_ema(Params *);         /* v <-> ema of every parameter that has one */

/* safetensors (an 8-byte little-endian length, a JSON header, raw little-endian data). A file is written
 * beside its name, synced, and renamed: it is whole or it is not there.
 * extra: tensors beside the parameters' values; meta: key, value, key, value, NULL. */
typedef struct { const char *name; const char *dtype; long n; int ndim; int shape[4]; void *data; } Tensor;   /* F32 F16 BF16 I32 U16 F64 */
const char *tensors_save(const char *path, const Tensor *, int n, const char *const *meta, Arena *);   /* NULL or a sentence */
/* Maps the file read-only into the arena's lifetime; validates header, bounds, overlap. NULL and a sentence in *why. */
typedef struct TensorFile { const char *path; Tensor *t; int n; char **meta; void *map; size_t size; } TensorFile;
TensorFile *tensors_open (const char *path, Arena *, const char **why);
const Tensor *tensors_find(const TensorFile *, const char *name);
const char *tensors_meta (const TensorFile *, const char *key);     /* NULL when absent */
void        tensors_close(TensorFile *);
/* v of every parameter from the file's tensor of that name; NULL or a sentence naming the one that is missing or of another shape */
const char *params_load(Params *, const TensorFile *);
#endif
