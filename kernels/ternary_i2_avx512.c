/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two bits per weight, code = w + 1, for VPDPBUSD (unsigned code times signed activation, four
 * products per lane):
 *
 *   y[t][r] = sum_c code[r][c] * x[t][c]  -  sum_c x[t][c]
 *
 *   packed   64 bytes of zeros
 *            [block of 32 rows][chunk of 16 cols][row][i < 4]    bits 7..6  5..4   3..2   1..0
 *                                                           col  16c+  12+i   8+i    4+i    i
 *   scratch  [t] int32 -sum of x, padded to 64 bytes;  [t][cols padded to 64, plus 64 more] int8
 *   panel    [4 cols][row < 32][i < 4]: the codes of PANEL columns of a block, one a byte;
 *            on the stack, L1
 *
 * A 32-bit lane is a row: a vector of packed bytes ANDed with 3 << 2j is the operand of columns
 * 4j..4j+3, and the four activations are broadcast.
 *
 *   n <= STREAM   each batch row streams the packed block. The fields are not even shifted down:
 *                 each has its own accumulator, scaled by 4^j, shifted once at the end. 2
 *                 instructions per 64 weights (AND, VPDPBUSD): the two vector ports allow 128
 *                 operations a cycle and consume 16 bytes a cycle. From memory, a prefetch AHEAD
 *                 bytes before the use turns 88 % of the read bandwidth into all of it
 *   larger n      a block is unpacked into the panel once per BATCH_BYTES of activations; a
 *                 register tile is 32 rows by up to 8 batch rows: 16 accumulators, 2 loads of codes
 *                 and 8 broadcasts per 16 VPDPBUSD
 *
 * Without VNNI, VPMADDUBSW + VPMADDWD + VPADDD replace it: the largest pair sum, 64 * 2 * -128 * 2,
 * is exactly -2^15, so nothing saturates. VPDPBUSD is written as assembly because the file is
 * compiled for CPUs that lack it.
 *
 * i8_avx512, also here, is the control for the two bits: the same codes one a byte, in the order of
 * the panel, by the same tiles, so that the two differ in what is read and in the unpacking alone,
 *
 *   packed   [block of 32 rows][4 cols][row < 32][i < 4]
 *
 *   n <= STREAM   each batch row streams the block: 1 instruction per 64 weights */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <immintrin.h>
#include <string.h>

enum { ROWS = 32, CHUNK = 16, CHUNK_BYTES = 128, HEADER = 64 };
enum { STREAM = 5, PANEL = 1024, BATCH_BYTES = 1 << 18, TILE = 8, AHEAD = 2048 };
enum { EXACT_CHUNKS = 1 << 14 };      /* 64 * 2 * 128 * 4 per chunk stays within int32 */

static size_t i2_avx512_chunks_of(int cols) { return ((size_t)cols + CHUNK - 1) / CHUNK; }
static size_t i2_avx512_stride_of(int cols) { return ((size_t)cols + 63) / 64 * 64 + 64; }
static size_t i2_avx512_sums_size(int n) { return ((size_t)n + 15) / 16 * 64; }

static size_t i2_avx512_packed_size(int rows, int cols)
{
    return HEADER + ((size_t)rows + ROWS - 1) / ROWS * i2_avx512_chunks_of(cols) * CHUNK_BYTES;
}

/* the four codes of a dword at once: -1, 0, 1 end in the bits 11, 00, 01 */
static uint32_t i2_avx512_codes_of(const int8_t *w)
{
    const uint32_t two = 0x03030303;
    uint32_t v;
    memcpy(&v, w, 4);
    return ((v & two) + 0x01010101) & two;
}

static void i2_avx512_pack(void *packed, const int8_t *w, int rows, int cols)
{
    const size_t chunks = i2_avx512_chunks_of(cols);
    uint8_t *block = (uint8_t *)packed + HEADER;
    memset(packed, 0, i2_avx512_packed_size(rows, cols));
    for (size_t r = 0; r < (size_t)rows; r++) {
        uint8_t *out = block + r / ROWS * chunks * CHUNK_BYTES + r % ROWS * 4;
        const int8_t *from = w + r * (size_t)cols;
        size_t c = 0;
        for (; c + CHUNK <= (size_t)cols; c += CHUNK, from += CHUNK) {
            const uint32_t v = i2_avx512_codes_of(from) | i2_avx512_codes_of(from + 4) << 2 |
                               i2_avx512_codes_of(from + 8) << 4 |
                               i2_avx512_codes_of(from + 12) << 6;
            memcpy(out + c / CHUNK * CHUNK_BYTES, &v, 4);
        }
        for (; c < (size_t)cols; c++)
            out[c / CHUNK * CHUNK_BYTES + c % 4] |= (uint8_t)((w[r * (size_t)cols + c] + 1)
                                                              << (c % CHUNK / 4 * 2));
    }
}

