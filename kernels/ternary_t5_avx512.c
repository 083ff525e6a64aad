/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Five weights a byte in base 3, 1.6 bits per weight, for weights read from memory. Digits
 * d = w + 1:
 *
 *   y[t][r] = sum_c d[r][c] * x[t][c]  -  sum_c x[t][c]
 *
 *   packed   128 bytes: table[v] = d0 | d1 << 2 | d2 << 4 | d3 << 6 of v = d0 + 3 d1 + 9 d2 + 27 d3
 *            [block of 32 rows][chunk of 20 cols][row][i < 4]    81 d4 + 27 d3 + 9 d2 + 3 d1 + d0
 *                                                      col 20c+  16+i    12+i    8+i    4+i    i
 *   scratch  [t] int32 -sum of x, padded to 64 bytes;  [t][cols padded to 20 and 64, plus 64] int8
 *   panel    [4 cols][row < 32][i < 4]: the digits of PANEL columns of a block, one a byte;
 *            on the stack, L1
 *
 * v mod 81 is min(v, v - 81) twice, in unsigned bytes; VPERMI2B looks its four digits up;
 * v - v mod 81 = 81 d4.
 *
 *   n < PANEL_FROM   each batch row streams the block. Fields are not shifted down, each has an
 *                    accumulator: four are scaled by 4^j, the fifth by 81, undone by the inverse of
 *                    81 modulo 2^32. 15 instructions per 320 weights (4 to reduce, 1 look-up, 1
 *                    subtraction, 4 AND, 5 VPDPBUSD), 1.5 times those of i2_avx512 per weight for
 *                    4/5 of the bytes: the vector ports are the limit in L1 and L2, the bandwidth
 *                    beyond
 *   larger n         digits are unpacked into the panel once; a register tile is 32 rows by up to 4
 *                    batch rows
 *
 * Five ternary digits a byte as in TQ1_0 of llama.cpp, decoded in another way. VPDPBUSD and
 * VPERMI2B are written as assembly because the file is compiled for CPUs that lack them. */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <immintrin.h>
#include <string.h>

enum { ROWS = 32, CHUNK = 20, CHUNK_BYTES = 128, HEADER = 128, PANEL_CHUNKS = 48 };
enum { PANEL_FROM = 5, TILE = 4, AHEAD = 2048 };
/* 64 * 2 * 128 * 4 per chunk stays within int32 */
enum { EXACT_CHUNKS = 1 << 14 };
static const unsigned INVERSE_OF_81 = 2014922929u;    /* modulo 2^32 */

static size_t t5_avx512_chunks_of(int cols) { return ((size_t)cols + CHUNK - 1) / CHUNK; }
static size_t t5_avx512_stride_of(int cols)
{
    return (t5_avx512_chunks_of(cols) * CHUNK + 63) / 64 * 64 + 64;
}
static size_t t5_avx512_sums_size(int n) { return ((size_t)n + 15) / 16 * 64; }

static size_t t5_avx512_packed_size(int rows, int cols)
{
    return HEADER + ((size_t)rows + ROWS - 1) / ROWS * t5_avx512_chunks_of(cols) * CHUNK_BYTES;
}

static void t5_avx512_pack(void *packed, const int8_t *w, int rows, int cols)
{
    static const uint8_t power[] = { 1, 3, 9, 27, 81 };
    const size_t chunks = t5_avx512_chunks_of(cols);
    uint8_t *table = packed;
    memset(packed, 0, t5_avx512_packed_size(rows, cols));
    for (int v = 0; v < 81; v++)
        table[v] = (uint8_t)(v % 3 | v / 3 % 3 << 2 | v / 9 % 3 << 4 | v / 27 << 6);
    for (size_t r = 0; r < (size_t)rows; r++) {
        uint8_t *out = (uint8_t *)packed + HEADER + r / ROWS * chunks * CHUNK_BYTES + r % ROWS * 4;
        for (size_t c = 0; c < (size_t)cols; c++) {
            uint8_t *byte = out + c / CHUNK * CHUNK_BYTES + c % 4;
            *byte = (uint8_t)(*byte + (w[r * (size_t)cols + c] + 1) * power[c % CHUNK / 4]);
        }
    }
}

