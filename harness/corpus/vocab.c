/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What all vocabularies have in common, and the smallest of them: bytes, where id = byte and 256 =
 * <|endoftext|>. */
#include "harness/util/file.h"
#include "harness/util/host.h"
#include "harness/corpus/vocab_parts.h"
#include <errno.h>

int         vocab_size(const Vocab *v) { return v->V; }
const char *vocab_name(const Vocab *v) { return v->name; }
const char *vocab_hash(const Vocab *v) { return v->hash; }

long vocab_encode(Vocab *v, const char *text, size_t len, int *out, long max)
{
    return v->encode(v, text, len, 1, out, max);
}

long vocab_encode_more(Vocab *v, const char *text, size_t len, int *out, long max)
{
    return v->encode(v, text, len, 0, out, max);
}

const char *vocab_bytes_of(const Vocab *v, int id, size_t *len)
{
    CHECK(id >= 0 && id < v->V);
    *len = v->start[id + 1] - v->start[id];
    return v->text + v->start[id];
}

const char *vocab_text_of(const Vocab *v, int id, int *begun, size_t *len)
{
    const char *text = vocab_bytes_of(v, id, len);
    const int drop = v->strips && !*begun && *len && *text == ' ';
    if (*len) *begun = 1;
    *len -= (size_t)drop;
    return text + drop;
}

/* The end of a character that PCRE2 or a reader may take for white space, given what stands before
 * `end`. Beyond ASCII it says yes too often (all of C2xx, E2xxxx), which costs nothing. */
static int vocab_maybe_space(const unsigned char *s, size_t end)
{
    const unsigned char last = s[end - 1];
    if (last < 0x80) return is_blank(last);
    if (end >= 2 && s[end - 2] == 0xc2) return 1;
    return end >= 3 &&
           (s[end - 3] == 0xe1 || s[end - 3] == 0xe2 || (s[end - 3] == 0xe3 && s[end - 2] == 0x80));
}

int vocab_cuts_at(const char *text, size_t i)
{
    const unsigned char *s = (const unsigned char *)text;
    return is_blank(s[i]) && !vocab_maybe_space(s, i);
}

size_t vocab_cut(const char *text, size_t len)
{
    for (size_t i = len; i-- > 1; )
        if (vocab_cuts_at(text, i)) return i;
    return 0;
}

static long vocab_encode_bytes(Vocab *v, const char *text, size_t len, int first, int *out,
                               long max)
{
    const size_t n = sizeof END_OF_TEXT - 1;
    Ids ids = { out, 0, max };
    (void)v;
    (void)first;
    for (size_t i = 0; i < len; ) {
        const int special = text[i] == '<' && len - i >= n && !memcmp(text + i, END_OF_TEXT, n);
        ids_add(&ids, special ? 256 : (unsigned char)text[i]);
        i += special ? n : 1;
    }
    return ids.n;
}

Vocab *vocab_bytes(Arena *a)
{
    const size_t n = sizeof END_OF_TEXT - 1;
    Vocab *v = arena_get(a, sizeof *v);
    char *text = arena_raw(a, 256 + n);
    uint32_t *start = arena_raw(a, 258 * sizeof *start);
    for (int i = 0; i < 256; i++) {
        text[i] = (char)i;
        start[i] = (uint32_t)i;
    }
    memcpy(text + 256, END_OF_TEXT, n);
    start[256] = 256;
    start[257] = 256 + (uint32_t)n;
    const char *hash = sha256_hex(text, 256 + n, arena_raw(a, 65));
    *v = (Vocab){ .name = "bytes",
                  .hash = hash,
                  .V = 257,
                  .text = text,
                  .start = start,
                  .encode = vocab_encode_bytes };
    return v;
}

char *file_slurp(const char *path, size_t most, size_t *len, Arena *a, const char **why)
{
    const size_t used = a->used;
    FILE *f = file_open(path, a, why);
    if (!f) return NULL;
    *len = 0;
    char *text = arena_raw(a, most + 1);
    *len = fread(text, 1, most + 1, f);
    const int bad = ferror(f), err = errno;
    fclose(f);
    if (bad || *len > most) {
        arena_reset(a, used);
        *why = bad ? arena_text(a, "%s: cannot be read: %s", path, strerror(err))
                   : arena_text(a, "%s: expected at most %zu MB", path, most >> 20);
        return NULL;
    }
    arena_reset(a, used);
    text = arena_raw(a, *len + 1);
    text[*len] = 0;
    return text;
}
