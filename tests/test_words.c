/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The vocabulary of words: its order and size, its list on disk, WikiText-2's published counts
 * (skipped where EIGHTYSIX_DATA has no WikiText-2), the loader against mutated lists. */
#include "harness/corpus/data_parts.h"
#include "harness/corpus/vocab_parts.h"
#include "tests/scratch.h"

static void test_words(void **state)
{
    (void)state;
    const char text[] = "the cat sat\nthe dog sat\n\n the  cat\tran";
    int id[16];
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
    const char *why = NULL;
    assert_null(vocab_words(write_file("list", list, strlen(list)), &arena, &why));
    says(why, sentence);
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
    static const struct {
        const char *name;
        long tokens;
    } split[] = { { "train", 2088628 }, { "valid", 217646 }, { "test", 245569 } };
    Vocab *v = NULL;
    int *id = arena_raw(&arena, 16 << 20);
    for (int i = 0; i < 3; i++) {
        size_t n = 0;
        char *text = arena_raw(&arena, 12 << 20);
        Text *t = text_open(real_data(arena_text(&arena, "wikitext-2/%s.txt.xz", split[i].name)),
                            &arena, &why);
        assert_non_null(t);
        for (long m; (m = text_piece(t, &piece, &why)) > 0; n += (size_t)m)
            memcpy(text + n, piece, (size_t)m);
        text_close(t);
        if (!i) v = vocab_words_build(text, n, 65536, &arena);
        assert_int_equal(vocab_encode(v, text, n, id, 4 << 20), split[i].tokens);
        round_trip(v, text, n, id);
    }
    assert_int_equal(vocab_size(v), 33278);
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
        const char *why = NULL;
        memcpy(m, list, sizeof list - 1);
        const char *path = write_file("fuzz", m, mutate(&r, m, sizeof list - 1, sizeof m));
        Vocab *v = vocab_words(path, &arena, &why);
        assert_true(v || (why && *why));
        int id[16];
        if (v) {
            assert_int_equal(vocab_encode(v, "the bird\n", 9, id, 16), 3);
            good++;
        }
        arena_reset(&arena, used);
    }
    assert_in_range(good, 1, 2999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),        cmocka_unit_test(test_words_list),
        cmocka_unit_test(test_words_faults), cmocka_unit_test(test_wikitext),
        cmocka_unit_test(test_fuzz_words),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}
