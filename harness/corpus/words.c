/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Words: what stands between ASCII white space; a line end is the word <eos>; what is not in the
 * list is <unk>.
 *
 * This is the word level of WikiText-2 (Merity et al. 2016, arXiv 1609.07843), whose text has one
 * blank before every word and before every line end; decoding writes the same, so that WikiText
 * comes back byte for byte and any other text with its white space made regular.
 *
 * Ids fall with frequency. The list on disk is one word a line in id order; <unk> and <eos> are
 * always in it. */
#include "harness/util/host.h"
#include "harness/corpus/vocab_parts.h"
#include "harness/corpus/words.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* s NULL: an empty slot */
typedef struct { const char *s; uint32_t len, id; long count; } Word;
/* open addressing, slots a power of two */
typedef struct { Word *slot; size_t slots, n; } Table;
typedef struct { Table table; int unk, eos; } Words;

static int words_is_unk(const Word *w) { return w->len == 5 && !memcmp(w->s, "<unk>", 5); }
static int words_is_eos(const Word *w) { return w->len == 5 && !memcmp(w->s, "<eos>", 5); }

static Table words_table_new(size_t n, Arena *a)
{
    size_t slots = 64;
    while (slots < 2 * n) slots *= 2;
    return (Table){ arena_get(a, slots * sizeof(Word)), slots, 0 };
}

/* its slot, or the empty one where it belongs */
static Word *words_table_at(const Table *t, const char *s, size_t len)
{
    size_t i = bytes_hash(s, len) & (t->slots - 1);
    while (t->slot[i].s && (t->slot[i].len != len || memcmp(t->slot[i].s, s, len)))
        i = (i + 1) & (t->slots - 1);
    return &t->slot[i];
}

/* The next word of text from *at on, "<eos>" for a line end; NULL at the end. */
static const char *words_next_word(const char *text, size_t size, size_t *at, size_t *len)
{
    size_t i = *at;
    while (i < size && is_blank((unsigned char)text[i]) && text[i] != '\n') i++;
    const size_t from = i;
    if (i < size && text[i] == '\n') {
        *at = i + 1;
        *len = 5;
        return "<eos>";
    }
    while (i < size && !is_blank((unsigned char)text[i])) i++;
    *at = i;
    *len = i - from;
    return *len ? text + from : NULL;
}

static long words_encode(Vocab *v, const char *text, size_t size, int first, int *out, long max)
{
    (void)first;
    const Words *w = v->own;
    Ids ids = { out, 0, max };
    size_t len;
    const char *s;
    for (size_t at = 0; (s = words_next_word(text, size, &at, &len)); ) {
        const Word *e = words_table_at(&w->table, s, len);
        ids_add(&ids, e->s ? (int)e->id : w->unk);
    }
    return ids.n;
}

/* From V words in id order; they are copied. NULL and an error message with line id+1 of `path`. */
static Vocab *words_make(const Word *list, size_t V, const char *path, Arena *a, const char **why)
{
    size_t bytes = 1;
    for (size_t i = 0; i < V; i++) bytes += list[i].len + 1;
    char *text = arena_raw(a, bytes), *p = text;
    uint32_t *start = arena_raw(a, (V + 1) * sizeof *start);
    Words *w = arena_get(a, sizeof *w);
    w->table = words_table_new(V, a);
    for (size_t i = 0; i < V; i++) {
        Word *e = words_table_at(&w->table, list[i].s, list[i].len);
        if (e->s) {
            *why =
                arena_text(a, "%s: line %zu: the word of line %u again, expected every word once",
                           path, i + 1, e->id + 1);
            return NULL;
        }
        start[i] = (uint32_t)(p - text);
        *p++ = ' ';
        const int eos = words_is_eos(&list[i]);
        if (eos) *p = '\n';
        else memcpy(p, list[i].s, list[i].len);
        *e = (Word){ eos ? "<eos>" : p, list[i].len, (uint32_t)i, 0 };
        p += eos ? 1 : list[i].len;
    }
    start[V] = (uint32_t)(p - text);
    const Word *unk = words_table_at(&w->table, "<unk>", 5);
    const Word *eos = words_table_at(&w->table, "<eos>", 5);
    if (!unk->s || !eos->s) {
        *why = arena_text(a, "%s: expected the words <unk> and <eos> among its lines", path);
        return NULL;
    }
    w->unk = (int)unk->id;
    w->eos = (int)eos->id;
    Vocab *v = arena_get(a, sizeof *v);
    const char *hash = sha256_hex(text, (size_t)(p - text), arena_raw(a, 65));
    *v = (Vocab){ .name = "words", .hash = hash, .V = (int)V, .text = text, .start = start,
                  .encode = words_encode, .own = w };
    return v;
}

Vocab *vocab_words(const char *path, Arena *a, const char **why)
{
    size_t size;
    const char *text = file_slurp(path, 64 << 20, &size, a, why);
    return text ? vocab_words_listed(text, size, path, a, why) : NULL;
}

