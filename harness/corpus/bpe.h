/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bpe.h -- byte pair encoding: the list of merges, and merging by it. */
#ifndef BPE_H
#define BPE_H
#include "harness/corpus/vocab_parts.h"

#define BPE_NO_PAIR UINT32_MAX
#define BPE_EMPTY UINT64_MAX
enum { BPE_ID_BITS = 20, BPE_RANK_BITS = 24 };
_Static_assert(TOKEN_IDS_MOST == 1 << BPE_ID_BITS, "two ids and a rank are one word of 64 bits");
typedef struct BpeTables {
    int       byte_id[256];      /* the id of one byte */
    int      *product;           /* (merges) id of what merge number `rank` makes */
    long      merges;
    uint64_t *slot;              /* open addressing by pair: pair << BPE_RANK_BITS | rank */
    uint32_t  slots;             /* a power of two */
    int       end_of_text;       /* id of <|endoftext|>; -1: there is none */
} BpeTables;

/* its slot, or the empty one for it */
static inline uint32_t bpe_slot(const BpeTables *t, uint64_t pair)
{
    uint32_t i = (uint32_t)(pair * 0x9e3779b97f4a7c15u >> 40) & (t->slots - 1);
    while (t->slot[i] != BPE_EMPTY && t->slot[i] >> BPE_RANK_BITS != pair)
        i = (i + 1) & (t->slots - 1);
    return i;
}

static inline uint64_t bpe_pair(int left, int right)
{
    return (uint64_t)left << BPE_ID_BITS | (uint64_t)right;
}

/* its rank in the list of merges, or BPE_NO_PAIR */
static inline uint32_t bpe_rank(const BpeTables *t, int left, int right)
{
    const uint64_t slot = t->slot[bpe_slot(t, bpe_pair(left, right))];
    return slot == BPE_EMPTY ? BPE_NO_PAIR : (uint32_t)(slot & ((1u << BPE_RANK_BITS) - 1));
}

/* While two neighbours of the n symbols are in the list of merges, the pair that stands first in it
 * (leftmost on a tie) becomes one symbol; appends what is left. */
void bpe_merge(const BpeTables *, const int *symbol, size_t n, Ids *out);

/* GPT-2's tables, of vocab.bpe and encoder.json: reads both files of dir and fills V, hash and the
 * texts of ids in *v. NULL and an error message. */
BpeTables *bpe_load(const char *dir, Vocab *v, Arena *, const char **why);
#endif
