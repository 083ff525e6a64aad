/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/train/checkpoint.h"
#include "harness/train/checkpoint_file.h"
#include "harness/train/checkpoint_text.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_META = 30 + CHECKPOINT_TEXT_META };

static Tensor checkpoint_tensor(Arena *a, const char *prefix, const Param *p, float *data, long n)
{
    Tensor t = { .name = arena_text(a, "%s%s", prefix, p->name),
                 .dtype = "F32",
                 .n = n,
                 .ndim = p->ndim,
                 .data = data };
    memcpy(t.shape, p->shape, sizeof p->shape);
    if (n != p->n) {
        t.ndim = 1;
        t.shape[0] = (int)n;
    }
    return t;
}

/* The settings but for the budget: a run may be continued for longer. */
static const char *checkpoint_settings_text(const Spec *spec, Arena *a)
{
    Spec *s = spec_copy(spec, a);
    CHECK(!spec_set(s, "budget=60s"));
    return spec_text(s);
}

/* The settings that a stable phase shares with every run that branches off it. */
static const char *checkpoint_trunk_text(const Spec *spec, Arena *a)
{
    static const char *const own[] = { "schedule=wsd", "decay=0.1",          "finish=0", "eval=raw",
                                       "eval_every=0", "valid_tokens=65536", "from=" };
    Spec *s = spec_copy(spec, a);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) CHECK(!spec_set(s, own[i]));
    return checkpoint_settings_text(s, a);
}

static const char *checkpoint_value(const TensorFile *f, const char *key)
{
    const char *v = tensors_meta(f, key);
    return v ? v : "0";
}

/* NULL when a run with these settings may go on from a checkpoint with the settings `was`, or an
 * error message */
static const char *checkpoint_may_continue(const Session *s, const TensorFile *f, const char *was,
                                           Arena *a)
{
    const char *now = checkpoint_settings_text(s->spec, a);
    if (!strcmp(f->path, spec_str(s->spec, "from"))) {
        Spec *trunk = spec_new(a);
        const char *why = checkpoint_read_settings(trunk, f->path, was, a);
        if (why) return why;
        if (!strcmp(checkpoint_value(f, "finishing"), "1"))
            return arena_text(
                a, "from=%s: its last head is in force; expected a checkpoint from before that",
                f->path);
        was = checkpoint_trunk_text(trunk, a);
        now = checkpoint_trunk_text(s->spec, a);
    }
    if (!strcmp(was, now)) return NULL;
    return arena_text(
        a,
        "%s was trained with other settings: it says [%s], this run is [%s]; resume=0 starts anew",
        f->path, was, now);
}

/* Values, moments and averages of every parameter into t; returns how many tensors these are */
static int checkpoint_tensors(Tensor *t, const Params *ps, Arena *a)
{
    int n = 0;
    for (int i = 0; i < ps->n; i++) {
        Param *p = ps->p[i];
        const long moments = p->group == GROUP_NORMUON ? p->rows : p->n;
        t[n++] = checkpoint_tensor(a, "", p, p->v, p->n);
        if (p->m) t[n++] = checkpoint_tensor(a, "opt.m/", p, p->m, p->n);
        if (p->s) t[n++] = checkpoint_tensor(a, "opt.s/", p, p->s, moments);
        if (p->ema) t[n++] = checkpoint_tensor(a, "ema/", p, p->ema, p->n);
    }
    int32_t *steps = arena_array(a, (size_t)ps->n, sizeof *steps);
    for (int i = 0; i < ps->n; i++) steps[i] = (int32_t)ps->p[i]->steps;
    t[n++] = (Tensor){ .name = "opt.steps", .dtype = "I32", .n = ps->n, .ndim = 1,
                       .shape = { ps->n }, .data = steps };
    return n;
}

