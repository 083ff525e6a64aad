/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What makes two runs the same, and that nothing which was paid for disappears: after any sequence
 * of plans, filters, overrides, builds, interrupted sweeps, merges and exports every cell that has
 * a valid run shows one. */
#include "harness/store/db.h"
#include "tests/place.h"
#include <math.h>

enum { CELLS = 5, SEQUENCES = 3, STEPS = 12 };

static void forget_db(Place *p)
{
    const char *said;
    const char *files = arena_text(&p->a, "rm -f '%s' '%s'-*", p->path, p->path);
    assert_int_equal(place_shell(p, files, &said), 0);
}

static Db *open_db(Place *p)
{
    const char *why;
    Db *db = db_open(p->path, &p->a, &why);
    if (!db) fail_msg("%s", why);
    return db;
}

static const char *spec_of(Place *p, int cell, const char *words)
{
    return arena_text(&p->a, "d=%d budget=%s%s%s", cell + 1, "5Mtokens", *words ? " " : "", words);
}

/* A plan of all cells, as a sweep records it */
static long plan_all(Place *p, Db *db, const char *name, const char *overrides, DbMeasures what,
                     const char *texts)
{
    const long e = db_experiment(db, name, "q", overrides, what);
    for (int i = 0; i < CELLS; i++) {
        const char *spec = spec_of(p, i, overrides);
        db_plan(db, e, i, spec, spec, arena_text(&p->a, "d=%d", i + 1), 1, texts);
    }
    db_flush(db);
    return e;
}

/* A run of one cell by code with these parts ("": it does not name them) */
static long add_run(Place *p, Db *db, const char *name, const char *spec, const char *status,
                    const char *part, const char *hash, const char *corpus)
{
    const long run = db_run_start(db, name, spec, spec);
    if (*part)
        db_record(db, run, &(Record){ .kind = 't', .name = arena_text(&p->a, "part:%s", part),
                                      .text = hash });
    if (*corpus)
        db_record(db, run, &(Record){ .kind = 't', .name = "corpus_sha", .text = corpus });
    db_run_end(db, run, status, "", 1, 1);
    return run;
}

/* The first value of the first row of a question; -1: no row */
static long asked(Place *p, const char *sql)
{
    const char *why;
    Db *db = db_open_read(p->path, &p->a, &why);
    if (!db) fail_msg("%s", why);
    DbTable t;
    holds(db_table(db, sql, &t, &p->a));
    const long x = t.rows && t.field[t.columns] ? strtol(t.field[t.columns], NULL, 10) : -1;
    db_close(db);
    return x;
}

#define OK_ROWS(name) "SELECT count(*) FROM result WHERE status = 'ok' AND experiment = '" name "'"

/* The hash that this program has for a part */
static const char *hash_of(Place *p, const char *part)
{
    const char *hash = build_part(build_read(&p->a), part, &p->a);
    assert_non_null(hash);
    return hash;
}

/* A sweep by another build that runs one cell, of a loss or of a speed, leaves the others shown. */
static void a_new_build_hides_nothing(void **state)
{
    Place *p = *state;
    for (int what = 0; what < 2; what++) {
        const char *name = what ? "losses" : "speeds";
        forget_db(p);
        Db *db = open_db(p);
        plan_all(p, db, name, "", (DbMeasures)what, "");
        for (int i = 0; i < CELLS; i++)
            add_run(p, db, name, spec_of(p, i, ""), "ok", "head:tree", "old", "");
        db_close(db);
        by_hand(p, p->path, "UPDATE build SET sha = 'before' || id, git = 'before'");
        db = open_db(p);
        plan_all(p, db, name, "", (DbMeasures)what, "");
        add_run(p, db, name, spec_of(p, 2, ""), "ok", "head:tree", hash_of(p, "head:tree"), "");
        db_close(db);
        assert_int_equal(asked(p, arena_text(&p->a, OK_ROWS("%s"), name)), CELLS);
        const char *older = "SELECT sum(older) FROM result WHERE experiment = '%s'";
        /* of losses the new one is shown beside the older; speeds are those of one set */
        assert_int_equal(asked(p, arena_text(&p->a, older, name)), what ? CELLS - 1 : CELLS);
        db = open_db(p);
        for (int i = 0; i < CELLS; i++)
            add_run(p, db, name, spec_of(p, i, ""), "ok", "head:tree", hash_of(p, "head:tree"), "");
        db_close(db);
        assert_int_equal(asked(p, arena_text(&p->a, older, name)), 0);
    }
}

