/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one body of every f32_<isa>.c. Plain C: the loops vectorise by `omp simd`, the convolution by vector types.
 * Compiled with -ffp-contract=fast: a multiply-add is one instruction where the ISA has one, which is what the
 * roofline of the ISA means; for one table the rounding is fixed. */
#include "kernels/f32.h"
#include <math.h>
#include <string.h>

/* exp by 2^n (1 + f + ...): n = round(x log2 e), |f| <= ln2/2, degree 6 (Cephes' coefficients); relative error < 2e-7.
 * Below -87.3 it stays at exp(-87.3) = 1.2e-38, above 88.3 at exp(88.3). */
static inline float exp1(float x)
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

static inline float sigmoid1(float x) { return 1.0f / (1.0f + exp1(-x)); }

static float dot(const float *a, const float *b, long n)
{
    float s = 0;
#pragma omp simd reduction(+:s)
    for (long i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

enum { BLOCK = 4096 };      /* of a sum kept in float before it is added in double */

static double sumsq(const float *x, long n)
{
    double sum = 0;
    for (long at = 0; at < n; at += BLOCK) {
        const long m = n - at < BLOCK ? n - at : BLOCK;
        sum += (double)dot(x + at, x + at, m);
    }
    return sum;
}

static double sumabs(const float *x, long n)
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

static float sum(const float *x, long n)
{
    float s = 0;
#pragma omp simd reduction(+:s)
    for (long i = 0; i < n; i++) s += x[i];
    return s;
}

/* by lanes: a reduction(max) over floats is not vectorised by every compiler without finite-math */
static inline float max_of(const float *x, long n, float least, int absolute)
{
    enum { W = 32 };
    float lane[W], m = least;
    long i = 0;
    for (int l = 0; l < W; l++) lane[l] = least;
    for (; i + W <= n; i += W)
#pragma omp simd
        for (int l = 0; l < W; l++) {
            const float v = absolute ? fabsf(x[i + l]) : x[i + l];
            lane[l] = v > lane[l] ? v : lane[l];
        }
    for (int l = 0; l < W; l++) m = lane[l] > m ? lane[l] : m;
    for (; i < n; i++) {
        const float v = absolute ? fabsf(x[i]) : x[i];
        m = v > m ? v : m;
    }
    return m;
}

static float max(const float *x, long n)
{
    return max_of(x, n, -INFINITY, 0);
}

static float sumexp(const float *x, long n, float shift)
{
    float s = 0;
#pragma omp simd reduction(+:s)
    for (long i = 0; i < n; i++) s += exp1(x[i] - shift);
    return s;
}

static void exp_shift(float *y, const float *x, long n, float shift)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = exp1(x[i] - shift);
}

static void axpy(float *y, float a, const float *x, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] += a * x[i];
}

static void scale(float *y, float a, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] *= a;
}

static void mul(float *y, const float *a, const float *b, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = a[i] * b[i];
}

static void mul_back(float *da, float *db, const float *dy, const float *a, const float *b, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        da[i] += dy[i] * b[i];
        db[i] += dy[i] * a[i];
    }
}

static void sigmoid(float *y, const float *x, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = sigmoid1(x[i]);
}

static void sigmoid_back(float *dx, const float *dy, const float *y, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) dx[i] += dy[i] * y[i] * (1.0f - y[i]);
}

static void silu(float *y, const float *x, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = x[i] * sigmoid1(x[i]);
}

static void silu_back(float *dx, const float *dy, const float *x, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        const float s = sigmoid1(x[i]);
        dx[i] += dy[i] * s * (1.0f + x[i] * (1.0f - s));
    }
}

static void relu2_mul(float *y, const float *g, const float *u, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        const float r = g[i] > 0 ? g[i] : 0;
        y[i] = r * r * u[i];
    }
}

static void relu2_mul_back(float *dg, float *du, const float *dy, const float *g, const float *u, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        const float r = g[i] > 0 ? g[i] : 0;
        dg[i] += dy[i] * 2.0f * r * u[i];
        du[i] += dy[i] * r * r;
    }
}

