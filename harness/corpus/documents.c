/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The documents of a text, and which of them are the test text: the rule is in data.h. The text is
 * read once; a line is looked at only as far as it could still be the one that ends a document. */
#include "harness/corpus/data_parts.h"
#include "harness/corpus/vocab_parts.h"
#include <nettle/sha2.h>
#include <string.h>

enum { MARK = sizeof END_OF_TEXT - 1, TEST_OF = 100 };

typedef struct Scan {
    Documents        *found;
    Arena            *arena;
    long              room;              /* of found->test */
    /* matched: bytes of this line that are those of the mark so far; -1: it is another line */
    long              at, begin;         /* bytes read; where this document begins */
    int               matched;
    struct sha256_ctx sha;               /* of the document, without this line while it matches */
} Scan;

static void documents_add_test(Scan *s)
{
    Documents *d = s->found;
    if (d->tests && d->test[d->tests - 1].to == s->begin) {
        d->test[d->tests - 1].to = s->at;
        return;
    }
    if (d->tests == s->room) {
        TextRange *more = arena_array(s->arena, (size_t)(s->room *= 2), sizeof *more);
        d->test = memcpy(more, d->test, (size_t)d->tests * sizeof *more);
    }
    d->test[d->tests++] = (TextRange){ s->begin, s->at };
}

/* The document that ends at s->at, the line that ends it included */
static void documents_end_one(Scan *s)
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    unsigned rest = 0;
    sha256_digest(&s->sha, sizeof digest, digest);           /* begins anew */
    for (size_t i = 0; i < sizeof digest; i++) rest = (rest * 256 + digest[i]) % TEST_OF;
    s->found->documents++;
    if (!rest) {
        documents_add_test(s);
        s->found->held++;
    }
    s->begin = s->at;
}

/* What matched the mark is text of the document */
static void documents_no_mark(Scan *s)
{
    sha256_update(&s->sha, (size_t)s->matched, (const uint8_t *)END_OF_TEXT);
    s->matched = -1;
}

static void documents_piece(Scan *s, const char *p, long n)
{
    for (const char *end = p + n; p < end; ) {
        if (s->matched >= 0 && s->matched < MARK && *p == END_OF_TEXT[s->matched]) {
            s->matched++;
            s->at++;
            p++;
        } else if (s->matched == MARK && *p == '\n') {
            s->at++;
            p++;
            documents_end_one(s);
            s->matched = 0;
        } else {
            if (s->matched >= 0) documents_no_mark(s);
            const char *line = memchr(p, '\n', (size_t)(end - p));
            const long len = (line ? line + 1 : end) - p;
            sha256_update(&s->sha, (size_t)len, (const uint8_t *)p);
            s->at += len;
            p += len;
            if (line) s->matched = 0;
        }
    }
}

static void documents_complement(Documents *d, long bytes, Arena *a)
{
    long from = 0;
    d->train = arena_array(a, (size_t)d->tests + 1, sizeof *d->train);
    for (long i = 0; i < d->tests; i++) {
        if (d->test[i].from > from)
            d->train[d->trains++] = (TextRange){ from, d->test[i].from };
        from = d->test[i].to;
    }
    if (bytes > from) d->train[d->trains++] = (TextRange){ from, bytes };
}

Documents *documents_find(const char *path, Arena *a, const char **why)
{
    Documents *d = arena_get(a, sizeof *d);
    Scan s = { .found = d, .arena = a };
    const char *piece;
    long n;
    Text *t = text_open(path, a, why);
    if (!t) return NULL;
    d->test = arena_array(a, (size_t)(s.room = 64), sizeof *d->test);
    sha256_init(&s.sha);
    while ((n = text_piece(t, &piece, why)) > 0) documents_piece(&s, piece, n);
    text_close(t);
    if (n < 0) return NULL;
    if (s.matched > 0 && s.matched < MARK) documents_no_mark(&s);
    if (s.at > s.begin) documents_end_one(&s);
    if (d->held == d->documents) {
        d->tests = 0;
        d->held = 0;
    }
    documents_complement(d, s.at, a);
    return d;
}
