/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Float products on bfloat16 tiles, with float's accuracy (Henry, Tang, Heinecke 2019, arXiv
 * 1904.06376).
 *
 * x = x1 + x2 + x3, each the bfloat16 nearest to what is left: 8 + 8 + 8 bits, so the sum is exact.
 * Then
 *   a b = a1 b1 + (a1 b2 + a2 b1) + (a1 b3 + a2 b2 + a3 b1) + less than 2^-24 |a b|
 * six tile products, summed in float. Where B holds only bfloat16 numbers (the codes of a ternary
 * weight), b2 = b3 = 0 and three are enough. Values below 2^-102 lose bits, infinities become NaN.
 *
 * A tile is 1 KB: 16 rows of 16 dwords, a dword two neighbours along k.
 *   A: row m, dword p = A[m][2p, 2p+1]      B: row p, dword n = B[2p, 2p+1][n]
 *   (one is the other's transpose)
 *
 * Both are packed in strips of 32 rows of op(A), of 32 columns of op(B); 32x32 of C are in four
 * tiles while k runs. The operand with fewer strips is kept, in L2. Those of the other stream by:
 * while one is multiplied with all that are kept the next is packed, a row between tile products,
 * which leave the vector ports free. A float is packed in about a cycle, for which the FMAs it
 * saves must pay: smaller products are left to the next provider. */
#include "kernels/gemm.h"
#include <immintrin.h>
#include <string.h>

#define ALWAYS inline __attribute__((always_inline))

enum {
    T = 16,                      /* rows of a tile, and dwords of its row */
    TILE = 1024,                 /* bytes */
    TERMS = 3,
    STRIP = 2 * T,
    DEPTH = 704,                 /* of k in a block */
    ROOM_STREAM = STRIP * DEPTH * 2 * TERMS,      /* bytes of a strip, of all that are kept */
    ROOM_KEPT = 1152 << 10,
    ROOM = 2 * ROOM_STREAM + ROOM_KEPT
};

/* gcc 12's tile intrinsics name no memory, or little: what they are to read must be there. */
static ALWAYS void amx_written(const void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }

/* op(X) as it lies in memory: element (r, k) at x[r ld + k], or at x[k ld + r] when its rows run
 * along memory's columns */
typedef struct { const float *x; int ld, across; float scale; } Matrix;

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int up(int n, int step) { return (n + step - 1) / step; }
static inline __mmask16 lanes(int n)
{
    return (__mmask16)(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
}

/* The nearest bfloat16 of what is left, in the upper half of each float; less is left afterwards,
 * and the last is exact */
static ALWAYS __m512i amx_term(__m512 *left, int i)
{
    if (i == TERMS - 1) return _mm512_castps_si512(*left);
    const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(*left), _mm512_set1_epi32(0x8000));
    const __m512i h = _mm512_and_si512(bits, _mm512_set1_epi32((int)0xffff0000));
    *left = _mm512_sub_ps(*left, _mm512_castsi512_ps(h));
    return h;
}

static inline __m512i neighbours(__m512i even, __m512i odd)
{
    return _mm512_or_si512(_mm512_srli_epi32(even, 16), odd);
}

/* 16 dwords of two lots of floats: dword i = (a[i], b[i]) */
static inline void put_pairs(char *to, size_t apart, __m512 a, __m512 b, int terms)
{
    for (int i = 0; i < terms; i++)
        _mm512_store_si512((void *)(to + (size_t)i * apart),
                           neighbours(amx_term(&a, i), amx_term(&b, i)));
}

/* 16 dwords of 32 floats side by side: dword i = (x[2i], x[2i+1]) */
static inline void put_run(char *to, size_t apart, __m512 a, __m512 b, int terms)
{
    const __m512i odd_words = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39,
                                               37, 35, 33, 31, 29, 27, 25, 23, 21, 19, 17, 15, 13,
                                               11, 9, 7, 5, 3, 1);
    for (int i = 0; i < terms; i++)
        _mm512_store_si512((void *)(to + (size_t)i * apart),
                           _mm512_permutex2var_epi16(amx_term(&a, i), odd_words, amx_term(&b, i)));
}

