/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Corpora: token files whole, faulty and mutated; text plain and packed; batches; the cache.
 * The counts of WikiText-2 are tested where EIGHTYSIX_DATA has it, and skipped where not. */
#include "harness/corpus/data_parts.h"
#include "harness/util/host.h"
#include "tests/scratch.h"
#include <lzma.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const char *real_dir;                             /* EIGHTYSIX_DATA as it was */

/* --- token files */

enum { TOKENS = 5000, SMALL_V = 300 };

/* TOKENS ids of a vocabulary of V, the last V / 2 + 1 of them in turn */
static const char *token_file(const char *name, int V)
{
    const char *why = NULL, *path = in_tmp(name);
    int tok[TOKENS];
    for (int i = 0; i < TOKENS; i++) tok[i] = V - 1 - i % (V / 2 + 1);
    TokenWriter *w = tokens_begin(path, V, &arena, &why);
    assert_non_null(w);
    tokens_add(w, tok, TOKENS / 2);
    tokens_add(w, tok + TOKENS / 2, TOKENS / 2);
    const TokenFile head = { .bytes = 12345,
                             .vocab = "bytes",
                             .vocab_hash = "ab",
                             .source = "here",
                             .source_hash = "cd",
                             .floor = 1.5 };
    assert_null(tokens_commit(w, &head));
    return path;
}

static const char *small_file(const char *name) { return token_file(name, SMALL_V); }

static void test_token_file(void **state)
{
    (void)state;
    const char *why = NULL;
    TokenFile *f = tokens_open(small_file("a.tok"), &arena, &why);
    assert_non_null(f);
    assert_true(f->V == SMALL_V && f->n == TOKENS && f->bytes == 12345 && f->floor == 1.5);
    assert_string_equal(f->vocab, "bytes");
    assert_string_equal(f->vocab_hash, "ab");
    assert_string_equal(f->source, "here");
    assert_string_equal(f->source_hash, "cd");
    assert_int_equal(f->tok.bytes, 2);
    for (int i = 0; i < TOKENS; i++)
        assert_int_equal(token_id(f->tok, i), SMALL_V - 1 - i % (SMALL_V / 2 + 1));
    tokens_close(f);
}

/* Two bytes an id and version 1 as long as they suffice, four and version 2 beyond */
static void test_token_widths(void **state)
{
    (void)state;
    static const int sizes[] = { 65535, 65536, 65537, 70000, TOKEN_IDS_MOST };
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const char *why = NULL, *path = token_file("width.tok", sizes[k]);
        const int wide = sizes[k] > 65536;
        size_t n;
        const char *s = read_file(path, &n);
        assert_int_equal(n, 4096 + TOKENS * (wide ? 4 : 2));
        assert_int_equal(s[8], wide ? 2 : 1);
        assert_int_equal(s[456], wide ? 4 : 0);
        TokenFile *f = tokens_open(path, &arena, &why);
        if (!f) fail_msg("%s", why);
        assert_true(f->V == sizes[k] && f->n == TOKENS && f->tok.bytes == (wide ? 4 : 2));
        for (int i = 0; i < TOKENS; i++)
            assert_int_equal(token_id(f->tok, i), sizes[k] - 1 - i % (sizes[k] / 2 + 1));
        tokens_close(f);
    }
}

/* Version 2 may also hold ids of two bytes */
static void test_token_version_2(void **state)
{
    (void)state;
    size_t n;
    const char *why = NULL;
    char *s = read_file(small_file("two.tok"), &n);
    s[8] = 2;
    s[456] = 2;
    TokenFile *f = tokens_open(write_file("two.tok", s, n), &arena, &why);
    if (!f) fail_msg("%s", why);
    assert_true(f->n == TOKENS && f->tok.bytes == 2 && token_id(f->tok, 1) == SMALL_V - 2);
    tokens_close(f);
}

/* A file of V ids with len of its bytes written over at `at`, cut to size (0: not cut). */
static void refused_of(int V, size_t at, const void *bytes, size_t len, size_t size,
                       const char *sentence)
{
    size_t n;
    const char *why = NULL;
    char *s = read_file(token_file("b.tok", V), &n);
    memcpy(s + at, bytes, len);
    assert_null(tokens_open(write_file("b.tok", s, size ? size : n), &arena, &why));
    says(why, "b.tok: ");
    says(why, sentence);
}

static void refused(size_t at, const void *bytes, size_t len, size_t size, const char *sentence)
{
    refused_of(SMALL_V, at, bytes, len, size, sentence);
}

