/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Float products on bfloat16 tiles, with float's accuracy (Henry, Tang, Heinecke 2019, arXiv 1904.06376).
 *
 * x = x1 + x2 + x3, each the bfloat16 nearest to what is left: 8 + 8 + 8 bits, so the sum is exact. Then
 *   a b = a1 b1 + (a1 b2 + a2 b1) + (a1 b3 + a2 b2 + a3 b1) + less than 2^-24 |a b|
 * six tile products, summed in float. Where B holds only bfloat16 numbers (the codes of a ternary weight), b2 = b3 = 0 and
 * three are enough. Values below 2^-102 lose bits, infinities become NaN.
 *
 * A tile is 1 KB: 16 rows of 16 dwords, a dword two neighbours along k.
 *   A: row m, dword p = A[m][2p, 2p+1]      B: row p, dword n = B[2p, 2p+1][n]      one is the other's transpose
 * B is packed by blocks that stay in L2, A by strips of 32 rows; 32x32 of C are in four tiles while k runs. A float is
 * packed in about a cycle, for which the FMAs it saves must pay: smaller products are left to the next provider. */
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
    ROOM_A = STRIP * DEPTH * 2 * TERMS,      /* bytes of a strip, of a block */
    ROOM_B = 1152 << 10,
    ROOM = ROOM_A + ROOM_B
};

/* gcc 12's tile intrinsics name no memory, or little: what they are to read must be there. */
static ALWAYS void written(const void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }

/* op(X) as it lies in memory: element (r, k) at x[r ld + k], or at x[k ld + r] when its rows run along memory's columns */
typedef struct { const float *x; int ld, across; float scale; } Matrix;

static inline __mmask16 lanes(int n) { return (__mmask16)(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1); }

/* The nearest bfloat16 of what is left, in the upper half of each float; less is left afterwards, and the last is exact */
static ALWAYS __m512i term(__m512 *left, int i)
{
    if (i == TERMS - 1) return _mm512_castps_si512(*left);
    const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(*left), _mm512_set1_epi32(0x8000));
    const __m512i h = _mm512_and_si512(bits, _mm512_set1_epi32((int)0xffff0000));
    *left = _mm512_sub_ps(*left, _mm512_castsi512_ps(h));
    return h;
}

static inline __m512i neighbours(__m512i even, __m512i odd) { return _mm512_or_si512(_mm512_srli_epi32(even, 16), odd); }

/* 16 dwords of two lots of floats: dword i = (a[i], b[i]) */
static inline void put_pairs(char *to, size_t apart, __m512 a, __m512 b, int terms)
{
    for (int i = 0; i < terms; i++)
        _mm512_store_si512((void *)(to + (size_t)i * apart), neighbours(term(&a, i), term(&b, i)));
}

/* 16 dwords of 32 floats side by side: dword i = (x[2i], x[2i+1]) */
static inline void put_run(char *to, size_t apart, __m512 a, __m512 b, int terms)
{
    const __m512i odd_words = _mm512_set_epi16(
        63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    for (int i = 0; i < terms; i++)
        _mm512_store_si512((void *)(to + (size_t)i * apart), _mm512_permutex2var_epi16(term(&a, i), odd_words, term(&b, i)));
}

static void transpose(char *tile)
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
    for (int j = 0; j < 4; j++) {          /* r[4 q + j]: columns j, j + 4, j + 8, j + 12 of rows 4 q .. 4 q + 3 */
        const __m512i a = _mm512_shuffle_i32x4(r[j], r[4 + j], 0x88), b = _mm512_shuffle_i32x4(r[j], r[4 + j], 0xdd);
        const __m512i c = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0x88), d = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0xdd);
        _mm512_store_si512((void *)(tile + j * 64), _mm512_shuffle_i32x4(a, c, 0x88));
        _mm512_store_si512((void *)(tile + (j + 4) * 64), _mm512_shuffle_i32x4(b, d, 0x88));
        _mm512_store_si512((void *)(tile + (j + 8) * 64), _mm512_shuffle_i32x4(a, c, 0xdd));
        _mm512_store_si512((void *)(tile + (j + 12) * 64), _mm512_shuffle_i32x4(b, d, 0xdd));
    }
}

/* The terms of 16 rows and 32 of k from (r, k), beyond which there are `rows` and `depth` more; `apart` bytes from term to
 * term. as_b: for the right operand, whose tiles have k down. */
