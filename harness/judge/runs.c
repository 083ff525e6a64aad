/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/judge/runs.h"
#include "harness/judge/columns.h"
#include "harness/store/db.h"
#include <string.h>

/* 1: only what failed; how many */
static const char runs_plans[] =
    "SELECT * FROM (SELECT plan, "
    "  substr(planned, 1, 10) || ' ' || substr(planned, 12, 5) AS planned, "
    "  trim(name || ' ' || variant) AS experiment, "
    "  ok || '/' || failed || '/' || cells AS \"ok/failed/all\", \"commit\", hostname AS host, "
    "  nullif(note, '') AS note FROM plan_list WHERE NOT %d OR failed > 0 "
    "  ORDER BY plan DESC LIMIT %ld) ORDER BY plan";

#define RUNS_NUMBER(format, x)                                                                     \
    "CASE WHEN " x " IS NULL THEN NULL ELSE printf('" format "', " x ") END"
/* the experiment, 1: only what failed; how many */
static const char runs_of_experiment[] =
    "SELECT * FROM (SELECT l.run, k.label, k.seed, l.status, "
    RUNS_NUMBER("%%.3f", "l.nll") " AS nll, "
    RUNS_NUMBER("%%.0f", "l.tokens_per_s") " AS \"tokens/s\", "
    RUNS_NUMBER("%%.1f", "l.wall_s") " AS seconds, "
    "  CASE v.fresh WHEN 1 THEN NULL ELSE 'older code' END AS code, "
    "  nullif(CASE WHEN length(l.error) > 70 THEN substr(l.error, 1, 67) || '...' "
    "    ELSE l.error END, '') AS error "
    "  FROM cell_valid v JOIN cell_run k ON k.plan = v.plan AND k.position = v.position "
    "  JOIN run_list l ON l.run = v.run "
    "  WHERE v.experiment = %s AND (NOT %d OR l.status NOT IN ('ok', 'skip', 'running')) "
    "  ORDER BY l.run DESC LIMIT %ld) ORDER BY run";

static const char *runs_list_plans(Db *db, const RunsQuery *q, Arena *a)
{
    DbTable t;
    const char *why = db_table(db, arena_text(a, runs_plans, q->failed, q->last), &t, a);
    if (why) return why;
    if (t.rows) columns_print(&t, stdout);
    else printf("%s: no plan%s\n", db_path(db), q->failed ? " with a cell that failed" : "");
    return NULL;
}

/* The plan of an experiment, by the name under which views show it or with the words that changed
 * it; of --plan that plan */
static const char *runs_find(Db *db, const RunsQuery *q, DbTable *t, Arena *a)
{
    const char *name = q->experiment ? db_quoted(q->experiment, a) : "''";
    const char *where = q->experiment ? arena_text(a, "(experiment = %1$s OR "
                                                      "trim(name || ' ' || variant) = %1$s)", name)
                                      : arena_text(a, "plan = %s", q->plan);
    const char *one = arena_text(a, "SELECT * FROM plan_list WHERE shown AND %s LIMIT 1", where);
    const char *why = db_table(db, one, t, a);
    if (why || t->rows) return why;
    why = db_table(db, "SELECT group_concat(experiment, ', ') AS known FROM current", t, a);
    if (why) return why;
    const char *known = db_field(t, 0, "known");
    return arena_text(a, "%s: no experiment '%s'; %s%s", db_path(db), q->experiment,
                      known ? "there are " : "nothing was planned", known ? known : "");
}

static const char *runs_list_runs(Db *db, const RunsQuery *q, Arena *a)
{
    DbTable plan, t;
    const char *why = runs_find(db, q, &plan, a);
    if (why) return why;
    const char *name = db_field(&plan, 0, "experiment"), *note = db_field(&plan, 0, "note");
    const char *runs = arena_text(a, runs_of_experiment, db_quoted(name, a), q->failed, q->last);
    if ((why = db_table(db, runs, &t, a))) return why;
    printf("%s: plan %s of %s, by %s: %s of %s cells ok%s%s\n", name, db_field(&plan, 0, "plan"),
           db_field(&plan, 0, "planned"), db_field(&plan, 0, "commit"), db_field(&plan, 0, "ok"),
           db_field(&plan, 0, "cells"), *note ? "; note: " : "", note);
    if (t.rows) columns_print(&t, stdout);
    else puts(q->failed ? "no run of its cells failed" : "no run of its cells");
    return NULL;
}

const char *runs_report(const RunsQuery *q, Arena *a)
{
    const char *why = NULL;
    Db *db = db_open_read(q->db_path, a, &why);
    if (!why) why = db_past(db, q->plan, q->at, a);
    if (!why)
        why = q->experiment || q->plan ? runs_list_runs(db, q, a) : runs_list_plans(db, q, a);
    db_close(db);
    return why;
}
