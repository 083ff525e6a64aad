/* SPDX-License-Identifier: GPL-3.0-or-later */
/* experiment.h -- an experiment: a question, and the grid of cells that answers it.
 *
 *   question: "one sentence"                 asked of the grid; required
 *   expectation: "one sentence"              what the author expects to see
 *   name: quick                              default: the file's name without .yaml
 *   fixed: {corpus: synth, d: 256}           settings of every cell
 *   factors:                                 required; each is one of
 *     head: [softmax, tree]                    values of the setting of that name
 *     arithmetic:                              labels, each with its settings
 *       dense: {act: f32}
 *       ref:   {act: int8, kernel: ref}
 *   baseline: {head: softmax, arithmetic: dense}
 *   seeds: [1, 2, 3]                         or how many: 3; default 1
 *   budget: 30s                              of a cell, as the setting
 *   limits: {seconds: 120, memory: 2GB}      beyond which a cell is ended
 *   figure: time_split
 *
 * The cells are the product of the factors, the last one fastest, times the seeds. A setting is set
 * in one place only. Every sentence of refusal begins with file:line:column. */
#ifndef EXPERIMENT_H
#define EXPERIMENT_H
#include "models/spec.h"

/* word: "key=value" */
typedef struct Level  { const char *label; const char **word; int words; } Level;
/* baseline -1: none named */
typedef struct Factor { const char *name; Level *level; int levels, baseline; } Factor;
typedef struct Cell {
    const char *key;             /* SHA-256, hex, of the canonical text of its settings */
    const char *label;           /* "head=tree arithmetic=ref", without the seed */
    Spec       *spec;
    const int  *level;           /* one per factor */
    long        seed;
} Cell;
typedef struct Experiment {
    const char *name, *question, *expectation, *figure;      /* "" where not given */
    /* the file; the words that changed it */
    const char *text, *overrides;
    Factor     *factor;
    Cell       *cell;
    /* memory_kb, seconds: limits; 0: none */
    long       *seed, memory_kb;
    double      seconds;
    int         factors, cells, seeds;
} Experiment;
enum { EXPERIMENT_MAX_CELLS = 10000 };

/* words (n): "key=value" that replace fixed settings. NULL and a sentence in *why. */
Experiment *experiment_load(const char *path, const char *const *words, int n, Arena *,
                            const char **why);
Experiment *experiment_parse(const char *file, const char *text, size_t len,
                             const char *const *words, int n, Arena *, const char **why);
#endif
