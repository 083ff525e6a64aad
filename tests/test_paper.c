/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The paper: what may not be typed into it, what its parts may not say, that a changed record
 * changes its number and makes stale what shows it and nothing else, and that TeX stops at a name
 * that nothing defines. */
#include "harness/judge/paper.h"
#include "tests/place.h"

static const char *in_root(Place *p, const char *path)
{
    return arena_text(&p->a, "%s/%s", getenv("EIGHTYSIX_ROOT"), path);
}

/* ---- nothing is typed ---- */
static void test_lint(void **state)
{
    static const struct { const char *line, *typed;
    } lines[] = {
        { "It is 84.0 of it.", "4.0" },
        { "about 84\\,\\% of it", "4\\,\\%" },
        { "12 times as fast", "2 times" },
        { "at 1127~GOP/s", "7~GOP" },
        { "of 7 percent", "7 percent" },
        { "10 tokens", "0 tokens" },
        { "\\val{a_84.0} and \\with[\\,\\%]{x} at $n=512$, $683\\times256$, \\ref{fig:a1.5}",
          NULL },
        { "50,257 words, 2 threads % 84.0 of a comment", NULL },
        { "100\\% typed", "0\\%" }
    };
    Place *p = *state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *why =
            paper_lint(place_write(p, "t.tex",
                                   arena_text(&p->a,
                                              "\\vspace{1.5cm}\n\\begin{document}\n%s\n\\begin{"
                                              "thebibliography}{9}\n2406.02528\n",
                                              lines[i].line)),
                       &p->a);
        if (!lines[i].typed) holds(why);
        else
            assert_says(why ? why : "nothing",
                        arena_text(&p->a, "t.tex:3: '%s' is typed", lines[i].typed));
    }
    holds(paper_lint(in_root(p, PAPER_TEXT), &p->a));
}

/* ---- its parts ---- */
static void test_refused(void **state)
{
    static const struct { const char *text, *says;
    } bad[] = {
        { "", "the file is empty" },
        { "words: {}\n", "unknown key 'words'" },
        { "numbers: {x: {experiment: e}}\n", "x: expected a key 'value'" },
        { "numbers: {x: {value: SELECT 1}}\n", "x: expected a key 'experiment'" },
        { "numbers: {x: {experiment: e, value: s, digits: 0}}\n", "digits: expected 1 to 9" },
        { "numbers: {x: {experiment: e, value: s, view: v}}\n", "unknown key 'view' of numbers" },
        { "tables: {x: {experiment: e, rows: s, of: o, interval: i}}\n",
          "x: expected a key 'columns'" },
        { "figures: {x: {experiment: e, view: v}}\n", "x: expected keys 'of' and 'interval'" },
        { "numbers: {x: {experiment: e, value: s}}\ntables: {x: {}}\n", "'x' is given twice" },
        { "numbers: {a_claim: {experiment: e, value: s}}\n", "'a_claim' is given twice" }
    };
    Place *p = *state;
    Claim claim = { .name = "a_claim", .experiment = "e", .value = "s" };
    const Claims claims = { &claim, 1 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Paper paper;
        const char *why = paper_load(place_write(p, "p.yaml", bad[i].text), &claims, &paper, &p->a);
        assert_says(why ? why : "nothing", bad[i].says);
    }
}

static void test_amount(void **state)
{
    Place *p = *state;
    assert_string_equal(paper_amount(84.0467, 3, &p->a), "84.0");
    assert_string_equal(paper_amount(13555969, 3, &p->a), "13,555,969");
    assert_string_equal(paper_amount(1127.03, 3, &p->a), "1,127");
    assert_string_equal(paper_amount(0.44791, 3, &p->a), "0.448");
    assert_string_equal(paper_amount(-0.002166, 2, &p->a), "\\ensuremath{-}0.0022");
    assert_string_equal(paper_escape("a_b 5 %", &p->a), "a\\_b 5 \\%");
}

/* ---- from records ---- */
static const char parts[] =
    "numbers:\n"
    "  share: {experiment: split, value: \"SELECT 100 * head_share AS value, run FROM result WHERE "
    "label = 'setting=all'\"}\n"
    "  other: {experiment: quick, value: \"SELECT 100 * head_share AS value, run FROM result WHERE "
    "label LIKE 'head=tree arithmetic=dense'\"}\n"
    "  none: {experiment: update_rows, value: \"SELECT nll AS value, run FROM result WHERE "
    "experiment = 'update_rows'\"}\n"
    "tables:\n"
    "  t: {experiment: split, rows: \"SELECT label, printf('%.2f', head_share) FROM summary WHERE "
    "experiment = 'split'\", "
    "columns: [setting, share], of: runs, interval: none}\n"
    "figures:\n"
    "  f_split: {experiment: split, view: time_split, of: runs, interval: none}\n"
    "  f_quick: {experiment: quick, view: time_split, of: runs, interval: none}\n";

