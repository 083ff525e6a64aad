/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What of the files of a corpus is train, valid and test (the rule is in data.h), and the hash of
 * what is trained on, computed once per path, size and time. */
#include "harness/corpus/cache.h"
#include "harness/corpus/data_parts.h"
#include "harness/util/file.h"
#include "harness/util/host.h"
#include <string.h>

enum { HEX = 64 };

const char *const split_names[3] = { "train", "valid", "test" };

/* Whether a split is documents of the file of train */
static int split_by_documents(const Source *s, Split split)
{
    return s->by_documents && split != SPLIT_VALID;
}

const char *source_how(const Source *s, Split split, const char *how, Arena *a)
{
    if (!split_by_documents(s, split)) return how;
    return arena_text(a, "%s, documents of %s, a hundredth is test", how, split_names[split]);
}

int source_held(const Source *s)
{
    return s->path[SPLIT_VALID] ? 0 : s->path[SPLIT_TEST] ? SINGLE_HELD : 2 * SINGLE_HELD;
}

const char *source_share_sha(const char *sha, Split split, int held, Arena *a)
{
    const char *text = arena_text(a, "%s: %s of a single file, %d %% held back", sha,
                                  split_names[split], held);
    return sha256_hex(text, strlen(text), arena_raw(a, HEX + 1));
}

Text *source_open(Source *s, Split split, Arena *a, const char **why)
{
    if (!split_by_documents(s, split)) return text_open(s->path[split], a, why);
    const char *path = s->path[SPLIT_TRAIN];
    if (!s->documents && !(s->documents = documents_find(path, a, why))) return NULL;
    Text *t = text_open(path, a, why);
    const Documents *d = s->documents;
    if (t && split == SPLIT_TEST) text_keep(t, d->test, d->tests);
    if (t && split == SPLIT_TRAIN) text_keep(t, d->train, d->trains);
    return t;
}

/* The 64 digits that a file begins with; NULL: it does not */
static const char *split_sha_read(const char *path, Arena *a)
{
    char *hex = arena_get(a, HEX + 1);
    FILE *f = fopen(path, "r");
    const size_t n = f ? fread(hex, 1, HEX, f) : 0;
    if (f) fclose(f);
    return n == HEX && strspn(hex, "0123456789abcdef") == HEX ? hex : NULL;
}

/* Of a whole text, read piece by piece; NULL: it cannot be read */
static const char *split_sha_compute(Text *t, Arena *a)
{
    const char *why = NULL, *piece;
    char *hex = arena_get(a, HEX + 1);
    long n;
    if (!t) return NULL;
    while ((n = text_piece(t, &piece, &why)) > 0) continue;
    if (!n && !why) text_hash(t, hex);
    text_close(t);
    return n || why ? NULL : hex;
}

static void split_sha_keep(const char *path, const char *hex, Arena *a)
{
    const char *why = NULL;
    FILE *f = file_begin(path, a, &why);
    if (!f) return;
    fprintf(f, "%s\n", hex);
    file_commit(f, path, a);                 /* a cache that cannot be written is no error */
}

/* Of the text file of train, or of its documents that are trained on */
static const char *split_text_sha(Source *s, int whole, Arena *a)
{
    const char *why = NULL, *file = s->path[SPLIT_TRAIN];
    const char *how = whole ? "sha256" : source_how(s, SPLIT_TRAIN, "sha256", a);
    const char *key = files_key_of(file, how, a);
    const char *path = cache_path(arena_text(a, "%s.%s.sha256", s->name, key), a, &why);
    const char *hex = path ? split_sha_read(path, a) : NULL;
    if (hex) return hex;
    Text *t = whole ? text_open(file, a, &why) : source_open(s, SPLIT_TRAIN, a, &why);
    hex = split_sha_compute(t, a);
    if (hex && path) split_sha_keep(path, hex, a);
    return hex;
}

/* The one that a token file says it is of */
static const char *split_tokens_sha(const char *path, Arena *a)
{
    const char *why = NULL;
    TokenFile *f = tokens_open(path, a, &why);
    if (f) tokens_close(f);
    return f ? f->source_hash : NULL;
}

const char *source_sha(Source *s, int whole, Arena *a)
{
    const int held = source_held(s);
    const char *hex = s->tokens ? split_tokens_sha(s->path[SPLIT_TRAIN], a)
                                : split_text_sha(s, whole || held, a);
    return hex && held && !whole ? source_share_sha(hex, SPLIT_TRAIN, held, a) : hex;
}

const char *corpus_text_sha(const char *name, Arena *a)
{
    const char *why = NULL;
    Source *s = strcmp(name, "synth") ? source_find(name, a, &why) : NULL;
    const char *hex = s ? source_sha(s, 0, a) : NULL;
    return hex ? hex : "";
}
