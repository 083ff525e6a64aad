/* SPDX-License-Identifier: GPL-3.0-or-later */
/* classes_parts.h -- what the assignments of classes.h share. */
#ifndef CLASSES_PARTS_H
#define CLASSES_PARTS_H
#include "models/classes.h"

/* What is divided into classes. by_count (V): words by falling count; share (V): a word's share of
 * the training tokens, 0 if it is short-listed */
typedef struct Lexicon {
    const HeadData *data;
    int             V, C;
    uint64_t        seed;
    const int      *by_count;
    const double   *share;
} Lexicon;

int classes_cap(int V, int C);      /* most words of a class */

/* Which classes can take one more word: those below the cap whose mass then is at most twice an
 * equal share; a word alone always fits. So the expected |c|, the sum of mass times words, is at
 * most 2 V / C + 1 (equal masses and sizes would cost V / C), and very frequent words are in small
 * classes. */
typedef struct Room {
    int     C, cap, left, empty;        /* left: words not placed yet; empty: classes without one */
    int    *words;                      /* (C) */
    double *mass;                       /* (C) */
} Room;
Room room_new   (const Lexicon *, Arena *);
int  room_fits  (const Room *, int c, double share);
void room_add   (Room *, int c, double share);
void room_remove(Room *, int c, double share);
int  room_least (const Room *, double share);     /* the class whose cost a word raises least */

/* Each writes class_of (V) */
void classes_brown (const Lexicon *, const Exec *, int *class_of, Arena *);
void classes_kmeans(const Lexicon *, const Exec *, int *class_of, Arena *);
void classes_svd   (const Lexicon *, const Exec *, int *class_of, Arena *);
#endif
