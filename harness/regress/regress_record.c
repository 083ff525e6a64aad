/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A gate in the database: a run of the experiment `regress` with all of its samples, each named
 * BENCH@SIDE, or BENCH@SIDE.base where it is of base in the comparison with that side; its verdicts
 * as texts verdict:NAME, and numbers shift:NAME, low:NAME ... The views gate and gate_sample read
 * them. */
#include "harness/regress/regress.h"
#include "harness/store/db.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY = 512, HISTORY_LEAST = 8 };
#define HISTORY_ALPHA 0.01
struct GateRecord { Db *db; long run; Arena *a; };

const char *gate_build_name(const GateBuild *b) { return *b->commit ? b->commit : b->code; }

GateRecord *gate_record_open(const char *path, Arena *a)
{
    const char *why;
    GateRecord *r = arena_get(a, sizeof *r);
    *r = (GateRecord){ .db = db_open(path, a, &why), .a = a };
    if (!r->db) die("%s", why);
    return r;
}

void gate_record_begin(GateRecord *r, const Gate *g, const char *spec)
{
    char key[65];
    db_experiment(r->db, "regress", "", "", DB_SPEED);
    r->run = db_run_start(r->db, "regress", sha256_hex(spec, strlen(spec), key), spec);
    db_config(r->db, r->run, "base", gate_build_name(g->base));
    db_config(r->db, r->run, "head", gate_build_name(g->head));
}

static void number(GateRecord *r, const char *what, const char *name, long step, double value)
{
    const size_t at = r->a->used;
    const char *both = arena_text(r->a, "%s:%s", what, name);
    db_record(r->db, r->run, &(Record){ .kind = 'n', .name = both, .step = step, .value = value });
    arena_reset(r->a, at);
}

static void verdict(GateRecord *r, const char *name, const char *text)
{
    const char *both = arena_text(r->a, "verdict:%s", name);
    db_record(r->db, r->run, &(Record){ .kind = 't', .name = both, .text = text });
}

void gate_record_block(GateRecord *r, const GateBlock *b)
{
    const size_t at = r->a->used;
    const char *name = arena_text(r->a, "%s@%s", b->bench, b->side);
    for (int i = 0; i < b->n; i++)
        db_record(r->db, r->run,
                  &(Record) { .kind = 'p',
                              .name = name,
                              .step = b->round,
                              .position = b->position[i],
                              .value = b->ns[i],
                              .iters = b->iters });
    number(r, "switches", name, b->round, (double)b->switches);
    number(r, "steal", name, b->round, (double)b->steal);
    arena_reset(r->a, at);
}

void gate_record_flush(GateRecord *r) { db_flush(r->db); }

static void comparison(GateRecord *r, const char *name, const GateCase *c)
{
    number(r, "shift", name, 0, c->shift.median);
    number(r, "low", name, 0, c->shift.low);
    number(r, "high", name, 0, c->shift.high);
    number(r, "detectable", name, 0, isfinite(c->detectable) ? c->detectable : NAN);
    number(r, "rounds", name, 0, c->rounds);
    number(r, "budget", name, 0, c->budget);
    verdict(r, name, verdict_names[c->verdict]);
}

void gate_record_verdicts(GateRecord *r, const Gate *g)
{
    for (int i = 0; i < g->benches && g->timed; i++) {
        const GateBench *b = &g->bench[i];
        comparison(r, b->name, &b->pair);
        if (b->probe) comparison(r, arena_text(r->a, "%s@control", b->name), &b->control);
        if (b->probe) comparison(r, arena_text(r->a, "%s@canary", b->name), &b->canary);
    }
    for (int i = 0; i < g->checks.n; i++) {
        const GateCheck *c = &g->checks.list[i];
        const char *name = arena_text(r->a, "%s:%s", c->kind, c->name);
        number(r, "base", name, 0, c->base);
        number(r, "head", name, 0, c->head);
        verdict(r, name, verdict_names[c->verdict]);
    }
    verdict(r, "all", g->equal ? "SAME" : gate_verdict(&g->total));
    db_flush(r->db);
}

void gate_record_end(GateRecord *r, int interrupted, double seconds)
{
    db_run_end(r->db, r->run, interrupted ? "crash" : "ok", interrupted ? "interrupted" : "",
               seconds, 0);
    db_close(r->db);
}

/* ---- history: has the shift against this base changed its level? Advice only ---- */
typedef struct Past {
    const char *bench, *base, *rig;
    double      shift[HISTORY];
    long        run[HISTORY];
    int         n, column[5];
} Past;

static void see_past(void *ctx, int columns, const char *const *value)
{
    static const char *const names[] = { "bench", "base", "rig", "shift", "run" };
    Past *p = ctx;
    if (p->n < 0) {
        for (int k = 0; k < 5; k++)
            for (int i = 0; i < columns; i++)
                if (!strcmp(value[i], names[k])) p->column[k] = i;
        p->n = 0;
        return;
    }
    const char *is[5];
    for (int k = 0; k < 5; k++) is[k] = value[p->column[k]];
    if (p->n == HISTORY || !is[3]) return;
    if (strcmp(is[0], p->bench) || strcmp(is[1], p->base) || strcmp(is[2], p->rig)) return;
    p->run[p->n] = atol(is[4]);
    p->shift[p->n++] = atof(is[3]);
}

void gate_record_history(GateRecord *r, Gate *g)
{
    const Host *h = host_read(r->a);
    for (int i = 0; i < g->benches && g->timed; i++) {
        Past *p = arena_get(r->a, sizeof *p);
        *p = (Past){ .bench = g->bench[i].name, .base = gate_build_name(g->base), .n = -1,
                     .rig = host_class(h, r->a) };
        if (db_view(r->db, "gate", "regress", see_past, p, r->a) || p->n < HISTORY_LEAST) continue;
        const Change c = stats_change(p->shift, p->n, r->a);
        if (c.p <= HISTORY_ALPHA)
            gate_note(g,
                      arena_text(
                          r->a,
                          "history of %d runs against this base: %s went from %+.1f %% to %+.1f %% "
                          "at run %ld (Pettitt, p %.2g)",
                          p->n, p->bench, 100 * expm1(c.before), 100 * expm1(c.after), p->run[c.at],
                          c.p));
    }
}
