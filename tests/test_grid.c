/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sweeps without a file, parts of a sweep for several machines, the note of a plan, and how long a
 * sweep has to go. */
#include "harness/sweep/eta.h"
#include "harness/sweep/grid.h"
#include "tests/fake.h"
#include <math.h>

static const char plan_of[] = "SELECT group_concat(label || ' ' || seed || ' ' || cell, ';') FROM "
                              "(SELECT * FROM plan WHERE experiment = %d ORDER BY position)";

static void test_grid(void **state)
{
    Place *p = *state;
    const char *said = fake_run(p, 0, "sweep head=softmax,tree d=128,256 seeds=3 budget=30s "
                                      "--dry-run --db x.db");
    assert_says(said, "grid: eightysix sweep head=softmax,tree d=128,256 seeds=3 budget=30s\n");
    assert_says(said, "new      head=softmax d=128 seed=1  (no run yet)  about 35 s");
    assert_says(said, "new      head=tree d=256 seed=3  (no run yet)");
    assert_says(said, "grid: 12 new, 0 stale, 0 done");
    assert_int_not_equal(access(place_in(p, "x.db"), F_OK), 0);
    fake_run(p, 0, "sweep head=softmax,tree V=100 seeds=2 --name mine --db x.db");
    assert_int_equal(fake_started(p), 4);
    assert_string_equal(fake_ask(p, "x.db", "SELECT name || ' ' || overrides FROM experiment"),
                        "mine ");
    assert_string_equal(fake_ask(p, "x.db", "SELECT count(*) FROM config WHERE key = 'V' AND "
                                            "value = '100'"), "4");
    assert_int_equal(access(place_in(p, "mine.csv"), R_OK), 0);
    /* the same words again: the same plan, and nothing to run */
    fake_run(p, 0, "sweep head=softmax,tree V=100 seeds=2 --name mine --db x.db");
    assert_int_equal(fake_started(p), 4);
    assert_string_equal(fake_ask(p, "x.db", "SELECT count(*) FROM experiment"), "1");
    /* words of one level each: the first is the factor */
    assert_says(fake_run(p, 0, "sweep budget=1s d=64 V=100 --dry-run"), "new      d=64  (");
}

/* A level that has commas, in words, in the file and in a filter */
static void test_brackets(void **state)
{
    Place *p = *state;
    const char *said = fake_run(p, 0, "sweep 'dilations=[1,4,64],[1],2' seeds=[7] budget=1s "
                                      "--dry-run");
    assert_says(said, "new      dilations=1,4,64  (");
    assert_says(said, "new      dilations=1  (");
    assert_says(said, "new      dilations=2  (");
    assert_says(said, "3 new");
    said = fake_run(p, 0, "sweep 'dilations=[1,4,64],1' budget=1s --dry-run "
                          "--filter 'dilations=[1,4,64],seed=1'");
    assert_says(said, "new      dilations=1,4,64  (");
    assert_says(said, "grid: 1 new");
    assert_says(fake_run(p, 0, "sweep --help"), "sweep 'dilations=[1,4,64],[1]' budget=30s");
    assert_says(fake_run(p, 2, "sweep d=64,128 --filter 'd=[64' --dry-run"), "expected ']'");
    assert_says(fake_run(p, 2, "sweep d=64,128 --filter d --dry-run"), "expected factor=level");
}

static void test_save(void **state)
{
    Place *p = *state;
    const char *words = "head=softmax,tree 'dilations=[1,4,64],1' V=100 seeds=2,5 budget=1s";
    const char *save = arena_text(&p->a, "sweep %s --save g.yaml --db x.db", words);
    fake_run(p, 0, save);
    fake_run(p, 0, "sweep g.yaml --db y.db");
    assert_string_equal(fake_ask(p, "x.db", arena_text(&p->a, plan_of, 1)),
                        fake_ask(p, "y.db", arena_text(&p->a, plan_of, 1)));
    assert_string_equal(fake_ask(p, "x.db", "SELECT count(*) FROM plan"), "8");
    /* the file and the words are one plan */
    assert_says(fake_run(p, 0, "sweep g.yaml --db x.db"), "g: 0 new, 0 stale, 8 done");
    assert_string_equal(fake_ask(p, "x.db", "SELECT count(*) FROM experiment"), "1");
    /* it may be there when it says the same, and is kept when it does not */
    fake_run(p, 0, save);
    const char *said = fake_run(p, 2, "sweep head=tree V=100 budget=1s --save g.yaml --db x.db");
    assert_says(said, "g.yaml: is there already and says something else");
    fake_run(p, 0, "sweep g.yaml --db x.db");
    assert_says(fake_run(p, 2, "sweep g.yaml --save h.yaml"), "'g.yaml' is a file");
    assert_says(fake_run(p, 2, "sweep g.yaml --name h"), "--name: expected a grid of words");
    assert_says(fake_run(p, 2, "sweep d=64,32 --save no/h.yaml"), "no/h.yaml: cannot be written");
}

