/* SPDX-License-Identifier: GPL-3.0-or-later */
/* trainer.h -- one cell: check, train, evaluate; writes records, knows no SQL. */
#ifndef TRAINER_H
#define TRAINER_H
#include "harness/util/exit.h"
#include "harness/util/record.h"
#include "models/spec.h"

/* Dies with an error message, or exits with EXIT_SKIP and one on stderr where this machine cannot
 * run these settings */
void train_cell(const Spec *, Recorder *);
#endif
