/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SDOT on sixteen independent registers, in assembly, one statement per register: see
 * probe_neon.c. */
#include "kernels/probe.h"
#include <arm_neon.h>

enum { REGISTERS = 16 };
#define EACH(DO) DO(a0) DO(a1) DO(a2) DO(a3) DO(a4) DO(a5) DO(a6) DO(a7) \
                 DO(a8) DO(a9) DO(a10) DO(a11) DO(a12) DO(a13) DO(a14) DO(a15)
#define KEEP(a) __asm__ volatile("" : : "w"(a));
#define DOT(a) __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(a) : "w"(x), "w"(y));

double probe_int8_sdot(int iters, void *buffer, size_t bytes)
{
    (void)buffer;
    (void)bytes;
    const long passes = (long)iters * PROBE_PASSES;
    const int32x4_t x = vdupq_n_s32(0x03030303), y = x;
    int32x4_t a0 = x, a1 = x, a2 = x, a3 = x, a4 = x, a5 = x, a6 = x, a7 = x;
    int32x4_t a8 = x, a9 = x, a10 = x, a11 = x, a12 = x, a13 = x, a14 = x, a15 = x;
    for (long i = 0; i < passes; i++) { EACH(DOT) }
    EACH(KEEP)
    return (double)passes * (REGISTERS * 2 * 16);
}
