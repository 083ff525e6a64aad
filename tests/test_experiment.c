/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Experiment files: what is refused and where, the order of the product, keys, and mutations that
 * must not break it. */
#include "harness/sweep/experiment.h"
#include "harness/util/host.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char good[] =
    "question: Which head is fast?\n"
    "expectation: the tree\n"
    "fixed: {corpus: synth, d: 64}\n"
    "factors:\n"
    "  head: [softmax, tree]\n"
    "  arithmetic:\n"
    "    dense: {act: f32}\n"
    "    ref:   {act: int8, kernel: ref}\n"
    "baseline: {head: softmax, arithmetic: dense}\n"
    "seeds: [3, 5]\n"
    "budget: 2s\n"
    "limits: {seconds: 9.5, memory: 2GB}\n"
    "figure: time_split\n";

static Experiment *parse(const char *yaml, const char *const *words, int n, Arena *a,
                         const char **why)
{
    return experiment_parse("dir/t.yaml", yaml, strlen(yaml), words, n, a, why);
}

static void test_product(void **state)
{
    (void)state;
    static const char *const labels[] = { "head=softmax arithmetic=dense",
                                          "head=softmax arithmetic=ref",
                                          "head=tree arithmetic=dense",
                                          "head=tree arithmetic=ref" };
    Arena a = arena_new(64 << 20);
    const char *why;
    const Experiment *e = parse(good, NULL, 0, &a, &why);
    assert_non_null(e);
    assert_null(why);
    assert_string_equal(e->name, "t");
    assert_string_equal(e->figure, "time_split");
    assert_int_equal(e->cells, 8);
    assert_int_equal(e->memory_kb, 2 << 20);
    assert_true(e->seconds == 9.5);
    assert_int_equal(e->factor[1].baseline, 0);
    for (int i = 0; i < 8; i++) {
        char key[65];
        const char *text = spec_text(e->cell[i].spec);
        assert_string_equal(e->cell[i].label, labels[i / 2]);
        assert_int_equal(e->cell[i].seed, i % 2 ? 5 : 3);
        assert_int_equal(spec_int(e->cell[i].spec, "seed"), i % 2 ? 5 : 3);
        assert_string_equal(e->cell[i].key, sha256_hex(text, strlen(text), key));
    }
    assert_string_equal(spec_text(e->cell[6].spec),
                        "head=tree budget=2s seed=3 d=64 act=int8 kernel=ref");
    arena_drop(&a);
}

static void test_overrides(void **state)
{
    (void)state;
    static const char *const words[] = { "d=32", "budget=1s", "seed=7" },
                             *const factor[] = { "head=tree" }, *const bad[] = { "d=x" };
    Arena a = arena_new(64 << 20);
    const char *why;
    const Experiment *e = parse(good, words, 3, &a, &why);
    assert_non_null(e);
    assert_int_equal(e->cells, 4);
    assert_int_equal(spec_int(e->cell[0].spec, "d"), 32);
    assert_int_equal(e->cell[0].seed, 7);
    assert_string_equal(e->overrides, "d=32 budget=1s seed=7");
    assert_null(parse(good, factor, 1, &a, &why));
    assert_non_null(strstr(why, "--filter"));
    assert_null(parse(good, bad, 1, &a, &why));
    assert_non_null(strstr(why, "expected an int from 1 to"));
    arena_drop(&a);
}

#define Q "question: q\n"
#define GRID Q "factors: {head: [softmax, tree], assign: [brown, freq]}\n"