static void test_token_faults(void **state)
{
    (void)state;
    const char *why = NULL;
    refused(0, "x", 1, 0, "expected a token file (it does not begin with 86tokens)");
    refused(8, "\3", 1, 0, "version 3, expected 1 or 2");
    refused(8, "\2", 1, 0, "ids of 0 bytes, expected 2 or 4");
    refused(12, "\0\0\1\1", 4, 0, "ids of 2 bytes, expected 1 to 65536");
    refused(0, "", 0, 4096 + 9000, "expected a header of 4096 and 2 for each of its 5000 tokens");
    refused(0, "", 0, 4096 + 9999, "14095 bytes, expected");
    refused(0, "", 0, 4095, "no room for the header");
    refused(16, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, 0, "cut short");
    refused(4096 + 2 * 4321, "\x2c\1", 2, 0, "token 4321 is id 300, expected less than 300");
    refused(448, "\0\0\0\0\0\0\xf0\xff", 8, 0, "out of range");
    refused_of(70000, 456, "\3", 1, 0, "ids of 3 bytes, expected 2 or 4");
    refused_of(70000, 456, "\2", 1, 0, "70000 ids of 2 bytes, expected 1 to 65536");
    refused_of(70000, 12, "\1\0\x10\0", 4, 0, "1048577 ids of 4 bytes, expected 1 to 1048576");
    refused_of(70000, 0, "", 0, 4096 + 19998, "4 for each of its 5000 tokens: is it cut short?");
    refused_of(70000, 4096, "\x70\x11\1\0", 4, 0, "token 0 is id 70000, expected less");
    refused_of(70000, 4096 + 4, "\xff\xff\xff\xff", 4, 0, "token 1 is id 4294967295, expected");
    assert_null(tokens_open(in_tmp("none.tok"), &arena, &why));
    says(why, "cannot be read");
    assert_null(tokens_open(tmp, &arena, &why));
    says(why, "is a directory; expected a file");
}

static void test_fuzz_tokens(void **state)
{
    (void)state;
    size_t n;
    const char *of[2] = { read_file(small_file("c.tok"), &n) };
    const size_t small = n;
    of[1] = read_file(token_file("d.tok", 70000), &n);
    const size_t sizes[2] = { small, n };
    int good = 0;
    for (int k = 0; k < 2000; k++) {
        const char *whole = of[k / 2 % 2];
        n = sizes[k / 2 % 2];
        const size_t used = arena.used;
        Rng r = rng_at(seed, STREAM_CHECK, (uint64_t)k);
        char *s = memcpy(arena_raw(&arena, n), whole, n);
        for (int i = 0; i < 2; i++)
            s[rng_below(&r, k & 1 ? 480 : n)] ^= (char)(1 << rng_below(&r, 8));
        const char *why = NULL;
        TokenFile *f = tokens_open(write_file("c.tok", s, rng_below(&r, 8) ? n : rng_below(&r, n)),
                                   &arena, &why);
        assert_true(f || (why && *why));
        if (f) {
            for (long i = 0; i < f->n; i++) assert_true(token_id(f->tok, i) < f->V);
            tokens_close(f);
            good++;
        }
        arena_reset(&arena, used);
    }
    assert_in_range(good, 1, 1999);
}

/* What is given back stays within the file's own pages: the neighbours in memory keep theirs. */
static void test_leave(void **state)
{
    (void)state;
    enum { PAGES = 64, PAGE = 4096, ROW = PAGE / 2 };
    Arena a = arena_new(3 * PAGES * PAGE);
    uint16_t *all = arena_raw(&a, 3 * PAGES * PAGE);
    for (int i = 0; i < 3 * PAGES * ROW; i++) all[i] = 7;
    tokens_leave(token_ids_2(all + PAGES * ROW), PAGES * ROW, 10, 20);
    for (int i = 0; i < PAGES * ROW; i++) assert_true(all[i] == 7 && all[2 * PAGES * ROW + i] == 7);
    arena_drop(&a);
}

