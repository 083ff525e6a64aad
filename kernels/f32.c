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

/* one group: two filters turned, and x, da, db with their zeros before or behind, rows padded to whole vectors */
size_t conv_scratch(int T, int d, int groups, int k, int dil)
{
    const size_t w = (size_t)(d / groups + CONV_PAD - 1) / CONV_PAD * CONV_PAD;
    const size_t rows = (size_t)T + (size_t)(k - 1) * (size_t)dil + CONV_ROWS;
    return 2 * w * w * (size_t)k + 3 * rows * w;
}
