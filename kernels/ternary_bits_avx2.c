/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bit-sliced: weights and activations as planes of bits, cost proportional to act_bits.
 *
 * Planes of weights: `minus` (w = -1) and `nonzero`. Plane b of the activations holds bit b of x in
 * two's complement, so x = sum_b s_b x_b with s_b = 2^b, and -2^b for the top one. Let f_b = minus
 * XOR (nonzero AND x_b), bit by bit, and |minus| the number of w = -1 in the row:
 *
 *   w     1     0     -1
 *   f_b   x_b   0     1 - x_b        so  popcount f_b = sum_c w x_b + |minus|
 *
 *   y = sum_b s_b (popcount f_b - |minus|) = sum_b s_b popcount f_b + |minus|   as sum_b s_b = -1
 *
 *   packed   [block of 32 rows]:  |minus| [row] int32, then
 *                                 [32 columns]: minus [row] uint32, nonzero [row] uint32
 *   scratch  planes p = t * act_bits + b:  [p/8][32 columns][p%8] uint32
 *
 * A 32-bit lane is a row. A register tile is 8 rows by up to 8 planes; each byte of its 8
 * accumulators counts the ones of a quarter of a row's word, at most 8 a step, and is emptied every
 * 31 steps. Operations: 9 instructions per 256 weights and bit (AND, XOR, 5 to look two nibbles up,
 * 2 additions). Popcount by VPSHUFB: Mula, Kurz, Lemire 2018 (arXiv 1611.07612); of bit planes:
 * Umuroglu et al. 2018 (arXiv 1806.08862). */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <immintrin.h>
#include <string.h>

enum { ROWS = 32, LANES = 8, COLS = 32, STEP_WORDS = 2 * ROWS, TILE = 8, RUN = 31 };

static size_t bits_avx2_steps_of(int cols) { return ((size_t)cols + COLS - 1) / COLS; }
static size_t bits_avx2_block_words(int cols)
{
    return ROWS + bits_avx2_steps_of(cols) * STEP_WORDS;
}

static size_t bits_avx2_packed_size(int rows, int cols)
{
    return ((size_t)rows + ROWS - 1) / ROWS * bits_avx2_block_words(cols) * 4;
}

static void bits_avx2_pack(void *packed, const int8_t *w, int rows, int cols)
{
    memset(packed, 0, bits_avx2_packed_size(rows, cols));
    for (size_t r = 0; r < (size_t)rows; r++) {
        uint32_t *block = (uint32_t *)packed + r / ROWS * bits_avx2_block_words(cols);
        for (size_t c = 0; c < (size_t)cols; c++) {
            const int8_t v = w[r * (size_t)cols + c];
            uint32_t *step = block + ROWS + c / COLS * STEP_WORDS;
            step[r % ROWS] |= (uint32_t)(v < 0) << c % COLS;
            step[ROWS + r % ROWS] |= (uint32_t)(v != 0) << c % COLS;
            block[r % ROWS] += v < 0;
        }
    }
}

static size_t bits_avx2_tiles_of(int n, int act_bits)
{
    return ((size_t)n * (size_t)act_bits + TILE - 1) / TILE;
}

static size_t bits_avx2_scratch_size(int n, int cols, int act_bits)
{
    return bits_avx2_tiles_of(n, act_bits) * bits_avx2_steps_of(cols) * TILE * 4;
}

static void bits_avx2_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    const size_t steps = bits_avx2_steps_of(cols);
    for (size_t t = 0, plane = 0; t < (size_t)n; t++, plane += (size_t)act_bits, x += cols)
        for (size_t s = 0; s < steps; s++) {
            const size_t left = (size_t)cols - s * COLS;
            int8_t some[COLS] = { 0 };
            const int8_t *from = x + s * COLS;
            if (left < COLS) from = memcpy(some, from, left);
            const __m256i v = _mm256_loadu_si256((const __m256i *)from);
            for (size_t b = 0; b < (size_t)act_bits; b++) {
                const size_t p = plane + b;      /* VPMOVMSKB takes bit 7 of each byte */
                const int bits = _mm256_movemask_epi8(
                    _mm256_sll_epi16(v, _mm_cvtsi32_si128(7 - (int)b)));
                ((uint32_t *)scratch)[(p / TILE * steps + s) * TILE + p % TILE] = (uint32_t)bits;
            }
        }
}

static inline __m256i load(const void *p) { return _mm256_loadu_si256(p); }

static inline __m256i count_bytes(__m256i v)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i ones = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i low = _mm256_shuffle_epi8(ones, _mm256_and_si256(v, nibble));
    const __m256i high = _mm256_shuffle_epi8(ones,
                                             _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
    return _mm256_add_epi8(low, high);
}

