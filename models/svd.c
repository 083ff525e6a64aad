/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Orthonormal bases by the Cholesky factor of the Gram matrix (Y'Y = R'R, Q = Y R^-1), with sums in
 * double: accurate for condition numbers up to 1e6; beyond that float columns are noise and are
 * dropped. Where orthonormality matters, a second pass removes the rounding of Q itself
 * (CholeskyQR2; Fukaya et al. 2014). */
#include "models/svd.h"
#include <math.h>
#include <string.h>

/* EXTRA: columns more than k; ROWS: of a block; SUM: terms of a partial sum; SWEEPS: of Jacobi */
enum { EXTRA = 10, ROWS = 256, SUM = 64, SWEEPS = 40 };

void gemm_steady(const Exec *e, char ta, char tb, int m, int n, int k, const float *A, int lda,
                 const float *B, int ldb, float *C, int ldc)
{
    const int step = ta == 'T' ? 32 : ROWS;                /* A' is wide: few, long rows of C */
#pragma omp parallel for num_threads(e->threads) schedule(dynamic, 1)
    for (int i = 0; i < m; i += step)
        gemm1(e->gemm, ta, tb, m - i < step ? m - i : step, n, k, 1,
              ta == 'T' ? A + i : A + (size_t)i * lda, lda, B, ldb, 0, C + (size_t)i * ldc, ldc);
}

/* ---- dense matrices ---- */

static void svd_dense_times(const Exec *e, const void *a, const float *x, int k, float *y)
{
    const Dense *m = a;
    gemm_steady(e, 'N', 'N', m->rows, k, m->cols, m->v, m->cols, x, k, y, k);
}

static void svd_dense_times_t(const Exec *e, const void *a, const float *x, int k, float *y)
{
    const Dense *m = a;
    gemm_steady(e, 'T', 'N', m->cols, k, m->rows, m->v, m->cols, x, k, y, k);
}

LinearMap svd_dense(const Dense *m)
{
    return (LinearMap){ m->rows, m->cols, m, svd_dense_times, svd_dense_times_t };
}

/* ---- small matrices in double ---- */

