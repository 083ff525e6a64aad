/* SPDX-License-Identifier: GPL-3.0-or-later */
/* vocab.h -- text to token ids and back: GPT-2's byte-level BPE, whole or cut to its most frequent
 * ids, words of a corpus, bytes, the pieces of a published tokenizer. */
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
/* pieces: byte pair encoding of characters with bytes for those that are no piece, as published
 * with llama and MatMul-free LMs; from a tokenizer.json (pieces_load.c says which). V: ids of the
 * model, of which the last may have no piece; 0: as many as the file has */
Vocab *vocab_pieces(const char *path, long V, Arena *, const char **why);
Vocab *vocab_pieces_of(const char *json, size_t len, const char *path, long V, Arena *,
                       const char **why);
/* gpt2-top: the most frequent ids of a base and four special ones, from a list that
 * vocab_top_list made of the counts of a training text: `most` ids at most (vocab_top.c). */
Vocab *vocab_top(const char *list, size_t len, const char *path, Vocab *base, Arena *,
                 const char **why);
const char *vocab_top_list(const long *count, long most, Vocab *base, size_t *len, Arena *);
/* Its base; NULL: the vocabulary is of another kind */
Vocab *vocab_base(const Vocab *);
/* Nats that it takes to say which id of the base an <unk> stands for, by the counts of the training
 * text, plus one; 0: that id is kept. A loss with that added is one over the whole text, which can
 * be put beside those of other vocabularies. */
double vocab_naming(const Vocab *, int id);
/* words, gpt2-top: the list; pieces: the tokenizer.json; *len bytes. NULL: of the others there is
 * none */
const char *vocab_list(const Vocab *, size_t *len, Arena *);
/* words only: NULL or an error message */
const char *vocab_save(const Vocab *, const char *path);

int         vocab_size(const Vocab *);                             /* at most TOKEN_IDS_MOST */
const char *vocab_name(const Vocab *);                 /* gpt2 gpt2-top words bytes pieces */
/* SHA-256, hex, of what defines it */
const char *vocab_hash(const Vocab *);
/* The ids of a whole text to out (capacity max), returns how many it needs: more than max means out
 * was too small and nothing beyond max was written. gpt2: <|endoftext|> in the text is the special
 * token 50256. pieces: what its file puts before a text (<s>) comes first. Any bytes are accepted,
 * valid UTF-8 or not; gpt2, bytes and pieces (but for special tokens) give them back as they were,
 * words makes white space regular (words.c). One caller at a time for one Vocab: gpt2 keeps a cache
 * of pieces. */
long        vocab_encode(Vocab *, const char *text, size_t len, int *out, long max);
/* The same of a text that goes on, from where vocab_cut parted it */
long        vocab_encode_more(Vocab *, const char *text, size_t len, int *out, long max);
/* No text of len bytes has more ids */
static inline size_t vocab_room(size_t len) { return 2 * len + 4; }
/* The largest i < len so that text before and after byte i encode to the same ids apart as
 * together, whatever follows text: before a blank that follows no blank. 0 when there is none. */
size_t      vocab_cut(const char *text, size_t len);
/* The bytes of one id: *len of them, not ended by a zero. An id out of range is a bug. */
const char *vocab_bytes_of(const Vocab *, int id, size_t *len);
/* The same as part of a text: *begun is 0 before its first id. pieces: without the blank that was
 * put before the text; special tokens have no text */
const char *vocab_text_of(const Vocab *, int id, int *begun, size_t *len);
#endif
