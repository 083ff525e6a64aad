/* SPDX-License-Identifier: GPL-3.0-or-later */
/* data.h -- corpora: token files, recipes, batches.
 *
 * A token file is a 4096-byte header and little-endian uint16 ids:
 *   "86tokens" | u32 version 1 | u32 V | u64 tokens | u64 bytes of text | char vocab[32] | char
 * vocab_sha256[64] | char source_sha256[64] | char source name[256] | f64 nats per token of the
 * true model, 0: unknown | zeros It is mapped, never read whole; a wrong size, vocabulary or id is
 * refused with a sentence. Every opening looks at all ids (some 10 ms per 100 MB once cached) and
 * gives the pages back, so that a mapped corpus costs no memory. */
#ifndef DATA_H
#define DATA_H
#include "harness/corpus/vocab.h"
#include "models/spec.h"

typedef struct TokenFile {
    const char     *path, *vocab, *vocab_hash, *source, *source_hash;
    int             V;
    long            n, bytes;        /* tokens; bytes of the text they stand for (0: unknown) */
    double          floor;           /* nats per token under the true model; 0: unknown */
    const uint16_t *tok;
    void           *map;
    size_t          map_size;
} TokenFile;
/* NULL and a sentence */
TokenFile  *tokens_open (const char *path, Arena *, const char **why);
void        tokens_close(TokenFile *);

typedef struct Corpus {
    const char *name, *vocab, *why_no_text;
    /* SHA-256 of the training text, hex; "": the build says what it is (synth) */
    const char *sha;
    int         V;
    const uint16_t *train, *valid;
    long        n_train, n_valid;
    long       *freq;                /* (V) counts in train */
    double      bytes_per_token;     /* of valid; 0: unknown */
    /* nats per token of valid under the true model; NAN: unknown */
    double      floor;
    /* nats per token of valid under the unigram law of train, add-one smoothed */
    double      unigram;
    Vocab      *text;                /* NULL: ids only (synth) */
    /* 1: train lies in a file; batches give its pages back after use */
    int         mapped;
} Corpus;
/* By the settings corpus, vocab, V, corpus_seed, train_tokens, valid_tokens. Tokenizes a text
 * corpus on first use and keeps the token file in the cache directory (EIGHTYSIX_CACHE, or cache/
 * in the data directory when writable, or build/cache). NULL and a sentence in *why. Progress to
 * stderr when it takes long. train_tokens is the length of the synthetic stream; a real corpus is
 * always trained on whole. valid is cut to valid_tokens (0: all). A single text or token file is
 * its own validation set: the last 5 %. */
Corpus *corpus_open(const Spec *, Arena *, const char **why);

/* Whether corpus=NAME can be opened, without opening it: synth, files that are here, or a recipe of
 * `tokenize fetch`. NULL or an error message */
const char *corpus_check(const char *name, Arena *);

/* x, y (B*T): B windows of train at positions drawn from (seed, step, micro); y is x moved by one.
 */
void corpus_batch(const Corpus *, uint64_t seed, long step, int micro, int B, int T, int *x,
                  int *y);

/* the command `tokenize`: encode | decode | corpus | fetch; returns its exit code */
/* the table of `list corpora` */
void corpora_list(FILE *);
#endif
