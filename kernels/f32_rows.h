/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Chosen rows of a matrix against few vectors, of f32.h; a part of f32_body.h.
 *
 * A tile is what the registers hold; rows of the next tile are prefetched during this one:
 *   rows_dot   ROW_R rows by ROW_P vectors
 *   rows_add   ROW_R rows by ROW_P pieces (a piece: one SIMD vector of a row)
 *   rows_mix   ROW_P vectors by ROW_P pieces */
enum { ROW_R = 4, ROW_P = CONV_T / 2, LINE = 16 };       /* LINE: floats of a cache line */

static inline float *f32_row_at(RowSet s, int k)
{
    if (k >= s.rows) k = s.rows - 1;
    return s.w + (size_t)(s.list ? s.list[k] : k) * (size_t)s.d;
}

typedef float Quad __attribute__((vector_size(16), aligned(4)));

static inline Quad f32_fold(Vec v)
{
    Quad q[LANES / 4], s;
    memcpy(q, &v, sizeof v);
    s = q[0];
#pragma GCC unroll 4
    for (int i = 1; i < LANES / 4; i++) s += q[i];
    return s;
}

/* (sum a, sum b, sum c, sum d) */
static inline Quad f32_four_sums(Vec a, Vec b, Vec c, Vec d)
{
    const Quad p = f32_fold(a), q = f32_fold(b), r = f32_fold(c), t = f32_fold(d);
    const Quad pq = __builtin_shufflevector(p, q, 0, 4, 1, 5) +
                    __builtin_shufflevector(p, q, 2, 6, 3, 7);
    const Quad rt = __builtin_shufflevector(r, t, 0, 4, 1, 5) +
                    __builtin_shufflevector(r, t, 2, 6, 3, 7);
    return __builtin_shufflevector(pq, rt, 0, 1, 4, 5) +
           __builtin_shufflevector(pq, rt, 2, 3, 6, 7);
}

/* z = sums + what columns from c on add, fewer than a SIMD vector; no row beyond the last */
static __attribute__((noinline)) void f32_dot_rest(const RowJob *j, RowSet s, Quad sums, int c,
                                                   int k)
{
    for (int r = 0; r < ROW_R && k + r < s.rows; r++) {
        j->z[k + r] = sums[r];
        for (int l = c; l < s.d; l++) j->z[k + r] += f32_row_at(s, k + r)[l] * j->x[l];
    }
}

/* rows from k on by vectors 0..p-1 of j; in place of rows beyond the last, the last again */
static inline __attribute__((always_inline)) void f32_dot_tile(const RowJob *j, int p, RowSet s,
                                                               int k)
{
    const float *row[ROW_R], *next[ROW_R];
    Vec acc[ROW_P][ROW_R];
    int c = 0;
#pragma GCC unroll 4
    for (int r = 0; r < ROW_R; r++) {
        row[r] = f32_row_at(s, k + r);
        next[r] = f32_row_at(s, k + ROW_R + r);
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
        const Quad sums = f32_four_sums(acc[i][0], acc[i][1], acc[i][2], acc[i][3]);
        if (c == s.d && k + ROW_R <= s.rows) *(Quad *)(j[i].z + k) = sums;
        else f32_dot_rest(j + i, s, sums, c, k);
    }
}

static void f32_rows_dot(const RowJob *j, int n, RowSet s)
{
    for (int k = 0; k < s.rows; k += ROW_R) {
        int i = 0;
        for (; i + ROW_P <= n; i += ROW_P) f32_dot_tile(j + i, ROW_P, s, k);
        switch (n - i) {      /* < ROW_P */
        case 3: f32_dot_tile(j + i, 3 < ROW_P ? 3 : 1, s, k); break;
        case 2: f32_dot_tile(j + i, 2 < ROW_P ? 2 : 1, s, k); break;
        case 1: f32_dot_tile(j + i, 1, s, k); break;
        }
    }
}

/* pieces of the rows from column c on, for vectors 0..p-1 of j */
static inline __attribute__((always_inline)) void f32_mix_tile(const RowJob *j, int p, int pieces,
                                                               RowSet s, int c)
{
    Vec acc[ROW_P][ROW_P];
#pragma GCC unroll 4
    for (int i = 0; i < p; i++)
#pragma GCC unroll 4
        for (int q = 0; q < pieces; q++) acc[i][q] = zero();
    for (int k = 0; k < s.rows; k++) {
        const float *row = f32_row_at(s, k) + c;
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

static inline __attribute__((always_inline)) void f32_mix(const RowJob *j, int p, RowSet s)
{
    int c = 0;
    for (; c + ROW_P * LANES <= s.d; c += ROW_P * LANES) f32_mix_tile(j, p, ROW_P, s, c);
    for (; c + LANES <= s.d; c += LANES) f32_mix_tile(j, p, 1, s, c);
    for (; c < s.d; c++)
        for (int i = 0; i < p; i++)
            for (int k = 0; k < s.rows; k++) j[i].y[c] += j[i].z[k] * f32_row_at(s, k)[c];
}

static void f32_rows_mix(const RowJob *j, int n, RowSet s)
{
    for (; n >= ROW_P; n -= ROW_P, j += ROW_P) f32_mix(j, ROW_P, s);
    switch (n) {      /* < ROW_P */
    case 3: f32_mix(j, 3 < ROW_P ? 3 : 1, s); break;
    case 2: f32_mix(j, 2 < ROW_P ? 2 : 1, s); break;
    case 1: f32_mix(j, 1, s); break;
    }
}

/* pieces from column c on of the rows from k on, for all vectors; in place of rows beyond the last,
 * the last again: it is stored several times with the same value */
static inline __attribute__((always_inline)) void f32_add_tile(const RowJob *j, int n, int pieces,
                                                               RowSet s, int k, int c)
{
    float *row[ROW_R];
    int of[ROW_R];
    Vec acc[ROW_R][ROW_P];
#pragma GCC unroll 4
    for (int r = 0; r < ROW_R; r++) {
        const float *next = f32_row_at(s, k + ROW_R + r) + c;
        row[r] = f32_row_at(s, k + r) + c;
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

static void f32_rows_add(const RowJob *j, int n, RowSet s)
{
    for (int k = 0; k < s.rows; k += ROW_R) {
        int c = 0;
        for (; c + ROW_P * LANES <= s.d; c += ROW_P * LANES) f32_add_tile(j, n, ROW_P, s, k, c);
        for (; c + LANES <= s.d; c += LANES) f32_add_tile(j, n, 1, s, k, c);
        for (; c < s.d; c++)
            for (int r = k; r < s.rows && r < k + ROW_R; r++)
                for (int i = 0; i < n; i++) f32_row_at(s, r)[c] += j[i].z[r] * j[i].x[c];
    }
}
