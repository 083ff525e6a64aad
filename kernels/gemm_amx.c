/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Float products on bfloat16 tiles, with float's accuracy (Henry, Tang, Heinecke 2019, arXiv
 * 1904.06376).
 *
 * x = x1 + x2 + x3, each the bfloat16 nearest to what is left: 8 + 8 + 8 bits, so the sum is exact.
 * Then
 *   a b = a1 b1 + (a1 b2 + a2 b1) + (a1 b3 + a2 b2 + a3 b1) + less than 2^-24 |a b|
 * six tile products, summed in float. Where B holds only bfloat16 numbers (the codes of a ternary
 * weight), b2 = b3 = 0 and three are enough; where A holds only such numbers too (operands that
 * were rounded, gemm_bf16.c), one. Values below 2^-102 lose bits, infinities become NaN.
 *
 * A tile is 1 KB: 16 rows of 16 dwords; a dword is two neighbours along k:
 *   A: row m, dword p = A[m][2p, 2p+1]
 *   B: row p, dword n = B[2p, 2p+1][n]      (the transpose of A's layout)
 *
 * Both operands are packed in strips: 32 rows of op(A), 32 columns of op(B). 32x32 of C are summed
 * in four tiles while k runs. The operand with fewer strips stays packed, in L2; the strips of the
 * other are packed one at a time, the next while the present one is multiplied with all that stay:
 * a row between two tile products, which leave the vector ports free. Packing a float takes about
 * a cycle, and the FMAs it saves must be worth more: smaller products go to the next provider. */
#include "kernels/gemm.h"
#include "kernels/gemm_amx_pack.h"
#include <math.h>
#include <string.h>

/* 32x32 of C: a strip of A by a strip of B; next: the strip that is packed meanwhile */
typedef struct { const char *a, *b; int steps, a_terms, b_terms; Packer *next; } Block;

/* Tiles 4 and 5 hold A, 6 and 7 hold B; 0 1 and 2 3 are the upper and lower half of C. */
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
    if (o->a_terms == 1) {
        for (int s = 0; s < o->steps; s++, a += 2 * TILE, b += 2 * TILE) {
            amx_load_a(a, 0, lower);
            amx_load_b(b, 0, right);
            amx_add(lower, right, next);
        }
        return;
    }
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

/* One operand of a product: size rows of op(A) or columns of op(B); strip: bytes of a packed one */
typedef struct { Matrix m; int size, terms, as_b; size_t strip; } Side;
typedef struct { Side a, b; float *c; int ld; char *room; } Product;

static Packer amx_strip_of(const Side *s, char *to, int at, int k, int depth)
{
    const int rows = at < s->size ? min(STRIP, s->size - at) : 0;
    return amx_packer(&s->m, to, at, k, rows, depth, s->terms, s->as_b);
}

/* C += or = the products over [k, k + depth) of `some` rows (columns) of the kept operand, from
 * `first` on, with all of the other */
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
                              stream->as_b ? streams[turn] : strip, up(depth, 2 * T), p->a.terms,
                              p->b.terms, &next };
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

/* Measured at k = 256: by tiles, a float of A costs n / 36 cycles less than by FMAs, a float of B
 * m / 36 less. */
static int amx_worth_tiles(int m, int n, int k)
{
    return k >= 2 * T && (double)m * n > 40.0 * (m + n);
}

/* A power of two: the scaled numbers are bfloat16 where the numbers were */
static int amx_scales_exactly(float alpha)
{
    int exponent;
    return fabsf(frexpf(alpha, &exponent)) == 0.5f;
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
    if (p.b.terms == 1 && amx_scales_exactly(alpha) && amx_exact(&p.a.m, m, k)) p.a.terms = 1;
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

const char *load_amx(Gemm *g, Arena *a)
{
    (void)a;
    g->sgemm = amx_sgemm;
    g->bf16 = &gemm_bf16_tiles;
    g->room_size = ROOM;
    snprintf(g->core, sizeof g->core, "three bfloat16 terms");
    return NULL;
}
