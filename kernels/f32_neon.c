/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The float operations for NEON. LANES: floats of a vector; CONV_T: rows (and inputs) of a
 * convolution whose sums the registers hold at once. */
#include "kernels/cpu.h"
#define F32_TABLE f32_neon
#define F32_ISA   "neon"
#define F32_CPU   (CPU_NEON)
#define ALL_LANES(x) x, x, x, x
enum { LANES = 4, CONV_T = 8 };
#include "kernels/f32_body.h"
