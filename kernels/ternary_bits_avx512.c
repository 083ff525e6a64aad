/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bit-sliced: weights and activations as planes of bits, cost proportional to act_bits.
 *
 * Planes of weights: `plus` (w = 1) and `minus` (w = -1). Plane b of the activations holds bit b of
 * x in two's complement, so x = sum_b s_b x_b with s_b = 2^b, and -2^b for the top one. VPTERNLOG
 * picks f_b = x_b ? plus : minus. With |minus| the number of w = -1 in the row:
 *
 *   w     1     0     -1
 *   f_b   x_b   0     1 - x_b        so  popcount f_b = sum_c w x_b + |minus|
 *
 *   y = sum_b s_b (popcount f_b - |minus|) = sum_b s_b popcount f_b + |minus|   as sum_b s_b = -1
 *
 *   packed   64 bytes of zeros
 *            [block of 32 rows]:  |minus| [row] int32, then
 *                                 [32 columns]: plus [row] uint32, minus [row] uint32
 *   scratch  planes p = t * act_bits + b:  [p/8][32 columns][p%8] uint32
 *
 * A 32-bit lane is a row. A register tile is 32 rows by up to 8 planes: 16 accumulators, 12 loads.
 * Operations: 3 instructions per 512 weights and bit (VPTERNLOG, VPOPCNT, VPADD), half of what
 * counting plus and minus apart would take: two vector ports allow 1024 operations in 1.5 cycles,
 * over act_bits. Without VPOPCNTDQ nibbles are counted by VPSHUFB, 10 instructions in place of one.
 * Popcounts of bit planes as in Umuroglu et al. 2018 (BISMO, arXiv 1806.08862). */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <immintrin.h>
#include <string.h>

enum {
    ROWS = 32,
    COLS = 32,
    STEP_WORDS = 2 * ROWS,
    HEADER = 64,
    TILE = 8,
    AHEAD = 2048,
    SELECT = 0xca
};

static size_t bits_avx512_steps_of(int cols) { return ((size_t)cols + COLS - 1) / COLS; }
static size_t bits_avx512_block_words(int cols)
{
    return ROWS + bits_avx512_steps_of(cols) * STEP_WORDS;
}

static size_t bits_avx512_packed_size(int rows, int cols)
{
    return HEADER + ((size_t)rows + ROWS - 1) / ROWS * bits_avx512_block_words(cols) * 4;
}

static void bits_avx512_pack(void *packed, const int8_t *w, int rows, int cols)
{
    memset(packed, 0, bits_avx512_packed_size(rows, cols));
    for (size_t r = 0; r < (size_t)rows; r++) {
        uint32_t *block = (uint32_t *)packed + HEADER / 4 +
                          r / ROWS * bits_avx512_block_words(cols);
        for (size_t c = 0; c < (size_t)cols; c++) {
            const int8_t v = w[r * (size_t)cols + c];
            uint32_t *step = block + ROWS + c / COLS * STEP_WORDS;
            step[r % ROWS] |= (uint32_t)(v > 0) << c % COLS;
            step[ROWS + r % ROWS] |= (uint32_t)(v < 0) << c % COLS;
            block[r % ROWS] += v < 0;
        }
    }
}

static size_t bits_avx512_tiles_of(int n, int act_bits)
{
    return ((size_t)n * (size_t)act_bits + TILE - 1) / TILE;
}

static size_t bits_avx512_scratch_size(int n, int cols, int act_bits)
{
    return bits_avx512_tiles_of(n, act_bits) * bits_avx512_steps_of(cols) * TILE * 4;
}

static void bits_avx512_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    const size_t steps = bits_avx512_steps_of(cols);
    for (size_t t = 0, plane = 0; t < (size_t)n; t++, plane += (size_t)act_bits, x += cols)
        for (size_t s = 0; s < steps; s += 2) {
            const size_t left = (size_t)cols - s * COLS;
            const __m512i v = _mm512_maskz_loadu_epi8(left < 64 ? (1ull << left) - 1 : ~0ull,
                                                      x + s * COLS);
            for (size_t b = 0; b < (size_t)act_bits; b++) {
                const size_t p = plane + b;
                const uint64_t bits = _mm512_test_epi8_mask(v, _mm512_set1_epi8((char)(1 << b)));
                uint32_t *out = (uint32_t *)scratch + (p / TILE * steps + s) * TILE + p % TILE;
                out[0] = (uint32_t)bits;
                if (s + 1 < steps) out[TILE] = (uint32_t)(bits >> 32);
            }
        }
}

