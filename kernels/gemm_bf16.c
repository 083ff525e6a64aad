/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A provider's products in bfloat16. The meaning is one everywhere: operands are rounded to
 * bfloat16 (bf16.h), and their products, which are exact in float, are summed in float.
 *
 *   by instructions   those of a provider that has them, or of gemm_avx512bf16.c
 *   rounded           blocks of both operands are copied, rounded on the way, and multiplied by the
 *                     provider's float product. Where its sums run along k one after the other
 *                     (portable), a block of k continues them: the bits do not depend on the blocks
 *   packed weights    the provider's, for its own type GEMM_BF16 */
#include "kernels/bf16.h"
#include "kernels/cpu.h"
#include "kernels/gemm.h"

enum { BF16_SIDE = 256, BF16_DEEP = 512 };
typedef struct { float a[BF16_SIDE * BF16_DEEP], b[BF16_SIDE * BF16_DEEP]; } Bf16Blocks;

/* to (rows, cols), without gaps; returns it */
static const float *bf16_copy(float *to, const float *x, int ld, int rows, int cols)
{
    float *row = to;
    for (int i = 0; i < rows; i++, row += cols, x += ld) {
#pragma omp simd
        for (int j = 0; j < cols; j++) row[j] = bf16_round(x[j]);
    }
    return to;
}

static inline int bf16_least(int a, int b) { return a < b ? a : b; }

static void bf16_rounded(const Gemm *g, char ta, char tb, int m, int n, int k, float alpha,
                         const float *A, int lda, const float *B, int ldb, float beta, float *C,
                         int ldc)
{
    const size_t la = (size_t)lda, lb = (size_t)ldb, lc = (size_t)ldc;
    const int across = ta == 'T', turned = tb == 'T';
    Bf16Blocks *room = gemm_room(g);
    for (int k0 = 0; k0 < k; k0 += BF16_DEEP)
        for (int j0 = 0; j0 < n; j0 += BF16_SIDE) {
            const int depth = bf16_least(BF16_DEEP, k - k0), cols = bf16_least(BF16_SIDE, n - j0);
            const size_t kk = (size_t)k0, j = (size_t)j0;
            const float *b = turned ? bf16_copy(room->b, B + j * lb + kk, ldb, cols, depth)
                                    : bf16_copy(room->b, B + kk * lb + j, ldb, depth, cols);
            for (int i0 = 0; i0 < m; i0 += BF16_SIDE) {
                const int rows = bf16_least(BF16_SIDE, m - i0);
                const size_t i = (size_t)i0;
                const float *a = across ? bf16_copy(room->a, A + kk * la + i, lda, depth, rows)
                                        : bf16_copy(room->a, A + i * la + kk, lda, rows, depth);
                gemm1(g->floats, ta, tb, rows, cols, depth, alpha, a, across ? rows : depth, b,
                      turned ? depth : cols, k0 ? 1 : beta, C + i * lc + j, ldc);
            }
        }
}

const GemmBf16 gemm_bf16_emulated = { "emulated", bf16_rounded, sizeof(Bf16Blocks) };
const GemmBf16 gemm_bf16_tiles = { "amx_bf16", bf16_rounded, sizeof(Bf16Blocks) };

#if ARCH_X86_64
extern const GemmBf16 gemm_avx512bf16;
const GemmBf16 *gemm_bf16_own(void)
{
    return cpu_has() & CPU_BF16 ? &gemm_avx512bf16 : &gemm_bf16_emulated;
}
#else
const GemmBf16 *gemm_bf16_own(void) { return &gemm_bf16_emulated; }
#endif

/* ---- a provider in bfloat16 ---- */
static size_t bf16_packed_size(const Gemm *g, const GemmProduct *p, const char **why)
{
    GemmProduct half = *p;
    half.type = GEMM_BF16;
    return g->floats->packed_size(g->floats, &half, why);
}

static void bf16_packed(const Gemm *g, GemmWeight *w, const GemmProduct *p)
{
    GemmProduct half = *p;
    half.type = GEMM_BF16;
    g->floats->packed(g->floats, w, &half);
}

const Gemm *gemm_bf16(const Gemm *of, Arena *a)
{
    const GemmBf16 *by = of->bf16;
    Gemm *g = arena_get(a, sizeof *g);
    CHECK(!of->floats);
    *g = (Gemm){ .name = of->name, .floats = of, .sgemm = by->sgemm, .bf16 = by,
                 .choices = of->choices, .threads = of->threads, .room_size = by->room };
    snprintf(g->core, sizeof g->core, "%s", by->name);
    g->room = arena_raw(a, array_bytes(by->room, (size_t)of->threads));
    if (!of->packed) return g;
    g->packed_size = bf16_packed_size;
    g->packed = bf16_packed;
    return g;
}
