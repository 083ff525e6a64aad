/* SPDX-License-Identifier: GPL-3.0-or-later */
/* db_parts.h -- what db.c, db_ask.c, db_merge.c and db_text.c share. Not for other files. */
#ifndef DB_PARTS_H
#define DB_PARTS_H
#include "harness/store/db.h"
#include <sqlite3.h>

enum { KEPT = 48, BUSY_MS = 20000 };
struct Db {
    /* stub: every view as an empty table; NULL: not asked for yet */
    sqlite3      *sql, *stub;
    const char   *path;
    Arena        *a;
    const Host   *host;
    const Build  *build;
    const char   *rig;                       /* as the column of that name in `machine` */
    long          machine_id, build_id;
    int           open, os_error;            /* a transaction is; errno of the last refusal */
    struct { const char *text; sqlite3_stmt *stmt; } kept[KEPT];
};

/* --- db_sql.c */
const char *db_sentence(Db *, const char *what);     /* what it refused: "read", "written" */
_Noreturn void db_fail (Db *, const char *what);     /* the same, and the end */
sqlite3_stmt *db_prepared(Db *, const char *text);   /* kept for the next time; NULL: refused */
/* types: a letter per value, s a text, l a long, d a double. Runs a statement to its end; 0:
 * refused */
int   db_try   (Db *, const char *text, const char *types, ...);
/* The first column of the first row; `none` when there is no row */
long  db_number(Db *, long none, const char *text, const char *types, ...);
void  db_begin (Db *);                               /* a transaction, unless one is open */
int   db_exec  (Db *, const char *text);             /* several statements; 0: refused */
/* A statement that writes, in the open transaction. Ends the program with an error message when
 * refused */
#define DB_WRITE(db, ...)                                                                          \
    do {                                                                                           \
        db_begin(db);                                                                              \
        if (!db_try(db, __VA_ARGS__)) db_fail(db, "written");                                      \
    } while (0)

/* --- db.c */
/* when a process began, of /proc; 0: there is none */
long  db_process_start(long pid);

/* --- db_views.c */
const char *db_column  (sqlite3_stmt *, int i);      /* "" for NULL */
/* Names and rows of a statement, which it ends. exact: reals with all 17 digits, not the 15 of
 * SQLite's text */
const char *db_rows    (Db *, sqlite3_stmt *, int exact, DbRow *, void *ctx);

/* --- db_text.c: the tables of an empty database from a directory of CSV files */
const char *db_load_text(Db *, const char *dir);
#endif
