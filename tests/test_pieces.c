/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pieces: the ids of a published tokenizer in both ways of writing it, its text again, parts of a
 * text, and files that are not as they have to be. */
#include "tests/scratch.h"
#include "tests/tokenizer.h"

static Vocab *pieces(const char *json)
{
    const char *why = NULL;
    Vocab *v = vocab_pieces_of(json, strlen(json), "tokenizer.json", 0, &arena, &why);
    if (!v) fail_msg("%s", why);
    return v;
}

static Vocab *plain(const char *blanks)
{
    return pieces(tokenizer_json(blanks, TOKENIZER_MERGES, &arena));
}

#define BYTE(b) (3 + (b))
enum { END = -1 };

static void encodes(Vocab *v, const char *text, const int *expected)
{
    int id[64];
    long n = 0;
    while (expected[n] != END) n++;
    const long m = vocab_encode(v, text, strlen(text), id, 64);
    if (m != n) fail_msg("'%s': %ld ids, expected %ld", text, m, n);
    for (long i = 0; i < n; i++)
        if (id[i] != expected[i])
            fail_msg("'%s': id %ld is %d, expected %d", text, i, id[i], expected[i]);
}

/* The text of what encodes to it */
static void decodes(Vocab *v, const char *text, const char *expected)
{
    int id[64], begun = 0;
    char back[128];
    size_t at = 0, len;
    const long n = vocab_encode(v, text, strlen(text), id, 64);
    for (long i = 0; i < n; i++) {
        const char *s = vocab_text_of(v, id[i], &begun, &len);
        memcpy(back + at, s, len);
        at += len;
    }
    back[at] = 0;
    assert_string_equal(back, expected);
}

static void ids_with_a_normalizer(void **state)
{
    (void)state;
    Vocab *v = plain(TOKENIZER_PREPEND);
    assert_int_equal(vocab_size(v), TOKENIZER_V);
    assert_string_equal(vocab_name(v), "pieces");
    encodes(v, "", (int[]){ 1, END });
    encodes(v, "ab", (int[]){ 1, PIECE_BLANK_AB, END });
    /* "ab" has the lower rank, "abc" is none with a blank before it */
    encodes(v, "abc", (int[]){ 1, PIECE_BLANK_AB, PIECE_C, END });
    encodes(v, "cabc", (int[]){ 1, PIECE_BLANK, PIECE_C, PIECE_ABC, END });
    encodes(v, " ", (int[]){ 1, PIECE_BLANKS, END });
    encodes(v, "a  ab", (int[]){ 1, PIECE_BLANK, PIECE_A, PIECE_BLANK, PIECE_BLANK_AB, END });
    encodes(v, "d\n\xc3\xa9", (int[]){ 1, PIECE_BLANK, BYTE('d'), BYTE('\n'), BYTE(0xc3),
                                       BYTE(0xa9), END });
    encodes(v, "\xff\xe2\x96", (int[]){ 1, PIECE_BLANK, BYTE(0xff), BYTE(0xe2), BYTE(0x96), END });
    encodes(v, "\xe2\x96\x81" "ab", (int[]){ 1, PIECE_BLANK, PIECE_BLANK_AB, END });
    encodes(v, "ab</s>ab<s>", (int[]){ 1, PIECE_BLANK_AB, 2, PIECE_BLANK_AB, 1, END });
    encodes(v, "</s> c", (int[]){ 1, 2, PIECE_BLANKS, PIECE_C, END });
}

/* tokenizers 0.20 and later write pairs */
static void merges_as_pairs(void **state)
{
    (void)state;
    int one[256], other[256];
    Vocab *v = plain(TOKENIZER_PREPEND),
          *w = pieces(tokenizer_json(TOKENIZER_PREPEND, TOKENIZER_PAIRS, &arena));
    const char *s = some_text(200);
    const long n = vocab_encode(v, s, 100, one, 256);
    assert_int_equal(vocab_encode(w, s, 100, other, 256), n);
    assert_memory_equal(one, other, sizeof *one * (size_t)n);
}

