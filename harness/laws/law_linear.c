/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Quantised products are not differentiable: they are compared with their definition, written out
 * in double; where rounding is random (bwd=int8) the mean of many draws is, in units of its
 * standard error. */
#include "harness/laws/laws.h"
#include <math.h>
#include <string.h>

enum { B = 2, T = 37, D = 24, INNER = 19, PASS = 64 << 20 };

/* |a - b| <= 1e-5 max|b| */
static int linear_close_to(const float *x, const double *ref, long n)
{
    double top = 0, worst = 0;
    for (long i = 0; i < n; i++) {
        top = fabs(ref[i]) > top ? fabs(ref[i]) : top;
        const double e = fabs((double)x[i] - ref[i]);
        worst = e > worst || isnan(e) ? e : worst;
    }
    return worst <= 1e-5 * top;
}

/* C = A B */
static void linear_product(double *C, const double *A, const double *Bm, int m, int n, int k)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double s = 0;
            for (int p = 0; p < k; p++) s += A[(size_t)i * k + p] * Bm[(size_t)p * n + j];
            C[(size_t)i * n + j] = s;
        }
}

static double *linear_transposed(Arena *a, const double *x, int rows, int cols)
{
    double *y = arena_get(a, sizeof(double) * (size_t)rows * (size_t)cols);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) y[(size_t)j * rows + i] = x[(size_t)i * cols + j];
    return y;
}

static double *linear_quantised_weight(Arena *a, const Param *w, int v3)
{
    double *q = arena_get(a, sizeof(double) * (size_t)w->n), mean = 0;
    for (long i = 0; i < w->n; i++) mean += fabs((double)w->v[i]) / (double)w->n;
    for (long i = 0; i < w->n; i++) {
        const double x = (double)w->v[i], c = rint(x / mean);
        q[i] = v3 ? (x > mean) - (x < -mean) : mean * (c < -1 ? -1 : c > 1 ? 1 : c);
    }
    return q;
}

static double *linear_quantised_rows(Arena *a, const float *x, int n, int d, int int8)
{
    double *q = arena_get(a, sizeof(double) * (size_t)n * (size_t)d);
    for (int t = 0; t < n; t++) {
        double m = 1e-5;
        for (int i = 0; i < d; i++)
            m = fabs((double)x[(size_t)t * d + i]) > m ? fabs((double)x[(size_t)t * d + i]) : m;
        for (int i = 0; i < d; i++) {
            const double v = (double)x[(size_t)t * d + i];
            q[(size_t)t * d + i] = int8 ? rint(v * 127 / m) * m / 127 : v;
        }
    }
    return q;
}

typedef struct { Tape *t; Var x, y; Grad dx; Param *w; float *dy; } Layer;    /* y = x w' */

static Layer *linear_layer_make(const Exec *e, const char *quant, const char *act, uint64_t seed,
                                Arena *a)
{
    Rng r = rng_at(seed, STREAM_CHECK, 77);
    Spec *s = spec_new(a);
    const size_t bytes = sizeof(float) * B * T * D;
    if (spec_set(s, arena_text(a, "quant=%s", quant)) || spec_set(s, arena_text(a, "act=%s", act)))
        CHECK(0);
    Layer *l = arena_get(a, sizeof *l);
    l->t = tape_new(e, s, a, PASS);
    l->w = params_add(params_new(a), "w", (int[]){ INNER, D, 0 }, GROUP_NORMUON, OWNER_CORE);
    param_normal(l->w, seed, 1, 0.1);
    l->dx = (Grad){ .p = arena_get(a, bytes), .bytes = bytes, .kept = 1 };
    l->x = (Var){ law_normals(a, (long)B * T * D, &r), &l->dx, B * T, D, NULL };
    l->dy = law_normals(a, (long)B * T * INNER, &r);
    tape_reset(l->t, 1);
    l->y = op_linear(l->t, l->x, l->w, 1);
    memcpy(tape_grad(l->t, l->y), l->dy, sizeof(float) * B * T * INNER);
    return l;
}

static double *linear_doubles(const float *x, long n, Arena *a)
{
    double *y = arena_raw(a, sizeof *y * (size_t)n);
    for (long i = 0; i < n; i++) y[i] = (double)x[i];
    return y;
}

