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

ConvShape conv_shape(int T, int d, int groups, int k, int dil)
{
    const int c = d / groups;
    return (ConvShape){ T, d, c, (c + CONV_PAD - 1) / CONV_PAD * CONV_PAD, k, dil };
}

size_t conv_rows_room(const ConvShape *s)
{
    return (size_t)(s->T + 2 * CONV_ROWS) * (size_t)s->c + CONV_PAD;
}

/* room for n, and for the gradients of both filters */
size_t conv_room(const ConvShape *s) { return 3 * conv_rows_room(s); }