static double svd_dot(const double *a, const double *b, int n)
{
    double s = 0;
#pragma omp simd reduction(+ : s)
    for (int i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

/* (a, b) <- (c a - s b, s a + c b) */
static void svd_rotate(double *a, double *b, double c, double s, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++) {
        const double x = a[i], y = b[i];
        a[i] = c * x - s * y;
        b[i] = s * x + c * y;
    }
}

/* Makes every pair of rows of a orthogonal, with the same rotations for v; 1: they already were */
static int svd_sweep(double *a, double *v, int n, double tiny)
{
    int done = 1;
    for (int p = 0; p < n; p++)
        for (int q = p + 1; q < n; q++) {
            double *ap = a + (size_t)p * n, *aq = a + (size_t)q * n;
            const double pp = svd_dot(ap, ap, n), qq = svd_dot(aq, aq, n), pq = svd_dot(ap, aq, n);
            if (fabs(pq) <= 1e-13 * sqrt(pp * qq) || fabs(pq) <= tiny) continue;
            const double zeta = (qq - pp) / (2 * pq);
            const double t = copysign(1, zeta) / (fabs(zeta) + sqrt(1 + zeta * zeta));
            const double c = 1 / sqrt(1 + t * t);
            svd_rotate(ap, aq, c, c * t, n);
            svd_rotate(v + (size_t)p * n, v + (size_t)q * n, c, c * t, n);
            done = 0;
        }
    return done;
}

static void svd_swap_rows(double *a, int i, int j, int n)
{
    for (int k = 0; k < n; k++) {
        const double x = a[(size_t)i * n + k];
        a[(size_t)i * n + k] = a[(size_t)j * n + k];
        a[(size_t)j * n + k] = x;
    }
}

static void svd_point_up(double *v, int n)
{
    int top = 0;
    for (int k = 1; k < n; k++)
        if (fabs(v[k]) > fabs(v[top]) * (1 + 1e-6)) top = k;
    if (v[top] < 0)
        for (int k = 0; k < n; k++) v[k] = -v[k];
}

void eigen_psd(double *a, double *w, double *v, int n)
{
    double total = 0;
    memset(v, 0, sizeof *v * (size_t)n * (size_t)n);
    for (int i = 0; i < n; i++) {
        v[(size_t)i * n + i] = 1;
        total += svd_dot(a + (size_t)i * n, a + (size_t)i * n, n);
    }
    for (int s = 0; s < SWEEPS && !svd_sweep(a, v, n, 1e-30 * total); s++) {}
    for (int i = 0; i < n; i++) w[i] = sqrt(svd_dot(a + (size_t)i * n, a + (size_t)i * n, n));
    for (int i = 0; i < n; i++) {
        int top = i;
        for (int j = i + 1; j < n; j++)
            if (w[j] > w[top]) top = j;
        const double x = w[i];
        w[i] = w[top];
        w[top] = x;
        svd_swap_rows(v, i, top, n);
        svd_point_up(v + (size_t)i * n, n);
    }
}

/* ---- tall matrices of float ---- */

typedef struct {                    /* scratch of l columns */
    const Exec *exec;
    int     l;
    double *g, *r, *w;              /* (l, l), (l, l), (l) */
    double *part;                   /* (threads, l, SUM) */
    float  *t, *block;              /* (l, l); (threads, ROWS, l) */
} Work;

static Work svd_work_new(const Exec *e, int l, Arena *a)
{
    const size_t n = (size_t)l, threads = (size_t)e->threads;
    return (Work){ e,
                   l,
                   arena_raw(a, sizeof(double) * n * n),
                   arena_raw(a, sizeof(double) * n * n),
                   arena_raw(a, sizeof(double) * n),
                   arena_raw(a, sizeof(double) * threads * n * SUM),
                   arena_raw(a, sizeof(float) * n * n),
                   arena_raw(a, sizeof(float) * threads * n * ROWS) };
}

/* g = y'y. Each thread takes every so many rows of g and sums them over y from first to last. */
static void svd_gram(const Work *k, const float *y, int rows)
{
    const int l = k->l, threads = k->exec->threads;
    memset(k->g, 0, sizeof *k->g * (size_t)l * (size_t)l);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        double *part = k->part + (size_t)t * (size_t)l * SUM;
        for (int from = 0; from < rows; from += SUM) {
            const int n = rows - from < SUM ? rows - from : SUM;
            for (int r = 0; r < n; r++)
                for (int j = 0; j < l; j++)
                    part[j * SUM + r] = (double)y[(size_t)(from + r) * l + j];
            for (int i = t; i < l; i += threads)
                for (int j = i; j < l; j++)
                    k->g[(size_t)i * l + j] += svd_dot(part + i * SUM, part + j * SUM, n);
        }
    }
    for (int i = 0; i < l; i++)
        for (int j = 0; j < i; j++) k->g[(size_t)i * l + j] = k->g[(size_t)j * l + i];
}

/* r: upper, g = r'r; a column that depends on those before it gets a zero row */
static void svd_cholesky(const double *g, double *r, int l)
{
    memset(r, 0, sizeof *r * (size_t)l * (size_t)l);
    for (int j = 0; j < l; j++) {
        double *rj = r + (size_t)j * l;
        for (int c = j; c < l; c++) rj[c] = g[(size_t)j * l + c];
        for (int i = 0; i < j; i++) {
            const double *ri = r + (size_t)i * l, x = ri[j];
            for (int c = j; c < l; c++) rj[c] -= x * ri[c];
        }
        const int independent = rj[j] > 1e-12 * g[(size_t)j * l + j];
        const double scale = independent ? 1 / sqrt(rj[j]) : 0;
        for (int c = j; c < l; c++) rj[c] *= scale;
    }
}

/* t = r^-1 of an upper r, with zero columns and rows where its diagonal is zero; column (l) is
 * scratch */
