/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sweep.h -- runs the cells of an experiment that have no ok run of this build on this
 * machine class. */
#ifndef SWEEP_H
#define SWEEP_H
#include "harness/sweep/experiment.h"

enum { SWEEP_MAX_JOBS = 64 };

/* Draws a figure of an experiment beside the database and prints its path, or why there is none */
typedef void SweepDraw(const char *db_path, const char *figure, const char *experiment, Arena *);

typedef struct SweepPlan {
    const Experiment *exp;
    const char       *db_path;
    const char       *filter;            /* "factor=level,..."; NULL: every cell */
    const char       *note;              /* kept with the plan; NULL: none */
    int               shard, shards;     /* the cells of positions shard - 1 modulo shards */
    int               dry, fresh;        /* list only; run finished cells again */
    int               verbose, jobs;     /* pass on the output of the cells; cells at once */
    uint64_t          seed;              /* of the order of the cells */
    SweepDraw        *draw;              /* of the experiment's `figure`; NULL: not drawn */
} SweepPlan;

/* Returns the exit code: 0, 1 (a cell failed) or 130 (interrupted). Dies on bad input. */
int sweep_run(const SweepPlan *, Arena *);
#endif
