/* SPDX-License-Identifier: GPL-3.0-or-later */
/* f32.h -- the float operations that are not matrix products, forward and backward side by side.
 *
 * One plain C body (f32_body.h) is compiled once per instruction set and chosen at run time: f32_best().
 * Every function works on the calling thread, on rows [0, n) of what it is given; callers split rows.
 * Sums run in a fixed order for a given table, so results repeat bit for bit on one machine.
 * Shapes: (n, d) row-major. `+=` marks what accumulates. No pointer may alias unless said. */
#ifndef F32_H
#define F32_H
#include <stddef.h>
#include <stdint.h>

/* Chosen rows of a matrix (.., d): row k is w + list[k] d, or w + k d where list is NULL; and one vector that meets them */
typedef struct RowSet {
    float     *w;
    const int *list;
    int        rows, d;
} RowSet;
typedef struct RowJob {
    const float *x;                        /* (d) */
    float       *z, *y;                    /* (rows), (d) */
} RowJob;

typedef struct F32 {
    const char *isa;                       /* "sse2" "avx2" "avx512" "neon" */
    unsigned    cpu;                       /* CPU_* bits */

    /* vectors of n; n = 0 is allowed; y may be x */
    float  (*dot)   (const float *a, const float *b, long n);
    double (*sumsq) (const float *x, long n);                           /* sum x^2, blocks summed in double */
    double (*sumabs)(const float *x, long n);
    float  (*sum)   (const float *x, long n);
    float  (*max)   (const float *x, long n);                           /* -inf for n = 0 */
    float  (*max_sum)(float *sum, const float *x, long n);              /* the largest; and the sum of all */
    float  (*sumexp)(const float *x, long n, float shift);              /* sum exp(x - shift) */
    float  (*exp)   (float *y, const float *x, long n, float shift);    /* y = exp(x - shift); the sum of y */
    void   (*affine)(float *y, float a, float b, long n);               /* y = a y + b */
    void   (*axpy)  (float *y, float a, const float *x, long n);        /* y += a x */
    void   (*scale) (float *y, float a, long n);                        /* y *= a */
    void   (*add)   (float *y, const float *a, const float *b, long n);
    void   (*mul)   (float *y, const float *a, const float *b, long n);
    void   (*mul_back)(float *da, float *db, const float *dy, const float *a, const float *b, long n);   /* += */
    void   (*sigmoid)(float *y, const float *x, long n);
    void   (*sigmoid_back)(float *dx, const float *dy, const float *y, long n);                          /* += */
    void   (*silu)  (float *y, const float *x, long n);
    void   (*silu_back)(float *dx, const float *dy, const float *x, long n);                             /* += */
    /* y = relu(g)^2 u; FlashLM v3's GLU */
    void   (*relu2_mul)(float *y, const float *g, const float *u, long n);
    void   (*relu2_mul_back)(float *dg, float *du, const float *dy, const float *g, const float *u, long n, int plus);  /* plus ? += : = */
    /* y = r + sigmoid(g) v */
    void   (*gate)  (float *y, const float *r, const float *g, const float *v, long n);
    void   (*gate_back)(float *dg, float *dv, const float *dy, const float *g, const float *v, long n);  /* = */

    /* y = x rsqrt(mean(x^2) + eps) gain per row; rstd (n) is kept for the way back */
    void   (*rmsnorm)(float *y, float *rstd, const float *x, const float *gain, int n, int d, float eps);
    void   (*rmsnorm_back)(float *dx, float *dgain, const float *dy, const float *x, const float *gain,
                           const float *rstd, int n, int d);            /* both += */

    /* quantise rows to int8: s = 127 / max(absmax, 1e-5), q = round half even (x s) in [-128, 127];
     * inv[t] = 1/s (arXiv 2406.02528, eq. of BitLinear) for act_bits 8; 2^(b-1)-1 in place of 127 for b bits */
    void   (*quant_rows)(int8_t *q, float *inv, const float *x, int n, int d, int act_bits);
    /* rmsnorm and quant_rows of its y in one pass over memory; the same values as one after the other */
    void   (*rmsnorm_quant)(float *y, float *rstd, int8_t *q, float *inv, const float *x, const float *gain, int n, int d,
                            float eps, int act_bits);
    /* sums of an integer product to floats, in place when y is x: y = s x */
    void   (*from_int)(float *y, const int32_t *x, float s, long n);
    /* ternary codes and their floats, q = scale codes: sign(w) (|w| > cut), and, when nearest, clamp(round(w / cut), -1, 1) */
    void   (*ternary)(int8_t *codes, float *q, const float *w, long n, float cut, float scale, int nearest);
    /* one row rounded at random: q = floor(x / inv + u), u uniform in [0, 1) drawn from seed, inv = max|x| / 127, 0 for a
     * row of zeros: E q inv = x */
    void   (*round_row)(int8_t *q, float *inv, const float *x, int d, uint64_t seed);

    /* causal dilated grouped convolution, both filters of a gated mixer at once, groups [g0, g1) of B sequences of T rows:
     *   a[t][o] = sum_i sum_j wa[o][i][j] x[t - (k-1-j) dil][group(o) d/groups + i], the same for b with wb
     * x, a, b: (B*T, d); w: (d, d/groups, k), tap k-1 is the current row. Rows before the first are zero, or `past`
     * ((k-1)*dil rows of d, oldest first; B = 1). room is scratch of conv_scratch floats, one per thread. */
    void   (*conv2)(float *a, float *b, const float *x, const float *past, const float *wa, const float *wb,
                    float *room, int B, int T, int d, int groups, int k, int dil, int g0, int g1);
    void   (*conv2_back)(float *dx, float *dwa, float *dwb, const float *da, const float *db, const float *x,
                         const float *wa, const float *wb, float *room, int B, int T, int d, int groups, int k, int dil,
                         int g0, int g1, int plus);    /* dw +=; plus ? dx += : dx = */

    /* one pass of the optimiser over n values (see optim.h for the formula); g becomes zero; ema may be NULL;
     * c1 = 1 - b1^t, c2 = 1 - b2^t */
    void   (*adamw)(float *v, float *g, float *m, float *s, float *ema, long n, float clip, float lr,
                    float b1, float b2, float eps, float decay, float c1, float c2, float ema_keep);

    /* few vectors against many rows, which are neither copied nor packed: each is read once (rows_mix: for a few vectors)
     *   rows_dot:  z_i[k] = w_k x_i      rows_mix:  y_i += sum_k z_i[k] w_k      rows_add:  w_k += sum_i z_i[k] x_i
     * The rows of a rows_add all differ. */
    void   (*rows_dot)(const RowJob *, int n, RowSet);
    void   (*rows_mix)(const RowJob *, int n, RowSet);
    void   (*rows_add)(const RowJob *, int n, RowSet);
} F32;


enum { CONV_PAD = 16, CONV_ROWS = 8 };     /* floats a group's rows are padded to; rows of one block at most */
size_t conv_scratch(int T, int d, int groups, int k, int dil);

extern const F32 *const f32_tables[];      /* NULL-ended, best last */
const F32 *f32_best(void);                 /* the best this CPU (and EIGHTYSIX_CPU) allows */
#endif
