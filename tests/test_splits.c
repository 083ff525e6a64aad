/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Train, valid and test: no text of one is in another, whatever kind of corpus it is; hashes follow
 * what is trained on; nothing that was cached for other splits is served. The documents of `edu`
 * are tested where EIGHTYSIX_DATA has it, and skipped where not. */
#include "harness/corpus/data_parts.h"
#include "harness/util/host.h"
#include "tests/scratch.h"
#include <ctype.h>
#include <lzma.h>
#include <stdlib.h>

#define MARK "<|endoftext|>"
enum { DOCUMENTS = 400, ROOM = 1 << 17 };
static const char *real_dir;                             /* EIGHTYSIX_DATA as it was */

static Corpus *opened(const char *words)
{
    Spec *s = spec_new(&arena);
    const char *why = spec_set_words(s, words);
    if (why) fail_msg("%s", why);
    Corpus *c = corpus_open(s, &arena, &why);
    if (!c) fail_msg("%s: %s", words, why);
    return c;
}

/* The text that ids stand for */
static const char *text_of(const Corpus *c, TokenIds tok, long n)
{
    size_t len, size = 0;
    for (long i = 0; i < n; i++) {
        vocab_bytes_of(c->text, token_id(tok, i), &len);
        size += len;
    }
    char *text = arena_raw(&arena, size + 1), *at = text;
    for (long i = 0; i < n; i++) {
        const char *b = vocab_bytes_of(c->text, token_id(tok, i), &len);
        memcpy(at, b, len);
        at += len;
    }
    *at = 0;
    return text;
}

/* The rule of data.h once more, by the digits of the hash */
static int is_test(const char *document, size_t len)
{
    char hex[65];
    int rest = 0;
    sha256_hex(document, len, hex);
    for (int i = 0; i < 64; i++)
        rest = (rest * 16 + (hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10)) % 100;
    return !rest;
}

/* The text with the first number behind it that makes it a test document */
static const char *as_test(const char *text)
{
    for (int n = 0;; n++) {
        const size_t used = arena.used;
        const char *s = arena_text(&arena, "%s%d\n", text, n);
        if (is_test(s, strlen(s))) return s;
        arena_reset(&arena, used);
    }
}

/* 5 to 7 are test documents, and have what is nearly a mark */
static const char *document(int i)
{
    switch (i) {
    case 3: return "";                                   /* no bytes between two lines */
    case 5: return as_test("a " MARK " within a line, and\n" MARK " at the begin of one\n");
    case 6: return as_test("<|endof\n<|endoftext|\n");
    case 7: return as_test("<|endoftext");
    default: return arena_text(&arena, "document %d\nsays %ld\n\n", i, (long)i * i);
    }
}

/* What is to come of it */
typedef struct Wanted { char all[ROOM], train[ROOM], test[ROOM]; int tests; } Wanted;

/* `from` .. `to` - 1; the last one has no line that ends it where `open` is 1 */
static Wanted *documents(int from, int to, int open)
{
    Wanted *w = arena_get(&arena, sizeof *w);
    for (int i = from; i < to; i++) {
        const char *text = document(i);
        const int test = is_test(text, strlen(text));
        const char *whole = open && i == to - 1 ? text : arena_text(&arena, "%s" MARK "\n", text);
        strcat(w->all, whole);
        strcat(test ? w->test : w->train, whole);
        w->tests += test;
    }
    return w;
}

static void write_corpus(const char *name, const char *train)
{
    mkdir(in_tmp(name), 0777);
    write_file(arena_text(&arena, "%s/train.txt", name), train, strlen(train));
    write_file(arena_text(&arena, "%s/valid.txt", name), "validation\n" MARK "\n", 25);
}

static void expect_splits(const char *name, const Wanted *w)
{
    const Corpus *c = opened(arena_text(&arena, "corpus=%s vocab=bytes valid_tokens=0", name));
    char hex[65];
    assert_string_equal(text_of(c, c->train, c->n_train), w->train);
    assert_string_equal(text_of(c, c->test.tok, c->test.n), w->test);
    assert_string_equal(text_of(c, c->valid.tok, c->valid.n), "validation\n" MARK "\n");
    assert_string_equal(c->sha, sha256_hex(w->train, strlen(w->train), hex));
    assert_string_equal(c->test.sha, sha256_hex(w->test, strlen(w->test), hex));
    assert_string_equal(corpus_text_sha(name, &arena), c->sha);
    long sum = 0;
    for (int v = 0; v < c->V; v++) sum += c->freq[v];
    assert_int_equal(sum, c->n_train);
}

