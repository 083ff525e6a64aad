/* SPDX-License-Identifier: GPL-3.0-or-later */
/* svd.h -- the leading singular vectors of a large matrix that is known by its products alone.
 *
 * Randomised range finding with power iterations (Halko, Martinsson, Tropp 2011, algorithms 4.4 and
 * 5.1):
 *   Y = A W, W Gaussian (cols, k + 10)
 *   `powers` times: Q = orth(Y), Z = orth(A'Q), Y = A Z
 *   Q = orth(Y),  B = Q'A,  B B' = R S^2 R',  U = Q R,  V = B' R / S
 * The order of every sum is fixed, whatever the number of threads: the same bits on one or many. */
#ifndef SVD_H
#define SVD_H
#include "models/exec.h"

/* A (rows, cols) by its products: y (rows, k) = A x (cols, k), and y (cols, k) = A' x (rows, k) */
typedef struct LinearMap {
    int         rows, cols;
    const void *a;
    void      (*times)  (const Exec *, const void *a, const float *x, int k, float *y);
    void      (*times_t)(const Exec *, const void *a, const float *x, int k, float *y);
} LinearMap;

/* A ~ U diag(s) V', s falling. Where s[i] is below 1e-6 s[0] it and its vectors are zero. */
typedef struct Svd { int k; double *s; float *u, *v; } Svd;      /* (k); (rows, k); (cols, k) */
/* 1 <= k <= rows, cols; powers: iterations after the first pass, for spectra that fall slowly */
Svd svd_truncated(const Exec *, const LinearMap *, int k, int powers, uint64_t seed, Arena *);

typedef struct Dense { int rows, cols; const float *v; } Dense;  /* row-major */
LinearMap svd_dense(const Dense *);

/* a (n, n) symmetric, without negative eigenvalues: w (n) its eigenvalues, falling; row i of v (n,
 * n) the eigenvector of w[i], whose largest entry is positive. a is overwritten. One-sided Jacobi
 * (Hestenes 1958). */
void eigen_psd(double *a, double *w, double *v, int n);

/* gemm in blocks of rows of C that do not depend on the number of threads */
void gemm_steady(const Exec *, char ta, char tb, int m, int n, int k, const float *A, int lda,
                 const float *B, int ldb, float *C, int ldc);
#endif
