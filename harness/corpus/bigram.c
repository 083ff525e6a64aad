/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/corpus/bigram.h"
#include <math.h>

struct Bigram {
    int       V;
    long      pairs;             /* different ones: N(..) */
    uint32_t *next, *count;      /* (pairs) v and c(uv), those of u from first[u] on, v ascending */
    long     *first;             /* (V+1) where the pairs of u begin */
    long     *seen, *before;     /* (V) c(u.), N(.v) */
    double    D;
};

/* Two counting sorts, by v and then by u. The v that follow each u go to next (n - 1), ascending;
 * first[u] becomes the end of those of u. by_next (n - 1) and end (V + 1) are scratch. */
static void bigram_sort(Bigram *b, TokenIds tok, long n, uint32_t *by_next, long *end)
{
    for (long i = 0; i < n - 1; i++) {
        end[token_id(tok, i + 1) + 1]++;
        b->first[token_id(tok, i) + 1]++;
    }
    for (int v = 0; v < b->V; v++) {
        end[v + 1] += end[v];
        b->first[v + 1] += b->first[v];
    }
    for (long i = 0; i < n - 1; i++)
        by_next[end[token_id(tok, i + 1)]++] = (uint32_t)token_id(tok, i);
    long i = 0;
    for (int v = 0; v < b->V; v++)
        for (; i < end[v]; i++) b->next[b->first[by_next[i]]++] = (uint32_t)v;
}

/* Equal neighbours in next become one pair with its count; first[u] becomes the beginning again */
static void bigram_unite(Bigram *b)
{
    long from = 0, once = 0, twice = 0;
    for (int u = 0; u < b->V; u++) {
        const long end = b->first[u];
        b->first[u] = b->pairs;
        b->seen[u] = end - from;
        while (from < end) {
            const long start = from;
            const uint32_t v = b->next[start];
            while (from < end && b->next[from] == v) from++;
            b->next[b->pairs] = v;
            b->count[b->pairs++] = (uint32_t)(from - start);
            b->before[v]++;
            once += from - start == 1;
            twice += from - start == 2;
        }
    }
    b->first[b->V] = b->pairs;
    b->D = (double)(once + 1) / (double)(once + 2 * twice + 2);
}

const Bigram *bigram_make(TokenIds tok, long n, int V, Arena *a)
{
    CHECK(n >= 2);
    Bigram *b = arena_get(a, sizeof *b);
    const size_t words = (size_t)V, tokens = (size_t)n - 1;
    *b = (Bigram){ .V = V, .first = arena_get(a, sizeof(long) * (words + 1)) };
    b->seen = arena_get(a, sizeof(long) * words);
    b->before = arena_get(a, sizeof(long) * words);
    b->next = arena_raw(a, sizeof(uint32_t) * tokens);
    b->count = arena_raw(a, sizeof(uint32_t) * tokens);
    const size_t mark = a->used;
    /* count is not needed before the pairs are in order */
    bigram_sort(b, tok, n, b->count, arena_get(a, sizeof(long) * (words + 1)));
    arena_reset(a, mark);
    bigram_unite(b);
    return b;
}

double bigram_logp(const Bigram *b, int u, int v)
{
    const double q = (double)(b->before[v] + 1) / (double)(b->pairs + b->V);
    if (!b->seen[u]) return log(q);
    long low = b->first[u], high = b->first[u + 1];
    while (low < high) {
        const long middle = (low + high) / 2;
        if (b->next[middle] < (uint32_t)v) low = middle + 1;
        else high = middle;
    }
    const int found = low < b->first[u + 1] && b->next[low] == (uint32_t)v;
    const double kept = found ? (double)b->count[low] - b->D : 0;
    const double different = (double)(b->first[u + 1] - b->first[u]);
    return log((kept + b->D * different * q) / (double)b->seen[u]);
}