/* In a child, because the limit and the handler would stay. */
static void test_disk_full(void **state)
{
    (void)state;
    const pid_t pid = fork();
    if (!pid) {
        const char *why = NULL;
        int tok[TOKENS] = { 0 };
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 8192, 8192 });
        TokenWriter *w = tokens_begin(in_tmp("full.tok"), 2, &arena, &why);
        const TokenFile head = {
            .vocab = "v", .vocab_hash = "", .source = "", .source_hash = ""
        };
        for (int i = 0; w && i < 100; i++) tokens_add(w, tok, TOKENS);
        why = w ? tokens_commit(w, &head) : NULL;
        _exit(why && strstr(why, "full.tok: cannot be written: File too large") &&
                      access(in_tmp("full.tok"), F_OK)
                  ? 0
                  : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(system(arena_text(&arena, "ls %s | grep -q part", tmp)) != 0, 1);
}

/* --- text */

static const char *write_xz(const char *name, const char *s, size_t n, size_t *packed)
{
    uint8_t *out = arena_raw(&arena, n + 4096);
    size_t size = 0;
    assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, (const uint8_t *)s, n, out,
                                             &size, n + 4096),
                     LZMA_OK);
    *packed = size;
    return write_file(name, out, size);
}

static const char *read_text(const char *path, char *to, size_t *len, char hash[65])
{
    const char *why = NULL, *piece;
    Text *t = text_open(path, &arena, &why);
    *len = 0;
    for (long n; t && (n = text_piece(t, &piece, &why)) > 0; *len += (size_t)n)
        memcpy(to + *len, piece, (size_t)n);
    if (t) {
        text_hash(t, hash);
        text_close(t);
    }
    return why;
}

static void test_text(void **state)
{
    (void)state;
    const size_t n = 3500000;
    size_t len, packed;
    char *s = some_text(n), *to = arena_raw(&arena, n + 1), hash[65], right[65];
    sha256_hex(s, n, right);
    assert_null(read_text(write_file("t.txt", s, n), to, &len, hash));
    assert_true(len == n && !memcmp(s, to, n));
    assert_string_equal(hash, right);
    memset(to, 0, n);
    const char *xz = write_xz("t.txt.xz", s, n, &packed);
    assert_null(read_text(xz, to, &len, hash));
    assert_true(len == n && !memcmp(s, to, n));
    assert_string_equal(hash, right);
    assert_int_equal(truncate(xz, (off_t)packed / 2), 0);
    says(read_text(xz, to, &len, hash), "cut short");
    write_file("t.txt.xz", "not xz at all", 13);
    says(read_text(xz, to, &len, hash), "expected a sound .xz file");
    says(read_text(in_tmp("none.txt"), to, &len, hash), "cannot be read");
    says(read_text(tmp, to, &len, hash), "is a directory; expected a file");
    assert_null(read_text(write_file("t.txt", "", 0), to, &len, hash));
    assert_int_equal(len, 0);
}

/* --- corpora */

static Corpus *open_corpus(const char *words, const char **why)
{
    Spec *s = spec_new(&arena);
    assert_null(spec_set_words(s, words));
    *why = NULL;
    return corpus_open(s, &arena, why);
}

static void test_corpus(void **state)
{
    (void)state;
    const char *why;
    make_corpus("small", 50000);
    const Corpus *c = open_corpus("corpus=small vocab=bytes valid_tokens=1000", &why);
    if (!c) fail_msg("%s", why);
    assert_true(c->V == 257 && c->n_train == 50000 && c->valid.n == 1000 && c->text &&
                isnan(c->valid.floor));
    assert_true(c->valid.bytes_per_token == 1);
    long sum = 0;
    double h = 0;
    for (int v = 0; v < c->V; v++) sum += c->freq[v];
    assert_int_equal(sum, 50000);
    for (long i = 0; i < c->valid.n; i++)
        h -= log((double)(c->freq[token_id(c->valid.tok, i)] + 1) / 50257.0) / 1000;
    assert_true(fabs(h - c->valid.unigram) < 1e-12);
    c = open_corpus("corpus=small vocab=words V=6", &why);
    assert_true(c && c->V == 6);
    c = open_corpus("corpus=small vocab=words V=1", &why);
    says(why, "expected at least 2 words");
    assert_null(open_corpus("corpus=small vocab=synth", &why));
    says(why, "expected gpt2, gpt2-top, words, bytes or pieces");
    assert_null(open_corpus("corpus=nowhere", &why));
    says(why, "no corpus 'nowhere'");
    assert_null(open_corpus("corpus=./nowhere.txt", &why));
    says(why, "cannot be read");
    mkdir(in_tmp("empty"), 0777);
    write_file("empty/train.txt", "", 0);
    assert_null(open_corpus("corpus=empty vocab=bytes", &why));
    says(why, "empty/train.txt: an empty text");
    write_file("empty/train.txt", "a", 1);
    assert_null(open_corpus("corpus=empty vocab=bytes", &why));
    says(why, "corpus=empty: tokens to train on: 1, to validate on: 0; expected at least 2");
}

