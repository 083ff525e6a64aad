/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One instruction on sixteen independent registers: four pipes of latency 4. In assembly, one
 * statement per register, so that the compiler can neither merge nor drop it. */
#include "kernels/probe.h"
#include <arm_neon.h>

enum { REGISTERS = 16 };
#define EACH(DO) DO(a0) DO(a1) DO(a2) DO(a3) DO(a4) DO(a5) DO(a6) DO(a7) \
                 DO(a8) DO(a9) DO(a10) DO(a11) DO(a12) DO(a13) DO(a14) DO(a15)
#define KEEP(a) __asm__ volatile("" : : "w"(a));

#define FMA(a) __asm__("fmla %0.4s, %1.4s, %2.4s" : "+w"(a) : "w"(x), "w"(y));

double probe_f32_fma_neon(int iters, void *buffer, size_t bytes)
{
    (void)buffer;
    (void)bytes;
    const long passes = (long)iters * PROBE_PASSES;
    const float32x4_t x = vdupq_n_f32(1), y = vdupq_n_f32(1);
    float32x4_t a0 = x, a1 = x, a2 = x, a3 = x, a4 = x, a5 = x, a6 = x, a7 = x;
    float32x4_t a8 = x, a9 = x, a10 = x, a11 = x, a12 = x, a13 = x, a14 = x, a15 = x;
    for (long i = 0; i < passes; i++) { EACH(FMA) }
    EACH(KEEP)
    return (double)passes * (REGISTERS * 2 * 4);
}

#define LOAD(at) __asm__ volatile("" : : "w"(vld1q_u8((const unsigned char *)p + (at))));
#define LOAD4(at) LOAD(at) LOAD((at) + 16) LOAD((at) + 32) LOAD((at) + 48)

void probe_read_neon(int iters, const char *x, size_t bytes, int ahead)
{
    for (int i = 0; i < iters; i++)
        for (const char *p = x; p < x + bytes; p += PROBE_BLOCK / 4) {
            for (int k = 0; ahead && k < PROBE_BLOCK / 4; k += 64)
                __builtin_prefetch(p + PROBE_AHEAD + k);
            LOAD4(0) LOAD4(64) LOAD4(128) LOAD4(192)
        }
}

void probe_triad_neon(int iters, float *a, const float *b, const float *c, size_t bytes)
{
    const size_t n = bytes / sizeof *a;
    for (int i = 0; i < iters; i++)
        for (size_t k = 0; k < n; k += 8) {
            const float32x4_t lo = vfmaq_n_f32(vld1q_f32(b + k), vld1q_f32(c + k), 0.5f);
            const float32x4_t hi = vfmaq_n_f32(vld1q_f32(b + k + 4), vld1q_f32(c + k + 4), 0.5f);
            __asm__ volatile("stnp %q1, %q2, %0" : "=Q"(*(char (*)[32])(a + k)) : "w"(lo), "w"(hi));
        }
}
