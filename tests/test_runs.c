/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a person asks of the records: lists of plans and runs, two runs or cells compared, an older
 * plan, and how far a sweep has come. */
#include "tests/fake.h"
#include <signal.h>

#define GRID "sweep head=softmax,tree V=100 budget=1s --db x.db"

/* ---- runs ---- */
static void test_runs(void **state)
{
    Place *p = *state;
    fake_run(p, 1, "sweep embed_init=ok,fail V=100 seeds=2 budget=1s --note 'a try' --db x.db");
    const char *said = fake_run(p, 0, "runs --db x.db");
    assert_says(said, "plan  planned");
    assert_says(said, "  grid        2/2/4          ");
    assert_says(said, "  a try\n");
    said = fake_run(p, 0, "runs grid --db x.db");
    assert_says(said, "grid: plan 1 of 20");
    assert_says(said, ": 2 of 4 cells ok; note: a try\n");
    assert_says(said, "embed_init=ok       1  ok      6.200      1001 ");
    assert_says(said, "embed_init=fail     2  fail ");
    assert_says(said, "  no room\n");
    said = fake_run(p, 0, "runs grid --failed --db x.db");
    assert_says(said, "embed_init=fail");
    assert_silent(said, "embed_init=ok");
    said = fake_run(p, 0, "runs grid --last 1 --db x.db");
    assert_says(said, "\n  4  embed_init=");
    assert_silent(said, "\n  3  ");
    fake_run(p, 0, "sweep head=tree V=100 --name fine --db x.db");
    assert_silent(fake_run(p, 0, "runs --failed --db x.db"), "fine");
    said = fake_run(p, 2, "runs nosuch --db x.db");
    assert_says(said, "no experiment 'nosuch'; there are ");
    assert_says(said, "fine");
    assert_says(fake_run(p, 2, "runs --last 0 --db x.db"), "--last 0: expected a whole number");
    assert_says(fake_run(p, 2, "runs --db y.db"), "y.db: no such database");
    assert_int_not_equal(access(place_in(p, "y.db"), F_OK), 0);
}

/* Words that make an experiment of their own */
static void test_variant(void **state)
{
    Place *p = *state;
    place_write(p, "x.yaml", "question: q\nfixed: {V: 100}\nfactors: {head: [softmax, tree]}\n"
                             "budget: 1s\n");
    fake_run(p, 0, "sweep x.yaml --db x.db");
    fake_run(p, 0, "sweep x.yaml d=64 --db x.db --filter head=tree");
    const char *said = fake_run(p, 0, "runs --db x.db");
    assert_says(said, "  x           2/0/2 ");
    assert_says(said, "  x d=64      1/0/2 ");
    assert_says(fake_run(p, 0, "runs x d=64 --db x.db"), "x d=64: plan 2 of ");
    assert_says(fake_run(p, 0, "runs x --db x.db"), "x: plan 1 of ");
}

/* ---- compare ---- */
static void test_compare(void **state)
{
    Place *p = *state;
    setenv("FAKE_PARTS", "1", 1);
    fake_run(p, 0, GRID " seeds=3");
    const char *said = fake_run(p, 0, "compare head=softmax head=tree --db x.db");
    assert_says(said, "A  head=softmax, experiment grid: run ");
    assert_says(said, ", seed 1 2 3\n");
    assert_says(said, "setting  A        B\nhead     softmax  tree\n\n");
    assert_says(said, "head:softmax      1234     -\n");
    assert_says(said, "head:tree            -  1234\n");
    assert_silent(said, "shared");
    /* the differences are -1.1, -1.2, -1.3; t of 2 degrees of freedom is 4.303 */
    assert_says(said, "6.4000  5.2000  -1.2000  [-1.4484, -0.9516]");
    assert_says(said, "3  provisional: fewer than 6 pairs\n");
    assert_says(said, "tokens/s             1002    1002       +0  [+0, +0]");
    assert_says(said, "head, % of a step    60.0    60.0     +0.0  ");
    assert_says(said, "step, ms           250.00  250.00    +0.00  ");
    assert_silent(said, "sittings");
    /* single runs */
    said = fake_run(p, 0, "compare 'head=softmax seed=1' 'head=tree seed=3' --db x.db");
    assert_says(said, "The seeds differ: 1 and 3\n");
    assert_says(said, "6.2000  5.3000  -0.9000");
    assert_says(said, "no interval: fewer than 2 pairs");
    assert_says(said, "seed     1        3\n");
    const char *uuid = fake_ask(p, "x.db", "SELECT substr(uuid, 1, 8) FROM run WHERE id = 1");
    said = fake_run(p, 0, arena_text(&p->a, "compare 1 %s --db x.db", uuid));
    assert_says(said, "no setting differs\n\nno part of the code differs\n");
    assert_says(said, "+0.0000");
    assert_says(fake_run(p, 0, "compare 'head=softmax seed=1' 'head=tree' --db x.db"), "-1.1000");
}

