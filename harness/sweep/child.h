/* SPDX-License-Identifier: GPL-3.0-or-later */
/* child.h -- a cell as a child process: what it prints, its limits, how it ends. Knows no SQL.
 *
 *   parent                                child (its own process group; dies with its parent)
 *   records, line by line      <- pipe <- descriptor 3
 *   a byte: they are stored    -> socket  descriptor 4, named by EIGHTYSIX_STORED
 *   log, last line             <- pipe <- descriptors 1 and 2
 *
 * The parent reads 20 times a second and when a child ends, not at every line: it must not disturb
 * what the child times. */
#ifndef CHILD_H
#define CHILD_H
#include "kernels/base.h"
#include <sys/types.h>

enum { CHILD_TICK_MS = 50, CHILD_GRACE_S = 2, CHILD_LINE = 8192, CHILD_BEFORE_KB = 8192 };

typedef struct Limits { double seconds; long mem_kb; } Limits;        /* 0: none */

typedef struct ChildPlan {
    const char  *program;             /* path */
    char *const *argv;
    /* OMP_NUM_THREADS (0: as it is); bound: OMP_PROC_BIND=close */
    int          threads, bound;
    Limits       limits;
    /* called with every line of descriptor 3, without its newline */
    void       (*line)(void *ctx, char *line);
    /* called with what comes on descriptors 1 and 2 */
    void       (*said)(void *ctx, const char *bytes, size_t n);
    void        *ctx;
} ChildPlan;

typedef struct Child {
    ChildPlan   plan;
    pid_t       pid;
    int         records, words;       /* read ends */
    int         stored;               /* written to by child_stored */
    double      began, ended, killed; /* clock_now(); killed: when it was asked to end */
    long        oom_kills;            /* of the machine, when it began */
    const char *verdict;              /* the status it is being ended with; NULL: it is not */
    char        why[640];             /* the error message to that */
    /* the line of descriptor 3 that is coming in; the last line printed */
    char        buffer[CHILD_LINE], last[512];
    size_t      have, have_last;
    int         too_long, last_ended, exit_status;
    /* inherited: the peak of this process when the child began; switches: involuntary ones */
    long        peak_rss_kb, inherited_kb, switches;
} Child;

const char *child_start(Child *, const ChildPlan *);        /* NULL or an error message */
/* reads, watches the limits; 1: it has ended and all is read */
int         child_step (Child *);
/* Tells it that what it wrote before its line "sync" is stored */
void        child_stored(Child *);
/* SIGTERM to it and what it started; after CHILD_GRACE_S seconds child_step sends SIGKILL */
void        child_end  (Child *, const char *verdict, const char *why);
/* "ok" "fail" "crash" "timeout" "oom" "skip"; *error: the error message, kept in the child */
const char *child_status(Child *, const char **error);

/* Blocks SIGINT, SIGTERM and SIGCHLD and returns the descriptor that reports them; child_wait
 * sleeps for a tick or until one comes, or (not NULL) until this child writes a record, and returns
 * 1 on SIGINT or SIGTERM. */
int  child_signals    (void);
int  child_wait       (int signals, const Child *);
void child_signals_end(int signals);
#endif
