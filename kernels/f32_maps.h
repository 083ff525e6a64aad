/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Element-wise functions of f32.h and their gradients; a part of f32_body.h. */
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

static void f32_mul_back(float *da, float *db, const float *dy, const float *a, const float *b,
                         long n)
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

static void f32_relu2_mul_back(float *dg, float *du, const float *dy, const float *g,
                               const float *u, long n, int plus)
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

/* f32_NAME_mul and f32_NAME_mul_back, of f32_NAME1 and f32_NAME_slope1 */
#define F32_GLU(name)                                                                              \
    static void f32_##name##_mul(float *y, const float *g, const float *u, long n)                 \
    {                                                                                              \
        _Pragma("omp simd")                                                                        \
        for (long i = 0; i < n; i++) y[i] = f32_##name##1(g[i]) * u[i];                            \
    }                                                                                              \
                                                                                                   \
    static void f32_##name##_mul_back(float *dg, float *du, const float *dy, const float *g,       \
                                      const float *u, long n, int plus)                            \
    {                                                                                              \
        _Pragma("omp simd")                                                                        \
        for (long i = 0; i < n; i++) {                                                             \
            const float x = g[i];                                                                  \
            const float dx = dy[i] * f32_##name##_slope1(x) * u[i];                                \
            const float du1 = dy[i] * f32_##name##1(x);                                            \
            dg[i] = plus ? dg[i] + dx : dx;                                                        \
            du[i] = plus ? du[i] + du1 : du1;                                                      \
        }                                                                                          \
    }

F32_GLU(silu)
F32_GLU(gelu)
#undef F32_GLU

/* of y = s v, s a sigmoid */
static void f32_gate_back(float *dx, float *dv, const float *dy, const float *s, const float *v,
                          long n)
{
#pragma omp simd
    for (long i = 0; i < n; i++) {
        const float g = dy[i] * s[i];
        dx[i] = g * v[i] * (1.0f - s[i]);
        dv[i] = g;
    }
}
