/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The database: what goes in comes out through the views; what is not ours, newer or finished is
 * refused. */
#include "harness/store/csv.h"
#include "tests/place.h"
#include <ctype.h>
#include <math.h>

typedef struct { int rows, columns, n; char name[64][32], value[64][128]; } Seen;

static void see_last(void *ctx, int columns, const char *const *value)
{
    Seen *s = ctx;
    s->columns = columns;
    for (int i = 0; i < columns; i++)
        snprintf(s->n ? s->value[i] : s->name[i], s->n ? 128 : 32, "%s",
                 value[i] ? value[i] : "NULL");
    s->n++;
    s->rows = s->n - 1;
}

static const char *field(const Seen *s, const char *name)
{
    for (int i = 0; i < s->columns; i++)
        if (!strcmp(s->name[i], name)) return s->value[i];
    fail_msg("no column %s", name);
    return "";
}

static void say(Db *db, long run, const char *line)
{
    char text[256];
    Record l;
    snprintf(text, sizeof text, "%s", line);
    assert_true(record_parse(text, &l));
    db_record(db, run, &l);
}

static long fill_seeded(Db *db, long seed, const char *nll)
{
    char key[32], line[64];
    snprintf(key, sizeof key, "key%ld", seed);
    const long e = db_experiment(db, "grid", "question: q\n", "", DB_SPEED);
    db_plan(db, e, (int)seed, key, "head=tree", "head=tree", seed, "");
    db_label(db, e, (int)seed, "head", "tree");
    const long run = db_run_start(db, "grid", key, "head=tree");
    db_config(db, run, "head", "tree");
    db_config(db, run, "act", "f32");
    db_config(db, run, "corpus", "synth");
    /* the first two steps are not counted in the split */
    for (int step = 0; step < 4; step++)
        for (int k = 0; k < 2; k++) {
            snprintf(line, sizeof line, "span %s %d %s", k ? "head.forward" : "core.forward", step,
                     step < 2 ? "9"
                     : k      ? "0.3"
                              : "0.1");
            say(db, run, line);
        }
    snprintf(line, sizeof line, "num nll 4 %s", nll);
    say(db, run, "num nll 2 9.5");
    say(db, run, line);
    say(db, run, "num eval_seconds 2 1.5");
    say(db, run, "num tokens_per_s 4 1000");
    say(db, run, "num nll_floor 0 nan");
    say(db, run, "text kernel ref");
    say(db, run, "sample k/1 0 2 12.5 100");
    db_run_end(db, run, "ok", "", 2.5, 4096);
    return run;
}

static const DbCell tree = { "key1", "head=tree", "", DB_SPEED };
static const DbCell bad = { "bad", "d=1", "", DB_SPEED };

static void test_round_trip(void **state)
{
    Place *p = *state;
    const char *why, *reason;
    double wall;
    Db *db = db_open(p->path, &p->a, &why);
    assert_null(why);
    assert_int_equal(db_cell_state(db, &tree, &p->a, &reason, &wall), CELL_NEW);
    assert_true(isnan(wall));
    fill_seeded(db, 1, "7.25");
    fill_seeded(db, 2, "7.75");
    fill_seeded(db, 3, "8.5");
    assert_int_equal(db_cell_state(db, &tree, &p->a, &reason, &wall), CELL_DONE);
    assert_true(wall == 2.5);
    db_close(db);
    db = db_open_read(p->path, &p->a, &why);
    assert_null(why);
    Seen s = { 0 };
    assert_null(db_view(db, "result", "grid", see_last, &s, &p->a));
    assert_int_equal(s.rows, 3);
    assert_string_equal(field(&s, "nll"), "8.5");
    assert_string_equal(field(&s, "nll_floor"), "NULL");
    assert_string_equal(field(&s, "head"), "tree");
    assert_string_equal(field(&s, "arithmetic"), "dense f32");
    assert_string_equal(field(&s, "kernel"), "ref");
    assert_float_equal(strtod(field(&s, "head_share"), NULL), 0.75, 1e-12);
    s = (Seen){ 0 };
    assert_null(db_view(db, "summary", NULL, see_last, &s, &p->a));
    assert_int_equal(s.rows, 1);
    assert_string_equal(field(&s, "nll"), "7.75");
    assert_string_equal(field(&s, "n"), "3");
    s = (Seen){ 0 };
    assert_null(db_view(db, "time_split", "grid", see_last, &s, &p->a));
    assert_int_equal(s.rows, 1);
    assert_float_equal(strtod(field(&s, "core_forward"), NULL), 25, 1e-9);
    assert_string_equal(field(&s, "n"), "3");
    s = (Seen){ 0 };
    assert_null(db_view(db, "curve", "grid", see_last, &s, &p->a));
    assert_int_equal(s.rows, 6);
    s = (Seen){ 0 };
    assert_null(db_view(db, "result", "other", see_last, &s, &p->a));
    assert_int_equal(s.rows, 0);
    assert_non_null(strstr(db_view(db, "nothing", NULL, see_last, &s, &p->a),
                           "expected one of act_bits, anatomy, baseline_pair, behind, "));
    const char *there = place_write(p, "there.csv", "kept\n"), *said;
    assert_non_null(csv_write(db, "nothing", NULL, there, &p->a));
    place_shell(p, arena_text(&p->a, "cat %s; ls %s.new", there, there), &said);
    assert_int_equal(strncmp(said, "kept\n", 5), 0);
    assert_non_null(strstr(said, "No such file"));
    assert_null(csv_write(db, "result", NULL, there, &p->a));
    place_shell(p, arena_text(&p->a, "head -n 1 %s", there), &said);
    assert_int_equal(strncmp(said, "experiment,", 11), 0);
    const char *const *view;
    const int n = db_views(db, &view, &p->a);
    assert_true(n >= 10);
    for (int i = 0; i < n; i++) assert_null(db_view(db, view[i], "grid", see_last, &s, &p->a));
    db_close(db);
}

