/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The records as text, read: what db_text.c wrote, or others did. Every message names the file, the
 * row and what was expected. */
#include "harness/store/db_parts.h"
#include "harness/util/file.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DB_TEXT_COLUMNS = 16 };               /* no table has more */
#define DB_TEXT_STEPS (1l << 53)             /* a double counts so far */

typedef struct DbTextReader {
    Arena      *a;
    const char *path;
    char       *at;                          /* what is not read yet; ended by a zero byte */
    int         line, row, fields;           /* row: the line where it began */
    char       *field[DB_TEXT_COLUMNS];      /* (fields) NULL: SQL's NULL */
    const char *name[DB_TEXT_COLUMNS];       /* (columns) as the file must name them */
    int         columns;
} DbTextReader;

/* The field at r->at, unquoted in place; leaves r->at behind it. 1: another one follows; 0: the row
 * ends with it; -1: it is no field of CSV */
static int db_text_read_field(DbTextReader *r, char **field)
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

/* 1: a row; 0: the text ends; -1: it is no row of CSV */
static int db_text_read_row(DbTextReader *r)
{
    int more = 1;
    r->row = ++r->line;
    if (!*r->at) return 0;
    for (r->fields = 0; more == 1 && r->fields < DB_TEXT_COLUMNS; r->fields++)
        more = db_text_read_field(r, &r->field[r->fields]);
    return more ? -1 : 1;
}

/* ---- fields ---- */
/* 1: the whole text is a number of 64 bits from `least` to `most` */
static int db_text_whole(const char *text, long least, long most, long *x)
{
    char *end = "";
    errno = 0;
    *x = strtol(text, &end, 10);
    return end != text && !*end && !errno && *x >= least && *x <= most;
}

/* 1: the whole text is a number; "inf" is one, and "1e999" is none */
static int db_text_real(const char *text, double *x)
{
    char *end = "";
    errno = 0;
    *x = strtod(text, &end);
    return end != text && !*end && !isnan(*x) && !(errno && isinf(*x));
}

/* Binds field i. NULL, or what was expected */
static const char *db_text_bind_field(DbTextReader *r, sqlite3_stmt *s, char type, int i)
{
    const char *f = r->field[i];
    long x;
    double real;
    if (type == 'c' || type == 'f') {
        const long least = type == 'c';
        if (!f || !db_text_whole(f, least, DB_TEXT_STEPS, &x))
            return arena_text(r->a, "%ld to %ld", least, DB_TEXT_STEPS);
        sqlite3_bind_int64(s, i + 1, x);
    } else if (!f) sqlite3_bind_null(s, i + 1);
    else if (type == 's') sqlite3_bind_text(s, i + 1, f, -1, SQLITE_STATIC);
    else if (type == 'l') {
        if (!db_text_whole(f, INT64_MIN, INT64_MAX, &x)) return "a whole number of 64 bits";
        sqlite3_bind_int64(s, i + 1, x);
    } else {
        if (!db_text_real(f, &real)) return "a number that a double holds";
        sqlite3_bind_double(s, i + 1, real);
    }
    return NULL;
}

static const char *db_text_bind(DbTextReader *r, sqlite3_stmt *s, const DbTextTable *t)
{
    for (int i = 0; i < r->fields; i++) {
        const char *expected = db_text_bind_field(r, s, t->types[i], i);
        if (expected)
            return arena_text(r->a, "%s:%d: %s '%.40s': expected %s", r->path, r->row, r->name[i],
                              r->field[i] ? r->field[i] : "", expected);
    }
    return NULL;
}

/* ---- rows ---- */
/* The names that an export gives the columns of a table */
static const char *db_text_names(Db *db, const DbTextTable *t, DbTextReader *r)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(db->sql, t->save, -1, &s, NULL) != SQLITE_OK)
        return db_sentence(db, "read");
    r->columns = sqlite3_column_count(s);
    CHECK(r->columns <= DB_TEXT_COLUMNS && (size_t)r->columns == strlen(t->types));
    for (int i = 0; i < r->columns; i++)
        r->name[i] = arena_text(r->a, "%s", sqlite3_column_name(s, i));
    sqlite3_finalize(s);
    return NULL;
}

