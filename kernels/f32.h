/* SPDX-License-Identifier: GPL-3.0-or-later */
/* f32.h -- the float operations that are not matrix products, forward and backward side by side.
 *
 * One plain C body (f32_body.h) is compiled once per instruction set and chosen at run time:
 * f32_best(). Every function works on the calling thread, on rows [0, n) of what it is given;
 * callers split rows. Sums run in a fixed order for a given table, so results repeat bit for bit on
 * one machine. Shapes: (n, d) row-major. `+=` marks what accumulates. No pointer may alias unless
 * said. */
#ifndef F32_H
#define F32_H
#include <stddef.h>
#include <stdint.h>

/* RowSet: chosen rows of a matrix (.., d): row k is w + list[k] d, or w + k d where list is NULL.
 * RowJob: one vector x that is multiplied with them */
typedef struct RowSet {
    float     *w;
    const int *list;
    int        rows, d;
} RowSet;
typedef struct RowJob {
    const float *x;                        /* (d) */
    float       *z, *y;                    /* (rows), (d); see rows_dot */
} RowJob;

#define A(name, f) ACTIVATION_##name,
typedef enum Activation {
#include "kernels/activations.def"
    ACTIVATIONS
} Activation;
#undef A

/* A gated linear unit, y = f(g) u, on vectors of n */
typedef struct GluLoops {
    void (*forward)(float *y, const float *g, const float *u, long n);
    /* dg, du of dy; plus ? += : =; without plus dg may be g, du may be u */
    void (*back)(float *dg, float *du, const float *dy, const float *g, const float *u, long n,
                 int plus);
} GluLoops;

/* w: c padded to whole vectors of any instruction set */
typedef struct ConvShape { int T, d, c, w, k, dil; } ConvShape;

/* One head's causal attention: n queries at the positions pos.. against the pos + n keys from 0 on.
 * d: floats of a head; ld_*: from one row to the next */
typedef struct AttendShape { int n, pos, d, ld_q, ld_k, ld_o; float scale; } AttendShape;

