/* SPDX-License-Identifier: GPL-3.0-or-later */
/* progress.h -- how far a long work is, on stderr: one line written over and over on a terminal, a
 * line every ten seconds elsewhere. */
#ifndef PROGRESS_H
#define PROGRESS_H

int  progress_terminal(void);
/* 1: the last line, said then, is old enough; *said is now */
int  progress_due  (double *said);
void progress_say  (const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void progress_clear(void);              /* before anything else is written, and at the end */
#endif
