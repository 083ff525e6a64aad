/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Claims: the rule of verdicts, what a claims file may not say, verdicts that follow from records
 * and from nothing else, the claims of this repository, and what `why` finds changed. */
#include "harness/judge/claims.h"
#include "tests/place.h"
#include <math.h>
#include <time.h>

/* ---- the rule ---- */
static ClaimVerdict decide(Claim c, double from, double to, Arena *a)
{
    double x[9];                              /* of 9, ranks 2 and 8 bound the median at 95 % */
    Interval of;
    for (int i = 0; i < 9; i++) x[i] = i < 2 ? from : i > 6 ? to : (from + to) / 2;
    const ClaimVerdict v = claim_decide(&c, x, 9, &of, a);
    assert_true(of.low == from && of.high == to);
    return v;
}

static void test_rule(void **state)
{
    Place *p = *state;
    Arena *a = &p->a;
    Interval of;
    const Claim value = { .low = 86, .high = 86, .tolerance = 2 },
                above = { .low = 5, .high = 10, .side = 1, .edge = 1 },
                least = { .low = 5, .high = INFINITY },
                below = { .low = 14, .high = 14, .tolerance = 1, .side = -1, .edge = 50 };
    assert_int_equal(claim_decide(&value, NULL, 0, &of, a), CLAIM_UNTESTED);
    assert_int_equal(decide(value, 84, 88, a), CLAIM_HELD);
    assert_int_equal(decide(value, 83.9, 88, a), CLAIM_WEAKENED);
    assert_int_equal(decide(value, 88.1, 90, a), CLAIM_REFUTED);
    assert_int_equal(decide(value, 10, 83.9, a), CLAIM_REFUTED);
    assert_int_equal(decide(above, 5, 10, a), CLAIM_HELD);
    /* the direction, not the size */
    assert_int_equal(decide(above, 2, 3, a), CLAIM_WEAKENED);
    assert_int_equal(decide(above, 20, 30, a), CLAIM_WEAKENED);
    assert_int_equal(decide(above, 0.9, 1.1, a), CLAIM_WEAKENED);    /* the direction is open */
    assert_int_equal(decide(above, 0.5, 0.9, a), CLAIM_REFUTED);
    assert_int_equal(decide(least, 5, 1e9, a), CLAIM_HELD);
    assert_int_equal(decide(least, 4, 6, a), CLAIM_WEAKENED);
    assert_int_equal(decide(least, 4, 4.9, a), CLAIM_REFUTED);
    assert_int_equal(decide(below, 13, 15, a), CLAIM_HELD);
    assert_int_equal(decide(below, 20, 49, a), CLAIM_WEAKENED);
    assert_int_equal(decide(below, 51, 60, a), CLAIM_REFUTED);
    /* a single exact value */
    assert_int_equal(claim_decide(&value, (const double[]){ 86.5 }, 1, &of, a), CLAIM_HELD);
}

/* ---- the file ---- */
#define HEAD "x:\n  words: w\n  source: s\n  experiment: e\n"

static void test_refused(void **state)
{
    static const struct { const char *text, *says;
    } bad[] = { { "", ":1:1: the file is empty; expected claims" },
                { "- x\n", ":1:1: claims: expected a mapping" },
                { "x: y\n", ":1:4: x: expected a mapping" },
                { "a b: {}\n", ":1:1: a claim 'a b': expected letters" },
                { HEAD "  value: SELECT 1\n", ":2:3: x: expected a key 'claimed'" },
                { HEAD "  claimed: 1\n", ":2:3: x: expected a key 'value'" },
                { "x:\n  value: SELECT 1\n  claimed: 1\n",
                  ":2:3: x: expected keys 'words', 'source' and 'experiment'" },
                { HEAD "  claimed: many\n", ":5:12: claimed 'many': expected a number" },
                { HEAD "  claimed: {about: 3}\n",
                  ":5:13: claimed: unknown key 'about'; expected a number, from and "
                  "to, least or most" },
                { HEAD "  claimed: {from: 3, to: 2}\n", ":5:12: claimed: expected from <= to" },
                { HEAD "  claimed: {}\n", ":5:12: claimed: expected a number" },
                { HEAD "  tolerance: -1\n", ":5:14: tolerance: expected 0 or more" },
                { HEAD "  above: 1\n  below: 2\n", ":6:3: expected one of above and below" },
                { HEAD "  verdict: held\n", ":5:3: unknown key 'verdict'; expected words" },
                { HEAD "x: {}\n", ":5:1: 'x' is given twice, first in line 1" },
                { "x: [\n", "not YAML" } };
    Place *p = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Claims c;
        const char *why = claims_load(place_write(p, "claims.yaml", bad[i].text), &c, &p->a);
        if (!why) fail_msg("accepted: %s", bad[i].text);
        assert_says(why, bad[i].says);
        assert_says(why, "claims.yaml");
    }
}

