/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The records as text, written: DIR/TABLE.csv, each with a line of names (RFC 4180). A field that
 * is empty and not quoted is NULL, "" is an empty text; a number has as many digits as give it back
 * bit for bit. span.csv has the means of the phases (the view span_mean) and is read as these.
 * Training loss and time of single steps are left out. db_text_load.c reads them. */
#include "harness/store/csv.h"
#include "harness/store/db_parts.h"
#include "harness/util/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MACHINE                                                                                    \
    "id, cpu, isa, cores, kernel, hostname, governor, virt, mem_kb, l1d_kb, l2_kb, l3_kb"
#define BUILD "id, sha, git, dirty, compiler, flags"
#define EXPERIMENT "id, name, sha, text, overrides, build, machine, planned"
#define RUN                                                                                        \
    "id, uuid, cell, experiment, build, machine, status, error, started, wall_s, peak_rss_kb"
#define VERDICT "id, name, verdict, sentence, value, low, high, runs, build, machine, decided"
#define ARTIFACT "id, path, sha, rows_sha, script_sha, build, made"

const DbTextTable db_text_tables[] = {
    { "machine", "lsslssssllll",
      "SELECT " MACHINE " FROM machine WHERE id IN (SELECT machine FROM run UNION "
      "SELECT machine FROM experiment UNION SELECT machine FROM verdict) ORDER BY id",
      "INSERT INTO machine (" MACHINE ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", 0 },
    { "build", "lsslss",
      "SELECT " BUILD " FROM build WHERE id IN (SELECT build FROM run UNION "
      "SELECT build FROM experiment UNION SELECT build FROM verdict UNION "
      "SELECT build FROM artifact) ORDER BY id",
      "INSERT INTO build (" BUILD ") VALUES (?,?,?,?,?,?)", 0 },
    { "experiment", "lsssslls", "SELECT " EXPERIMENT " FROM experiment ORDER BY id",
      "INSERT INTO experiment (" EXPERIMENT ") VALUES (?,?,?,?,?,?,?,?)", 0 },
    { "cell", "ss", "SELECT key, spec FROM cell ORDER BY key",
      "INSERT INTO cell VALUES (?1, ?2, same_losses(?2))", 0 },
    { "plan", "llssl", "SELECT experiment, position, cell, label, seed FROM plan ORDER BY 1, 2",
      "INSERT INTO plan (experiment, position, cell, label, seed) VALUES (?,?,?,?,?)", 0 },
    { "label", "llss", "SELECT * FROM label ORDER BY 1, 2, 3",
      "INSERT INTO label VALUES (?,?,?,?)", 0 },
    { "run", "lsslllsssdl", "SELECT " RUN " FROM run WHERE status <> 'running' ORDER BY id",
      "INSERT INTO run (" RUN ", sweeper, sweeper_start) VALUES (?,?,?,?,?,?,?,?,?,?,?,0,0)", 0 },
    { "config", "lss",
      "SELECT * FROM config WHERE run IN (SELECT id FROM run WHERE status <> 'running') "
      "ORDER BY run, key",
      "INSERT INTO config VALUES (?,?,?)", 0 },
    { "metric", "lsld",
      "SELECT * FROM metric WHERE name NOT IN ('step_s', 'loss') "
      "AND run IN (SELECT id FROM run WHERE status <> 'running') ORDER BY run, rowid",
      "INSERT INTO metric VALUES (?,?,?,?)", 0 },
    { "span", "lsfcd",
      "SELECT run, phase, first_step, steps, seconds AS mean FROM span_mean "
      "WHERE status <> 'running' ORDER BY run, phase",
      "INSERT INTO phase_mean VALUES (?,?,?,?,?)", 0 },
    { "sample", "lslldl",
      "SELECT * FROM sample WHERE run IN (SELECT id FROM run WHERE status <> 'running') "
      "ORDER BY run, rowid",
      "INSERT INTO sample VALUES (?,?,?,?,?,?)", 0 },
    { "text", "lss",
      "SELECT * FROM text WHERE run IN (SELECT id FROM run WHERE status <> 'running') "
      "ORDER BY run, rowid",
      "INSERT INTO text VALUES (?,?,?)", 0 },
    { "verdict", "lsssdddslls", "SELECT " VERDICT " FROM verdict ORDER BY id",
      "INSERT INTO verdict (" VERDICT ") VALUES (?,?,?,?,?,?,?,?,?,?,?)", 0 },
    { "artifact", "lssssls", "SELECT " ARTIFACT " FROM artifact ORDER BY id",
      "INSERT INTO artifact (" ARTIFACT ") VALUES (?,?,?,?,?,?,?)", 0 },
    { "measures", "ls", "SELECT id AS experiment, measures FROM experiment ORDER BY 1",
      "UPDATE experiment SET measures = ?2, variant = '?' WHERE id = ?1", 1 },
    { "texts", "lls",
      "SELECT experiment, position, texts FROM plan WHERE texts <> '' ORDER BY 1, 2",
      "UPDATE plan SET texts = ?3 WHERE experiment = ?1 AND position = ?2", 1 },
    { "note", "ls", "SELECT id AS experiment, note FROM experiment WHERE note <> '' ORDER BY 1",
      "UPDATE experiment SET note = ?2 WHERE id = ?1", 1 },
    { "certified", "sssss", "SELECT * FROM certified ORDER BY 1, 2, 3",
      "INSERT INTO certified VALUES (?,?,?,?,?)", 1 },
};
_Static_assert(sizeof db_text_tables / sizeof *db_text_tables == DB_TEXT_TABLES, "");

/* ---- writing ---- */
static void db_text_put(FILE *out, const char *text)
{
    if (!*text) fputs("\"\"", out);
    csv_put(out, text);
}

static void db_text_put_real(FILE *out, double x)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    fputs(text, out);
}

