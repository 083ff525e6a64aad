/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Parity: a directory of reference tensors against this program.
 *
 * manifest.json: {"meta": {"config": {...}, "optimizer": {...}}, "tensors": [{name, file, dtype,
 * shape}]}, raw little-endian files beside it. What is in it says what is compared: param/
 * input_ids targets [pos_indices]   a whole FlashLM v3: act/ dact/ logits grad/
 * s<k>/{loss_*,grad_norm,after/,ema/} <r>x<c>/{G,W0,W1,ns5}                    Newton-Schulz and
 * one NorMuon step x w norm_weight dy                       one BitLinear layer: xn, y, dx, dw,
 * dnorm The error of a tensor is max|a - b| / max|b|. */
#include "harness/laws/laws.h"
#include "models/normuon.h"
#include "models/step.h"
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

enum { MAX_GROUPS = 16, PASS_BYTES = 1 << 30 };
typedef struct { const char *name; double tolerance, worst; const char *which; int n; } ErrorGroup;
typedef struct {
    const char *dir, *why;        /* why: the first thing that went wrong, or NULL */
    json_t     *manifest;
    Arena      *arena;
    ErrorGroup  group[MAX_GROUPS];
    int         groups;
} Parity;

typedef struct { const char *name; double tolerance; } Tolerance;
static const Tolerance tolerances[] = { { "loss", 1e-5 },  { "act", 1e-5 },  { "logits", 1e-5 },
                                        { "grad", 1e-4 },  { "dact", 1e-4 }, { "norm", 1e-5 },
                                        { "after", 1e-5 }, { "ema", 1e-5 },  { "state", 1e-4 },
                                        { "ns5", 1e-4 } };

static json_t *parity_entry(const Parity *p, const char *name)
{
    json_t *e;
    size_t i;
    json_array_foreach(json_object_get(p->manifest, "tensors"), i, e)
        if (!strcmp(json_string_value(json_object_get(e, "name")), name)) return e;
    return NULL;
}

static const json_t *parity_config(const Parity *p, const char *part, const char *key)
{
    return json_object_get(json_object_get(json_object_get(p->manifest, "meta"), part), key);
}

/* A tensor's values (4 bytes each), NULL when the manifest does not have it; *shape (4) when asked
 * for */
static void *parity_fetch(Parity *p, const char *name, long *n, int *shape)
{
    const json_t *e = parity_entry(p, name), *s, *v;
    size_t i;
    if (!e) return NULL;
    *n = 1;
    s = json_object_get(e, "shape");
    if (shape) memset(shape, 0, 4 * sizeof *shape);
    json_array_foreach((json_t *)s, i, v) {
        *n *= (long)json_integer_value(v);
        if (shape && i < 4) shape[i] = (int)json_integer_value(v);
    }
    const char *path =
        arena_text(p->arena, "%s/%s", p->dir, json_string_value(json_object_get(e, "file")));
    if (*n < 0 || *n > 1l << 30)
        die("%s/manifest.json: tensor '%s' has an impossible shape", p->dir, name);
    void *data = arena_raw(p->arena, 4 * (size_t)*n);
    FILE *f = fopen(path, "rb");
    if (!f) die("%s: cannot be opened: %s", path, strerror(errno));
    if (fread(data, 4, (size_t)*n, f) != (size_t)*n || fgetc(f) != EOF)
        die("%s: expected %ld values of 4 bytes", path, *n);
    fclose(f);
    return data;
}

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

static void parity_set(Parity *p, Spec *s, const char *key, const char *part, const char *from)
{
    const json_t *v = parity_config(p, part, from), *e;
    char text[256] = "";
    size_t i;
    if (json_is_array(v)) {
        json_array_foreach((json_t *)v, i, e)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%lld", i ? "," : "",
                     (long long)json_integer_value(e));
    } else if (json_is_integer(v))
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v)) snprintf(text, sizeof text, "%.17g", json_real_value(v));
    else return;
    const char *why = spec_set(s, arena_text(p->arena, "%s=%s", key, text));
    if (why) die("%s/manifest.json: %s.%s: %s", p->dir, part, from, why);
}