static void amx_transpose(char *tile)
{
    __m512i r[T], s[T];
    for (int i = 0; i < T; i++) r[i] = _mm512_load_si512((const void *)(tile + i * 64));
    for (int i = 0; i < T; i += 2) {
        s[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        s[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < T; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm512_unpacklo_epi64(s[i + j], s[i + 2 + j]);
            r[i + 2 * j + 1] = _mm512_unpackhi_epi64(s[i + j], s[i + 2 + j]);
        }
    /* r[4 q + j]: columns j, j + 4, j + 8, j + 12 of rows 4 q .. 4 q + 3 */
    for (int j = 0; j < 4; j++) {
        const __m512i a = _mm512_shuffle_i32x4(r[j], r[4 + j], 0x88),
                      b = _mm512_shuffle_i32x4(r[j], r[4 + j], 0xdd);
        const __m512i c = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0x88),
                      d = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0xdd);
        _mm512_store_si512((void *)(tile + j * 64), _mm512_shuffle_i32x4(a, c, 0x88));
        _mm512_store_si512((void *)(tile + (j + 4) * 64), _mm512_shuffle_i32x4(b, d, 0x88));
        _mm512_store_si512((void *)(tile + (j + 8) * 64), _mm512_shuffle_i32x4(a, c, 0xdd));
        _mm512_store_si512((void *)(tile + (j + 12) * 64), _mm512_shuffle_i32x4(b, d, 0xdd));
    }
}

/* A strip as it is packed: step (32 of k) after step, term after term, two tiles each. */
typedef struct {
    const Matrix *m;
    char  *strip;
    int    r, k, rows, depth;    /* the strip's first row and k, and how many of them there are */
    int    terms, turn;          /* turn: tiles are packed the wrong way round, and transposed */
    int    tile, tiles, row;     /* what comes next */
    /* of that row; then its tile, and what of rows and depth is left for it */
    const float *x;
    char  *to;
    int    rows_left, depth_left;
} Packer;

static void amx_next_tile(Packer *p)
{
    const int halves = up(p->rows, T), step = p->tile / halves, half = p->tile % halves;
    const int r = p->r + T * half, k = p->k + 2 * T * step;
    p->to = p->strip + ((size_t)step * (size_t)p->terms * 2 + (size_t)half) * TILE;
    p->x = p->m->x + (p->m->across ? (size_t)k * (size_t)p->m->ld + (size_t)r
                                   : (size_t)r * (size_t)p->m->ld + (size_t)k);
    p->rows_left = p->rows - T * half;
    p->depth_left = p->depth - 2 * T * step;
    p->row = 0;
}

static Packer amx_packer(const Matrix *m, char *strip, int r, int k, int rows, int depth, int terms,
                         int as_b)
{
    Packer p = { .m = m,
                 .strip = strip,
                 .r = r,
                 .k = k,
                 .rows = rows,
                 .depth = depth,
                 .terms = terms,
                 .turn = as_b != m->across,
                 .tiles = up(rows, T) * up(depth, 2 * T) };
    if (p.tiles) amx_next_tile(&p);
    return p;
}

static ALWAYS void amx_put_row(Packer *p, int across, int terms)
{
    const size_t ld = (size_t)p->m->ld;
    const int i = p->row, rows = p->rows_left, depth = p->depth_left;
    const float *x = p->x, *ahead = x + (across ? 2 * T : T) * ld;
    const size_t second = across ? ld : 16;
    const __mmask16 first = across ? lanes(2 * i < depth ? rows : 0) : lanes(i < rows ? depth : 0);
    const __mmask16 last = across ? lanes(2 * i + 1 < depth ? rows : 0)
                                  : lanes(i < rows ? depth - 16 : 0);
    const __m512 scale = _mm512_set1_ps(p->m->scale);
    _mm_prefetch((const char *)ahead, _MM_HINT_T0);
    _mm_prefetch((const char *)(ahead + second), _MM_HINT_T0);
    const __m512 a = _mm512_mul_ps(_mm512_maskz_loadu_ps(first, x), scale);
    const __m512 b = _mm512_mul_ps(_mm512_maskz_loadu_ps(last, x + second), scale);
    if (across) put_pairs(p->to + i * 64, 2 * TILE, a, b, terms);
    else        put_run(p->to + i * 64, 2 * TILE, a, b, terms);
    p->x += across ? 2 * ld : ld;
}

static void amx_pack_row(Packer *p)
{
    if (p->terms == TERMS && p->m->across) amx_put_row(p, 1, TERMS);
    else if (p->terms == TERMS)            amx_put_row(p, 0, TERMS);
    else                                   amx_put_row(p, p->m->across, 1);
    if (++p->row < T) return;
    for (int t = 0; t < p->terms && p->turn; t++) amx_transpose(p->to + (size_t)t * 2 * TILE);
    if (++p->tile < p->tiles) amx_next_tile(p);
}

static void amx_pack_rest(Packer *p)
{
    while (p->tile < p->tiles) amx_pack_row(p);
}

