/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `certify` from start to end: two builds, the golden set with both, the table, what is
 * recorded. */
#include "harness/regress/certify.h"
#include "harness/store/db.h"
#include "harness/util/clock.h"
#include "harness/util/progress.h"
#include "kernels/cpu.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

#define CERTIFY_LIMIT_S 300

typedef struct Certify {
    CertifyPlan     plan;
    CertifyProgram *old, *new;
    CertifyCell    *cell;                    /* golden: those that OLD runs */
    int             cells, left_out;
    const char     *why_left_out;            /* the first of these */
    const char     *weights[2];              /* of the cell that runs: paths */
    double          began, said;
} Certify;

/* ---- one cell ---- */
typedef struct CertifyEar { CertifySide *s; Arena *a; } CertifyEar;

static void certify_line(void *ctx, const Record *l)
{
    enum { NUMBERS = 4096 };
    static const char *const names[] = { "loss", "grad_norm", "nll" };
    const CertifyEar *e = ctx;
    CertifySide *s = e->s;
    if (l->kind == 't' && !strncmp(l->name, "part:", 5) && s->parts.n < CERTIFY_PARTS)
        s->parts.list[s->parts.n++] = (CertifyPart){ arena_text(e->a, "%s", l->name + 5),
                                                     arena_text(e->a, "%s", l->text) };
    for (size_t i = 0; i < sizeof names / sizeof *names && l->kind == 'n'; i++)
        if (!strcmp(l->name, names[i]) && s->numbers < NUMBERS) {
            if (!s->number) s->number = arena_get(e->a, sizeof *s->number * NUMBERS);
            s->number[s->numbers++] = (CertifyNumber){ names[i], l->step, l->value };
        }
}

static CertifySide certify_side(const CertifyProgram *p, const char *words, const char *weights,
                                Arena *a)
{
    static const char *const command[] = { "cell", NULL };
    CertifySide s = { .parts.list = arena_get(a, sizeof *s.parts.list * CERTIFY_PARTS) };
    CertifyEar ear = { &s, a };
    unlink(weights);
    words = arena_text(a, "%s resume=0 save=%s", words, weights);
    const GateRun r = gate_run(gate_words(p->build->binary, command, words, a), CERTIFY_LIMIT_S,
                               certify_line, &ear, a);
    if (strcmp(r.status, "ok")) s.why = arena_text(a, "%s: %s", r.status, r.error);
    return s;
}

/* 1: it is of the golden set, for OLD runs it */
static int certify_cell(Certify *c, CertifyCell *x, Arena *a)
{
    x->old = certify_side(c->old, x->words, c->weights[0], a);
    if (x->old.why) {
        if (!c->left_out++) c->why_left_out = arena_text(a, "%s: %s", x->name, x->old.why);
        return 0;
    }
    x->new = certify_side(c->new, x->words, c->weights[1], a);
    if (x->new.why) {
        x->differs = arena_text(a, "NEW does not run it: %s", x->new.why);
        x->off = INFINITY;
        return 1;
    }
    const double most = c->plan.tolerance;
    x->differs = certify_numbers(&x->old, &x->new, most, &x->off, a);
    const char *weights = certify_weights(c->weights[0], c->weights[1], most, &x->off, a);
    if (!x->differs) x->differs = weights;
    return 1;
}

static void certify_progress(Certify *c, int done, int all, const char *name)
{
    const double took = clock_now() - c->began;
    if (!progress_terminal() && !progress_due(&c->said)) return;
    if (done)
        progress_say("cell %d of %d, %s, %.0f s, about %.0f s to go", done + 1, all, name, took,
                     took / done * (all - done));
    else progress_say("cell 1 of %d, %s", all, name);
}

static void certify_cells_run(Certify *c, Arena *a)
{
    CertifyCell *all = arena_get(a, sizeof *all * CERTIFY_CELLS);
    const int n = certify_cells(c->old, c->new, all, a);
    c->cell = arena_get(a, sizeof *all * CERTIFY_CELLS);
    c->began = clock_now();
    for (int i = 0; i < 2; i++)
        c->weights[i] = arena_text(a, "build/regress/certify-%ld-%d.safetensors", (long)getpid(),
                                   i);
    for (int i = 0; i < n && !gate_interrupted(); i++) {
        certify_progress(c, i, n, all[i].name);
        if (certify_cell(c, &all[i], a)) c->cell[c->cells++] = all[i];
    }
    progress_clear();
    for (int i = 0; i < 2; i++) unlink(c->weights[i]);
}

