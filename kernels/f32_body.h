/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one body of every f32_<isa>.c. Plain C: the loops vectorise by `omp simd`, the convolution by vector types.
 * Compiled with -ffp-contract=fast: a multiply-add is one instruction where the ISA has one, which is what the
 * roofline of the ISA means; for one table the rounding is fixed. */
#include "kernels/f32.h"
#include "kernels/base.h"
#include <math.h>
#include <string.h>

/* exp by 2^n (1 + f + ...): n = round(x log2 e), |f| <= ln2/2, degree 6 (Cephes' coefficients); relative error < 2e-7.
 * Below -87.3 it stays at exp(-87.3) = 1.2e-38, above 88.3 at exp(88.3). */
static inline float f32_exp1(float x)
{
    const float magic = 12582912.0f;      /* 1.5 * 2^23: adding it rounds to an integer */
    x = x < -87.3f ? -87.3f : x > 88.3f ? 88.3f : x;
    const float t = x * 1.44269504f + magic, n = t - magic;
    const float f = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * f * f + f + 1.0f;
    int32_t bits;
    memcpy(&bits, &t, 4);
    bits = (int32_t)((uint32_t)bits << 23) + 0x3f800000;
    float two_n;
    memcpy(&two_n, &bits, 4);
    return p * two_n;
}

/* 1 / x for normal x > 0: the exponent turned round, which is within 12.5 %, then Newton three times: within 2e-7. A division
 * of a vector of 512 bits keeps its port for 16 cycles. */
static inline float f32_inverse1(float x)
{
    int32_t bits;
    float r;
    memcpy(&bits, &x, 4);
    bits = 0x7ef311c7 - bits;
    memcpy(&r, &bits, 4);
    r = r * (2.0f - x * r);
    r = r * (2.0f - x * r);
    return r * (2.0f - x * r);
}

static inline float f32_sigmoid1(float x) { return f32_inverse1(1.0f + f32_exp1(-x)); }

static float f32_dot(const float *a, const float *b, long n)
{
    float s = 0;
#pragma omp simd reduction(+:s)
    for (long i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

enum { BLOCK = 4096 };      /* of a sum kept in float before it is added in double */

static double f32_sumsq(const float *x, long n)
{
    double sum = 0;
    for (long at = 0; at < n; at += BLOCK) {
        const long m = n - at < BLOCK ? n - at : BLOCK;
        sum += (double)f32_dot(x + at, x + at, m);
    }
    return sum;
}

static double f32_sumabs(const float *x, long n)
{
    double sum = 0;
    for (long at = 0; at < n; at += BLOCK) {
        const long end = n - at < BLOCK ? n : at + BLOCK;
        float s = 0;
#pragma omp simd reduction(+:s)
        for (long i = at; i < end; i++) s += fabsf(x[i]);
        sum += (double)s;
    }
    return sum;
}

static float f32_sum(const float *x, long n)
{
    float s = 0;
#pragma omp simd reduction(+:s)
    for (long i = 0; i < n; i++) s += x[i];
    return s;
}

/* Maxima by integers, whose reduction every compiler vectorises: a float's bits, with the negative ones turned round, are
 * ordered as the floats are. The map is its own inverse. */
static inline int32_t f32_ordered(int32_t b) { return b ^ (b >> 31 & 0x7fffffff); }

static inline int32_t f32_bits_of(const float *x)
{
    int32_t b;
    memcpy(&b, x, sizeof b);
    return b;
}

static inline float f32_float_of(int32_t b)
{
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

static float f32_max(const float *x, long n)
{
    int32_t m = f32_ordered((int32_t)0xff800000);      /* -inf */
#pragma omp simd reduction(max:m)
    for (long i = 0; i < n; i++) {
        const int32_t v = f32_ordered(f32_bits_of(x + i));
        m = v > m ? v : m;
    }
    return f32_float_of(f32_ordered(m));
}

static inline float f32_max_abs(const float *x, long n)
{
    int32_t m = 0;
#pragma omp simd reduction(max:m)
    for (long i = 0; i < n; i++) {
        const int32_t v = f32_bits_of(x + i) & 0x7fffffff;
        m = v > m ? v : m;
    }
    return f32_float_of(m);
}

static float f32_sumexp(const float *x, long n, float shift)
{
    float s = 0;
#pragma omp simd reduction(+:s)
    for (long i = 0; i < n; i++) s += f32_exp1(x[i] - shift);
    return s;
}

static float f32_exp_shift(float *y, const float *x, long n, float shift)
{
    float s = 0;
#pragma omp simd reduction(+:s)
    for (long i = 0; i < n; i++) {
        const float e = f32_exp1(x[i] - shift);
        y[i] = e;
        s += e;
    }
    return s;
}

static float f32_max_sum(float *total, const float *x, long n)
{
    int32_t m = f32_ordered((int32_t)0xff800000);
    float s = 0;
#pragma omp simd reduction(max:m) reduction(+:s)
    for (long i = 0; i < n; i++) {
        const int32_t v = f32_ordered(f32_bits_of(x + i));
        m = v > m ? v : m;
        s += x[i];
    }
    *total = s;
    return f32_float_of(f32_ordered(m));
}

static void f32_affine(float *y, float a, float b, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = a * y[i] + b;
}

static void f32_axpy(float *y, float a, const float *x, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] += a * x[i];
}

static void f32_scale(float *y, float a, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] *= a;
}

static void f32_add(float *y, const float *a, const float *b, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static void f32_mul(float *y, const float *a, const float *b, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = a[i] * b[i];
}

static void f32_mul_back(float *da, float *db, const float *dy, const float *a, const float *b, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        da[i] += dy[i] * b[i];
        db[i] += dy[i] * a[i];
    }
}

static void f32_sigmoid(float *y, const float *x, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = f32_sigmoid1(x[i]);
}

static void f32_sigmoid_back(float *dx, const float *dy, const float *y, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) dx[i] += dy[i] * y[i] * (1.0f - y[i]);
}

