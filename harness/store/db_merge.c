/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Several databases into one.
 *
 *   1. of each source: its machines, builds and cells are copied; its plans and runs are listed in
 *      temp.plans and temp.runs
 *   2. plans and runs of all sources get ids in the order of their times
 *   3. of each source: plans are copied, and runs that no earlier source has, with all that belongs
 *      to them
 *
 * Two plans are one when name, text, overrides, build, machine and time are equal and no position
 * has different cells. */
#include "harness/store/db_parts.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MACHINE "cpu, isa, cores, kernel, hostname, governor, virt, mem_kb, l1d_kb, l2_kb, l3_kb"

static const char merge_prepare[] =
    "CREATE TEMP TABLE machines (source, old, new);"
    "CREATE TEMP TABLE builds (source, old, new);"
    "CREATE TEMP TABLE plans (source, old, new, first, name, sha, text, overrides, build, "
    "machine, planned, measures, variant, note, cells);"
    "CREATE TEMP TABLE runs (source, old, uuid, started, new INTEGER, PRIMARY KEY (uuid));";

/* ?1: the number of the source, whose database is attached as src */
static const char merge_gather[] =
    "INSERT OR IGNORE INTO main.machine (" MACHINE ")"
    "  SELECT " MACHINE " FROM src.machine ORDER BY id;"
    "INSERT INTO machines SELECT ?1, s.id, d.id"
    "  FROM src.machine s JOIN main.machine d USING (" MACHINE ");"
    "INSERT OR IGNORE INTO main.build (sha, git, dirty, compiler, flags)"
    "  SELECT sha, git, dirty, compiler, flags FROM src.build ORDER BY id;"
    "INSERT INTO builds SELECT ?1, s.id, d.id"
    "  FROM src.build s JOIN main.build d USING (sha, git, dirty);"
    "INSERT OR IGNORE INTO main.cell SELECT * FROM src.cell;"
    "INSERT INTO plans"
    "  SELECT ?1, e.id, NULL, NULL, e.name, e.sha, e.text, e.overrides, b.new, m.new, e.planned,"
    "    e.measures, e.variant, e.note,"
    "    (SELECT json_group_object(position, cell) FROM src.plan WHERE experiment = e.id)"
    "  FROM src.experiment e JOIN builds b ON b.source = ?1 AND b.old = e.build"
    "  JOIN machines m ON m.source = ?1 AND m.old = e.machine ORDER BY e.id;"
    "INSERT OR IGNORE INTO runs SELECT ?1, id, uuid, started, NULL FROM src.run"
    "  WHERE status <> 'running' ORDER BY id;";

/* first: of the plans that are one with it the longest */
static const char merge_number[] =
    "UPDATE plans SET first = ("
    "  SELECT q.rowid FROM plans q WHERE q.name = plans.name AND q.sha = plans.sha"
    "  AND q.overrides = plans.overrides AND q.build = plans.build"
    "  AND q.machine = plans.machine AND q.planned = plans.planned AND NOT EXISTS ("
    "    SELECT 1 FROM json_each(plans.cells) x JOIN json_each(q.cells) y ON y.key = x.key"
    "    WHERE y.value <> x.value)"
    "  ORDER BY length(q.cells) DESC, q.rowid LIMIT 1);"
    "UPDATE plans SET new = (SELECT n FROM ("
    "    SELECT rowid AS at, row_number() OVER (ORDER BY planned, source, old) AS n FROM plans"
    "    WHERE rowid = first) WHERE at = plans.first);"
    "INSERT INTO main.experiment (id, name, sha, text, overrides, build, machine, planned,"
    "    measures, variant, note)"
    "  SELECT new, name, sha, text, overrides, build, machine, planned, measures, variant,"
    "    (SELECT max(note) FROM plans q WHERE q.first = plans.rowid)"
    "  FROM plans"
    "  WHERE rowid = first ORDER BY new;"
    "UPDATE runs SET new = (SELECT n FROM ("
    "    SELECT uuid AS u, row_number() OVER (ORDER BY started, source, old) AS n FROM runs)"
    "  WHERE u = runs.uuid);";

/* The rows of a table that belong to the runs of this source; what follows is their order */
#define OF_RUN(table, columns)                                                                     \
    "INSERT INTO main." table " SELECT r.new, " columns " FROM src." table " t "                   \
    "JOIN runs r ON r.source = ?1 AND r.old = t.run ORDER BY r.new, t."
#define VERDICT                                                                                    \
    "v.name, v.verdict, v.sentence, v.value, v.low, v.high, v.runs, b.new, m.new, v.decided"