/* assign has no effect beside the softmax: one cell of it is left, and two trees */
static void test_merged(void **state)
{
    (void)state;
    static const char *const labels[] = { "head=softmax", "head=tree assign=brown",
                                          "head=tree assign=freq" };
    static const char *const texts[] = { "budget=1s", "head=tree budget=1s assign=brown",
                                         "head=tree budget=1s" };
    Arena a = arena_new(64 << 20);
    const char *why;
    const Experiment *e = parse(GRID "budget: 1s\n", NULL, 0, &a, &why);
    if (!e) fail_msg("%s", why);
    assert_int_equal(e->cells, 3);
    for (int i = 0; i < 3; i++) {
        char key[65];
        const char *text = spec_text(e->cell[i].spec);
        assert_string_equal(text, arena_text(&a, "%s", texts[i]));
        assert_string_equal(e->cell[i].label, labels[i]);
        assert_string_equal(e->cell[i].key, sha256_hex(text, strlen(text), key));
        assert_int_equal(e->cell[i].level[1], i - 1);
        assert_int_equal(spec_given(e->cell[i].spec, "assign"), i > 0);
    }
    assert_int_equal(e->resets, 1);
    assert_string_equal(e->reset[0].setting->key, "assign");
    assert_int_equal(e->reset[0].cells, 2);
    assert_int_equal(e->reset[0].merged, 1);
    static const char *const gpt2[] = { "corpus=edu", "vocab=gpt2" },
                             *const idle[] = { "samples=7" };
    assert_non_null(parse(GRID "fixed: {V: 50257}\n", gpt2, 2, &a, &why));
    assert_null(parse(GRID "fixed: {V: 1000}\n", gpt2, 2, &a, &why));
    assert_non_null(strstr(why, "t.yaml:3:12: V: applies to vocab=auto|synth|words"));
    assert_null(parse(GRID, idle, 1, &a, &why));
    assert_string_equal(why, "samples: applies to head=sampled, and no cell of the experiment has "
                             "that");
    assert_non_null(e = parse(GRID "seeds: 2\n", NULL, 0, &a, &why));
    assert_int_equal(e->cells, 6);
    assert_int_equal(e->reset[0].merged, 2);
    /* what a setting applied to is itself set back; a fixed setting stays */
    e = parse(Q "fixed: {depth: 3}\nfactors: {head: [tree, softmax], cutoffs: [auto, counted], "
                "short_share: [0.5, 0.25]}\n", NULL, 0, &a, &why);
    assert_null(e);
    assert_non_null(strstr(why, "t.yaml:3:50: cutoffs: applies to head=adaptive"));
    e = parse(Q "fixed: {depth: 3}\nfactors: {head: [tree, adaptive], cutoffs: [auto, counted], "
                "short_share: [0.5, 0.25]}\n", NULL, 0, &a, &why);
    if (!e) fail_msg("%s", why);
    assert_int_equal(e->cells, 4);
    assert_string_equal(spec_text(e->cell[0].spec), "head=tree depth=3");
    assert_string_equal(spec_text(e->cell[1].spec), "head=adaptive depth=3 cutoffs=auto");
    assert_string_equal(e->cell[3].label, "head=adaptive cutoffs=counted");
    assert_string_equal(spec_text(e->cell[3].spec), "head=adaptive depth=3");
    arena_drop(&a);
}