static size_t i2_avx512_scratch_size(int n, int cols, int act_bits)
{
    (void)act_bits;
    return i2_avx512_sums_size(n) + (size_t)n * i2_avx512_stride_of(cols);
}

static void i2_avx512_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    (void)act_bits;
    int32_t *sums = scratch;
    int8_t *out = (int8_t *)scratch + i2_avx512_sums_size(n);
    const __m512i flip = _mm512_set1_epi8(-128);
    for (int t = 0; t < n; t++, x += cols, out += i2_avx512_stride_of(cols)) {
        __m512i sum = _mm512_setzero_si512();      /* of x + 128: VPSADBW takes unsigned bytes */
        int c = 0;
        for (; c + 64 <= cols; c += 64) {
            const __m512i v = _mm512_loadu_si512(x + c);
            _mm512_store_si512(out + c, v);
            sum = _mm512_add_epi64(
                sum, _mm512_sad_epu8(_mm512_xor_si512(v, flip), _mm512_setzero_si512()));
        }
        if (c < cols) {
            const __mmask64 rest = ~0ull >> (64 - (cols - c));
            const __m512i v = _mm512_maskz_loadu_epi8(rest, x + c);
            _mm512_store_si512(out + c, v);
            const __m512i biased = _mm512_maskz_mov_epi8(rest, _mm512_xor_si512(v, flip));
            sum = _mm512_add_epi64(sum, _mm512_sad_epu8(biased, _mm512_setzero_si512()));
        }
        sums[t] = (int32_t)(128ll * cols - _mm512_reduce_add_epi64(sum));
    }
}

/* acc += the four products of each lane; vnni is a constant in every caller */
static inline __attribute__((always_inline)) __m512i dot(__m512i acc, __m512i codes, __m512i x,
                                                         int vnni)
{
    if (vnni) {
        __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(x));
        return acc;
    }
    const __m512i pairs = _mm512_maddubs_epi16(codes, x);
    return _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

static inline __m512i four(const int8_t *x)
{
    int32_t v;
    memcpy(&v, x, 4);
    return _mm512_set1_epi32(v);
}

static inline __attribute__((always_inline)) __m512i field(const uint8_t *packed, int j)
{
    return _mm512_and_si512(_mm512_loadu_si512(packed), _mm512_set1_epi8((char)(3 << 2 * j)));
}

static inline __m512i unscale(__m512i a0, __m512i a1, __m512i a2, __m512i a3)
{
    a0 = _mm512_add_epi32(a0, _mm512_srai_epi32(a1, 2));
    a2 = _mm512_add_epi32(_mm512_srai_epi32(a2, 4), _mm512_srai_epi32(a3, 6));
    return _mm512_add_epi32(a0, a2);
}

/* one batch row, one block; y points to its first row, of which `lanes` are stored */
static inline __attribute__((always_inline)) void i2_avx512_stream(int32_t *y, uint32_t lanes,
                                                                   const uint8_t *block,
                                                                   const int8_t *x, int32_t bias,
                                                                   size_t chunks, int vnni)
{
    __m512i low = _mm512_set1_epi32(bias), high = low;
    while (chunks) {
        const size_t some = chunks < EXACT_CHUNKS ? chunks : EXACT_CHUNKS;
        __m512i a0 = _mm512_setzero_si512(), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0,
                b3 = a0;
        for (size_t c = 0; c < some; c++, block += CHUNK_BYTES, x += CHUNK) {
            const __m512i x0 = four(x), x1 = four(x + 4), x2 = four(x + 8), x3 = four(x + 12);
            _mm_prefetch((const char *)(block + AHEAD), _MM_HINT_T0);
            _mm_prefetch((const char *)(block + AHEAD + 64), _MM_HINT_T0);
            a0 = dot(a0, field(block, 0), x0, vnni);
            a1 = dot(a1, field(block, 1), x1, vnni);
            a2 = dot(a2, field(block, 2), x2, vnni);
            a3 = dot(a3, field(block, 3), x3, vnni);
            b0 = dot(b0, field(block + 64, 0), x0, vnni);
            b1 = dot(b1, field(block + 64, 1), x1, vnni);
            b2 = dot(b2, field(block + 64, 2), x2, vnni);
            b3 = dot(b3, field(block + 64, 3), x3, vnni);
        }
        low = _mm512_add_epi32(low, unscale(a0, a1, a2, a3));
        high = _mm512_add_epi32(high, unscale(b0, b1, b2, b3));
        chunks -= some;
    }
    _mm512_mask_storeu_epi32(y, (__mmask16)lanes, low);
    _mm512_mask_storeu_epi32(y + 16, (__mmask16)(lanes >> 16), high);
}