static void svd_invert(const double *r, double *column, float *t, int l)
{
    memset(t, 0, sizeof *t * (size_t)l * (size_t)l);
    for (int j = 0; j < l; j++) {
        if (r[(size_t)j * l + j] == 0) continue;
        for (int i = j; i >= 0; i--) {
            const double *ri = r + (size_t)i * l;
            const double sum = (i == j) - svd_dot(ri + i + 1, column + i + 1, j - i);
            column[i] = ri[i] == 0 ? 0 : sum / ri[i];
            t[(size_t)i * l + j] = (float)column[i];
        }
    }
}

/* y (rows, l) <- y t */
static void svd_apply(const Work *k, float *y, int rows)
{
    const int l = k->l, threads = k->exec->threads;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        float *block = k->block + (size_t)t * (size_t)l * ROWS;
        for (int i = t * ROWS; i < rows; i += threads * ROWS) {
            const int n = rows - i < ROWS ? rows - i : ROWS;
            memcpy(block, y + (size_t)i * l, sizeof(float) * (size_t)n * (size_t)l);
            gemm1(k->exec->gemm, 'N', 'N', n, l, l, 1, block, l, k->t, l, 0, y + (size_t)i * l, l);
        }
    }
}

static void svd_orthonormal(const Work *k, float *y, int rows, int passes)
{
    for (int i = 0; i < passes; i++) {
        svd_gram(k, y, rows);
        svd_cholesky(k->g, k->r, k->l);
        svd_invert(k->r, k->w, k->t, k->l);
        svd_apply(k, y, rows);
    }
}

/* ---- the decomposition ---- */

/* out->u = y R, out->v = z R / s, with R the first k eigenvectors */
static void svd_vectors(const Work *w, const Svd *out, const double *r, const float *y, int rows,
                        const float *z, int cols)
{
    const int l = w->l, k = out->k;
    for (int side = 0; side < 2; side++) {
        for (int j = 0; j < k; j++) {
            const double scale = out->s[j] == 0 ? 0 : side ? 1 / out->s[j] : 1;
            for (int i = 0; i < l; i++)
                w->t[(size_t)i * k + j] = (float)(scale * r[(size_t)j * l + i]);
        }
        gemm_steady(w->exec, 'N', 'N', side ? cols : rows, k, l, side ? z : y, l, w->t, k,
                    side ? out->v : out->u, k);
    }
}

Svd svd_truncated(const Exec *e, const LinearMap *m, int k, int powers, uint64_t seed, Arena *a)
{
    const int least = m->rows < m->cols ? m->rows : m->cols,
              l = k + EXTRA < least ? k + EXTRA : least;
    CHECK(k >= 1 && k <= least);
    const size_t rows = (size_t)m->rows, cols = (size_t)m->cols, floats = sizeof(float) * (size_t)k;
    const Svd out = { k, arena_raw(a, sizeof(double) * (size_t)k), arena_raw(a, floats * rows),
                      arena_raw(a, floats * cols) };
    const size_t mark = a->used;
    float *y = arena_raw(a, sizeof *y * rows * (size_t)l),
          *z = arena_raw(a, sizeof *z * cols * (size_t)l);
    const Work w = svd_work_new(e, l, a);
    Rng rng = rng_at(seed, STREAM_INIT, UINT32_MAX);
    for (size_t i = 0; i < cols * (size_t)l; i++) z[i] = (float)rng_normal(&rng);
    for (int p = 0; p <= powers; p++) {
        m->times(e, m->a, z, l, y);
        svd_orthonormal(&w, y, m->rows, p == powers ? 2 : 1);
        m->times_t(e, m->a, y, l, z);
        if (p < powers) svd_orthonormal(&w, z, m->cols, 1);
    }
    svd_gram(&w, z, m->cols);
    eigen_psd(w.g, w.w, w.r, l);
    for (int i = 0; i < k; i++) out.s[i] = w.w[i] > 1e-12 * w.w[0] ? sqrt(w.w[i]) : 0;
    svd_vectors(&w, &out, w.r, y, m->rows, z, m->cols);
    arena_reset(a, mark);
    return out;
}