/* ---- what is said and recorded ---- */
static const char *certify_verdict(const CertifyRow *r, Arena *a)
{
    switch (r->verdict) {
    case CERTIFY_SAME: return "the same code";
    case CERTIFY_EQUAL:
        return r->off > 0 ? arena_text(a, "certified, within %.2g", r->off)
                          : "certified, bit for bit";
    case CERTIFY_OTHERWISE:
        return arena_text(a, "computes otherwise: %s: %s", r->first->name, r->first->differs);
    case CERTIFY_REGROUPED:
        return "not certified: cells name other parts beside it in NEW, so it may have given some "
               "of its code to these";
    case CERTIFY_NOT_RUN:
        return arena_text(a, "not certified: no golden cell executes %s", r->part);
    case CERTIFY_NEW: return "only NEW has it";
    case CERTIFY_GONE: return "only OLD has it";
    default: return "not certified: a part that differs was not run";
    }
}

static void certify_table(const Certify *c, const CertifyRow *row, int n, Arena *a)
{
    printf("%-22s %5s  %s\n", "part", "cells", "does NEW compute what OLD does?");
    for (int i = 0; i < n; i++)
        printf("%-22s %5d  %s\n", row[i].part, row[i].cells, certify_verdict(&row[i], a));
    int differ = 0;
    for (int i = 0; i < c->cells; i++) differ += c->cell[i].differs != NULL;
    printf("%d golden cells of %d steps, %d of which differ", c->cells, CERTIFY_STEPS, differ);
    if (c->left_out)
        printf("; %d more do not run in OLD or on this machine, the first %s", c->left_out,
               c->why_left_out);
    putchar('\n');
}

static const char *certify_evidence(const Certify *c, const CertifyRow *r, Arena *a)
{
    char isa[128];
    const char *how = c->plan.tolerance > 0
        ? arena_text(a, "differ by %.3g at most, tolerance %g", r->off, c->plan.tolerance)
        : "are equal bit for bit";
    return arena_text(a, "losses and final weights of %d golden cells of %d steps %s: %s and %s, "
                      "%s", r->cells, CERTIFY_STEPS, how, gate_build_name(c->old->build),
                      gate_build_name(c->new->build), cpu_text(cpu_has(), isa, sizeof isa));
}

static int certify_record(Certify *c, Db *db, const CertifyRow *row, int n, Arena *a)
{
    int recorded = 0;
    for (int i = 0; i < n; i++) {
        if (row[i].verdict != CERTIFY_EQUAL) continue;
        db_certify(db, row[i].part, row[i].old, row[i].new, certify_evidence(c, &row[i], a));
        recorded++;
    }
    db_flush(db);
    return recorded;
}

static int certify_conclude(Certify *c, Db *db, Arena *a)
{
    CertifyRow *row = arena_get(a, sizeof *row * CERTIFY_PARTS);
    const CertifyInput in = { c->cell,       c->cells,           c->old->parts,
                              c->new->parts, c->old->build->id, c->new->build->id };
    const int n = certify_decide(&in, row);
    certify_table(c, row, n, a);
    if (db) {
        const int recorded = certify_record(c, db, row, n, a);
        if (recorded)
            printf("%s: %d certified: losses by OLD are current under NEW, and by NEW under OLD\n",
                   db_path(db), recorded);
    }
    return certify_code(row, n, c->cells);
}

int certify_run(const CertifyPlan *plan)
{
    Arena a = arena_new((size_t)1 << 34);
    const char *why;
    Certify c = { .plan = *plan };
    GateBuild *old = gate_find(plan->old, &a), *new = gate_find(plan->new, &a);
    Db *db = plan->db ? db_open(plan->db, &a, &why) : NULL;
    if (plan->db && !db) die("%s", why);
    gate_build(old, "old", plan->jobs, &a);
    gate_build(new, "new", plan->jobs, &a);
    c.old = certify_ask(old, &a);
    c.new = certify_ask(new, &a);
    certify_cells_run(&c, &a);
    const int code = gate_interrupted() ? 130 : certify_conclude(&c, db, &a);
    if (db) db_close(db);
    arena_drop(&a);
    return code;
}
