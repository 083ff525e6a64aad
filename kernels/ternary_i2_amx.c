/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two bits per weight as i2_avx512 packs them, multiplied by tiles: 16 batch rows times 16 weight rows, 64 columns deep,
 * in one TDPBSSD of 16 cycles.
 *
 *     packed   i2_avx512's: after 64 bytes, [block of 32 rows][chunk of 16 cols][row][i < 4]
 *     scratch  [t][cols padded to an odd number of 64 bytes] int8, zeros at the end; i2_avx512's where n < TILES_FROM
 *     panel    [block][half of 16 rows][4 cols][row < 16][i < 4]: weights, -1 0 1, one a byte; on the stack, L1
 *
 *                   B0 16 rows   B1 16 rows         A: 16 batch rows by 64 bytes, straight from the scratch
 *     A0 16 t          C0           C1              B: 16 quads of columns by 16 rows, straight from the panel
 *     A1 16 t          C2           C3              C: straight into y
 *
 * One step of 64 columns is four loads (8 cycles each, from L1) for four products. The columns beyond cols meet the zeros
 * of the scratch, whatever the panel holds there. Tiles are configured to the sizes of the last rows: nothing is copied.
 * Two fields of a byte are the index of one shuffle: VPSHUFB unpacks and takes the 1 off the code at once. */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <immintrin.h>
#include <string.h>

enum { ROWS = 32, CHUNK = 16, CHUNK_BYTES = 128, HEADER = 64 };
enum { TILE = 16, STRIP = 2 * TILE, DEPTH = 64, TILES_FROM = 6, BATCH_BYTES = 1 << 20 };
enum { PANEL = 512, PANEL_BYTES = 1 << 15, STEP_BYTES = DEPTH * TILE, BLOCKS = 4 };

extern const TernaryKernel ternary_i2_avx512;

static size_t packed_size(int rows, int cols) { return ternary_i2_avx512.packed_size(rows, cols); }

static void pack(void *packed, const int8_t *w, int rows, int cols) { ternary_i2_avx512.pack(packed, w, rows, cols); }

static size_t min(size_t a, size_t b) { return a < b ? a : b; }

/* an odd number of lines: 16 rows are in 16 different sets of the cache */
static size_t stride_of(int cols) { return (((size_t)cols + DEPTH - 1) / DEPTH | 1) * DEPTH; }

static size_t scratch_size(int n, int cols, int act_bits)
{
    return n < TILES_FROM ? ternary_i2_avx512.scratch_size(n, cols, act_bits) : (size_t)n * stride_of(cols);
}

static void prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    if (n < TILES_FROM) {
        ternary_i2_avx512.prepare(scratch, x, n, cols, act_bits);
        return;
    }
    int8_t *out = scratch;
    for (int t = 0; t < n; t++, x += cols, out += stride_of(cols)) {
        int c = 0;
        for (; c + 64 <= cols; c += 64) _mm512_store_si512(out + c, _mm512_loadu_si512(x + c));
        if (c < cols) _mm512_store_si512(out + c, _mm512_maskz_loadu_epi8(~0ull >> (64 - (cols - c)), x + c));
    }
}

/* chunks of a block to a panel whose halves are `half` bytes apart */
static void unpack(int8_t *panel, size_t half, const uint8_t *block, size_t chunks)
{
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i first = _mm512_broadcast_i32x4(_mm_setr_epi8(-1, 0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0));
    const __m512i second = _mm512_broadcast_i32x4(_mm_setr_epi8(-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0));
    for (; chunks; chunks--, block += CHUNK_BYTES, panel += 256)
        for (int h = 0; h < 2; h++) {
            const __m512i v = _mm512_loadu_si512(block + 64 * h), u = _mm512_and_si512(v, low);
            const __m512i w = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
            int8_t *out = panel + half * (size_t)h;
            _mm512_store_si512(out, _mm512_shuffle_epi8(first, u));
            _mm512_store_si512(out + 64, _mm512_shuffle_epi8(second, u));
            _mm512_store_si512(out + 128, _mm512_shuffle_epi8(first, w));
            _mm512_store_si512(out + 192, _mm512_shuffle_epi8(second, w));
        }
}

typedef struct { uint8_t palette, start, reserved[14]; uint16_t bytes[16]; uint8_t rows[16]; } Config;

/* Tiles 0..3 are C, 4 and 5 A, 6 and 7 B, for m <= 32 batch rows and as many weight rows; a tile of none is not used. */
static void configure(size_t m, size_t rows)
{
    Config c = { .palette = 1 };
    for (size_t i = 0; i < 2; i++) {
        const size_t mi = i ? (m > TILE ? m - TILE : 0) : min(m, TILE), ri = i ? (rows > TILE ? rows - TILE : 0) : min(rows, TILE);
        c.rows[4 + i] = c.rows[2 * i] = c.rows[2 * i + 1] = (uint8_t)mi;
        c.bytes[4 + i] = DEPTH;
        c.rows[6 + i] = DEPTH / 4;
        c.bytes[6 + i] = c.bytes[i] = c.bytes[2 + i] = (uint16_t)(4 * ri);
    }
    for (size_t i = 0; i < 8; i++)
        if (!c.rows[i] || !c.bytes[i]) c.rows[i] = 0, c.bytes[i] = 0;
    __asm__ volatile("" : : "r"(&c) : "memory");      /* gcc 12's _tile_loadconfig names the first 8 bytes only */
    _tile_loadconfig(&c);
}

