/* SPDX-License-Identifier: GPL-3.0-or-later */
/* parity_parts.h -- what parity.c (comparisons) and parity_read.c (the directory) share. Not for
 * other files. */
#ifndef PARITY_PARTS_H
#define PARITY_PARTS_H
#include "harness/laws/laws.h"
#include "models/step.h"
#include <jansson.h>

enum { PARITY_GROUPS = 16, PARITY_MOST = 1 << 28 };     /* PARITY_MOST: values of a tensor */
typedef struct { const char *name; double tolerance, worst; const char *which; int n; } ErrorGroup;

typedef struct Parity {
    const char *dir;
    const char *why;              /* the first value that is off, or NULL */
    const char *bad;              /* the first fault of the directory itself, or NULL */
    json_t     *manifest;
    Arena      *arena;
    ErrorGroup  group[PARITY_GROUPS];
    int         groups;
} Parity;

/* Notes a fault of the directory, the first one only: an error message behind its path */
void parity_bad(Parity *, const char *what);

/* Reads manifest.json and checks every entry: name, file, 1 to 4 sizes, and that the file has as
 * many values. 1: it may be used; 0: p->bad says why not */
int           parity_open  (Parity *);
const json_t *parity_entry (const Parity *, const char *name);       /* NULL: there is none */
const json_t *parity_config(const Parity *, const char *part, const char *key);
/* A tensor's values (4 bytes each); NULL when the manifest does not have it, or p->bad. *n: how
 * many; *shape (4), zeros behind its end: when asked for */
void         *parity_fetch (Parity *, const char *name, long *n, int *shape);
/* The same of a matrix that must be there: rows, cols; 0: of any size. NULL and p->bad */
const float  *parity_matrix(Parity *, const char *name, int *rows, int *cols);
/* and of a vector of n */
const float  *parity_vector(Parity *, const char *name, long n);
Spec         *parity_spec  (Parity *);                     /* of meta; NULL and p->bad */
Batch        *parity_batch (Parity *, int V, int d);       /* NULL and p->bad */
#endif
