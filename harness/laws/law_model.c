/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/laws/laws.h"
#include "models/step.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { V = 97, T = 70, PASS = 256 << 20, GRAD_B = 2, GRAD_T = 12 };

/* Rounding to int8 turns a difference in the last bit into one of a step: such values are counted
 */
#define TOLERANCE 1e-5
#define FLIPPED_MOST 0.02        /* share of the values */
#define FLIPPED_BY 0.1           /* each by no more than that, of the largest */

typedef struct { const ModelDef *def; void *m; Params *ps; Tape *t; int d, int8; FILE *out; } Trunk;

static const char *trunk_make(Trunk *k, const ModelDef *def, const char *words, uint64_t seed,
                              Arena *a)
{
    Spec *s = spec_new(a);
    const char *why = spec_set_words(s, def->law_words);
    if (!why)
        why = spec_set_words(
            s, arena_text(a, "model=%s init_sigma=0.5 seed=%llu %s", def->name,
                          (unsigned long long)seed, words));
    if (why) return why;
    const Exec *e = exec_make(s, a, &why);
    if (!e) return why;
    *k = (Trunk){ .def = def, .ps = params_new(a), .int8 = spec_is(s, "act", "int8") };
    k->m = def->make(s, e, k->ps, V, a);
    if (!k->m) return k->ps->why;
    if (!k->ps->embedding || def->embedding(k->m) != k->ps->embedding)
        return arena_text(a, "model %s: embedding() is not what params_add_embedding declared",
                          def->name);
    k->d = def->width(k->m);
    k->t = tape_new(e, s, a, PASS);
    return NULL;
}

/* Hidden states (T, d) of one sequence of T tokens from its start */
static float *trunk_run(Trunk *k, const int *tok, Arena *a)
{
    float *out = arena_get(a, sizeof(float) * T * (size_t)k->d);
    tape_reset(k->t, 0);
    Var h = k->def->forward(k->m, k->t, tok, 1, T, NULL);
    return memcpy(out, h.v, sizeof(float) * T * (size_t)k->d);
}

/* ---- carries: what continues a sequence equals the whole sequence ---- */

/* got (T, d) against whole (T, d) */
static const char *law_close(const Trunk *k, const char *what, const float *got, const float *whole,
                             Arena *a)
{
    const long n = (long)T * k->d;
    double worst = 0, top = 0;
    long flipped = 0;
    for (long i = 0; i < n; i++) top = fmax(top, fabs((double)whole[i]));
    for (long i = 0; i < n; i++) {
        const double e = fabs((double)got[i] - (double)whole[i]);
        worst = e > worst || isnan(e) ? e : worst;
        flipped += e > TOLERANCE * top;
    }
    if (flipped && k->int8 && k->out)
        fprintf(
            k->out,
            "      model %s, act=int8: %s: %ld of %ld values differ by a flip of int8 rounding\n",
            k->def->name, what, flipped, n);
    const int flips =
        k->int8 && (double)flipped <= FLIPPED_MOST * (double)n && worst <= FLIPPED_BY * top;
    if (worst <= TOLERANCE * top || flips) return NULL;
    return arena_text(a, "model %s: %s differs from forward by %.2e of the largest value",
                      k->def->name, what, worst / top);
}

/* Continues a sequence by `count` tokens from `from` on, into out (T, d) */
static void law_continue(Trunk *k, const int *tok, int from, int count, Carry *carry, float *out)
{
    tape_reset(k->t, 0);
    Var h = k->def->forward(k->m, k->t, tok + from, 1, count, &carry);
    memcpy(out + (size_t)from * k->d, h.v, sizeof(float) * (size_t)count * (size_t)k->d);
}

static const char *law_decode(Trunk *k, const int *tok, const float *whole, Arena *a)
{
    float *out = arena_get(a, sizeof(float) * T * (size_t)k->d);
    Carry *carry = carry_new(k->def, k->m, T, a);
    for (int i = 0; i < T; i++) law_continue(k, tok, i, 1, carry, out);
    return law_close(k, "decoding", out, whole, a);
}

/* A prefill in pieces of several lengths, then one token at a time, from a copy of the carry */
static const char *law_prefill(Trunk *k, const int *tok, const float *whole, Arena *a)
{
    static const int pieces[] = { 1, 2, 7, 23 };
    float *out = arena_get(a, sizeof(float) * T * (size_t)k->d);
    Carry *first = carry_new(k->def, k->m, T, a), *then = carry_new(k->def, k->m, T, a);
    int at = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; at += pieces[i++])
        law_continue(k, tok, at, pieces[i], first, out);
    carry_copy(then, first);
    carry_reset(first);
    for (; at < T; at++) law_continue(k, tok, at, 1, then, out);
    const char *why = law_close(k, "prefill, then decoding", out, whole, a);
    if (why) return why;
    law_continue(k, tok, 0, T, first, out);
    return law_close(k, "prefill after carry_reset", out, whole, a);
}

