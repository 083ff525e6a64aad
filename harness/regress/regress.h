/* SPDX-License-Identifier: GPL-3.0-or-later */
/* regress.h -- the regression gate: is one build slower, or worse, than another?
 *
 * Two builds run in turn, each in a process of its own, fresh in every round. Sample by sample they
 * take turns, ABBA or BAAB, so that whatever slows the machine for more than some milliseconds
 * affects both alike. Round r gives
 *
 *   d_r = median over its pairs of samples of ln (head's time / base's time)
 *
 * and the verdict on a benchmark is a pure function of its d_1..d_n (regress_decide.c). */
#ifndef REGRESS_H
#define REGRESS_H
#include "harness/util/machine_lock.h"
#include "harness/util/record.h"
#include "harness/util/stats.h"
#include <regex.h>

/* ---- the decision, a pure function of samples: regress_decide.c ---- */
typedef enum { GATE_UNKNOWN, GATE_SAME, GATE_NOT_SLOWER, GATE_IMPROVED, GATE_REGRESSED } Verdict;
extern const char *const verdict_names[];            /* "UNKNOWN" "SAME" "NOT SLOWER" ... */

/* floor: shifts (of ln time) too small to matter; alpha: chance of any false REGRESSED among all
 * benchmarks, all looks together; power: of the detectable effect. A look is a decision: the first
 * after some rounds, each further one after as many more; each has alpha / looks */
typedef struct GateRule { double floor, alpha, power; int looks; } GateRule;
extern const GateRule gate_rule;                     /* 2 %, 0.01, 0.95, two */

typedef struct GateCase {                            /* one comparison with base */
    const char   *name;
    double        budget;                            /* the largest effect that may go undetected */
    const double *d;                                 /* (rounds) so far */
    int           rounds;
    Verdict       verdict;                           /* of gate_decide; final unless UNKNOWN */
    Interval      shift;                             /* of d; level 1 - alpha / looks / cases */
    double        p_slower, p_faster;                /* by Holm over the cases of this look */
    double        detectable;                        /* least effect found by so many rounds */
    int           look;                              /* that decided; 0: none has yet */
} GateCase;

/* d of a round, from the times of n samples of each side that were taken in turn */
double gate_pairs (const double *base_ns, const double *head_ns, int n, Arena *);
/* d of a round whose sides were sampled in blocks, as gates did before: replay asks for it */
double gate_shift (const double *base_ns, int n_base, const double *head_ns, int n_head, Arena *);
/* Decides the cases that are UNKNOWN, at look 1, 2, ...; returns how many still are. */
int    gate_decide(const GateRule *, GateCase *, int cases, int look, Arena *);

/* The verdict of the whole run and its exit code. Wrong results do not depend on noise and come
 * first; then signs that this run cannot be trusted; then times. */
typedef struct GateTotal { int wrong, invalid, regressed, unknown; } GateTotal;
const char *gate_verdict(const GateTotal *);         /* "REGRESSED" "INVALID" "UNKNOWN" "PASS" */
int         gate_code   (const GateTotal *);         /* 1, 3, 3, 0 */

/* ---- one benchmark in a process of its own: regress_work.c, the command regress-sample ----
 * Protocol 1. A build answers with records (record.h) on descriptor 3, or stdout. The protocol must
 * not change: new builds ask old ones.
 *
 *   list                               text protocol 1
 *                                      text bench NAME BUDGET PROBE
 *                                      text quality NAME WORDS...
 *                                      text build ID
 *                                      text compiler ...
 *                                      text flags ...
 *                                      text object PATH
 *                                      text extra NAME BUDGET PROBE
 *                                      text times NAME OBJECTS...
 *                                      text gradients NAME WORDS...
 *                                      text part NAME HASH
 *   time NAME --iters N --samples K    sync
 *     [--delay F] [--cpu C]            sample NAME 0 K NS ITERS
 *                                      num switches 0 N
 *                                      num steal 0 N
 *   time NAME --iters 0                num iters 0 N
 *   count NAME --iters N               nothing; runs regress_counted once, the only function whose
 *                                      instructions callgrind counts; heads see fewer positions
 *
 *   gradients WORDS...                 num loss, grad_norm, gradient:P, along:P, moved:P of steps
 *
 *   extra      a benchmark beside the default set, run where one of its OBJECTS has changed
 *   BUDGET     the largest effect that may go undetected, percent
 *   PROBE      1: base is also compared with itself and with itself delayed
 *   WORDS      settings of a cell; of the environment those that begin with EIGHTYSIX_
 *   P          a parameter: the length of its gradient, its part along fixed signs, how far it
 *              has moved
 *   PATH       below build/: an object that benchmarks, laws or quality cells execute
 *   HASH       of the code of a part of the program (host.h)
 *   sync       before each sample: it waits for its turn (record_sync). Builds of before do not
 *   switches   forced context switches during the samples
 *   steal      ticks that the hypervisor gave to others meanwhile
 *   iters      so many iterations take REGRESS_SAMPLE_S seconds
 *
 * NAME of a benchmark says what it computes: builds are compared where names are equal. */
