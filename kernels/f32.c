/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernels/f32.h"
#include "kernels/cpu.h"

#define F(name) extern const F32 f32_##name;
#include "kernels/f32.def"
#undef F
#define F(name) &f32_##name,
const F32 *const f32_tables[] = {
#include "kernels/f32.def"
    NULL
};
#undef F

const F32 *f32_best(void)
{
    const F32 *best = f32_tables[0];
    for (int i = 0; f32_tables[i]; i++)
        if (!(f32_tables[i]->cpu & ~cpu_has())) best = f32_tables[i];
    return best;
}

/* one group's weights, inputs and outputs both padded to whole vectors of 16, for two filters */
size_t conv_scratch(int d, int groups, int k)
{
    const size_t wide = (size_t)(d / groups + 15) / 16 * 16;
    return 2 * wide * wide * (size_t)k;
}
