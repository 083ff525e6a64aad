/* SPDX-License-Identifier: GPL-3.0-or-later */
/* why.h -- from a figure, a claim or a cell to the runs it is made from, and what has changed
 * since.
 *
 *   flag     the compiler or its flags; or the settings: its experiment has no such cell any more
 *   commit   the sources
 *   corpus   the training text
 *   host     CPU, instruction sets, cores
 *
 * A run with such a change is stale. What would refresh it is its cell, run once more; cells that
 * have an ok run of this build on this machine need not be. */
#ifndef WHY_H
#define WHY_H
#include "kernels/base.h"

typedef struct WhyQuery {
    const char *name;              /* of a figure (a view) or a claim; of a cell its label, or six
                                    * or more of the first digits of its key */
    const char *experiment;        /* whose rows a figure shows; NULL: the last that has some */
    const char *db_path;
    const char *plan, *at;         /* as in db_past; NULL */
    const char *claims_path;       /* need not be there */
} WhyQuery;
/* Prints the runs, the changes and the commands that would refresh what is stale. *code: 0 nothing
 * is stale; 1 something is, or nothing was run. NULL, or an error message. */
const char *why_report(const WhyQuery *, int *code, Arena *);
#endif