/* As many columns as there are; views that a database brings are not among ours. */
static void test_many(void **state)
{
    enum { MANY = 100 };
    Place *p = *state;
    const char *why, *columns = "0 AS c0", *const *view, *views = "BEGIN";
    DbTable t;
    Db *db = db_open(p->path, &p->a, &why);
    fill_seeded(db, 1, "7");
    db_close(db);
    for (int i = 0; i < MANY; i++)
        views = arena_text(&p->a, "%s; CREATE VIEW zz%d AS SELECT 1", views, i);
    by_hand(p, p->path, arena_text(&p->a, "%s; COMMIT", views));
    db = db_open_read(p->path, &p->a, &why);
    assert_null(why);
    const int n = db_views(db, &view, &p->a);
    for (int i = 0; i < n; i++) assert_int_not_equal(strncmp(view[i], "zz", 2), 0);
    for (int i = 1; i < MANY; i++) columns = arena_text(&p->a, "%s, %d AS c%d", columns, i, i);
    columns = arena_text(&p->a, "SELECT %s FROM result", columns);
    assert_null(db_table(db, columns, &t, &p->a));
    assert_int_equal(t.columns, MANY);
    assert_string_equal(db_field(&t, 0, "c99"), "99");
    assert_non_null(db_table(db, "SELECT * FROM zz99", &t, &p->a));
    db_close(db);
}

static void test_plans(void **state)
{
    Place *p = *state;
    const char *why;
    Db *db = db_open(p->path, &p->a, &why);
    const long first = db_experiment(db, "grid", "a", "", DB_SPEED);
    assert_int_equal(db_experiment(db, "grid", "a", "", DB_SPEED), first);
    const long other = db_experiment(db, "grid", "a", "d=64", DB_SPEED);
    assert_int_not_equal(other, first);
    db_flush(db);
    assert_string_equal(db_last_experiment(db, "current", &p->a), "grid d=64");
    /* the plan swept last is the one before it again, and runs are of it */
    assert_int_equal(db_experiment(db, "grid", "a", "", DB_SPEED), first);
    db_flush(db);
    assert_string_equal(db_last_experiment(db, "current", &p->a), "grid");
    const long run = db_run_start(db, "grid", "c", "d=1");
    db_run_end(db, run, "ok", "", 1, 1);
    db_flush(db);
    by_hand(p, p->path, arena_text(&p->a, "CREATE TEMP TABLE is_of (plan CHECK (plan = %ld)); "
                                   "INSERT INTO is_of SELECT experiment FROM run WHERE id = %ld",
                                   first, run));
    assert_true(db_has_experiment(db, "grid"));
    assert_false(db_has_experiment(db, "grit"));
    db_close(db);
}

static void test_kept(void **state)
{
    Place *p = *state;
    const char *why;
    Db *db = db_open(p->path, &p->a, &why);
    fill_seeded(db, 1, "7");
    db_close(db);
    assert_string_equal(sql_says(p, p->path, "UPDATE run SET error = 'x'"),
                        "a finished run is never changed");
    assert_string_equal(sql_says(p, p->path, "DELETE FROM run"), "a run is never deleted");
    assert_non_null(
        strstr(sql_says(p, p->path,
                        "PRAGMA foreign_keys = ON; INSERT INTO span VALUES (99, 0, 'data', 1)"),
               "FOREIGN KEY"));
    assert_non_null(strstr(sql_says(p, p->path, "INSERT INTO span VALUES (1, 'x', 'data', 1)"),
                           "cannot store TEXT"));
}

