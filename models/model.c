/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/model.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define M(name, quant) extern const ModelDef model_##name;
#include "models/models.def"
#undef M
#define M(name, quant) &model_##name,
const ModelDef *const models[] = {
#include "models/models.def"
    NULL
};
#undef M

Carry *carry_new(const ModelDef *def, const void *m, long capacity, Arena *a)
{
    Carry *c = arena_get(a, sizeof *c);
    c->size = def->carry_size(m, capacity);
    c->state = arena_get(a, sizeof(float) * c->size);
    c->capacity = capacity;
    return c;
}

void carry_reset(Carry *c)
{
    memset(c->state, 0, sizeof(float) * c->size);
    c->pos = 0;
}

void carry_copy(Carry *to, const Carry *from)
{
    CHECK(to->size == from->size && to->capacity == from->capacity);
    memcpy(to->state, from->state, sizeof(float) * from->size);
    to->pos = from->pos;
}

void carry_advance(Carry *const *carry, int B, int T)
{
    for (int b = 0; carry && b < B; b++) {
        CHECK(carry[b]->pos + T <= carry[b]->capacity);
        carry[b]->pos += T;
    }
}

const ModelDef *model_find(const char *name)
{
    for (int i = 0; models[i]; i++)
        if (!strcmp(models[i]->name, name)) return models[i];
    return NULL;
}

Param *model_vector(Params *ps, const char *name, int n, float fill)
{
    Param *p = params_add(ps, name, (int[]){ n, 0 }, GROUP_ADAMW_NODECAY, OWNER_CORE);
    param_fill(p, fill);
    return p;
}

Param *model_matrix(Params *ps, const char *name, int rows, int cols, double sigma, uint64_t seed)
{
    Param *p = params_add(ps, name, (int[]){ rows, cols, 0 }, GROUP_NORMUON, OWNER_CORE);
    if (sigma > 0) param_normal(p, seed, (uint64_t)ps->n, sigma);
    return p;
}

Param *model_conv(Params *ps, const char *name, int d, int in, int k, uint64_t seed)
{
    Param *p = params_add(ps, name, (int[]){ d, in, k, 0 }, GROUP_ADAMW, OWNER_CORE);
    param_uniform(p, seed, (uint64_t)ps->n, 1 / sqrt((double)in * k));
    return p;
}

Param *model_embedding(const Spec *s, Params *ps, const char *name, int V, int d)
{
    Param *p = params_add_embedding(ps, name, V, d);
    param_normal(p, (uint64_t)spec_int(s, "seed"), 0, spec_num(s, "init_sigma"));
    return p;
}

BitLinear model_bit_linear(Params *ps, const char *name, int rows, int cols, double sigma,
                           uint64_t seed, int norm)
{
    char full[128];
    BitLinear b = { NULL, NULL };
    snprintf(full, sizeof full, "%s.weight", name);
    b.w = model_matrix(ps, full, rows, cols, sigma, seed);
    snprintf(full, sizeof full, "%s.norm.weight", name);
    if (norm) b.gain = model_vector(ps, full, cols, 1);
    return b;
}

int model_inner(const Spec *s, int step)
{
    const int inner = (int)spec_int(s, "inner"), wide = (int)(spec_int(s, "d") * 8 / 3);
    return inner ? inner : (wide + step - 1) / step * step;
}

Leak model_leak(const Spec *s)
{
    if (spec_is(s, "leak", "groupnorm")) return LEAK_GROUPNORM;
    if (spec_is(s, "leak", "mean")) return LEAK_MEAN;
    return spec_is(s, "leak", "triu") ? LEAK_TRIU : LEAK_NONE;
}

Var model_leaking(Tape *t, Leak leak, Var x, int B)
{
    if (leak == LEAK_GROUPNORM) return op_sequence_norm(t, x, B);
    return leak == LEAK_MEAN ? op_sequence_mean(t, x, B) : x;
}

Var model_named(Tape *t, int layer, const char *what, Var x)
{
    char name[64];
    snprintf(name, sizeof name, "L%d.%s", layer, what);
    tape_name(t, name, x);
    return x;
}