/* A tile adds the ones of 8 rows by m planes over at most RUN steps to ones[plane][row]. Named
 * accumulators: gcc 12 would keep an array of them in memory. */
typedef void Tile(int32_t ones[][ROWS], const uint32_t *weights, const uint32_t *planes,
                  size_t steps);

static inline void empty(int32_t *ones, __m256i bytes)
{
    const __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1));
    const __m256i words = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    _mm256_store_si256((__m256i *)ones, _mm256_add_epi32(load(ones), words));
}

#define BEGIN(p)  __m256i a##p = _mm256_setzero_si256();
#define STEP(p)   { const __m256i x = _mm256_set1_epi32((int)planes[p]); \
                    const __m256i f = _mm256_xor_si256(minus, _mm256_and_si256(nonzero, x));      \
                    a##p = _mm256_add_epi8(a##p, count_bytes(f)); }
#define END(p)    empty(ones[p], a##p);
#define TILE_OF(m, EACH)                                                                           \
    static void bits_avx2_tile##m(int32_t ones[][ROWS], const uint32_t *weights,                  \
                                  const uint32_t *planes, size_t steps)                           \
    {                                                                                              \
        EACH(BEGIN)                                                                                \
        for (; steps; steps--, weights += STEP_WORDS, planes += TILE) {                            \
            const __m256i minus = load(weights), nonzero = load(weights + ROWS);                   \
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
static Tile *const bits_avx2_tiles[TILE] = { bits_avx2_tile1, bits_avx2_tile2, bits_avx2_tile3,
                                             bits_avx2_tile4, bits_avx2_tile5, bits_avx2_tile6,
                                             bits_avx2_tile7, bits_avx2_tile8 };

/* y[t] = |minus| + sum of s_b ones[b], for planes [first, first + m). The first batch row may have
 * begun in the tile before: y then holds its sum so far. */
static void bits_avx2_fold(int32_t *y, size_t rows, int height, const int32_t *minus,
                           int32_t ones[][ROWS], size_t first, size_t m, int act_bits)
{
    for (size_t i = 0; i < m; i++) {
        const int b = (int)((first + i) % (size_t)act_bits),
                  scale = b == act_bits - 1 ? -(1 << b) : 1 << b;
        int32_t *out = y + (first + i) / (size_t)act_bits * rows;
        int32_t sums[ROWS];
        for (int l = 0; l < ROWS; l++) sums[l] = ones[i][l] * scale;
        for (int l = 0; l < height; l++) out[l] = (b == 0 ? minus[l] : out[l]) + sums[l];
    }
}

static void bits_avx2_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    const size_t steps = bits_avx2_steps_of(cols), planes = (size_t)n * (size_t)act_bits;
    for (int r = r0; r < r1; r += ROWS) {
        const uint32_t *block = (const uint32_t *)packed +
                                (size_t)(r / ROWS) * bits_avx2_block_words(cols);
        const int height = r1 - r < ROWS ? r1 - r : ROWS;
        for (size_t p = 0; p < planes; p += TILE) {
            _Alignas(32) int32_t ones[TILE][ROWS] = { { 0 } };
            const size_t m = planes - p < TILE ? planes - p : TILE;
            for (int l = 0; l < height; l += LANES)
                for (size_t s = 0; s < steps; s += RUN)
                    bits_avx2_tiles[m - 1]((int32_t(*)[ROWS])(ones[0] + l),
                                           block + ROWS + s * STEP_WORDS + l,
                                           (const uint32_t *)scratch + p * steps + s * TILE,
                                           steps - s < RUN ? steps - s : RUN);
            bits_avx2_fold(y + r, (size_t)rows, height, (const int32_t *)block, ones, p, m,
                           act_bits);
        }
    }
}

const TernaryKernel ternary_bits_avx2 = {
    .name = "bits_avx2",
    .brief = "bit planes; popcount by VPSHUFB",
    .cpu = CPU_AVX2, .act_bits = 8, .min_bits = 1, .weight_bits = 2, .computes = 1,
    .layout = 1, .preference = 2,
    .large = { "int8_maddubs256", 64, 1.5, 9 / 256.0 },
    .single = { "int8_maddubs256", 64, 1.5, 9 / 256.0 },
    .packed_size = bits_avx2_packed_size, .pack = bits_avx2_pack,
    .scratch_size = bits_avx2_scratch_size, .prepare = bits_avx2_prepare, .gemm = bits_avx2_gemm,
};
