/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Databases that others may have made: what is asked of one before it is believed. */
#include "harness/store/db_parts.h"
#include <string.h>

const char *db_uri(const char *path, int immutable, Arena *a)
{
    char *uri = arena_raw(a, 3 * strlen(path) + 32), *to = uri;
    /* without an authority what follows two slashes would be one */
    to = stpcpy(to, *path == '/' ? "file://" : "file:");
    for (; *path; path++)
        if (strchr("%?#", *path)) to += sprintf(to, "%%%02X", (unsigned)*path);
        else *to++ = *path;
    strcpy(to, immutable ? "?immutable=1" : "");
    return uri;
}

void db_only_our_views(Db *db)
{
    CHECK(sqlite3_db_config(db->sql, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL) == SQLITE_OK);
}

/* What is wrong with the column of `s`, a row of foreign_columns, in the database; NULL: nothing */
static const char *foreign_check_column(Db *db, sqlite3_stmt *s)
{
    const char *table = db_column(s, 0), *column = db_column(s, 1), *type = db_column(s, 2);
    const int not_null = sqlite3_column_int(s, 3);
    const char *none = not_null ? " NOT NULL" : "";
    if (!db_number(db, 0, "SELECT count(*) FROM main.sqlite_schema WHERE name = ?", "s", table))
        return arena_text(db->a, "%s: no table '%s'; expected a database of eightysix", db->path,
                          table);
    if (!db_number(db, 0,
                   "SELECT count(*) FROM main.sqlite_schema WHERE name = ? AND type = 'table'",
                   "s", table))
        return arena_text(db->a, "%s: '%s': expected a table", db->path, table);
    if (!db_number(db, 0, "SELECT count(*) FROM pragma_table_xinfo(?, 'main') WHERE name = ?", "ss",
                   table, column))
        return arena_text(db->a, "%s: table '%s': expected a column '%s'", db->path, table, column);
    if (!db_number(db, 0,
                   "SELECT count(*) FROM pragma_table_xinfo(?, 'main') WHERE name = ? AND "
                   "type = ? AND \"notnull\" >= ?",
                   "sssl", table, column, type, (long)not_null))
        return arena_text(db->a, "%s: table '%s': column '%s': expected %s%s", db->path, table,
                          column, type, none);
    return NULL;
}

static const char foreign_columns[] =
    "SELECT t.name, c.name, c.type, c.\"notnull\" "
    "FROM sqlite_schema t, pragma_table_xinfo(t.name) c "
    "WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' ORDER BY t.rowid, c.cid";

const char *db_check_tables(Db *db)
{
    sqlite3 *ours;
    sqlite3_stmt *s = NULL;
    const char *why = NULL;
    if (sqlite3_open(":memory:", &ours) != SQLITE_OK) die("out of memory");
    db_add_functions(ours);
    for (int i = 0; db_migrations[i]; i++)
        CHECK(sqlite3_exec(ours, db_migrations[i], NULL, NULL, NULL) == SQLITE_OK);
    CHECK(sqlite3_prepare_v2(ours, foreign_columns, -1, &s, NULL) == SQLITE_OK);
    while (!why && sqlite3_step(s) == SQLITE_ROW) why = foreign_check_column(db, s);
    sqlite3_finalize(s);
    sqlite3_close(ours);
    return why;
}

const char *db_check_whole(Db *db)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(db->sql, "PRAGMA main.quick_check(1)", -1, &s, NULL) != SQLITE_OK)
        return db_sentence(db, "read");
    const int rc = sqlite3_step(s);
    const char *why = rc != SQLITE_ROW ? db_sentence(db, "read") : NULL;
    if (!why && strcmp(db_column(s, 0), "ok"))
        why = arena_text(db->a, "%s: damaged: %s", db->path, db_column(s, 0));
    sqlite3_finalize(s);
    return why;
}
