/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gemm.h -- dense float matrix products behind one header; providers by name (gemms.def).
 *
 * A provider is this program's own (gemm_amx.c, portable) or a library loaded at run time (dlopen),
 * so that OpenBLAS can be told its core type before it looks at the CPU (Debian's 0.3.21 does not
 * know recent ones and falls back to SSE3 code), a missing one is a message, not a link error,
 * and a cross build needs none. Every product is split over threads by rows or columns of C, never
 * over k: the result does not depend on timing. */
#ifndef GEMM_H
#define GEMM_H
#include "kernels/base.h"

typedef struct Gemm Gemm;
typedef void GemmSgemm(const Gemm *, char ta, char tb, int m, int n, int k, float alpha,
                       const float *A, int lda, const float *B, int ldb, float beta, float *C,
                       int ldc);
typedef void GemmU8s8(const Gemm *, int m, int n, int k, const uint8_t *A, int lda, const int8_t *B,
                      int ldb, int32_t *C, int ldc, const int32_t *co);
struct Gemm {
    const char *name;        /* "openblas" "dnnl" "portable" */
    char        core[64];    /* what it says it runs: "SkylakeX", "avx512_core", "C loops" */
    GemmSgemm  *sgemm;       /* on the calling thread */
    void      (*entry)(void);/* the library's own function */
    GemmU8s8   *u8s8;        /* NULL: it has none */
    void      (*entry8)(void);
    /* of gemm(); gemm1 may be called by the threads of a team of at most this size */
    int         threads;
    size_t      room_size;   /* bytes of scratch a thread needs */
    char       *room;
    const Gemm *small;       /* takes the products too small for this one; NULL: none are */
};

/* cpu: CPU_* bits it executes */
typedef struct { const char *name, *brief; unsigned cpu; } GemmProvider;
extern const GemmProvider gemm_providers[];     /* ended by a NULL name */

/* name: a provider or "auto", the first of gemm_providers that loads. NULL and a message in *why
 * when it cannot run here. Call it before any other library uses OpenBLAS. */
const Gemm *gemm_open(const char *name, int threads, Arena *, const char **why);

void *gemm_room(const Gemm *);                  /* the calling thread's scratch, for providers */

/* C (m,n) = alpha op(A) (m,k) op(B) (k,n) + beta C; row-major; 'T' transposes; ld* in floats. gemm
 * uses g->threads; gemm1 the calling thread alone, for callers that split the work themselves. */
void gemm(const Gemm *g, char ta, char tb, int m, int n, int k, float alpha, const float *A,
          int lda, const float *B, int ldb, float beta, float *C, int ldc);
static inline void gemm1(const Gemm *g, char ta, char tb, int m, int n, int k, float alpha,
                         const float *A, int lda, const float *B, int ldb, float beta, float *C,
                         int ldc)
{
    g->sgemm(g, ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}

/* The dense int8 baseline: C (m,n) = A B' + co, A (m,k) unsigned, B (n,k) signed, co (n) added to
 * every row (x + 128 for a signed x asks for co[j] = -128 sum B[j]); for providers with g->u8s8.
 * Threads as gemm. */
void gemm_u8s8(const Gemm *g, int m, int n, int k, const uint8_t *A, int lda, const int8_t *B,
               int ldb, int32_t *C, int ldc, const int32_t *co);
#endif
