/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A vocabulary cut to the most frequent ids of a larger one, its base, as FlashLM v4 was trained
 * with: <pad> <unk> <bos> <eos>, then the kept ids of the base, the most frequent first. What is
 * not kept is <unk>; the end of a document, <|endoftext|>, is <eos>; <pad> and <bos> stand in no
 * text.
 *
 * It is defined by a list: a line "V", the size, then a line "ID COUNT" for every other id of the
 * base that the training text has, the most frequent first (ties: the smaller id first). The first
 * V - 4 are kept. The others are there for vocab_naming. */
#include "harness/corpus/vocab_parts.h"
#include "harness/util/host.h"
#include <math.h>
#include <stdlib.h>

enum { TOP_UNK = 1, TOP_EOS = 3, TOP_SPECIAL = 4 };
static const char *const top_special[TOP_SPECIAL] = { "", "<unk>", "", END_OF_TEXT };

typedef struct Top {
    Vocab  *base;
    int    *to;                  /* (base's V) the id here */
    double *naming;              /* (base's V) */
} Top;

typedef struct TopLine { long id, count; } TopLine;

static long top_encode(Vocab *v, const char *text, size_t len, int first, int *out, long max)
{
    const Top *t = v->own;
    const long n = t->base->encode(t->base, text, len, first, out, max);
    for (long i = 0; i < n && i < max; i++) out[i] = t->to[out[i]];
    return n;
}

/* The id of <|endoftext|> */
static int top_end_of(Vocab *base)
{
    int id[2];
    CHECK(vocab_encode(base, END_OF_TEXT, strlen(END_OF_TEXT), id, 2) == 1);
    return id[0];
}

/* The next number of the list, ended by `end`; -1: there is none */
static long top_number(const char **s, char end)
{
    char *after;
    if (**s < '0' || **s > '9') return -1;
    const long x = strtol(*s, &after, 10);
    if (*after != end) return -1;
    *s = after + 1;
    return x;
}

/* Lines of the list to line[]; how many, or -1 and *why */
static long top_lines(const char *list, const char *path, const Vocab *base, int end, long *V,
                      TopLine *line, Arena *a, const char **why)
{
    const char *s = list;
    char *seen = arena_get(a, (size_t)base->V);
    long n = 0;
    *V = top_number(&s, '\n');
    if (*V < TOP_SPECIAL || *V > base->V) {
        *why = arena_text(a, "%s: line 1: expected the size of the vocabulary, from %d to %d", path,
                          TOP_SPECIAL, base->V);
        return -1;
    }
    for (; *s; n++) {
        const long id = top_number(&s, ' '), count = id < 0 ? -1 : top_number(&s, '\n');
        if (id < 0 || id >= base->V || id == end || count < 1 || seen[id]++ ||
            (n && count > line[n - 1].count)) {
            *why = arena_text(a, "%s: line %ld: expected an id of the vocabulary %s, every one "
                              "once, and how often it was seen, falling", path, n + 2, base->name);
            return -1;
        }
        line[n] = (TopLine){ id, count };
    }
    if (*V - TOP_SPECIAL <= n) return n;
    *why = arena_text(a, "%s: line 1: expected at most %ld ids, %d and one a line", path,
                      n + TOP_SPECIAL, TOP_SPECIAL);
    return -1;
}

/* Texts of the ids */
static void top_texts(Vocab *v, const Top *t, const TopLine *kept, Arena *a)
{
    size_t bytes = 0, len;
    for (int i = 0; i < TOP_SPECIAL; i++) bytes += strlen(top_special[i]);
    for (int i = TOP_SPECIAL; i < v->V; i++) {
        vocab_bytes_of(t->base, (int)kept[i - TOP_SPECIAL].id, &len);
        bytes += len;
    }
    char *text = arena_raw(a, bytes + 1), *p = text;
    uint32_t *start = arena_raw(a, ((size_t)v->V + 1) * sizeof *start);
    for (int i = 0; i < v->V; i++) {
        const char *s = i < TOP_SPECIAL
                            ? top_special[i]
                            : vocab_bytes_of(t->base, (int)kept[i - TOP_SPECIAL].id, &len);
        if (i < TOP_SPECIAL) len = strlen(s);
        start[i] = (uint32_t)(p - text);
        memcpy(p, s, len);
        p += len;
    }
    start[v->V] = (uint32_t)(p - text);
    v->text = text;
    v->start = start;
}

