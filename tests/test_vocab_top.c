/* SPDX-License-Identifier: GPL-3.0-or-later */
/* vocab=gpt2-top: the list and what it makes of a text, with bytes in the place of GPT-2; then
 * trainings with it, which are skipped where there is no GPT-2 vocabulary. */
#include "harness/corpus/vocab.h"
#include "tests/place.h"
#include <math.h>
#include <sys/stat.h>

static const char text[] = "the bird and the bee and a tree<|endoftext|>the end<|endoftext|>";

/* By the counts of the bytes of the text */
static Vocab *top_of(Place *p, long most)
{
    Vocab *base = vocab_bytes(&p->a);
    long *count = arena_get(&p->a, sizeof *count * (size_t)vocab_size(base));
    int id[128];
    const long n = vocab_encode(base, text, strlen(text), id, 128);
    for (long i = 0; i < n; i++) count[id[i]]++;
    size_t len;
    const char *why, *list = vocab_top_list(count, most, base, &len, &p->a);
    Vocab *v = vocab_top(list, len, "list", base, &p->a, &why);
    if (!v) fail_msg("%s", why);
    return v;
}

/* Every byte of the text is itself where it is among the most frequent, <unk> where it is not;
 * <|endoftext|> is <eos>; the cost of naming is a law over what is not kept. */
static void ids_are_the_most_frequent(void **state)
{
    Place *p = *state;
    size_t len;
    Vocab *v = top_of(p, 8), *base = vocab_base(v);
    assert_int_equal(vocab_size(v), 8);
    /* counted by hand; of two that are as frequent the smaller id is first */
    assert_string_equal(vocab_list(v, &len, &p->a),
                        "8\n32 8\n101 8\n100 4\n116 4\n97 3\n104 3\n110 3\n98 2\n114 2\n105 1\n");
    assert_int_equal(len, strlen(vocab_list(v, &len, &p->a)));
    int id[128], plain[128];
    const long n = vocab_encode(v, text, strlen(text), id, 128);
    assert_int_equal(n, vocab_encode(base, text, strlen(text), plain, 128));
    double sum = 0;
    for (long i = 0; i < n; i++) {
        static const char kept[] = " edt";
        const char *at = plain[i] < 256 ? strchr(kept, plain[i]) : NULL;
        assert_int_equal(id[i], at ? 4 + (int)(at - kept) : plain[i] == 256 ? 3 : 1);
        assert_true((vocab_naming(v, plain[i]) > 0) == (id[i] == 1));
    }
    for (int b = 0; b < 257; b++) sum += vocab_naming(v, b) > 0 ? exp(-vocab_naming(v, b)) : 0;
    assert_true(fabs(sum - 1) < 1e-12);
    assert_true(fabs(vocab_naming(v, 'a') - vocab_naming(v, 'z') + log(4)) < 1e-12);
    assert_memory_equal(vocab_bytes_of(v, 5, &len), "e", 1);
    assert_int_equal(len, 1);
    assert_memory_equal(vocab_bytes_of(v, 3, &len), "<|endoftext|>", 13);
    assert_string_equal(vocab_name(v), "gpt2-top");
    assert_string_not_equal(vocab_hash(v), vocab_hash(top_of(p, 9)));
    /* more than there are: all of them, and nothing is unknown */
    v = top_of(p, 1000);
    assert_int_equal(vocab_size(v), 4 + 10);
    vocab_encode(v, text, strlen(text), id, 128);
    for (long i = 0; i < n; i++) assert_int_not_equal(id[i], 1);
}

static void lists_are_refused(void **state)
{
    Place *p = *state;
    static const struct { const char *list, *says; } bad[] = {
        { "", "list: line 1: expected the size" }, { "3\n", "line 1: expected the size" },
        { "258\n", "line 1: expected the size" }, { "6", "line 1: expected the size" },
        { "6\n97 3\n", "line 1: expected at most 5 ids" },
        { "5\n97 3\n98 4\n", "line 3: expected an id" }, { "5\n97 3\n97 2\n", "line 3: expected" },
        { "5\n257 3\n", "line 2: expected an id" }, { "5\n256 3\n", "line 2: expected an id" },
        { "5\n97 0\n", "line 2: expected an id" }, { "5\n-1 3\n", "line 2: expected an id" },
        { "5\n97 3", "line 2: expected an id" }, { "5\n97  3\n", "line 2: expected an id" },
        { "5\n99999999999999999999 3\n", "line 2: expected an id" }
    };
    Vocab *base = vocab_bytes(&p->a);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *why = NULL;
        assert_null(vocab_top(bad[i].list, strlen(bad[i].list), "list", base, &p->a, &why));
        if (!why || !strstr(why, bad[i].says)) fail_msg("%s: %s", bad[i].list, why);
    }
    const char *why = NULL;
    assert_null(vocab_top("5\n97 3\n\0", 8, "list", base, &p->a, &why));
    assert_non_null(strstr(why, "zero"));
}

