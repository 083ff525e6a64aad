/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What makes two runs the same: settings that leave a loss as it is, and the parts of this program.
 */
#include "harness/store/db_parts.h"
#include <string.h>

const char *const db_measures[] = { "speed", "loss" };

/* Settings that leave a loss as it is but for rounding; a kernel that computes nothing is none */
static int db_is_speed_word(const char *word, size_t len)
{
    static const char *const key[] = { "threads=", "gemm=", "kernel=" };
    if (len == strlen("kernel=noop") && !memcmp(word, "kernel=noop", len)) return 0;
    for (size_t i = 0; i < sizeof key / sizeof *key; i++)
        if (len > strlen(key[i]) && !memcmp(word, key[i], strlen(key[i]))) return 1;
    return 0;
}

void db_loss_words(char *to, const char *words)
{
    char *at = to;
    for (const char *s = words + strspn(words, " "); *s; s += strspn(s, " ")) {
        const size_t len = strcspn(s, " ");
        if (!db_is_speed_word(s, len)) {
            if (at > to) *at++ = ' ';
            memmove(at, s, len);
            at += len;
        }
        s += len;
    }
    *at = 0;
}

int db_same_losses(const char *spec, const char *other)
{
    Arena a = arena_new((size_t)1 << 26);
    char *one = arena_text(&a, "%s", spec), *two = arena_text(&a, "%s", other);
    db_loss_words(one, spec);
    db_loss_words(two, other);
    const int same = !strcmp(one, two);
    arena_drop(&a);
    return same;
}

/* the SQL function same_losses(words) */
static void db_sql_same_losses(sqlite3_context *c, int n, sqlite3_value **value)
{
    (void)n;
    const char *words = (const char *)sqlite3_value_text(value[0]);
    char *text = sqlite3_malloc64(words ? strlen(words) + 1 : 1);
    if (!text) {
        sqlite3_result_error_nomem(c);
        return;
    }
    db_loss_words(text, words ? words : "");
    sqlite3_result_text(c, text, -1, sqlite3_free);
}

void db_add_functions(sqlite3 *sql)
{
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
    if (sqlite3_create_function_v2(sql, "same_losses", 1, flags, NULL, db_sql_same_losses, NULL,
                                   NULL, NULL) != SQLITE_OK)
        die("out of memory");
}

int db_write_program(Db *db)
{
    const char *insert = "INSERT INTO program VALUES (?,?)";
    int ok = db_exec(db, "DELETE FROM program") && db_try(db, insert, "ss", "build", db->build->id);
    for (const char *s = db->build->parts; ok && *s; s += strcspn(s, " ") + 1) {
        const int name = (int)strcspn(s, "="), hash = (int)strcspn(s + name + 1, " ");
        ok = db_try(db, insert, "ss", arena_text(db->a, "%.*s", name, s),
                    arena_text(db->a, "%.*s", hash, s + name + 1));
    }
    return ok;
}

void db_part(Db *db, const char *part, const char *sha)
{
    if (!db_try(db, "INSERT OR REPLACE INTO program VALUES (?,?)", "ss", part, sha))
        db_fail(db, "written");
}

int db_fill_identity(Db *db)
{
    return db_exec(db,
                   "UPDATE experiment SET measures = CASE WHEN EXISTS ("
                   "  SELECT 1 FROM plan p JOIN cell_budget k ON k.cell = p.cell"
                   "  WHERE p.experiment = experiment.id AND k.counts_tokens)"
                   "  THEN 'loss' ELSE 'speed' END, variant = '?' WHERE measures = '';"
                   "UPDATE experiment SET variant = CASE WHEN NOT EXISTS ("
                   "  SELECT 1 FROM plan WHERE experiment = experiment.id) THEN ''"
                   "  WHEN measures = 'loss'"
                   "  THEN same_losses(overrides) ELSE overrides END WHERE variant = '?'");
}

void db_certify(Db *db, const char *part, const char *old, const char *new,
                const char *evidence)
{
    DB_WRITE(db,
             "INSERT INTO certified VALUES (?,?,?,?," DB_NOW ") ON CONFLICT DO UPDATE SET "
             "evidence = excluded.evidence, decided = excluded.decided",
             "ssss", part, old, new, evidence);
}

#define DB_PHASES                                                                                  \
    "INSERT INTO phase_mean SELECT run, phase, CAST(first_step AS INTEGER), steps, seconds "       \
    "FROM span_mean_now WHERE "

int db_write_phases(Db *db, long run) { return db_try(db, DB_PHASES "run = ?", "l", run); }

int db_fill_phases(Db *db)
{
    return db_exec(db, DB_PHASES "status <> 'running' AND run NOT IN (SELECT run FROM phase_mean)");
}
