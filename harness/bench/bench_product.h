/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bench_product.h -- one product as bench_kernels.c times it: Y (n, rows) = X (n, cols) W' by a
 * ternary kernel or a dense provider, and its check against the definition. */
#ifndef BENCH_PRODUCT_H
#define BENCH_PRODUCT_H
#include "harness/bench/bench.h"
#include "kernels/gemm.h"

/* Of a group: codes and activations that its cells share */
typedef struct ProductShape {
    int           rows, cols, n, threads;
    const int8_t *w, *x[9];           /* (rows, cols); (n, cols) of so many bits */
    const float  *wf, *xf;
} ProductShape;

/* One cell: a ternary kernel, a float product, an int8 product, or the reading of a weight */
typedef struct ProductJob {
    const ProductShape  *s;
    const TernaryKernel *k;           /* one of the two */
    const Gemm          *gemm;
    int      bits;                    /* of an activation: 1 to 8 */
    int      by_n;                    /* 1: threads share the batch, 0: the weight's rows */
    GemmType type;                    /* of a dense product; */
    GemmWeight *packed;               /* (copies) with its weight packed; NULL: as it lies */
    /* copies of the weight, one after the other; prepared activations */
    char    *weight, *room;
    size_t   size, each;              /* of a copy; of what a thread reads */
    long     copies, at;
    const Probe *reader;              /* of product_read */
    int32_t *co;                      /* (rows) -128 sum of the weight's row, of u8s8 */
    int32_t *y;                       /* (n, rows); of a dense product: float */
} ProductJob;

static inline int product_whole_numbers(const ProductJob *j)
{
    return !j->gemm || j->type == GEMM_U8S8 || j->type == GEMM_S8S8;
}
static inline size_t product_whole_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }
/* packed NULL: prepare alone */
TernaryProduct product_of(const ProductJob *, const char *packed);

/* the product of a dense job with a packed weight */
GemmProduct product_dense_of(const ProductJob *);

/* GbenchWork: ctx is a ProductJob, the weight the next of its copies */
void product_ternary(void *ctx, long iters);
void product_prepare(void *ctx, long iters);
void product_dense  (void *ctx, long iters);
void product_dense8 (void *ctx, long iters);
void product_packed (void *ctx, long iters);
void product_read   (void *ctx, long iters);

/* Runs it once and compares: all of y, or so many random ones. NULL, or what is wrong. */
const char *product_check(ProductJob *, GbenchWork *run, uint64_t seed, Arena *);
#endif
