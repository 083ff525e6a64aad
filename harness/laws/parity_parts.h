/* SPDX-License-Identifier: GPL-3.0-or-later */
/* parity_parts.h -- what parity.c (comparisons) and parity_read.c (the directory) share. Not for
 * other files. */
#ifndef PARITY_PARTS_H
#define PARITY_PARTS_H
#include "harness/laws/laws.h"
#include "models/step.h"
#include <jansson.h>

enum { PARITY_GROUPS = 16, PARITY_MOST = 1 << 28 };     /* PARITY_MOST: values of a tensor */
/* n tensors; left: values that were left out (parity.c) */
typedef struct {
    const char *name;
    double      tolerance, worst;
    const char *which;
    int         n;
    long        left;
} ErrorGroup;

typedef struct Parity {
    const char *dir;
    const char *why;              /* the first value that is off, or NULL */
    const char *bad;              /* the first fault of the directory itself, or NULL */
    json_t     *manifest;
    Arena      *arena;
    ErrorGroup  group[PARITY_GROUPS];
    int         groups;
    char       *seen;             /* of each tensor of the manifest: 1, it was compared */
} Parity;

/* ---- parity.c ---- */
/* `ours` (n) against the tensor `name`, where the manifest has it, with the tolerance of `kind` */
void parity_compare(Parity *, const char *kind, const char *name, const float *ours, long n);
/* Weights after a step: the same, where the reference gradient of the parameter is large enough */
void parity_compare_after(Parity *, const char *name, const Param *, const float *ours);
/* ---- parity_model.c: what the sizes of the manifest make, a model and its head ---- */
void parity_whole_model(Parity *, const Spec *, const Exec *);

/* ---- parity_read.c ---- */

/* Notes a fault of the directory, the first one only: an error message behind its path */
void parity_bad(Parity *, const char *what);

/* Reads manifest.json and checks every entry: name, file, 1 to 4 sizes, and that the file has as
 * many values. 1: it may be used; 0: p->bad says why not */
int           parity_open  (Parity *);
long          parity_index (const Parity *, const char *name);       /* -1: there is none */
const json_t *parity_entry (const Parity *, const char *name);       /* NULL: there is none */
const json_t *parity_config(const Parity *, const char *part, const char *key);
/* A tensor's values (4 bytes each); NULL when the manifest does not have it, or p->bad. *n: how
 * many; *shape (4), zeros behind its end: when asked for */
void         *parity_fetch (Parity *, const char *name, long *n, int *shape);
/* The same of a matrix that must be there: rows, cols; 0: of any size. NULL and p->bad */
const float  *parity_matrix(Parity *, const char *name, int *rows, int *cols);
/* and of a vector of n */
const float  *parity_vector(Parity *, const char *name, long n);
/* What meta.config is of: settings that make it, or NULL: of no whole model */
const char   *parity_model_words(const Parity *);
Spec         *parity_spec  (Parity *);                     /* of meta; NULL and p->bad */
Batch        *parity_batch (Parity *, int V, int d);       /* NULL and p->bad */
#endif
