/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reductions of f32.h: sums, maxima, sums of exponentials; a part of f32_body.h. */
static float f32_dot(const float *a, const float *b, long n)
{
    float s = 0;
#pragma omp simd reduction(+:s)
    for (long i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

enum { BLOCK = 4096 };      /* values summed in float before they are added in double */

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

/* Maxima by integers, whose reduction every compiler vectorises: the bits of floats, all but the
 * sign inverted in negative ones, are ordered as the floats are. The map is its own inverse. */
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
