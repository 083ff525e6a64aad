/* SPDX-License-Identifier: GPL-3.0-or-later */
/* report.h -- what a sweep tells a person: one line per cell as it ends, a table at the end. */
#ifndef REPORT_H
#define REPORT_H
#include "harness/exp.h"
#include "harness/sweep.h"

const char *report_duration(double seconds, char out[32]);          /* "45 s" "12 min" "3.4 h"; "?" for NAN */
const char *report_name(const Exp *, const Cell *, Arena *);        /* its label, and its seed where there are several */

typedef struct Progress { double loss, tokens_per_s, nll; } Progress;     /* of a running cell; NAN: not said yet */
void report_see(void *progress, const RecLine *);                   /* a See */
void report_now (int at, int of, const char *name, double seconds, const Progress *, double eta);   /* on a terminal, one line */
void report_done(int at, int of, const char *name, const Outcome *, const Progress *, double eta);
/* The view `result` of an experiment; the sentences of what failed below it. NULL, or a sentence. */
const char *report_table(Db *, const char *experiment, FILE *, Arena *);
#endif
