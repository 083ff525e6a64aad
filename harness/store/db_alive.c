/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which of the runs that are `running` are alive. A process can be looked for only where its number
 * means something, in the same PID namespace since the same boot; that of another place, on another
 * host or in another container that shares the directory, is alive while its heartbeat goes on.
 *
 *   a run of                        is dead when
 *   this place                      there is no such process, as its number and start name it
 *   another place                   its last heartbeat is older than DB_ALIVE_S
 *   another place, no heartbeat     never: it does not say
 *   a place that is not known       (an older program) as of this place, if the host is this one */
#include "harness/store/db_parts.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Field 22 of /proc/ID/stat; 0: there is no such process, or it has ended and waits for its parent.
 * Ids of processes are used again; id and start together are not. */
static long alive_process_start(const char *id)
{
    char path[64], line[1024], *end;
    snprintf(path, sizeof path, "/proc/%s/stat", id);
    FILE *f = fopen(path, "r");
    const size_t n = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f) fclose(f);
    line[n] = 0;
    end = strrchr(line, ')');
    if (end && !strncmp(end, ") Z", 3)) return 0;
    for (int field = 2; end && field < 22; field++) end = strchr(end + 1, ' ');
    return end ? strtol(end, NULL, 10) : 0;
}

long db_own_start(void) { return alive_process_start("self"); }

int db_process_is_there(long pid, long start)
{
    char id[32];
    snprintf(id, sizeof id, "%ld", pid);
    return start && alive_process_start(id) == start;
}

/* 1: /proc shows the processes of this PID namespace */
static int alive_can_look(void)
{
    char id[32] = "";
    const ssize_t n = readlink("/proc/self", id, sizeof id - 1);
    return n > 0 && strtol(id, NULL, 10) == getpid();
}

static const char *alive_text(Db *db, const char *select, long run)
{
    sqlite3_stmt *s = db_prepared(db, select);
    if (!s) db_fail(db, "read");
    sqlite3_bind_int64(s, 1, run);
    const int found = sqlite3_step(s) == SQLITE_ROW;
    const char *text = found ? arena_text(db->a, "%s", db_column(s, 0)) : "";
    sqlite3_reset(s);
    return text;
}

/* seconds since the last heartbeat of a run; -1: it has none */
static long alive_silence(Db *db, long run)
{
    return db_number(db, -1,
                     "SELECT coalesce(strftime('%s', 'now') - strftime('%s', heartbeat), -1) "
                     "FROM run WHERE id = ?",
                     "l", run);
}

const char *db_run_gone(Db *db, long run)
{
    const char *place = alive_text(db, "SELECT sweeper_place FROM run WHERE id = ?", run),
               *host = alive_text(db, "SELECT hostname FROM machine WHERE id = "
                                      "(SELECT machine FROM run WHERE id = ?)", run);
    const long pid = db_number(db, 0, "SELECT sweeper FROM run WHERE id = ?", "l", run),
               start = db_number(db, 0, "SELECT sweeper_start FROM run WHERE id = ?", "l", run),
               silence = alive_silence(db, run);
    const int here = *place ? !strcmp(place, db->place) && alive_can_look()
                            : !strcmp(host, db->host->hostname);
    if (here)
        return db_process_is_there(pid, start)
                   ? NULL
                   : arena_text(db->a, "the sweep that ran it (process %ld) was killed", pid);
    if (silence <= DB_ALIVE_S) return NULL;
    return arena_text(db->a,
                      "the sweep that ran it (process %ld of %s) has given no sign of life for "
                      "%ld s", pid, host, silence);
}

int db_run_is_ours(Db *db, long run)
{
    return db_number(db, 0,
                     "SELECT count(*) FROM run WHERE id = ? AND sweeper = ? AND sweeper_start = ? "
                     "AND sweeper_place = ?",
                     "llls", run, (long)getpid(), db_own_start(), db->place) > 0;
}

int db_recover(Db *db)
{
    long id = 0;
    while ((id = db_number(db, 0, "SELECT min(id) FROM run WHERE status = 'running' AND id > ?",
                           "l", id))) {
        const char *how = db_run_gone(db, id);
        if (how && (!db_try(db, "UPDATE run SET status = 'crash', error = ? WHERE id = ?", "sl",
                            how, id) ||
                    !db_write_phases(db, id)))
            return 0;
    }
    return 1;
}

static const char *const alive_moves[] = {
    "UPDATE config SET run = ?2 WHERE run = ?1", "UPDATE metric SET run = ?2 WHERE run = ?1",
    "UPDATE span SET run = ?2 WHERE run = ?1",   "UPDATE sample SET run = ?2 WHERE run = ?1",
    "UPDATE text SET run = ?2 WHERE run = ?1",   "DELETE FROM phase_mean WHERE run = ?1",
};

/* A new run as this one, with its records, in the open transaction. 0: refused */
static long alive_move(Db *db, long run)
{
    if (!db_try(db,
                "INSERT INTO run (uuid, cell, experiment, build, machine, status, started, "
                "sweeper, sweeper_start, sweeper_place, heartbeat) "
                "SELECT lower(hex(randomblob(16))), cell, experiment, build, machine, 'running', "
                "started, sweeper, sweeper_start, sweeper_place, " DB_NOW " FROM run WHERE id = ?",
                "l", run))
        return 0;
    const long new = sqlite3_last_insert_rowid(db->sql);
    for (size_t i = 0; i < sizeof alive_moves / sizeof *alive_moves; i++)
        if (!db_try(db, alive_moves[i], strchr(alive_moves[i], '2') ? "ll" : "l", run, new))
            return 0;
    return new;
}

long db_run_again(Db *db, long run)
{
    const double patience = db->patience;
    if (db_number(db, 0, "SELECT status = 'running' FROM run WHERE id = ?", "l", run)) return run;
    db->patience = DB_BRIEF_S;
    long new = db_try(db, "BEGIN IMMEDIATE", "") ? alive_move(db, run) : 0;
    if (new && !db_try(db, "COMMIT", "")) new = 0;
    if (!sqlite3_get_autocommit(db->sql)) db_exec(db, "ROLLBACK");
    db->patience = patience;
    return new;
}

int db_heartbeat(Db *db, long run)
{
    const double patience = db->patience;
    db->patience = DB_BRIEF_S;
    const int good = db_try(db, "UPDATE run SET heartbeat = " DB_NOW
                                " WHERE id = ? AND status = 'running'", "l", run);
    db->patience = patience;
    return good;
}