/* 0: the rows cannot be read. Ends early where they cannot be written. */
static int db_text_save_rows(sqlite3_stmt *s, FILE *out)
{
    int rc = SQLITE_DONE;
    const int n = sqlite3_column_count(s);
    for (int i = 0; i < n; i++)
        fprintf(out, "%s%s", sqlite3_column_name(s, i), i + 1 < n ? "," : "\n");
    while (!ferror(out) && (rc = sqlite3_step(s)) == SQLITE_ROW)
        for (int i = 0; i < n; i++) {
            const int type = sqlite3_column_type(s, i);
            if (type == SQLITE_FLOAT) db_text_put_real(out, sqlite3_column_double(s, i));
            else if (type == SQLITE_INTEGER)
                fprintf(out, "%lld", (long long)sqlite3_column_int64(s, i));
            else if (type != SQLITE_NULL) db_text_put(out, (const char *)sqlite3_column_text(s, i));
            fputc(i + 1 < n ? ',' : '\n', out);
        }
    return rc == SQLITE_DONE || rc == SQLITE_ROW;
}

static const char *db_text_save_table(Db *db, const DbTextTable *t, const char *path)
{
    sqlite3_stmt *s = NULL;
    const char *why;
    FILE *out = file_begin(path, db->a, &why);
    if (!out) return why;
    if (sqlite3_prepare_v2(db->sql, t->save, -1, &s, NULL) != SQLITE_OK ||
        !db_text_save_rows(s, out))
        why = db_sentence(db, "read");
    sqlite3_finalize(s);
    if (!why) return file_commit(out, path, db->a);
    file_cancel(out, path, db->a);
    return why;
}

/* ---- a directory that is whole or as it was ---- */
/* 1: a file of a table. parts: also "TABLE.csv.new", which is not whole */
static int db_text_is_table(const char *file, int parts, Arena *a)
{
    for (int i = 0; i < DB_TEXT_TABLES; i++) {
        const char *name = arena_text(a, "%s.csv", db_text_tables[i].name);
        const size_t len = strlen(name);
        if (!strncmp(file, name, len) && (!file[len] || (parts && !strcmp(file + len, ".new"))))
            return 1;
    }
    return 0;
}

