/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The law of a provider of dense products: the sum in double, to float's rounding, for every
 * transposition, scale and stride; nothing written beside C; by tiles, the same bits from any
 * number of threads. Of a product with a packed weight the same, bytes exactly, and that a weight
 * is packed anew when its version says so. */
#include "harness/laws/laws.h"
#include "kernels/bf16.h"
#include "kernels/cpu.h"
#include "models/optim.h"
#include "models/tape_inner.h"
#include "tests/place.h"
#include <math.h>
#include <string.h>

/* see own_loops_hold */
#define UPPER ((Bf16Pair){ 0 } + 0xffff0000)
#define BF16_PAIRS(sum, a, b)                                      \
    ((sum) + (Bf16Sum)((a) & UPPER) * (Bf16Sum)((b) & UPPER) +     \
     (Bf16Sum)((a) << 16) * (Bf16Sum)((b) << 16))
#include "kernels/gemm_bf16_body.h"

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

/* ---- packed weights ---- */
enum { PACKED_SHAPES = 60, GUARD = 64, GUARD_BYTE = 0xa5 };

/* A weight of k by n numbers, its rows and what a product of them is; bytes for the int8 types */
typedef struct {
    GemmProduct p;
    void  *a, *b;
    int32_t *co;
    float *was;                 /* C before, of plus */
} Weighted;

static double number(const GemmProduct *p, const void *x, size_t i)
{
    if (p->type == GEMM_U8S8 && x == p->A) return ((const uint8_t *)x)[i];
    if (p->type == GEMM_U8S8 || p->type == GEMM_S8S8) return ((const int8_t *)x)[i];
    return ((const float *)x)[i];
}

static void draw_numbers(Rng *r, void *x, size_t n, GemmType type, int weight)
{
    for (size_t i = 0; i < n; i++)
        if (type == GEMM_U8S8 || type == GEMM_S8S8)
            ((int8_t *)x)[i] = (int8_t)(weight ? (int)rng_below(r, 3) - 1 : (int)rng_below(r, 256));
        else ((float *)x)[i] = (float)rng_normal(r) * ldexpf(1, (int)rng_below(r, 12) - 6);
}

static Weighted weighted(Rng *r, GemmType type, Arena *a)
{
    const int large = !rng_below(r, 3);
    Weighted w = { .p = { .type = type, .tb = rng_below(r, 2) ? 'T' : 'N', .version = 1,
                          .m = drawn(r, large ? 200 : 40), .n = drawn(r, large ? 300 : 50),
                          .k = drawn(r, large ? MOST_K : 80) } };
    GemmProduct *p = &w.p;
    const int bytes = type == GEMM_U8S8 || type == GEMM_S8S8;
    const size_t mk = (size_t)p->m * (size_t)p->k, kn = (size_t)p->k * (size_t)p->n,
                 mn = (size_t)p->m * (size_t)p->n;
    p->plus = !bytes && rng_below(r, 2);
    w.a = arena_raw(a, mk * sizeof(float));
    w.b = arena_raw(a, kn * sizeof(float));
    draw_numbers(r, w.a, mk, type, 0);
    draw_numbers(r, w.b, kn, type, 1);
    p->A = w.a;
    p->B = w.b;
    p->C = arena_raw(a, mn * sizeof(float) + GUARD);
    memset(p->C, GUARD_BYTE, mn * sizeof(float) + GUARD);
    w.was = arena_get(a, mn * sizeof(float));
    if (p->plus) draw_numbers(r, w.was, mn, type, 0);
    if (p->plus) memcpy(p->C, w.was, mn * sizeof(float));
    if (type == GEMM_U8S8) w.co = arena_raw(a, sizeof *w.co * (size_t)p->n);
    for (int i = 0; w.co && i < p->n; i++) w.co[i] = (int32_t)rng_below(r, 100000) - 50000;
    p->co = w.co;
    return w;
}

