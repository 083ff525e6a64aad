/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What cannot be compared is printed side by side, with the reason and without a difference. */
#include "harness/judge/compare.h"
#include "harness/judge/columns.h"
#include "harness/store/db.h"
#include "harness/util/stats.h"
#include "models/spec.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COMPARE_FIRM = 6 };       /* pairs, below which an interval is provisional */
#define COMPARE_LEVEL 0.95

/* where: of which experiment, in words; runs: rows of run_list, in the order of seeds */
typedef struct CompareSide { const char *name, *where; DbTable runs; } CompareSide;
typedef struct Compare {
    Arena      *a;
    Db         *db;
    const CompareQuery *ask;
    CompareSide side[2];
    const char *no_speeds, *no_losses;       /* why they are not compared; NULL: they are */
} Compare;

static const char *compare_of(Compare *c, int side, int row, const char *column)
{
    return db_field(&c->side[side].runs, row, column);
}

/* ---- from a name to runs ---- */
static const char *compare_take(Compare *c, CompareSide *s, const char *from)
{
    return db_table(c->db, arena_text(c->a, "SELECT l.* FROM %s", from), &s->runs, c->a);
}

static const char *compare_find_run(Compare *c, CompareSide *s)
{
    enum { LEAST_DIGITS = 6 };
    const char *name = s->name, *digits = "0123456789abcdef";
    const size_t n = strlen(name);
    const char *by_id = "run_list l WHERE l.run = %s", *by_uuid = "run_list l WHERE l.uuid LIKE %s";
    const char *why = NULL;
    if (n < 18 && n && !name[strspn(name, "0123456789")])
        why = compare_take(c, s, arena_text(c->a, by_id, name));
    if (!why && !s->runs.rows && n >= LEAST_DIGITS && !name[strspn(name, digits)])
        why = compare_take(c, s, arena_text(c->a, by_uuid,
                                            db_quoted(arena_text(c->a, "%s%%", name), c->a)));
    if (why || !s->runs.rows) return why;
    s->where = "a run";
    if (s->runs.rows > 1)
        return arena_text(c->a, "%s: the UUIDs of %d runs begin so; expected more digits", name,
                          s->runs.rows);
    return NULL;
}

/* The name of the one experiment that has a cell of this label */
static const char *compare_find_experiment(Compare *c, CompareSide *s, const char *is,
                                           const char **experiment)
{
    DbTable t;
    const char *why = db_table(
        c->db,
        arena_text(c->a, "SELECT group_concat(experiment, ', ') AS names, count(*) AS n FROM "
                         "(SELECT DISTINCT k.experiment FROM cell_run k WHERE %s)", is),
        &t, c->a);
    if (why) return why;
    const char *names = db_field(&t, 0, "names"), *n = db_field(&t, 0, "n");
    *experiment = names;
    if (!names)
        return arena_text(c->a, "%s: no run of this number or UUID, no cell of this label; "
                                "`eightysix runs` lists them", s->name);
    if (!strcmp(n, "1")) return NULL;
    return arena_text(c->a, "%s: a cell of %s experiments, %s; expected EXPERIMENT:%s or "
                            "--experiment", s->name, n, names, s->name);
}

static const char *compare_find_cell(Compare *c, CompareSide *s)
{
    const char *experiment = c->ask->experiment, *label = s->name, *colon = strchr(label, ':');
    const char *why, *before = colon ? arena_text(c->a, "%.*s", (int)(colon - label), label) : "";
    if (colon && db_has_experiment(c->db, before)) {
        experiment = before;
        label = colon + 1;
    }
    const char *is = arena_text(c->a, "(k.label = %1$s OR k.label || ' seed=' || k.seed = %1$s)",
                                db_quoted(label, c->a));
    if (!experiment && (why = compare_find_experiment(c, s, is, &experiment))) return why;
    if (!db_has_experiment(c->db, experiment))
        return arena_text(c->a, "%s: no experiment '%s'", db_path(c->db), experiment);
    is = arena_text(c->a, "%s AND k.experiment = %s", is, db_quoted(experiment, c->a));
    why = compare_take(c, s, arena_text(c->a, "cell_run k JOIN run_list l ON l.run = k.run "
                                              "WHERE l.status = 'ok' AND %s ORDER BY l.seed", is));
    s->where = arena_text(c->a, "experiment %s", experiment);
    if (why || s->runs.rows) return why;
    return arena_text(c->a, "%s: experiment %s has no ok run of such a cell", s->name, experiment);
}

