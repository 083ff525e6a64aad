/* SPDX-License-Identifier: GPL-3.0-or-later */
/* GPT-2's vocabulary: its ids on public vectors, round trips, the split against PCRE2 and the
 * published pattern, merges against the plain algorithm, the loader against mutated files. Tests
 * with real data read EIGHTYSIX_DATA and are skipped where it has none. */
#include "harness/corpus/bpe.h"
#include "harness/corpus/data_parts.h"
#include "harness/corpus/gpt2_pretokenizer.h"
#include "harness/corpus/vocab_parts.h"
#include "tests/scratch.h"
#include <jansson.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static Vocab *gpt2(void)
{
    const char *why = NULL;
    Vocab *v = vocab_gpt2(real_data("gpt2"), &arena, &why);
    if (!v) fail_msg("%s", why);
    return v;
}

static const char *const awkward[] = { "the",
                                       " the",
                                       "'s",
                                       "'re",
                                       "'ll",
                                       "'LL",
                                       "don't",
                                       "'",
                                       "  ",
                                       "   ",
                                       " ",
                                       "\n",
                                       "\r\n",
                                       "\t",
                                       "\v",
                                       "\x1c",
                                       "\x7f",
                                       "0",
                                       "12345",
                                       " 7",
                                       "!?",
                                       " ...",
                                       "\xc3\xa9",
                                       " \xc3\xa9t\xc3\xa9",
                                       "\xe4\xb8\xad\xe6\x96\x87",
                                       "\xc2\xa0",
                                       "\xc2\x85",
                                       "\xe2\x80\x83",
                                       "\xe2\x80\xa8",
                                       "\xe3\x80\x80",
                                       "\xe1\x9a\x80",
                                       "\xe2\x80\x99s",
                                       "\xf0\x9f\x98\x80",
                                       "\xd9\xa3",
                                       "\xc2\xbd",
                                       "\xcc\x81",
                                       "a",
                                       "Z",
                                       "_",
                                       "<|endoftext|>",
                                       "<|end",
                                       "\xef\xbb\xbf",
                                       "\xe2\x85\xa7",
                                       "\xe0\xa4\x95\xe0\xa5\x8d" };
enum { AWKWARD = sizeof awkward / sizeof *awkward };

/* kind 0: valid UTF-8; 1: with stray bytes; 2: any bytes */
static size_t random_text(Rng *r, int kind, char *out, size_t max)
{
    size_t n = 0;
    const size_t want = rng_below(r, max);
    while (n < want) {
        if (kind == 2 || (kind == 1 && !rng_below(r, 6))) {
            out[n++] = (char)rng_below(r, 256);
            continue;
        }
        const char *s = awkward[rng_below(r, AWKWARD)];
        if (n + strlen(s) > max) break;
        memcpy(out + n, s, strlen(s));
        n += strlen(s);
    }
    return n;
}

static void test_vectors(void **state)
{
    (void)state;
    Vocab *v = gpt2();
    json_error_t e;
    json_t *cases = json_load_file(real_data("gpt2/public_vectors.json"), 0, &e), *c;
    assert_non_null(cases);
    size_t i, n = 0;
    json_array_foreach(cases, i, c) {
        const json_t *text = json_object_get(c, "text"), *ids = json_object_get(c, "ids");
        const size_t len = json_string_length(text);
        int id[4096];
        assert_true(len <= 4096);
        const long m = vocab_encode(v, json_string_value(text), len, id, 4096);
        assert_int_equal(m, json_array_size(ids));
        for (long k = 0; k < m; k++)
            assert_int_equal(id[k], json_integer_value(json_array_get(ids, (size_t)k)));
        n++;
    }
    json_decref(cases);
    assert_int_equal(n, 72);
    assert_int_equal(vocab_size(v), 50257);
}

static void test_special(void **state)
{
    (void)state;
    Vocab *v = gpt2();
    int id[16];
    assert_int_equal(vocab_encode(v, "a<|endoftext|>\n", 15, id, 16), 3);
    assert_int_equal(id[1], 50256);
    id[1] = 7;
    /* needs 3, may write 1 */
    assert_int_equal(vocab_encode(v, "a<|endoftext|>\n", 15, id, 1), 3);
    assert_int_equal(id[1], 7);
}

