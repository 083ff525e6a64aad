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

/* Maxima by integers, whose reduction every compiler vectorises: a float's bits, with the negative ones turned round, are
 * ordered as the floats are. The map is its own inverse. */
static inline int32_t ordered(int32_t b) { return b ^ (b >> 31 & 0x7fffffff); }

static inline int32_t bits_of(const float *x)
{
    int32_t b;
    memcpy(&b, x, sizeof b);
    return b;
}

static inline float float_of(int32_t b)
{
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

static float max(const float *x, long n)
{
    int32_t m = ordered((int32_t)0xff800000);      /* -inf */
#pragma omp simd reduction(max:m)
    for (long i = 0; i < n; i++) {
        const int32_t v = ordered(bits_of(x + i));
        m = v > m ? v : m;
    }
    return float_of(ordered(m));
}

static inline float max_abs(const float *x, long n)
{
    int32_t m = 0;
#pragma omp simd reduction(max:m)
    for (long i = 0; i < n; i++) {
        const int32_t v = bits_of(x + i) & 0x7fffffff;
        m = v > m ? v : m;
    }
    return float_of(m);
}

static float sumexp(const float *x, long n, float shift)
{
    float s = 0;
#pragma omp simd reduction(+:s)
    for (long i = 0; i < n; i++) s += exp1(x[i] - shift);
    return s;
}

static float exp_shift(float *y, const float *x, long n, float shift)
{
    float s = 0;
#pragma omp simd reduction(+:s)
    for (long i = 0; i < n; i++) {
        const float e = exp1(x[i] - shift);
        y[i] = e;
        s += e;
    }
    return s;
}

static float max_sum(float *total, const float *x, long n)
{
    int32_t m = ordered((int32_t)0xff800000);
    float s = 0;
#pragma omp simd reduction(max:m) reduction(+:s)
    for (long i = 0; i < n; i++) {
        const int32_t v = ordered(bits_of(x + i));
        m = v > m ? v : m;
        s += x[i];
    }
    *total = s;
    return float_of(ordered(m));
}

static void affine(float *y, float a, float b, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = a * y[i] + b;
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

static void add(float *y, const float *a, const float *b, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = a[i] + b[i];
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

static void relu2_mul_back(float *dg, float *du, const float *dy, const float *g, const float *u, long n, int plus)
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

/* One body for both callers, lest the compiler round them differently */
static __attribute__((noinline)) float norm_row(float *y, const float *x, const float *gain, int d, float eps)
{
    const float r = 1.0f / sqrtf(dot(x, x, d) / (float)d + eps);
#pragma omp simd
    for (int i = 0; i < d; i++) y[i] = x[i] * r * gain[i];
    return r;
}

static void rmsnorm(float *y, float *rstd, const float *x, const float *gain, int n, int d, float eps)
{
    for (int t = 0; t < n; t++, x += d, y += d) rstd[t] = norm_row(y, x, gain, d, eps);
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

/* One row; 1 / s. Adding the magic number rounds half to even and leaves the integer in the low bits. */
static __attribute__((noinline)) float quant_row(int8_t *restrict q, const float *restrict x, int d, float levels, float low, float top)
{
    const float m = max_abs(x, d), s = levels / (m > 1e-5f ? m : 1e-5f), magic = 12582912.0f;
#pragma omp simd
    for (int i = 0; i < d; i++) {
        float v = x[i] * s;
        v = v > low ? v : low;
        v = (v < top ? v : top) + magic;
        q[i] = (int8_t)bits_of(&v);
    }
    return 1.0f / s;
}

typedef struct { float levels, low, top; } Width;       /* of so many bits; one bit: -1 and 0 */
static inline Width width_of(int act_bits)
{
    const float top = (float)((1 << (act_bits - 1)) - 1);
    return (Width){ top > 0 ? top : 1, -top - 1, top };
}

static void quant_rows(int8_t *q, float *inv, const float *x, int n, int d, int act_bits)
{
    const Width w = width_of(act_bits);
    for (int t = 0; t < n; t++, x += d, q += d) inv[t] = quant_row(q, x, d, w.levels, w.low, w.top);
}

/* rmsnorm, then quant_rows, row by row, while the row is in L1 */
static void rmsnorm_quant(float *y, float *rstd, int8_t *q, float *inv, const float *x, const float *gain, int n, int d,
                          float eps, int act_bits)
{
    const Width w = width_of(act_bits);
    for (int t = 0; t < n; t++, x += d, y += d, q += d) {
        rstd[t] = norm_row(y, x, gain, d, eps);
        inv[t] = quant_row(q, y, d, w.levels, w.low, w.top);
    }
}

static void from_int(float *y, const int32_t *x, float s, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        int32_t v;
        memcpy(&v, x + i, sizeof v);       /* y may be x */
        y[i] = s * (float)v;
    }
}

static void ternary(int8_t *restrict codes, float *restrict q, const float *restrict w, long n, float cut, float scale, int nearest)
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
static inline void round_lanes(int8_t *q, const float *x, float s, int n, uint32_t *dice)
{
#pragma omp simd
    for (int l = 0; l < n; l++) {
        uint32_t b = dice[l];
        b ^= b << 13;
        b ^= b >> 17;
        b ^= b << 5;
        dice[l] = b;
        const float up = float_of((int32_t)(0x43000000 | b >> 16));       /* 128 + u, u in steps of 2^-16 */
        q[l] = (int8_t)((int)(x[l] * s + up) - 128);                       /* positive before it is cut: the floor */
    }
}

/* s is a millionth less than 1 / inv, lest 127 + u become 128 */
static void round_row(int8_t *q, float *inv, const float *x, int d, uint64_t seed)
{
    const float top = max_abs(x, d), s = top > 1e-30f ? 126.9999f / top : 0;
    uint32_t dice[DICE];
    Rng r = { seed };
    for (int l = 0; l < DICE; l++) dice[l] = (uint32_t)(rng_u64(&r) >> 32) | 1;
    *inv = s > 0 ? top / 127.0f : 0;
    int i = 0;
    for (; i + DICE <= d; i += DICE) round_lanes(q + i, x + i, s, DICE, dice);
    round_lanes(q + i, x + i, s, d - i, dice);
}

/* Blocks, the next of which is fetched ahead: 7.3 ms in place of 8.5 for 12.9 M values, two threads of a Xeon with AVX-512. */
static void adamw(float *restrict v, float *restrict g, float *restrict m, float *restrict s, float *restrict ema,
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

/* ---- the gated convolution ----
 * One group of one sequence at a time: its c = d/groups channels are copied out of the rows of d, so that what is read
 * again and again lies side by side in L1 (rows of d floats, a power of two apart, would fight for a few cache sets):
 *
 *   xs   (back + T rows, w floats)   back = (k-1) dil rows of the past, then the sequence; w = c padded to whole vectors
 *   wt   (k, w, w)                   weights turned so that the outputs are whole vectors
 *
 * Tap j of row t is then xs[t + j dil]. A row's inputs are broadcast; CONV_T rows share each load of a weight. */
typedef float Vec __attribute__((vector_size(sizeof(float) * LANES), aligned(4)));

static inline Vec load(const float *p) { return *(const Vec *)p; }
static inline Vec zero(void) { return (Vec){ 0 }; }

/* x in every lane: a constructor, which becomes a broadcast from memory; arithmetic would cost the port of the FMA */
static inline Vec splat(float x) { return (Vec){ ALL_LANES(x) }; }

typedef struct { int T, d, c, w, k, dil, back; } Shape;      /* of a group */

static Shape shape_of(int T, int d, int groups, int k, int dil)
{
    const int c = d / groups;
    return (Shape){ T, d, c, (c + CONV_PAD - 1) / CONV_PAD * CONV_PAD, k, dil, (k - 1) * dil };
}

/* turned = 0: wt[j][i][o]; 1: wt[j][o][i], for the way back */
static void turn(float *wt, const float *weight, const Shape *s, int first, int turned)
{
    memset(wt, 0, sizeof(float) * (size_t)s->k * (size_t)s->w * (size_t)s->w);
    for (int o = 0; o < s->c; o++)
        for (int i = 0; i < s->c; i++)
            for (int j = 0; j < s->k; j++) {
                const int row = turned ? o : i, col = turned ? i : o;
                wt[((size_t)j * s->w + row) * s->w + col] = weight[((size_t)(first + o) * s->c + i) * s->k + j];
            }
}

/* rows of c out of rows of d, padded to w with zeros */
static void gather(float *to, const float *from, int rows, const Shape *s)
{
    for (int t = 0; t < rows; t++, to += s->w, from += s->d)
        for (int i = 0; i < s->w; i++) to[i] = i < s->c ? from[i] : 0;
}

static inline void put(float *y, Vec v, int lanes, int plus)
{
    if (lanes == LANES) { *(Vec *)y = plus ? load(y) + v : v; return; }
    for (int l = 0; l < lanes; l++) y[l] = plus ? y[l] + v[l] : v[l];
}

/* CONV_T rows from xs, one vector of outputs of both filters; taps before `from` see nothing but zeros */
static inline void conv_rows(float *a, float *b, const float *xs, const float *wta, const float *wtb, int from, int rows,
                             int lanes, const Shape *s)
{
    Vec sa[CONV_T], sb[CONV_T];
    for (int r = 0; r < CONV_T; r++) sa[r] = sb[r] = zero();
    for (int j = from; j < s->k; j++) {
        const float *x = xs + (size_t)j * s->dil * s->w;
        const float *pa = wta + (size_t)j * s->w * s->w, *pb = wtb + (size_t)j * s->w * s->w;
        for (int i = 0; i < s->c; i++, pa += s->w, pb += s->w) {
            const Vec va = load(pa), vb = load(pb);
#pragma GCC unroll 16
            for (int r = 0; r < CONV_T; r++) {
                const Vec v = splat(x[(size_t)r * s->w + i]);
                sa[r] += va * v;
                sb[r] += vb * v;
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        put(a + (size_t)r * s->d, sa[r], lanes, 0);
        put(b + (size_t)r * s->d, sb[r], lanes, 0);
    }
}

static void conv2(float *a, float *b, const float *x, const float *past, const float *wa, const float *wb,
                  float *room, int B, int T, int d, int groups, int k, int dil, int g0, int g1)
{
    const Shape s = shape_of(T, d, groups, k, dil);
    const size_t filter = (size_t)k * s.w * s.w;
    float *wta = room, *wtb = wta + filter, *xs = wtb + filter;
    for (int g = g0; g < g1; g++) {
        const int first = g * s.c;
        turn(wta, wa, &s, first, 0);
        turn(wtb, wb, &s, first, 0);
        if (past) gather(xs, past + first, s.back, &s);
        else memset(xs, 0, sizeof(float) * (size_t)s.back * s.w);
        memset(xs + (size_t)(s.back + T) * s.w, 0, sizeof(float) * CONV_T * (size_t)s.w);
        for (int n = 0; n < B; n++) {
            const size_t base = (size_t)n * T * d + (size_t)first;
            gather(xs + (size_t)s.back * s.w, x + base, T, &s);
            for (int t = 0; t < T; t += CONV_T) {
                const int rows = T - t < CONV_T ? T - t : CONV_T;
                int from = 0;
                while (!past && t + rows - 1 < (k - 1 - from) * dil) from++;
                for (int o = 0; o < s.c; o += LANES)
                    conv_rows(a + base + (size_t)t * d + o, b + base + (size_t)t * d + o, xs + (size_t)t * s.w, wta + o,
                              wtb + o, from, rows, s.c - o < LANES ? s.c - o : LANES, &s);
            }
        }
    }
}

/* dx of CONV_T rows: the same sum run forwards in time, over both filters; das, dbs: the sequence, then back rows of zeros */
static inline void conv_back_rows(float *dx, const float *das, const float *dbs, const float *wta, const float *wtb,
                                  int from, int rows, int lanes, int plus, const Shape *s)
{
    Vec sa[CONV_T], sb[CONV_T];
    for (int r = 0; r < CONV_T; r++) sa[r] = sb[r] = zero();
    for (int j = from; j < s->k; j++) {
        const size_t ahead = (size_t)(s->k - 1 - j) * s->dil * s->w;
        const float *p = das + ahead, *q = dbs + ahead;
        const float *pa = wta + (size_t)j * s->w * s->w, *pb = wtb + (size_t)j * s->w * s->w;
        for (int o = 0; o < s->c; o++, pa += s->w, pb += s->w) {
            const Vec va = load(pa), vb = load(pb);
#pragma GCC unroll 16
            for (int r = 0; r < CONV_T; r++) {
                sa[r] += va * splat(p[(size_t)r * s->w + o]);
                sb[r] += vb * splat(q[(size_t)r * s->w + o]);
            }
        }
    }
    for (int r = 0; r < rows; r++) put(dx + (size_t)r * s->d, sa[r] + sb[r], lanes, plus);
}

/* dw[o][i][j] += sum_t da[t][o] x[t - lag][i], one vector of o, CONV_I inputs at a time, lag = (k-1-j) dil */
static void conv_back_weights(float *dw, const float *das, const float *xs, int j, int first, int o, int i0, const Shape *s)
{
    Vec acc[CONV_I];
    const int inputs = s->c - i0 < CONV_I ? s->c - i0 : CONV_I, lanes = s->c - o < LANES ? s->c - o : LANES;
    const int lag = (s->k - 1 - j) * s->dil;
    const float *x = xs + (size_t)s->back * s->w + i0, *da = das + (size_t)lag * s->w + o;
    for (int i = 0; i < CONV_I; i++) acc[i] = zero();
    for (int t = lag; t < s->T; t++, x += s->w, da += s->w) {
        const Vec v = load(da);
#pragma GCC unroll 16
        for (int i = 0; i < CONV_I; i++) acc[i] += v * splat(x[i]);
    }
    for (int i = 0; i < inputs; i++)
        for (int l = 0; l < lanes; l++) dw[((size_t)(first + o + l) * s->c + i0 + i) * s->k + j] += acc[i][l];
}

static void conv2_back(float *dx, float *dwa, float *dwb, const float *da, const float *db, const float *x,
                       const float *wa, const float *wb, float *room, int B, int T, int d, int groups, int k, int dil,
                       int g0, int g1, int plus)
{
    const Shape s = shape_of(T, d, groups, k, dil);
    const size_t filter = (size_t)k * s.w * s.w, rows_room = (size_t)(s.back + T + CONV_T) * s.w;
    float *wta = room, *wtb = wta + filter, *xs = wtb + filter, *das = xs + rows_room, *dbs = das + rows_room;
    memset(das + (size_t)T * s.w, 0, sizeof(float) * (size_t)(s.back + CONV_T) * s.w);
    memset(dbs + (size_t)T * s.w, 0, sizeof(float) * (size_t)(s.back + CONV_T) * s.w);
    for (int g = g0; g < g1; g++) {
        const int first = g * s.c;
        turn(wta, wa, &s, first, 1);
        turn(wtb, wb, &s, first, 1);
        for (int n = 0; n < B; n++) {
            const size_t base = (size_t)n * T * d + (size_t)first;
            gather(xs + (size_t)s.back * s.w, x + base, T, &s);
            gather(das, da + base, T, &s);
            gather(dbs, db + base, T, &s);
            for (int t = 0; t < T; t += CONV_T) {
                const int rows = T - t < CONV_T ? T - t : CONV_T;
                int from = 0;
                while (t + (k - 1 - from) * dil >= T) from++;
                for (int i = 0; i < s.c; i += LANES)
                    conv_back_rows(dx + base + (size_t)t * d + i, das + (size_t)t * s.w, dbs + (size_t)t * s.w, wta + i,
                                   wtb + i, from, rows, s.c - i < LANES ? s.c - i : LANES, plus, &s);
            }
            for (int j = 0; j < k; j++)
                for (int o = 0; o < s.c; o += LANES)
                    for (int i = 0; i < s.c; i += CONV_I) {
                        conv_back_weights(dwa, das, xs, j, first, o, i, &s);
                        conv_back_weights(dwb, dbs, xs, j, first, o, i, &s);
                    }
        }
    }
}

/* ---- chosen rows ----
 * ROW_R rows by ROW_P vectors (rows_dot), or by ROW_P pieces of a row (rows_add), or ROW_P vectors by as many pieces
 * (rows_mix), are what the registers hold. Rows lie anywhere in memory: those of the next tile are asked for while this
 * one works. */
enum { ROW_R = 4, ROW_P = CONV_T / 2, LINE = 16 };       /* LINE: floats of a line of the cache */

static inline float *row_at(RowSet s, int k)
{
    if (k >= s.rows) k = s.rows - 1;
    return s.w + (size_t)(s.list ? s.list[k] : k) * (size_t)s.d;
}

typedef float Quad __attribute__((vector_size(16), aligned(4)));

static inline Quad fold(Vec v)
{
    Quad q[LANES / 4], s;
    memcpy(q, &v, sizeof v);
    s = q[0];
#pragma GCC unroll 4
    for (int i = 1; i < LANES / 4; i++) s += q[i];
    return s;
}

/* (sum a, sum b, sum c, sum d) */
static inline Quad four_sums(Vec a, Vec b, Vec c, Vec d)
{
    const Quad p = fold(a), q = fold(b), r = fold(c), t = fold(d);
    const Quad pq = __builtin_shufflevector(p, q, 0, 4, 1, 5) + __builtin_shufflevector(p, q, 2, 6, 3, 7);
    const Quad rt = __builtin_shufflevector(r, t, 0, 4, 1, 5) + __builtin_shufflevector(r, t, 2, 6, 3, 7);
    return __builtin_shufflevector(pq, rt, 0, 1, 4, 5) + __builtin_shufflevector(pq, rt, 2, 3, 6, 7);
}

/* of the tile from column c on, where no whole vector is left; rows beyond the last are not kept */
static __attribute__((noinline)) void dot_rest(const RowJob *j, RowSet s, Quad sums, int c, int k)
{
    for (int r = 0; r < ROW_R && k + r < s.rows; r++) {
        j->z[k + r] = sums[r];
        for (int l = c; l < s.d; l++) j->z[k + r] += row_at(s, k + r)[l] * j->x[l];
    }
}

/* rows k.. and vectors 0..p-1 of j; rows beyond the last repeat it */
static inline __attribute__((always_inline)) void dot_tile(const RowJob *j, int p, RowSet s, int k)
{
    const float *row[ROW_R], *next[ROW_R];
    Vec acc[ROW_P][ROW_R];
    int c = 0;
#pragma GCC unroll 4
    for (int r = 0; r < ROW_R; r++) {
        row[r] = row_at(s, k + r);
        next[r] = row_at(s, k + ROW_R + r);
#pragma GCC unroll 4
        for (int i = 0; i < p; i++) acc[i][r] = zero();
    }
    for (; c + LANES <= s.d; c += LANES) {
        Vec v[ROW_R];
#pragma GCC unroll 4
        for (int r = 0; r < ROW_R; r++) {
            v[r] = load(row[r] + c);
            if (c % LINE == 0) __builtin_prefetch(next[r] + c);
        }
#pragma GCC unroll 4
        for (int i = 0; i < p; i++) {
            const Vec x = load(j[i].x + c);
#pragma GCC unroll 4
            for (int r = 0; r < ROW_R; r++) acc[i][r] += v[r] * x;
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < p; i++) {
        const Quad sums = four_sums(acc[i][0], acc[i][1], acc[i][2], acc[i][3]);
        if (c == s.d && k + ROW_R <= s.rows) *(Quad *)(j[i].z + k) = sums;
        else dot_rest(j + i, s, sums, c, k);
    }
}

static void rows_dot(const RowJob *j, int n, RowSet s)
{
    for (int k = 0; k < s.rows; k += ROW_R) {
        int i = 0;
        for (; i + ROW_P <= n; i += ROW_P) dot_tile(j + i, ROW_P, s, k);
        switch (n - i) {      /* < ROW_P */
        case 3: dot_tile(j + i, 3 < ROW_P ? 3 : 1, s, k); break;
        case 2: dot_tile(j + i, 2 < ROW_P ? 2 : 1, s, k); break;
        case 1: dot_tile(j + i, 1, s, k); break;
        }
    }
}

/* pieces c.. (whole vectors) of the rows, for vectors 0..p-1 of j */
static inline __attribute__((always_inline)) void mix_tile(const RowJob *j, int p, int pieces, RowSet s, int c)
{
    Vec acc[ROW_P][ROW_P];
#pragma GCC unroll 4
    for (int i = 0; i < p; i++)
#pragma GCC unroll 4
        for (int q = 0; q < pieces; q++) acc[i][q] = zero();
    for (int k = 0; k < s.rows; k++) {
        const float *row = row_at(s, k) + c;
        Vec v[ROW_P];
#pragma GCC unroll 4
        for (int q = 0; q < pieces; q++) v[q] = load(row + q * LANES);
#pragma GCC unroll 4
        for (int i = 0; i < p; i++) {
            const Vec z = splat(j[i].z[k]);
#pragma GCC unroll 4
            for (int q = 0; q < pieces; q++) acc[i][q] += z * v[q];
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < p; i++)
#pragma GCC unroll 4
        for (int q = 0; q < pieces; q++) {
            float *y = j[i].y + c + q * LANES;
            *(Vec *)y = load(y) + acc[i][q];
        }
}

static inline __attribute__((always_inline)) void mix(const RowJob *j, int p, RowSet s)
{
    int c = 0;
    for (; c + ROW_P * LANES <= s.d; c += ROW_P * LANES) mix_tile(j, p, ROW_P, s, c);
    for (; c + LANES <= s.d; c += LANES) mix_tile(j, p, 1, s, c);
    for (; c < s.d; c++)
        for (int i = 0; i < p; i++)
            for (int k = 0; k < s.rows; k++) j[i].y[c] += j[i].z[k] * row_at(s, k)[c];
}

static void rows_mix(const RowJob *j, int n, RowSet s)
{
    for (; n >= ROW_P; n -= ROW_P, j += ROW_P) mix(j, ROW_P, s);
    switch (n) {      /* < ROW_P */
    case 3: mix(j, 3 < ROW_P ? 3 : 1, s); break;
    case 2: mix(j, 2 < ROW_P ? 2 : 1, s); break;
    case 1: mix(j, 1, s); break;
    }
}

/* pieces c.. (whole vectors) of rows k.., of all vectors; rows beyond the last repeat it, to the same end */
static inline __attribute__((always_inline)) void add_tile(const RowJob *j, int n, int pieces, RowSet s, int k, int c)
{
    float *row[ROW_R];
    int of[ROW_R];
    Vec acc[ROW_R][ROW_P];
#pragma GCC unroll 4
    for (int r = 0; r < ROW_R; r++) {
        const float *next = row_at(s, k + ROW_R + r) + c;
        row[r] = row_at(s, k + r) + c;
        of[r] = k + r < s.rows ? k + r : s.rows - 1;
#pragma GCC unroll 4
        for (int q = 0; q < pieces; q++) {
            acc[r][q] = load(row[r] + q * LANES);
            if (q * LANES % LINE == 0) __builtin_prefetch(next + q * LANES, 1);
        }
    }
    for (int i = 0; i < n; i++) {
        Vec x[ROW_P];
#pragma GCC unroll 4
        for (int q = 0; q < pieces; q++) x[q] = load(j[i].x + c + q * LANES);
#pragma GCC unroll 4
        for (int r = 0; r < ROW_R; r++) {
            const Vec z = splat(j[i].z[of[r]]);
#pragma GCC unroll 4
            for (int q = 0; q < pieces; q++) acc[r][q] += z * x[q];
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < ROW_R; r++)
#pragma GCC unroll 4
        for (int q = 0; q < pieces; q++) *(Vec *)(row[r] + q * LANES) = acc[r][q];
}

static void rows_add(const RowJob *j, int n, RowSet s)
{
    for (int k = 0; k < s.rows; k += ROW_R) {
        int c = 0;
        for (; c + ROW_P * LANES <= s.d; c += ROW_P * LANES) add_tile(j, n, ROW_P, s, k, c);
        for (; c + LANES <= s.d; c += LANES) add_tile(j, n, 1, s, k, c);
        for (; c < s.d; c++)
            for (int r = k; r < s.rows && r < k + ROW_R; r++)
                for (int i = 0; i < n; i++) row_at(s, r)[c] += j[i].z[r] * j[i].x[c];
    }
}

const F32 F32_TABLE = {
    F32_ISA, F32_CPU, .dot = dot, .sumsq = sumsq, .sumabs = sumabs, .sum = sum, .max = max, .max_sum = max_sum, .sumexp = sumexp,
    .exp = exp_shift, .affine = affine, .axpy = axpy, .scale = scale, .add = add, .mul = mul, .mul_back = mul_back, .sigmoid = sigmoid,
    .sigmoid_back = sigmoid_back, .silu = silu, .silu_back = silu_back, .relu2_mul = relu2_mul,
    .relu2_mul_back = relu2_mul_back, .gate = gate, .gate_back = gate_back, .rmsnorm = rmsnorm,
    .rmsnorm_back = rmsnorm_back, .quant_rows = quant_rows, .rmsnorm_quant = rmsnorm_quant, .round_row = round_row, .from_int = from_int,
    .ternary = ternary, .conv2 = conv2, .conv2_back = conv2_back, .adamw = adamw,
    .rows_dot = rows_dot, .rows_mix = rows_mix, .rows_add = rows_add,
};
