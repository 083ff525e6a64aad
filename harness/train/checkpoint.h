/* SPDX-License-Identifier: GPL-3.0-or-later */
/* checkpoint.h -- a session on disk: one safetensors file with the values by name, opt.m/, opt.s/
 * and ema/ beside them, classes of words as in classes_file.h, vocabulary and counts as in
 * checkpoint_text.h, settings and clocks as metadata. A file is written beside its name, synced and
 * renamed: whole or not at all. */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H
#include "harness/train/session.h"

/* NULL or an error message */
const char *checkpoint_save(Session *, const char *path);
const char *checkpoint_load(Session *, const char *path);
/* What a command that reads a checkpoint is given: of words (n) one is its path, the others are
 * settings, each at most once, that replace its own. */
typedef struct CheckpointWords {
    const char  *path;
    const Spec  *stored;         /* the settings of the checkpoint */
    const char **word;           /* (words) "key=value", checked */
    int          words;
} CheckpointWords;
/* NULL or an error message that names the command */
const char *checkpoint_words(CheckpointWords *, char *const *words, int n, const char *command,
                             Arena *);
/* The session of these words, for evaluation and decoding. Dies with an error message. */
Session    *checkpoint_open(char *const *words, int n, const char *command, SessionUse, Arena *);
#endif
