/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The hash of a text, computed once per path, size and time. */
#include "harness/corpus/cache.h"
#include "harness/corpus/data_parts.h"
#include "harness/util/file.h"
#include <string.h>

enum { HEX = 64 };

/* The 64 digits that a file begins with; NULL: it does not */
static const char *text_sha_read(const char *path, Arena *a)
{
    char *hex = arena_get(a, HEX + 1);
    FILE *f = fopen(path, "r");
    const size_t n = f ? fread(hex, 1, HEX, f) : 0;
    if (f) fclose(f);
    return n == HEX && strspn(hex, "0123456789abcdef") == HEX ? hex : NULL;
}

/* Of the whole text, read piece by piece; NULL: it cannot be read */
static const char *text_sha_compute(const char *source, Arena *a)
{
    const char *why = NULL, *piece;
    char *hex = arena_get(a, HEX + 1);
    long n;
    Text *t = text_open(source, a, &why);
    if (!t) return NULL;
    while ((n = text_piece(t, &piece, &why)) > 0) continue;
    if (!n && !why) text_hash(t, hex);
    text_close(t);
    return n || why ? NULL : hex;
}

static void text_sha_keep(const char *path, const char *hex, Arena *a)
{
    const char *why = NULL;
    FILE *f = file_begin(path, a, &why);
    if (!f) return;
    fprintf(f, "%s\n", hex);
    file_commit(f, path, a);                 /* a cache that cannot be written is no error */
}

const char *corpus_text_sha(const char *name, Arena *a)
{
    const char *why = NULL;
    const Source *s = strcmp(name, "synth") ? source_find(name, a, &why) : NULL;
    if (!s || !s->path[0]) return "";
    const char *key = files_key_of(s->path[0], "sha256", a);
    const char *path = cache_path(arena_text(a, "%s.%s.sha256", s->name, key), a, &why);
    const char *hex = path ? text_sha_read(path, a) : NULL;
    if (hex) return hex;
    hex = text_sha_compute(s->path[0], a);
    if (hex && path) text_sha_keep(path, hex, a);
    return hex ? hex : "";
}
