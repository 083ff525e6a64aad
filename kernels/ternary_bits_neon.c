/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bit-sliced: weights and activations as planes of bits, cost proportional to act_bits.
 *
 * Planes of weights: `plus` (w = 1) and `minus` (w = -1). Plane b of the activations holds bit b of
 * x in two's complement, so x = sum_b s_b x_b with s_b = 2^b, and -2^b for the top one. BSL selects
 * f_b = x_b ? plus : minus. With |minus| the number of w = -1 in the row:
 *
 *   w     1     0     -1
 *   f_b   x_b   0     1 - x_b        so  popcount f_b = sum_c w x_b + |minus|
 *
 *   y = sum_b s_b (popcount f_b - |minus|) = sum_b s_b popcount f_b + |minus|   as sum_b s_b = -1
 *
 *   packed   [block of 32 rows]:  |minus| [row] int32, then
 *                                 [32 columns]: plus [row] uint32, minus [row] uint32
 *   scratch  planes p = t * act_bits + b:  [p/8][32 columns][p%8] uint32
 *
 * A 32-bit lane is a row. A register tile is 4 rows by up to 8 planes; each byte of its 8
 * accumulators counts the ones of a quarter of a row's word, at most 8 a step, and is emptied every
 * 31 steps. Operations: 3 instructions per 128 weights and bit (BSL, CNT, ADD). Popcounts of bit
 * planes as in Umuroglu et al. 2018 (BISMO, arXiv 1806.08862). */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <arm_neon.h>
#include <string.h>

enum { ROWS = 32, LANES = 4, COLS = 32, STEP_WORDS = 2 * ROWS, TILE = 8, RUN = 31 };

static size_t bits_neon_steps_of(int cols) { return ((size_t)cols + COLS - 1) / COLS; }
static size_t bits_neon_block_words(int cols)
{
    return ROWS + bits_neon_steps_of(cols) * STEP_WORDS;
}

static size_t bits_neon_packed_size(int rows, int cols)
{
    return ((size_t)rows + ROWS - 1) / ROWS * bits_neon_block_words(cols) * 4;
}

static void bits_neon_pack(void *packed, const int8_t *w, int rows, int cols)
{
    memset(packed, 0, bits_neon_packed_size(rows, cols));
    for (size_t r = 0; r < (size_t)rows; r++) {
        uint32_t *block = (uint32_t *)packed + r / ROWS * bits_neon_block_words(cols);
        for (size_t c = 0; c < (size_t)cols; c++) {
            const int8_t v = w[r * (size_t)cols + c];
            uint32_t *step = block + ROWS + c / COLS * STEP_WORDS;
            step[r % ROWS] |= (uint32_t)(v > 0) << c % COLS;
            step[ROWS + r % ROWS] |= (uint32_t)(v < 0) << c % COLS;
            block[r % ROWS] += v < 0;
        }
    }
}

static size_t bits_neon_tiles_of(int n, int act_bits)
{
    return ((size_t)n * (size_t)act_bits + TILE - 1) / TILE;
}

static size_t bits_neon_scratch_size(int n, int cols, int act_bits)
{
    return bits_neon_tiles_of(n, act_bits) * bits_neon_steps_of(cols) * TILE * 4;
}

/* bit b of sixteen bytes */
static inline uint32_t gather(uint8x16_t v, int b)
{
    static const uint8_t place[16] = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };
    const uint8x16_t set = vandq_u8(vtstq_u8(v, vdupq_n_u8((uint8_t)(1 << b))), vld1q_u8(place));
    return (uint32_t)vaddv_u8(vget_low_u8(set)) | (uint32_t)vaddv_u8(vget_high_u8(set)) << 8;
}

static void bits_neon_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    const size_t steps = bits_neon_steps_of(cols);
    for (size_t t = 0, plane = 0; t < (size_t)n; t++, plane += (size_t)act_bits, x += cols)
        for (size_t s = 0; s < steps; s++) {
            const size_t left = (size_t)cols - s * COLS;
            uint8_t some[COLS] = { 0 };
            memcpy(some, x + s * COLS, left < COLS ? left : COLS);
            for (size_t b = 0; b < (size_t)act_bits; b++) {
                const size_t p = plane + b;
                const uint32_t bits = gather(vld1q_u8(some), (int)b) |
                                      gather(vld1q_u8(some + 16), (int)b) << 16;
                ((uint32_t *)scratch)[(p / TILE * steps + s) * TILE + p % TILE] = bits;
            }
        }
}

/* A tile adds the ones of 4 rows by m planes over at most RUN steps to ones[plane][row]. */
typedef void Tile(int32_t ones[][ROWS], const uint32_t *weights, const uint32_t *planes,
                  size_t steps);

