/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/tape_inner.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

Tape *tape_new(const Exec *e, const Spec *spec, Arena *home, size_t bytes)
{
    Tape *t = arena_get(home, sizeof *t);
    t->exec = e;
    t->spec = spec;
    t->home = home;
    t->pass = arena_new(bytes);
    t->note = arena_get(home, MAX_NOTES * sizeof *t->note);
    t->quant = spec_quant(spec);
    t->int8 = spec_is(spec, "act", "int8");
    t->act_bits = (int)spec_int(spec, "act_bits");
    t->back8 = spec_is(spec, "bwd", "int8");
    t->naive = spec_is(spec, "bitlinear", "naive");
    t->seed = (uint64_t)spec_int(spec, "seed");
    CHECK(!tape_check(spec));
    return t;
}

const char *tape_check(const Spec *s)
{
    if (!spec_is(s, "bwd", "int8") || spec_is(s, "act", "int8")) return NULL;
    return "bwd=int8 needs act=int8: its gradients go through the integer kernel, which act=int8 "
           "uses forward";
}

void tape_drop(Tape *t) { arena_drop(&t->pass); }

void tape_reset(Tape *t, int recording)
{
    arena_reset(&t->pass, 0);
    t->notes = t->spares = 0;
    t->recording = recording;
}

void tape_backward(Tape *t)
{
    CHECK(t->recording);
    while (t->notes > 0) {
        Note *n = &t->note[--t->notes];
        n->back(t, n->ctx);
    }
}

void *tape_note(Tape *t, void (*back)(Tape *, void *), size_t size)
{
    CHECK(t->notes < MAX_NOTES);
    void *ctx = arena_get(&t->pass, size);
    t->note[t->notes++] = (Note){ back, ctx };
    return ctx;
}

static Var var_at(Tape *t, float *v, int rows, int cols, Grad *with_grad)
{
    Var y = { v, with_grad, rows, cols, NULL };
    if (t->int8) y.quant = arena_get(&t->pass, sizeof *y.quant);
    if (t->recording && !y.g) {
        y.g = arena_get(&t->pass, sizeof *y.g);
        y.g->bytes = sizeof(float) * (size_t)rows * (size_t)cols;
    }
    return y;
}

Var tape_var(Tape *t, int rows, int cols, Grad *with_grad)
{
    return var_at(t, arena_raw(&t->pass, sizeof(float) * (size_t)rows * (size_t)cols), rows, cols,
                  with_grad);
}

void tape_operand_at(Var x, const char *op)
{
    if (!x.g || (!x.g->taken && (!x.g->owner || x.g->owner == x.v))) return;
    char what[256];
    snprintf(
        what, sizeof what,
        "%s reads a value whose %s an operation recorded before has taken over: record the readers "
        "of op_add's a and b and of op_gated_conv's x before it",
        op, x.g->taken ? "memory" : "gradient");
    check_failed(what, __FILE__, __LINE__);
}

void tape_take_over(Var y, Var x)
{
    if (x.g) x.g->owner = y.v;
}

void tape_reads(Var x)
{
    if (!x.g) return;
    CHECK(!x.g->taken);
    x.g->read = 1;
}

int value_free(Var x) { return x.g && !x.g->read && !x.g->kept && !x.g->taken; }

Var tape_over(Tape *t, Var x, Grad *with_grad)
{
    x.g->taken = 1;
    return var_at(t, x.v, x.rows, x.cols, with_grad);
}

Quant *quant_room(Tape *t, Var x)
{
    CHECK(x.quant && !x.quant->q);
    x.quant->q = arena_raw(&t->pass, (size_t)x.rows * (size_t)x.cols);
    x.quant->inv = arena_raw(&t->pass, sizeof(float) * (size_t)x.rows);
    return x.quant;
}

float *grad_to(Tape *t, Var x, int *fresh)
{
    Grad *g = x.g;
    *fresh = !g->p;
    for (int i = 0; i < t->spares && !g->p; i++) {
        if (t->spare[i].bytes != g->bytes) continue;
        g->p = t->spare[i].p;
        t->spare[i] = t->spare[--t->spares];
    }
    if (!g->p) g->p = arena_raw(&t->pass, g->bytes);
    return g->p;
}

float *grad_over(Var x)
{
    CHECK(!x.g->p);
    return x.g->p = x.v;
}

float *tape_grad(Tape *t, Var x)
{
    int fresh;
    float *g = grad_to(t, x, &fresh);
    return fresh ? memset(g, 0, x.g->bytes) : g;
}

void grad_done(Tape *t, Var x)
{
    if (x.g->kept || !x.g->p) return;
    if (t->spares < MAX_SPARE) t->spare[t->spares++] = *x.g;
    x.g->p = NULL;
}

void tape_watch(Tape *t, TapeSee see, void *ctx)
{
    t->see = see;
    t->see_ctx = ctx;
}

void tape_laps(Tape *t, void (*lap)(void *, Lap), void *ctx)
{
    t->lap = lap;
    t->lap_ctx = ctx;
}

void tape_compare(Tape *t, int on)
{
    t->compare = on;
    memset(t->dots, 0, sizeof t->dots);
}

double tape_cosine(const Tape *t) { return t->dots[0] / sqrt(t->dots[1] * t->dots[2]); }

typedef struct { const char *name; Var x; } Named;

static void named_back(Tape *t, void *ctx)
{
    const Named *n = ctx;
    t->see(t->see_ctx, n->name, 1, tape_grad(t, n->x), (long)n->x.rows * n->x.cols);
}

void tape_name(Tape *t, const char *name, Var x)
{
    if (!t->see) return;
    name = arena_text(&t->pass, "%s", name);
    t->see(t->see_ctx, name, 0, x.v, (long)x.rows * x.cols);
    if (t->recording) *(Named *)tape_note(t, named_back, sizeof(Named)) = (Named){ name, x };
}
