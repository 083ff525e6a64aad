/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The records as they were before: an older plan, or all until a time. */
#include "harness/store/db_parts.h"
#include <stdlib.h>
#include <string.h>

/* "2026-11-30", which is its end, or what SQLite takes for a time; as the records write it. NULL:
 * it is no time */
static const char *past_time(Db *db, const char *at, Arena *a)
{
    sqlite3_stmt *s = NULL;
    const char *text = strlen(at) == strlen("2026-11-30") ? arena_text(a, "%sT23:59:59Z", at) : at;
    /* else "now" and numbers would do */
    if (!strchr(at, '-')) return NULL;
    CHECK(sqlite3_prepare_v2(db->sql, "SELECT strftime('%Y-%m-%dT%H:%M:%SZ', ?)", -1, &s, NULL) ==
          SQLITE_OK);
    sqlite3_bind_text(s, 1, text, -1, SQLITE_TRANSIENT);
    CHECK(sqlite3_step(s) == SQLITE_ROW);
    const char *time = sqlite3_column_type(s, 0) == SQLITE_NULL ? NULL
                                                                : arena_text(a, "%s",
                                                                             db_column(s, 0));
    sqlite3_finalize(s);
    return time;
}

/* The number of a plan; 0: it is none */
static long past_number(const char *text)
{
    enum { MOST_DIGITS = 18 };
    const size_t n = strlen(text);
    return n <= MOST_DIGITS && strspn(text, "0123456789") == n ? strtol(text, NULL, 10) : 0;
}

static const char past_views[] =
    "CREATE TEMP VIEW run AS SELECT * FROM main.run WHERE started <= %1$s;"
    "CREATE TEMP VIEW experiment AS SELECT * FROM main.experiment e WHERE planned <= %1$s "
    "AND (id = %2$ld OR NOT EXISTS (SELECT 1 FROM main.experiment p "
    "  WHERE p.id = %2$ld AND p.name = e.name AND p.variant = e.variant))";

const char *db_past(Db *db, const char *plan, const char *at, Arena *a)
{
    const long id = plan ? past_number(plan) : 0;
    const char *time = at ? past_time(db, at, a) : "9999";
    if (!plan && !at) return NULL;
    if (!time)
        return arena_text(a, "--at %s: expected a day or a time (UTC): 2026-11-30, "
                             "2026-11-30T08:00:00Z", at);
    if (!db_number(db, 0, "SELECT count(*) FROM main.experiment WHERE planned <= ?", "s", time))
        return arena_text(a, "--at %s: %s: nothing was planned until then", at, db->path);
    if (plan && !db_number(db, 0,
                           "SELECT count(*) FROM main.experiment WHERE id = ? AND planned <= ?",
                           "ls", id, time))
        return arena_text(a, "--plan %s: %s: no such plan%s; `eightysix runs` lists them", plan,
                          db->path, at ? " until then" : "");
    db_look_through(db, arena_text(a, past_views, db_quoted(time, a), id));
    return NULL;
}
