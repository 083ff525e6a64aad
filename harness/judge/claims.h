/* SPDX-License-Identifier: GPL-3.0-or-later */
/* claims.h -- what the literature claims, as questions over the records.
 *
 *   NAME:
 *     words: "86 % of the time ..."          as they were said
 *     source: where; what the words leave open
 *     experiment: split                      experiments/split.yaml feeds it; or a command: "bench
 * machine" value: SELECT ... AS value, run ...    over views only; one row per run, seed or round
 *     claimed: 86.6                          or {from: 5, to: 10}, {least: 5}, {most: 1}
 *     tolerance: 2                           default 0
 *     above: 50                              or below: the direction of the claim; default: none
 *     unit: "%"
 *     review: why this sentence is under review       its verdict is that, whatever the values say
 *
 * Columns of `value` whose names begin with "run" name the runs a row follows from, all of them:
 * the verdict is taken again with nothing but these in sight, and must come out the same.
 *
 *   held        the interval of the median lies within tolerance of what is claimed
 *   refuted     it lies on the other side of `above` or `below`; without these: wholly beyond the
 * tolerance weakened    neither not tested  there are no rows under review   the claim or its
 * question is known to be wrong and not mended yet */
#ifndef CLAIMS_H
#define CLAIMS_H
#include "harness/store/db.h"
#include "harness/util/stats.h"

#define CLAIMS_LEVEL 0.95
#define CLAIMS_FILE "experiments/claims.yaml"
#define CLAIMS_RECORDED "results/reference/claims.csv"

typedef struct Claim {
    const char *name, *words, *source, *experiment, *unit, *value;
    const char *review;                    /* NULL: none */
    const char *at, *at_value;             /* file:line:column of it and of its question */
    double      low, high, tolerance;      /* claimed; -INFINITY, INFINITY: no such bound */
    double      edge;                      /* of the direction */
    int         side;                      /* 1: above edge; -1: below; 0: no direction */
} Claim;
typedef struct Claims { Claim *claim; int n; } Claims;

typedef enum {
    CLAIM_UNTESTED,
    CLAIM_HELD,
    CLAIM_WEAKENED,
    CLAIM_REFUTED,
    CLAIM_REVIEW,
    CLAIM_VERDICTS
} ClaimVerdict;
/* "not tested" "held" "weakened" "refuted" "under review" */
extern const char *const claim_verdicts[];
typedef struct Judgement {
    ClaimVerdict verdict;
    Interval     of;                       /* the values */
    int          n;
    const double *x;                       /* (n) the values */
    const char  *runs, *rows;              /* ids "1,2"; words for db_restrict */
} Judgement;

/* NULL, or a sentence */
const char  *claims_load(const char *path, Claims *, Arena *);
const Claim *claims_find(const Claims *, const char *name);
/* A pure function of values. n 0: not tested */
ClaimVerdict claim_decide(const Claim *, const double *x, int n, Interval *, Arena *);
/* Asks the records. NULL, or a sentence that names file and line. */
const char  *claim_judge(Db *, const Claim *, Judgement *, Arena *);
/* The same with nothing but these rows in sight. */
const char  *claim_again(Db *, const Claim *, const char *rows, Judgement *, Arena *);
/* Bit for bit; NAN is equal to NAN. */
int claim_same(const Judgement *, const char *verdict, double value, double low, double high);
/* What a verdict follows from besides rows, as one line, and back. */
const char  *claim_definition(const Claim *, Arena *);
const char  *claim_defined(const char *name, const char *definition, Claim *, Arena *);
/* "86.6", "5 to 10", "at least 5": what is claimed, without unit and tolerance */
const char  *claim_range(const Claim *, Arena *);
/* "86.1 % [85.9, 86.4], n 5; claimed 86.6 % within 2" */
const char  *claim_sentence(const Claim *, const Judgement *, Arena *);
#endif