/* Are all floats bfloat16 numbers? */
static int amx_exact(const Matrix *m, int rows, int depth)
{
    const int lines = m->across ? depth : rows, width = m->across ? rows : depth;
    const float *x = m->x;
    for (int i = 0; i < lines; i++, x += m->ld) {
        __m512i low = _mm512_setzero_si512();
        for (int j = 0; j < width; j += 16)
            low = _mm512_or_si512(
                low, _mm512_castps_si512(_mm512_maskz_loadu_ps(lanes(width - j), x + j)));
        if (_mm512_test_epi32_mask(low, _mm512_set1_epi32(0xffff))) return 0;
    }
    return 1;
}

/* 32x32 of C: a strip of A by one of B; next: what is packed meanwhile */
typedef struct { const char *a, *b; int steps, b_terms; Packer *next; } Block;

/* Tiles 4 and 5 hold A, 6 and 7 hold B, 0 1 / 2 3 add up C. */
static ALWAYS void amx_load_a(const char *a, int term, int lower)
{
    _tile_loadd(4, a + term * 2 * TILE, 64);
    if (lower) _tile_loadd(5, a + term * 2 * TILE + TILE, 64);
}

static ALWAYS void amx_load_b(const char *b, int term, int right)
{
    _tile_loadd(6, b + term * 2 * TILE, 64);
    if (right) _tile_loadd(7, b + term * 2 * TILE + TILE, 64);
}

static ALWAYS void amx_add(int lower, int right, Packer *next)
{
    _tile_dpbf16ps(0, 4, 6);
    if (right) _tile_dpbf16ps(1, 4, 7);
    if (lower) _tile_dpbf16ps(2, 5, 6);
    if (lower && right) _tile_dpbf16ps(3, 5, 7);
    if (next->tile < next->tiles) amx_pack_row(next);
}

/* From one product to the next a term of A or of B changes. */
static ALWAYS void amx_products(const Block *o, int lower, int right)
{
    const char *a = o->a, *b = o->b;
    Packer *next = o->next;
    if (o->b_terms == 1) {
        for (int s = 0; s < o->steps; s++, a += TERMS * 2 * TILE, b += 2 * TILE) {
            amx_load_a(a, 0, lower);
            amx_load_b(b, 0, right);
            amx_add(lower, right, next);
            amx_load_a(a, 1, lower);
            amx_add(lower, right, next);
            amx_load_a(a, 2, lower);
            amx_add(lower, right, next);
        }
        return;
    }
    for (int s = 0; s < o->steps; s++, a += TERMS * 2 * TILE, b += TERMS * 2 * TILE) {
        amx_load_a(a, 0, lower);
        amx_load_b(b, 2, right);
        amx_add(lower, right, next);
        amx_load_b(b, 1, right);
        amx_add(lower, right, next);
        amx_load_a(a, 1, lower);
        amx_add(lower, right, next);
        amx_load_b(b, 0, right);
        amx_add(lower, right, next);
        amx_load_a(a, 0, lower);
        amx_add(lower, right, next);
        amx_load_a(a, 2, lower);
        amx_add(lower, right, next);
    }
}