/* As many keys as a file has room for are read within two seconds of the processor. */
static void test_many_keys(void **state)
{
    enum { KEYS = 70000 };
    Place *p = *state;
    Claims c;
    char *text = arena_raw(&p->a, KEYS * 14), *to = text;
    for (int i = 0; i < KEYS; i++) to += sprintf(to, "k%05d: 1\n", i * 7919 % KEYS);
    const char *all = place_write(p, "all.yaml", text);
    sprintf(to, "k00007: 1\n");
    const char *twice = place_write(p, "twice.yaml", text);
    const clock_t from = clock();
    assert_says(claims_load(all, &c, &p->a), "all.yaml:1:9: k00000: expected a mapping");
    assert_says(claims_load(twice, &c, &p->a),
                "twice.yaml:70001:1: 'k00007' is given twice, first in line ");
    assert_true((double)(clock() - from) / CLOCKS_PER_SEC < 2);
}

static void test_definition(void **state)
{
    Place *p = *state;
    Claims c;
    Claim back;
    holds(
        claims_load(place_write(p, "claims.yaml",
                                HEAD "  claimed: {least: 0.1}\n  tolerance: 0.3\n  below: 7\n"
                                     "  value: SELECT \"value\", 'a\\b' FROM result -- \xc3\xa9\n"),
                    &c, &p->a));
    const char *line = claim_definition(c.claim, &p->a);
    assert_null(strchr(line, '\n'));
    holds(claim_from_definition("x", line, &back, &p->a));
    assert_string_equal(back.value, c.claim->value);
    assert_true(back.low == 0.1 && back.high == INFINITY && back.tolerance == 0.3 &&
                back.side == -1 && back.edge == 7);
    assert_string_equal(claim_definition(&back, &p->a), line);
}

/* ---- records ---- */
static void say(Db *db, long run, const char *text)
{
    char line[128];
    Record l;
    snprintf(line, sizeof line, "%s", text);
    assert_true(record_parse(line, &l));
    db_record(db, run, &l);
}

/* three seeds of two heads; tokens_per_s of the tree is 2000, of softmax 1000 + seed */
static void fill(Place *p, const char *experiment)
{
    const char *why, *const heads[] = { "softmax", "tree" };
    Db *db = db_open(p->path, &p->a, &why);
    holds(why);
    const long e = db_experiment(db, experiment, "question: q\n", "", DB_SPEED);
    for (int k = 0; k < 2; k++)
        for (int seed = 1; seed <= 3; seed++) {
            const char *label = arena_text(&p->a, "head=%s", heads[k]),
                *spec = arena_text(&p->a, "head=%s seed=%d", heads[k], seed);
            db_plan(db, e, 3 * k + seed, spec, spec, label, seed, "");
            const long run = db_run_start(db, experiment, spec, spec);
            db_config(db, run, "head", heads[k]);
            db_config(db, run, "act", "f32");
            db_config(db, run, "corpus", "synth");
            say(db, run, arena_text(&p->a, "num tokens_per_s 9 %d", k ? 2000 : 1000 + seed));
            db_run_end(db, run, "ok", "", 2.5, 4096);
        }
    db_close(db);
}

static const char *judge(Place *p, const char *value, Claim c, Judgement *j)
{
    const char *why;
    c.name = "x";
    c.at_value = "f:1:2";
    c.value = value;
    Db *db = db_open_read(p->path, &p->a, &why);
    if (db) why = claim_judge(db, &c, j, &p->a);
    db_close(db);
    return why;
}

#define SPEED                                                                                      \
    "SELECT t.tokens_per_s / s.tokens_per_s AS value, t.run, s.run AS run_s FROM result t "        \
    "JOIN result s ON s.seed = t.seed AND s.head = 'softmax' WHERE t.head = 'tree'"

static void test_judged(void **state)
{
    Place *p = *state;
    Judgement j;
    const Claim twice = { .low = 2, .high = 2, .tolerance = 0.01, .side = 1, .edge = 1 };
    fill(p, "grid");
    holds(judge(p, SPEED, twice, &j));
    assert_int_equal(j.verdict, CLAIM_HELD);
    assert_int_equal(j.n, 3);
    assert_string_equal(j.runs, "4,1,5,2,6,3");
    assert_true(j.of.median == 2000 / 1002.0);
    /* another recorded value, another verdict */
    by_hand(p, p->path, "UPDATE metric SET value = 1500 WHERE value = 2000");
    holds(judge(p, SPEED, twice, &j));
    assert_int_equal(j.verdict, CLAIM_WEAKENED);
    by_hand(p, p->path, "UPDATE metric SET value = 500 WHERE value = 1500");
    holds(judge(p, SPEED, twice, &j));
    assert_int_equal(j.verdict, CLAIM_REFUTED);
    holds(judge(p, SPEED " AND t.seed > 7", twice, &j));
    assert_int_equal(j.verdict, CLAIM_UNTESTED);
}

