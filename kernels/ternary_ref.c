/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The definition: unpacked int8 weights, one multiply per term. Never optimise it. */
#include "kernels/ternary.h"
#include <string.h>

static size_t ref_packed_size(int rows, int cols) { return (size_t)rows * (size_t)cols; }

static void ref_pack(void *packed, const int8_t *w, int rows, int cols)
{
    memcpy(packed, w, ref_packed_size(rows, cols));
}

static size_t ref_scratch_size(int n, int cols, int act_bits)
{
    (void)act_bits;
    return (size_t)n * (size_t)cols;
}

static void ref_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    memcpy(scratch, x, ref_scratch_size(n, cols, act_bits));
}

/* Every test compares with it, and sanitizers that look at each of its reads took a quarter of the
 * tests' time. What it reads is what the kernels read that are compared with it. */
__attribute__((no_sanitize("address", "undefined")))
static int32_t ref_dot(const int8_t *w, const int8_t *x, int cols)
{
    int32_t sum = 0;
    for (int c = 0; c < cols; c++) sum += w[c] * x[c];
    return sum;
}

static void ref_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    for (int t = 0; t < n; t++)
        for (int r = r0; r < r1; r++) {
            const int8_t *w = (const int8_t *)packed + (size_t)r * (size_t)cols;
            const int8_t *x = (const int8_t *)scratch + (size_t)t * (size_t)cols;
            y[(size_t)t * (size_t)rows + (size_t)r] = ref_dot(w, x, cols);
        }
}

const TernaryKernel ternary_ref = {
    .name = "ref",
    .brief = "int8 weights, the definition",
    .cpu = 0, .act_bits = 8, .min_bits = 8, .weight_bits = 8, .computes = 1,
    .layout = 1,
    .drawn = 1,
    .packed_size = ref_packed_size, .pack = ref_pack,
    .scratch_size = ref_scratch_size, .prepare = ref_prepare, .gemm = ref_gemm,
};