/* The command that would run a cell again is one that can be run */
static void test_why(void **state)
{
    Place *p = *state;
    const char *said;
    place_shell(p, arena_text(&p->a, "mkdir %s/experiments", p->dir), &said);
    setenv("FAKE_PARTS", "1", 1);
    fake_run(p, 0, "sweep 'dilations=[1,4,64],1' V=100 head=tree,softmax budget=1s "
                   "--save experiments/g.yaml --db x.db");
    said = fake_run(p, 1, "why 'dilations=1,4,64 head=tree' --db x.db");
    assert_says(said, "  eightysix sweep experiments/g.yaml --filter "
                      "'dilations=[1,4,64],head=tree,seed=1'\n");
    fake_run(p, 0, "sweep experiments/g.yaml --filter 'dilations=[1,4,64],head=tree,seed=1' "
                   "--fresh --db x.db");
    assert_int_equal(fake_started(p), 5);
}

static void test_refused(void **state)
{
    static const struct { const char *words, *says; } wrong[] = {
        { "hed=softmax,tree", "unknown setting 'hed'; the nearest is 'head'" },
        { "head=softmax,treee", "head=treee: no such head" },
        { "d=64,x", "d=x: expected an int" },
        { "d=64 d=32", "'d' is given twice" },
        { "d=64,64", "'64' is listed twice" },
        { "d=64,,32", "expected a value before and after a comma" },
        { "'dilations=[1,4'", "a level that has commas in brackets" },
        { "d=64,32 quick", "quick: expected key=value" },
        { "d=64,32 seed=3", "expected seeds=N" },
        { "d=64,32 seeds=x", "expected a whole number" },
        { "d=64,32 seeds=1 seeds=2", "'seeds' is given twice" },
        { "seeds=3 budget=1s", "expected a setting and its levels too" },
        { "d=64,32 budget=1parsec", "expected a unit" },
        { "d=64,32 samples=7", "samples: applies to head=sampled" },
        { "corpus=edoo d=64,32", "no corpus 'edoo'" },
        { "d=64,32 --name a/b", "name 'a/b': expected letters" },
        { "d=64,32 --note ''", "--note: expected one line" },
        { "d=64,32 --shard 0/3", "--shard 0/3: expected K/N" },
        { "d=64,32 --shard 4/3", "--shard 4/3: expected K/N" },
        { "d=64,32 --shard 1/0", "--shard 1/0: expected K/N" },
        { "d=64,32 --shard x", "--shard x: expected K/N" },
        { "d=64,32 --shard 1/3x", "--shard 1/3x: expected K/N" },
        { "d=64,32 --shard 1", "--shard 1: expected K/N" },
    };
    Place *p = *state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *said = fake_run(p, 2, arena_text(&p->a, "sweep %s --db x.db --save g.yaml",
                                                     wrong[i].words));
        assert_says(said, wrong[i].says);
        assert_silent(said, "words:");
    }
    assert_int_not_equal(access(place_in(p, "x.db"), F_OK), 0);
    assert_int_not_equal(access(place_in(p, "g.yaml"), F_OK), 0);
}

/* Three shards, merged, are one run of all: the same cells, none twice */
static void test_shards(void **state)
{
    static const char cells[] = "SELECT group_concat(label || ' ' || seed || ' ' || status, ';') "
                                "FROM result";
    Place *p = *state;
    const char *sweep = "sweep head=softmax,tree,adaptive V=100 seeds=3 budget=1s --db";
    for (int k = 1; k <= 3; k++) {
        const char *said = fake_run(p, 0, arena_text(&p->a, "%s %d.db --shard %d/3", sweep, k, k));
        assert_says(said, arena_text(&p->a, "grid: shard %d of 3", k));
        const char *db = arena_text(&p->a, "%d.db", k);
        assert_string_equal(fake_ask(p, db, "SELECT count(*) FROM plan"), "9");
        assert_string_equal(fake_ask(p, db, "SELECT count(*) FROM run"), "3");
    }
    assert_int_equal(fake_started(p), 9);
    fake_run(p, 0, "merge 1.db 2.db 3.db --into all.db");
    fake_run(p, 0, arena_text(&p->a, "%s one.db", sweep));
    assert_string_equal(fake_ask(p, "all.db", cells), fake_ask(p, "one.db", cells));
    assert_string_equal(fake_ask(p, "all.db", "SELECT count(*) || ' ' || count(DISTINCT cell) "
                                              "FROM run"), "9 9");
    assert_says(fake_run(p, 0, arena_text(&p->a, "%s all.db --dry-run", sweep)),
                "0 new, 0 stale, 9 done");
}

