/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernels/ternary.h"
#include "kernels/base.h"
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
    static const char *const preferred[] = { "i2_amx", "i2_avx512", "i2_avx2", "i2_neon_dot", "i2_neon", "i2_scalar" };
    for (size_t i = 0; i < sizeof preferred / sizeof *preferred; i++) {
        const TernaryKernel *k = ternary_find(preferred[i]);
        if (k && ternary_runs_here(k)) return k;
    }
    return ternary_kernels[0];
}

void ternary_rows(int rows, int t, int threads, int *r0, int *r1)
{
    long lo, hi;
    part(rows, t, threads, TERNARY_ROW_STEP, &lo, &hi);
    *r0 = (int)lo, *r1 = (int)hi;
}
