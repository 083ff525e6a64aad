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

const ModelDef *model_find(const char *name)
{
    for (int i = 0; models[i]; i++)
        if (!strcmp(models[i]->name, name)) return models[i];
    return NULL;
}