static const char *linear_ternary(const Exec *e, const char *quant, const char *act, uint64_t seed,
                                  Arena *a)
{
    enum { N = B * T, ROWS = INNER, COLS = D };
    Layer *l = linear_layer_make(e, quant, act, seed, a);
    const double *q = linear_quantised_weight(a, l->w, !strcmp(quant, "v3"));
    const double *xq = linear_quantised_rows(a, l->x.v, N, COLS, !strcmp(act, "int8"));
    const double *dy = linear_doubles(l->dy, (long)N * ROWS, a);
    double *y = arena_get(a, sizeof *y * N * ROWS), *dx = arena_get(a, sizeof *dx * N * COLS);
    double *dw = arena_get(a, sizeof *dw * ROWS * COLS);
    linear_product(y, xq, linear_transposed(a, q, ROWS, COLS), N, ROWS, COLS);
    linear_product(dx, dy, q, N, COLS, ROWS);
    linear_product(dw, linear_transposed(a, dy, N, ROWS), xq, ROWS, COLS, N);
    const char *wrong = linear_close_to(l->y.v, y, (long)N * ROWS) ? NULL : "value";
    tape_backward(l->t);
    if (!wrong && !linear_close_to(l->dx.p, dx, (long)N * COLS)) wrong = "gradient to x";
    if (!wrong && !linear_close_to(l->w->g, dw, l->w->n)) wrong = "gradient to W";
    tape_drop(l->t);
    if (!wrong) return NULL;
    return arena_text(a, "op linear quant=%s act=%s kernel=%s: its %s differs from the definition "
                         "(seed %llu)",
                      quant, act, e->kernel->name, wrong, (unsigned long long)seed);
}

/* ---- bwd=int8: many draws of dX ---- */
enum { DRAWS = 300 };
typedef struct { Spec *s; Param *w; Var x; const float *dy; float *draw; int n, rows, cols; } Back;

static Back back_make(const char *quant, uint64_t seed, Arena *a)
{
    Rng r = rng_at(seed, STREAM_CHECK, 78);
    Back b = { spec_new(a), NULL, { 0 }, NULL, NULL, B * T, INNER, D };
    const char *words[] = { arena_text(a, "quant=%s", quant), "act=int8", "bwd=int8",
                            arena_text(a, "seed=%d", (int)(seed & 0xffff)), NULL };
    for (int i = 0; words[i]; i++) if (spec_set(b.s, words[i])) CHECK(0);
    b.w = params_add(params_new(a), "w", (int[]){ b.rows, b.cols, 0 }, GROUP_NORMUON, OWNER_CORE);
    param_normal(b.w, seed, 1, 0.1);
    b.x = (Var){ law_normals(a, (long)b.n * b.cols, &r), NULL, b.n, b.cols, NULL };
    float *dy = law_normals(a, (long)b.n * b.rows, &r);
    for (int i = 0; i < b.n; i++)                      /* gradients are small, and not all alike */
        for (int j = 0; j < b.rows; j++)
            dy[(size_t)i * b.rows + j] *= i == 3 ? 0 : 1e-6f * (float)(1 + i);
    /* two that are the same */
    memcpy(dy + 5 * b.rows, dy + 4 * b.rows, sizeof(float) * (size_t)b.rows);
    b.dy = dy;
    b.draw = arena_get(a, sizeof(float) * (size_t)DRAWS * (size_t)b.n * (size_t)b.cols);
    return b;
}

/* `draws` draws of dX, (n, cols) each, from a new cache; every second one onto what is there
 * already */
static void back_draws(const Back *b, const Exec *e, int draws, float *out, Arena *a)
{
    Tape *t = tape_new(e, b->s, a, PASS);
    const size_t all = (size_t)b->n * (size_t)b->cols;
    const float there = 1e-4f;
    b->w->cache = NULL;
    for (int k = 0; k < draws; k++) {
        Grad g = { .p = k % 2 ? out + (size_t)k * all : NULL, .bytes = sizeof(float) * all };
        Var x = { b->x.v, &g, b->n, b->cols, NULL };
        for (size_t i = 0; i < all && g.p; i++) g.p[i] = there;
        tape_reset(t, 1);
        Var y = op_linear(t, x, b->w, 1);
        memcpy(tape_grad(t, y), b->dy, sizeof(float) * (size_t)b->n * (size_t)b->rows);
        tape_backward(t);
        for (size_t i = 0; i < all; i++) out[(size_t)k * all + i] = g.p[i] - (k % 2 ? there : 0);
    }
    tape_drop(t);
}

