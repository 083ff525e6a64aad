/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The gated convolution of f32.h, a part of f32_body.h.
 *
 * One group of one sequence at a time: its c channels are copied out of the rows of d, so that what
 * is read again and again lies side by side in L1 (rows of d floats, a power of two apart, would
 * compete for a few cache sets):
 *
 *   xs    CONV_ROWS rows of zeros | T rows of c normalised inputs | CONV_ROWS rows of zeros
 *   das   T rows of c gradients, filter of the gate  | 2 CONV_ROWS rows of zeros
 *   dbs   T rows of c gradients, filter of the value | 2 CONV_ROWS rows of zeros
 *
 *   tap j of row t reads xs[t - (k-1-j) dil]
 *
 * A row's inputs are broadcast; CONV_T rows share each load of a weight. A tap that reaches before
 * the first of CONV_T rows reads at most CONV_ROWS - 1 rows of zeros; taps that would read nothing
 * but zeros are left out. */
/* Functions that take the sizes of a group as arguments and are inlined, so that they are compiled
 * separately for c = w = CONV_PAD (FlashLM v3's) */
#define INLINE static inline __attribute__((always_inline))

static inline void put(float *y, Vec v, int lanes)
{
    if (lanes == LANES) {
        *(Vec *)y = v;
        return;
    }
    for (int l = 0; l < lanes; l++) y[l] = v[l];
}

static inline int f32_lanes_at(int o, int c) { return c - o < LANES ? c - o : LANES; }

/* The T rows of a group, normalised, side by side, with CONV_ROWS rows of zeros before and after;
 * behind them CONV_PAD floats that vector loads may read */
static float *f32_gather_norm(float *to, const float *x, const float *rstd, const float *gain,
                              const ConvShape *s)
{
    const int c = s->c;
    float *const first = to + (size_t)CONV_ROWS * c;
    memset(to, 0, sizeof(float) * (size_t)CONV_ROWS * c);
    to = first;
    for (int t = 0; t < s->T; t++, to += c, x += s->d) {
        int o = 0;
        for (; o + LANES <= c; o += LANES)
            put(to + o, load(x + o) * splat(rstd[t]) * load(gain + o), LANES);
        for (; o < c; o++) to[o] = x[o] * rstd[t] * gain[o];
    }
    memset(to, 0, sizeof(float) * ((size_t)CONV_ROWS * c + CONV_PAD));
    return first;
}

/* T rows of c, side by side, from rows of d */
static void f32_gather(float *to, const float *from, const ConvShape *s)
{
    for (int t = 0; t < s->T; t++, to += s->c, from += s->d) {
        int o = 0;
        for (; o + LANES <= s->c; o += LANES) put(to + o, load(from + o), LANES);
        for (; o < s->c; o++) to[o] = from[o];
    }
}

/* CONV_T rows from x on, one vector of outputs of both filters; taps before `from` would read
 * nothing but zeros */
