/* SPDX-License-Identifier: GPL-3.0-or-later */
/* line.h -- how far a long work is, on stderr: one line written over and over on a terminal, a line every ten
 * seconds elsewhere. */
#ifndef LINE_H
#define LINE_H

int  line_terminal(void);
int  line_due  (double *said);      /* 1: the last line, said then, is old enough; *said is now */
void line_say  (const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void line_clear(void);              /* before anything else is written, and at the end */
#endif
