/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Parity: a directory of reference tensors against this program.
 *
 * manifest.json: {"meta": {"config": {...}, "optimizer": {...}}, "tensors": [{name, file, dtype,
 * shape}]}, raw little-endian files beside it. What is in it says what is compared:
 *
 *   param/ input_ids targets [pos_indices]        a whole FlashLM v3: act/ dact/ logits grad/
 *                                                 s<k>/{loss_*,grad_norm,after/,ema/}
 *   <r>x<c>/{G,W0,W1,ns5}                         Newton-Schulz and one NorMuon step
 *   x w norm_weight dy                            one BitLinear layer: xn, y, dx, dw, dnorm
 *
 * The error of a tensor is max|a - b| / max|b|. */
#include "harness/laws/parity_parts.h"
#include "models/normuon.h"
#include <math.h>
#include <string.h>

enum { PASS_BYTES = 1 << 30 };

typedef struct { const char *name; double tolerance; } Tolerance;
static const Tolerance tolerances[] = { { "loss", 1e-5 },  { "act", 1e-5 },  { "logits", 1e-5 },
                                        { "grad", 1e-4 },  { "dact", 1e-4 }, { "norm", 1e-5 },
                                        { "after", 1e-5 }, { "ema", 1e-5 },  { "state", 1e-4 },
                                        { "ns5", 1e-4 } };

static void parity_compare(Parity *p, const char *kind, const char *name, const float *ours, long n)
{
    long m;
    const float *ref = parity_fetch(p, name, &m, NULL);
    if (!ref) return;
    if (m != n) {
        if (!p->why)
            p->why = arena_text(p->arena, "%s: '%s' has %ld values, this program makes %ld", p->dir,
                                name, m, n);
        return;
    }
    double worst = 0, top = 0;
    for (long i = 0; i < n; i++) {
        const double e = fabs((double)ours[i] - (double)ref[i]);
        worst = e > worst || isnan(e) ? e : worst;
        top = fabs((double)ref[i]) > top ? fabs((double)ref[i]) : top;
    }
    const double rel = top > 0 ? worst / top : worst;
    int g = 0, k = 0;
    while (strcmp(tolerances[k].name, kind)) k++;
    while (g < p->groups && strcmp(p->group[g].name, kind)) g++;
    if (g == p->groups)
        p->group[p->groups++] =
            (ErrorGroup) { tolerances[k].name, tolerances[k].tolerance, -1, "", 0 };
    p->group[g].n++;
    if (rel > p->group[g].worst || isnan(rel)) {
        p->group[g].worst = rel;
        p->group[g].which = arena_text(p->arena, "%s", name);
    }
    if (!(rel <= p->group[g].tolerance) && !p->why)
        p->why =
            arena_text(p->arena, "%s: '%s' is off by %.3g relative, the tolerance of '%s' is %.0e",
                       p->dir, name, rel, kind, p->group[g].tolerance);
}

static void parity_see(void *ctx, const char *name, int is_gradient, const float *data, long n)
{
    Parity *p = ctx;
    parity_compare(p, is_gradient ? "dact" : "act",
            arena_text(p->arena, "%s/%s", is_gradient ? "dact" : "act", name), data, n);
}

typedef struct { Step step; Params *ps; } Parts;

/* One step on the manifest's batch, compared at every stage; step 0 also shows activations and
 * gradients. */
static void parity_step(Parity *p, Parts *a, int step, const Batch *b)
{
    tape_watch(a->step.tape, step ? NULL : parity_see, p);
    const double loss = objective_next_token.pass(&a->step, b, 1 / (float)b->supervised);
    const double norm = step_norm(&a->step);
    const float mean = (float)(loss / b->supervised), norm_f = (float)norm;
    parity_compare(p, "loss", arena_text(p->arena, "s%d/loss_total", step), &mean, 1);
    for (int i = 0; i < a->ps->n && !step; i++)
        parity_compare(p, "grad", arena_text(p->arena, "grad/%s", a->ps->p[i]->name),
                       a->ps->p[i]->g, a->ps->p[i]->n);
    parity_compare(p, "norm", arena_text(p->arena, "s%d/grad_norm", step), &norm_f, 1);
    step_update(&a->step, 1, norm);
    for (int i = 0; i < a->ps->n; i++) {
        const Param *q = a->ps->p[i];
        parity_compare(p, "after", arena_text(p->arena, "s%d/after/%s", step, q->name), q->v, q->n);
        if (q->ema)
            parity_compare(p, "ema", arena_text(p->arena, "s%d/ema/%s", step, q->name), q->ema,
                           q->n);
    }
}

