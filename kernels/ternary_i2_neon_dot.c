/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two bits per weight, code = w + 1, for SDOT (four products per lane, activations taken from one
 * lane of a vector):
 *
 *     y[t][r] = sum_c code[r][c] * x[t][c]  -  sum_c x[t][c]
 *
 *     packed   [block of 16 rows][chunk of 16 cols][row][i < 4]    bits 7..6  5..4   3..2   1..0
 *                                                             col  16c+  12+i   8+i    4+i    i
 *     scratch  [t] int32 -sum of x, padded to 64 bytes;  [t][cols padded to 16] int8
 *
 * A 32-bit lane is a row; 16 activations are one vector, lane j of which meets field j of the
 * packed bytes. A register tile is 16 rows by up to 4 batch rows: 16 accumulators, 4 vectors of
 * activations, 4 of codes. Operations: 7 to unpack 64 weights (4 AND, 3 shifts) and 4 SDOT per
 * batch row.
 *
 * i8_neon_dot, also here, is the control for the two bits: the same codes one a byte, by the same
 * tiles, so that the two differ in what is read and in the unpacking alone,
 *
 *     packed   [block of 16 rows][4 cols][row][i < 4], cols padded to 16 */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <arm_neon.h>
#include <string.h>

enum { ROWS = 16, CHUNK = 16, CHUNK_BYTES = 64, TILE = 4 };

static size_t i2_neon_dot_chunks_of(int cols) { return ((size_t)cols + CHUNK - 1) / CHUNK; }
static size_t i2_neon_dot_sums_size(int n) { return ((size_t)n + 15) / 16 * 64; }

static size_t i2_neon_dot_packed_size(int rows, int cols)
{
    return ((size_t)rows + ROWS - 1) / ROWS * i2_neon_dot_chunks_of(cols) * CHUNK_BYTES;
}

static void i2_neon_dot_pack(void *packed, const int8_t *w, int rows, int cols)
{
    const size_t chunks = i2_neon_dot_chunks_of(cols);
    memset(packed, 0, i2_neon_dot_packed_size(rows, cols));
    for (size_t r = 0; r < (size_t)rows; r++) {
        uint8_t *out = (uint8_t *)packed + r / ROWS * chunks * CHUNK_BYTES + r % ROWS * 4;
        for (size_t c = 0; c < (size_t)cols; c++)
            out[c / CHUNK * CHUNK_BYTES + c % 4] |= (uint8_t)((w[r * (size_t)cols + c] + 1)
                                                              << (c % CHUNK / 4 * 2));
    }
}

static size_t i2_neon_dot_scratch_size(int n, int cols, int act_bits)
{
    (void)act_bits;
    return i2_neon_dot_sums_size(n) + (size_t)n * i2_neon_dot_chunks_of(cols) * CHUNK;
}

static void i2_neon_dot_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    (void)act_bits;
    const size_t padded = i2_neon_dot_chunks_of(cols) * CHUNK;
    int32_t *sums = scratch;
    int8_t *out = (int8_t *)scratch + i2_neon_dot_sums_size(n);
    for (int t = 0; t < n; t++, x += cols, out += padded) {
        memcpy(out, x, (size_t)cols);
        memset(out + cols, 0, padded - (size_t)cols);
        int32x4_t sum = vdupq_n_s32(0);
        for (size_t c = 0; c < padded; c += 16)
            sum = vdotq_s32(sum, vld1q_s8(out + c), vdupq_n_s8(1));
        sums[t] = -vaddvq_s32(sum);
    }
}

/* four rows by sixteen columns */
static inline int32x4_t dot16(int32x4_t acc, uint8x16_t v, int8x16_t x)
{
    const uint8x16_t low = vdupq_n_u8(3);
    acc = vdotq_laneq_s32(acc, vreinterpretq_s8_u8(vandq_u8(v, low)), x, 0);
    acc = vdotq_laneq_s32(acc, vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(v, 2), low)), x, 1);
    acc = vdotq_laneq_s32(acc, vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(v, 4), low)), x, 2);
    return vdotq_laneq_s32(acc, vreinterpretq_s8_u8(vshrq_n_u8(v, 6)), x, 3);
}