/* The reference records of what `parts` asks for, as text; of all, each question takes seconds */
static const char *few_records(Place *p)
{
    const char *text = place_in(p, "few"), *db = place_in(p, "few.db"),
               *first = place_in(p, "first"), *again = place_in(p, "again.db");
    if (!access(text, F_OK)) return text;
    place_expect(p, 0, arena_text(&p->a, "merge results/reference/records --into %s", db));
    by_hand(p, db, "DROP TRIGGER run_final; DROP TRIGGER run_kept; PRAGMA foreign_keys = 0;"
                   "DELETE FROM experiment WHERE name NOT IN ('split', 'quick');"
                   "DELETE FROM plan WHERE experiment NOT IN (SELECT id FROM experiment);"
                   "DELETE FROM label WHERE experiment NOT IN (SELECT id FROM experiment);"
                   "DELETE FROM run WHERE experiment IS NULL OR "
                   "experiment NOT IN (SELECT id FROM experiment); DELETE FROM verdict;"
                   "DELETE FROM config WHERE run NOT IN (SELECT id FROM run);"
                   "DELETE FROM metric WHERE run NOT IN (SELECT id FROM run);"
                   "DELETE FROM phase_mean WHERE run NOT IN (SELECT id FROM run);"
                   "DELETE FROM sample WHERE run NOT IN (SELECT id FROM run);"
                   "DELETE FROM text WHERE run NOT IN (SELECT id FROM run)");
    place_expect(p, 0, arena_text(&p->a, "export --db %s --text %s", db, first));
    /* once more, for runs whose numbers a merge keeps */
    place_expect(p, 0, arena_text(&p->a, "merge %s --into %s", first, again));
    place_expect(p, 0, arena_text(&p->a, "export --db %s --text %s", again, text));
    return text;
}

/* They as a database; edit: a sed script for their spans, which must change them */
static const char *records(Place *p, const char *name, const char *edit)
{
    const char *said, *db = arena_text(&p->a, "%s/%s.db", p->dir, name);
    const char *few = few_records(p), *copy = arena_text(&p->a, "%s/%s", p->dir, name);
    if (place_shell(p,
                    arena_text(&p->a, "cp -r %s %s && sed -i '%s' %s/span.csv", few, copy, edit,
                               copy),
                    &said))
        fail_msg("%s", said);
    assert_int_equal(
        *edit != 0,
        place_shell(p, arena_text(&p->a, "cmp %s/span.csv %s/span.csv", copy, few), &said));
    if (place_command(p, arena_text(&p->a, "merge %s --into %s", copy, db), &said))
        fail_msg("%s", said);
    return db;
}

/* a run of the full softmax at all positions */
static const char *a_run(Place *p, const char *path)
{
    const char *why;
    DbTable t;
    Db *db = db_open_read(path, &p->a, &why);
    if (!db) fail_msg("%s", why);
    holds(db_table(
        db,
        "SELECT min(run) AS run FROM result WHERE experiment = 'split' AND label = 'setting=all'",
        &t, &p->a));
    db_close(db);
    return db_field(&t, 0, "run");
}

static int paper(Place *p, const char *db, const char *more, const char **said)
{
    return place_command(p,
                         arena_text(&p->a, "paper --db %s --out %s/out --parts %s/parts.yaml %s",
                                    db, p->dir, p->dir, more),
                         said);
}

static const char *line_of(Place *p, const char *name)
{
    const char *said;
    place_shell(p, arena_text(&p->a, "grep -F 'number{%s}' %s/out/numbers.tex", name, p->dir),
                &said);
    return said;
}

/* the host of the runs of `split`, as a paper names it */
static const char *host_of_split(Place *p, const char *db)
{
    const char *said;
    place_shell(p,
                arena_text(&p->a,
                           "'%s' export records --db %s --out - | awk -F, '/^split,/ { "
                           "gsub(/[(]R[)]/, \"\", $4); printf \"%%s, %%s cores\", $4, $5 }'",
                           getenv("EIGHTYSIX_BINARY"), db),
                &said);
    return said;
}

