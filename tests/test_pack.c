/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Packs: several sittings become one database without loss, text and back is the identity, and
 * verdicts taken again from a pack are what they were, bit for bit, until a sample is touched. */
#include "harness/judge/claims.h"
#include "harness/regress/regress.h"
#include "tests/place.h"
#include <math.h>

/* what SQL says, one row per line */
static const char *told(Place *p, const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    const char *all = "";
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    while (sqlite3_step(s) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(s); i++) {
            const char *v = (const char *)sqlite3_column_text(s, i);
            all = arena_text(&p->a, "%s%s%c", all, v ? v : "NULL",
                             i + 1 < sqlite3_column_count(s) ? '|' : '\n');
        }
    sqlite3_finalize(s);
    sqlite3_close(db);
    return all;
}

static void say(Db *db, long run, const char *text)
{
    char line[256];
    Record l;
    snprintf(line, sizeof line, "%s", text);
    assert_true(record_parse(line, &l));
    db_record(db, run, &l);
}

/* A sitting: runs of two cells of the experiment, with every kind of record; nll + seed is their
 * loss */
static const char *sitting(Place *p, const char *name, const char *experiment, double nll)
{
    const char *path = place_in(p, name), *why;
    Db *db = db_open(path, &p->a, &why);
    holds(why);
    const long e = db_experiment(db, experiment, "question: \"q, r\"\nfixed: {}\n", "", DB_SPEED);
    for (int seed = 1; seed <= 2; seed++) {
        const char *key = arena_text(&p->a, "%s%d", experiment, seed);
        db_plan(db, e, seed, key, key, "head=tree", seed, "");
        db_label(db, e, seed, "head", "tree");
        const long run = db_run_start(db, experiment, key, key);
        db_config(db, run, "head", "tree");
        db_config(db, run, "act", "f32");
        db_config(db, run, "save", "");
        for (int step = 0; step < 9; step++) {
            say(db, run, arena_text(&p->a, "span core.forward %d %.17g", step, 0.1 + step / 7.1));
            if (step > 3) say(db, run, arena_text(&p->a, "span head.forward %d 0.3", step));
        }
        say(db, run, arena_text(&p->a, "num nll 4 %.17g", nll + seed));
        say(db, run, "num nll_floor 0 nan");
        say(db, run, "num tokens_per_s 4 1000");
        say(db, run, "text kernel a \"ref\", it says");
        for (int k = 0; k < 5; k++)
            say(db, run, arena_text(&p->a, "sample k/1 %d 2 %.17g 100", k, 12.5 + nll / 3 + k));
        db_run_end(db, run, seed > 1 ? "fail" : "ok", seed > 1 ? "no, \"not\"\nthis" : "",
                   2.5 + nll / 7, 4096);
    }
    db_run_start(db, experiment, "late", "late");          /* has not ended */
    db_close(db);
    return path;
}

#define COUNTS                                                                                     \
    "SELECT (SELECT count(*) FROM run WHERE status <> 'running'), "                                \
    "(SELECT count(*) FROM config), (SELECT count(*) FROM metric), (SELECT count(*) FROM span), "  \
    "(SELECT count(*) FROM sample), (SELECT count(*) FROM text), (SELECT count(*) FROM plan), "    \
    "(SELECT count(*) FROM label), (SELECT count(*) FROM experiment), (SELECT count(*) FROM cell)"
/* all that runs say, whatever their ids */
#define RECORDS                                                                                    \
    "SELECT r.uuid, r.cell, r.status, r.error, r.started, r.wall_s, e.name, m.name, m.value, "     \
    "s.step, s.phase, s.seconds, p.round, p.ns, t.value FROM run r "                               \
    "LEFT JOIN experiment e ON e.id = r.experiment LEFT JOIN metric m ON m.run = r.id "            \
    "LEFT JOIN span s ON s.run = r.id AND s.step = m.step "                                        \
    "LEFT JOIN sample p ON p.run = r.id AND p.round = m.step LEFT JOIN text t ON t.run = r.id "    \
    "WHERE r.status <> 'running' ORDER BY 1, 8, 9, 10, 11, 13"

static const char *merge(Place *p, const char *into, DbMerged *m, const char *one, const char *two)
{
    const char *const from[] = { one, two }, *path = place_in(p, into);
    holds(db_merge(from, two ? 2 : 1, path, m, &p->a));
    return path;
}

static void test_merge(void **state)
{
    Place *p = *state;
    DbMerged m;
    const char *a = sitting(p, "a.db", "one", 7.1), *b = sitting(p, "b.db", "two", 8.3);
    const char *c = merge(p, "c.db", &m, a, b);
    assert_true(m.runs == 4 && m.again == 0 && m.running == 2);
    assert_string_equal(told(p, a, COUNTS), "2|6|6|28|10|2|2|2|1|3\n");
    assert_string_equal(told(p, c, COUNTS), "4|12|12|56|20|4|4|4|2|5\n");
    const char *both = told(p, c, RECORDS);
    assert_string_equal(told(p, c, "SELECT count(*) FROM pragma_foreign_key_check"), "0\n");
    /* what is there already comes once */
    const char *again = merge(p, "d.db", &m, c, a);
    assert_true(m.runs == 4 && m.again == 2 && m.running == 1);
    assert_string_equal(told(p, again, RECORDS), both);
    assert_string_equal(told(p, again, COUNTS), "4|12|12|56|20|4|4|4|2|5\n");
    assert_string_equal(told(p, merge(p, "e.db", &m, b, a), RECORDS), both);      /* in any order */
    char *of_a = arena_text(&p->a, "%s", told(p, a, RECORDS));
    for (char *line; (line = strsep(&of_a, "\n")); ) assert_says(both, line);
}

