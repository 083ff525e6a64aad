/* SPDX-License-Identifier: GPL-3.0-or-later */
/* RMSNorm and the quantisation of rows, of f32.h; a part of f32_body.h. */
/* One body for both callers, not inlined, so that both are rounded alike */
static __attribute__((noinline)) float f32_norm_row(float *y, const float *x, const float *gain,
                                                    int d, float eps)
{
    const float r = 1.0f / sqrtf(f32_dot(x, x, d) / (float)d + eps);
#pragma omp simd
    for (int i = 0; i < d; i++) y[i] = x[i] * r * gain[i];
    return r;
}

static void f32_rmsnorm(float *y, float *rstd, const float *x, const float *gain, int n, int d,
                        float eps)
{
    for (int t = 0; t < n; t++, x += d, y += d) rstd[t] = f32_norm_row(y, x, gain, d, eps);
}

enum { NORM_ROWS = 4 };

/* y_i = x_i r g_i, r = (mean x^2 + eps)^(-1/2):
 *   dx_i += r g_i dy_i - x_i r^3/d sum_j dy_j g_j x_j
 * `rows`, a constant in every caller, share each load of a gain. */
static inline __attribute__((always_inline)) void f32_norm_back_rows(
    float *dx, float *dgain, const float *dy, const float *x, const float *gain, const float *rstd,
    int rows, int d)
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

static void f32_rmsnorm_back(float *dx, float *dgain, const float *dy, const float *x,
                             const float *gain, const float *rstd, int n, int d)
{
    int t = 0;
    for (; t + NORM_ROWS <= n;
         t += NORM_ROWS, dx += NORM_ROWS * d, dy += NORM_ROWS * d, x += NORM_ROWS * d)
        f32_norm_back_rows(dx, dgain, dy, x, gain, rstd + t, NORM_ROWS, d);
    for (; t < n; t++, dx += d, dy += d, x += d)
        f32_norm_back_rows(dx, dgain, dy, x, gain, rstd + t, 1, d);
}

/* Quantises one row and returns 1 / s. Adding the magic number 1.5 * 2^23 rounds half to even and
 * leaves the integer in the low bits. */
static __attribute__((noinline)) float f32_quant_row(int8_t *restrict q, const float *restrict x,
                                                     int d, float levels, float low, float top)
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

typedef struct { float levels, low, top; } Width;       /* of act_bits; 1 bit: values -1 and 0 */
static inline Width f32_width_of(int act_bits)
{
    const float top = (float)((1 << (act_bits - 1)) - 1);
    return (Width){ top > 0 ? top : 1, -top - 1, top };
}

static void f32_quant_rows(int8_t *q, float *inv, const float *x, int n, int d, int act_bits)
{
    const Width w = f32_width_of(act_bits);
    for (int t = 0; t < n; t++, x += d, q += d)
        inv[t] = f32_quant_row(q, x, d, w.levels, w.low, w.top);
}

/* rmsnorm, then quant_rows, row by row while the row is in L1 */
static void f32_rmsnorm_quant(float *y, float *rstd, int8_t *q, float *inv, const float *x,
                              const float *gain, int n, int d, float eps, int act_bits)
{
    const Width w = f32_width_of(act_bits);
    for (int t = 0; t < n; t++, x += d, y += d, q += d) {
        rstd[t] = f32_norm_row(y, x, gain, d, eps);
        inv[t] = f32_quant_row(q, y, d, w.levels, w.low, w.top);
    }
}
