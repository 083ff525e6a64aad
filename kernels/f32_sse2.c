/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The float operations for SSE2. LANES: floats of a vector; CONV_T: rows (and inputs) of a
 * convolution whose sums the registers hold at once. */
#include "kernels/cpu.h"
#define F32_TABLE f32_sse2
#define F32_ISA   "sse2"
#define F32_CPU   (0)
#define ALL_LANES(x) x, x, x, x
enum { LANES = 4, CONV_T = 4 };
#include "kernels/f32_body.h"