/* Two sittings of the same experiment: both plans are kept, the later one is shown */
static void test_same_name(void **state)
{
    Place *p = *state;
    DbMerged m;
    const char *a = sitting(p, "a.db", "one", 7), *b = sitting(p, "b.db", "one", 8);
    by_hand(p, a,
            "UPDATE experiment SET planned = '2020-01-01T00:00:00Z'; DROP TRIGGER run_final; "
            "UPDATE run "
            "SET started = '2020-01-01T00:00:01Z'");
    const char *shows = "SELECT experiment, nll FROM result WHERE status = 'ok'";
    assert_string_equal(told(p, merge(p, "c.db", &m, a, b), shows), "one|9.0\n");
    assert_string_equal(told(p, merge(p, "d.db", &m, b, a), shows), "one|9.0\n");
    assert_string_equal(told(p, place_in(p, "c.db"), "SELECT planned > '2021' FROM current"),
                        "1\n");
    assert_string_equal(told(p, place_in(p, "d.db"), "SELECT planned > '2021' FROM current"),
                        "1\n");
    assert_true(m.runs == 4);
    assert_string_equal(
        told(p, place_in(p, "d.db"), "SELECT count(*), count(DISTINCT experiment) FROM run"),
        "4|2\n");
}

static const char *differences(Place *p, const char *x, const char *y)
{
    char *text = arena_raw(&p->a, 1 << 12);
    FILE *f = popen(arena_text(&p->a, "diff -r %s %s 2>&1", x, y), "r");
    assert_non_null(f);
    text[fread(text, 1, (1 << 12) - 1, f)] = 0;
    pclose(f);
    return text;
}

static void save_text(Place *p, const char *path, const char *dir)
{
    const char *why;
    Db *db = db_open_read(path, &p->a, &why);
    holds(why ? why : db_save_text(db, dir, &p->a));
    db_close(db);
}

static void test_text(void **state)
{
    Place *p = *state;
    DbMerged m;
    const char *a = sitting(p, "a.db", "one", 7.1), *text = place_in(p, "text"),
               *again = place_in(p, "again"), *back;
    by_hand(p, a, "UPDATE experiment SET note = 'with \"the\" door open'");
    save_text(p, a, text);
    place_write(p, "back.db.new.0", "of a merge that was killed\n");
    back = merge(p, "back.db", &m, text, NULL);
    assert_int_equal(m.runs, 2);
    save_text(p, back, again);
    assert_string_equal(differences(p, text, again), "");
    static const char *const equal[] = {
        /* bit for bit: SQLite compares what it stores */
        ("SELECT uuid, cell, status, error, started, hex(wall_s * 1e15), peak_rss_kb FROM run "
         "WHERE status <> "
         "'running' ORDER BY uuid"),
        "SELECT name, step, value IS NULL, printf('%!.20g', value) FROM metric ORDER BY rowid",
        "SELECT name, round, position, printf('%!.20g', ns), iters FROM sample ORDER BY rowid",
        "SELECT key, value FROM text ORDER BY rowid",
        "SELECT key, value FROM config ORDER BY run, key",
        "SELECT name, sha, text, overrides, planned, note FROM experiment",
        "SELECT steps, printf('%!.20g %!.20g %!.20g', core_forward, head_forward, step_s) FROM "
        "phase"
    };
    for (size_t i = 0; i < sizeof equal / sizeof *equal; i++)
        assert_string_equal(told(p, a, equal[i]), told(p, back, equal[i]));
    /* of two that have a run the first tells it */
    const char *first = "SELECT count(*) FROM span";
    assert_string_equal(told(p, merge(p, "raw.db", &m, a, text), first), "28\n");
    assert_string_equal(told(p, merge(p, "means.db", &m, text, a), first), "0\n");
    assert_non_null(strstr(told(p, a, "SELECT error FROM run"), "no, \"not\"\nthis"));
}

/* An export of more records over one of fewer, under `limit`, a command of the shell. Exit code */
static int export_over(Place *p, const char *limit, const char **said)
{
    return place_shell(p,
                       arena_text(&p->a, "%s '%s' export --db %s --text %s", limit,
                                  getenv("EIGHTYSIX_BINARY"), place_in(p, "b.db"),
                                  place_in(p, "text")),
                       said);
}

/* An export that is killed, or whose disk is full, leaves the last one whole. A file may have 1, 2,
 * 4, ... blocks, or the program so many milliseconds: all stop somewhere, but the last ones. */
