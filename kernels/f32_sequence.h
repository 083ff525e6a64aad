/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Loops along a sequence, of f32.h: the linear recurrence, its gates, the depthwise convolution and
 * rotary positions; a part of f32_body.h. Rows of d floats, of which n channels are taken. */
static void f32_scan(float *h, const float *f, const float *i, const float *start, int T, int n,
                     int d)
{
    for (int t = 0; t < T; t++, h += d, f += d, i += d) {
        const float *last = t ? h - d : start;
        if (!last) memcpy(h, i, sizeof(float) * (size_t)n);
        else
#pragma omp simd
            for (int c = 0; c < n; c++) h[c] = f[c] * last[c] + i[c];
    }
}

static void f32_scan_back(float *df, float *di, float *dh, const float *f, const float *h, int T,
                          int n, int d)
{
    for (int t = T - 1; t > 0; t--) {
        const size_t now = (size_t)t * d, last = now - (size_t)d;
#pragma omp simd
        for (int c = 0; c < n; c++) {
            const float g = dh[now + c];
            di[now + c] += g;
            df[now + c] += g * h[last + c];
            dh[last + c] += g * f[now + c];
        }
    }
#pragma omp simd
    for (int c = 0; c < n; c++) di[c] += dh[c];
}

static void f32_sigmoid_above(float *y, const float *x, const float *low, int rows, int n, int d)
{
    for (int t = 0; t < rows; t++, y += d, x += d)
#pragma omp simd
        for (int c = 0; c < n; c++) y[c] = low[c] + (1.0f - low[c]) * f32_sigmoid1(x[c]);
}

static void f32_sigmoid_above_back(float *dx, float *dlow, const float *dy, const float *x,
                                   const float *low, int rows, int n, int d)
{
    for (int t = 0; t < rows; t++, dx += d, dy += d, x += d)
#pragma omp simd
        for (int c = 0; c < n; c++) {
            const float s = f32_sigmoid1(x[c]), rest = f32_sigmoid1(-x[c]);
            dx[c] += dy[c] * (1.0f - low[c]) * s * rest;
            dlow[c] += dy[c] * rest;
        }
}

static void f32_input_gate(float *y, const float *x, const float *f, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = f32_silu1(x[i]) * (1.0f - f[i]);
}

static void f32_input_gate_back(float *dx, float *df, const float *dy, const float *x,
                                const float *f, long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        dx[i] += dy[i] * (1.0f - f[i]) * f32_silu_slope1(x[i]);
        df[i] -= dy[i] * f32_silu1(x[i]);
    }
}

/* Tap j of w meets the row k - 1 - j before; rows before the first of `before` are zero. */
static void f32_taps(float *y, const float *x, const float *w, int T, int before, int n, int d,
                     int k)
{
    for (int t = 0; t < T; t++, y += d, x += d) {
        const int from = t + before < k - 1 ? k - 1 - t - before : 0;
        int c = 0;
        for (; c + LANES <= n; c += LANES) {
            Vec sum = zero();
            for (int j = from; j < k; j++)
                sum += load(w + (size_t)j * d + c) * load(x - (size_t)(k - 1 - j) * d + c);
            *(Vec *)(y + c) = sum;
        }
        for (; c < n; c++) {
            float sum = 0;
            for (int j = from; j < k; j++)
                sum += w[(size_t)j * d + c] * *(x - (size_t)(k - 1 - j) * d + c);
            y[c] = sum;
        }
    }
}

static void f32_taps_back(float *dx, float *dw, const float *dy, const float *x, const float *w,
                          int T, int n, int d, int k)
{
    for (int j = 0; j < k; j++) {
        const size_t lag = (size_t)(k - 1 - j), tap = (size_t)j * d;
        for (int t = (int)lag; t < T; t++) {
            const size_t now = (size_t)t * d, then = now - lag * d;
#pragma omp simd
            for (int c = 0; c < n; c++) {
                dx[then + c] += w[tap + c] * dy[now + c];
                dw[tap + c] += x[then + c] * dy[now + c];
            }
        }
    }
}

/* cs: half cosines, half sines. Of a head's 2 half floats the first are turned with the last. */
static void f32_rope(float *y, const float *x, const float *cs, int heads, int half, float way,
                     int plus)
{
    const float *sine = cs + half;
    for (int h = 0; h < heads; h++, y += 2 * half, x += 2 * half)
#pragma omp simd
        for (int i = 0; i < half; i++) {
            const float s = way * sine[i];
            const float u = x[i] * cs[i] - x[half + i] * s, v = x[half + i] * cs[i] + x[i] * s;
            y[i] = plus ? y[i] + u : u;
            y[half + i] = plus ? y[half + i] + v : v;
        }
}
