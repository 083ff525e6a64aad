/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The exponential, the inverse and the sigmoid of one float, for loops of f32.h; a part of
 * f32_body.h. */
/* exp by 2^n (1 + f + ...): n = round(x log2 e), |f| <= ln2/2, degree 6 (Cephes' coefficients);
 * relative error < 2e-7. Below -87.3 it stays at exp(-87.3) = 1.2e-38, above 87.3 at exp(87.3),
 * of which f32_inverse1 is normal. */
static inline float f32_exp1(float x)
{
    const float magic = 12582912.0f;      /* 1.5 * 2^23: adding it rounds to an integer */
    x = x < -87.3f ? -87.3f : x > 87.3f ? 87.3f : x;
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
    bits = (int32_t)(((uint32_t)bits << 23) + 0x3f800000u);        /* wraps where x is NaN */
    float two_n;
    memcpy(&two_n, &bits, 4);
    return p * two_n;
}

/* 1 / x for normal x > 0: negating the exponent gives a start within 12.5 %, then three steps of
 * Newton: within 2e-7. A division of a vector of 512 bits would keep its port for 16 cycles. */
static inline float f32_inverse1(float x)
{
    int32_t bits;
    float r;
    memcpy(&bits, &x, 4);
    bits = (int32_t)(0x7ef311c7u - (uint32_t)bits);
    memcpy(&r, &bits, 4);
    r = r * (2.0f - x * r);
    r = r * (2.0f - x * r);
    return r * (2.0f - x * r);
}

static inline float f32_sigmoid1(float x) { return f32_inverse1(1.0f + f32_exp1(-x)); }

/* Activations and their slopes (activations.def). 1 - sigmoid(z) is sigmoid(-z), which stays right
 * where it is small and multiplied by a power of x. */
static inline float f32_silu1(float x) { return x * f32_sigmoid1(x); }

static inline float f32_silu_slope1(float x)
{
    const float s = f32_sigmoid1(x);
    return s * (1.0f + x * f32_sigmoid1(-x));
}

/* 0.5 (1 + tanh(z / 2)) = sigmoid(z), z = 2 sqrt(2 / pi) (x + 0.044715 x^3) */
static inline float f32_gelu1(float x)
{
    return x * f32_sigmoid1(1.59576912f * x + 0.0713548163f * x * x * x);
}

static inline float f32_gelu_slope1(float x)
{
    const float z = 1.59576912f * x + 0.0713548163f * x * x * x;
    const float slope = 1.59576912f + 3.0f * 0.0713548163f * x * x;
    return f32_sigmoid1(z) * (1.0f + x * f32_sigmoid1(-z) * slope);
}
