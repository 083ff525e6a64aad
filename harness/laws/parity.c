/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Parity: a directory of reference tensors against this program.
 *
 * manifest.json: {"meta": {"config": {...}, "optimizer": {...}}, "tensors": [{name, file, dtype,
 * shape}]}, raw little-endian files beside it. What is in it says what is compared:
 *
 *   param/ input_ids targets [pos_indices]        a whole model, which one by meta.config
 *                                                 (parity_model.c): act/ dact/ logits grad/ loss
 *                                                 s<k>/{loss*,grad_norm,after/,ema/}
 *                                                 decode/logits_last
 *   <r>x<c>/{G,W0,W1,ns5}                         Newton-Schulz and one NorMuon step
 *   x w norm_weight dy                            one BitLinear layer: xn, y, dx, dw, dnorm
 *
 * The error of a tensor is max|a - b| / max|b|. Of weights after a step those are left out whose
 * reference gradient is below 1e-6 and not zero: Adam's first steps are lr g / (|g| + 1e-8), of
 * which rounding decides sign and size there. */
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
#define PARITY_LEAST_GRADIENT 1e-6f

static ErrorGroup *parity_group(Parity *p, const Tolerance *kind)
{
    int g = 0;
    while (g < p->groups && strcmp(p->group[g].name, kind->name)) g++;
    if (g == p->groups)
        p->group[p->groups++] = (ErrorGroup) { kind->name, kind->tolerance, -1, "", 0, 0 };
    return &p->group[g];
}

/* gradient (n): of the reference, see above; NULL: every value counts */
static void parity_compare_where(Parity *p, const char *kind, const char *name, const float *ours,
                                 long n, const float *gradient)
{
    long m, left = 0;
    const Tolerance *k = tolerances;
    const float *ref = parity_fetch(p, name, &m, NULL);
    if (!ref) return;
    if (m != n) {
        if (!p->why)
            p->why = arena_text(p->arena, "%s: '%s' has %ld values, this program makes %ld", p->dir,
                                name, m, n);
        return;
    }
    p->seen[parity_index(p, name)] = 1;
    double worst = 0, top = 0;
    for (long i = 0; i < n; i++) {
        const double e = fabs((double)ours[i] - (double)ref[i]);
        top = fabs((double)ref[i]) > top ? fabs((double)ref[i]) : top;
        const float slope = gradient ? fabsf(gradient[i]) : 0;
        const int skipped = slope > 0 && slope < PARITY_LEAST_GRADIENT;
        left += skipped;
        if (skipped) continue;
        worst = e > worst || isnan(e) ? e : worst;
    }
    while (strcmp(k->name, kind)) k++;
    ErrorGroup *g = parity_group(p, k);
    const double rel = top > 0 ? worst / top : worst;
    g->n++;
    g->left += left;
    if (rel > g->worst || isnan(rel)) {
        g->worst = rel;
        g->which = arena_text(p->arena, "%s", name);
    }
    if (!(rel <= k->tolerance) && !p->why)
        p->why =
            arena_text(p->arena, "%s: '%s' is off by %.3g relative, the tolerance of '%s' is %.0e",
                       p->dir, name, rel, kind, k->tolerance);
}

void parity_compare(Parity *p, const char *kind, const char *name, const float *ours, long n)
{
    parity_compare_where(p, kind, name, ours, n, NULL);
}

void parity_compare_after(Parity *p, const char *name, const Param *q, const float *ours)
{
    long n = 0;
    const float *g = parity_fetch(p, arena_text(p->arena, "grad/%s", q->name), &n, NULL);
    parity_compare_where(p, "after", name, ours, q->n, g && n == q->n ? g : NULL);
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
    const int whole = parity_model_words(p) != NULL,
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
    for (int g = 0; g < p.groups && out; g++) {
        const ErrorGroup *e = &p.group[g];
        fprintf(out, "  %-7s %3d tensors, worst relative error %.2e (tolerance %.0e) in %s\n",
                e->name, e->n, e->worst, e->tolerance, e->which);
        if (e->left) fprintf(out, "          %ld values of small gradient left out\n", e->left);
    }
    json_decref(p.manifest);
    *bad = p.bad != NULL;
    return p.bad ? p.bad : p.why;
}