static size_t t5_avx512_scratch_size(int n, int cols, int act_bits)
{
    (void)act_bits;
    return t5_avx512_sums_size(n) + (size_t)n * t5_avx512_stride_of(cols);
}

static void t5_avx512_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    (void)act_bits;
    int32_t *sums = scratch;
    int8_t *out = (int8_t *)scratch + t5_avx512_sums_size(n);
    const __m512i flip = _mm512_set1_epi8(-128);
    for (int t = 0; t < n; t++, x += cols, out += t5_avx512_stride_of(cols)) {
        __m512i sum = _mm512_setzero_si512();      /* of x + 128: VPSADBW takes unsigned bytes */
        int c = 0;
        for (; c + 64 <= cols; c += 64) {
            const __m512i v = _mm512_loadu_si512(x + c);
            _mm512_store_si512(out + c, v);
            sum = _mm512_add_epi64(
                sum, _mm512_sad_epu8(_mm512_xor_si512(v, flip), _mm512_setzero_si512()));
        }
        int64_t rest = 128ll * c - _mm512_reduce_add_epi64(sum);
        memset(out + c, 0, t5_avx512_stride_of(cols) - (size_t)c);
        for (; c < cols; c++) {
            out[c] = x[c];
            rest -= x[c];
        }
        sums[t] = (int32_t)rest;
    }
}

static inline __m512i dot(__m512i acc, __m512i codes, __m512i x)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(x));
    return acc;
}

static inline __m512i look_up(__m512i index, __m512i low, __m512i high)
{
    __asm__("vpermi2b %2, %1, %0" : "+v"(index) : "v"(low), "v"(high));
    return index;
}

static inline __m512i four(const int8_t *x)
{
    int32_t v;
    memcpy(&v, x, 4);
    return _mm512_set1_epi32(v);
}

static inline __m512i mod81(__m512i v)
{
    const __m512i b = _mm512_set1_epi8(81);
    v = _mm512_min_epu8(v, _mm512_sub_epi8(v, b));
    return _mm512_min_epu8(v, _mm512_sub_epi8(v, b));
}

/* of sixteen rows, scaled by 1 4 16 64 81 */
typedef struct { __m512i a0, a1, a2, a3, a4; } Sums;

static inline __attribute__((always_inline))
void t5_avx512_chunk16(Sums *s, const uint8_t *p, const uint8_t *table, const int8_t *x)
{
    const __m512i v = _mm512_loadu_si512(p), rest = mod81(v);
    const __m512i d = look_up(rest, _mm512_loadu_si512(table), _mm512_loadu_si512(table + 64));
    s->a0 = dot(s->a0, _mm512_and_si512(d, _mm512_set1_epi8(3)), four(x));
    s->a1 = dot(s->a1, _mm512_and_si512(d, _mm512_set1_epi8(12)), four(x + 4));
    s->a2 = dot(s->a2, _mm512_and_si512(d, _mm512_set1_epi8(48)), four(x + 8));
    s->a3 = dot(s->a3, _mm512_and_si512(d, _mm512_set1_epi8(-64)), four(x + 12));
    s->a4 = dot(s->a4, _mm512_sub_epi8(v, rest), four(x + 16));
}

static inline __m512i unscale(Sums s)
{
    const __m512i low = _mm512_add_epi32(s.a0, _mm512_srai_epi32(s.a1, 2));
    const __m512i high = _mm512_add_epi32(_mm512_srai_epi32(s.a2, 4), _mm512_srai_epi32(s.a3, 6));
    const __m512i last = _mm512_mullo_epi32(s.a4, _mm512_set1_epi32((int)INVERSE_OF_81));
    return _mm512_add_epi32(_mm512_add_epi32(low, high), last);
}