/* The exact dX, and the variance of a draw: a value f above an integer is rounded with variance f
 * (1 - f); float ends at 2^-17 of a level */
static void back_exact(const Back *b, const double *q, double *dx, double *var)
{
    memset(dx, 0, sizeof(double) * (size_t)(b->n * b->cols));
    memset(var, 0, sizeof(double) * (size_t)(b->n * b->cols));
    for (int i = 0; i < b->n; i++) {
        const float *dy = b->dy + (size_t)i * b->rows;
        double top = 0;
        for (int r = 0; r < b->rows; r++) top = fmax(top, fabs((double)dy[r]));
        for (int r = 0; r < b->rows && top > 0; r++) {
            const double inv = top / 127, v = (double)dy[r] / inv, f = v - floor(v);
            for (int c = 0; c < b->cols; c++) {
                const double w = q[(size_t)r * b->cols + c];
                dx[(size_t)i * b->cols + c] += (double)dy[r] * w;
                var[(size_t)i * b->cols + c] += inv * inv * w * w * (f * (1 - f) + 1e-5);
            }
        }
    }
}

static double cosine(const float *x, const double *ref, long n)
{
    double xr = 0, xx = 0, rr = 0;
    for (long i = 0; i < n; i++) {
        xr += (double)x[i] * ref[i];
        xx += (double)x[i] * (double)x[i];
        rr += ref[i] * ref[i];
    }
    return xr / sqrt(xx * rr);
}

/* Over the draws: |mean - exact| in standard errors, the largest and the mean square; the worst
 * cosine of one draw */
static const char *back_statistics(const Back *b, const double *dx, const double *var, Arena *a)
{
    const long all = (long)b->n * b->cols;
    double worst = 0, square = 0, least = 1;
    long counted = 0;
    for (int k = 0; k < DRAWS; k++)
        least = fmin(least, cosine(b->draw + (size_t)k * (size_t)all, dx, all));
    for (long i = 0; i < all; i++) {
        double mean = 0;
        for (int k = 0; k < DRAWS; k++)
            mean += (double)b->draw[(size_t)k * (size_t)all + (size_t)i] / DRAWS;
        if (var[i] <= 0) {
            if (fabs(mean) > 0) return "the gradient of zeros is not zero";
            continue;
        }
        const double z = fabs(mean - dx[i]) / sqrt(var[i] / DRAWS);
        worst = fmax(worst, z);
        square += z * z;
        counted++;
    }
    square /= (double)counted;
    if (!(worst < 6))
        return arena_text(a, "the mean of %d draws is %.1f standard errors from the exact gradient",
                          DRAWS, worst);
    if (!(square > 0.7 && square < 1.4))
        return arena_text(a, "the mean of %d draws scatters by %.2f of the variance expected",
                          DRAWS, square);
    return least > 0.999 ? NULL
                         : arena_text(a, "a draw has cosine %.5f with the exact gradient", least);
}

/* E dX exact, each draw close to it and unlike the others; the same again, on any number of threads
 */
static const char *linear_random_back(const Exec *e, const char *quant, uint64_t seed, Arena *a)
{
    Back b = back_make(quant, seed, a);
    const size_t all = (size_t)b.n * (size_t)b.cols, bytes = sizeof(float) * all;
    double *dx = arena_get(a, sizeof(double) * all), *var = arena_get(a, sizeof(double) * all);
    float *again = arena_get(a, 2 * bytes);
    Exec other = *e;
    other.threads = 3;
    back_exact(&b, linear_quantised_weight(a, b.w, !strcmp(quant, "v3")), dx, var);
    back_draws(&b, e, DRAWS, b.draw, a);
    const char *why = back_statistics(&b, dx, var, a);
    back_draws(&b, &other, 2, again, a);
    if (!why && memcmp(again, b.draw, 2 * bytes))
        why = "the same seed on three threads draws something else";
    if (!why && !memcmp(b.draw, b.draw + 2 * all, bytes))
        why = "two gradients of one step draw the same";
    if (!why && !memcmp(b.draw + 4 * b.cols, b.draw + 5 * b.cols, sizeof(float) * (size_t)b.cols))
        why = "two rows draw the same";
    b.w->steps++;
    back_draws(&b, e, 1, again, a);
    if (!why && !memcmp(again, b.draw, bytes)) why = "two steps draw the same";
    return why ? arena_text(a, "op linear quant=%s bwd=int8 kernel=%s: %s (seed %llu)", quant,
                            e->kernel->name, why, (unsigned long long)seed)
               : NULL;
}

