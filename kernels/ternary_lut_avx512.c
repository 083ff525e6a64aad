/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Look-up: two weights are an index of 4 bits into a table of their 9 possible sums with two
 * activations, and VPSHUFB looks 64 of them up at once.
 *
 *   x = low + 16 high,  low in [-8, 7],  high in [-8, 8];     index = (w0 + 1) + 3 (w1 + 1)
 *   table[index] = w0 x0 + w1 x1, once for low and once for high: within [-16, 16], sums fit a byte
 *
 *   packed   [block of 32 rows][16 cols][half of 16 rows][4 cols][row]   bits 7..4       3..0
 *                                                            index of    cols 4g+2,+3    cols 4g,+1
 *   scratch  [t][16 cols]: four vectors of four 16-byte tables, one per 4 cols:
 *            first pair of columns: low, high; second pair: low, high
 *
 * A byte lane is a row; a 128-bit lane is a group of four columns. Six look-ups, 3 * 2 * 16 < 128,
 * are added in bytes; VPMADDUBSW by (1, 0), (0, 1), (16, 0), (0, 16) then adds low + 16 high of
 * even and of odd rows to 16 bits: 20 runs * 17 * 96 < 2^15. Operations: 11 instructions per 256
 * weights (3 to split indices, 4 look-ups, 4 additions) and 8 per 3 of these to widen, on two
 * vector ports: 75 operations a cycle. Nothing is shared between batch rows. As in T-MAC (arXiv
 * 2407.00088) and bitnet.cpp's TL1 (arXiv 2410.16144), but exact. */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <immintrin.h>
#include <string.h>

enum { ROWS = 32, CHUNK = 16, CHUNK_BYTES = 128, TABLES = 256, RUN = 3, RUNS = 20, AHEAD = 2048 };
enum { BATCH_BYTES = 1 << 19 };      /* of tables that stay in L2 while the blocks pass */

static size_t lut_avx512_chunks_of(int cols) { return ((size_t)cols + CHUNK - 1) / CHUNK; }

static size_t lut_avx512_packed_size(int rows, int cols)
{
    return ((size_t)rows + ROWS - 1) / ROWS * lut_avx512_chunks_of(cols) * CHUNK_BYTES;
}

static void lut_avx512_pack(void *packed, const int8_t *w, int rows, int cols)
{
    static const uint8_t place[4] = { 1, 3, 16, 48 };
    const size_t chunks = lut_avx512_chunks_of(cols);
    memset(packed, 4 * 17, lut_avx512_packed_size(rows, cols));      /* 4 = 1 + 3: both weights 0 */
    for (size_t r = 0; r < (size_t)rows; r++) {
        uint8_t *out = (uint8_t *)packed + r / ROWS * chunks * CHUNK_BYTES + r % ROWS / 16 * 64 +
                       r % 16;
        for (size_t c = 0; c < (size_t)cols; c++) {
            uint8_t *byte = out + c / CHUNK * CHUNK_BYTES + c % CHUNK / 4 * 16;
            *byte = (uint8_t)(*byte + w[r * (size_t)cols + c] * place[c % 4]);
        }
    }
}

static size_t lut_avx512_scratch_size(int n, int cols, int act_bits)
{
    (void)act_bits;
    return (size_t)n * lut_avx512_chunks_of(cols) * TABLES;
}

static void lut_avx512_tabulate(int8_t *low, int8_t *high, int x0, int x1)
{
    const __m128i w0 = _mm_setr_epi8(-1, 0, 1, -1, 0, 1, -1, 0, 1, 0, 0, 0, 0, 0, 0, 0);
    const __m128i w1 = _mm_setr_epi8(-1, -1, -1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0);
    const int high0 = (x0 + 8) >> 4, high1 = (x1 + 8) >> 4;
    const __m128i l0 = _mm_set1_epi8((char)(x0 - 16 * high0)),
                  l1 = _mm_set1_epi8((char)(x1 - 16 * high1));
    const __m128i h0 = _mm_set1_epi8((char)high0), h1 = _mm_set1_epi8((char)high1);
    _mm_store_si128((__m128i *)low, _mm_add_epi8(_mm_sign_epi8(l0, w0), _mm_sign_epi8(l1, w1)));
    _mm_store_si128((__m128i *)high, _mm_add_epi8(_mm_sign_epi8(h0, w0), _mm_sign_epi8(h1, w1)));
}

static void lut_avx512_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    (void)act_bits;
    int8_t *out = scratch;
    for (int t = 0; t < n; t++, x += cols)
        for (int c = 0; c < cols; c += CHUNK, out += TABLES) {
            int8_t some[CHUNK] = { 0 };
            memcpy(some, x + c, (size_t)(cols - c < CHUNK ? cols - c : CHUNK));
            for (int pair = 0; pair < CHUNK / 2; pair++) {
                int8_t *low = out + pair % 2 * 128 + pair / 2 * 16;
                lut_avx512_tabulate(low, low + 64, some[2 * pair], some[2 * pair + 1]);
            }
        }
}

typedef struct { __m512i low, high; } Bytes;

