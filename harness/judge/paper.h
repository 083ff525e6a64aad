/* SPDX-License-Identifier: GPL-3.0-or-later */
/* paper.h -- the numbers, tables and figures of a text, from views of the records.
 *
 *   numbers:
 *     NAME: {experiment: quick, value: SELECT ... AS value, run ..., digits: 3, mean: true}
 *           as in claims.h: rows of runs, their median and its interval; mean: of the rows, with
 *           Student's t (pairs are subtracted in the question). Claims are numbers too.
 *   tables:
 *     NAME: {experiment: bench, rows: SELECT ..., columns: [...], n: ..., interval: ...}
 *   figures:
 *     NAME: {experiment: quick, view: time_split, beside: [speed], n: ..., interval: ...}
 *           experiments/VIEW.gp on the rows of the experiment; beside: others it reads runs of
 * ('*': all)
 *
 * n: SELECT a, b: how many samples stand behind a row, at least and at most; of: what they are;
 * interval: what the limits shown are; needs: SELECT x: not 0 where there are records enough to
 * draw.
 *
 *   commands: {EXPERIMENT: make bench}
 *           what makes its records, where that is not `eightysix sweep experiments/EXPERIMENT.yaml`
 *
 * From these `eightysix paper` writes numbers.tex (TeX macros, the records of each beside it),
 * tables/NAME.tex, figures/NAME.pdf, and `stamps`: of each the SHA-256 of its rows, of its script
 * and of the file made, and the gnuplot. What has no records is said to be so, with the command
 * that makes them. */
#ifndef PAPER_H
#define PAPER_H
#include "harness/judge/claims.h"

#define PAPER_FILE "paper/paper.yaml"
#define PAPER_TEXT "paper/paper.tex"
enum { PAPER_BESIDE = 4, PAPER_COLUMNS = 16 };
typedef enum { PAPER_NUMBER, PAPER_TABLE, PAPER_FIGURE, PAPER_CLAIM } PaperKind;
typedef struct PaperItem {
    PaperKind   kind;
    /* run: the command; at: file:line:column */
    const char *name, *experiment, *run, *at;
    /* select: value or rows; "" where there is none */
    const char *select, *view, *n, *of, *interval, *needs;
    const char *beside[PAPER_BESIDE + 1], *column[PAPER_COLUMNS + 1];
    int         digits, mean;
    const Claim *claim;                                   /* of PAPER_CLAIM */
} PaperItem;
typedef struct Paper { PaperItem *item; int n; } Paper;

/* Items as the file has them, then the claims. NULL, or a sentence. */
const char *paper_load(const char *path, const Claims *, Paper *, Arena *);
/* what it follows from besides records, as one text */
const char *paper_definition(const PaperItem *, Arena *);

/* What an item is now: the rows it shows, and what TeX reads of it. */
typedef struct PaperPart {
    const char *rows;                         /* as text; "" where there are none */
    const char *tex;                          /* its macros */
    const char *table;                        /* the file of a table; NULL */
    const char *script;                       /* what draws it, with all it loads; the definition */
    ClaimVerdict verdict;                     /* of a claim */
} PaperPart;
const char *paper_part(Db *, const PaperItem *, PaperPart *, Arena *);
/* macros of all of it together */
const char *paper_whole(Db *, const Paper *, const PaperPart *, const char **tex, Arena *);
/* the parts that a text may not spell by itself: "84.0", "13,555,969"; escapes */
const char *paper_amount(double x, int digits, Arena *);
const char *paper_escape(const char *, Arena *);

/* Numbers that are typed into a text instead of made: decimals, and integers before a unit, outside
 * of comments, arguments of the macros of numbers, and the bibliography. NULL, or "file:line: ..."
 */
const char *paper_lint(const char *path, Arena *);
#endif