INLINE void f32_conv_rows(float *a, float *b, const float *x, const float *wa, const float *wb,
                          int from, int rows, const ConvShape *s, int c, int w, int lanes)
{
    Vec sa[CONV_T], sb[CONV_T];
    for (int r = 0; r < CONV_T; r++) sa[r] = sb[r] = zero();
    for (int j = from; j < s->k; j++) {
        const float *tap = x - (long)(s->k - 1 - j) * s->dil * c;
        const float *pa = wa + (size_t)j * c * w, *pb = wb + (size_t)j * c * w;
        for (int i = 0; i < c; i++, pa += w, pb += w) {
            const Vec va = load(pa), vb = load(pb);
#pragma GCC unroll 16
            for (int r = 0; r < CONV_T; r++) {
                const Vec v = splat(tap[(size_t)r * c + i]);
                sa[r] += va * v;
                sb[r] += vb * v;
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < CONV_T; r++) {
        if (r >= rows) continue;
        put(a + (size_t)r * c, sa[r], lanes);
        put(b + (size_t)r * c, sb[r], lanes);
    }
}

/* y = x + sigmoid(gate) value, a few rows at a time: stores to rows of d, which are slow, overlap
 * with the sums of the next rows */
static inline void f32_finish_rows(float *y, float *gate, const float *value, const float *x,
                                   int rows, const ConvShape *s)
{
    f32_sigmoid(gate, gate, (long)rows * s->c);
    for (int r = 0; r < rows; r++, x += s->d, y += s->d, gate += s->c, value += s->c) {
        int o = 0;
        for (; o + LANES <= s->c; o += LANES)
            put(y + o, load(x + o) + load(gate + o) * load(value + o), LANES);
        for (; o < s->c; o++) y[o] = x[o] + gate[o] * value[o];
    }
}

INLINE void f32_conv_all(float *y, float *gate, float *value, const float *x, const float *xs,
                         const float *wa, const float *wb, const ConvShape *s, int c, int w)
{
    for (int t = 0; t < s->T; t += CONV_T) {
        const int rows = s->T - t < CONV_T ? s->T - t : CONV_T;
        int from = 0;
        while (t + rows - 1 < (s->k - 1 - from) * s->dil) from++;
        for (int o = 0; o < c; o += LANES)
            f32_conv_rows(gate + (size_t)t * c + o, value + (size_t)t * c + o, xs + (size_t)t * c,
                          wa + o, wb + o, from, rows, s, c, w, f32_lanes_at(o, c));
        f32_finish_rows(y + (size_t)t * s->d, gate + (size_t)t * c, value + (size_t)t * c,
                        x + (size_t)t * s->d, rows, s);
    }
}

static void f32_conv(float *y, float *gate, float *value, const float *x, const float *rstd,
                     const float *gain, const float *wa, const float *wb, float *room,
                     const ConvShape *s)
{
    const float *xs = f32_gather_norm(room, x, rstd, gain, s);
    if (s->c == CONV_PAD) f32_conv_all(y, gate, value, x, xs, wa, wb, s, CONV_PAD, CONV_PAD);
    else f32_conv_all(y, gate, value, x, xs, wa, wb, s, s->c, s->w);
}

/* The gradient of CONV_T rows of inputs: the same sum with time reversed, over both filters */
INLINE void f32_conv_back_rows(float *dn, const float *das, const float *dbs, const float *wa,
                               const float *wb, int from, int rows, const ConvShape *s, int c,
                               int w, int lanes)
{
    Vec sa[CONV_T], sb[CONV_T];
    for (int r = 0; r < CONV_T; r++) sa[r] = sb[r] = zero();
    for (int j = from; j < s->k; j++) {
        const size_t ahead = (size_t)(s->k - 1 - j) * s->dil * c;
        const float *p = das + ahead, *q = dbs + ahead;
        const float *pa = wa + (size_t)j * c * w, *pb = wb + (size_t)j * c * w;
        for (int o = 0; o < c; o++, pa += w, pb += w) {
            const Vec va = load(pa), vb = load(pb);
#pragma GCC unroll 16
            for (int r = 0; r < CONV_T; r++) {
                sa[r] += va * splat(p[(size_t)r * c + o]);
                sb[r] += vb * splat(q[(size_t)r * c + o]);
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < CONV_T; r++)
        if (r < rows) put(dn + (size_t)r * s->d, sa[r] + sb[r], lanes);
}

/* dw[j][i][o] += sum_t da[t][o] x[t - lag][i] of both filters, one vector of o, CONV_T inputs at a
 * time, lag = (k-1-j) dil */
INLINE void f32_conv_back_weights(float *dwa, float *dwb, const float *das, const float *dbs,
                                  const float *xs, int lag, int inputs, const ConvShape *s, int c,
                                  int w)
{
    Vec sa[CONV_T], sb[CONV_T];
    for (int i = 0; i < CONV_T; i++) sa[i] = sb[i] = zero();
    const float *p = das + (size_t)lag * c, *q = dbs + (size_t)lag * c;
    for (int t = lag; t < s->T; t++, xs += c, p += c, q += c) {
        const Vec va = load(p), vb = load(q);
#pragma GCC unroll 16
        for (int i = 0; i < CONV_T; i++) {
            const Vec v = splat(xs[i]);
            sa[i] += va * v;
            sb[i] += vb * v;
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < CONV_T; i++) {
        if (i >= inputs) continue;
        put(dwa + (size_t)i * w, load(dwa + (size_t)i * w) + sa[i], LANES);
        put(dwb + (size_t)i * w, load(dwb + (size_t)i * w) + sb[i], LANES);
    }
}

INLINE void f32_conv_back_all(float *dn, float *dwa, float *dwb, const float *das, const float *dbs,
                              const float *xs, const float *wa, const float *wb, const ConvShape *s,
                              int c, int w)
{
    for (int t = 0; t < s->T; t += CONV_T) {
        const int rows = s->T - t < CONV_T ? s->T - t : CONV_T;
        int from = 0;
        while (t + (s->k - 1 - from) * s->dil >= s->T) from++;
        for (int i = 0; i < c; i += LANES)
            f32_conv_back_rows(dn + (size_t)t * s->d + i, das + (size_t)t * c, dbs + (size_t)t * c,
                               wa + i, wb + i, from, rows, s, c, w, f32_lanes_at(i, c));
    }
    for (int j = 0; j < s->k; j++) {
        const int lag = (s->k - 1 - j) * s->dil;
        for (int o = 0; o < c && lag < s->T; o += LANES)
            for (int i = 0; i < c; i += CONV_T) {
                const size_t at = ((size_t)j * c + (size_t)i) * w + (size_t)o;
                f32_conv_back_weights(dwa + at, dwb + at, das + o, dbs + o, xs + i, lag,
                                      c - i < CONV_T ? c - i : CONV_T, s, c, w);
            }
    }
}

static void f32_conv_back(float *dn, float *dwa, float *dwb, const float *dy, const float *gate,
                          const float *value, const float *x, const float *rstd, const float *gain,
                          const float *wa, const float *wb, float *room, const ConvShape *s)
{
    const int c = s->c;
    const size_t each = conv_rows_room(s), n = (size_t)s->T * c;
    const float *xs = f32_gather_norm(room, x, rstd, gain, s);
    float *das = room + each, *dbs = das + each;
    f32_gather(das, dy, s);
    f32_gate_back(das, dbs, das, gate, value, (long)n);
    memset(das + n, 0, sizeof(float) * (each - n));
    memset(dbs + n, 0, sizeof(float) * (each - n));
    if (c == CONV_PAD) f32_conv_back_all(dn, dwa, dwb, das, dbs, xs, wa, wb, s, CONV_PAD, CONV_PAD);
    else f32_conv_back_all(dn, dwa, dwb, das, dbs, xs, wa, wb, s, c, s->w);
}