#define F "factors: {head: [softmax]}\n"
static const struct { const char *yaml, *where, *words;
} refused[] = {
    { "", "t.yaml:1:1: ", "empty" },
    { "- a\n", "t.yaml:1:1: ", "expected a mapping" },
    { Q F "colour: red\n", "t.yaml:3:1: ", "unknown key 'colour'" },
    { Q F "fixed:\n  hed: tree\n", "t.yaml:4:3: ", "nearest is 'head'" },
    { Q F "fixed:\n  d: wide\n", "t.yaml:4:6: ", "expected an int from 1 to 65536" },
    { Q F "fixed:\n  d: [1, 2]\n", "t.yaml:4:6: ", "single value" },
    { Q F "fixed:\n    d: 64\n  V: 100\n", "t.yaml:5:3: ", "not YAML" },
    { Q F "fixed: {d: 64, d: 32}\n", "t.yaml:3:16: ", "'d' is given twice, first in line 3" },
    { Q F "question: r\n", "t.yaml:3:1: ", "given twice, first in line 1" },
    { Q F "fixed: {head: tree}\n", "t.yaml:3:9: ", "already set by factor 'head'" },
    { Q "factors: {head: [softmax], b: {x: {head: tree}}}\n",
      "t.yaml:2:36: ", "already set by factor 'head'" },
    { Q, "t.yaml:1:1: ", "expected a key 'factors'" },
    { F, "t.yaml:1:1: ", "expected a key 'question'" },
    { Q "factors: {}\n", "t.yaml:1:1: ", "at least one factor" },
    { Q "factors: {head: []}\n", "t.yaml:2:17: ", "at least one level" },
    { Q "factors: {head: tree}\n", "t.yaml:2:17: ", "expected a list" },
    { Q "factors: {head: [tree, softmax, tree]}\n", "t.yaml:2:33: ", "listed twice" },
    { Q "factors: {arithmetic: [ref]}\n", "t.yaml:2:11: ", "unknown setting 'arithmetic'" },
    { Q "factors: {a: {x: {act: f16}}}\n", "t.yaml:2:24: ", "one of f32|int8" },
    { Q "factors: {a: {x: f32}}\n", "t.yaml:2:18: ", "expected a mapping" },
    { Q "factors: {a: {x y: {act: f32}}}\n", "t.yaml:2:15: ", "expected letters" },
    { Q "factors: {seed: [1, 2]}\n", "t.yaml:2:11: ", "'seeds'" },
    { Q "factors: {a: {x: {}, y: {head: softmax}}}\n", "t.yaml: ", "have the same settings" },
    { Q "factors: {head: [softmax], assign: [brown, freq]}\n", "t.yaml:2:44: ",
      "assign: applies to head=tree, and no cell" },
    { Q "factors: {a: {x: {head: softmax, assign: brown}, y: {head: tree}}}\n", "t.yaml:2:42: ",
      "assign: applies to head=tree, and no cell" },
    { Q "factors: {a: {x: {fraction: 1}, y: {fraction: 1}}, b: {u: {}, v: {seq: 128}}}\n",
      "t.yaml: ", "have the same settings" },
    { Q F "fixed: {zloss: 0.1, short_share: 0.1}\n", "t.yaml:3:34: ",
      "short_share: applies to head=adaptive,cutoffs=auto" },
    { Q F "fixed: {kernel: reff}\n", "t.yaml:3:17: ", "not in this binary" },
    { Q "factors: {head: [tree, treee]}\n", "t.yaml:2:24: ", "no such head" },
    { Q F "fixed: {gemm: openblass}\n", "t.yaml:3:15: ", "no such provider" },
    { Q F "baseline: {model: x}\n", "t.yaml:3:12: ", "no factor 'model'" },
    { Q F "baseline: {head: tree}\n", "t.yaml:3:18: ", "no level 'tree'" },
    { Q F "baseline: {}\n", "t.yaml:3:11: ", "expected a level of factor 'head'" },
    { Q F "seeds: 0\n", "t.yaml:3:8: ", "whole number from 1" },
    { Q F "seeds: [1, 1]\n", "t.yaml:3:12: ", "listed twice" },
    { Q F "seeds: [1, x]\n", "t.yaml:3:12: ", "whole number from 0" },
    { Q F "budget: 30 parsecs\n", "t.yaml:3:9: ", "white space" },
    { Q F "budget: 30parsecs\n", "t.yaml:3:9: ", "expected a unit" },
    { Q F "limits: {memory: 2}\n", "t.yaml:3:18: ", "kB, MB or GB" },
    { Q F "limits: {seconds: -1}\n", "t.yaml:3:19: ", "above 0" },
    { Q F "limits: {pages: 1}\n", "t.yaml:3:10: ", "unknown key 'pages'" },
    { Q F "name: ../x\n", "t.yaml:3:7: ", "expected letters" },
    { Q F "---\nmore: 1\n", "t.yaml:4:1: ", "one document" },
    { Q F "fixed: \"\\0\"\n", "t.yaml:3:8: ", "expected a mapping" },
    { Q F "figure: \"a\\0b\"\n", "t.yaml:3:9: ", "no zero byte" },
    { "question: [\n", "t.yaml:2:1: ", "not YAML" },
    { "question: \xff\n", "t.yaml:", "not YAML" },
    { Q "factors: {d: [1,2,3,4,5,6,7,8,9,10,11], V: [2,3,4,5,6,7,8,9,10,11]}\nseeds: 1000\n",
      "t.yaml: ", "more than 10000 cells" },
};

static void test_refused(void **state)
{
    (void)state;
    Arena a = arena_new(256 << 20);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const char *why = NULL;
        if (parse(refused[i].yaml, NULL, 0, &a, &why)) fail_msg("accepted:\n%s", refused[i].yaml);
        assert_non_null(why);
        if (!strstr(why, refused[i].where) || !strstr(why, refused[i].words))
            fail_msg("of\n%s\nexpected '%s' and '%s' in\n%s", refused[i].yaml, refused[i].where,
                     refused[i].words, why);
        arena_reset(&a, 0);
    }
    const char *why;
    assert_null(experiment_load("/nonexistent/x.yaml", NULL, 0, &a, &why));
    assert_string_equal(why, "/nonexistent/x.yaml: cannot be read: No such file or directory");
    arena_drop(&a);
}