/* What f writes to stderr */
static const char *stderr_of(void (*f)(void))
{
    size_t n;
    fflush(stderr);
    const int was = dup(2);
    assert_non_null(freopen(in_tmp("stderr"), "w", stderr));
    f();
    fflush(stderr);
    dup2(was, 2);
    close(was);
    return read_file(in_tmp("stderr"), &n);
}

static void open_one_file(void)
{
    const char *why, *path = write_file("single.txt", some_text(20000), 20000);
    for (int i = 0; i < 2; i++)
        if (!open_corpus(arena_text(&arena, "corpus=%s vocab=bytes", path), &why))
            fail_msg("%s", why);
}

/* That a part of a single file is held back is said, once */
static void test_single_file_says_so(void **state)
{
    (void)state;
    const char *said = stderr_of(open_one_file),
               *what = "single.txt: one file: its last 5 % (1000 tokens) are the validation text, "
                       "the 5 % before them the test text";
    says(said, what);
    assert_null(strstr(strstr(said, what) + 1, what));
}

/* As root everything can be read: this runs as nobody */
static void test_unreadable(void **state)
{
    (void)state;
    int status;
    make_corpus("locked", 5000);
    chmod(tmp, 0777);
    chmod(in_tmp("locked/train.txt"), 0);
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        const char *why;
        if (!geteuid() && (setgid(65534) || setuid(65534))) _exit(99);
        open_corpus("corpus=locked vocab=bytes", &why);
        if (!why || !strstr(why, "locked/train.txt: cannot be read: Permission denied")) {
            fprintf(stderr, "%s\n", why ? why : "(nothing)");
            _exit(98);
        }
        _exit(0);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(WEXITSTATUS(status), 0);
    chmod(in_tmp("locked/train.txt"), 0644);
}

/* One file: the last 5 % validate, as many before them test. A changed text is tokenized
 * again. A broken token file in the cache is named. */
static void test_single_file(void **state)
{
    (void)state;
    const char *why, *s = some_text(20000), *path = write_file("one.txt", s, 20000);
    const char *spec = arena_text(&arena, "corpus=%s vocab=bytes valid_tokens=0", path);
    const Corpus *c = open_corpus(spec, &why);
    if (!c) fail_msg("%s", why);
    assert_true(c->n_train == 18000 && c->valid.n == 1000 &&
                c->valid.tok.at == token_ids_from(c->train, 19000).at);
    write_file("one.txt", s, 10000);
    c = open_corpus(spec, &why);
    assert_true(c && c->n_train == 9000);
    assert_int_equal(
        system(arena_text(&arena, "for f in %s/cache/one.txt.*.tok; do printf x >> $f; done", tmp)),
        0);
    assert_null(open_corpus(spec, &why));
    says(why, "delete it and it is made again");
}

static void test_token_corpus(void **state)
{
    (void)state;
    const char *why, *path = small_file("train.tok");
    assert_null(open_corpus(arena_text(&arena, "corpus=%s", path), &why));
    says(why, "tokens of another vocabulary bytes");
    assert_null(open_corpus(arena_text(&arena, "corpus=%s vocab=gpt2", path), &why));
    says(why, "tokens of the vocabulary bytes, expected vocab=gpt2");
    size_t n;
    char *s = read_file(path, &n);
    memcpy(s + 32, "other", 6);
    write_file("train.tok", s, n);
    const Corpus *c = open_corpus(arena_text(&arena, "corpus=%s", path), &why);
    assert_true(c && !c->text && c->n_train == 4500 && c->valid.bytes_per_token == 0);
    says(c->why_no_text, "its vocabulary 'other' is not known here");
    memcpy(s + 64, "zz", 2);
    write_file("valid.tok", s, n);
    assert_null(open_corpus(arena_text(&arena, "corpus=%s", path), &why));
    says(why, "another vocabulary");
}

