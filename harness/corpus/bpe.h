/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bpe.h -- the tables of a byte-level BPE vocabulary, as vocab.bpe and encoder.json state them. */
#ifndef BPE_H
#define BPE_H
#include "harness/corpus/vocab.h"

#define BPE_NO_PAIR UINT32_MAX
typedef struct { uint32_t pair, rank; } BpeSlot;       /* rank BPE_NO_PAIR: empty */
typedef struct BpeTables {
    uint16_t  byte_id[256];      /* the id of one byte */
    uint16_t *product;           /* (merges) id of what merge number `rank` makes */
    long      merges;
    BpeSlot  *slot;              /* open addressing by pair = left << 16 | right */
    uint32_t  slots;             /* a power of two */
    int       end_of_text;       /* id of <|endoftext|>; -1: there is none */
} BpeTables;

/* its slot, or the empty one for it */
static inline uint32_t bpe_slot(const BpeTables *t, uint32_t pair)
{
    uint32_t i = pair * 0x9e3779b1u;
    i = (i ^ i >> 15) & (t->slots - 1);
    while (t->slot[i].rank != BPE_NO_PAIR && t->slot[i].pair != pair) i = (i + 1) & (t->slots - 1);
    return i;
}

static inline uint32_t bpe_rank(const BpeTables *t, int left, int right)
{
    return t->slot[bpe_slot(t, (uint32_t)left << 16 | (uint32_t)right)].rank;
}

/* Reads both files of dir and fills V, hash and the texts of ids in *v. NULL and a sentence. */
BpeTables *bpe_load(const char *dir, Vocab *v, Arena *, const char **why);
#endif