static Spec *parity_spec_of(Parity *p)
{
    static const char *const keys[][3] = { { "d", "config", "d" },
                                           { "inner", "config", "inner" },
                                           { "conv_groups", "config", "conv_groups" },
                                           { "conv_kernel", "config", "conv_kernel" },
                                           { "dilations", "config", "dilations" },
                                           { "recursions", "config", "recursions" },
                                           { "smoothing", "config", "label_smoothing" },
                                           { "zloss", "config", "zloss_coeff" },
                                           { "lr", "optimizer", "adamw_lr" },
                                           { "lr_normuon", "optimizer", "normuon_lr" },
                                           { "beta1", "optimizer", "adamw_beta1" },
                                           { "beta2", "optimizer", "adamw_beta2" },
                                           { "decay_weight", "optimizer", "weight_decay" },
                                           { "clip", "optimizer", "max_grad_norm" },
                                           { "ema", "optimizer", "ema_decay" } };
    Spec *s = spec_new(p->arena);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        parity_set(p, s, keys[i][0], keys[i][1], keys[i][2]);
    return s;
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
        long n;
        const float *v =
            parity_fetch(p, arena_text(p->arena, "param/%s", ps->p[i]->name), &n, NULL);
        if (!v || n != ps->p[i]->n)
            die("%s/manifest.json: expected 'param/%s' with %ld values", p->dir, ps->p[i]->name,
                ps->p[i]->n);
        memcpy(ps->p[i]->v, v, sizeof(float) * (size_t)n);
        ps->p[i]->version++;
    }
}

