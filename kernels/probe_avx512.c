/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One instruction on twelve independent registers: its latency is 4 or 5 cycles and there are at
 * most two ports for 512 bits, so ten are in flight. The instruction is written in assembly, one
 * statement per register: the compiler can neither merge nor drop it, keeps all in registers (gcc
 * 12 spills VNNI loops of intrinsics), and needs no target flag for it. Values stay finite and
 * normal: a denormal would cost a hundred cycles.
 *
 * A read is a load that nothing waits for. A triad stores around the caches, so that the bytes that
 * move are those that are counted. */
#include "kernels/probe.h"
#include <immintrin.h>

enum { REGISTERS = 12 };
#define EACH(DO) DO(a0) DO(a1) DO(a2) DO(a3) DO(a4) DO(a5) \
                 DO(a6) DO(a7) DO(a8) DO(a9) DO(a10) DO(a11)
#define KEEP(a) __asm__ volatile("" : : "v"(a));

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

#define FMA(a)     __asm__("vfmadd231ps %1, %2, %0" : "+v"(a) : "v"(x), "v"(y));
#define ADD(a) \
    __asm__("vaddps %1, %0, %0%{%2%}" : "+v"(a) : "v"(x), "Yk"((__mmask16)0x5a5a)); (void)y;
#define VNNI(a)    __asm__("vpdpbusd %1, %2, %0" : "+v"(a) : "v"(x), "v"(y));
#define SHUFFLE(a) __asm__("vpshufb %0, %1, %0" : "+v"(a) : "v"(x)); (void)y;
#define POPCNT(a) { __m512i t; \
    __asm__("vpandq %2, %3, %1\n\tvpopcntq %1, %1\n\tvpaddq %1, %0, %0" \
            : "+v"(a), "=&v"(t) : "v"(x), "v"(y)); }

COMPUTE(f32_fma512,  __m512,  _mm512_set1_ps(1),    FMA,     2 * 16)
COMPUTE(f32_add512,  __m512,  _mm512_set1_ps(1),    ADD,     16)
COMPUTE(int8_vnni512, __m512i, _mm512_set1_epi8(3), VNNI,    2 * 64)
COMPUTE(int8_vnni256, __m256i, _mm256_set1_epi8(3), VNNI,    2 * 32)
COMPUTE(popcnt512,   __m512i, _mm512_set1_epi8(5),  POPCNT,  64)
COMPUTE(shuffle512,  __m512i, _mm512_set1_epi8(7),  SHUFFLE, 64)

#define LOAD(at) __asm__ volatile("" : : "v"(_mm512_load_si512(p + (at))));
#define LOAD4(at) LOAD(at) LOAD((at) + 64) LOAD((at) + 128) LOAD((at) + 192)

void probe_read_avx512(int iters, const char *x, size_t bytes, int ahead)
{
    for (int i = 0; i < iters; i++)
        for (const char *p = x; p < x + bytes; p += PROBE_BLOCK) {
            for (int k = 0; ahead && k < PROBE_BLOCK; k += 64)
                __builtin_prefetch(p + PROBE_AHEAD + k);
            LOAD4(0) LOAD4(256) LOAD4(512) LOAD4(768)
        }
}

void probe_triad_avx512(int iters, float *a, const float *b, const float *c, size_t bytes)
{
    const __m512 s = _mm512_set1_ps(0.5f);
    const size_t n = bytes / sizeof *a;
    for (int i = 0; i < iters; i++)
        for (size_t k = 0; k < n; k += 16)
            _mm512_stream_ps(a + k,
                             _mm512_fmadd_ps(s, _mm512_load_ps(c + k), _mm512_load_ps(b + k)));
    _mm_sfence();
}