const char *checkpoint_save(Session *s, const char *path)
{
    Arena *a = s->arena;
    const size_t at = a->used;
    Tensor *t = arena_array(
        a, (size_t)(4 * s->params->n + 1 + CLASSES_TENSORS + CHECKPOINT_TEXT_TENSORS), sizeof *t);
    int n = 0;
    if (s->classes) {
        classes_tensors(t, s->classes, a);
        n = CLASSES_TENSORS;
    }
    n += checkpoint_text_tensors(t + n, s->corpus, a);
    n += checkpoint_tensors(t + n, s->params, a);
    const char *meta[MAX_META] = { "format",     "eightysix 1",
                                   "spec",       checkpoint_settings_text(s->spec, a),
                                   "step",       arena_text(a, "%ld", s->step),
                                   "tokens",     arena_text(a, "%ld", s->tokens),
                                   "supervised", arena_text(a, "%ld", s->supervised),
                                   "seconds",    arena_text(a, "%.17g", s->seconds),
                                   "flops",      arena_text(a, "%.17g", s->flops),
                                   "test_step",  arena_text(a, "%ld", s->test_step),
                                   "test_nll",   arena_text(a, "%.17g", s->test_nll),
                                   "test_positions", arena_text(a, "%ld", s->test_positions),
                                   "finishing",  s->finishing ? "1" : "0",
                                   "cutoffs",    s->cutoffs ? s->cutoffs : "",
                                   "gemm",       s->exec->gemm->name,
                                   "gemm_packed", s->gemm_packed ? s->gemm_packed : "",
                                   NULL };
    int m = 0;
    while (meta[m]) m++;
    checkpoint_text_meta(meta + m, s->corpus, a);
    const char *why = tensors_save(path, t, n, meta, a);
    if (!why) arena_reset(a, at);
    return why;
}

static const char *checkpoint_load_state(Session *s, TensorFile *f)
{
    const char *why = params_load(s->params, f);
    const Tensor *steps = tensors_find(f, "opt.steps");
    for (int i = 0; i < s->params->n && !why && s->optim; i++) {
        Param *p = s->params->p[i];
        const char *prefix[] = { "opt.m/", "opt.s/", "ema/" };
        float *to[] = { p->m, p->s, p->ema };
        for (int k = 0; k < 3 && !why; k++) {
            if (!to[k]) continue;
            const char *name = arena_text(s->arena, "%s%s", prefix[k], p->name);
            const Tensor *t = tensors_find(f, name);
            const long n = k == 1 && p->group == GROUP_NORMUON ? p->rows : p->n;
            if (!t || t->n != n || strcmp(t->dtype, "F32"))
                why = arena_text(s->arena, "%s: expected '%s' with %ld values of F32", f->path,
                                 name, n);
            else memcpy(to[k], t->data, sizeof(float) * (size_t)n);
        }
    }
    if (!why && s->optim && (!steps || steps->n != s->params->n || strcmp(steps->dtype, "I32")))
        why = arena_text(s->arena, "%s: expected 'opt.steps' with %d values of I32", f->path,
                         s->params->n);
    for (int i = 0; i < s->params->n && !why && s->optim; i++)
        s->params->p[i]->steps = ((const int32_t *)steps->data)[i];
    return why;
}

/* evaluation with eval=ema reads the average in place of the value. NULL or an error message */
static const char *checkpoint_load_ema(Session *s, const TensorFile *f)
{
    int found = 0;
    if (s->optim || !spec_is(s->spec, "eval", "ema")) return NULL;
    for (int i = 0; i < s->params->n; i++) {
        Param *p = s->params->p[i];
        const char *name = arena_text(s->arena, "ema/%s", p->name);
        const Tensor *t = tensors_find(f, name);
        if (!t) continue;
        if (t->n != p->n || strcmp(t->dtype, "F32"))
            return arena_text(s->arena, "%s: expected '%s' with %ld values of F32", f->path, name,
                              p->n);
        found++;
        p->ema = arena_raw(s->arena, sizeof(float) * (size_t)p->n);
        memcpy(p->ema, t->data, sizeof(float) * (size_t)p->n);
    }
    if (found) return NULL;
    return arena_text(s->arena, "%s: it has no averages (trained with ema=0): expected eval=raw",
                      f->path);
}

