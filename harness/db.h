/* SPDX-License-Identifier: GPL-3.0-or-later */
/* db.h -- the records in SQLite; db.c is the only file that includes sqlite3.h. Figures read views only. */
#ifndef DB_H
#define DB_H
#include "harness/host.h"
#include "harness/rec.h"

typedef struct Db Db;
/* Opens or creates, migrates to this program's user_version; NULL and a sentence in *why (newer schema, not a database,
 * read-only, disk full). */
Db *db_open (const char *path, Arena *, const char **why);
void db_close(Db *);
#endif
