/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The law of a provider of dense products: the sum in double, to float's rounding, for every
 * transposition, scale and stride; nothing written beside C; by tiles, the same bits from any
 * number of threads. */
#include "kernels/cpu.h"
#include "kernels/gemm.h"
#include "tests/test.h"
#include <math.h>
#include <string.h>

/* LEAST: tiles pay for a third of it */
enum { SHAPES = 120, MOST_K = 800, ALIKE = 6, LEAST = 250 };
static const float MARK = 12345.0f;

typedef struct {
    char   ta, tb;
    int    m, n, k, lda, ldb, ldc;
    float  alpha, beta;
    float *a, *b, *c;
} Product;

static int drawn(Rng *r, int most) { return 1 + (int)rng_below(r, (uint64_t)most); }

/* floats of many sizes; ternary: the codes of a weight */
static float *matrix(Rng *r, int rows, int cols, int ld, int ternary, Arena *a)
{
    float *x = arena_raw(a, sizeof *x * (size_t)rows * (size_t)ld);
    for (long i = 0; i < (long)rows * ld; i++) x[i] = MARK;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            const float v = (float)rng_normal(r) * ldexpf(1, (int)rng_below(r, 12) - 6);
            x[(size_t)i * (size_t)ld + (size_t)j] = ternary ? (float)((v > 0.5f) - (v < -0.5f)) : v;
        }
    return x;
}

static Product product(Rng *r, int least, int ternary, Arena *a)
{
    static const float alphas[] = { 1, 1, -2, 0.37f }, betas[] = { 0, 1, -4.775f, 0.5f };
    const int large = least || !rng_below(r, 3);
    Product p = { .ta = rng_below(r, 2) ? 'T' : 'N', .tb = rng_below(r, 2) ? 'T' : 'N',
                  .m = least + drawn(r, large ? 200 : 50), .n = least + drawn(r, large ? 300 : 50),
                  .k = (least ? 32 : 0) + drawn(r, large ? MOST_K : 80),
                  .alpha = alphas[rng_below(r, 4)], .beta = betas[rng_below(r, 4)] };
    p.lda = (p.ta == 'T' ? p.m : p.k) + (int)rng_below(r, 3);
    p.ldb = (p.tb == 'T' ? p.k : p.n) + (int)rng_below(r, 3);
    p.ldc = p.n + (int)rng_below(r, 20);
    p.a = p.ta == 'T' ? matrix(r, p.k, p.m, p.lda, 0, a) : matrix(r, p.m, p.k, p.lda, 0, a);
    p.b = p.tb == 'T' ? matrix(r, p.n, p.k, p.ldb, ternary, a)
                      : matrix(r, p.k, p.n, p.ldb, ternary, a);
    p.c = matrix(r, p.m, p.n, p.ldc, 0, a);
    return p;
}

/* |c - exact| in units of float's rounding of sum |a b|, at most and in the mean square */
typedef struct { double most, squares; long n; } Error;

static void compare(Error *e, const Product *p, const float *c)
{
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < p->ldc; j++) {
            const size_t at = (size_t)i * (size_t)p->ldc + (size_t)j;
            if (j >= p->n) {
                assert_true(c[at] == MARK);
                continue;
            }
            double sum = 0, size = 0;
            for (int l = 0; l < p->k; l++) {
                const double a = p->ta == 'T' ? p->a[(size_t)l * (size_t)p->lda + (size_t)i]
                                              : p->a[(size_t)i * (size_t)p->lda + (size_t)l];
                const double b = p->tb == 'T' ? p->b[(size_t)j * (size_t)p->ldb + (size_t)l]
                                              : p->b[(size_t)l * (size_t)p->ldb + (size_t)j];
                sum += a * b;
                size += fabs(a * b);
            }
            const double old = p->beta == 0 ? 0 : (double)p->beta * p->c[at];
            const double off = fabs(c[at] - (p->alpha * sum + old)) /
                               (ldexp(1, -24) * (fabs(p->alpha) * size + fabs(old)) + 1e-30);
            if (off > e->most) e->most = off;
            e->squares += off * off;
            e->n++;
        }
}

static Error errors(const Gemm *g, int ternary, Arena *a)
{
    Error e = { 0 };
    Rng r = rng_at(7, STREAM_CHECK, (uint64_t)ternary);
    for (int i = 0; i < SHAPES; i++) {
        const size_t mark = a->used;
        const Product p = product(&r, 0, ternary, a);
        const size_t bytes = sizeof(float) * (size_t)p.m * (size_t)p.ldc;
        float *c = memcpy(arena_raw(a, bytes), p.c, bytes);
        gemm(g, p.ta, p.tb, p.m, p.n, p.k, p.alpha, p.a, p.lda, p.b, p.ldb, p.beta, c, p.ldc);
        compare(&e, &p, c);
        arena_reset(a, mark);
    }
    return e;
}

/* Sums of k terms of random sign, rounded one by one, are off by some sqrt(k) / 4 units. */
static void every_provider(void **state)
{
    Arena a = arena_new((size_t)1 << 30);
    (void)state;
    for (const GemmProvider *p = gemm_providers; p->name; p++)
        for (int ternary = 0; ternary < 2; ternary++) {
            const char *why;
            const Gemm *g = gemm_open(p->name, 2, &a, &why);
            if (!g) {
                print_message("%s\n", why);
                continue;
            }
            const Error e = errors(g, ternary, &a);
            print_message("%-9s %s: at most %.2f units, %.3f in the mean\n", p->name,
                          ternary ? "ternary" : "float  ", e.most, sqrt(e.squares / (double)e.n));
            assert_true(e.most < 32 && e.squares / (double)e.n < 4);
        }
    arena_drop(&a);
}

static void threads_agree(void **state)
{
    Arena a = arena_new((size_t)1 << 30);
    const char *why;
    (void)state;
    if (!gemm_open("amx", 1, &a, &why)) {
        print_message("%s\n", why);
        skip();
    }
    Rng r = rng_at(8, STREAM_CHECK, 0);
    for (int i = 0; i < ALIKE; i++) {
        const size_t mark = a.used;
        const Product q = product(&r, LEAST, i & 1, &a);
        const size_t bytes = sizeof(float) * (size_t)q.m * (size_t)q.ldc;
        float *first = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            const Gemm *g = gemm_open("amx", threads, &a, &why);
            float *c = memcpy(arena_raw(&a, bytes), q.c, bytes);
            gemm(g, q.ta, q.tb, q.m, q.n, q.k, q.alpha, q.a, q.lda, q.b, q.ldb, q.beta, c, q.ldc);
            if (!first) first = c;
            assert_memory_equal(first, c, bytes);
        }
        arena_reset(&a, mark);
    }
    arena_drop(&a);
}

static void refused(void **state)
{
    Arena a = arena_new(1 << 24);
    const char *why;
    (void)state;
    assert_null(gemm_open("blas", 1, &a, &why));
    assert_non_null(strstr(why, "openblas"));
    setenv("EIGHTYSIX_CPU", "sse2", 1);
    cpu_read();
    assert_true(gemm_open("auto", 1, &a, &why) &&
                strcmp(gemm_open("auto", 1, &a, &why)->name, "amx"));
    unsetenv("EIGHTYSIX_CPU");
    cpu_read();
    arena_drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_provider),
                                        cmocka_unit_test(threads_agree),
                                        cmocka_unit_test(refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
