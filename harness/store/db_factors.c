/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Factors of experiments as columns. views.sql cannot know their names: where a view has the words
 * of factors_mark, a column for each factor in the table `label` is put in their place, and the
 * view is made anew when a plan brings another factor.
 *
 * A factor is left out where a column has its name already, in any case of its letters. Databases
 * of others may have any number of factors with any names: those longer than FACTORS_NAME bytes
 * and those after the first FACTORS_MOST stay in `label` only. */
#include "harness/store/db_parts.h"
#include <string.h>

/* SQLite takes 2000 columns, and a million bytes of SQL */
enum { FACTORS_MOST = 500, FACTORS_NAME = 60 };
static const char factors_mark[] = "/* factors */";

/* Names of columns; room for `most` */
typedef struct Names { const char **name; int n; } Names;

const char *db_identifier(const char *name, Arena *a)
{
    char *out = arena_raw(a, 2 * strlen(name) + 3), *to = out;
    *to++ = '"';
    for (; *name; *to++ = *name++)
        if (*name == '"') *to++ = '"';
    strcpy(to, "\"");
    return out;
}

static int factors_have(const Names *names, const char *name)
{
    for (int i = 0; i < names->n; i++)
        if (!sqlite3_stricmp(names->name[i], name)) return 1;
    return 0;
}

/* The columns of a SELECT, with room for all factors behind them. 0: refused */
static int factors_columns(Db *db, const char *select, Names *out)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(db->sql, select, -1, &s, NULL) != SQLITE_OK) return 0;
    const int n = sqlite3_column_count(s);
    *out = (Names){ arena_array(db->a, (size_t)n + FACTORS_MOST, sizeof *out->name), n };
    for (int i = 0; i < n; i++)
        out->name[i] = arena_text(db->a, "%s", sqlite3_column_name(s, i));
    sqlite3_finalize(s);
    return 1;
}

/* Adds the factors of an experiment, or of all plans (NULL). 0: refused */
static int factors_add(Db *db, const char *experiment, Names *names)
{
    static const char of_all[] = "SELECT DISTINCT factor FROM label ORDER BY factor",
                      of_one[] = "SELECT DISTINCT l.factor FROM current c JOIN label l "
                                 "ON l.experiment = c.plan WHERE c.experiment = ? "
                                 "ORDER BY l.factor";
    const int most = names->n + FACTORS_MOST;
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(db->sql, experiment ? of_one : of_all, -1, &s, NULL) != SQLITE_OK)
        return 0;
    if (experiment) sqlite3_bind_text(s, 1, experiment, -1, SQLITE_STATIC);
    while (names->n < most && sqlite3_step(s) == SQLITE_ROW) {
        const char *factor = db_column(s, 0);
        if (*factor && strlen(factor) <= FACTORS_NAME && !factors_have(names, factor))
            names->name[names->n++] = arena_text(db->a, "%s", factor);
    }
    sqlite3_finalize(s);
    return 1;
}

/* ", (SELECT level FROM FROM_LABEL AND factor = 'd') AS "d"" for each name from `first` on */
static const char *factors_select(const Names *names, int first, const char *from_label, Arena *a)
{
    size_t room = 1;
    for (int i = first; i < names->n; i++)
        room += strlen(from_label) + 4 * strlen(names->name[i]) + 64;
    char *out = arena_raw(a, room), *to = out;
    *to = 0;
    for (int i = first; i < names->n; i++)
        to += sprintf(to, ",\n    (SELECT level FROM %s AND factor = %s) AS %s", from_label,
                      db_quoted(names->name[i], a), db_identifier(names->name[i], a));
    return out;
}

const char *db_view_text(Db *db, const char *view, int len)
{
    const char *text = arena_text(db->a, "%.*s", len, view), *mark = strstr(text, factors_mark);
    const char *select = strstr(text, " AS\n");
    Names names;
    if (!mark) return text;
    CHECK(select);
    if (!factors_columns(db, select + strlen(" AS\n"), &names)) return NULL;
    const int base = names.n;
    if (!factors_add(db, NULL, &names)) return NULL;
    return arena_text(db->a, "%.*s%s%s", (int)(mark - text), text,
                      factors_select(&names, base,
                                     "label WHERE experiment = n.plan AND position = n.position",
                                     db->a),
                      mark + strlen(factors_mark));
}

int db_fresh_factors(Db *db)
{
    const char *const at = strstr(db_views_sql, "\nCREATE VIEW result AS\n");
    CHECK(at);
    const char *view = at + strlen("\nCREATE VIEW ");
    const size_t used = db->a->used;
    const char *text = db_view_text(db, view, (int)strcspn(view, ";"));
    if (!text) return 0;
    const long same = db_number(db, 0,
                                "SELECT count(*) FROM main.sqlite_schema WHERE name = 'result' "
                                "AND sql = 'CREATE VIEW ' || ?",
                                "s", text);
    arena_reset(db->a, used);
    db->labelled = 0;
    return same || db_make_views(db, 0, "result");
}

/* The columns of a view without those that were put in place of the mark. 0: refused */
static int factors_base(Db *db, const char *view, Names *out)
{
    const char *create = arena_text(db->a, "\nCREATE VIEW %s AS", view),
               *at = strstr(db_views_sql, create);
    CHECK(at);
    at += strlen(create);
    const char *text = arena_text(db->a, "%.*s", (int)strcspn(at, ";"), at);
    return factors_columns(db, strstr(text, factors_mark)
                                   ? text
                                   : arena_text(db->a, "SELECT * FROM %s", view), out);
}

const char *db_view_select(Db *db, const char *view, const char *experiment)
{
    static const char from_label[] =
        "planned JOIN label ON label.experiment = planned.plan WHERE planned.experiment = "
        "v.experiment AND label.position = v.position";
    Names names;
    const char *columns = "";
    if (!factors_base(db, view, &names)) return NULL;
    const int base = names.n, placed = factors_have(&names, "position");
    if (placed && !factors_add(db, experiment, &names)) return NULL;
    for (int i = 0; i < base; i++)
        columns = arena_text(db->a, "%s%sv.%s", columns, i ? ", " : "",
                             db_identifier(names.name[i], db->a));
    return arena_text(db->a,
                      "WITH planned AS MATERIALIZED (SELECT experiment, plan FROM current) "
                      "SELECT %s%s FROM %s v WHERE ?1 IS NULL OR experiment = ?1",
                      columns, factors_select(&names, base, from_label, db->a), view);
}