/* ones per 32-bit lane; fast is a constant in every caller */
static inline __attribute__((always_inline)) __m512i popcount(__m512i v, int fast)
{
    if (fast) {
        __m512i ones;
        __asm__("vpopcntd %1, %0" : "=v"(ones) : "v"(v));
        return ones;
    }
    const __m512i of_nibble = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i low = _mm512_shuffle_epi8(of_nibble, _mm512_and_si512(v, nibble));
    const __m512i high = _mm512_shuffle_epi8(of_nibble,
                                             _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble));
    const __m512i pairs = _mm512_maddubs_epi16(_mm512_add_epi8(low, high), _mm512_set1_epi8(1));
    return _mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
}

/* A tile: ones[plane][row] of 32 rows by m planes. Named accumulators: gcc 12 would keep an array
 * of them in memory. */
typedef void Tile(int32_t ones[][ROWS], const uint32_t *weights, const uint32_t *planes,
                  size_t steps);

#define BEGIN(p)  __m512i a##p = _mm512_setzero_si512(), b##p = a##p;
#define SELECTED(x, p, m) _mm512_ternarylogic_epi32(x, p, m, SELECT)
#define STEP(p)   { const __m512i x = _mm512_set1_epi32((int)planes[p]);                           \
                    a##p = _mm512_add_epi32(a##p, popcount(SELECTED(x, p0, m0), fast));            \
                    b##p = _mm512_add_epi32(b##p, popcount(SELECTED(x, p1, m1), fast)); }
