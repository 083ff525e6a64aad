/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Factors of experiments are columns: a CSV of results is grouped by one without any SQL, `result`
 * has those of all plans, names that are no identifiers do no harm. */
#include "harness/store/csv.h"
#include "tests/place.h"
#include <math.h>

/* ---- a reader of CSV, as others write them ---- */
enum { FIELDS = 700, LINES = 64 };
typedef struct Csv { int columns, rows; char *field[LINES][FIELDS]; } Csv;

/* The field at *s, which then is behind it; *end: what ended it */
static char *csv_field(Place *p, const char **s, char *end)
{
    char *out = arena_raw(&p->a, strlen(*s) + 1), *to = out;
    const int quoted = **s == '"';
    *s += quoted;
    while (**s && (quoted ? **s != '"' || (*s)[1] == '"' : !strchr(",\n", **s))) {
        *s += quoted && **s == '"';
        *to++ = *(*s)++;
    }
    *s += quoted;
    *to = 0;
    *end = **s;
    *s += **s != 0;
    return out;
}

static const Csv *csv_read(Place *p, const char *path)
{
    const char *s;
    Csv *csv = arena_get(&p->a, sizeof *csv);
    assert_int_equal(place_shell(p, arena_text(&p->a, "cat '%s'", path), &s), 0);
    for (int n = 0; *s; n = 0) {
        char end = ',';
        assert_true(csv->rows < LINES);
        while (end == ',') {
            assert_true(n < FIELDS);
            csv->field[csv->rows][n++] = csv_field(p, &s, &end);
        }
        if (!csv->rows) csv->columns = n;
        assert_int_equal(n, csv->columns);
        csv->rows++;
    }
    csv->rows--;                              /* the first is the names */
    return csv;
}

/* How many columns have this name; *at: the last one */
static int csv_find(const Csv *csv, const char *name, int *at)
{
    int n = 0;
    for (int i = 0; i < csv->columns; i++)
        if (!strcmp(csv->field[0][i], name)) {
            *at = i;
            n++;
        }
    return n;
}

static const char *csv_value(const Csv *csv, int row, const char *name)
{
    int at = 0;
    if (csv_find(csv, name, &at) != 1) fail_msg("expected one column '%s'", name);
    return csv->field[row + 1][at];
}

/* The mean of a column over the rows in which another has this text */
static double csv_mean(const Csv *csv, const char *of, const char *by, const char *text)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < csv->rows; i++)
        if (!strcmp(csv_value(csv, i, by), text)) {
            sum += strtod(csv_value(csv, i, of), NULL);
            n++;
        }
    return sum / n;
}

/* ---- plans ---- */
static void add_cell(Db *db, const char *experiment, int position, const char *const *labels,
                     double nll)
{
    char key[64], spec[64];
    snprintf(key, sizeof key, "%s%d", experiment, position);
    snprintf(spec, sizeof spec, "head=tree seed=%d", position);
    const long e = db_experiment(db, experiment, "q", "", DB_SPEED);
    db_plan(db, e, position, key, spec, spec, position, "");
    for (int i = 0; labels[i]; i += 2) db_label(db, e, position, labels[i], labels[i + 1]);
    const long run = db_run_start(db, experiment, key, spec);
    db_config(db, run, "corpus", "synth");
    db_record(db, run, &(Record){ .kind = 'n', .name = "nll", .step = 3, .value = nll });
    db_run_end(db, run, "ok", "", 1, 1);
}
#define ADD(db, experiment, position, nll, ...)                                                    \
    add_cell(db, experiment, position, (const char *const[]) { __VA_ARGS__, NULL }, nll)

static Db *opened(Place *p)
{
    const char *why;
    Db *db = db_open(p->path, &p->a, &why);
    if (!db) fail_msg("%s", why);
    return db;
}

static void fill(Place *p)
{
    Db *db = opened(p);
    ADD(db, "grid", 0, 6, "d", "64", "head", "softmax");
    ADD(db, "grid", 1, 5, "d", "128", "head", "softmax");
    ADD(db, "grid", 2, 8, "d", "64", "head", "tree");
    ADD(db, "grid", 3, 7, "d", "128", "head", "tree");
    ADD(db, "rates", 0, 4, "lr", "1e-3");
    db_close(db);
}

static const Csv *exported(Place *p, const char *path, const char *words, const char *name)
{
    place_expect(p, 0, arena_text(&p->a, "export %s --db %s --out %s", words, path, p->dir));
    return csv_read(p, place_in(p, arena_text(&p->a, "%s.csv", name)));
}

