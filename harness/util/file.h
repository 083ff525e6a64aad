/* SPDX-License-Identifier: GPL-3.0-or-later */
/* file.h -- files written completely or not at all: under another name, synced, renamed. */
#ifndef FILE_H
#define FILE_H
#include "kernels/base.h"
#include <stdio.h>

/* Opens PATH.new. NULL and an error message in *why. */
FILE       *file_begin (const char *path, Arena *, const char **why);
/* Closes it and renames it to PATH. NULL, or an error message: then PATH is as it was. */
const char *file_commit(FILE *, const char *path, Arena *);
/* Closes and removes it; PATH is as it was. */
void        file_cancel(FILE *, const char *path, Arena *);
#endif
