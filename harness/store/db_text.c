/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The records as text: DIR/TABLE.csv with a line of names (RFC 4180). A field without quotes that
 * is empty is NULL, "" is an empty text; a number has as many digits as give it back bit for bit.
 * span.csv is the view span_mean; its rows are read back as that many equal steps. Training loss
 * and time of single steps are left out. */
#include "harness/store/db_parts.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_COLUMNS = 16, MOST_BYTES = 1 << 28 };
/* types: of its fields, as in db.c */
typedef struct Table { const char *name, *types, *save, *load; } Table;
#define MACHINE                                                                                    \
    "id, cpu, isa, cores, kernel, hostname, governor, virt, mem_kb, l1d_kb, l2_kb, l3_kb"
#define BUILD "id, sha, git, dirty, compiler, flags"
#define RUN                                                                                        \
    "id, uuid, cell, experiment, build, machine, status, error, started, wall_s, peak_rss_kb"
#define VERDICT "id, name, verdict, sentence, value, low, high, runs, build, machine, decided"
#define ARTIFACT "id, path, sha, rows_sha, script_sha, build, made"

static const Table tables[] = {
    { "machine", "lsslssssllll",
      "SELECT " MACHINE " FROM machine WHERE id IN (SELECT machine FROM run UNION "
      "SELECT machine FROM experiment UNION SELECT machine FROM verdict) ORDER BY id",
      "INSERT INTO machine (" MACHINE ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?)" },
    { "build", "lsslss",
      "SELECT " BUILD " FROM build WHERE id IN (SELECT build FROM run UNION SELECT build "
      "FROM experiment UNION "
      "SELECT build FROM verdict UNION SELECT build FROM artifact) ORDER BY id",
      "INSERT INTO build (" BUILD ") VALUES (?,?,?,?,?,?)" },
    { "experiment", "lsssslls", "SELECT * FROM experiment ORDER BY id",
      "INSERT INTO experiment VALUES (?,?,?,?,?,?,?,?)" },
    { "cell", "ss", "SELECT * FROM cell ORDER BY key", "INSERT INTO cell VALUES (?,?)" },
    { "plan", "llssl", "SELECT * FROM plan ORDER BY 1, 2", "INSERT INTO plan VALUES (?,?,?,?,?)" },
    { "label", "llss", "SELECT * FROM label ORDER BY 1, 2, 3",
      "INSERT INTO label VALUES (?,?,?,?)" },
    { "run", "lsslllsssdl", "SELECT " RUN " FROM run WHERE status <> 'running' ORDER BY id",
      "INSERT INTO run (" RUN ", sweeper, sweeper_start) VALUES (?,?,?,?,?,?,?,?,?,?,?,0,0)" },
    { "config", "lss",
      "SELECT * FROM config WHERE run IN (SELECT id FROM run WHERE status <> 'running') "
      "ORDER BY run, key",
      "INSERT INTO config VALUES (?,?,?)" },
    { "metric", "lsld",
      "SELECT * FROM metric WHERE name NOT IN ('step_s', 'loss') "
      "AND run IN (SELECT id FROM run WHERE status <> 'running') ORDER BY run, rowid",
      "INSERT INTO metric VALUES (?,?,?,?)" },
    { "span", "lslld",
      "SELECT run, phase, first_step, steps, seconds AS mean FROM span_mean WHERE status <> "
      "'running' ORDER BY run, phase",
      "WITH RECURSIVE at(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM at WHERE k + 1 < ?4) "
      "INSERT INTO span SELECT ?1, ?3 + k, ?2, ?5 FROM at" },
    { "sample", "lslldl",
      "SELECT * FROM sample WHERE run IN (SELECT id FROM run WHERE status <> 'running') "
      "ORDER BY run, rowid",
      "INSERT INTO sample VALUES (?,?,?,?,?,?)" },
    { "text", "lss",
      "SELECT * FROM text WHERE run IN (SELECT id FROM run WHERE status <> 'running') ORDER "
      "BY run, rowid",
      "INSERT INTO text VALUES (?,?,?)" },
    { "verdict", "lsssdddslls", "SELECT " VERDICT " FROM verdict ORDER BY id",
      "INSERT INTO verdict (" VERDICT ") VALUES (?,?,?,?,?,?,?,?,?,?,?)" },
    { "artifact", "lssssls", "SELECT " ARTIFACT " FROM artifact ORDER BY id",
      "INSERT INTO artifact (" ARTIFACT ") VALUES (?,?,?,?,?,?,?)" },
};
enum { TABLES = sizeof tables / sizeof *tables };

/* ---- writing ---- */
void csv_put(FILE *out, const char *text)
{
    const int quote = strpbrk(text, ",\"\r\n") != NULL;
    if (quote) fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    if (quote) fputc('"', out);
}

static void put_text(FILE *out, const char *text)
{
    if (!*text) fputs("\"\"", out);
    csv_put(out, text);
}

static void put_real(FILE *out, double x)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    fputs(text, out);
}

static int save_rows(sqlite3_stmt *s, FILE *out)
{
    int rc;
    const int n = sqlite3_column_count(s);
    for (int i = 0; i < n; i++)
        fprintf(out, "%s%s", sqlite3_column_name(s, i), i + 1 < n ? "," : "\n");
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        for (int i = 0; i < n; i++) {
            const int type = sqlite3_column_type(s, i);
            if (type == SQLITE_FLOAT) put_real(out, sqlite3_column_double(s, i));
            else if (type == SQLITE_INTEGER)
                fprintf(out, "%lld", (long long)sqlite3_column_int64(s, i));
            else if (type != SQLITE_NULL) put_text(out, (const char *)sqlite3_column_text(s, i));
            fputc(i + 1 < n ? ',' : '\n', out);
        }
    return rc == SQLITE_DONE;
}

