/* SPDX-License-Identifier: GPL-3.0-or-later */
/* runs.h -- what was planned and what was run, as lists for people. */
#ifndef RUNS_H
#define RUNS_H
#include "kernels/base.h"

typedef struct RunsQuery {
    const char *experiment;        /* its runs; NULL: a list of plans, or the runs of `plan` */
    const char *db_path;
    const char *plan, *at;         /* as in db_past; NULL */
    int         failed;            /* only what failed */
    long        last;              /* at most so many, the last ones */
} RunsQuery;
/* Prints the list. NULL, or an error message. */
const char *runs_report(const RunsQuery *, Arena *);
#endif