Vocab *vocab_words_listed(const char *text, size_t size, const char *path, Arena *a,
                          const char **why)
{
    size_t V = 0, lines = 1;
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    Word *list = arena_raw(a, lines * sizeof *list);
    for (const char *p = text, *end = text + size, *next; p < end; p = next + 1) {
        next = memchr(p, '\n', (size_t)(end - p));
        if (!next) next = end;
        if (V == TOKEN_IDS_MOST) {
            *why = arena_text(a, "%s: line %zu: expected at most %d words", path, V + 1,
                              TOKEN_IDS_MOST);
            return NULL;
        }
        size_t len = 0;
        while (p + len < next && !is_blank((unsigned char)p[len])) len++;
        if (!len || p + len < next) {
            *why =
                arena_text(a, "%s: line %zu: expected one word without white space", path, V + 1);
            return NULL;
        }
        list[V++] = (Word){ p, (uint32_t)len, 0, 0 };
    }
    return words_make(list, V, path, a, why);
}

const char *vocab_list(const Vocab *v, size_t *len, Arena *a)
{
    if (v->source) {                 /* gpt2-top, pieces */
        *len = v->source_len;
        return v->source;
    }
    if (strcmp(v->name, "words")) return NULL;
    const Words *w = v->own;
    char *list = arena_raw(a, (size_t)v->start[v->V] + 6 * (size_t)v->V + 1), *p = list;
    for (int i = 0; i < v->V; i++) {
        const size_t n = i == w->eos ? 5 : v->start[i + 1] - v->start[i] - 1;
        memcpy(p, i == w->eos ? "<eos>" : v->text + v->start[i] + 1, n);
        p[n] = '\n';
        p += n + 1;
    }
    *len = (size_t)(p - list);
    return list;
}

const char *vocab_save(const Vocab *v, const char *path)
{
    static _Thread_local char why[512], part[4096];
    const Words *w = v->own;
    CHECK(!strcmp(v->name, "words"));
    snprintf(part, sizeof part, "%s.%d.part", path, (int)getpid());
    FILE *f = fopen(part, "wb");
    for (int i = 0; f && i < v->V; i++) {
        if (i == w->eos) fputs("<eos>", f);
        else fwrite(v->text + v->start[i] + 1, 1, v->start[i + 1] - v->start[i] - 1, f);
        fputc('\n', f);
    }
    int bad = !f || fflush(f) || fsync(fileno(f));
    if (f && fclose(f)) bad = 1;
    if (!bad && !rename(part, path)) return NULL;
    snprintf(why, sizeof why, "%.400s: cannot be written: %s", path, strerror(errno));
    if (f) unlink(part);
    return why;
}

/* Counting. The order of first sight is kept in Word.id. */
struct WordCount { Arena *arena; Table table; char *room; size_t left; };

WordCount *words_count_new(Arena *a)
{
    WordCount *c = arena_get(a, sizeof *c);
    c->arena = a;
    c->table = words_table_new(1 << 15, a);
    return c;
}

static void words_grow(WordCount *c)
{
    const Table old = c->table;
    c->table = words_table_new(2 * old.n, c->arena);
    c->table.n = old.n;
    for (size_t i = 0; i < old.slots; i++)
        if (old.slot[i].s) *words_table_at(&c->table, old.slot[i].s, old.slot[i].len) = old.slot[i];
}

static void words_count_one(WordCount *c, const char *s, size_t len, long count)
{
    Word *e = words_table_at(&c->table, s, len);
    if (!e->s) {
        if (c->left < len) {
            c->left = len > 65536 ? len : 65536;
            c->room = arena_raw(c->arena, c->left);
        }
        *e = (Word){ memcpy(c->room, s, len), (uint32_t)len, (uint32_t)c->table.n++, 0 };
        c->room += len;
        c->left -= len;
    }
    e->count += count;
    if (2 * c->table.n > c->table.slots) words_grow(c);
}

void words_count_add(WordCount *c, const char *text, size_t size)
{
    size_t len;
    const char *s;
    for (size_t at = 0; (s = words_next_word(text, size, &at, &len)); )
        words_count_one(c, s, len, 1);
}

static int words_by_count(const void *x, const void *y)
{
    const Word *a = x, *b = y;
    if (a->count != b->count) return a->count < b->count ? 1 : -1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* <unk> and <eos> take the last places when they are too rare to have one. */
static void words_keep(Word *list, size_t most, int (*is)(const Word *))
{
    size_t at = 0, last = most - 1;
    while (!is(&list[at])) at++;
    if (at < most) return;
    /* most >= 2, and `is` is not among them */
    while (words_is_unk(&list[last]) || words_is_eos(&list[last])) last--;
    list[last] = list[at];
}

Vocab *words_count_vocab(WordCount *c, long most, Arena *to)
{
    const char *why = NULL;
    CHECK(most >= 2);
    if (most > TOKEN_IDS_MOST) most = TOKEN_IDS_MOST;
    words_count_one(c, "<unk>", 5, 0);
    words_count_one(c, "<eos>", 5, 0);
    Word *list = arena_raw(c->arena, c->table.n * sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < c->table.slots; i++)
        if (c->table.slot[i].s) list[n++] = c->table.slot[i];
    qsort(list, n, sizeof *list, words_by_count);
    if (n > (size_t)most) {
        words_keep(list, (size_t)most, words_is_unk);
        words_keep(list, (size_t)most, words_is_eos);
        n = (size_t)most;
    }
    Vocab *v = words_make(list, n, "", to, &why);
    CHECK(v);
    return v;
}

Vocab *vocab_words_build(const char *text, size_t len, long most, Arena *a)
{
    Arena work = arena_new((size_t)1 << 30);
    WordCount *c = words_count_new(&work);
    words_count_add(c, text, len);
    Vocab *v = words_count_vocab(c, most, a);
    arena_drop(&work);
    return v;
}