/* How far C is from the sum in double, at most: in units of the type's rounding, or of 1 */
static double off(const Weighted *w)
{
    const GemmProduct *p = &w->p;
    const double unit = p->type == GEMM_BF16 ? ldexp(1, -8) : ldexp(1, -24);
    double most = 0;
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < p->n; j++) {
            const size_t at = (size_t)i * (size_t)p->n + (size_t)j;
            double sum = p->co ? p->co[j] : (double)w->was[at], size = fabs(sum);
            for (int l = 0; l < p->k; l++) {
                const size_t b = p->tb == 'T' ? (size_t)j * (size_t)p->k + (size_t)l
                                              : (size_t)l * (size_t)p->n + (size_t)j;
                const double x = number(p, p->A, (size_t)i * (size_t)p->k + (size_t)l) *
                                 number(p, p->B, b);
                sum += x;
                size += fabs(x);
            }
            const double e = p->type == GEMM_U8S8 || p->type == GEMM_S8S8
                                 ? fabs(((const int32_t *)p->C)[at] - sum)
                                 : fabs(((const float *)p->C)[at] - sum) / (unit * size + 1e-30);
            most = e > most || isnan(e) ? e : most;
        }
    return most;
}

static void pack_room(const Gemm *g, GemmWeight *w, const GemmProduct *p, Arena *a)
{
    const char *why;
    const size_t size = g->packed_size(g, p, &why);
    if (!size) fail_msg("%s", why);
    w->room = arena_raw(a, size + GUARD);
    w->size = size;
    memset(w->room, GUARD_BYTE, size + GUARD);
}

static void assert_guard(const void *after)
{
    for (int i = 0; i < GUARD; i++) assert_int_equal(((const uint8_t *)after)[i], GUARD_BYTE);
}

static double packed_errors(const Gemm *g, GemmType type, Arena *a)
{
    Rng r = rng_at(9, STREAM_CHECK, (uint64_t)type);
    double most = 0;
    for (int i = 0; i < PACKED_SHAPES; i++) {
        const size_t mark = a->used;
        const Weighted w = weighted(&r, type, a);
        GemmWeight packed = { .room = NULL };
        pack_room(g, &packed, &w.p, a);
        g->packed(g, &packed, &w.p);
        const double e = off(&w);
        most = e > most || isnan(e) ? e : most;
        assert_guard((char *)packed.room + packed.size);
        assert_guard((char *)w.p.C + sizeof(float) * (size_t)w.p.m * (size_t)w.p.n);
        arena_reset(a, mark);
    }
    return most;
}

/* Twice as many shapes as a provider keeps plans of go by: plans are dropped and made anew. */
static void packed_weights(void **state)
{
    static const char *const names[] = { "float", "bfloat16", "u8s8", "s8s8" };
    Arena a = arena_new((size_t)1 << 30);
    int seen = 0;
    (void)state;
    for (const GemmProvider *p = gemm_providers; p->name; p++)
        for (int threads = 1; threads <= 2; threads++) {
            const char *why;
            const Gemm *g = gemm_open(p->name, threads, &a, &why);
            if (!g || !g->packed) continue;
            for (int type = GEMM_F32; type <= GEMM_S8S8; type++) {
                Rng r = rng_at(9, STREAM_CHECK, 99);
                const Weighted w = weighted(&r, (GemmType)type, &a);
                if (!g->packed_size(g, &w.p, &why)) {
                    assert_int_equal(type, GEMM_BF16);
                    assert_non_null(strstr(why, "avx512_core_bf16"));
                    print_message("%s\n", why);
                    continue;
                }
                const double most = packed_errors(g, (GemmType)type, &a);
                print_message("%s, %d threads, packed %s: at most %.2f units\n", p->name, threads,
                              names[type], most);
                assert_true(most <= (type == GEMM_F32 ? 32 : type == GEMM_BF16 ? 4 : 0));
                seen++;
            }
        }
    if (!seen) skip();
    arena_drop(&a);
}

