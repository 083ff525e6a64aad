/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two bits per weight as i2_avx512 packs them, multiplied by tiles: 16 batch rows times 16 weight
 * rows, 64 columns deep, in one TDPBSSD of 16 cycles.
 *
 *   packed   i2_avx512's: after 64 bytes, [block of 32 rows][chunk of 16 cols][row][i < 4]
 *   scratch  [t][cols padded to an odd number of 64 bytes] int8, zeros at the end;
 *            i2_avx512's where n < TILES_FROM
 *   panel    [block][half of 16 rows][4 cols][row < 16][i < 4]: weights, -1 0 1, one a byte;
 *            on the stack, L1
 *
 *               B0 16 rows   B1 16 rows      A: 16 batch rows by 64 bytes, from the scratch
 *   A0 16 t         C0           C1          B: 16 quads of columns by 16 rows, from the panel
 *   A1 16 t         C2           C3          C: 16 batch rows by 16 rows, into y
 *
 * One step of 64 columns is four loads (8 cycles each, from L1) for four products. The panel and a
 * strip of A share L1, so a panel has at most PANEL_STEPS steps; a wider matrix is cut into equal
 * slices, and C of a later slice starts from y. Columns beyond cols meet the zeros of the scratch,
 * whatever the panel holds there. Tiles are configured to the sizes of the last rows.
 *
 * Storing a tile row of 64 bytes that lies across two cache lines of y takes five cycles: where y
 * or its rows are not aligned to lines, a group of blocks goes through `sums`, and from there to y
 * by whole lines (683x256, n = 256: 50 us instead of 70).
 *
 * Two fields of a byte are the index of one shuffle: VPSHUFB unpacks them and subtracts the 1 of
 * the code at once. Up to four batch rows i2_avx512 is faster, as few rows share the unpacking.
 *
 * i8_amx, also here, is the dense int8 product that 2 bits are compared with: the same tiles,
 * loaded from the packed weights themselves,
 *
 *   packed   after 64 bytes, [16 rows][4 cols][row < 16][i < 4]: a panel as wide as the matrix */
#include "kernels/ternary.h"
#include "kernels/cpu.h"
#include <immintrin.h>
#include <string.h>

enum { ROWS = 32, CHUNK = 16, CHUNK_BYTES = 128, HEADER = 64 };
enum { TILE = 16, STRIP = 2 * TILE, DEPTH = 64, LINE = 64, STEP_BYTES = DEPTH * TILE };
enum { TILES_FROM = 5, PANEL_STEPS = 11, BLOCKS = 2, BATCH_BYTES = 1 << 20, MIN_BATCH = 64 };

extern const TernaryKernel ternary_i2_avx512;

static size_t i2_amx_packed_size(int rows, int cols)
{
    return ternary_i2_avx512.packed_size(rows, cols);
}

static void i2_amx_pack(void *packed, const int8_t *w, int rows, int cols)
{
    ternary_i2_avx512.pack(packed, w, rows, cols);
}

static size_t i2_amx_min(size_t a, size_t b) { return a < b ? a : b; }

/* an odd number of lines: 16 rows are in 16 different sets of the cache */
static size_t i2_amx_stride_of(int cols)
{
    return (((size_t)cols + DEPTH - 1) / DEPTH | 1) * DEPTH;
}

static size_t i2_amx_scratch_size(int n, int cols, int act_bits)
{
    return n < TILES_FROM ? ternary_i2_avx512.scratch_size(n, cols, act_bits)
                          : (size_t)n * i2_amx_stride_of(cols);
}

static void i2_amx_copy_rows(void *scratch, const int8_t *x, int n, int cols)
{
    int8_t *out = scratch;
    for (int t = 0; t < n; t++, x += cols, out += i2_amx_stride_of(cols)) {
        int c = 0;
        for (; c + 64 <= cols; c += 64) _mm512_store_si512(out + c, _mm512_loadu_si512(x + c));
        if (c < cols)
            _mm512_store_si512(out + c, _mm512_maskz_loadu_epi8(~0ull >> (64 - (cols - c)), x + c));
    }
}

static void i2_amx_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    if (n < TILES_FROM) ternary_i2_avx512.prepare(scratch, x, n, cols, act_bits);
    else i2_amx_copy_rows(scratch, x, n, cols);
}

