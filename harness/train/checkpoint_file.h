/* SPDX-License-Identifier: GPL-3.0-or-later */
/* checkpoint_file.h -- what a checkpoint says of itself, without a session: its settings, its
 * metadata, its classes of words. checkpoint.h says what the file is. */
#ifndef CHECKPOINT_FILE_H
#define CHECKPOINT_FILE_H
#include "harness/corpus/data.h"
#include "models/classes.h"
#include "models/params.h"
#include "models/spec.h"

/* The file, its tensors aligned as their type asks for. NULL and an error message in *why */
TensorFile *checkpoint_file_open(const char *path, Arena *, const char **why);

/* Each returns NULL or an error message that names the file. */

/* The metadata of a key ("gemm", "cutoffs"); *value NULL: there is none */
const char *checkpoint_meta(const char *path, const char *key, const char **value, Arena *);
/* The classes of words that it was trained with; *classes NULL: it has none */
const char *checkpoint_classes(const char *path, const Classes **classes, Arena *);
/* Whether its embedding, of this name, is of V words of the corpus */
const char *checkpoint_check_words(const char *path, const char *embedding, int V,
                                   const char *corpus, Arena *);
/* What it keeps of its text; kept->vocab NULL: nothing, it is older */
const char *checkpoint_text(const char *path, TextKept *kept, Arena *);
/* The settings that it was trained with, set into *spec, with cutoffs=auto resolved */
const char *checkpoint_spec(const char *path, Spec *, Arena *);
/* "k=v k=v" as a checkpoint stores them, set into *spec */
const char *checkpoint_read_settings(Spec *, const char *path, const char *text, Arena *);
#endif
