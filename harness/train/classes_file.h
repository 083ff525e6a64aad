/* SPDX-License-Identifier: GPL-3.0-or-later */
/* classes_file.h -- classes of words that outlive the run that made them: a checkpoint has those it
 * was trained with; those that take long to make lie in the cache directory.
 *
 * As tensors: "head.classes" (V, 2) I32, place and class of every word, and "head.classes.mass" (C)
 * F64. */
#ifndef CLASSES_FILE_H
#define CLASSES_FILE_H
#include "harness/corpus/data.h"
#include "models/classes.h"

enum { CLASSES_TENSORS = 2 };
void           classes_tensors(Tensor[CLASSES_TENSORS], const Classes *, Arena *);
/* NULL and no sentence: the file has none, as those from before they were kept */
const Classes *classes_read   (const TensorFile *, Arena *, const char **why);

/* The file's name follows from everything the classes do. NULL: not there, or damaged; seconds: it
 * took to make them */
const Classes *classes_cached(const Spec *, const Exec *, const Corpus *, double *seconds, Arena *);
void classes_cache(const Classes *, const Spec *, const Exec *, const Corpus *, double seconds,
                   Arena *);

/* A head of the corpus, made with the classes given, with those of the cache, or else with its own,
 * which then are put there where a text was looked at for them. *classes: NULL if it has none;
 * *seconds: it took to look, now or when they were made, NAN where no text was looked at or nobody
 * knows */
void *classes_head(const HeadDef *, const Spec *, const Exec *, Params *, const Corpus *,
                   const Classes *given, int d, const Classes **classes, double *seconds, Arena *);
#endif
