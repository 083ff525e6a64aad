/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who has the machine to itself, what disturbed a run, and which runs are alive. Sweeps are
 * processes of their own; their cell is a shell script. The lock has a name of this test's own. */
#include "harness/cli/cmd.h"
#include "harness/store/db.h"
#include "harness/util/machine_lock.h"
#include "tests/place.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

static const char script[] =
    "#!/bin/sh\n"
    "for w; do case $w in embed_init=*) mode=${w#embed_init=};; esac; done\n"
    "echo \"$mode $OMP_PROC_BIND\" >> started\n"
    "echo 'num tokens_per_s 1 1000' >&3; echo 'span core.forward 0 0.25' >&3\n"
    "case $mode in\n"
    "  wait*) until [ -e go ]; do sleep 0.02; done;;\n"
    "  long*) sleep 0.5;;\n"
    "esac\n"
    "echo 'num nll 1 7.25' >&3\n";

static char printed[65536];

static int set_up(void **state)
{
    if (place_make(state)) return -1;
    Place *p = *state;
    if (chdir(p->dir)) return -1;
    place_write(p, "cell.sh", script);
    if (chmod("cell.sh", 0755)) return -1;
    setenv("EIGHTYSIX_CELL_PROGRAM", place_in(p, "cell.sh"), 1);
    unsetenv("EIGHTYSIX_MACHINE");
    unsetenv("OMP_PROC_BIND");
    machine_lock_name = p->dir;
    return 0;
}

static int tear_down(void **state)
{
    unsetenv("EIGHTYSIX_CELL_PROGRAM");
    return chdir("/") || place_drop(state);
}

static void experiment(Place *p, const char *modes, const char *more)
{
    place_write(p, "x.yaml", arena_text(&p->a, "question: q\nfixed: {threads: 2}\nfactors: "
                                        "{embed_init: [%s]}\n%s", modes, more));
}

/* `eightysix sweep x.yaml --db DB`, and one more word */
static pid_t sweep_start(const char *db, char *word)
{
    char *argv[] = { "sweep", "x.yaml", "--db", (char *)db, word, NULL };
    fflush(NULL);
    const pid_t pid = fork();
    if (pid) return pid;
    const int out = open("out", O_CREAT | O_WRONLY | O_APPEND, 0666);
    dup2(out, 1);
    dup2(out, 2);
    exit(sweep_main(word ? 5 : 4, argv));
}

static int sweep_end(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    FILE *f = fopen("out", "r");         /* of two at once the first takes all */
    printed[f ? fread(printed, 1, sizeof printed - 1, f) : 0] = 0;
    if (f) fclose(f);
    unlink("out");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* the rows of a query, with '|' between fields and ';' between rows */
static const char *told(Place *p, const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    const char *all = "";
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL)) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    while (sqlite3_step(s) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(s); i++) {
            const char *v = (const char *)sqlite3_column_text(s, i);
            all = arena_text(&p->a, "%s%s%s", all, i ? "|" : *all ? ";" : "", v ? v : "NULL");
        }
    sqlite3_finalize(s);
    sqlite3_close(db);
    return all;
}

#define SHARED                                                                                     \
    "SELECT status, (SELECT value FROM metric WHERE run = run.id AND name = 'shared') FROM run "   \
    "ORDER BY id"
#define SHOWN "SELECT status, tokens_per_s, nll, left_out, error FROM result"

/* Two sweeps at once: one is bound to cores, the runs of both are marked and left out of speeds;
 * what was left out is measured again when the machine is free, and shown. */