static void test_round_trip_random(void **state)
{
    (void)state;
    Vocab *all[2] = { gpt2(), vocab_bytes(&arena) };
    static char s[3000];
    static int id[3000];
    for (int k = 0; k < 3000; k++) {
        Rng r = rng_at(seed, STREAM_CHECK, (uint64_t)k);
        const size_t n = random_text(&r, k % 3, s, sizeof s);
        round_trip(all[k & 1], s, n, id);
    }
}

/* 10 MB of real text in pieces; and the same ids however it is cut. */
static void test_round_trip_real(void **state)
{
    (void)state;
    Vocab *v = gpt2();
    const char *why = NULL, *piece;
    Text *t = text_open(real_data("edu/train.txt.xz"), &arena, &why);
    int *id = arena_raw(&arena, 8 << 20), *again = arena_raw(&arena, 8 << 20);
    long n, total = 0, whole = 0;
    assert_non_null(t);
    while (total < 10000000 && (n = text_piece(t, &piece, &why)) > 0) {
        const long m = round_trip(v, piece, (size_t)n, id);
        long at = 0, k = 0;
        for (long step = 1000; at < n && !total; step = 3 * step / 2 + 1) {
            const long left = n - at,
                       cut = step < left ? (long)vocab_cut(piece + at, (size_t)step) : left;
            k += vocab_encode(v, piece + at, (size_t)cut, again + k, n);
            at += cut;
        }
        if (!total) assert_int_equal(k, m);
        if (!total) assert_memory_equal(id, again, (size_t)m * sizeof *id);
        total += n;
        whole += m;
    }
    text_close(t);
    assert_true(total >= 10000000 && whole > 2000000);
}

static void test_cut(void **state)
{
    (void)state;
    Vocab *v = gpt2();
    static char s[400];
    static int id[400], parts[400];
    for (int k = 0; k < 3000; k++) {
        Rng r = rng_at(seed, STREAM_CHECK, 100000 + (uint64_t)k);
        const size_t n = random_text(&r, k % 3, s, sizeof s), cut = vocab_cut(s, n);
        const long m = vocab_encode(v, s, n, id, 400), a = vocab_encode(v, s, cut, parts, 400);
        assert_int_equal(a + vocab_encode(v, s + cut, n - cut, parts + a, 400 - a), m);
        assert_memory_equal(id, parts, (size_t)m * sizeof *id);
    }
}

static void pieces_agree(const Pretokenizer *p, const char *s, size_t n)
{
    for (size_t i = 0; i < n; ) {
        const size_t fast = pretokenizer_piece(p, s + i, n - i),
                     slow = pretokenizer_piece_pcre2(p, s + i, n - i);
        assert_int_equal(fast, slow);
        assert_in_range(fast, 1, n - i);
        i += fast;
    }
}

static void test_split_fast_path(void **state)
{
    (void)state;
    const char *why = NULL;
    const Pretokenizer *p = pretokenizer_new(&arena, &why);
    assert_non_null(p);
    static char s[500];
    for (int k = 0; k < 20000; k++) {
        Rng r = rng_at(seed, STREAM_CHECK, 200000 + (uint64_t)k);
        size_t n = random_text(&r, k % 3, s, sizeof s);
        /* short strings over ASCII, where every rule meets every other */
        if (k % 4 == 3)
            for (size_t i = n = 1 + rng_below(&r, 8); i-- > 0;)
                s[i] = "a1' \n!stmdrevl\x80"[rng_below(&r, 16)];
        pieces_agree(p, s, n);
    }
}

static void test_split_real(void **state)
{
    (void)state;
    const char *why = NULL, *piece;
    const Pretokenizer *p = pretokenizer_new(&arena, &why);
    Text *t = text_open(real_data("edu/valid.txt.xz"), &arena, &why);
    assert_non_null(t);
    for (long n; (n = text_piece(t, &piece, &why)) > 0; )
        for (long at = 0; at < n; at += 4096)
            pieces_agree(p, piece + at, (size_t)(n - at < 4096 ? n - at : 4096));
    text_close(t);
}

