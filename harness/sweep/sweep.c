/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A sweep: the plan (which cells have no ok run that is current, as db_cell_state says), running
 * them, the table of results. */
#include "harness/sweep/sweep.h"
#include "harness/corpus/data.h"
#include "harness/store/csv.h"
#include "harness/sweep/cell.h"
#include "harness/sweep/eta.h"
#include "harness/sweep/grid.h"
#include "harness/util/clock.h"
#include "harness/util/shuffle.h"
#include "harness/sweep/table.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Todo { int cell; EtaCell eta; } Todo;
typedef struct Job { CellRun run; Progress progress; int busy; Todo todo; } Job;

typedef struct Sweep {
    Arena      *a;
    Db         *db;                  /* NULL: a dry run before the first run */
    const char *db_path, *filter, *note;
    const Experiment *exp;
    int         dry, fresh, verbose, jobs, shard, shards;
    uint64_t    seed;
    SweepDraw  *draw;
    CellWait    wait;                /* for the database, before the next cell */
    const char *name;                /* under which views show the plan */
    char       *selected;            /* (cells) */
    const char **texts;              /* (cells) SHA-256 of the training text; "": not known */
    Todo       *todo;
    int         todos, next, ended, bad;
    MachineLock machine;
    Job        *job;                 /* (jobs) */
    Eta         eta;
} Sweep;

/* The cell has this level of its factor f */
static int sweep_has_level(const Cell *c, const Factor *factor, int f, const char *label)
{
    return c->level[f] >= 0 && !strcmp(factor->level[c->level[f]].label, label);
}

/* Clears `selected` of the cells that lack the level; a factor or level that is not there is
 * refused. */
static void sweep_select_level(Sweep *s, const char *name, const char *value)
{
    const Experiment *e = s->exp;
    int found = 0;
    for (int i = 0; i < e->cells; i++) {
        int equal = !strcmp(name, "seed") && strtol(value, NULL, 10) == e->cell[i].seed;
        for (int f = 0; f < e->factors; f++)
            equal |= !strcmp(e->factor[f].name, name) &&
                     sweep_has_level(&e->cell[i], &e->factor[f], f, value);
        found |= equal;
        if (!equal) s->selected[i] = 0;
    }
    if (!found) die("--filter %s=%s: the experiment has no such factor and level", name, value);
}

static void sweep_select_cells(Sweep *s)
{
    s->selected = arena_raw(s->a, (size_t)s->exp->cells);
    for (int i = 0; i < s->exp->cells; i++) s->selected[i] = i % s->shards == s->shard - 1;
    char *rest = arena_text(s->a, "%s", s->filter ? s->filter : "");
    while (rest && *(rest += strspn(rest, ","))) {
        char *name = rest, *value = strpbrk(rest, ",=");
        if (!value || *value == ',') die("--filter %s: expected factor=level", s->filter);
        *value++ = 0;
        const char *level = grid_next_level(&value);
        if (!level) die("--filter %s: expected ']' and then a comma or nothing", s->filter);
        sweep_select_level(s, name, level);
        rest = value;
    }
}

/* Asks once for neighbouring cells of one corpus */
static void sweep_find_texts(Sweep *s)
{
    const char *last = NULL;
    s->texts = arena_array(s->a, (size_t)s->exp->cells, sizeof *s->texts);
    for (int i = 0; i < s->exp->cells; i++) {
        const char *corpus = spec_str(s->exp->cell[i].spec, "corpus");
        const int same = last && !strcmp(corpus, last);
        s->texts[i] = same ? s->texts[i - 1] : corpus_text_sha(corpus, s->a);
        last = corpus;
    }
}

static CellState sweep_state(Sweep *s, int i, const char **reason, double *recorded)
{
    const Cell *c = &s->exp->cell[i];
    const DbCell cell = { c->key, c->text, s->texts[i], s->exp->measures };
    return db_cell_state(s->db, &cell, s->a, reason, recorded);
}

