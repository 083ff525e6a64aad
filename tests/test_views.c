/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The views against numbers worked out by hand: a run whose phases all take different times, in
 * which no term of a sum can be left out unseen. */
#include "harness/store/db.h"
#include "tests/place.h"
#include <math.h>

static const struct { const char *phase; double seconds; } phases[] = {
    { "data", 0.001 },          { "core.forward", 0.02 },        { "core.linear.forward", 0.003 },
    { "core.backward", 0.04 },  { "core.linear.backward", 0.5 }, { "head.forward", 0.6 },
    { "head.backward", 0.07 },  { "core.update", 0.008 },        { "head.update", 0.9 },
    { "other", 0.0001 } };
enum { PHASES_HERE = sizeof phases / sizeof *phases };
static const double step_s = 2.1421;

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
        { "SELECT core_forward FROM run_phase", 0.023 },
        { "SELECT core_backward FROM run_phase", 0.54 },
        { "SELECT linear_forward FROM run_phase", 0.003 },
        { "SELECT linear_backward FROM run_phase", 0.5 },
        { "SELECT head_share FROM result", 0.67 / step_s },
        { "SELECT v_share FROM result", 1.57 / step_s },
        { "SELECT step_s FROM result", step_s },
        { "SELECT data FROM time_split", 0.1 / step_s },
        { "SELECT core_forward FROM time_split", 2.3 / step_s },
        { "SELECT core_backward FROM time_split", 54 / step_s },
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(phases_make_shares, place_make, place_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