static void f32_silu(float *y, const float *x, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = x[i] * f32_sigmoid1(x[i]);
}

static void f32_silu_back(float *dx, const float *dy, const float *x, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        const float s = f32_sigmoid1(x[i]);
        dx[i] += dy[i] * s * (1.0f + x[i] * (1.0f - s));
    }
}

static void f32_relu2_mul(float *y, const float *g, const float *u, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        const float r = g[i] > 0 ? g[i] : 0;
        y[i] = r * r * u[i];
    }
}

static void f32_relu2_mul_back(float *dg, float *du, const float *dy, const float *g, const float *u, long n, int plus)
{
    if (!plus) {
#pragma omp simd
        for (long i = 0; i < n; i++) {
            const float r = g[i] > 0 ? g[i] : 0;
            dg[i] = dy[i] * 2.0f * r * u[i];
            du[i] = dy[i] * r * r;
        }
        return;
    }
#pragma omp simd
    for (long i = 0; i < n; i++) {
        const float r = g[i] > 0 ? g[i] : 0;
        dg[i] += dy[i] * 2.0f * r * u[i];
        du[i] += dy[i] * r * r;
    }
}

/* of y = s v, s a sigmoid */
static void f32_gate_back(float *dx, float *dv, const float *dy, const float *s, const float *v, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        const float g = dy[i] * s[i];
        dx[i] = g * v[i] * (1.0f - s[i]);
        dv[i] = g;
    }
}

/* One body for both callers, lest the compiler round them differently */
static __attribute__((noinline)) float f32_norm_row(float *y, const float *x, const float *gain, int d, float eps)
{
    const float r = 1.0f / sqrtf(f32_dot(x, x, d) / (float)d + eps);
#pragma omp simd
    for (int i = 0; i < d; i++) y[i] = x[i] * r * gain[i];
    return r;
}

static void f32_rmsnorm(float *y, float *rstd, const float *x, const float *gain, int n, int d, float eps)
{
    for (int t = 0; t < n; t++, x += d, y += d) rstd[t] = f32_norm_row(y, x, gain, d, eps);
}

enum { NORM_ROWS = 4 };

/* y_i = x_i r g_i, r = (mean x^2 + eps)^(-1/2):  dx_i += r g_i dy_i - x_i r^3/d sum_j dy_j g_j x_j
 * Rows of a block, a number known to the compiler, share each load of a gain. */
