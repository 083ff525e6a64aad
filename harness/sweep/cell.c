/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/sweep/cell.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void cell_take_line(void *ctx, char *line)
{
    CellRun *r = ctx;
    Record l;
    char first[sizeof r->first_rubbish];
    snprintf(first, sizeof first, "%.40s", line);
    if (!*line) return;
    if (!record_parse(line, &l)) {
        for (char *s = first; *s; s++)
            if ((unsigned char)*s < 32 || *s == 127) *s = '?';
        if (!r->rubbish++) memcpy(r->first_rubbish, first, sizeof first);
        return;
    }
    if (l.kind != 't' && !isfinite(l.value) && !*r->unreal)
        snprintf(r->unreal, sizeof r->unreal, "its record '%.60s' of step %ld is %s", l.name,
                 l.step, isnan(l.value) ? "nan" : "infinite");
    if (r->db) db_record(r->db, r->run, &l);
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

/* logs/RUN.log beside the database; NULL where it cannot be written: the run goes on without */
static FILE *cell_open_log(const Db *db, long run, Arena *a)
{
    const char *path = db_path(db), *slash = strrchr(path, '/');
    const char *dir = arena_text(a, "%.*slogs", slash ? (int)(slash - path) + 1 : 0, path);
    mkdir(dir, 0777);
    return fopen(arena_text(a, "%s/%ld.log", dir, run), "ae");
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

static void cell_record_start(CellRun *r, const CellPlan *p, Arena *a)
{
    char key[65];
    const char *canonical = spec_text(p->spec);
    r->run = db_run_start(r->db, p->experiment, sha256_hex(canonical, strlen(canonical), key),
                          canonical);
    for (const Setting *s = settings; s->key; s++)
        db_config(r->db, r->run, s->key, spec_str(p->spec, s->key));
    db_record(r->db, r->run,
              &(Record) { .kind = 't', .name = "environment", .text = cell_environment(a) });
    if (p->schedule)
        db_record(r->db, r->run,
                  &(Record) { .kind = 't', .name = "schedule", .text = p->schedule });
    db_flush(r->db);
    r->log = cell_open_log(r->db, r->run, a);
}

/* The program of this process is run as it was started, whatever stands in its place by now: the
 * link leads to the file itself, not to its name. */
static const char *cell_program(void)
{
    const char *other = getenv("EIGHTYSIX_CELL_PROGRAM");
    return other && *other ? other : "/proc/self/exe";
}

void cell_start(CellRun *r, Db *db, const CellPlan *p, Arena *a)
{
    enum { MAX_WORDS = 512 };
    char *argv[MAX_WORDS];
    int argc = 0;
    *r = (CellRun){ .db = db, .loud = p->loud, .see = p->see, .ctx = p->ctx };
    if (db) cell_record_start(r, p, a);
    const char *path = cell_program();
    argv[argc++] = arena_text(a, "%s", path);
    argv[argc++] = arena_text(a, "cell");
    for (const Setting *s = settings; s->key; s++) {
        CHECK(argc < MAX_WORDS - 1);
        if (spec_given(p->spec, s->key))
            argv[argc++] = arena_text(a, "%s=%s", s->key, spec_str(p->spec, s->key));
    }
    argv[argc] = NULL;
    const ChildPlan plan = { .program = path,
                             .argv = argv,
                             .threads = (int)spec_int(p->spec, "threads"),
                             .alone = p->alone,
                             .limits = p->limits,
                             .line = cell_take_line,
                             .said = cell_take_said,
                             .ctx = r };
    r->refused = child_start(&r->child, &plan);
    r->child.plan.argv = NULL;
}

int cell_step(CellRun *r, Arena *a, Outcome *out)
{
    Child *c = &r->child;
    const char *error = r->refused;
    if (!r->refused && !child_step(c)) {
        if (r->db) db_flush(r->db);
        return 0;
    }
    *out = (Outcome){ .status = "fail", .run = r->run };
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
    if (r->db) db_run_end(r->db, r->run, out->status, out->error, out->wall_s, out->peak_rss_kb);
    if (r->log) fclose(r->log);
    r->log = NULL;
    return 1;
}

void cell_stop(CellRun *r)
{
    if (!r->refused) child_end(&r->child, "crash", "interrupted");
}

Outcome cell_run(Db *db, const char *experiment, const Spec *spec, Limits limits, See see,
                 void *ctx, Arena *a)
{
    const CellPlan plan = { .experiment = experiment,
                            .spec = spec,
                            .limits = limits,
                            .alone = 1,
                            .see = see,
                            .ctx = ctx,
                            .loud = !db || isatty(2) };
    CellRun *r = arena_raw(a, sizeof *r);
    Outcome out;
    const int signals = child_signals();
    cell_start(r, db, &plan, a);
    while (!cell_step(r, a, &out))
        if (child_wait(signals)) cell_stop(r);
    child_signals_end(signals);
    return out;
}
