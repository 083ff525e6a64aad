/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a sweep says at its end: question, expectation, medians of as many seeds as ended ok, the
 * comparison with the baseline seed by seed, the figure. The cells are a script whose losses and
 * speeds follow from d and seed. */
#include "tests/place.h"
#include <sys/stat.h>

/* d=64: 6 + seed / 10 nats, 1000 tokens/s; d=128: 0.5, 0.6, 0.7 ... less, twice as fast; d=256:
 * seed 2 fails; d=512: only seed 1 is ok; d=1024: none */
static const char script[] =
    "#!/bin/sh\n"
    "for w; do case $w in d=*) d=${w#d=};; seed=*) seed=${w#seed=};; esac; done\n"
    "case $d-$seed in 256-2 | 512-[2-9] | 1024-*) echo 'eightysix: it broke' >&2; exit 2;; esac\n"
    "awk -v d=$d -v s=$seed 'BEGIN {\n"
    "  print \"num nll 1\", 6 + s / 10 - (d > 64) * (0.4 + s / 10)\n"
    "  print \"num nll 2\", 6 + s / 10 - (d > 64) * (0.4 + s / 10)\n"
    "  print \"num seconds 1\", 1; print \"num seconds 2\", 2\n"
    "  print \"num tokens 1\", 10; print \"num tokens 2\", 20\n"
    "  print \"num tokens_per_s 2\", (d > 64 ? 2000 : 1000) }' >&3\n";

static int set_up(void **state)
{
    if (place_make(state)) return -1;
    Place *p = *state;
    const char *path = place_write(p, "cell.sh", script);
    setenv("EIGHTYSIX_CELL_PROGRAM", path, 1);
    return chmod(path, 0755);
}

static void experiment(Place *p, const char *levels, const char *more)
{
    place_write(p, "x.yaml",
                arena_text(&p->a,
                           "question: what does width buy?\nfixed: {threads: 1}\n"
                           "factors: {d: [%s]}\nbudget: 10tokens\n%s",
                           levels, more));
}

static const char *sweep(Place *p, int code, const char *more)
{
    return place_expect(p, code, arena_text(&p->a, "sweep %s/x.yaml --db %s %s", p->dir, p->path,
                                            more));
}

/* The line of a text that begins so, blanks in a row as one */
static const char *line_of(Place *p, const char *text, const char *begins)
{
    const char *at = strstr(text, arena_text(&p->a, "\n%s", begins));
    if (!at) fail_msg("no line '%s' in: %s", begins, text);
    char *out = arena_text(&p->a, "%.*s", (int)strcspn(at + 1, "\n"), at + 1), *to = out;
    for (const char *s = out; *s; s++)
        if (*s != ' ' || (to > out && to[-1] != ' ')) *to++ = *s;
    *to = 0;
    return out;
}

static const char *medians(const char *said)
{
    const char *at = strstr(said, "medians over the seeds that ended ok:");
    if (!at) fail_msg("no medians in: %s", said);
    return at;
}

static void test_compared(void **state)
{
    Place *p = *state;
    experiment(p, "64, 128, 256, 512, 1024",
               "baseline: {d: 64}\nseeds: 3\nexpectation: more for less\n");
    const char *said = sweep(p, 1, "");
    assert_says(said, "\nquestion: what does width buy?\nexpected: more for less\nmeasured:\n");
    said = medians(said);
    assert_string_equal(line_of(p, said, "d=64"), "d=64 3 of 3 1000 6.200 baseline baseline");
    assert_string_equal(line_of(p, said, "d=128"),
                        "d=128 3 of 3 2000 5.600 -0.600 [-0.848, -0.352], n 3, provisional "
                        "2.00 [2.00, 2.00], n 3, provisional");
    assert_string_equal(line_of(p, said, "d=256"),
                        "d=256 2 of 3 2000 5.600 -0.600 [-1.871, +0.671], n 2, provisional "
                        "2.00 [2.00, 2.00], n 2, provisional");
    assert_string_equal(line_of(p, said, "d=512"),
                        "d=512 1 of 3 2000 5.600 -0.500, n 1, provisional 2.00, n 1, provisional");
    assert_string_equal(line_of(p, said, "d=1024"), "d=1024 0 of 3 - - - -");
    said = place_expect(p, 0, arena_text(&p->a, "export baseline_pair --db %s --out -", p->path));
    assert_says(said, "experiment,position,label,seed,base,n,nll,nats,");
    assert_says(said, "\nx,3,d=128,1,d=64,3,5.6,-0.5,");
    assert_says(said, "\nx,8,d=256,3,d=64,2,");
    assert_silent(said, "\nx,0,");
    said = place_expect(p, 0, arena_text(&p->a, "export summary --db %s --out -", p->path));
    assert_says(said, "experiment,label,n,seeds,not_ok,tokens_per_s");
    assert_says(said, "\nx,d=256,2,3,1,2000.0");
    assert_says(said, "\nx,d=1024,0,3,3,,");
}