typedef struct F32 {
    const char *isa;                       /* "sse2" "avx2" "avx512" "neon" */
    unsigned    cpu;                       /* CPU_* bits */

    /* vectors of n; n = 0 is allowed; y may be x */
    float  (*dot)   (const float *a, const float *b, long n);
    /* sum x^2, blocks summed in double */
    double (*sumsq) (const float *x, long n);
    double (*sumabs)(const float *x, long n);
    float  (*sum)   (const float *x, long n);
    float  (*max)   (const float *x, long n);                           /* -inf for n = 0 */
    /* returns the largest; *sum: the sum of all */
    float  (*max_sum)(float *sum, const float *x, long n);
    float  (*sumexp)(const float *x, long n, float shift);              /* sum exp(x - shift) */
    /* y = exp(x - shift); returns the sum of y */
    float  (*exp)   (float *y, const float *x, long n, float shift);
    void   (*affine)(float *y, float a, float b, long n);               /* y = a y + b */
    void   (*axpy)  (float *y, float a, const float *x, long n);        /* y += a x */
    void   (*scale) (float *y, float a, long n);                        /* y *= a */
    void   (*add)   (float *y, const float *a, const float *b, long n);
    void   (*mul)   (float *y, const float *a, const float *b, long n);
    /* da, db += */
    void   (*mul_back)(float *da, float *db, const float *dy, const float *a, const float *b,
                       long n);
    void   (*sigmoid)(float *y, const float *x, long n);
    /* dx += */
    void   (*sigmoid_back)(float *dx, const float *dy, const float *y, long n);
    void   (*silu)  (float *y, const float *x, long n);
    /* dx += */
    void   (*silu_back)(float *dx, const float *dy, const float *x, long n);
    GluLoops glu[ACTIVATIONS];
    /* of y = s v, s = sigmoid(x); dx may be dy */
    void   (*gate_back)(float *dx, float *dv, const float *dy, const float *s, const float *v,
                        long n);

    /* y = x rsqrt(mean(x^2) + eps) gain per row; rstd (n) is kept for the gradient */
    void (*rmsnorm)(float *y, float *rstd, const float *x, const float *gain, int n, int d,
                    float eps);
    void (*rmsnorm_back)(float *dx, float *dgain, const float *dy, const float *x,
                         const float *gain, const float *rstd, int n, int d); /* both += */

    /* quantise rows to int8: s = 127 / max(absmax, 1e-5), q = round half even (x s) in [-128, 127];
     * inv[t] = 1/s (arXiv 2406.02528, eq. of BitLinear) for act_bits 8; 2^(b-1)-1 in place of 127
     * for b bits */
    void   (*quant_rows)(int8_t *q, float *inv, const float *x, int n, int d, int act_bits);
    /* rmsnorm and quant_rows of its y in one pass over memory; the same values as one after the
     * other */
    void (*rmsnorm_quant)(float *y, float *rstd, int8_t *q, float *inv, const float *x,
                          const float *gain, int n, int d, float eps, int act_bits);
    /* sums of an integer product to floats, in place when y is x: y = s x */
    void   (*from_int)(float *y, const int32_t *x, float s, long n);
    /* ternary codes and their floats, q = scale codes: sign(w) (|w| > cut), and, when nearest,
     * clamp(round(w / cut), -1, 1) */
    void (*ternary)(int8_t *codes, float *q, const float *w, long n, float cut, float scale,
                    int nearest);
    /* one row with stochastic rounding: q = floor(x / inv + u), u uniform in [0, 1) drawn from
     * seed, inv = max|x| / 127, 0 for a row of zeros: the expectation of q inv is x */
    void   (*round_row)(int8_t *q, float *inv, const float *x, int d, uint64_t seed);

    /* causal dilated convolution with two filters, gated, on normalised inputs: one group of one
     * sequence of T rows; rows before the first are zero.
     *   n[t][i]     = x[t][i] rstd[t] gain[i]
     *   value[t][o] = sum_i sum_j wb[j][i][o] n[t - (k-1-j) dil][i]
     *   gate[t][o]  = sigmoid of the same sum with wa in place of wb
     *   y[t][o]     = x[t][o] + gate[t][o] value[t][o]
     * x, y: c channels of rows of d; gate, value: (T, c), kept for the backward pass; gain (c);
     * wa, wb: (k, c, w), zeros beyond c; room: conv_room floats */
    void (*conv)(float *y, float *gate, float *value, const float *x, const float *rstd,
                 const float *gain, const float *wa, const float *wb, float *room,
                 const ConvShape *);
    /* dn = dLoss/dn, c channels of rows of d; dwa, dwb: (k, c, w) +=; here wa, wb: wa[j][o][i] */
    void (*conv_back)(float *dn, float *dwa, float *dwb, const float *dy, const float *gate,
                      const float *value, const float *x, const float *rstd, const float *gain,
                      const float *wa, const float *wb, float *room, const ConvShape *);

    /* ---- along a sequence: rows of d floats, of which n channels are taken ---- */
    /* h_t = f_t h_(t-1) + i_t over T rows; start (n): h before the first, NULL: zeros */
    void (*scan)(float *h, const float *f, const float *i, const float *start, int T, int n, int d);
    /* df, di +=; dh: dLoss/dh by other readers, which becomes all of it */
    void (*scan_back)(float *df, float *di, float *dh, const float *f, const float *h, int T, int n,
                      int d);
    /* y = low + (1 - low) sigmoid(x), low (n); dx, dlow += */
    void (*sigmoid_above)(float *y, const float *x, const float *low, int rows, int n, int d);
    void (*sigmoid_above_back)(float *dx, float *dlow, const float *dy, const float *x,
                               const float *low, int rows, int n, int d);
    /* y = silu(x) (1 - f) of n values; dx, df += */
    void (*input_gate)(float *y, const float *x, const float *f, long n);
    void (*input_gate_back)(float *dx, float *df, const float *dy, const float *x, const float *f,
                            long n);
    /* y_t = sum_j w_j x_(t - (k-1-j)) of each channel, w (k, d); `before` rows lie before x, those
     * further back are zero. dx, dw += (nothing lies before) */
    void (*taps)(float *y, const float *x, const float *w, int T, int before, int n, int d, int k);
    void (*taps_back)(float *dx, float *dw, const float *dy, const float *x, const float *w, int T,
                      int n, int d, int k);
    /* one row of heads of 2 half floats, (u, v) -> (u cos - way v sin, v cos + way u sin); cs: half
     * cosines, then half sines; way 1, or -1 to turn back; plus ? += : = */
    void (*rope)(float *y, const float *x, const float *cs, int heads, int half, float way,
                 int plus);
    /* o = softmax(scale q k') v, a query seeing keys up to its own position; lse (n): log of the
     * sum of exponentials, or NULL; room: attend_room floats */
    void (*attend)(float *o, float *lse, const float *q, const float *k, const float *v,
                   float *room, const AttendShape *);
    size_t (*attend_room)(const AttendShape *);

    /* one pass of the optimiser over n values (formula: optim.h); g becomes zero; ema may be NULL;
     * c1 = 1 - b1^t, c2 = 1 - b2^t */
    void (*adamw)(float *v, float *g, float *m, float *s, float *ema, long n, float clip, float lr,
                  float b1, float b2, float eps, float decay, float c1, float c2, float ema_keep);

    /* n vectors (RowJob, index i) against many rows w_k of a RowSet, which are neither copied nor
     * packed. Each row is read once; by rows_mix once per few vectors.
     *   rows_dot:  z_i[k] = w_k x_i
     *   rows_mix:  y_i += sum_k z_i[k] w_k
     *   rows_add:  w_k += sum_i z_i[k] x_i      no row twice in the list
     */
    void   (*rows_dot)(const RowJob *, int n, RowSet);
    void   (*rows_mix)(const RowJob *, int n, RowSet);
    void   (*rows_add)(const RowJob *, int n, RowSet);
} F32;

/* CONV_PAD: w is a multiple of it; CONV_ROWS: rows of zeros before and after a sequence */
enum { CONV_PAD = 16, CONV_ROWS = 8 };
ConvShape conv_shape(int T, int d, int groups, int k, int dil);
size_t conv_rows_room(const ConvShape *);  /* floats of a group's rows with their rows of zeros */
size_t conv_room(const ConvShape *);       /* floats of `room` of conv and conv_back */

extern const F32 *const f32_tables[];      /* NULL-ended, best last */
const F32 *f32_best(void);                 /* the best this CPU (and EIGHTYSIX_CPU) allows */
#endif