enum { REGRESS_PROTOCOL = 1 };
#define REGRESS_SAMPLE_S 4e-3

/* The arguments of regress-sample. */
typedef struct SamplePlan {
    const char *what, *name;             /* "list" "time" "count" "gradients"; of the benchmark */
    const char *const *words;                        /* settings of gradients, NULL-ended */
    long        iters, samples;
    double      delay;
    int         cpu;                                 /* -1: any */
} SamplePlan;
int regress_sample(const SamplePlan *);              /* the exit code */
int regress_has(const regex_t *);                    /* 1: a benchmark of this build matches */

/* ---- builds and children: regress_build.c, regress_child.c ---- */
typedef struct GateBuild {
    const char *ref, *commit, *binary;               /* as given; hash, "" for a file; full path */
    const char *id, *compiler, *flags;               /* as it says of itself */
    const char *objects;                             /* that it executes; "": it does not say */
    int         n_objects;
    const char *code;                                /* hash of these, of all objects, or a file */
    const char *hashed;                              /* lines "OBJECT HASH"; "" for a file */
} GateBuild;
/* What ref is: a commit, or the path, with a slash, of a program. Builds nothing; dies with an
 * error message where it is neither. */
GateBuild *gate_find (const char *ref, Arena *);
/* Builds a commit in build/regress/NAME and keeps it, by commit and compiler, in
 * build/regress/cache; one that is there is not built again. Dies with an error message. */
void       gate_build(GateBuild *, const char *name, int jobs, Arena *);
/* The objects in which the builds differ; how many; -1: not known */
int        gate_changed(const GateBuild *base, const GateBuild *head, const char ***list, Arena *);

typedef void GateLine(void *ctx, const Record *);
/* status and error as in child.h; said: all of its stdout and stderr */
typedef struct GateRun { const char *status, *error, *said; } GateRun;
/* Runs words[0], found by PATH where it has no slash; words for env(1), NAME=VALUE or -u NAME, may
 * stand before it. line (or NULL) is called with each of its records. */
GateRun gate_run(const char *const *words, double seconds, GateLine *line, void *ctx, Arena *);
int     gate_interrupted(void);                      /* ^C or SIGTERM came while a child ran */
/* The same in parts, for several at a time of which one computes */
typedef struct GateChild GateChild;
GateChild *gate_start(const char *const *words, double seconds, GateLine *, void *ctx, Arena *);
int        gate_wait (GateChild *);  /* 1: it has said "sync" and waits for gate_go; 0: it ended */
void       gate_go   (GateChild *);
GateRun    gate_let_end  (GateChild *, Arena *);         /* lets it go until it ends */

/* ---- what is not time: regress_check.c, regress_gradients.c, regress_quality.c ---- */
typedef struct GateCheck {
    const char *kind, *name, *sentence;              /* kind: "instructions" "quality" ... */
    Verdict     verdict;
    double      base, head;                          /* counts, or nats per token; NAN: none */
    double      seconds;                             /* it took */
} GateCheck;
typedef struct GateChecks { GateCheck *list; int n; double began; } GateChecks;
typedef struct GateCell { const char *name, *words; } GateCell;   /* of a training, its settings */
enum { GATE_MOST = 128 };                            /* benchmarks; cells of each kind */

/* ---- the run and its reports: regress.c, regress_choose.c, regress_rounds.c,
 * regress_report.c, regress_junit.c ---- */
