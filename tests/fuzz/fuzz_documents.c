/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A text of documents: what is trained on and what is held back are all of it, each byte once. */
#include "harness/corpus/data_parts.h"
#include "tests/fuzz/fuzz.h"

static long kept(const char *path, const TextRange *range, long n)
{
    const char *why = NULL, *piece;
    Text *t = text_open(path, fuzz_arena(), &why);
    CHECK(t);
    text_keep(t, range, n);
    while (text_piece(t, &piece, &why) > 0) continue;
    CHECK(!why);
    const long bytes = text_bytes(t);
    text_close(t);
    return bytes;
}

static long in_ranges(const TextRange *range, long n, long size)
{
    long bytes = 0, last = -1;
    for (long i = 0; i < n; i++) {
        CHECK(range[i].from > last && range[i].to > range[i].from && range[i].to <= size);
        bytes += range[i].to - range[i].from;
        last = range[i].to;
    }
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why = NULL, *path = fuzz_file(data, size);
    Arena a = arena_new((size_t)64 << 20);
    const Documents *d = documents_find(path, &a, &why);
    fuzz_want(d, why);
    if (d) {
        const long train = in_ranges(d->train, d->trains, (long)size),
                   test = in_ranges(d->test, d->tests, (long)size);
        CHECK(train + test == (long)size);
        CHECK(kept(path, d->train, d->trains) == train && kept(path, d->test, d->tests) == test);
        CHECK(d->held < d->documents || !d->documents);
    }
    arena_drop(&a);
    return 0;
}
