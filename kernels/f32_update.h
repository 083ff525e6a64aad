/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Conversions to and from integers, random rounding and the optimiser, of f32.h; a part of
 * f32_body.h. */
static void f32_from_int(float *y, const int32_t *x, float s, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        int32_t v;
        memcpy(&v, x + i, sizeof v);       /* y may be x */
        y[i] = s * (float)v;
    }
}

static void f32_ternary(int8_t *restrict codes, float *restrict q, const float *restrict w, long n,
                        float cut, float scale, int nearest)
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
        /* 128 + u, u in steps of 2^-16 */
        const float up = f32_float_of((int32_t)(0x43000000 | b >> 16));
        /* positive before the cut to an integer, which is then the floor */
        q[l] = (int8_t)((int)(x[l] * s + up) - 128);
    }
}

/* s is a millionth less than 1 / inv, so that 127 + u stays below 128 */
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

/* In blocks, the next of which is prefetched: 7.3 ms instead of 8.5 for 12.9 M values, two threads
 * of a Xeon with AVX-512. */
static void f32_adamw(float *restrict v, float *restrict g, float *restrict m, float *restrict s,
                      float *restrict ema, long n, float clip, float lr, float b1, float b2,
                      float eps, float decay, float c1, float c2, float ema_keep)
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