static void two_sweeps(void **state)
{
    Place *p = *state;
    experiment(p, "wait1", "budget: 1s\n");
    const pid_t a = sweep_start("a/x.db", NULL);
    place_wait_for_lines("started", 1);
    const pid_t b = sweep_start("b/x.db", NULL);
    place_wait_for_lines("started", 2);
    usleep(200000);
    place_write(p, "go", "");
    assert_int_equal(sweep_end(a), 0);
    assert_int_equal(sweep_end(b), 0);
    const char *one = "shared|NULL|NULL|1|its speed is not measured: 1 run shared the machine and "
                      "is left out";
    assert_string_equal(told(p, "a/x.db", SHARED), "ok|1.0");
    assert_string_equal(told(p, "b/x.db", SHARED), "ok|1.0");
    assert_string_equal(told(p, "a/x.db", SHOWN), one);
    assert_string_equal(told(p, "b/x.db", SHOWN), one);
    assert_string_equal(told(p, "b/x.db", "SELECT ok, left_out FROM records"), "0|1");
    const char *said;
    assert_int_equal(place_shell(p, arena_text(&p->a, "cat %s/started", p->dir), &said), 0);
    assert_string_equal(said, "wait1 close\nwait1 \n");
    assert_int_equal(sweep_end(sweep_start("b/x.db", "--dry-run")), 0);
    assert_says(printed, "stale    embed_init=wait1  (ok run that shared the machine with another");
    assert_int_equal(sweep_end(sweep_start("b/x.db", NULL)), 0);
    assert_says(printed, "\n1 run shared the machine and is left out\n");
    assert_string_equal(told(p, "b/x.db", SHARED), "ok|1.0;ok|0.0");
    assert_string_equal(told(p, "b/x.db", SHOWN), "ok|1000.0|7.25|1|");
    assert_int_equal(sweep_end(sweep_start("b/x.db", NULL)), 0);
    assert_int_equal(place_lines_of("started"), 3);
    assert_says(place_expect(p, 1, arena_text(&p->a, "why embed_init=wait1 --db %s",
                                              place_in(p, "a/x.db"))),
                "1 run shared the machine and is left out");
}

/* Cells of one sweep beside each other share the machine too. Losses are shown all the same. */
static void jobs_share(void **state)
{
    Place *p = *state;
    experiment(p, "long1, long2", "budget: 5tokens\n");
    assert_int_equal(sweep_end(sweep_start("a.db", "--jobs=2")), 0);
    assert_string_equal(told(p, "a.db", SHARED), "ok|1.0;ok|1.0");
    assert_string_equal(told(p, "a.db", SHOWN), "ok|1000.0|7.25|0|;ok|1000.0|7.25|0|");
    assert_int_equal(sweep_end(sweep_start("a.db", NULL)), 0);
    assert_int_equal(place_lines_of("started"), 2);
    /* of a speed whose budget counts tokens: the loss is shown, the speed is not */
    experiment(p, "long3, long4", "budget: 5tokens\nmeasures: speed\n");
    assert_int_equal(sweep_end(sweep_start("a.db", "--jobs=2")), 0);
    assert_string_equal(told(p, "a.db", "SELECT status, tokens_per_s, nll, head_share, left_out, "
                                        "length(error) > 9 FROM result"),
                        "ok|NULL|7.25|NULL|1|1;ok|NULL|7.25|NULL|1|1");
    assert_int_equal(sweep_end(sweep_start("a.db", NULL)), 0);
    assert_string_equal(told(p, "a.db", SHOWN), "ok|1000.0|7.25|1|;ok|1000.0|7.25|1|");
    assert_int_equal(place_lines_of("started"), 6);
}

/* Runs of older programs do not say whether they shared the machine, and are shown. */
static void older_runs_are_shown(void **state)
{
    Place *p = *state;
    experiment(p, "ok", "budget: 1s\n");
    assert_int_equal(sweep_end(sweep_start("a.db", NULL)), 0);
    assert_string_equal(told(p, "a.db", "SELECT name, value >= 0 FROM metric WHERE name IN "
                                        "('load', 'steal', 'switches', 'shared') ORDER BY 1"),
                        "load|1;shared|1;steal|1;switches|1");
    by_hand(p, "a.db", "DELETE FROM metric WHERE name = 'shared'");
    assert_string_equal(told(p, "a.db", SHOWN), "ok|1000.0|7.25|0|");
    assert_int_equal(sweep_end(sweep_start("a.db", NULL)), 0);
    assert_int_equal(place_lines_of("started"), 1);
}

#define SAID                                                                                       \
    "SELECT group_concat(name) FROM (SELECT DISTINCT name FROM metric WHERE step = 0 "             \
    "AND value >= 0 AND name IN ('load', 'steal', 'switches', 'shared') "                          \
    "AND run = (SELECT max(id) FROM run) ORDER BY 1)"

