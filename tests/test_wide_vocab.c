/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A vocabulary of 70,000 words, whose ids need four bytes: from its text to token files, through
 * the filters, two steps of training and an evaluation; by commands, as a user would. */
#include "harness/corpus/data.h"
#include "tests/place.h"

enum { WORDS = 70000 };

/* Every word once more than the next thousand, so that the most frequent are w0, w1, ...; then
 * `more` lines of the rarest */
static void wide_write(Place *p, const char *name, int times, int more)
{
    FILE *f = fopen(place_in(p, name), "w");
    assert_non_null(f);
    for (int t = 0; t < times; t++)
        for (int w = 0; w < WORDS - 2 - t * 1000; w++) fprintf(f, "w%d%c", w, w % 20 ? ' ' : '\n');
    for (int i = 0; i < more; i++) fprintf(f, "w%d w0\n", WORDS - 3 - i);
    assert_int_equal(fclose(f), 0);
}

/* `eightysix WORDS` with the corpus of this place; expects exit code 0 */
static const char *wide_command(Place *p, const char *words)
{
    const char *said;
    const char *line = arena_text(&p->a, "EIGHTYSIX_DATA=%s EIGHTYSIX_CACHE=%s/cache %s %s", p->dir,
                                  p->dir, getenv("EIGHTYSIX_BINARY"), words);
    if (place_shell(p, line, &said)) fail_msg("%s: %s", words, said);
    return said;
}

static void wide_expect(const char *said, const char *expected)
{
    if (!strstr(said, expected)) fail_msg("expected '%s' in: %s", expected, said);
}

static void wide_corpus(Place *p)
{
    assert_int_equal(system(arena_text(&p->a, "mkdir %s/wide", p->dir)), 0);
    wide_write(p, "wide/train.txt", 3, 0);
    wide_write(p, "wide/valid.txt", 0, 800);
    const char *said = wide_command(p, "tokenize corpus wide vocab=words V=70000");
    wide_expect(said, "vocab words  V 70000");
}

/* Ids beyond 65,535 are those of the rare words */
static void files_have_wide_ids(void **state)
{
    Place *p = *state;
    const char *why = NULL;
    wide_corpus(p);
    const char *said;
    assert_int_equal(
        place_shell(p, arena_text(&p->a, "ls %s/cache/wide.valid.words.*.tok", p->dir), &said), 0);
    const TokenFile *f = tokens_open(arena_text(&p->a, "%.*s", (int)strcspn(said, "\n"), said),
                                     &p->a, &why);
    if (!f) fail_msg("%s", why);
    assert_int_equal(f->V, WORDS);
    assert_int_equal(f->tok.bytes, 4);
    assert_int_equal(f->n, 2400);
    for (int i = 0; i < 800; i++) {
        assert_true(token_id(f->tok, 3 * i) > 65536);
        assert_true(token_id(f->tok, 3 * i + 1) < 1000);
    }
}

/* text -> ids -> text, as lines and as bytes */
static void filters_keep_wide_ids(void **state)
{
    Place *p = *state;
    const char *said;
    wide_corpus(p);
    place_write(p, "in.txt", " w69997 w0 w69000 w69997\n");
    for (int bin = 0; bin < 2; bin++) {
        const char *how = arena_text(&p->a, "vocab=words list=$(ls %s/cache/*.list)%s", p->dir,
                                     bin ? " --bin" : "");
        wide_command(p, arena_text(&p->a, "tokenize encode %s <%s/in.txt >%s/ids", how, p->dir,
                                   p->dir));
        said = wide_command(p, arena_text(&p->a, "tokenize decode %s <%s/ids", how, p->dir));
        assert_string_equal(said, " w69997 w0 w69000 w69997 \n");
    }
    assert_int_equal(place_shell(p, arena_text(&p->a, "wc -c <%s/ids", p->dir), &said), 0);
    assert_int_equal(atoi(said), 5 * 4);
}

static void every_head_trains_and_is_evaluated(void **state)
{
    Place *p = *state;
    static const char *const how[] = {
        "head=tree assign=brown", "head=softmax", "head=adaptive cutoffs=1000,30000",
        "head=sampled",           "head=huffman", "head=tree embed_init=pmi"
    };
    wide_corpus(p);
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        const char *said = wide_command(
            p, arena_text(&p->a,
                          "train corpus=wide vocab=words V=70000 d=16 conv_groups=4 recursions=1 "
                          "seq=16 batch=1 accum=1 valid_tokens=200 "
                          "budget=2steps %s save=%s/%zu.safetensors --no-db",
                          how[i], p->dir, i));
        wide_expect(said, "nats per token");
        said = wide_command(p, arena_text(&p->a, "eval %s/%zu.safetensors valid_tokens=200", p->dir,
                                          i));
        wide_expect(said, "nats per token over");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_have_wide_ids, place_make, place_drop),
        cmocka_unit_test_setup_teardown(filters_keep_wide_ids, place_make, place_drop),
        cmocka_unit_test_setup_teardown(every_head_trains_and_is_evaluated, place_make, place_drop),
    };
    return getenv("EIGHTYSIX_BINARY") ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
