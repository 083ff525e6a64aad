/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/params.h"
#include <string.h>

enum { MAX_PARAMS = 4096 };

Params *params_new_inference(Arena *a)
{
    Params *ps = arena_get(a, sizeof *ps);
    ps->p = arena_get(a, MAX_PARAMS * sizeof *ps->p);
    ps->arena = a;
    return ps;
}

Params *params_new(Arena *a)
{
    Params *ps = params_new_inference(a);
    ps->gradients = 1;
    return ps;
}

void *params_fail(Params *ps, const char *why)
{
    ps->why = why;
    return NULL;
}

Param *params_add(Params *ps, const char *name, const int *shape, Group group, Owner owner)
{
    CHECK(ps->n < MAX_PARAMS && !params_find(ps, name) && shape[0] > 0);
    Param *p = arena_get(ps->arena, sizeof *p);
    p->name = arena_text(ps->arena, "%s", name);
    p->n = 1;
    for (int i = 0; shape[i]; i++) {
        CHECK(i < 4 && shape[i] > 0);
        p->shape[p->ndim++] = shape[i];
        p->n *= shape[i];
    }
    p->rows = p->ndim == 1 ? 1 : shape[0];
    p->cols = (int)(p->n / p->rows);
    p->v = arena_get(ps->arena, sizeof(float) * (size_t)p->n);
    if (ps->gradients) p->g = arena_get(ps->arena, sizeof(float) * (size_t)p->n);
    p->frozen = !ps->gradients;
    p->group = group;
    p->owner = p->declared_by = owner;
    p->trainable = 1;
    p->version = 1;
    return ps->p[ps->n++] = p;
}

Param *params_add_embedding(Params *ps, const char *name, int V, int d)
{
    CHECK(!ps->embedding);
    return ps->embedding = params_add(ps, name, (int[]){ V, d, 0 }, GROUP_ADAMW, OWNER_CORE);
}

Param *params_find(const Params *ps, const char *name)
{
    for (int i = 0; i < ps->n; i++)
        if (!strcmp(ps->p[i]->name, name)) return ps->p[i];
    return NULL;
}

long params_count(const Params *ps)
{
    long n = 0;
    for (int i = 0; i < ps->n; i++) n += ps->p[i]->n;
    return n;
}

void params_zero_grad(Params *ps)
{
    for (int i = 0; i < ps->n; i++) {
        Param *p = ps->p[i];
        if (p->g) memset(p->g, 0, sizeof(float) * (size_t)p->n);
        if (p->touched) memset(p->touched, 0, (size_t)p->rows);
    }
}

void param_touch_all(Param *p) { if (p->touched) memset(p->touched, 1, (size_t)p->rows); }

void param_normal(Param *p, uint64_t seed, uint64_t index, double sigma)
{
    Rng r = rng_at(seed, STREAM_INIT, index);
    for (long i = 0; i < p->n; i++) p->v[i] = (float)(sigma * rng_normal(&r));
    p->version++;
}

void param_uniform(Param *p, uint64_t seed, uint64_t index, double bound)
{
    Rng r = rng_at(seed, STREAM_INIT, index);
    for (long i = 0; i < p->n; i++) p->v[i] = (float)(bound * (2 * rng_uniform(&r) - 1));
    p->version++;
}

void param_fill(Param *p, float value)
{
    for (long i = 0; i < p->n; i++) p->v[i] = value;
    p->version++;
}

void params_swap_ema(Params *ps)
{
    for (int i = 0; i < ps->n; i++) {
        Param *p = ps->p[i];
        if (!p->ema) continue;
        float *v = p->v;
        p->v = p->ema;
        p->ema = v;
        p->version++;
    }
}
