/* SPDX-License-Identifier: GPL-3.0-or-later */
/* paper.h -- the numbers, tables and figures of a text, from views of the records.
 *
 *   numbers:
 *     NAME: {experiment: quick, value: SELECT ... AS value, run ..., digits: 3, mean: true}
 *       value   a question as in claims.h: rows of runs. The number is their median with its
 *               interval; with `mean` their mean by Student's t (pairs are subtracted in the
 *               question). Claims are numbers too.
 *       digits  significant digits, 1 to 9; default 3
 *   tables:
 *     NAME: {experiment: bench, rows: SELECT ..., columns: [...], of: ..., interval: ...}
 *       columns their headings, as many as the question has columns
 *   figures:
 *     NAME: {experiment: quick, view: time_split, beside: [speed], of: ..., interval: ...}
 *       view    experiments/VIEW.gp draws the rows of this view that belong to the experiment
 *   tables and figures:
 *       of        what the samples behind a row are
 *       n         SELECT a, b: how many there are, at least and at most; default: not said
 *       interval  what the limits that are shown mean
 *       beside    other experiments whose runs it shows ('*': all)
 *   figures:
 *       needs     SELECT x: 0 where there are not records enough to draw it
 *
 *   commands: {EXPERIMENT: make bench}
 *       what makes the records of an experiment, where that is not
 *       `eightysix sweep experiments/EXPERIMENT.yaml`
 *
 * From these paper_make writes numbers.tex (TeX macros, with the records of each as a comment),
 * tables/NAME.tex, figures/NAME.pdf, and `stamps` (paper.c), by which it tells later what is stale.
 * A part without records says so, with the command that makes them. */
#ifndef PAPER_H
#define PAPER_H
#include "harness/judge/claims.h"

#define PAPER_FILE "paper/paper.yaml"
#define PAPER_TEXT "paper/paper.tex"
enum { PAPER_BESIDE = 4, PAPER_COLUMNS = 16 };
typedef enum {
    PAPER_NUMBER,
    PAPER_TABLE,
    PAPER_FIGURE,
    PAPER_SENTENCE,                                       /* readme.h; a paper has none */
    PAPER_CLAIM
} PaperKind;
typedef struct PaperItem {
    PaperKind    kind;
    const char  *name, *experiment;
    const char  *run;                                     /* the command that makes the records */
    const char  *at;                                      /* file:line:column */
    /* as above, select being value, rows or the sentence; "" where there is none */
    const char  *select, *view, *n, *of, *interval, *needs;
    const char  *beside[PAPER_BESIDE + 1], *column[PAPER_COLUMNS + 1];      /* NULL ends them */
    int          digits, mean;
    const Claim *claim;                                   /* of PAPER_CLAIM */
} PaperItem;
typedef struct Paper { PaperItem *item; int n; } Paper;

/* Functions that return const char * return NULL, or an error message, unless a text is named. */
/* Items as the file has them, then the claims. */
const char *paper_load(const char *path, const Claims *, Paper *, Arena *);
/* All that an item depends on besides records, as one text */
const char *paper_definition(const PaperItem *, Arena *);

/* What an item is now: the rows it shows, and what TeX reads of it. */
typedef struct PaperPart {
    const char  *rows;                        /* as text; "" where there are none */
    const char  *tex;                         /* its macros */
    const char  *table;                       /* the text of the file of a table; NULL */
    const char  *script;                      /* its definition, then what draws it with all that
                                               * it loads */
    ClaimVerdict verdict;                     /* of a claim */
} PaperPart;
const char *paper_part(Db *, const PaperItem *, PaperPart *, Arena *);
/* Macros of all parts together: counts of verdicts, hosts, the table of claims */
const char *paper_whole(Db *, const Paper *, const PaperPart *, const char **tex, Arena *);
/* A number and its limits; n: how many values are behind it, 0: it has no records; it is shown with
 * `decimals` digits after the point */
typedef struct PaperValue { double value, low, high; int n, decimals; } PaperValue;
const char *paper_value(Db *, const PaperItem *, PaperValue *, Arena *);
/* "13,555,969", "-0.57" */
const char *paper_plain(double x, int decimals, Arena *);
/* A number as TeX: "84.0", "13,555,969"; a text with TeX's special characters escaped */
const char *paper_amount(double x, int digits, Arena *);
const char *paper_escape(const char *, Arena *);

/* Refuses a text with numbers that were typed instead of made: decimals, and integers before a
 * unit, outside of comments, arguments of the macros of numbers, and the bibliography. The message
 * begins with file:line. */
const char *paper_lint(const char *path, Arena *);

/* The whole paper: refuses a text with typed numbers, then writes all parts, or checks them. */
typedef struct PaperQuery {
    const char *db_path, *dir;                /* dir: where the parts are written */
    const char *text_path, *parts_path;
    int         check;                        /* write nothing; print what is stale */
} PaperQuery;
/* *code: 0 written, or nothing is stale; 1 something is stale */
const char *paper_make(const PaperQuery *, int *code, Arena *);
#endif