/* Threads, kernels and providers are other cells of a speed, and the same of a loss. */
static void threads_change_no_loss(void **state)
{
    Place *p = *state;
    Db *db = open_db(p);
    plan_all(p, db, "losses", "threads=1", DB_LOSS, "");
    plan_all(p, db, "speeds", "threads=1", DB_SPEED, "");
    for (int i = 0; i < CELLS; i++) {
        add_run(p, db, "losses", spec_of(p, i, "threads=1"), "ok", "", "", "");
        add_run(p, db, "speeds", spec_of(p, i, "threads=1"), "ok", "", "", "");
    }
    plan_all(p, db, "losses", "", DB_LOSS, "");
    plan_all(p, db, "speeds", "", DB_SPEED, "");
    const char *reason, *spec = spec_of(p, 0, "gemm=portable kernel=ref threads=7");
    double wall;
    DbCell cell = { spec, spec, "", DB_LOSS };
    assert_int_equal(db_cell_state(db, &cell, &p->a, &reason, &wall), CELL_DONE);
    cell.measures = DB_SPEED;
    assert_int_not_equal(db_cell_state(db, &cell, &p->a, &reason, &wall), CELL_DONE);
    spec = spec_of(p, 0, "kernel=noop");
    cell = (DbCell){ spec, spec, "", DB_LOSS };
    assert_int_not_equal(db_cell_state(db, &cell, &p->a, &reason, &wall), CELL_DONE);
    db_close(db);
    assert_int_equal(asked(p, OK_ROWS("losses")), CELLS);
    assert_int_equal(asked(p, "SELECT count(*) FROM result WHERE experiment = 'losses'"), CELLS);
    /* the plain plan has no run of a speed yet; that with the word is beside it */
    assert_int_equal(asked(p, OK_ROWS("speeds threads=1")), CELLS);
    assert_int_equal(asked(p, OK_ROWS("speeds")), 0);
}

/* Words that change what is computed make an experiment beside the plain one. */
static void overrides_stand_beside(void **state)
{
    Place *p = *state;
    Db *db = open_db(p);
    long e = plan_all(p, db, "grid", "seq=64", DB_LOSS, "");
    assert_string_equal(db_experiment_name(db, e, &p->a), "grid");
    for (int i = 0; i < CELLS; i++)
        add_run(p, db, "grid", spec_of(p, i, "seq=64"), "ok", "", "", "");
    e = plan_all(p, db, "grid", "", DB_LOSS, "");
    assert_string_equal(db_experiment_name(db, e, &p->a), "grid");
    add_run(p, db, "grid", spec_of(p, 1, ""), "ok", "", "", "");
    e = plan_all(p, db, "grid", "seq=64", DB_LOSS, "");
    assert_string_equal(db_experiment_name(db, e, &p->a), "grid seq=64");
    db_close(db);
    assert_int_equal(asked(p, OK_ROWS("grid")), 1);
    assert_int_equal(asked(p, OK_ROWS("grid seq=64")), CELLS);
}

/* Runs of another text do not stand for a cell; those of a text that is not known do. */
static void texts_do_not_mix(void **state)
{
    Place *p = *state;
    const char *reason;
    double wall;
    Db *db = open_db(p);
    plan_all(p, db, "grid", "", DB_LOSS, "aaaa");
    add_run(p, db, "grid", spec_of(p, 0, ""), "ok", "", "", "aaaa");
    add_run(p, db, "grid", spec_of(p, 1, ""), "ok", "", "", "bbbb");
    add_run(p, db, "grid", spec_of(p, 2, ""), "ok", "", "", "");
    for (int i = 0; i < 3; i++) {
        const char *spec = spec_of(p, i, "");
        const DbCell cell = { spec, spec, "aaaa", DB_LOSS };
        assert_int_equal(db_cell_state(db, &cell, &p->a, &reason, &wall),
                         i == 1 ? CELL_NEW : CELL_DONE);
    }
    db_close(db);
    assert_int_equal(asked(p, OK_ROWS("grid")), 2);
}

