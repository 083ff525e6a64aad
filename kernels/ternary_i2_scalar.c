/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two bits per weight, no vector instruction: the baseline of every speed-up.
 *
 * A byte holds four weights of one row, code = w + 1, so it has 81 possible sums with four given
 * activations; they are tabulated once per block of columns and looked up by every row. A 64-bit
 * word carries four batch rows in fields of 16 bits, so one addition serves four of them:
 *
 *   packed   [row][g]    byte      bits 7..6  5..4  3..2  1..0    a column beyond cols has w = 0
 *                                  col  4g+3  4g+2  4g+1  4g
 *   scratch  [q][col]    uint64    x[4q+3][col] << 48 + x[4q+2][col] << 32
 *                                  + x[4q+1][col] << 16 + x[4q][col]
 *   table    [g][code]   uint64    sum over i < 4 of (code_i - 1) * scratch[4g + i]
 *
 * The fields are signed and borrow from each other; arithmetic is modulo 2^64 and i2_scalar_field
 * undoes the borrows. A block of 64 columns keeps a field within 64 * 128 < 2^15 and the table in
 * L1.
 * Operations: 3 instructions (load a code, load and add a sum) per 16 products. Idea: the method of
 * four Russians (Arlazarov et al. 1970); tables of activations for low-bit weights as in T-MAC
 * (arXiv 2407.00088). */
#include "kernels/ternary.h"

/* GROUPS bytes of a row are one block: 64 columns */
enum { FIELDS = 4, GROUPS = 16, CODES = 256 };

static size_t i2_scalar_groups_of(int cols) { return ((size_t)cols + 3) / 4; }

static size_t i2_scalar_packed_size(int rows, int cols)
{
    return (size_t)rows * i2_scalar_groups_of(cols);
}

static void i2_scalar_pack(void *packed, const int8_t *w, int rows, int cols)
{
    const size_t groups = i2_scalar_groups_of(cols);
    for (size_t r = 0; r < (size_t)rows; r++)
        for (size_t g = 0; g < groups; g++) {
            unsigned byte = 0;
            for (size_t i = 0; i < 4; i++) {
                const size_t c = 4 * g + i;
                const int code = c < (size_t)cols ? w[r * (size_t)cols + c] + 1 : 1;
                byte |= (unsigned)code << (2 * i);
            }
            ((uint8_t *)packed)[r * groups + g] = (uint8_t)byte;
        }
}

static size_t i2_scalar_scratch_size(int n, int cols, int act_bits)
{
    (void)act_bits;
    return ((size_t)n + FIELDS - 1) / FIELDS * i2_scalar_groups_of(cols) * 4 * sizeof(uint64_t);
}

static void i2_scalar_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    (void)act_bits;
    const int padded = (int)i2_scalar_groups_of(cols) * 4;
    uint64_t *out = scratch;
    for (int t = 0; t < n; t += FIELDS)
        for (int c = 0; c < padded; c++) {
            uint64_t word = 0;
            for (int f = 0; c < cols && f < FIELDS && t + f < n; f++)
                word += (uint64_t)(int64_t)x[(size_t)(t + f) * (size_t)cols + (size_t)c]
                        << (16 * f);
            *out++ = word;
        }
}

/* the 81 sums of four words; codes with a digit of 3 do not occur and stay unset */
static void i2_scalar_tabulate(uint64_t *table, const uint64_t *x)
{
    uint64_t s3 = 0 - x[0] - x[1] - x[2] - x[3];
    for (unsigned c3 = 0; c3 < 3; c3++, s3 += x[3]) {
        uint64_t s2 = s3;
        for (unsigned c2 = 0; c2 < 3; c2++, s2 += x[2]) {
            uint64_t s1 = s2;
            for (unsigned c1 = 0; c1 < 3; c1++, s1 += x[1]) {
                uint64_t *at = table + (c3 << 6 | c2 << 4 | c1 << 2);
                at[0] = s1;
                at[1] = s1 + x[0];
                at[2] = s1 + x[0] + x[0];
            }
        }
    }
}

static uint64_t i2_scalar_look_up(uint64_t table[][CODES], const uint8_t *codes, size_t groups)
{
    uint64_t a = 0, b = 0;
    size_t g = 0;
    for (; g + 4 <= groups; g += 4) {
        a += table[g][codes[g]] + table[g + 1][codes[g + 1]];
        b += table[g + 2][codes[g + 2]] + table[g + 3][codes[g + 3]];
    }
    for (; g < groups; g++) a += table[g][codes[g]];
    return a + b;
}

static int i2_scalar_field(uint64_t *word)
{
    const int low = (int16_t)*word;
    *word = (*word - (uint64_t)(int64_t)low) >> 16;
    return low;
}

static void i2_scalar_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    const size_t groups = i2_scalar_groups_of(cols);
    uint64_t table[GROUPS][CODES];
    for (int t = 0; t < n; t += FIELDS) {
        const uint64_t *x = (const uint64_t *)scratch + (size_t)(t / FIELDS) * groups * 4;
        const int fields = n - t < FIELDS ? n - t : FIELDS;
        for (size_t g0 = 0; g0 < groups; g0 += GROUPS) {
            const size_t some = groups - g0 < GROUPS ? groups - g0 : GROUPS;
            for (size_t g = 0; g < some; g++) i2_scalar_tabulate(table[g], x + 4 * (g0 + g));
            for (int r = r0; r < r1; r++) {
                uint64_t sums = i2_scalar_look_up(
                    table, (const uint8_t *)packed + (size_t)r * groups + g0, some);
                int32_t *out = y + (size_t)t * (size_t)rows + r;
                for (int f = 0; f < fields; f++, out += rows)
                    *out = (g0 ? *out : 0) + i2_scalar_field(&sums);
            }
        }
    }
}

const TernaryKernel ternary_i2_scalar = {
    .name = "i2_scalar",
    .brief = "2 bits, tables of a byte's sums, no vectors",
    .cpu = 0, .act_bits = 8, .min_bits = 8, .weight_bits = 2, .computes = 1,
    .layout = 1, .preference = 1, .drawn = 1,
    .packed_size = i2_scalar_packed_size, .pack = i2_scalar_pack,
    .scratch_size = i2_scalar_scratch_size, .prepare = i2_scalar_prepare, .gemm = i2_scalar_gemm,
};