static void test_whole(void **state)
{
    enum { BLOCKS = 1 << 12 };
    Place *p = *state;
    const char *said, *a = sitting(p, "a.db", "one", 7.1), *b = sitting(p, "b.db", "two", 8.3);
    const char *text = place_in(p, "text"), *old = place_in(p, "old"), *new = place_in(p, "new");
    by_hand(p, b,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
            "INSERT INTO sample SELECT 1, 'k/2', i, 2, i / 7.0, 100 FROM n;"
            "PRAGMA journal_mode = DELETE");                  /* no files beside it */
    save_text(p, a, old);
    save_text(p, b, new);
    for (int kind = 0; kind < 2; kind++) {
        int stopped = 0;
        save_text(p, a, text);
        for (int blocks = 1; blocks <= BLOCKS; blocks *= 2) {
            const char *full = arena_text(&p->a, "ulimit -f %d; exec", blocks);
            const char *killed = arena_text(&p->a, "exec timeout -s KILL %g", blocks / 1e3);
            const char *limit = kind ? killed : full;
            const int code = export_over(p, limit, &said);
            const char *differs = differences(p, text, new);
            if (code && !(kind && !*differs)) differs = differences(p, text, old);
            assert_string_equal(differs, "");
            if (code && !kind) assert_says(said, ".csv: cannot be written: File too large");
            if (code && !kind) assert_int_equal(access(place_in(p, "text.new"), F_OK), -1);
            stopped += code != 0;
        }
        assert_int_equal(export_over(p, "exec", &said), 0);
        assert_string_equal(differences(p, text, new), "");
        assert_int_equal(access(place_in(p, "text.new"), F_OK), -1);
        assert_in_range(stopped, kind ? 1 : 2, 12);
    }
}

/* the SQL function that schema_2.sql asks for; all words are said to matter */
static void same_words(sqlite3_context *c, int n, sqlite3_value **value)
{
    (void)n;
    sqlite3_result_value(c, value[0]);
}

