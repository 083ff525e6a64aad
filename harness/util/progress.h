/* SPDX-License-Identifier: GPL-3.0-or-later */
/* progress.h -- the progress of long work, on stderr: on a terminal one line that is rewritten,
 * elsewhere a line every ten seconds. */
#ifndef PROGRESS_H
#define PROGRESS_H

int  progress_terminal(void);
/* 1: the last line, written at *said, is old enough for the next; *said becomes now */
int  progress_due  (double *said);
void progress_say  (const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void progress_clear(void);              /* before anything else is written, and at the end */
#endif
