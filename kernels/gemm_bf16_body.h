/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gemm_bf16_body.h -- products in bfloat16 by an instruction that sums pairs. The file that
 * includes it defines, for vectors of 16 lanes,
 *
 *   BF16_PAIRS(sum, a, b)     sum + a1 b1 + a0 b0 of each lane, where a lane of a and b is a dword
 *                             of two bfloat16 numbers: 0 in its lower half, 1 in its upper half
 *
 * Both operands are rounded and packed, a dword two neighbours along k (the second 0 where k ends):
 *
 *   a   [strip of 12 rows of op(A)][pair of k][row]        240 rows, 512 of k: 245,760 bytes, L2
 *   b   [pair of k][column]                                32 columns of op(B): 32 KB, L1
 *
 * 12x32 of C are summed in 24 registers while k runs: two loads of b and 12 broadcasts of a for 24
 * sums of pairs. Rows and columns that do not fill a strip are zeros, whose sums are not stored.
 * An element of C is summed in the same order wherever it lies, so that threads, which share C by
 * rows or columns, do not change it. */
#ifndef GEMM_BF16_BODY_H
#define GEMM_BF16_BODY_H
#include "kernels/bf16.h"
#include "kernels/gemm.h"

enum { BF16_ROWS = 12, BF16_COLS = 32, BF16_LANES = 16, BF16_HEIGHT = 240, BF16_DEPTH = 512 };
typedef float    Bf16Sum  __attribute__((vector_size(64), may_alias));
typedef uint32_t Bf16Pair __attribute__((vector_size(64), may_alias));

/* of a thread; a multiple of 64 bytes */
typedef struct Bf16Room {
    uint32_t a[BF16_HEIGHT / BF16_ROWS][BF16_DEPTH / 2 * BF16_ROWS];
    uint32_t b[BF16_DEPTH / 2 * BF16_COLS];
    float    sum[BF16_ROWS * BF16_COLS];
} Bf16Room;

/* rows of op(A), or columns of op(B): element (r, k) is x[r apart + k deep] */
typedef struct Bf16Side { const float *x; size_t apart, deep; } Bf16Side;

static inline int bf16_least(int a, int b) { return a < b ? a : b; }

/* to (pairs, width): `rows` of the side from row r on, k from k0 on, `depth` of it */
static void bf16_pack(uint32_t *to, int width, const Bf16Side *s, int r, int rows, int k0,
                      int depth)
{
    const float *first = s->x + (size_t)r * s->apart + (size_t)k0 * s->deep;
    for (int k = 0; k < depth; k += 2, to += width) {
        const float *x = first + (size_t)k * s->deep, *next = x + s->deep;
        const int two = k + 1 < depth;
        for (int i = 0; i < rows; i++)
            to[i] = bf16_bits(x[(size_t)i * s->apart]) >> 16 |
                    (two ? bf16_bits(next[(size_t)i * s->apart]) : 0);
        for (int i = rows; i < width; i++) to[i] = 0;
    }
}

/* sum (12, 32) = the pairs of a strip of a times those of b */
static void bf16_tile(float *sum, const uint32_t *a, const uint32_t *b, int pairs)
{
    Bf16Sum c[BF16_ROWS][2] = { { { 0 } } };
    for (int p = 0; p < pairs; p++, a += BF16_ROWS, b += BF16_COLS) {
        const Bf16Pair left = *(const Bf16Pair *)b, right = *(const Bf16Pair *)(b + BF16_LANES);
#pragma GCC unroll 12
        for (int r = 0; r < BF16_ROWS; r++) {
            const Bf16Pair x = a[r] + (Bf16Pair){ 0 };
            c[r][0] = BF16_PAIRS(c[r][0], x, left);
            c[r][1] = BF16_PAIRS(c[r][1], x, right);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < BF16_ROWS; r++)
        for (int h = 0; h < 2; h++)
            *(Bf16Sum *)(sum + r * BF16_COLS + h * BF16_LANES) = c[r][h];
}

/* c (rows, cols) = alpha sum + beta c; beta 0: c is not read */
static void bf16_store(float *c, int ld, const float *sum, int rows, int cols, float alpha,
                       float beta)
{
    for (int r = 0; r < rows; r++, c += ld, sum += BF16_COLS) {
        if (beta == 0) for (int j = 0; j < cols; j++) c[j] = alpha * sum[j];
        else           for (int j = 0; j < cols; j++) c[j] = alpha * sum[j] + beta * c[j];
    }
}

static void bf16_product(const Gemm *g, char ta, char tb, int m, int n, int k, float alpha,
                         const float *A, int lda, const float *B, int ldb, float beta, float *C,
                         int ldc)
{
    Bf16Room *room = gemm_room(g);
    const size_t la = (size_t)lda, lb = (size_t)ldb;
    const Bf16Side a = { A, ta == 'T' ? 1 : la, ta == 'T' ? la : 1 },
                   b = { B, tb == 'T' ? lb : 1, tb == 'T' ? 1 : lb };
    for (int k0 = 0; k0 < k; k0 += BF16_DEPTH)
        for (int i0 = 0; i0 < m; i0 += BF16_HEIGHT) {
            const int depth = bf16_least(BF16_DEPTH, k - k0), height = bf16_least(BF16_HEIGHT,
                                                                                  m - i0);
            for (int i = 0; i < height; i += BF16_ROWS)
                bf16_pack(room->a[i / BF16_ROWS], BF16_ROWS, &a, i0 + i,
                          bf16_least(BF16_ROWS, height - i), k0, depth);
            for (int j = 0; j < n; j += BF16_COLS) {
                const int cols = bf16_least(BF16_COLS, n - j);
                bf16_pack(room->b, BF16_COLS, &b, j, cols, k0, depth);
                for (int i = 0; i < height; i += BF16_ROWS) {
                    bf16_tile(room->sum, room->a[i / BF16_ROWS], room->b, (depth + 1) / 2);
                    bf16_store(C + (size_t)(i0 + i) * (size_t)ldc + j, ldc, room->sum,
                               bf16_least(BF16_ROWS, height - i), cols, alpha, k0 ? 1 : beta);
                }
            }
        }
}
#endif
