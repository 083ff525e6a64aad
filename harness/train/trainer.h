/* SPDX-License-Identifier: GPL-3.0-or-later */
/* trainer.h -- one cell: check, train, evaluate; writes records, knows no SQL. */
#ifndef TRAINER_H
#define TRAINER_H
#include "harness/util/exit.h"
#include "harness/util/record.h"
#include "models/spec.h"

/* The shape of one step: sequences and tokens of each, micro-batches; 1: the embedding is frozen */
typedef struct TrainerStep { int B, T, accum, frozen; } TrainerStep;
/* From batch, seq, accum, freeze; phases=v3: FlashLM v3's T 64, 128, 256, accumulation 4, at T 256
 * 8, the embedding frozen at first (its notebook) */
TrainerStep trainer_step_plan(const Spec *, long step);

/* Trains and evaluates what the settings say; may die(); exits with EXIT_SKIP and a message on
 * stderr */
void train_cell(const Spec *, Recorder *);
#endif