/* The metadata of a key as a number that is not negative; 0 where it is missing */
static const char *checkpoint_count(const TensorFile *f, const char *key, long *value, Arena *a)
{
    char *end;
    const char *text = checkpoint_value(f, key);
    errno = 0;
    *value = strtol(text, &end, 10);
    if (end != text && !*end && !errno && *value >= 0) return NULL;
    return arena_text(a, "%s: %s '%.40s': expected a whole number, 0 or more", f->path, key, text);
}

static const char *checkpoint_number(const TensorFile *f, const char *key, double *value, Arena *a)
{
    char *end;
    const char *text = checkpoint_value(f, key);
    *value = strtod(text, &end);
    if (end != text && !*end && isfinite(*value) && *value >= 0) return NULL;
    return arena_text(a, "%s: %s '%.40s': expected a number, 0 or more", f->path, key, text);
}

/* The test loss of this very run, where it has been found; a run that branches off has its own */
static const char *checkpoint_load_test(Session *s, const TensorFile *f)
{
    const char *step = tensors_meta(f, "test_step");
    if (!s->optim || !step || !strcmp(step, "-1") || !strcmp(f->path, spec_str(s->spec, "from")))
        return NULL;
    const char *why = checkpoint_count(f, "test_step", &s->test_step, s->arena);
    if (!why) why = checkpoint_count(f, "test_positions", &s->test_positions, s->arena);
    if (!why) why = checkpoint_number(f, "test_nll", &s->test_nll, s->arena);
    return why;
}

static const char *checkpoint_load_clocks(Session *s, const TensorFile *f)
{
    const char *why = checkpoint_count(f, "step", &s->step, s->arena);
    if (!why) why = checkpoint_count(f, "tokens", &s->tokens, s->arena);
    if (!why) why = checkpoint_count(f, "supervised", &s->supervised, s->arena);
    if (!why) why = checkpoint_number(f, "seconds", &s->seconds, s->arena);
    if (!why) why = checkpoint_number(f, "flops", &s->flops, s->arena);
    return why;
}

const char *checkpoint_load(Session *s, const char *path)
{
    const char *why;
    TensorFile *f = checkpoint_file_open(path, s->arena, &why);
    if (!f) return why;
    const char *was = tensors_meta(f, "spec");
    if (!was)
        why = arena_text(s->arena,
                         "%s: not a checkpoint of this program: expected \"spec\" in its metadata",
                         path);
    else if (s->optim) why = checkpoint_may_continue(s, f, was, s->arena);
    if (!why) why = checkpoint_load_clocks(s, f);
    if (!why) why = checkpoint_load_test(s, f);
    if (!why) why = checkpoint_load_state(s, f);
    if (!why) why = checkpoint_load_ema(s, f);
    if (!why && s->last && !strcmp(checkpoint_value(f, "finishing"), "1")) session_finish(s);
    tensors_close(f);
    return why;
}

const char *checkpoint_words(CheckpointWords *w, char *const *words, int n, const char *command,
                             Arena *a)
{
    Spec *once = spec_new(a), *stored = spec_new(a);
    const char *why = NULL;
    *w = (CheckpointWords){ .word = arena_array(a, (size_t)n + 1, sizeof *w->word) };
    for (int i = 0; i < n && !why; i++) {
        if (strchr(words[i], '=')) {
            w->word[w->words++] = words[i];
            why = spec_set_word(once, words[i]);
        } else if (w->path)
            why = arena_text(a, "%s: expected one checkpoint, not '%s' and '%s'", command, w->path,
                             words[i]);
        else w->path = words[i];
    }
    if (!why && !w->path)
        why = arena_text(a, "%s: expected a checkpoint; see eightysix %s --help", command, command);
    if (!why) why = checkpoint_spec(w->path, stored, a);
    w->stored = stored;
    return why;
}

Session *checkpoint_open(char *const *words, int n, const char *command, SessionUse use, Arena *a)
{
    CheckpointWords w;
    const char *why = checkpoint_words(&w, words, n, command, a);
    if (why) die("%s", why);
    Spec *spec = spec_copy(w.stored, a);
    for (int i = 0; i < w.words; i++) CHECK(!spec_set(spec, w.word[i]));
    Session *s = session_make(spec, w.path, use);
    if ((why = checkpoint_load(s, w.path))) die("%s", why);
    return s;
}