static void test_compare_firm(void **state)
{
    Place *p = *state;
    fake_run(p, 0, GRID " seeds=6 --name six");
    const char *said = fake_run(p, 0, "compare six:head=softmax six:head=tree --db x.db");
    assert_says(said, ", seed 1 2 3 4 5 6\n");
    assert_silent(said, "provisional");
}

/* What is not compared, and says why */
static void test_compare_apart(void **state)
{
    Place *p = *state;
    fake_run(p, 0, GRID " seeds=2 --filter head=tree");
    fake_run(p, 0, GRID " seeds=2");
    const char *said = fake_run(p, 0, "compare head=softmax head=tree --db x.db");
    assert_says(said, "The runs are of separate sittings: the machine may have changed");
    by_hand(p, place_in(p, "x.db"),
            "DROP TRIGGER run_final; INSERT INTO machine (cpu, isa, cores, kernel, hostname, "
            "governor, virt, mem_kb, l1d_kb, l2_kb, l3_kb) SELECT 'another CPU', isa, cores, "
            "kernel, hostname, governor, virt, mem_kb, l1d_kb, l2_kb, l3_kb FROM machine; "
            "UPDATE run SET machine = 2 WHERE id <= 2");
    said = fake_run(p, 0, "compare 1 3 --db x.db");
    assert_says(said, "speeds of two machine classes are not compared");
    assert_says(said, "not compared: two machine classes");
    assert_says(said, "another CPU");
    assert_silent(said, "sittings");
}

/* Text does not keep which process ran what, and old runs do not name the parts of their code */
static void test_compare_unknown(void **state)
{
    Place *p = *state;
    fake_run(p, 0, GRID " seeds=2");
    fake_run(p, 0, "export --text old --db x.db");
    fake_run(p, 0, "merge old --into y.db");
    const char *said = fake_run(p, 0, "compare head=softmax head=tree --db y.db");
    assert_says(said, "It is not recorded whether the runs are of one sitting: ");
    assert_says(said, "the parts of the code are not recorded; commits: A ");
    assert_silent(said, "no part of the code differs");
}

static void test_compare_refused(void **state)
{
    Place *p = *state;
    fake_run(p, 0, GRID);
    fake_run(p, 0, GRID " --name again");
    const char *said = fake_run(p, 2, "compare head=softmax head=tree --db x.db");
    assert_says(said, "head=softmax: a cell of 2 experiments, ");
    assert_says(said, "expected EXPERIMENT:head=softmax or --experiment");
    fake_run(p, 0, "compare head=softmax head=tree --experiment again --db x.db");
    fake_run(p, 0, "compare again:head=softmax grid:head=tree --db x.db");
    assert_says(fake_run(p, 2, "compare 99 1 --db x.db"), "99: no run of this number");
    assert_says(fake_run(p, 2, "compare x y --experiment none --db x.db"), "no experiment 'none'");
    assert_says(fake_run(p, 2, "compare 1 --db x.db"), "expected two runs");
}

