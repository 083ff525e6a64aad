/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/sweep/cell.h"
#include "harness/util/clock.h"
#include "harness/util/progress.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CELL_LINES = 256 << 20 };         /* bytes of lines in memory, reserved, not taken */
static const double cell_retry_s = 1, cell_say_s = 10, cell_patience_s = 600, cell_beat_s = 10;

static void cell_keep_line(CellRun *r, const char *line)
{
    const size_t n = strlen(line);
    if (!r->db) return;
    if (r->n + n + 1 > CELL_LINES)
        die("%s cannot be written, and run %ld has more than %d MB of records", db_path(r->db),
            r->run, CELL_LINES >> 20);
    memcpy(r->text + r->n, line, n);
    r->text[r->n + n] = '\n';
    r->n += n + 1;
}

static void cell_say_refused(CellRun *r, const char *spool_why)
{
    const double now = clock_now();
    const int in_memory = spool_why != NULL;
    if (r->said > 0 && now - r->said < cell_say_s && r->said_in_memory == in_memory) return;
    r->said = now;
    r->said_in_memory = in_memory;
    progress_clear();
    fprintf(stderr, "%s; the records of run %ld are kept in %s\n", r->why, r->run,
            in_memory ? "memory" : r->spool);
    if (in_memory) fprintf(stderr, "%s\n", spool_why);
}

/* Another sweep gives a run up that it has heard nothing of for a minute, as when this one could
 * not write, or was stopped: it goes on as a new run. */
static void cell_go_on(CellRun *r)
{
    const long run = db_run_again(r->db, r->run);
    if (run && run != r->run) {
        progress_clear();
        fprintf(stderr, "run %ld was taken for dead by another process; it goes on as run %ld\n",
                r->run, run);
        r->run = r->outcome.run = run;
    }
    if (r->run == r->spool_run || r->spooled) return;
    r->spool = db_spool_path(r->db, r->run, &r->lines);
    r->spool_run = r->run;
}

/* Lines to the database, or to the spool beside it. 1: none is left in memory */
static int cell_write(CellRun *r, Arena *a)
{
    const double now = clock_now();
    const size_t used = a->used;
    const char *why = NULL, *spool_why = NULL;
    if (!r->n && !r->spooled) return 1;
    const int again = now - r->refused_last >= cell_retry_s;
    if (again) cell_go_on(r);
    if (again && !(why = db_write_lines(r->db, r->run, r->spool, r->text, r->n))) {
        r->n = 0;
        r->spooled = 0;
        r->refused_first = r->refused_last = 0;
        return 1;
    }
    if (again) {
        r->refused_last = clock_now();
        snprintf(r->why, sizeof r->why, "%s", why);
    }
    if (r->refused_first == 0) r->refused_first = now;
    if (r->n) spool_why = db_spool_lines(r->spool, r->text, r->n, a);
    if (!spool_why) {
        r->spooled |= r->n > 0;
        r->n = 0;
    }
    cell_say_refused(r, spool_why);
    if (spool_why && r->ended && (r->stopped || now - r->refused_first > cell_patience_s))
        die("%s", r->why);
    arena_reset(a, used);
    return !spool_why;
}

int cell_ready(CellWait *w, Db *db, int stop)
{
    const double now = clock_now();
    if (!db || now - w->tried < cell_retry_s) return !db;
    const char *why = db_ready(db);
    w->tried = why ? clock_now() : 0;
    if (!why) {
        *w = (CellWait){ 0 };
        db_take_spools(db);
        return 1;
    }
    if (w->began == 0) w->began = now;
    if (stop || now - w->began > cell_patience_s) die("%s", why);
    if (w->said == 0 || now - w->said >= cell_say_s) {
        progress_clear();
        fprintf(stderr, "%s; waiting for %.0f s, at most %g s (^C ends)\n", why, now - w->began,
                cell_patience_s);
        w->said = now;
    }
    return 0;
}

static void cell_take_line(void *ctx, char *line)
{
    CellRun *r = ctx;
    Record l;
    char first[sizeof r->first_rubbish];
    snprintf(first, sizeof first, "%.40s", line);
    if (!*line) return;
    if (!strcmp(line, "sync")) {
        r->sync = 1;
        return;
    }
    const size_t kept = r->n;
    cell_keep_line(r, line);
    if (!record_parse(line, &l)) {
        r->n = kept;
        for (char *s = first; *s; s++)
            if ((unsigned char)*s < 32 || *s == 127) *s = '?';
        if (!r->rubbish++) memcpy(r->first_rubbish, first, sizeof first);
        return;
    }
    if (r->peer && l.kind == 't' && !strcmp(l.name, "peer_versions"))
        snprintf(r->peer_versions, sizeof r->peer_versions, "%s", l.text);
    if (l.kind != 't' && !isfinite(l.value) && !*r->unreal)
        snprintf(r->unreal, sizeof r->unreal, "its record '%.60s' of step %ld is %s", l.name,
                 l.step, isnan(l.value) ? "nan" : "infinite");
    if (r->see) r->see(r->ctx, &l);
}

