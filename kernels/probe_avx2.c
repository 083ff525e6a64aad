/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One instruction on twelve independent registers, in assembly, one statement per register: see
 * probe_avx512.c. */
#include "kernels/probe.h"
#include <immintrin.h>

enum { REGISTERS = 12 };
#define EACH(DO) DO(a0) DO(a1) DO(a2) DO(a3) DO(a4) DO(a5) \
                 DO(a6) DO(a7) DO(a8) DO(a9) DO(a10) DO(a11)
#define KEEP(a) __asm__ volatile("" : : "x"(a));

/* probe_<name>: repeats DO on registers a0.. of type T, with constants x and y; `each`: operations,
 * look-ups or bytes of one DO */
#define COMPUTE(name, T, start, DO, each)                                                          \
    double probe_##name(int iters, void *buffer, size_t bytes)                                     \
    {                                                                                              \
        (void)buffer, (void)bytes;                                                                 \
        const long passes = (long)iters * PROBE_PASSES;                                            \
        const T x = start, y = start;                                                              \
        T a0 = x, a1 = x, a2 = x, a3 = x, a4 = x, a5 = x;                                         \
        T a6 = x, a7 = x, a8 = x, a9 = x, a10 = x, a11 = x;                                       \
        for (long i = 0; i < passes; i++) { EACH(DO) }                                             \
        EACH(KEEP)                                                                                 \
        return (double)passes * (REGISTERS * (each));                                              \
    }

#define FMA(a)     __asm__("vfmadd231ps %1, %2, %0" : "+x"(a) : "x"(x), "x"(y));
#define MADD(a)    __asm__("vpmaddubsw %1, %0, %0" : "+x"(a) : "x"(x)); (void)y;
#define SHUFFLE(a) __asm__("vpshufb %0, %1, %0" : "+x"(a) : "x"(x)); (void)y;

COMPUTE(f32_fma256,      __m256,  _mm256_set1_ps(1),   FMA,     2 * 8)
COMPUTE(int8_maddubs256, __m256i, _mm256_set1_epi8(3), MADD,    2 * 32)
COMPUTE(shuffle256,      __m256i, _mm256_set1_epi8(7), SHUFFLE, 32)

#define LOAD(at) __asm__ volatile("" : : "x"(_mm256_load_si256((const __m256i *)(p + (at)))));
#define LOAD4(at) LOAD(at) LOAD((at) + 32) LOAD((at) + 64) LOAD((at) + 96)

void probe_read_avx2(int iters, const char *x, size_t bytes, int ahead)
{
    for (int i = 0; i < iters; i++)
        for (const char *p = x; p < x + bytes; p += PROBE_BLOCK / 2) {
            for (int k = 0; ahead && k < PROBE_BLOCK / 2; k += 64)
                __builtin_prefetch(p + PROBE_AHEAD + k);
            LOAD4(0) LOAD4(128) LOAD4(256) LOAD4(384)
        }
}

void probe_triad_avx2(int iters, float *a, const float *b, const float *c, size_t bytes)
{
    const __m256 s = _mm256_set1_ps(0.5f);
    const size_t n = bytes / sizeof *a;
    for (int i = 0; i < iters; i++)
        for (size_t k = 0; k < n; k += 8)
            _mm256_stream_ps(a + k,
                             _mm256_fmadd_ps(s, _mm256_load_ps(c + k), _mm256_load_ps(b + k)));
    _mm_sfence();
}