static void a_hundredth_of_the_documents_is_held_back(void **state)
{
    (void)state;
    int last = DOCUMENTS;                /* a test document without a line that ends it */
    while (!is_test(document(last), strlen(document(last)))) last++;
    for (int open = 0; open < 3; open++) {
        const Wanted *w = documents(0, open > 1 ? last + 1 : DOCUMENTS, open > 0);
        assert_in_range(w->tests, 4, DOCUMENTS / 20);
        write_corpus("held", w->all);
        expect_splits("held", w);
    }
}

/* Pieces of a text end anywhere: marks that lie across them are found too */
static void marks_across_pieces_are_found(void **state)
{
    (void)state;
    enum { SIZE = 4 << 20 };
    char *all = arena_raw(&arena, SIZE), *at = all;
    long count = 0, tests = 0;
    while (at < all + SIZE - 200) {
        const char *text = document(1000 + (int)count++);
        tests += is_test(text, strlen(text));
        at += sprintf(at, "%s" MARK "\n", text);
    }
    const char *why = NULL;
    const Documents *d = documents_find(write_file("long.txt", all, (size_t)(at - all)), &arena,
                                        &why);
    if (!d) fail_msg("%s", why);
    assert_int_equal(d->documents, count);
    assert_int_equal(d->held, tests);
    long bytes = 0;
    for (long i = 0; i < d->trains; i++) bytes += d->train[i].to - d->train[i].from;
    for (long i = 0; i < d->tests; i++) {
        const char *from = all + d->test[i].from, *to = all + d->test[i].to;
        bytes += to - from;
        while (from < to) {
            const char *end = strstr(from, "\n" MARK "\n");
            assert_true(end && end < to && is_test(from, (size_t)(end + 1 - from)));
            from = end + strlen("\n" MARK "\n");
        }
    }
    assert_int_equal(bytes, at - all);
}

/* Its last bytes could begin a mark, and are text */
static void a_text_that_ends_within_a_mark(void **state)
{
    (void)state;
    const char *why = NULL, *last;
    int n = 0;
    do last = arena_text(&arena, "document %d\n<|endof", n++); while (!is_test(last, strlen(last)));
    const char *all = arena_text(&arena, "%s" MARK "\n%s", document(10), last);
    const Documents *d = documents_find(write_file("cut.txt", all, strlen(all)), &arena, &why);
    assert_true(d && d->documents == 2 && d->held == 1 && d->tests == 1);
    assert_int_equal(d->test[0].to - d->test[0].from, strlen(last));
}

/* A packed text is divided like a plain one */
static void a_packed_text_is_divided_too(void **state)
{
    (void)state;
    const Wanted *w = documents(0, DOCUMENTS, 0);
    uint8_t *out = arena_raw(&arena, ROOM);
    size_t size = 0;
    assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, (const uint8_t *)w->all,
                                             strlen(w->all), out, &size, ROOM), LZMA_OK);
    write_corpus("packed", "");
    unlink(in_tmp("packed/train.txt"));
    write_file("packed/train.txt.xz", out, size);
    expect_splits("packed", w);
}

/* The words of vocab=words are those that are trained on */
static void words_are_of_what_is_trained_on(void **state)
{
    (void)state;
    const Wanted *w = documents(0, DOCUMENTS, 0);
    write_corpus("words", w->all);
    const Corpus *c = opened("corpus=words vocab=words");
    long foreign = 0;
    for (int i = 0; i < c->V; i++) {
        size_t len;
        const char *b = vocab_bytes_of(c->text, i, &len) + 1;        /* behind its blank */
        foreign += len > 1 && isdigit((unsigned char)*b) &&
                   !memmem(w->train, strlen(w->train), b, len - 1);
    }
    assert_int_equal(foreign, 0);
}

/* What the program before this one kept of the whole text under the same name is not served */
static void older_caches_are_not_served(void **state)
{
    (void)state;
    const char *why = NULL;
    const Wanted *w = documents(0, DOCUMENTS, 0);
    write_corpus("cached", w->all);
    Vocab *v = vocab_bytes(&arena);
    const size_t n = strlen(w->all);
    int *id = arena_raw(&arena, n * sizeof *id);
    const char *key = files_key_of(in_tmp("cached/train.txt"), vocab_hash(v), &arena);
    mkdir(in_tmp("cache"), 0777);
    TokenWriter *out = tokens_begin(
        in_tmp(arena_text(&arena, "cache/cached.train.bytes.%s.tok", key)), vocab_size(v), &arena,
        &why);
    tokens_add(out, id, vocab_encode(v, w->all, n, id, (long)n));
    const TokenFile head = { .vocab = "bytes", .vocab_hash = vocab_hash(v), .source = "train.txt",
                             .source_hash = "of the whole text", .bytes = (long)n };
    assert_null(tokens_commit(out, &head));
    expect_splits("cached", w);
}