/* The number behind `what` in what a command said */
static double number(const char *said, const char *what)
{
    const char *at = strstr(said, what);
    if (!at) fail_msg("no %s in %s", what, said);
    return strtod(at + strlen(what), NULL);
}

/* A corpus of words, of which a few are rare; GPT-2's vocabulary by a link */
static int corpus(Place *p)
{
    const char *data = getenv("EIGHTYSIX_REAL_DATA");
    if (!data || access(arena_text(&p->a, "%s/gpt2/vocab.bpe", data), R_OK)) return 0;
    if (symlink(arena_text(&p->a, "%s/gpt2", data), place_in(p, "gpt2"))) return 0;
    mkdir(place_in(p, "birds"), 0777);
    static const char *const words[] = { "the", " bird", " sings", " and", " flies", " over",
                                         " hills", " quietly", " zebra", " obelisk" };
    static const char *const names[] = { "train", "valid", "test" };
    Rng r = rng_at(test_seed(), STREAM_CHECK, 90);
    for (int f = 0; f < 3; f++) {
        char *s = arena_get(&p->a, 40000);
        for (int i = 0; i < (f ? 800 : 3000); i++) {
            const double u = rng_uniform(&r);
            strcat(s, words[(int)(10 * u * u * u)]);
        }
        place_write(p, arena_text(&p->a, "birds/%s.txt", names[f]), s);
    }
    return 1;
}

/* Bits per byte are of the whole text: with all ids kept they are those of the loss alone, with
 * fewer they have the cost of naming; the number of bytes is that of the text either way. A
 * checkpoint has its vocabulary: it is evaluated and speaks without the training text. */
static void trainings(void **state)
{
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY") || !corpus(p)) skip();
    const char *small = "corpus=birds vocab=gpt2-top d=32 inner=32 batch=1 accum=1 seq=8 threads=1 "
                        "gemm=portable conv_groups=4 dilations=1,2 head=softmax budget=4steps "
                        "valid_tokens=300";
    double per_token[2];
    for (int cut = 0; cut < 2; cut++) {
        const char *saved = place_in(p, cut ? "cut.safetensors" : "all.safetensors");
        const char *said = place_expect(p, 0, arena_text(&p->a, "cell %s V=%d save=%s 3>&-", small,
                                                         cut ? 9 : 10000, saved));
        assert_non_null(strstr(said, "text vocab gpt2-top"));
        const double nll = number(said, "num nll 4 "), bits = number(said, "num bits_per_byte 4 ");
        per_token[cut] = nll / log(2) / bits;
        said = place_expect(p, 0, arena_text(&p->a, "eval %s split=valid --json", saved));
        assert_true(fabs(number(said, "\"nll\":") / nll - 1) < 1e-6);
        assert_true(fabs(number(said, "\"bits_per_byte\":") / bits - 1) < 1e-6);
        said = place_expect(p, 0, arena_text(&p->a, "generate %s --tokens 20", saved));
        assert_true(strlen(said) > 20);
    }
    /* bytes a token; fewer where words have to be named, of a text so short at a high price */
    assert_true(per_token[0] > 3 && per_token[0] < 8);
    if (!(per_token[1] < 0.99 * per_token[0] && per_token[1] > 0.3 * per_token[0]))
        fail_msg("%g bytes a token, %g", per_token[0], per_token[1]);
}

int main(void)
{
#define PLACED(test) cmocka_unit_test_setup_teardown(test, place_make, place_drop)
    const char *data = getenv("EIGHTYSIX_DATA");
    if (data) setenv("EIGHTYSIX_REAL_DATA", data, 1);
    const struct CMUnitTest tests[] = {
        PLACED(ids_are_the_most_frequent), PLACED(lists_are_refused),
        cmocka_unit_test_setup_teardown(trainings, place_make_data, place_drop)
    };
    return cmocka_run_group_tests_name("vocab_top", tests, NULL, NULL);
}
