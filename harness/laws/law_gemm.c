/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The law of a provider of dense products, for every transposition, scale, stride and size: C is
 * the sum in double of the products of its operands, of those rounded to bfloat16 where that is
 * what it multiplies, and nothing beside C is written. The same of a product with a weight.
 *
 * The unit of an error is 2^-24 (|alpha| sum |a b| + |beta c|), float's rounding of a sum of that
 * size; MOST units are allowed. Products of two bfloat16 numbers are exact in float, so that an
 * operand that is not rounded, or not to nearest even, is off by up to 2^15 units; of every eight
 * numbers one lies halfway between two bfloat16 ones. VDPBF16PS rounds each of its sums once, to
 * nearest even, and takes denormals for zeros: no number drawn here, and no product of two, is near
 * one. */
#include "harness/laws/laws.h"
#include <math.h>
#include <string.h>

enum { GEMM_SHAPES_WIDE = 5, GEMM_GAP = 3, GEMM_MOST = 32 };
static const float GEMM_MARK = 12345.0f;

typedef struct { float *x; int ld; } Matrix;
typedef struct {
    char   ta, tb;
    int    m, n, k;
    float  alpha, beta;
    Matrix a, b, c;
} Product;

static int gemm_drawn(Rng *r, int most) { return 1 + (int)rng_below(r, (uint64_t)most); }

static float gemm_number(Rng *r)
{
    const float x = (float)rng_normal(r) * ldexpf(1, (int)rng_below(r, 12) - 6);
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (!rng_below(r, 8)) bits = (bits & 0xffff0000) | 0x8000;
    float halfway;
    memcpy(&halfway, &bits, sizeof halfway);
    return rng_below(r, 32) ? halfway : 0;
}

static Matrix gemm_matrix(Rng *r, int rows, int cols, Arena *a)
{
    Matrix m = { .ld = cols + (int)rng_below(r, GEMM_GAP) };
    m.x = arena_raw(a, sizeof *m.x * (size_t)rows * (size_t)m.ld);
    for (long i = 0; i < (long)rows * m.ld; i++) m.x[i] = GEMM_MARK;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) m.x[(size_t)i * (size_t)m.ld + (size_t)j] = gemm_number(r);
    return m;
}

/* One in GEMM_SHAPES_WIDE has blocks of every loop more than once */
static Product gemm_product(Rng *r, Arena *a)
{
    static const float alphas[] = { 1, 1, -2, 0.37f }, betas[] = { 0, 1, -4.775f, 0.5f };
    const int wide = !rng_below(r, GEMM_SHAPES_WIDE);
    Product p = { .ta = rng_below(r, 2) ? 'T' : 'N', .tb = rng_below(r, 2) ? 'T' : 'N',
                  .m = gemm_drawn(r, wide ? 300 : 50), .n = gemm_drawn(r, wide ? 300 : 70),
                  .k = gemm_drawn(r, wide ? 600 : 90),
                  .alpha = alphas[rng_below(r, 4)], .beta = betas[rng_below(r, 4)] };
    p.a = p.ta == 'T' ? gemm_matrix(r, p.k, p.m, a) : gemm_matrix(r, p.m, p.k, a);
    p.b = p.tb == 'T' ? gemm_matrix(r, p.n, p.k, a) : gemm_matrix(r, p.k, p.n, a);
    p.c = gemm_matrix(r, p.m, p.n, a);
    return p;
}

/* The nearest number of eight bits, ties to even, as rint rounds */
static double gemm_rounded(double x)
{
    int exponent;
    const double part = frexp(x, &exponent);
    return ldexp(rint(ldexp(part, 8)), exponent - 8);
}

/* to (rows, cols): op(m) in double */
static double *gemm_doubles(const Matrix *m, int across, int rows, int cols, int bf16, Arena *a)
{
    double *to = arena_raw(a, sizeof *to * (size_t)rows * (size_t)cols);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            const size_t at = across ? (size_t)j * (size_t)m->ld + (size_t)i
                                     : (size_t)i * (size_t)m->ld + (size_t)j;
            const double x = (double)m->x[at];
            to[(size_t)i * (size_t)cols + (size_t)j] = bf16 ? gemm_rounded(x) : x;
        }
    return to;
}