/* ---- bfloat16 ---- */
/* What rounding to nearest even is, by cases */
static void rounding(void **state)
{
    static const struct { uint32_t from, to; } cases[] = {
        { 0x3f800000, 0x3f800000 }, { 0x3f808000, 0x3f800000 }, { 0x3f808001, 0x3f810000 },
        { 0x3f818000, 0x3f820000 }, { 0x3f817fff, 0x3f810000 }, { 0xbf818000, 0xbf820000 },
        { 0x3fffffff, 0x40000000 }, { 0x7f7fffff, 0x7f800000 }, { 0x7f800000, 0x7f800000 },
        { 0xff800000, 0xff800000 }, { 0x7f800001, 0x7fc00000 }, { 0xffffffff, 0xffff0000 },
        { 0x007fffff, 0x00000000 }, { 0x807fffff, 0x80000000 }, { 0x80000000, 0x80000000 },
        { 0x00800000, 0x00800000 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float x;
        memcpy(&x, &cases[i].from, sizeof x);
        if (bf16_bits(x) != cases[i].to)
            fail_msg("%08x: %08x, expected %08x", cases[i].from, bf16_bits(x), cases[i].to);
    }
}

enum { LAW_SHAPES = 60 };

static void the_law_holds(void **state)
{
    (void)state;
    for (const GemmProvider *p = gemm_providers; p->name; p++)
        for (int threads = 1; threads <= 2; threads++) {
            Arena a = arena_new((size_t)1 << 30);
            const char *why;
            const Gemm *g = gemm_open(p->name, threads, &a, &why);
            if (g) {
                const Gemm *bf16 = gemm_bf16(g, &a);
                print_message("%s: bf16: %s\n", p->name, bf16->core);
                holds(law_gemm(g, test_seed(), LAW_SHAPES, &a));
                holds(law_gemm(bf16, test_seed(), LAW_SHAPES, &a));
            }
            arena_drop(&a);
        }
}

static float half_up(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    u = (u + 0x8000) & 0xffff0000;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* Rounds ties away from zero */
static void half_up_sgemm(const Gemm *g, char ta, char tb, int m, int n, int k, float alpha,
                          const float *A, int lda, const float *B, int ldb, float beta, float *C,
                          int ldc)
{
    (void)g;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int l = 0; l < k; l++)
                sum += (double)half_up(ta == 'T' ? A[l * lda + i] : A[i * lda + l]) *
                       (double)half_up(tb == 'T' ? B[j * ldb + l] : B[l * ldb + j]);
            float *c = &C[i * ldc + j];
            *c = (float)(alpha * sum + (beta == 0 ? 0 : (double)beta * (double)*c));
        }
}

/* floats where bfloat16 is promised, bfloat16 where floats are, and another rounding */
static void the_law_sees_faults(void **state)
{
    Arena a = arena_new((size_t)1 << 30);
    const char *why;
    (void)state;
    const Gemm *g = gemm_open("portable", 1, &a, &why);
    Gemm fault = *g;
    assert_null(law_gemm(&fault, 1, 4, &a));
    fault.floats = g;
    assert_non_null(law_gemm(&fault, 1, 4, &a));
    fault.sgemm = half_up_sgemm;
    assert_non_null(law_gemm(&fault, 1, 4, &a));
    fault = *gemm_bf16(g, &a);
    assert_null(law_gemm(&fault, 1, 4, &a));
    fault = *g;
    fault.sgemm = half_up_sgemm;
    assert_non_null(law_gemm(&fault, 1, 4, &a));
    arena_drop(&a);
}

