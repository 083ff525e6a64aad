/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The numbers of README.md: they are those of the records; a number that is changed, typed beside
 * the blocks, or lost with its sentence is found; what is written is what is checked. */
#include "harness/judge/readme.h"
#include "tests/place.h"

/* The reference records as a database */
static void records(Place *p)
{
    place_expect(p, 0, arena_text(&p->a, "merge results/reference/records --into %s", p->path));
}

/* A copy of README.md, changed by sed where `edit` is not "" */
static const char *copy(Place *p, const char *edit)
{
    const char *said, *path = place_in(p, "README.md");
    const char *command = arena_text(&p->a, "sed '%s' README.md > %s", edit, path);
    if (place_shell(p, command, &said)) fail_msg("%s", said);
    const int same = !place_shell(p, arena_text(&p->a, "cmp README.md %s", path), &said);
    assert_int_equal(same, !*edit);
    return path;
}

static const char *readme(Place *p, int code, const char *more)
{
    return place_expect(p, code, arena_text(&p->a, "paper --readme --db %s %s", p->path, more));
}

static void test_of_records(void **state)
{
    Place *p = *state;
    records(p);
    assert_says(readme(p, 0, "--check"), "README.md: 0 differ from the records\n");
    const char *lost = copy(p, "s,^<!-- /numbers -->,,");
    assert_says(readme(p, 2, arena_text(&p->a, "--check --text %s", lost)),
                "expected a line '<!-- /numbers -->' after this one");
    lost = copy(p, "s/numbers: heads/numbers: nosuch/");
    assert_says(readme(p, 2, arena_text(&p->a, "--check --text %s", lost)),
                "there is no table 'nosuch'");
}

/* What is wrong is found, all of it at once; numbers are written anew, the rest is left. */
static void test_changed(void **state)
{
    Place *p = *state;
    const char *said, *path;
    records(p);
    path = copy(p, "s/^| adaptive softmax | 1/&9/; s/entropy is 7/entropy is 8/");
    const char *here = arena_text(&p->a, "--text %s", path);
    said = readme(p, 1, arena_text(&p->a, "--check %s", here));
    assert_says(said, "README.md:71: found '| adaptive softmax | 19");
    assert_says(said, "expected '| adaptive softmax | 1");
    assert_says(said, "'unigram': found 8.60, expected 7.60");
    assert_says(said, "README.md: 2 differ from the records\n");
    assert_says(readme(p, 0, here), "2 differ from the records; written");
    place_shell(p, arena_text(&p->a, "cmp README.md %s && echo same", path), &said);
    assert_string_equal(said, "same\n");
    copy(p, "s/^| model |/| model 84.5 |/; /^| adaptive softmax |/d; s/The best head/The first/");
    said = readme(p, 1, here);
    assert_says(said, "'84.5' is typed in a table");
    assert_says(said, "README.md:71: found '| tree of classes by frequency");
    assert_says(said, "the words of 'best' (paper/readme.yaml:");
    place_shell(p, arena_text(&p->a, "diff README.md %s | grep -c '^<'", path), &said);
    assert_string_equal(said, "2\n");
}

/* ---- its parts ---- */
static void test_parts(void **state)
{
    static const struct { const char *parts, *says; } bad[] = {
        { "sentences: {x: no number}\n", "x: expected words {NUMBER} words" },
        { "sentences: {x: 'a {b{c}} d'}\n", "x: expected words {NUMBER} words" },
        { "sentences: {x: 'a {b d'}\n", "x: expected words {NUMBER} words" },
        { "sentences: {x: [a]}\n", "x: expected a single value" },
    };
    Place *p = *state;
    const Claims claims = { NULL, 0 };
    Paper paper;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *path = place_write(p, "r.yaml", bad[i].parts);
        const char *why = paper_load(path, &claims, &paper, &p->a);
        assert_says(why ? why : "nothing", bad[i].says);
    }
    assert_string_equal(paper_plain(-1234.567, 1, &p->a), "-1,234.6");
    assert_string_equal(paper_plain(-0.001, 2, &p->a), "0.00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_of_records, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_changed, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_parts, place_make, place_drop),
    };
    return cmocka_run_group_tests_name("readme", tests, NULL, NULL);
}