/* One line for each setting of a level that has no effect in some of the cells */
static void sweep_print_resets(const Experiment *e, FILE *out)
{
    for (int i = 0; i < e->resets; i++) {
        const Reset *r = &e->reset[i];
        fprintf(out, "%s: %s applies to %s: set back to its default in %d cell%s", e->name,
                r->setting->key, r->setting->applies, r->cells, r->cells == 1 ? "" : "s");
        if (r->merged == 1) fprintf(out, ", of which 1 is the same as another and is left out");
        if (r->merged > 1)
            fprintf(out, ", of which %d are the same as others and are left out", r->merged);
        fputc('\n', out);
    }
}

/* What is asked, and what is made of the answer */
static void sweep_print_head(const Experiment *e)
{
    printf("%s: %s\n", e->name, e->question);
    if (*e->expectation) printf("  expected: %s\n", e->expectation);
    if (*e->baseline) printf("  baseline: %s\n", e->baseline);
    if (*e->figure) printf("  figure: experiments/%s.gp\n", e->figure);
}

/* Asks the programs of other engines what they are: from now on views know */
static void sweep_ask_peers(Sweep *s)
{
    for (PeerProgram *p = s->exp->programs; p; p = p->next) {
        peer_ask(p, s->a);
        const char *hash = peer_file_hash(p, s->a);
        if (s->db && *hash) db_part(s->db, peer_part(p, s->a), hash);
        if (s->db && *p->versions)
            db_part(s->db, peer_versions_part(p, s->a), peer_versions_hash(p->versions, s->a));
    }
}

/* What a dry run says of a cell whose program cannot run here; "": nothing */
static const char *sweep_skip(const Sweep *s, const Cell *c)
{
    const char *why = c->peer ? c->peer->program->why : NULL;
    return why ? arena_text(s->a, "; it would be skipped: %s", why) : "";
}

/* Fills todo in the order of the grid; on a dry run says so of every cell. */
static void sweep_make_plan(Sweep *s)
{
    static const char *const names[] = { "new", "stale", "done", "running" };
    int count[4] = { 0 };
    char text[32];
    s->todo = arena_get(s->a, sizeof *s->todo * (size_t)s->exp->cells);
    if (s->dry) sweep_print_head(s->exp);
    for (int i = 0; i < s->exp->cells; i++) {
        const Cell *c = &s->exp->cell[i];
        const char *reason = "no run yet";
        double recorded = NAN;
        if (!s->selected[i]) continue;
        const CellState state =
            s->db ? sweep_state(s, i, &reason, &recorded) : CELL_NEW;
        const Todo todo = { i, eta_cell(c->spec, recorded) };
        count[state]++;
        if (state != CELL_RUNNING && (s->fresh || state != CELL_DONE)) {
            s->todo[s->todos++] = todo;
            eta_add(&s->eta, &todo.eta);
        }
        if (s->dry)
            printf("  %-7s  %s  (%s%s)  about %s\n", names[state], table_name(s->exp, c, s->a),
                   reason, sweep_skip(s, c), table_duration(todo.eta.expect, text));
    }
    FILE *out = s->dry ? stdout : stderr;
    sweep_print_resets(s->exp, out);
    if (s->shards > 1)
        fprintf(out, "%s: shard %d of %d; the other cells are left to the others\n", s->exp->name,
                s->shard, s->shards);
    fprintf(out, "%s: %d new, %d stale, %d done, %d running elsewhere; %d to run, about %s\n",
            s->exp->name, count[CELL_NEW], count[CELL_STALE], count[CELL_DONE], count[CELL_RUNNING],
            s->todos, table_duration(eta_left(&s->eta, NAN) / s->jobs, text));
}