static const char *compare_find(Compare *c, int side)
{
    CompareSide *s = &c->side[side];
    s->name = c->ask->name[side];
    const char *why = compare_find_run(c, s);
    return why || s->runs.rows ? why : compare_find_cell(c, s);
}

static void compare_print_side(Compare *c, int side)
{
    const CompareSide *s = &c->side[side];
    printf("%c  %s, %s: run", 'A' + side, s->name, s->where);
    for (int i = 0; i < s->runs.rows; i++) printf(" %s", compare_of(c, side, i, "run"));
    printf(", seed");
    for (int i = 0; i < s->runs.rows; i++) {
        const char *seed = compare_of(c, side, i, "seed");
        printf(" %s", seed ? seed : "-");
    }
    const char *status = compare_of(c, side, 0, "status");
    if (strcmp(status, "ok")) printf(", which ended with %s", status);
    putchar('\n');
}

/* ---- settings and code ---- */
/* The value of a setting in canonical text; its default where it is not there */
static const char *compare_value(const char *spec, const Setting *s, Arena *a)
{
    const char *at = arena_text(a, " %s ", spec), *key = arena_text(a, " %s=", s->key);
    const char *found = strstr(at, key);
    if (!found) return *s->value ? s->value : "-";
    found += strlen(key);
    return arena_text(a, "%.*s", (int)strcspn(found, " "), found);
}

/* Adds a row of three to a table whose fields have room */
static void compare_add(DbTable *t, const char *one, const char *two, const char *three)
{
    const char **row = t->field + (t->rows + 1) * t->columns;
    row[0] = one;
    row[1] = two;
    row[2] = three;
    t->rows++;
}

static void compare_print_settings(Compare *c)
{
    const char *spec[2] = { compare_of(c, 0, 0, "spec"), compare_of(c, 1, 0, "spec") };
    const int single = c->side[0].runs.rows == 1 && c->side[1].runs.rows == 1;
    int count = 0;
    while (settings[count].key) count++;
    DbTable t = { .rows = -1, .columns = 3 };
    t.field = arena_array(c->a, 3 * (size_t)(count + 1), sizeof *t.field);
    compare_add(&t, "setting", "A", "B");
    for (const Setting *s = settings; s->key; s++) {
        const char *a = compare_value(spec[0], s, c->a), *b = compare_value(spec[1], s, c->a);
        if (strcmp(a, b) && (single || strcmp(s->key, "seed"))) compare_add(&t, s->key, a, b);
    }
    putchar('\n');
    if (t.rows) columns_print(&t, stdout);
    else puts("no setting differs");
}

/* The ids of the runs of a side, with commas */
static const char *compare_ids(Compare *c, int side)
{
    const char *ids = "";
    for (int i = 0; i < c->side[side].runs.rows; i++)
        ids = arena_text(c->a, "%s%s%s", ids, i ? "," : "", compare_of(c, side, i, "run"));
    return ids;
}

/* The hash that a part has in all these runs, "several" where it is not one; NULL: in none */
#define COMPARE_SHA(runs)                                                                          \
    "(SELECT CASE count(DISTINCT sha) WHEN 0 THEN NULL WHEN 1 THEN min(sha) ELSE 'several' END "   \
    "FROM run_part r WHERE r.part = p.part AND r.run IN (" runs "))"

/* Those that differ, of rows of part, A and B */
static void compare_print_parts(Compare *c, const DbTable *all)
{
    DbTable t = { .rows = -1, .columns = 3 };
    t.field = arena_array(c->a, 3 * (size_t)(all->rows + 1), sizeof *t.field);
    for (int i = 0; i <= all->rows; i++) {
        const char *const *row = all->field + 3 * i, *a = row[1], *b = row[2];
        if (!a || !b || strcmp(a, b) || !strcmp(a, "several")) compare_add(&t, row[0], a, b);
    }
    if (t.rows) columns_print(&t, stdout);
    else puts("no part of the code differs");
}