/* sixteen rows by sixteen columns */
static inline Bytes chunk16(Bytes s, const uint8_t *p, const int8_t *tables)
{
    const __m512i nibble = _mm512_set1_epi8(15), v = _mm512_loadu_si512(p);
    const __m512i first = _mm512_and_si512(v, nibble),
                  second = _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble);
    s.low = _mm512_add_epi8(s.low, _mm512_shuffle_epi8(_mm512_loadu_si512(tables), first));
    s.high = _mm512_add_epi8(s.high, _mm512_shuffle_epi8(_mm512_loadu_si512(tables + 64), first));
    s.low = _mm512_add_epi8(s.low, _mm512_shuffle_epi8(_mm512_loadu_si512(tables + 128), second));
    s.high = _mm512_add_epi8(s.high, _mm512_shuffle_epi8(_mm512_loadu_si512(tables + 192), second));
    return s;
}

typedef struct { __m512i even, odd; } Words;      /* 16 bits: 4 lanes of 8 rows */

static inline Words widen(Words s, Bytes b)
{
    const __m512i even = _mm512_maddubs_epi16(_mm512_set1_epi16(1), b.low);
    const __m512i odd = _mm512_maddubs_epi16(_mm512_set1_epi16(1 << 8), b.low);
    const __m512i even16 = _mm512_maddubs_epi16(_mm512_set1_epi16(16), b.high);
    const __m512i odd16 = _mm512_maddubs_epi16(_mm512_set1_epi16(16 << 8), b.high);
    s.even = _mm512_add_epi16(s.even, _mm512_add_epi16(even, even16));
    s.odd = _mm512_add_epi16(s.odd, _mm512_add_epi16(odd, odd16));
    return s;
}

/* four lanes of eight 16-bit sums: eight of 32 bits */
static inline __m256i add_lanes(__m512i v)
{
    const __m512i two = _mm512_add_epi32(_mm512_cvtepi16_epi32(_mm512_castsi512_si256(v)),
                                         _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(v, 1)));
    return _mm256_add_epi32(_mm512_castsi512_si256(two), _mm512_extracti64x4_epi64(two, 1));
}

/* sums of sixteen rows += the lanes */
static inline void deal(int32_t *sums, Words s)
{
    const __m256i even = add_lanes(s.even), odd = add_lanes(s.odd);
    const __m256i low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
    const __m512i rows = _mm512_inserti64x4(
        _mm512_castsi256_si512(_mm256_permute2x128_si256(low, high, 0x20)),
        _mm256_permute2x128_si256(low, high, 0x31), 1);
    _mm512_store_si512(sums, _mm512_add_epi32(_mm512_load_si512(sums), rows));
}

/* one batch row, one block of 32 rows, into sums */
static void lut_avx512_stream(int32_t *sums, const uint8_t *block, const int8_t *tables,
                              size_t chunks)
{
    const __m512i zero = _mm512_setzero_si512();
    memset(sums, 0, ROWS * sizeof *sums);
    while (chunks) {
        Words a = { zero, zero }, b = a;
        for (int run = 0; run < RUNS && chunks; run++) {
            Bytes s = { zero, zero }, u = s;
            const size_t some = chunks < RUN ? chunks : RUN;
            for (size_t c = 0; c < some; c++, block += CHUNK_BYTES, tables += TABLES) {
                _mm_prefetch((const char *)(block + AHEAD), _MM_HINT_T0);
                _mm_prefetch((const char *)(block + AHEAD + 64), _MM_HINT_T0);
                s = chunk16(s, block, tables);
                u = chunk16(u, block + 64, tables);
            }
            a = widen(a, s);
            b = widen(b, u);
            chunks -= some;
        }
        deal(sums, a);
        deal(sums + 16, b);
    }
}

static void lut_avx512_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    const size_t chunks = lut_avx512_chunks_of(cols), bytes = chunks * TABLES;
    const int batch = bytes < BATCH_BYTES ? (int)(BATCH_BYTES / bytes) : 1;
    for (int t0 = 0; t0 < n; t0 += batch)
        for (int r = r0; r < r1; r += ROWS) {
            const uint8_t *block = (const uint8_t *)packed +
                                   (size_t)(r / ROWS) * chunks * CHUNK_BYTES;
            const size_t height = (size_t)(r1 - r < ROWS ? r1 - r : ROWS);
            for (int t = t0; t < n && t < t0 + batch; t++) {
                _Alignas(64) int32_t sums[ROWS];
                lut_avx512_stream(sums, block, (const int8_t *)scratch + (size_t)t * bytes, chunks);
                memcpy(y + (size_t)t * (size_t)rows + r, sums, height * sizeof *sums);
            }
        }
}

const TernaryKernel ternary_lut_avx512 = {
    .name = "lut_avx512",
    .brief = "tables of two activations; VPSHUFB",
    .cpu = CPU_AVX2 | CPU_AVX512, .act_bits = 8, .min_bits = 8, .weight_bits = 2, .computes = 1,
    .layout = 1,
    .drawn = 1,
    .large = { "f32_add512", 16, 1, 14 / 256.0 },
    .single = { "f32_add512", 16, 1, 14 / 256.0 },
    .packed_size = lut_avx512_packed_size, .pack = lut_avx512_pack,
    .scratch_size = lut_avx512_scratch_size, .prepare = lut_avx512_prepare, .gemm = lut_avx512_gemm,
};
