/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lines of runs that the database could not take when they came: DB.spool/UUID, one file a run,
 * taken in by the next command that opens the database, if not by the process that wrote it.
 *
 * A file is taken in and marked as taken (text `spool`, its SHA-256) in one transaction, then
 * removed: a process that dies between the two leaves a file that is removed the next time. */
#include "harness/store/db_parts.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *spool_dir(const Db *db, Arena *a) { return arena_text(a, "%s.spool", db->path); }

const char *db_spool_path(Db *db, long run, Arena *a)
{
    sqlite3_stmt *s = db_prepared(db, "SELECT uuid FROM run WHERE id = ?");
    if (!s) db_fail(db, "read");
    sqlite3_bind_int64(s, 1, run);
    if (sqlite3_step(s) != SQLITE_ROW) db_fail(db, "read");
    const char *path = arena_text(a, "%s/%s", spool_dir(db, a), db_column(s, 0));
    sqlite3_reset(s);
    return path;
}

/* A line that ends a run: "STATUS WALL_S PEAK_RSS_KB ERROR..." */
static int spool_put_end(Db *db, long run, char *rest)
{
    char *save = NULL;
    const char *status = strtok_r(rest, " ", &save), *wall = strtok_r(NULL, " ", &save),
               *peak = strtok_r(NULL, " ", &save);
    return peak && db_put_end(db, run, status, save ? save : "", strtod(wall, NULL),
                              strtol(peak, NULL, 10));
}

/* Whole lines only: what a process was writing when it was killed has no newline. 0: refused */
static int spool_put_lines(Db *db, long run, char *text, size_t n)
{
    char *end = text + n, *next;
    for (char *line = text; (next = memchr(line, '\n', (size_t)(end - line))); line = next + 1) {
        Record record;
        *next = 0;
        if (!strncmp(line, "end ", 4)) {
            if (!spool_put_end(db, run, line + 4)) return 0;
        } else if (record_parse(line, &record) && !db_put_record(db, run, &record))
            return 0;
    }
    return 1;
}

/* The file's text, in the arena; NULL: there is none, *n 0 */
static char *spool_read(const char *path, size_t *n, Arena *a)
{
    struct stat st;
    *n = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    char *text = fstat(fd, &st) ? NULL : arena_raw(a, (size_t)st.st_size + 1);
    for (ssize_t got; text && *n < (size_t)st.st_size; *n += (size_t)got)
        if ((got = read(fd, text + *n, (size_t)st.st_size - *n)) <= 0) break;
    close(fd);
    return text;
}

static int spool_is_taken(Db *db, long run, const char *text, size_t n)
{
    char sha[65];
    return db_number(
               db, 0, "SELECT count(*) FROM text WHERE run = ? AND key = 'spool' AND value = ?",
               "ls", run, sha256_hex(text, n, sha)) > 0;
}

/* 0: refused */
static int spool_put_file(Db *db, long run, char *text, size_t n)
{
    char sha[65];
    if (spool_is_taken(db, run, text, n)) return 1;
    const Record mark = { .kind = 't', .name = "spool", .text = sha256_hex(text, n, sha) };
    return db_put_record(db, run, &mark) && spool_put_lines(db, run, text, n);
}

static const char *spool_write(Db *db, long run, const char *spool, const char *lines, size_t n)
{
    size_t kept;
    Arena *a = db->a;
    char *text = spool_read(spool, &kept, a), *copy = arena_raw(a, n + 1);
    memcpy(copy, lines, n);
    if (!db_try(db, "BEGIN IMMEDIATE", "")) return db_sentence(db, "written");
    if ((!text || spool_put_file(db, run, text, kept)) && spool_put_lines(db, run, copy, n) &&
        db_try(db, "COMMIT", "")) {
        if (text) unlink(spool);
        return NULL;
    }
    const char *why = db_sentence(db, "written");
    if (!sqlite3_get_autocommit(db->sql)) db_exec(db, "ROLLBACK");
    return why;
}

const char *db_write_lines(Db *db, long run, const char *spool, const char *lines, size_t n)
{
    const double patience = db->patience;
    const size_t used = db->a->used;
    db_flush(db);
    db->patience = DB_BRIEF_S;
    const char *why = spool_write(db, run, spool, lines, n);
    db->patience = patience;
    if (!why) arena_reset(db->a, used);
    return why;
}

const char *db_ready(Db *db)
{
    const double patience = db->patience;
    db_flush(db);
    db->patience = DB_BRIEF_S;
    /* more than the row of a run and its settings need */
    const int good = db_try(db, "INSERT OR REPLACE INTO meta VALUES ('room', hex(zeroblob(30000)))",
                            "") &&
                     db_try(db, "DELETE FROM meta WHERE key = 'room'", "");
    const char *why = good ? NULL : db_sentence(db, "written");
    db->patience = patience;
    return why;
}

const char *db_spool_lines(const char *spool, const char *lines, size_t n, Arena *a)
{
    mkdir(arena_text(a, "%.*s", (int)(strrchr(spool, '/') - spool), spool), 0777);
    const int fd = open(spool, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    const off_t was = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    size_t done = 0;
    for (ssize_t put = 1; was >= 0 && done < n && put > 0; done += (size_t)(put > 0 ? put : 0))
        put = write(fd, lines + done, n - done);
    const char *why =
        done == n && was >= 0
            ? NULL
            : arena_text(a, "%s: cannot be written: %s", spool, strerror(errno));
    if (why && was >= 0 && ftruncate(fd, was)) why = arena_text(a, "%s; it is damaged", why);
    if (fd >= 0) close(fd);
    return why;
}

/* NULL, or an error message: the file stays */
static const char *spool_take(Db *db, const char *dir, const char *uuid)
{
    size_t n;
    const char *path = arena_text(db->a, "%s/%s", dir, uuid);
    const long run = db_number(db, 0, "SELECT id FROM run WHERE uuid = ?", "s", uuid);
    if (!run) return arena_text(db->a, "%s: no run of this name in %s", path, db->path);
    if (db_number(db, 0, "SELECT status = 'running' FROM run WHERE id = ?", "l", run)) {
        const int in_use = !db_run_is_ours(db, run) && !db_run_gone(db, run);
        return in_use ? NULL : spool_write(db, run, path, "", 0);
    }
    char *text = spool_read(path, &n, db->a);
    if (!text || !spool_is_taken(db, run, text, n))
        return arena_text(db->a, "%s: expected a run that is running, and run %ld has ended", path,
                          run);
    unlink(path);
    return NULL;
}

int db_take_spools(Db *db)
{
    int left = 0;
    const char *dir = spool_dir(db, db->a);
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        const char *why = *e->d_name == '.' ? NULL : spool_take(db, dir, e->d_name);
        left += why != NULL;
        if (why) fprintf(stderr, "%s; its records stay in %s/%s\n", why, dir, e->d_name);
    }
    if (d) closedir(d);
    return left;
}
