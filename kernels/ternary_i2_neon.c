/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two bits per weight, code = w + 1, for SMLAL (8 by 8 bits added to 16) on any ARMv8:
 *
 *     y[t][r] = sum_c code[r][c] * x[t][c]  -  sum_c x[t][c]
 *
 *     packed   [block of 16 rows][4 cols][row]    bits 7..6   5..4   3..2   1..0
 *                                                 col  4g+3   4g+2   4g+1   4g
 *     scratch  [t] int32 -sum of x, padded to 64 bytes;  [t][cols padded to 4] int8
 *
 * A byte lane is a row, an activation is broadcast. Sums stay in 16 bits over a slice of 128
 * columns: 128 * 2 * -128 = -2^15 is the largest. A register tile is 16 rows by up to 4 batch rows:
 * 8 accumulators. Operations: 7 to unpack 64 weights (4 AND, 3 shifts) and 8 SMLAL per batch
 * row.
 *
 * i8_neon, also here, is the control for the two bits: the same codes one a byte, by the same
 * tiles, so that the two differ in what is read and in the unpacking alone,
 *
 *     packed   [block of 16 rows][col][row] */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <arm_neon.h>
#include <string.h>

enum { ROWS = 16, GROUP = 4, SLICE = 128 / GROUP, TILE = 4 };

static size_t i2_neon_groups_of(int cols) { return ((size_t)cols + GROUP - 1) / GROUP; }
static size_t i2_neon_sums_size(int n) { return ((size_t)n + 15) / 16 * 64; }

static size_t i2_neon_packed_size(int rows, int cols)
{
    return ((size_t)rows + ROWS - 1) / ROWS * i2_neon_groups_of(cols) * ROWS;
}

static void i2_neon_pack(void *packed, const int8_t *w, int rows, int cols)
{
    const size_t groups = i2_neon_groups_of(cols);
    memset(packed, 0, i2_neon_packed_size(rows, cols));
    for (size_t r = 0; r < (size_t)rows; r++) {
        uint8_t *out = (uint8_t *)packed + r / ROWS * groups * ROWS + r % ROWS;
        for (size_t c = 0; c < (size_t)cols; c++)
            out[c / GROUP * ROWS] |= (uint8_t)((w[r * (size_t)cols + c] + 1) << (c % GROUP * 2));
    }
}

static size_t i2_neon_scratch_size(int n, int cols, int act_bits)
{
    (void)act_bits;
    return i2_neon_sums_size(n) + (size_t)n * i2_neon_groups_of(cols) * GROUP;
}

static void i2_neon_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    (void)act_bits;
    const size_t padded = i2_neon_groups_of(cols) * GROUP;
    int32_t *sums = scratch;
    int8_t *out = (int8_t *)scratch + i2_neon_sums_size(n);
    for (int t = 0; t < n; t++, x += cols, out += padded) {
        memcpy(out, x, (size_t)cols);
        memset(out + cols, 0, padded - (size_t)cols);
        sums[t] = 0;
        for (int c = 0; c < cols; c++) sums[t] -= x[c];
    }
}

/* A tile adds the sums of 16 rows by m batch rows over at most SLICE groups of columns to
 * sums[t][row]. */
typedef void Tile(int32_t sums[][ROWS], const uint8_t *block, const int8_t *x, size_t stride,
                  size_t groups);

static inline void widen(int32_t *sums, int16x8_t acc)
{
    vst1q_s32(sums, vaddw_s16(vld1q_s32(sums), vget_low_s16(acc)));
    vst1q_s32(sums + 4, vaddw_high_s16(vld1q_s32(sums + 4), acc));
}

#define BEGIN(t)   int16x8_t a##t = vdupq_n_s16(0), b##t = a##t;
#define STEP(t, j) { const int8x16_t v = vdupq_n_s8(x[(t) * stride + (j)]);    \
                     a##t = vmlal_s8(a##t, vget_low_s8(w##j), vget_low_s8(v)); \
                     b##t = vmlal_high_s8(b##t, w##j, v); }
#define STEPS(t)   STEP(t, 0) STEP(t, 1) STEP(t, 2) STEP(t, 3)
#define END(t)     widen(sums[t], a##t), widen(sums[t] + 8, b##t);
/* the codes of four columns, of two bits or of a byte */
#define FIELDS const uint8x16_t u = vld1q_u8(block);                                               \
               const uint8x16_t low = vdupq_n_u8(3);                                               \
               const int8x16_t w0 = vreinterpretq_s8_u8(vandq_u8(u, low));                         \
               const int8x16_t w1 = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(u, 2), low));          \
               const int8x16_t w2 = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(u, 4), low));          \
               const int8x16_t w3 = vreinterpretq_s8_u8(vshrq_n_u8(u, 6));
#define BYTES  const int8_t *const from = (const int8_t *)block;                                   \
               const int8x16_t w0 = vld1q_s8(from), w1 = vld1q_s8(from + ROWS);                    \
               const int8x16_t w2 = vld1q_s8(from + 2 * ROWS), w3 = vld1q_s8(from + 3 * ROWS);