/* The loops of gemm_avx512bf16.c with its one instruction in C: they hold where no CPU has it */
static void own_loops_hold(void **state)
{
    Arena a = arena_new((size_t)1 << 30);
    const char *why;
    (void)state;
    const GemmBf16 own = { "in C", bf16_product, sizeof(Bf16Room) };
    assert_int_equal(sizeof(Bf16Room) % 64, 0);
    for (int threads = 1; threads <= 3; threads++) {
        Gemm g = *gemm_open("portable", threads, &a, &why);
        g.bf16 = &own;
        holds(law_gemm(gemm_bf16(&g, &a), test_seed(), 100, &a));
    }
    arena_drop(&a);
}

static const Gemm *packing(const char **name, Arena *a)
{
    const char *why;
    for (const GemmProvider *p = gemm_providers; p->name; p++) {
        const Gemm *g = gemm_open(p->name, 2, a, &why);
        if (g && g->packed) {
            *name = p->name;
            return g;
        }
    }
    skip();
    return NULL;
}

/* a weight that changes is packed anew when its version, its place or the product's shape changes,
 * and only then */
static void versions_count(void **state)
{
    enum { M = 37, N = 45, K = 29 };
    Arena a = arena_new((size_t)1 << 28);
    const char *name;
    const Gemm *g = packing(&name, &a);
    Rng r = rng_at(10, STREAM_CHECK, 0);
    float *x = arena_raw(&a, sizeof *x * M * K), *b = arena_raw(&a, sizeof *b * N * K);
    float *was = arena_get(&a, sizeof *was * M * N), *y = arena_raw(&a, sizeof *y * M * N);
    GemmWeight packed = { .room = NULL };
    Weighted w = { .p = { .type = GEMM_F32, .tb = 'T', .m = M, .n = N, .k = K, .A = x, .B = b,
                          .version = 1, .C = y },
                   .was = was };
    (void)state;
    draw_numbers(&r, x, M * K, GEMM_F32, 0);
    draw_numbers(&r, b, N * K, GEMM_F32, 1);
    gemm_weight(g, &packed, &w.p, &a);
    assert_true(off(&w) < 32);
    for (int i = 0; i < N * K; i++) b[i] = -3 * b[i];
    gemm_weight(g, &packed, &w.p, &a);
    assert_true(off(&w) > 1000);                     /* nobody said that it changed */
    w.p.version++;
    gemm_weight(g, &packed, &w.p, &a);
    assert_true(off(&w) < 32);
    w.p.m = 5;
    gemm_weight(g, &packed, &w.p, &a);
    assert_true(off(&w) < 32);
    w.p.B = memcpy(arena_raw(&a, sizeof *b * N * K), b, sizeof *b * N * K);
    ((float *)w.p.B)[0] += 1;
    gemm_weight(g, &packed, &w.p, &a);
    assert_true(off(&w) < 32);
    arena_drop(&a);
}

typedef struct { Tape *t; Param *w; Var x; float *was; Grad dx; } Layer;

/* how far y = x W' and, of a gradient of ones, dX = 1 W are from the sums in double, at most */
static double layer_off(Layer *l)
{
    const int n = l->x.rows, rows = l->w->rows, cols = l->w->cols;
    memset(l->dx.p, 0, l->dx.bytes);
    l->dx = (Grad){ .p = l->dx.p, .bytes = l->dx.bytes, .kept = 1 };
    tape_reset(l->t, 1);
    Var y = op_linear(l->t, l->x, l->w, 0);
    Weighted forward = { .p = { .type = GEMM_F32, .tb = 'T', .m = n, .n = rows, .k = cols,
                                .A = l->x.v, .B = l->w->v, .C = y.v },
                         .was = l->was };
    double most = off(&forward);
    float *dy = tape_grad(l->t, y);
    for (int i = 0; i < n * rows; i++) dy[i] = 1;
    float *ones = arena_raw(&l->t->pass, sizeof *ones * (size_t)n * (size_t)rows);
    memcpy(ones, dy, sizeof *ones * (size_t)n * (size_t)rows);
    tape_backward(l->t);
    Weighted back = { .p = { .type = GEMM_F32, .tb = 'N', .m = n, .n = cols, .k = rows, .A = ones,
                             .B = l->w->v, .C = l->dx.p },
                      .was = l->was };
    const double e = off(&back);
    most = e > most || isnan(e) ? e : most;
    return most;
}