/* RMSNorm and quantisation in one pass give what they give one after the other, to the bit; every
 * code within half a step of its value; the row of zeros too. */
enum { FUSED_ROWS = 5, FUSED_MOST = 683 };

static const char *linear_fused_rows(const F32 *f, int d, int bits, const float *x,
                                     const float *gain, Arena *a)
{
    enum { ROWS = FUSED_ROWS, MOST = FUSED_MOST };
    const size_t all = (size_t)ROWS * (size_t)d;
    float y[2][ROWS * MOST], rstd[2][ROWS], inv[2][ROWS];
    int8_t q[2][ROWS * MOST];
    f->rmsnorm(y[0], rstd[0], x, gain, ROWS, d, 1e-6f);
    f->quant_rows(q[0], inv[0], y[0], ROWS, d, bits);
    f->rmsnorm_quant(y[1], rstd[1], q[1], inv[1], x, gain, ROWS, d, 1e-6f, bits);
    if (memcmp(y[0], y[1], sizeof(float) * all) || memcmp(rstd[0], rstd[1], sizeof rstd[0]) ||
        memcmp(q[0], q[1], all) || memcmp(inv[0], inv[1], sizeof inv[0]))
        return arena_text(a,
                          "rmsnorm_quant (%s, d %d, %d bits) differs from rmsnorm and quant_rows",
                          f->isa, d, bits);
    for (size_t k = 0; k < all && bits > 1; k++) {
        const float step = inv[0][k / (size_t)d];
        if (fabsf(y[0][k] - step * q[0][k]) > 0.50001f * step)
            return arena_text(a, "quant_rows (%s, d %d, %d bits): %g became %d steps of %g", f->isa,
                              d, bits, (double)y[0][k], q[0][k], (double)step);
    }
    return NULL;
}

/* max finds what a loop finds */
static const char *linear_largest(const F32 *f, int d, const float *x, Arena *a)
{
    float y[FUSED_MOST], top = -INFINITY;
    for (int k = 0; k < d; k++) {
        y[k] = x[k] - 9;
        top = fmaxf(top, y[k]);
    }
    if (f->max(y, d) == top) return NULL;
    return arena_text(a, "max (%s, n %d) is %g, expected %g", f->isa, d, (double)f->max(y, d),
                      (double)top);
}

static const char *linear_rows(const F32 *f, uint64_t seed, Arena *a)
{
    static const int widths[] = { 1, 3, 31, 64, 256, FUSED_MOST };
    const char *why = NULL;
    Rng r = rng_at(seed, STREAM_CHECK, 79);
    for (size_t i = 0; i < sizeof widths / sizeof *widths && !why; i++) {
        const int d = widths[i], bits = 1 + (int)rng_below(&r, 8);
        float *x = law_normals(a, (long)FUSED_ROWS * d, &r), *gain = law_normals(a, d, &r);
        memset(x + d, 0, sizeof *x * (size_t)d);
        why = linear_fused_rows(f, d, bits, x, gain, a);
        if (!why) why = linear_largest(f, d, x, a);
    }
    return why;
}

/* The scale of absmean has a least value, beside which a weight of next to nothing rounds to zero
 * and one of zeros does not divide by zero */
static const char *linear_small_weight(const Exec *e, uint64_t seed, Arena *a)
{
    static const float sizes[] = { 0, 1e-7f };
    for (int i = 0; i < 2; i++) {
        Layer *l = linear_layer_make(e, "absmean", "f32", seed, a);
        for (long k = 0; k < l->w->n; k++) l->w->v[k] = sizes[i];
        l->w->version++;
        Var y = op_linear(l->t, l->x, l->w, 1);
        for (long k = 0; k < (long)B * T * INNER; k++)
            if (y.v[k] != 0)
                return arena_text(a, "weights of %g, absmean: value %g, expected 0",
                                  (double)sizes[i], (double)y.v[k]);
        tape_drop(l->t);
    }
    return NULL;
}

