/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Questions over views. SQLite itself says whether a question reads nothing else: it is prepared
 * in a database in memory where each view is an empty table and nothing else exists. */
#include "harness/store/db_parts.h"
#include <math.h>
#include <string.h>
#include <strings.h>

enum {
    ASK_TICK = 1000000,                  /* instructions of SQLite between two looks */
    ASK_TICKS = 300,                     /* that a question may take, some seconds */
    ASK_ROWS = 1 << 20                   /* of a table */
};

/* 0: refused */
static int ask_run(sqlite3 *sql, const char *text)
{
    return sqlite3_exec(sql, text, NULL, NULL, NULL) == SQLITE_OK;
}

/* An empty table with the columns of a view; 0: refused */
static int ask_stub_view(Db *db, const char *view)
{
    sqlite3_stmt *s = NULL;
    const size_t at = db->a->used;
    const char *select = arena_text(db->a, "SELECT * FROM \"%s\"", view), *columns = "";
    if (sqlite3_prepare_v2(db->sql, select, -1, &s, NULL) != SQLITE_OK) return 0;
    for (int i = 0; i < sqlite3_column_count(s); i++)
        columns = arena_text(db->a, "%s%s%s", columns, i ? ", " : "",
                             db_identifier(sqlite3_column_name(s, i), db->a));
    sqlite3_finalize(s);
    const int ok = ask_run(db->stub, arena_text(db->a, "CREATE TABLE \"%s\" (%s)", view, columns));
    arena_reset(db->a, at);
    return ok;
}

/* The view that a sentence of SQLite says it misses, one of ours; NULL: it says something else */
static const char *ask_missing(Db *db, const char *sentence)
{
    static const char missing[] = "no such table: ", of_main[] = "main.";
    const char *const *view, *name = sentence + sizeof missing - 1;
    if (strncmp(sentence, missing, sizeof missing - 1)) return NULL;
    if (!strncmp(name, of_main, sizeof of_main - 1)) name += sizeof of_main - 1;
    const int n = db_views(db, &view, db->a);
    for (int i = 0; i < n; i++)
        if (!strcasecmp(view[i], name)) return view[i];
    return NULL;
}

/* Prepares a question in the database of stubs. To make one of every view takes longer than most
 * questions: they are made as they are missed. */
static sqlite3_stmt *ask_prepare_stub(Db *db, const char *select, const char **rest)
{
    sqlite3_stmt *s = NULL;
    const char *view;
    if (!db->stub && sqlite3_open(":memory:", &db->stub) != SQLITE_OK) die("out of memory");
    while (sqlite3_prepare_v2(db->stub, select, -1, &s, rest) != SQLITE_OK)
        if (!(view = ask_missing(db, sqlite3_errmsg(db->stub))) || !ask_stub_view(db, view))
            return NULL;
    return s;
}

const char *db_check(Db *db, const char *select, Arena *a)
{
    const char *rest = "", *first = select + strspn(select, " \t\r\n");
    if (strncasecmp(first, "select", 6) && strncasecmp(first, "with", 4))
        return "expected a SELECT";
    sqlite3_stmt *s = ask_prepare_stub(db, select, &rest);
    if (!s)
        return arena_text(a, "expected a SELECT over views: %s", sqlite3_errmsg(db->stub));
    const int reads = sqlite3_stmt_readonly(s);
    sqlite3_finalize(s);
    if (!reads) return "expected a SELECT, which changes nothing";
    return rest[strspn(rest, "; \t\r\n")] ? "expected one SELECT only" : NULL;
}

const char *db_quoted(const char *text, Arena *a)
{
    char *out = arena_raw(a, 2 * strlen(text) + 3), *to = out;
    *to++ = '\'';
    for (; *text; *to++ = *text++)
        if (*text == '\'') *to++ = '\'';
    strcpy(to, "'");
    return out;
}

/* Not 0: the question is given up */
static int ask_tick(void *ctx) { return ++*(int *)ctx > ASK_TICKS; }

const char *db_select(Db *db, const char *select, DbRow *row, void *ctx, Arena *a)
{
    const char *why = db_check(db, select, a);
    sqlite3_stmt *s = NULL;
    if (why) return why;
    if (sqlite3_prepare_v2(db->sql, select, -1, &s, NULL) != SQLITE_OK)
        return db_sentence(db, "read");
    int ticks = 0;
    sqlite3_progress_handler(db->sql, ASK_TICK, ask_tick, &ticks);
    why = db_rows(db, s, 1, row, ctx);
    sqlite3_progress_handler(db->sql, 0, NULL, NULL);
    if (ticks <= ASK_TICKS) return why;
    return arena_text(a,
                      "is not answered after %d million instructions of SQLite; expected a "
                      "question that ends",
                      ASK_TICKS);
}

/* A table that grows; room: of its fields; more: it had more than ASK_ROWS */
typedef struct AskGather { DbTable *t; size_t room; int more; Arena *a; } AskGather;

