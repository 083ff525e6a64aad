/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/bench/timed_head.h"

const char *timed_head_make(TimedHead *t, const Spec *s, const Exec *e, int V, Arena *params,
                            Arena *own)
{
    Params *ps = params_new(params);
    long *freq = arena_get(params, sizeof *freq * (size_t)V);
    param_normal(params_add_embedding(ps, "timed.embedding", V, t->d), 1, 0, 0.02);
    for (int v = 0; v < V; v++) freq[v] = 1000000 / (v + 1);
    t->head = t->def->make(s, e, ps, &(HeadData){ .V = V, .freq = freq }, t->d, own);
    return t->head ? NULL : ps->why;
}

void timed_head_run(void *ctx, long iters)
{
    const TimedHead *t = ctx;
    const int chunk = t->def->chunk(t->head);
    for (; iters > 0; iters--) {
        for (int at = 0; at < t->n; at += chunk) {
            const int n = t->n - at < chunk ? t->n - at : chunk;
            t->def->forward(t->head, t->x + (size_t)at * (size_t)t->d, t->y + at, n);
            t->def->backward(t->head, t->dx + (size_t)at * (size_t)t->d, t->scale);
        }
        head_flush_grads(t->def, t->head);
    }
}

const Exec *timed_exec(Spec *spec, int threads, Arena *a)
{
    const char *why = spec_set(spec, arena_text(a, "threads=%d", threads));
    const Exec *e = why ? NULL : exec_make(spec, a, &why);
    if (!e) die("%s", why);
    return e;
}

float *timed_normals(size_t n, float sigma, Rng *rng, Arena *a)
{
    float *x = arena_raw(a, sizeof *x * n);
    for (size_t i = 0; i < n; i++) x[i] = sigma * (float)rng_normal(rng);
    return x;
}
