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
/* Runs `eightysix cell SPEC` as a child, writes its records as they come (one transaction per look, 20 a second, so that a
 * kill -9 of anyone loses nothing recorded). see (may be NULL) is shown every record. db NULL: nothing is stored.
 * The environment variable EIGHTYSIX_CELL_PROGRAM names another program than this one. */
typedef void (*See)(void *ctx, const RecLine *);
Outcome sweep_cell(Db *, const char *experiment, const Spec *, Limits, See see, void *ctx, Arena *);

/* A view as a CSV file (RFC 4180; path NULL: stdout), experiment NULL: all. NULL, or a sentence. */
const char *export_csv(Db *, const char *view, const char *experiment, const char *path, Arena *);

/* STEM.csv from the view of a figure's name, STEM.FORMAT by experiments/FIGURE.gp for each format up to a NULL; experiment NULL: the
 * last that has rows. NULL, or a sentence. */
const char *plot_draw(Db *, const char *figure, const char *experiment, const char *stem, const char *const *formats, Arena *);

int sweep_main (int argc, char **argv);      /* the commands */
int export_main(int argc, char **argv);
int plot_main  (int argc, char **argv);
#endif