/* A database as an older program left it, with a plan and a run of its cell; version from 1 */
static const char *older(Place *p, int version)
{
    static const char rows[] =
        "INSERT INTO machine VALUES (1, 'c', 'i', 2, 'k', 'h', 'g', 'v', 1, 1, 1, 1);"
        "INSERT INTO build VALUES (1, 's', 'g', 0, 'c', 'f');"
        "INSERT INTO experiment (id, name, sha, text, overrides, build, machine, planned) "
        "VALUES (1, 'one', 's', 't', '', 1, 1, '2026-01-01T00:00:00Z');"
        "INSERT INTO cell (key, spec) VALUES ('key', 'd=1');"
        "INSERT INTO plan (experiment, position, cell, label, seed) VALUES (1, 0, 'key', 'd=1', 1);"
        "INSERT INTO run (uuid, cell, experiment, build, machine, status, started, sweeper, "
        "sweeper_start) VALUES ('u', 'key', 1, 1, 1, 'ok', '2026-01-01T00:00:00Z', 1, 1)";
    const char *path = place_in(p, arena_text(&p->a, "v%d.db", version));
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_create_function(db, "same_losses", 1, SQLITE_UTF8, NULL, same_words, NULL, NULL);
    for (int i = 0; i < version; i++)
        assert_int_equal(sqlite3_exec(db, db_migrations[i], NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, rows, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    by_hand(p, path, arena_text(&p->a, "PRAGMA user_version = %d", version));
    return path;
}

/* Databases of every older schema are read, merged and brought up to date; text of before, which
 * has no file of notes, is read. */
static void test_older(void **state)
{
    Place *p = *state;
    const char *why, *note = "SELECT note, count(*) FROM experiment";
    DbMerged m;
    for (int version = 1; db_migrations[version]; version++) {
        const char *path = older(p, version), *into = arena_text(&p->a, "m%d.db", version);
        const char *text = place_in(p, "text");
        save_text(p, path, text);                /* leaves the file as it is */
        assert_string_equal(told(p, path, "PRAGMA user_version"),
                            arena_text(&p->a, "%d\n", version));
        unlink(arena_text(&p->a, "%s/note.csv", text));
        assert_string_equal(told(p, merge(p, into, &m, path, text), note), "|1\n");
        assert_true(m.runs == 1 && m.again == 1);
        assert_int_equal(access(place_in(p, arena_text(&p->a, "%s.new.0", into)), F_OK), -1);
        Db *db = db_open(path, &p->a, &why);
        holds(why);
        db_close(db);
        assert_string_equal(told(p, path, note), "|1\n");
        assert_string_equal(told(p, path, "SELECT heartbeat, sweeper_place, status FROM run"),
                            "NULL||ok\n");
    }
}

static const char *refuse_text(Place *p, const char *dir)
{
    const char *why;
    Db *db = db_open_read(place_in(p, "a.db"), &p->a, &why);
    holds(why);
    why = db_save_text(db, dir, &p->a);
    db_close(db);
    return why ? why : "nothing";
}

/* A directory that an export did not write is not replaced. */
static void test_not_replaced(void **state)
{
    Place *p = *state;
    const char *said, *dir = place_in(p, "text");
    sitting(p, "a.db", "one", 7.1);
    assert_string_equal(refuse_text(p, arena_text(&p->a, "%s/", dir)), "nothing");
    place_write(p, "text/notes.txt", "mine\n");
    assert_says(refuse_text(p, dir), "text: holds 'notes.txt', which is no table of records");
    assert_int_equal(place_shell(p, arena_text(&p->a, "cat %s/notes.txt", dir), &said), 0);
    assert_string_equal(said, "mine\n");
    assert_int_equal(unlink(place_in(p, "text/notes.txt")), 0);
    assert_int_equal(symlink(dir, place_in(p, "link")), 0);
    assert_string_equal(refuse_text(p, place_in(p, "link")), "nothing");
    assert_int_equal(place_shell(p, arena_text(&p->a, "test -L %s", place_in(p, "link")), &said),
                     0);
    assert_says(refuse_text(p, place_write(p, "file", "mine\n")),
                "file: cannot be replaced: Not a directory");
    assert_says(refuse_text(p, place_in(p, "none/text")), "none/text.new: cannot be made: No such");
}

static void test_refused(void **state)
{
    static const struct { const char *file, *text, *says; } bad[] = {
        { "run.csv", "id,uuid\n1\n", "run.csv:1: expected 11 fields of CSV" },
        { "metric.csv", "run,name,step,value\n1,nll,4,\"x\n", "metric.csv:2: expected 4 fields" },
        { "metric.csv", "run,name,step,value\n1,nll,4,7\n1,nll,5,many\n",
          "metric.csv:3: value 'many': expected a number" },
        { "metric.csv", "run,name,step,value\n1,,4,7\n",
          "metric.csv:2: NOT NULL constraint failed: metric.name" },
        { "metric.csv", "run,name,step,value\n99,nll,4,7\n",
          "metric.csv:2: FOREIGN KEY constraint failed" } };
    Place *p = *state;
    DbMerged m;
    const char *a = sitting(p, "a.db", "one", 7.1), *into = place_in(p, "into.db"),
               *text = place_in(p, "text"), *odd = place_in(p, "odd"), *none = place_in(p, "none");
    assert_says(db_merge(&a, 1, a, &m, &p->a),
                "a.db: is there already; expected the name of a new file");
    assert_says(db_merge(&none, 1, into, &m, &p->a), "no such database");
    FILE *f = fopen(odd, "w");
    fputs("this is no database, but text of some length\n", f);
    fclose(f);
    assert_says(db_merge(&odd, 1, into, &m, &p->a), "odd: not an SQLite database");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        save_text(p, a, text);
        f = fopen(arena_text(&p->a, "%s/%s", text, bad[i].file), "w");
        fputs(bad[i].text, f);
        fclose(f);
        const char *why = db_merge(&text, 1, into, &m, &p->a);
        if (!why) fail_msg("accepted: %s", bad[i].text);
        assert_says(why, bad[i].says);
    }
    static const char cut[] = "run,name,step,value\n1,nll,4,7\n\0001,nll,5,8\n";
    save_text(p, a, text);
    f = fopen(arena_text(&p->a, "%s/metric.csv", text), "w");
    fwrite(cut, 1, sizeof cut - 1, f);
    fclose(f);
    const char *why = db_merge(&text, 1, into, &m, &p->a);
    assert_says(why ? why : "accepted", "metric.csv: byte 30 is zero; expected text");
    unlink(arena_text(&p->a, "%s/run.csv", text));
    assert_says(db_merge(&text, 1, into, &m, &p->a), "run.csv: cannot be read: No such file");
    assert_int_equal(access(into, F_OK), -1);
    /* no source is ever touched */
    assert_string_equal(told(p, a, "SELECT count(*) FROM run"), "3\n");
}

/* ---- replay ---- */
static const char claim[] =
    "loss:\n  words: w\n  source: s\n  experiment: e\n  claimed: {most: 9}\n"
    "  value: SELECT nll AS value, run FROM result WHERE experiment = 'one' AND "
    "status = 'ok'\n"
    "time:\n  words: w\n  source: s\n  experiment: e\n  claimed: 0.01\n"
    "  value: SELECT ns / iters AS value, run FROM gate_sample UNION ALL SELECT "
    "wall_s, run FROM result WHERE nll < 9\n"
    "never:\n  words: w\n  source: s\n  experiment: e\n  claimed: 1\n"
    "  value: SELECT nll AS value, run FROM result WHERE experiment = 'three'\n";

static void record(Place *p, const char *path)
{
    const char *said, *yaml = place_in(p, "claims.yaml");
    FILE *f = fopen(yaml, "w");
    fputs(claim, f);
    fclose(f);
    const int code =
        place_command(p,
                      arena_text(&p->a, "claims --db %s --claims %s --recorded %s --record", path,
                                 yaml, place_in(p, "c.csv")),
                      &said);
    if (code) fail_msg("%s", said);
    unlink(place_in(p, "c.csv"));
}

static void test_replay(void **state)
{
    Place *p = *state;
    DbMerged m;
    const char *said, *a = sitting(p, "a.db", "one", 7.1), *b = sitting(p, "b.db", "one", 8.3);
    assert_int_equal(place_command(p, arena_text(&p->a, "replay %s", a), &said), 3);
    by_hand(p, a, "UPDATE experiment SET planned = '2020-01-01T00:00:00Z'");
    record(p, a);
    by_hand(p, a, "UPDATE verdict SET decided = '2020-01-02T00:00:00Z'");
    record(p, b);
    assert_string_equal(told(p, a, "SELECT name, verdict, value FROM verdict WHERE name <> 'time'"),
                        "loss|held|8.1\nnever|not tested|NULL\n");
    assert_string_equal(told(p, b, "SELECT name, verdict, value FROM verdict WHERE name = 'loss'"),
                        "loss|refuted|9.3\n");
    const char *c = merge(p, "c.db", &m, a, b);               /* where views show b's plan only */
    assert_string_equal(told(p, c, "SELECT verdict FROM verdict WHERE name = 'loss' ORDER BY 1"),
                        "held\nrefuted\n");
    if (place_command(p, arena_text(&p->a, "replay %s", c), &said)) fail_msg("%s", said);
    assert_string_equal(said, "6 verdicts on claims, 0 comparisons of gates; 0 differ\n");
    save_text(p, c, place_in(p, "text"));
    assert_int_equal(place_command(p, arena_text(&p->a, "replay %s", place_in(p, "text")), &said),
                     0);
    assert_int_equal(
        place_command(p, arena_text(&p->a, "export --db %s --pack %s", c, place_in(p, "pack.db")),
                      &said),
        0);
    assert_int_equal(
        place_command(p, arena_text(&p->a, "replay %s --verbose", place_in(p, "pack.db")), &said),
        0);
    assert_says(said, "same     loss: refuted 9.3");
    /* the last digits of one value */
    by_hand(p, c, "UPDATE metric SET value = value + 1e-14 WHERE value BETWEEN 8 AND 8.2");
    assert_int_equal(place_command(p, arena_text(&p->a, "replay %s", c), &said), 1);
    assert_says(said, "differs  loss: recorded held 8.0999999999999996 [8.0999999999999996, "
                      "8.0999999999999996]; now held 8.1");
    assert_says(said, "; 1 differ\n");
}

/* A gate of invented times: head is `slower` than base, a copy of base is not, the canary is slower
 * by 5 % */
static const char *gate(Place *p, const char *name, double slower)
{
    enum { ROUNDS = 20, SAMPLES = 5, SIDES = 4 };
    static const char *const side[SIDES] = { "base", "head", "control", "canary" };
    static const GateBuild build = { .ref = "r",
                                     .commit = "c",
                                     .binary = "b",
                                     .id = "i",
                                     .compiler = "c",
                                     .flags = "f",
                                     .code = "k" };
    const char *path = place_in(p, name);
    const double shift[SIDES] = { 0, slower, 0, 0.05 };
    Rng rng = rng_at(test_seed(), STREAM_CHECK, 86);
    Gate g = { .rule = gate_rule,
               .base = &build,
               .head = &build,
               .bench = arena_get(&p->a, sizeof(GateBench)),
               .benches = 1,
               .timed = 1,
               .plan = { .rounds = ROUNDS } };
    g.bench[0] = (GateBench){ .name = "b/1", .budget = 0.05, .probe = 1, .iters = 7 };
    GateCase *cases[SIDES] = { NULL, &g.bench[0].pair, &g.bench[0].control, &g.bench[0].canary };
    GateRecord *r = gate_record_open(path, &p->a);
    gate_record_begin(r, &g, "regress base=c head=c rounds=20 samples=5 floor=0.02 seed=1");
    double d[SIDES][ROUNDS];
    for (int k = 1; k < SIDES; k++)
        *cases[k] = (GateCase){ .name = "b/1", .budget = 0.05, .d = d[k], .rounds = ROUNDS };
    for (int round = 0; round < ROUNDS; round++) {
        for (int k = 1; k < SIDES; k++) {
            double ns[2][SAMPLES];
            for (int of = 0; of < 2; of++) {
                double whole[SAMPLES];
                int position[SAMPLES];
                for (int i = 0; i < SAMPLES; i++) {
                    /* the machine changes its speed between pairs, which must cancel */
                    whole[i] = 1e7 * (1 + i % 2) * exp(of * shift[k] + 0.01 * rng_normal(&rng));
                    ns[of][i] = whole[i] / 7;
                    position[i] = 2 * i + of;
                }
                const GateBlock b = { "b/1", of ? side[k] : arena_text(&p->a, "%s.base", side[k]),
                                      round, SAMPLES, position, whole, 7, 0, 0 };
                gate_record_block(r, &b);
            }
            d[k][round] = gate_pairs(ns[0], ns[1], SAMPLES, &p->a);
        }
    }
    for (int k = 1; k < SIDES; k++) gate_decide(&g.rule, cases[k], 1, 1, &p->a);
    gate_record_verdicts(r, &g);
    gate_record_end(r, 0, 1);
    return path;
}

static void test_replay_gates(void **state)
{
    Place *p = *state;
    DbMerged m;
    const char *said, *a = gate(p, "a.db", 0), *b = gate(p, "b.db", 0.08),
                      *c = merge(p, "c.db", &m, a, b);
    if (place_command(p, arena_text(&p->a, "replay %s --verbose", c), &said)) fail_msg("%s", said);
    assert_says(said, "gate of run 1, b/1: SAME");
    assert_says(said, "gate of run 2, b/1: REGRESSED");
    assert_says(said, "0 verdicts on claims, 6 comparisons of gates; 0 differ\n");
    by_hand(
        p, c,
        "UPDATE sample SET ns = ns * 1.1 WHERE name = 'b/1@control' AND run = 1 AND round < 12");
    assert_int_equal(place_command(p, arena_text(&p->a, "replay %s", c), &said), 1);
    assert_says(said, "differs  gate of run 1, b/1@control: recorded SAME");
    assert_says(said, "; 1 differ\n");
}

/* ---- packs that others made ---- */
#define ENDLESS "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "

/* Runs `eightysix ARGUMENTS`, which may take a minute and must end with this code; what it says */
static const char *within(Place *p, int code, const char *arguments)
{
    const char *said;
    const int got = place_shell(p,
                                arena_text(&p->a, "timeout 60 '%s' %s",
                                           getenv("EIGHTYSIX_BINARY"), arguments),
                                &said);
    if (got != code) fail_msg("%s: exit code %d, expected %d: %s", arguments, got, code, said);
    return said;
}

/* Views that a pack brings are neither asked nor taken for names of files. */
static void test_foreign_views(void **state)
{
    Place *p = *state;
    const char *said, *a = sitting(p, "a.db", "one", 7.1), *out = place_in(p, "in/out");
    by_hand(p, a, "CREATE VIEW \"../../beyond\" AS SELECT 'one' AS experiment;"
                  "CREATE VIEW zz AS " ENDLESS "SELECT i AS experiment FROM n");
    assert_int_equal(place_shell(p, arena_text(&p->a, "mkdir -p %s", out), &said), 0);
    within(p, 0, arena_text(&p->a, "export --db %s --out %s", a, out));
    assert_int_equal(access(place_in(p, "in/out/result.csv"), F_OK), 0);
    assert_int_equal(access(place_in(p, "in/out/zz.csv"), F_OK), -1);
    assert_int_equal(access(place_in(p, "beyond.csv"), F_OK), -1);
    said = within(p, 2, arena_text(&p->a, "export zz --db %s --out -", a));
    assert_says(said, "there is no view 'zz'");
    by_hand(p, a, "UPDATE experiment SET name = '../../beyond'");
    said = within(p, 2, arena_text(&p->a, "export ../../beyond --db %s --out %s", a, out));
    assert_says(said, "expected a name without '/'");
    assert_int_equal(access(place_in(p, "beyond.csv"), F_OK), -1);
}

/* The message is on the view, not on the place where it would have been written. */
static void test_asked_first(void **state)
{
    Place *p = *state;
    const char *a = sitting(p, "a.db", "one", 7.1);
    assert_says(within(p, 2, arena_text(&p->a, "export zz --db %s --out /proc/none", a)),
                "there is no view 'zz'");
}

/* Tables are those of this program, or the pack is refused. */
static void test_foreign_tables(void **state)
{
    static const struct { const char *sql, *says; } bad[] = {
        { "DROP TABLE sample", "bad.db: no table 'sample'" },
        { "DROP TABLE text; CREATE VIEW text AS " ENDLESS "SELECT i AS run, 'a' AS key, 'b' AS "
          "value FROM n",
          "bad.db: 'text': expected a table" },
        { "DROP TABLE text; CREATE TABLE text (run INTEGER, key TEXT, value TEXT)",
          "bad.db: table 'text': column 'run': expected INTEGER NOT NULL" },
        { "DROP TABLE text; CREATE TABLE text (run INTEGER NOT NULL, key TEXT NOT NULL)",
          "bad.db: table 'text': expected a column 'value'" },
    };
    static const char *const command[] = { "merge %s --into %s.into", "replay %s",
                                           "export --db %s --out %s.d", "claims --db %s" };
    Place *p = *state;
    const char *said, *a = sitting(p, "a.db", "one", 7.1), *b = place_in(p, "bad.db");
    by_hand(p, a, "PRAGMA journal_mode = DELETE");
    assert_int_equal(place_shell(p, arena_text(&p->a, "mkdir %s.d", b), &said), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(place_shell(p, arena_text(&p->a, "cp %s %s", a, b), &said), 0);
        by_hand(p, b, bad[i].sql);
        for (size_t k = 0; k < sizeof command / sizeof *command; k++) {
            char line[512];
            snprintf(line, sizeof line, command[k], b, b);
            assert_says(within(p, 2, line), bad[i].says);
        }
    }
}

/* A NULL where the table says there is none */
static void test_foreign_null(void **state)
{
    Place *p = *state;
    const char *a = sitting(p, "a.db", "one", 7.1);
    const char *rename = "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = "
                         "replace(sql, 'key TEXT %s', 'key TEXT %s') WHERE name = 'text'";
    by_hand(p, a, "PRAGMA journal_mode = DELETE");
    by_hand(p, a, arena_text(&p->a, rename, "NOT NULL", "CHECK (1)"));
    by_hand(p, a, "INSERT INTO text VALUES (1, NULL, 'x')");
    by_hand(p, a, arena_text(&p->a, rename, "CHECK (1)", "NOT NULL"));
    assert_says(within(p, 2, arena_text(&p->a, "merge %s --into %s.into", a, a)),
                "a.db: damaged: NULL value in text.key");
    assert_says(within(p, 2, arena_text(&p->a, "replay %s", a)),
                "a.db: damaged: NULL value in text.key");
}

/* A question that a pack brings must end. */
static void test_endless(void **state)
{
    static const struct { const char *select, *says; } bad[] = {
        { ENDLESS "SELECT count(*) AS value, 1 AS run FROM n", "is not answered after " },
        { ENDLESS "SELECT i AS value, 1 AS run FROM n", "has more than " },
    };
    Place *p = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *name = arena_text(&p->a, "%zu.db", i), *a = sitting(p, name, "one", 7.1);
        by_hand(p, a,
                arena_text(&p->a,
                           "INSERT INTO verdict (name, verdict, sentence, runs, build, machine, "
                           "decided) VALUES ('v', 'held', '{\"claimed\":{\"from\":1},\"value\":"
                           "\"%s\"}', '', 1, 1, '2020')",
                           bad[i].select));
        assert_says(within(p, 2, arena_text(&p->a, "replay %s", a)), bad[i].says);
    }
}