static const char *save(Db *db, const Table *t, const char *path)
{
    sqlite3_stmt *s = NULL;
    const char *why = NULL;
    FILE *out = fopen(path, "w");
    if (!out) return arena_text(db->a, "%s: cannot be written: %s", path, strerror(errno));
    if (sqlite3_prepare_v2(db->sql, t->save, -1, &s, NULL) != SQLITE_OK || !save_rows(s, out))
        why = db_sentence(db, "read");
    sqlite3_finalize(s);
    const int bad = ferror(out) | fclose(out);
    return why || !bad ? why
                       : arena_text(db->a, "%s: cannot be written: %s", path, strerror(errno));
}

const char *db_save_text(Db *db, const char *dir, Arena *a)
{
    const char *why = NULL;
    mkdir(dir, 0777);
    for (int i = 0; i < TABLES && !why; i++)
        why = save(db, &tables[i], arena_text(a, "%s/%s.csv", dir, tables[i].name));
    return why;
}

/* ---- reading ---- */
typedef struct Reader {
    const char *path;
    char       *at;
    int         line, row, fields;           /* row: the line where it began */
    char       *field[MOST_COLUMNS];         /* NULL: SQL's NULL */
} Reader;

/* The field at r->at, unquoted in place; leaves r->at behind it. 0: the row ends with it; -1: bad
 */
static int read_field(Reader *r, char **field)
{
    char *from = r->at, *to = from;
    if (*from == '"') {
        for (from++; *from && (*from != '"' || from[1] == '"'); from++) {
            from += *from == '"';
            r->line += *from == '\n';
            *to++ = *from;
        }
        if (*from++ != '"') return -1;
        *field = r->at;
    } else {
        to = from += strcspn(from, ",\n");
        *field = to == r->at ? NULL : r->at;
    }
    const char end = *from;
    if (end != ',' && end != '\n') return -1;
    *to = 0;
    r->at = from + 1;
    return end == ',';
}

/* 1: a row; 0: no more; -1: bad */
static int read_row(Reader *r)
{
    int more = 1;
    r->row = ++r->line;
    if (!*r->at) return 0;
    for (r->fields = 0; more == 1 && r->fields < MOST_COLUMNS; r->fields++)
        more = read_field(r, &r->field[r->fields]);
    return more ? -1 : 1;
}

static const char *bind(const Reader *r, sqlite3_stmt *s, const Table *t, Arena *a)
{
    for (int i = 0; i < r->fields; i++) {
        char *end = "";
        const char *f = r->field[i];
        if (!f) sqlite3_bind_null(s, i + 1);
        else if (t->types[i] == 's') sqlite3_bind_text(s, i + 1, f, -1, SQLITE_STATIC);
        else if (t->types[i] == 'l') sqlite3_bind_int64(s, i + 1, strtol(f, &end, 10));
        else sqlite3_bind_double(s, i + 1, strtod(f, &end));
        if (*end) return arena_text(a, "%s:%d: '%.40s': expected a number", r->path, r->row, f);
    }
    return NULL;
}

static const char *load_rows(Db *db, const Table *t, Reader *r, sqlite3_stmt *s)
{
    int rc, columns = (int)strlen(t->types);
    const char *why = NULL;
    while (!why && (rc = read_row(r)) != 0) {
        if (rc < 0 || r->fields != columns)
            return arena_text(db->a, "%s:%d: expected %d fields of CSV", r->path, r->row, columns);
        if (r->row == 1) continue;
        why = bind(r, s, t, db->a);
        if (!why && sqlite3_step(s) != SQLITE_DONE)
            why = arena_text(db->a, "%s:%d: %s", r->path, r->row, sqlite3_errmsg(db->sql));
        sqlite3_reset(s);
    }
    return why;
}

static char *whole_file(const char *path, Arena *a, const char **why)
{
    struct stat is;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &is) || is.st_size > MOST_BYTES) {
        *why = arena_text(a, "%s: cannot be read: %s", path, f ? "too long" : strerror(errno));
        if (f) fclose(f);
        return NULL;
    }
    char *text = arena_raw(a, (size_t)is.st_size + 1);
    text[fread(text, 1, (size_t)is.st_size, f)] = 0;
    fclose(f);
    return text;
}

static const char *load(Db *db, const Table *t, const char *dir)
{
    const char *why = NULL;
    sqlite3_stmt *s = NULL;
    Reader r = { .path = arena_text(db->a, "%s/%s.csv", dir, t->name) };
    r.at = whole_file(r.path, db->a, &why);
    if (!r.at) return why;
    if (sqlite3_prepare_v2(db->sql, t->load, -1, &s, NULL) != SQLITE_OK)
        return db_sentence(db, "written");
    why = load_rows(db, t, &r, s);
    sqlite3_finalize(s);
    return why;
}

const char *db_load_text(Db *db, const char *dir)
{
    const char *why = NULL;
    sqlite3_exec(db->sql, "BEGIN; DELETE FROM machine; DELETE FROM build", NULL, NULL, NULL);
    for (int i = 0; i < TABLES && !why; i++) {
        const size_t at = db->a->used;
        why = load(db, &tables[i], dir);
        if (!why) arena_reset(db->a, at);
    }
    sqlite3_exec(db->sql, why ? "ROLLBACK" : "COMMIT", NULL, NULL, NULL);
    return why;
}
