/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The float operations for AVX-512. LANES: floats of a vector; CONV_T: rows (and inputs) of a
 * convolution whose sums the registers hold at once. */
#include "kernels/cpu.h"
#define F32_TABLE f32_avx512
#define F32_ISA   "avx512"
#define F32_CPU   (CPU_AVX2 | CPU_AVX512)
#define ALL_LANES(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
enum { LANES = 16, CONV_T = 8 };
#include "kernels/f32_body.h"