typedef struct { size_t stride, y_stride, half, steps; int add; } Span;      /* strides and half in bytes */

/* a strip of up to 32 batch rows by a block; `tall` and `wide`: more than 16 of them, constants in every caller */
static inline __attribute__((always_inline))
void tile(int32_t *y, const int8_t *panel, const int8_t *x, const Span *s, int tall, int wide)
{
    const size_t stride = s->stride, half = s->half;
    int32_t *const below = y + TILE * s->y_stride / sizeof *y;
    if (s->add) {
        _tile_loadd(0, y, s->y_stride);
        if (wide) _tile_loadd(1, y + TILE, s->y_stride);
        if (tall) _tile_loadd(2, below, s->y_stride);
        if (tall && wide) _tile_loadd(3, below + TILE, s->y_stride);
    } else {
        _tile_zero(0);
        if (wide) _tile_zero(1);
        if (tall) _tile_zero(2);
        if (tall && wide) _tile_zero(3);
    }
    for (size_t k = 0; k < s->steps; k++, x += DEPTH, panel += STEP_BYTES) {
        _tile_loadd(4, x, stride);
        _tile_loadd(6, panel, 64);
        _tile_dpbssd(0, 4, 6);
        if (wide) {
            _tile_loadd(7, panel + half, 64);
            _tile_dpbssd(1, 4, 7);
        }
        if (tall) {
            _tile_loadd(5, x + TILE * stride, stride);
            _tile_dpbssd(2, 5, 6);
        }
        if (tall && wide) _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, y, s->y_stride);
    if (wide) _tile_stored(1, y + TILE, s->y_stride);
    if (tall) _tile_stored(2, below, s->y_stride);
    if (tall && wide) _tile_stored(3, below + TILE, s->y_stride);
}

static void strip(int32_t *y, const int8_t *panel, const int8_t *x, const Span *s, size_t m, size_t rows)
{
    if (m > TILE && rows > TILE) tile(y, panel, x, s, 1, 1);
    else if (m > TILE)           tile(y, panel, x, s, 1, 0);
    else if (rows > TILE)        tile(y, panel, x, s, 0, 1);
    else                         tile(y, panel, x, s, 0, 0);
}

/* `rows` rows of whole blocks, or of one, by n batch rows */
static void blocks_gemm(int32_t *y, const uint8_t *packed, const int8_t *x, size_t n, size_t rows, size_t chunks, Span s)
{
    _Alignas(64) int8_t panel[PANEL_BYTES];
    const size_t blocks = (rows + ROWS - 1) / ROWS, lanes = min(rows, ROWS);
    for (size_t c = 0; c < chunks; c += PANEL / CHUNK) {
        const size_t some = min(chunks - c, PANEL / CHUNK);
        s.add = c > 0;
        s.steps = (some * CHUNK + DEPTH - 1) / DEPTH;
        s.half = s.steps * STEP_BYTES;
        for (size_t b = 0; b < blocks; b++)
            unpack(panel + 2 * b * s.half, s.half, packed + (b * chunks + c) * CHUNK_BYTES, some);
        __asm__ volatile("" : : "r"(panel) : "memory");       /* gcc 12's _tile_loadd names no memory */
        for (size_t t = 0; t < n; t += STRIP) {
            const size_t m = min(n - t, STRIP);
            if (t == 0 || m < STRIP) configure(m, lanes);
            for (size_t b = 0; b < blocks; b++)
                strip(y + t * s.y_stride / sizeof *y + b * ROWS, panel + 2 * b * s.half, x + t * s.stride + c * CHUNK, &s, m, lanes);
        }
    }
}

static void gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    if (n < TILES_FROM) {
        ternary_i2_avx512.gemm(y, packed, scratch, n, r0, r1, rows, cols, act_bits);
        return;
    }
    const size_t chunks = ((size_t)cols + CHUNK - 1) / CHUNK, stride = stride_of(cols), padded = (chunks + 3) / 4 * DEPTH;
    const size_t fits = PANEL_BYTES / ROWS / min(padded, PANEL), group = min(fits, BLOCKS) * ROWS;
    const size_t batch = BATCH_BYTES / stride < 64 ? 64 : BATCH_BYTES / stride / STRIP * STRIP;
    const Span s = { .stride = stride, .y_stride = (size_t)rows * sizeof *y };
    for (size_t t = 0; t < (size_t)n; t += batch)
        for (size_t r = (size_t)r0, some; r < (size_t)r1; r += some) {
            some = min((size_t)r1 - r, group);
            if (some > ROWS) some = some / ROWS * ROWS;
            blocks_gemm(y + t * (size_t)rows + r, (const uint8_t *)packed + HEADER + r / ROWS * chunks * CHUNK_BYTES,
                        (const int8_t *)scratch + t * stride, min((size_t)n - t, batch), some, chunks, s);
        }
    _tile_release();
}

const TernaryKernel ternary_i2_amx = {
    "i2_amx", "2 bits; TDPBSSD, i2_avx512 for few rows", .cpu = CPU_AVX2 | CPU_AVX512 | CPU_AMX, .act_bits = 8,
    .min_bits = 8, .weight_bits = 2, .computes = 1, .packed_size = packed_size, .pack = pack,
    .scratch_size = scratch_size, .prepare = prepare, .gemm = gemm,
};