static void test_stale(void **state)
{
    Place *p = *state;
    const char *why, *reason;
    double wall;
    Db *db = db_open(p->path, &p->a, &why);
    fill_seeded(db, 1, "7");
    db_run_end(db, db_run_start(db, NULL, "bad", "d=1"), "fail", "no corpus", 1, 1);
    assert_int_equal(db_cell_state(db, &bad, &p->a, &reason, &wall), CELL_STALE);
    assert_string_equal(reason, "no ok run; the last one ended with fail: no corpus");
    db_run_start(db, NULL, "bad", "d=1");
    assert_int_equal(db_cell_state(db, &bad, &p->a, &reason, &wall), CELL_RUNNING);
    db_close(db);
    assert_null(sql_says(p, p->path,
                         "UPDATE build SET sha = 'feedface00'; UPDATE run SET sweeper_start = 1 "
                         "WHERE status = 'running'"));
    db = db_open(p->path, &p->a, &why);
    assert_int_equal(db_cell_state(db, &tree, &p->a, &reason, &wall), CELL_STALE);
    assert_non_null(strstr(reason, "ok run by build feedface, now "));
    /* its sweeper is not this process */
    assert_int_equal(db_cell_state(db, &bad, &p->a, &reason, &wall), CELL_STALE);
    assert_non_null(strstr(reason, "crash: the sweep that ran it"));
    db_close(db);
}

/* A run whose budget counts tokens is read for its losses and stands for its cell wherever it was;
 * one of seconds does not. */
static void test_elsewhere(void **state)
{
    Place *p = *state;
    typedef struct { const char *key, *spec; int counts; } Counted;
    static const Counted cell[] = { { "a", "budget=10s d=1 eval_every=5tokens", 0 },
                 { "b", "act=int8 budget=5Mtokens eval_every=10s", 1 },
                 { "c", "budget=7tokens", 1 },
                 { "d", "eval_every=5tokens", 0 },
                 { "e", "d=1 save=budget=5tokens", 0 } };
    enum { N = sizeof cell / sizeof *cell };
    const char *why, *reason;
    double wall;
    Db *db = db_open(p->path, &p->a, &why);
    for (int i = 0; i < N; i++)
        db_run_end(db, db_run_start(db, NULL, cell[i].key, cell[i].spec), "ok", "", 1, 1);
    db_close(db);
    assert_null(sql_says(p, p->path, "UPDATE machine SET cpu = 'another'"));
    db = db_open(p->path, &p->a, &why);
    const long e[2] = { db_experiment(db, "speeds", "question: q\n", "", DB_SPEED),
                        db_experiment(db, "losses", "question: q\n", "", DB_LOSS) };
    for (int i = 0; i < N; i++) {
        const DbMeasures what = cell[i].counts ? DB_LOSS : DB_SPEED;
        const DbCell asked = { cell[i].key, cell[i].spec, "", what };
        assert_int_equal(db_cell_state(db, &asked, &p->a, &reason, &wall),
                         cell[i].counts ? CELL_DONE : CELL_STALE);
        if (!cell[i].counts) assert_non_null(strstr(reason, "ok run on another machine class"));
        db_plan(db, e[what], i, cell[i].key, cell[i].spec, cell[i].key, 1, "");
    }
    for (int i = 0; i < N; i++) {
        Seen seen = { 0 };
        const char *counts = "SELECT counts_tokens FROM provenance WHERE cell = '%s'";
        assert_null(db_select(db, arena_text(&p->a, counts, cell[i].key), see_last, &seen, &p->a));
        assert_int_equal(atoi(field(&seen, "counts_tokens")), cell[i].counts);
        seen = (Seen){ 0 };
        const char *ask =
            arena_text(&p->a, "SELECT status FROM result WHERE label = '%s'", cell[i].key);
        assert_null(db_select(db, ask, see_last, &seen, &p->a));
        /* a speed of another machine class is shown where there is no other */
        assert_string_equal(field(&seen, "status"), "ok");
    }
    db_close(db);
}

/* The first value of a question */
static char *told(Place *p, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    char *text = arena_text(&p->a, "%s", (const char *)sqlite3_column_text(s, 0));
    sqlite3_finalize(s);
    sqlite3_close(db);
    return text;
}