/* Names with quotes are names. */
static void test_quotes(void **state)
{
    Place *p = *state;
    const char *a = gate(p, "a.db", 0);
    by_hand(p, a,
            "DROP TRIGGER run_final; UPDATE sample SET name = replace(name, 'b/1', 'b''1');"
            "UPDATE metric SET name = replace(name, 'b/1', 'b''1');"
            "UPDATE text SET key = replace(key, 'b/1', 'b''1'), value = replace(value, 'b/1', "
            "'b''1'); UPDATE experiment SET name = 'it''s'");
    assert_says(within(p, 0, arena_text(&p->a, "replay %s --verbose", a)),
                "gate of run 1, b'1: SAME");
    assert_says(within(p, 2, arena_text(&p->a, "why \"it's\" --db %s", a)),
                "it's: no figure, claim or cell of this name");
}

/* ---- text that others made ---- */
/* Merges the directory `text`, an export of a.db, with other bytes in one file; what is said */
static const char *with_file(Place *p, const char *file, const char *bytes)
{
    const char *text = place_in(p, "text");
    save_text(p, place_in(p, "a.db"), text);
    place_write(p, arena_text(&p->a, "text/%s", file), bytes);
    return within(p, 2, arena_text(&p->a, "merge %s --into %s", text, place_in(p, "into.db")));
}