static inline void empty(int32_t *ones, uint8x16_t bytes)
{
    const uint32x4_t words = vpaddlq_u16(vpaddlq_u8(bytes));
    vst1q_s32(ones, vaddq_s32(vld1q_s32(ones), vreinterpretq_s32_u32(words)));
}

#define BEGIN(p)  uint8x16_t a##p = vdupq_n_u8(0);
#define STEP(p)   { const uint8x16_t x = vreinterpretq_u8_u32(vdupq_n_u32(planes[p])); \
                    a##p = vaddq_u8(a##p, vcntq_u8(vbslq_u8(x, plus, minus))); }
#define END(p)    empty(ones[p], a##p);
#define TILE_OF(m, EACH)                                                                           \
    static void bits_neon_tile##m(int32_t ones[][ROWS], const uint32_t *weights,                  \
                                  const uint32_t *planes, size_t steps)                           \
    {                                                                                              \
        EACH(BEGIN)                                                                                \
        for (; steps; steps--, weights += STEP_WORDS, planes += TILE) {                            \
            const uint8x16_t plus = vreinterpretq_u8_u32(vld1q_u32(weights));                      \
            const uint8x16_t minus = vreinterpretq_u8_u32(vld1q_u32(weights + ROWS));              \
            EACH(STEP)                                                                             \
        }                                                                                          \
        EACH(END)                                                                                  \
    }
#define EACH1(M) M(0)
#define EACH2(M) EACH1(M) M(1)
#define EACH3(M) EACH2(M) M(2)
#define EACH4(M) EACH3(M) M(3)
#define EACH5(M) EACH4(M) M(4)
#define EACH6(M) EACH5(M) M(5)
#define EACH7(M) EACH6(M) M(6)
#define EACH8(M) EACH7(M) M(7)
TILE_OF(1, EACH1)
TILE_OF(2, EACH2)
TILE_OF(3, EACH3)
TILE_OF(4, EACH4)
TILE_OF(5, EACH5)
TILE_OF(6, EACH6)
TILE_OF(7, EACH7)
TILE_OF(8, EACH8)
static Tile *const bits_neon_tiles[TILE] = { bits_neon_tile1, bits_neon_tile2, bits_neon_tile3,
                                             bits_neon_tile4, bits_neon_tile5, bits_neon_tile6,
                                             bits_neon_tile7, bits_neon_tile8 };

/* y[t] = |minus| + sum of s_b ones[b], for planes [first, first + m). The first batch row may have
 * begun in the tile before: y then holds its sum so far. */
static void bits_neon_fold(int32_t *y, size_t rows, int height, const int32_t *minus,
                           int32_t ones[][ROWS], size_t first, size_t m, int act_bits)
{
    for (size_t i = 0; i < m; i++) {
        const int b = (int)((first + i) % (size_t)act_bits),
                  scale = b == act_bits - 1 ? -(1 << b) : 1 << b;
        int32_t *out = y + (first + i) / (size_t)act_bits * rows;
        for (int l = 0; l < height; l++) out[l] = (b == 0 ? minus[l] : out[l]) + ones[i][l] * scale;
    }
}

static void bits_neon_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    const size_t steps = bits_neon_steps_of(cols), planes = (size_t)n * (size_t)act_bits;
    for (int r = r0; r < r1; r += ROWS) {
        const uint32_t *block = (const uint32_t *)packed +
                                (size_t)(r / ROWS) * bits_neon_block_words(cols);
        const int height = r1 - r < ROWS ? r1 - r : ROWS;
        for (size_t p = 0; p < planes; p += TILE) {
            int32_t ones[TILE][ROWS] = { { 0 } };
            const size_t m = planes - p < TILE ? planes - p : TILE;
            for (int l = 0; l < height; l += LANES)
                for (size_t s = 0; s < steps; s += RUN)
                    bits_neon_tiles[m - 1]((int32_t(*)[ROWS])(ones[0] + l),
                                           block + ROWS + s * STEP_WORDS + l,
                                           (const uint32_t *)scratch + p * steps + s * TILE,
                                           steps - s < RUN ? steps - s : RUN);
            bits_neon_fold(y + r, (size_t)rows, height, (const int32_t *)block, ones, p, m,
                           act_bits);
        }
    }
}

const TernaryKernel ternary_bits_neon = {
    .name = "bits_neon",
    .brief = "bit planes; BSL and CNT",
    .cpu = CPU_NEON, .act_bits = 8, .min_bits = 1, .weight_bits = 2, .computes = 1,
    .layout = 1, .preference = 2, .drawn = 1,
    .large = { "f32_fma_neon", 8, 1, 3 / 128.0 },
    .single = { "f32_fma_neon", 8, 1, 3 / 128.0 },
    .packed_size = bits_neon_packed_size, .pack = bits_neon_pack,
    .scratch_size = bits_neon_scratch_size, .prepare = bits_neon_prepare, .gemm = bits_neon_gemm,
};
