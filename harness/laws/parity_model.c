/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Parity of a whole model: activations, gradients and some steps on one batch, and decoding. */
#include "harness/laws/parity_parts.h"
#include <math.h>
#include <string.h>

enum { PASS_BYTES = 1 << 30 };

typedef struct { Step step; Params *ps; } Parts;

/* ---- names: of this program's parameters and activations, as an older manifest has them ---- */

static const char *parity_without(Parity *p, const char *name, const char *what,
                                  const char *instead)
{
    const char *at = strstr(name, what);
    if (!at) return name;
    return arena_text(p->arena, "%.*s%s%s", (int)(at - name), name, instead, at + strlen(what));
}

/* "hidden" in place of "hidden_size" in meta.config: without the checkpoint's prefixes and endings.
 * model.layers.0.attn.i_proj.norm.weight is layers.0.i_proj.norm_weight there. */
static const char *parity_name(Parity *p, const char *name)
{
    static const char *const pairs[][2] = { { "model.", "" },
                                            { "attn.", "" },
                                            { "mlp.", "" },
                                            { "embeddings.weight", "embeddings" },
                                            { "final_norm", "final_hidden" } };
    if (!parity_config(p, "config", "hidden")) return name;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        name = parity_without(p, name, pairs[i][0], pairs[i][1]);
    if (!strcmp(name, "norm.weight")) return "norm";
    return parity_without(p, parity_without(p, name, ".norm.weight", ".norm_weight"),
                          "_norm.weight", "_norm");
}

static void parity_see(void *ctx, const char *name, int is_gradient, const float *data, long n)
{
    Parity *p = ctx;
    parity_compare(p, is_gradient ? "dact" : "act",
                   arena_text(p->arena, "%s/%s", is_gradient ? "dact" : "act",
                              parity_name(p, name)), data, n);
}

/* ---- steps ---- */

static void parity_compare_loss(Parity *p, int step, float loss)
{
    parity_compare(p, "loss", arena_text(p->arena, "s%d/loss_total", step), &loss, 1);
    parity_compare(p, "loss", arena_text(p->arena, "s%d/loss", step), &loss, 1);
    if (!step) parity_compare(p, "loss", "loss", &loss, 1);
}

static int parity_has_step(const Parity *p, int step)
{
    return parity_entry(p, arena_text(p->arena, "s%d/loss_total", step)) ||
           parity_entry(p, arena_text(p->arena, "s%d/loss", step));
}

static void parity_update(Parity *p, Parts *a, int step, double norm)
{
    step_update(&a->step, 1, norm);
    for (int i = 0; i < a->ps->n; i++) {
        const Param *q = a->ps->p[i];
        parity_compare_after(p, arena_text(p->arena, "s%d/after/%s", step, q->name), q, q->v);
        if (q->ema)
            parity_compare(p, "ema", arena_text(p->arena, "s%d/ema/%s", step, q->name), q->ema,
                           q->n);
    }
}

/* One pass over the manifest's batch, compared at every stage, and the update where there is one;
 * step 0 also shows activations and gradients. 1: weights were updated */
