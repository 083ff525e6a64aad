/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Five weights a byte in base 3, 1.6 bits per weight, as a balanced fraction: tripled, a byte
 * overflows by one digit.
 *
 *   v = 81 d0 + 27 d1 + 9 d2 + 3 d3 + d4  with d = w + 1;   byte = ceil(256 v / 243) - 128, signed
 *   w = -1 where byte < -42, 1 where byte > 42, else 0
 *   byte <- 3 byte mod 256 holds the next digit          all 243 values decode exactly
 *
 *   y[t][r] = sum_c w[r][c] * (x[t][c] + 128)  -  128 sum_c w[r][c]
 *
 *   packed   [block of 32 rows]:  -128 sum of w [row] int32, then
 *                                 [chunk of 20 cols][row][i < 4]: col 20c + 4j + i is digit j of
 *                                 the byte
 *   scratch  [t][cols padded to 20 and 64, plus 64 against cache conflicts] uint8, x + 128
 *   panel    [half of 16 rows][4 cols][row < 16][i < 4]: the weights of SLICE chunks of a block;
 *            on the stack, L1
 *
 * VPMADDUBSW takes one operand unsigned: the activations. Sums stay in 16 bits over a slice of 12
 * chunks: 12 * 5 * 2 * 255 < 2^15.
 *
 *   n < PANEL_FROM   each batch row streams the block: 33 instructions per 160 weights, 15 to
 *                    compare and subtract, 8 to triple, 10 to multiply and add. The vector ports
 *                    are the limit, except beyond the caches
 *   larger n         a slice is unpacked into the panel once; a register tile is 16 rows by up to 4
 *                    batch rows */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <immintrin.h>
#include <string.h>

enum { ROWS = 32, DIGITS = 5, CHUNK = 4 * DIGITS, CHUNK_BYTES = 128, SUMS = 128, SLICE = 12, };
enum { HALF = SLICE * CHUNK * 16, PANEL_FROM = 3, TILE = 4, AHEAD = 2048 };

static size_t t5_avx2_chunks_of(int cols) { return ((size_t)cols + CHUNK - 1) / CHUNK; }
static size_t t5_avx2_stride_of(int cols)
{
    return (t5_avx2_chunks_of(cols) * CHUNK + 63) / 64 * 64 + 64;
}
static size_t t5_avx2_block_size(int cols) { return SUMS + t5_avx2_chunks_of(cols) * CHUNK_BYTES; }

static size_t t5_avx2_packed_size(int rows, int cols)
{
    return ((size_t)rows + ROWS - 1) / ROWS * t5_avx2_block_size(cols);
}

/* the byte of five weights, 4 columns apart; a column beyond cols has w = 0 */
static uint8_t t5_avx2_encode(const int8_t *w, long left)
{
    int v = 0;
    for (int j = 0; j < DIGITS; j++) v = 3 * v + (4 * j < left ? w[4 * j] + 1 : 1);
    return (uint8_t)((256 * v + 242) / 243 - 128);
}

static void t5_avx2_pack(void *packed, const int8_t *w, int rows, int cols)
{
    const size_t chunks = t5_avx2_chunks_of(cols);
    memset(packed, 0, t5_avx2_packed_size(rows, cols));
    for (size_t r = 0; r < (size_t)rows; r++, w += cols) {
        uint8_t *block = (uint8_t *)packed + r / ROWS * t5_avx2_block_size(cols),
                *out = block + SUMS + r % ROWS * 4;
        for (int c = 0; c < cols; c++) ((int32_t *)block)[r % ROWS] -= 128 * w[c];
        for (size_t c = 0; c < chunks; c++)
            for (size_t i = 0; i < 4; i++) {
                const long left = cols - (long)(c * CHUNK + i);
                out[c * CHUNK_BYTES + i] = t5_avx2_encode(left > 0 ? w + c * CHUNK + i : w, left);
            }
    }
}

static size_t t5_avx2_scratch_size(int n, int cols, int act_bits)
{
    (void)act_bits;
    return (size_t)n * t5_avx2_stride_of(cols);
}

static void t5_avx2_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    (void)act_bits;
    uint8_t *out = scratch;
    for (int t = 0; t < n; t++, x += cols, out += t5_avx2_stride_of(cols)) {
        int c = 0;
        for (; c + 32 <= cols; c += 32) {
            const __m256i v = _mm256_loadu_si256((const __m256i *)(x + c));
            _mm256_store_si256((__m256i *)(out + c), _mm256_xor_si256(v, _mm256_set1_epi8(-128)));
        }
        for (; c < cols; c++) out[c] = (uint8_t)(x[c] + 128);
        memset(out + cols, 0, t5_avx2_stride_of(cols) - (size_t)cols);
    }
}