/* unpacks chunks of a block into a panel whose halves are `half` bytes apart */
static void i2_amx_unpack(int8_t *panel, size_t half, const uint8_t *block, size_t chunks)
{
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i first = _mm512_broadcast_i32x4(
        _mm_setr_epi8(-1, 0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0));
    const __m512i second = _mm512_broadcast_i32x4(
        _mm_setr_epi8(-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0));
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

typedef struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} Config;

/* Tiles 0..3 are C, 4 and 5 A, 6 and 7 B, for m <= 32 batch rows and as many weight rows; tiles
 * that would be empty are not configured. */
static void i2_amx_configure(size_t m, size_t rows)
{
    Config c = { .palette = 1 };
    for (size_t i = 0; i < 2; i++) {
        const size_t mi = i ? (m > TILE ? m - TILE : 0) : i2_amx_min(m, TILE);
        const size_t ri = i ? (rows > TILE ? rows - TILE : 0) : i2_amx_min(rows, TILE);
        c.rows[4 + i] = c.rows[2 * i] = c.rows[2 * i + 1] = (uint8_t)mi;
        c.bytes[4 + i] = DEPTH;
        c.rows[6 + i] = DEPTH / 4;
        c.bytes[6 + i] = c.bytes[i] = c.bytes[2 + i] = (uint16_t)(4 * ri);
    }
    for (size_t i = 0; i < 8; i++)
        if (!c.rows[i] || !c.bytes[i]) c.rows[i] = 0, c.bytes[i] = 0;
    /* gcc 12's _tile_loadconfig only declares that it reads the first 8 bytes */
    __asm__ volatile("" : : "r"(&c) : "memory");
    _tile_loadconfig(&c);
}

/* strides and half in bytes */
typedef struct { size_t stride, y_stride, half, steps; int add; } Span;

/* to = a strip of m <= 32 batch rows by a block, plus y where s->add. `tall`: m > 16, `wide`: more
 * than 16 rows of the block; constants in every caller. y is often in no cache: its lines are
 * prefetched while the tiles are computed, but none after the last, which another thread may be
 * writing. */
static inline __attribute__((always_inline)) void i2_amx_tile(int32_t *to, size_t to_stride,
                                                              const int32_t *y, const int8_t *panel,
                                                              const int8_t *x, const Span *s,
                                                              size_t m, int tall, int wide)
{
    const size_t stride = s->stride, half = s->half, rows_a_step = (m + s->steps - 1) / s->steps;
    const char *line = (const char *)y, *const y2 = line + TILE * s->y_stride,
               *const end = line + m * s->y_stride;
    if (s->add) {
        _tile_loadd(0, y, s->y_stride);
        if (wide) _tile_loadd(1, y + TILE, s->y_stride);
        if (tall) _tile_loadd(2, y2, s->y_stride);
        if (tall && wide) _tile_loadd(3, y2 + LINE, s->y_stride);
    } else {
        _tile_zero(0);
        if (wide) _tile_zero(1);
        if (tall) _tile_zero(2);
        if (tall && wide) _tile_zero(3);
    }
    for (size_t k = 0; k < s->steps; k++, x += DEPTH, panel += STEP_BYTES) {
        for (size_t i = 0; i < rows_a_step && line < end; i++, line += s->y_stride) {
            _mm_prefetch(line, _MM_HINT_T0);
            _mm_prefetch(line + LINE, _MM_HINT_T0);
        }
        _tile_loadd(6, panel, LINE);
        if (wide) _tile_loadd(7, panel + half, LINE);
        _tile_loadd(4, x, stride);
        _tile_dpbssd(0, 4, 6);
        if (wide) _tile_dpbssd(1, 4, 7);
        if (tall) _tile_loadd(5, x + TILE * stride, stride);
        if (tall && wide) _tile_dpbssd(3, 5, 7);
        if (tall) _tile_dpbssd(2, 5, 6);
    }
    char *const to2 = (char *)to + TILE * to_stride;
    _tile_stored(0, to, to_stride);
    if (wide) _tile_stored(1, to + TILE, to_stride);
    if (tall) _tile_stored(2, to2, to_stride);
    if (tall && wide) _tile_stored(3, to2 + LINE, to_stride);
}

