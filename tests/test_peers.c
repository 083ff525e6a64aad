/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Programs of other engines as cells: a shell script beside the experiment that does what its own
 * word `do` says. */
#include "harness/store/db.h"
#include "harness/sweep/experiment.h"
#include "tests/fake.h"

static const char peer_script[] =
    "#!/bin/sh\n"
    "if [ \"$*\" = versions ]; then\n"
    "  [ -e gone ] && { echo 'the engine is not installed' >&2; exit 77; }\n"
    "  echo \"text peer_versions engine $(cat version 2>/dev/null)\" >&3; exit 0\n"
    "fi\n"
    "echo \"$*\" >> started\n"
    "echo \"text peer_versions engine $(cat version 2>/dev/null)\" >&3\n"
    "for w; do case $w in do=*) mode=${w#do=};; esac; done\n"
    "case $mode in\n"
    "  skip)    echo noise >&2; echo 'no bfloat16 on this CPU' >&2; exit 77;;\n"
    "  crash)   kill -SEGV $$;;\n"
    "  fail)    echo 'out of luck' >&2; exit 3;;\n"
    "  rubbish) echo 'hello world' >&3;;\n"
    "  slow)    exec sleep 9;;\n"
    "  program) \"$EIGHTYSIX_PROGRAM\" --version > version_of_ours;;\n"
    "esac\n"
    "echo 'num nll 4 6.5' >&3; echo 'num tokens_per_s 4 2000' >&3\n"
    "echo \"printed by $mode\"\n";

static int make(void **state)
{
    if (fake_make(state)) return -1;
    Place *p = *state;
    return mkdir(place_in(p, "e"), 0755) || mkdir(place_in(p, "e/peers"), 0755) ||
           chmod(place_write(p, "e/peers/engine.sh", peer_script), 0755);
}

/* e/x.yaml with these levels of the factor engine, and more keys */
static void experiment(Place *p, const char *levels, const char *more)
{
    place_write(p, "e/x.yaml",
                arena_text(&p->a,
                           "question: which engine?\nfixed: {threads: 2, d: 64}\nbudget: 1s\n"
                           "factors:\n  engine:\n    ours: {}\n%s%s",
                           levels, more));
}

#define LEVEL(label, set) "    " label ": {program: peers/engine.sh, set: {" set "}}\n"

static const char *sweep(Place *p, int code, const char *words)
{
    return fake_run(p, code, arena_text(&p->a, "sweep e/x.yaml --db r/x.db %s", words));
}

static const char *one(Place *p, const char *sql) { return fake_ask(p, "r/x.db", sql); }

/* The last run of a level: its status and error */
static void expect_run(Place *p, const char *level, const char *status, const char *error)
{
    const char *from = arena_text(&p->a,
                                  "FROM run r JOIN plan p ON p.cell = r.cell AND p.label = "
                                  "'engine=%s' ORDER BY r.id DESC LIMIT 1", level);
    assert_string_equal(one(p, arena_text(&p->a, "SELECT r.status %s", from)), status);
    const char *said = one(p, arena_text(&p->a, "SELECT r.error %s", from));
    if (*error ? !strstr(said, error) : *said)
        fail_msg("%s: expected '%s' in '%s'", level, error, said);
}

static void test_ends(void **state)
{
    Place *p = *state;
    experiment(p,
               LEVEL("good", "do: good") LEVEL("skip", "do: skip") LEVEL("crash", "do: crash")
               LEVEL("fail", "do: fail") LEVEL("rubbish", "do: rubbish") LEVEL("slow", "do: slow")
               "    missing: {program: peers/nothing.sh}\n"
               "    python: {program: peers/nothing.py, set: {a: b}}\n",
               "limits: {seconds: 2}\n");
    const char *said = sweep(p, 1, "");
    expect_run(p, "ours", "ok", "");
    expect_run(p, "good", "ok", "");
    expect_run(p, "skip", "skip", "no bfloat16 on this CPU");
    expect_run(p, "crash", "crash", "signal 11");
    expect_run(p, "fail", "fail", "out of luck");
    expect_run(p, "rubbish", "fail", "1 of its lines were no records, the first: 'hello world'");
    expect_run(p, "slow", "timeout", "over its limit of 2 s");
    expect_run(p, "missing", "skip", "program peers/nothing.sh: there is no such file beside "
                                     "e/x.yaml or in experiments/");
    expect_run(p, "python", "skip", "program peers/nothing.py: there is no such file");
    assert_says(said, "engine=missing");
    const char *log = arena_text(&p->a, "cat %s/r/logs/x-*.log", p->dir);
    place_shell(p, log, &said);
    assert_says(said, "printed by good");
    assert_string_equal(one(p, "SELECT tokens_per_s FROM result WHERE label = 'engine=good'"),
                        "2000.0");
}