static void sweep_record_plan(Sweep *s)
{
    const Experiment *e = s->exp;
    long id = db_experiment(s->db, e->name, e->text, e->overrides, e->measures);
    if (s->note) id = db_note(s->db, id, s->note);
    for (int i = 0; i < e->cells; i++) {
        const Cell *c = &e->cell[i];
        db_plan(s->db, id, i, c->key, c->text, c->label, c->seed, s->texts[i]);
        for (int f = 0; f < e->factors; f++)
            if (c->level[f] >= 0)
                db_label(s->db, id, i, e->factor[f].name, e->factor[f].level[c->level[f]].label);
        if (!strcmp(c->label, e->baseline)) db_label(s->db, id, i, "baseline", "yes");
    }
    db_flush(s->db);
    s->name = db_experiment_name(s->db, id, s->a);
}

/* Seconds to go: of the cells that run, and of those that have not begun */
static double sweep_eta(const Sweep *s)
{
    double running = 0, rate = eta_rate(&s->eta, &(EtaCell){ NAN, NAN, NAN }, NAN, 0);
    for (int j = 0; j < s->jobs; j++) {
        const Job *job = &s->job[j];
        if (!job->busy) continue;
        const double seconds = clock_now() - job->run.child.began;
        running += eta_running(&s->eta, &job->todo.eta, seconds, job->progress.steps);
        if (isnan(rate)) rate = eta_rate(&s->eta, &job->todo.eta, seconds, job->progress.steps);
    }
    return (running + eta_left(&s->eta, rate)) / s->jobs;
}

/* The next cell that another sweep has not taken meanwhile */
static void sweep_start_next(Sweep *s, Job *job)
{
    while (!job->busy && s->next < s->todos && cell_ready(&s->wait, s->db, 0)) {
        const char *reason;
        double recorded;
        job->todo = s->todo[s->next++];
        eta_remove(&s->eta, &job->todo.eta);
        const Cell *c = &s->exp->cell[job->todo.cell];
        const CellState state = sweep_state(s, job->todo.cell, &reason, &recorded);
        if (state == CELL_RUNNING || (state == CELL_DONE && !s->fresh)) {
            s->ended++;
            continue;
        }
        job->progress = (Progress){ NAN, NAN, NAN, 0 };
        const char *turn =
            arena_text(s->a, "seed %llu, %d of %d", (unsigned long long)s->seed, s->next, s->todos);
        const CellPlan p = { .experiment = s->exp->name,
                             .schedule = turn,
                             .spec = c->spec,
                             .peer = c->peer,
                             .alone = s->jobs == 1,
                             .machine = &s->machine,
                             .limits = { s->exp->seconds, s->exp->memory_kb },
                             .loud = s->verbose || isatty(2),
                             .see = table_see,
                             .ctx = &job->progress };
        cell_start(&job->run, s->db, &p, s->a);
        job->busy = 1;
    }
}

static void sweep_end_cell(Sweep *s, Job *job, const Outcome *o)
{
    const Cell *c = &s->exp->cell[job->todo.cell];
    job->busy = 0;
    s->ended++;
    if (!strcmp(o->status, "ok")) eta_ended(&s->eta, &job->todo.eta, o->wall_s);
    s->bad += strcmp(o->status, "ok") && strcmp(o->status, "skip");
    table_done(s->ended, s->todos, table_name(s->exp, c, s->a), o, &job->progress, sweep_eta(s));
}

/* What runs beside others, cells of this sweep or processes of ours, is marked. */
static void sweep_mark_shared(Sweep *s, Job *job)
{
    int beside = machine_shared(&s->machine) ? 2 : 0;
    for (int j = 0; j < s->jobs; j++) beside += job[j].busy;
    for (int j = 0; j < s->jobs; j++)
        if (job[j].busy && beside > 1) job[j].run.shared = 1;
}