static void test_grouped(void **state)
{
    Place *p = *state;
    int at;
    fill(p);
    const Csv *csv = exported(p, p->path, "grid", "grid");
    assert_int_equal(csv->rows, 4);
    assert_true(csv_mean(csv, "nll", "d", "64") == 7);
    assert_true(csv_mean(csv, "nll", "d", "128") == 6);
    assert_true(csv_mean(csv, "nll", "head", "softmax") == 5.5);
    assert_int_equal(csv_find(csv, "lr", &at), 0);
    for (int i = 0; i < csv->rows; i++)
        assert_int_equal(atoi(csv_value(csv, i, "position")), i);
    /* of all experiments: of all factors; empty where an experiment has no such factor */
    csv = exported(p, p->path, "result", "result");
    assert_int_equal(csv->rows, 5);
    assert_string_equal(csv_value(csv, 4, "lr"), "1e-3");
    assert_string_equal(csv_value(csv, 4, "d"), "");
    assert_string_equal(csv_value(csv, 0, "lr"), "");
    assert_string_equal(csv_value(csv, 1, "d"), "128");
}

/* Other views whose rows are cells have them too, the others do not. */
static void test_other_views(void **state)
{
    static const char *const views[] = { "curve", "number", "cell_run", "measure", "named" };
    Place *p = *state;
    int at;
    fill(p);
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        const char *words = arena_text(&p->a, "%s --experiment grid", views[i]);
        const Csv *csv = exported(p, p->path, words, views[i]);
        assert_true(csv->rows >= 4);
        assert_string_equal(csv_value(csv, 0, "d"), "64");
        assert_int_equal(csv_find(csv, "lr", &at), 0);
    }
    assert_int_equal(csv_find(exported(p, p->path, "provenance", "provenance"), "d", &at), 0);
}

/* The view in the file is that of all factors, also while the plan that brings one is written; it
 * is made anew for new factors only. */
static void test_sql(void **state)
{
    Place *p = *state;
    fill(p);
    assert_string_equal(place_ask(p, p->path,
                                  "SELECT group_concat(d || '=' || nll, ' ') FROM result"),
                        "64=6.0 128=5.0 64=8.0 128=7.0");
    Db *db = opened(p);
    ADD(db, "late", 0, 3, "fraction", "0.25");
    assert_string_equal(place_ask(p, p->path, "SELECT nll FROM result WHERE fraction = '0.25'"),
                        "3.0");
    db_close(db);
    const char *version = place_ask(p, p->path, "PRAGMA schema_version");
    db = opened(p);
    ADD(db, "late", 1, 2, "fraction", "0.5");
    db_close(db);
    assert_string_equal(place_ask(p, p->path, "PRAGMA schema_version"), version);
    assert_string_equal(place_ask(p, p->path, "SELECT count(DISTINCT fraction) FROM result"), "2");
    const char *pack = place_in(p, "pack.db");
    place_expect(p, 0, arena_text(&p->a, "merge %s --into %s", p->path, pack));
    assert_string_equal(place_ask(p, pack, "SELECT lr || nll FROM result WHERE lr > ''"),
                        "1e-34.0");
}

/* A pack of others may have factors of any number and name. */
static void test_hostile(void **state)
{
    enum { MANY = 700 };
    static const char *const names[] = { "a\"b", "it's", "x, y\nz", "select", "a b", "\"", "%s",
                                         "value", "-- ;" };
    Place *p = *state;
    DbTable t;
    const char *why;
    fill(p);
    Db *db = opened(p);
    const long e = db_experiment(db, "grid", "q", "", DB_SPEED);
    db_label(db, e, 0, "HEAD", "again");
    db_label(db, e, 0, "", "nameless");
    db_label(db, e, 0, "a name of more than sixty bytes is no name that an experiment has", "x");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        db_label(db, e, 0, names[i], arena_text(&p->a, "level of %s", names[i]));
    for (int i = 0; i < MANY; i++) db_label(db, e, 0, arena_text(&p->a, "zz%03d", i), "1");
    db_close(db);
    const char *pack = place_in(p, "pack.db");
    place_expect(p, 0, arena_text(&p->a, "merge %s --into %s", p->path, pack));
    const char *const paths[] = { p->path, pack };
    for (int k = 0; k < 2; k++) {
        const Csv *csv = exported(p, paths[k], "grid", "grid");
        assert_int_equal(csv->rows, 4);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            assert_string_equal(csv_value(csv, 0, names[i]),
                                arena_text(&p->a, "level of %s", names[i]));
        assert_string_equal(csv_value(csv, 0, "zz100"), "1");
        assert_string_equal(csv_value(csv, 0, "head"), "softmax");
        assert_string_equal(place_ask(p, paths[k], "SELECT \"it's\" FROM result"), "level of it's");
        assert_string_equal(place_ask(p, paths[k], "SELECT count(*) FROM measure"), "20");
        assert_non_null(db = db_open_read(paths[k], &p->a, &why));
        assert_null(db_table(db, "SELECT \"a\"\"b\" AS x FROM result WHERE d = 64", &t, &p->a));
        assert_string_equal(db_field(&t, 0, "x"), "level of a\"b");
        db_close(db);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_grouped, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_other_views, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_sql, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_hostile, place_make, place_drop),
    };
    return cmocka_run_group_tests_name("factors", tests, NULL, NULL);
}