static void test_changed_record(void **state)
{
    Place *p = *state;
    const char *said, *was, *same;
    const char *db = records(p, "a", "");
    place_write(p, "parts.yaml", parts);
    assert_int_equal(paper(p, db, "--check", &said), 1);
    assert_says(said, "stamps is not there");
    if (paper(p, db, "", &said)) fail_msg("%s", said);
    if (paper(p, db, "--check", &said)) fail_msg("%s", said);
    was = line_of(p, "share");
    same = line_of(p, "other");
    place_shell(p, arena_text(&p->a, "cat %s/out/numbers.tex", p->dir), &said);
    assert_says(said, "\\eightysixmissing{none}{eightysix sweep experiments/update\\_rows.yaml}");
    assert_says(
        was, arena_text(&p->a, "{3}{least and most, covering 75 \\%%}{%s}", host_of_split(p, db)));

    /* the head's forward pass of one run takes a second longer */
    const char *slow =
        records(p, "b", arena_text(&p->a, "s/^\\(%s,head.forward,.*,\\)0\\./\\11./", a_run(p, db)));
    assert_int_equal(paper(p, slow, "--check", &said), 1);
    assert_says(said, "stale  number share: its records have changed");
    assert_says(said, "stale  number head_share_all: its records have changed");
    assert_says(said, "stale  figure f_split: its records have changed");
    assert_says(said, "stale  table t: its records have changed");
    assert_silent(said, "f_quick");
    assert_silent(said, "number other");
    if (paper(p, slow, "", &said)) fail_msg("%s", said);
    assert_string_not_equal(line_of(p, "share"), was);
    assert_string_equal(line_of(p, "other"), same);
    assert_int_equal(paper(p, slow, "--check", &said), 0);

    /* what was made, and what makes it */
    place_shell(
        p,
        arena_text(&p->a,
                   "echo x >> %s/out/figures/f_quick.pdf; sed -i 's/{3}/{4}/' %s/out/numbers.tex",
                   p->dir, p->dir),
        &said);
    assert_int_equal(paper(p, slow, "--check", &said), 1);
    assert_says(said, "stale  figure f_quick: what was made is gone or was changed");
    assert_says(said, "numbers.tex: it is gone or was changed");
    place_write(
        p, "parts.yaml",
        arena_text(&p->a,
                   "%s  # more\n  g: {experiment: quick, view: time_split, of: o, interval: i}\n",
                   parts));
    assert_int_equal(paper(p, slow, "--check", &said), 1);
    assert_says(said, "stale  figure g: was never made");
}

/* ---- TeX ---- */
static int tex(Place *p, const char *name, const char *body, const char **said)
{
    place_write(p, name,
                arena_text(&p->a,
                           "\\documentclass{article}\n\\usepackage{eightysix}\n\\input{numbers}\n"
                           "\\begin{document}\n%s\n\\end{document}\n",
                           body));
    return place_shell(p,
                       arena_text(&p->a,
                                  "max_print_line=1000 TEXINPUTS=%s/out:paper: pdflatex "
                                  "-halt-on-error -interaction=nonstopmode "
                                  "-output-directory=%s %s/%s",
                                  p->dir, p->dir, p->dir, name),
                       said);
}

static void test_tex(void **state)
{
    Place *p = *state;
    const char *said;
    if (place_shell(p, "command -v pdflatex && kpsewhich lmodern.sty booktabs.sty", &said)) {
        printf("# skipped: pdflatex is not installed (make paper installs it)\n");
        skip();
    }
    place_write(p, "parts.yaml", parts);
    if (paper(p, records(p, "a", ""), "", &said)) fail_msg("%s", said);
    const char *good = "\\val{share} \\with[\\%]{share} \\val{none} \\verdict{head_share_all} "
                       "\\measured{none,share}{text} "
                       "\\fig{f_split}{A.}\\fig{f_quick}{B.}\\tab{t}{C.}\\claimtable{D.}";
    if (tex(p, "good.tex", good, &said)) fail_msg("%s", said);
    static const char *const bad[] = { "\\val{nosuch}",
                                       "\\with{nosuch}",
                                       "\\fig{nosuch}{A.}",
                                       "\\tab{nosuch}{A.}",
                                       "\\measured{share,nosuch}{text}",
                                       "\\verdict{share}" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tex(p, "bad.tex", bad[i], &said), 1);
        assert_says(said, "paper.yaml has none");
    }
}

int main(void)
{
    test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lint, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_refused, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_amount, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_changed_record, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_tex, place_make, place_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