static void test_foreign_text(void **state)
{
    static const char metric[] = "run,name,step,value\n", span[] = "run,phase,first_step,steps,"
                                                                   "mean\n";
    static const struct { const char *file, *head, *rest, *says; } bad[] = {
        { "metric.csv", "", "", "metric.csv: is empty; expected the line 'run,name,step,value'" },
        { "metric.csv", "", "1,nll,4,7\n",
          "metric.csv:1: field 1 is '1'; expected the line 'run,name,step,value'" },
        { "metric.csv", "", "run,name,value,step\n",
          "metric.csv:1: field 3 is 'value'; expected the line 'run,name,step,value'" },
        { "metric.csv", metric, "1,nll,4,7\n1,nll,5",
          "metric.csv:3: expected 4 fields of CSV, and a line end" },
        { "metric.csv", metric, "1,nll,99999999999999999999,7\n",
          "metric.csv:2: step '99999999999999999999': expected a whole number of 64 bits" },
        { "metric.csv", metric, "1,nll,4.5,7\n",
          "metric.csv:2: step '4.5': expected a whole number of 64 bits" },
        { "metric.csv", metric, "1,nll,\"\",7\n", "metric.csv:2: step '': expected a whole" },
        { "metric.csv", metric, "1,nll,4,1e999\n",
          "metric.csv:2: value '1e999': expected a number that a double holds" },
        { "span.csv", span, "1,core.forward,0,99999999999999999,0.1\n",
          "span.csv:2: steps '99999999999999999': expected 1 to 9007199254740992" },
        { "span.csv", span, "1,core.forward,0,0,0.1\n", "span.csv:2: steps '0': expected 1 to" },
        { "span.csv", span, "1,core.forward,0,,0.1\n", "span.csv:2: steps '': expected 1 to" },
        { "span.csv", span, "1,core.forward,9223372036854775807,9,0.1\n",
          "span.csv:2: first_step '9223372036854775807': expected 0 to" },
    };
    Place *p = *state;
    sitting(p, "a.db", "one", 7.1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *bytes = arena_text(&p->a, "%s%s", bad[i].head, bad[i].rest);
        assert_says(with_file(p, bad[i].file, bytes), bad[i].says);
        assert_int_equal(access(place_in(p, "into.db"), F_OK), -1);
    }
}

