/* SPDX-License-Identifier: GPL-3.0-or-later */
/* data_parts.h -- what data.c, tokens.c, text.c, files.c, fetch.c and tokenize.c share. Not for
 * other files. */
#ifndef DATA_PARTS_H
#define DATA_PARTS_H
#include "harness/corpus/data.h"

/* --- tokens.c: writing token files */
typedef struct TokenWriter TokenWriter;
/* A file beside path, under another name, for ids of a vocabulary of V. NULL and an error
 * message. */
TokenWriter *tokens_begin (const char *path, int V, Arena *, const char **why);
void         tokens_add   (TokenWriter *, const int *id, long n);     /* each below V */
/* The header from bytes, floor, vocab, vocab_hash, source, source_hash of head; synced and renamed:
 * the file is whole or it is not there. NULL, or an error message; the writer is gone either way.
 * head NULL: nothing is kept. */
const char  *tokens_commit(TokenWriter *, const TokenFile *head);
/* Gives back the pages of tokens first .. last-1 of the n mapped at all, and those a fault mapped
 * around them. */
void         tokens_leave (TokenIds all, long n, long first, long last);

/* --- text.c: reading text, plain or .xz, "-" for standard input, a piece at a time */
typedef struct Text Text;
Text       *text_open (const char *path, Arena *, const char **why);
/* The next piece, about 1 MB, ended where vocab_cut allows or by the end of the text; it is good
 * until the next call. 0 at the end; -1 and an error message. */
long        text_piece(Text *, const char **piece, const char **why);
/* Bytes [from, to) of a text */
typedef struct TextRange { long from, to; } TextRange;
/* Before the first piece: from now on the text is these parts of it, in rising order, one after the
 * other, so that a hash is of them too. The array is not copied. */
void        text_keep (Text *, const TextRange *part, long parts);
double      text_done (const Text *);                    /* 0..1 of the file, as far as known */
long        text_bytes(const Text *);                    /* so far, uncompressed */
/* SHA-256 of all bytes read; ends the counting */
const char *text_hash (Text *, char out[65]);
void        text_close(Text *);

/* --- documents.c: the documents of a text and those of them that are the test text (data.h) */
typedef struct Documents {
    long       documents, held;           /* all; those held back; 0: the text cannot be divided */
    TextRange *train, *test;              /* their bytes, with the lines that end them */
    long       trains, tests;
} Documents;
Documents  *documents_find(const char *path, Arena *, const char **why);

/* --- files.c: from the name of a corpus to its files */
typedef struct Source {
    const char *name, *vocab;             /* vocab: what the corpus asks for */
    const char *path[3];                  /* train, valid, test; NULL: there is none */
    int         tokens;                   /* 1: path[] are token files */
    /* 1: train and test are documents of path[SPLIT_TRAIN], found when they are asked for */
    int         by_documents;
    Documents  *documents;
} Source;
Source     *source_find(const char *corpus, Arena *, const char **why);
/* Opens the text of a split, which has one: what is held back of it is left out */
Text       *source_open(Source *, Split, Arena *, const char **why);
/* What a cached file of a split was made by, besides `how`: for files_key_of */
const char *source_how (const Source *, Split, const char *how, Arena *);
/* The SHA-256 of a split of a single file whose own is sha; held: percent that it gives away to
 * validation and test */
const char *source_share_sha(const char *sha, Split, int held, Arena *);
/* Of that: 10, or 5 where the test text is a file of its own; 0: not a single file */
int         source_held(const Source *);
/* SHA-256 of the text of train, hex; whole 1: of all of it, whatever is held back. NULL: it cannot
 * be read */
const char *source_sha (Source *, int whole, Arena *);
Vocab      *gpt2_find (Arena *, const char **why);       /* vocab_gpt2 of data_find("gpt2") */
Vocab      *pieces_find(Arena *, const char **why);      /* of pieces/tokenizer.json there */

/* A corpus as token files, those that are missing made now; file[i] NULL: there is no such split.
 * seconds[i]: how long that took; 0: it was there. */
typedef struct Files {
    Source       *source;
    TokenFile    *file[3];
    TokenFile    *whole[3];               /* gpt2-top: the same texts in its base, id by id */
    double        seconds[3];
    Vocab        *vocab;                  /* NULL: why_no_text says why */
    const char   *why_no_text;
} Files;
/* 12 hex digits of what a cached file was made from: a path, its size and time, and how */
const char *files_key_of(const char *source, const char *how, Arena *);
Files *files_open(const char *corpus, const char *vocab, long V, Arena *, const char **why);
/* The same in the vocabulary of a checkpoint; held_only 1: without the training text, where there
 * is a validation text */
Files *files_open_kept(const char *corpus, const TextKept *, int held_only, Arena *,
                       const char **why);

/* --- synth_file.c */
/* The token file of a stream of the synthetic language, made now when it is missing. */
TokenFile *synth_file(int V, uint64_t seed, int stream, long n, Arena *, const char **why);

/* --- fetch.c: recipes of public corpora, recipes.def */
typedef struct Recipe {
    /* file: under the data directory; sha256 "": not known here */
    const char *name, *file, *url, *sha256;
    const char *then;                         /* what is left to do by hand; "" */
    const char *vocab;                        /* what the corpus asks for; "" for no corpus */
} Recipe;
extern const Recipe recipes[];                /* ended by a NULL name; one line per file */
#endif