static ALWAYS void amx_tiles(const Block *o, float *c, size_t ld, int lower, int right, int plus)
{
    const size_t line = sizeof(float) * ld;
    float *under = c + T * ld;
    if (plus) {
        _tile_loadd(0, c, line);
        if (right) _tile_loadd(1, c + T, line);
        if (lower) _tile_loadd(2, under, line);
        if (lower && right) _tile_loadd(3, under + T, line);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    amx_products(o, lower, right);
    _tile_stored(0, c, line);
    if (right) _tile_stored(1, c + T, line);
    if (lower) _tile_stored(2, under, line);
    if (lower && right) _tile_stored(3, under + T, line);
}

/* rows x cols of C, which need not fill its tiles */
static void amx_block(const Block *o, float *c, int ld, int rows, int cols, int plus)
{
    const int lower = rows > T, right = cols > T, whole = rows % T == 0 && cols % T == 0;
    _Alignas(64) float own[STRIP * STRIP];
    float *to = whole ? c : own;
    const size_t line = whole ? (size_t)ld : STRIP;
    if (!whole && plus)
        for (int r = 0; r < rows; r++)
            memcpy(own + r * STRIP, c + (size_t)r * (size_t)ld, sizeof(float) * (size_t)cols);
    amx_written(to);
    if (lower && right) amx_tiles(o, to, line, 1, 1, plus);
    else if (lower)     amx_tiles(o, to, line, 1, 0, plus);
    else if (right)     amx_tiles(o, to, line, 0, 1, plus);
    else                amx_tiles(o, to, line, 0, 0, plus);
    if (whole) return;
    for (int r = 0; r < rows; r++)
        memcpy(c + (size_t)r * (size_t)ld, own + r * STRIP, sizeof(float) * (size_t)cols);
}

/* One side of a product: its strips, of which [first, first + count) rows matter now */
/* strip: bytes of one, of this block's depth */
typedef struct { Matrix m; int size, terms, as_b; size_t strip; } Side;
typedef struct { Side a, b; float *c; int ld; char *room; } Product;

static Packer amx_strip_of(const Side *s, char *to, int at, int k, int depth)
{
    const int rows = at < s->size ? min(STRIP, s->size - at) : 0;
    return amx_packer(&s->m, to, at, k, rows, depth, s->terms, s->as_b);
}

/* C += or = what [k, k + depth) gives, of `some` rows (columns) of the kept side from `first` on,
 * and all of the other */
static void amx_multiply(const Product *p, const Side *kept, const Side *stream, int first,
                         int some, int k, int depth, int plus)
{
    char *streams[2] = { p->room, p->room + ROOM_STREAM }, *keep = p->room + 2 * ROOM_STREAM;
    for (int at = 0; at < some; at += STRIP) {
        Packer now = amx_strip_of(kept, keep + kept->strip * (size_t)(at / STRIP), first + at, k,
                                  depth);
        amx_pack_rest(&now);
    }
    Packer next = amx_strip_of(stream, streams[0], 0, k, depth);
    for (int at = 0, turn = 0; at < stream->size; at += STRIP, turn ^= 1) {
        amx_pack_rest(&next);
        next = amx_strip_of(stream, streams[turn ^ 1], at + STRIP, k, depth);
        for (int other = 0; other < some; other += STRIP) {
            const char *strip = keep + kept->strip * (size_t)(other / STRIP);
            const int r = stream->as_b ? first + other : at, c = stream->as_b ? at : first + other;
            const Block o = { stream->as_b ? strip : streams[turn],
                              stream->as_b ? streams[turn] : strip, up(depth, 2 * T), p->b.terms,
                              &next };
            amx_block(&o, p->c + (size_t)r * (size_t)p->ld + c, p->ld, min(STRIP, p->a.size - r),
                      min(STRIP, p->b.size - c), plus);
        }
    }
}

static void amx_scale(float *c, int ld, int m, int n, float by)
{
    for (int i = 0; i < m; i++, c += ld) {
#pragma omp simd
        for (int j = 0; j < n; j++) c[j] *= by;
    }
}

static void amx_configure(void)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } config = { .palette = 1 };
    for (int i = 0; i < 8; i++) {
        config.bytes[i] = 64;
        config.rows[i] = T;
    }
    amx_written(&config);
    _tile_loadconfig(&config);
}

/* Measured at k = 256: a float of A costs n / 36 cycles less by tiles than by FMAs, one of B m /
 * 36. */
static int amx_worth_tiles(int m, int n, int k)
{
    return k >= 2 * T && (double)m * n > 40.0 * (m + n);
}

static void amx_sgemm(const Gemm *g, char ta, char tb, int m, int n, int k, float alpha,
                      const float *A, int lda, const float *B, int ldb, float beta, float *C,
                      int ldc)
{
    if (!amx_worth_tiles(m, n, k)) {
        gemm1(g->small, ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
        return;
    }
    Product p = { { { A, lda, ta == 'T', alpha }, m, TERMS, 0, 0 },
                  { { B, ldb, tb != 'T', 1 }, n, TERMS, 1, 0 },
                  C,
                  ldc,
                  gemm_room(g) };
    if (amx_exact(&p.b.m, n, k)) p.b.terms = 1;
    const int depth = up(up(k, up(k, DEPTH)), 2 * T) * 2 * T;
    for (int b = 0; b < 2; b++) {
        Side *s = b ? &p.b : &p.a;
        s->strip = (size_t)(depth / T) * (size_t)s->terms * TILE;
    }
    const Side *kept = m * p.a.terms < n * p.b.terms ? &p.a : &p.b,
               *stream = kept == &p.a ? &p.b : &p.a;
    const int most = (int)(ROOM_KEPT / kept->strip) * STRIP;
    if (beta != 0 && beta != 1) amx_scale(C, ldc, m, n, beta);
    amx_configure();
    for (int at = 0; at < k; at += depth)
        for (int i = 0; i < kept->size; i += most)
            amx_multiply(&p, kept, stream, i, min(most, kept->size - i), at, min(depth, k - at),
                         at > 0 || beta != 0);
    _tile_release();
}

const char *load_amx(Gemm *g)
{
    g->sgemm = amx_sgemm;
    g->room_size = ROOM;
    snprintf(g->core, sizeof g->core, "three bfloat16 terms");
    return NULL;
}
