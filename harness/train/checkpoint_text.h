/* SPDX-License-Identifier: GPL-3.0-or-later */
/* checkpoint_text.h -- what a checkpoint keeps of its text, as it is written; checkpoint_file.h has
 * its reading. */
#ifndef CHECKPOINT_TEXT_H
#define CHECKPOINT_TEXT_H
#include "harness/corpus/data.h"
#include "models/params.h"

enum { CHECKPOINT_TEXT_TENSORS = 2, CHECKPOINT_TEXT_META = 14 };
/* Each returns how many there are */
int checkpoint_text_tensors(Tensor *, const Corpus *, Arena *);
int checkpoint_text_meta   (const char **key_value, const Corpus *, Arena *);
#endif
