/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cell.h -- one run of a cell: its child process and its rows in the database, side by side. */
#ifndef CELL_H
#define CELL_H
#include "harness/store/db.h"
#include "harness/sweep/child.h"
#include "harness/sweep/peer.h"
#include "harness/util/disturbance.h"
#include "harness/util/machine_lock.h"
#include "models/spec.h"

typedef void (*See)(void *ctx, const Record *);
typedef struct Outcome {
    const char *status;          /* "ok" "fail" "crash" "timeout" "oom" "skip" */
    const char *error;           /* why not ok: mostly the last line it printed; "" */
    double      wall_s;
    long        peak_rss_kb, run;
} Outcome;

typedef struct CellRun {
    Child       child;
    Db         *db;                  /* NULL: nothing is stored */
    long        run;
    /* lines that are not written yet (n bytes); where they go when the database cannot
     * be written */
    Arena       lines;
    char       *text;
    size_t      n;
    const char *spool;
    long        spool_run;           /* that it is named after */
    /* when the database refused them first and last, 0: it did not; when that was said */
    double      refused_first, refused_last, said;
    int         said_in_memory;
    char        why[512];            /* what the database said when it refused */
    int         spooled;             /* 1: there are lines in the spool */
    int         sync;                /* 1: the child waits until what it said is stored */
    int         ended, stopped;      /* 1: the outcome is known; cell_stop was called */
    Outcome     outcome;
    FILE       *log;                 /* results/logs/results-RUN.log; NULL: none */
    int         loud;                /* 1: what the child prints is passed on to stderr */
    See         see;
    void       *ctx;
    long        rubbish;             /* how many lines were not records; the first of them: */
    char        first_rubbish[41];
    char        unreal[160];         /* its first record that is not a finite number; "": none */
    const char *refused;             /* why it could not start; NULL: it did */
    const PeerProgram *peer;         /* the program that runs; NULL: our own */
    const char *peer_hash;           /* of its file, when the run began */
    char        peer_versions[512];  /* what it said last; "": nothing */
    MachineLock *machine;            /* as in its plan */
    int         shared;              /* 1: something of ours was measured beside it */
    Disturbance before;              /* when it began */
    double      beat;                /* when db_heartbeat was called last */
} CellRun;

/* Waiting for a database that cannot be written. Zero: not waiting */
typedef struct CellWait { double began, tried, said; } CellWait;

typedef struct CellPlan {
    const char *experiment;          /* NULL: none */
    const char *schedule;            /* "seed 1, 3 of 15": its place in the order; NULL: none */
    const Spec *spec;
    const Peer *peer;                /* the program that runs it; NULL: our own */
    Limits      limits;
    int         alone, loud;         /* alone: this sweep runs no other cell beside it */
    MachineLock *machine;            /* a cell that is alone is bound to cores where it is ours */
    See         see;
    void       *ctx;
} CellPlan;

/* 1: a run can be started; what could not be written before is taken in. 0: not now, which is said
 * every ten seconds; to be asked again. Dies after ten minutes, and, where stop is 1, at once */
int  cell_ready(CellWait *, Db *, int stop);
void cell_start(CellRun *, Db *, const CellPlan *, Arena *);
/* 1: it has ended, and the outcome is recorded, or kept beside the database until it can be written
 */
int  cell_step (CellRun *, Arena *, Outcome *);
void cell_stop (CellRun *);                          /* on ^C: 'crash', "interrupted" */

/* Runs `eightysix cell SPEC` as a child to its end and writes its records as they come, 20
 * transactions a second: whichever process is killed, what was recorded stays. see (may be NULL) is
 * called with every record. db NULL: nothing is stored. The environment variable
 * EIGHTYSIX_CELL_PROGRAM names another program to run as the cell. */
Outcome cell_run(Db *, const char *experiment, const Spec *, Limits, See see, void *ctx, Arena *);
#endif
