/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/corpus/trigram.h"
#include <math.h>
#include <string.h>

enum { ID_BITS = 20, DIGIT = 16 };
_Static_assert(TOKEN_IDS_MOST == 1 << ID_BITS, "three ids fit in a key");

/* Counts by context: those of context i are [first[i], first[i+1]), with their ends ascending */
typedef struct Counts {
    long      contexts, n;
    long     *first, *total;         /* (contexts + 1), (contexts) the sum of its counts */
    uint32_t *end, *count;           /* (n) */
    double    D;
} Counts;

struct Trigram {
    int       V;
    Counts    pair, triple;          /* contexts: v; and the pairs uv, which are */
    long     *u;                     /* (V + 1) those of u: [u[u], u[u+1]) */
    uint32_t *v;                     /* (triple.contexts) with v ascending */
    long     *before;                /* (V) N(.w) */
};

/* Keys (n) in rising order, of which only `bits` differ; scratch (n) */
static void trigram_sort(uint64_t *key, long n, int bits, uint64_t *scratch, Arena *a)
{
    const size_t used = a->used;
    long *at = arena_raw(a, sizeof *at << DIGIT);
    uint64_t *from = key, *to = scratch;
    for (int shift = 0; shift < bits; shift += DIGIT) {
        const uint64_t mask = (1 << DIGIT) - 1;
        memset(at, 0, sizeof *at << DIGIT);
        for (long i = 0; i < n; i++) at[from[i] >> shift & mask]++;
        for (long d = 0, sum = 0; d < 1 << DIGIT; d++) {
            const long here = at[d];
            at[d] = sum;
            sum += here;
        }
        for (long i = 0; i < n; i++) to[at[from[i] >> shift & mask]++] = from[i];
        uint64_t *const other = from;
        from = to;
        to = other;
    }
    if (from != key) memcpy(key, from, sizeof *key * (size_t)n);
    arena_reset(a, used);
}

static Counts trigram_counts(long contexts, long n, Arena *a)
{
    return (Counts){ .contexts = contexts,
                     .first = arena_get(a, sizeof(long) * ((size_t)contexts + 1)),
                     .total = arena_get(a, sizeof(long) * (size_t)contexts),
                     .end = arena_raw(a, sizeof(uint32_t) * (size_t)n),
                     .count = arena_raw(a, sizeof(uint32_t) * (size_t)n) };
}

/* Sorted keys become different ones with their numbers; returns how many */
static long trigram_unite(uint64_t *key, long n, uint32_t *count)
{
    long m = 0;
    for (long i = 0; i < n; i++) {
        if (m && key[m - 1] == key[i]) count[m - 1]++;
        else {
            key[m] = key[i];
            count[m++] = 1;
        }
    }
    return m;
}

static void trigram_discount(Counts *c)
{
    long once = 0, twice = 0;
    for (long i = 0; i < c->n; i++) {
        once += c->count[i] == 1;
        twice += c->count[i] == 2;
    }
    c->D = (double)(once + 1) / (double)(once + 2 * twice + 2);
}

/* Different triples in rising order become counts by pairs, and these by u */
static void trigram_take_triples(Trigram *t, const uint64_t *key)
{
    const uint64_t id = (1 << ID_BITS) - 1;
    Counts *c = &t->triple;
    long contexts = 0;
    for (long i = 0; i < c->n; i++) {
        if (!i || key[i] >> ID_BITS != key[i - 1] >> ID_BITS) {
            t->v[contexts] = (uint32_t)(key[i] >> ID_BITS & id);
            t->u[(key[i] >> 2 * ID_BITS) + 1]++;
            c->first[contexts++] = i;
        }
        c->end[i] = (uint32_t)(key[i] & id);
        c->total[contexts - 1] += c->count[i];
    }
    c->first[contexts] = c->n;
    c->contexts = contexts;
    for (int u = 0; u < t->V; u++) t->u[u + 1] += t->u[u];
}

static void trigram_take_pairs(Trigram *t, const uint64_t *key)
{
    const uint64_t id = (1 << ID_BITS) - 1;
    Counts *c = &t->pair;
    for (long i = 0; i < c->n; i++) {
        const long v = (long)(key[i] >> ID_BITS);
        c->first[v + 1] = i + 1;
        c->end[i] = (uint32_t)(key[i] & id);
        c->total[v] += c->count[i];
        t->before[key[i] & id]++;
    }
    for (int v = 0; v < t->V; v++)
        if (c->first[v + 1] < c->first[v]) c->first[v + 1] = c->first[v];
}

const Trigram *trigram_make(TokenIds tok, long n, int V, Arena *a)
{
    CHECK(n >= 3 && V <= TOKEN_IDS_MOST);
    const long triples = n - 2;
    const size_t bytes = sizeof(uint64_t) * (size_t)triples;
    Trigram *t = arena_get(a, sizeof *t);
    *t = (Trigram){ .V = V,
                    .triple = trigram_counts(triples, triples, a),
                    .pair = trigram_counts(V, triples, a),
                    .u = arena_get(a, sizeof(long) * ((size_t)V + 1)),
                    .v = arena_raw(a, sizeof(uint32_t) * (size_t)triples),
                    .before = arena_get(a, sizeof(long) * (size_t)V) };
    const size_t used = a->used;
    uint64_t *key = arena_raw(a, bytes), *scratch = arena_raw(a, bytes);
    for (long i = 0; i < triples; i++)
        key[i] = (uint64_t)token_id(tok, i) << 2 * ID_BITS |
                 (uint64_t)token_id(tok, i + 1) << ID_BITS | (uint64_t)token_id(tok, i + 2);
    trigram_sort(key, triples, 3 * ID_BITS, scratch, a);
    t->triple.n = trigram_unite(key, triples, t->triple.count);
    trigram_take_triples(t, key);
    for (long i = 0; i < t->triple.n; i++) key[i] &= ((uint64_t)1 << 2 * ID_BITS) - 1;
    trigram_sort(key, t->triple.n, 2 * ID_BITS, scratch, a);
    t->pair.n = trigram_unite(key, t->triple.n, t->pair.count);
    trigram_take_pairs(t, key);
    arena_reset(a, used);
    trigram_discount(&t->triple);
    trigram_discount(&t->pair);
    return t;
}

/* The place of x among ascending values [low, high); -1: it is not there */
static long trigram_find(const uint32_t *value, long low, long high, int x)
{
    const long most = high;
    while (low < high) {
        const long middle = low + (high - low) / 2;
        if (value[middle] < (uint32_t)x) low = middle + 1;
        else high = middle;
    }
    return low < most && value[low] == (uint32_t)x ? low : -1;
}

/* By the counts of a context, and by q where they leave something over */
static double trigram_mix(const Counts *c, long context, int w, double q)
{
    const long first = c->first[context], end = c->first[context + 1],
               at = trigram_find(c->end, first, end, w);
    const double kept = at < 0 ? 0 : (double)c->count[at] - c->D;
    return (kept + c->D * (double)(end - first) * q) / (double)c->total[context];
}

double trigram_logp(const Trigram *t, int u, int v, int w)
{
    double p = (double)(t->before[w] + 1) / (double)(t->pair.n + t->V);
    if (t->pair.total[v]) p = trigram_mix(&t->pair, v, w, p);
    const long context = trigram_find(t->v, t->u[u], t->u[u + 1], v);
    return log(context < 0 ? p : trigram_mix(&t->triple, context, w, p));
}