typedef struct GateBench {
    const char *name;
    double      budget;
    int         probe;
    long        iters;
    double     *base_ns, *head_ns;                   /* (rounds): medians of each */
    int         rounds;
    long        switches, steal;
    double      seconds;                             /* that its blocks took */
    const char *objects;                             /* that it times, separated by blanks */
    int         extra;                               /* 1: beside the default set */
    GateCase    pair;                                /* head against base */
    GateCase    control, canary;                     /* of a probe: see regress_rounds.c */
} GateBench;
/* What a gate is asked to do. */
typedef struct GatePlan {
    const char *base, *head;                         /* commits, or paths of programs */
    /* filter NULL: all benchmarks; markdown, junit, db: paths, NULL: not written */
    const char *filter, *markdown, *junit, *db;
    int         rounds, samples, jobs;               /* of the first look; of a block; of make */
    int         cpu;                                 /* core to run on; -1: the last */
    int         always, times_only, losses_only, accept_quality;
    uint64_t    seed;
    double      floor, tolerance;                    /* of times; of losses: shares */
} GatePlan;
enum { GATE_ROUNDS = 1000, GATE_SAMPLES = 100 };     /* at most */
typedef struct Gate {
    GatePlan          plan;
    MachineLock       machine;
    GateRule          rule;
    const GateBuild  *base, *head;
    const char       *control;                       /* path of a copy of base's program */
    GateBench        *bench;
    int               benches;
    GateCell         *quality, *gradient;
    int               qualities, gradients;
    double            delay, began;                  /* of a canary, a share; clock_now at start */
    int               equal;                         /* 1: the same code, nothing was measured */
    const char      **changed;                       /* objects that differ */
    int               changes;                       /* how many; -1: not known */
    const char       *untimed;                       /* sources that nothing times, or "" */
    int               timed;                         /* 1: there are times */
    double            said;                          /* when progress was last told */
    GateChecks        checks;
    const char      **note;                          /* sentences for the report */
    int               notes;
    GateTotal         total;
} Gate;
/* Compares two builds, reports and records: the command regress. Returns its exit code; wrong
 * arguments are refused (die) before anything is built. */
int  gate_compare (const GatePlan *);
/* Adds a sentence to the report; those beyond GATE_MOST are dropped */
void gate_note    (Gate *, const char *sentence);
void gate_report  (const Gate *, FILE *);            /* for people */
void gate_markdown(const Gate *, FILE *);            /* for a pull request */
void gate_junit   (const Gate *, FILE *);            /* for CI */
double      gate_percent   (double ln_ratio);
/* the detectable effect; "none" where no effect of any size could be found */
const char *gate_detectable(double ln_ratio, char out[32]);

/* Progress on stderr: on a terminal always, elsewhere every ten seconds */
void gate_progress(Gate *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Chooses what both builds have: the default set, what times a changed object, or, with a filter,
 * all whose names match. Budgets, probes and settings are those of base: a commit cannot make its
 * own check milder. */
void gate_choose (Gate *, const regex_t *filter, Arena *);

int  gate_check_laws     (Gate *, Arena *);          /* 1: they hold */
void gate_check_gradients(Gate *, Arena *);
void gate_check_quality  (Gate *, Arena *);
void gate_check_counts   (Gate *, Arena *);
/* Between the two of them its seconds pass */
void gate_check_begin(Gate *);
void gate_check_add  (Gate *, GateCheck, Arena *);
/* The words that run `binary command... settings`, those of the environment first */
const char **gate_words(const char *binary, const char *const *command, const char *settings,
                        Arena *);

/* ---- in the database: regress_record.c ---- */
typedef struct GateRecord GateRecord;
typedef struct GateBlock {
    const char   *bench, *side;
    int           round, n;
    const int    *position;                          /* (n) of a sample in its comparison */
    const double *ns;                                /* (n) of all iterations of a sample */
    long          iters, switches, steal;
} GateBlock;
const char *gate_build_name(const GateBuild *);      /* its commit, or the hash of its code */
/* Opens the database, before anything is built; begins the run. Die with an error message. */
GateRecord *gate_record_open    (const char *path, Arena *);
void        gate_record_begin   (GateRecord *, const Gate *, const char *spec);
void        gate_record_block   (GateRecord *, const GateBlock *);
void        gate_record_flush   (GateRecord *);
void        gate_record_verdicts(GateRecord *, const Gate *);
/* Adds a note for every benchmark whose shift against this base has changed its level, over 8 runs
 * or more on this machine (Pettitt, p < 0.01). Advice only. */
void        gate_record_history (GateRecord *, Gate *);
void        gate_record_end     (GateRecord *, int interrupted, double seconds);

/* Runs rounds until every benchmark is decided or the looks are used up. record NULL: none. */
void gate_measure(Gate *, GateRecord *record, Arena *);
#endif