static ALWAYS void pack(char *to, size_t apart, const Matrix *m, int r, int k, int rows,
                                                       int depth, int terms, int as_b)
{
    const __m512 scale = _mm512_set1_ps(m->scale);
    for (int i = 0; i < T; i++) {
        __m512 a = _mm512_setzero_ps(), b = a;
        if (m->across) {
            const float *x = m->x + (size_t)(k + 2 * i) * (size_t)m->ld + r;
            _mm_prefetch((const char *)(x + 2 * T * (size_t)m->ld), _MM_HINT_T0);
            _mm_prefetch((const char *)(x + (2 * T + 1) * (size_t)m->ld), _MM_HINT_T0);
            if (2 * i < depth) a = _mm512_maskz_loadu_ps(lanes(rows), x);
            if (2 * i + 1 < depth) b = _mm512_maskz_loadu_ps(lanes(rows), x + m->ld);
            put_pairs(to + i * 64, apart, _mm512_mul_ps(a, scale), _mm512_mul_ps(b, scale), terms);
        } else {
            const float *x = m->x + (size_t)(r + i) * (size_t)m->ld + k;
            _mm_prefetch((const char *)(x + T * (size_t)m->ld), _MM_HINT_T0);
            _mm_prefetch((const char *)(x + T * (size_t)m->ld + 16), _MM_HINT_T0);
            if (i < rows) {
                a = _mm512_maskz_loadu_ps(lanes(depth), x);
                b = _mm512_maskz_loadu_ps(lanes(depth - 16), x + 16);
            }
            put_run(to + i * 64, apart, _mm512_mul_ps(a, scale), _mm512_mul_ps(b, scale), terms);
        }
    }
    if (as_b != m->across)
        for (int i = 0; i < terms; i++) transpose(to + (size_t)i * apart);
}

static void pack_tile(char *to, size_t apart, const Matrix *m, int r, int k, int rows, int depth, int terms, int as_b)
{
    if (terms == 1) pack(to, apart, m, r, k, rows, depth, 1, as_b);
    else pack(to, apart, m, r, k, rows, depth, TERMS, as_b);
}

/* Are all floats bfloat16 numbers? */
static int exact(const Matrix *m, int rows, int depth)
{
    const int lines = m->across ? depth : rows, width = m->across ? rows : depth;
    const float *x = m->x;
    for (int i = 0; i < lines; i++, x += m->ld) {
        __m512i low = _mm512_setzero_si512();
        for (int j = 0; j < width; j += 16)
            low = _mm512_or_si512(low, _mm512_castps_si512(_mm512_maskz_loadu_ps(lanes(width - j), x + j)));
        if (_mm512_test_epi32_mask(low, _mm512_set1_epi32(0xffff))) return 0;
    }
    return 1;
}

typedef struct {                 /* tiles of C, at most two by two */
    const char *a;               /* of a strip: k after k, term after term, upper tile then lower */
    const char *b[2];            /* of a column of tiles: k after k; terms b_apart bytes apart */
    size_t b_apart, column;      /* bytes of such a column */
    int    b_terms;
} Block;

/* Tiles 4 and 5 hold A, 6 and 7 hold B, 0 1 / 2 3 add up C. */
static ALWAYS void load_a(const char *a, int term, int lower)
{
    _tile_loadd(4, a + term * 2 * TILE, 64);
    if (lower) _tile_loadd(5, a + term * 2 * TILE + TILE, 64);
}

static ALWAYS void load_b(const Block *o, size_t at, int right)
{
    _tile_loadd(6, o->b[0] + at, 64);
    if (right) _tile_loadd(7, o->b[1] + at, 64);
}

static ALWAYS void add(int lower, int right)
{
    _tile_dpbf16ps(0, 4, 6);
    if (right) _tile_dpbf16ps(1, 4, 7);
    if (lower) _tile_dpbf16ps(2, 5, 6);
    if (lower && right) _tile_dpbf16ps(3, 5, 7);
}

/* The strip's products with one or two columns of tiles; from one product to the next a term of A or of B changes */
static ALWAYS void products(const Block *o, int lower, int right)
{
    const char *a = o->a;
    const size_t second = o->b_apart, third = 2 * second;
    if (o->b_terms == 1) {
        for (size_t at = 0; at < o->column; at += TILE, a += TERMS * 2 * TILE) {
            load_a(a, 0, lower), load_b(o, at, right), add(lower, right);
            load_a(a, 1, lower), add(lower, right);
            load_a(a, 2, lower), add(lower, right);
        }
        return;
    }
    for (size_t at = 0; at < o->column; at += TILE, a += TERMS * 2 * TILE) {
        load_a(a, 0, lower), load_b(o, at + third, right), add(lower, right);
        load_b(o, at + second, right), add(lower, right);
        load_a(a, 1, lower), add(lower, right);
        load_b(o, at, right), add(lower, right);
        load_a(a, 0, lower), add(lower, right);
        load_a(a, 2, lower), add(lower, right);
    }
}

static ALWAYS void tiles(const Block *o, float *c, size_t ld, int lower, int right, int plus)
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
    products(o, lower, right);
    _tile_stored(0, c, line);
    if (right) _tile_stored(1, c + T, line);
    if (lower) _tile_stored(2, under, line);
    if (lower && right) _tile_stored(3, under + T, line);
}

