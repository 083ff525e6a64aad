/* SPDX-License-Identifier: GPL-3.0-or-later */
/* certify.h -- do two builds compute the same losses? Then runs by the one stand for the other.
 *
 * Both run the golden set: short trainings of every model, head, quantiser and kind of activation
 * that both know. A part of the program (host.h) whose code differs is certified where every cell
 * that executed it has the same losses and the same final weights in both. */
#ifndef CERTIFY_H
#define CERTIFY_H
#include "harness/regress/regress.h"

enum { CERTIFY_STEPS = 20, CERTIFY_CELLS = 1024, CERTIFY_PARTS = 256 };

typedef struct CertifyPart { const char *name, *hash; } CertifyPart;
typedef struct CertifyParts { CertifyPart *list; int n; } CertifyParts;
typedef struct CertifyNumber { const char *name; long step; double value; } CertifyNumber;

/* A cell as one program ran it */
typedef struct CertifySide {
    const char    *why;              /* it did not end well; NULL: it did */
    CertifyNumber *number;           /* losses, lengths of gradients, in the order of time */
    int            numbers;
    CertifyParts   parts;            /* that it executed, as it says itself */
} CertifySide;

typedef struct CertifyCell {
    const char *name, *words;        /* its settings */
    CertifySide old, new;
    const char *differs;             /* the first difference; NULL: there is none */
    double      off;                 /* the largest difference, a share; 0: bit for bit */
} CertifyCell;

typedef enum {
    CERTIFY_SAME,                    /* equal code: there is nothing to certify */
    CERTIFY_EQUAL,                   /* certified */
    CERTIFY_OTHERWISE,               /* some cell that executed it differs */
    CERTIFY_REGROUPED,               /* cells that executed it name other parts beside it: what
                                        belonged to it may now be in another */
    CERTIFY_NOT_RUN,                 /* no golden cell executes it */
    CERTIFY_NEW, CERTIFY_GONE,       /* only one of them has it */
    CERTIFY_INCOMPLETE               /* the build: some part was not run */
} CertifyVerdict;

typedef struct CertifyRow {
    const char        *part, *old, *new;     /* its hashes; NULL: not known */
    CertifyVerdict     verdict;
    int                cells;                /* that executed it */
    double             off;                  /* the largest of theirs */
    const CertifyCell *first;                /* that differs; NULL: none does */
} CertifyRow;

/* What is decided from. Parts: of the whole program; n 0: it does not say */
typedef struct CertifyInput {
    const CertifyCell *cell;
    int                cells;
    CertifyParts       old, new;
    const char        *old_build, *new_build;
} CertifyInput;

/* ---- the decision, a pure function: certify_decide.c ---- */
/* Rows for every part of either program and, last, for `build`; returns how many */
int certify_decide(const CertifyInput *, CertifyRow *row);
/* 0: nothing computes otherwise; 1: some part does; 3: nothing was compared */
int certify_code  (const CertifyRow *, int rows, int cells);
/* The first number that differs by a share of more than the tolerance; NULL: none does. *off: the
 * largest share */
const char *certify_numbers(const CertifySide *old, const CertifySide *new, double tolerance,
                            double *off, Arena *);
/* The same of the tensors of two checkpoints, but for what these keep of their text. A share is of
 * a tensor's length */
const char *certify_weights(const char *old, const char *new, double tolerance, double *off,
                            Arena *);

/* ---- the golden set: certify_cells.c ---- */
/* What a program says of itself */
typedef struct CertifyProgram {
    const GateBuild *build;
    CertifyParts     parts;
    GateCell        *pair, *variant;         /* models with a head; settings that differ */
    int              pairs, variants;
} CertifyProgram;
CertifyProgram *certify_ask(const GateBuild *, Arena *);
/* Cells of what both know; returns how many */
int certify_cells(const CertifyProgram *old, const CertifyProgram *new, CertifyCell *, Arena *);

/* ---- the command: certify.c ---- */
typedef struct CertifyPlan {
    const char *old, *new;           /* commits, or paths of programs */
    const char *db;                  /* NULL: nothing is recorded */
    int         jobs;
    double      tolerance;
} CertifyPlan;
int certify_run(const CertifyPlan *);        /* the exit code */
#endif
