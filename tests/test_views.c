/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The views against numbers worked out by hand: a run whose phases all take different times, in
 * which no term of a sum can be left out unseen. */
#include "harness/store/db.h"
#include "harness/sweep/table.h"
#include "tests/place.h"
#include <math.h>
#include <stdlib.h>

static const struct { const char *phase; double seconds; } phases[] = {
    { "data", 0.001 },          { "core.forward", 0.02 },        { "core.linear.forward", 0.003 },
    { "core.backward", 0.04 },  { "core.linear.backward", 0.5 }, { "head.forward", 0.6 },
    { "head.backward", 0.07 },  { "core.update", 0.008 },        { "head.update", 0.9 },
    { "core.mix.forward", 0.00005 }, { "core.mix.backward", 0.00007 }, { "other", 0.0001 } };
enum { PHASES_HERE = sizeof phases / sizeof *phases };
static const double step_s = 2.14222;

/* The first two steps are slow, and left out; of the others one is 20 % slower and one faster. */
static void add_run(Place *p)
{
    static const double times[] = { 50, 30, 1.2, 0.8, 1 };
    const long e = db_experiment(p->db, "fixture", "q", "", DB_SPEED);
    db_plan(p->db, e, 0, "key", "head=tree budget=5steps", "head=tree", 1, "");
    db_label(p->db, e, 0, "head", "tree");
    const long run = db_run_start(p->db, "fixture", "key", "head=tree budget=5steps");
    for (int step = 0; step < 5; step++)
        for (int i = 0; i < PHASES_HERE; i++)
            db_record(p->db, run, &(Record){ .kind = 's', .name = phases[i].phase, .step = step,
                                             .value = phases[i].seconds * times[step] });
    db_run_end(p->db, run, "ok", "", 1, 1);
}

/* The number that a query finds in the database */
static double asked(Place *p, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL)) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    const double x =
        sqlite3_column_type(s, 0) == SQLITE_NULL ? NAN : sqlite3_column_double(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return x;
}

static void phases_make_shares(void **state)
{
    static const struct { const char *sql; double value; } is[] = {
        { "SELECT step_s FROM run_phase", step_s },
        { "SELECT steps FROM run_phase", 3 },
        { "SELECT core_forward FROM run_phase", 0.02305 },
        { "SELECT core_backward FROM run_phase", 0.54007 },
        { "SELECT linear_forward FROM run_phase", 0.003 },
        { "SELECT linear_backward FROM run_phase", 0.5 },
        { "SELECT mix_forward FROM run_phase", 0.00005 },
        { "SELECT mix_backward FROM run_phase", 0.00007 },
        { "SELECT head_share FROM result", 0.67 / step_s },
        { "SELECT v_share FROM result", 1.57 / step_s },
        { "SELECT step_s FROM result", step_s },
        { "SELECT data FROM time_split", 0.1 / step_s },
        { "SELECT core_forward FROM time_split", 2.305 / step_s },
        { "SELECT core_backward FROM time_split", 54.007 / step_s },
        { "SELECT core_update FROM time_split", 0.8 / step_s },
        { "SELECT head_forward FROM time_split", 60 / step_s },
        { "SELECT head_backward FROM time_split", 7 / step_s },
        { "SELECT head_update FROM time_split", 90 / step_s },
        { "SELECT other FROM time_split", 0.01 / step_s },
        { "SELECT head_share FROM time_split", 67 / step_s },
        { "SELECT v_share FROM time_split", 157 / step_s },
        { "SELECT step_ms FROM time_split", 1000 * step_s },
    };
    Place *p = *state;
    const char *why;
    p->db = db_open(p->path, &p->a, &why);
    assert_non_null(p->db);
    add_run(p);
    db_close(p->db);
    for (size_t i = 0; i < sizeof is / sizeof *is; i++) {
        const double value = asked(p, is[i].sql);
        if (!(fabs(value / is[i].value - 1) < 1e-9))
            fail_msg("%s: expected %.12g, found %.12g", is[i].sql, is[i].value, value);
    }
}