static const char *compare_print_code(Compare *c)
{
    DbTable t;
    const char *ask = arena_text(
        c->a,
        "SELECT part AS \"part of the code\", " COMPARE_SHA("%1$s") " AS A, "
        COMPARE_SHA("%2$s") " AS B "
        "FROM (SELECT DISTINCT part FROM run_part WHERE run IN (%1$s, %2$s)) p ORDER BY part",
        compare_ids(c, 0), compare_ids(c, 1));
    const char *why = db_table(c->db, ask, &t, c->a);
    if (why) return why;
    putchar('\n');
    if (!t.rows)
        printf("the parts of the code are not recorded; commits: A %.10s, B %.10s\n",
               compare_of(c, 0, 0, "git"), compare_of(c, 1, 0, "git"));
    else compare_print_parts(c, &t);
    return NULL;
}

/* ---- numbers ---- */
typedef struct CompareNumber {
    const char *column, *title;
    int         digits;
    double      scale;
    int         speed;               /* 1: depends on the machine; -1: a loss */
} CompareNumber;
static const CompareNumber compare_numbers[] = {
    { "nll", "loss, nats", 4, 1, -1 },
    { "tokens_per_s", "tokens/s", 0, 1, 1 },
    { "step_s", "step, ms", 2, 1000, 1 },
    { "peak_rss_kb", "memory, MB", 1, 1.0 / 1024, 0 },
    { "head_share", "head, % of a step", 1, 100, 1 },
};
enum { COMPARE_NUMBERS = sizeof compare_numbers / sizeof *compare_numbers };

/* NAN: the run has no such number */
static double compare_number(Compare *c, int side, int row, const CompareNumber *n)
{
    const char *text = compare_of(c, side, row, n->column);
    return text ? strtod(text, NULL) * n->scale : NAN;
}

static const char *compare_median(Compare *c, int side, const CompareNumber *of)
{
    const int rows = c->side[side].runs.rows;
    double *x = arena_array(c->a, (size_t)rows + 1, sizeof *x);
    int n = 0;
    for (int i = 0; i < rows; i++) {
        x[n] = compare_number(c, side, i, of);
        n += !isnan(x[n]);
    }
    if (!n) return NULL;
    return arena_text(c->a, "%.*f", of->digits, stats_quantile(x, n, 0.5, c->a));
}

/* Runs of the same seed; two single runs are a pair whatever their seeds */
static int compare_is_pair(Compare *c, int i, int j)
{
    const char *a = compare_of(c, 0, i, "seed"), *b = compare_of(c, 1, j, "seed");
    return (a && b && !strcmp(a, b)) || (c->side[0].runs.rows == 1 && c->side[1].runs.rows == 1);
}

/* B less A of each pair, into x (B) and y (A); how many */
static int compare_pairs(Compare *c, const CompareNumber *of, double *x, double *y)
{
    int n = 0;
    for (int i = 0; i < c->side[0].runs.rows; i++)
        for (int j = 0; j < c->side[1].runs.rows; j++) {
            if (!compare_is_pair(c, i, j)) continue;
            y[n] = compare_number(c, 0, i, of);
            x[n] = compare_number(c, 1, j, of);
            n += !isnan(x[n]) && !isnan(y[n]);
        }
    return n;
}