/* -ln (count + 1) / (the same of all that are not kept) */
static void top_name_costs(Top *t, const TopLine *line, long lines, long kept)
{
    double all = 0;
    for (int id = 0; id < t->base->V; id++) t->naming[id] = t->to[id] == TOP_UNK;
    for (long i = kept; i < lines; i++) t->naming[line[i].id] += (double)line[i].count;
    for (int id = 0; id < t->base->V; id++) all += t->naming[id];
    for (int id = 0; id < t->base->V; id++)
        t->naming[id] = t->naming[id] > 0 ? log(all / t->naming[id]) : 0;
}

Vocab *vocab_top(const char *list, size_t len, const char *path, Vocab *base, Arena *a,
                 const char **why)
{
    const int end = top_end_of(base);
    const size_t used = a->used;
    char *text = arena_raw(a, len + 1), hash[65];
    memcpy(text, list, len);
    text[len] = 0;
    TopLine *line = arena_raw(a, sizeof *line * (size_t)base->V);
    long V;
    if (strlen(text) != len) {
        arena_reset(a, used);
        *why = arena_text(a, "%s: expected text, and found a byte of zero", path);
        return NULL;
    }
    const long n = top_lines(text, path, base, end, &V, line, a, why);
    if (n < 0) return NULL;
    Vocab *v = arena_get(a, sizeof *v);
    Top *t = arena_get(a, sizeof *t);
    *t = (Top){ base, arena_raw(a, sizeof *t->to * (size_t)base->V),
                arena_raw(a, sizeof *t->naming * (size_t)base->V) };
    for (int id = 0; id < base->V; id++) t->to[id] = id == end ? TOP_EOS : TOP_UNK;
    for (int i = TOP_SPECIAL; i < (int)V; i++) t->to[line[i - TOP_SPECIAL].id] = i;
    top_name_costs(t, line, n, V - TOP_SPECIAL);
    *v = (Vocab){ .name = "gpt2-top",
                  .hash = arena_text(a, "%s", sha256_hex(text, len, hash)),
                  .V = (int)V,
                  .encode = top_encode,
                  .own = t,
                  .source = text,
                  .source_len = len };
    top_texts(v, t, line, a);
    return v;
}

Vocab *vocab_base(const Vocab *v)
{
    return v->encode == top_encode ? ((const Top *)v->own)->base : NULL;
}

double vocab_naming(const Vocab *v, int id)
{
    CHECK(vocab_base(v) && id >= 0 && id < vocab_base(v)->V);
    return ((const Top *)v->own)->naming[id];
}

static int top_by_count(const void *x, const void *y)
{
    const TopLine *a = x, *b = y;
    if (a->count != b->count) return a->count < b->count ? 1 : -1;
    return a->id < b->id ? -1 : a->id > b->id;
}

const char *vocab_top_list(const long *count, long most, Vocab *base, size_t *len, Arena *a)
{
    enum { LINE = 48 };
    const int end = top_end_of(base);
    TopLine *line = arena_raw(a, sizeof *line * (size_t)base->V);
    long n = 0;
    for (int id = 0; id < base->V; id++)
        if (count[id] > 0 && id != end) line[n++] = (TopLine){ id, count[id] };
    qsort(line, (size_t)n, sizeof *line, top_by_count);
    char *list = arena_raw(a, (size_t)(n + 1) * LINE), *p = list;
    p += sprintf(p, "%ld\n", most < n + TOP_SPECIAL ? most : n + TOP_SPECIAL);
    for (long i = 0; i < n; i++) p += sprintf(p, "%ld %ld\n", line[i].id, line[i].count);
    *len = (size_t)(p - list);
    return list;
}
