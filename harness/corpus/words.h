/* SPDX-License-Identifier: GPL-3.0-or-later */
/* words.h -- counting the words of a text too large to hold: add pieces that end at white space,
 * then take the list. */
#ifndef WORDS_H
#define WORDS_H
#include "harness/corpus/vocab.h"

typedef struct WordCount WordCount;
WordCount *words_count_new(Arena *);                     /* keeps its words in this arena */
void       words_count_add(WordCount *, const char *text, size_t len);
Vocab     *words_count_vocab(WordCount *, long most, Arena *to);
#endif