/* The other commands that measure; figures of kernels leave shared runs out. */
static void all_that_measure_say_it(void **state)
{
    static const char small[] = "V=50 d=32 inner=32 train_tokens=2000 seq=8 batch=1 accum=1 "
                                "valid_tokens=64 threads=1 gemm=portable budget=3steps --quiet";
    Place *p = *state;
    const char *db = place_in(p, "a.db"), *x = place_in(p, "x"), *heads = place_in(p, "heads.db");
    unsetenv("EIGHTYSIX_CELL_PROGRAM");
    setenv("EIGHTYSIX_MACHINE", "0:-1", 1);
    setenv("EIGHTYSIX_CACHE", place_in(p, "cache"), 1);
    place_expect(p, 0, arena_text(&p->a, "train %s save=%s --db %s", small, x, db));
    assert_string_equal(told(p, db, SAID), "load,shared,steal,switches");
    place_expect(p, 0, arena_text(&p->a, "headlab %s heads=softmax --states 500 --passes 1 "
                                  "--db %s", x, heads));
    assert_string_equal(told(p, heads, SAID), "load,shared,steal,switches");
    assert_string_equal(told(p, heads, "SELECT count(*) FROM metric WHERE name = 'shared'"), "2");
    place_expect(p, 0, arena_text(&p->a, "bench kernels --filter '^ref/256x683/n1/t1$' "
                                  "--threads 1 --rounds 2 --db %s", db));
    assert_string_equal(told(p, db, SAID), "load,shared,steal,switches");
    const char *shown = "SELECT (SELECT count(*) FROM kernel_cell), "
                        "(SELECT left_out FROM records WHERE experiment = 'bench')";
    assert_string_equal(told(p, db, shown), "1|0");
    by_hand(p, db, "UPDATE metric SET value = 1 WHERE name = 'shared'");
    assert_string_equal(told(p, db, shown), "0|1");
    unsetenv("EIGHTYSIX_CACHE");
}

/* ---- the lock ---- */
/* A process that asks for the lock, writes a byte and waits */
static pid_t asker(int *from)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        MachineLock m;
        machine_ask(&m);
        const char state = (char)('0' + m.state);
        if (write(ends[1], &state, 1) == 1) pause();
        _exit(1);
    }
    close(ends[1]);
    *from = ends[0];
    return pid;
}

static void kill_it(pid_t pid, int from)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(from);
}

static void the_lock_ends_with_its_holder(void **state)
{
    (void)state;
    MachineLock m;
    char answer;
    int from, other;
    const pid_t holder = asker(&from);
    assert_int_equal(read(from, &answer, 1), 1);
    assert_int_equal(answer - '0', MACHINE_OURS);
    machine_ask(&m);
    assert_int_equal(m.state, MACHINE_TAKEN);
    assert_true(machine_shared(&m));
    kill_it(holder, from);
    assert_true(machine_shared(&m));           /* it was, until now */
    assert_int_equal(m.state, MACHINE_OURS);
    assert_false(machine_shared(&m));
    const pid_t guest = asker(&other);         /* has the lock, by way of its parent */
    assert_int_equal(read(other, &answer, 1), 1);
    assert_int_equal(answer - '0', MACHINE_OURS);
    assert_false(machine_shared(&m));
    kill_it(guest, other);
    machine_leave(&m);
    assert_null(getenv("EIGHTYSIX_MACHINE"));
}

static void the_holder_knows_of_guests(void **state)
{
    (void)state;
    MachineLock m;
    char answer;
    int from;
    machine_ask(&m);
    assert_int_equal(m.state, MACHINE_OURS);
    unsetenv("EIGHTYSIX_MACHINE");
    const pid_t guest = asker(&from);
    assert_int_equal(read(from, &answer, 1), 1);
    assert_int_equal(answer - '0', MACHINE_TAKEN);
    assert_true(machine_shared(&m));
    assert_true(machine_shared(&m));           /* it is still there */
    kill_it(guest, from);
    machine_shared(&m);
    assert_false(machine_shared(&m));
    kill_it(asker(&from), from);               /* here and gone between two looks */
    machine_leave(&m);
}

/* ---- runs that are alive ---- */
/* A run that is running, of a process that is not there */
static long lost_run(Place *p, const char *place, const char *heartbeat)
{
    const char *why;
    Db *db = db_open("a.db", &p->a, &why);
    holds(why);
    const long run = db_run_start(db, NULL, "key", "d=1");
    db_close(db);
    by_hand(p, "a.db", arena_text(&p->a, "UPDATE run SET sweeper_start = 1, sweeper_place = %s, "
                                  "heartbeat = %s WHERE id = %ld", place, heartbeat, run));
    return run;
}

static const char *status_after_opening(Place *p, long run)
{
    const char *why;
    db_close(db_open("a.db", &p->a, &why));
    holds(why);
    return told(p, "a.db", arena_text(&p->a, "SELECT status || ': ' || error FROM run "
                                      "WHERE id = %ld", run));
}