static void parity_compare_logits(Parity *p, const Parts *a, const int *ids, int B, int T)
{
    const Param *e = a->step.model->embedding(a->step.m);
    tape_reset(a->step.tape, 0);
    tape_watch(a->step.tape, NULL, NULL);
    Var h = a->step.model->forward(a->step.m, a->step.tape, ids, B, T, NULL);
    float *logits = arena_get(p->arena, sizeof(float) * (size_t)h.rows * (size_t)e->rows);
    for (int i = 0; i < h.rows; i++)
        for (int v = 0; v < e->rows; v++) {
            double s = 0;
            for (int c = 0; c < h.cols; c++)
                s += (double)h.v[(size_t)i * h.cols + c] * (double)e->v[(size_t)v * e->cols + c];
            logits[(size_t)i * e->rows + v] = (float)s;
        }
    parity_compare(p, "logits", "logits", logits, (long)h.rows * e->rows);
}

static void parity_load_params(Parity *p, Params *ps)
{
    for (int i = 0; i < ps->n; i++) {
        Param *q = ps->p[i];
        const float *v = parity_vector(p, arena_text(p->arena, "param/%s", q->name), q->n);
        if (!v) return;
        memcpy(q->v, v, sizeof(float) * (size_t)q->n);
        q->version++;
    }
}

static void parity_compare_moments(Parity *p, const Param *q)
{
    const int normuon = q->group == GROUP_NORMUON;
    const char *m = normuon ? "momentum_buffer" : "exp_avg", *s = normuon ? "v" : "exp_avg_sq";
    if (!q->trainable) return;
    parity_compare(p, "state", arena_text(p->arena, "optstate_end/%s/%s", q->name, m), q->m, q->n);
    parity_compare(p, "state", arena_text(p->arena, "optstate_end/%s/%s", q->name, s), q->s,
            normuon ? q->rows : q->n);
}

/* What the sizes of the manifest make: a model and its head. 0: p->bad */
static int parity_make_model(Parity *p, const Spec *s, const Exec *e, int V, Parts *a)
{
    const int d = (int)spec_int(s, "d");
    long *freq = arena_get(p->arena, sizeof *freq * (size_t)V);
    *a = (Parts){ .step = { .head = head_find("softmax"), .model = model_find("flashlm3"), .d = d },
                  .ps = params_new(p->arena) };
    a->step.m = a->step.model->make(s, e, a->ps, V, p->arena);
    if (a->step.m)
        a->step.h =
            a->step.head->make(s, e, a->ps, &(HeadData){ .V = V, .freq = freq }, d, p->arena);
    if (!a->step.h) parity_bad(p, a->ps->why);
    return a->step.h != NULL;
}

static void parity_whole_model(Parity *p, const Spec *s, const Exec *e)
{
    Parts a;
    const json_int_t V = json_integer_value(parity_config(p, "config", "vocab"));
    if (V < 2 || V > TOKEN_IDS_MOST) {
        parity_bad(p, arena_text(p->arena, "meta.config.vocab: expected 2 to %d", TOKEN_IDS_MOST));
        return;
    }
    const Batch *b = parity_batch(p, (int)V, (int)spec_int(s, "d"));
    if (!b || !parity_make_model(p, s, e, (int)V, &a)) return;
    parity_load_params(p, a.ps);
    if (p->bad) return;
    a.step.optim = optim_new(s, e, a.ps, p->arena);
    a.step.tape = tape_new(e, s, p->arena, PASS_BYTES);
    parity_compare_logits(p, &a, b->x, b->B, b->T);
    for (int step = 0; parity_entry(p, arena_text(p->arena, "s%d/loss_total", step)); step++)
        parity_step(p, &a, step, b);
    for (int i = 0; i < a.ps->n; i++) parity_compare_moments(p, a.ps->p[i]);
    tape_drop(a.step.tape);
}

/* Newton-Schulz runs on m = (1 - momentum) G as the first step of NorMuon does; it is scale free
 * but for an epsilon. unit: "<r>x<c>" */
static void parity_normuon_unit(Parity *p, const char *unit, const Spec *s, const Exec *e)
{
    int rows = 0, cols = 0;
    const float *G = parity_matrix(p, arena_text(p->arena, "%s/G", unit), &rows, &cols);
    const float *W = parity_matrix(p, arena_text(p->arena, "%s/W0", unit), &rows, &cols);
    if (!G || !W) return;
    const size_t n = (size_t)rows * (size_t)cols;
    float *O = arena_get(p->arena, sizeof(float) * n);
    normuon_ns5(e, O, G, rows, cols, p->arena);
    parity_compare(p, "ns5", arena_text(p->arena, "%s/ns5", unit), O, (long)n);
    Params *ps = params_new(p->arena);
    Param *w = params_add(ps, "w", (int[]){ rows, cols, 0 }, GROUP_NORMUON, OWNER_CORE);
    memcpy(w->v, W, sizeof(float) * n);
    memcpy(w->g, G, sizeof(float) * n);
    Optim *o = optim_new(s, e, ps, p->arena);
    optim_begin(o, 1, 0);
    optim_update(o, OWNER_CORE);
    parity_compare(p, "after", arena_text(p->arena, "%s/W1", unit), w->v, (long)n);
}

