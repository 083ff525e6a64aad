/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lint must fail: each rule is broken once, by a file that is added to a copy of the tree. */
#include "tests/place.h"

enum { LONG_LINE = 101, LONG_FUNCTION = 41, LONG_FILE = 401 };
static const char SPDX[] = "/* SPDX-License-Identifier: GPL-3.0-or-later */\n";

/* Runs a command in the copy; returns its exit code */
static int in_copy(Place *p, const char *command, const char **output)
{
    return place_shell(p, arena_text(&p->a, "cd '%s' && %s", p->dir, command), output);
}

static int copy_make(void **state)
{
    const char *output;
    if (place_make(state)) return -1;
    Place *p = *state;
    const char *copy = "cp -r Makefile kernels models harness tests experiments paper '%s'";
    return place_shell(p, arena_text(&p->a, copy, p->dir), &output);
}

static const char *lines(Place *p, int n, const char *line)
{
    const size_t len = strlen(line);
    char *text = arena_get(&p->a, len * (size_t)n + 1);
    for (int i = 0; i < n; i++) memcpy(text + (size_t)i * len, line, len);
    return text;
}

/* `make lint` of the copy fails and its output contains `expected` */
static void assert_lint_fails(Place *p, const char *expected)
{
    const char *output;
    assert_int_not_equal(in_copy(p, "MAKELEVEL= MAKEFLAGS= make -s lint", &output), 0);
    assert_says(output, expected);
}

/* The same of style.awk for one file, and of `make lint` with this file in the tree */
static void assert_style_fails(Place *p, const char *name, const char *text, const char *expected)
{
    const char *output;
    const char *awk = "LC_ALL=C awk -f tests/lint/style.awk '%s'";
    place_write(p, name, arena_text(&p->a, "%s%s", SPDX, text));
    assert_int_equal(in_copy(p, arena_text(&p->a, awk, name), &output), 1);
    assert_says(output, arena_text(&p->a, "%s:%s", name, expected));
    assert_lint_fails(p, name);
    assert_int_equal(unlink(place_in(p, name)), 0);
}

static void assert_style_passes(Place *p, const char *name, const char *text)
{
    const char *output;
    const char *awk = "LC_ALL=C awk -f tests/lint/style.awk '%s'";
    place_write(p, name, arena_text(&p->a, "%s%s", SPDX, text));
    if (in_copy(p, arena_text(&p->a, awk, name), &output)) fail_msg("%s", output);
    assert_int_equal(unlink(place_in(p, name)), 0);
}

static void the_tree_passes(void **state)
{
    const char *output;
    if (in_copy(*state, "MAKELEVEL= MAKEFLAGS= make -s lint", &output)) fail_msg("%s", output);
}

/* Of characters, not bytes: a line of 100 accented letters passes */
static void a_long_line_fails(void **state)
{
    Place *p = *state;
    const char *comment = "/* %s */\n";
    assert_style_passes(p, "models/seeded.c", arena_text(&p->a, comment, lines(p, 94, "\xc3\xa9")));
    assert_style_fails(p, "models/seeded.c",
                       arena_text(&p->a, comment, lines(p, LONG_LINE - 6, "\xc3\xa9")),
                       "2: expected at most 100 columns, found 101");
    assert_style_fails(p, "experiments/seeded.gp",
                       arena_text(&p->a, "# %s\n", lines(p, LONG_LINE - 2, "x")),
                       "2: expected at most 100 columns, found 101");
}

static void a_long_function_fails(void **state)
{
    Place *p = *state;
    const char *function = "void seeded(void)\n{\n%s}\n";
    const char *least = lines(p, LONG_FUNCTION - 3, "    seeded();\n");
    const char *more = lines(p, LONG_FUNCTION - 2, "    seeded();\n");
    assert_style_passes(p, "models/seeded.c", arena_text(&p->a, function, least));
    assert_style_fails(p, "models/seeded.c", arena_text(&p->a, function, more),
                       "3: expected a function of at most 40 lines, found 41");
    assert_style_passes(p, "tests/seeded.c", arena_text(&p->a, function, more));
}

static void a_long_file_fails(void **state)
{
    Place *p = *state;
    assert_style_passes(p, "models/seeded.c", lines(p, LONG_FILE - 2, "int seeded;\n"));
    assert_style_fails(p, "models/seeded.c", lines(p, LONG_FILE - 1, "int seeded;\n"),
                       "401: expected a file of at most 400 lines, found 401");
}