/* Two sequences at different positions go on in one batch */
static const char *law_batch(Trunk *k, const int *tok, const float *whole, Arena *a)
{
    enum { AHEAD = 9 };
    float *out = arena_get(a, sizeof(float) * T * (size_t)k->d),
          *late = arena_get(a, sizeof(float) * T * (size_t)k->d);
    Carry *carry[] = { carry_new(k->def, k->m, T, a), carry_new(k->def, k->m, T, a) };
    law_continue(k, tok, 0, AHEAD, carry[0], out);
    for (int i = 0; i + AHEAD < T; i++) {
        const int both[] = { tok[AHEAD + i], tok[i] };
        tape_reset(k->t, 0);
        Var h = k->def->forward(k->m, k->t, both, 2, 1, carry);
        memcpy(out + (size_t)(AHEAD + i) * k->d, h.v, sizeof(float) * (size_t)k->d);
        memcpy(late + (size_t)i * k->d, h.v + k->d, sizeof(float) * (size_t)k->d);
    }
    law_continue(k, tok, T - AHEAD, AHEAD, carry[1], late);
    const char *why = law_close(k, "the first of a batch", out, whole, a);
    return why ? why : law_close(k, "the second of a batch", late, whole, a);
}

/* ---- no look-ahead, to the bit ---- */
static const char *law_no_look_ahead(Trunk *k, int *tok, const float *whole, Arena *a)
{
    for (int at = 0; at < T; at++) {
        const size_t mark = a->used;
        const int old = tok[at];
        tok[at] = (old + 1) % V;
        const float *now = trunk_run(k, tok, a);
        tok[at] = old;
        for (long i = 0; i < (long)at * k->d; i++)
            if (memcmp(now + i, whole + i, sizeof *now))
                return arena_text(
                    a, "model %s: token %d changes the output at position %ld before it, by %.2e",
                    k->def->name, at, i / k->d, fabs((double)now[i] - (double)whole[i]));
        if (!memcmp(now + (size_t)at * k->d, whole + (size_t)at * k->d,
                    sizeof(float) * (size_t)k->d))
            return arena_text(a,
                              "model %s: token %d does not change the output at its own position",
                              k->def->name, at);
        arena_reset(a, mark);
    }
    return NULL;
}

/* ---- gradients of the whole model: dL for L = sum of c h, c normal ---- */
typedef struct { Trunk *k; const int *tok; const float *c; long n; } Probe;

static double probe_loss(const Probe *p)
{
    double loss = 0;
    tape_reset(p->k->t, 0);
    Var h = p->k->def->forward(p->k->m, p->k->t, p->tok, GRAD_B, GRAD_T, NULL);
    for (long i = 0; i < p->n; i++) loss += (double)p->c[i] * (double)h.v[i];
    return loss;
}

static void probe_backward(const Probe *p)
{
    params_zero_grad(p->k->ps);
    tape_reset(p->k->t, 1);
    Var h = p->k->def->forward(p->k->m, p->k->t, p->tok, GRAD_B, GRAD_T, NULL);
    memcpy(tape_grad(p->k->t, h), p->c, sizeof(float) * (size_t)p->n);
    tape_backward(p->k->t);
}

/* dL along the unit vector u (n) of a parameter, by central differences of two widths (Richardson)
 */
static double probe_slope(const Probe *p, Param *w, const float *u, Arena *a)
{
    const size_t mark = a->used, bytes = sizeof(float) * (size_t)w->n;
    float *was = memcpy(arena_raw(a, bytes), w->v, bytes);
    double rms = 0, slope[2];
    for (long i = 0; i < w->n; i++) rms += (double)was[i] * (double)was[i];
    for (int wide = 0; wide < 2; wide++) {
        const double step = (wide ? 4e-3 : 2e-3) * (rms > 0 ? sqrt(rms) : 1);
        double loss[2];
        for (int side = 0; side < 2; side++) {
            for (long i = 0; i < w->n; i++)
                w->v[i] = was[i] + (float)((side ? -step : step) * (double)u[i]);
            w->version++;
            loss[side] = probe_loss(p);
        }
        slope[wide] = (loss[0] - loss[1]) / (2 * step);
    }
    memcpy(w->v, was, bytes);
    w->version++;
    arena_reset(a, mark);
    return (4 * slope[0] - slope[1]) / 3;
}

/* Along the gradient itself, where a wrong part shows as a wrong length, and along a random
 * direction */
static const char *law_gradient(const Probe *p, Param *w, Rng *r, Arena *a)
{
    const size_t mark = a->used, bytes = sizeof(float) * (size_t)w->n;
    double length = 0;
    for (long i = 0; i < w->n; i++) length += (double)w->g[i] * (double)w->g[i];
    length = sqrt(length);
    if (!(length > 0))
        return arena_text(a, "model %s: %s has no gradient", p->k->def->name, w->name);
    float *u = arena_raw(a, bytes);
    for (int way = 0; way < 2; way++) {
        double norm = 0, want = 0;
        for (long i = 0; i < w->n; i++) {
            u[i] = way ? (float)rng_normal(r) : w->g[i];
            norm += (double)u[i] * (double)u[i];
        }
        for (long i = 0; i < w->n; i++) {
            u[i] = (float)((double)u[i] / sqrt(norm));
            want += (double)u[i] * (double)w->g[i];
        }
        const double got = probe_slope(p, w, u, a);
        if (!(fabs(got - want) <= 3e-3 * length))
            return arena_text(
                a, "model %s: gradient of %s along %s: %.6g, by finite differences %.6g",
                p->k->def->name, w->name, way ? "a random direction" : "itself", want, got);
    }
    arena_reset(a, mark);
    return NULL;
}