/* why goes by the text that is there now, as sweep does */
static void why_goes_by_the_text(void **state)
{
    Place *p = *state;
    char text[4000];
    const char *path = place_in(p, "t.txt");
    const char *words = arena_text(
        &p->a, "corpus=%s vocab=bytes d=16 inner=16 conv_groups=4 dilations=1 batch=1 accum=1 "
        "seq=8 valid_tokens=64 threads=1 gemm=portable budget=2steps --name small --db %s", path,
        p->path);
    setenv("EIGHTYSIX_CACHE", place_in(p, "cache"), 1);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i + 1 < sizeof text; i++) text[i] = "ab c\nde"[i * (7 + round) % 60 % 7];
        text[sizeof text - 1] = 0;
        place_write(p, "t.txt", text);
        if (!round) {
            place_expect(p, 0, arena_text(&p->a, "sweep %s", words));
            continue;
        }
        const char *cell = place_ask(p, p->path, "SELECT cell FROM plan"),
                   *why = place_expect(p, 1, arena_text(&p->a, "why %s --db %s", cell, p->path));
        assert_says(why, "corpus: ");
        assert_silent(why, "finished already");
    }
    unsetenv("EIGHTYSIX_CACHE");
}

/* A change elsewhere leaves runs current, a change of a part that they executed does not, unless it
 * is certified, which holds for losses only, also by way of others. */
static void parts_make_runs_current(void **state)
{
    Place *p = *state;
    const char *reason, *spec = spec_of(p, 0, ""), *now = hash_of(p, "head:tree");
    double wall;
    Db *db = open_db(p);
    add_run(p, db, NULL, spec, "ok", "head:tree", now, "");
    add_run(p, db, NULL, spec_of(p, 1, ""), "ok", "head:tree", "old", "");
    db_close(db);
    by_hand(p, p->path, "UPDATE build SET sha = 'before' || id");
    for (int round = 0; round < 2; round++) {
        db = open_db(p);
        for (int what = 0; what < 2; what++) {
            const char *other = spec_of(p, 1, "");
            const DbCell same = { spec, spec, "", (DbMeasures)what },
                         changed = { other, other, "", (DbMeasures)what };
            assert_int_equal(db_cell_state(db, &same, &p->a, &reason, &wall), CELL_DONE);
            assert_int_equal(db_cell_state(db, &changed, &p->a, &reason, &wall),
                             round && what == DB_LOSS ? CELL_DONE : CELL_STALE);
        }
        db_close(db);
        by_hand(p, p->path, arena_text(&p->a, "INSERT OR IGNORE INTO certified VALUES "
                                       "('head:tree', 'old', 'middle', 'x', ''), "
                                       "('head:tree', '%s', 'middle', 'x', '')", now));
    }
}

/* Runs that do not name their parts: their whole program is certified, for losses only */
static void a_certified_build_makes_runs_current(void **state)
{
    Place *p = *state;
    const char *reason, *spec = spec_of(p, 0, ""), *now = build_read(&p->a)->id;
    double wall;
    Db *db = open_db(p);
    plan_all(p, db, "losses", "", DB_LOSS, "");
    add_run(p, db, "losses", spec, "ok", "", "", "");
    db_close(db);
    by_hand(p, p->path, "UPDATE build SET sha = 'before'");
    db_close(open_db(p));
    for (int round = 0; round < 2; round++) {
        db = open_db(p);
        for (int what = 0; what < 2; what++) {
            const DbCell cell = { spec, spec, "", (DbMeasures)what };
            assert_int_equal(db_cell_state(db, &cell, &p->a, &reason, &wall),
                             round && what == DB_LOSS ? CELL_DONE : CELL_STALE);
        }
        if (!round) db_certify(db, "build", "before", now, "as a test says");
        db_close(db);
        assert_int_equal(asked(p, "SELECT fresh FROM run_code"), 0);
        assert_int_equal(asked(p, "SELECT fresh_loss FROM run_code"), 1);
        assert_int_equal(asked(p, "SELECT older FROM result WHERE status = 'ok'"), 0);
    }
    db = open_db(p);
    db_certify(db, "build", "before", now, "again");
    db_close(db);
    assert_int_equal(asked(p, "SELECT count(*) FROM same_part WHERE part = 'build'"), 2);
}

