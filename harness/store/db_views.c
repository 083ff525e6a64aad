/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The views and the state of a cell, as a caller sees them. */
#include "harness/store/db_parts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *db_column(sqlite3_stmt *s, int i)
{
    const char *text = (const char *)sqlite3_column_text(s, i);
    return text ? text : "";
}

/* The state of a cell with one more of its runs, which come newest first. *last: how the newest run
 * that is not ok ended; *elsewhere: why the newest ok run does not count */
static CellState db_judge_run(Db *db, sqlite3_stmt *s, int loss, CellState state, Arena *a,
                              const char **last, const char **elsewhere)
{
    const char *status = db_column(s, 0), *error = db_column(s, 1);
    const char *sha = db_column(s, 2), *rig = db_column(s, 3);
    const int same_code = sqlite3_column_int(s, 8),
              same_rig = loss || !strcmp(rig, db->rig);
    if (!strcmp(status, "running")) {
        if (!(error = db_run_gone(db, sqlite3_column_int64(s, 6)))) {
            *last = arena_text(a, "running now in process %lld of %s",
                               (long long)sqlite3_column_int64(s, 5), db_column(s, 7));
            return CELL_RUNNING;
        }
        status = "crash";
    }
    const int shared = !loss && sqlite3_column_int(s, 9), peer = sqlite3_column_int(s, 10);
    if (!strcmp(status, "ok") && same_code && same_rig && !shared) return CELL_DONE;
    if (strcmp(status, "ok") && !*last)
        *last = arena_text(a, "no ok run; the last one ended with %s: %s", status, error);
    if (!strcmp(status, "ok") && !*elsewhere)
        *elsewhere = !same_code && peer ? "ok run by another version of its program"
                     : !same_code ? arena_text(a, "ok run by build %.8s, now %.8s", sha,
                                               db->build->id)
                     : !same_rig ? arena_text(a, "ok run on another machine class (%s)", rig)
                                 : "ok run that shared the machine with another one";
    return state == CELL_NEW ? CELL_STALE : state;
}

/* The runs that are valid for a cell, newest first: ?1 its key, ?2 its settings that can change a
 * loss, ?3 1 for a loss, ?4 its text. The last columns: their code is that of this program; they
 * shared the machine; another engine ran them */
static const char db_valid_runs[] =
    "SELECT r.status, r.error, b.sha, m.rig, r.wall_s, r.sweeper, r.id, m.hostname, "
    "CASE ?3 WHEN 1 THEN f.fresh_loss ELSE f.fresh END, "
    "EXISTS (SELECT 1 FROM metric WHERE run = r.id AND name = 'shared' AND value > 0), "
    "EXISTS (SELECT 1 FROM text WHERE run = r.id AND key GLOB 'part:peer:*') "
    "FROM cell k JOIN run r ON r.cell = k.key JOIN build b ON b.id = r.build "
    "JOIN machine m ON m.id = r.machine JOIN run_code f ON f.run = r.id "
    "WHERE CASE ?3 WHEN 1 THEN k.same = ?2 ELSE k.key = ?1 END AND (?4 = '' OR NOT EXISTS ("
    "  SELECT 1 FROM text t WHERE t.run = r.id AND t.key = 'corpus_sha' AND t.value <> ?4)) "
    "ORDER BY r.id DESC";