/* the same of bytes, 4 ROWS of them from one four columns to the next */
static inline int32x4_t dot16_bytes(int32x4_t acc, const int8_t *w, int8x16_t x)
{
    acc = vdotq_laneq_s32(acc, vld1q_s8(w), x, 0);
    acc = vdotq_laneq_s32(acc, vld1q_s8(w + 4 * ROWS), x, 1);
    acc = vdotq_laneq_s32(acc, vld1q_s8(w + 8 * ROWS), x, 2);
    return vdotq_laneq_s32(acc, vld1q_s8(w + 12 * ROWS), x, 3);
}

/* A tile: sums[t][row] of 16 rows by m batch rows; named accumulators stay in registers. The
 * unpacking inside dot16, or the loads inside dot16_bytes, are common to the batch rows and done
 * once. */
typedef void Tile(int32_t sums[][ROWS], const uint8_t *block, const int8_t *x, const int32_t *bias,
                  size_t chunks);

#define BEGIN(t)  int32x4_t a##t = vdupq_n_s32(bias[t]), b##t = a##t, c##t = a##t, d##t = a##t;
#define LOAD(t)   const int8x16_t x##t = vld1q_s8(x + (t) * stride);
#define DOT_A(t)  a##t = dot16(a##t, v0, x##t);
#define DOT_B(t)  b##t = dot16(b##t, v1, x##t);
#define DOT_C(t)  c##t = dot16(c##t, v2, x##t);
#define DOT_D(t)  d##t = dot16(d##t, v3, x##t);
#define END(t)    vst1q_s32(sums[t], a##t), vst1q_s32(sums[t] + 4, b##t); \
                  vst1q_s32(sums[t] + 8, c##t), vst1q_s32(sums[t] + 12, d##t);
#define FIELDS(EACH)                                                                 \
    const uint8x16_t v0 = vld1q_u8(block), v1 = vld1q_u8(block + 16);                \
    const uint8x16_t v2 = vld1q_u8(block + 32), v3 = vld1q_u8(block + 48);           \
    EACH(LOAD)                                                                       \
    EACH(DOT_A)                                                                      \
    EACH(DOT_B)                                                                      \
    EACH(DOT_C)                                                                      \
    EACH(DOT_D)
#define BYTE_A(t) a##t = dot16_bytes(a##t, from, x##t);
#define BYTE_B(t) b##t = dot16_bytes(b##t, from + 16, x##t);
#define BYTE_C(t) c##t = dot16_bytes(c##t, from + 32, x##t);
#define BYTE_D(t) d##t = dot16_bytes(d##t, from + 48, x##t);
#define BYTES(EACH)                                                                  \
    const int8_t *const from = (const int8_t *)block;                                \
    EACH(LOAD)                                                                       \
    EACH(BYTE_A)                                                                     \
    EACH(BYTE_B)                                                                     \
    EACH(BYTE_C)                                                                     \
    EACH(BYTE_D)
#define TILE_OF(name, EACH, bytes, STEPS)                                                          \
    static void name(int32_t sums[][ROWS], const uint8_t *block, const int8_t *x,                  \
                     const int32_t *bias, size_t chunks)                                           \
    {                                                                                              \
        const size_t stride = chunks * CHUNK;                                                      \
        EACH(BEGIN)                                                                                \
        const uint8_t *const end = block + chunks * (bytes);                                       \
        for (; block < end; block += (bytes), x += CHUNK) {                                        \
            STEPS(EACH)                                                                            \
        }                                                                                          \
        EACH(END)                                                                                  \
    }
#define EACH1(M) M(0)
#define EACH2(M) EACH1(M) M(1)
#define EACH3(M) EACH2(M) M(2)
#define EACH4(M) EACH3(M) M(3)
#define TILES_OF(m, EACH)                                            \
    TILE_OF(i2_neon_dot_tile##m, EACH, CHUNK_BYTES, FIELDS)          \
    TILE_OF(i8_neon_dot_tile##m, EACH, ROWS * CHUNK, BYTES)
TILES_OF(1, EACH1)
TILES_OF(2, EACH2)
TILES_OF(3, EACH3)
TILES_OF(4, EACH4)
static Tile *const i2_neon_dot_tiles[2][TILE] = {
    { i2_neon_dot_tile1, i2_neon_dot_tile2, i2_neon_dot_tile3, i2_neon_dot_tile4 },
    { i8_neon_dot_tile1, i8_neon_dot_tile2, i8_neon_dot_tile3, i8_neon_dot_tile4 },
};

/* dense: of i8_neon_dot */
static void i2_neon_dot_multiply(int32_t *y, const uint8_t *packed, const void *scratch, int n,
                                 int r0, int r1, int rows, int cols, int dense)
{
    const size_t chunks = i2_neon_dot_chunks_of(cols);
    const size_t block_bytes = chunks * (dense ? ROWS * CHUNK : CHUNK_BYTES);
    const int32_t *bias = scratch;
    const int8_t *x = (const int8_t *)scratch + i2_neon_dot_sums_size(n);
    for (int r = r0; r < r1; r += ROWS) {
        const uint8_t *block = packed + (size_t)(r / ROWS) * block_bytes;
        const int height = r1 - r < ROWS ? r1 - r : ROWS;
        for (int t = 0; t < n; t += TILE) {
            int32_t sums[TILE][ROWS];
            const int m = n - t < TILE ? n - t : TILE;
            i2_neon_dot_tiles[dense][m - 1](sums, block, x + (size_t)t * chunks * CHUNK, bias + t,
                                            chunks);
            for (int i = 0; i < m; i++)
                memcpy(y + (size_t)(t + i) * (size_t)rows + r, sums[i],
                       (size_t)height * sizeof **sums);
        }
    }
}

static void i2_neon_dot_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    i2_neon_dot_multiply(y, packed, scratch, n, r0, r1, rows, cols, 0);
}

const TernaryKernel ternary_i2_neon_dot = {
    .name = "i2_neon_dot",
    .brief = "2 bits; SDOT",
    .cpu = CPU_NEON | CPU_DOTPROD,
    .act_bits = 8,
    .min_bits = 8,
    .weight_bits = 2,
    .computes = 1,
    .layout = 1,
    .preference = 3,
    .drawn = 1,
    .large = { "f32_fma_neon", 8, 1, 6 / 64.0 },
    .single = { "f32_fma_neon", 8, 1, 11 / 64.0 },
    .packed_size = i2_neon_dot_packed_size,
    .pack = i2_neon_dot_pack,
    .scratch_size = i2_neon_dot_scratch_size,
    .prepare = i2_neon_dot_prepare,
    .gemm = i2_neon_dot_gemm,
};

/* ---- i8_neon_dot ---- */
static size_t i8_neon_dot_packed_size(int rows, int cols)
{
    return ((size_t)rows + ROWS - 1) / ROWS * ROWS * i2_neon_dot_chunks_of(cols) * CHUNK;
}

static void i8_neon_dot_pack(void *packed, const int8_t *w, int rows, int cols)
{
    memset(packed, 0, i8_neon_dot_packed_size(rows, cols));
    ternary_pack_bytes(packed, w, rows, cols, i2_neon_dot_chunks_of(cols) * CHUNK, ROWS, 4);
}

static void i8_neon_dot_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    i2_neon_dot_multiply(y, packed, scratch, n, r0, r1, rows, cols, 1);
}

const TernaryKernel ternary_i8_neon_dot = {
    .name = "i8_neon_dot",
    .brief = "a byte a weight, the tiles of i2_neon_dot",
    .cpu = CPU_NEON | CPU_DOTPROD,
    .act_bits = 8,
    .min_bits = 8,
    .weight_bits = 8,
    .computes = 1,
    .layout = 1,
    .drawn = 1,
    .large = { "f32_fma_neon", 8, 1, 4 / 64.0 },
    .single = { "f32_fma_neon", 8, 1, 4 / 64.0 },
    .packed_size = i8_neon_dot_packed_size,
    .pack = i8_neon_dot_pack,
    .scratch_size = i2_neon_dot_scratch_size,
    .prepare = i2_neon_dot_prepare,
    .gemm = i8_neon_dot_gemm,
};
