/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/model.h"
#include <string.h>

#define M(name) extern const ModelDef model_##name;
#include "models/models.def"
#undef M
#define M(name) &model_##name,
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