/* i2_avx512_stream of i8_avx512's bytes */
static inline __attribute__((always_inline)) void i8_avx512_stream(int32_t *y, uint32_t lanes,
                                                                   const uint8_t *block,
                                                                   const int8_t *x, int32_t bias,
                                                                   size_t chunks, int vnni)
{
    __m512i a0 = _mm512_set1_epi32(bias), a1 = _mm512_setzero_si512(), a2 = a1, a3 = a1, b0 = a0,
            b1 = a1, b2 = a1, b3 = a1;
    for (size_t c = 0; c < chunks; c++, block += CHUNK * ROWS, x += CHUNK) {
        const __m512i x0 = four(x), x1 = four(x + 4), x2 = four(x + 8), x3 = four(x + 12);
        for (int line = 0; line < CHUNK * ROWS; line += 64)
            _mm_prefetch((const char *)(block + AHEAD + line), _MM_HINT_T0);
        a0 = dot(a0, _mm512_loadu_si512(block), x0, vnni);
        a1 = dot(a1, _mm512_loadu_si512(block + 128), x1, vnni);
        a2 = dot(a2, _mm512_loadu_si512(block + 256), x2, vnni);
        a3 = dot(a3, _mm512_loadu_si512(block + 384), x3, vnni);
        b0 = dot(b0, _mm512_loadu_si512(block + 64), x0, vnni);
        b1 = dot(b1, _mm512_loadu_si512(block + 192), x1, vnni);
        b2 = dot(b2, _mm512_loadu_si512(block + 320), x2, vnni);
        b3 = dot(b3, _mm512_loadu_si512(block + 448), x3, vnni);
    }
    a0 = _mm512_add_epi32(_mm512_add_epi32(a0, a1), _mm512_add_epi32(a2, a3));
    b0 = _mm512_add_epi32(_mm512_add_epi32(b0, b1), _mm512_add_epi32(b2, b3));
    _mm512_mask_storeu_epi32(y, (__mmask16)lanes, a0);
    _mm512_mask_storeu_epi32(y + 16, (__mmask16)(lanes >> 16), b0);
}

static void i2_avx512_unpack(uint8_t *panel, const uint8_t *block, size_t chunks)
{
    const __m512i low = _mm512_set1_epi8(3);
    for (; chunks; chunks--, block += CHUNK_BYTES, panel += 4 * CHUNK_BYTES)
        for (int half = 0; half < 128; half += 64) {
            const __m512i v = _mm512_loadu_si512(block + half);
            _mm512_store_si512(panel + half, _mm512_and_si512(v, low));
            _mm512_store_si512(panel + 128 + half, _mm512_and_si512(_mm512_srli_epi16(v, 2), low));
            _mm512_store_si512(panel + 256 + half, _mm512_and_si512(_mm512_srli_epi16(v, 4), low));
            _mm512_store_si512(panel + 384 + half, _mm512_and_si512(_mm512_srli_epi16(v, 6), low));
        }
}

/* A tile is 32 rows by m batch rows over `quads` groups of four columns; the first slice of columns
 * starts from the bias, the others from y. Named accumulators: gcc 12 would keep an array of them
 * in memory. */
typedef struct { uint32_t lanes; int first; size_t rows, stride, quads; const int32_t *bias; } Span;
typedef void Tile(int32_t *y, const uint8_t *panel, const int8_t *x, const Span *s);