static void test_questions(void **state)
{
    static const struct { const char *value, *says;
    } bad[] = { { "SELECT value, run FROM metric",
                  "f:1:2: x: value: expected a SELECT over views: no such table: "
                  "metric" },
                { "WITH a AS (SELECT * FROM run) SELECT id AS value, id AS run FROM a",
                  "no such table: run" },
                { "SELECT tokens_per_s AS value, run FROM main.result, run", "no such table: run" },
                { "UPDATE result SET nll = 1", "expected a SELECT" },
                { "WITH a AS (SELECT 1) DELETE FROM result",
                  "expected a SELECT, which changes nothing" },
                { "PRAGMA user_version", "expected a SELECT" },
                { "SELECT 1 AS value, 1 AS run; SELECT 2", "expected one SELECT only" },
                { "SELECT FROM result", "syntax error" },
                { "SELECT nll, run FROM result",
                  "expected a column value and columns that begin with run" },
                { "SELECT nll AS value FROM result",
                  "expected a column value and columns that begin with run" },
                { "SELECT head AS value, run FROM result", "expected a number, not 'softmax'" },
                { "SELECT 1 AS value, NULL AS run", "expected the id of a run in column run" },
                { "SELECT t.tokens_per_s / s.tokens_per_s AS value, t.run FROM result t JOIN "
                  "result s ON s.seed = "
                  "t.seed "
                  "AND s.head = 'softmax' WHERE t.head = 'tree'",
                  "depends on runs it does not name" } };
    Place *p = *state;
    Judgement j;
    fill(p, "grid");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *why = judge(p, bad[i].value, (Claim){ .low = 1, .high = 1 }, &j);
        if (!why) fail_msg("accepted: %s", bad[i].value);
        assert_says(why, bad[i].says);
    }
}

/* As many rows as a question has; every run once, in the order of the rows */
static void test_many_rows(void **state)
{
    Place *p = *state;
    Judgement j;
    fill(p, "grid");
    holds(judge(p,
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) "
                "SELECT i AS value, 1 + i % 6 AS run, 7 - (1 + i % 6) AS run_other FROM n",
                (Claim){ .low = 5000, .high = 5000, .tolerance = 200 }, &j));
    assert_int_equal(j.n, 9999);
    assert_true(j.of.median == 5000);
    assert_string_equal(j.runs, "2,5,3,4,6,1");
    assert_int_equal(j.verdict, CLAIM_HELD);
}

/* ---- the command ---- */
static const char one[] = HEAD "  claimed: 2\n  tolerance: 0.01\n  above: 1\n  value: " SPEED "\n";

static void test_command(void **state)
{
    Place *p = *state;
    const char *said,
        *words = arena_text(&p->a, "claims --db %s --claims %s --recorded %s/claims.csv", p->path,
                            place_write(p, "claims.yaml", one), p->dir);
    fill(p, "grid");
    assert_int_equal(place_command(p, arena_text(&p->a, "%s --record", words), &said), 0);
    assert_says(said, "held        x: 1.996 [1.994, 1.998] 75 %, n 3; claimed 2 within 0.01");
    assert_int_equal(place_command(p, arena_text(&p->a, "%s --tap", words), &said), 0);
    assert_string_equal(
        said, "TAP version 13\n1..1\nok 1 - x: held: 1.996 [1.994, 1.998] 75 %, n 3; claimed "
              "2 within 0.01\n");
    by_hand(p, p->path, "UPDATE metric SET value = 500 WHERE value = 2000");
    assert_int_equal(place_command(p, words, &said), 1);
    assert_says(said, "refuted     x");
    assert_says(said, "(was held)");
    assert_int_equal(place_command(p, arena_text(&p->a, "%s --tap", words), &said), 1);
    assert_says(said, "not ok 1 - x: refuted");
    by_hand(p, p->path, "DELETE FROM metric");
    assert_int_equal(place_command(p, words, &said), 3);
    assert_int_equal(place_command(p, arena_text(&p->a, "%s y", words), &said), 2);
    assert_says(said, "y: no claim of this name");
}

/* Every claim of this repository is a question over views; the reference records judge twelve or
 * more, as recorded. */
