/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two tiles of 16 rows of 64 bytes into six of 16 x 16 sums, twice per pass. The unit takes one
 * product every 16 cycles and returns its sums after 52, so four would be enough. Tiles are zero
 * once configured: nothing is denormal. */
#include "kernels/probe.h"
#include <immintrin.h>
#include <stdint.h>

enum { PRODUCTS = 12, SUMS = 16 * 16 };
typedef struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} Config;

static void probe_amx_configure(void)
{
    Config c = { .palette = 1 };
    for (int i = 0; i < 8; i++) {
        c.bytes[i] = 64;
        c.rows[i] = 16;
    }
    /* gcc 12's _tile_loadconfig only declares that it reads the first 8 bytes */
    __asm__ volatile("" : : "r"(&c) : "memory");
    _tile_loadconfig(&c);
}

/* probe_<name>: DO is one product; `each` multiply-adds for each of its sums */
#define COMPUTE(name, DO, each)                                                           \
    double probe_##name(int iters, void *buffer, size_t bytes)                            \
    {                                                                                     \
        (void)buffer, (void)bytes;                                                        \
        const long passes = (long)iters * PROBE_PASSES;                                   \
        probe_amx_configure();                                                            \
        for (long i = 0; i < passes; i++) {                                               \
            DO(0, 6, 7); DO(1, 6, 7); DO(2, 6, 7); DO(3, 6, 7); DO(4, 6, 7); DO(5, 6, 7); \
            DO(0, 6, 7); DO(1, 6, 7); DO(2, 6, 7); DO(3, 6, 7); DO(4, 6, 7); DO(5, 6, 7); \
        }                                                                                 \
        _tile_release();                                                                  \
        return (double)passes * (2.0 * PRODUCTS * SUMS * (each));                         \
    }
COMPUTE(int8_amx, _tile_dpbssd,   64)
COMPUTE(bf16_amx, _tile_dpbf16ps, 32)