/* Sweeps that go back and forth between words have a plan each, and not a new one every time. */
static void alternating_words_are_planned_once(void **state)
{
    Place *p = *state;
    static const char *const words[] = { "", "seq=64", "seq=32" };
    long first[3];
    Db *db = open_db(p);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 3; i++) {
            const long plan = plan_all(p, db, "grid", words[i], DB_LOSS, "");
            if (!round) first[i] = plan;
            assert_int_equal(plan, first[i]);
        }
    /* a plan whose words change the threads of a loss stands in the place of that without them */
    const long threads = plan_all(p, db, "grid", "threads=2", DB_LOSS, "");
    assert_int_not_equal(threads, first[0]);
    assert_int_not_equal(plan_all(p, db, "grid", "", DB_LOSS, ""), first[0]);
    db_close(db);
}

/* ---- means of phases ---- */
enum { RUNS = 12, MOST_STEPS = 9, PHASES_OF_TEST = 3 };

/* Spans of a run as a trainer says them; mean: what phase_mean must have, NAN: nothing */
static void add_spans(Db *db, long run, Rng *r, double mean[PHASES_OF_TEST], long *first_step)
{
    static const char *const phase[] = { "data", "head.forward", "other" };
    const long steps = (long)rng_below(r, MOST_STEPS), began = (long)rng_below(r, 3) * 100;
    long counted = 0;
    double sum[PHASES_OF_TEST] = { 0 };
    int seen[PHASES_OF_TEST] = { 0 };
    *first_step = steps > 2 ? began + 2 : began + steps - 1;
    for (long k = began; k < began + steps; k++) {
        counted += k >= *first_step;
        for (int i = 0; i < PHASES_OF_TEST; i++) {
            const double seconds = (double)rng_below(r, 1000000) * 1e-6;
            if (i && rng_below(r, 4) == 0) continue;        /* a phase that this step has not */
            db_record(db, run, &(Record){ .kind = 's', .name = phase[i], .step = k,
                                          .value = seconds });
            if (k < *first_step) continue;
            sum[i] += seconds;
            seen[i] = 1;
        }
    }
    if (began)
        db_record(db, run, &(Record){ .kind = 'n', .name = "first_step", .step = began + steps,
                                      .value = (double)began });
    for (int i = 0; i < PHASES_OF_TEST; i++)
        mean[i] = seen[i] ? sum[i] / (double)counted : (double)NAN;
}

/* What is written when a run ends is what its raw spans say, also where all runs are filled in
 * later, and other runs have spans of the same steps. */
static void phase_mean_is_of_raw_spans(void **state)
{
    Place *p = *state;
    Rng r = rng_at(test_seed(), STREAM_CHECK, 6);
    static const char *const phase[] = { "data", "head.forward", "other" };
    static const char same[] = "SELECT count(*) FROM (SELECT run, phase, first_step, steps, "
                               "seconds FROM span_mean EXCEPT SELECT run, phase, first_step, "
                               "steps, seconds FROM span_mean_now)";
    double mean[RUNS][PHASES_OF_TEST];
    long run[RUNS], first[RUNS];
    Db *db = open_db(p);
    for (int i = 0; i < RUNS; i++) {
        run[i] = db_run_start(db, NULL, "c", "d=1");
        add_spans(db, run[i], &r, mean[i], &first[i]);
        db_run_end(db, run[i], i % 3 ? "ok" : "crash", "", 1, 1);
    }
    db_close(db);
    for (int again = 0; again < 2; again++) {
        long rows = 0;
        const char *values = "";
        for (int i = 0; i < RUNS; i++)
            for (int k = 0; k < PHASES_OF_TEST; k++)
                if (!isnan(mean[i][k]))
                    values = arena_text(&p->a, "%s%s(%ld, '%s', %ld, %.17g)", values,
                                        rows++ ? ", " : "", run[i], phase[k], first[i], mean[i][k]);
        assert_int_equal(asked(p, arena_text(&p->a,
                                             "WITH v (r, p, f, s) AS (VALUES %s) "
                                             "SELECT count(*) FROM v JOIN span_mean m ON m.run = r "
                                             "AND phase = p AND first_step = f "
                                             "AND abs(seconds - s) < 2e-12", values)), rows);
        assert_int_equal(asked(p, "SELECT count(*) FROM span_mean"), rows);
        assert_int_equal(asked(p, "SELECT count(*) FROM span_mean_now"), rows);
        assert_int_equal(asked(p, same), 0);
        /* as of an older program, which did not write them */
        by_hand(p, p->path, "DELETE FROM phase_mean; DELETE FROM meta WHERE key = 'views'");
        db_close(open_db(p));
    }
}

/* ---- any sequence ---- */
typedef struct { int ran[CELLS]; } Paid;