/* The manifest's batch, validated */
static Batch *parity_batch(Parity *p, int V, int d)
{
    int shape[4];
    long n, n_targets, n_pos = 0;
    const int *ids = parity_fetch(p, "input_ids", &n, shape);
    const int *targets = parity_fetch(p, "targets", &n_targets, NULL);
    const int *pos = parity_fetch(p, "pos_indices", &n_pos, NULL);
    if (!ids || !targets || n != n_targets || shape[0] < 1 || V < 2)
        die("%s/manifest.json: expected input_ids and targets (batch, seq), config.vocab", p->dir);
    for (long i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= V || targets[i] < 0 || targets[i] >= V)
            die("%s: a token id is outside [0, %d)", p->dir, V);
    for (long i = 0; i < n_pos; i++)
        if (pos[i] < 0 || pos[i] >= n)
            die("%s: pos_indices: %d is outside [0, %ld)", p->dir, pos[i], n);
    Batch *b = batch_new(shape[0], shape[1], (int)(pos ? n_pos : n), d, p->arena);
    memcpy(b->x, ids, sizeof *ids * (size_t)n);
    memcpy(b->y, targets, sizeof *targets * (size_t)n);
    for (long i = 0; pos && i < n_pos; i++) {
        b->pos[i] = pos[i];
        b->target[i] = targets[pos[i]];
    }
    return b;
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

static void parity_whole_model(Parity *p)
{
    const char *why;
    Spec *s = parity_spec_of(p);
    const Exec *e = exec_make(s, p->arena, &why);
    if (!e) die("%s", why);
    const int V = (int)json_integer_value(parity_config(p, "config", "vocab")),
              d = (int)spec_int(s, "d");
    const Batch *b = parity_batch(p, V, d);
    long *freq = arena_get(p->arena, sizeof *freq * (size_t)V);
    Parts a = { .step = { .head = head_find("softmax"), .model = model_find("flashlm3"), .d = d },
                .ps = params_new(p->arena) };
    a.step.m = a.step.model->make(s, e, a.ps, V, p->arena);
    a.step.h = a.step.head->make(s, e, a.ps, &(HeadData){ .V = V, .freq = freq }, d, p->arena);
    if (!a.step.h) die("%s", a.ps->why);
    parity_load_params(p, a.ps);
    a.step.optim = optim_new(s, e, a.ps, p->arena);
    a.step.tape = tape_new(e, s, p->arena, PASS_BYTES);
    parity_compare_logits(p, &a, b->x, b->B, b->T);
    for (int step = 0; parity_entry(p, arena_text(p->arena, "s%d/loss_total", step)); step++)
        parity_step(p, &a, step, b);
    for (int i = 0; i < a.ps->n; i++) parity_compare_moments(p, a.ps->p[i]);
    tape_drop(a.step.tape);
}

/* Newton-Schulz runs on m = (1 - momentum) G as the first step of NorMuon does; it is scale free
 * but for an epsilon */
static void parity_normuon_units(Parity *p)
{
    const char *why;
    Spec *s = parity_spec_of(p);
    const Exec *e = exec_make(s, p->arena, &why);
    json_t *t;
    size_t i;
    if (!e) die("%s", why);
    spec_set(s, "clip=0");
    json_array_foreach(json_object_get(p->manifest, "tensors"), i, t) {
        const char *name = json_string_value(json_object_get(t, "name")),
                   *slash = strchr(name, '/');
        if (!slash || strcmp(slash, "/G")) continue;
        const int len = (int)(slash - name);
        long n;
        int shape[4];
        const float *G = parity_fetch(p, name, &n, shape),
                    *W = parity_fetch(p, arena_text(p->arena, "%.*s/W0", len, name), &n, NULL);
        if (!W) die("%s/manifest.json: expected '%.*s/W0' beside '%s'", p->dir, len, name, name);
        float *O = arena_get(p->arena, sizeof(float) * (size_t)n);
        normuon_ns5(e, O, G, shape[0], shape[1], p->arena);
        parity_compare(p, "ns5", arena_text(p->arena, "%.*s/ns5", len, name), O, n);
        Params *ps = params_new(p->arena);
        Param *w = params_add(ps, "w", (int[]){ shape[0], shape[1], 0 }, GROUP_NORMUON, OWNER_CORE);
        memcpy(w->v, W, sizeof(float) * (size_t)n);
        memcpy(w->g, G, sizeof(float) * (size_t)n);
        Optim *o = optim_new(s, e, ps, p->arena);
        optim_begin(o, 1, 0);
        optim_update(o, OWNER_CORE);
        parity_compare(p, "after", arena_text(p->arena, "%.*s/W1", len, name), w->v, n);
    }
}

static void parity_bitlinear_unit(Parity *p)
{
    const char *why;
    Spec *s = parity_spec_of(p);
    if (spec_set(s, "quant=absmean") || spec_set(s, "act=int8")) CHECK(0);
    const Exec *e = exec_make(s, p->arena, &why);
    if (!e) die("%s", why);
    long n, k;
    int xs[4], ws[4];
    const float *x = parity_fetch(p, "x", &n, xs), *w = parity_fetch(p, "w", &k, ws),
                *gain = parity_fetch(p, "norm_weight", &k, NULL),
                *dy = parity_fetch(p, "dy", &k, NULL);
    if (!x || !w || !gain || !dy || ws[1] != xs[1])
        die("%s/manifest.json: expected x, w, norm_weight and dy of one layer", p->dir);
    Params *ps = params_new(p->arena);
    Param *W = params_add(ps, "w", (int[]){ ws[0], ws[1], 0 }, GROUP_ADAMW, OWNER_CORE);
    Param *g = params_add(ps, "gain", (int[]){ xs[1], 0 }, GROUP_ADAMW_NODECAY, OWNER_CORE);
    memcpy(W->v, w, sizeof(float) * (size_t)W->n);
    memcpy(g->v, gain, sizeof(float) * (size_t)g->n);
    Tape *t = tape_new(e, s, p->arena, PASS_BYTES);
    tape_reset(t, 1);
    Grad dx = { .p = arena_get(p->arena, sizeof(float) * (size_t)n),
                .bytes = sizeof(float) * (size_t)n,
                .kept = 1 };
    Var in = { arena_get(p->arena, sizeof(float) * (size_t)n), &dx, xs[0], xs[1], NULL };
    memcpy(in.v, x, sizeof(float) * (size_t)n);
    Var xn = op_rmsnorm(
        t, in, g, json_real_value(json_object_get(json_object_get(p->manifest, "meta"), "eps")), 1);
    parity_compare(p, "act", "xn", xn.v, n);
    Var y = op_linear(t, xn, W, 1);
    parity_compare(p, "act", "y", y.v, (long)y.rows * y.cols);
    memcpy(tape_grad(t, y), dy, sizeof(float) * (size_t)y.rows * (size_t)y.cols);
    tape_backward(t);
    parity_compare(p, "grad", "dx", dx.p, n);
    parity_compare(p, "grad", "dw", W->g, W->n);
    parity_compare(p, "grad", "dnorm", g->g, g->n);
    tape_drop(t);
}

const char *law_parity(const char *dir, FILE *out, Arena *a)
{
    Parity p = { .dir = dir, .arena = a };
    json_error_t error;
    const char *path = arena_text(a, "%s/manifest.json", dir);
    p.manifest = json_load_file(path, 0, &error);
    if (!p.manifest) die("%s, line %d: %s", path, error.line, error.text);
    if (!json_is_array(json_object_get(p.manifest, "tensors")))
        die("%s: expected \"tensors\": [...]", path);
    if (parity_config(&p, "config", "conv_groups")) parity_whole_model(&p);
    else if (parity_entry(&p, "norm_weight") && parity_entry(&p, "dy")) parity_bitlinear_unit(&p);
    else parity_normuon_units(&p);
    for (int g = 0; g < p.groups && out; g++)
        fprintf(out, "  %-7s %3d tensors, worst relative error %.2e (tolerance %.0e) in %s\n",
                p.group[g].name, p.group[g].n, p.group[g].worst, p.group[g].tolerance,
                p.group[g].which);
    if (!p.groups && !p.why)
        p.why = arena_text(a, "%s: nothing in this manifest is known to this program", dir);
    json_decref(p.manifest);
    return p.why;
}
