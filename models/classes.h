/* SPDX-License-Identifier: GPL-3.0-or-later */
/* classes.h -- which words share a class of a two-level softmax, p(v) = p(c(v) | x) p(v | c(v), x).
 *
 * By the setting assign:
 *   freq sqrt random   words by count, cut into classes of equal mass (classes.c)
 *   brown              the classes that a predecessor foretells best: exchange of words (classes_brown.c)
 *   kmeans svd         words with like predecessors: vectors, clustered or bisected (classes_vectors.c)
 * A position costs C + |c| rows. Every class has a word, and at most ceil(4 V / C) of them (4: a rare class
 * costs no more than a few common ones). */
#ifndef CLASSES_H
#define CLASSES_H
#include "models/head.h"

typedef struct Classes {
    int     V, C, most;          /* most: words of the largest class */
    int    *word, *start;        /* (V) words class after class; (C+1) where a class begins in it */
    int    *class_of, *place;    /* (V) of a word: its class, its place in word[] */
    double *mass;                /* (C) share of the training tokens, one added to every count */
    double  rows;                /* expected |c| of a position */
} Classes;

/* 1 <= C <= V. Follows from the settings and the text alone, whatever the number of threads. Dies with a
 * sentence when assign looks at contexts and there is no text. */
const Classes *classes_make(const Spec *, const Exec *, const HeadData *, int C, Arena *);
#endif