static void two_statements_on_a_line_fail(void **state)
{
    static const char *const two[] = {
        "a(); b();",    "if (x) { a(); return; }", "for (;;) a(); b();",
        "a(';'); b();", "a(\"\\\";\"); b();",
    };
    static const char *const commas[] = {
        "a = 1, b = 2;", "if (f) fputs(t, f), fclose(f);", "for (int i = 0; i < n; i++) a(), b();",
        "i++, j--;", "return a, b;",
    };
    static const char *const one[] = {
        "for (i = 0, j = 1; i < n; i++, j++) a(i, j);", "a(\"x; y;\", ';'); /* b; c; */ // d;",
        "int a = 1, *b = &a;", "case 1: a(); break;", "do a(); while (b());",
        "struct Pair { int a; long b; } pair;", "T *p = &(T){ 1, 2 }, *q = NULL;",
    };
    Place *p = *state;
    const char *body = "void seeded(void)\n{\n    x();\n    %s\n}\n";
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        assert_style_fails(p, "models/seeded.c", arena_text(&p->a, body, two[i]),
                           "5: expected one statement a line");
    for (size_t i = 0; i < sizeof commas / sizeof *commas; i++)
        assert_style_fails(p, "models/seeded.c", arena_text(&p->a, body, commas[i]),
                           "5: expected statements, found a comma expression");
    for (size_t i = 0; i < sizeof one / sizeof *one; i++)
        assert_style_passes(p, "models/seeded.c", arena_text(&p->a, body, one[i]));
    assert_style_passes(p, "models/seeded.h",
                        "static inline int seeded(void) { a(); return b(); }\n");
}

static void rules_are_chosen(void **state)
{
    Place *p = *state;
    const char *output;
    place_write(p, "models/seeded.c", "void f(void)\n{\n    a(); b();\n}\n");
    const char *awk = "LC_ALL=C awk -v only=%s -f tests/lint/style.awk models/seeded.c";
    assert_int_equal(in_copy(p, arena_text(&p->a, awk, "columns,files"), &output), 0);
    assert_int_equal(in_copy(p, arena_text(&p->a, awk, "columns,statements"), &output), 1);
    assert_int_equal(in_copy(p, arena_text(&p->a, awk, "colums"), &output), 2);
}

static void an_upward_include_fails(void **state)
{
    Place *p = *state;
    place_write(p, "models/seeded.c",
                arena_text(&p->a, "%s#include \"harness/util/clock.h\"\n", SPDX));
    assert_lint_fails(p, "models/seeded.c:2: models uses harness/util/clock.h of util");
}

/* Seen in the symbols of the objects: the sources include nothing */
static void an_upward_call_without_include_fails(void **state)
{
    Place *p = *state;
    const char *output;
    const char *build =
        "mkdir -p o/harness/sweep && "
        "echo 'void above(void); void below(void) { above(); }' >b.c && "
        "echo 'void below(void); void above(void) { below(); }' >a.c && "
        "${CC:-cc} -c -o o/models/%s b.c && ${CC:-cc} -c -o o/harness/sweep/above.o a.c && "
        "nm -A o/models/%s o/harness/sweep/above.o | awk -f tests/lint/rooms.awk -v prefix=o/ -";
    assert_int_equal(in_copy(p, "mkdir -p o/models", &output), 0);
    assert_int_equal(in_copy(p, arena_text(&p->a, build, "below.o", "below.o"), &output), 1);
    assert_says(output, "models/below.o: models uses above of sweep, a later room");
    assert_silent(output, "above.o:");
}

static void a_kernel_without_its_line_fails(void **state)
{
    Place *p = *state;
    place_write(p, "kernels/ternary_seeded_scalar.c",
                arena_text(&p->a, "%s#include \"kernels/ternary.h\"\n", SPDX));
    assert_lint_fails(p, "kernels/ternary_seeded_scalar.c: no line in kernels/variants.def");
}

static void a_file_without_licence_fails(void **state)
{
    Place *p = *state;
    place_write(p, "harness/util/seeded.c", "int seeded;\n");
    assert_lint_fails(p, "harness/util/seeded.c");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, copy_make, place_drop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_tree_passes),
        TEST(a_long_line_fails),
        TEST(a_long_function_fails),
        TEST(a_long_file_fails),
        TEST(two_statements_on_a_line_fail),
        TEST(rules_are_chosen),
        TEST(an_upward_include_fails),
        TEST(an_upward_call_without_include_fails),
        TEST(a_kernel_without_its_line_fails),
        TEST(a_file_without_licence_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