static void test_batch(void **state)
{
    (void)state;
    enum { B = 8, T = 32 };
    const char *why;
    int x[B * T], y[B * T], x2[B * T], y2[B * T];
    make_corpus("small", 50000);
    const Corpus *c = open_corpus("corpus=small vocab=bytes", &why);
    assert_non_null(c);
    corpus_batch(c, 3, 10, 1, B, T, x, y);
    corpus_batch(c, 3, 10, 1, B, T, x2, y2);
    assert_memory_equal(x, x2, sizeof x);
    assert_memory_equal(y, y2, sizeof y);
    for (int b = 0; b < B; b++) assert_memory_equal(x + b * T + 1, y + b * T, (T - 1) * sizeof *x);
    /* another seed, step or micro-batch: other windows */
    for (int i = 0; i < 3; i++) {
        corpus_batch(c, 3 + (i == 0), 10 + (i == 1), 1 + (i == 2), B, T, x2, y2);
        assert_memory_not_equal(x, x2, sizeof x);
    }
    long sum = 0;
    const long rounds = 2000;
    uint16_t ramp[1001];
    for (int i = 0; i < 1001; i++) ramp[i] = (uint16_t)i;
    const Corpus line = { .train = token_ids_2(ramp), .n_train = 1001 };
    /* windows cover the text evenly, ends included */
    for (long k = 0; k < rounds; k++) {
        corpus_batch(&line, 5, k, 0, B, 1, x, y);
        for (int b = 0; b < B; b++) {
            assert_int_equal(y[b], x[b] + 1);
            sum += x[b];
        }
    }
    const double mean = (double)sum / (double)(rounds * B);
    assert_true(fabs(mean - 499.5) < 5 * 288.7 / sqrt((double)(rounds * B)));
}

static void test_synth(void **state)
{
    (void)state;
    const char *why;
    const Corpus *a = open_corpus("corpus=synth V=500 train_tokens=20000 valid_tokens=3000", &why);
    if (!a) fail_msg("%s", why);
    const Corpus *b = open_corpus("corpus=synth V=500 train_tokens=20000 valid_tokens=3000", &why);
    assert_true(a->n_train == 20000 && a->valid.n == 3000 && a->V == 500 && !a->text);
    assert_memory_equal(a->train.at, b->train.at, 40000);
    assert_true(a->valid.floor > 1 && a->valid.floor < a->valid.unigram &&
                a->valid.floor == b->valid.floor);
    const Corpus *c =
        open_corpus("corpus=synth V=500 train_tokens=20000 valid_tokens=3000 corpus_seed=2", &why);
    assert_memory_not_equal(a->train.at, c->train.at, 40000);
    assert_null(open_corpus("corpus=synth vocab=gpt2", &why));
    says(why, "expected vocab=synth");
    assert_null(open_corpus("corpus=synth V=1048577", &why));
    says(why, "expected V from 2 to 1048576");
    a = open_corpus("corpus=synth V=70000 train_tokens=300000 valid_tokens=3000", &why);
    if (!a) fail_msg("%s", why);
    int most = 0;
    for (long i = 0; i < a->n_train; i++)
        most = token_id(a->train, i) > most ? token_id(a->train, i) : most;
    assert_true(a->V == 70000 && a->train.bytes == 4 && most > 65536 &&
                a->valid.floor < a->valid.unigram);
}

static void test_wikitext(void **state)
{
    (void)state;
    if (!real_dir || access(arena_text(&arena, "%s/wikitext-2/train.txt.xz", real_dir), R_OK)) {
        print_message("needs wikitext-2 under EIGHTYSIX_DATA\n");
        skip();
    }
    const char *why = NULL;
    setenv("EIGHTYSIX_DATA", real_dir, 1);
    const Files *f = files_open("wikitext-2", "auto", 50257, &arena, &why);
    setenv("EIGHTYSIX_DATA", tmp, 1);
    if (!f) fail_msg("%s", why);
    assert_int_equal(f->file[0]->V, 33278);
    assert_int_equal(f->file[0]->n, 2088628);
    assert_int_equal(f->file[1]->n, 217646);
    assert_int_equal(f->file[2]->n, 245569);
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
        cmocka_unit_test(test_token_file),   cmocka_unit_test(test_token_widths),
        cmocka_unit_test(test_token_version_2), cmocka_unit_test(test_token_faults),
        cmocka_unit_test(test_fuzz_tokens),  cmocka_unit_test(test_leave),
        cmocka_unit_test(test_disk_full),    cmocka_unit_test(test_text),
        cmocka_unit_test(test_corpus),       cmocka_unit_test(test_single_file_says_so),
        cmocka_unit_test(test_single_file),  cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_token_corpus), cmocka_unit_test(test_batch),
        cmocka_unit_test(test_synth),        cmocka_unit_test(test_wikitext),
    };
    return cmocka_run_group_tests(tests, setup, scratch_drop);
}
