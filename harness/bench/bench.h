/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bench.h -- micro-benchmarks: cells that are checked, then timed in rounds, beside the limit that
 * binds them.
 *
 * A group is what is compared with each other: its cells share one number of iterations, and every
 * round visits all of them in random order. A cell that its check found wrong is shown and not
 * timed, and the command ends with 1. */
#ifndef BENCH_H
#define BENCH_H
#include "harness/bench/gbench.h"
#include "harness/util/host.h"
#include "harness/util/machine_lock.h"
#include "harness/util/stats.h"
#include "kernels/probe.h"
#include "kernels/ternary.h"

enum { BENCH_THREADS = 1024 };                   /* at most */
typedef struct Bench Bench;
/* What a sample said: ns of an iteration; involuntary context switches of this process meanwhile;
 * the share of the time that other virtual machines had */
typedef struct BenchSample { double ns, steal; long iters, switches; int position; } BenchSample;
typedef struct BenchCell {
    const char *name;
    GbenchWork *work;            /* its run(ctx, iters) */
    void       *ctx;
    double      ops, bytes;      /* of one iteration; 0: none to speak of */
    const char *limit;           /* what binds it: a name of probe.h; NULL: unknown */
    double      limit_ns;        /* the least time of one iteration by that */
    /* of it by operations alone; bytes it must read, where the group has a cell that only
     * reads: */
    double      compute_ns, level_ns, read;
    int         reads;           /* 1: this one, of `bytes` */
    int         by_reader;       /* 1: its memory limit is what the reader found */
    const char *compute, *level;
    int         threads;         /* of the probes that limit it */
    const char *broken;          /* what its check said; NULL: right */
    int         idle;            /* 1: it has no say in the number of iterations (noop) */
    double      prepare_ns;      /* of it, the time of prepare alone; 0: none */
    double      memory, per;     /* transient bytes; positions of an iteration; 0: none */
    /* filled by bench_group */
    double     *ns;              /* (rounds) */
    BenchSample *sample;         /* (rounds) */
    int         id, samples;
    long        iters;           /* of a sample */
    double      guess_ns;        /* what calibration found */
    Interval    time;            /* ns of an iteration */
    const char *disturbed;       /* why its time is not to be believed; NULL: it is */
} BenchCell;

/* What the arguments of the command said. */
typedef struct BenchPlan {
    const char *what;            /* kernels, heads, ops, sequence or machine */
    const char *filter;          /* regular expression of names of cells; NULL: see `shapes` */
    /* the same, without filter, of the usual kernels (bench_usual); NULL: the kind's own */
    const char *shapes;
    const char *out, *db;        /* db NULL: nothing is recorded */
    int         all, cold, json, rounds, threads[BENCH_THREADS], n_threads;
    int         again;           /* so often is a group measured again of which a cell was
                                  * disturbed */
    double      quiet_wait;      /* seconds to wait at most for a quiet machine; 0: none */
    uint64_t    seed;
    const TernaryKernel *const *kernels;        /* NULL-ended; ternary_kernels but in tests */
    MachineLock *machine;        /* asked for; NULL: not known who shares the machine */
} BenchPlan;
const BenchPlan *bench_plan(const Bench *);
Arena     *bench_arena(Bench *);                /* of the group; empty again after it */
Arena     *bench_home (Bench *);                /* of the whole command */
/* A cell of the group when the filter lets its name through; otherwise NULL. */
int        bench_wants(Bench *, const char *name);
/* 1: neither --filter nor --all was given: only what a reader would ask for first */
int        bench_usual(const Bench *);
/* Records a number of the whole run, when it is recorded */
void       bench_note (Bench *, const char *name, double value);
BenchCell *bench_cell (Bench *, const char *name, GbenchWork *, void *ctx);
/* calibrates, runs the rounds, shows and records; a new group begins */
void       bench_group(Bench *);
/* says and records that this cannot run here */
void       bench_skip (Bench *, const char *what, const char *why);
/* This cell cannot run here: if it is asked for, the filter is not to blame that none was run. */
void       bench_miss (Bench *, const char *name);

/* What the machine gives with so many threads at once, units a second, probed in every group that
 * asks: of operations the most, of bytes the mean of this run's probes; 0: not on this CPU. */
double     bench_peak (Bench *, const char *probe, int threads);
/* "read_l2": the level that holds so much */
const char *bench_level(Bench *, double bytes);
/* The binding one of a time by operations and a time by bytes; either may be 0 for unknown. */
void bench_limit(BenchCell *, const char *compute, double compute_ns, const char *memory,
                 double memory_ns);
/* ns per iteration, by the clock, for about so long */
double     bench_time (GbenchWork *, void *ctx, double seconds, long *iters);

/* Units a second of a probe on so many threads at once. Of operations the best of a few samples, so
 * that no limit is too low; of bytes, which one core alone does not decide, their median, as of
 * what is compared with it. */
double     machine_probe(const Probe *, int threads);

/* The kinds. Each adds its groups one after the other. */
void bench_kernels(Bench *);
void bench_heads  (Bench *);
void bench_ops    (Bench *);
void bench_sequence(Bench *);
void bench_machine(Bench *);

double bench_percent  (const BenchCell *);      /* of its limit that it reaches; NAN: unknown */
void   bench_show_json(const BenchCell *);      /* one line on stdout */
/* the same as text; before row 0 a header */
void   bench_show_row (const BenchCell *, int row);

/* ---- was it disturbed? (bench_disturbed.c) ----
 * A cell was when one of these holds. On a quiet machine intervals are 0.03 of their medians, and
 * the widest 0.12. */
#define BENCH_WIDE   0.25        /* its interval is wider than this part of its median */
#define BENCH_SLOW   2.0         /* its median is more than so many times its fastest call */
#define BENCH_BEATEN 105.0       /* it is at more than so many percent of its limit */
#define BENCH_MOVED  0.15        /* its probe moved by more than this since the run began */
typedef struct BenchSeen {
    Interval    time;
    double      guess_ns;        /* its fastest call; 0: unknown */
    double      percent;         /* of its limit; NAN: unknown */
    const char *limit;
    double      before, after;   /* its probe, at the beginning and now; 0: unknown */
    long        switches;        /* involuntary context switches, of all samples */
    double      steal;           /* the share of their time that other virtual machines had */
} BenchSeen;
/* NULL, or why */
const char *bench_disturbed(const BenchSeen *, Arena *);

/* ---- is the machine quiet? (bench_quiet.c) ---- */
#define QUIET_BUSY  0.05         /* at most this share of the time of all cores, by others */
#define QUIET_STEAL 0.01
#define QUIET_PROBE 0.05         /* between two looks the probe moves by at most this */
typedef struct QuietLook {
    double busy, steal, load;    /* shares of the time since the last look; the load average */
    double probe, before;        /* operations a second, now and at the last look; 0: none yet */
} QuietLook;
/* NULL: it is quiet. Else what is not */
const char *quiet_lacks(const QuietLook *, Arena *);

enum { BENCH_ROUNDS = 10000 };                  /* at most */
/* Runs one kind. Returns the exit code: 0 fine, 1 a check failed; dies with an error message */
int bench_run(const BenchPlan *);
#endif
