/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Look-up: two weights are an index of 4 bits into a table of their 9 possible sums with two
 * activations, and TBL looks 16 of them up at once.
 *
 *   x = low + 16 high,  low in [-8, 7],  high in [-8, 8];     index = (w0 + 1) + 3 (w1 + 1)
 *   table[index] = w0 x0 + w1 x1, once for low and once for high: within [-16, 16], sums fit a byte
 *
 *   packed   [block of 32 rows][4 cols][row]    bits 7..4       3..0
 *                                     index of    cols 4g+2,+3    cols 4g,+1
 *   scratch  [t][4 cols]: four 16-byte tables:
 *            first pair of columns: low, high; second pair: low, high
 *
 * A byte lane is a row. Six look-ups, 3 * 2 * 16 < 128, are added in bytes, then to 16 bits: 300
 * runs * 96 < 2^15. Operations: 10 instructions per 64 weights (2 to split indices, 4 look-ups, 4
 * additions) and 4 per 3 of these to widen; nothing is shared between batch rows. As in T-MAC
 * (arXiv 2407.00088) and bitnet.cpp's TL1 (arXiv 2410.16144), but exact. */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <arm_neon.h>
#include <string.h>

enum { ROWS = 32, CHUNK = 4, CHUNK_BYTES = 32, TABLES = 64, RUN = 3, RUNS = 300 };
enum { BATCH_BYTES = 1 << 19 };      /* of tables that stay in L2 while the blocks pass */

static size_t lut_neon_chunks_of(int cols) { return ((size_t)cols + CHUNK - 1) / CHUNK; }

static size_t lut_neon_packed_size(int rows, int cols)
{
    return ((size_t)rows + ROWS - 1) / ROWS * lut_neon_chunks_of(cols) * CHUNK_BYTES;
}

static void lut_neon_pack(void *packed, const int8_t *w, int rows, int cols)
{
    static const uint8_t place[4] = { 1, 3, 16, 48 };
    const size_t chunks = lut_neon_chunks_of(cols);
    memset(packed, 4 * 17, lut_neon_packed_size(rows, cols));      /* 4 = 1 + 3: both weights 0 */
    for (size_t r = 0; r < (size_t)rows; r++) {
        uint8_t *out = (uint8_t *)packed + r / ROWS * chunks * CHUNK_BYTES + r % ROWS;
        for (size_t c = 0; c < (size_t)cols; c++) {
            uint8_t *byte = out + c / CHUNK * CHUNK_BYTES;
            *byte = (uint8_t)(*byte + w[r * (size_t)cols + c] * place[c % 4]);
        }
    }
}

static size_t lut_neon_scratch_size(int n, int cols, int act_bits)
{
    (void)act_bits;
    return (size_t)n * lut_neon_chunks_of(cols) * TABLES;
}

static void lut_neon_tabulate(int8_t *low, int8_t *high, int x0, int x1)
{
    static const int8_t first[16] = { -1, 0, 1, -1, 0, 1, -1, 0, 1 },
                        second[16] = { -1, -1, -1, 0, 0, 0, 1, 1, 1 };
    const int8x16_t w0 = vld1q_s8(first), w1 = vld1q_s8(second);
    const int high0 = (x0 + 8) >> 4, high1 = (x1 + 8) >> 4;
    const int8x16_t l0 = vdupq_n_s8((int8_t)(x0 - 16 * high0)),
                    l1 = vdupq_n_s8((int8_t)(x1 - 16 * high1));
    const int8x16_t h0 = vdupq_n_s8((int8_t)high0), h1 = vdupq_n_s8((int8_t)high1);
    vst1q_s8(low, vmlaq_s8(vmulq_s8(l0, w0), l1, w1));
    vst1q_s8(high, vmlaq_s8(vmulq_s8(h0, w0), h1, w1));
}

static void lut_neon_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    (void)act_bits;
    int8_t *out = scratch;
    for (int t = 0; t < n; t++, x += cols)
        for (int c = 0; c < cols; c += CHUNK, out += TABLES) {
            int8_t some[CHUNK] = { 0 };
            memcpy(some, x + c, (size_t)(cols - c < CHUNK ? cols - c : CHUNK));
            lut_neon_tabulate(out, out + 16, some[0], some[1]);
            lut_neon_tabulate(out + 32, out + 48, some[2], some[3]);
        }
}

typedef struct { int8x16_t low, high; } Bytes;

