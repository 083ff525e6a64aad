/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `tokenize`, run in child processes: filters and their faults, token files of a
 * corpus, downloads from file:// (curl is needed). */
#include "harness/cli/cmd.h"
#include "harness/corpus/data_parts.h"
#include "harness/util/host.h"
#include "tests/scratch.h"
#include "tests/tokenizer.h"
#include <sys/wait.h>

/* tokenize WORDS < in > out 2> err in a child; its exit code */
static int command(const char *words, const char *in)
{
    char *argv[16] = { "tokenize" }, *copy = arena_text(&arena, "%s", words);
    int argc = 1, status;
    for (char *w = strtok(copy, " "); w; w = strtok(NULL, " ")) argv[argc++] = w;
    const char *out = in_tmp("out"), *err = in_tmp("err");
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        if (!freopen(in, "rb", stdin) || !freopen(out, "wb", stdout) || !freopen(err, "wb", stderr))
            _exit(99);
        const int code = tokenize_main(argc, argv);
        fflush(NULL);
        _exit(code);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void err_says(const char *sentence)
{
    size_t n;
    says(read_file(in_tmp("err"), &n), sentence);
}

static void test_filters(void **state)
{
    (void)state;
    char *s = some_text(2500000), right[65], hash[65];
    for (size_t i = 0; i < 2500000; i += 1001) s[i] = (char)i;     /* stray bytes */
    const char *in = write_file("in", s, 2500000), *ids = in_tmp("ids");
    sha256_hex(s, 2500000, right);
    for (int bin = 0; bin < 2; bin++) {
        assert_int_equal(command(bin ? "encode vocab=bytes --bin" : "encode vocab=bytes", in), 0);
        assert_int_equal(rename(in_tmp("out"), ids), 0);
        assert_int_equal(command(bin ? "decode vocab=bytes --bin" : "decode vocab=bytes", ids), 0);
        assert_null(sha256_file(in_tmp("out"), hash));
        assert_string_equal(hash, right);
    }
}

/* A published tokenizer: long texts in parts, and the empty one */
static void test_pieces(void **state)
{
    (void)state;
    const char *json = tokenizer_json(TOKENIZER_PREPEND, TOKENIZER_MERGES, &arena),
               *list = write_file("tokenizer.json", json, strlen(json)),
               *encode = arena_text(&arena, "encode vocab=pieces list=%s", list),
               *decode = arena_text(&arena, "decode vocab=pieces list=%s", list);
    enum { N = 2500000 };
    char *s = some_text(N), right[65], hash[65];
    size_t n;
    const char *in = write_file("in", s, N), *ids = in_tmp("ids");
    sha256_hex(s, N, right);
    assert_int_equal(command(encode, in), 0);
    assert_int_equal(rename(in_tmp("out"), ids), 0);
    assert_int_equal(command(decode, ids), 0);
    assert_null(sha256_file(in_tmp("out"), hash));
    assert_string_equal(hash, right);
    assert_int_equal(command(encode, write_file("in", "", 0)), 0);
    assert_string_equal(read_file(in_tmp("out"), &n), "1\n");
    assert_int_equal(command("encode vocab=pieces", in), 2);
    err_says("pieces/tokenizer.json");
}

static void test_filter_faults(void **state)
{
    (void)state;
    static const struct { const char *ids, *sentence;
    } bad[] = { { "1\n2\nx\n", "line 3 is 'x', expected an id from 0 to 256" },
                { "1\n257\n", "line 2 is '257'" },
                { "-1\n", "line 1 is '-1'" },
                { "7 8\n", "line 1 is '7 8'" },
                { "1\n\n2\n", "line 2 is ''" },
                { "99999999999999999999\n", "line 1 is" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(
            command("decode vocab=bytes", write_file("in", bad[i].ids, strlen(bad[i].ids))), 2);
        err_says(bad[i].sentence);
    }
    assert_int_equal(command("decode vocab=bytes --bin", write_file("in", "\1\0\2", 3)), 2);
    err_says("id 2 is cut short: expected 2 bytes");
    assert_int_equal(command("decode vocab=bytes --bin", write_file("in", "\1\0\1\1", 4)), 2);
    err_says("id 2 is 257, expected less than 257");
    assert_int_equal(command("encode vocab=klingon", in_tmp("in")), 2);
    err_says("expected gpt2, bytes, words or pieces");
    assert_int_equal(command("encode vocab=words", in_tmp("in")), 2);
    err_says("expected list=FILE");
    assert_int_equal(command("encode vocab=gpt2", in_tmp("in")), 2);
    err_says("no GPT-2 vocabulary");
    assert_int_equal(command("frobnicate", in_tmp("in")), 2);
    assert_int_equal(command("", in_tmp("in")), 2);
    static const char *const helps[] = { "--help", "encode --help", "decode --help",
                                         "corpus --help", "tokens --help", "fetch --help" };
    for (int i = 0; i < 6; i++) assert_int_equal(command(helps[i], in_tmp("in")), 0);
}

static void test_corpus_command(void **state)
{
    (void)state;
    size_t n;
    make_corpus("small", 50000);
    write_file("in", "", 0);
    assert_int_equal(command("corpus small vocab=bytes", in_tmp("in")), 0);
    const char *out = read_file(in_tmp("out"), &n);
    says(out, "vocab bytes  V 257");
    says(out, "train  tokens 50000  bytes 50000");
    says(out, "valid  tokens 5000  bytes 5000");
    assert_int_equal(command("corpus nowhere", in_tmp("in")), 2);
    err_says("no corpus 'nowhere'");
}

/* One id of a place that `tokenize tokens` printed in a line of this split; its path and counts */
static int id_of(const char *out, const char *split, long i, long *first, long *n)
{
    char path[512];
    uint16_t id;
    const char *line = strstr(out, arena_text(&arena, "tokens %s ", split));
    assert_non_null(line);
    assert_int_equal(sscanf(line, "tokens %*s %ld %ld %511s", first, n, path), 3);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 4096 + 2 * (*first + i), SEEK_SET), 0);
    assert_int_equal(fread(&id, sizeof id, 1, f), 1);
    fclose(f);
    return id;
}