/* one batch row, one block; y points to its first row, of which `lanes` are stored */
static void t5_avx512_stream(int32_t *y, uint32_t lanes, const uint8_t *block, const uint8_t *table,
                             const int8_t *x, int32_t bias, size_t chunks)
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i low = _mm512_set1_epi32(bias), high = low;
    while (chunks) {
        const size_t some = chunks < EXACT_CHUNKS ? chunks : EXACT_CHUNKS;
        Sums a = { zero, zero, zero, zero, zero }, b = a;
        for (size_t c = 0; c < some; c++, block += CHUNK_BYTES, x += CHUNK) {
            _mm_prefetch((const char *)(block + AHEAD), _MM_HINT_T0);
            _mm_prefetch((const char *)(block + AHEAD + 64), _MM_HINT_T0);
            t5_avx512_chunk16(&a, block, table, x);
            t5_avx512_chunk16(&b, block + 64, table, x);
        }
        low = _mm512_add_epi32(low, unscale(a));
        high = _mm512_add_epi32(high, unscale(b));
        chunks -= some;
    }
    _mm512_mask_storeu_epi32(y, (__mmask16)lanes, low);
    _mm512_mask_storeu_epi32(y + 16, (__mmask16)(lanes >> 16), high);
}

static void t5_avx512_unpack(uint8_t *panel, const uint8_t *block, const uint8_t *table,
                             size_t chunks)
{
    const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64),
                  two_bits = _mm512_set1_epi8(3);
    for (; chunks; chunks--, block += CHUNK_BYTES, panel += 5 * CHUNK_BYTES)
        for (int half = 0; half < 128; half += 64) {
            const __m512i v = _mm512_loadu_si512(block + half), rest = mod81(v),
                          d = look_up(rest, t0, t1);
            const __m512i last = _mm512_sub_epi8(v, rest);      /* 0, 81, 162: bits 7..6 are d4 */
            _mm512_store_si512(panel + half, _mm512_and_si512(d, two_bits));
            _mm512_store_si512(panel + 128 + half,
                               _mm512_and_si512(_mm512_srli_epi16(d, 2), two_bits));
            _mm512_store_si512(panel + 256 + half,
                               _mm512_and_si512(_mm512_srli_epi16(d, 4), two_bits));
            _mm512_store_si512(panel + 384 + half,
                               _mm512_and_si512(_mm512_srli_epi16(d, 6), two_bits));
            _mm512_store_si512(panel + 512 + half,
                               _mm512_and_si512(_mm512_srli_epi16(last, 6), two_bits));
        }
}

/* A tile is 32 rows by m batch rows over `quads` groups of four columns; the first slice of columns
 * starts from the bias, the others from y. Named accumulators: gcc 12 would keep an array of them
 * in memory. */
typedef struct { uint32_t lanes; int first; size_t rows, stride, quads; const int32_t *bias; } Span;
typedef void Tile(int32_t *y, const uint8_t *panel, const int8_t *x, const Span *s);

#define OLD(lanes, y) _mm512_maskz_loadu_epi32((__mmask16)(lanes), y)
#define BEGIN(t)  int32_t *const y##t = y + (t) * s->rows;                                         \
                  const __m512i bias##t = _mm512_set1_epi32(s->bias[t]);                           \
                  __m512i a##t = s->first ? bias##t : OLD(s->lanes, y##t);                        \
                  __m512i b##t = s->first ? bias##t : OLD(s->lanes >> 16, y##t + 16);
#define STEP(t)   { const __m512i v = four(x + (t) * s->stride);                                  \
                    a##t = dot(a##t, low, v);                                                     \
                    b##t = dot(b##t, high, v); }
