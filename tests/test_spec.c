/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/spec.h"
#include "models/tape.h"
#include "tests/test.h"
#include <string.h>

static Arena arena;
static int setup(void **state) { (void)state; arena = arena_new(1 << 24); return 0; }
static int drop(void **state)  { (void)state; arena_drop(&arena); return 0; }

static void refuse(const char *word, const char *says)
{
    const char *why = spec_set(spec_new(&arena), word);
    assert_non_null(why);
    if (!strstr(why, says))
        fail_msg("'%s' was refused with '%s', which does not say '%s'", word, why, says);
}

static void wrong_words_are_refused(void **state)
{
    (void)state;
    refuse("haed=tree", "nearest is 'head'");
    refuse("lr_normoun=1", "nearest is 'lr_normuon'");
    refuse("head", "expected key=value");
    refuse("d=abc", "d=abc: expected an int from 1 to 65536 (");
    refuse("d=1.5", "expected an int from 1 to");
    refuse("lr=fast", "lr=fast: expected a num from 0 to 1000 (");
    refuse("lr=nan", "expected a num");
    refuse("tied=2", "tied=2: expected 0 or 1");
    refuse("dilations=1,,2", "expected a list of ints from 1 to");
    refuse("dilations=", "expected a list of ints");
    refuse("act=int4", "f32|int8");
    refuse("corpus=a b", "white space");
}

static void every_default_is_valid(void **state)
{
    (void)state;
    for (const Setting *s = settings; s->key; s++) {
        const char *why = spec_set(spec_new(&arena), arena_text(&arena, "%s=%s", s->key, s->value));
        if (why) fail_msg("%s", why);
    }
}

static void canonical_text_is_ordered_and_short(void **state)
{
    (void)state;
    Spec *s = spec_new(&arena);
    assert_string_equal(spec_text(s), "");
    assert_null(spec_set(s, "seed=7"));
    assert_null(spec_set(s, "head=tree"));
    assert_null(spec_set(s, "model=flashlm3"));          /* its default: not part of the text */
    assert_null(spec_set(s, "save=x.safetensors"));      /* where, not what */
    assert_string_equal(spec_text(s), "head=tree seed=7");
    assert_true(spec_given(s, "model"));
    assert_false(spec_given(s, "d"));
    Spec *t = spec_copy(s, &arena);
    assert_null(spec_set(t, "seed=8"));
    assert_string_equal(spec_text(s), "head=tree seed=7");
    assert_string_equal(spec_text(t), "head=tree seed=8");
}

static void activations_are_those_of_the_registry(void **state)
{
    (void)state;
    const char *type = "one of ";
    for (int i = 0; activation_names[i]; i++)
        type = arena_text(&arena, "%s%s%s", type, i ? "|" : "", activation_names[i]);
    const Setting *s = settings;
    while (strcmp(s->key, "activation")) s++;
    assert_string_equal(s->type, type);
    assert_string_equal(s->value, "relu2");
    assert_int_equal(activation_find("gelu"), ACTIVATION_gelu);
    assert_int_equal(activation_find("tanh"), ACTIVATIONS);
}

static void budgets(void **state)
{
    (void)state;
    Budget b;
    assert_null(spec_budget("60s", &b));
    assert_true(b.seconds == 60);
    assert_null(spec_budget("5m", &b));
    assert_true(b.seconds == 300);
    assert_null(spec_budget("1.5h", &b));
    assert_true(b.seconds == 5400);
    assert_null(spec_budget("2Mtokens", &b));
    assert_int_equal(b.tokens, 2000000);
    assert_null(spec_budget("500steps", &b));
    assert_int_equal(b.steps, 500);
    assert_null(spec_budget("0", &b));
    assert_true(b.seconds == 0 && !b.tokens && !b.steps);
    assert_non_null(spec_budget("5 parsecs", &b));
    assert_non_null(spec_budget("-5s", &b));
    assert_non_null(spec_budget("", &b));
    assert_non_null(spec_budget("nan", &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_words_are_refused), cmocka_unit_test(every_default_is_valid),
        cmocka_unit_test(canonical_text_is_ordered_and_short),
        cmocka_unit_test(activations_are_those_of_the_registry), cmocka_unit_test(budgets) };
    return cmocka_run_group_tests(tests, setup, drop);
}
