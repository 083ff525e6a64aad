/* SPDX-License-Identifier: GPL-3.0-or-later */
/* regress.h -- the regression gate: is one build slower, or worse, than another?
 *
 * Two builds run in turn, a fresh process per block. A round visits the sides of a benchmark in
 * random order and back: ABBA or BAAB, so that what drifts meets both alike. Of round r d_r = ln
 * (median of head's times / median of base's times) and the verdict on a benchmark is a pure
 * function of its d_1..d_n (regress_decide.c). */
#ifndef REGRESS_H
#define REGRESS_H
#include "harness/util/record.h"
#include "harness/util/stats.h"
#include <regex.h>

/* ---- the decision, a pure function of samples: regress_decide.c ---- */
typedef enum { GATE_UNKNOWN, GATE_SAME, GATE_IMPROVED, GATE_REGRESSED } Verdict;
extern const char *const verdict_names[];            /* "UNKNOWN" "SAME" "IMPROVED" "REGRESSED" */

/* floor: shifts (of ln time) that nobody minds; alpha: chance of any false REGRESSED in the family,
 * all looks together; power: of the detectable effect; looks: each doubles the rounds and has alpha
 * / looks */
typedef struct GateRule { double floor, alpha, power; int looks; } GateRule;
extern const GateRule gate_rule;                     /* 2 %, 0.01, 0.95, two */

typedef struct GateCase {                            /* one comparison */
    const char   *name;
    /* declared: the largest effect that may go unseen */
    double        budget;
    const double *d;                                 /* (rounds) so far */
    int           rounds;
    /* what gate_decide says; a verdict other than UNKNOWN stays */
    Verdict       verdict;
    /* median of d at level 1 - alpha / looks / cases */
    Interval      shift;
    double        p_slower, p_faster;                /* Holm over the cases of this look */
    /* the minimum detectable effect at these rounds and this scatter */
    double        detectable;
    int           look;                              /* that decided; 0: none has yet */
} GateCase;

/* d of a round */
double gate_shift (const double *base_ns, int n_base, const double *head_ns, int n_head, Arena *);
/* Judges all that is UNKNOWN, at look 1, 2, ...; returns how many still are. */
int    gate_decide(const GateRule *, GateCase *, int cases, int look, Arena *);

/* The verdict of the whole run and its exit code. Wrong results do not depend on noise and come
 * first; then what shows that this run cannot be trusted; then times. */
typedef struct GateTotal { int wrong, invalid, regressed, unknown; } GateTotal;
const char *gate_verdict(const GateTotal *);         /* "REGRESSED" "INVALID" "UNKNOWN" "PASS" */
int         gate_code   (const GateTotal *);         /* 1, 3, 3, 0 */

/* ---- one benchmark in a process of its own: regress_work.c, the hidden command regress-sample
 * ---- Protocol 1, records of record.h on descriptor 3 (or stdout). It must stay what it is: old
 * builds are asked by new ones. list                                text protocol 1 | text bench
 * NAME BUDGET PROBE text quality NAME WORDS... | text build ID | text compiler ... | text flags ...
 *                                       text object PATH: under build/, of all that the rest
 * executes time NAME --iters N --samples K     sample NAME 0 K NS ITERS, then num switches 0 N
 * (forced),
 *     [--delay F] [--cpu C]             num steal 0 N (ticks); iters 0: says num iters 0 N, that
 * many take SAMPLE_S count NAME --iters N                runs regress_counted once, what callgrind
 * toggles its counting by; heads see fewer positions BUDGET is what may go unseen, in percent;
 * PROBE 1: also compared with itself and with a delay. NAME says the work. */
enum { REGRESS_PROTOCOL = 1 };
#define REGRESS_SAMPLE_S 10e-3

/* What the arguments of regress-sample say. */
typedef struct SamplePlan {
    const char *what, *name;                         /* "list" "time" "count"; the benchmark */
    long        iters, samples;
    double      delay;
    int         cpu;                                 /* -1: any */
} SamplePlan;
int regress_sample(const SamplePlan *);              /* the exit code */

/* ---- builds and children: regress_build.c ---- */
typedef struct GateBuild {
    /* as given; its hash ("" for a file); absolute path */
    const char *ref, *commit, *binary;
    /* its work tree; NULL: a binary that was there */
    const char *tree;
    const char *id, *compiler, *flags;               /* as it says of itself */
    /* what it executes, as it says; "": it does not say */
    const char *objects;
    int         n_objects;
    /* hash of these, or of all its objects where it does not say */
    const char *code;
} GateBuild;
/* A commit is checked out under build/regress/NAME and built there; the path of a program is taken
 * as it is. Dies with a sentence. */
