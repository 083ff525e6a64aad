/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernels/gemm.h"
#include "kernels/cpu.h"
#include <dlfcn.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* A loader fills in what its provider can do. NULL, or an error message: it cannot run here */
#define G(name, cpu, drawn, brief) const char *load_##name(Gemm *, Arena *);
#include "kernels/gemms.def"
#undef G

/* ---- OpenBLAS: cblas_sgemm of libopenblas.so.0 ---- */
typedef void CblasSgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *A,
                        int lda, const float *B, int ldb, float beta, float *C, int ldc);

static void openblas_sgemm(const Gemm *g, char ta, char tb, int m, int n, int k, float alpha,
                           const float *A, int lda, const float *B, int ldb, float beta, float *C,
                           int ldc)
{
    enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };
    ((CblasSgemm *)g->entry)(ROW_MAJOR, ta == 'T' ? TRANS : NO_TRANS, tb == 'T' ? TRANS : NO_TRANS,
                             m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}

/* dlsym returns void *, which ISO C does not convert to a function pointer; POSIX allows this. */
static void (*gemm_symbol(void *lib, const char *name))(void)
{
    void (*f)(void);
    void *p = dlsym(lib, name);
    memcpy(&f, &p, sizeof f);
    return f;
}

const char *load_openblas(Gemm *g, Arena *a)
{
    (void)a;
    const unsigned cpu = cpu_has();
    const char *core = cpu & CPU_AVX512 ? "SkylakeX" : cpu & CPU_AVX2 ? "Haswell" : NULL;
    if (core) setenv("OPENBLAS_CORETYPE", core, 0);
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!lib) return "libopenblas.so.0 does not load (Debian: libopenblas0-pthread)";
    void (*threads)(int) = (void (*)(int))gemm_symbol(lib, "openblas_set_num_threads");
    char *(*name)(void) = (char *(*)(void))gemm_symbol(lib, "openblas_get_corename");
    g->entry = gemm_symbol(lib, "cblas_sgemm");
    g->sgemm = openblas_sgemm;
    g->bf16 = gemm_bf16_own();
    if (!g->entry || !threads || !name)
        return "libopenblas.so.0 lacks cblas_sgemm, openblas_set_num_threads or "
               "openblas_get_corename";
    threads(1);
    snprintf(g->core, sizeof g->core, "%s", name());
    return NULL;
}

/* ---- portable: plain loops, right everywhere and slow ---- */
static void portable_sgemm(const Gemm *g, char ta, char tb, int m, int n, int k, float alpha,
                           const float *A, int lda, const float *B, int ldb, float beta, float *C,
                           int ldc)
{
    (void)g;
    for (int i = 0; i < m; i++) {
        float *c = C + (size_t)i * ldc;
        for (int j = 0; j < n; j++) c[j] = beta == 0 ? 0 : beta * c[j];
        for (int p = 0; p < k; p++) {
            const float a = alpha * (ta == 'T' ? A[(size_t)p * lda + i] : A[(size_t)i * lda + p]);
            if (tb == 'T') for (int j = 0; j < n; j++) c[j] += a * B[(size_t)j * ldb + p];
            else           for (int j = 0; j < n; j++) c[j] += a * B[(size_t)p * ldb + j];
        }
    }
}

const char *load_portable(Gemm *g, Arena *a)
{
    (void)a;
    g->sgemm = portable_sgemm;
    g->bf16 = &gemm_bf16_emulated;       /* the same bits everywhere */
    snprintf(g->core, sizeof g->core, "C loops");
    return NULL;
}

/* ---- the table ---- */
#define G(name, cpu, drawn, brief) { #name, brief, cpu, drawn },
const GemmProvider gemm_providers[] = {
#include "kernels/gemms.def"
    { NULL, NULL, 0, 0 }
};
#undef G
#define G(name, cpu, drawn, brief) load_##name,
static const char *(*const gemm_loaders[])(Gemm *, Arena *) = {
#include "kernels/gemms.def"
};

/* ---- which products have their weight packed ---- */
enum { GEMM_CHOICES = 64 };
typedef struct { int m, n, k, packed; char tb; } GemmChoice;
typedef struct GemmChoices { GemmChoice c[GEMM_CHOICES]; int n; } GemmChoices;

const char *gemm_choose(const Gemm *g, const char *choices, Arena *a)
{
    GemmChoices *to = g->choices;
    const char *at = choices;
    for (to->n = 0; *at; to->n++) {
        char how[8] = "", end = 0;
        int read = 0;
        GemmChoice c = { .packed = 1 };
        if (to->n == GEMM_CHOICES)
            return arena_text(a, "more than %d choices of products in '%s'", GEMM_CHOICES, choices);
        sscanf(at, "%dx%dx%d%c=%7[a-z]%n", &c.m, &c.n, &c.k, &c.tb, how, &read);
        if (read) end = at[read];
        c.packed = !strcmp(how, "packed");
        if (!read || (end && end != ' ') || (c.tb != 'T' && c.tb != 'N') ||
            (!c.packed && strcmp(how, "plain")))
            return arena_text(a, "'%s' at '%s': expected MxNxKT=packed, MxNxKT=plain (T or N), "
                                 "separated by spaces", choices, at);
        to->c[to->n] = c;
        at += read + (end == ' ');
    }
    return NULL;
}

