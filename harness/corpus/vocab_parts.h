/* SPDX-License-Identifier: GPL-3.0-or-later */
/* vocab_parts.h -- what the vocabularies (vocab.c, words.c, bpe.c, pieces.c) share. Not for other
 * files. */
#ifndef VOCAB_PARTS_H
#define VOCAB_PARTS_H
#include "harness/corpus/vocab.h"
#include <string.h>

struct Vocab {
    const char     *name, *hash;
    int             V;
    const char     *text;                /* bytes of id i: text + start[i] .. text + start[i+1] */
    const uint32_t *start;               /* (V+1) */
    /* first 1: text begins here; 0: it goes on, at a place that vocab_cut allows */
    long          (*encode)(Vocab *, const char *text, size_t len, int first, int *out, long max);
    void           *own;                 /* of the kind */
    int             strips;              /* 1: a blank at the very beginning is not of the text */
    const char     *source;              /* the file that defines it, NULL: see vocab_list */
    size_t          source_len;
};

#define END_OF_TEXT "<|endoftext|>"

/* The ids given out so far: all are counted, those that fit are written. */
typedef struct { int *id; long n, max; } Ids;
static inline void ids_add(Ids *o, int id)
{
    if (o->n < o->max) o->id[o->n] = id;
    o->n++;
}

static inline int is_blank(unsigned char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static inline uint64_t bytes_hash(const char *s, size_t len)       /* FNV-1a, folded */
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++) h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

/* Whether vocab_cut may part text before byte i >= 1: a blank after what is none. */
int vocab_cuts_at(const char *text, size_t i);

/* A whole small file in the arena, ended by a zero that is not counted. NULL and an error
 * message. */
char *file_slurp(const char *path, size_t most, size_t *len, Arena *, const char **why);
#endif
