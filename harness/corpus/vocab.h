/* SPDX-License-Identifier: GPL-3.0-or-later */
/* vocab.h -- text to token ids and back: GPT-2's byte-level BPE, words of a corpus, bytes. */
#ifndef VOCAB_H
#define VOCAB_H
#include "kernels/base.h"
#include "models/token_ids.h"

typedef struct Vocab Vocab;
/* gpt2: from vocab.bpe and encoder.json in `dir` (EIGHTYSIX_DATA/gpt2 or data/gpt2).
 * words: from a list, one word a line in id order, as vocab_save wrote it. bytes: 256 ids and
 * <|endoftext|> = 256. Each loader returns NULL and an error message (file, line, what was
 * expected) in *why; files are validated, never trusted. */
Vocab *vocab_gpt2 (const char *dir, Arena *, const char **why);
Vocab *vocab_words(const char *list, Arena *, const char **why);
Vocab *vocab_bytes(Arena *);
/* words of a text: white-space separated, a line end is <eos>; the `most` >= 2 most frequent (ties:
 * first seen first), <unk> and <eos> always among them, <unk> for the rest */
Vocab *vocab_words_build(const char *text, size_t len, long most, Arena *);
/* The same from a list in memory; path: for the error message */
Vocab *vocab_words_listed(const char *list, size_t len, const char *path, Arena *,
                          const char **why);
/* words only: the list, *len bytes */
const char *vocab_list(const Vocab *, size_t *len, Arena *);
/* words only: NULL or an error message */
const char *vocab_save(const Vocab *, const char *path);

int         vocab_size(const Vocab *);                             /* at most TOKEN_IDS_MOST */
const char *vocab_name(const Vocab *);                             /* "gpt2" "words" "bytes" */
/* SHA-256, hex, of what defines it */
const char *vocab_hash(const Vocab *);
/* Appends the ids of text to out (capacity max), returns how many it needs: more than max means out
 * was too small and nothing beyond max was written. gpt2: <|endoftext|> in the text is the special
 * token 50256. Any bytes are accepted, valid UTF-8 or not; gpt2 and bytes give them back as they
 * were, words makes white space regular (words.c). One caller at a time for one Vocab: gpt2 keeps a
 * cache of pieces. */
long        vocab_encode(Vocab *, const char *text, size_t len, int *out, long max);
/* The largest i < len so that text before and after byte i encode to the same ids apart as
 * together, whatever follows text: before a blank that follows no blank. 0 when there is none. */
size_t      vocab_cut(const char *text, size_t len);
/* The bytes of one id: *len of them, not ended by a zero. An id out of range is a bug. */
const char *vocab_bytes_of(const Vocab *, int id, size_t *len);
#endif
