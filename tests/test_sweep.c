/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sweeps whose cells misbehave in every way: the cell is a shell script that does what embed_init=
 * says. Each sweep is a process of its own, so that it can be killed. */
#include "harness/cli/cmd.h"
#include "harness/sweep/cell.h"
#include "models/params.h"
#include "tests/place.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const char script[] =
    "#!/bin/sh\n"
    "for w; do case $w in embed_init=*) mode=${w#embed_init=};; esac; done\n"
    "echo \"$mode\" >> started\n"
    "echo \"text kernel fake\" >&3; echo \"num loss 0 9.5\" >&3; echo \"span core.forward 0 0.25\" "
    ">&3\n"
    "case $mode in\n"
    "  fail)    echo noise >&2; echo \"eightysix: corpus 'x': no such file\" >&2; exit 2;;\n"
    "  skip)    echo 'eightysix: kernel=i9: needs a CPU of another kind' >&2; exit 77;;\n"
    "  mute)    exit 3;;\n"
    "  abort)   echo 'x.c:3: bug: a < b' >&2; kill -ABRT $$;;\n"
    "  kill9)   kill -KILL $$;;\n"
    "  slow)    exec sleep 9;;\n"
    "  deaf)    trap '' TERM; for i in 1 2 3 4 5 6 7 8 9; do sleep 1; done;;\n"
    "  eater)   exec perl -e '$x = \"x\" x 300_000_000; sleep 9';;\n"
    "  nan)     printf 'num nll 1 nan\\nnum tokens_per_s 1 1000\\n' >&3;;\n"
    "  spike)   exec perl -e '$n = 800_000_000; $x = \"x\" x $n';;\n"
    "  rubbish) printf 'hello\\001world\\n' >&3; printf 'num nll 1 6.3' >&3;;\n"
    "  flood)   i=0; while [ $i -lt 20000 ]; do echo \"num loss $i 1.5\"; i=$((i+1)); done >&3;;\n"
    "  ok*)     printf 'num nll 1 7.25\\nnum tokens_per_s 1 1000\\nnum nll 1 6.' >&3;;\n"
    "  long*)   sleep 1; echo 'num nll 1 7.5' >&3;;\n"
    "  wait*)   sleep 0.4; echo $mode >> survived; echo 'num nll 1 7.5' >&3;;\n"
    "esac\n"
    "echo \"$mode $OMP_NUM_THREADS $OMP_PROC_BIND\" >> ended\n";

static char printed[65536];                    /* by the last sweep */

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int set_up(void **state)
{
    if (place_make(state)) return -1;
    Place *p = *state;
    if (chmod(p->dir, 0755) || chdir(p->dir)) return -1;
    write_file("cell.sh", script, 0755);
    setenv("EIGHTYSIX_CELL_PROGRAM", place_in(p, "cell.sh"), 1);
    unsetenv("OMP_NUM_THREADS");
    unsetenv("OMP_PROC_BIND");
    return 0;
}

static int tear_down(void **state) { return chdir("/") || place_drop(state); }

static void experiment(Place *p, const char *modes, const char *more)
{
    write_file(
        "x.yaml",
        arena_text(&p->a,
                   "question: what goes wrong?\nfixed: {threads: 2}\nfactors: {embed_init: [%s]}\n"
                   "budget: 1s\n%s",
                   modes, more),
        0644);
}

/* what becomes of the process before it sweeps */
typedef enum { PLAIN, SMALL_FILES, MIDDLE_FILES, NOBODY } Fate;