/* What cannot run is no failure of the sweep */
static void test_skip_is_no_failure(void **state)
{
    Place *p = *state;
    experiment(p, "    missing: {program: peers/nothing.sh}\n" LEVEL("skip", "do: skip"), "");
    sweep(p, 0, "");
    expect_run(p, "skip", "skip", "no bfloat16 on this CPU");
    experiment(p, LEVEL("good", "do: good"), "");
    place_write(p, "e/peers/engine.sh", "#!/no/such/shell\n");
    sweep(p, 0, "");
    expect_run(p, "good", "skip",
               "e/peers/engine.sh: expected /no/such/shell to run it, which is not there");
    place_write(p, "e/peers/engine.sh", "#!/usr/bin/env no_such_language\n");
    sweep(p, 0, "");
    expect_run(p, "good", "skip", "expected no_such_language to run it");
    chmod(place_in(p, "e/peers/engine.sh"), 0644);
    sweep(p, 0, "");
    expect_run(p, "good", "skip", "e/peers/engine.sh: cannot be run: Permission denied");
}

/* The settings that are given and the program's own words, which nobody checks */
static void test_words(void **state)
{
    Place *p = *state;
    const char *said;
    experiment(p, LEVEL("good", "pace: bf16, do: program, KLINGON: 7"), "");
    sweep(p, 0, "--filter engine=good");
    place_shell(p, arena_text(&p->a, "cat %s/started", p->dir), &said);
    assert_string_equal(said,
                        "budget=1s seed=1 threads=2 d=64 KLINGON=7 do=program pace=bf16\n");
    assert_string_equal(one(p, "SELECT spec FROM run r JOIN cell c ON c.key = r.cell"),
                        "budget=1s threads=2 d=64 program=peers/engine.sh KLINGON=7 "
                        "do=program pace=bf16");
    assert_string_equal(one(p, "SELECT value FROM config WHERE key = 'pace'"), "bf16");
    assert_string_equal(one(p, "SELECT value FROM config WHERE key = 'program'"),
                        "peers/engine.sh");
    place_shell(p, arena_text(&p->a, "cat %s/version_of_ours", p->dir), &said);
    assert_says(said, "eightysix ");
}

/* A cell is shared with neither ours nor another program or other words; the order of words is
 * nothing */
static void test_keys(void **state)
{
    Place *p = *state;
    const char *why = NULL;
    experiment(p,
               LEVEL("a", "x: 1, y: 2") LEVEL("b", "x: 1, y: 3")
               "    c: {program: peers/other.sh, set: {x: 1, y: 2}}\n", "");
    const Experiment *e = experiment_load(place_in(p, "e/x.yaml"), NULL, 0, &p->a, &why);
    if (!e) fail_msg("%s", why);
    assert_int_equal(e->cells, 4);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++) assert_string_not_equal(e->cell[i].key, e->cell[j].key);
    assert_null(e->cell[0].peer);
    assert_string_equal(e->cell[0].text, "budget=1s threads=2 d=64");
    const char *key = arena_text(&p->a, "%s", e->cell[1].key);
    experiment(p, LEVEL("a", "y: 2, x: 1"), "");
    e = experiment_load(place_in(p, "e/x.yaml"), NULL, 0, &p->a, &why);
    if (!e) fail_msg("%s", why);
    assert_string_equal(e->cell[1].key, key);
    experiment(p, LEVEL("a", "y: 2, x: 1") LEVEL("b", "x: 1, y: 2"), "");
    assert_null(experiment_load(place_in(p, "e/x.yaml"), NULL, 0, &p->a, &why));
    assert_says(why, "'engine=a' and 'engine=b' have the same settings");
}

static void test_refused(void **state)
{
    static const struct { const char *levels, *more, *says; } bad[] = {
        { "    a: {program: peers/engine.sh, mode: fast}\n", "",
          "x.yaml:7:35: unknown setting 'mode'" },
        { LEVEL("a", "head: tree"), "", "x.yaml:7:41: 'head' is a name of this suite's own" },
        { LEVEL("a", "set: 1"), "", "'set' is a name of this suite's own" },
        { LEVEL("a", "x: 'a b'"), "", "x 'a b': expected a value without white space" },
        { LEVEL("a", "x: ''"), "", "expected a value without white space" },
        { LEVEL("a", "x: [1]"), "", "x.yaml:7:44: x: expected" },
        { "    a: {set: {x: 1}}\n", "", "expected a key 'program' beside it" },
        { "    a: {program: 'peers/a b'}\n", "", "expected a path without white space" },
        { "    a: {program: [x]}\n", "", "program: expected" },
        { "    a: {program: peers/engine.sh, set: 3}\n", "", "set: expected" },
        { LEVEL("a", "x: 1"), "  other:\n    b: {program: peers/engine.sh}\n",
          "programs are already named by factor 'engine'" },
    };
    Place *p = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        experiment(p, bad[i].levels, bad[i].more);
        assert_says(sweep(p, 2, "--dry-run"), bad[i].says);
    }
}