static void one_step(Place *p, Rng *r, Paid *paid, int step)
{
    const char *words = rng_below(r, 2) ? "threads=1" : "";
    Db *db = open_db(p);
    switch (rng_below(r, 6)) {
    case 0:                              /* a plan that is interrupted before any run */
        plan_all(p, db, "grid", words, DB_LOSS, "");
        break;
    case 1: case 2: {                    /* a filter: one cell */
        const int i = (int)rng_below(r, CELLS);
        plan_all(p, db, "grid", words, DB_LOSS, "");
        add_run(p, db, "grid", spec_of(p, i, words), "ok", "head:tree",
                rng_below(r, 2) ? hash_of(p, "head:tree") : "old", "");
        paid->ran[i] = 1;
        break;
    }
    case 3:                              /* a cell that fails, or is killed */
        plan_all(p, db, "grid", words, DB_LOSS, "");
        add_run(p, db, "grid", spec_of(p, (int)rng_below(r, CELLS), words), "crash", "", "", "");
        break;
    case 4:                              /* another experiment asks for the same cells */
        plan_all(p, db, "other", words, DB_LOSS, "");
        add_run(p, db, "other", spec_of(p, 0, words), "ok", "", "", "");
        paid->ran[0] = 1;
        break;
    default: break;
    }
    db_close(db);
    if (rng_below(r, 3) == 0)            /* another build from now on */
        by_hand(p, p->path,
                arena_text(&p->a, "UPDATE build SET sha = 'build %d ' || id", step));
    if (rng_below(r, 6) == 0) {          /* by way of text and a merge */
        const char *why, *text = place_in(p, "text"), *merged = place_in(p, "merged.db");
        DbMerged m;
        db = db_open_read(p->path, &p->a, &why);
        holds(db_save_text(db, text, &p->a));
        db_close(db);
        holds(db_merge(&text, 1, merged, &m, &p->a));
        assert_int_equal(rename(merged, p->path), 0);
    }
}

static void nothing_paid_for_disappears(void **state)
{
    Place *p = *state;
    Rng r = rng_at(test_seed(), STREAM_CHECK, 5);
    for (int sequence = 0; sequence < SEQUENCES; sequence++) {
        Paid paid = { { 0 } };
        forget_db(p);
        db_close(open_db(p));
        for (int step = 0; step < STEPS; step++) {
            const size_t mark = p->a.used;
            long expected = 0;
            one_step(p, &r, &paid, step);
            for (int i = CELLS - 1; i >= 0; i--) expected = 10 * expected + paid.ran[i];
            /* a digit for each cell: 1 where it shows an ok run */
            const long shown = asked(
                p, "SELECT CASE WHEN EXISTS (SELECT 1 FROM current WHERE experiment = 'grid') THEN "
                   "(SELECT coalesce(sum(d), 0) FROM (SELECT "
                   "CASE label WHEN 'd=1' THEN 1 WHEN 'd=2' THEN 10 WHEN 'd=3' THEN 100 "
                   "WHEN 'd=4' THEN 1000 ELSE 10000 END AS d FROM result "
                   "WHERE status = 'ok' AND experiment = 'grid')) ELSE -1 END");
            if (shown != -1 && shown != expected)
                fail_msg("sequence %d, step %d: expected ok runs of cells %05ld, found %05ld",
                         sequence, step, expected, shown);
            arena_reset(&p->a, mark);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_build_hides_nothing, place_make, place_drop),
        cmocka_unit_test_setup_teardown(threads_change_no_loss, place_make, place_drop),
        cmocka_unit_test_setup_teardown(overrides_stand_beside, place_make, place_drop),
        cmocka_unit_test_setup_teardown(texts_do_not_mix, place_make, place_drop),
        cmocka_unit_test_setup_teardown(why_goes_by_the_text, place_make, place_drop),
        cmocka_unit_test_setup_teardown(parts_make_runs_current, place_make, place_drop),
        cmocka_unit_test_setup_teardown(a_certified_build_makes_runs_current, place_make,
                                        place_drop),
        cmocka_unit_test_setup_teardown(alternating_words_are_planned_once, place_make, place_drop),
        cmocka_unit_test_setup_teardown(phase_mean_is_of_raw_spans, place_make, place_drop),
        cmocka_unit_test_setup_teardown(nothing_paid_for_disappears, place_make, place_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