static const char merge_fill[] =
    "INSERT OR IGNORE INTO main.plan SELECT p.new, s.position, s.cell, s.label, s.seed, s.texts"
    "  FROM src.plan s JOIN plans p ON p.source = ?1 AND p.old = s.experiment;"
    "INSERT OR IGNORE INTO main.label SELECT p.new, s.position, s.factor, s.level"
    "  FROM src.label s JOIN plans p ON p.source = ?1 AND p.old = s.experiment;"
    "INSERT INTO main.run SELECT r.new, s.uuid, s.cell, p.new, b.new, m.new, s.status, s.error,"
    "    s.started, s.wall_s, s.peak_rss_kb, s.sweeper, s.sweeper_start, s.heartbeat,"
    "    s.sweeper_place"
    "  FROM src.run s JOIN runs r ON r.source = ?1 AND r.old = s.id"
    "  LEFT JOIN plans p ON p.source = ?1 AND p.old = s.experiment"
    "  JOIN builds b ON b.source = ?1 AND b.old = s.build"
    "  JOIN machines m ON m.source = ?1 AND m.old = s.machine ORDER BY r.new;"
    OF_RUN("config", "t.key, t.value") "key;"
    OF_RUN("metric", "t.name, t.step, t.value") "rowid;"
    OF_RUN("span", "t.step, t.phase, t.seconds") "rowid;"
    OF_RUN("sample", "t.name, t.round, t.position, t.ns, t.iters") "rowid;"
    OF_RUN("text", "t.key, t.value") "rowid;"
    OF_RUN("phase_mean", "t.phase, t.first_step, t.steps, t.seconds") "phase;"
    "INSERT OR IGNORE INTO main.certified SELECT * FROM src.certified;"
    "INSERT INTO main.verdict (name, verdict, sentence, value, low, high, runs, build, machine,"
    "    decided)"
    "  SELECT " VERDICT " FROM src.verdict v JOIN builds b ON b.source = ?1 AND b.old = v.build"
    "  JOIN machines m ON m.source = ?1 AND m.old = v.machine"
    "  WHERE NOT EXISTS (SELECT 1 FROM main.verdict d WHERE d.name = v.name"
    "    AND d.verdict = v.verdict AND d.sentence = v.sentence AND d.value IS v.value"
    "    AND d.low IS v.low AND d.high IS v.high AND d.runs = v.runs AND d.build = b.new"
    "    AND d.machine = m.new AND d.decided = v.decided) ORDER BY v.id;"
    "INSERT INTO main.artifact (path, sha, rows_sha, script_sha, build, made)"
    "  SELECT a.path, a.sha, a.rows_sha, a.script_sha, b.new, a.made FROM src.artifact a"
    "  JOIN builds b ON b.source = ?1 AND b.old = a.build WHERE NOT EXISTS ("
    "    SELECT 1 FROM main.artifact d WHERE d.path = a.path AND d.sha = a.sha"
    "    AND d.rows_sha = a.rows_sha AND d.script_sha = a.script_sha AND d.build = b.new"
    "    AND d.made = a.made)"
    "  ORDER BY a.id;";

/* Runs every statement of a text, ?1 being the number of the source. NULL, or an error message */
static const char *merge_run(Db *db, const char *text, int source)
{
    while (*text) {
        sqlite3_stmt *s = NULL;
        int rc = sqlite3_prepare_v2(db->sql, text, -1, &s, &text);
        sqlite3_bind_int(s, 1, source);
        while (rc == SQLITE_OK || rc == SQLITE_ROW) rc = sqlite3_step(s);
        const char *why = rc == SQLITE_DONE ? NULL : db_sentence(db, "written");
        sqlite3_finalize(s);
        if (why) return why;
    }
    return NULL;
}

/* The same in one transaction, with the database of this URI attached as src */
static const char *merge_with(Db *db, const char *uri, const char *what, int source)
{
    sqlite3_stmt *s = NULL;
    const char *why = NULL;
    if (sqlite3_prepare_v2(db->sql, "ATTACH ? AS src", -1, &s, NULL) != SQLITE_OK)
        return db_sentence(db, "written");
    sqlite3_bind_text(s, 1, uri, -1, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_DONE)
        why = db_sentence(db, arena_text(db->a, "joined by %s", uri));
    sqlite3_finalize(s);
    if (why) return why;
    why = merge_run(db, "BEGIN", source);
    if (!why) why = merge_run(db, what, source);
    if (!why) why = merge_run(db, "COMMIT", source);
    else sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_exec(db->sql, "DETACH src", NULL, NULL, NULL);
    return why;
}

