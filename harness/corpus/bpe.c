/* SPDX-License-Identifier: GPL-3.0-or-later */
/* GPT-2's byte-level byte pair encoding (Sennrich et al. 2016, arXiv 1508.07909; Radford et al.
 * 2019).
 *
 * A piece of text (gpt2_pretokenizer.h) starts as its bytes; while two neighbours are in the list
 * of merges, the pair that stands first in the list (leftmost on a tie) becomes one symbol
 * (bpe_merge.c).
 *
 * Pieces repeat, so their ids are kept in a table of 64-byte lines, one line per hash value, newest
 * wins. */
#include "harness/corpus/bpe.h"
#include "harness/corpus/gpt2_pretokenizer.h"
#include "harness/corpus/vocab_parts.h"

enum { LINES = 1 << 15, KEY = 31, LINE_IDS = 7 };
/* n 0: empty */
typedef struct { char key[KEY]; uint8_t len, n, pad[3]; int id[LINE_IDS]; } Line;
_Static_assert(sizeof(Line) == 64, "a line of the cache is a cache line");

typedef struct Bpe {
    Pretokenizer      *split;
    BpeTables  *t;
    Line       *lines;       /* LINES of them, cleared on first use */
    int         warm;
} Bpe;

static void bpe_merge_piece(const BpeTables *t, const char *s, size_t n, Ids *out)
{
    enum { SMALL = 256 };
    int small[SMALL], *id = small;
    Arena a = { NULL, 0, 0 };
    if (n > SMALL) {
        a = arena_new(n * sizeof *id);
        id = arena_raw(&a, n * sizeof *id);
    }
    for (size_t i = 0; i < n; i++) id[i] = t->byte_id[(unsigned char)s[i]];
    bpe_merge(t, id, n, out);
    arena_drop(&a);
}

static uint64_t bpe_key_hash(const char key[KEY], size_t len)
{
    uint64_t a, b, c, d;
    memcpy(&a, key, 8), memcpy(&b, key + 8, 8), memcpy(&c, key + 16, 8),
        memcpy(&d, key + KEY - 8, 8);
    uint64_t h = (a ^ len) * 0x9e3779b97f4a7c15u;
    h = (h ^ h >> 32 ^ b) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 32 ^ c) * 0x94d049bb133111ebu;
    h = (h ^ h >> 32 ^ d) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

static void bpe_encode_piece(Bpe *b, const char *s, size_t len, Ids *out)
{
    if (len > KEY) {
        bpe_merge_piece(b->t, s, len, out);
        return;
    }
    char key[KEY] = { 0 };
    memcpy(key, s, len);
    Line *line = &b->lines[bpe_key_hash(key, len) & (LINES - 1)];
    if (line->len != len || memcmp(line->key, key, KEY) || !line->n) {
        int id[KEY];
        Ids piece = { id, 0, KEY };
        bpe_merge_piece(b->t, s, len, &piece);
        if (piece.n > LINE_IDS) {
            for (long i = 0; i < piece.n; i++) ids_add(out, id[i]);
            return;
        }
        memcpy(line->key, key, KEY);
        line->len = (uint8_t)len;
        line->n = (uint8_t)piece.n;
        memcpy(line->id, id, (size_t)piece.n * sizeof *id);
    }
    for (int i = 0; i < line->n; i++) ids_add(out, line->id[i]);
}

/* The pattern is shown the text up to a place where it splits anyway, so that a matcher which first
 * looks at the whole subject (PCRE2 without JIT) stays linear. */
static void bpe_encode_plain(Bpe *b, const char *s, size_t n, Ids *out)
{
    size_t i = 0, shown = 0;
    while (i < n) {
        size_t len = pretokenizer_piece_ascii(s + i, n - i);
        if (!len) {
            if (shown <= i)
                for (shown = i + 1; shown < n && !vocab_cuts_at(s, shown); ) shown++;
            len = pretokenizer_piece_pcre2(b->split, s + i, shown - i);
        }
        bpe_encode_piece(b, s + i, len, out);
        i += len;
    }
}

static long bpe_encode(Vocab *v, const char *text, size_t len, int first, int *out, long max)
{
    (void)first;
    Bpe *b = v->own;
    Ids ids = { out, 0, max };
    if (!b->warm) {
        memset(b->lines, 0, LINES * sizeof *b->lines);
        b->warm = 1;
    }
    for (size_t i = 0; i < len; ) {
        const size_t n = sizeof END_OF_TEXT - 1;
        const char *stop = b->t->end_of_text < 0 ? NULL : memmem(text + i, len - i, END_OF_TEXT, n);
        const size_t end = stop ? (size_t)(stop - text) : len;
        bpe_encode_plain(b, text + i, end - i, &ids);
        if (stop) ids_add(&ids, b->t->end_of_text);
        i = stop ? end + n : end;
    }
    return ids.n;
}

Vocab *vocab_gpt2(const char *dir, Arena *a, const char **why)
{
    Bpe *b = arena_get(a, sizeof *b);
    Vocab *v = arena_get(a, sizeof *v);
    v->name = "gpt2";
    v->encode = bpe_encode;
    v->own = b;
    if (!(b->t = bpe_load(dir, v, a, why)) || !(b->split = pretokenizer_new(a, why))) return NULL;
    b->lines = arena_raw(a, LINES * sizeof *b->lines);
    return v;
}