static void ask_gather(void *ctx, int columns, const char *const *value)
{
    AskGather *g = ctx;
    DbTable *t = g->t;
    const size_t used = (size_t)(t->rows + 1) * (size_t)columns;
    if ((g->more |= t->rows == ASK_ROWS)) return;
    if (used + (size_t)columns > g->room) {
        const char **more = arena_raw(g->a, sizeof *more * 2 * (used + (size_t)columns));
        if (t->field) memcpy(more, t->field, sizeof *more * used);
        t->field = more;
        g->room = 2 * (used + (size_t)columns);
    }
    t->rows += t->columns > 0;
    t->columns = columns;
    for (int i = 0; i < columns; i++)
        t->field[t->rows * columns + i] = value[i] ? arena_text(g->a, "%s", value[i]) : NULL;
}

const char *db_table(Db *db, const char *select, DbTable *t, Arena *a)
{
    AskGather g = { .t = t, .a = a };
    *t = (DbTable){ 0 };
    const char *why = db_select(db, select, ask_gather, &g, a);
    return g.more ? arena_text(a, "has more than %d rows", ASK_ROWS) : why;
}

const char *db_field(const DbTable *t, int row, const char *column)
{
    int i = 0;
    while (i < t->columns && strcmp(t->field[i], column)) i++;
    CHECK(i < t->columns && row < t->rows);
    return t->field[(row + 1) * t->columns + i];
}

static const char *const ask_held[] = { "cell_run", "run_phase" };

/* Keeps rows of the held views in temporary tables, `as` before their names, and reads them from
 * there; 0: refused */
static int ask_hold(Db *db, const char *as)
{
    int ok = 1;
    for (size_t i = 0; ok && i < sizeof ask_held / sizeof *ask_held; i++) {
        const size_t at = db->a->used;
        ok = ask_run(db->sql, arena_text(db->a,
                                         "CREATE TEMP TABLE %2$s_%1$s AS SELECT * FROM %1$s;"
                                         "DROP VIEW temp.%1$s;"
                                         "CREATE TEMP VIEW %1$s AS SELECT * FROM %2$s_%1$s",
                                         ask_held[i], as));
        arena_reset(db->a, at);
    }
    const size_t at = db->a->used;
    ok = ok && ask_run(db->sql,
                       arena_text(db->a,
                                  "CREATE INDEX temp.%1$s_cell ON %1$s_cell_run (experiment, "
                                  "position); CREATE INDEX temp.%1$s_run ON %1$s_run_phase (run)",
                                  as));
    arena_reset(db->a, at);
    return ok;
}

int db_hold(Db *db) { return ask_hold(db, "held"); }

/* The rows that were held at first again; all: the views themselves */
static int ask_release(Db *db, int all)
{
    int ok = 1;
    for (size_t i = 0; ok && i < sizeof ask_held / sizeof *ask_held; i++) {
        const size_t at = db->a->used;
        ok = ask_run(db->sql,
                     arena_text(db->a, "DROP VIEW temp.%1$s; DROP TABLE IF EXISTS temp.look_%1$s",
                                ask_held[i])) &&
             (all ? db_make_views(db, 1, ask_held[i])
                  : ask_run(db->sql, arena_text(db->a,
                                                "CREATE TEMP VIEW %1$s AS SELECT * FROM held_%1$s",
                                                ask_held[i])));
        arena_reset(db->a, at);
    }
    return ok;
}

/* Temporary views hide the tables of the same name, so that the other views read these instead. */
static const char ask_restriction[] =
    "CREATE TEMP VIEW run AS SELECT * FROM main.run WHERE uuid IN (SELECT word FROM kept);"
    "CREATE TEMP VIEW experiment AS SELECT e.* FROM main.experiment e "
    "JOIN main.build b ON b.id = e.build "
    "WHERE e.name || '@' || e.planned || '@' || b.sha IN (SELECT word FROM kept)";

static void ask_keep(Db *db, const char *rows)
{
    sqlite3_stmt *s = NULL;
    CHECK(ask_run(db->sql, "CREATE TEMP TABLE IF NOT EXISTS kept (word TEXT PRIMARY KEY); "
                           "DELETE FROM temp.kept"));
    CHECK(sqlite3_prepare_v2(db->sql, "INSERT OR IGNORE INTO temp.kept VALUES (?)", -1, &s,
                             NULL) == SQLITE_OK);
    for (const char *word = rows; *word; word += strspn(word, " ")) {
        const int len = (int)strcspn(word, " ");
        sqlite3_bind_text(s, 1, word, len, SQLITE_STATIC);
        CHECK(sqlite3_step(s) == SQLITE_DONE);
        sqlite3_reset(s);
        word += len;
    }
    sqlite3_finalize(s);
}

void db_look_through(Db *db, const char *create)
{
    ask_run(db->sql, "DROP VIEW IF EXISTS temp.run; DROP VIEW IF EXISTS temp.experiment");
    CHECK(ask_release(db, create != NULL));
    if (create) CHECK(ask_run(db->sql, create) && ask_hold(db, "look"));
}

void db_restrict(Db *db, const char *rows)
{
    if (rows) ask_keep(db, rows);
    db_look_through(db, rows ? ask_restriction : NULL);
}
