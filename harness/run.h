/* SPDX-License-Identifier: GPL-3.0-or-later */
/* run.h -- one cell: check, train, evaluate; writes records, knows no SQL. */
#ifndef RUN_H
#define RUN_H
#include "harness/rec.h"
#include "models/spec.h"

enum { EXIT_SKIP = 77 };                       /* of a cell: what it asks for cannot run on this machine */

void run_cell(const Spec *, Rec *);            /* may die(); exits with EXIT_SKIP and a sentence on stderr */
int  cell_main    (int argc, char **argv);     /* the hidden command `cell KEY=VALUE...`: records to descriptor 3, or stdout */
int  train_main   (int argc, char **argv);
int  eval_main    (int argc, char **argv);
int  generate_main(int argc, char **argv);
#endif
