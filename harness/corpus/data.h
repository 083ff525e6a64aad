/* SPDX-License-Identifier: GPL-3.0-or-later */
/* data.h -- corpora: token files, recipes, batches.
 *
 * A token file is a header of 4096 bytes and the ids, everything little-endian:
 *   char[8]   "86tokens"
 *   u32       version: 1 or 2
 *   u32       V, the size of the vocabulary
 *   u64       number of tokens
 *   u64       bytes of the text they stand for; 0: unknown
 *   char[32]  name of the vocabulary
 *   char[64]  SHA-256 of the vocabulary, hex
 *   char[64]  SHA-256 of the text, hex
 *   char[256] name of the text
 *   f64       nats per token under the true model; 0: unknown
 *   u32       version 2: bytes of an id, 2 or 4; version 1: zero, ids have 2 bytes
 *   zeros to the end of the header
 * Version 1 is written where ids fit in two bytes (V <= 65536), version 2 with ids of four bytes
 * beyond. The file is mapped, never read whole; a wrong size, vocabulary or id is refused with an
 * error message. Every opening looks at all ids (some 10 ms per 100 MB once cached) and gives the
 * pages back, so that a mapped corpus costs no memory. */
#ifndef DATA_H
#define DATA_H
#include "harness/corpus/vocab.h"
#include "harness/util/record.h"
#include "models/spec.h"
#include "models/token_ids.h"

typedef struct TokenFile {
    const char     *path, *vocab, *vocab_hash, *source, *source_hash;
    int             V;
    long            n, bytes;        /* tokens; bytes of the text they stand for (0: unknown) */
    double          floor;           /* nats per token under the true model; 0: unknown */
    TokenIds        tok;
    void           *map;
    size_t          map_size;
} TokenFile;
/* NULL and an error message in *why */
TokenFile  *tokens_open (const char *path, Arena *, const char **why);
void        tokens_close(TokenFile *);

/* A corpus has three splits: what is trained on; what every choice is made by (rates, cut-offs, how
 * long to train); and what is reported, which nothing is chosen by.
 *
 *   a directory    NAME/train.txt, valid.txt and test.txt, each whole. Without test.txt it is
 *                  documents of train.txt, which are no longer trained on: a document ends with the
 *                  line <|endoftext|> (or with the text), and is test where the SHA-256 of its
 *                  bytes, a big-endian number, leaves 0 modulo 100. Its bytes are those from behind
 *                  the line that ended the one before it up to its own such line; that line is not
 *                  among them, and goes where its document goes. A text whose documents would all
 *                  be held back, or none, is trained on whole: there is no test text.
 *   a single file  of its tokens, n/20 rounded down at the end are valid, as many before them are
 *                  test, what is before these is train. (The list of vocab=words is of all of it.)
 *   token files    as either; documents cannot be seen in them, so train.tok with valid.tok and
 *                  without test.tok have no test text.
 *   synth          three streams of the language, each of a seed of its own; test is as long as
 *                  valid.
 */
typedef enum { SPLIT_TRAIN, SPLIT_VALID, SPLIT_TEST } Split;
extern const char *const split_names[3];
enum { SINGLE_HELD = 5 };            /* percent of a single file, for valid and for test */

/* A text that is only evaluated */
typedef struct HeldText {
    TokenIds    tok;
    long        n;
    /* SHA-256 of its text, however much of it is read, hex; "": the build says what it is */
    const char *sha;
    TokenIds    whole;               /* vocab=gpt2-top: the same in its base; at NULL: none */
    double      bytes_per_token;     /* 0: unknown */
    double      naming;              /* nats per token to name what is <unk> (vocab_naming); or 0 */
    double      floor;               /* nats per token under the true model; NAN: unknown */
    double      unigram;             /* under the unigram law of train, add-one smoothed */
    double      bigram, trigram;     /* set by corpus_grams: under those of train (trigram.h) */
} HeldText;