static int is_word(char c) { return isalnum((unsigned char)c) || c == '_' || c == '.'; }

static int has_word(const char *text, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at++)
        if ((at == text || !is_word(at[-1])) && !is_word(at[n])) return 1;
    return 0;
}

/* A name is in the text, or is a limit of one that is (X_low, X_high), or a phase of one
 * (core_forward: core.forward). */
static int is_documented(Place *p, const char *text, const char *name)
{
    const size_t n = strlen(name);
    const char *end = strrchr(name, '_');
    char *phase = arena_text(&p->a, "%s", name), *gap = strchr(phase, '_');
    if (gap) *gap = '.';
    if (has_word(text, name) || has_word(text, phase)) return 1;
    if (!end || (strcmp(end, "_low") && strcmp(end, "_high"))) return 0;
    return has_word(text, arena_text(&p->a, "%.*s", (int)(n - strlen(end)), name));
}

/* All tables, views, columns and names that the harness records are in results/README.md. */
static void test_documented(void **state)
{
    Place *p = *state;
    const char *why, *text, *recorded;
    db_close(db_open(p->path, &p->a, &why));
    char *names = told(p, "SELECT group_concat(name, ' ') FROM ("
                          "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') UNION "
                          "SELECT c.name FROM sqlite_schema s JOIN pragma_table_xinfo(s.name) c "
                          "WHERE s.type IN ('table', 'view')) WHERE name NOT LIKE 'sqlite_%' AND "
                          "name NOT IN ('type', 'tbl_name', 'rootpage', 'sql', 'seq')");
    assert_int_equal(place_shell(p, "cat results/README.md", &text), 0);
    const char *grep = "grep -rhoE 'record_(num|text|number)\\([^\"]*\"[a-zA-Z_.0-9]+\"' "
                       "harness"
                       " | sed 's/.*\"\\(.*\\)\"/\\1/' | sort -u | tr '\\n' ' '";
    assert_int_equal(place_shell(p, grep, &recorded), 0);
    assert_true(strlen(names) > 1000 && strlen(recorded) > 400);
    char *rest = arena_text(&p->a, "%s %s", names, recorded);
    for (char *name; (name = strsep(&rest, " ")); )
        if (*name && !is_documented(p, text, name))
            fail_msg("results/README.md: '%s' is not in it; expected what it means", name);
    assert_false(is_documented(p, text, "core_backwards") || is_documented(p, text, "nil_low"));
}

static const char *refusal(Place *p)
{
    const char *why;
    assert_null(db_open(p->path, &p->a, &why));
    return why;
}

/* What lies under the name of the file that is written first is replaced, not followed. */
static void test_links(void **state)
{
    Place *p = *state;
    const char *why, *said, *mine = place_write(p, "mine", "mine\n"), *csv = place_in(p, "r.csv");
    Db *db = db_open(p->path, &p->a, &why);
    fill_seeded(db, 1, "7");
    assert_int_equal(symlink(mine, arena_text(&p->a, "%s.new", csv)), 0);
    assert_null(csv_write(db, "result", NULL, csv, &p->a));
    db_close(db);
    assert_int_equal(place_shell(p, arena_text(&p->a, "cat %s && test ! -L %s", mine, csv), &said),
                     0);
    assert_string_equal(said, "mine\n");
}

static void test_refused(void **state)
{
    Place *p = *state;
    const char *why;
    assert_null(db_open_read(p->path, &p->a, &why));
    assert_non_null(strstr(why, "no such database"));
    assert_null(sql_says(p, p->path, "PRAGMA user_version = 99"));
    assert_non_null(strstr(refusal(p), "schema version 99; this program knows versions up to"));
    assert_null(sql_says(p, p->path, "PRAGMA user_version = 0; CREATE TABLE birds (name TEXT)"));
    assert_non_null(strstr(refusal(p), "a database of another program"));
    FILE *f = fopen(p->path, "w");
    for (int i = 0; i < 100; i++) fputs("certainly not a database, whatever its name may say\n", f);
    fclose(f);
    assert_non_null(strstr(refusal(p), "t.db: not an SQLite database"));
    assert_null(db_open_read(p->path, &p->a, &why));
    assert_non_null(strstr(why, "not an SQLite database"));
    strcpy(p->path, "/proc/nonexistent/t.db");
    assert_non_null(strstr(refusal(p), "/proc/nonexistent/t.db: cannot be opened"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_many, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_plans, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_kept, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_stale, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_elsewhere, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_links, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_refused, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_documented, place_make, place_drop) };
    return cmocka_run_group_tests_name("db", tests, NULL, NULL);
}