/* A float layer multiplies by the weight as the optimiser left it, in both directions. */
static void a_layer_sees_its_update(void **state)
{
    enum { N = 33, ROWS = 21, COLS = 18 };
    Arena a = arena_new((size_t)1 << 30);
    const char *why;
    Spec *spec = spec_new(&a);
    (void)state;
    assert_null(spec_set(spec, "gemm=dnnl"));
    assert_null(spec_set(spec, "threads=2"));
    const Exec *e = exec_make(spec, &a, &why);
    if (!e) skip();
    Params *ps = params_new(&a);
    Layer l = { .t = tape_new(e, spec, &a, (size_t)1 << 24),
                .w = params_add(ps, "w", (int[]){ ROWS, COLS, 0 }, GROUP_ADAMW, OWNER_CORE),
                .was = arena_get(&a, sizeof(float) * N * ROWS),
                .dx = { .bytes = sizeof(float) * N * COLS } };
    Optim *o = optim_new(spec, e, ps, &a);
    l.dx.p = arena_get(&a, l.dx.bytes);
    l.x = (Var){ arena_raw(&a, l.dx.bytes), &l.dx, N, COLS, NULL };
    Rng r = rng_at(12, STREAM_CHECK, 0);
    for (int i = 0; i < N * COLS; i++) l.x.v[i] = (float)rng_normal(&r);
    param_normal(l.w, 1, 1, 0.1);
    for (int step = 0; step < 3; step++) {
        assert_true(layer_off(&l) < 32);
        optim_begin(o, 100, sqrt(optim_norm(o, OWNER_CORE)));
        optim_update(o, OWNER_CORE);
    }
    tape_drop(l.t);
    arena_drop(&a);
}

/* The losses of a short training and of its evaluation */
static int losses_of(Place *p, const char *words, double *loss, int most)
{
    const char *said = place_expect(p, 0, arena_text(&p->a, "cell %s quant=none V=512 d=32 seq=32 "
        "dilations=1,4 conv_groups=4 batch=2 accum=2 fraction=0.5 train_tokens=20000 lr=1e-2 "
        "valid_tokens=2048 cutoffs=40,200 warmup=5 budget=20steps eval_every=5steps threads=1 "
        "3>&1", words));
    int n = 0;
    for (const char *s = said; s && n < most; s = strchr(s, '\n') ? strchr(s, '\n') + 1 : NULL)
        if (sscanf(s, "num loss %*d %lf", &loss[n]) == 1 ||
            sscanf(s, "num nll %*d %lf", &loss[n]) == 1) n++;
    return n;
}

/* A head that packs its rows multiplies by those of the present step, in evaluations too */
static void every_head_sees_its_updates(void **state)
{
    enum { MOST = 64 };
    static const char *const more[] = { "", " short_tied=1", " shortlist=20" };
    Place *p = *state;
    const char *why;
    if (!gemm_open("dnnl", 1, &p->a, &why)) skip();
    for (int i = 0; heads[i]; i++)
        for (int k = 0; k < 3; k++) {
            double a[MOST], b[MOST], off = 0;
            const char *words = arena_text(&p->a, "head=%s%s", heads[i]->name, more[k]);
            if (k == 1 && strcmp(heads[i]->name, "adaptive")) continue;
            if (k == 2 && strcmp(heads[i]->name, "tree")) continue;
            const int n = losses_of(p, arena_text(&p->a, "%s gemm=portable", words), a, MOST);
            assert_true(n >= 24);
            assert_int_equal(losses_of(p, arena_text(&p->a, "%s gemm=dnnl", words), b, MOST), n);
            for (int l = 0; l < n; l++) off = fmax(off, fabs(a[l] - b[l]));
            print_message("%s: at most %.2g nats apart\n", words, off);
            assert_true(off < 0.02);
        }
}

