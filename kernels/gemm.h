/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gemm.h -- dense matrix products behind one header; providers by name (gemms.def).
 *
 * A provider is this program's own (gemm_amx.c, portable) or a library loaded at run time (dlopen),
 * so that OpenBLAS can be told its core type before it looks at the CPU (Debian's 0.3.21 does not
 * know recent ones and falls back to SSE3 code), a missing one is a message, not a link error,
 * and a cross build needs none. gemm splits a product over threads by rows or columns of C, never
 * over k: the result does not depend on timing. A product with a packed weight is split by its
 * provider, in the same way each time. */
#ifndef GEMM_H
#define GEMM_H
#include "kernels/base.h"

typedef struct Gemm Gemm;
typedef void GemmSgemm(const Gemm *, char ta, char tb, int m, int n, int k, float alpha,
                       const float *A, int lda, const float *B, int ldb, float beta, float *C,
                       int ldc);
typedef void GemmU8s8(const Gemm *, int m, int n, int k, const uint8_t *A, int lda, const int8_t *B,
                      int ldb, int32_t *C, int ldc, const int32_t *co);

/* ---- a weight: an operand B that stays the same over many products ---- */
/* float; bfloat16 made of floats, summed in float; unsigned or signed bytes by signed bytes, summed
 * in int32 */
typedef enum { GEMM_F32, GEMM_BF16, GEMM_U8S8, GEMM_S8S8 } GemmType;
/* C (m,n) = A (m,k) op(B) (k,n), or C += where `plus`; row-major, B without gaps */
typedef struct GemmProduct {
    GemmType       type;
    char           tb;       /* 'T': B is (n,k) */
    int            m, n, k, plus;
    int            lda, ldc; /* numbers from a row of A, of C to the next; 0: without gaps */
    const void    *A, *B;    /* of float; of bytes for the int8 types */
    long           version;  /* of B: whoever writes B increments it */
    const int32_t *co;       /* int8 types: (n), added to every row; NULL: nothing is */
    void          *C;        /* float; int32 of the int8 types, exact for k <= 65536 */
} GemmProduct;
/* B as its provider packed it. The caller's, zero at first; one for each weight and tb. */
typedef struct GemmWeight {
    void       *room;        /* the caller's, 64-byte aligned; */
    size_t      size;        /* its bytes */
    const void *of, *at;     /* B and room of the last packing */
    long        version, layout;
    void       *own;         /* the provider's */
} GemmWeight;
/* bytes of room; 0 and an error message in *why: there is no such product here */
typedef size_t GemmPackedSize(const Gemm *, const GemmProduct *, const char **why);
/* Packs B first when it is another one, of another version, or packed for another product */
typedef void GemmPacked(const Gemm *, GemmWeight *, const GemmProduct *);

/* ---- bfloat16 ---- */
/* A product of operands that it rounds to bfloat16, summed in float: on the calling thread, with
 * `room` bytes of gemm_room. name: "emulated" "avx512_bf16" "amx_bf16" */
typedef struct GemmBf16 { const char *name; GemmSgemm *sgemm; size_t room; } GemmBf16;

struct Gemm {
    const char *name;        /* "openblas" "dnnl" "portable" */
    char        core[64];    /* what it says it runs: "SkylakeX", "avx512_core", "C loops" */
    GemmSgemm  *sgemm;       /* on the calling thread */
    void      (*entry)(void);/* the library's own function */
    GemmU8s8   *u8s8;        /* NULL: it has none */
    GemmPackedSize *packed_size;
    GemmPacked *packed;      /* NULL: it has none; not inside a team */
    void       *own;         /* the provider's state, used by one thread at a time */
    const GemmBf16 *bf16;    /* how it multiplies in bfloat16 */
    const Gemm *floats;      /* of gemm_bf16: the provider that it was made of; else NULL */
    struct GemmChoices *choices;
    /* of gemm(); gemm1 may be called by the threads of a team of at most this size */
    int         threads;
    size_t      room_size;   /* bytes of scratch a thread needs */
    char       *room;
    const Gemm *small;       /* takes the products too small for this one; NULL: none are */
};

/* cpu: CPU_* bits it executes; drawn 1: figures show it */
typedef struct { const char *name, *brief; unsigned cpu; int drawn; } GemmProvider;
extern const GemmProvider gemm_providers[];     /* ended by a NULL name */

/* name: a provider or "auto", the first of gemm_providers that loads. NULL and a message in *why
 * when it cannot run here. Call it before any other library uses OpenBLAS. */
const Gemm *gemm_open(const char *name, int threads, Arena *, const char **why);

/* The provider with bfloat16 in place of float: the operands of its products, those with a weight
 * too, are rounded to bfloat16 (bf16.h) and summed in float. Only the order of the sums is free.
 * Its core says by what: GemmBf16.name. It shares the choices of gemm_choose. */
const Gemm *gemm_bf16(const Gemm *, Arena *);

/* ---- for providers ---- */
void *gemm_room(const Gemm *);                  /* the calling thread's scratch */
/* rounded floats by the provider's sgemm; the same where that multiplies them by tiles */
extern const GemmBf16 gemm_bf16_emulated, gemm_bf16_tiles;
/* by this program's own loops and this CPU's instructions; emulated where it has none */
const GemmBf16 *gemm_bf16_own(void);
/* ---- */

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

/* A float product with a weight, by g->threads: with B packed, in room of the arena, or as gemm,
 * where the provider packs nothing or gemm_choose said so. */
void gemm_weight(const Gemm *, GemmWeight *, const GemmProduct *, Arena *home);
/* "512x683x256T=packed 512x256x683N=plain": the choices of gemm_weight for products m x n x k, tb;
 * products that are not listed have B packed. NULL or an error message */
const char *gemm_choose(const Gemm *, const char *choices, Arena *);

/* The dense int8 baseline without packing: C (m,n) = A B' + co, A (m,k) unsigned, B (n,k) signed,
 * co (n) added to every row (x + 128 for a signed x asks for co[j] = -128 sum B[j]); for providers
 * with g->u8s8. Threads as gemm. */
void gemm_u8s8(const Gemm *g, int m, int n, int k, const uint8_t *A, int lda, const int8_t *B,
               int ldb, int32_t *C, int ldc, const int32_t *co);
#endif
