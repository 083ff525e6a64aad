/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A look at a database that another process writes: a few questions to its tables, without views,
 * which would cost the machine what a cell that is timed needs. */
#include "harness/store/db_parts.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { WATCH_MOST = 64, WATCH_WAIT_MS = 500 };

typedef struct Watch { sqlite3 *sql; const char *path, *host; Arena *a; } Watch;

static const char watch_sweeps[] =
    "SELECT r.sweeper, r.sweeper_start, m.hostname, max(r.id), r.experiment, "
    "  count(*) FILTER (WHERE r.status <> 'running'), "
    "  count(*) FILTER (WHERE r.status NOT IN ('ok', 'skip', 'running')), "
    "  avg(r.wall_s) FILTER (WHERE r.status = 'ok'), "
    "  coalesce(min(strftime('%s', 'now') - strftime('%s', r.heartbeat)) "
    "    FILTER (WHERE r.status = 'running'), 1000000) "
    "FROM run r JOIN machine m ON m.id = r.machine GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 64";
static const char watch_plan[] =
    "SELECT trim(e.name || ' ' || e.variant), "
    "  (SELECT count(*) FROM plan WHERE experiment = e.id), "
    "  (SELECT count(*) FROM plan p WHERE p.experiment = e.id AND (EXISTS ("
    "    SELECT 1 FROM run r WHERE r.cell = p.cell AND r.status = 'ok') "
    "    OR (e.measures = 'loss' AND EXISTS (SELECT 1 FROM cell k JOIN cell s ON s.same = k.same "
    "      JOIN run r ON r.cell = s.key WHERE k.key = p.cell AND r.status = 'ok')))) "
    "FROM experiment e WHERE e.id = ?1";
static const char watch_running[] =
    "SELECT r.id, coalesce(p.label, ''), coalesce(p.seed, 0), c.spec, "
    "  86400 * (julianday('now') - julianday(r.started)), "
    "  (SELECT value FROM metric WHERE run = r.id AND name = 'loss' ORDER BY step DESC LIMIT 1), "
    "  (SELECT step FROM metric WHERE run = r.id AND name = 'step_s' ORDER BY step DESC LIMIT 1), "
    "  (SELECT value FROM text WHERE run = r.id AND key = 'schedule' LIMIT 1) "
    "FROM run r JOIN cell c ON c.key = r.cell "
    "LEFT JOIN plan p ON p.experiment = r.experiment AND p.cell = r.cell "
    "WHERE r.status = 'running' AND r.sweeper = ?1 AND r.sweeper_start = ?2 "
    "GROUP BY r.id ORDER BY r.id LIMIT 64";

static sqlite3_stmt *watch_ask(Watch *w, const char *sql, const char **why)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(w->sql, sql, -1, &s, NULL) != SQLITE_OK)
        *why = arena_text(w->a, "%s: cannot be read: %s", w->path, sqlite3_errmsg(w->sql));
    return s;
}

static double watch_real(sqlite3_stmt *s, int i)
{
    return sqlite3_column_type(s, i) == SQLITE_NULL ? NAN : sqlite3_column_double(s, i);
}

static const char *watch_text(Watch *w, sqlite3_stmt *s, int i)
{
    return arena_text(w->a, "%s", db_column(s, i));
}

static const char *watch_add_plan(Watch *w, DbSweep *sweep, long experiment)
{
    const char *why = NULL;
    sqlite3_stmt *s = watch_ask(w, watch_plan, &why);
    sqlite3_bind_int64(s, 1, experiment);
    if (s && sqlite3_step(s) == SQLITE_ROW) {
        sweep->experiment = watch_text(w, s, 0);
        sweep->cells = sqlite3_column_int64(s, 1);
        sweep->ok = sqlite3_column_int64(s, 2);
    }
    sqlite3_finalize(s);
    return why;
}

static const char *watch_add_running(Watch *w, DbSweep *sweep, long start)
{
    const char *why = NULL;
    sqlite3_stmt *s = watch_ask(w, watch_running, &why);
    if (!s) return why;
    sweep->running = arena_array(w->a, WATCH_MOST, sizeof *sweep->running);
    sqlite3_bind_int64(s, 1, sweep->pid);
    sqlite3_bind_int64(s, 2, start);
    while (sqlite3_step(s) == SQLITE_ROW) {
        const double step = watch_real(s, 6);
        sweep->running[sweep->runs++] = (DbRunning){ .run = sqlite3_column_int64(s, 0),
                                                     .label = watch_text(w, s, 1),
                                                     .seed = sqlite3_column_int64(s, 2),
                                                     .spec = watch_text(w, s, 3),
                                                     .seconds = watch_real(s, 4),
                                                     .loss = watch_real(s, 5),
                                                     .step = isnan(step) ? -1 : (long)step,
                                                     .schedule = watch_text(w, s, 7) };
    }
    sqlite3_finalize(s);
    return NULL;
}

/* The process lives here, or was seen alive in its place within the last minute */
static int watch_is_alive(const Watch *w, sqlite3_stmt *s)
{
    if (sqlite3_column_int(s, 8) <= DB_ALIVE_S) return 1;
    return !strcmp(db_column(s, 2), w->host) &&
           db_process_is_there(sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1));
}

static const char *watch_look(Watch *w, DbSweep *list, int *n)
{
    const char *why = NULL;
    sqlite3_stmt *s = watch_ask(w, watch_sweeps, &why);
    for (int row = 0; s && !why && sqlite3_step(s) == SQLITE_ROW; row++) {
        const int alive = watch_is_alive(w, s);
        DbSweep *sweep = &list[*n];
        if (!alive && row) continue;
        *sweep = (DbSweep){ .alive = alive,
                            .pid = sqlite3_column_int64(s, 0),
                            .experiment = "",
                            .ended = sqlite3_column_int64(s, 5),
                            .bad = sqlite3_column_int64(s, 6),
                            .mean_s = watch_real(s, 7) };
        why = watch_add_plan(w, sweep, sqlite3_column_int64(s, 4));
        if (!why && alive) why = watch_add_running(w, sweep, sqlite3_column_int64(s, 1));
        ++*n;
    }
    sqlite3_finalize(s);
    /* the last one has ended, another has not */
    if (*n > 1 && !list->alive) memmove(list, list + 1, sizeof *list * (size_t)--*n);
    return why;
}

const char *db_watch(const char *path, const char *host, DbSweep **list, int *n, Arena *a)
{
    Watch w = { .path = path, .host = host, .a = a };
    const char *why = NULL;
    *n = 0;
    *list = arena_array(a, WATCH_MOST, sizeof **list);
    if (access(path, F_OK))
        return arena_text(a, "%s: no such database; `eightysix sweep` makes it", path);
    if (sqlite3_open_v2(db_uri(path, 0, a), &w.sql,
                        SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        why = arena_text(a, "%s: cannot be opened: %s", path, sqlite3_errmsg(w.sql));
    if (!why) sqlite3_busy_timeout(w.sql, WATCH_WAIT_MS);
    if (!why) why = watch_look(&w, *list, n);
    sqlite3_close(w.sql);
    return why;
}
