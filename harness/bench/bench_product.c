/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/bench/bench_product.h"
#include <string.h>

/* multiply-adds of a check: all of a small shape, a sample of a large one */
#define CHECKED 1.3e8

TernaryProduct product_of(const ProductJob *j, const char *packed)
{
    const ProductShape *s = j->s;
    return (TernaryProduct) { .kernel = j->k,
                              .packed = packed,
                              .x = s->x[j->bits],
                              .y = j->y,
                              .n = s->n,
                              .rows = s->rows,
                              .cols = s->cols,
                              .act_bits = j->bits,
                              .threads = s->threads };
}

static void product_run(const ProductJob *j, const char *packed)
{
    const TernaryProduct p = product_of(j, packed);
    ternary_product(&p, j->room);
}

static const char *product_next_copy(ProductJob *j)
{
    return j->weight + j->size * (size_t)(j->at++ % j->copies);
}

void product_ternary(void *ctx, long iters)
{
    for (ProductJob *j = ctx; iters > 0; iters--) product_run(j, product_next_copy(j));
}

void product_prepare(void *ctx, long iters)
{
    for (; iters > 0; iters--) product_run(ctx, NULL);
}

void product_dense(void *ctx, long iters)
{
    ProductJob *j = ctx;
    const ProductShape *s = j->s;
    for (; iters > 0; iters--)
        gemm(j->gemm, 'N', 'T', s->n, s->rows, s->cols, 1, s->xf, s->cols,
             (const float *)product_next_copy(j), s->cols, 0, (float *)j->y, s->rows);
}

/* x + 128, which u8s8 multiplies */
static const uint8_t *product_unsigned(const ProductJob *j)
{
    const ProductShape *s = j->s;
    const long all = (long)s->n * s->cols;
    uint8_t *x = (uint8_t *)j->room;
#pragma omp parallel for simd num_threads(s->threads) schedule(static)
    for (long i = 0; i < all; i++) x[i] = (uint8_t)(s->x[8][i] ^ -128);
    return x;
}

void product_dense8(void *ctx, long iters)
{
    ProductJob *j = ctx;
    const ProductShape *s = j->s;
    for (; iters > 0; iters--) {
        const int8_t *w = (const int8_t *)product_next_copy(j);
        gemm_u8s8(j->gemm, s->n, s->rows, s->cols, product_unsigned(j), s->cols, w, s->cols, j->y,
                  s->rows, j->co);
    }
}

GemmProduct product_dense_of(const ProductJob *j)
{
    const ProductShape *s = j->s;
    return (GemmProduct) { .type = j->type,
                           .tb = 'T',
                           .m = s->n,
                           .n = s->rows,
                           .k = s->cols,
                           .A = j->type == GEMM_S8S8 ? (const void *)s->x[8] : (const void *)s->xf,
                           .B = j->weight,
                           .co = j->type == GEMM_U8S8 ? j->co : NULL,
                           .C = j->y };
}

void product_packed(void *ctx, long iters)
{
    ProductJob *j = ctx;
    GemmProduct p = product_dense_of(j);
    for (; iters > 0; iters--) {
        if (j->type == GEMM_U8S8) p.A = product_unsigned(j);
        j->gemm->packed(j->gemm, &j->packed[j->at++ % j->copies], &p);
    }
}

/* the bytes of a packed weight of two bits and nothing else: every thread reads its part */
void product_read(void *ctx, long iters)
{
    ProductJob *j = ctx;
    const int threads = j->s->threads;
    const size_t each = j->each;
    for (; iters > 0; iters--) {
        char *at = j->weight + j->size * (size_t)(j->at++ % j->copies);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (int t = 0; t < threads; t++) j->reader->work(1, at + each * (size_t)t, each);
    }
}

/* y is poisoned first, so that what is not written shows */
const char *product_check(ProductJob *j, GbenchWork *run, uint64_t seed, Arena *a)
{
    const ProductShape *s = j->s;
    const size_t all = (size_t)s->n * (size_t)s->rows;
    const size_t most = (size_t)(CHECKED / s->cols), some = all < most ? all : most;
    Rng rng = rng_at(seed, STREAM_CHECK, (uint64_t)s->rows << 32 | (uint64_t)s->n);
    for (size_t i = 0; i < all; i++) j->y[i] = 0x7fc0dead;        /* not a number, as a float */
    run(j, 1);
    const int8_t *from = s->x[j->gemm ? 8 : j->bits];
    for (size_t i = 0; i < some; i++) {
        const size_t at = some == all ? i : i == 0 ? all - 1 : (size_t)rng_below(&rng, all);
        const int t = (int)(at / (size_t)s->rows), r = (int)(at % (size_t)s->rows);
        const int8_t *w = s->w + (size_t)r * s->cols, *x = from + (size_t)t * s->cols;
        int32_t sum = 0;
        for (int c = 0; c < s->cols; c++) sum += w[c] * x[c];
        float f;
        memcpy(&f, &j->y[at], sizeof f);
        if (!product_whole_numbers(j) && !(f == (float)sum))
            return arena_text(a, "y[%d][%d] is %g, expected %d (seed %llu)", t, r, (double)f, sum,
                              (unsigned long long)seed);
        if (product_whole_numbers(j) && j->y[at] != sum)
            return arena_text(a, "y[%d][%d] is %d, expected %d (seed %llu)", t, r, j->y[at], sum,
                              (unsigned long long)seed);
    }
    return NULL;
}