static void test_note(void **state)
{
    static const char notes[] = "SELECT group_concat(note, ';') FROM experiment";
    Place *p = *state;
    const char *sweep = "sweep head=softmax,tree V=100 budget=1s --db x.db";
    fake_run(p, 0, sweep);
    fake_run(p, 0, arena_text(&p->a, "%s --note 'after the change of lr'", sweep));
    assert_string_equal(fake_ask(p, "x.db", notes), "after the change of lr");
    fake_run(p, 0, sweep);
    assert_string_equal(fake_ask(p, "x.db", notes), "after the change of lr");
    /* another note never takes the place of one */
    fake_run(p, 0, arena_text(&p->a, "%s --note second", sweep));
    fake_run(p, 0, arena_text(&p->a, "%s --note second", sweep));
    assert_string_equal(fake_ask(p, "x.db", notes), "after the change of lr;second");
    assert_string_equal(fake_ask(p, "x.db", "SELECT count(*) FROM plan"), "4");
    assert_int_equal(fake_started(p), 2);
}

static Spec *spec_of(Arena *a, const char *budget)
{
    Spec *s = spec_new(a);
    assert_null(spec_set(s, "batch=2"));
    assert_null(spec_set(s, "accum=1"));
    assert_null(spec_set(s, "seq=50"));
    assert_null(spec_set(s, arena_text(a, "budget=%s", budget)));
    return s;
}

static void test_eta(void **state)
{
    Place *p = *state;
    const EtaCell steps = eta_cell(spec_of(&p->a, "10steps"), NAN),
                  tokens = eta_cell(spec_of(&p->a, "2000tokens"), NAN),
                  seconds = eta_cell(spec_of(&p->a, "30s"), NAN),
                  known = eta_cell(spec_of(&p->a, "2000tokens"), 40);
    Eta e = { 0 };
    assert_true(steps.tokens == 1000 && tokens.tokens == 2000 && isnan(seconds.tokens));
    assert_true(isnan(tokens.expect) && seconds.expect == 35 && known.expect == 40);
    eta_add(&e, &steps);
    eta_add(&e, &tokens);
    eta_add(&e, &seconds);
    eta_add(&e, &known);
    assert_true(isnan(eta_left(&e, NAN)));
    /* the first cell runs: five of ten steps in 8 s, so 8 s more, and 16 ms a token */
    eta_remove(&e, &steps);
    assert_true(isnan(eta_running(&e, &steps, 3, 0)));
    assert_true(eta_running(&e, &steps, 8, 5) == 8);
    const double rate = eta_rate(&e, &steps, 8, 5);
    assert_true(fabs(rate - 0.016) < 1e-12);
    assert_true(fabs(eta_left(&e, rate) - (2000 * 0.016 + 35 + 40)) < 1e-9);
    /* it ended after 20 s */
    eta_ended(&e, &steps, 20);
    assert_true(fabs(eta_rate(&e, &steps, 1, 5) - 0.02) < 1e-12);
    assert_true(fabs(eta_left(&e, 0.02) - (40 + 35 + 40)) < 1e-9);
    assert_true(fabs(eta_running(&e, &tokens, 10, 0) - 30) < 1e-9);
    assert_true(eta_running(&e, &tokens, 10, 10) == 10);
    assert_true(eta_running(&e, &seconds, 5, 10) == 30);
    /* one whose time was known took twice as long */
    eta_remove(&e, &known);
    eta_ended(&e, &known, 80);
    eta_remove(&e, &tokens);
    assert_true(fabs(eta_left(&e, NAN) - 70) < 1e-9);
}

/* The progress of a sweep whose budget counts steps */
static void test_progress(void **state)
{
    Place *p = *state;
    const char *said = fake_run(p, 0, "sweep head=softmax,tree V=100 seeds=2 budget=100steps "
                                      "--db x.db");
    assert_says(said, "4 to run, about ?");
    assert_says(said, " s left)");
    assert_silent(said, "(? left)");
}

#define T(f) cmocka_unit_test_setup_teardown(f, fake_make, place_drop)
int main(void)
{
    const struct CMUnitTest tests[] = { T(test_grid),   T(test_brackets), T(test_save), T(test_why),
                                        T(test_refused), T(test_shards),  T(test_note),
                                        T(test_eta),    T(test_progress) };
    return cmocka_run_group_tests_name("grid", tests, NULL, NULL);
}