static int parity_step(Parity *p, Parts *a, int step, const Batch *b)
{
    const char *norm_name = arena_text(p->arena, "s%d/grad_norm", step);
    tape_watch(a->step.tape, step ? NULL : parity_see, p);
    params_zero_grad(a->ps);
    const double loss = objective_next_token.pass(&a->step, b, 1 / (float)b->supervised);
    const double norm = step_norm(&a->step);
    const float norm_f = (float)norm;
    parity_compare_loss(p, step, (float)(loss / b->supervised));
    for (int i = 0; i < a->ps->n && !step; i++)
        parity_compare(p, "grad",
                       arena_text(p->arena, "grad/%s", parity_name(p, a->ps->p[i]->name)),
                       a->ps->p[i]->g, a->ps->p[i]->n);
    if (!parity_entry(p, norm_name)) return 0;
    parity_compare(p, "norm", norm_name, &norm_f, 1);
    parity_update(p, a, step, norm);
    return 1;
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

/* ---- logits: a head gives logarithms of probabilities, which are the same but for one number a
 * position; that number is taken from the reference ---- */

static double parity_lse(const float *z, int V)
{
    double top = (double)z[0], sum = 0;
    for (int v = 1; v < V; v++) top = fmax(top, (double)z[v]);
    for (int v = 0; v < V; v++) sum += exp((double)z[v] - top);
    return top + log(sum);
}

/* x (n, d) hidden states */
static void parity_compare_logits(Parity *p, const Parts *a, const char *name, const float *x,
                                  long n, int V)
{
    long m;
    const float *ref = parity_fetch(p, name, &m, NULL);
    float *z = arena_get(p->arena, sizeof *z * (size_t)n * (size_t)V);
    for (long i = 0; ref && m == n * V && i < n; i++) {
        const double lse = parity_lse(ref + i * V, V);
        a->step.head->logprob(a->step.h, x + i * a->step.d, z + i * V);
        for (int v = 0; v < V; v++) z[i * V + v] = (float)((double)z[i * V + v] + lse);
    }
    parity_compare(p, "logits", name, z, n * V);
}

static const float *parity_continue(Parts *a, const int *ids, int B, int T, Carry *const *carry)
{
    tape_reset(a->step.tape, 0);
    return a->step.model->forward(a->step.m, a->step.tape, ids, B, T, carry).v;
}

/* The first half of every sequence at once, then token by token, all sequences in one batch */
static void parity_decode(Parity *p, Parts *a, const Batch *b, int V)
{
    const int B = b->B, T = b->T, half = T / 2;
    const float *h = NULL;
    if (!parity_entry(p, "decode/logits_last")) return;
    Carry **carry = arena_get(p->arena, sizeof *carry * (size_t)B);
    int *some = arena_get(p->arena, sizeof *some * (size_t)B * (size_t)T);
    for (int i = 0; i < B; i++) carry[i] = carry_new(a->step.model, a->step.m, T, p->arena);
    for (int i = 0; i < B * half; i++) some[i] = b->x[i / half * T + i % half];
    parity_continue(a, some, B, half, carry);
    for (int t = half; t < T; t++) {
        for (int i = 0; i < B; i++) some[i] = b->x[i * T + t];
        h = parity_continue(a, some, B, 1, carry);
    }
    parity_compare_logits(p, a, "decode/logits_last", h, B, V);
}

/* ---- the model ---- */

static void parity_load_params(Parity *p, Params *ps)
{
    for (int i = 0; i < ps->n; i++) {
        Param *q = ps->p[i];
        const float *v =
            parity_vector(p, arena_text(p->arena, "param/%s", parity_name(p, q->name)), q->n);
        if (!v) return;
        memcpy(q->v, v, sizeof(float) * (size_t)q->n);
        q->version++;
    }
}

/* 0: p->bad */
static int parity_make_model(Parity *p, const Spec *s, const Exec *e, int V, Parts *a)
{
    const int d = (int)spec_int(s, "d");
    const char *why = spec_check_values(s);
    long *freq = arena_get(p->arena, sizeof *freq * (size_t)V);
    if (why) parity_bad(p, why);
    if (why) return 0;
    *a = (Parts){ .step = { .head = head_find("softmax"),
                            .model = model_find(spec_str(s, "model")),
                            .d = d },
                  .ps = params_new(p->arena) };
    a->step.m = a->step.model->make(s, e, a->ps, V, p->arena);
    if (a->step.m)
        a->step.h =
            a->step.head->make(s, e, a->ps, &(HeadData){ .V = V, .freq = freq }, d, p->arena);
    if (!a->step.h) parity_bad(p, a->ps->why);
    return a->step.h != NULL;
}

/* What the manifest has of a model must have been made: a name that nobody compared may be one that
 * is misspelt here */
static void parity_all_seen(Parity *p)
{
    static const char *const kinds[] = { "act/", "dact/", "grad/", "decode/" };
    json_t *e;
    size_t i;
    json_array_foreach(json_object_get(p->manifest, "tensors"), i, e) {
        const char *name = json_string_value(json_object_get(e, "name"));
        int counts = strstr(name, "/after/") != NULL;
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            counts |= !strncmp(name, kinds[k], strlen(kinds[k]));
        if (counts && !p->seen[i] && strcmp(name, "dact/logits") && !p->why)
            p->why = arena_text(p->arena, "%s: '%s': this program makes nothing of that name",
                                p->dir, name);
    }
}

static json_int_t parity_vocabulary(const Parity *p)
{
    const json_t *v = parity_config(p, "config", "vocab");
    return json_integer_value(v ? v : parity_config(p, "config", "vocab_size"));
}

void parity_whole_model(Parity *p, const Spec *s, const Exec *e)
{
    Parts a;
    const json_int_t V = parity_vocabulary(p);
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
    tape_watch(a.step.tape, NULL, NULL);
    parity_compare_logits(p, &a, "logits", parity_continue(&a, b->x, b->B, b->T, NULL),
                          (long)b->B * b->T, (int)V);
    parity_decode(p, &a, b, (int)V);
    for (int step = 0; parity_step(p, &a, step, b) && parity_has_step(p, step + 1); ) step++;
    for (int i = 0; i < a.ps->n; i++) parity_compare_moments(p, a.ps->p[i]);
    parity_all_seen(p);
    tape_drop(a.step.tape);
}