/* 1: a row with all its fields; 0: the text ends; -1 and an error message: something else */
static int db_text_next(DbTextReader *r, const char **why)
{
    const int rc = db_text_read_row(r);
    if (!rc || (rc > 0 && r->fields == r->columns)) return rc;
    *why = arena_text(r->a, "%s:%d: expected %d fields of CSV, and a line end", r->path, r->row,
                      r->columns);
    return -1;
}

/* The first row must name the columns, in order. */
static const char *db_text_check_names(DbTextReader *r)
{
    const char *line = r->name[0], *why = NULL;
    for (int i = 1; i < r->columns; i++) line = arena_text(r->a, "%s,%s", line, r->name[i]);
    const int rc = db_text_next(r, &why);
    if (rc < 0) return why;
    if (!rc) return arena_text(r->a, "%s: is empty; expected the line '%s'", r->path, line);
    for (int i = 0; i < r->columns; i++) {
        const char *is = r->field[i] ? r->field[i] : "";
        if (strcmp(is, r->name[i]))
            return arena_text(r->a, "%s:1: field %d is '%.40s'; expected the line '%s'", r->path,
                              i + 1, is, line);
    }
    return NULL;
}

static const char *db_text_load_rows(Db *db, const DbTextTable *t, DbTextReader *r, sqlite3_stmt *s)
{
    const char *why = db_text_check_names(r);
    while (!why && db_text_next(r, &why) > 0) {
        why = db_text_bind(r, s, t);
        if (!why && sqlite3_step(s) != SQLITE_DONE)
            why = arena_text(db->a, "%s:%d: %s", r->path, r->row, sqlite3_errmsg(db->sql));
        sqlite3_reset(s);
    }
    return why;
}

/* ---- files ---- */
/* The text of a file, ended by a zero byte; NULL and an error message */
static char *db_text_read_file(const char *path, Arena *a, const char **why)
{
    struct stat is;
    FILE *f = file_open(path, a, why);
    if (!f) return NULL;
    const size_t size = fstat(fileno(f), &is) ? 0 : (size_t)is.st_size;
    char *text = arena_raw(a, size + 1);
    const size_t n = fread(text, 1, size, f);
    text[n] = 0;
    if (n < size) *why = arena_text(a, "%s: cannot be read to its end", path);
    else if (strlen(text) < size)
        *why = arena_text(a, "%s: byte %zu is zero; expected text", path, strlen(text));
    fclose(f);
    return *why ? NULL : text;
}

static const char *db_text_load_table(Db *db, const DbTextTable *t, const char *dir)
{
    const char *why = NULL;
    sqlite3_stmt *s = NULL;
    DbTextReader r = { .a = db->a, .path = arena_text(db->a, "%s/%s.csv", dir, t->name) };
    if (t->optional && access(r.path, F_OK)) return NULL;
    r.at = db_text_read_file(r.path, db->a, &why);
    if (!why) why = db_text_names(db, t, &r);
    if (why) return why;
    if (sqlite3_prepare_v2(db->sql, t->load, -1, &s, NULL) != SQLITE_OK)
        return db_sentence(db, "written");
    why = db_text_load_rows(db, t, &r, s);
    sqlite3_finalize(s);
    return why;
}

const char *db_load_text(Db *db, const char *dir)
{
    const char *why = NULL;
    sqlite3_exec(db->sql, "BEGIN; DELETE FROM machine; DELETE FROM build", NULL, NULL, NULL);
    for (int i = 0; i < DB_TEXT_TABLES && !why; i++) {
        const size_t at = db->a->used;
        why = db_text_load_table(db, &db_text_tables[i], dir);
        if (!why) arena_reset(db->a, at);
    }
    if (!why && !(db_fill_identity(db) && db_fill_phases(db))) why = db_sentence(db, "written");
    sqlite3_exec(db->sql, why ? "ROLLBACK" : "COMMIT", NULL, NULL, NULL);
    return why;
}