static inline __m256i load(const void *p) { return _mm256_loadu_si256(p); }

static inline __m256i four(const uint8_t *x)
{
    int32_t v;
    memcpy(&v, x, 4);
    return _mm256_set1_epi32(v);
}

/* the first digit of each byte, -1 0 1; moves the fraction on to the next */
static inline __m256i digit(__m256i *fraction)
{
    const __m256i f = *fraction, low = _mm256_cmpgt_epi8(_mm256_set1_epi8(-42), f);
    *fraction = _mm256_add_epi8(_mm256_add_epi8(f, f), f);
    return _mm256_sub_epi8(low, _mm256_cmpgt_epi8(f, _mm256_set1_epi8(42)));
}

/* the 16-bit pair sums of one row's four columns, added to an int32 per row */
static inline __m256i widen(__m256i acc32, __m256i acc16)
{
    return _mm256_add_epi32(acc32, _mm256_madd_epi16(acc16, _mm256_set1_epi16(1)));
}

/* eight rows by twenty columns */
static inline __m256i chunk8(__m256i acc, const uint8_t *p, const uint8_t *x)
{
    __m256i fraction = load(p);
    const __m256i p0 = _mm256_maddubs_epi16(four(x), digit(&fraction));
    const __m256i p1 = _mm256_maddubs_epi16(four(x + 4), digit(&fraction));
    const __m256i p2 = _mm256_maddubs_epi16(four(x + 8), digit(&fraction));
    const __m256i p3 = _mm256_maddubs_epi16(four(x + 12), digit(&fraction));
    const __m256i p4 = _mm256_maddubs_epi16(four(x + 16), digit(&fraction));
    acc = _mm256_add_epi16(acc,
                           _mm256_add_epi16(_mm256_add_epi16(p0, p1), _mm256_add_epi16(p2, p3)));
    return _mm256_add_epi16(acc, p4);
}

/* one batch row, one block of 32 rows, into sums */
static void t5_avx2_stream(int32_t *sums, const uint8_t *block, const uint8_t *x, size_t chunks)
{
    __m256i s0 = load(block), s1 = load(block + 32), s2 = load(block + 64), s3 = load(block + 96);
    block += SUMS;
    while (chunks) {
        const size_t some = chunks < SLICE ? chunks : SLICE;
        __m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0;
        for (size_t c = 0; c < some; c++, block += CHUNK_BYTES, x += CHUNK) {
            _mm_prefetch((const char *)(block + AHEAD), _MM_HINT_T0);
            _mm_prefetch((const char *)(block + AHEAD + 64), _MM_HINT_T0);
            a0 = chunk8(a0, block, x);
            a1 = chunk8(a1, block + 32, x);
            a2 = chunk8(a2, block + 64, x);
            a3 = chunk8(a3, block + 96, x);
        }
        s0 = widen(s0, a0);
        s1 = widen(s1, a1);
        s2 = widen(s2, a2);
        s3 = widen(s3, a3);
        chunks -= some;
    }
    _mm256_store_si256((__m256i *)sums, s0);
    _mm256_store_si256((__m256i *)(sums + 8), s1);
    _mm256_store_si256((__m256i *)(sums + 16), s2);
    _mm256_store_si256((__m256i *)(sums + 24), s3);
}

static void t5_avx2_unpack(int8_t *panel, const uint8_t *chunk, size_t chunks)
{
    for (size_t c = 0; c < chunks; c++, chunk += CHUNK_BYTES)
        for (size_t part = 0; part < 4; part++) {
            __m256i fraction = load(chunk + 32 * part);
            __m256i *out = (__m256i *)(panel + part / 2 * HALF + c * CHUNK * 16 + part % 2 * 32);
            for (int j = 0; j < DIGITS; j++, out += 2) _mm256_store_si256(out, digit(&fraction));
        }
}

/* A tile adds the sums of 16 rows by m batch rows over `quads` groups of four columns to y, which
 * starts from `start` in the first slice. `lanes` of the 16 rows exist. Named accumulators: gcc 12
 * would keep an array of them in memory. */
typedef struct { int lanes, first; size_t rows, stride, quads; const int32_t *start; } Span;
typedef void Tile(int32_t *y, const int8_t *panel, const uint8_t *x, const Span *s);

/* y = start + the row sums of acc, for the first `lanes` of eight rows */
static inline void finish8(int32_t *y, __m256i acc, int lanes, int first, const int32_t *start)
{
    const __m256i some = _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes),
                                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    const __m256i from = first ? load(start) : _mm256_maskload_epi32(y, some);
    _mm256_maskstore_epi32(y, some, widen(from, acc));
}