static void test_ours(void **state)
{
    Place *p = *state;
    Claims c;
    const char *root = getenv("EIGHTYSIX_ROOT"), *why, *said;
    holds(claims_load(arena_text(&p->a, "%s/" CLAIMS_FILE, root), &c, &p->a));
    fill(p, "grid");
    Db *db = db_open_read(p->path, &p->a, &why);
    holds(why);
    for (int i = 0; i < c.n; i++) {
        Judgement j;
        holds(claim_judge(db, &c.claim[i], &j, &p->a));
        if (j.verdict != CLAIM_UNTESTED)
            fail_msg("%s: judged from runs it is not about", c.claim[i].name);
    }
    db_close(db);
    const char *path = arena_text(&p->a, "%s/reference.db", p->dir);
    assert_int_equal(
        place_command(p, arena_text(&p->a, "merge results/reference/records --into %s", path),
                      &said),
        0);
    if (place_command(p, arena_text(&p->a, "claims --db %s --tap", path), &said))
        fail_msg("%s", said);
    int judged = 0;
    for (const char *s = said; (s = strstr(s, "\nok ")); s++) judged++;
    for (const char *s = said; (s = strstr(s, "# SKIP")); s++) judged--;
    assert_true(judged >= 12);
}

/* ---- why ---- */
static void test_why(void **state)
{
    static const struct { const char *sql, *says; } changed[] = {
        { "UPDATE build SET sha = 'x', git = 'feedfacefeed'", "commit: was feedfacefe, is " },
        { "UPDATE build SET sha = 'y', flags = '-O7 ' || flags",
          "flag: compiler flags had -O7, have nothing more  (6 of 6 runs)" },
        { "UPDATE build SET compiler = 'tcc 0.9'", "flag: compiler was tcc 0.9, is " },
        { "UPDATE machine SET cpu = 'Z80', cores = 1", "host: was Z80 | " },
        { "INSERT INTO text VALUES (2, 'corpus_sha', 'feed')",
          "corpus: synth was feed, is   (1 of 6 runs)" } };
    Place *p = *state;
    const char *said, *words = arena_text(&p->a, "why x --db %s --claims %s", p->path,
                                          place_write(p, "claims.yaml", one));
    fill(p, "grid");
    assert_int_equal(place_command(p, words, &said), 0);
    assert_says(said, "x: held: ");
    assert_says(said, "6 runs behind it, 0 of them stale\n");
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        by_hand(p, p->path, changed[i].sql);
        assert_int_equal(place_command(p, words, &said), 1);
        for (size_t k = 0; k <= i; k++) assert_says(said, changed[k].says);
    }
    assert_says(said, "6 runs behind it, 6 of them stale\n");
    assert_says(said, "to run, about 15 s:\n  eightysix train head=softmax seed=1\n");
    /* no spans */
    assert_int_equal(place_command(p, arena_text(&p->a, "why time_split --db %s", p->path), &said),
                     2);
    assert_int_equal(place_command(p, arena_text(&p->a, "why 'head=tree' --db %s", p->path), &said),
                     1);
    assert_says(said, "3 runs behind it, 3 of them stale\n");
}

/* An experiment that has changed since, and one that was never run */
static void test_why_experiment(void **state)
{
    Place *p = *state;
    const char *said;
    fill(p, "quick");
    assert_int_equal(place_command(p, arena_text(&p->a, "why result --db %s", p->path), &said), 1);
    assert_says(said,
                "flag: experiments/quick.yaml has no cell with these settings  (6 of 6 runs)\n");
    assert_int_equal(
        place_command(p, arena_text(&p->a, "why head_share_all --db %s", p->path), &said), 1);
    assert_says(said, "not tested");
    assert_says(said, "eightysix sweep experiments/split.yaml    # 9 cells\n");
}

/* Every reason is shown, and every command */
static void test_why_many(void **state)
{
    enum { RUNS = 100 };
    Place *p = *state;
    const char *why, *said;
    Db *db = db_open(p->path, &p->a, &why);
    holds(why);
    const long e = db_experiment(db, "grid", "question: q\n", "", DB_SPEED);
    for (int seed = 1; seed <= RUNS; seed++) {
        const char *spec = arena_text(&p->a, "head=tree seed=%d", seed);
        db_plan(db, e, seed, spec, spec, "head=tree", seed, "");
        db_run_end(db, db_run_start(db, "grid", spec, spec), "fail", "it said why", 2, 4096);
    }
    db_close(db);
    said = place_expect(p, 1, arena_text(&p->a, "why head=tree --db %s", p->path));
    for (int run = 1; run <= RUNS; run++) {
        assert_says(said, arena_text(&p->a, "  run %d ended with fail  (1 of 100 runs)\n", run));
        assert_says(said, arena_text(&p->a, "\n  eightysix train head=tree seed=%d\n", run));
    }
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, place_make, place_drop)
    const struct CMUnitTest tests[] = { T(test_rule),   T(test_refused),   T(test_definition),
                                        T(test_many_keys),
                                        T(test_judged), T(test_questions), T(test_command),
                                        T(test_ours),   T(test_why),       T(test_why_experiment),
                                        T(test_many_rows), T(test_why_many) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
