/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Words ordered by falling key and cut into classes of equal mass:
 *
 *   assign    key               mass of a word
 *   freq      count             count + 1
 *   sqrt      count             sqrt(count + 1)
 *   random    a random number   1: equal sizes
 *
 * Equal mass alone would put thousands of rare words into each of the last classes: hence the cap
 * on words. */
#include "models/classes_parts.h"
#include <math.h>
#include <string.h>

int classes_cap(int V, int C) { return (int)((4L * V + C - 1) / C); }

/* ---- room in classes ---- */

Room room_new(const Lexicon *l, Arena *a)
{
    return (Room){ l->C,
                   classes_cap(l->V, l->C),
                   l->V,
                   l->C,
                   arena_get(a, sizeof(int) * (size_t)l->C),
                   arena_get(a, sizeof(double) * (size_t)l->C) };
}

int room_fits(const Room *r, int c, double share)
{
    if (!r->words[c]) return 1;
    if (r->left && r->left == r->empty) return 0;   /* every word left must fill an empty class */
    return r->words[c] < r->cap && (r->mass[c] + share) * r->C <= 2;
}

void room_add(Room *r, int c, double share)
{
    r->empty -= !r->words[c]++;
    r->mass[c] += share;
    r->left--;
}

void room_remove(Room *r, int c, double share)
{
    r->empty += !--r->words[c];
    r->mass[c] -= share;
    r->left++;
}

int room_least(const Room *r, double share)
{
    const int forced = r->left == r->empty;
    double least = INFINITY;
    int best = -1;
    for (int c = 0; c < r->C; c++) {
        const double more = (r->mass[c] + share) * (r->words[c] + 1) - r->mass[c] * r->words[c];
        if (r->words[c] >= r->cap || (forced && r->words[c]) || more >= least) continue;
        least = more;
        best = c;
    }
    CHECK(best >= 0);
    return best;
}

/* ---- by count ---- */

static double classes_mass_of(const Lexicon *l, const Spec *s, int v)
{
    const double n = (double)l->data->freq[v] + 1;
    if (l->share[v] == 0) return 0;
    return spec_is(s, "assign", "freq") ? n : spec_is(s, "assign", "sqrt") ? sqrt(n) : 1;
}

/* Cuts word (V) into C classes: each takes words while that brings its mass nearer to an equal
 * share of what is left. Masses fall, so that share of the mass is at most the same share of the
 * words: the cap only matters for what must be left for later classes. */
static void classes_cut(const Lexicon *l, const Spec *s, const int *word, int *class_of)
{
    const int V = l->V, C = l->C, cap = classes_cap(V, C);
    double left = 0;
    for (int i = 0; i < V; i++) left += classes_mass_of(l, s, word[i]);
    for (int c = 0, i = 0; c < C; c++) {
        const int after = C - c - 1, words = V - i;
        const long need = words - (long)after * cap;
        const int least = need > 1 ? (int)need : 1;
        const double share = left / (after + 1);
        double mass = 0;
        int size = 0;
        while (size < words - after) {
            const double m = classes_mass_of(l, s, word[i]);
            if (size >= least && mass + m / 2 > share) break;
            mass += m;
            class_of[word[i]] = c;
            size++;
            i++;
        }
        left -= mass;
    }
}

/* word (V): the words in the order of the key */
static void classes_by_key(const Lexicon *l, const Spec *s, int *word, int *class_of, Arena *a)
{
    Rng rng = rng_at(l->seed, STREAM_TREE, 0);
    const size_t words = (size_t)l->V, mark = a->used;
    HeadRank *rank = arena_raw(a, sizeof *rank * words);
    long *key = arena_raw(a, sizeof *key * words);
    const int drawn = spec_is(s, "assign", "random");
    for (int v = 0; v < l->V; v++) key[v] = drawn ? (long)(rng_u64(&rng) >> 1) : l->data->freq[v];
    head_rank(rank, key, l->V);
    for (int v = 0; v < l->V; v++) word[v] = rank[v].word;
    classes_cut(l, s, word, class_of);
    arena_reset(a, mark);
}

/* ---- the classes ---- */

static Lexicon classes_lexicon(const Spec *s, const HeadData *d, int C, Arena *a)
{
    const long shortlist = spec_int(s, "shortlist");
    const size_t words = (size_t)d->V;
    int *by_count = arena_raw(a, sizeof *by_count * words);
    double *share = arena_raw(a, sizeof *share * words), total = 0;
    const size_t mark = a->used;
    HeadRank *rank = arena_raw(a, sizeof *rank * words);
    head_rank(rank, d->freq, d->V);
    for (int v = 0; v < d->V; v++) {
        by_count[v] = rank[v].word;
        total += (double)d->freq[v] + 1;
    }
    for (int v = 0; v < d->V; v++) share[v] = ((double)d->freq[v] + 1) / total;
    for (long i = 0; i < shortlist; i++) share[by_count[i]] = 0;
    arena_reset(a, mark);
    return (Lexicon){ d, d->V, C, (uint64_t)spec_int(s, "seed"), by_count, share };
}

