/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A database from elsewhere, an SQL script made it: merged, then its views are read. */
#include "harness/store/db.h"
#include "tests/fuzz/fuzz.h"
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct Pack {
    const char *path, *into, *why;
    Arena *a;
} Pack;

static int fuzz_stop(void *steps)
{
    return ++*(int *)steps > 200;
}

static void fuzz_script(const char *path, const char *sql)
{
    sqlite3 *db;
    int steps = 0;
    if (sqlite3_open(path, &db)) abort();
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 1 << 20);
    sqlite3_progress_handler(db, 1000, fuzz_stop, &steps);
    sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_close(db);
}

static void fuzz_row(void *rows, int columns, const char *const *value)
{
    (void)columns;
    (void)value;
    ++*(int *)rows;
}

static void fuzz_read(void *ctx)
{
    Pack *p = ctx;
    const char *const *view;
    DbMerged merged;
    int rows = 0;
    if ((p->why = db_merge(&p->path, 1, p->into, &merged, p->a))) return;
    Db *db = db_open_read(p->into, p->a, &p->why);
    for (int i = 0, n = db ? db_views(db, &view, p->a) : 0; i < n; i++)
        if ((p->why = db_view(db, view[i], NULL, fuzz_row, &rows, p->a))) fuzz_want(NULL, p->why);
    db_close(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena *a = fuzz_arena();
    static const char *const end[] = { "", "-wal", "-shm", "-journal", NULL };
    Pack p = { arena_text(a, "%s/pack.db", fuzz_dir()), arena_text(a, "%s/into.db", fuzz_dir()),
               NULL, a };
    for (int i = 0; end[i]; i++) {
        unlink(arena_text(a, "%s%s", p.path, end[i]));
        unlink(arena_text(a, "%s%s", p.into, end[i]));
    }
    fuzz_script(p.path, arena_text(a, "%.*s", (int)size, (const char *)data));
    fuzz_dies(fuzz_read, &p); /* db.h: what the disk refuses ends the program */
    return 0;
}