static void gate(float *y, const float *r, const float *g, const float *v, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = r[i] + sigmoid1(g[i]) * v[i];
}

static void gate_back(float *dg, float *dv, const float *dy, const float *g, const float *v, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        const float s = sigmoid1(g[i]);
        dv[i] = dy[i] * s;
        dg[i] = dy[i] * v[i] * s * (1.0f - s);
    }
}

static void rmsnorm(float *y, float *rstd, const float *x, const float *gain, int n, int d, float eps)
{
    for (int t = 0; t < n; t++, x += d, y += d) {
        const float r = 1.0f / sqrtf(dot(x, x, d) / (float)d + eps);
        rstd[t] = r;
#pragma omp simd
        for (int i = 0; i < d; i++) y[i] = x[i] * r * gain[i];
    }
}

/* y_i = x_i r g_i, r = (mean x^2 + eps)^(-1/2):  dx_i += r g_i dy_i - x_i r^3/d sum_j dy_j g_j x_j */
static void rmsnorm_back(float *dx, float *dgain, const float *dy, const float *x, const float *gain,
                         const float *rstd, int n, int d)
{
    for (int t = 0; t < n; t++, x += d, dy += d, dx += d) {
        const float r = rstd[t];
        float s = 0;
#pragma omp simd reduction(+:s)
        for (int i = 0; i < d; i++) s += dy[i] * gain[i] * x[i];
        const float c = s * r * r * r / (float)d;
#pragma omp simd
        for (int i = 0; i < d; i++) {
            dx[i] += r * gain[i] * dy[i] - c * x[i];
            dgain[i] += dy[i] * x[i] * r;
        }
    }
}

static void quant_rows(int8_t *q, float *inv, const float *x, int n, int d, int act_bits)
{
    const float top = (float)((1 << (act_bits - 1)) - 1), low = -top - 1, magic = 12582912.0f;
    const float levels = top > 0 ? top : 1;
    for (int t = 0; t < n; t++, x += d, q += d) {
        const float m = max_of(x, d, 0, 1);
        const float s = levels / (m > 1e-5f ? m : 1e-5f);
        inv[t] = 1.0f / s;
#pragma omp simd
        for (int i = 0; i < d; i++) {
            float v = x[i] * s;
            v = (v + magic) - magic;
            v = v < low ? low : v > top ? top : v;
            q[i] = (int8_t)(int)v;
        }
    }
}

