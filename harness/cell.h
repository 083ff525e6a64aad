/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cell.h -- one run of a cell: its child process and its rows in the database, side by side. */
#ifndef CELL_H
#define CELL_H
#include "harness/child.h"

typedef struct CellRun {
    Child       child;
    Db         *db;                  /* NULL: nothing is stored */
    long        run;
    FILE       *log;                 /* results/logs/RUN.log; NULL: none */
    int         loud;                /* what the child says is passed on to stderr */
    See         see;
    void       *ctx;
    long        rubbish;             /* lines that were no records; the first: */
    char        first_rubbish[41];
    const char *refused;             /* why it could not start; NULL: it did */
} CellRun;

typedef struct CellPlan {
    const char *experiment;          /* NULL: none */
    const char *schedule;            /* "seed 1, 3 of 15": when its turn came; NULL: it had none */
    const Spec *spec;
    Limits      limits;
    int         alone, loud;         /* alone: no other cell runs beside it */
    See         see;
    void       *ctx;
} CellPlan;

void cell_start(CellRun *, Db *, const CellPlan *, Arena *);
int  cell_step (CellRun *, Arena *, Outcome *);      /* 1: it has ended, and the outcome is recorded */
void cell_stop (CellRun *);                          /* on ^C: 'crash', "interrupted" */
#endif
