/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Statements of a connection: prepared once, bound, run. What SQLite refuses becomes an error
 * message, or ends the program. */
#include "harness/store/db_parts.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>

const char *db_sentence(Db *db, const char *what)
{
    const int code = sqlite3_errcode(db->sql) & 0xff,
              error = db->os_error ? db->os_error : sqlite3_system_errno(db->sql);
    if (code == SQLITE_NOTADB) return arena_text(db->a, "%s: not an SQLite database", db->path);
    if (code == SQLITE_READONLY)
        return arena_text(db->a, "%s: read-only; expected a database that can be written",
                          db->path);
    if (code == SQLITE_BUSY)
        return arena_text(db->a, "%s: locked by another process for %g s", db->path, db->patience);
    const int os =
        (code == SQLITE_IOERR || code == SQLITE_FULL || code == SQLITE_CANTOPEN) && error;
    return arena_text(db->a, "%s: cannot be %s: %s%s%s%s", db->path, what, sqlite3_errmsg(db->sql),
                      os ? " (" : "", os ? strerror(error) : "", os ? ")" : "");
}

_Noreturn void db_fail(Db *db, const char *what)
{
    const char *why = db_sentence(db, what);
    db->open = 0;                            /* so that db_close does not commit */
    db_close(db);
    die("%s", why);
}

sqlite3_stmt *db_prepared(Db *db, const char *text)
{
    int i = 0;
    while (i < DB_KEPT && db->kept[i].text && db->kept[i].text != text) i++;
    CHECK(i < DB_KEPT);
    if (!db->kept[i].text &&
        sqlite3_prepare_v2(db->sql, text, -1, &db->kept[i].stmt, NULL) == SQLITE_OK)
        db->kept[i].text = text;
    return db->kept[i].stmt;
}

static sqlite3_stmt *db_bound(Db *db, const char *text, const char *types, va_list ap)
{
    sqlite3_stmt *s = db_prepared(db, text);
    for (int i = 0; s && types[i]; i++) {
        if (types[i] == 's')
            sqlite3_bind_text(s, i + 1, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
        else if (types[i] == 'l') sqlite3_bind_int64(s, i + 1, va_arg(ap, long));
        else sqlite3_bind_double(s, i + 1, va_arg(ap, double));
    }
    return s;
}

int db_try(Db *db, const char *text, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *s = db_bound(db, text, types, ap);
    va_end(ap);
    if (!s) return 0;
    int rc;
    errno = 0;
    do rc = sqlite3_step(s); while (rc == SQLITE_ROW);
    /* SQLite does not keep errno where writing to its log failed */
    if (rc != SQLITE_DONE) db->os_error = errno;
    return sqlite3_reset(s) == SQLITE_OK && rc == SQLITE_DONE;
}

long db_number(Db *db, long none, const char *text, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *s = db_bound(db, text, types, ap);
    va_end(ap);
    if (!s) return none;
    const long value = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : none;
    sqlite3_reset(s);
    return value;
}

void db_begin(Db *db)
{
    if (!db->open && !db_try(db, "BEGIN IMMEDIATE", "")) db_fail(db, "written");
    db->open = 1;
}

void db_flush(Db *db)
{
    if (db->open && db->labelled && !db_fresh_factors(db)) db_fail(db, "written");
    if (db->open && !db_try(db, "COMMIT", "")) db_fail(db, "written");
    db->open = 0;
}

int db_exec(Db *db, const char *text)
{
    return sqlite3_exec(db->sql, text, NULL, NULL, NULL) == SQLITE_OK;
}
