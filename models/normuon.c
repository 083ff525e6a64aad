/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Newton-Schulz (Jordan et al. 2024, "Muon"): X = M / |M|_F, then five times
 *
 *   A = X X',  P = 3.4445 I - 4.7750 A + 2.0315 A A,  X = P X        (a tall X: A = X' X, X = X P)
 *
 * P is a polynomial of A and commutes with it. So several steps can be made on the shorter side
 * alone, before X is multiplied:
 *
 *   A = (A P) P,  Q = Q P          and at last X = Q X
 *
 * Such a square product costs r^3, one with X r r c. All of them are symmetric, so only what is
 * right of the diagonal is computed, in panels:
 *
 *   +---------+   panel i: rows [i PANEL, (i+1) PANEL) from its diagonal block to the right edge,
 *   |0 . . .  |   then copied below the diagonal; of two threads, panels are taken by 0 1 1 0, so
 *   |  1 . .  |   that each gets long ones and short ones
 *   |    2 .  |
 *   |      3  |
 *   +---------+
 *
 * A's rounding errors are those of its largest eigenvalue, and a step makes a small one 11.9 times
 * larger. After three steps A is therefore computed anew from X: the result is as close to exact
 * arithmetic as that of the first form (worst entry of rotated, ill-conditioned 256 x 256: 1.4e-5
 * against 3.1e-5; without it 1.4e-3), in 58 % of its time at 683 x 256. */
#include "models/normuon.h"
#include <math.h>
#include <string.h>

enum { PANEL = 64, TILE = 16 };
static const int NORMUON_STEPS[] = { 3, 2 };      /* on the shorter side, before X is multiplied */
static const float NORMUON_MOMENTUM = 0.95f, NORMUON_BETA2 = 0.999f, NORMUON_EPS = 1e-8f;

/* C below the diagonal block of rows [lo, hi): what is right of it, transposed */
static void normuon_mirror(float *C, int r, int lo, int hi)
{
    for (int j0 = hi; j0 < r; j0 += TILE)
        for (int i0 = lo; i0 < hi; i0 += TILE)
            for (int j = j0; j < r && j < j0 + TILE; j++)
                for (int i = i0; i < hi && i < i0 + TILE; i++)
                    C[(size_t)j * r + i] = C[(size_t)i * r + j];
}

/* C (r, r) = alpha A B' (ta 'N': A, B (r, k)) or alpha A' B (ta 'T': A, B (k, r)), + beta D; C
 * is symmetric */
static void normuon_symmetric(const Exec *e, char ta, int r, int k, float alpha, const float *A,
                              const float *B, int ld, float beta, const float *D, float *C)
{
    const int threads = e->threads;
    const size_t row = ta == 'T' ? 1 : (size_t)ld;   /* in A and B, from one row of C to the next */
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++)
        for (int lo = 0, turn = 0; lo < r; lo += PANEL, turn = (turn + 1) % (2 * threads)) {
            if (turn != t && turn != 2 * threads - 1 - t) continue;
            const int hi = lo + PANEL < r ? lo + PANEL : r;
            for (int i = lo; i < hi && beta != 0; i++)
                memcpy(C + (size_t)i * r + lo, D + (size_t)i * r + lo,
                       sizeof *C * (size_t)(r - lo));
            gemm1(e->gemm, ta, ta == 'T' ? 'N' : 'T', hi - lo, r - lo, k, alpha,
                  A + (size_t)lo * row, ld, B + (size_t)lo * row, ld, beta, C + (size_t)lo * r + lo,
                  r);
            normuon_mirror(C, r, lo, hi);
        }
}

