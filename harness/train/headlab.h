/* SPDX-License-Identifier: GPL-3.0-or-later */
/* headlab.h -- heads refitted on the same frozen hidden states, so that what a head costs in loss
 * is told apart from what trunk and head gain by learning together. */
#ifndef HEADLAB_H
#define HEADLAB_H
#include "harness/train/session.h"
#include "harness/util/machine_lock.h"

typedef struct HeadlabPlan {
    const char *path;            /* the checkpoint */
    const char *heads;           /* "softmax,tree:assign=brown:classes=300" */
    /* output rows of tied heads: "embedding" (a copy of it) or "drawn" */
    const char *start;
    const char *db_path, *words; /* NULL: nothing is recorded; the settings that were given */
    long        states;          /* hidden states of the training text, at most */
    double      passes;          /* over them */
    const Spec *spec;            /* of the refits, but for what a head asks for */
    MachineLock *machine;        /* asked for */
} HeadlabPlan;

/* s: the trunk and the head it was trained with. Prints a line per head; returns how many heads
 * came to no loss, which are recorded as failed. Dies with an error message */
int headlab_run(const HeadlabPlan *, Session *s, Arena *);
#endif
