/* SPDX-License-Identifier: GPL-3.0-or-later */
/* scratch.h -- what tests of texts and vocabularies share: one arena, one seed and one temporary
 * directory for all tests of a file, files in it, made-up and damaged texts. */
#ifndef SCRATCH_H
#define SCRATCH_H
#include "harness/corpus/vocab.h"
#include "tests/test.h"
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static Arena arena;
static uint64_t seed;
static char tmp[] = "/tmp/eightysix-XXXXXX";

/* For cmocka_run_group_tests */
static inline int scratch_make(void **state)
{
    (void)state;
    seed = test_seed();
    arena = arena_new((size_t)2 << 30);
    return mkdtemp(tmp) ? 0 : -1;
}

static inline int scratch_drop(void **state)
{
    (void)state;
    const int left = system(arena_text(&arena, "rm -r %s", tmp));
    arena_drop(&arena);
    return left;
}

static inline const char *in_tmp(const char *name)
{
    return arena_text(&arena, "%s/%s", tmp, name);
}

static inline const char *write_file(const char *name, const void *text, size_t len)
{
    const char *path = in_tmp(name);
    unlink(path);                        /* rewriting in place would wait for the disk */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    return path;
}

static inline char *read_file(const char *path, size_t *len)
{
    char *s = arena_raw(&arena, 1 << 20);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    *len = fread(s, 1, (1 << 20) - 1, f);
    s[*len] = 0;
    fclose(f);
    return s;
}

static inline void says(const char *why, const char *expected)
{
    if (!why || !strstr(why, expected))
        fail_msg("expected '%s' in: %s", expected, why ? why : "(nothing)");
}

/* A file of the data directory, or the test is skipped */
static inline const char *real_data(const char *name)
{
    const char *dir = getenv("EIGHTYSIX_DATA");
    const char *path = arena_text(&arena, "%s/%s", dir ? dir : "", name);
    if (!dir || access(path, R_OK)) {
        print_message("needs %s under EIGHTYSIX_DATA\n", name);
        skip();
    }
    return path;
}

static inline char *some_text(size_t n)
{
    Rng r = rng_at(seed, STREAM_CHECK, 7);
    static const char *const word[] = {
        "alpha", " beta", " gamma", " delta\n", "\n", " \xc3\xa9psilon", " 42", ".", "  "
    };
    char *s = arena_raw(&arena, n + 16);
    for (size_t i = 0; i < n; ) {
        const char *w = word[rng_below(&r, 9)];
        memcpy(s + i, w, strlen(w));
        i += strlen(w);
    }
    return s;
}

/* NAME/train.txt and valid.txt in the directory */
static inline void make_corpus(const char *name, size_t n)
{
    const char *s = some_text(n);
    mkdir(in_tmp(name), 0777);
    write_file(arena_text(&arena, "%s/train.txt", name), s, n);
    write_file(arena_text(&arena, "%s/valid.txt", name), s, n / 10);
}

static inline size_t mutate(Rng *r, char *s, size_t n, size_t max)
{
    for (uint64_t k = 1 + rng_below(r, 3); k-- > 0; ) {
        const size_t at = n ? rng_below(r, n) : 0, len = 1 + rng_below(r, 12);
        switch (rng_below(r, 5)) {
        case 0: if (n) s[at] = (char)rng_below(r, 256); break;
        case 1: if (n) s[at] ^= (char)(1 << rng_below(r, 8)); break;
        case 2: n = at; break;
        case 3:
            if (at + len <= n) {
                memmove(s + at, s + at + len, n - at - len);
                n -= len;
            }
            break;
        default:
            if (n + len <= max && at + len <= n) {
                memmove(s + at + len, s + at, n - at);
                n += len;
            }
        }
    }
    return n;
}

/* Encodes, decodes, compares; returns the ids */
static inline long round_trip(Vocab *v, const char *s, size_t len, int *id)
{
    const long n = vocab_encode(v, s, len, id, (long)len);
    size_t at = 0, size;
    assert_in_range(n, 0, len);
    for (long i = 0; i < n; i++) {
        const char *b = vocab_bytes_of(v, id[i], &size);
        assert_true(size <= len - at);
        assert_memory_equal(b, s + at, size);
        at += size;
    }
    assert_int_equal(at, len);
    return n;
}
#endif
