/* SPDX-License-Identifier: GPL-3.0-or-later */
/* table.h -- what a sweep tells a person: one line per cell as it ends, a table at the end. */
#ifndef TABLE_H
#define TABLE_H
#include "harness/sweep/experiment.h"
#include "harness/sweep/cell.h"

/* "45 s" "12 min" "3.4 h"; "?" for NAN */
const char *table_duration(double seconds, char out[32]);
/* its label, and its seed where there are several */
const char *table_name(const Experiment *, const Cell *, Arena *);

/* the last values that a running cell has recorded; NAN: none yet */
typedef struct Progress { double loss, tokens_per_s, nll; long steps; } Progress;
void table_see(void *progress, const Record *);                   /* a See */
/* on a terminal, one line */
void table_now (int at, int of, const char *name, double seconds, const Progress *, double eta);
void table_done(int at, int of, const char *name, const Outcome *, const Progress *, double eta);
enum { TABLE_COLUMNS = 16 };
/* Prints cell (rows, columns), columns at most TABLE_COLUMNS, below each other; side: of each
 * column, 'l' or 'r' */
void table_align(const char *const *cell, int rows, int columns, const char *side, FILE *);
/* A row per cell without its seed, where there are several seeds or a baseline: medians, of how
 * many seeds ("2 of 3"), and what it differs by from the baseline. NULL or an error message */
const char *table_print_seeds(Db *, const Experiment *, const char *experiment, FILE *, Arena *);
/* The view `result` of an experiment, below it why cells failed. NULL or an error message */
const char *table_print(Db *, const char *experiment, FILE *, Arena *);
/* Of so many runs that they shared the machine and are left out; of 0 nothing */
void table_print_left_out(long runs, FILE *);
#endif