static void cell_take_said(void *ctx, const char *bytes, size_t n)
{
    CellRun *r = ctx;
    if (r->loud) fwrite(bytes, 1, n, stderr);
    if (!r->log) return;
    fwrite(bytes, 1, n, r->log);
    fflush(r->log);
}

/* logs/DATABASE-RUN.log beside the database, which may have neighbours; NULL where it cannot be
 * written: the run goes on without */
static FILE *cell_open_log(const Db *db, long run, Arena *a)
{
    const char *path = db_path(db), *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dir = arena_text(a, "%.*slogs", (int)(name - path), path);
    const size_t stem = strlen(name), end = stem > 3 && !strcmp(name + stem - 3, ".db") ? 3 : 0;
    mkdir(dir, 0777);
    return fopen(arena_text(a, "%s/%.*s-%ld.log", dir, (int)(stem - end), name, run), "ae");
}

/* The environment variables that change how a cell runs, for its record */
static const char *cell_environment(Arena *a)
{
    static const char *const begin[] = { "OMP_",      "GOMP_",          "KMP_",
                                         "OPENBLAS_", "DNNL_",          "ONEDNN_",
                                         "MALLOC_",   "EIGHTYSIX_CPU=", "LD_PRELOAD=" };
    const char *all = "";
    for (char **e = environ; *e; e++)
        for (size_t k = 0; k < sizeof begin / sizeof *begin; k++)
            if (!strncmp(*e, begin[k], strlen(begin[k])))
                all = arena_text(a, "%s%s%s", all, *all ? " " : "", *e);
    return all;
}

/* The program and its words, as settings of the run */
static void cell_record_peer(CellRun *r, const Peer *p, Arena *a)
{
    db_config(r->db, r->run, "program", p->program->name);
    for (int i = 0; i < p->words; i++) {
        const int key = (int)strcspn(p->word[i], "=");
        db_config(r->db, r->run, arena_text(a, "%.*s", key, p->word[i]), p->word[i] + key + 1);
    }
}

static void cell_record_start(CellRun *r, const CellPlan *p, Arena *a)
{
    char key[65];
    const char *canonical = peer_text(p->peer, p->spec, a);
    r->run = db_run_start(r->db, p->experiment, sha256_hex(canonical, strlen(canonical), key),
                          canonical);
    for (const Setting *s = settings; s->key; s++)
        db_config(r->db, r->run, s->key, spec_str(p->spec, s->key));
    if (p->peer) cell_record_peer(r, p->peer, a);
    db_record(r->db, r->run,
              &(Record) { .kind = 't', .name = "environment", .text = cell_environment(a) });
    if (p->schedule)
        db_record(r->db, r->run,
                  &(Record) { .kind = 't', .name = "schedule", .text = p->schedule });
    db_flush(r->db);
    r->log = cell_open_log(r->db, r->run, a);
    r->lines = arena_new(CELL_LINES + 4096);
    r->text = arena_raw(&r->lines, CELL_LINES);
    r->spool = db_spool_path(r->db, r->run, a);
    r->spool_run = r->run;
}

/* The program of this process is run as it was started, whatever stands in its place by now: the
 * link leads to the file itself, not to its name. */
static const char *cell_program(void)
{
    const char *other = getenv("EIGHTYSIX_CELL_PROGRAM");
    return other && *other ? other : "/proc/self/exe";
}

enum { CELL_WORDS = 512 };               /* of a command, the program's name among them */

static void cell_command(const CellPlan *p, char *argv[CELL_WORDS], Arena *a)
{
    int argc = 0;
    if (p->peer) argc = peer_command(p->peer->program, argv, a);
    else {
        argv[argc++] = arena_text(a, "%s", cell_program());
        argv[argc++] = arena_text(a, "cell");
    }
    for (const Setting *s = settings; s->key; s++) {
        CHECK(argc < CELL_WORDS - 1);
        if (spec_given(p->spec, s->key))
            argv[argc++] = arena_text(a, "%s=%s", s->key, spec_str(p->spec, s->key));
    }
    for (int i = 0; p->peer && i < p->peer->words; i++) {
        CHECK(argc < CELL_WORDS - 1);
        argv[argc++] = arena_text(a, "%s", p->peer->word[i]);
    }
    argv[argc] = NULL;
}

void cell_start(CellRun *r, Db *db, const CellPlan *p, Arena *a)
{
    char *argv[CELL_WORDS];
    *r = (CellRun){ .db = db, .loud = p->loud, .see = p->see, .ctx = p->ctx,
                    .machine = p->machine, .before = disturbance_now() };
    machine_shared(r->machine);          /* forgets who has gone meanwhile */
    r->shared = machine_shared(r->machine);
    if (db) cell_record_start(r, p, a);
    cell_command(p, argv, a);
    if (p->peer) {
        r->peer = p->peer->program;
        r->peer_hash = peer_file_hash(r->peer, a);
    }
    const ChildPlan plan = { .program = argv[0],
                             .argv = argv,
                             .threads = (int)spec_int(p->spec, "threads"),
                             .bound = p->alone && r->machine->state == MACHINE_OURS,
                             .limits = p->limits,
                             .line = cell_take_line,
                             .said = cell_take_said,
                             .ctx = r };
    r->refused = r->peer && r->peer->why ? r->peer->why : child_start(&r->child, &plan);
    r->child.plan.argv = NULL;
    if (r->refused) r->child.began = clock_now();
}