GateBuild *gate_build(const char *ref, const char *name, int jobs, Arena *);
void       gate_build_drop(const GateBuild *);       /* removes the work tree */

typedef void GateLine(void *ctx, const Record *);
/* child.h's status; all of its stdout and stderr */
typedef struct GateRun { const char *status, *error, *said; } GateRun;
/* Runs words[0] (by PATH where it has no slash) with environment words NAME=VALUE before it; line
 * (NULL: none) sees its records. */
GateRun gate_run(const char *const *words, double seconds, GateLine *line, void *ctx, Arena *);
int     gate_interrupted(void);                      /* ^C or SIGTERM came while a child ran */

/* ---- what is not time: regress_check.c ---- */
typedef struct GateCheck {                           /* "instructions" "quality" "laws" */
    const char *kind, *name, *sentence;
    Verdict     verdict;
    double      base, head;                          /* counts, or nats per token; NAN: none */
} GateCheck;
typedef struct GateChecks { GateCheck *list; int n; } GateChecks;
enum { GATE_MOST = 64 };                             /* benchmarks; quality cells */

/* ---- the run and its reports: regress.c, regress_choose.c, regress_rounds.c, regress_report.c
 * ---- */
typedef struct GateBench {
    const char *name;
    double      budget;
    int         probe;
    long        iters;
    double     *base_ns, *head_ns;                   /* (rounds): medians of each */
    int         rounds;
    long        switches, steal;
    GateCase    pair;                                /* head against base; of a probe also: */
    /* a second copy of base, and base with a delay, against base */
    GateCase    control, canary;
} GateBench;
/* What a gate is asked to do. */
typedef struct GatePlan {
    const char *base, *head;                         /* commits, or paths of programs */
    /* NULL: all; none; none; nothing is recorded */
    const char *filter, *markdown, *junit, *db;
    int         rounds, samples, jobs;               /* of the first look; of a block; of make */
    int         cpu;                                 /* core to run on; -1: the last */
    int         always, times_only, accept_quality;
    uint64_t    seed;
    double      floor, tolerance;                    /* of times; of losses */
} GatePlan;
enum { GATE_ROUNDS = 1000, GATE_SAMPLES = 100 };     /* at most */
typedef struct Gate {
    GatePlan          plan;
    GateRule          rule;
    const GateBuild  *base, *head;
    const char       *control;                       /* path of a copy of base's program */
    GateBench        *bench;
    int               benches;
    const char      **quality, **quality_words;      /* names and settings of the quality cells */
    int               qualities;
    double            delay, began;                  /* share of a canary; clock_now */
    int               equal;                         /* 1: the same code, nothing was measured */
    GateChecks        checks;
    const char      **note;                          /* sentences for the reader */
    int               notes;
    GateTotal         total;
} Gate;
/* Compares two builds, reports and records: the command regress. Returns its exit code; bad
 * arguments are refused (die) before anything is built. */
int  gate_compare (const GatePlan *);
/* for the reader; beyond GATE_MOST they are dropped */
void gate_note    (Gate *, const char *sentence);
void gate_report  (const Gate *, FILE *);            /* for people */
void gate_markdown(const Gate *, FILE *);            /* for a pull request */
void gate_junit   (const Gate *, FILE *);            /* for CI */

/* The benchmarks that match and the quality cells of both builds. Budgets, probes and settings are
 * base's: a commit cannot loosen its own gate. */
void gate_choose (Gate *, const regex_t *filter, Arena *);

void gate_check_laws   (Gate *, Arena *);
void gate_check_quality(Gate *, Arena *);
void gate_check_counts (Gate *, Arena *);

/* ---- in the database: regress_record.c ---- */
typedef struct GateRecord GateRecord;
typedef struct GateBlock {
    const char   *bench, *side;
    int           round, position, n;                /* position: of the block in its round */
    const double *ns;                                /* (n) of all iterations of a sample */
    long          iters, switches, steal;
} GateBlock;
const char *gate_build_name(const GateBuild *);      /* its commit, or the hash of its code */
/* dies with a sentence */
GateRecord *gate_record_begin   (const Gate *, const char *path, const char *spec, Arena *);
void        gate_record_block   (GateRecord *, const GateBlock *);
void        gate_record_flush   (GateRecord *);
void        gate_record_verdicts(GateRecord *, const Gate *);
/* A note for every benchmark whose shift against this base has changed its level, of 8 runs or more
 * on this machine (Pettitt, 0.01). Advice only. */
void        gate_record_history (GateRecord *, Gate *);
void        gate_record_end     (GateRecord *, int interrupted, double seconds);

/* Rounds until every benchmark is decided or the looks are used up. record NULL: none. */
void gate_measure(Gate *, GateRecord *record, Arena *);
#endif