static const char *law_gradients(const ModelDef *def, const int *tok, uint64_t seed, Arena *a)
{
    Trunk k;
    const char *why = trunk_make(&k, def, "quant=none", seed, a);
    if (why) return why;
    Rng r = rng_at(seed, STREAM_CHECK, 6);
    const long n = (long)GRAD_B * GRAD_T * k.d;
    float *c = arena_raw(a, sizeof *c * (size_t)n);
    for (long i = 0; i < n; i++) c[i] = (float)rng_normal(&r);
    /* away from zero and one, where gains start and a term may hide */
    for (int i = 0; i < k.ps->n; i++)
        for (long j = 0; j < k.ps->p[i]->n; j++)
            k.ps->p[i]->v[j] += (float)(0.05 * rng_normal(&r));
    for (int i = 0; i < k.ps->n; i++) k.ps->p[i]->version++;
    const Probe p = { &k, tok, c, n };
    probe_backward(&p);
    for (int i = 0; i < k.ps->n && !why; i++)
        if (k.ps->p[i]->trainable) why = law_gradient(&p, k.ps->p[i], &r, a);
    tape_drop(k.t);
    return why;
}

/* ---- save and load ---- */
static const char *law_save(Trunk *k, const int *tok, const float *whole, uint64_t seed, Arena *a)
{
    const char *why, *dir = getenv("TMPDIR");
    char *path = arena_text(a, "%s/eightysix-law-XXXXXX", dir && *dir ? dir : "/tmp");
    const int fd = mkstemp(path);
    if (fd < 0) return arena_text(a, "%s: cannot be made", path);
    close(fd);
    Tensor *t = arena_get(a, sizeof *t * (size_t)k->ps->n);
    for (int i = 0; i < k->ps->n; i++) {
        const Param *p = k->ps->p[i];
        t[i] =
            (Tensor) { .name = p->name, .dtype = "F32", .n = p->n, .ndim = p->ndim, .data = p->v };
        memcpy(t[i].shape, p->shape, sizeof p->shape);
    }
    Trunk other;
    TensorFile *f = NULL;
    why = tensors_save(path, t, k->ps->n, NULL, a);
    if (!why && !(why = trunk_make(&other, k->def, "act=f32", seed + 1, a)) &&
        (f = tensors_open(path, a, &why))) {
        why = params_load(other.ps, f);
        if (!why && memcmp(trunk_run(&other, tok, a), whole, sizeof(float) * T * (size_t)k->d))
            why = arena_text(a, "model %s: saved and loaded it computes something else",
                             k->def->name);
        tensors_close(f);
        tape_drop(other.t);
    }
    unlink(path);
    return why;
}

static const char *law_variant(const ModelDef *def, uint64_t seed, FILE *out, Arena *a)
{
    static const char *const acts[] = { "act=f32", "act=int8" };
    int tok[T];
    Rng r = rng_at(seed, STREAM_CHECK, 5);
    const char *why = NULL;
    for (int i = 0; i < T; i++) tok[i] = (int)rng_below(&r, V);
    for (int i = 0; i < 2 && !why; i++) {
        Trunk k;
        if ((why = trunk_make(&k, def, acts[i], seed, a))) break;
        k.out = out;
        const float *whole = trunk_run(&k, tok, a);
        why = law_no_look_ahead(&k, tok, whole, a);
        if (!why) why = law_decode(&k, tok, whole, a);
        if (!why) why = law_prefill(&k, tok, whole, a);
        if (!why) why = law_batch(&k, tok, whole, a);
        if (!why && i == 0) why = law_save(&k, tok, whole, seed, a);
        tape_drop(k.t);
    }
    return why ? why : law_gradients(def, tok, seed, a);
}

const char *law_model(const ModelDef *def, const char *more_words, uint64_t seed, FILE *out,
                      Arena *a)
{
    static const char OR[] = " or ";
    const char *words = def->law_words, *why = NULL;
    while (words && !why) {
        const char *more = strstr(words, OR);
        const int n = (int)(more ? (size_t)(more - words) : strlen(words));
        ModelDef one = *def;
        one.law_words = arena_text(a, "%.*s%s", n, words, more_words);
        why = law_variant(&one, seed, out, a);
        if (why)
            why = arena_text(a, "%s (%s, seed %llu)", why, one.law_words,
                             (unsigned long long)seed);
        words = more ? more + strlen(OR) : NULL;
    }
    return why;
}