/* ---- bitlinear=naive: values and gradients of the fused layer, but where a rounding flips ---- */
enum { BIT_Y = B * T * INNER, BIT_DX = B * T * D, BIT_DW = INNER * D, BIT_PARTS = 4 };
typedef struct { const float *value[BIT_PARTS]; } Bit;           /* y, dx, dgain, dw */
static const long bit_sizes[BIT_PARTS] = { BIT_Y, BIT_DX, D, BIT_DW };

static Bit linear_bit(const Exec *e, const char *way, uint64_t seed, Arena *a)
{
    Rng r = rng_at(seed, STREAM_CHECK, 80);
    Spec *s = spec_new(a);
    CHECK(!spec_set_words(s, arena_text(a, "model=mmfree act=int8 bitlinear=%s", way)));
    Tape *t = tape_new(e, s, a, PASS);
    Params *ps = params_new(a);
    Param *w = params_add(ps, "w", (int[]){ INNER, D, 0 }, GROUP_NORMUON, OWNER_CORE),
          *gain = params_add(ps, "gain", (int[]){ D, 0 }, GROUP_ADAMW_NODECAY, OWNER_CORE);
    param_normal(w, seed, 1, 0.1);
    param_normal(gain, seed, 2, 1);
    Grad dx = { .p = law_normals(a, BIT_DX, &r), .bytes = sizeof(float) * BIT_DX, .kept = 1 };
    const Var x = { law_normals(a, BIT_DX, &r), &dx, B * T, D,
                    arena_get(a, sizeof *x.quant) };
    tape_reset(t, 1);
    Var y = op_bit_linear(t, x, gain, w, 1e-6);
    memcpy(tape_grad(t, y), law_normals(a, BIT_Y, &r), sizeof(float) * BIT_Y);
    float *kept = arena_raw(a, sizeof(float) * BIT_Y);
    memcpy(kept, y.v, sizeof(float) * BIT_Y);
    tape_backward(t);
    tape_drop(t);
    return (Bit){ { kept, dx.p, gain->g, w->g } };
}

static const char *linear_naive(const Exec *e, uint64_t seed, Arena *a)
{
    static const char *const names[BIT_PARTS] = { "value", "dX", "dgain", "dW" };
    const Bit fused = linear_bit(e, "fused", seed, a), naive = linear_bit(e, "naive", seed, a);
    for (int p = 0; p < BIT_PARTS; p++) {
        const float *x = fused.value[p], *y = naive.value[p];
        double top = 0, length = 0, apart = 0;
        long off = 0;
        for (long i = 0; i < bit_sizes[p]; i++) top = fmax(top, fabs((double)x[i]));
        for (long i = 0; i < bit_sizes[p]; i++) {
            const double d = (double)y[i] - (double)x[i];
            off += !(fabs(d) <= 1e-5 * top);
            apart += d * d;
            length += (double)x[i] * (double)x[i];
        }
        /* a flip of an activation moves a row of values, and a column of dW, by a 127th */
        if (20 * off > bit_sizes[p] || !(apart <= 1e-4 * length))
            return arena_text(a, "bitlinear=naive: %s differs from fused by %.2g at %ld of %ld",
                              names[p], sqrt(apart / length), off, bit_sizes[p]);
    }
    return NULL;
}

const char *law_linear(const Exec *e, uint64_t seed, Arena *a)
{
    static const char *const quants[] = { "v3", "absmean" }, *const acts[] = { "f32", "int8" };
    const char *why = NULL;
    for (int q = 0; q < 4 && !why; q++)
        why = linear_ternary(e, quants[q / 2], acts[q % 2], seed, a);
    for (int q = 0; q < 2 && !why; q++) why = linear_random_back(e, quants[q], seed, a);
    if (!why) why = linear_small_weight(e, seed, a);
    if (!why) why = linear_naive(e, seed, a);
    return why ? why : linear_rows(e->f, seed, a);
}