static void expect_no_test(const char *name, const char *train)
{
    char hex[65];
    write_corpus(name, train);
    const Corpus *c = opened(arena_text(&arena, "corpus=%s vocab=bytes", name));
    assert_int_equal(c->test.n, 0);
    says(c->why_no_test, "no documents of train, each ended by a line " MARK);
    assert_string_equal(text_of(c, c->train, c->n_train), train);
    assert_string_equal(c->sha, sha256_hex(train, strlen(train), hex));
    assert_string_equal(corpus_text_sha(name, &arena), c->sha);
}

static void a_text_that_cannot_be_divided_is_trained_on_whole(void **state)
{
    (void)state;
    int test = 10, other = 10;
    while (!is_test(document(test), strlen(document(test)))) test++;
    while (is_test(document(other), strlen(document(other)))) other++;
    expect_no_test("nomark", document(test));
    expect_no_test("one", documents(test, test + 1, 0)->all);
    expect_no_test("none", documents(other, other + 1, 0)->all);
    const char *twice = documents(test, test + 1, 0)->all;
    expect_no_test("all", arena_text(&arena, "%s%s", twice, twice));
}

/* With a test.txt nothing is held back */
static void a_test_file_is_the_test_text(void **state)
{
    (void)state;
    const Wanted *w = documents(0, DOCUMENTS, 0);
    char hex[65];
    write_corpus("three", w->all);
    write_file("three/test.txt", "a test\n", 7);
    const Corpus *c = opened("corpus=three vocab=bytes");
    assert_string_equal(text_of(c, c->train, c->n_train), w->all);
    assert_string_equal(text_of(c, c->test.tok, c->test.n), "a test\n");
    assert_string_equal(c->test.sha, sha256_hex("a test\n", 7, hex));
    write_file("three/test.txt", "a second test\n", 14);
    c = opened("corpus=three vocab=bytes valid_tokens=5");
    assert_string_equal(text_of(c, c->test.tok, c->test.n), "a sec");
    assert_int_equal(c->valid.n, 5);
}

/* Of a single file the last 5 % validate, the 5 % before them test */
static void a_single_file_has_three_splits(void **state)
{
    (void)state;
    enum { N = 20019, SHARE = 1000 };
    const char *s = some_text(N), *path = write_file("single.txt", s, N);
    const Corpus *c = opened(arena_text(&arena, "corpus=%s vocab=bytes valid_tokens=0", path));
    assert_int_equal(c->n_train, N - 2 * SHARE);
    assert_memory_equal(text_of(c, c->train, c->n_train), s, N - 2 * SHARE);
    assert_int_equal(c->test.n, SHARE);
    assert_memory_equal(text_of(c, c->test.tok, c->test.n), s + N - 2 * SHARE, SHARE);
    assert_int_equal(c->valid.n, SHARE);
    assert_memory_equal(text_of(c, c->valid.tok, c->valid.n), s + N - SHARE, SHARE);
    char hex[65];
    assert_string_not_equal(c->sha, sha256_hex(s, N, hex));
    assert_string_equal(corpus_text_sha(path, &arena), c->sha);
    assert_string_not_equal(c->sha, c->valid.sha);
    assert_string_not_equal(c->test.sha, c->valid.sha);
}

static const char *token_file(const char *name, long n, const char *hash)
{
    const char *why = NULL, *path = in_tmp(name);
    TokenWriter *w = tokens_begin(path, 300, &arena, &why);
    for (int i = 0; i < n; i++) tokens_add(w, &(int){ i % 300 }, 1);
    const TokenFile head = { .vocab = "other", .vocab_hash = "ab", .source = "s",
                             .source_hash = hash };
    assert_null(tokens_commit(w, &head));
    return path;
}

static void token_files_are_divided_like_texts(void **state)
{
    (void)state;
    const char *hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const char *path = token_file("alone.tok", 2000, hash);
    const Corpus *c = opened(arena_text(&arena, "corpus=%s", path));
    assert_true(c->n_train == 1800 && c->test.n == 100 && c->valid.n == 100);
    assert_true(c->test.tok.at == token_ids_from(c->train, 1800).at &&
                c->valid.tok.at == token_ids_from(c->train, 1900).at);
    assert_string_equal(corpus_text_sha(path, &arena), c->sha);
    path = token_file("x.train.tok", 2000, hash);
    token_file("x.valid.tok", 200, "cd");
    c = opened(arena_text(&arena, "corpus=%s", path));
    assert_true(c->n_train == 2000 && c->valid.n == 200 && !c->test.n);
    says(c->why_no_test, "token files of train and valid, none of test");
    assert_string_equal(c->sha, hash);
    assert_string_equal(corpus_text_sha(path, &arena), hash);
    token_file("x.test.tok", 150, "ef");
    c = opened(arena_text(&arena, "corpus=%s", path));
    assert_true(c->n_train == 2000 && c->valid.n == 200 && c->test.n == 150);
    assert_string_equal(c->test.sha, "ef");
}