static inline __attribute__((always_inline)) void f32_norm_back_rows(float *dx, float *dgain, const float *dy, const float *x,
                                                                 const float *gain, const float *rstd, int rows, int d)
{
    float c[NORM_ROWS];
    for (int t = 0; t < rows; t++) {
        const float *dyt = dy + (size_t)t * d, *xt = x + (size_t)t * d;
        float s = 0;
#pragma omp simd reduction(+:s)
        for (int i = 0; i < d; i++) s += dyt[i] * gain[i] * xt[i];
        c[t] = s * rstd[t] * rstd[t] * rstd[t] / (float)d;
    }
#pragma omp simd
    for (int i = 0; i < d; i++) {
        float sum = dgain[i];
#pragma GCC unroll 4
        for (int t = 0; t < rows; t++) {
            const size_t at = (size_t)t * d + (size_t)i;
            dx[at] += rstd[t] * gain[i] * dy[at] - c[t] * x[at];
            sum += dy[at] * x[at] * rstd[t];
        }
        dgain[i] = sum;
    }
}

static void f32_rmsnorm_back(float *dx, float *dgain, const float *dy, const float *x, const float *gain,
                         const float *rstd, int n, int d)
{
    int t = 0;
    for (; t + NORM_ROWS <= n; t += NORM_ROWS, dx += NORM_ROWS * d, dy += NORM_ROWS * d, x += NORM_ROWS * d)
        f32_norm_back_rows(dx, dgain, dy, x, gain, rstd + t, NORM_ROWS, d);
    for (; t < n; t++, dx += d, dy += d, x += d) f32_norm_back_rows(dx, dgain, dy, x, gain, rstd + t, 1, d);
}

/* One row; 1 / s. Adding the magic number rounds half to even and leaves the integer in the low bits. */
static __attribute__((noinline)) float f32_quant_row(int8_t *restrict q, const float *restrict x, int d, float levels, float low, float top)
{
    const float m = f32_max_abs(x, d), s = levels / (m > 1e-5f ? m : 1e-5f), magic = 12582912.0f;
#pragma omp simd
    for (int i = 0; i < d; i++) {
        float v = x[i] * s;
        v = v > low ? v : low;
        v = (v < top ? v : top) + magic;
        q[i] = (int8_t)f32_bits_of(&v);
    }
    return 1.0f / s;
}

typedef struct { float levels, low, top; } Width;       /* of so many bits; one bit: -1 and 0 */
static inline Width f32_width_of(int act_bits)
{
    const float top = (float)((1 << (act_bits - 1)) - 1);
    return (Width){ top > 0 ? top : 1, -top - 1, top };
}

static void f32_quant_rows(int8_t *q, float *inv, const float *x, int n, int d, int act_bits)
{
    const Width w = f32_width_of(act_bits);
    for (int t = 0; t < n; t++, x += d, q += d) inv[t] = f32_quant_row(q, x, d, w.levels, w.low, w.top);
}

/* rmsnorm, then quant_rows, row by row, while the row is in L1 */
static void f32_rmsnorm_quant(float *y, float *rstd, int8_t *q, float *inv, const float *x, const float *gain, int n, int d,
                          float eps, int act_bits)
{
    const Width w = f32_width_of(act_bits);
    for (int t = 0; t < n; t++, x += d, y += d, q += d) {
        rstd[t] = f32_norm_row(y, x, gain, d, eps);
        inv[t] = f32_quant_row(q, y, d, w.levels, w.low, w.top);
    }
}

static void f32_from_int(float *y, const int32_t *x, float s, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        int32_t v;
        memcpy(&v, x + i, sizeof v);       /* y may be x */
        y[i] = s * (float)v;
    }
}

static void f32_ternary(int8_t *restrict codes, float *restrict q, const float *restrict w, long n, float cut, float scale, int nearest)
{
    const float inv = 1.0f / cut, magic = 12582912.0f;
    if (!nearest) {
#pragma omp simd
        for (long i = 0; i < n; i++) {
            const int32_t c = (w[i] > cut) - (w[i] < -cut);
            codes[i] = (int8_t)c;
            q[i] = (float)c * scale;
        }
        return;
    }
#pragma omp simd
    for (long i = 0; i < n; i++) {
        float c = w[i] * inv;
        c = c > -1 ? c : -1;
        c = (c < 1 ? c : 1) + magic - magic;
        codes[i] = (int8_t)(int)c;
        q[i] = c * scale;
    }
}

/* xorshift32 (Marsaglia 2003), one generator per lane */
enum { DICE = 16 };
static inline void f32_round_lanes(int8_t *q, const float *x, float s, int n, uint32_t *dice)
{
#pragma omp simd
    for (int l = 0; l < n; l++) {
        uint32_t b = dice[l];
        b ^= b << 13;
        b ^= b >> 17;
        b ^= b << 5;
        dice[l] = b;
        const float up = f32_float_of((int32_t)(0x43000000 | b >> 16));       /* 128 + u, u in steps of 2^-16 */
        q[l] = (int8_t)((int)(x[l] * s + up) - 128);                       /* positive before it is cut: the floor */
    }
}

