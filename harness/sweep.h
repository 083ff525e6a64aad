/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sweep.h -- plans, resumes, and runs one child process per cell; the only writer of the database. */
#ifndef SWEEP_H
#define SWEEP_H
#include "harness/db.h"
#include "models/spec.h"

typedef struct Limits { double seconds; long mem_kb; } Limits;        /* 0: none */
typedef struct Outcome {
    const char *status;          /* "ok" "fail" "crash" "timeout" "oom" "skip" */
    const char *error;           /* the child's last sentence, or "" */
    double      wall_s;
    long        peak_rss_kb, run;
} Outcome;
/* Runs `eightysix cell SPEC` as a child, writes its records as they come (one transaction per line group, so that a
 * kill -9 of anyone loses nothing recorded). see (may be NULL) is shown every record. db NULL: nothing is stored. */
typedef void (*See)(void *ctx, const RecLine *);
Outcome sweep_cell(Db *, const char *experiment, const Spec *, Limits, See see, void *ctx, Arena *);

int sweep_main (int argc, char **argv);      /* the commands */
int export_main(int argc, char **argv);
int plot_main  (int argc, char **argv);
#endif