static void i2_amx_strip(int32_t *to, size_t to_stride, const int32_t *y, const int8_t *panel,
                         const int8_t *x, const Span *s, size_t m, size_t rows)
{
    if (m > TILE && rows > TILE) i2_amx_tile(to, to_stride, y, panel, x, s, m, 1, 1);
    else if (m > TILE)           i2_amx_tile(to, to_stride, y, panel, x, s, m, 1, 0);
    else if (rows > TILE)        i2_amx_tile(to, to_stride, y, panel, x, s, m, 0, 1);
    else                         i2_amx_tile(to, to_stride, y, panel, x, s, m, 0, 0);
}

/* m rows of sums to y, by whole cache lines of y */
static void i2_amx_copy(int32_t *y, size_t y_stride, const int32_t *sums, size_t m, size_t rows)
{
    for (size_t t = 0; t < m; t++, y += y_stride / sizeof *y, sums += BLOCKS * ROWS) {
        const size_t skew = (uintptr_t)y % LINE / sizeof *y, end = skew + rows;
        __mmask16 mask = (__mmask16)(0xffff << skew);
        for (size_t i = 0; i < end; i += 16, mask = 0xffff) {
            if (end - i < 16) mask &= (__mmask16)((1u << (end - i)) - 1);
            _mm512_mask_store_epi32(y - skew + i, mask,
                                    _mm512_maskz_loadu_epi32(mask, sums - skew + i));
        }
    }
}

/* `rows` rows, of whole blocks or of one, by n batch rows, `steps` of 64 columns at a time; dense:
 * packed is a panel */
static void i2_amx_blocks_gemm(int32_t *y, const uint8_t *packed, const int8_t *x, size_t n,
                               size_t rows, size_t chunks, Span s, int dense)
{
    _Alignas(64) int8_t room[PANEL_STEPS * 2 * STEP_BYTES];
    _Alignas(64) int32_t sums[STRIP * BLOCKS * ROWS];
    const size_t lanes = i2_amx_min(rows, ROWS), most = s.steps * (DEPTH / CHUNK);
    const int direct = ((uintptr_t)y | s.y_stride) % LINE == 0;
    for (size_t c = 0; c < chunks; c += most) {
        const size_t some = i2_amx_min(chunks - c, most);
        s.add = c > 0;
        s.steps = (some * CHUNK + DEPTH - 1) / DEPTH;
        s.half = (dense ? (chunks * CHUNK + DEPTH - 1) / DEPTH : s.steps) * STEP_BYTES;
        for (size_t r = 0; r < rows && !dense; r += ROWS)
            i2_amx_unpack(room + r / TILE * s.half, s.half,
                          packed + (r / ROWS * chunks + c) * CHUNK_BYTES, some);
        const int8_t *panel = dense ? (const int8_t *)packed + c * CHUNK / DEPTH * STEP_BYTES
                                    : room;
        /* gcc 12's _tile_loadd does not declare that it reads memory */
        __asm__ volatile("" : : "r"(room) : "memory");
        for (size_t t = 0; t < n; t += STRIP) {
            const size_t m = i2_amx_min(n - t, STRIP);
            int32_t *const out = y + t * s.y_stride / sizeof *y, *const to = direct ? out : sums;
            const size_t to_stride = direct ? s.y_stride : BLOCKS * ROWS * sizeof *sums;
            if (t == 0 || m < STRIP) i2_amx_configure(m, lanes);
            for (size_t r = 0; r < rows; r += ROWS)
                i2_amx_strip(to + r, to_stride, out + r, panel + r / TILE * s.half,
                             x + t * s.stride + c * CHUNK, &s, m, lanes);
            if (!direct) i2_amx_copy(out, s.y_stride, sums, m, rows);
        }
    }
}