/* From six pairs on nothing is provisional; without a baseline nothing is compared. */
static void test_sure(void **state)
{
    Place *p = *state;
    experiment(p, "64, 128", "baseline: d=64\nseeds: 6\n");
    const char *said = line_of(p, medians(sweep(p, 0, "")), "d=128");
    assert_says(said, ", n 6 2.00");
    assert_silent(said, "provisional");
    experiment(p, "64, 128", "seeds: 6\n");
    said = sweep(p, 0, "");
    assert_string_equal(line_of(p, medians(said), "d=128"), "d=128 6 of 6 2000 5.600");
    assert_silent(said, "expected:");
}

static void test_refused(void **state)
{
    static const struct { const char *more, *says; } bad[] = {
        { "baseline: d=7\n", "x.yaml:5:11: baseline 'd=7': no cell has this label; the first is "
                             "'d=64'" },
        { "baseline: {d: 7}\n", "x.yaml:5:15: baseline: factor 'd' has no level '7'" },
        { "baseline: {e: 64}\n", "x.yaml:5:12: baseline: there is no factor 'e'" },
        { "baseline: [d]\n", "x.yaml:5:11: baseline: expected a mapping" },
        { "expectation: ' '\n", "x.yaml:5:14: expectation: expected words" },
        { "figure: nosuch\n", "x.yaml:5:9: figure 'nosuch': expected a script" },
        { "figure: style\n", "x.yaml:5:9: figure 'style': expected a view of that name" },
    };
    Place *p = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        experiment(p, "64, 128", bad[i].more);
        assert_says(sweep(p, 2, "--dry-run"), bad[i].says);
        assert_says(sweep(p, 2, ""), bad[i].says);
    }
    experiment(p, "64, 128", "baseline: d=128\nexpectation: more\nfigure: curve\n");
    assert_says(sweep(p, 0, "--dry-run"), "  expected: more\n  baseline: d=128\n"
                                          "  figure: experiments/curve.gp\n");
    /* settings without effect: the cell is the one that was kept */
    place_write(p, "x.yaml",
                "question: q\nfactors: {head: [softmax, tree], assign: [brown, freq]}\n"
                "baseline: {head: softmax, assign: freq}\nbudget: 10tokens\n");
    assert_says(sweep(p, 0, "--dry-run"), "  baseline: head=softmax\n");
}

static void test_figure(void **state)
{
    Place *p = *state;
    const char *said;
    experiment(p, "64, 128", "figure: curve\n");
    assert_says(sweep(p, 0, ""), arena_text(&p->a, "figure curve: %s/figures/curve.svg", p->dir));
    assert_int_equal(
        place_shell(p, arena_text(&p->a, "test -s %s/figures/curve.svg", p->dir), &said), 0);
    const char *path = arena_text(&p->a, "%s", getenv("PATH"));
    setenv("PATH", p->dir, 1);
    said = sweep(p, 0, "");
    setenv("PATH", path, 1);
    assert_says(said, "figure curve: not drawn: gnuplot: not found; install gnuplot-nox");
    experiment(p, "1024", "figure: curve\n");
    assert_says(sweep(p, 1, ""), "figure curve: not drawn: no cell is ok\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_compared, set_up, place_drop),
        cmocka_unit_test_setup_teardown(test_sure, set_up, place_drop),
        cmocka_unit_test_setup_teardown(test_refused, set_up, place_drop),
        cmocka_unit_test_setup_teardown(test_figure, set_up, place_drop),
    };
    return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
