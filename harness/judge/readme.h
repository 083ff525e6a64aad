/* SPDX-License-Identifier: GPL-3.0-or-later */
/* readme.h -- the measured numbers of README.md, from the records, by the questions of a file like
 * that of the paper (paper.h) and of the paper itself:
 *
 *   tables:     a table NAME stands between the lines <!-- numbers: NAME --> and <!-- /numbers -->,
 *               and all of it is made.
 *   sentences:  NAME: "words {NUMBER} words {-NUMBER.low}" are words of the text with its numbers:
 *               value, low and high of a number of either file, or of a claim; "-": negated. Blanks
 *               and ends of lines are the same.
 *
 * In a table that is not made no digit may stand but in `code`: names, settings and versions. */
#ifndef README_H
#define README_H
#include "harness/judge/paper.h"

#define README_FILE "README.md"
#define README_PARTS "paper/readme.yaml"

typedef struct ReadmeQuery {
    const char *db_path, *text_path, *parts_path;
    int         check;                        /* write nothing */
} ReadmeQuery;
/* Writes the numbers into the text, or prints those that differ, each with its line. *code: 0 all
 * are those of the records; 1 one is not, or cannot be written. NULL, or an error message */
const char *readme_make(const ReadmeQuery *, int *code, Arena *);
#endif
