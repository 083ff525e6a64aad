/* SPDX-License-Identifier: GPL-3.0-or-later */
/* watch.h -- how far sweeps of other processes have come. */
#ifndef WATCH_H
#define WATCH_H
#include "kernels/base.h"

/* Prints it; on a terminal again and again until no sweep runs, elsewhere or with once: once.
 * *code: 0 a sweep runs, or was watched to its end; 1 none runs. NULL or an error message */
const char *watch_run(const char *db_path, int once, int *code, Arena *);
#endif
