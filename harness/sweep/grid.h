/* SPDX-License-Identifier: GPL-3.0-or-later */
/* grid.h -- an experiment without a file: words of a command line, from which the text of one is
 * written.
 *
 *   head=softmax,tree d=128 dilations=[1,4,64],[1] seeds=3 budget=30s
 *
 *   question: 'eightysix sweep head=softmax,tree d=128 dilations=[1,4,64],[1] seeds=3 budget=30s'
 *   name: grid
 *   fixed: {d: 128}
 *   factors:
 *     head: [softmax, tree]
 *     dilations: ['1,4,64', 1]
 *   seeds: 3
 *   budget: 30s
 *
 * A comma separates the levels of a setting; a level that has commas itself stands in brackets. A
 * setting with one level is fixed, but where none has more the first is the one factor. */
#ifndef GRID_H
#define GRID_H
#include "harness/sweep/experiment.h"

/* 1: the argument is a word of a grid, and not an experiment file: "key=...", without '/' before */
int         grid_is_word(const char *argument);
/* Cuts the first level off *rest, without its brackets; *rest becomes what follows the comma, NULL
 * after the last level. NULL: a bracket that does not end before a comma */
char       *grid_next_level(char **rest);
/* The experiment of n words. NULL and an error message in *why */
Experiment *grid_experiment(const char *name, const char *const *words, int n, Arena *,
                            const char **why);
/* Writes its text as a file, unless that is there and has the same text. NULL or an error message:
 * another file of this name is left as it is */
const char *grid_save(const Experiment *, const char *path, Arena *);
#endif
