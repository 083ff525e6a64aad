/* SPDX-License-Identifier: GPL-3.0-or-later */
/* checkpoint.h -- a session on disk: one safetensors file with the values by name, opt.m/, opt.s/
 * and ema/ beside them, classes of words as in classes_file.h, settings and clocks as metadata. A
 * file is written beside its name, synced and renamed: whole or not at all. */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H
#include "harness/train/session.h"

/* NULL or an error message */
const char *checkpoint_save(Session *, const char *path);
const char *checkpoint_load(Session *, const char *path);
/* For a command that reads a checkpoint: of words (n) one is its path, the others are settings that
 * replace its own. Dies with an error message. */
Session    *checkpoint_open(char **words, int n, const char *command, Arena *);
#endif
