/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Plans: which cells an experiment has. */
#include "harness/store/db_parts.h"
#include <string.h>

/* Runs that are started now are of this plan, and it is the one that was planned last */
static long db_planned(Db *db, long plan)
{
    db->plan = plan;
    DB_WRITE(db, "INSERT INTO meta VALUES ('planned', ?) ON CONFLICT (key) DO UPDATE SET "
                 "value = excluded.value", "s", arena_text(db->a, "%ld", plan));
    return plan;
}

long db_experiment(Db *db, const char *name, const char *text, const char *overrides,
                   DbMeasures measures)
{
    char sha[65];
    sha256_hex(text, strlen(text), sha);
    const long last = db_number(
        db, 0,
        "SELECT e.id FROM experiment e JOIN build b ON b.id = e.build "
        "JOIN machine m ON m.id = e.machine "
        "WHERE e.id = (SELECT max(id) FROM experiment WHERE name = ?1 AND variant = "
        "  CASE ?6 WHEN 'loss' THEN same_losses(?3) ELSE ?3 END) "
        "AND e.sha = ?2 AND e.overrides = ?3 AND b.sha = ?4 AND m.rig = ?5 AND e.measures = ?6",
        "ssssss", name, sha, overrides, db->build->id, db->rig, db_measures[measures]);
    if (last) return db_planned(db, last);
    DB_WRITE(db,
             "INSERT INTO experiment (name, sha, text, overrides, build, machine, measures, "
             "variant, planned) VALUES (?1,?2,?3,?4,?5,?6,?7, "
             "CASE ?7 WHEN 'loss' THEN same_losses(?4) ELSE ?4 END, " DB_NOW ")",
             "sssslls", name, sha, text, overrides, db->build_id, db->machine_id,
             db_measures[measures]);
    return db_planned(db, sqlite3_last_insert_rowid(db->sql));
}

long db_experiment_growing(Db *db, const char *name, DbMeasures measures)
{
    const long last =
        db_number(db, 0, "SELECT coalesce(max(id), 0) FROM experiment WHERE name = ?", "s", name);
    return last ? last : db_experiment(db, name, "", "", measures);
}

long db_note(Db *db, long experiment, const char *note)
{
    DB_WRITE(db, "UPDATE experiment SET note = ? WHERE id = ? AND note = ''", "sl", note,
             experiment);
    if (db_number(db, 0, "SELECT count(*) FROM experiment WHERE id = ? AND note = ?", "ls",
                  experiment, note))
        return experiment;
    DB_WRITE(db,
             "INSERT INTO experiment (name, sha, text, overrides, build, machine, measures, "
             "variant, planned, note) SELECT name, sha, text, overrides, build, machine, measures, "
             "variant, " DB_NOW ", ?2 FROM experiment WHERE id = ?1",
             "ls", experiment, note);
    return sqlite3_last_insert_rowid(db->sql);
}

const char *db_experiment_name(Db *db, long experiment, Arena *a)
{
    sqlite3_stmt *s = db_prepared(db, "SELECT experiment FROM current WHERE plan = ?");
    if (!s) db_fail(db, "read");
    sqlite3_bind_int64(s, 1, experiment);
    const char *name = sqlite3_step(s) == SQLITE_ROW ? arena_text(a, "%s", db_column(s, 0)) : "";
    sqlite3_reset(s);
    return name;
}

void db_plan(Db *db, long experiment, int position, const char *cell, const char *spec,
             const char *label, long seed, const char *texts)
{
    DB_WRITE(db, "INSERT OR IGNORE INTO cell VALUES (?1, ?2, same_losses(?2))", "ss", cell, spec);
    DB_WRITE(db, "INSERT OR IGNORE INTO plan VALUES (?,?,?,?,?,?)", "llssls", experiment,
             (long)position, cell, label, seed, texts);
}

void db_plan_add(Db *db, long experiment, const char *cell, const char *spec, const char *label,
                 long seed)
{
    if (db_number(db, 0, "SELECT count(*) FROM plan WHERE experiment = ? AND cell = ?", "ls",
                  experiment, cell))
        return;
    const long next =
        db_number(db, 0, "SELECT coalesce(max(position), -1) + 1 FROM plan WHERE experiment = ?",
                  "l", experiment);
    db_plan(db, experiment, (int)next, cell, spec, label, seed, "");
}

void db_label(Db *db, long experiment, int position, const char *factor, const char *level)
{
    DB_WRITE(db, "INSERT OR IGNORE INTO label VALUES (?,?,?,?)", "llss", experiment, (long)position,
          factor, level);
    db->labelled = 1;
}