/* A run of an experiment with the losses of both texts; test NAN: none of the test text */
static void add_losses(Place *p, const char *experiment, int position, const char *label,
                       double valid, double test)
{
    const long e = db_experiment(p->db, experiment, "q", "", DB_LOSS);
    const char *spec = arena_text(&p->a, "%s of=%s n=%d", label, experiment, position);
    db_plan(p->db, e, position, spec, spec, label, 1, "");
    const long run = db_run_start(p->db, experiment, spec, spec);
    db_config(p->db, run, "corpus", "here");
    const struct { const char *name; double value; } said[] = {
        { "nll", valid }, { "nll_floor", 1 }, { "unigram", 9 }, { "bits_per_byte", valid / 2 },
        { "eval_seconds", 1 }, { "eval_tokens", 1 }, { "tokens_per_s", 1000 },
        { "test_nll", test }, { "test_nll_floor", 2 }, { "test_unigram", 10 },
        { "test_bits_per_byte", test / 2 } };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (!isnan(test) || strncmp(said[i].name, "test_", 5))
            db_record(p->db, run, &(Record){ .kind = 'n', .name = said[i].name, .step = 5,
                                             .value = said[i].value });
    db_run_end(p->db, run, "ok", "", 1, 1);
}

/* A run whose model sees the future is in no table of losses, with no other number of its own */
static void unsound_runs_are_left_out(void **state)
{
    Place *p = *state;
    const char *why;
    p->db = db_open(p->path, &p->a, &why);
    assert_non_null(p->db);
    add_losses(p, "leaks", 0, "leak=none", 5, 5.5);
    add_losses(p, "leaks", 1, "leak=triu", 0.5, 0.75);
    db_close(p->db);
    by_hand(p, p->path, "INSERT INTO metric SELECT run, 'unsound', 0, 1 FROM metric "
                        "WHERE name = 'nll' AND value = 0.5");
    assert_true(asked(p, "SELECT status = 'unsound' AND nll = 0.75 AND error GLOB '*ahead*' "
                         "FROM result WHERE label = 'leak=triu'") > 0);
    assert_true(asked(p, "SELECT status = 'ok' AND error = '' FROM result "
                         "WHERE label = 'leak=none'") > 0);
    /* a column in which a run shows; NULL where a cell has none */
    static const char *const shown[] = { "nll) FROM summary", "nll) FROM curve",
                                         "value) FROM measure", "nll) FROM mean_curve" };
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const char *of = arena_text(&p->a, "SELECT count(%s WHERE experiment = 'leaks' "
                                           "AND label = ", shown[i]);
        assert_true(asked(p, arena_text(&p->a, "%s'leak=none'", of)) > 0);
        assert_true(asked(p, arena_text(&p->a, "%s'leak=triu'", of)) < 1);
    }
    assert_true(asked(p, "SELECT nll - nll_floor FROM leaks WHERE label = 'leak=triu'") < 0);
    assert_true(asked(p, "SELECT unsound FROM leaks WHERE label = 'leak=none'") < 1);
}

/* tune: valid prefers lr=1, test lr=2; old: no test losses; mixed: one run has one, one has none,
 * one computes no loss at all */
static void add_experiments(Place *p)
{
    const char *why;
    p->db = db_open(p->path, &p->a, &why);
    assert_non_null(p->db);
    add_losses(p, "tune", 0, "head=softmax lr=1", 5, 5.5);
    add_losses(p, "tune", 1, "head=softmax lr=2", 5.25, 5.375);
    add_losses(p, "old", 0, "head=softmax", 7, NAN);
    add_losses(p, "mixed", 0, "head=softmax", 6, 6.5);
    add_losses(p, "mixed", 1, "head=tree", 6.25, NAN);
    const long e = db_experiment(p->db, "tune", "q", "", DB_LOSS);
    db_label(p->db, e, 1, "baseline", "yes");
    db_plan(p->db, e, 2, "noop", "kernel=noop", "kernel=noop", 1, "");
    db_run_end(p->db, db_run_start(p->db, "tune", "noop", "kernel=noop"), "ok", "", 1, 1);
    db_plan(p->db, e, 3, "broken", "d=1", "d=1", 1, "");
    db_run_end(p->db, db_run_start(p->db, "tune", "broken", "d=1"), "fail", "why", 1, 1);
    db_close(p->db);
}

