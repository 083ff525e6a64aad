/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/session.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_META = 24 };

static Tensor tensor(Arena *a, const char *prefix, const Param *p, float *data, long n)
{
    Tensor t = { .name = arena_text(a, "%s%s", prefix, p->name), .dtype = "F32", .n = n, .ndim = p->ndim, .data = data };
    memcpy(t.shape, p->shape, sizeof p->shape);
    if (n != p->n) t.ndim = 1, t.shape[0] = (int)n;
    return t;
}

/* The settings but for the budget: a run may be continued for longer. */
static const char *settings_text(const Spec *spec, Arena *a)
{
    Spec *s = spec_copy(spec, a);
    CHECK(!spec_set(s, "budget=60s"));
    return spec_text(s);
}

const char *checkpoint_save(Session *s, const char *path)
{
    Arena *a = &s->arena;
    const size_t at = a->used;
    const Params *ps = s->params;
    Tensor *t = arena_get(a, sizeof *t * (size_t)(4 * ps->n + 1));
    int32_t *steps = arena_get(a, sizeof *steps * (size_t)ps->n);
    int n = 0;
    for (int i = 0; i < ps->n; i++) {
        Param *p = ps->p[i];
        steps[i] = (int32_t)p->steps;
        t[n++] = tensor(a, "", p, p->v, p->n);
        if (p->m) t[n++] = tensor(a, "opt.m/", p, p->m, p->n);
        if (p->s) t[n++] = tensor(a, "opt.s/", p, p->s, p->group == GROUP_NORMUON ? p->rows : p->n);
        if (p->ema) t[n++] = tensor(a, "ema/", p, p->ema, p->n);
    }
    t[n++] = (Tensor){ .name = "opt.steps", .dtype = "I32", .n = ps->n, .ndim = 1, .shape = { ps->n }, .data = steps };
    const char *meta[MAX_META] = { "format", "eightysix 1", "spec", settings_text(s->spec, a),
        "step", arena_text(a, "%ld", s->step), "tokens", arena_text(a, "%ld", s->tokens),
        "supervised", arena_text(a, "%ld", s->supervised), "seconds", arena_text(a, "%.17g", s->seconds),
        "flops", arena_text(a, "%.17g", s->flops), "finishing", s->finishing ? "1" : "0",
        "cutoffs", s->cutoffs ? s->cutoffs : "", "gemm", s->exec->gemm->name, NULL };
    const char *why = tensors_save(path, t, n, meta, a);
    if (!why) arena_reset(a, at);
    return why;
}

static const char *load_state(Session *s, TensorFile *f)
{
    const char *why = params_load(s->params, f);
    const Tensor *steps = tensors_find(f, "opt.steps");
    for (int i = 0; i < s->params->n && !why && s->optim; i++) {
        Param *p = s->params->p[i];
        const char *prefix[] = { "opt.m/", "opt.s/", "ema/" };
        float *to[] = { p->m, p->s, p->ema };
        for (int k = 0; k < 3 && !why; k++) {
            if (!to[k]) continue;
            const char *name = arena_text(&s->arena, "%s%s", prefix[k], p->name);
            const Tensor *t = tensors_find(f, name);
            const long n = k == 1 && p->group == GROUP_NORMUON ? p->rows : p->n;
            if (!t || t->n != n || strcmp(t->dtype, "F32")) why = arena_text(&s->arena, "%s: expected '%s' with %ld values of F32", f->path, name, n);
            else memcpy(to[k], t->data, sizeof(float) * (size_t)n);
        }
    }
    if (!why && s->optim && (!steps || steps->n != s->params->n || strcmp(steps->dtype, "I32")))
        why = arena_text(&s->arena, "%s: expected 'opt.steps' with %d values of I32", f->path, s->params->n);
    for (int i = 0; i < s->params->n && !why && s->optim; i++) s->params->p[i]->steps = ((const int32_t *)steps->data)[i];
    return why;
}

/* evaluation with eval=ema reads the average in place of the value */
static void load_ema(Session *s, const TensorFile *f)
{
    for (int i = 0; i < s->params->n && !s->optim && spec_is(s->spec, "eval", "ema"); i++) {
        Param *p = s->params->p[i];
        const Tensor *t = tensors_find(f, arena_text(&s->arena, "ema/%s", p->name));
        if (!t || t->n != p->n) continue;
        p->ema = arena_raw(&s->arena, sizeof(float) * (size_t)p->n);
        memcpy(p->ema, t->data, sizeof(float) * (size_t)p->n);
    }
}

static const char *meta(const TensorFile *f, const char *key)
{
    const char *v = tensors_meta(f, key);
    return v ? v : "0";
}

const char *checkpoint_load(Session *s, const char *path)
{
    const char *why;
    TensorFile *f = tensors_open(path, &s->arena, &why);
    if (!f) return why;
    const char *was = tensors_meta(f, "spec"), *now = settings_text(s->spec, &s->arena);
    if (!was) why = arena_text(&s->arena, "%s: not a checkpoint of this program: expected \"spec\" in its metadata", path);
    else if (s->optim && strcmp(was, now))
        why = arena_text(&s->arena, "%s was trained with other settings: it says [%s], this run is [%s]; resume=0 starts anew", path, was, now);
    if (!why) why = load_state(s, f);
    if (!why) load_ema(s, f);
    s->step = strtol(meta(f, "step"), NULL, 10);
    s->tokens = strtol(meta(f, "tokens"), NULL, 10);
    s->supervised = strtol(meta(f, "supervised"), NULL, 10);
    s->seconds = strtod(meta(f, "seconds"), NULL);
    s->flops = strtod(meta(f, "flops"), NULL);
    if (s->last && !strcmp(meta(f, "finishing"), "1")) session_finish(s);
    tensors_close(f);
    return why;
}

const char *checkpoint_gemm(const char *path, const char **gemm, Arena *a)
{
    const char *why = NULL;
    TensorFile *f = tensors_open(path, a, &why);
    if (!f) return why;
    const char *name = tensors_meta(f, "gemm");
    *gemm = name ? arena_text(a, "%s", name) : NULL;
    tensors_close(f);
    return NULL;
}

const char *checkpoint_spec(const char *path, Spec *spec, Arena *a)
{
    const char *why = NULL;
    TensorFile *f = tensors_open(path, a, &why);
    if (!f) return why;
    const char *text = tensors_meta(f, "spec"), *cutoffs = tensors_meta(f, "cutoffs");
    if (!text) why = arena_text(a, "%s: not a checkpoint of this program: expected \"spec\" in its metadata", path);
    char *words = arena_text(a, "%s", text ? text : ""), *save = NULL;
    for (char *w = strtok_r(words, " ", &save); w && !why; w = strtok_r(NULL, " ", &save))
        if ((why = spec_set(spec, w))) why = arena_text(a, "%s: %s", path, why);
    if (!why && cutoffs && *cutoffs) why = spec_set(spec, arena_text(a, "cutoffs=%s", cutoffs));
    tensors_close(f);
    return why;
}