/* Corpora that are neither here nor known, figures without a script */
static void test_check(void **state)
{
    (void)state;
    static const char *const other[] = { "corpus=edoo" }, *const twice[] = { "d=64", "d=32" };
    static const struct { const char *yaml, *says; } missing[] = {
        { Q F "fixed: {corpus: edoo}\n", "t.yaml:3:17: no corpus 'edoo'" },
        { Q "factors: {corpus: [synth, text8, ./x.txt]}\n",
          "t.yaml:2:34: ./x.txt: cannot be read" },
        { Q F "figure: time_splot\n", "t.yaml:3:9: figure 'time_splot': expected a script" },
    };
    Arena a = arena_new(64 << 20);
    const char *why;
    setenv("EIGHTYSIX_SHARE", getenv("EIGHTYSIX_ROOT"), 1);
    const Experiment *e = parse(good, NULL, 0, &a, &why);
    assert_non_null(e);
    assert_null(experiment_check(e, &a));
    e = parse(Q "factors: {corpus: [text8, wikitext-2, synth]}\n", NULL, 0, &a, &why);
    assert_non_null(e);
    assert_null(experiment_check(e, &a));
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        e = parse(missing[i].yaml, NULL, 0, &a, &why);
        if (!e) fail_msg("%s", why);
        why = experiment_check(e, &a);
        if (!why || !strstr(why, missing[i].says))
            fail_msg("expected '%s' in '%s'", missing[i].says, why ? why : "(nothing)");
    }
    assert_non_null(e = parse(good, other, 1, &a, &why));
    assert_string_equal(arena_text(&a, "%.17s", experiment_check(e, &a)), "no corpus 'edoo':");
    assert_null(parse(good, twice, 2, &a, &why));
    assert_non_null(strstr(why, "'d' is given twice"));
    arena_drop(&a);
}

/* flips, inserts, removes, repeats: each is an experiment or a sentence that names the file */
static void test_mutations(void **state)
{
    (void)state;
    enum { ROUNDS = 4000 };
    static const char bytes[] = " \n:-,[]{}\"'#&*!|>%@\\0a1=\t\x80";
    Arena a = arena_new(512 << 20);
    int accepted = 0;
    for (int round = 0; round < ROUNDS; round++) {
        Rng r = rng_at(1, STREAM_CHECK, (uint64_t)round);
        char text[2 * sizeof good + 64];
        size_t len = sizeof good - 1;
        memcpy(text, good, len);
        for (uint64_t n = 1 + rng_below(&r, 4); n; n--) {
            const size_t at = rng_below(&r, len),
                         take = 1 + rng_below(&r, len - at < 12 ? len - at : 12);
            const char c = bytes[rng_below(&r, sizeof bytes - 1)];
            switch (rng_below(&r, 4)) {
            case 0: text[at] = c; break;
            case 1: memmove(text + at + 1, text + at, len++ - at);
            text[at] = c; break;
            case 2: memmove(text + at, text + at + take, len - at - take);
            len -= take; break;
            default: memmove(text + at + take, text + at, len - at);
            len += take;
            }
            if (!len) text[len++] = 'x';
        }
        const char *why = NULL;
        const Experiment *e = experiment_parse("t.yaml", text, len, NULL, 0, &a, &why);
        if (e) {
            accepted++;
            assert_true(e->cells >= 1 && e->factors >= 1 && !why);
        } else assert_true(why && !strncmp(why, "t.yaml:", 7));
        arena_reset(&a, 0);
    }
    assert_in_range(accepted, ROUNDS / 50, ROUNDS - ROUNDS / 10);
    arena_drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_product),
                                        cmocka_unit_test(test_overrides),
                                        cmocka_unit_test(test_merged),
                                        cmocka_unit_test(test_refused),
                                        cmocka_unit_test(test_check),
                                        cmocka_unit_test(test_mutations) };
    return cmocka_run_group_tests_name("experiment", tests, NULL, NULL);
}