/* The pattern as published, PCRE2's own \s; U+180E, where they differ, does not occur. */
static void test_split_published(void **state)
{
    (void)state;
    const char *why = NULL;
    int error;
    size_t at;
    const Pretokenizer *p = pretokenizer_new(&arena, &why);
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR) "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| "
                                   "?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
                      PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error, &at, NULL);
    pcre2_match_data *m = pcre2_match_data_create(1, NULL);
    static char s[500];
    for (int k = 0; k < 5000; k++) {
        Rng r = rng_at(seed, STREAM_CHECK, 300000 + (uint64_t)k);
        const size_t n = random_text(&r, 0, s, sizeof s);
        for (size_t i = 0; i < n; ) {
            assert_true(pcre2_match(code, (PCRE2_SPTR)s, n, i, 0, m, NULL) > 0);
            const size_t *o = pcre2_get_ovector_pointer(m);
            assert_int_equal(o[0], i);
            assert_int_equal(pretokenizer_piece(p, s + i, n - i), o[1] - i);
            i = o[1];
        }
    }
    pcre2_match_data_free(m);
    pcre2_code_free(code);
}

/* The algorithm as GPT-2's encoder.py states it: the best pair, everywhere, until none is left. */
static int merge_plainly(const BpeTables *t, const char *s, int n, int *id)
{
    for (int i = 0; i < n; i++) id[i] = t->byte_id[(unsigned char)s[i]];
    for (;;) {
        uint32_t best = BPE_NO_PAIR;
        int to = 0, left = -1, right = -1;
        for (int i = 0; i + 1 < n; i++) {
            const uint32_t rank = bpe_rank(t, id[i], id[i + 1]);
            if (rank < best) {
                best = rank;
                left = id[i];
                right = id[i + 1];
            }
        }
        if (best == BPE_NO_PAIR) return n;
        for (int i = 0; i < n; i++) {
            const int pair = id[i] == left && i + 1 < n && id[i + 1] == right;
            id[to++] = pair ? t->product[best] : id[i];
            i += pair;
        }
        n = to;
    }
}

static void test_merge(void **state)
{
    (void)state;
    Vocab *v = gpt2(), other = { 0 };
    const char *why = NULL;
    const BpeTables *t = bpe_load(real_data("gpt2"), &other, &arena, &why);
    static char s[700];
    static int id[700], plain[700];
    for (int k = 0; k < 2000; k++) {
        Rng r = rng_at(seed, STREAM_CHECK, 400000 + (uint64_t)k);
        const int n = 1 + (int)rng_below(&r, k % 8 ? 12 : 700), letters = k % 3 ? 26 : 2;
        for (int i = 0; i < n; i++)
            s[i] = (char)("etaoinshrdlcumwfgypbvkjxqz"[rng_below(&r, (uint64_t)letters)]);
        const int m = merge_plainly(t, s, n, plain);
        assert_int_equal(vocab_encode(v, s, (size_t)n, id, 700), m);
        assert_memory_equal(id, plain, (size_t)m * sizeof *id);
    }
}

/* Pieces as long as the text: linear, or this does not end. */
static void test_long_pieces(void **state)
{
    (void)state;
    Vocab *v = gpt2();
    const size_t n = 300000;
    char *s = arena_raw(&arena, n);
    int *id = arena_raw(&arena, n * sizeof *id);
    static const char *const unit[] = { "a",    " ",  "\xc3\xa9",    "\xff", "\xe4\xb8\xad",
                                        "ab1!", "\n", "\xe3\x80\x80" };
    for (size_t k = 0; k < sizeof unit / sizeof *unit; k++) {
        const size_t len = strlen(unit[k]);
        for (size_t i = 0; i < n; i++) s[i] = unit[k][i % len];
        round_trip(v, s, n, id);
    }
}

/* A vocabulary of the bytes, "th", "the", " the" and <|endoftext|>; returns the length of the JSON.
 */
static size_t small_files(char *json, char *bpe)
{
    char *p = json;
    int other = 256;
    p += sprintf(p, "{");
    for (int b = 0; b < 256; b++) {
        const int c = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174 ? b : other++;
        if (c == '"' || c == '\\') p += sprintf(p, "\"\\%c\": %d, ", c, b);
        else if (c < 0x80) p += sprintf(p, "\"%c\": %d, ", c, b);
        else p += sprintf(p, "\"%c%c\": %d, ", 0xc0 | c >> 6, 0x80 | (c & 0x3f), b);
    }
    p += sprintf(p, "\"th\": 256, \"the\": 257, \"\\u0120the\": 258, \"<|endoftext|>\": 259}\n");
    strcpy(bpe, "#version: 0.2\nt h\nth e\n\xc4\xa0 the\n");
    return (size_t)(p - json);
}

