/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two bits per weight, code = w + 1, for VPMADDUBSW (unsigned code times signed activation, two
 * products per lane):
 *
 *   y[t][r] = sum_c code[r][c] * x[t][c]  -  sum_c x[t][c]
 *
 *   packed   [block of 32 rows][chunk of 16 cols][row][i < 4]    bits 7..6  5..4   3..2   1..0
 *                                                           col  16c+  12+i   8+i    4+i    i
 *   scratch  [t] int32 -sum of x, padded to 64 bytes;  [t][cols padded to 64, plus 64 more] int8
 *   panel    [half of 16 rows][4 cols][row < 16][i < 4]:
 *            the codes of SLICE columns of a block, one a byte; on the stack, L1
 *
 * Sums stay in 16 bits over a slice of 256 columns: 128 pairs per row fall on 2 lanes, and
 * 64 * 2 * 2 * -128 = -2^15 is the largest. Then VPMADDWD by ones makes the two lanes of a row one
 * int32.
 *
 *   n < PANEL_FROM   each batch row streams the packed block: 15 instructions per 128 weights (AND,
 *                    shift, multiply, add); memory is prefetched AHEAD bytes before its use
 *   larger n         a slice is unpacked into the panel once per BATCH_BYTES of activations; a
 *                    register tile is 16 rows by up to 6 batch rows: 12 accumulators, 24 vector
 *                    instructions per 12 VPMADDUBSW. Three ports issue them, two of which multiply:
 *                    the tile can reach 3/4 of the VPMADDUBSW peak
 *
 * i8_avx2, also here, is the control for the two bits: the same codes one a byte, in the order of
 * the panel, by the same tiles, so that the two differ in what is read and in the unpacking alone,
 *
 *   packed   [16 rows][4 cols][row < 16][i < 4], an even number of times 16 rows
 *
 *   n < PANEL_FROM   each batch row streams the block: 2 instructions per 32 weights */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <immintrin.h>
#include <string.h>

enum { ROWS = 32, CHUNK = 16, CHUNK_BYTES = 128, SLICE = 256, SLICE_CHUNKS = SLICE / CHUNK };
enum { PANEL_FROM = 4, BATCH_BYTES = 1 << 18, TILE = 6, AHEAD = 2048 };

static size_t i2_avx2_chunks_of(int cols) { return ((size_t)cols + CHUNK - 1) / CHUNK; }
static size_t i2_avx2_stride_of(int cols) { return ((size_t)cols + 63) / 64 * 64 + 64; }
static size_t i2_avx2_sums_size(int n) { return ((size_t)n + 15) / 16 * 64; }

static size_t i2_avx2_packed_size(int rows, int cols)
{
    return ((size_t)rows + ROWS - 1) / ROWS * i2_avx2_chunks_of(cols) * CHUNK_BYTES;
}

static void i2_avx2_pack(void *packed, const int8_t *w, int rows, int cols)
{
    const size_t chunks = i2_avx2_chunks_of(cols);
    memset(packed, 0, i2_avx2_packed_size(rows, cols));
    for (size_t r = 0; r < (size_t)rows; r++) {
        uint8_t *out = (uint8_t *)packed + r / ROWS * chunks * CHUNK_BYTES + r % ROWS * 4;
        for (size_t c = 0; c < (size_t)cols; c++)
            out[c / CHUNK * CHUNK_BYTES + c % 4] |= (uint8_t)((w[r * (size_t)cols + c] + 1)
                                                              << (c % CHUNK / 4 * 2));
    }
}

static size_t i2_avx2_scratch_size(int n, int cols, int act_bits)
{
    (void)act_bits;
    return i2_avx2_sums_size(n) + (size_t)n * i2_avx2_stride_of(cols);
}

static void i2_avx2_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    (void)act_bits;
    const size_t padded = i2_avx2_chunks_of(cols) * CHUNK;
    int32_t *sums = scratch;
    int8_t *out = (int8_t *)scratch + i2_avx2_sums_size(n);
    const __m256i flip = _mm256_set1_epi8(-128), zero = _mm256_setzero_si256();
    for (int t = 0; t < n; t++, x += cols, out += i2_avx2_stride_of(cols)) {
        __m256i sum = zero;                        /* of x + 128: VPSADBW takes unsigned bytes */
        int c = 0;
        for (; c + 32 <= cols; c += 32) {
            const __m256i v = _mm256_loadu_si256((const __m256i *)(x + c));
            _mm256_store_si256((__m256i *)(out + c), v);
            sum = _mm256_add_epi64(sum, _mm256_sad_epu8(_mm256_xor_si256(v, flip), zero));
        }
        int64_t part[4], rest = 128ll * c;
        _mm256_storeu_si256((__m256i *)part, sum);
        memset(out + c, 0, padded > (size_t)c ? padded - (size_t)c : 0);
        for (; c < cols; c++) {
            out[c] = x[c];
            rest -= x[c];
        }
        sums[t] = (int32_t)(rest - part[0] - part[1] - part[2] - part[3]);
    }
}

