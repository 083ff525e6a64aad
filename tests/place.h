/* SPDX-License-Identifier: GPL-3.0-or-later */
/* place.h -- a temporary directory for one test, and what tests do in it: files, commands, SQL. */
#ifndef PLACE_H
#define PLACE_H
#include "kernels/base.h"
#include "tests/test.h"
#include <sqlite3.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Place { Arena a; char dir[64], path[128]; struct Db *db; } Place;
/* path: dir/t.db; db: for tests that keep it open, and close it */

/* For one test each: cmocka_unit_test_setup_teardown(test, place_make, place_drop) */
static inline int place_make(void **state)
{
    Place *p = test_malloc(sizeof *p);
    *p = (Place){ .a = arena_new((size_t)1 << 30), .dir = "/tmp/eightysix-XXXXXX" };
    *state = p;
    /* as if the test program had the machine: tests that run at the same time do not disturb each
     * other; tests/test_machine.c is without it */
    setenv("EIGHTYSIX_MACHINE", "0:-1", 1);
    if (!mkdtemp(p->dir)) return -1;
    snprintf(p->path, sizeof p->path, "%s/t.db", p->dir);
    return 0;
}

static inline int place_drop(void **state)
{
    Place *p = *state;
    const int bad = system(arena_text(&p->a, "rm -rf %s", p->dir));
    arena_drop(&p->a);
    test_free(p);
    return bad;
}

static inline const char *place_in(Place *p, const char *name)
{
    return arena_text(&p->a, "%s/%s", p->dir, name);
}

/* As place_make, for tests with a corpus: it, and what is cached of it, are in the place */
static inline int place_make_data(void **state)
{
    if (place_make(state)) return -1;
    Place *p = *state;
    setenv("EIGHTYSIX_CACHE", place_in(p, "cache"), 1);
    setenv("EIGHTYSIX_DATA", p->dir, 1);
    return 0;
}

static inline int place_lines_of(const char *path)
{
    int n = 0, c;
    FILE *f = fopen(path, "r");
    while (f && (c = fgetc(f)) != EOF) n += c == '\n';
    if (f) fclose(f);
    return n;
}

/* Until another process has written so many */
static inline void place_wait_for_lines(const char *path, int n)
{
    for (int i = 0; place_lines_of(path) < n; i++) {
        if (i > 3000) fail_msg("%s never had %d lines", path, n);
        usleep(10000);
    }
}

static inline const char *place_write(Place *p, const char *name, const char *text)
{
    const char *path = place_in(p, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    return path;
}

/* Runs a command in the root of the repository. Returns its exit code, and what it prints to stdout
 * and stderr */
static inline int place_shell(Place *p, const char *command, const char **output)
{
    enum { ROOM = 1 << 20 };
    char *text = arena_raw(&p->a, ROOM);
    const char *root = getenv("EIGHTYSIX_ROOT");
    FILE *f = popen(arena_text(&p->a, "cd '%s' && (%s) 2>&1", root, command), "r");
    assert_non_null(f);
    text[fread(text, 1, ROOM - 1, f)] = 0;
    *output = text;
    return WEXITSTATUS(pclose(f));
}

/* The same of `eightysix ARGUMENTS` */
static inline int place_command(Place *p, const char *arguments, const char **output)
{
    const char *binary = getenv("EIGHTYSIX_BINARY");
    return place_shell(p, arena_text(&p->a, "'%s' %s", binary, arguments), output);
}

/* Runs `eightysix ARGUMENTS`, which must end with this code; what it prints */
static inline const char *place_expect(Place *p, int code, const char *arguments)
{
    const char *output;
    const int got = place_command(p, arguments, &output);
    if (got != code)
        fail_msg("eightysix %s: exit code %d, expected %d: %s", arguments, got, code, output);
    return output;
}

/* Runs SQL as a person with the sqlite3 shell would. NULL or SQLite's error message */
static inline const char *sql_says(Place *p, const char *path, const char *sql)
{
    sqlite3 *db;
    char *error = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_exec(db, sql, NULL, NULL, &error);
    const char *copy = error ? arena_text(&p->a, "%s", error) : NULL;
    sqlite3_free(error);
    sqlite3_close(db);
    return copy;
}

static inline void by_hand(Place *p, const char *path, const char *sql)
{
    const char *why = sql_says(p, path, sql);
    if (why) fail_msg("%s: %s", sql, why);
}

/* The first value of a question to a database; "" for NULL or no row */
static inline const char *place_ask(Place *p, const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    const char *v = sqlite3_step(s) == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
    v = arena_text(&p->a, "%s", v ? v : "");
    sqlite3_finalize(s);
    sqlite3_close(db);
    return v;
}

static inline void assert_says(const char *output, const char *what)
{
    if (!strstr(output, what)) fail_msg("expected '%s' in: %s", what, output);
}

static inline void assert_silent(const char *output, const char *what)
{
    if (strstr(output, what)) fail_msg("expected no '%s' in: %s", what, output);
}
#endif
