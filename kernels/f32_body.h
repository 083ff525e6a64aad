/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one body of every f32_<isa>.c. Plain C: the loops vectorise by `omp simd`, the convolution by
 * vector types. Compiled with -ffp-contract=fast: a multiply-add is one instruction where the ISA
 * has one, as its peak assumes; rounding is the same in every call of one table. */
#include "kernels/f32.h"
#include "kernels/base.h"
#include <math.h>
#include <string.h>

#include "kernels/f32_scalar.h"
#include "kernels/f32_sums.h"
#include "kernels/f32_maps.h"
#include "kernels/f32_norm.h"
#include "kernels/f32_update.h"

/* ---- what is written with vectors ---- */
typedef float Vec __attribute__((vector_size(sizeof(float) * LANES), aligned(4)));
static inline Vec load(const float *p) { return *(const Vec *)p; }
static inline Vec zero(void) { return (Vec){ 0 }; }

/* x in every lane, as a constructor, which compiles to a broadcast from memory; arithmetic instead
 * would occupy the port of the FMA */
static inline Vec splat(float x) { return (Vec){ ALL_LANES(x) }; }

#include "kernels/f32_conv.h"
#include "kernels/f32_rows.h"
#include "kernels/f32_sequence.h"
#include "kernels/f32_attend.h"

const F32 F32_TABLE = {
    F32_ISA, F32_CPU,
    .dot = f32_dot, .sumsq = f32_sumsq, .sumabs = f32_sumabs, .sum = f32_sum, .max = f32_max,
    .max_sum = f32_max_sum, .sumexp = f32_sumexp, .exp = f32_exp_shift, .affine = f32_affine,
    .axpy = f32_axpy, .scale = f32_scale, .add = f32_add, .mul = f32_mul, .mul_back = f32_mul_back,
    .sigmoid = f32_sigmoid, .sigmoid_back = f32_sigmoid_back, .silu = f32_silu,
    .silu_back = f32_silu_back,
#define A(name, f) .glu[ACTIVATION_##name] = { f32_##name##_mul, f32_##name##_mul_back },
#include "kernels/activations.def"
#undef A
    .gate_back = f32_gate_back, .rmsnorm = f32_rmsnorm, .rmsnorm_back = f32_rmsnorm_back,
    .quant_rows = f32_quant_rows, .rmsnorm_quant = f32_rmsnorm_quant, .round_row = f32_round_row,
    .from_int = f32_from_int, .ternary = f32_ternary, .conv = f32_conv, .conv_back = f32_conv_back,
    .scan = f32_scan, .scan_back = f32_scan_back, .sigmoid_above = f32_sigmoid_above,
    .sigmoid_above_back = f32_sigmoid_above_back, .input_gate = f32_input_gate,
    .input_gate_back = f32_input_gate_back, .taps = f32_taps, .taps_back = f32_taps_back,
    .rope = f32_rope, .attend = f32_attend, .attend_room = f32_attend_room,
    .adamw = f32_adamw, .rows_dot = f32_rows_dot, .rows_mix = f32_rows_mix,
    .rows_add = f32_rows_add,
};