static Vocab *small_vocab(const char *json, size_t json_len, const char *bpe, size_t bpe_len,
                          const char **why)
{
    write_file("encoder.json", json, json_len);
    write_file("vocab.bpe", bpe, bpe_len);
    return vocab_gpt2(tmp, &arena, why);
}

static void test_small_gpt2(void **state)
{
    (void)state;
    char json[8192], bpe[256];
    const char *why = NULL;
    int id[16];
    const size_t n = small_files(json, bpe);
    Vocab *v = small_vocab(json, n, bpe, strlen(bpe), &why);
    if (!v) fail_msg("%s", why);
    assert_int_equal(vocab_encode(v, "the the<|endoftext|>th", 22, id, 16), 4);
    assert_true(id[0] == 257 && id[1] == 258 && id[2] == 259 && id[3] == 256);
}

static void gpt2_refused(const char *json, const char *bpe, const char *sentence)
{
    const char *why = NULL;
    if (small_vocab(json, strlen(json), bpe, strlen(bpe), &why))
        fail_msg("accepted, expected '%s'", sentence);
    if (!strstr(why, sentence)) fail_msg("'%s' does not say '%s'", why, sentence);
}

static void test_gpt2_faults(void **state)
{
    (void)state;
    char json[8192], bpe[256];
    small_files(json, bpe);
    const char *end = strrchr(json, '}');
    const char *more = arena_text(&arena, "%.*s, \"zz\": 260}", (int)(end - json), json);
    const char *twice = arena_text(&arena, "%.*s, \"zz\": 3}", (int)(end - json), json);
    gpt2_refused("{", bpe, "expected JSON");
    gpt2_refused("[1]", bpe, "expected an object");
    gpt2_refused("{\"a\": 0}", bpe, "entries, expected 256");
    gpt2_refused(twice, bpe, "expected every id 0..260 once");
    gpt2_refused(more, bpe, "entry \"zz\": expected a byte, the product of a merge");
    gpt2_refused(json, "t h\nth e\n", "entry \"\xc4\xa0the\": expected a byte, the product");
    gpt2_refused(json, "t h\nthe\n", "vocab.bpe: line 2: expected two symbols with one blank");
    gpt2_refused(json, "th e\n",
                 "line 1: expected symbols that are bytes or made by the lines before");
    gpt2_refused(json, "t h\nt h\n", "line 2: expected a product no line before has made");
    gpt2_refused(json, "t q\n", "line 1: expected a pair whose product is in encoder.json");
}

static void test_fuzz_gpt2(void **state)
{
    (void)state;
    char json[8192], bpe[256], mj[8192], mb[256];
    const size_t nj = small_files(json, bpe), nb = strlen(bpe);
    int good = 0;
    for (int k = 0; k < 3000; k++) {
        const size_t used = arena.used;
        Rng r = rng_at(seed, STREAM_CHECK, 500000 + (uint64_t)k);
        const char *why = NULL;
        memcpy(mj, json, nj);
        memcpy(mb, bpe, nb);
        const size_t a = k & 1 ? mutate(&r, mj, nj, sizeof mj) : nj,
                     b = k & 1 ? nb : mutate(&r, mb, nb, sizeof mb);
        Vocab *v = small_vocab(mj, a, mb, b, &why);
        assert_true(v || (why && *why));
        if (v) {
            int id[64];
            round_trip(v, "the <|endoftext|> th\xff the", 25, id);
            good++;
        }
        arena_reset(&arena, used);
    }
    assert_in_range(good, 1, 2999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_special),
        cmocka_unit_test(test_round_trip_random),
        cmocka_unit_test(test_round_trip_real),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_split_fast_path),
        cmocka_unit_test(test_split_real),
        cmocka_unit_test(test_split_published),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_long_pieces),
        cmocka_unit_test(test_small_gpt2),
        cmocka_unit_test(test_gpt2_faults),
        cmocka_unit_test(test_fuzz_gpt2),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}