/* row: number, A, B, B - A, interval, n, remark */
static void compare_fill(Compare *c, const CompareNumber *of, const char **row)
{
    const size_t most = (size_t)c->side[0].runs.rows * (size_t)c->side[1].runs.rows + 1;
    double *x = arena_array(c->a, most, sizeof *x), *y = arena_array(c->a, most, sizeof *y);
    const char *no = of->speed == 1 ? c->no_speeds : of->speed ? c->no_losses : NULL;
    const int n = compare_pairs(c, of, x, y);
    row[0] = of->title;
    row[1] = compare_median(c, 0, of);
    row[2] = compare_median(c, 1, of);
    row[3] = row[4] = NULL;
    row[5] = arena_text(c->a, "%d", n);
    row[6] = no ? no : n ? NULL : "no pair: no seed has this number in both";
    if (no || !n) return;
    if (n == 1) {
        row[3] = arena_text(c->a, "%+.*f", of->digits, x[0] - y[0]);
        row[6] = "no interval: fewer than 2 pairs";
        return;
    }
    const Range d = stats_paired_t(x, y, n, COMPARE_LEVEL, c->a);
    row[3] = arena_text(c->a, "%+.*f", of->digits, d.value);
    row[4] = arena_text(c->a, "[%+.*f, %+.*f]", of->digits, d.low, of->digits, d.high);
    if (n < COMPARE_FIRM)
        row[6] = arena_text(c->a, "provisional: fewer than %d pairs", COMPARE_FIRM);
}

static void compare_print_numbers(Compare *c)
{
    enum { COLUMNS = 7 };
    static const char *const title[COLUMNS] = { "median of", "A",     "B", "B - A",
                                                "95 %",      "pairs", "" };
    DbTable t = { .rows = COMPARE_NUMBERS, .columns = COLUMNS };
    t.field = arena_array(c->a, COLUMNS * (COMPARE_NUMBERS + 1), sizeof *t.field);
    memcpy(t.field, title, sizeof title);
    for (int i = 0; i < COMPARE_NUMBERS; i++)
        compare_fill(c, &compare_numbers[i], t.field + (i + 1) * COLUMNS);
    putchar('\n');
    columns_print(&t, stdout);
    puts("\nB - A: mean of the differences of runs of the same seed; 95 %: by Student's t");
}

/* ---- what must be equal ---- */
/* 1: all runs of both sides have the same value, NULL being one */
static int compare_same(Compare *c, const char *column)
{
    const char *first = compare_of(c, 0, 0, column);
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < c->side[side].runs.rows; i++) {
            const char *value = compare_of(c, side, i, column);
            if (!first != !value || (first && strcmp(first, value))) return 0;
        }
    return 1;
}

static void compare_warn(Compare *c)
{
    const char *a = compare_of(c, 0, 0, "seed"), *b = compare_of(c, 1, 0, "seed");
    const int single = c->side[0].runs.rows == 1 && c->side[1].runs.rows == 1;
    if (!compare_same(c, "rig")) {
        c->no_speeds = "not compared: two machine classes";
        printf("\nA ran on %s, B on %s: speeds of two machine classes are not compared\n",
               compare_of(c, 0, 0, "rig"), compare_of(c, 1, 0, "rig"));
    } else if (!compare_of(c, 0, 0, "sitting") || !compare_of(c, 1, 0, "sitting"))
        puts("\nIt is not recorded whether the runs are of one sitting: if they are not, a "
             "difference\nof speeds is no more than a hint");
    else if (!compare_same(c, "sitting"))
        puts("\nThe runs are of separate sittings: the machine may have changed between them, "
             "and a difference\nof speeds is no more than a hint; sweep both in one sitting to "
             "compare them");
    if (!compare_same(c, "corpus_sha")) {
        c->no_losses = "not compared: two texts";
        puts("\nThe runs trained on different texts: losses are not compared");
    }
    if (single && a && b && strcmp(a, b)) printf("\nThe seeds differ: %s and %s\n", a, b);
}

const char *compare_report(const CompareQuery *q, Arena *a)
{
    const char *why = NULL;
    Compare c = { .a = a, .ask = q };
    c.db = db_open_read(q->db_path, a, &why);
    for (int side = 0; side < 2 && !why; side++) why = compare_find(&c, side);
    if (!why) {
        compare_print_side(&c, 0);
        compare_print_side(&c, 1);
        compare_print_settings(&c);
        why = compare_print_code(&c);
    }
    if (!why) {
        compare_warn(&c);
        compare_print_numbers(&c);
    }
    db_close(c.db);
    return why;
}