static pid_t sweep_start(Fate fate, int (*command)(int, char **), const char *const *words)
{
    char *argv[16] = { "sweep" };
    int argc = 1;
    while (words[argc - 1]) {
        argv[argc] = (char *)words[argc - 1];
        argc++;
    }
    fflush(NULL);
    const pid_t pid = fork();
    if (pid) return pid;
    const int out = open("out", O_CREAT | O_WRONLY | O_TRUNC, 0666);
    dup2(out, 1);
    dup2(out, 2);
    if (fate == SMALL_FILES || fate == MIDDLE_FILES) {
        const rlim_t most = fate == SMALL_FILES ? 300000 : 450000;
        const struct rlimit limit = { most, most };
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    if (fate == NOBODY && geteuid() == 0) {
        if (setgid(65534) || setuid(65534)) _exit(99);
        prctl(PR_SET_DUMPABLE, 1);            /* a leak checker wants to look */
    }
    exit(command(argc, argv));
}

static int sweep_end(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    FILE *f = fopen("out", "r");
    const size_t n = fread(printed, 1, sizeof printed - 1, f);
    printed[n] = 0;
    fclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define RUN(fate, command, ...)                                                                    \
    sweep_end(sweep_start(fate, command, (const char *[]) { __VA_ARGS__, NULL }))
#define SWEEP(...) RUN(PLAIN, sweep_main, "x.yaml", "--db", "r/x.db", __VA_ARGS__)

static const char *one(Place *p, const char *sql) { return place_ask(p, "r/x.db", sql); }

static void expect_run(Place *p, const char *mode, const char *status, const char *error)
{
    const char *from = arena_text(
        &p->a,
        "FROM run JOIN config c ON c.run = run.id AND c.key = 'embed_init' AND c.value = '%s' "
        "ORDER BY run.id DESC",
        mode);
    assert_string_equal(one(p, arena_text(&p->a, "SELECT status %s", from)), status);
    const char *said = one(p, arena_text(&p->a, "SELECT error %s", from));
    if (*error ? !strstr(said, error) : *said)
        fail_msg("%s: expected '%s' in '%s'", mode, error, said);
    assert_string_equal(
        one(p,
            arena_text(&p->a,
                       "SELECT value FROM metric WHERE name = 'loss' AND run = (SELECT run.id %s)",
                       from)),
        "9.5");
}

static void wait_for_text(const char *path, const char *text)
{
    for (int i = 0;; i++) {
        FILE *f = fopen(path, "r");
        printed[f ? fread(printed, 1, sizeof printed - 1, f) : 0] = 0;
        if (f) fclose(f);
        if (strstr(printed, text)) return;
        if (i > 1000) fail_msg("%s never had '%s': %s", path, text, printed);
        usleep(10000);
    }
}

static void test_ok(void **state)
{
    Place *p = *state;
    experiment(p, "ok", "");
    assert_int_equal(SWEEP("--seed", "1"), 0);
    expect_run(p, "ok", "ok", "");
    /* no cut line */
    assert_string_equal(
        one(p, "SELECT value FROM metric WHERE name = 'nll' ORDER BY rowid DESC LIMIT 1"), "7.25");
    assert_string_equal(one(p, "SELECT seconds FROM span"), "0.25");
    assert_string_equal(one(p, "SELECT value FROM config WHERE key = 'threads'"), "2");
    assert_string_equal(
        one(p,
            "SELECT count(*) FROM run WHERE wall_s > 0 AND peak_rss_kb > 0 AND length(uuid) = 32"),
        "1");
    FILE *f = fopen("ended", "r");
    char line[80] = "";
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    assert_string_equal(line, "ok 2 close\n");
    assert_int_equal(access("r/x.csv", R_OK), 0);
    assert_says(printed, "embed_init=ok     1  ok");
    assert_says(printed, "7.250");
    assert_says(printed, "head %: (head.forward + head.backward) / step");
}

static void test_faults(void **state)
{
    Place *p = *state;
    experiment(p, "ok, fail, skip, mute, abort, kill9, slow, deaf, eater, rubbish, nan",
               "limits: {seconds: 1, memory: 150MB}\n");
    assert_int_equal(SWEEP("--filter", "embed_init=skip"), 0);
    assert_int_equal(SWEEP("--seed", "3"), 1);
    expect_run(p, "ok", "ok", "");
    expect_run(p, "fail", "fail", "corpus 'x': no such file");
    expect_run(p, "skip", "skip", "kernel=i9: needs a CPU of another kind");
    expect_run(p, "mute", "fail", "exit code 3");
    expect_run(p, "abort", "crash", "signal 6 (Aborted): x.c:3: bug: a < b");
    expect_run(p, "kill9", "crash", "signal 9");
    expect_run(p, "slow", "timeout", "over its limit of 1 s");
    expect_run(p, "deaf", "timeout", "over its limit of 1 s");
    expect_run(p, "eater", "oom", "over its limit of 150 MB");
    expect_run(p, "rubbish", "fail", "1 of its lines were no records, the first: 'hello?world'");
    expect_run(p, "nan", "fail", "its record 'nll' of step 1 is nan: expected a number");
    assert_says(printed, "embed_init=fail: fail: corpus 'x': no such file");
    assert_int_equal(access("r/logs/x-1.log", R_OK), 0);
    assert_int_equal(SWEEP("--dry-run"), 0);
    assert_says(printed, "done     embed_init=ok  (ok)");
    assert_says(printed, "stale    embed_init=fail  (no ok run; the last one ended with fail: "
                         "corpus 'x': no such file)");
    assert_says(printed, "0 new, 10 stale, 1 done");
}

/* A peak too short to be seen between two looks. It can be told from what the sweep itself has only
 * where it is more, sanitised too */
static void test_short_peak(void **state)
{
    Place *p = *state;
    experiment(p, "spike", "limits: {seconds: 60, memory: 600MB}\n");
    assert_int_equal(SWEEP("--seed", "3"), 1);
    expect_run(p, "spike", "oom", "over its limit of 600 MB: ");
}

/* Words of the command line that name a file stand in the name of the table */
static void test_name_of_the_table(void **state)
{
    Place *p = *state;
    experiment(p, "ok", "");
    mkdir("sub", 0777);
    write_file("sub/t.txt", "a b c\n", 0644);
    assert_int_equal(SWEEP("--seed", "1"), 0);
    assert_int_equal(SWEEP("corpus=sub/t.txt", "vocab=bytes"), 0);
    assert_int_equal(access("r/x.corpus=sub.t.txt.vocab=bytes.csv", R_OK), 0);
}

static void test_program_missing(void **state)
{
    Place *p = *state;
    experiment(p, "ok", "");
    setenv("EIGHTYSIX_CELL_PROGRAM", "/nonexistent/cell", 1);
    assert_int_equal(SWEEP("--seed", "1"), 1);
    assert_says(printed, "/nonexistent/cell: cannot be run: No such file or directory");
}

/* A new build of the program in place of the one that sweeps: it goes on with its own */
static void test_program_replaced(void **state)
{
    Place *p = *state;
    const char *binary = getenv("EIGHTYSIX_BINARY"), *output;
    write_file("x.yaml",
               "question: q\nfixed: {V: 50, d: 32, inner: 32, train_tokens: 2000, seq: 8, "
               "valid_tokens: 64, threads: 1, gemm: portable}\nfactors: {head: [softmax, tree, "
               "huffman]}\nbudget: 1s\n", 0644);
    unsetenv("EIGHTYSIX_CELL_PROGRAM");
    setenv("EIGHTYSIX_CACHE", place_in(p, "cache"), 1);
    const char *replaced =
        "cd %s && cp %s program && (./program sweep x.yaml --db r/x.db & sweep=$!; "
        "until [ -e r/logs/x-1.log ]; do sleep 0.05; done; "
        "echo '#!/bin/false' > new && mv new program && wait $sweep)";
    const int code = place_shell(p, arena_text(&p->a, replaced, p->dir, binary), &output);
    if (code) fail_msg("exit code %d: %s", code, output);
    assert_string_equal(one(p, "SELECT count(*) FROM run WHERE status = 'ok'"), "3");
    unsetenv("EIGHTYSIX_CACHE");
}

static void test_resume(void **state)
{
    Place *p = *state;
    experiment(p, "ok1, ok2, ok3", "seeds: 2\n");
    assert_int_equal(SWEEP("--dry-run"), 0);
    assert_says(printed, "new      embed_init=ok1 seed=1  (no run yet)  about 6 s");
    assert_int_not_equal(access("r", F_OK), 0);                /* a dry run makes nothing */
    assert_int_equal(SWEEP("--filter", "embed_init=ok2"), 0);
    assert_int_equal(place_lines_of("started"), 2);
    assert_int_equal(SWEEP("--seed", "1"), 0);
    assert_int_equal(place_lines_of("started"), 6);
    assert_int_equal(SWEEP("--resume"), 0);
    assert_int_equal(place_lines_of("started"), 6);
    assert_int_equal(SWEEP("--fresh"), 0);
    assert_int_equal(place_lines_of("started"), 12);
    assert_string_equal(one(p, "SELECT count(*) FROM run WHERE status = 'ok'"), "12");
    assert_string_equal(one(p, "SELECT count(*) FROM result"), "6");
    assert_int_equal(RUN(PLAIN, export_main, "summary", "--db", "r/x.db", "--out", "-"), 0);
    assert_says(printed, "x,embed_init=ok1,2,2,0,1000.0");
}

static const char grid[] =
    "question: q\nfixed: {threads: 2, embed_init: ok}\nbudget: 1s\n"
    "factors: {head: [softmax, tree], assign: [brown, freq]}\n";

/* classes of words beside the full softmax: one cell in place of two, and the plan says so */
static void test_merged(void **state)
{
    static const char says[] = "x: assign applies to head=tree: set back to its default in 2 "
                               "cells, of which 1 is the same as another and is left out\n";
    Place *p = *state;
    write_file("x.yaml", grid, 0644);
    assert_int_equal(SWEEP("--dry-run"), 0);
    assert_says(printed, says);
    assert_says(printed, "new      head=softmax  (no run yet)");
    assert_says(printed, "x: 3 new, 0 stale, 0 done");
    assert_int_equal(SWEEP("--filter", "assign=freq"), 0);
    assert_says(printed, says);
    assert_int_equal(place_lines_of("started"), 1);
    assert_int_equal(SWEEP("--seed", "1"), 0);
    assert_int_equal(place_lines_of("started"), 3);
    assert_string_equal(one(p, "SELECT group_concat(label, ';') FROM (SELECT label FROM plan "
                               "WHERE experiment = 1 ORDER BY position)"),
                        "head=softmax;head=tree assign=brown;head=tree assign=freq");
    assert_string_equal(one(p, "SELECT count(*) FROM label WHERE experiment = 1"), "5");
    assert_int_equal(SWEEP("--dry-run"), 0);
    assert_says(printed, "0 new, 0 stale, 3 done");
}

/* What a run would find wrong a dry run does too, and nothing is recorded */
static void test_dry_run_checks(void **state)
{
    (void)state;
    static const struct { const char *fixed, *says; } wrong[] = {
        { "fixed: {kernel: reff}", "x.yaml:2:17: kernel=reff is not in this binary" },
        { "fixed: {head: treee}", "x.yaml:2:15: head=treee: no such head" },
        { "fixed: {gemm: dnn}", "x.yaml:2:15: gemm=dnn: no such provider" },
        { "fixed: {model: v4}", "x.yaml:2:16: model=v4: no such model" },
        { "fixed: {corpus: edoo}", "x.yaml:2:17: no corpus 'edoo'" },
        { "fixed: {kernel: ref}", "x.yaml:2:17: kernel: applies to act=int8" },
        { "figure: time_splot", "x.yaml:2:9: figure 'time_splot': expected a script" },
    };
    Arena *a = &((Place *)*state)->a;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *yaml = "question: q\n%s\nfactors: {seq: [8]}\n";
        write_file("x.yaml", arena_text(a, yaml, wrong[i].fixed), 0644);
        assert_int_equal(SWEEP("--dry-run"), 2);
        assert_says(printed, wrong[i].says);
        assert_int_equal(SWEEP("--seed", "1"), 2);
        assert_says(printed, wrong[i].says);
    }
    assert_int_not_equal(access("r", F_OK), 0);
    assert_int_equal(SWEEP("--dry-run", "corpus=edoo"), 2);
}

static void test_usage(void **state)
{
    Place *p = *state;
    experiment(p, "ok", "");
    assert_int_equal(RUN(PLAIN, sweep_main, "none.yaml"), 2);
    assert_says(printed, "none.yaml: cannot be read");
    assert_int_equal(SWEEP("--colour"), 2);
    assert_says(printed, "--colour: no such option");
    assert_int_equal(SWEEP("--filter", "embed_init=x"), 2);
    assert_says(printed, "no such factor and level");
    assert_int_equal(SWEEP("--jobs", "none"), 2);
    assert_int_equal(SWEEP("hed=tree"), 2);
    assert_says(printed, "nearest is 'head'");
    assert_int_equal(SWEEP("d=64", "d=32"), 2);
    assert_says(printed, "'d' is given twice");
    write_file("x.yaml", "question: q\nfactors: {embed_init: [tree]\n", 0644);
    assert_int_equal(SWEEP("--dry-run"), 2);
    assert_says(printed, "x.yaml:3:1: not YAML");
    assert_int_equal(place_lines_of("started"), 0);
}

/* kill -9 of the sweep in the middle: its child dies, what was said stays, the next sweep finishes
 * the rest */
static void test_killed(void **state)
{
    Place *p = *state;
    experiment(p, "wait1, wait2, wait3, wait4, wait5", "");
    const pid_t pid =
        sweep_start(PLAIN, sweep_main, (const char *[]) { "x.yaml", "--db", "r/x.db", NULL });
    place_wait_for_lines("started", 3);
    usleep(200000);
    kill(pid, SIGKILL);
    assert_int_equal(sweep_end(pid), 128 + SIGKILL);
    usleep(700000);
    /* the third child died with its parent */
    assert_int_equal(place_lines_of("survived"), 2);
    assert_string_equal(one(p, "SELECT count(*) FROM run WHERE status = 'ok'"), "2");
    assert_string_equal(
        one(p, "SELECT count(*) FROM metric m JOIN run r ON r.id = m.run WHERE status = 'running'"),
        "1");
    assert_int_equal(SWEEP("--seed", "1"), 0);
    assert_int_equal(place_lines_of("started"), 6);
    assert_int_equal(place_lines_of("ended"), 5);
    assert_string_equal(one(p, "SELECT count(*) FROM run WHERE status = 'ok'"), "5");
    assert_string_equal(one(p, "SELECT count(DISTINCT cell) FROM run WHERE status = 'ok'"), "5");
    assert_string_equal(
        one(p, "SELECT status || ': ' || error FROM run WHERE status <> 'ok'"),
        arena_text(&p->a, "crash: the sweep that ran it (process %d) was killed", (int)pid));
}

static void test_interrupted(void **state)
{
    Place *p = *state;
    experiment(p, "slow, deaf", "");
    const pid_t pid =
        sweep_start(PLAIN, sweep_main, (const char *[]) { "x.yaml", "--db", "r/x.db", NULL });
    place_wait_for_lines("started", 1);
    usleep(200000);
    kill(pid, SIGINT);
    assert_int_equal(sweep_end(pid), 130);
    assert_int_equal(place_lines_of("started"), 1);
    assert_string_equal(one(p, "SELECT status || ': ' || error FROM run"), "crash: interrupted");
    assert_string_equal(one(p, "SELECT count(*) FROM metric WHERE name = 'loss'"), "1");
}

/* Where neither the database nor the file beside it can be written, the sweep says so, waits, and
 * ^C ends it */
static void test_disk_full(void **state)
{
    Place *p = *state;
    experiment(p, "ok", "");
    assert_int_equal(SWEEP("--seed", "1"), 0);
    experiment(p, "ok, flood", "");
    const pid_t pid =
        sweep_start(SMALL_FILES, sweep_main, (const char *[]) { "x.yaml", "--db", "r/x.db", NULL });
    wait_for_text("out", "are kept in memory");
    kill(pid, SIGINT);
    assert_int_equal(sweep_end(pid), 2);
    assert_says(printed, "r/x.db: cannot be written: ");
    assert_says(printed, "File too large");
    assert_string_equal(one(p, "PRAGMA integrity_check"), "ok");
    assert_string_equal(one(p, "SELECT count(*) FROM run WHERE status = 'ok'"), "1");
    assert_int_equal(SWEEP("--seed", "1"), 0);
    assert_string_equal(
        one(p, "SELECT count(*) FROM metric WHERE value = 1.5 AND run = (SELECT max(id) FROM run)"),
        "20000");
}

/* What the database has no room for is kept beside it, and the next command takes it in */
static void test_disk_full_for_the_database(void **state)
{
    Place *p = *state;
    experiment(p, "flood", "");
    assert_int_equal(RUN(MIDDLE_FILES, sweep_main, "x.yaml", "--db", "r/x.db"), 1);
    assert_says(printed, "r/x.db: cannot be written: ");
    assert_says(printed, "are kept in r/x.db.spool/");
    assert_string_equal(one(p, "SELECT status FROM run"), "running");
    assert_int_equal(SWEEP("--seed", "1"), 0);
    assert_int_equal(place_lines_of("started"), 1);
    assert_string_equal(one(p, "SELECT status || ' ' || (wall_s > 0) FROM run"), "ok 1");
    assert_string_equal(one(p, "SELECT count(*) FROM metric WHERE value = 1.5"), "20000");
    assert_int_equal(rmdir("r/x.db.spool"), 0);
}

/* Another process keeps the database locked; returns its connection */
static sqlite3 *lock(void)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2("r/x.db", &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void unlock(sqlite3 *db)
{
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(db);
}

/* A cell that ends while the database is locked is recorded when it is free again */
static void test_locked(void **state)
{
    Place *p = *state;
    experiment(p, "long1, long2", "");
    const pid_t pid =
        sweep_start(PLAIN, sweep_main, (const char *[]) { "x.yaml", "--db", "r/x.db", NULL });
    place_wait_for_lines("started", 1);
    sqlite3 *db = lock();
    place_wait_for_lines("ended", 1);
    wait_for_text("out", "are kept in r/x.db.spool/");
    assert_int_equal(place_lines_of("started"), 1);
    unlock(db);
    assert_int_equal(sweep_end(pid), 0);
    assert_says(printed, "r/x.db: locked by another process");
    assert_string_equal(one(p, "SELECT count(*) FROM run WHERE status = 'ok'"), "2");
    assert_string_equal(one(p, "SELECT group_concat(n) FROM (SELECT count(*) AS n FROM metric "
                               "WHERE name IN ('loss', 'nll') GROUP BY run)"), "2,2");
    assert_int_equal(rmdir("r/x.db.spool"), 0);
}

/* kill -9 while the records of a cell are beside the database: none of them is lost or counted
 * twice */
static void test_killed_while_locked(void **state)
{
    Place *p = *state;
    experiment(p, "long1", "");
    const pid_t pid =
        sweep_start(PLAIN, sweep_main, (const char *[]) { "x.yaml", "--db", "r/x.db", NULL });
    place_wait_for_lines("started", 1);
    sqlite3 *db = lock();
    place_wait_for_lines("ended", 1);
    wait_for_text("out", "long1  ");
    kill(pid, SIGKILL);
    assert_int_equal(sweep_end(pid), 128 + SIGKILL);
    unlock(db);
    assert_int_equal(SWEEP("--seed", "1"), 0);
    assert_int_equal(place_lines_of("started"), 1);
    assert_string_equal(one(p, "SELECT status FROM run"), "ok");
    assert_string_equal(
        one(p, "SELECT count(*) FROM metric WHERE name IN ('loss', 'nll')"), "2");
}

static void test_database(void **state)
{
    Place *p = *state;
    experiment(p, "ok", "");
    assert_int_equal(SWEEP("--seed", "1"), 0);
    assert_int_equal(chmod("r/x.db", 0444) || chmod("r", 0555) || chmod(".", 0777) || unlink("out"),
                     0);
    assert_int_equal(RUN(NOBODY, sweep_main, "x.yaml", "--db", "r/x.db"), 2);
    assert_says(printed, "r/x.db: read-only; expected a database that can be written");
    assert_int_equal(RUN(NOBODY, export_main, "result", "--db", "r/x.db", "--out", "-"), 0);
    assert_says(printed, "x,0,embed_init=ok,1,softmax");
    assert_int_equal(chmod("r", 0755), 0);
    write_file("r/y.db", "this is not a database\n", 0644);
    assert_int_equal(RUN(PLAIN, sweep_main, "x.yaml", "--db", "r/y.db"), 2);
    assert_says(printed, "r/y.db: not an SQLite database");
    assert_int_equal(RUN(PLAIN, plot_main, "time_split", "--db", "r/z.db"), 2);
    assert_says(printed, "r/z.db: no such database");
    assert_int_equal(place_lines_of("started"), 1);
}

static int seen_lines;
static void see(void *ctx, const Record *l) { *(int *)ctx += l->kind == 'n'; }

static void test_one_cell(void **state)
{
    Place *p = *state;
    Spec *spec = spec_new(&p->a);
    assert_null(spec_set(spec, "embed_init=ok"));
    const Outcome o = cell_run(NULL, NULL, spec, (Limits){ 10, 0 }, see, &seen_lines, &p->a);
    assert_string_equal(o.status, "ok");
    assert_string_equal(o.error, "");
    assert_int_equal(seen_lines, 3);
    assert_true(o.wall_s > 0 && o.wall_s < 10 && o.peak_rss_kb > 0);
}

static void hear_line(void *ctx, char *line) { (void)ctx, (void)line; }
static void hear_words(void *ctx, const char *bytes, size_t n) { (void)ctx, (void)bytes, (void)n; }

/* The memory of this process, of which a child is a copy until it becomes its program, is not the
 * child's. */
static void test_memory_of_ours(void **state)
{
    (void)state;
    enum { OURS = 200 << 20, MOST_KB = 100 << 10, TRIALS = 20 };
    char *const argv[] = { "/bin/sleep", "0.02", NULL }, *ours = malloc(OURS);
    assert_non_null(ours);
    memset(ours, 1, OURS);
    for (int i = 0; i < TRIALS; i++) {
        Child c;
        const char *why;
        assert_null(child_start(&c, &(ChildPlan){ .program = argv[0], .argv = argv,
                                                  .limits = { 10, MOST_KB }, .line = hear_line,
                                                  .said = hear_words }));
        while (!child_step(&c)) continue;
        assert_string_equal(child_status(&c, &why), "ok");
    }
    free(ours);
}

/* kill -9 in the middle of a run that saves after every step: every step that the checkpoint has is
 * recorded */
static void test_checkpoint_after_records(void **state)
{
    Place *p = *state;
    const char *output, *why = NULL;
    unsetenv("EIGHTYSIX_CELL_PROGRAM");
    setenv("EIGHTYSIX_CACHE", place_in(p, "cache"), 1);
    const char *train =
        "cd %s && mkdir r && ('%s' train V=50 d=32 inner=32 train_tokens=2000 seq=8 batch=1 "
        "accum=1 valid_tokens=64 threads=1 gemm=portable budget=60s save=x save_every=1steps "
        "--db r/x.db --quiet & train=$!; until [ -e x ]; do sleep 0.01; done; "
        "sleep 0.4; kill -9 $train; wait $train; true)";
    place_shell(p, arena_text(&p->a, train, p->dir, getenv("EIGHTYSIX_BINARY")), &output);
    usleep(100000);
    TensorFile *f = tensors_open("x", &p->a, &why);
    if (!f) fail_msg("%s: %s", why, output);
    const long saved = strtol(tensors_meta(f, "step"), NULL, 10),
               recorded =
                   strtol(one(p, "SELECT max(step) + 1 FROM metric WHERE name = 'loss'"), NULL, 10);
    tensors_close(f);
    if (saved < 1 || saved > recorded)
        fail_msg("the checkpoint has %ld steps, %ld are recorded", saved, recorded);
    unsetenv("EIGHTYSIX_CACHE");
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_ok),       T(test_faults),  T(test_short_peak), T(test_name_of_the_table),
        T(test_program_missing),
        T(test_resume),
        T(test_program_replaced),
        T(test_usage),    T(test_killed),  T(test_interrupted),     T(test_disk_full),
        T(test_disk_full_for_the_database), T(test_locked), T(test_killed_while_locked),
        T(test_merged),   T(test_dry_run_checks),
        T(test_database), T(test_one_cell), T(test_memory_of_ours),
        T(test_checkpoint_after_records)
    };
    return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
