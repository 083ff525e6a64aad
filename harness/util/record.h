/* SPDX-License-Identifier: GPL-3.0-or-later */
/* record.h -- the records of a run: named numbers, texts, spans and samples, raw, never only
 * aggregates.
 *
 * A run writes its records as lines of text to a stream and flushes it at the end of every step, so
 * that everything written before a crash is kept:
 *
 *   num    NAME STEP VALUE
 *   text   KEY VALUE...                        VALUE: to the end of the line
 *   span   PHASE STEP SECONDS
 *   sample NAME ROUND POSITION NS ITERS        NS: nanoseconds of ITERS iterations together
 *
 * The sweep reads them from its child and is the only one that knows SQL. New names need no change
 * of the schema. */
#ifndef RECORD_H
#define RECORD_H
#include <stdio.h>

/* out NULL: writes nothing. stored: a descriptor from which a byte comes when what was written is
 * stored, for record_sync; 0: nobody answers */
typedef struct Recorder { FILE *out; int stored; } Recorder;
/* To whoever runs this process: descriptor 3, or stdout where there is none */
Recorder record_open(void);
void record_flush (Recorder *);
/* Flushes, and waits until all that was written is stored: the line "sync" asks for that. Some ten
 * milliseconds; after ten seconds without an answer it returns all the same */
void record_sync  (Recorder *);
/* NAME without white space */
void record_num   (Recorder *, const char *name, long step, double value);
/* text: one line */
void record_text  (Recorder *, const char *key, const char *text);
void record_span  (Recorder *, const char *phase, long step, double seconds);
void record_sample(Recorder *, const char *name, long round, long position, double ns, long iters);

/* One parsed line. kind: 'n' num, 't' text, 's' span, 'p' sample. name and text point into the
 * line, which is changed. Returns 0 when the line is not a record */
typedef struct Record {
    char kind;
    const char *name, *text;
    long step, position, iters;
    double value;
} Record;
int record_parse(char *line, Record *);
#endif