#define END(p)    _mm512_store_si512(ones[p], a##p); \
                  _mm512_store_si512(ones[p] + 16, b##p);
#define TILE_OF(m, EACH)                                                                           \
    static inline __attribute__((always_inline))                                                   \
    void bits_avx512_tile##m(int32_t ones[][ROWS], const uint32_t *weights,                       \
                             const uint32_t *planes, size_t steps, int fast)                      \
    {                                                                                              \
        EACH(BEGIN)                                                                                \
        for (; steps; steps--, weights += STEP_WORDS, planes += TILE) {                            \
            const __m512i p0 = _mm512_loadu_si512(weights), p1 = _mm512_loadu_si512(weights + 16); \
            const __m512i m0 = _mm512_loadu_si512(weights + 32);                                  \
            const __m512i m1 = _mm512_loadu_si512(weights + 48);                                  \
            for (int l = 0; l < STEP_WORDS; l += 16)                                               \
                _mm_prefetch((const char *)(weights + AHEAD / 4 + l), _MM_HINT_T0);                \
            EACH(STEP)                                                                             \
        }                                                                                          \
        EACH(END)                                                                                  \
    }                                                                                              \
    static void bits_avx512_tile##m##_shuffle(int32_t ones[][ROWS], const uint32_t *weights,      \
                                              const uint32_t *planes, size_t steps)               \
    { bits_avx512_tile##m(ones, weights, planes, steps, 0); }                                      \
    static void bits_avx512_tile##m##_popcnt(int32_t ones[][ROWS], const uint32_t *weights,       \
                                             const uint32_t *planes, size_t steps)                \
    { bits_avx512_tile##m(ones, weights, planes, steps, 1); }
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
#define TILES(count) { bits_avx512_tile1_##count, bits_avx512_tile2_##count,                      \
                       bits_avx512_tile3_##count, bits_avx512_tile4_##count,                      \
                       bits_avx512_tile5_##count, bits_avx512_tile6_##count,                      \
                       bits_avx512_tile7_##count, bits_avx512_tile8_##count }
static Tile *const bits_avx512_tiles[2][TILE] = { TILES(shuffle), TILES(popcnt) };

/* y[t] = |minus| + sum of s_b ones[b], for planes [first, first + m). The first batch row may have
 * begun in the tile before: y then holds its sum so far. */
static void bits_avx512_fold(int32_t *y, size_t rows, uint32_t lanes, const int32_t *minus,
                             int32_t ones[][ROWS], size_t first, size_t m, int act_bits)
{
    const __mmask16 l0 = (__mmask16)lanes, l1 = (__mmask16)(lanes >> 16);
    __m512i low = _mm512_setzero_si512(), high = low;
    int b = (int)(first % (size_t)act_bits);
    y += first / (size_t)act_bits * rows;
    for (size_t i = 0; i < m; i++) {
        if (b == 0) {
            low = _mm512_loadu_si512(minus);
            high = _mm512_loadu_si512(minus + 16);
        } else if (i == 0) {
            low = _mm512_maskz_loadu_epi32(l0, y);
            high = _mm512_maskz_loadu_epi32(l1, y + 16);
        }
        const __m512i o0 = _mm512_slli_epi32(_mm512_load_si512(ones[i]), (unsigned)b);
        const __m512i o1 = _mm512_slli_epi32(_mm512_load_si512(ones[i] + 16), (unsigned)b);
        const int top = b == act_bits - 1;
        low = top ? _mm512_sub_epi32(low, o0) : _mm512_add_epi32(low, o0);
        high = top ? _mm512_sub_epi32(high, o1) : _mm512_add_epi32(high, o1);
        if (top || i == m - 1) {
            _mm512_mask_storeu_epi32(y, l0, low);
            _mm512_mask_storeu_epi32(y + 16, l1, high);
        }
        if (top) y += rows;
        b = top ? 0 : b + 1;
    }
}

static void bits_avx512_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    const size_t steps = bits_avx512_steps_of(cols), planes = (size_t)n * (size_t)act_bits;
    Tile *const *const tile = bits_avx512_tiles[(cpu_has() & CPU_POPCNT512) != 0];
    for (int r = r0; r < r1; r += ROWS) {
        const uint32_t *block = (const uint32_t *)packed + HEADER / 4 +
                                (size_t)(r / ROWS) * bits_avx512_block_words(cols);
        const uint32_t lanes = r1 - r < ROWS ? (1u << (r1 - r)) - 1 : ~0u;
        for (size_t p = 0; p < planes; p += TILE) {
            _Alignas(64) int32_t ones[TILE][ROWS];
            const size_t m = planes - p < TILE ? planes - p : TILE;
            /* y is often in no cache: prefetched while the tile is computed */
            for (size_t t = p / (size_t)act_bits; t * (size_t)act_bits < p + m; t++)
                for (int l = 0; l < ROWS + 15; l += 15)
                    _mm_prefetch(
                        (const char *)(y + r + t * (size_t)rows + (l < ROWS ? l : ROWS - 1)),
                        _MM_HINT_T0);
            tile[m - 1](ones, block + ROWS, (const uint32_t *)scratch + p * steps, steps);
            bits_avx512_fold(y + r, (size_t)rows, lanes, (const int32_t *)block, ones, p, m,
                             act_bits);
        }
    }
}

const TernaryKernel ternary_bits_avx512 = {
    .name = "bits_avx512",
    .brief = "bit planes; VPTERNLOG and VPOPCNT, or VPSHUFB without it",
    .cpu = CPU_AVX2 | CPU_AVX512,
    .act_bits = 8,
    .min_bits = 1,
    .weight_bits = 2,
    .computes = 1,
    .layout = 1,
    .preference = 3,
    .drawn = 1,
    .large = { "popcnt512", 64 / 3.0, 1, 3 / 512.0 },
    .single = { "popcnt512", 64 / 3.0, 1, 3 / 512.0 },
    .packed_size = bits_avx512_packed_size,
    .pack = bits_avx512_pack,
    .scratch_size = bits_avx512_scratch_size,
    .prepare = bits_avx512_prepare,
    .gemm = bits_avx512_gemm,
};