/* 1: interrupted */
static int sweep_run_all(Sweep *s)
{
    if (!s->todos) return 0;
    Job *job = arena_array(s->a, (size_t)s->jobs, sizeof *job);
    Outcome o;
    const int signals = child_signals();
    int stop = 0, busy = 1;
    s->job = job;
    machine_ask(&s->machine);
    while (busy) {
        busy = 0;
        sweep_mark_shared(s, job);
        for (int j = 0; j < s->jobs; j++) {
            if (!job[j].busy && !stop) sweep_start_next(s, &job[j]);
            if (job[j].busy && stop) cell_stop(&job[j].run);
            if (job[j].busy && cell_step(&job[j].run, s->a, &o)) sweep_end_cell(s, &job[j], &o);
            busy |= job[j].busy || (!stop && s->next < s->todos);
        }
        if (!busy) break;
        const Job *first = job;
        while (first < job + s->jobs - 1 && !first->busy) first++;
        const Cell *c = &s->exp->cell[first->todo.cell];
        if (first->busy)
            table_now(s->ended + 1, s->todos, c->label, clock_now() - first->run.child.began,
                      &first->progress, sweep_eta(s));
        stop |= child_wait(signals, NULL);
    }
    child_signals_end(signals);
    machine_leave(&s->machine);
    return stop;
}

/* question, expectation, tables; NAME.csv beside the database */
static const char *sweep_conclude(Sweep *s)
{
    const Experiment *e = s->exp;
    const char *slash = strrchr(s->db_path, '/');
    printf("\nquestion: %s\n", e->question);
    if (*e->expectation) printf("expected: %s\n", e->expectation);
    printf("measured:\n");
    const char *why = table_print(s->db, s->name, stdout, s->a);
    if (!why) why = table_print_seeds(s->db, e, s->name, stdout, s->a);
    char *name = arena_text(s->a, "%s", s->name);         /* with words, which may name files */
    for (char *c = name; *(c += strcspn(c, " /")); ) *c = '.';
    const char *csv = arena_text(s->a, "%.*s%s.csv", slash ? (int)(slash - s->db_path) + 1 : 0,
                                 s->db_path, name);
    if (!why) why = csv_write(s->db, "result", s->name, csv, s->a);
    if (!why) printf("written to %s and %s\n", s->db_path, csv);
    return why;
}

static int sweep_all(Sweep *s)
{
    const char *why = NULL;
    const int there = !access(s->db_path, F_OK);
    sweep_select_cells(s);
    sweep_find_texts(s);
    if (!s->dry || there)
        s->db = s->dry ? db_open_read(s->db_path, s->a, &why) : db_open(s->db_path, s->a, &why);
    if (why) die("%s", why);
    sweep_ask_peers(s);
    sweep_make_plan(s);
    int stopped = 0;
    if (!s->dry) {
        if (s->jobs > 1)
            fprintf(stderr,
                    "%d cells at once share the machine: their timings are not to be compared%s\n",
                    s->jobs,
                    s->exp->measures == DB_SPEED ? ", and such runs of a speed are left out" : "");
        sweep_record_plan(s);
        Rng r = rng_at(s->seed, STREAM_SWEEP, 0);
        shuffle(&r, s->todo, s->todos, sizeof *s->todo);
        stopped = sweep_run_all(s);
        s->bad += db_take_spools(s->db);
        why = sweep_conclude(s);
    }
    db_close(s->db);
    if (why) die("%s", why);
    if (!s->dry && !stopped && s->draw && *s->exp->figure)
        s->draw(s->db_path, s->exp->figure, s->name, s->a);
    return stopped ? 130 : s->bad > 0;
}

int sweep_run(const SweepPlan *p, Arena *a)
{
    Sweep s = { .a = a, .db_path = p->db_path, .filter = p->filter, .exp = p->exp, .dry = p->dry,
                .fresh = p->fresh, .verbose = p->verbose, .jobs = p->jobs, .seed = p->seed,
                .draw = p->draw, .note = p->note, .shard = p->shard, .shards = p->shards };
    return sweep_all(&s);
}