typedef struct Corpus {
    const char *name, *vocab, *why_no_text;
    /* SHA-256 of what is trained on, hex; "": the build says what it is (synth). Of a single file,
     * and of its held texts: of the hash of the whole file and the name of the split */
    const char *sha;
    const char *vocab_hash;      /* SHA-256 of the vocabulary, hex */
    int         V;
    TokenIds    train;
    long        n_train;
    HeldText    valid, test;         /* test.n 0: there is none */
    const char *why_no_test;         /* a sentence, where there is none */
    int         test_shared;         /* 1: test is held back of the file that train is of */
    long       *freq;                /* (V) counts in train */
    Vocab      *text;                /* NULL: ids only (synth) */
    /* 1: train lies in a file; batches give its pages back after use */
    int         mapped;
    /* the token files of train, valid and test; NULL: none of its own */
    TokenFile  *file[3];
} Corpus;
/* By the settings corpus, vocab, V, corpus_seed, train_tokens, valid_tokens. Tokenizes a text
 * corpus on first use and keeps the token file in the cache directory (EIGHTYSIX_CACHE, or cache/
 * in the data directory when writable, or build/cache). NULL and an error message in *why. Progress
 * to stderr when it takes long. train_tokens is the length of the synthetic stream; a real corpus
 * is always trained on whole. valid and test are cut to valid_tokens each (0: all). What is held
 * back of a single file is said on stderr, once. */
Corpus *corpus_open(const Spec *, Arena *, const char **why);

/* Where the tokens of a split are: n tokens of a file, from `first` on. n 0: there is no such
 * split, or it lies in no file */
typedef struct TokenPlace { const char *path; long first, n; } TokenPlace;
TokenPlace corpus_place(const Corpus *, Split);
/* Sets bigram and trigram of valid and test: seconds for ten million tokens the first time, in a
 * process of its own; NAN: nothing was trained on, or more than 200 million tokens */
void corpus_grams(Corpus *);
/* Bits per byte of a text on which the loss is nll nats per token, its unknown tokens named; NAN:
 * its bytes are not known */
double corpus_bits_per_byte(const HeldText *, double nll);
/* What a run says of the text that it is trained on: name, vocabulary, hashes */
void corpus_record(const Corpus *, Recorder *);

/* What a checkpoint keeps of the text it was trained on */
typedef struct TextKept {
    const char *path;            /* the checkpoint */
    const char *vocab, *vocab_hash, *sha;
    Vocab      *text;            /* NULL: why_no_text */
    const char *why_no_text;
    int         V, first;        /* first: the first token of the validation text */
    long       *freq, n_train;   /* (V) counts in the training text; n_train 0: unknown */
} TextKept;
/* A corpus in the vocabulary and with the counts that were kept. TEXT_NONE: no text is read, valid
 * is one token. TEXT_HELD: valid and test of the settings' corpus; a single file is valid as a
 * whole, unless it is the training text. What an older checkpoint, which had no test text, was
 * trained on is no test text for it. TEXT_ALL: the training text too. NULL and an error message in
 * *why */
typedef enum { TEXT_ALL, TEXT_HELD, TEXT_NONE } TextPart;
Corpus *corpus_open_kept(const Spec *, const TextKept *, TextPart, Arena *, const char **why);

/* SHA-256 of the training text of a corpus, hex, as Corpus.sha, without its tokens; "": the corpus
 * is synthetic, or its text cannot be read. Kept in the cache directory by path, size and time */
const char *corpus_text_sha(const char *name, Arena *);
/* Whether corpus=NAME can be opened, without opening it: synth, files that are here, or a recipe of
 * `tokenize fetch`. NULL or an error message */
const char *corpus_check(const char *name, Arena *);

/* x, y (B*T): B windows of train at positions drawn from (seed, step, micro); y is x moved by one.
 */
void corpus_batch(const Corpus *, uint64_t seed, long step, int micro, int B, int T, int *x,
                  int *y);

/* the table of `list corpora` */
void corpora_list(FILE *);
#endif
