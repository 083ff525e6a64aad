/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pieces: byte pair encoding of characters (Kudo & Richardson 2018, arXiv 1808.06226), as
 * Hugging Face's tokenizers compute it for llama and MatMul-free LMs.
 *
 *   text       added tokens are split out; in each stretch between them
 *   blanks     become U+2581, and one is put before the stretch (PiecesPrefix)
 *   symbols    a character that is a piece, or else its UTF-8 bytes <0xNN>
 *   merges     by rank (bpe.h)
 *
 * Merges run over a whole stretch. No piece goes on beyond the beginning of a blank (the loader
 * refuses others), so that what lies between blanks can be merged on its own: the same ids, and
 * vocab_cut may part a text there. */
#include "harness/corpus/pieces.h"
#include "harness/util/host.h"

typedef struct { const Pieces *p; Ids *out; Arena *room; int start; } Stretches;

size_t pieces_character(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    const size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3
                     : s[0] < 0xf5 ? 4 : 0;
    if (!len || len > n) return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return len;
}

static int pieces_blank_at(const char *s, size_t n)
{
    return n >= PIECES_BLANK_BYTES && !memcmp(s, PIECES_BLANK, PIECES_BLANK_BYTES);
}

/* The symbols of text that no merge leaves, merged */
static void pieces_merge(const Pieces *p, const char *s, size_t n, int *symbol, Ids *out)
{
    size_t m = 0;
    for (size_t i = 0; i < n;) {
        const size_t len = pieces_character(s + i, n - i);
        const uint32_t slot = len ? pieces_slot(p, pieces_key(s + i, len)) : 0;
        if (len && p->character[slot]) symbol[m++] = p->character_id[slot];
        else
            for (size_t k = 0; k < (len ? len : 1); k++)
                symbol[m++] = p->tables->byte_id[(unsigned char)s[i + k]];
        i += len ? len : 1;
    }
    bpe_merge(p->tables, symbol, m, out);
}

/* Text in which blanks are replaced, part by part */
static void pieces_text(Stretches *w, const char *s, size_t n)
{
    const size_t at = w->room->used;
    int *symbol = arena_raw(w->room, sizeof *symbol * (n + 1));
    for (size_t from = 0, i; from < n; from = i) {
        int blanks = pieces_blank_at(s + from, n - from);
        i = from + 1;
        for (; i < n; i++) {
            const int blank = pieces_blank_at(s + i, n - i);
            if (blank && (w->p->words || !blanks)) break;
            blanks = blanks && (blank || (s[i] & 0xc0) == 0x80);
        }
        pieces_merge(w->p, s + from, i - from, symbol, w->out);
    }
    arena_reset(w->room, at);
}

/* prefix 1: a blank is put before it */
static const char *pieces_replace(const char *s, size_t n, int prefix, size_t *len, Arena *a)
{
    char *to = arena_raw(a, PIECES_BLANK_BYTES * (n + 1)), *end = to;
    if (prefix) {
        memcpy(end, PIECES_BLANK, PIECES_BLANK_BYTES);
        end += PIECES_BLANK_BYTES;
    }
    for (size_t i = 0; i < n; i++) {
        if (s[i] != ' ') {
            *end++ = s[i];
            continue;
        }
        memcpy(end, PIECES_BLANK, PIECES_BLANK_BYTES);
        end += PIECES_BLANK_BYTES;
    }
    *len = (size_t)(end - to);
    return to;
}

/* The longest added token that begins at s; NULL: none */
static const AddedToken *pieces_added_at(const AddedTokens *t, const char *s, size_t n)
{
    const AddedToken *best = NULL;
    if (!t->begins[(unsigned char)*s]) return NULL;
    for (long i = 0; i < t->n; i++) {
        const AddedToken *e = &t->token[i];
        if (e->len <= n && !memcmp(e->text, s, e->len) && (!best || e->len > best->len)) best = e;
    }
    return best;
}

/* What stands between added tokens through `each`; the tokens themselves are added */
typedef void PiecesEach(Stretches *, const char *s, size_t n);
static void pieces_split(Stretches *w, const AddedTokens *t, const char *s, size_t n,
                         PiecesEach *each)
{
    size_t from = 0;
    for (size_t i = 0; i < n;) {
        const AddedToken *e = t->n ? pieces_added_at(t, s + i, n - i) : NULL;
        if (!e) {
            i++;
            continue;
        }
        if (i > from) each(w, s + from, i - from);
        ids_add(w->out, e->id);
        w->start = 0;
        i += e->len;
        from = i;
    }
    if (n > from) each(w, s + from, n - from);
}

/* start: 1 where the text begins, -1 where it goes on */
static int pieces_has_prefix(const Stretches *w, const char *s, size_t n)
{
    if (w->start < 0) return 0;
    if (w->p->prefix == PIECES_PREPEND) return 1;
    if (*s == ' ' || pieces_blank_at(s, n)) return 0;
    return w->p->prefix == PIECES_ALWAYS || (w->p->prefix == PIECES_START && w->start > 0);
}

static void pieces_replaced(Stretches *w, const char *s, size_t n)
{
    size_t len;
    const size_t at = w->room->used;
    const char *text = pieces_replace(s, n, pieces_has_prefix(w, s, n), &len, w->room);
    w->start = 0;
    if (w->p->prefix == PIECES_PREPEND) pieces_split(w, &w->p->normalized, text, len, pieces_text);
    else pieces_text(w, text, len);
    arena_reset(w->room, at);
}

/* A stretch between the tokens that are found as they are written */
static void pieces_stretch(Stretches *w, const char *s, size_t n)
{
    if (w->p->prefix == PIECES_PREPEND) pieces_replaced(w, s, n);
    else pieces_split(w, &w->p->normalized, s, n, pieces_replaced);
    w->start = 0;
}

static long pieces_encode(Vocab *v, const char *text, size_t len, int first, int *out, long max)
{
    const Pieces *p = v->own;
    Ids ids = { out, 0, max };
    Arena room = arena_new(32 * len + 65536);
    Stretches w = { p, &ids, &room, first ? 1 : -1 };
    for (int i = 0; first && i < p->firsts; i++) ids_add(&ids, p->first[i]);
    pieces_split(&w, &p->plain, text, len, pieces_stretch);
    arena_drop(&room);
    return ids.n;
}

Vocab *vocab_pieces_of(const char *json, size_t len, const char *path, long V, Arena *a,
                       const char **why)
{
    Pieces *p = arena_get(a, sizeof *p);
    Vocab *v = arena_get(a, sizeof *v);
    *v = (Vocab){ .name = "pieces",
                  .hash = sha256_hex(json, len, arena_raw(a, 65)),
                  .encode = pieces_encode,
                  .own = p,
                  .source = json,
                  .source_len = len };
    return (*why = pieces_load(p, v, json, len, path, V, a)) ? NULL : v;
}

Vocab *vocab_pieces(const char *path, long V, Arena *a, const char **why)
{
    size_t len;
    const char *json = file_slurp(path, 64 << 20, &len, a, why);
    return json ? vocab_pieces_of(json, len, path, V, a, why) : NULL;
}
