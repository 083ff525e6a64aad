/* SPDX-License-Identifier: GPL-3.0-or-later */
/* classes_parts.h -- what the assignments of classes.h share. */
#ifndef CLASSES_PARTS_H
#define CLASSES_PARTS_H
#include "models/classes.h"

/* What is to be divided; by_count (V): words by falling count; share (V): of the training tokens,
 * 0 for a short-listed word */
typedef struct Lexicon {
    const HeadData *data;
    int             V, C;
    uint64_t        seed;
    const int      *by_count;
    const double   *share;
} Lexicon;

int classes_cap(int V, int C);      /* most words of a class */

/* Which classes can take a word: those below the cap, where it leaves the class at most twice an
 * equal share of the mass. A word alone always fits. So the expected |c|, the sum of mass times
 * words, is at most 2 V / C + 1, where V / C is what equal masses cost, and very frequent words
 * keep to small classes. */
typedef struct Room {
    int     C, cap, left, empty;        /* words not placed yet; classes without a word */
    int    *words;                      /* (C) */
    double *mass;                       /* (C) */
} Room;
Room room_new   (const Lexicon *, Arena *);
int  room_fits  (const Room *, int c, double share);
void room_add   (Room *, int c, double share);
void room_remove(Room *, int c, double share);
int  room_least (const Room *, double share);     /* the class to whose cost a word adds least */

/* Each writes class_of (V) */
void classes_brown (const Lexicon *, const Exec *, int *class_of, Arena *);
void classes_kmeans(const Lexicon *, const Exec *, int *class_of, Arena *);
void classes_svd   (const Lexicon *, const Exec *, int *class_of, Arena *);
#endif