/* ---- older plans ---- */
static void test_past(void **state)
{
    Place *p = *state;
    setenv("FAKE_PARTS", "1", 1);
    fake_run(p, 0, GRID);
    fake_run(p, 0, "sweep head=tree,adaptive V=100 budget=1s --db x.db");
    by_hand(p, place_in(p, "x.db"),
            "DROP TRIGGER run_final; UPDATE experiment SET planned = '2026-01-01T08:00:00Z' "
            "WHERE id = 1; UPDATE run SET started = '2026-01-01T08:00:00Z' WHERE id <= 2");
    static const struct { const char *ask; int old; } shows[] = {
        { "runs grid --db x.db", 0 },
        { "runs grid --plan 1 --db x.db", 1 },
        { "runs --plan 1 --db x.db", 1 },
        { "runs grid --plan 2 --db x.db", 0 },
        { "runs grid --at 2026-01-01 --db x.db", 1 },
        { "runs grid --at 2026-01-01T09:00:00Z --db x.db", 1 },
        { "export grid --out - --db x.db", 0 },
        { "export grid --out - --plan 1 --db x.db", 1 },
        { "export summary --out - --at 2026-01-01 --db x.db", 1 },
    };
    for (size_t i = 0; i < sizeof shows / sizeof *shows; i++) {
        const char *said = fake_run(p, 0, shows[i].ask);
        (shows[i].old ? assert_says : assert_silent)(said, "head=softmax");
        (shows[i].old ? assert_silent : assert_says)(said, "head=adaptive");
    }
    fake_run(p, 2, "why head=softmax --db x.db");
    assert_says(fake_run(p, 1, "why head=softmax --plan 1 --db x.db"), "1 runs behind it");
    static const char *const wrong[][2] = {
        { "runs --plan 7 --db x.db", "--plan 7: x.db: no such plan" },
        { "plot time_split --plan x --db x.db", "--plan x: x.db: no such plan" },
        { "export grid --at 2025-01-01 --db x.db", "nothing was planned until then" },
        { "why head=tree --at yesterday --db x.db", "--at yesterday: expected a day or a time" },
        { "runs --plan 2 --at 2026-01-01 --db x.db", "no such plan until then" },
        { "export --pack y.db --plan 1 --db x.db", "expected no view, experiment, plan or time" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_says(fake_run(p, 2, wrong[i][0]), wrong[i][1]);
}

/* A figure of an older plan, and what it says on stderr */
static void test_plot_past(void **state)
{
    Place *p = *state;
    const char *said;
    fake_run(p, 0, GRID);
    fake_run(p, 0, "sweep head=tree,adaptive V=100 budget=1s --db x.db");
    fake_run(p, 0, "plot time_split --out new --db x.db 2>err >out");
    place_shell(p, arena_text(&p->a, "cat %s/err", p->dir), &said);
    assert_says(said, "time_split: experiment grid, plan 2 of 20");
    place_shell(p, arena_text(&p->a, "cat %s/out", p->dir), &said);
    assert_string_equal(said, "new/time_split.svg\nnew/time_split.png\nnew/time_split.pdf\n");
    fake_run(p, 0, "plot time_split --out old --plan 1 --db x.db 2>err");
    place_shell(p, arena_text(&p->a, "cat %s/err", p->dir), &said);
    assert_says(said, "time_split: experiment grid, plan 1 of 20");
    place_shell(p, arena_text(&p->a, "cat %s/old/time_split.csv", p->dir), &said);
    assert_says(said, "head=softmax");
    place_shell(p, arena_text(&p->a, "cat %s/new/time_split.csv", p->dir), &said);
    assert_silent(said, "head=softmax");
}

/* plot, claims and paper from a directory that has nothing but a database */
static void test_elsewhere(void **state)
{
    Place *p = *state;
    const char *said;
    fake_run(p, 0, GRID);
    assert_says(fake_run(p, 0, "plot time_split --db x.db"), "results/figures/time_split.svg");
    assert_int_equal(access(place_in(p, "results/figures/time_split.pdf"), R_OK), 0);
    place_shell(p, arena_text(&p->a, "cd %s && '%s' claims --db x.db", p->dir,
                              getenv("EIGHTYSIX_BINARY")), &said);
    assert_says(said, " not tested");
    assert_says(fake_run(p, 0, "paper --db x.db"), "build/paper");
    assert_int_equal(access(place_in(p, "build/paper/numbers.tex"), R_OK), 0);
}

/* ---- watch ---- */
static pid_t in_background(Place *p, const char *arguments)
{
    const char *run = arena_text(&p->a, "cd %s && EIGHTYSIX_CELL_PROGRAM=%s/cell.sh exec '%s' %s "
                                        ">sweep.out 2>&1", p->dir, p->dir,
                                 getenv("EIGHTYSIX_BINARY"), arguments);
    const pid_t pid = fork();
    if (pid) return pid;
    execl("/bin/sh", "sh", "-c", run, (char *)NULL);
    _exit(127);
}

static void wait_for_step(Place *p)
{
    for (int i = 0; access(place_in(p, "started"), F_OK) && i < 1000; i++) usleep(10000);
    const char *steps = "SELECT count(*) FROM metric m JOIN run r ON r.id = m.run WHERE "
                        "status = 'running' AND m.name = 'loss'";
    for (int i = 0; atoi(fake_ask(p, "x.db", steps)) < 4; i++) {
        if (i > 1000) fail_msg("no step was recorded");
        usleep(10000);
    }
}

static void test_watch(void **state)
{
    Place *p = *state;
    const pid_t pid = in_background(p, "sweep embed_init=slow V=100 seeds=2 budget=12steps "
                                       "--db x.db");
    wait_for_step(p);
    /* it needs no lock that the sweep or another has */
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(place_in(p, "x.db"), &db, SQLITE_OPEN_READWRITE, NULL), 0);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    const char *said = fake_run(p, 0, "watch --db x.db");
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(db);
    assert_says(said, arena_text(&p->a, "grid: 0 of 2 cells done, cell 1 of the 2 of this sweep "
                                        "(process %d)\n  embed_init=slow seed=", (int)pid));
    assert_says(said, " s of 12steps  step 3  loss 8.300  (");
    assert_says(said, "\n  about ");
    assert_silent(said, "?");
    int status;
    kill(pid, SIGINT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 130);
    assert_says(fake_run(p, 1, "watch --once --db x.db"),
                "no sweep runs; the last one, grid, ended with 0 of 2 cells done, 1 failed\n");
    assert_says(fake_run(p, 2, "watch --db y.db"), "y.db: no such database");
    assert_int_not_equal(access(place_in(p, "y.db"), F_OK), 0);
}

/* On a terminal it goes on until the sweep ends */
static void test_watch_terminal(void **state)
{
    Place *p = *state;
    const char *said;
    if (place_shell(p, "command -v script", &said)) {
        print_message("no script(1): no terminal to try\n");
        skip();
    }
    const pid_t pid = in_background(p, "sweep embed_init=brief V=100 budget=1s --db x.db");
    wait_for_step(p);
    fake_run(p, 0, "list models >/dev/null; timeout 60 script -qec "
                   "\"$EIGHTYSIX_BINARY watch --db x.db\" /dev/null >screen");
    place_shell(p, arena_text(&p->a, "cat %s/screen", p->dir), &said);
    assert_says(said, "grid: 0 of 1 cells done");
    assert_says(said, "\033[J");
    assert_says(said, "no sweep runs; the last one, grid, ended with 1 of 1 cells done");
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fake_make, place_drop)
int main(void)
{
    const struct CMUnitTest tests[] = { T(test_runs),          T(test_variant),
                                        T(test_compare),       T(test_compare_firm),
                                        T(test_compare_apart), T(test_compare_refused),
                                        T(test_compare_unknown),
                                        T(test_past),          T(test_plot_past),
                                        T(test_elsewhere),     T(test_watch),
                                        T(test_watch_terminal) };
    return cmocka_run_group_tests_name("runs", tests, NULL, NULL);
}
