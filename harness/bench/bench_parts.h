/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bench_parts.h -- what bench.c and bench_record.c share. Not for other files. */
#ifndef BENCH_PARTS_H
#define BENCH_PARTS_H
#include "harness/bench/bench.h"
#include "harness/store/db.h"
#include "harness/util/disturbance.h"
#include <regex.h>

enum { BENCH_CELLS = 1024, BENCH_PROBES = 64 };      /* of a group; of probes.def */

struct Bench {
    BenchPlan   plan;
    Arena      *home, group;         /* of the whole command, of the group */
    Gbench     *g;
    regex_t     filter;
    BenchCell  *cell[BENCH_CELLS], *now;
    int         n, position, shown, broken, header, missed;
    int         attempt, disturbed;  /* measurements of this group before; cells */
    double      peak[BENCH_PROBES][BENCH_THREADS + 1];
    /* what a probe said at the beginning of the run, in which group that was, and last */
    double      first[BENCH_PROBES][BENCH_THREADS + 1], last[BENCH_PROBES][BENCH_THREADS + 1];
    int         first_group[BENCH_PROBES][BENCH_THREADS + 1];
    /* the group of the last probe, from 1; groups done */
    int         probed[BENCH_PROBES][BENCH_THREADS + 1], groups;
    int         times[BENCH_PROBES][BENCH_THREADS + 1];             /* it was probed */
    const Host *host;
    Db         *db;                  /* NULL: nothing is recorded */
    long        run;                 /* its row */
    Disturbance before;              /* when it began; 1: something of ours ran beside it then */
    int         shared;
    Rng         rng;
    char        unreal[160];         /* its first number that is none, with its name; "": none is */
};

/* ---- bench_record.c ---- */
/* A benchmark in a process of its own, so that one that dies is a row that says so: `body` runs
 * there, given the row, and sets *ended when it has ended the row itself. Dies as its exit code
 * says: returns that, or 128 and the number of the signal that killed it. */
typedef int BenchBody(const BenchPlan *, long run, int *ended);
int  bench_record_run  (const BenchPlan *, BenchBody *body);
void bench_record_open (Bench *, long run);          /* dies with an error message */
/* Which number of a cell is nan or infinite; NULL: none is */
const char *bench_record_unreal(const BenchCell *, Arena *);
void bench_record_cell (Bench *, const BenchCell *);
void bench_record_peaks(Bench *);
void bench_record_disturbance(Bench *);              /* at its end: load, steal, switches, shared */

/* ---- bench_disturbed.c ---- */
int  bench_judge      (Bench *);         /* how many cells of the group were disturbed */
void bench_discard    (Bench *);         /* records samples that are measured again */
/* The probes that limit cells of the group, once more: limits follow them */
void bench_probe_again(Bench *);

/* ---- bench_quiet.c ---- */
/* Waits as long as the plan says, and says and records how long that was */
void bench_quiet_wait(Bench *);
#endif
