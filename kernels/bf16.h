/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bf16.h -- bfloat16: the upper half of a float. What every product in bfloat16 rounds by, and what
 * VCVTNEPS2BF16 computes: to the nearest, ties to even; denormal floats to zero, beyond the largest
 * bfloat16 to infinity; a NaN stays one. */
#ifndef BF16_H
#define BF16_H
#include <stdint.h>
#include <string.h>

/* The bits of the rounded float; the lower half is zero */
static inline uint32_t bf16_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    const uint32_t size = u & 0x7fffffff;
    const uint32_t nearest = u + 0x7fff + (u >> 16 & 1);
    const uint32_t to = size < 0x00800000 ? u & 0x80000000 : size > 0x7f800000 ? u | 0x00400000
                                                                               : nearest;
    return to & 0xffff0000;
}

static inline float bf16_round(float x)
{
    const uint32_t u = bf16_bits(x);
    float rounded;
    memcpy(&rounded, &u, sizeof rounded);
    return rounded;
}
#endif
