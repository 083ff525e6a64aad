/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bit-sliced, no vector instruction: weights and activations as planes of bits, cost proportional
 * to act_bits.
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
 *   packed   [row][1 + 2 words] uint64:  |minus|, then per 64 columns: minus, nonzero
 *   scratch  [t][b][64 columns] uint64
 *
 * Operations per 64 weights and bit: AND, XOR and about 12 to count (bits in pairs, nibbles, bytes,
 * summed over up to 31 words before the bytes are added up), half of what counting plus and minus
 * apart would take. Popcounts of bit planes as in Umuroglu et al. 2018 (BISMO, arXiv
 * 1806.08862). */
#include "kernels/ternary.h"
#include <string.h>

enum { RUN = 31 };      /* words whose byte counts, at most 8 each, stay below 256 */

static size_t bits_scalar_words_of(int cols) { return ((size_t)cols + 63) / 64; }

static size_t bits_scalar_packed_size(int rows, int cols)
{
    return (size_t)rows * (1 + 2 * bits_scalar_words_of(cols)) * 8;
}

static void bits_scalar_pack(void *packed, const int8_t *w, int rows, int cols)
{
    const size_t words = bits_scalar_words_of(cols);
    memset(packed, 0, bits_scalar_packed_size(rows, cols));
    for (size_t r = 0; r < (size_t)rows; r++) {
        uint64_t *out = (uint64_t *)packed + r * (1 + 2 * words);
        for (size_t c = 0; c < (size_t)cols; c++) {
            const int8_t v = w[r * (size_t)cols + c];
            out[0] += v < 0;
            out[1 + c / 64 * 2] |= (uint64_t)(v < 0) << c % 64;
            out[2 + c / 64 * 2] |= (uint64_t)(v != 0) << c % 64;
        }
    }
}

static size_t bits_scalar_scratch_size(int n, int cols, int act_bits)
{
    return (size_t)n * (size_t)act_bits * bits_scalar_words_of(cols) * 8;
}

static void bits_scalar_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    const size_t words = bits_scalar_words_of(cols), bits = (size_t)act_bits;
    uint64_t *out = scratch;
    memset(scratch, 0, bits_scalar_scratch_size(n, cols, act_bits));
    for (size_t t = 0; t < (size_t)n; t++, out += bits * words)
        for (size_t c = 0; c < (size_t)cols; c++)
            for (size_t b = 0; b < bits; b++)
                out[b * words + c / 64] |= (uint64_t)(x[t * (size_t)cols + c] >> b & 1) << c % 64;
}

static uint64_t bits_scalar_count_bytes(uint64_t v)
{
    v -= v >> 1 & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
    return (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
}

static int32_t bits_scalar_count(const uint64_t *planes, const uint64_t *x, size_t words)
{
    int32_t total = 0;
    for (size_t from = 0; from < words; from += RUN) {
        const size_t to = words - from < RUN ? words : from + RUN;
        uint64_t bytes = 0;
        for (size_t i = from; i < to; i++)
            bytes += bits_scalar_count_bytes(planes[2 * i] ^ (planes[2 * i + 1] & x[i]));
        const uint64_t pairs = (bytes & 0x00ff00ff00ff00ffu) + (bytes >> 8 & 0x00ff00ff00ff00ffu);
        total += (int32_t)(pairs * 0x0001000100010001u >> 48);
    }
    return total;
}

static void bits_scalar_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    const size_t words = bits_scalar_words_of(cols);
    for (int r = r0; r < r1; r++) {
        const uint64_t *row = (const uint64_t *)packed + (size_t)r * (1 + 2 * words), *x = scratch;
        for (int t = 0; t < n; t++) {
            int32_t sum = (int32_t)row[0];
            for (int b = 0; b < act_bits; b++, x += words) {
                const int32_t ones = bits_scalar_count(row + 1, x, words) * (1 << b);
                sum += b == act_bits - 1 ? -ones : ones;
            }
            y[(size_t)t * (size_t)rows + (size_t)r] = sum;
        }
    }
}

const TernaryKernel ternary_bits_scalar = {
    .name = "bits_scalar",
    .brief = "bit planes, popcount by word, no vectors",
    .cpu = 0,
    .act_bits = 8,
    .min_bits = 1,
    .weight_bits = 2,
    .computes = 1,
    .layout = 1,
    .preference = 1,
    .packed_size = bits_scalar_packed_size,
    .pack = bits_scalar_pack,
    .scratch_size = bits_scalar_scratch_size,
    .prepare = bits_scalar_prepare,
    .gemm = bits_scalar_gemm,
};