CellState db_cell_state(Db *db, const DbCell *cell, Arena *a, const char **reason, double *wall_s)
{
    const int loss = cell->measures == DB_LOSS;
    char *same = arena_text(a, "%s", cell->spec);
    sqlite3_stmt *s = db_prepared(db, db_valid_runs);
    if (!s) db_fail(db, "read");
    db_loss_words(same, cell->spec);
    sqlite3_bind_text(s, 1, cell->key, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(s, 2, same, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int(s, 3, loss);
    sqlite3_bind_text(s, 4, cell->texts, -1, SQLITE_TRANSIENT);
    CellState state = CELL_NEW;
    const char *last = NULL, *elsewhere = NULL;
    *wall_s = NAN;
    while (state != CELL_DONE && state != CELL_RUNNING && sqlite3_step(s) == SQLITE_ROW) {
        if (isnan(*wall_s) && !strcmp(db_column(s, 0), "ok")) *wall_s = sqlite3_column_double(s, 4);
        state = db_judge_run(db, s, loss, state, a, &last, &elsewhere);
    }
    sqlite3_reset(s);
    *reason = state == CELL_NEW    ? "no run yet"
              : state == CELL_DONE ? "ok"
              : last               ? last
                                   : elsewhere;
    return state;
}

static int db_by_name(const void *one, const void *other)
{
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

/* Those of views.sql: what else a database brings is never asked. */
int db_views(Db *db, const char *const **name, Arena *a)
{
    const char *create = "\nCREATE VIEW ", *s = db_views_sql, **list;
    int most = 0, n = 0;
    (void)db;
    for (; (s = strstr(s, create)); s += strlen(create)) most++;
    list = arena_array(a, (size_t)most, sizeof *list);
    for (s = db_views_sql; (s = strstr(s, create)); n++) {
        s += strlen(create);
        list[n] = arena_text(a, "%.*s", (int)strcspn(s, " "), s);
    }
    qsort(list, (size_t)n, sizeof *list, db_by_name);
    *name = list;
    return n;
}

int db_is_view(const char *name, Arena *a)
{
    const size_t used = a->used;
    const int is = strpbrk(name, " ;\n") == NULL &&
                   strstr(db_views_sql, arena_text(a, "\nCREATE VIEW %s AS", name)) != NULL;
    arena_reset(a, used);
    return is;
}

const char *db_rows(Db *db, sqlite3_stmt *s, int exact, DbRow *row, void *ctx)
{
    enum { DIGITS = 32 };                /* room for a real as text */
    const int columns = sqlite3_column_count(s);
    const char **value = arena_array(db->a, (size_t)columns, sizeof *value);
    char (*number)[DIGITS] = arena_array(db->a, (size_t)columns, sizeof *number);
    int rc;
    for (int i = 0; i < columns; i++) value[i] = sqlite3_column_name(s, i);
    row(ctx, columns, value);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        for (int i = 0; i < columns; i++) {
            const int real = exact && sqlite3_column_type(s, i) == SQLITE_FLOAT;
            if (real) snprintf(number[i], sizeof number[i], "%.17g", sqlite3_column_double(s, i));
            value[i] = real ? number[i] : (const char *)sqlite3_column_text(s, i);
        }
        row(ctx, columns, value);
    }
    const char *why = rc == SQLITE_DONE ? NULL : db_sentence(db, "read");
    sqlite3_finalize(s);
    return why;
}

const char *db_view(Db *db, const char *view, const char *experiment, DbRow *row, void *ctx,
                    Arena *a)
{
    if (!db_is_view(view, a)) {
        const char *const *name, *names = "";
        const int n = db_views(db, &name, a);
        for (int i = 0; i < n; i++)
            names = arena_text(a, "%s%s%s", names, i ? ", " : "", name[i]);
        return arena_text(a, "there is no view '%s'; expected one of %s", view, names);
    }
    sqlite3_stmt *s = NULL;
    const char *text = db_view_select(db, view, experiment);
    if (!text || sqlite3_prepare_v2(db->sql, text, -1, &s, NULL) != SQLITE_OK)
        return db_sentence(db, "read");
    sqlite3_bind_text(s, 1, experiment, -1, SQLITE_TRANSIENT);
    return db_rows(db, s, 0, row, ctx);
}

const char *db_last_experiment(Db *db, const char *view, Arena *a)
{
    sqlite3_stmt *s = NULL;
    const char *text = arena_text(
        a,
        "SELECT e.experiment FROM current e JOIN (SELECT DISTINCT experiment FROM \"%s\") v "
        "ON v.experiment = e.experiment ORDER BY "
        "e.plan = (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'planned') DESC, "
        "e.plan DESC LIMIT 1",
        view);
    if (sqlite3_prepare_v2(db->sql, text, -1, &s, NULL) != SQLITE_OK) return NULL;
    const char *name = sqlite3_step(s) == SQLITE_ROW ? arena_text(a, "%s", db_column(s, 0)) : NULL;
    sqlite3_finalize(s);
    return name;
}

int db_has_experiment(Db *db, const char *name)
{
    return (int)db_number(db, 0, "SELECT count(*) FROM current WHERE experiment = ?", "s", name);
}
