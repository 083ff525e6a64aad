/* SPDX-License-Identifier: GPL-3.0-or-later */
/* classes.h -- which words share a class of a tree of softmaxes, p(v) = p(c(v) | x) p(v | c(v), x).
 *
 * By the setting assign:
 *   freq sqrt random   words by count, cut into classes of equal mass (classes.c)
 *   brown              the classes that the previous word predicts best: words are exchanged
 *                      between classes (classes_brown.c)
 *   kmeans svd         words with similar predecessors: vectors, clustered or bisected
 *                      (classes_vectors.c)
 * A position costs C + |c| rows. Every class has a word, and at most ceil(4 V / C) of them (4: a
 * rare class costs no more than a few common ones). The `shortlist` most frequent words are in
 * no class: they are assigned with the others, as words without mass, and then taken out. */
#ifndef CLASSES_H
#define CLASSES_H
#include "models/head.h"

struct Classes {
    int     V, C;
    int    *word, *start;        /* (V) words class after class, then the short list; (C+1) where
                                  * a class begins in word[] */
    int    *class_of, *place;    /* (V) of a word: its class (C: short-listed), place in word[] */
    double *mass;                /* (C) share of the training tokens, one added to every count */
};

/* The version of the assignments, part of the key of saved classes: increment it with any change */
enum { CLASSES_VERSION = 1 };
/* 1 <= C <= V - shortlist; fewer are made where all words of one are short-listed. The
 * classes given in HeadData, if any; otherwise they follow from the settings, the text and, where
 * assign looks at vectors, the arithmetic of Exec, on any number of threads. NULL and an error
 * message in *why when assign looks at contexts and there is no text, or when those given are
 * not of these settings. */
const Classes *classes_make(const Spec *, const Exec *, const HeadData *, int C, Arena *,
                            const char **why);
/* The classes of seat (V, 2), place and class of every word, and mass (C), as they were saved;
 * NULL: no classes are laid out so */
const Classes *classes_from(const int *seat, const double *mass, int V, int C, Arena *);
#endif