#define END(t)    _mm512_mask_storeu_epi32(y##t, (__mmask16)s->lanes, a##t); \
                  _mm512_mask_storeu_epi32(y##t + 16, (__mmask16)(s->lanes >> 16), b##t);
#define TILE_OF(m, EACH)                                                                           \
    static void t5_avx512_tile##m(int32_t *y, const uint8_t *panel, const int8_t *x,              \
                                  const Span *s)                                                  \
    {                                                                                              \
        EACH(BEGIN)                                                                                \
        for (size_t q = 0; q < s->quads; q++, x += 4, panel += 128) {                              \
            const __m512i low = _mm512_load_si512(panel), high = _mm512_load_si512(panel + 64);    \
            EACH(STEP)                                                                             \
        }                                                                                          \
        EACH(END)                                                                                  \
    }
#define EACH1(M) M(0)
#define EACH2(M) EACH1(M) M(1)
#define EACH3(M) EACH2(M) M(2)
#define EACH4(M) EACH3(M) M(3)
TILE_OF(1, EACH1)
TILE_OF(2, EACH2)
TILE_OF(3, EACH3)
TILE_OF(4, EACH4)
static Tile *const t5_avx512_tiles[TILE] = { t5_avx512_tile1, t5_avx512_tile2, t5_avx512_tile3,
                                             t5_avx512_tile4 };

/* a block by n batch rows, shared evenly among tiles of at most TILE */
static void t5_avx512_block_gemm(int32_t *y, const uint8_t *block, const uint8_t *table,
                                 const int8_t *x, int n, size_t chunks, Span s)
{
    _Alignas(64) uint8_t panel[PANEL_CHUNKS * CHUNK * ROWS];
    const int32_t *const bias = s.bias;
    const int parts = (n + TILE - 1) / TILE;
    for (size_t c = 0; c < chunks; c += PANEL_CHUNKS) {
        const size_t some = chunks - c < PANEL_CHUNKS ? chunks - c : PANEL_CHUNKS;
        t5_avx512_unpack(panel, block + c * CHUNK_BYTES, table, some);
        s.quads = some * 5;
        s.first = c == 0;
        for (int p = 0; p < parts; p++) {
            const int t = (int)((long)n * p / parts), m = (int)((long)n * (p + 1) / parts) - t;
            s.bias = bias + t;
            t5_avx512_tiles[m - 1](y + (size_t)t * s.rows, panel,
                                   x + (size_t)t * s.stride + c * CHUNK, &s);
        }
    }
}

static void t5_avx512_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    const size_t chunks = t5_avx512_chunks_of(cols), stride = t5_avx512_stride_of(cols);
    const int32_t *bias = scratch;
    const int8_t *x = (const int8_t *)scratch + t5_avx512_sums_size(n);
    for (int r = r0; r < r1; r += ROWS) {
        const uint8_t *block = (const uint8_t *)packed + HEADER +
                               (size_t)(r / ROWS) * chunks * CHUNK_BYTES;
        const Span s = { .lanes = r1 - r < ROWS ? (1u << (r1 - r)) - 1 : ~0u,
                         .rows = (size_t)rows,
                         .stride = stride,
                         .bias = bias };
        if (n >= PANEL_FROM) t5_avx512_block_gemm(y + r, block, packed, x, n, chunks, s);
        else for (int t = 0; t < n; t++)
                t5_avx512_stream(y + (size_t)t * s.rows + r, s.lanes, block, packed,
                                 x + (size_t)t * stride, bias[t], chunks);
    }
}

const TernaryKernel ternary_t5_avx512 = {
    .name = "t5_avx512",
    .brief = "base 3, five weights a byte; VPERMI2B and VPDPBUSD",
    .cpu = CPU_AVX2 | CPU_AVX512 | CPU_VNNI | CPU_VBMI,
    .act_bits = 8,
    .min_bits = 8,
    .weight_bits = 1.6,
    .computes = 1,
    .layout = 1,
    .drawn = 1,
    .large = { "int8_vnni512", 128, 1, 1 / 64.0 },
    .single = { "int8_vnni512", 128, 1, 15 / 320.0 },
    .packed_size = t5_avx512_packed_size,
    .pack = t5_avx512_pack,
    .scratch_size = t5_avx512_scratch_size,
    .prepare = t5_avx512_prepare,
    .gemm = t5_avx512_gemm,
};