/* gemm_choose: plain is gemm to the bit and packs nothing */
static void choices(void **state)
{
    enum { M = 40, N = 48, K = 32 };
    static const char *const wrong[] = { "40x48T=packed", "40x48x32X=packed", "40x48x32T=maybe",
                                         "40x48x32T=packed,1x1x1N=plain" };
    Arena a = arena_new((size_t)1 << 28);
    const char *name, *why;
    const Gemm *g = packing(&name, &a), *other = gemm_open("portable", 2, &a, &why);
    Rng r = rng_at(11, STREAM_CHECK, 0);
    float *x = arena_raw(&a, sizeof *x * M * K), *b = arena_raw(&a, sizeof *b * N * K);
    float *y = arena_raw(&a, sizeof *y * M * N), *z = arena_raw(&a, sizeof *z * M * N);
    GemmWeight packed = { .room = NULL };
    GemmProduct p = { .type = GEMM_F32, .tb = 'T', .m = M, .n = N, .k = K, .A = x, .B = b, .C = y };
    (void)state;
    draw_numbers(&r, x, M * K, GEMM_F32, 0);
    draw_numbers(&r, b, N * K, GEMM_F32, 1);
    assert_null(gemm_choose(g, "40x48x32T=plain 40x32x48N=packed", &a));
    gemm_weight(g, &packed, &p, &a);
    gemm(g, 'N', 'T', M, N, K, 1, x, K, b, K, 0, z, N);
    assert_memory_equal(y, z, sizeof *y * M * N);
    assert_null(packed.own);
    assert_null(gemm_choose(g, "40x48x32N=plain 40x48x32T=packed", &a));
    gemm_weight(g, &packed, &p, &a);
    assert_non_null(packed.own);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *said = gemm_choose(g, wrong[i], &a);
        assert_non_null(said);
        assert_non_null(strstr(said, "expected MxNxKT=packed"));
    }
    p.C = z;
    gemm_weight(other, &(GemmWeight){ .room = NULL }, &p, &a);       /* packs nothing */
    gemm(other, 'N', 'T', M, N, K, 1, x, K, b, K, 0, y, N);
    assert_memory_equal(y, z, sizeof *y * M * N);
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

/* A library of another major version, which has no other function */
static void another_version_is_named(void **state)
{
    Place *p = *state;
    const char *source = place_write(p, "other.c",
                                     "static const struct { int major, minor, patch; } v = { 3, 1, "
                                     "4 };\nconst void *dnnl_version(void) { return &v; }\n"),
               *said;
    const int code = place_shell(p, arena_text(&p->a, "gcc -shared -fPIC -o %s %s",
                                               place_in(p, "libdnnl.so.2"), source), &said);
    if (code) fail_msg("%s", said);
    setenv("LD_LIBRARY_PATH", p->dir, 1);
    said = place_expect(p, 0, "list gemm");
    unsetenv("LD_LIBRARY_PATH");
    assert_says(said, "libdnnl.so.2 is oneDNN 3.1.4, expected version 2, whose headers");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_provider),
                                        cmocka_unit_test(threads_agree),
                                        cmocka_unit_test(packed_weights),
                                        cmocka_unit_test(rounding),
                                        cmocka_unit_test(the_law_holds),
                                        cmocka_unit_test(the_law_sees_faults),
                                        cmocka_unit_test(own_loops_hold),
                                        cmocka_unit_test(versions_count),
                                        cmocka_unit_test(a_layer_sees_its_update),
                                        cmocka_unit_test_setup_teardown(
                                            every_head_sees_its_updates, place_make, place_drop),
                                        cmocka_unit_test(choices),
                                        cmocka_unit_test(refused),
                                        cmocka_unit_test_setup_teardown(
                                            another_version_is_named, place_make, place_drop) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