static int gemm_packs(const Gemm *g, const GemmProduct *p)
{
    for (int i = 0; i < g->choices->n; i++) {
        const GemmChoice *c = &g->choices->c[i];
        if (c->m == p->m && c->n == p->n && c->k == p->k && c->tb == p->tb) return c->packed;
    }
    return 1;
}

void gemm_weight(const Gemm *g, GemmWeight *w, const GemmProduct *p, Arena *home)
{
    const char *why;
    const size_t size = g->packed && gemm_packs(g, p) ? g->packed_size(g, p, &why) : 0;
    CHECK(p->type == GEMM_F32);
    if (!size) {
        gemm(g, 'N', p->tb, p->m, p->n, p->k, 1, p->A, p->lda ? p->lda : p->k, p->B,
             p->tb == 'T' ? p->k : p->n, p->plus ? 1 : 0, p->C, p->ldc ? p->ldc : p->n);
        return;
    }
    if (size > w->size) {
        w->room = arena_raw(home, size);
        w->size = size;
    }
    g->packed(g, w, p);
}

/* ---- opening ---- */
/* The first provider from number i on whose name this is or, for "auto", that loads */
static const Gemm *gemm_open_from(int i, const char *name, int threads, Arena *a, const char **why)
{
    const int any = !strcmp(name, "auto");
    char cpu[128];
    for (; gemm_providers[i].name; i++) {
        const GemmProvider *p = gemm_providers + i;
        const unsigned lacks = p->cpu & ~cpu_has();
        if (!any && strcmp(name, p->name)) continue;
        Gemm *g = arena_get(a, sizeof *g);
        g->name = p->name;
        g->threads = threads;
        g->choices = arena_get(a, sizeof *g->choices);
        if (lacks)
            *why = arena_text(a, "gemm=%s needs %s, "
                              "which this CPU (or EIGHTYSIX_CPU) does not have",
                              p->name, cpu_text(lacks, cpu, sizeof cpu));
        else
            *why = gemm_loaders[i](g, a);
        if (*why && !any) return NULL;
        if (*why) continue;
        if (!g->room_size) return g;
        g->room = arena_raw(a, array_bytes(g->room_size, (size_t)threads));
        g->small = gemm_open_from(i + 1, "auto", threads, a, why);
        return g;
    }
    return NULL;
}

const Gemm *gemm_open(const char *name, int threads, Arena *a, const char **why)
{
    *why = NULL;
    const Gemm *g = gemm_open_from(0, name, threads, a, why);
    if (g || *why) return g;
    const char *known = "auto";
    for (const GemmProvider *p = gemm_providers; p->name; p++)
        known = arena_text(a, "%s, %s", known, p->name);
    *why = arena_text(a, "gemm=%s: expected one of %s", name, known);
    return NULL;
}

void *gemm_room(const Gemm *g)
{
    const int t = omp_get_thread_num();
    CHECK(t < g->threads);
    return g->room + g->room_size * (size_t)t;
}

enum { STEP = 16 };      /* rows or columns of C that stay with one thread */

void gemm(const Gemm *g, char ta, char tb, int m, int n, int k, float alpha, const float *A,
          int lda, const float *B, int ldb, float beta, float *C, int ldc)
{
    const int parts = g->threads, by_rows = 2 * m >= n;
    if (parts == 1 || (double)m * n * k < 64e3) {
        gemm1(g, ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
        return;
    }
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int t = 0; t < parts; t++) {
        long lo, hi;
        part(by_rows ? m : n, t, parts, STEP, &lo, &hi);
        if (lo == hi) continue;
        if (by_rows)
            gemm1(g, ta, tb, (int)(hi - lo), n, k, alpha, ta == 'T' ? A + lo : A + (size_t)lo * lda,
                  lda, B, ldb, beta, C + (size_t)lo * ldc, ldc);
        else
            gemm1(g, ta, tb, m, (int)(hi - lo), k, alpha, A, lda,
                  tb == 'T' ? B + (size_t)lo * ldb : B + lo, ldb, beta, C + lo, ldc);
    }
}

void gemm_u8s8(const Gemm *g, int m, int n, int k, const uint8_t *A, int lda, const int8_t *B,
               int ldb, int32_t *C, int ldc, const int32_t *co)
{
    const int parts = g->threads, by_rows = m >= n;
#pragma omp parallel for num_threads(parts) schedule(static, 1) if(parts > 1)
    for (int t = 0; t < parts; t++) {
        long lo, hi;
        part(by_rows ? m : n, t, parts, STEP, &lo, &hi);
        if (lo == hi) continue;
        if (by_rows)
            g->u8s8(g, (int)(hi - lo), n, k, A + (size_t)lo * lda, lda, B, ldb,
                    C + (size_t)lo * ldc, ldc, co);
        else
            g->u8s8(g, m, (int)(hi - lo), k, A, lda, B + (size_t)lo * ldb, ldb, C + lo, ldc,
                    co + lo);
    }
}
