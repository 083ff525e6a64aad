/* SPDX-License-Identifier: GPL-3.0-or-later */
/* regress_work_parts.h -- what the files behind the command regress-sample share. */
#ifndef REGRESS_WORK_PARTS_H
#define REGRESS_WORK_PARTS_H
#include "harness/bench/gbench.h"
#include "harness/util/record.h"
#include "kernels/base.h"

/* A benchmark that is ready: run does so many iterations */
typedef struct Work { GbenchWork *run; void *ctx; } Work;
typedef struct GateWork GateWork;
struct GateWork {
    const char *name;
    double      budget;          /* the largest effect that may go undetected, percent */
    int         probe;
    int         extra;           /* 1: beside the default set, run where its objects change */
    /* counted 1: less work, for callgrind, which is slow */
    Work      (*make)(const GateWork *, int counted, Arena *);
    const char *part, *isa;      /* kernel, operation, head; of operations, NULL: the best */
    int         n;               /* batch rows of a kernel */
    const char *settings;        /* of a step; NULL: none */
    const char *objects;         /* that it times, below build/, separated by blanks */
};

/* All benchmarks that run on this machine, those of the default set first: regress_bench.c */
const GateWork *regress_works(int *n, Arena *);

/* Writes the lines `quality` and `gradients` of the list: regress_cells.c */
void regress_cells(Recorder *, Arena *);
/* A few steps with these settings, NULL-ended; what every parameter's gradient and update is */
void regress_gradients(const char *const *words, Recorder *, Arena *);
#endif