/* Y (rows, cols) = Q(A) scale X after n steps, A = scale^2 X X' */
static void normuon_steps(const Exec *e, float *Y, const float *X, float scale, int n, int rows,
                          int cols, Arena *a)
{
    const int tall = rows > cols, r = tall ? cols : rows, c = tall ? rows : cols;
    const size_t at = a->used, bytes = sizeof(float) * (size_t)r * (size_t)r;
    float *A = arena_raw(a, bytes), *P = arena_raw(a, bytes), *Q = arena_raw(a, bytes),
          *next = arena_raw(a, bytes);
    normuon_symmetric(e, tall ? 'T' : 'N', r, c, scale * scale, X, X, cols, 0, NULL, A);
    for (int i = 0; i < n; i++) {
        float *p = i ? P : Q;
        normuon_symmetric(e, 'N', r, r, 2.0315f, A, A, r, -4.7750f, A, p);
        for (int k = 0; k < r; k++) p[(size_t)k * (size_t)r + (size_t)k] += 3.4445f;
        if (i < n - 1) {
            normuon_symmetric(e, 'N', r, r, 1, A, p, r, 0, NULL, next);
            normuon_symmetric(e, 'N', r, r, 1, next, p, r, 0, NULL, A);
        }
        if (!i) continue;
        normuon_symmetric(e, 'N', r, r, 1, Q, P, r, 0, NULL, next);
        float *swap = Q;
        Q = next;
        next = swap;
    }
    if (tall) gemm(e->gemm, 'N', 'N', rows, r, r, scale, X, cols, Q, r, 0, Y, cols);
    else      gemm(e->gemm, 'N', 'N', r, cols, r, scale, Q, r, X, cols, 0, Y, cols);
    arena_reset(a, at);
}

static void normuon_scaled_ns5(const Exec *e, float *O, const float *M, double norm, int rows,
                               int cols, Arena *a)
{
    const size_t at = a->used;
    float *X = arena_raw(a, sizeof *X * (size_t)rows * (size_t)cols);
    normuon_steps(e, X, M, 1.0f / ((float)norm + 1e-7f), NORMUON_STEPS[0], rows, cols, a);
    normuon_steps(e, O, X, 1, NORMUON_STEPS[1], rows, cols, a);
    arena_reset(a, at);
}

double normuon_flops(int rows, int cols)
{
    const double r = rows < cols ? rows : cols, c = rows < cols ? cols : rows;
    double sum = 0;
    for (size_t i = 0; i < sizeof NORMUON_STEPS / sizeof *NORMUON_STEPS; i++)
        sum += 3 * r * r * c + (4 * NORMUON_STEPS[i] - 3) * r * r * r;
    return sum;
}

void normuon_ns5(const Exec *e, float *O, const float *M, int rows, int cols, Arena *a)
{
    normuon_scaled_ns5(e, O, M, sqrt(e->f->sumsq(M, (long)rows * cols)), rows, cols, a);
}

void normuon_update(const Exec *e, Param *p, float clip, float lr, float keep, Arena *a)
{
    const F32 *f = e->f;
    const int rows = p->rows, cols = p->cols, threads = e->threads;
    const size_t at = a->used;
    float *O = arena_raw(a, sizeof *O * (size_t)p->n),
          *share = arena_raw(a, sizeof *share * (size_t)rows);
    double *square = arena_raw(a, sizeof *square * (size_t)rows), sum = 0;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int r = 0; r < rows; r++) {
        float *m = p->m + (size_t)r * cols, *g = p->g + (size_t)r * cols;
        f->scale(m, NORMUON_MOMENTUM, cols);
        f->axpy(m, (1 - NORMUON_MOMENTUM) * clip, g, cols);
        memset(g, 0, sizeof *g * (size_t)cols);
        square[r] = f->sumsq(m, cols);
    }
    for (int r = 0; r < rows; r++) sum += square[r];
    normuon_scaled_ns5(e, O, p->m, sqrt(sum), rows, cols, a);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int r = 0; r < rows; r++) {
        const double o2 = f->sumsq(O + (size_t)r * cols, cols);
        p->s[r] = NORMUON_BETA2 * p->s[r] + (1 - NORMUON_BETA2) * (float)(o2 / cols);
        share[r] = 1 / (sqrtf(p->s[r]) + NORMUON_EPS);
        square[r] = o2 * (double)share[r] * (double)share[r];
    }
    sum = 0;
    for (int r = 0; r < rows; r++) sum += square[r];
    const float rate = lr * 0.2f * sqrtf((float)p->n) / ((float)sqrt(sum) + NORMUON_EPS);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int r = 0; r < rows; r++) {
        const size_t i = (size_t)r * cols;
        f->axpy(p->v + i, -rate * share[r], O + i, cols);
        if (!p->ema) continue;
        f->scale(p->ema + i, keep, cols);
        f->axpy(p->ema + i, 1 - keep, p->v + i, cols);
    }
    arena_reset(a, at);
}
