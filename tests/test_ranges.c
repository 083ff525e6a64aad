/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ends of every setting of settings.def: what is allowed is accepted, or refused by a rule that
 * is stated; what lies just beyond is refused with its name, its value and what was expected; and
 * two steps of training at the ends that cost little end well, or with an error message. */
#include "models/head.h"
#include "models/model.h"
#include "tests/place.h"
#include <math.h>

static int is(const Setting *s, const char *type) { return !strcmp(s->type, type); }
static int ranged(const Setting *s) { return s->min < s->max; }

/* An end of the range as a person writes it */
static const char *end_of(Place *p, const Setting *s, int greatest)
{
    const double x = greatest ? s->max : s->min;
    return is(s, "num") ? arena_text(&p->a, "%.17g", x) : arena_text(&p->a, "%ld", (long)x);
}

static void accepted(Place *p, const char *word)
{
    Spec *s = spec_new(&p->a);
    holds(spec_set(s, word));
    const char *why = spec_check_values(s);
    if (why && !strstr(why, "expected")) fail_msg("%s: %s", word, why);
}

/* One sentence: the setting, the value, what was expected */
static void refused(Place *p, const char *key, const char *value, const char *expected)
{
    const char *why = spec_set(spec_new(&p->a), arena_text(&p->a, "%s=%s", key, value));
    const char *says = arena_text(&p->a, "%s=%s: expected %s (", key, value, expected);
    if (!why) fail_msg("%s=%s was accepted, expected %s", key, value, expected);
    if (strncmp(why, says, strlen(says)) || strchr(why, '\n'))
        fail_msg("%s=%s: expected '%s' in: %s", key, value, says, why);
}

static void ends_of_ranges(void **state)
{
    Place *p = *state;
    for (const Setting *s = settings; s->key; s++) {
        if (!ranged(s)) continue;
        const int num = is(s, "num"), list = is(s, "list");
        const char *kind = num ? "a num" : list ? "a list of ints" : "an int";
        const char *range = arena_text(&p->a, "%s from %.16g to %.16g", kind, s->min, s->max);
        accepted(p, arena_text(&p->a, "%s=%s", s->key, end_of(p, s, 0)));
        accepted(p, arena_text(&p->a, "%s=%s", s->key, end_of(p, s, 1)));
        const char *const beyond[] = {
            num ? arena_text(&p->a, "%.17g", nextafter(s->min, -INFINITY))
                : arena_text(&p->a, "%ld", (long)s->min - 1),
            num ? arena_text(&p->a, "%.17g", nextafter(s->max, INFINITY))
                : arena_text(&p->a, "%ld", (long)s->max + 1),
            "-99999999999999999999", "99999999999999999999", num ? "1e400" : "1e2", "nan", "" };
        for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
            refused(p, s->key, beyond[i], range);
            if (list)
                refused(p, s->key, arena_text(&p->a, "%s,%s", end_of(p, s, 0), beyond[i]), range);
        }
    }
}

static void names_of_choices(void **state)
{
    Place *p = *state;
    for (const Setting *s = settings; s->key; s++) {
        if (is(s, "flag")) {
            accepted(p, arena_text(&p->a, "%s=0", s->key));
            accepted(p, arena_text(&p->a, "%s=1", s->key));
            static const char *const others[] = { "2", "-1", "01", "", "yes" };
            for (int i = 0; i < 5; i++) refused(p, s->key, others[i], "0 or 1");
        }
        if (strncmp(s->type, "one of ", 7)) continue;
        char *names = arena_text(&p->a, "%s", s->type + 7), *save = NULL;
        for (char *n = strtok_r(names, "|", &save); n; n = strtok_r(NULL, "|", &save)) {
            accepted(p, arena_text(&p->a, "%s=%s", s->key, n));
            refused(p, s->key, arena_text(&p->a, "%sx", n), s->type);
        }
        refused(p, s->key, "", s->type);
    }
}

/* Of settings whose names are a registry's */
static void name_is_known(Place *p, const char *key, const char *name)
{
    for (int more = 0; more < 2; more++) {
        Spec *s = spec_new(&p->a);
        const char *word = arena_text(&p->a, "%s=%s%s", key, name, more ? "x" : "");
        holds(spec_set(s, word));
        const char *why = spec_check_each(s);
        if (!more && why) fail_msg("%s: %s", word, why);
        if (more && (!why || strncmp(why, word, strlen(word)))) fail_msg("%s: %s", word, why);
    }
}