/* The streams of the synthetic language share no window, and the floor is that of each */
static void synth_has_a_third_stream(void **state)
{
    (void)state;
    enum { WINDOW = 16, V = 500 };
    const Corpus *c = opened("corpus=synth V=500 train_tokens=20000 valid_tokens=3000");
    assert_true(c->test.n == 3000 && c->valid.n == 3000 && c->n_train == 20000);
    assert_true(c->test.floor > 1 && c->test.floor < c->test.unigram);
    assert_true(c->test.floor != c->valid.floor && c->test.unigram != c->valid.unigram);
    for (long i = 0; i + WINDOW <= c->test.n; i += WINDOW)
        for (int of = 0; of < 2; of++) {
            const TokenIds other = of ? c->train : c->valid.tok;
            const long n = of ? c->n_train : c->valid.n;
            for (long k = 0; k + WINDOW <= n; k++) {
                int same = 0;
                while (same < WINDOW &&
                       token_id(c->test.tok, i + same) == token_id(other, k + same)) same++;
                assert_true(same < WINDOW);
            }
        }
}

/* The hash of every document of a text that has marks, taken apart once more */
typedef struct Seen { long documents, tests; size_t n; char *text; } Seen;

static void see_text(Seen *seen, Text *t)
{
    const char *piece, *why = NULL;
    if (!t) fail_msg("cannot be opened");
    for (long n; (n = text_piece(t, &piece, &why)) > 0; ) {
        memcpy(seen->text + seen->n, piece, (size_t)n);
        seen->n += (size_t)n;
        char *from = seen->text, *end, *last = seen->text + seen->n;
        while ((end = memmem(from, (size_t)(last - from), "\n" MARK "\n", sizeof MARK + 1))) {
            seen->documents++;
            seen->tests += is_test(from, (size_t)(end + 1 - from));
            from = end + sizeof MARK + 1;
        }
        seen->n = (size_t)(last - from);
        memmove(seen->text, from, seen->n);
    }
    assert_null(why);
    assert_int_equal(seen->n, 0);
    text_close(t);
}

static void no_test_document_of_edu_is_trained_on(void **state)
{
    (void)state;
    if (!real_dir || access(arena_text(&arena, "%s/edu/train.txt.xz", real_dir), R_OK)) {
        print_message("needs edu under EIGHTYSIX_DATA\n");
        skip();
    }
    const char *why = NULL;
    setenv("EIGHTYSIX_DATA", real_dir, 1);
    Source *s = source_find("edu", &arena, &why);
    Seen train = { .text = arena_raw(&arena, 256 << 20) }, test = train;
    see_text(&train, source_open(s, SPLIT_TRAIN, &arena, &why));
    see_text(&test, source_open(s, SPLIT_TEST, &arena, &why));
    setenv("EIGHTYSIX_DATA", tmp, 1);
    assert_int_equal(train.tests, 0);
    assert_int_equal(test.tests, test.documents);
    assert_in_range(test.documents, 150, 250);
    assert_int_equal(train.documents + test.documents, 20205);
}

static int setup(void **state)
{
    if (scratch_make(state)) return -1;
    real_dir = getenv("EIGHTYSIX_DATA") ? arena_text(&arena, "%s", getenv("EIGHTYSIX_DATA")) : NULL;
    setenv("EIGHTYSIX_DATA", tmp, 1);
    setenv("EIGHTYSIX_CACHE", in_tmp("cache"), 1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundredth_of_the_documents_is_held_back),
        cmocka_unit_test(marks_across_pieces_are_found),
        cmocka_unit_test(a_text_that_ends_within_a_mark),
        cmocka_unit_test(a_packed_text_is_divided_too),
        cmocka_unit_test(words_are_of_what_is_trained_on),
        cmocka_unit_test(older_caches_are_not_served),
        cmocka_unit_test(a_text_that_cannot_be_divided_is_trained_on_whole),
        cmocka_unit_test(a_test_file_is_the_test_text),
        cmocka_unit_test(a_single_file_has_three_splits),
        cmocka_unit_test(token_files_are_divided_like_texts),
        cmocka_unit_test(synth_has_a_third_stream),
        cmocka_unit_test(no_test_document_of_edu_is_trained_on),
    };
    return cmocka_run_group_tests_name("splits", tests, setup, scratch_drop);
}