/* The very tokens of a run: of a corpus, of parts of a single file, of the synthetic language */
static void test_tokens_command(void **state)
{
    (void)state;
    static const char *const corpora[] = { "corpus=small vocab=bytes valid_tokens=100",
                                           "corpus=%s vocab=bytes valid_tokens=0",
                                           "corpus=synth V=50 train_tokens=3000 valid_tokens=64" };
    make_corpus("small", 5000);
    char *text = some_text(30000);
    const char *single = write_file("single.txt", text, 30000);
    write_file("in", "", 0);
    for (int k = 0; k < 3; k++) {
        size_t len;
        const char *words = arena_text(&arena, k == 1 ? corpora[1] : "%s",
                                       k == 1 ? single : corpora[k]), *why = NULL;
        assert_int_equal(command(arena_text(&arena, "tokens %s d=64", words), in_tmp("in")), 0);
        const char *out = read_file(in_tmp("out"), &len);
        Spec *spec = spec_new(&arena);
        assert_null(spec_set_words(spec, words));
        const Corpus *c = corpus_open(spec, &arena, &why);
        if (!c) fail_msg("%s", why);
        const TokenIds tok[] = { c->train, c->valid.tok, c->test.tok };
        const long n[] = { c->n_train, c->valid.n, c->test.n };
        for (int s = 0; s < 3; s++)
            for (long i = 0; i < n[s]; i += 1 + n[s] / 7) {
                long first, count;
                assert_int_equal(id_of(out, split_names[s], i, &first, &count),
                                 token_id(tok[s], i));
                assert_int_equal(count, n[s]);
            }
        says(out, arena_text(&arena, "text corpus %s\n", c->name));
        says(out, arena_text(&arena, "num V 0 %d\n", c->V));
        if (*c->sha) says(out, arena_text(&arena, "text corpus_sha %s\n", c->sha));
    }
    assert_int_equal(command("tokens corpus=nowhere", in_tmp("in")), 2);
    err_says("no corpus 'nowhere'");
    assert_int_equal(command("tokens small", in_tmp("in")), 2);
    err_says("expected key=value");
}

static void test_fetch(void **state)
{
    (void)state;
    const char *text = "once upon a time\n", *from = write_file("from", text, strlen(text)),
               *zero = arena_text(&arena, "%064d", 0);
    char hash[65];
    size_t n;
    sha256_hex(text, strlen(text), hash);
    const char *words = arena_text(
        &arena, "fetch tinystories file=tinystories/valid.txt url=file://%s sha256=", from);
    write_file("in", "", 0);
    assert_int_equal(command(arena_text(&arena, "%s%s", words, zero), in_tmp("in")), 2);
    err_says(hash);
    err_says(zero);
    assert_int_not_equal(access(in_tmp("tinystories/valid.txt"), F_OK), 0);
    assert_int_not_equal(access(in_tmp("tinystories/valid.txt.part"), F_OK), 0);
    write_file("tinystories/valid.txt.part", text, 4);   /* resumes */
    assert_int_equal(command(arena_text(&arena, "%s%s", words, hash), in_tmp("in")), 0);
    assert_string_equal(read_file(in_tmp("tinystories/valid.txt"), &n), text);
    /* what an earlier try left is no beginning of it: longer, or of other bytes */
    for (int i = 0; i < 2; i++) {
        unlink(in_tmp("tinystories/valid.txt"));
        write_file("tinystories/valid.txt.part", "once upon another time, and more\n",
                   i ? strlen(text) - 2 : 33);
        assert_int_equal(command(arena_text(&arena, "%s%s", words, hash), in_tmp("in")), 0);
        assert_string_equal(read_file(in_tmp("tinystories/valid.txt"), &n), text);
    }
    /* it is there */
    assert_int_equal(command(arena_text(&arena, "%s%s", words, hash), in_tmp("in")), 0);
    assert_int_equal(command(arena_text(&arena, "%s%s", words, zero), in_tmp("in")), 2);
    err_says("move it away first");
    assert_int_equal(command("fetch tinystories", in_tmp("in")), 2);
    err_says("no SHA-256 is known here");
    assert_int_equal(command("fetch atlantis", in_tmp("in")), 2);
    err_says("no recipe 'atlantis'");
    assert_int_equal(command("fetch text8 sha256=12", in_tmp("in")), 2);
    err_says("expected 64 digits");
}

static int setup(void **state)
{
    if (scratch_make(state)) return -1;
    setenv("EIGHTYSIX_DATA", tmp, 1);
    setenv("EIGHTYSIX_CACHE", in_tmp("cache"), 1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_filter_faults),
        cmocka_unit_test(test_corpus_command),
        cmocka_unit_test(test_tokens_command),
        cmocka_unit_test(test_fetch),
    };
    return cmocka_run_group_tests(tests, setup, scratch_drop);
}
