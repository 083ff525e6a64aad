/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The vocabulary of words: its order and size, its list on disk, WikiText-2's published counts (skipped where
 * EIGHTYSIX_DATA has no WikiText-2), the loader against mutated lists. */
#include "harness/data_parts.h"
#include "harness/vocab_parts.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static Arena arena;
static uint64_t seed = 1;
static char tmp[] = "/tmp/eightysix-words-XXXXXX";

static const char *in_tmp(const char *name) { return arena_text(&arena, "%s/%s", tmp, name); }

static void write_file(const char *path, const char *text, size_t len)
{
    unlink(path);                        /* rewriting in place would wait for the disk */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* A file of the data directory, or the test is skipped. */
static const char *real_data(const char *name)
{
    const char *dir = getenv("EIGHTYSIX_DATA");
    const char *path = arena_text(&arena, "%s/%s", dir ? dir : "", name);
    if (!dir || access(path, R_OK)) {
        print_message("needs %s under EIGHTYSIX_DATA\n", name);
        skip();
    }
    return path;
}

/* Encodes, decodes, compares; returns the ids. */
static long round_trip(Vocab *v, const char *s, size_t len, uint16_t *id)
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

static void test_words(void **state)
{
    (void)state;
    const char text[] = "the cat sat\nthe dog sat\n\n the  cat\tran";
    uint16_t id[16];
    size_t len;
    Vocab *v = vocab_words_build(text, strlen(text), 100, &arena);
    assert_int_equal(vocab_size(v), 7);                  /* the <eos> cat sat dog ran <unk> */
    static const char *const order[] = { " the", " \n", " cat", " sat", " dog", " ran", " <unk>" };
    for (int i = 0; i < 7; i++) {
        const char *s = vocab_bytes_of(v, i, &len);
        assert_int_equal(len, strlen(order[i]));
        assert_memory_equal(s, order[i], len);
    }
    assert_int_equal(vocab_encode(v, "the bird\n", 9, id, 16), 3);
    assert_true(id[0] == 0 && id[1] == 6 && id[2] == 1);
    v = vocab_words_build(text, strlen(text), 3, &arena);
    assert_int_equal(vocab_size(v), 3);
    assert_int_equal(vocab_encode(v, "the cat\n", 8, id, 16), 3);
    assert_true(id[0] == 0 && id[1] == 2 && id[2] == 1); /* the, <unk> in the last place, <eos> */
    v = vocab_words_build(text, strlen(text), 2, &arena);
    assert_int_equal(vocab_size(v), 2);                  /* <unk> and <eos> have a place each */
    assert_int_equal(vocab_encode(v, "the\n", 4, id, 16), 2);
    assert_int_not_equal(id[0], id[1]);
}

static void test_words_list(void **state)
{
    (void)state;
    const char text[] = "b a a c \xff\xfe\n", *path = in_tmp("words"), *why = NULL;
    const Vocab *v = vocab_words_build(text, strlen(text), 100, &arena);
    assert_null(vocab_save(v, path));
    const Vocab *w = vocab_words(path, &arena, &why);
    assert_non_null(w);
    assert_string_equal(vocab_hash(v), vocab_hash(w));
    assert_int_equal(vocab_size(v), vocab_size(w));
    assert_non_null(strstr(vocab_save(v, "/nonexistent/words"), "cannot be written"));
}

static void refused(const char *list, const char *sentence)
{
    const char *path = in_tmp("list"), *why = NULL;
    write_file(path, list, strlen(list));
    assert_null(vocab_words(path, &arena, &why));
    if (!strstr(why, sentence)) fail_msg("'%s' does not say '%s'", why, sentence);
}

static void test_words_faults(void **state)
{
    (void)state;
    const char *why = NULL;
    refused("a\n<unk>\n<eos>\na\n", "line 4: the word of line 1 again");
    refused("a\nb c\n", "line 2: expected one word without white space");
    refused("a\n\nb\n", "line 2: expected one word");
    refused("a\n<unk>\n", "expected the words <unk> and <eos>");
    refused("", "expected the words");
    assert_null(vocab_words("/nonexistent/list", &arena, &why));
    assert_non_null(strstr(why, "cannot be read"));
}

/* WikiText-2 at the word level: published counts, and its text comes back byte for byte. */
static void test_wikitext(void **state)
{
    (void)state;
    const char *why = NULL, *piece;
    static const struct { const char *name; long tokens; } split[] = { { "train", 2088628 }, { "valid", 217646 }, { "test", 245569 } };
    Vocab *v = NULL;
    uint16_t *id = arena_raw(&arena, 8 << 20);
    for (int i = 0; i < 3; i++) {
        size_t n = 0;
        char *text = arena_raw(&arena, 12 << 20);
        Text *t = text_open(real_data(arena_text(&arena, "wikitext-2/%s.txt.xz", split[i].name)), &arena, &why);
        assert_non_null(t);
        for (long m; (m = text_piece(t, &piece, &why)) > 0; n += (size_t)m) memcpy(text + n, piece, (size_t)m);
        text_close(t);
        if (!i) v = vocab_words_build(text, n, 65536, &arena);
        assert_int_equal(vocab_encode(v, text, n, id, 4 << 20), split[i].tokens);
        round_trip(v, text, n, id);
    }
    assert_int_equal(vocab_size(v), 33278);
}

static size_t mutate(Rng *r, char *s, size_t n, size_t max)
{
    for (uint64_t k = 1 + rng_below(r, 3); k-- > 0; ) {
        const size_t at = n ? rng_below(r, n) : 0, len = 1 + rng_below(r, 12);
        switch (rng_below(r, 5)) {
        case 0: if (n) s[at] = (char)rng_below(r, 256); break;
        case 1: if (n) s[at] ^= (char)(1 << rng_below(r, 8)); break;
        case 2: n = at; break;
        case 3:
            if (at + len <= n) memmove(s + at, s + at + len, n - at - len), n -= len;
            break;
        default:
            if (n + len <= max && at + len <= n) memmove(s + at + len, s + at, n - at), n += len;
        }
    }
    return n;
}

static void test_fuzz_words(void **state)
{
    (void)state;
    const char list[] = "the\n<eos>\n<unk>\ncat\ndog\n\xc3\xa9\n";
    char m[128];
    int good = 0;
    for (int k = 0; k < 3000; k++) {
        const size_t used = arena.used;
        Rng r = rng_at(seed, STREAM_CHECK, 600000 + (uint64_t)k);
        const char *why = NULL, *path = in_tmp("fuzz");
        memcpy(m, list, sizeof list - 1);
        write_file(path, m, mutate(&r, m, sizeof list - 1, sizeof m));
        Vocab *v = vocab_words(path, &arena, &why);
        assert_true(v || (why && *why));
        uint16_t id[16];
        if (v) assert_int_equal(vocab_encode(v, "the bird\n", 9, id, 16), 3), good++;
        arena_reset(&arena, used);
    }
    assert_in_range(good, 1, 2999);
}

static int setup(void **state)
{
    (void)state;
    if (getenv("EIGHTYSIX_SEED")) seed = strtoull(getenv("EIGHTYSIX_SEED"), NULL, 10);
    print_message("seed %llu (EIGHTYSIX_SEED)\n", (unsigned long long)seed);
    arena = arena_new((size_t)2 << 30);
    return mkdtemp(tmp) ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = { "words", "list", "fuzz" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(in_tmp(names[i]));
    rmdir(tmp);
    arena_drop(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words), cmocka_unit_test(test_words_list), cmocka_unit_test(test_words_faults),
        cmocka_unit_test(test_wikitext), cmocka_unit_test(test_fuzz_words),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