static void losses_are_of_one_text(void **state)
{
    static const struct { const char *sql; double value; } is[] = {
        { "SELECT nll FROM result WHERE label = 'head=softmax lr=1'", 5.5 },
        { "SELECT valid_nll FROM result WHERE label = 'head=softmax lr=1'", 5 },
        { "SELECT nll_floor FROM result WHERE label = 'head=softmax lr=1'", 2 },
        { "SELECT unigram FROM result WHERE label = 'head=softmax lr=1'", 10 },
        { "SELECT bits_per_byte FROM result WHERE label = 'head=softmax lr=1'", 2.75 },
        { "SELECT count(*) FROM result WHERE experiment = 'tune' AND split = 'test'", 4 },
        { "SELECT nll FROM result WHERE experiment = 'old'", 7 },
        { "SELECT nll_floor FROM result WHERE experiment = 'old'", 1 },
        { "SELECT nll FROM result WHERE experiment = 'mixed' AND position = 0", 6 },
        { "SELECT count(*) FROM result WHERE experiment <> 'tune' AND split = 'valid'", 3 },
        { "SELECT value FROM measure WHERE name = 'nll' AND label = 'head=softmax lr=1'", 5.5 },
        { "SELECT value FROM measure WHERE name = 'valid_nll' AND label = 'head=softmax lr=1'", 5 },
        { "SELECT nll FROM summary WHERE label = 'head=softmax lr=2'", 5.375 },
        { "SELECT valid_nll FROM summary WHERE label = 'head=softmax lr=2'", 5.25 },
        { "SELECT count(*) FROM summary WHERE split = 'test'", 4 - 1 },
        { "SELECT nats FROM seed_pair WHERE label = 'head=softmax lr=1' "
          "AND base = 'head=softmax lr=2'", 0.125 },
        { "SELECT valid_nats FROM seed_pair WHERE label = 'head=softmax lr=1' "
          "AND base = 'head=softmax lr=2'", -0.25 },
        { "SELECT count(*) FROM seed_pair WHERE experiment = 'tune' AND split = 'test'", 6 },
        { "SELECT nats FROM baseline_pair WHERE label = 'head=softmax lr=1'", 0.125 },
        { "SELECT nll FROM baseline_pair WHERE label = 'head=softmax lr=1'", 5.5 },
        { "SELECT nll FROM pareto WHERE label = 'head=softmax lr=1'", 5.5 },
        { "SELECT valid_nll FROM pareto WHERE label = 'head=softmax lr=1'", 5 },
        { "SELECT nll FROM curve WHERE label = 'head=softmax lr=1'", 5 },
        { "SELECT nll_floor FROM curve WHERE label = 'head=softmax lr=1'", 1 },
        { "SELECT count(*) FROM curve WHERE split = 'valid'", 5 },
        { "SELECT nll FROM mean_curve WHERE split = 'valid' AND label = 'head=softmax lr=1'", 5 },
        { "SELECT nll FROM time_to_loss WHERE split = 'valid' AND base_label = "
          "'head=softmax lr=1'", 5 } };
    Place *p = *state;
    add_experiments(p);
    for (size_t i = 0; i < sizeof is / sizeof *is; i++) {
        const double value = asked(p, is[i].sql);
        if (!(fabs(value - is[i].value) < 1e-9))
            fail_msg("%s: expected %.12g, found %.12g", is[i].sql, is[i].value, value);
    }
}

/* A choice between rates is made by the validation text, though the test text has them otherwise */
static void tuning_does_not_see_the_test_text(void **state)
{
    Place *p = *state;
    add_experiments(p);
    assert_true(asked(p, "SELECT label LIKE '%lr=1' FROM result WHERE experiment = 'tune' "
                         "AND status = 'ok' AND valid_nll IS NOT NULL ORDER BY valid_nll LIMIT 1"));
    assert_true(asked(p, "SELECT label LIKE '%lr=2' FROM result WHERE experiment = 'tune' "
                         "AND status = 'ok' AND nll IS NOT NULL ORDER BY nll LIMIT 1"));
}

/* The table of a sweep says in its header whose losses it shows */
static void the_table_names_its_text(void **state)
{
    Place *p = *state;
    const char *why;
    add_experiments(p);
    Db *db = db_open_read(p->path, &p->a, &why);
    static const char *const is[][3] = { { "tune", "test NLL", "5.500" },
                                         { "mixed", "valid NLL", "6.000" } };
    for (int i = 0; i < 2; i++) {
        char *text = NULL;
        size_t n;
        FILE *out = open_memstream(&text, &n);
        assert_null(table_print(db, is[i][0], out, &p->a));
        fclose(out);
        assert_says(text, is[i][1]);
        assert_says(text, is[i][2]);
        assert_silent(text, is[1 - i][1]);
        free(text);
    }
    db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(phases_make_shares, place_make, place_drop),
        cmocka_unit_test_setup_teardown(losses_are_of_one_text, place_make, place_drop),
        cmocka_unit_test_setup_teardown(tuning_does_not_see_the_test_text, place_make, place_drop),
        cmocka_unit_test_setup_teardown(the_table_names_its_text, place_make, place_drop),
        cmocka_unit_test_setup_teardown(unsound_runs_are_left_out, place_make, place_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