/* The empty assembly keeps gcc 12 from hoisting every broadcast and spilling the accumulators. */
#define BEGIN(t)  __m256i a##t = _mm256_setzero_si256(), b##t = a##t;
#define STEP(t)   { const __m256i v = four(x + (t) * s->stride);                              \
                    a##t = _mm256_add_epi16(a##t, _mm256_maddubs_epi16(v, low));              \
                    b##t = _mm256_add_epi16(b##t, _mm256_maddubs_epi16(v, high));             \
                    __asm__ volatile("" : "+x"(a##t), "+x"(b##t)); }
#define END(t)    finish8(y + (t) * s->rows, a##t, s->lanes, s->first, s->start);             \
                  finish8(y + (t) * s->rows + 8, b##t, s->lanes - 8, s->first, s->start + 8);
#define TILE_OF(m, EACH)                                                                          \
    static void t5_avx2_tile##m(int32_t *y, const int8_t *panel, const uint8_t *x, const Span *s) \
    {                                                                                             \
        EACH(BEGIN)                                                                               \
        for (size_t q = 0; q < s->quads; q++, x += 4, panel += 64) {                              \
            const __m256i low = load(panel), high = load(panel + 32);                             \
            EACH(STEP)                                                                            \
        }                                                                                         \
        EACH(END)                                                                                 \
    }
#define EACH1(M) M(0)
#define EACH2(M) EACH1(M) M(1)
#define EACH3(M) EACH2(M) M(2)
#define EACH4(M) EACH3(M) M(3)
TILE_OF(1, EACH1)
TILE_OF(2, EACH2)
TILE_OF(3, EACH3)
TILE_OF(4, EACH4)
static Tile *const t5_avx2_tiles[TILE] = { t5_avx2_tile1, t5_avx2_tile2, t5_avx2_tile3,
                                           t5_avx2_tile4 };

/* a block, `height` rows of which exist, by n batch rows, shared evenly among tiles of at most
 * TILE */
static void t5_avx2_block_gemm(int32_t *y, const uint8_t *block, const uint8_t *x, int n,
                               size_t chunks, int height, Span s)
{
    _Alignas(64) int8_t panel[2 * HALF];
    const int parts = (n + TILE - 1) / TILE;
    for (size_t c = 0; c < chunks; c += SLICE) {
        const size_t some = chunks - c < SLICE ? chunks - c : SLICE;
        t5_avx2_unpack(panel, block + SUMS + c * CHUNK_BYTES, some);
        s.quads = some * DIGITS;
        s.first = c == 0;
        for (int half = 0; half < height; half += 16) {
            s.lanes = height - half < 16 ? height - half : 16;
            s.start = (const int32_t *)block + half;
            for (int p = 0; p < parts; p++) {
                const int t = (int)((long)n * p / parts), m = (int)((long)n * (p + 1) / parts) - t;
                t5_avx2_tiles[m - 1](y + (size_t)t * s.rows + half, panel + half / 16 * HALF,
                             x + (size_t)t * s.stride + c * CHUNK, &s);
            }
        }
    }
}

static void t5_avx2_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    const Span s = { .rows = (size_t)rows, .stride = t5_avx2_stride_of(cols) };
    for (int r = r0; r < r1; r += ROWS) {
        const uint8_t *block = (const uint8_t *)packed +
                               (size_t)(r / ROWS) * t5_avx2_block_size(cols),
                      *x = scratch;
        const int height = r1 - r < ROWS ? r1 - r : ROWS;
        if (n >= PANEL_FROM)
            t5_avx2_block_gemm(y + r, block, x, n, t5_avx2_chunks_of(cols), height, s);
        else for (int t = 0; t < n; t++, x += s.stride) {
            _Alignas(32) int32_t sums[ROWS];
            t5_avx2_stream(sums, block, x, t5_avx2_chunks_of(cols));
            memcpy(y + (size_t)t * s.rows + r, sums, (size_t)height * sizeof *sums);
        }
    }
}

const TernaryKernel ternary_t5_avx2 = {
    .name = "t5_avx2",
    .brief = "base 3, five weights a byte; VPCMPGTB and VPMADDUBSW",
    .cpu = CPU_AVX2, .act_bits = 8, .min_bits = 8, .weight_bits = 1.6, .computes = 1,
    .layout = 1,
    .large = { "int8_maddubs256", 64, 1.5, 2 / 32.0 },
    .single = { "int8_maddubs256", 64, 1.5, 33 / 160.0 },
    .packed_size = t5_avx2_packed_size, .pack = t5_avx2_pack,
    .scratch_size = t5_avx2_scratch_size, .prepare = t5_avx2_prepare, .gemm = t5_avx2_gemm,
};
