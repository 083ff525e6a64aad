/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rec.h -- what a run says of itself: named numbers, texts, spans and samples, raw, never only aggregates.
 *
 * A run writes records as text lines to a stream and flushes it at the end of every step, so that whatever it said
 * before a crash is kept:
 *   num NAME STEP VALUE      text KEY VALUE...      span PHASE STEP SECONDS      sample NAME ROUND POSITION NS ITERS
 * The sweep reads them from its child and is the only one that knows SQL. New names need no schema change. */
#ifndef REC_H
#define REC_H
#include <stdio.h>

typedef struct Rec { FILE *out; } Rec;         /* out NULL: says nothing */
void rec_flush (Rec *);
void rec_num   (Rec *, const char *name, long step, double value);       /* NAME without white space */
void rec_text  (Rec *, const char *key, const char *text);               /* to the end of the line */
void rec_span  (Rec *, const char *phase, long step, double seconds);
void rec_sample(Rec *, const char *name, long round, long position, double ns, long iters);

/* One parsed line. kind: 'n' 't' 's' 'p' (sample); name and text point into the line, which is cut. 0: not a record */
typedef struct RecLine { char kind; const char *name, *text; long step, position, iters; double value; } RecLine;
int rec_parse(char *line, RecLine *);
#endif
