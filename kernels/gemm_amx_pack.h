/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gemm_amx_pack.h -- operands of gemm_amx.c: floats split into up to three bfloat16 terms and laid
 * out as tiles. For gemm_amx.c alone, which explains the terms and the layout. */
#ifndef GEMM_AMX_PACK_H
#define GEMM_AMX_PACK_H
#include <immintrin.h>
#include <stddef.h>

#define ALWAYS inline __attribute__((always_inline))

enum {
    T = 16,                      /* rows of a tile, and dwords of its row */
    TILE = 1024,                 /* bytes */
    TERMS = 3,
    STRIP = 2 * T,
    DEPTH = 704,                 /* of k packed at a time */
    ROOM_STREAM = STRIP * DEPTH * 2 * TERMS,      /* bytes: of a strip, */
    ROOM_KEPT = 1152 << 10,                       /* of all strips that stay packed, */
    ROOM = 2 * ROOM_STREAM + ROOM_KEPT            /* and of a thread's scratch */
};

/* gcc 12's tile intrinsics do not say which memory they read: this keeps the stores before them. */
static ALWAYS void amx_written(const void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }

/* op(X) as it lies in memory: element (r, k) is x[r ld + k] or, where `across`, x[k ld + r] */
typedef struct { const float *x; int ld, across; float scale; } Matrix;

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int up(int n, int step) { return (n + step - 1) / step; }
static inline __mmask16 lanes(int n)
{
    return (__mmask16)(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
}

/* Term i of the floats in *left: the nearest bfloat16, in the upper half of each dword (the last
 * term: all that is left). It is subtracted from *left, exactly. */
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

/* 16 dwords of two vectors of floats: dword i = (a[i], b[i]) */
static inline void put_pairs(char *to, size_t apart, __m512 a, __m512 b, int terms)
{
    for (int i = 0; i < terms; i++)
        _mm512_store_si512((void *)(to + (size_t)i * apart),
                           neighbours(amx_term(&a, i), amx_term(&b, i)));
}

/* 16 dwords of 32 consecutive floats: dword i = (x[2i], x[2i+1]) */
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

/* A strip while it is packed: step after step (32 of k), term after term, two tiles each. */
typedef struct {
    const Matrix *m;
    char  *strip;
    int    r, k, rows, depth;    /* the strip's first row and k, and how many of each */
    int    terms, turn;          /* turn: tiles are packed transposed, then transposed back */
    int    tile, tiles, row;     /* the next tile of all, the next row of it */
    /* source of that row; where its tile goes; rows and depth left in that tile */
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

/* 1: every float is a bfloat16 number */
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
#endif
