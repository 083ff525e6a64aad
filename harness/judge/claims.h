/* SPDX-License-Identifier: GPL-3.0-or-later */
/* claims.h -- what the literature claims, as questions over the records.
 *
 *   NAME:
 *     words: "86 % of the time ..."     the claim as its source puts it
 *     source: "paper, table 2"          where; what the words leave open
 *     experiment: split                 experiments/split.yaml makes its records; or the words of
 *                                       a command: "bench machine"
 *     value: SELECT ... AS value, run   over views only; one row per run, seed or round
 *     claimed: 86.6                     or {from: 5, to: 10}, {least: 5}, {most: 1}
 *     tolerance: 2                      in the unit of the value; default 0
 *     above: 50                         or below: the direction of the claim; default: none
 *     unit: "%"                         default: none
 *     review: why it is under review    its verdict is that, whatever the values say
 *
 * Columns of `value` whose names begin with "run" hold the ids of all runs that the row is computed
 * from. claim_judge computes the verdict a second time while the views show these runs only; both
 * must agree.
 *
 *   held          the interval of the median lies within tolerance of what is claimed
 *   refuted       it lies on the other side of `above` or `below`; without a direction: it does
 *                 not touch what is claimed, tolerance included
 *   weakened      neither of the two
 *   not tested    there are no rows
 *   under review  the claim or its question is known to be wrong, and is not mended yet */
#ifndef CLAIMS_H
#define CLAIMS_H
#include "harness/store/db.h"
#include "harness/util/stats.h"

#define CLAIMS_LEVEL 0.95
#define CLAIMS_FILE "experiments/claims.yaml"
#define CLAIMS_RECORDED "results/reference/claims.csv"

typedef struct Claim {
    const char *name, *words, *source, *experiment, *unit, *value;      /* "": not given */
    const char *review;                    /* NULL: not under review */
    const char *at, *at_value;             /* file:line:column of the claim and of its question */
    double      low, high, tolerance;      /* claimed; -INFINITY, INFINITY: no such bound */
    double      edge;                      /* the value of `above` or `below` */
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
    ClaimVerdict  verdict;
    Interval      of;                      /* median of x and its interval; NAN where n is 0 */
    int           n;
    const double *x;                       /* (n) values, in the unit of the claim */
    const char   *runs;                    /* their ids, "1,2" */
    const char   *rows;                    /* plans and runs in the words of db_restrict */
} Judgement;

/* Functions that return const char * return NULL, or an error message. */
const char  *claims_load(const char *path, Claims *, Arena *);
const Claim *claims_find(const Claims *, const char *name);        /* NULL: there is none */
/* The verdict on x (n); a pure function. Interval: stats_median at CLAIMS_LEVEL. */
ClaimVerdict claim_decide(const Claim *, const double *x, int n, Interval *, Arena *);
/* Asks the records. The message begins with the file and line of the question. */
const char  *claim_judge(Db *, const Claim *, Judgement *, Arena *);
/* The same while the views show these rows only (db_restrict). */
const char  *claim_judge_rows(Db *, const Claim *, const char *rows, Judgement *, Arena *);
/* 1: verdict, median and interval are these bit for bit; NAN is equal to NAN. */
int claim_same(const Judgement *, const char *verdict, double value, double low, double high);
/* All that a verdict depends on besides rows, as one line of JSON, and back. */
const char  *claim_definition(const Claim *, Arena *);
const char  *claim_from_definition(const char *name, const char *definition, Claim *, Arena *);
/* "86.6", "5 to 10", "at least 5": what is claimed, without unit and tolerance */
const char  *claim_range(const Claim *, Arena *);
/* "86.1 % [85.9, 86.4] 95 %, n 5; claimed 86.6 within 2": the 95 % is what the interval covers */
const char  *claim_sentence(const Claim *, const Judgement *, Arena *);

/* Judges claims, prints each verdict, and compares it with the recorded one. */
typedef struct ClaimsQuery {
    const char  *db_path, *claims_path;
    const char  *recorded_path;            /* CSV of recorded verdicts; need not be there */
    char *const *name;                     /* (names) the claims to judge; names 0: all */
    int          names, tap;               /* tap: print TAP, the Test Anything Protocol */
    int          record;                   /* keep the verdicts: in the database and in that file;
                                            * only when all are judged */
} ClaimsQuery;
/* *code: 0 what was held is held; 1 one is not any more; 3 one is not tested any more */
const char  *claims_report(const ClaimsQuery *, int *code, Arena *);
#endif
