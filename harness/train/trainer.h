/* SPDX-License-Identifier: GPL-3.0-or-later */
/* trainer.h -- one cell: check, train, evaluate; writes records, knows no SQL. */
#ifndef RUN_H
#define RUN_H
#include "harness/util/exit.h"
#include "harness/util/record.h"
#include "models/spec.h"

/* may die(); exits with EXIT_SKIP and a sentence on stderr */
void train_cell(const Spec *, Recorder *);
#endif
