/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pieces.h -- the tables of a published tokenizer, as its tokenizer.json states them. */
#ifndef PIECES_H
#define PIECES_H
#include "harness/corpus/bpe.h"

#define PIECES_BLANK "\xe2\x96\x81"      /* U+2581, which stands for a blank in pieces */
enum { PIECES_BLANK_BYTES = 3, PIECES_FIRST = 2 };

/* What is put before a stretch of text (between added tokens) that is not empty: a blank; or one
 * where it does not begin with one, of every stretch or only at the beginning of the text */
typedef enum { PIECES_NEVER, PIECES_PREPEND, PIECES_ALWAYS, PIECES_START } PiecesPrefix;

typedef struct { const char *text; size_t len; int id; } AddedToken;
/* Added tokens, found in the text before anything else; the longest that begins at a place */
typedef struct { AddedToken *token; long n; char begins[256]; } AddedTokens;

typedef struct Pieces {
    BpeTables   *tables;                 /* byte_id: of <0x00> to <0xFF> */
    uint32_t    *character;              /* open addressing: a character's bytes, 0: empty */
    int         *character_id;
    uint32_t     slots;                  /* a power of two */
    PiecesPrefix prefix;
    int          words;                  /* 1: no piece spans the beginning of a blank */
    /* as written; as they are after blanks are replaced and a blank is put before them */
    AddedTokens  plain, normalized;
    int          first[PIECES_FIRST], firsts;    /* what comes before every text */
} Pieces;

/* Slot of a character of n <= 4 bytes, or the empty one for it */
static inline uint32_t pieces_slot(const Pieces *p, uint32_t key)
{
    uint32_t i = (key * 0x9e3779b1u >> 7) & (p->slots - 1);
    while (p->character[i] && p->character[i] != key) i = (i + 1) & (p->slots - 1);
    return i;
}

static inline uint32_t pieces_key(const char *s, size_t n)
{
    uint32_t key = 0;
    memcpy(&key, s, n);
    return key;
}

/* Bytes of the UTF-8 character at s, of n >= 1 bytes; 0: none begins there */
size_t      pieces_character(const char *s, size_t n);
/* Fills V, strips and the texts of ids in *v. NULL or an error message */
const char *pieces_load(Pieces *, Vocab *v, const char *json, size_t len, const char *path, long V,
                        Arena *);
#endif