static inline __m256i load(const void *p) { return _mm256_loadu_si256(p); }

static inline __m256i four(const int8_t *x)
{
    int32_t v;
    memcpy(&v, x, 4);
    return _mm256_set1_epi32(v);
}

/* the 16-bit pair sums of one row's four columns, added to an int32 per row */
static inline __m256i widen(__m256i acc32, __m256i acc16)
{
    return _mm256_add_epi32(acc32, _mm256_madd_epi16(acc16, _mm256_set1_epi16(1)));
}

static inline __m256i sixteen(__m256i acc, __m256i v, __m256i x0, __m256i x1, __m256i x2,
                              __m256i x3)
{
    const __m256i low = _mm256_set1_epi8(3);
    const __m256i p0 = _mm256_maddubs_epi16(_mm256_and_si256(v, low), x0);
    const __m256i p1 = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v, 2), low), x1);
    const __m256i p2 = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v, 4), low), x2);
    const __m256i p3 = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v, 6), low), x3);
    return _mm256_add_epi16(acc,
                            _mm256_add_epi16(_mm256_add_epi16(p0, p1), _mm256_add_epi16(p2, p3)));
}

/* one batch row, one block of 32 rows, into sums */
static void i2_avx2_stream(int32_t *sums, const uint8_t *block, const int8_t *x, int32_t bias,
                           size_t chunks)
{
    __m256i s0 = _mm256_set1_epi32(bias), s1 = s0, s2 = s0, s3 = s0;
    while (chunks) {
        const size_t some = chunks < SLICE_CHUNKS ? chunks : SLICE_CHUNKS;
        __m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0;
        for (size_t c = 0; c < some; c++, block += CHUNK_BYTES, x += CHUNK) {
            const __m256i x0 = four(x), x1 = four(x + 4), x2 = four(x + 8), x3 = four(x + 12);
            _mm_prefetch((const char *)(block + AHEAD), _MM_HINT_T0);
            _mm_prefetch((const char *)(block + AHEAD + 64), _MM_HINT_T0);
            a0 = sixteen(a0, load(block), x0, x1, x2, x3);
            a1 = sixteen(a1, load(block + 32), x0, x1, x2, x3);
            a2 = sixteen(a2, load(block + 64), x0, x1, x2, x3);
            a3 = sixteen(a3, load(block + 96), x0, x1, x2, x3);
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

/* eight rows by sixteen columns of i8_avx2's bytes, 64 of them from one four columns to the next */
static inline __m256i sixteen_bytes(__m256i acc, const uint8_t *w, __m256i x0, __m256i x1,
                                    __m256i x2, __m256i x3)
{
    const __m256i p0 = _mm256_maddubs_epi16(load(w), x0);
    const __m256i p1 = _mm256_maddubs_epi16(load(w + 64), x1);
    const __m256i p2 = _mm256_maddubs_epi16(load(w + 128), x2);
    const __m256i p3 = _mm256_maddubs_epi16(load(w + 192), x3);
    return _mm256_add_epi16(acc,
                            _mm256_add_epi16(_mm256_add_epi16(p0, p1), _mm256_add_epi16(p2, p3)));
}

/* i2_avx2_stream of i8_avx2's bytes: `under` are the lower 16 rows */
static void i8_avx2_stream(int32_t *sums, const uint8_t *block, const int8_t *x, int32_t bias,
                           size_t chunks)
{
    const uint8_t *under = block + chunks * CHUNK * 16;
    __m256i s0 = _mm256_set1_epi32(bias), s1 = s0, s2 = s0, s3 = s0;
    while (chunks) {
        const size_t some = chunks < SLICE_CHUNKS ? chunks : SLICE_CHUNKS;
        __m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0;
        for (size_t c = 0; c < some; c++, block += CHUNK * 16, under += CHUNK * 16, x += CHUNK) {
            const __m256i x0 = four(x), x1 = four(x + 4), x2 = four(x + 8), x3 = four(x + 12);
            for (int line = 0; line < CHUNK * 16; line += 64) {
                _mm_prefetch((const char *)(block + AHEAD + line), _MM_HINT_T0);
                _mm_prefetch((const char *)(under + AHEAD + line), _MM_HINT_T0);
            }
            a0 = sixteen_bytes(a0, block, x0, x1, x2, x3);
            a1 = sixteen_bytes(a1, block + 32, x0, x1, x2, x3);
            a2 = sixteen_bytes(a2, under, x0, x1, x2, x3);
            a3 = sixteen_bytes(a3, under + 32, x0, x1, x2, x3);
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

static void i2_avx2_unpack(uint8_t *panel, const uint8_t *block, size_t chunks)
{
    const __m256i low = _mm256_set1_epi8(3);
    for (size_t c = 0; c < chunks; c++, block += CHUNK_BYTES)
        for (size_t part = 0; part < 4; part++) {
            const __m256i v = load(block + 32 * part);
            __m256i *out = (__m256i *)(panel + part / 2 * SLICE * 16 + c * 256 + part % 2 * 32);
            _mm256_store_si256(out, _mm256_and_si256(v, low));
            _mm256_store_si256(out + 2, _mm256_and_si256(_mm256_srli_epi16(v, 2), low));
            _mm256_store_si256(out + 4, _mm256_and_si256(_mm256_srli_epi16(v, 4), low));
            _mm256_store_si256(out + 6, _mm256_and_si256(_mm256_srli_epi16(v, 6), low));
        }
}

/* ---- tiles ---- */
/* A tile adds the sums of 16 rows by m batch rows over `quads` groups of four columns to y, which
 * starts from the bias in the first slice. `lanes` of the 16 rows exist. Named accumulators: gcc 12
 * would keep an array of them in memory. */
typedef struct { int lanes, first; size_t rows, stride, quads; const int32_t *bias; } Span;
typedef void Tile(int32_t *y, const uint8_t *panel, const int8_t *x, const Span *s);

/* y = start + the row sums of acc, for the first `lanes` of eight rows */
static inline void finish8(int32_t *y, __m256i acc, int lanes, int first, int32_t bias)
{
    const __m256i some = _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes),
                                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    const __m256i start = first ? _mm256_set1_epi32(bias) : _mm256_maskload_epi32(y, some);
    _mm256_maskstore_epi32(y, some, widen(start, acc));
}

/* The empty assembly keeps the steps in order: gcc 12 otherwise hoists every broadcast and spills
 * the accumulators (170 instead of 270 GOP/s). */
#define BEGIN(t)  __m256i a##t = _mm256_setzero_si256(), b##t = a##t;
#define STEP(t)   { const __m256i v = four(x + (t) * s->stride);                              \
                    a##t = _mm256_add_epi16(a##t, _mm256_maddubs_epi16(low, v));              \
                    b##t = _mm256_add_epi16(b##t, _mm256_maddubs_epi16(high, v));             \
                    __asm__ volatile("" : "+x"(a##t), "+x"(b##t)); }
#define END(t)    finish8(y + (t) * s->rows, a##t, s->lanes, s->first, s->bias[t]);           \
                  finish8(y + (t) * s->rows + 8, b##t, s->lanes - 8, s->first, s->bias[t]);
#define TILE_OF(m, EACH)                                                                          \
    static void i2_avx2_tile##m(int32_t *y, const uint8_t *panel, const int8_t *x, const Span *s) \
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
#define EACH5(M) EACH4(M) M(4)
#define EACH6(M) EACH5(M) M(5)
TILE_OF(1, EACH1)
TILE_OF(2, EACH2)
TILE_OF(3, EACH3)
TILE_OF(4, EACH4)
TILE_OF(5, EACH5)
TILE_OF(6, EACH6)
static Tile *const i2_avx2_tiles[TILE] = { i2_avx2_tile1, i2_avx2_tile2, i2_avx2_tile3,
                                           i2_avx2_tile4, i2_avx2_tile5, i2_avx2_tile6 };

/* a block, `height` rows of which exist, by n batch rows, shared evenly among tiles of at most
 * TILE; dense: the block is a panel */
static void i2_avx2_block_gemm(int32_t *y, const uint8_t *block, const int8_t *x, int n,
                               size_t chunks, int height, Span s, int dense)
{
    _Alignas(64) uint8_t room[ROWS * SLICE];
    const int32_t *const bias = s.bias;
    const size_t wide = dense ? chunks * CHUNK : SLICE;       /* columns of a half of the panel */
    const int parts = (n + TILE - 1) / TILE;
    for (size_t c = 0; c < chunks; c += SLICE_CHUNKS) {
        const size_t some = chunks - c < SLICE_CHUNKS ? chunks - c : SLICE_CHUNKS;
        const uint8_t *panel = dense ? block + c * CHUNK * 16 : room;
        if (!dense) i2_avx2_unpack(room, block + c * CHUNK_BYTES, some);
        s.quads = some * 4;
        s.first = c == 0;
        for (int half = 0; half < height; half += 16) {
            s.lanes = height - half < 16 ? height - half : 16;
            for (int p = 0; p < parts; p++) {
                const int t = (int)((long)n * p / parts), m = (int)((long)n * (p + 1) / parts) - t;
                s.bias = bias + t;
                i2_avx2_tiles[m - 1](y + (size_t)t * s.rows + half, panel + (size_t)half * wide,
                             x + (size_t)t * s.stride + c * CHUNK, &s);
            }
        }
    }
}

/* dense: of i8_avx2 */
static void i2_avx2_multiply(int32_t *y, const uint8_t *packed, const void *scratch, int n, int r0,
                             int r1, int rows, int cols, int dense)
{
    const size_t chunks = i2_avx2_chunks_of(cols), stride = i2_avx2_stride_of(cols);
    const size_t block_bytes = dense ? chunks * CHUNK * ROWS : chunks * CHUNK_BYTES;
    const int32_t *bias = scratch;
    const int8_t *x = (const int8_t *)scratch + i2_avx2_sums_size(n);
    const int fits = (int)(BATCH_BYTES / stride), batch = fits < 48 ? 48 : fits;
    for (int t0 = 0; t0 < n; t0 += batch) {
        const int m = n - t0 < batch ? n - t0 : batch;
        for (int r = r0; r < r1; r += ROWS) {
            const uint8_t *block = packed + (size_t)(r / ROWS) * block_bytes;
            const int height = r1 - r < ROWS ? r1 - r : ROWS;
            int32_t *out = y + (size_t)t0 * (size_t)rows + r;
            if (m >= PANEL_FROM) {
                const Span s = { .rows = (size_t)rows, .stride = stride, .bias = bias + t0 };
                i2_avx2_block_gemm(out, block, x + t0 * stride, m, chunks, height, s, dense);
            } else for (int t = t0; t < t0 + m; t++, out += rows) {
                _Alignas(32) int32_t sums[ROWS];
                if (dense) i8_avx2_stream(sums, block, x + t * stride, bias[t], chunks);
                else       i2_avx2_stream(sums, block, x + t * stride, bias[t], chunks);
                memcpy(out, sums, (size_t)height * sizeof *sums);
            }
        }
    }
}

static void i2_avx2_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    i2_avx2_multiply(y, packed, scratch, n, r0, r1, rows, cols, 0);
}

const TernaryKernel ternary_i2_avx2 = {
    .name = "i2_avx2",
    .brief = "2 bits; VPMADDUBSW with 16-bit sums",
    .cpu = CPU_AVX2, .act_bits = 8, .min_bits = 8, .weight_bits = 2, .computes = 1,
    .layout = 1, .preference = 2, .drawn = 1,
    .large = { "int8_maddubs256", 64, 1.5, 2 / 32.0 },
    .single = { "int8_maddubs256", 64, 1.5, 15 / 128.0 },
    .packed_size = i2_avx2_packed_size, .pack = i2_avx2_pack,
    .scratch_size = i2_avx2_scratch_size, .prepare = i2_avx2_prepare, .gemm = i2_avx2_gemm,
};

/* ---- i8_avx2 ---- */
static size_t i8_avx2_packed_size(int rows, int cols)
{
    return ((size_t)rows + ROWS - 1) / ROWS * ROWS * i2_avx2_chunks_of(cols) * CHUNK;
}

static void i8_avx2_pack(void *packed, const int8_t *w, int rows, int cols)
{
    memset(packed, 0, i8_avx2_packed_size(rows, cols));
    ternary_pack_bytes(packed, w, rows, cols, i2_avx2_chunks_of(cols) * CHUNK, 16, 4);
}

static void i8_avx2_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    i2_avx2_multiply(y, packed, scratch, n, r0, r1, rows, cols, 1);
}

const TernaryKernel ternary_i8_avx2 = {
    .name = "i8_avx2",
    .brief = "a byte a weight, the tiles of i2_avx2",
    .cpu = CPU_AVX2, .act_bits = 8, .min_bits = 8, .weight_bits = 8, .computes = 1,
    .layout = 1, .drawn = 1,
    .large = { "int8_maddubs256", 64, 1.5, 2 / 32.0 },
    .single = { "int8_maddubs256", 64, 1.5, 2 / 32.0 },
    .packed_size = i8_avx2_packed_size, .pack = i8_avx2_pack,
    .scratch_size = i2_avx2_scratch_size, .prepare = i2_avx2_prepare, .gemm = i8_avx2_gemm,
};
