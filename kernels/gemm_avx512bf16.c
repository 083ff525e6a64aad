/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Products in bfloat16 by VDPBF16PS (Cooper Lake, Zen 4 and later): 16 lanes, two products a lane.
 *
 * The instruction rounds twice a lane, to nearest even whatever MXCSR says: it adds the product of
 * the upper halves, then that of the lower ones, each as a fused multiply-add. Denormal operands
 * and sums are zeros to it, as they are to the rest of this program (cpu_flush_denormals). */
#include "kernels/gemm.h"
#include <immintrin.h>

#define BF16_PAIRS(sum, a, b) \
    ((Bf16Sum)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(a), (__m512bh)(b)))
#include "kernels/gemm_bf16_body.h"

const GemmBf16 gemm_avx512bf16 = { "avx512_bf16", bf16_product, sizeof(Bf16Room) };