/* sixteen rows by four columns */
static inline Bytes chunk16(Bytes s, const uint8_t *p, const int8_t *tables)
{
    const uint8x16_t v = vld1q_u8(p), first = vandq_u8(v, vdupq_n_u8(15)),
                     second = vshrq_n_u8(v, 4);
    s.low = vaddq_s8(s.low, vqtbl1q_s8(vld1q_s8(tables), first));
    s.high = vaddq_s8(s.high, vqtbl1q_s8(vld1q_s8(tables + 16), first));
    s.low = vaddq_s8(s.low, vqtbl1q_s8(vld1q_s8(tables + 32), second));
    s.high = vaddq_s8(s.high, vqtbl1q_s8(vld1q_s8(tables + 48), second));
    return s;
}

typedef struct { int16x8_t low[2], high[2]; } Words;      /* of eight rows each */

static inline Words widen(Words s, Bytes b)
{
    s.low[0] = vaddw_s8(s.low[0], vget_low_s8(b.low));
    s.low[1] = vaddw_high_s8(s.low[1], b.low);
    s.high[0] = vaddw_s8(s.high[0], vget_low_s8(b.high));
    s.high[1] = vaddw_high_s8(s.high[1], b.high);
    return s;
}

/* sums of eight rows += low + 16 high */
static inline void deal(int32_t *sums, int16x8_t low, int16x8_t high)
{
    const int32x4_t s0 = vaddw_s16(vshll_n_s16(vget_low_s16(high), 4), vget_low_s16(low));
    const int32x4_t s1 = vaddw_high_s16(vshll_high_n_s16(high, 4), low);
    vst1q_s32(sums, vaddq_s32(vld1q_s32(sums), s0));
    vst1q_s32(sums + 4, vaddq_s32(vld1q_s32(sums + 4), s1));
}

/* one batch row, one block of 32 rows, into sums */
static void lut_neon_stream(int32_t *sums, const uint8_t *block, const int8_t *tables,
                            size_t chunks)
{
    const int8x16_t zero = vdupq_n_s8(0);
    const int16x8_t zero16 = vdupq_n_s16(0);
    memset(sums, 0, ROWS * sizeof *sums);
    while (chunks) {
        Words a = { { zero16, zero16 }, { zero16, zero16 } }, b = a;
        for (int run = 0; run < RUNS && chunks; run++) {
            Bytes s = { zero, zero }, u = s;
            const size_t some = chunks < RUN ? chunks : RUN;
            for (size_t c = 0; c < some; c++, block += CHUNK_BYTES, tables += TABLES) {
                s = chunk16(s, block, tables);
                u = chunk16(u, block + 16, tables);
            }
            a = widen(a, s);
            b = widen(b, u);
            chunks -= some;
        }
        for (int half = 0; half < 2; half++) {
            deal(sums + 8 * half, a.low[half], a.high[half]);
            deal(sums + 16 + 8 * half, b.low[half], b.high[half]);
        }
    }
}

static void lut_neon_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    const size_t chunks = lut_neon_chunks_of(cols), bytes = chunks * TABLES;
    const int batch = bytes < BATCH_BYTES ? (int)(BATCH_BYTES / bytes) : 1;
    for (int t0 = 0; t0 < n; t0 += batch)
        for (int r = r0; r < r1; r += ROWS) {
            const uint8_t *block = (const uint8_t *)packed +
                                   (size_t)(r / ROWS) * chunks * CHUNK_BYTES;
            const size_t height = (size_t)(r1 - r < ROWS ? r1 - r : ROWS);
            for (int t = t0; t < n && t < t0 + batch; t++) {
                int32_t sums[ROWS];
                lut_neon_stream(sums, block, (const int8_t *)scratch + (size_t)t * bytes, chunks);
                memcpy(y + (size_t)t * (size_t)rows + r, sums, height * sizeof *sums);
            }
        }
}

const TernaryKernel ternary_lut_neon = {
    .name = "lut_neon",
    .brief = "tables of two activations; TBL",
    .cpu = CPU_NEON, .act_bits = 8, .min_bits = 8, .weight_bits = 2, .computes = 1,
    .layout = 1,
    .drawn = 1,
    .large = { "f32_fma_neon", 8, 1, 12 / 64.0 },
    .single = { "f32_fma_neon", 8, 1, 12 / 64.0 },
    .packed_size = lut_neon_packed_size, .pack = lut_neon_pack,
    .scratch_size = lut_neon_scratch_size, .prepare = lut_neon_prepare, .gemm = lut_neon_gemm,
};
