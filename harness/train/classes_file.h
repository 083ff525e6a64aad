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
/* NULL and *why NULL: the file has none, as checkpoints from before they were kept */
const Classes *classes_read   (const TensorFile *, Arena *, const char **why);

/* The file's name is a hash of everything that the classes depend on. NULL: not there, or damaged;
 * *seconds: how long it took to make them */
const Classes *classes_cached(const Spec *, const Exec *, const Corpus *, double *seconds, Arena *);
void classes_cache(const Classes *, const Spec *, const Exec *, const Corpus *, double seconds,
                   Arena *);

/* A head for the corpus, made with the classes given, else with those of the cache, else with
 * classes of its own; those that needed a pass over the text are then written to the cache.
 * *classes: NULL if the head has none. *seconds: how long that pass took, now or when the classes
 * were made; NAN: there was none, or it is unknown */
void *classes_head(const HeadDef *, const Spec *, const Exec *, Params *, const Corpus *,
                   const Classes *given, int d, const Classes **classes, double *seconds, Arena *);
#endif