static void adamw(float *restrict v, float *restrict g, float *restrict m, float *restrict s, float *restrict ema,
                  long n, float clip, float lr, float b1, float b2, float eps, float decay, float c1, float c2,
                  float ema_keep)
{
    const float rate = lr / c1, root = 1.0f / sqrtf(c2), shrink = 1.0f - lr * decay;
    const long block = 2048;
    for (long at = 0; at < n; at += block) {
        const long end = n - at < block ? n : at + block;
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

/* ---- the gated convolution ----
 * One group at a time: in = out = c channels, padded to whole vectors. The weights are turned to
 *   wt[filter][j][i][o]   o fastest, whole vectors of outputs per (j, i)
 * so that a row's inputs are broadcast and multiplied with vectors of outputs; CONV_T rows share each load. */
typedef float Vec __attribute__((vector_size(sizeof(float) * LANES), aligned(4)));
enum { PAD = 16, MAX_GROUP = 1024 };
static const float zeros[MAX_GROUP];

static inline Vec load(const float *p) { return *(const Vec *)p; }
static inline Vec splat(float x) { return (Vec){ 0 } + x; }

static inline int wide(int c) { return (c + PAD - 1) / PAD * PAD; }

/* transposed = 0: wt[j][i][o]; 1: wt[j][o][i], for the way back */
static void turn(float *wt, const float *w, int c, int k, int first, int transposed)
{
    const int cw = wide(c);
    memset(wt, 0, sizeof(float) * (size_t)k * (size_t)cw * (size_t)cw);
    for (int o = 0; o < c; o++)
        for (int i = 0; i < c; i++)
            for (int j = 0; j < k; j++) {
                const int row = transposed ? o : i, col = transposed ? i : o;
                wt[((size_t)j * cw + row) * cw + col] = w[((size_t)(first + o) * c + i) * k + j];
            }
}

static inline void put(float *y, Vec v, int lanes, int add)
{
    if (lanes == LANES) { *(Vec *)y = add ? load(y) + v : v; return; }
    for (int l = 0; l < lanes; l++) y[l] = add ? y[l] + v[l] : v[l];
}

/* rows [t, t+m) of one sequence, one vector of outputs of one group */
static inline void conv_rows(float *a, float *b, const float *const *px, const float *wta, const float *wtb, int m,
                             int d, int c, int k, int lanes)
{
    const int cw = wide(c);
    Vec sa[CONV_T], sb[CONV_T];
    for (int r = 0; r < CONV_T; r++) sa[r] = sb[r] = splat(0);
    for (int j = 0; j < k; j++) {
        const float *p[CONV_T];
        for (int r = 0; r < CONV_T; r++) p[r] = px[j * CONV_T + r];
        for (int i = 0; i < c; i++) {
            const Vec va = load(wta + ((size_t)j * cw + i) * cw), vb = load(wtb + ((size_t)j * cw + i) * cw);
#pragma GCC unroll 16
            for (int r = 0; r < CONV_T; r++) {
                const Vec x = splat(p[r][i]);
                sa[r] += va * x;
                sb[r] += vb * x;
            }
        }
    }
    for (int r = 0; r < m; r++) {
        put(a + (size_t)r * d, sa[r], lanes, 0);
        put(b + (size_t)r * d, sb[r], lanes, 0);
    }
}

enum { MAX_TAPS = 16 };

static void conv2(float *a, float *b, const float *x, const float *past, const float *wa, const float *wb,
                  float *wt, int B, int T, int d, int groups, int k, int dil, int g0, int g1)
{
    const int c = d / groups, cw = wide(c);
    float *wta = wt, *wtb = wt + (size_t)k * cw * cw;
    for (int g = g0; g < g1; g++) {
        turn(wta, wa, c, k, g * c, 0);
        turn(wtb, wb, c, k, g * c, 0);
        for (int s = 0; s < B; s++) {
            const size_t base = (size_t)s * T * d + (size_t)g * c;
            for (int t = 0; t < T; t += CONV_T) {
                const float *px[MAX_TAPS * CONV_T];
                for (int j = 0; j < k; j++)
                    for (int r = 0; r < CONV_T; r++) {
                        const int at = t + r - (k - 1 - j) * dil;
                        px[j * CONV_T + r] = t + r >= T ? zeros : at >= 0 ? x + base + (size_t)at * d
                                           : past ? past + (size_t)((k - 1) * dil + at) * d + (size_t)g * c : zeros;
                    }
                const int m = T - t < CONV_T ? T - t : CONV_T;
                for (int o = 0; o < c; o += LANES)
                    conv_rows(a + base + (size_t)t * d + o, b + base + (size_t)t * d + o, px, wta + o, wtb + o, m, d, c, k,
                              c - o < LANES ? c - o : LANES);
            }
        }
    }
}

/* dx of rows [t, t+m): the same sum run forwards in time over both filters */
static inline void conv_back_rows(float *dx, const float *const *pa, const float *const *pb, const float *wta,
                                  const float *wtb, int m, int d, int c, int k, int lanes)
{
    const int cw = wide(c);
    Vec sum_[CONV_T];
    for (int r = 0; r < CONV_T; r++) sum_[r] = splat(0);
    for (int j = 0; j < k; j++) {
        const float *p[CONV_T], *q[CONV_T];
        for (int r = 0; r < CONV_T; r++) p[r] = pa[j * CONV_T + r], q[r] = pb[j * CONV_T + r];
        for (int o = 0; o < c; o++) {
            const Vec va = load(wta + ((size_t)j * cw + o) * cw), vb = load(wtb + ((size_t)j * cw + o) * cw);
#pragma GCC unroll 16
            for (int r = 0; r < CONV_T; r++) sum_[r] += va * splat(p[r][o]) + vb * splat(q[r][o]);
        }
    }
    for (int r = 0; r < m; r++) put(dx + (size_t)r * d, sum_[r], lanes, 1);
}

/* dw[o][i][j] += sum_t da[t][o] x[t - back][i], one vector of o, CONV_I inputs at a time */
static void conv_back_weights(float *dw, const float *da, const float *x, int T, int d, int c, int k, int j, int back,
                              int first, int o, int i0)
{
    Vec acc[CONV_I];
    const int inputs = c - i0 < CONV_I ? c - i0 : CONV_I, lanes = c - o < LANES ? c - o : LANES;
    for (int i = 0; i < CONV_I; i++) acc[i] = splat(0);
    for (int t = back; t < T; t++) {
        const float *xt = x + (size_t)(t - back) * d + i0, *at = da + (size_t)t * d + o;
        Vec v;
        if (lanes == LANES) v = load(at);
        else for (int l = 0; l < LANES; l++) v[l] = l < lanes ? at[l] : 0;
        if (inputs == CONV_I) {
#pragma GCC unroll 16
            for (int i = 0; i < CONV_I; i++) acc[i] += v * splat(xt[i]);
        } else for (int i = 0; i < inputs; i++) acc[i] += v * splat(xt[i]);
    }
    for (int i = 0; i < inputs; i++)
        for (int l = 0; l < lanes; l++) dw[((size_t)(first + o + l) * c + i0 + i) * k + j] += acc[i][l];
}

static void conv2_back(float *dx, float *dwa, float *dwb, const float *da, const float *db, const float *x,
                       const float *wa, const float *wb, float *wt, int B, int T, int d, int groups, int k, int dil,
                       int g0, int g1)
{
    const int c = d / groups, cw = wide(c);
    float *wta = wt, *wtb = wt + (size_t)k * cw * cw;
    for (int g = g0; g < g1; g++) {
        turn(wta, wa, c, k, g * c, 1);
        turn(wtb, wb, c, k, g * c, 1);
        for (int s = 0; s < B; s++) {
            const size_t base = (size_t)s * T * d + (size_t)g * c;
            for (int t = 0; t < T; t += CONV_T) {
                const float *pa[MAX_TAPS * CONV_T], *pb[MAX_TAPS * CONV_T];
                for (int j = 0; j < k; j++)
                    for (int r = 0; r < CONV_T; r++) {
                        const int at = t + r + (k - 1 - j) * dil;
                        const size_t off = base + (size_t)at * d;
                        pa[j * CONV_T + r] = at < T ? da + off : zeros;
                        pb[j * CONV_T + r] = at < T ? db + off : zeros;
                    }
                const int m = T - t < CONV_T ? T - t : CONV_T;
                for (int i = 0; i < c; i += LANES)
                    conv_back_rows(dx + base + (size_t)t * d + i, pa, pb, wta + i, wtb + i, m, d, c, k,
                                   c - i < LANES ? c - i : LANES);
            }
            for (int j = 0; j < k; j++)
                for (int o = 0; o < c; o += LANES)
                    for (int i = 0; i < c; i += CONV_I) {
                        const int back = (k - 1 - j) * dil;
                        conv_back_weights(dwa, da + base, x + base, T, d, c, k, j, back, g * c, o, i);
                        conv_back_weights(dwb, db + base, x + base, T, d, c, k, j, back, g * c, o, i);
                    }
        }
    }
}

const F32 F32_TABLE = {
    F32_ISA, F32_CPU, .dot = dot, .sumsq = sumsq, .sumabs = sumabs, .sum = sum, .max = max, .sumexp = sumexp,
    .exp = exp_shift, .axpy = axpy, .scale = scale, .mul = mul, .mul_back = mul_back, .sigmoid = sigmoid,
    .sigmoid_back = sigmoid_back, .silu = silu, .silu_back = silu_back, .relu2_mul = relu2_mul,
    .relu2_mul_back = relu2_mul_back, .gate = gate, .gate_back = gate_back, .rmsnorm = rmsnorm,
    .rmsnorm_back = rmsnorm_back, .quant_rows = quant_rows, .conv2 = conv2, .conv2_back = conv2_back, .adamw = adamw,
};
