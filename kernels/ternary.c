/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <string.h>

#define V(name) extern const TernaryKernel ternary_##name;
#include "kernels/variants.def"
#undef V
#define V(name) &ternary_##name,
const TernaryKernel *const ternary_kernels[] = {
#include "kernels/variants.def"
    NULL
};
#undef V

const TernaryKernel *ternary_find(const char *name)
{
    for (const TernaryKernel *const *k = ternary_kernels; *k; k++)
        if (!strcmp((*k)->name, name)) return *k;
    return NULL;
}

int ternary_runs_here(const TernaryKernel *k) { return (k->cpu & ~cpu_has()) == 0; }

const TernaryKernel *ternary_best(void)
{
    static const char *const preferred[] = { "i2_avx512", "i2_avx2", "i2_neon_dot", "i2_neon", "i2_scalar" };
    for (size_t i = 0; i < sizeof preferred / sizeof *preferred; i++) {
        const TernaryKernel *k = ternary_find(preferred[i]);
        if (k && ternary_runs_here(k)) return k;
    }
    return ternary_kernels[0];
}

void ternary_rows(int rows, int t, int threads, int *r0, int *r1)
{
    const int step = TERNARY_ROW_STEP, blocks = (rows + step - 1) / step;
    const int b0 = (int)((long)blocks * t / threads), b1 = (int)((long)blocks * (t + 1) / threads);
    *r0 = b0 * step < rows ? b0 * step : rows;
    *r1 = b1 * step < rows ? b1 * step : rows;
}
