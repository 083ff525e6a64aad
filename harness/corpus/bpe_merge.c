/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Merging (bpe.h). Pairs wait in a heap ordered by (rank, position), so that n symbols cost n log n
 * however long they are:
 *
 *   symbols   l o w e r              next[] and prev[] link what is left
 *   heap      (rank of "l o", 0) (rank of "e r", 3) ... */
#include "harness/corpus/bpe.h"

enum { NONE = -1 };
typedef struct { uint64_t *heap; long heap_n; int32_t *next, *prev; int *id; } Work;

static void bpe_heap_push(Work *w, uint64_t x)
{
    long i = w->heap_n++;
    for (; i && w->heap[(i - 1) / 2] > x; i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = x;
}

static uint64_t bpe_heap_pop(Work *w)
{
    const uint64_t top = w->heap[0], x = w->heap[--w->heap_n];
    long i = 0;
    for (long c; (c = 2 * i + 1) < w->heap_n; i = c) {
        if (c + 1 < w->heap_n && w->heap[c + 1] < w->heap[c]) c++;
        if (w->heap[c] >= x) break;
        w->heap[i] = w->heap[c];
    }
    w->heap[i] = x;
    return top;
}

static void bpe_push_pair(const BpeTables *t, Work *w, int32_t i)
{
    if (i == NONE || w->next[i] == NONE) return;
    const uint32_t rank = bpe_rank(t, w->id[i], w->id[w->next[i]]);
    if (rank != BPE_NO_PAIR) bpe_heap_push(w, (uint64_t)rank << 32 | (uint32_t)i);
}

/* An entry of the heap is stale when its pair has been eaten, or is now one that makes another
 * symbol. */
static int bpe_pair_lives(const BpeTables *t, const Work *w, int32_t i, uint32_t rank)
{
    if (w->prev[i] == i || w->next[i] == NONE) return 0;
    const uint32_t now = bpe_rank(t, w->id[i], w->id[w->next[i]]);
    return now != BPE_NO_PAIR && t->product[now] == t->product[rank];
}

static void bpe_run(const BpeTables *t, Work *w, const int *id, int32_t n, Ids *out)
{
    for (int32_t i = 0; i < n; i++) {
        w->id[i] = id[i];
        w->prev[i] = i - 1;
        w->next[i] = i + 1 < n ? i + 1 : NONE;
    }
    for (int32_t i = 0; i < n; i++) bpe_push_pair(t, w, i);
    while (w->heap_n) {
        const uint64_t top = bpe_heap_pop(w);
        const int32_t i = (int32_t)(uint32_t)top;
        const uint32_t rank = (uint32_t)(top >> 32);
        if (!bpe_pair_lives(t, w, i, rank)) continue;
        const int32_t gone = w->next[i];
        w->id[i] = t->product[rank];
        w->next[i] = w->next[gone];
        if (w->next[i] != NONE) w->prev[w->next[i]] = i;
        /* a symbol that was eaten points at itself */
        w->prev[gone] = gone;
        bpe_push_pair(t, w, w->prev[i]);
        bpe_push_pair(t, w, i);
    }
    for (int32_t i = 0; i != NONE; i = w->next[i]) ids_add(out, w->id[i]);
}

void bpe_merge(const BpeTables *t, const int *symbol, size_t n, Ids *out)
{
    enum { SMALL = 256 };
    if (!n) return;
    if (n <= SMALL) {
        uint64_t heap[3 * SMALL];
        int32_t next[SMALL], prev[SMALL];
        int id[SMALL];
        bpe_run(t, &(Work){ heap, 0, next, prev, id }, symbol, (int32_t)n, out);
        return;
    }
    CHECK(n < (size_t)1 << 31);
    Arena a = arena_new(n * (3 * sizeof(uint64_t) + 2 * sizeof(int32_t) + sizeof(int)) + 4096);
    uint64_t *heap = arena_raw(&a, 3 * n * sizeof *heap);
    int32_t *next = arena_raw(&a, n * sizeof *next), *prev = arena_raw(&a, n * sizeof *prev);
    bpe_run(t, &(Work){ heap, 0, next, prev, arena_raw(&a, n * sizeof(int)) }, symbol, (int32_t)n,
            out);
    arena_drop(&a);
}