#define TILE_OF(name, EACH, bytes, CODES)                                                          \
    static void name(int32_t sums[][ROWS], const uint8_t *block, const int8_t *x, size_t stride,   \
                     size_t groups)                                                                \
    {                                                                                              \
        EACH(BEGIN)                                                                                \
        for (; groups; groups--, block += (bytes), x += GROUP) {                                   \
            CODES                                                                                  \
            EACH(STEPS)                                                                            \
        }                                                                                          \
        EACH(END)                                                                                  \
    }
#define EACH1(M) M(0)
#define EACH2(M) EACH1(M) M(1)
#define EACH3(M) EACH2(M) M(2)
#define EACH4(M) EACH3(M) M(3)
#define TILES_OF(m, EACH)                                \
    TILE_OF(i2_neon_tile##m, EACH, ROWS, FIELDS)         \
    TILE_OF(i8_neon_tile##m, EACH, ROWS * GROUP, BYTES)
TILES_OF(1, EACH1)
TILES_OF(2, EACH2)
TILES_OF(3, EACH3)
TILES_OF(4, EACH4)
static Tile *const i2_neon_tiles[2][TILE] = {
    { i2_neon_tile1, i2_neon_tile2, i2_neon_tile3, i2_neon_tile4 },
    { i8_neon_tile1, i8_neon_tile2, i8_neon_tile3, i8_neon_tile4 },
};

/* dense: of i8_neon */
static void i2_neon_multiply(int32_t *y, const uint8_t *packed, const void *scratch, int n, int r0,
                             int r1, int rows, int cols, int dense)
{
    const size_t groups = i2_neon_groups_of(cols), stride = groups * GROUP;
    const size_t bytes = dense ? ROWS * GROUP : ROWS;        /* of a group of a block */
    const int32_t *bias = scratch;
    const int8_t *x = (const int8_t *)scratch + i2_neon_sums_size(n);
    for (int r = r0; r < r1; r += ROWS) {
        const uint8_t *block = packed + (size_t)(r / ROWS) * groups * bytes;
        const int height = r1 - r < ROWS ? r1 - r : ROWS;
        for (int t = 0; t < n; t += TILE) {
            int32_t sums[TILE][ROWS];
            const int m = n - t < TILE ? n - t : TILE;
            for (int i = 0; i < m; i++)
                for (int l = 0; l < ROWS; l++) sums[i][l] = bias[t + i];
            for (size_t g = 0; g < groups; g += SLICE)
                i2_neon_tiles[dense][m - 1](sums, block + g * bytes,
                                            x + (size_t)t * stride + g * GROUP, stride,
                                            groups - g < SLICE ? groups - g : SLICE);
            for (int i = 0; i < m; i++)
                memcpy(y + (size_t)(t + i) * (size_t)rows + r, sums[i],
                       (size_t)height * sizeof **sums);
        }
    }
}

static void i2_neon_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    i2_neon_multiply(y, packed, scratch, n, r0, r1, rows, cols, 0);
}

const TernaryKernel ternary_i2_neon = {
    .name = "i2_neon",
    .brief = "2 bits; SMLAL with 16-bit sums",
    .cpu = CPU_NEON, .act_bits = 8, .min_bits = 8, .weight_bits = 2, .computes = 1,
    .layout = 1, .preference = 2, .drawn = 1,
    .large = { "f32_fma_neon", 8, 1, 10 / 64.0 },
    .single = { "f32_fma_neon", 8, 1, 15 / 64.0 },
    .packed_size = i2_neon_packed_size, .pack = i2_neon_pack,
    .scratch_size = i2_neon_scratch_size, .prepare = i2_neon_prepare, .gemm = i2_neon_gemm,
};

/* ---- i8_neon ---- */
static size_t i8_neon_packed_size(int rows, int cols)
{
    return ((size_t)rows + ROWS - 1) / ROWS * ROWS * i2_neon_groups_of(cols) * GROUP;
}

static void i8_neon_pack(void *packed, const int8_t *w, int rows, int cols)
{
    memset(packed, 0, i8_neon_packed_size(rows, cols));
    ternary_pack_bytes(packed, w, rows, cols, i2_neon_groups_of(cols) * GROUP, ROWS, 1);
}

static void i8_neon_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    i2_neon_multiply(y, packed, scratch, n, r0, r1, rows, cols, 1);
}

const TernaryKernel ternary_i8_neon = {
    .name = "i8_neon",
    .brief = "a byte a weight, the tiles of i2_neon",
    .cpu = CPU_NEON, .act_bits = 8, .min_bits = 8, .weight_bits = 8, .computes = 1,
    .layout = 1, .drawn = 1,
    .large = { "f32_fma_neon", 8, 1, 8 / 64.0 },
    .single = { "f32_fma_neon", 8, 1, 8 / 64.0 },
    .packed_size = i8_neon_packed_size, .pack = i8_neon_pack,
    .scratch_size = i2_neon_scratch_size, .prepare = i2_neon_prepare, .gemm = i8_neon_gemm,
};