static void test_dry_run(void **state)
{
    Place *p = *state;
    const char *levels = LEVEL("good", "do: good") "    missing: {program: peers/nothing.sh}\n";
    experiment(p, levels, "");
    const char *said = sweep(p, 0, "--dry-run");
    assert_says(said, "new      engine=good  (no run yet)");
    assert_says(said, "new      engine=missing  (no run yet; it would be skipped: program "
                      "peers/nothing.sh: there is no such file");
    assert_int_not_equal(access(place_in(p, "r"), F_OK), 0);
    assert_int_equal(fake_started(p), 0);
    place_write(p, "gone", "");
    assert_says(sweep(p, 0, "--dry-run"), "engine=good  (no run yet; it would be skipped: "
                                          "the engine is not installed)");
    sweep(p, 0, "--filter engine=good");
    expect_run(p, "good", "skip", "the engine is not installed");
    assert_int_equal(fake_started(p), 0);
}

/* Current as long as the script and what it says of its versions are the same; other commands,
 * which do not ask it, go by its last run */
static void test_currency(void **state)
{
    Place *p = *state;
    experiment(p, LEVEL("good", "do: good"), "");
    sweep(p, 0, "--seed 1");
    assert_string_equal(one(p, "SELECT group_concat(substr(key, 6), ' ') FROM text "
                               "WHERE key GLOB 'part:peer*'"),
                        "peer:peers/engine.sh peer_versions:peers/engine.sh");
    assert_says(sweep(p, 0, "--dry-run"), "done     engine=good  (ok)");
    assert_string_equal(one(p, "SELECT older FROM result WHERE label = 'engine=good'"), "0");
    place_write(p, "version", "2");
    assert_says(sweep(p, 0, "--dry-run"),
                "stale    engine=good  (ok run by another version of its program)");
    assert_says(sweep(p, 0, "--dry-run"), "done     engine=ours  (ok)");
    assert_says(fake_run(p, 0, "export provenance --db r/x.db --out -"), ",1,\n");
    sweep(p, 0, "");
    assert_int_equal(fake_started(p), 3);
    assert_says(sweep(p, 0, "--dry-run"), "0 stale, 2 done");
    place_write(p, "e/peers/engine.sh", arena_text(&p->a, "%s# changed\n", peer_script));
    assert_says(sweep(p, 0, "--dry-run"), "stale    engine=good");
    sweep(p, 0, "");
    assert_int_equal(fake_started(p), 4);
    assert_says(sweep(p, 0, "--dry-run"), "0 stale, 2 done");
    /* of three runs the last is of the program as it is, the others differ in what is named */
    assert_string_equal(one(p, "SELECT group_concat(coalesce(changed_parts, '-'), '; ') "
                               "FROM provenance WHERE spec LIKE '%program=%'"),
                        "peer:peers/engine.sh peer_versions:peers/engine.sh; "
                        "peer:peers/engine.sh; -");
}

/* A script that says nothing of versions: a change of its file alone is seen */
static void test_no_versions(void **state)
{
    Place *p = *state;
    const char *script = "#!/bin/sh\n[ \"$*\" = versions ] && exit 0\n"
                         "echo 'num nll 4 6.5' >&3\n";
    place_write(p, "e/peers/engine.sh", script);
    experiment(p, LEVEL("good", "do: good"), "");
    sweep(p, 0, "");
    assert_says(sweep(p, 0, "--dry-run"), "done     engine=good");
    place_write(p, "e/peers/engine.sh", arena_text(&p->a, "%s#\n", script));
    assert_says(sweep(p, 0, "--dry-run"), "stale    engine=good");
}

/* Runs of both engines stand side by side, also in a database that they are merged into */
static void test_side_by_side(void **state)
{
    Place *p = *state;
    setenv("FAKE_PARTS", "", 1);
    experiment(p, LEVEL("good", "do: good"), "baseline: {engine: ours}\nfigure: peers\n");
    sweep(p, 0, "");
    fake_run(p, 0, "merge r/x.db --into m.db");
    assert_string_equal(fake_ask(p, "m.db", "SELECT count(*) FROM result WHERE status = 'ok'"),
                        "2");
    assert_string_equal(fake_ask(p, "m.db", "SELECT group_concat(engine || ' ' || tokens_per_s, "
                                            "'; ') FROM peers"),
                        "ours 1001.0; good 2000.0");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, place_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ends), TEST(test_skip_is_no_failure), TEST(test_words), TEST(test_keys),
        TEST(test_refused), TEST(test_dry_run), TEST(test_currency), TEST(test_no_versions),
        TEST(test_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
