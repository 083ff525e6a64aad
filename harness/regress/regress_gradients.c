/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every number of a few training steps, in both builds: of each parameter the length of its
 * gradient, its part along fixed signs, and how far the parameter has moved. A loss does not show a
 * gradient that is halved, because AdamW divides by its size; these do.
 *
 * At the first step rounding moves no number by more than 1e-5. Later ones are judged as strictly
 * where nothing can flip (quant=none), and otherwise only by how far parameters move: a ternary
 * weight that rounding flips turns a small gradient by any angle.
 *
 * What is missing in one build (a parameter that is new) is another computation too. All of it is
 * let pass by --accept-quality: the ends of the trainings then decide (regress_quality.c). */
#include "harness/regress/regress.h"
#include <math.h>
#include <string.h>

enum { GRADIENTS_MOST = 4096, GRADIENTS_LIMIT_S = 120 };
#define GRADIENTS_LOSS 1e-5          /* shares that are rounding: of the loss, */
#define GRADIENTS_NORM 1e-4          /* of the whole gradient's length, */
#define GRADIENTS_PART 1e-3          /* of a number of one parameter */
#define GRADIENTS_FLIP 0.1           /* of how far one moves, where a ternary weight may flip */

typedef struct Number { const char *name; long step; double value; } Number;
typedef struct Numbers { Number x[GRADIENTS_MOST]; int n; Arena *a; } Numbers;

static void gradients_line(void *ctx, const Record *l)
{
    Numbers *s = ctx;
    if (l->kind != 'n' || s->n == GRADIENTS_MOST) return;
    s->x[s->n++] = (Number){ arena_text(s->a, "%s", l->name), l->step, l->value };
}

/* status as in child.h */
static Numbers *gradients_of(const GateBuild *b, const char *settings, GateRun *r, Arena *a)
{
    static const char *const command[] = { "regress-sample", "gradients", NULL };
    Numbers *s = arena_get(a, sizeof *s);
    s->a = a;
    *r = gate_run(gate_words(b->binary, command, settings, a), GRADIENTS_LIMIT_S, gradients_line, s,
                  a);
    return s;
}

static const Number *gradients_find(const Numbers *s, const Number *like)
{
    for (int i = 0; i < s->n; i++)
        if (s->x[i].step == like->step && !strcmp(s->x[i].name, like->name)) return &s->x[i];
    return NULL;
}

static int gradients_is(const Number *x, const char *what)
{
    return !strncmp(x->name, what, strlen(what));
}

/* How far off it is, in units of what rounding may do; 0: not judged */
static double gradients_off(const Number *base, const Number *head, int smooth)
{
    const int strict = smooth || !base->step, along = gradients_is(base, "along:");
    const int moved = gradients_is(base, "moved"), loss = !strcmp(base->name, "loss");
    const double size = along ? 1 : fmax(fabs(base->value), 1e-300);
    const double off = base->value == head->value ? 0 : fabs(head->value - base->value) / size;
    if (isnan(off)) return INFINITY;
    if (!strict) return moved ? off / GRADIENTS_FLIP : 0;
    if (loss && !base->step) return off / GRADIENTS_LOSS;
    if (loss || !strcmp(base->name, "grad_norm")) return off / GRADIENTS_NORM;
    return off / GRADIENTS_PART;
}

/* The worst of a cell, or what is missing. Returns the error message, NULL: rounding or nothing;
 * *same: no bit differs */
static const char *gradients_compare(const Numbers *base, const Numbers *head, int smooth,
                                     int *same, Arena *a)
{
    const Number *worst = NULL, *is = NULL;
    double most = 1;
    *same = 1;
    for (int i = 0; i < base->n; i++) {
        const Number *b = &base->x[i], *h = gradients_find(head, b);
        if (!h) return arena_text(a, "head has no %s at step %ld", b->name, b->step);
        const double off = gradients_off(b, h, smooth);
        if (memcmp(&b->value, &h->value, sizeof b->value)) *same = 0;
        if (off <= most) continue;
        most = off;
        worst = b;
        is = h;
    }
    for (int i = 0; i < head->n; i++)
        if (!gradients_find(base, &head->x[i]))
            return arena_text(a, "base has no %s at step %ld", head->x[i].name, head->x[i].step);
    if (!worst) return base->n ? NULL : "no numbers";
    return arena_text(a, "%s at step %ld is %.6g, in base %.6g: %.4g times", worst->name,
                      worst->step, is->value, worst->value, is->value / worst->value);
}

static const char *gradients_hint(const char *why, Arena *a)
{
    return arena_text(a, "%s; if that is meant, --accept-quality", why);
}

typedef struct Tally { int same, rounded, skipped, wrong; } Tally;

static void gradients_cell(Gate *g, const GateCell *cell, Tally *n, Arena *a)
{
    GateRun rb, rh;
    int same = 0;
    gate_progress(g, "gradients of %s", cell->name);
    const Numbers *head = gradients_of(g->head, cell->words, &rh, a);
    const Numbers *base = gradients_of(g->base, cell->words, &rb, a);
    if (gate_interrupted()) return;
    GateCheck c = { "gradients", cell->name, NULL, GATE_REGRESSED, NAN, NAN, 0 };
    const int ran = !strcmp(rb.status, "ok"), runs = !strcmp(rh.status, "ok");
    if (ran && runs) {
        const char *why =
            gradients_compare(base, head, strstr(cell->words, "quant=none") != NULL, &same, a);
        n->same += same && !why;
        n->rounded += !same && !why;
        if (!why) return;
        c.sentence = g->plan.accept_quality ? why : gradients_hint(why, a);
        if (g->plan.accept_quality) c.verdict = GATE_SAME;
    } else if (!runs && (ran || strcmp(rb.status, rh.status))) c.sentence = rh.error;
    else {
        n->skipped++;
        return;
    }
    n->wrong++;
    gate_check_add(g, c, a);
}

void gate_check_gradients(Gate *g, Arena *a)
{
    Tally n = { 0 };
    gate_check_begin(g);
    for (int i = 0; i < g->gradients && !gate_interrupted(); i++) {
        const size_t at = a->used;
        const int checks = g->checks.n;
        gradients_cell(g, &g->gradient[i], &n, a);
        if (g->checks.n == checks) arena_reset(a, at);
    }
    if (!g->gradients || gate_interrupted()) return;
    const GateCheck all = {
        "gradients", "cells",
        arena_text(a, "%d cells the same bit for bit, %d differ by rounding, %d differ, %d do not "
                   "run in one build or on this machine", n.same, n.rounded, n.wrong, n.skipped),
        n.wrong && !g->plan.accept_quality ? GATE_REGRESSED : GATE_SAME, NAN, NAN, 0 };
    gate_check_add(g, all, a);
}
