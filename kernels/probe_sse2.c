/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SSE2 has no multiply-add: a product and a sum, on twelve independent registers, in assembly as in
 * probe_avx512.c. */
#include "kernels/probe.h"
#include <emmintrin.h>

enum { REGISTERS = 12 };
#define EACH(DO) DO(a0) DO(a1) DO(a2) DO(a3) DO(a4) DO(a5) \
                 DO(a6) DO(a7) DO(a8) DO(a9) DO(a10) DO(a11)
#define KEEP(a) __asm__ volatile("" : : "x"(a));
#define MULADD(a) { __m128 t; \
    __asm__("movaps %2, %1\n\tmulps %3, %1\n\taddps %1, %0" : "+x"(a), "=&x"(t) : "x"(x), "x"(y)); }

double probe_f32_fma128(int iters, void *buffer, size_t bytes)
{
    (void)buffer;
    (void)bytes;
    const long passes = (long)iters * PROBE_PASSES;
    const __m128 x = _mm_set1_ps(1), y = _mm_set1_ps(1);
    __m128 a0 = x, a1 = x, a2 = x, a3 = x, a4 = x, a5 = x, a6 = x, a7 = x, a8 = x, a9 = x, a10 = x,
           a11 = x;
    for (long i = 0; i < passes; i++) { EACH(MULADD) }
    EACH(KEEP)
    return (double)passes * (REGISTERS * 2 * 4);
}

#define LOAD(at) __asm__ volatile("" : : "x"(_mm_load_si128((const __m128i *)(p + (at)))));
#define LOAD4(at) LOAD(at) LOAD((at) + 16) LOAD((at) + 32) LOAD((at) + 48)

void probe_read_sse2(int iters, const char *x, size_t bytes, int ahead)
{
    for (int i = 0; i < iters; i++)
        for (const char *p = x; p < x + bytes; p += PROBE_BLOCK / 4) {
            for (int k = 0; ahead && k < PROBE_BLOCK / 4; k += 64)
                __builtin_prefetch(p + PROBE_AHEAD + k);
            LOAD4(0) LOAD4(64) LOAD4(128) LOAD4(192)
        }
}

void probe_triad_sse2(int iters, float *a, const float *b, const float *c, size_t bytes)
{
    const __m128 s = _mm_set1_ps(0.5f);
    const size_t n = bytes / sizeof *a;
    for (int i = 0; i < iters; i++)
        for (size_t k = 0; k < n; k += 4)
            _mm_stream_ps(a + k, _mm_add_ps(_mm_mul_ps(s, _mm_load_ps(c + k)), _mm_load_ps(b + k)));
    _mm_sfence();
}
