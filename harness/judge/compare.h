/* SPDX-License-Identifier: GPL-3.0-or-later */
/* compare.h -- two runs, or two cells over their seeds, side by side: settings and code that
 * differ, and what each number changed by, seed by seed. */
#ifndef COMPARE_H
#define COMPARE_H
#include "kernels/base.h"

typedef struct CompareQuery {
    /* a run: its number, or six or more of the first digits of its UUID; or a cell: its label, or
     * EXPERIMENT:LABEL; " seed=N" behind a label: only that seed */
    const char *name[2];
    const char *experiment;        /* whose labels; NULL: the only one that has such a label */
    const char *db_path;
} CompareQuery;
/* Prints the comparison. NULL, or an error message. */
const char *compare_report(const CompareQuery *, Arena *);
#endif
