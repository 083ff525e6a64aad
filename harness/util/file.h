/* SPDX-License-Identifier: GPL-3.0-or-later */
/* file.h -- files written completely or not at all: under another name, synced, renamed; files to
 * read, which are no pipes; the end of standard output. */
#ifndef FILE_H
#define FILE_H
#include "kernels/base.h"
#include <stdio.h>

/* Opens PATH.new, a file that is not there yet: what was left there is removed, and no symbolic
 * link is followed. NULL and an error message in *why. */
FILE       *file_begin (const char *path, Arena *, const char **why);
/* Closes it and renames it to PATH. NULL, or an error message: then PATH is as it was. */
const char *file_commit(FILE *, const char *path, Arena *);
/* Closes and removes it; PATH is as it was. */
void        file_cancel(FILE *, const char *path, Arena *);
/* Opens a regular file to read. Others are refused: a pipe that nobody writes to would block for
 * ever. NULL and an error message in *why. */
FILE       *file_open  (const char *path, Arena *, const char **why);
/* NULL, or an error message: something is there that is no regular file. */
const char *file_check (const char *path, Arena *);
/* Makes a directory and those above it, as far as they are not there. */
void        file_make_directory(const char *dir, Arena *);
/* Writes out what is left of stdout. Returns `code`, or 2 after an error message when something
 * that was printed could not be written. */
int         file_end_stdout(int code);
#endif
