/* SPDX-License-Identifier: GPL-3.0-or-later */
/* experiment.h -- an experiment: a question, and the grid of cells that answers it.
 *
 *   question: "one sentence"                 asked of the grid; required
 *   expectation: "one sentence"              what the author expects to see; said at the end
 *   name: quick                              default: the file's name without .yaml
 *   fixed: {corpus: synth, d: 256}           settings of every cell
 *   factors:                                 required; each is one of
 *     head: [softmax, tree]                    values of the setting of that name
 *     arithmetic:                              labels, each with its settings
 *       dense: {act: f32}
 *       ref:   {act: int8, kernel: ref}
 *     engine:                                a level may name a program that runs in place of our
 *       ours:  {}                              own cell (peer.h), with words of its own
 *       torch: {program: peers/flashlm3.py, set: {mode: compiled, precision: bf16}}
 *   baseline: {head: softmax, arithmetic: dense}   or a label, "head=softmax arithmetic=dense":
 *                                            the cell that the others are compared with
 *   seeds: [1, 2, 3]                         or how many: 3; default 1
 *   budget: 30s                              of a cell, as the setting
 *   limits: {seconds: 120, memory: 2GB}      beyond which a cell is ended
 *   figure: time_split                       drawn at the end of a sweep
 *   measures: speed                          or loss; default: speed where a budget counts seconds
 *
 * The cells are the product of the factors, the last one fastest, times the seeds. A setting is set
 * in one place only. Every error message begins with file:line:column.
 *
 * A setting of a level that has no effect in a cell (assign beside head=softmax; settings.def says
 * where each applies) is set back to its default there; cells that then have the same settings
 * become one. Of factors {head: [softmax, tree], assign: [brown, freq]} three cells are left. A
 * setting that has no effect in any cell is refused. Fixed settings are never set back.
 *
 * A program is looked for beside the experiment file, then among the installed experiments. It gets
 * the settings of the cell and its own words. Nobody checks these; they are part of the cell. */
#ifndef EXPERIMENT_H
#define EXPERIMENT_H
#include "harness/store/db.h"
#include "harness/sweep/peer.h"
#include "models/spec.h"

/* word: "key=value"; peer: the program of its cells, NULL: our own */
typedef struct Level  {
    const char *label;
    const char **word;
    int words;
    const Peer *peer;
} Level;
/* baseline -1: none named */
typedef struct Factor { const char *name; Level *level; int levels, baseline; } Factor;
typedef struct Cell {
    const char *key;             /* SHA-256, hex, of text */
    const char *text;            /* the canonical text of its settings, program and its words */
    const char *label;           /* "head=tree arithmetic=ref", without the seed */
    Spec       *spec;
    const Peer *peer;            /* the program that runs it; NULL: our own */
    const int  *level;           /* one per factor; -1: no setting of the level has an effect */
    long        seed;
} Cell;
/* What happened to a setting of a level that has no effect in some cells */
typedef struct Reset {
    const Setting *setting;
    int            cells, merged;    /* in how many; how many of these became one with another */
} Reset;
/* What a run needs beside its settings */
typedef struct ExperimentUse {
    const char *kind, *name;         /* "corpus" or "figure" */
    const char *place;               /* "file:line:column: "; "": the command line */
    struct ExperimentUse *next;
} ExperimentUse;
typedef struct Experiment {
    /* "" where not given; baseline: the label of a cell */
    const char *name, *question, *expectation, *figure, *baseline;
    /* the file; the words that changed it */
    const char *text, *overrides;
    Factor     *factor;
    Cell       *cell;
    /* memory_kb, seconds: limits; 0: none */
    long       *seed, memory_kb;
    double      seconds;
    DbMeasures  measures;        /* what two runs of a cell must have in common: db.h */
    int         factors, cells, seeds, resets;
    Reset      *reset;               /* (resets), in the order of the settings */
    ExperimentUse *uses;
    PeerProgram   *programs;         /* that levels name, each once */
} Experiment;
enum { EXPERIMENT_MAX_CELLS = 10000 };

/* words (n): "key=value" that replace fixed settings, each at most once. NULL and an error message
 * in *why. */
Experiment *experiment_load(const char *path, const char *const *words, int n, Arena *,
                            const char **why);
Experiment *experiment_parse(const char *file, const char *text, size_t len,
                             const char *const *words, int n, Arena *, const char **why);
/* Whether the corpora are here or can be fetched and the figure has its script experiments/NAME.gp.
 * NULL or an error message with its place */
const char *experiment_check(const Experiment *, Arena *);
#endif