static void cell_keep_number(CellRun *r, const char *name, double value, Arena *a)
{
    if (!isnan(value)) cell_keep_line(r, arena_text(a, "num %s 0 %.17g", name, value));
}

/* What disturbed it */
static void cell_keep_disturbance(CellRun *r, Arena *a)
{
    cell_keep_number(r, "load", r->before.load, a);
    cell_keep_number(r, "steal", disturbance_steal(&r->before), a);
    cell_keep_number(r, "switches", (double)r->child.switches, a);
    if (r->machine->state != MACHINE_UNKNOWN) cell_keep_number(r, "shared", r->shared, a);
}

/* The parts of another engine that the run executed */
static void cell_keep_peer(CellRun *r, Arena *a)
{
    if (*r->peer_hash)
        cell_keep_line(r, arena_text(a, "text part:%s %s", peer_part(r->peer, a), r->peer_hash));
    if (*r->peer_versions)
        cell_keep_line(r, arena_text(a, "text part:%s %s", peer_versions_part(r->peer, a),
                                     peer_versions_hash(r->peer_versions, a)));
}

/* The child has ended: what became of it, as a line to be written */
static void cell_conclude(CellRun *r, Arena *a)
{
    Child *c = &r->child;
    Outcome *out = &r->outcome;
    const char *error = r->refused;
    *out = (Outcome){ .status = "fail", .run = r->run };
    if (r->peer && r->peer->why) out->status = "skip";
    if (!r->refused) {
        out->status = child_status(c, &error);
        out->wall_s = c->ended - c->began;
        out->peak_rss_kb = c->peak_rss_kb;
    }
    if (!strcmp(out->status, "ok") && r->rubbish) {
        out->status = "fail";
        error = arena_text(a, "%ld of its lines were no records, the first: '%s'", r->rubbish,
                           r->first_rubbish);
    }
    if (!strcmp(out->status, "ok") && *r->unreal) {
        out->status = "fail";
        error = arena_text(a, "%s: expected a number", r->unreal);
    }
    out->error = arena_text(a, "%s", error);
    if (!r->refused) cell_keep_disturbance(r, a);
    if (r->peer) cell_keep_peer(r, a);
    cell_keep_line(r, arena_text(a, "end %s %.17g %ld %s", out->status, out->wall_s,
                                 out->peak_rss_kb, out->error));
    r->refused_last = 0;
    r->ended = 1;
}

/* Says now and then that the run is alive. */
static void cell_beat(CellRun *r)
{
    const double now = clock_now();
    if (!r->db || now - r->beat < cell_beat_s) return;
    r->beat = db_heartbeat(r->db, r->run) ? now : now - cell_beat_s + cell_retry_s;
}

int cell_step(CellRun *r, Arena *a, Outcome *out)
{
    if (!r->ended && (r->refused || child_step(&r->child))) cell_conclude(r, a);
    cell_beat(r);
    if (r->db && !cell_write(r, a)) return 0;
    if (r->sync && !r->ended) child_stored(&r->child);
    r->sync = 0;
    if (!r->ended) return 0;
    *out = r->outcome;
    if (r->log) fclose(r->log);
    if (r->db) arena_drop(&r->lines);
    r->log = NULL;
    return 1;
}

void cell_stop(CellRun *r)
{
    r->stopped = 1;
    if (!r->refused && !r->ended) child_end(&r->child, "crash", "interrupted");
}

Outcome cell_run(Db *db, const char *experiment, const Spec *spec, Limits limits, See see,
                 void *ctx, Arena *a)
{
    MachineLock machine;
    const CellPlan plan = { .experiment = experiment,
                            .spec = spec,
                            .machine = &machine,
                            .limits = limits,
                            .alone = 1,
                            .see = see,
                            .ctx = ctx,
                            .loud = !db || isatty(2) };
    CellRun *r = arena_raw(a, sizeof *r);
    Outcome out;
    CellWait wait = { 0 };
    const int signals = child_signals();
    for (int stop = 0; !cell_ready(&wait, db, stop); stop |= child_wait(signals, NULL)) continue;
    machine_ask(&machine);
    cell_start(r, db, &plan, a);
    while (!cell_step(r, a, &out)) {
        if (child_wait(signals, NULL)) cell_stop(r);
        r->shared |= machine_shared(&machine);
    }
    machine_leave(&machine);
    child_signals_end(signals);
    if (db) db_take_spools(db);
    return out;
}
