/* SPDX-License-Identifier: GPL-3.0-or-later */
/* experiment_parts.h -- what experiment.c (reading the file), experiment_peers.c (its programs) and
 * experiment_cells.c (its cells) share; nobody else includes it. */
#ifndef EXPERIMENT_PARTS_H
#define EXPERIMENT_PARTS_H
#include "harness/sweep/experiment.h"
#include "harness/util/yaml.h"

typedef struct ExperimentFile {
    Yaml         doc;
    Arena       *a;
    Experiment  *e;
    int          measures_given; /* by the key of that name */
    Spec        *base;           /* the fixed settings */
    const char  *baseline_at;    /* "file:line:column: "; NULL: there is none */
    const char **owner;          /* per setting: what sets it, "'fixed'" or "factor 'head'"; NULL:
                                  * nothing */
    const char **place;          /* per setting: "file:line:column: " where it is set, "" on the
                                  * command line; NULL: nowhere */
    const char  *program_owner;  /* the factor whose levels name programs; NULL: none does */
} ExperimentFile;

/* Notes that a run will need this corpus or figure. */
void        experiment_use(ExperimentFile *, const char *kind, const char *name, const char *place);
/* experiment_peers.c: the keys of a level that are no settings, `program` and `set`; the program of
 * a level, NULL in *out where it names none. NULL or an error message */
int         experiment_is_of_program(const char *key);
const char *experiment_read_peer(ExperimentFile *, const Node *level, const char *owner,
                                 const Peer **out);
/* Fills e->cell from the factors and seeds, and e->reset. NULL or an error message */
const char *experiment_make_cells(ExperimentFile *);
#endif