/* y is often in no cache: loaded before the tile is computed, its lines arrive meanwhile */
#define OLD(lanes, y) _mm512_maskz_loadu_epi32((__mmask16)(lanes), y)
#define BEGIN(t)  int32_t *const y##t = y + (t) * s->rows;                                         \
                  _mm_prefetch((const char *)y##t, _MM_HINT_T0);                                   \
                  _mm_prefetch((const char *)(y##t + 16), _MM_HINT_T0);                            \
                  _mm_prefetch((const char *)(y##t + 31), _MM_HINT_T0);                            \
                  const __m512i bias##t = _mm512_set1_epi32(s->bias[t]);                           \
                  __m512i a##t = s->first ? bias##t : OLD(s->lanes, y##t);                        \
                  __m512i b##t = s->first ? bias##t : OLD(s->lanes >> 16, y##t + 16);
#define STEP(t)   { const __m512i v = four(x + (t) * s->stride); \
                    a##t = dot(a##t, low, v, vnni);              \
                    b##t = dot(b##t, high, v, vnni); }
#define END(t)    _mm512_mask_storeu_epi32(y##t, (__mmask16)s->lanes, a##t); \
                  _mm512_mask_storeu_epi32(y##t + 16, (__mmask16)(s->lanes >> 16), b##t);
#define TILE_OF(m, EACH)                                                                           \
    static inline __attribute__((always_inline))                                                   \
    void i2_avx512_tile##m(int32_t *y, const uint8_t *panel, const int8_t *x, const Span *s,      \
                           int vnni)                                                              \
    {                                                                                              \
        EACH(BEGIN)                                                                                \
        for (size_t q = 0; q < s->quads; q++, x += 4, panel += 128) {                              \
            const __m512i low = _mm512_load_si512(panel), high = _mm512_load_si512(panel + 64);    \
            EACH(STEP)                                                                             \
        }                                                                                          \
        EACH(END)                                                                                  \
    }                                                                                              \
    static void i2_avx512_tile##m##_madd(int32_t *y, const uint8_t *panel, const int8_t *x,       \
                                         const Span *s)                                           \
    { i2_avx512_tile##m(y, panel, x, s, 0); }                                                      \
    static void i2_avx512_tile##m##_vnni(int32_t *y, const uint8_t *panel, const int8_t *x,       \
                                         const Span *s)                                           \
    { i2_avx512_tile##m(y, panel, x, s, 1); }
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
#define TILES(body) { i2_avx512_tile1_##body, i2_avx512_tile2_##body,                             \
                      i2_avx512_tile3_##body, i2_avx512_tile4_##body,                             \
                      i2_avx512_tile5_##body, i2_avx512_tile6_##body,                             \
                      i2_avx512_tile7_##body, i2_avx512_tile8_##body }
static Tile *const i2_avx512_tiles[2][TILE] = { TILES(madd), TILES(vnni) };

/* a block by n batch rows, shared evenly among tiles of at most TILE; dense: the block is a
 * panel */
static void i2_avx512_block_gemm(int32_t *y, const uint8_t *block, const int8_t *x, int n,
                                 size_t chunks, Span s, Tile *const *tile, int dense)
{
    _Alignas(64) uint8_t room[PANEL * ROWS];
    const int32_t *const bias = s.bias;
    const int parts = (n + TILE - 1) / TILE;
    for (size_t c = 0; c < chunks; c += PANEL / CHUNK) {
        const size_t some = chunks - c < PANEL / CHUNK ? chunks - c : PANEL / CHUNK;
        const uint8_t *panel = dense ? block + c * CHUNK * ROWS : room;
        if (!dense) i2_avx512_unpack(room, block + c * CHUNK_BYTES, some);
        s.quads = some * 4;
        s.first = c == 0;
        for (int p = 0; p < parts; p++) {
            const int t = (int)((long)n * p / parts), m = (int)((long)n * (p + 1) / parts) - t;
            s.bias = bias + t;
            tile[m - 1](y + (size_t)t * s.rows, panel, x + (size_t)t * s.stride + c * CHUNK, &s);
        }
    }
}

/* one batch row by one block; dense: of i8_avx512 */
static void i2_avx512_row(int32_t *y, uint32_t lanes, const uint8_t *block, const int8_t *x,
                          int32_t bias, size_t chunks, int vnni, int dense)
{
    if (dense && vnni) i8_avx512_stream(y, lanes, block, x, bias, chunks, 1);
    else if (dense)    i8_avx512_stream(y, lanes, block, x, bias, chunks, 0);
    else if (vnni)     i2_avx512_stream(y, lanes, block, x, bias, chunks, 1);
    else               i2_avx512_stream(y, lanes, block, x, bias, chunks, 0);
}

/* packed: the first block; dense: of i8_avx512 */
static void i2_avx512_multiply(int32_t *y, const uint8_t *packed, const void *scratch, int n,
                               int r0, int r1, int rows, int cols, int dense)
{
    const size_t chunks = i2_avx512_chunks_of(cols), stride = i2_avx512_stride_of(cols);
    const size_t block_bytes = dense ? chunks * CHUNK * ROWS : chunks * CHUNK_BYTES;
    const int32_t *bias = scratch;
    const int8_t *x = (const int8_t *)scratch + i2_avx512_sums_size(n);
    const int vnni = (cpu_has() & CPU_VNNI) != 0;
    const int fits = (int)(BATCH_BYTES / stride), batch = fits < 64 ? 64 : fits;
    for (int t0 = 0; t0 < n; t0 += batch) {
        const int m = n - t0 < batch ? n - t0 : batch;
        for (int r = r0; r < r1; r += ROWS) {
            const uint8_t *block = packed + (size_t)(r / ROWS) * block_bytes;
            const Span s = { .lanes = r1 - r < ROWS ? (1u << (r1 - r)) - 1 : ~0u,
                             .rows = (size_t)rows,
                             .stride = stride,
                             .bias = bias + t0 };
            int32_t *out = y + (size_t)t0 * (size_t)rows + r;
            if (m > STREAM)
                i2_avx512_block_gemm(out, block, x + t0 * stride, m, chunks, s,
                                     i2_avx512_tiles[vnni], dense);
            else for (int t = t0; t < t0 + m; t++, out += rows)
                i2_avx512_row(out, s.lanes, block, x + t * stride, bias[t], chunks, vnni, dense);
        }
    }
}

static void i2_avx512_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    i2_avx512_multiply(y, (const uint8_t *)packed + HEADER, scratch, n, r0, r1, rows, cols, 0);
}

const TernaryKernel ternary_i2_avx512 = {
    .name = "i2_avx512",
    .brief = "2 bits; VPDPBUSD, or VPMADDUBSW without VNNI",
    .cpu = CPU_AVX2 | CPU_AVX512, .act_bits = 8, .min_bits = 8, .weight_bits = 2, .computes = 1,
    .layout = 1, .preference = 3, .drawn = 1,
    .large = { "int8_vnni512", 128, 1, 1 / 64.0 },
    .single = { "int8_vnni512", 128, 1, 2 / 64.0 },
    .packed_size = i2_avx512_packed_size, .pack = i2_avx512_pack,
    .scratch_size = i2_avx512_scratch_size, .prepare = i2_avx512_prepare, .gemm = i2_avx512_gemm,
};

/* ---- i8_avx512 ---- */
static size_t i8_avx512_packed_size(int rows, int cols)
{
    return ((size_t)rows + ROWS - 1) / ROWS * ROWS * i2_avx512_chunks_of(cols) * CHUNK;
}

static void i8_avx512_pack(void *packed, const int8_t *w, int rows, int cols)
{
    memset(packed, 0, i8_avx512_packed_size(rows, cols));
    ternary_pack_bytes(packed, w, rows, cols, i2_avx512_chunks_of(cols) * CHUNK, ROWS, 4);
}

static void i8_avx512_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    i2_avx512_multiply(y, packed, scratch, n, r0, r1, rows, cols, 1);
}

const TernaryKernel ternary_i8_avx512 = {
    .name = "i8_avx512",
    .brief = "a byte a weight, the tiles of i2_avx512",
    .cpu = CPU_AVX2 | CPU_AVX512, .act_bits = 8, .min_bits = 8, .weight_bits = 8, .computes = 1,
    .layout = 1, .drawn = 1,
    .large = { "int8_vnni512", 128, 1, 1 / 64.0 },
    .single = { "int8_vnni512", 128, 1, 1 / 64.0 },
    .packed_size = i8_avx512_packed_size, .pack = i8_avx512_pack,
    .scratch_size = i2_avx512_scratch_size, .prepare = i2_avx512_prepare, .gemm = i8_avx512_gemm,
};
