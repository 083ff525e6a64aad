/* SPDX-License-Identifier: GPL-3.0-or-later */
/* classes.h -- which words share a class of a tree of softmaxes, p(v) = p(c(v) | x) p(v | c(v), x).
 *
 * The setting assign:
 *   freq sqrt random   words by count, cut into classes of equal mass (classes.c)
 *   brown              the classes that the previous word predicts best: words are exchanged
 *                      between classes (classes_brown.c)
 *   kmeans svd         words with similar predecessors: vectors, clustered or bisected
 *                      (classes_vectors.c)
 * The mass of a word or class is its share of the training tokens. A position costs C + |c| rows.
 * Every class has a word, and at most ceil(4 V / C) of them (4: a rare class costs no more than a
 * few common ones). The `shortlist` most frequent words are in no class: they are assigned with the
 * others, as words without mass, and then taken out. */
#ifndef CLASSES_H
#define CLASSES_H
#include "models/head.h"

struct Classes {
    int     V, C;
    int    *word, *start;        /* (V) words, class after class, then the short list; (C+1) where
                                  * in word[] a class begins */
    int    *class_of, *place;    /* (V) class of a word (C: short-listed); its place in word[] */
    double *mass;                /* (C) share of the training tokens, one added to every count */
};

/* The version of the assignments, part of the key of saved classes: increment it with any change */
enum { CLASSES_VERSION = 1 };
/* C classes, 1 <= C <= V - shortlist; fewer where the short list takes all words of one. They are
 * the classes given in HeadData, if any; otherwise they follow from the settings, the text and,
 * where assign compares vectors, the kernels of Exec, but not from the number of threads. NULL and
 * an error message in *why when assign counts contexts and there is no text, or when the classes
 * given do not match the settings. */
const Classes *classes_make(const Spec *, const Exec *, const HeadData *, int C, Arena *,
                            const char **why);
/* Classes as they were saved: seat (V, 2), class and place of every word, and mass (C). NULL when
 * the numbers cannot be those of classes */
const Classes *classes_from(const int *seat, const double *mass, int V, int C, Arena *);
#endif
