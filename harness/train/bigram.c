/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/train/bigram.h"
#include <math.h>
#include <string.h>

struct Bigram {
    int       V;
    long      pairs;             /* N(..) */
    uint32_t *pair, *count;      /* (pairs) u << 16 | v, ascending */
    long     *first;             /* (V+1) where the pairs of u begin */
    long     *seen, *before;     /* (V) c(u.), N(.v) */
    double    D;
};

/* Counting sort by the 16 bits above `shift`, stable; at (65537) */
static void bigram_sort_by(uint32_t *to, const uint32_t *from, long n, int shift, long *at)
{
    memset(at, 0, sizeof *at * 65537);
    for (long i = 0; i < n; i++) at[(from[i] >> shift & 0xffff) + 1]++;
    for (int k = 0; k < 65536; k++) at[k + 1] += at[k];
    for (long i = 0; i < n; i++) to[at[from[i] >> shift & 0xffff]++] = from[i];
}

/* pair (n), sorted: moves the different ones to the front, count gets how often each was there;
 * returns how many are different */
static long bigram_unite(uint32_t *pair, uint32_t *count, long n)
{
    long m = 0;
    for (long i = 0; i < n; ) {
        long end = i;
        while (end < n && pair[end] == pair[i]) end++;
        pair[m] = pair[i];
        count[m++] = (uint32_t)(end - i);
        i = end;
    }
    return m;
}

const Bigram *bigram_make(const uint16_t *tok, long n, int V, Arena *a)
{
    CHECK(n >= 2);
    Bigram *b = arena_get(a, sizeof *b);
    const size_t words = (size_t)V, tokens = (size_t)n - 1;
    *b = (Bigram){ .V = V, .first = arena_get(a, sizeof(long) * (words + 1)) };
    b->seen = arena_get(a, sizeof(long) * words);
    b->before = arena_get(a, sizeof(long) * words);
    b->pair = arena_raw(a, sizeof(uint32_t) * tokens);
    b->count = arena_raw(a, sizeof(uint32_t) * tokens);
    const size_t mark = a->used;
    long *at = arena_raw(a, sizeof *at * 65537), once = 0, twice = 0;
    for (long i = 0; i < n - 1; i++) b->pair[i] = (uint32_t)tok[i] << 16 | tok[i + 1];
    bigram_sort_by(b->count, b->pair, n - 1, 0, at);
    bigram_sort_by(b->pair, b->count, n - 1, 16, at);
    arena_reset(a, mark);
    b->pairs = bigram_unite(b->pair, b->count, n - 1);
    for (long i = 0; i < b->pairs; i++) {
        const uint32_t u = b->pair[i] >> 16, v = b->pair[i] & 0xffff;
        b->first[u + 1]++;
        b->before[v]++;
        b->seen[u] += b->count[i];
        once += b->count[i] == 1;
        twice += b->count[i] == 2;
    }
    for (int u = 0; u < V; u++) b->first[u + 1] += b->first[u];
    b->D = (double)(once + 1) / (double)(once + 2 * twice + 2);
    return b;
}

double bigram_logp(const Bigram *b, int u, int v)
{
    const double q = (double)(b->before[v] + 1) / (double)(b->pairs + b->V);
    if (!b->seen[u]) return log(q);
    const uint32_t wanted = (uint32_t)u << 16 | (uint32_t)v;
    long low = b->first[u], high = b->first[u + 1];
    while (low < high) {
        const long middle = (low + high) / 2;
        if (b->pair[middle] < wanted) low = middle + 1;
        else high = middle;
    }
    const int found = low < b->first[u + 1] && b->pair[low] == wanted;
    const double kept = found ? (double)b->count[low] - b->D : 0;
    const double different = (double)(b->first[u + 1] - b->first[u]);
    return log((kept + b->D * different * q) / (double)b->seen[u]);
}