static const char *db_text_error(const char *dir, const char *verb, Arena *a)
{
    return arena_text(a, "%s: cannot be %s: %s", dir, verb, strerror(errno));
}

/* Refuses a directory with anything in it that no export wrote; it need not be there. */
static const char *db_text_check_directory(const char *dir, int parts, Arena *a)
{
    const char *why = NULL;
    DIR *d = opendir(dir);
    if (!d) return errno == ENOENT ? NULL : db_text_error(dir, "replaced", a);
    for (const struct dirent *e; !why && (e = readdir(d)); )
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
            !db_text_is_table(e->d_name, parts, a))
            why = arena_text(a,
                             "%s: holds '%s', which is no table of records; expected a new "
                             "directory, or an earlier export",
                             dir, e->d_name);
    closedir(d);
    return why;
}

/* Removes an export, broken off or not, and its directory, where they are. */
static const char *db_text_remove(const char *dir, Arena *a)
{
    const char *why = db_text_check_directory(dir, 1, a);
    if (why) return why;
    for (int i = 0; i < DB_TEXT_TABLES; i++) {
        const char *path = arena_text(a, "%s/%s.csv", dir, db_text_tables[i].name);
        unlink(path);
        unlink(arena_text(a, "%s.new", path));
    }
    return rmdir(dir) && errno != ENOENT ? db_text_error(dir, "removed", a) : NULL;
}

/* Waits until the names in a directory are on the disk. */
static const char *db_text_sync(const char *dir, Arena *a)
{
    const int fd = open(dir, O_RDONLY | O_DIRECTORY);
    const char *why = fd < 0 || fsync(fd) ? db_text_error(dir, "written", a) : NULL;
    if (fd >= 0) close(fd);
    return why;
}

/* Gives `made` the name `dir`; what had it, has the name `made` then, if there was something. */
static const char *db_text_exchange(const char *made, const char *dir, Arena *a)
{
    struct stat is;
    if (stat(dir, &is)) return rename(made, dir) ? db_text_error(dir, "written", a) : NULL;
    chmod(made, is.st_mode & 07777);
    if (!renameat2(AT_FDCWD, made, AT_FDCWD, dir, RENAME_EXCHANGE)) return NULL;
    return db_text_error(dir, "replaced", a);
}

/* Without slashes at its end, and of a symbolic link the directory that it leads to */
static const char *db_text_path(const char *dir, Arena *a)
{
    char *real = realpath(dir, NULL), *path = arena_text(a, "%s", real ? real : dir);
    free(real);
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--) path[n - 1] = 0;
    return path;
}

static const char *db_text_parent(const char *path, Arena *a)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return ".";
    return slash == path ? "/" : arena_text(a, "%.*s", (int)(slash - path), path);
}

const char *db_save_text(Db *db, const char *dir, Arena *a)
{
    const char *path = db_text_path(dir, a), *made = arena_text(a, "%s.new", path);
    const char *why = db_text_check_directory(path, 0, a);
    if (!why) why = db_text_remove(made, a);      /* of an export that was killed */
    if (why) return why;
    if (mkdir(made, 0777)) return db_text_error(made, "made", a);
    for (int i = 0; i < DB_TEXT_TABLES && !why; i++) {
        const DbTextTable *t = &db_text_tables[i];
        why = db_text_save_table(db, t, arena_text(a, "%s/%s.csv", made, t->name));
    }
    if (!why) why = db_text_sync(made, a);
    if (!why) why = db_text_exchange(made, path, a);
    if (!why) why = db_text_sync(db_text_parent(path, a), a);
    const char *left = db_text_remove(made, a);
    return why ? why : left;
}