/* s is a millionth less than 1 / inv, lest 127 + u become 128 */
static void f32_round_row(int8_t *q, float *inv, const float *x, int d, uint64_t seed)
{
    const float top = f32_max_abs(x, d), s = top > 1e-30f ? 126.9999f / top : 0;
    uint32_t dice[DICE];
    Rng r = { seed };
    for (int l = 0; l < DICE; l++) dice[l] = (uint32_t)(rng_u64(&r) >> 32) | 1;
    *inv = s > 0 ? top / 127.0f : 0;
    int i = 0;
    for (; i + DICE <= d; i += DICE) f32_round_lanes(q + i, x + i, s, DICE, dice);
    f32_round_lanes(q + i, x + i, s, d - i, dice);
}

/* Blocks, the next of which is fetched ahead: 7.3 ms in place of 8.5 for 12.9 M values, two threads of a Xeon with AVX-512. */
static void f32_adamw(float *restrict v, float *restrict g, float *restrict m, float *restrict s, float *restrict ema,
                  long n, float clip, float lr, float b1, float b2, float eps, float decay, float c1, float c2,
                  float ema_keep)
{
    const float rate = lr / c1, root = 1.0f / sqrtf(c2), shrink = 1.0f - lr * decay;
    const long block = 512, line = 16;
    for (long at = 0, end; at < n; at = end) {
        end = n - at < block ? n : at + block;
        for (long i = end; i < end + block && i < n; i += line) {
            __builtin_prefetch(v + i, 1);
            __builtin_prefetch(g + i, 1);
            __builtin_prefetch(m + i, 1);
            __builtin_prefetch(s + i, 1);
            if (ema) __builtin_prefetch(ema + i, 1);
        }
#pragma omp simd
        for (long i = at; i < end; i++) {
            const float d = g[i] * clip;
            const float mi = b1 * m[i] + (1.0f - b1) * d, si = b2 * s[i] + (1.0f - b2) * d * d;
            m[i] = mi;
            s[i] = si;
            v[i] = v[i] * shrink - rate * mi / (sqrtf(si) * root + eps);
            g[i] = 0;
        }
        if (!ema) continue;
#pragma omp simd
        for (long i = at; i < end; i++) ema[i] = ema_keep * ema[i] + (1.0f - ema_keep) * v[i];
    }
}

/* ---- what is written with vectors ---- */
typedef float Vec __attribute__((vector_size(sizeof(float) * LANES), aligned(4)));
static inline Vec load(const float *p) { return *(const Vec *)p; }
static inline Vec zero(void) { return (Vec){ 0 }; }

/* x in every lane: a constructor, which becomes a broadcast from memory; arithmetic would cost the port of the FMA */
static inline Vec splat(float x) { return (Vec){ ALL_LANES(x) }; }

#include "kernels/f32_conv.h"
#include "kernels/f32_rows.h"

const F32 F32_TABLE = {
    F32_ISA, F32_CPU, .dot = f32_dot, .sumsq = f32_sumsq, .sumabs = f32_sumabs, .sum = f32_sum, .max = f32_max, .max_sum = f32_max_sum, .sumexp = f32_sumexp,
    .exp = f32_exp_shift, .affine = f32_affine, .axpy = f32_axpy, .scale = f32_scale, .add = f32_add, .mul = f32_mul, .mul_back = f32_mul_back, .sigmoid = f32_sigmoid,
    .sigmoid_back = f32_sigmoid_back, .silu = f32_silu, .silu_back = f32_silu_back, .relu2_mul = f32_relu2_mul,
    .relu2_mul_back = f32_relu2_mul_back, .gate_back = f32_gate_back, .rmsnorm = f32_rmsnorm,
    .rmsnorm_back = f32_rmsnorm_back, .quant_rows = f32_quant_rows, .rmsnorm_quant = f32_rmsnorm_quant, .round_row = f32_round_row, .from_int = f32_from_int,
    .ternary = f32_ternary, .conv = f32_conv, .conv_back = f32_conv_back, .adamw = f32_adamw,
    .rows_dot = f32_rows_dot, .rows_mix = f32_rows_mix, .rows_add = f32_rows_add,
};
