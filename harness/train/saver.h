/* SPDX-License-Identifier: GPL-3.0-or-later */
/* saver.h -- the checkpoint of a run in training (save=PATH): its place is tried before the first
 * step, and belongs to one run at a time, by a lock on PATH.lock that ends with the process. */
#ifndef SAVER_H
#define SAVER_H
#include "harness/train/session.h"
#include "harness/util/record.h"

typedef struct Saver {
    const char *path, *lock_path;       /* path "": nothing is saved */
    int         lock;
    Recorder   *rec;
} Saver;
/* NULL or an error message */
const char *saver_open (Saver *, const Spec *, Recorder *, Arena *);
/* Once everything that was recorded is stored, so that no checkpoint is ahead of its records. NULL
 * or an error message */
const char *saver_save (const Saver *, Session *);
/* On the way: a failure is a warning */
void        saver_try  (const Saver *, Session *);
void        saver_close(Saver *);
#endif