static void ids_with_a_metaspace(void **state)
{
    (void)state;
    Vocab *first = plain(TOKENIZER_METASPACE("first", "false")),
          *always = plain(TOKENIZER_METASPACE("always", "true")),
          *never = plain(TOKENIZER_METASPACE("never", "false"));
    encodes(first, "ab</s>ab", (int[]){ 1, PIECE_BLANK_AB, 2, PIECE_AB, END });
    encodes(first, " ab", (int[]){ 1, PIECE_BLANK_AB, END });
    encodes(first, "  c", (int[]){ 1, PIECE_BLANKS, PIECE_C, END });
    encodes(always, "ab</s>ab", (int[]){ 1, PIECE_BLANK_AB, 2, PIECE_BLANK_AB, END });
    encodes(always, "  ab", (int[]){ 1, PIECE_BLANK, PIECE_BLANK_AB, END });
    encodes(never, "ab ab", (int[]){ 1, PIECE_AB, PIECE_BLANK_AB, END });
    encodes(never, "", (int[]){ 1, END });
}

static void texts(void **state)
{
    (void)state;
    Vocab *v = plain(TOKENIZER_PREPEND);
    static const char *const same[] = { "", " ", "ab c", "  two", "end ", "\xc3\xa9\n", "a\xff" };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) decodes(v, same[i], same[i]);
    /* special tokens have no text, the blank that was put behind them has */
    decodes(v, "ab</s>ab", "ab ab");
    decodes(v, "<s>ab", "ab");
}

/* A text in parts has the ids of the whole */
static void parts(void **state)
{
    (void)state;
    static const char *const blanks[] = { TOKENIZER_PREPEND, TOKENIZER_METASPACE("always", "true"),
                                          TOKENIZER_METASPACE("first", "false") };
    enum { N = 300 };
    Rng r = rng_at(seed, STREAM_CHECK, 3);
    for (int k = 0; k < 90; k++) {
        Vocab *v = plain(blanks[k % 3]);
        char *s = some_text(N);
        for (int i = 0; i < N; i++)
            if (rng_below(&r, 3)) s[i] = "ab c</s> \n\xe2\x96\x81"[rng_below(&r, 13)];
        int whole[2 * N + 4], part[2 * N + 4];
        const long n = vocab_encode(v, s, N, whole, 2 * N + 4);
        const size_t cut = vocab_cut(s, 1 + rng_below(&r, N));
        if (!cut) continue;
        const long m = vocab_encode(v, s, cut, part, 2 * N + 4);
        assert_int_equal(m + vocab_encode_more(v, s + cut, N - cut, part + m, 2 * N + 4 - m), n);
        assert_memory_equal(whole, part, sizeof *whole * (size_t)n);
        assert_true((size_t)n <= vocab_room(N));
    }
}

static void refused(const char *json, const char *expected)
{
    const char *why = NULL;
    assert_null(vocab_pieces_of(json, strlen(json), "DIR/tokenizer.json", 0, &arena, &why));
    says(why, "DIR/tokenizer.json: ");
    says(why, expected);
}

/* The tokenizer with one passage replaced */
static void changed(const char *from, const char *to, const char *expected)
{
    const char *json = tokenizer_json(TOKENIZER_PREPEND, TOKENIZER_MERGES, &arena),
               *at = strstr(json, from);
    if (!at) fail_msg("no '%s' in the tokenizer", from);
    refused(arena_text(&arena, "%.*s%s%s", (int)(at - json), json, to, at + strlen(from)),
            expected);
}

