/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The product for free: stores no weights, computes nothing, writes zeros. A step timed with it
 * shows the time of everything but the ternary product, which bounds what any kernel can gain
 * (Amdahl). A loss computed with it means nothing.
 *
 * 0 operations per weight; the stores of y remain. */
#include "kernels/ternary.h"
#include <string.h>

static size_t noop_packed_size(int rows, int cols)
{
    (void)rows;
    (void)cols;
    return 0;
}

static void noop_pack(void *packed, const int8_t *w, int rows, int cols)
{
    (void)packed;
    (void)w;
    (void)rows;
    (void)cols;
}

static size_t noop_scratch_size(int n, int cols, int act_bits)
{
    (void)n;
    (void)cols;
    (void)act_bits;
    return 0;
}

static void noop_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    (void)scratch;
    (void)x;
    (void)n;
    (void)cols;
    (void)act_bits;
}

static void noop_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)packed;
    (void)scratch;
    (void)cols;
    (void)act_bits;
    for (int t = 0; t < n; t++)
        memset(y + (size_t)t * (size_t)rows + r0, 0, (size_t)(r1 - r0) * sizeof *y);
}

const TernaryKernel ternary_noop = {
    .name = "noop",
    .brief = "writes zeros: the step if the product were free",
    .cpu = 0, .act_bits = 8, .min_bits = 8, .weight_bits = 0, .computes = 0,
    .layout = 1,
    .packed_size = noop_packed_size, .pack = noop_pack,
    .scratch_size = noop_scratch_size, .prepare = noop_prepare, .gemm = noop_gemm,
};