static void i2_amx_multiply(int32_t *y, const void *packed, const void *scratch, int n, int r0,
                            int r1, int rows, int cols, int dense)
{
    const size_t chunks = ((size_t)cols + CHUNK - 1) / CHUNK, stride = i2_amx_stride_of(cols);
    const size_t all = ((size_t)cols + DEPTH - 1) / DEPTH,
                 slices = (all + PANEL_STEPS - 1) / PANEL_STEPS;
    const Span s = { .stride = stride,
                     .y_stride = (size_t)rows * sizeof *y,
                     .steps = (all + slices - 1) / slices };
    const size_t group = i2_amx_min(PANEL_STEPS / s.steps, BLOCKS) * ROWS;
    const size_t fits = BATCH_BYTES / stride / STRIP * STRIP,
                 batch = fits < MIN_BATCH ? MIN_BATCH : fits;
    for (size_t t = 0; t < (size_t)n; t += batch)
        for (size_t r = (size_t)r0, some; r < (size_t)r1; r += some) {
            some = i2_amx_min((size_t)r1 - r, group);
            if (some > ROWS) some = some / ROWS * ROWS;
            const size_t block = dense ? 2 * all * STEP_BYTES : chunks * CHUNK_BYTES;
            i2_amx_blocks_gemm(y + t * (size_t)rows + r,
                               (const uint8_t *)packed + HEADER + r / ROWS * block,
                               (const int8_t *)scratch + t * stride,
                               i2_amx_min((size_t)n - t, batch), some, chunks, s, dense);
        }
    _tile_release();
}

static void i2_amx_gemm(int32_t *y, const void *packed, const void *scratch,
                 int n, int r0, int r1, int rows, int cols, int act_bits)
{
    if (n < TILES_FROM) ternary_i2_avx512.gemm(y, packed, scratch, n, r0, r1, rows, cols, act_bits);
    else i2_amx_multiply(y, packed, scratch, n, r0, r1, rows, cols, 0);
}

const TernaryKernel ternary_i2_amx = {
    .name = "i2_amx",
    .brief = "2 bits; TDPBSSD, i2_avx512 for few rows",
    .cpu = CPU_AVX2 | CPU_AVX512 | CPU_AMX,
    .act_bits = 8,
    .min_bits = 8,
    .weight_bits = 2,
    .computes = 1,
    .layout = 1,
    .preference = 4,
    .drawn = 1,
    .large = { "int8_amx", 32768, 1, 1 / 16384.0 },
    .single = { "int8_vnni512", 128, 1, 2 / 64.0 },
    .packed_size = i2_amx_packed_size,
    .pack = i2_amx_pack,
    .scratch_size = i2_amx_scratch_size,
    .prepare = i2_amx_prepare,
    .gemm = i2_amx_gemm,
};

/* ---- i8_amx ---- */

static size_t i8_amx_packed_size(int rows, int cols)
{
    return HEADER +
           ((size_t)rows + ROWS - 1) / ROWS * ROWS * (((size_t)cols + DEPTH - 1) / DEPTH) * DEPTH;
}

static void i8_amx_pack(void *packed, const int8_t *w, int rows, int cols)
{
    const size_t steps = ((size_t)cols + DEPTH - 1) / DEPTH;
    int8_t *to = memset(packed, 0, i8_amx_packed_size(rows, cols));
    to += HEADER;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++)
            to[((size_t)(r / TILE) * steps + (size_t)(c / DEPTH)) * STEP_BYTES +
               (size_t)(c % DEPTH / 4 * LINE + r % TILE * 4 + c % 4)] = w[(size_t)r * cols + c];
}

static size_t i8_amx_scratch_size(int n, int cols, int act_bits)
{
    (void)act_bits;
    return (size_t)n * i2_amx_stride_of(cols);
}

static void i8_amx_prepare(void *scratch, const int8_t *x, int n, int cols, int act_bits)
{
    (void)act_bits;
    i2_amx_copy_rows(scratch, x, n, cols);
}

static void i8_amx_gemm(int32_t *y, const void *packed, const void *scratch,
                  int n, int r0, int r1, int rows, int cols, int act_bits)
{
    (void)act_bits;
    i2_amx_multiply(y, packed, scratch, n, r0, r1, rows, cols, 1);
}

const TernaryKernel ternary_i8_amx = {
    .name = "i8_amx",
    .brief = "int8 weights, dense; TDPBSSD",
    .cpu = CPU_AVX2 | CPU_AVX512 | CPU_AMX,
    .act_bits = 8,
    .min_bits = 8,
    .weight_bits = 8,
    .computes = 1,
    .layout = 1,
    .drawn = 1,
    .large = { "int8_amx", 32768, 1, 1 / 16384.0 },
    .single = { "int8_amx", 32768, 1, 1 / 1024.0 },
    .packed_size = i8_amx_packed_size,
    .pack = i8_amx_pack,
    .scratch_size = i8_amx_scratch_size,
    .prepare = i8_amx_prepare,
    .gemm = i8_amx_gemm,
};