static void what_changes_ids_is_refused(void **state)
{
    (void)state;
    refused("{", "line 1, column 1: expected JSON");
    refused("{}", "expected a tokenizer.json with an object \"model\"");
    changed("\"BPE\"", "\"Unigram\"", "model.type is \"Unigram\"; expected BPE");
    changed("\"byte_fallback\":true", "\"byte_fallback\":false", "model.byte_fallback is false");
    changed("\"dropout\":null", "\"dropout\":0.1", "model.dropout is 0.1");
    changed("\"dropout\":null", "\"ignore_merges\":true", "model.ignore_merges is true");
    changed("\"dropout\":null", "\"end_of_word_suffix\":\"</w>\"", "model.end_of_word_suffix");
    changed("\"Prepend\"", "\"NFKC\"", "normalizer is ");
    changed("\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"Digits\"}",
            "pre_tokenizer is {\"type\":\"Digits\"}; expected null");
    changed("\"TemplateProcessing\"", "\"ByteLevel\"", "post_processor is ");
    changed("\"ids\":[1]", "\"ids\":[4000]", "post_processor.special_tokens is [4000]");
    changed("\"ByteFallback\"", "\"Metaspace\"", "decoder is ");
    changed("\"start\":1", "\"start\":2", "decoder is ");
    changed("\"lstrip\":false", "\"lstrip\":true", "expected lstrip false");
    changed("\"content\":\"<s>\"", "\"content\":\"<bos>\"", "added_tokens is ");
    changed("\"<0x41>\":68", "\"<0x4100>\":68", "no piece <0x41>; expected one for every byte");
    changed("\"a\":260", "\"a\":261", "piece \"b\": expected an id of its own");
    changed("\"a\":260", "\"a\":-1", "piece \"a\": expected an id of its own, from 0 to 266");
    changed("\"a b\"", "\"ab\"", "model.merges: number 0 is \"ab\"; expected \"a b\" or");
    changed("\"a b\"", "[\"a\"]", "model.merges: number 0 is [\"a\"]; expected");
    changed("\"a b\"", "\"a x\"", "expected two pieces that together are a piece");
    changed("\"ab c\"", "\"a b\"", "model.merges: number 2 is \"a b\"; expected every pair once");
    changed("\"abc\":", "\"x\xe2\x96\x81\":267,\"abc\":", "a blank behind another character");
}

static void more_ids_than_pieces(void **state)
{
    (void)state;
    const char *why = NULL, *json = tokenizer_json(TOKENIZER_PREPEND, TOKENIZER_MERGES, &arena);
    size_t len = 1;
    Vocab *v = vocab_pieces_of(json, strlen(json), "t", TOKENIZER_V + 5, &arena, &why);
    assert_non_null(v);
    assert_int_equal(vocab_size(v), TOKENIZER_V + 5);
    vocab_bytes_of(v, TOKENIZER_V + 4, &len);
    assert_int_equal(len, 0);
    assert_null(vocab_pieces_of(json, strlen(json), "t", TOKENIZER_V - 1, &arena, &why));
    says(why, "t: the largest id is 266; expected less than the 266 of the model's vocabulary");
}

static void damaged_files(void **state)
{
    (void)state;
    Rng r = rng_at(seed, STREAM_CHECK, 5);
    const char *json = tokenizer_json(TOKENIZER_PREPEND, TOKENIZER_MERGES, &arena);
    const size_t n = strlen(json);
    int id[64];
    for (int i = 0; i < 400; i++) {
        Arena a = arena_new((size_t)1 << 28);
        char *s = arena_raw(&a, n + 64);
        memcpy(s, json, n);
        const char *why = NULL;
        const size_t len = mutate(&r, s, n, n + 64);
        Vocab *v = vocab_pieces_of(s, len, "damaged", 0, &a, &why);
        if (v) vocab_encode(v, "ab c</s>", 8, id, 64);
        else says(why, "damaged: ");
        arena_drop(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_with_a_normalizer),
        cmocka_unit_test(merges_as_pairs),
        cmocka_unit_test(ids_with_a_metaspace),
        cmocka_unit_test(texts),
        cmocka_unit_test(parts),
        cmocka_unit_test(what_changes_ids_is_refused),
        cmocka_unit_test(more_ids_than_pieces),
        cmocka_unit_test(damaged_files),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}
