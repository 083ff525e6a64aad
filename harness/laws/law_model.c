/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/laws/laws.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { V = 97, T = 70, PASS = 64 << 20 };
typedef struct { const ModelDef *def; void *m; Params *ps; Tape *t; int d; } Trunk;

static const char *make(Trunk *k, const ModelDef *def, const char *act, uint64_t seed, Arena *a)
{
    const char *why, *words[] = { "d=32", "inner=85", "conv_groups=4", "init_sigma=0.5", arena_text(a, "act=%s", act),
                                  arena_text(a, "seed=%llu", (unsigned long long)seed) };
    Spec *s = spec_new(a);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if ((why = spec_set(s, words[i]))) return why;
    const Exec *e = exec_make(s, a, &why);
    if (!e) return why;
    *k = (Trunk){ .def = def, .ps = params_new(a) };
    k->m = def->make(s, e, k->ps, V, a);
    k->d = def->width(k->m);
    k->t = tape_new(e, s, a, PASS);
    return NULL;
}

static float *run(Trunk *k, const int *tok, Arena *a)
{
    float *out = arena_get(a, sizeof(float) * T * (size_t)k->d);
    tape_reset(k->t, 0);
    Var h = k->def->forward(k->m, k->t, tok, 1, T, NULL);
    return memcpy(out, h.v, sizeof(float) * T * (size_t)k->d);
}

static const char *decodes(Trunk *k, const int *tok, const float *whole, double tolerance, Arena *a)
{
    float *carry = arena_get(a, sizeof(float) * k->def->carry_size(k->m));
    double worst = 0, top = 0;
    for (int i = 0; i < T; i++) {
        tape_reset(k->t, 0);
        Var h = k->def->forward(k->m, k->t, tok + i, 1, 1, carry);
        for (int c = 0; c < k->d; c++) {
            const double ref = (double)whole[(size_t)i * k->d + c];
            worst = fmax(worst, fabs((double)h.v[c] - ref));
            top = fmax(top, fabs(ref));
        }
    }
    return worst <= tolerance * top ? NULL : arena_text(a, "model %s: decoding differs from forward by %.2e", k->def->name, worst / top);
}

static const char *looks_back_only(Trunk *k, int *tok, const float *whole, Arena *a)
{
    const int at = T - 5, old = tok[at];
    tok[at] = (old + 1) % V;
    const float *now = run(k, tok, a);
    tok[at] = old;
    if (memcmp(now, whole, sizeof(float) * (size_t)at * (size_t)k->d))
        return arena_text(a, "model %s: a token changes what comes before it", k->def->name);
    if (!memcmp(now + (size_t)at * k->d, whole + (size_t)at * k->d, sizeof(float) * (size_t)k->d))
        return arena_text(a, "model %s: a token does not change its own position", k->def->name);
    return NULL;
}

static const char *keeps(Trunk *k, const int *tok, const float *whole, uint64_t seed, Arena *a)
{
    const char *why, *dir = getenv("TMPDIR"), *path = arena_text(a, "%s/eightysix-law-%ld.safetensors", dir ? dir : "/tmp", (long)getpid());
    Tensor *t = arena_get(a, sizeof *t * (size_t)k->ps->n);
    for (int i = 0; i < k->ps->n; i++) {
        const Param *p = k->ps->p[i];
        t[i] = (Tensor){ .name = p->name, .dtype = "F32", .n = p->n, .ndim = p->ndim, .data = p->v };
        memcpy(t[i].shape, p->shape, sizeof p->shape);
    }
    if ((why = tensors_save(path, t, k->ps->n, NULL, a))) return why;
    Trunk other;
    TensorFile *f = NULL;
    if (!(why = make(&other, k->def, "f32", seed + 1, a)) && (f = tensors_open(path, a, &why))) {
        why = params_load(other.ps, f);
        if (!why && memcmp(run(&other, tok, a), whole, sizeof(float) * T * (size_t)k->d))
            why = arena_text(a, "model %s: saved and loaded it computes something else", k->def->name);
        tensors_close(f);
        tape_drop(other.t);
    }
    unlink(path);
    return why;
}

const char *law_model(const ModelDef *def, uint64_t seed, Arena *a)
{
    static const struct { const char *act; double tolerance; } acts[] = { { "f32", 1e-5 }, { "int8", 1e-5 } };
    int tok[T];
    Rng r = rng_at(seed, STREAM_CHECK, 5);
    const char *why = NULL;
    for (int i = 0; i < T; i++) tok[i] = (int)rng_below(&r, V);
    for (int i = 0; i < 2 && !why; i++) {
        Trunk k;
        if ((why = make(&k, def, acts[i].act, seed, a))) return why;
        const float *whole = run(&k, tok, a);
        if (!why) why = decodes(&k, tok, whole, acts[i].tolerance, a);
        if (!why) why = looks_back_only(&k, tok, whole, a);
        if (!why && i == 0) why = keeps(&k, tok, whole, seed, a);
        tape_drop(k.t);
    }
    return why ? arena_text(a, "%s (seed %llu)", why, (unsigned long long)seed) : NULL;
}