static void parity_normuon_units(Parity *p, Spec *s, const Exec *e)
{
    json_t *t;
    size_t i;
    CHECK(!spec_set(s, "clip=0"));
    json_array_foreach(json_object_get(p->manifest, "tensors"), i, t) {
        const char *name = json_string_value(json_object_get(t, "name")),
                   *slash = strchr(name, '/');
        if (slash && !strcmp(slash, "/G") && !p->bad)
            parity_normuon_unit(p, arena_text(p->arena, "%.*s", (int)(slash - name), name), s, e);
    }
}

static void parity_bitlinear_unit(Parity *p, const Spec *s, const Exec *e)
{
    int n = 0, cols = 0, rows = 0;
    const float *x = parity_matrix(p, "x", &n, &cols), *w = parity_matrix(p, "w", &rows, &cols),
                *gain = parity_vector(p, "norm_weight", cols),
                *dy = parity_matrix(p, "dy", &n, &rows);
    const json_t *eps = json_object_get(json_object_get(p->manifest, "meta"), "eps");
    if (!json_is_number(eps)) parity_bad(p, "meta.eps: expected a number");
    if (p->bad) return;
    const size_t bytes = sizeof(float) * (size_t)n * (size_t)cols;
    Params *ps = params_new(p->arena);
    Param *W = params_add(ps, "w", (int[]){ rows, cols, 0 }, GROUP_ADAMW, OWNER_CORE);
    Param *g = params_add(ps, "gain", (int[]){ cols, 0 }, GROUP_ADAMW_NODECAY, OWNER_CORE);
    memcpy(W->v, w, sizeof(float) * (size_t)W->n);
    memcpy(g->v, gain, sizeof(float) * (size_t)g->n);
    Tape *t = tape_new(e, s, p->arena, PASS_BYTES);
    tape_reset(t, 1);
    Grad dx = { .p = arena_get(p->arena, bytes), .bytes = bytes, .kept = 1 };
    Var in = { memcpy(arena_raw(p->arena, bytes), x, bytes), &dx, n, cols, NULL };
    Var xn = op_rmsnorm(t, in, g, json_number_value(eps), 1);
    parity_compare(p, "act", "xn", xn.v, (long)n * cols);
    Var y = op_linear(t, xn, W, 1);
    parity_compare(p, "act", "y", y.v, (long)y.rows * y.cols);
    memcpy(tape_grad(t, y), dy, sizeof(float) * (size_t)y.rows * (size_t)y.cols);
    tape_backward(t);
    parity_compare(p, "grad", "dx", dx.p, (long)n * cols);
    parity_compare(p, "grad", "dw", W->g, W->n);
    parity_compare(p, "grad", "dnorm", g->g, g->n);
    tape_drop(t);
}

/* What the manifest is of */
static void parity_run(Parity *p)
{
    const char *why;
    Spec *s = parity_spec(p);
    const int whole = parity_config(p, "config", "conv_groups") != NULL,
              layer = !whole && parity_entry(p, "norm_weight") && parity_entry(p, "dy");
    if (!s) return;
    if (layer) CHECK(!spec_set(s, "quant=absmean") && !spec_set(s, "act=int8"));
    const Exec *e = exec_make(s, p->arena, &why);
    if (!e) parity_bad(p, why);
    else if (whole) parity_whole_model(p, s, e);
    else if (layer) parity_bitlinear_unit(p, s, e);
    else parity_normuon_units(p, s, e);
}

const char *law_parity(const char *dir, FILE *out, int *bad, Arena *a)
{
    Parity p = { .dir = dir, .arena = a };
    if (parity_open(&p)) parity_run(&p);
    if (!p.groups && !p.why)
        parity_bad(&p, "expected the tensors of a model, a layer or steps of NorMuon");
    for (int g = 0; g < p.groups && out; g++)
        fprintf(out, "  %-7s %3d tensors, worst relative error %.2e (tolerance %.0e) in %s\n",
                p.group[g].name, p.group[g].n, p.group[g].worst, p.group[g].tolerance,
                p.group[g].which);
    json_decref(p.manifest);
    *bad = p.bad != NULL;
    return p.bad ? p.bad : p.why;
}