/* ---- figures ---- */
/* A figure is whole or as it was, from any directory, and it is said whose rows it shows. */
static void test_figure(void **state)
{
    static const struct { const char *gnuplot, *says; } bad[] = {
        { "exit 0", "time_split.svg: gnuplot made no figure" },
        { ": >\"$4\"", "time_split.svg: gnuplot made no figure" },
        { "echo half >\"$4\"; exit 1", "gnuplot failed on " },
    };
    Place *p = *state;
    const char *said, *a = sitting(p, "a.db", "one", 7.1);
    const char *fake = "cd %s && PATH=%s:$PATH '%s' plot time_split --db %s --out new/figures";
    const char *plot = arena_text(&p->a, fake, p->dir, p->dir, getenv("EIGHTYSIX_BINARY"), a);
    for (int good = 1; good >= 0; good--)
        for (size_t i = 0; i < (good ? 1 : sizeof bad / sizeof *bad); i++) {
            const char *does = good ? "echo figure >\"$4\"" : bad[i].gnuplot;
            place_write(p, "gnuplot", arena_text(&p->a, "#!/bin/sh\n%s\n", does));
            place_shell(p, arena_text(&p->a, "chmod 755 %s/gnuplot", p->dir), &said);
            const int code = place_shell(p, plot, &said);
            if (code != (good ? 0 : 2)) fail_msg("%s: exit code %d: %s", does, code, said);
            assert_says(said, good ? "time_split: experiment one, plan 1 of 20" : bad[i].says);
            place_shell(p, arena_text(&p->a, "cd %s/new/figures && ls && cat time_split.svg",
                                      p->dir), &said);
            assert_string_equal(said, "time_split.csv\ntime_split.pdf\ntime_split.png\n"
                                      "time_split.svg\nfigure\n");
        }
}