/* rows x cols of C, which need not fill its tiles */
static void block(const Block *o, float *c, int ld, int rows, int cols, int plus)
{
    const int lower = rows > T, right = cols > T, whole = rows % T == 0 && cols % T == 0;
    _Alignas(64) float own[STRIP * STRIP];
    float *to = whole ? c : own;
    const size_t line = whole ? (size_t)ld : STRIP;
    if (!whole && plus)
        for (int r = 0; r < rows; r++) memcpy(own + r * STRIP, c + (size_t)r * (size_t)ld, sizeof(float) * (size_t)cols);
    written(to);
    if (lower && right) tiles(o, to, line, 1, 1, plus);
    else if (lower)     tiles(o, to, line, 1, 0, plus);
    else if (right)     tiles(o, to, line, 0, 1, plus);
    else                tiles(o, to, line, 0, 0, plus);
    if (whole) return;
    for (int r = 0; r < rows; r++) memcpy(c + (size_t)r * (size_t)ld, own + r * STRIP, sizeof(float) * (size_t)cols);
}

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int up(int n, int step) { return (n + step - 1) / step; }

typedef struct { Matrix a, b; int b_terms; float *c; int ld; char *room_a, *room_b; } Product;

/* C's columns [j, j + cols) += A's and B's [k, k + depth) */
static void multiply(const Product *p, int m, int j, int cols, int k, int depth, int plus)
{
    const int steps = up(depth, 2 * T), terms = p->b_terms;
    const size_t column = (size_t)steps * TILE, apart = column * (size_t)up(cols, T);
    for (int c = 0; c < cols; c += T)
        for (int s = 0; s < steps; s++)
            pack_tile(p->room_b + column * (size_t)(c / T) + (size_t)s * TILE, apart, &p->b, j + c, k + 2 * T * s,
                      cols - c, depth - 2 * T * s, terms, 1);
    for (int r = 0; r < m; r += STRIP) {
        const int rows = min(STRIP, m - r);
        for (int half = 0; half < up(rows, T); half++)
            for (int s = 0; s < steps; s++)
                pack_tile(p->room_a + ((size_t)s * TERMS * 2 + (size_t)half) * TILE, 2 * TILE, &p->a, r + T * half,
                          k + 2 * T * s, rows - T * half, depth - 2 * T * s, TERMS, 0);
        for (int c = 0; c < cols; c += STRIP) {
            const char *b = p->room_b + column * (size_t)(c / T);
            block(&(Block){ p->room_a, { b, b + column }, apart, column, terms }, p->c + (size_t)r * (size_t)p->ld + j + c, p->ld,
                  rows, min(STRIP, cols - c), plus);
        }
    }
}

static void scale(float *c, int ld, int m, int n, float by)
{
    for (int i = 0; i < m; i++, c += ld) {
#pragma omp simd
        for (int j = 0; j < n; j++) c[j] *= by;
    }
}

static void configure(void)
{
    struct { uint8_t palette, start, reserved[14]; uint16_t bytes[16]; uint8_t rows[16]; } config = { .palette = 1 };
    for (int i = 0; i < 8; i++) config.bytes[i] = 64, config.rows[i] = T;
    written(&config);
    _tile_loadconfig(&config);
}

/* Measured at k = 256: a float of A costs n / 36 cycles less by tiles than by FMAs, one of B m / 36. */
static int worth_tiles(int m, int n, int k) { return k >= 2 * T && (double)m * n > 40.0 * (m + n); }

static void sgemm(const Gemm *g, char ta, char tb, int m, int n, int k, float alpha, const float *A, int lda,
                  const float *B, int ldb, float beta, float *C, int ldc)
{
    if (!worth_tiles(m, n, k)) {
        gemm1(g->small, ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
        return;
    }
    char *room = gemm_room(g);
    Product p = { { A, lda, ta == 'T', alpha }, { B, ldb, tb != 'T', 1 }, TERMS, C, ldc, room, room + ROOM_A };
    if (exact(&p.b, n, k)) p.b_terms = 1;
    const int depth = up(up(k, up(k, DEPTH)), 2 * T) * 2 * T, width = ROOM_B / (depth * 2 * p.b_terms) / STRIP * STRIP;
    if (beta != 0 && beta != 1) scale(C, ldc, m, n, beta);
    configure();
    for (int at = 0; at < k; at += depth)
        for (int j = 0; j < n; j += width)
            multiply(&p, m, j, min(width, n - j), at, min(depth, k - at), at > 0 || beta != 0);
    _tile_release();
}

const char *load_amx(Gemm *g);
const char *load_amx(Gemm *g)
{
    g->sgemm = sgemm;
    g->room_size = ROOM;
    snprintf(g->core, sizeof g->core, "three bfloat16 terms");
    return NULL;
}