/* The number that a SELECT gives */
static long merge_count(Db *db, const char *text)
{
    sqlite3_stmt *s = NULL;
    CHECK(sqlite3_prepare_v2(db->sql, text, -1, &s, NULL) == SQLITE_OK);
    CHECK(sqlite3_step(s) == SQLITE_ROW);
    const long n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return n;
}

/* Removes a database, if it is there. */
static void merge_remove(const char *path, Arena *a)
{
    unlink(path);
    unlink(arena_text(a, "%s-wal", path));
    unlink(arena_text(a, "%s-shm", path));
}

/* The URI under which a source is joined. One with an older schema was brought up to date in memory
 * when it was opened: what is joined is a temporary copy of that. */
static const char *merge_uri(Db *db, const char *temporary, const char **why)
{
    const char *file = sqlite3_db_filename(db->sql, "main");
    if (file && *file) return db->uri;
    merge_remove(temporary, db->a);
    if (!db_try(db, "VACUUM main INTO ?", "s", temporary))
        *why = db_sentence(db, arena_text(db->a, "copied to %s", temporary));
    return db_uri(temporary, 0, db->a);
}

/* Replaces the path of a source by its URI; of a directory of text by that of a temporary database
 * made from it. Adds the number of its runs to *seen, of those that have not ended to *running. */
static const char *merge_source(const char **path, const char *temporary, long *seen, long *running,
                               Arena *a)
{
    struct stat is;
    const char *why = NULL;
    if (!stat(*path, &is) && S_ISDIR(is.st_mode)) {
        merge_remove(temporary, a);               /* of a merge that was killed */
        Db *text = db_open(temporary, a, &why);
        if (text) why = db_load_text(text, *path);
        db_close(text);
        *path = temporary;
    }
    Db *db = why ? NULL : db_open_read(*path, a, &why);
    if (!db) return why;
    if (!(why = db_check_whole(db))) {
        *seen += merge_count(db, "SELECT count(*) FROM run");
        *running += merge_count(db, "SELECT count(*) FROM run WHERE status = 'running'");
    }
    if (!why) *path = merge_uri(db, temporary, &why);
    db_close(db);
    return why;
}

/* The sources are gone: the views are those that db_open made. 0: refused */
static int merge_add_factors(Db *db)
{
    CHECK(sqlite3_db_config(db->sql, SQLITE_DBCONFIG_ENABLE_VIEW, 1, NULL) == SQLITE_OK);
    return db_fresh_factors(db);
}

static const char *merge_all(Db *db, const char **uri, int n)
{
    db_only_our_views(db);
    const char *why = merge_run(db, "PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF;", 0);
    if (!why) why = merge_run(db, merge_prepare, 0);
    for (int i = 0; i < n && !why; i++) why = merge_with(db, uri[i], merge_gather, i);
    if (!why) why = merge_run(db, merge_number, 0);
    for (int i = 0; i < n && !why; i++) why = merge_with(db, uri[i], merge_fill, i);
    if (!why && !merge_add_factors(db)) why = db_sentence(db, "written");
    if (!why)
        why = merge_run(db,
                        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
                        "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;",
                        0);
    if (!why && merge_count(db, "SELECT count(*) FROM pragma_foreign_key_check"))
        why = "a row refers to one that is not there";
    return why;
}

const char *db_merge(const char *const *from, int n, const char *into, DbMerged *m, Arena *a)
{
    const char **path = arena_array(a, (size_t)n, sizeof *path), *why = NULL;
    const char *new = arena_text(a, "%s.new", into);
    *m = (DbMerged){ 0 };
    long seen = 0;
    if (!access(into, F_OK))
        return arena_text(a, "%s: is there already; expected the name of a new file", into);
    for (int i = 0; i < n && !why; i++) {
        path[i] = from[i];
        why = merge_source(&path[i], arena_text(a, "%s.%d", new, i), &seen, &m->running, a);
    }
    merge_remove(new, a);
    Db *db = why ? NULL : db_open(new, a, &why);
    if (!why) why = merge_all(db, path, n);
    if (!why) {
        m->runs = merge_count(db, "SELECT count(*) FROM run");
        m->again = seen - m->running - m->runs;
    }
    db_close(db);
    for (int i = 0; i < n; i++) merge_remove(arena_text(a, "%s.%d", new, i), a);
    if (!why && rename(new, into))
        why = arena_text(a, "%s: cannot be written: %s", into, strerror(errno));
    if (why) merge_remove(new, a);
    return why;
}