/* Closes the classes that have lost all their words to the short list. The short list itself counts
 * as one more class, the last */
static void classes_close_empty(Classes *k, const Lexicon *l, Arena *a)
{
    const size_t mark = a->used;
    int *number = arena_get(a, sizeof *number * (size_t)k->C), C = 0;
    for (int v = 0; v < k->V; v++)
        if (l->share[v] > 0) number[k->class_of[v]] = 1;
    for (int c = 0; c < k->C; c++)
        if (number[c]) number[c] = C++;
    for (int v = 0; v < k->V; v++) k->class_of[v] = l->share[v] > 0 ? number[k->class_of[v]] : C;
    k->C = C;
    arena_reset(a, mark);
}

/* Lists the words of every class, in the order of `order` (V) */
static void classes_list(Classes *k, const Lexicon *l, const int *order)
{
    for (int v = 0; v < k->V; v++) k->start[k->class_of[v] + 1]++;
    for (int c = 0; c <= k->C; c++) k->start[c + 1] += k->start[c];
    for (int i = 0; i < k->V; i++) {
        const int v = order[i], c = k->class_of[v];
        k->place[v] = k->start[c]++;
        k->word[k->place[v]] = v;
        k->mass[c] += l->share[v];
    }
    for (int c = k->C; c > 0; c--) k->start[c] = k->start[c - 1];
    k->start[0] = 0;
    for (int c = 0; c < k->C; c++) CHECK(k->start[c + 1] > k->start[c]);
}

static Classes *classes_new(int V, int C, Arena *a)
{
    const size_t ints = sizeof(int) * (size_t)V;
    Classes *k = arena_get(a, sizeof *k);
    *k = (Classes){ .V = V,
                    .C = C,
                    .word = arena_raw(a, ints),
                    .class_of = arena_raw(a, ints),
                    .place = arena_raw(a, ints),
                    .start = arena_get(a, sizeof(int) * (size_t)(C + 2)),
                    .mass = arena_get(a, sizeof(double) * (size_t)(C + 1)) };
    return k;
}

const Classes *classes_from(const int *seat, const double *mass, int V, int C, Arena *a)
{
    if (C < 1 || C > V) return NULL;
    Classes *k = classes_new(V, C, a);
    memset(k->word, -1, sizeof *k->word * (size_t)V);
    for (int v = 0; v < V; v++) {
        const int place = seat[2 * v];
        if (place < 0 || place >= V || k->word[place] >= 0) return NULL;
        k->word[place] = v;
        k->place[v] = place;
        k->class_of[v] = seat[2 * v + 1];
    }
    int classes = 0;
    for (int i = 0; i < V; i++) {
        const int c = k->class_of[k->word[i]];
        if (c == classes && c <= C) k->start[classes++] = i;
        else if (!classes || c != classes - 1) return NULL;
    }
    if (classes < C) return NULL;
    for (int c = classes; c <= C + 1; c++) k->start[c] = V;
    memcpy(k->mass, mass, sizeof *mass * (size_t)C);
    return k;
}

static const Classes *classes_given(const Classes *k, int V, int C, int shortlist, Arena *a,
                                    const char **why)
{
    const int listed = k->V - k->start[k->C];
    if (k->V == V && listed == shortlist && k->C <= C && (shortlist || k->C == C)) return k;
    *why = arena_text(a, "the classes kept are %d, of %d words beside %d short-listed; "
                         "expected %d, of %d beside %d", k->C, k->V - listed, listed, C,
                      V - shortlist, shortlist);
    return NULL;
}

/* The assignments that count contexts */
static const struct {
    const char *name;
    void      (*assign)(const Lexicon *, const Exec *, int *class_of, Arena *);
} classes_by_context[] = {
    { "brown", classes_brown }, { "kmeans", classes_kmeans }, { "svd", classes_svd }, { NULL, NULL }
};

const Classes *classes_make(const Spec *s, const Exec *e, const HeadData *d, int C, Arena *a,
                            const char **why)
{
    const size_t ints = sizeof(int) * (size_t)d->V;
    const int shortlist = (int)spec_int(s, "shortlist");
    int w = 0;
    CHECK(C >= 1 && C <= d->V - shortlist);
    if (d->given) return classes_given(d->given, d->V, C, shortlist, a, why);
    while (classes_by_context[w].name && !spec_is(s, "assign", classes_by_context[w].name)) w++;
    if (classes_by_context[w].name && (!d->tok.at || d->n < 2)) {
        *why = arena_text(a, "assign=%s: needs the training text, to see what stands before words",
                          classes_by_context[w].name);
        return NULL;
    }
    Classes *k = classes_new(d->V, C, a);
    const size_t mark = a->used;
    const Lexicon l = classes_lexicon(s, d, C, a);
    int *order = arena_raw(a, ints);
    memcpy(order, l.by_count, ints);
    if (classes_by_context[w].name) classes_by_context[w].assign(&l, e, k->class_of, a);
    else classes_by_key(&l, s, order, k->class_of, a);
    classes_close_empty(k, &l, a);
    classes_list(k, &l, order);
    arena_reset(a, mark);
    return k;
}
