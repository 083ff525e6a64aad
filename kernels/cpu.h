/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cpu.h -- what this CPU and its operating system allow. */
#ifndef CPU_H
#define CPU_H
enum {
    CPU_AVX2 = 1,        /* with FMA, F16C, BMI */
    CPU_AVX512 = 2,      /* F, BW, DQ, VL */
    CPU_VNNI = 4,        /* AVX512_VNNI */
    CPU_POPCNT512 = 8,   /* AVX512_VPOPCNTDQ and BITALG */
    CPU_VBMI = 16,       /* AVX512_VBMI */
    CPU_NEON = 32,
    CPU_DOTPROD = 64,    /* SDOT and UDOT */
    CPU_AMX = 128,       /* TILE, INT8, BF16, and the operating system's permission */
    CPU_BF16 = 256       /* AVX512_BF16 */
};
/* The bits of this machine, narrowed by the environment variable EIGHTYSIX_CPU when it is set: a
 * comma list of sse2 avx2 avx512 vnni popcnt512 vbmi bf16 amx neon dotprod; each allows itself and
 * what it builds on (avx512 implies avx2; sse2 alone leaves 0). Both are read once, at the first
 * call: afterwards it is one load, which a kernel may afford. */
unsigned    cpu_has(void);
/* The same, read anew: for who has changed the environment (tests) */
unsigned    cpu_read(void);
/* "avx2,avx512"; "sse2" for 0 on x86-64 */
const char *cpu_text(unsigned bits, char *out, int size);
/* Makes the calling thread treat denormal floats as zero. The moments of rows that get no gradient
 * shrink by a factor a step and become denormal after some 1,700 steps; then each product takes a
 * hundred cycles, and a step took 1.9 times as long. Nothing this program computes needs values
 * below 1e-38. */
void cpu_flush_denormals(void);
#endif
