/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The laws of every kernel and every operation on this CPU, without cmocka: for a cross build under
 * qemu. arm_laws [shapes [seed]] */
#include "harness/laws/laws.h"
#include "kernels/base.h"
#include "kernels/cpu.h"
#include <stdlib.h>

int main(int argc, char **argv)
{
    const int shapes = argc > 1 ? atoi(argv[1]) : 300;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    char cpu[128];
    int failed = 0;
    Arena arena = arena_new((size_t)1 << 34);
    printf("cpu %s, seed %llu\n", cpu_text(cpu_has(), cpu, sizeof cpu), (unsigned long long)seed);
    for (const TernaryKernel *const *k = ternary_kernels; *k; k++) {
        if (!ternary_runs_here(*k)) {
            printf("skip %s\n", (*k)->name);
            continue;
        }
        const char *broken = law_kernel(*k, seed, shapes, &arena);
        printf("%s %s\n", broken ? "FAIL" : "ok  ", broken ? broken : (*k)->name);
        failed |= broken != NULL;
    }
    const char *broken = law_ops(seed, &arena);
    printf("%s %s\n", broken ? "FAIL" : "ok  ", broken ? broken : "operations");
    return failed || broken;
}