/* ---- where packs lie ---- */
/* A command of the shell as a user who may not write where packs lie */
static const char *as_reader(Place *p, int code, const char *command)
{
    const char *said, *who = geteuid() ? "" : "setpriv --reuid=65534 --regid=65534 --clear-groups ";
    const int got = place_shell(p, arena_text(&p->a, "%s%s", who, command), &said);
    if (got != code) fail_msg("%s: exit code %d, expected %d: %s", command, got, code, said);
    return said;
}

/* A directory `ro` that cannot be written with copies of a.db, and `rw`, which can */
static void read_only(Place *p)
{
    const char *said;
    const int code = place_shell(p,
                                 arena_text(&p->a,
                                            "cd %s && chmod 755 . && mkdir -p ro rw && "
                                            "cp a.db ro/a.db && cp a.db 'ro/b#c?d%%41.db' && "
                                            "chmod 444 ro/*.db && chmod 555 ro && chmod 777 rw",
                                            p->dir),
                                 &said);
    if (code) fail_msg("%s", said);
}

static void test_read_only(void **state)
{
    static const char *const command[] = { "merge '%s/ro/%s' --into '%s/rw/m.db'",
                                           "export result --db '%s/ro/%s' --out '%s/rw'",
                                           "export --db '%s/ro/%s' --pack '%s/rw/p.db'" };
    static const char *const name[] = { "a.db", "b#c?d%41.db" };
    Place *p = *state;
    const char *said, *binary = getenv("EIGHTYSIX_BINARY");
    sitting(p, "a.db", "one", 7.1);
    assert_string_equal(told(p, place_in(p, "a.db"), "PRAGMA journal_mode"), "wal\n");
    read_only(p);
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        for (size_t k = 0; k < sizeof command / sizeof *command; k++) {
            char line[512];
            snprintf(line, sizeof line, command[k], p->dir, name[i], p->dir);
            as_reader(p, 0, arena_text(&p->a, "'%s' %s", binary, line));
            place_shell(p, arena_text(&p->a, "cd %s/rw && rm -f m.db p.db result.csv", p->dir),
                        &said);
        }
    place_shell(p, arena_text(&p->a, "chmod 755 %s/ro", p->dir), &said);
}

/* Odd names work where the directory can be written, too, and under --into. */
static void test_odd_names(void **state)
{
    Place *p = *state;
    const char *a = sitting(p, "a#b?c%41=x.db", "one", 7.1);
    within(p, 0, arena_text(&p->a, "merge '%s' --into '%s'", a, place_in(p, "i#b?c%41.db")));
    assert_string_equal(told(p, place_in(p, "i#b?c%41.db"), "SELECT count(*) FROM run"), "2\n");
}

#define T(test) cmocka_unit_test_setup_teardown(test, place_make, place_drop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_merge), T(test_same_name), T(test_text), T(test_refused), T(test_replay),
        T(test_replay_gates), T(test_whole), T(test_not_replaced), T(test_foreign_views),
        T(test_asked_first), T(test_foreign_tables), T(test_foreign_null), T(test_endless),
        T(test_quotes), T(test_foreign_text), T(test_read_only), T(test_odd_names),
        T(test_figure), T(test_older),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