/* c (m, ldc) is what the provider made of p. NULL or an error message */
static const char *gemm_compare(const Product *p, const float *c, int bf16, Arena *a)
{
    const double *x = gemm_doubles(&p->a, p->ta == 'T', p->m, p->k, bf16, a),
                 *y = gemm_doubles(&p->b, p->tb != 'T', p->n, p->k, bf16, a);
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < p->c.ld; j++) {
            const size_t at = (size_t)i * (size_t)p->c.ld + (size_t)j;
            if (j >= p->n) {
                if (c[at] != GEMM_MARK) return arena_text(a, "wrote beside C[%d][%d]", i, p->n - 1);
                continue;
            }
            double sum = 0, size = 0;
            for (int l = 0; l < p->k; l++) {
                const double one = x[(size_t)i * p->k + l] * y[(size_t)j * p->k + l];
                sum += one;
                size += fabs(one);
            }
            const double old = p->beta == 0 ? 0 : (double)p->beta * (double)p->c.x[at],
                         right = (double)p->alpha * sum + old,
                         unit = ldexp(fabs((double)p->alpha) * size + fabs(old), -24) + 1e-30,
                         off = fabs((double)c[at] - right) / unit;
            if (!(off <= GEMM_MOST))
                return arena_text(a, "C[%d][%d] is %.9g, expected %.9g: %.1f units, at most %d", i,
                                  j, (double)c[at], right, off, GEMM_MOST);
        }
    return NULL;
}

/* Another product of these sizes with op(B) as a weight: it without gaps, alpha 1, beta 0 or 1 */
static const char *gemm_weighted(const Gemm *g, const Product *of, Rng *r, Arena *a)
{
    const int m = of->m, n = of->n, k = of->k;
    Product p = *of;
    GemmWeight weight = { .room = NULL };
    p.ta = 'N';
    p.alpha = 1;
    p.beta = of->beta != 0;
    p.a = gemm_matrix(r, m, k, a);
    p.b = (Matrix){ arena_raw(a, sizeof(float) * (size_t)k * (size_t)n), p.tb == 'T' ? k : n };
    p.c = gemm_matrix(r, m, n, a);
    for (long i = 0; i < (long)k * n; i++) p.b.x[i] = gemm_number(r);
    const size_t bytes = sizeof(float) * (size_t)m * (size_t)p.c.ld;
    float *c = memcpy(arena_raw(a, bytes), p.c.x, bytes);
    const GemmProduct q = { .type = GEMM_F32, .tb = p.tb, .m = m, .n = n, .k = k,
                            .plus = p.beta != 0, .lda = p.a.ld, .ldc = p.c.ld, .A = p.a.x,
                            .B = p.b.x, .version = 1, .C = c };
    gemm_weight(g, &weight, &q, a);
    return gemm_compare(&p, c, g->floats != NULL, a);
}

const char *law_gemm(const Gemm *g, uint64_t seed, int shapes, Arena *a)
{
    for (int i = 0; i < shapes; i++) {
        const size_t mark = a->used;
        Rng r = rng_at(seed, STREAM_CHECK, (uint64_t)i);
        const Product p = gemm_product(&r, a);
        const size_t bytes = sizeof(float) * (size_t)p.m * (size_t)p.c.ld;
        float *c = memcpy(arena_raw(a, bytes), p.c.x, bytes);
        gemm(g, p.ta, p.tb, p.m, p.n, p.k, p.alpha, p.a.x, p.a.ld, p.b.x, p.b.ld, p.beta, c,
             p.c.ld);
        const char *how = "", *why = gemm_compare(&p, c, g->floats != NULL, a);
        if (!why && (why = gemm_weighted(g, &p, &r, a))) how = " with a weight";
        if (why)
            return arena_text(a,
                              "gemm=%s (%s), %dx%dx%d %c%c alpha %g beta %g%s: %s (seed %llu, case "
                              "%d)",
                              g->name, g->core, p.m, p.n, p.k, p.ta, p.tb, (double)p.alpha,
                              (double)p.beta, how, why, (unsigned long long)seed, i);
        arena_reset(a, mark);
    }
    return NULL;
}