static void names_of_registries(void **state)
{
    Place *p = *state;
    for (int i = 0; models[i]; i++) name_is_known(p, "model", models[i]->name);
    for (int i = 0; heads[i]; i++) name_is_known(p, "head", heads[i]->name);
    for (int i = 0; ternary_kernels[i]; i++) name_is_known(p, "kernel", ternary_kernels[i]->name);
    for (const GemmProvider *g = gemm_providers; g->name; g++) name_is_known(p, "gemm", g->name);
}

static void ends_of_budgets(void **state)
{
    Place *p = *state;
    static const char *const keys[] = { "budget", "eval_every", "save_every" };
    static const char *const fine[] = { "0", "0steps", "1e15s", "1Gtokens", "1e15steps" };
    static const char *const beyond[] = { "-1s", "1e16s", "1.1e15steps", "2e6Gtokens", "nans",
                                          "infs", "", "s", "5d" };
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
            accepted(p, arena_text(&p->a, "%s=%s", keys[k], fine[i]));
        for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
            Spec *s = spec_new(&p->a);
            const char *word = arena_text(&p->a, "%s=%s", keys[k], beyond[i]);
            holds(spec_set(s, word));
            const char *why = spec_check_values(s);
            const char *says = arena_text(&p->a, "%s: expected", word);
            if (!why || strncmp(why, says, strlen(says))) fail_msg("%s: %s", word, why);
        }
    }
}

/* The words under which the setting has an effect: of "a=x|y,b!=z or ..." the first of each */
static const char *beside(Place *p, const Setting *s)
{
    char *group = arena_text(&p->a, "%s", s->applies), *save = NULL;
    const char *words = "";
    char *or = strstr(group, " or ");
    if (or) *or = 0;
    for (char *c = strtok_r(group, ",", &save); c; c = strtok_r(NULL, ",", &save))
        if (!strstr(c, "!="))
            words = arena_text(&p->a, "%s %.*s", words, (int)strcspn(c, "|"), c);
    return words;
}

/* Two steps end with 0 and numbers, or with 2 or 77 and one line */
static void two_steps(Place *p, const char *words)
{
    static const char small[] =
        "V=300 d=16 seq=16 batch=2 accum=1 train_tokens=20000 valid_tokens=256 threads=1 "
        "gemm=portable recursions=1 dilations=1,2 conv_groups=4 warmup=1 budget=2steps";
    const char *said;
    const int code = place_command(p, arena_text(&p->a, "cell %s %s", small, words), &said);
    if (code == 0) {
        assert_says(said, "num nll 2 ");
        if (strstr(said, " nan\n") || strstr(said, " inf\n") || strstr(said, "-nan"))
            fail_msg("%s: ended well with: %s", words, said);
        return;
    }
    const char *error = strstr(said, "eightysix: ");
    if ((code != 2 && code != 77) || !error || !strchr(error, '\n') ||
        strchr(error, '\n')[1] || strstr(said, "runtime error"))
        fail_msg("%s: exit code %d: %s", words, code, said);
}

static void two_steps_at_the_ends(void **state)
{
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    for (const Setting *s = settings; s->key; s++) {
        const char *more = !strcmp(s->key, "d") ? "conv_groups=1" : "";
        if (!ranged(s)) continue;
        two_steps(p, arena_text(&p->a, "%s %s %s=%s", beside(p, s), more, s->key, end_of(p, s, 0)));
        /* a greatest number costs no more than another; a greatest size does */
        if (is(s, "num"))
            two_steps(p, arena_text(&p->a, "%s %s=%s", beside(p, s), s->key, end_of(p, s, 1)));
    }
}

int main(void)
{
#define PLACED(test) cmocka_unit_test_setup_teardown(test, place_make, place_drop)
    const struct CMUnitTest tests[] = { PLACED(ends_of_ranges),      PLACED(names_of_choices),
                                        PLACED(names_of_registries), PLACED(ends_of_budgets),
                                        PLACED(two_steps_at_the_ends) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