static void heartbeats_tell_who_lives(void **state)
{
    Place *p = *state;
    static const struct { const char *place, *heartbeat, *says; } runs[] = {
        { "'elsewhere'", "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')", "running: " },
        { "'elsewhere'", "strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-50 seconds')", "running: " },
        { "'elsewhere'", "strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-70 seconds')", "crash: " },
        { "'elsewhere'", "NULL", "running: " },
        { "sweeper_place", "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')", "crash: " },
        { "''", "NULL", "crash: " },
    };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        const long run = lost_run(p, runs[i].place, runs[i].heartbeat);
        const char *is = status_after_opening(p, run);
        if (strncmp(is, runs[i].says, strlen(runs[i].says)))
            fail_msg("%s, %s: expected '%s', found '%s'", runs[i].place, runs[i].heartbeat,
                     runs[i].says, is);
        if (i == 2) assert_says(is, "has given no sign of life for 7");
    }
    /* another host */
    const long run = lost_run(p, "'elsewhere'", "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')");
    by_hand(p, "a.db", "UPDATE machine SET hostname = 'another'");
    assert_string_equal(status_after_opening(p, run), "running: ");
    by_hand(p, "a.db", "UPDATE run SET heartbeat = '2026-01-01T00:00:00Z' "
                       "WHERE status = 'running'");
    assert_says(status_after_opening(p, run), "crash: the sweep that ran it (process ");
}

/* A sweep in another PID namespace is alive, and its cell is not run a second time. */
static void another_namespace_lives(void **state)
{
    Place *p = *state;
    const char *said;
    if (place_shell(p, "unshare --pid --fork --mount-proc true", &said)) {
        print_message("needs the right to make a PID namespace: %s", said);
        skip();
    }
    experiment(p, "wait1", "budget: 1s\n");
    const char *command = "cd %s && { EIGHTYSIX_MACHINE=0:-1 unshare --pid --fork --mount-proc "
                          "'%s' sweep x.yaml --db a.db > inside 2>&1 & }";
    assert_int_equal(place_shell(p, arena_text(&p->a, command, p->dir, getenv("EIGHTYSIX_BINARY")),
                                 &said), 0);
    place_wait_for_lines("started", 1);
    for (int i = 0; strcmp(told(p, "a.db", "SELECT heartbeat IS NULL FROM run"), "0"); i++) {
        if (i > 100) fail_msg("the run has no heartbeat");
        usleep(50000);
    }
    setenv("EIGHTYSIX_MACHINE", "0:-1", 1);
    assert_int_equal(sweep_end(sweep_start("a.db", NULL)), 0);
    assert_says(printed, "0 done, 1 running elsewhere; 0 to run");
    assert_string_equal(told(p, "a.db", "SELECT status FROM run"), "running");
    place_write(p, "go", "");
    for (int i = 0; strcmp(told(p, "a.db", "SELECT status FROM run"), "ok"); i++) {
        if (i > 200) fail_msg("the run did not end");
        usleep(50000);
    }
    assert_int_equal(place_lines_of("started"), 1);
}

/* A run that was given up while its sweep was silent goes on, and loses nothing. */
static void given_up_while_alive(void **state)
{
    Place *p = *state;
    experiment(p, "wait1", "budget: 1s\n");
    const pid_t pid = sweep_start("a.db", NULL);
    place_wait_for_lines("started", 1);
    for (int i = 0; strcmp(told(p, "a.db", "SELECT count(*) FROM metric"), "1"); i++) {
        if (i > 100) fail_msg("the run has no records");
        usleep(20000);
    }
    by_hand(p, "a.db", "UPDATE run SET status = 'crash', error = 'silent'");
    place_write(p, "go", "");
    assert_int_equal(sweep_end(pid), 0);
    assert_says(printed, "run 1 was taken for dead by another process; it goes on as run 2");
    assert_string_equal(told(p, "a.db", "SELECT status, error FROM run"), "crash|silent;ok|");
    assert_string_equal(told(p, "a.db", SHOWN), "ok|1000.0|7.25|0|");
    assert_string_equal(told(p, "a.db", "SELECT DISTINCT run FROM metric"), "2");
    assert_string_equal(told(p, "a.db", "SELECT DISTINCT run FROM config"), "2");
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(two_sweeps),
        T(jobs_share),
        T(older_runs_are_shown),
        T(all_that_measure_say_it),
        T(the_lock_ends_with_its_holder),
        T(the_holder_knows_of_guests),
        T(heartbeats_tell_who_lives),
        T(another_namespace_lives),
        T(given_up_while_alive),
    };
    return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
