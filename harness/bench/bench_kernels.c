/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ternary product, every kernel beside the dense float products of the same shape: Y (n, rows)
 * = X (n, cols) W'. An iteration is what a layer does: ternary_product, of a weight that was packed
 * before. */
#include "harness/bench/bench_product.h"
#include "harness/laws/laws.h"
#include "kernels/cpu.h"
#include <math.h>
#include <string.h>

static const struct {
    int rows, cols;
} kernels_shapes[] = { { 256, 256 },   { 683, 256 },   { 256, 683 },
                       { 1024, 1024 }, { 2816, 1024 }, { 2560, 2560 },
                       { 6912, 2560 }, { 4096, 4096 }, { 11008, 4096 } };
static const int kernels_batches[] = { 1, 8, 32, 128, 512, 2048 };
enum {
    SHAPES = sizeof kernels_shapes / sizeof *kernels_shapes,
    BATCHES = sizeof kernels_batches / sizeof *kernels_batches,
    LAW_SHAPES = 20
};
#define COLD_BYTES 300e6
#define SLOW_MOST 1.1e9      /* multiply-adds of a cell of the reference and the last provider */

/* the whole law, once for every kernel */
static const char *kernels_law(Bench *b, const char **said, int *asked, int i)
{
    const BenchPlan *p = bench_plan(b);
    if (asked[i]) return said[i];
    asked[i] = 1;
    Arena a = arena_new((size_t)1 << 32);
    const char *why = law_kernel(p->kernels[i], p->seed, LAW_SHAPES, &a);
    said[i] = why ? arena_text(bench_home(b), "%s", why) : NULL;
    arena_drop(&a);
    return said[i];
}

/* ---- limits ---- */
static void kernels_limit(Bench *b, BenchCell *c, const ProductJob *j, int cold)
{
    const ProductShape *s = j->s;
    const double weights = (double)s->rows * s->cols,
                 read = (double)j->size * (j->by_n ? s->threads : 1);
    const char *level = cold ? "read_dram" : bench_level(b, read / s->threads), *compute = NULL;
    const double bandwidth = bench_peak(b, level, s->threads);
    double ns = 0;
    if (j->gemm) {
        const unsigned has = cpu_has();
        const int bytes = product_whole_numbers(j);
        compute = j->type == GEMM_BF16         ? NULL           /* no probe counts it */
                  : bytes && has & CPU_AMX     ? "int8_amx"
                  : bytes && has & CPU_VNNI    ? "int8_vnni512"
                  : has & CPU_NEON             ? "f32_fma_neon"
                  : has & CPU_AVX512           ? "f32_fma512"
                  : has & CPU_AVX2             ? "f32_fma256"
                                               : "f32_fma128";
        const double peak = compute ? bench_peak(b, compute, s->threads) : 0;
        if (peak > 0) ns = 2 * weights * s->n / peak * 1e9;
    } else {
        const TernaryCost *o = s->n == 1 ? &j->k->single : &j->k->large;
        const double each = o->each * (j->k->min_bits < j->k->act_bits ? j->bits : 1);
        compute = o->probe;
        const double rate = compute ? bench_peak(b, compute, s->threads) / o->unit * o->ports : 0;
        if (rate > 0) ns = weights * s->n * each / rate * 1e9;
    }
    c->threads = s->threads;
    c->read = read;
    bench_limit(c, compute, ns, level, bandwidth > 0 ? read / bandwidth * 1e9 : 0);
}

/* ---- cells ---- */
static void kernels_fill_copies(ProductJob *j, int cold, Arena *a)
{
    j->copies = cold ? (long)ceil(COLD_BYTES / (double)j->size) : 1;
    j->weight = arena_raw(a, j->size * (size_t)j->copies);
}

static void kernels_spread_copies(const ProductJob *j)
{
    for (long i = 1; i < j->copies; i++)
        memcpy(j->weight + j->size * (size_t)i, j->weight, j->size);
}

static void kernels_add_ternary(Bench *b, const ProductShape *s, const TernaryKernel *k, int bits,
                                int cold, const char *name, const char *broken)
{
    Arena *a = bench_arena(b);
    ProductJob *j = arena_get(a, sizeof *j);
    *j = (ProductJob){ .s = s, .k = k, .bits = bits, .by_n = s->n >= 16 * s->threads,
                .size = product_whole_lines(k->packed_size(s->rows, s->cols)) };
    kernels_fill_copies(j, cold, a);
    k->pack(j->weight, s->w, s->rows, s->cols);
    kernels_spread_copies(j);
    const TernaryProduct p = product_of(j, NULL);
    j->room = arena_raw(a, ternary_room_size(&p));
    j->y = arena_raw(a, sizeof *j->y * (size_t)s->n * (size_t)s->rows);
    BenchCell *c = bench_cell(b, name, product_ternary, j);
    c->idle = !k->computes;
    c->broken = broken;
    if (!broken && k->computes)
        c->broken = product_check(j, product_ternary, bench_plan(b)->seed, a);
    if (c->broken) return;
    c->prepare_ns = bench_time(product_prepare, j, 1e-3, NULL);
    if (!k->computes) return;
    c->ops = 2.0 * s->rows * s->cols * s->n;
    c->bytes = (double)j->size;
    kernels_limit(b, c, j, cold);
}

/* The weight as it lies: one, to be packed from, or so many copies to be multiplied */
static void kernels_fill_dense(ProductJob *j, int cold, Arena *a)
{
    const ProductShape *s = j->s;
    const size_t all = (size_t)s->rows * (size_t)s->cols, bytes = product_whole_numbers(j);
    j->size = product_whole_lines((bytes ? 1 : sizeof(float)) * all);
    kernels_fill_copies(j, cold, a);
    if (bytes) memcpy(j->weight, s->w, all);
    else for (size_t i = 0; i < all; i++) ((float *)j->weight)[i] = s->w[i];
    kernels_spread_copies(j);
    j->y = arena_raw(a, sizeof *j->y * (size_t)s->n * (size_t)s->rows);
    if (j->type != GEMM_U8S8) return;
    j->room = arena_raw(a, (size_t)s->n * (size_t)s->cols);
    j->co = arena_get(a, sizeof *j->co * (size_t)s->rows);
    for (size_t i = 0; i < all; i++) j->co[i / (size_t)s->cols] -= 128 * s->w[i];
}

/* Every copy packed before any is timed. NULL, or why there is no such product here */
static const char *kernels_pack_copies(ProductJob *j, int cold, Arena *a)
{
    const char *why;
    const GemmProduct p = product_dense_of(j);
    const size_t size = product_whole_lines(j->gemm->packed_size(j->gemm, &p, &why));
    if (!size) return why;
    j->size = size;
    j->copies = cold ? (long)ceil(COLD_BYTES / (double)size) : 1;
    j->packed = arena_get(a, sizeof *j->packed * (size_t)j->copies);
    for (long i = 0; i < j->copies; i++)
        j->packed[i] = (GemmWeight) { .room = arena_raw(a, size), .size = size };
    product_packed(j, j->copies);
    return NULL;
}

static void kernels_add_dense(Bench *b, const ProductShape *s, const Gemm *g, GemmType type,
                              int cold, const char *name)
{
    Arena *a = bench_arena(b);
    ProductJob *j = arena_get(a, sizeof *j);
    *j = (ProductJob){ .s = s, .gemm = g, .type = type };
    kernels_fill_dense(j, cold && !g->packed, a);
    const char *why = g->packed ? kernels_pack_copies(j, cold, a) : NULL;
    if (why) {
        bench_skip(b, name, why);
        bench_miss(b, name);
        return;
    }
    GbenchWork *work = j->packed ? product_packed : type == GEMM_U8S8 ? product_dense8
                                                                      : product_dense;
    BenchCell *c = bench_cell(b, name, work, j);
    if ((c->broken = product_check(j, work, bench_plan(b)->seed, a))) return;
    c->ops = 2.0 * s->rows * s->cols * s->n;
    c->bytes = (double)j->size;
    kernels_limit(b, c, j, cold);
}

/* Codes uniform over {-1, 0, 1}, activations over all of their bits; whole numbers, whose float
 * sums are exact as well. */
static void kernels_fill_shape(ProductShape *s, int at, uint64_t seed, Arena *a)
{
    const size_t nw = (size_t)s->rows * (size_t)s->cols, nx = (size_t)s->n * (size_t)s->cols;
    Rng rng = rng_at(seed, STREAM_CHECK, (uint64_t)at | 1ull << 40);
    int8_t *w = arena_raw(a, nw), *x = arena_raw(a, nx);
    float *xf = arena_raw(a, sizeof(float) * nx);
    for (size_t i = 0; i < nw; i++) w[i] = (int8_t)((int)(rng_u64(&rng) >> 33) % 3 - 1);
    for (size_t i = 0; i < nx; i++) xf[i] = x[i] = (int8_t)(rng_u64(&rng) >> 56);
    s->w = w;
    s->xf = xf;
    s->x[8] = x;
    for (int bits = 1; bits < 8; bits++) {
        int8_t *less = arena_raw(a, nx);
        for (size_t i = 0; i < nx; i++) less[i] = (int8_t)(x[i] >> (8 - bits));
        s->x[bits] = less;
    }
}

typedef struct {
    const Gemm **gemm;          /* (providers, n_threads); NULL: not opened yet */
    const char **said;          /* (kernels) what the law said */
    int         *asked;         /* (kernels) 1: it was asked */
    int         *noted;         /* (providers) 1: it has been noted, or skipped */
    int          dense;         /* how often it was */
} Parts;

/* Figures and tables read this of a kernel, beside its cells (view bench_kernel) */
static void kernels_note(Bench *b, const char *what, const char *kernel, int value)
{
    bench_note(b, arena_text(bench_home(b), "%s:%s", what, kernel), value);
}

static void kernels_note_kernel(Bench *b, const TernaryKernel *k)
{
    kernels_note(b, "drawn", k->name, k->drawn);
    kernels_note(b, "sliced", k->name, k->min_bits < k->act_bits);
    kernels_note(b, "chosen", k->name, k == ternary_best());
}

/* The last provider is the last resort */
static int kernels_is_last_provider(int i) { return !gemm_providers[i + 1].name; }

static void kernels_note_provider(Bench *b, int i, const Gemm *g, Parts *parts)
{
    Arena *home = bench_home(b);
    if (parts->noted[i]++) return;
    kernels_note(b, "drawn", arena_text(home, "sgemm_%s", g->name),
                 gemm_providers[i].drawn);
    kernels_note(b, "chosen", arena_text(home, "sgemm_%s", g->name), !parts->dense++);
    if (g->u8s8) kernels_note(b, "drawn", arena_text(home, "u8s8_%s", g->name), g->packed != NULL);
    if (!g->packed) return;
    kernels_note(b, "drawn", arena_text(home, "s8s8_%s", g->name), 0);
    kernels_note(b, "drawn", arena_text(home, "bf16_%s", g->name), 0);
}

static const char *kernels_cell_name(const char *prefix, const char *kernel, const ProductShape *s,
                                     int bits, int cold, Arena *a)
{
    return arena_text(a, "%s%s/%dx%d/n%d/t%d%s%s", prefix, kernel, s->rows, s->cols, s->n,
                      s->threads, bits < 8 ? arena_text(a, "/b%d", bits) : "", cold ? "/cold" : "");
}

static void kernels_add(Bench *b, ProductShape *s, int at, int i, int cold, Parts *parts)
{
    static const int widths[] = { 8, 4, 2, 1 };
    const BenchPlan *p = bench_plan(b);
    const TernaryKernel *k = p->kernels[i];
    const int too_slow =
        k == ternary_kernels[0] && (double)s->rows * s->cols * s->n > SLOW_MOST;
    if (too_slow) return;
    if (bench_usual(b) && !k->cpu && !k->drawn) return;
    for (int w = 0; w < 4 && widths[w] >= k->min_bits; w++) {
        const char *name = kernels_cell_name("", k->name, s, widths[w], cold, bench_arena(b));
        if (!ternary_runs_here(k)) {
            bench_miss(b, name);
            continue;
        }
        if (!bench_wants(b, name)) continue;
        if (!s->w) kernels_fill_shape(s, at, p->seed, bench_arena(b));
        kernels_add_ternary(b, s, k, widths[w], cold, name,
                    k->computes ? kernels_law(b, parts->said, parts->asked, i) : NULL);
    }
}

static int kernels_has_type(const Gemm *g, GemmType type)
{
    return type == GEMM_F32 || g->packed || (type == GEMM_U8S8 && g->u8s8);
}

/* sgemm_<provider>, and u8s8_ s8s8_ bf16_<provider> where it has that product. Of a provider that
 * packs weights they are packed. */
static void kernels_add_provider(Bench *b, ProductShape *s, int at, int i, int thread, int cold,
                                 Parts *parts)
{
    static const char *const prefix[] = { [GEMM_F32] = "sgemm_", [GEMM_BF16] = "bf16_",
                                          [GEMM_U8S8] = "u8s8_", [GEMM_S8S8] = "s8s8_" };
    const char *provider = gemm_providers[i].name, *why;
    for (GemmType type = GEMM_F32; type <= GEMM_S8S8; type++) {
        const char *name =
            kernels_cell_name(prefix[type], provider, s, 8, cold, bench_arena(b));
        const int last = kernels_is_last_provider(i),
                  slow = last && (double)s->rows * s->cols * s->n > SLOW_MOST;
        if (slow || (last && bench_usual(b)) || !bench_wants(b, name)) continue;
        const Gemm **g = &parts->gemm[i * bench_plan(b)->n_threads + thread];
        if (!*g) *g = gemm_open(provider, s->threads, bench_home(b), &why);
        if (!*g) {
            if (!parts->noted[i]++) bench_skip(b, provider, why);
            bench_miss(b, name);
            continue;
        }
        kernels_note_provider(b, i, *g, parts);
        if (!kernels_has_type(*g, type)) continue;
        if (!s->w) kernels_fill_shape(s, at, bench_plan(b)->seed, bench_arena(b));
        kernels_add_dense(b, s, *g, type, cold, name);
    }
}

/* read/<rows>x<cols>/n1/t<threads>[/cold]: what binds a product of one row, measured between its
 * rounds */
static void kernels_add_reader(Bench *b, ProductShape *s, int cold)
{
    const double weights = (double)s->rows * s->cols;
    const size_t each = (size_t)(weights / 4 / s->threads) / PROBE_BLOCK * PROBE_BLOCK;
    const char *name = kernels_cell_name("", "read", s, 8, cold, bench_arena(b));
    if (s->n > 1 || !each || !bench_wants(b, name)) return;
    Arena *a = bench_arena(b);
    ProductJob *j = arena_get(a, sizeof *j);
    *j = (ProductJob){ .s = s, .each = each, .size = each * (size_t)s->threads };
    const char *level = cold ? "read_dram" : bench_level(b, (double)each);
    for (int i = 0; probes[i].name; i++)
        if (!strcmp(probes[i].name, level)) j->reader = &probes[i];
    if (!probe_runs_here(j->reader)) return;
    kernels_fill_copies(j, cold, a);
    memset(j->weight, 1, j->size * (size_t)j->copies);
    BenchCell *c = bench_cell(b, name, product_read, j);
    c->bytes = (double)j->size;
    c->limit = level;
    c->reads = 1;
}

static void kernels_group(Bench *b, int shape, int batch, int thread, int cold, Parts *parts)
{
    const BenchPlan *p = bench_plan(b);
    ProductShape *s = arena_get(bench_arena(b), sizeof *s);
    *s = (ProductShape) { .rows = kernels_shapes[shape].rows,
                   .cols = kernels_shapes[shape].cols,
                   .n = kernels_batches[batch],
                   .threads = p->threads[thread] };
    const int at = (shape * BATCHES + batch) * BENCH_THREADS + thread;      /* names random data */
    for (int i = 0; p->kernels[i]; i++) kernels_add(b, s, at, i, cold, parts);
    for (int i = 0; gemm_providers[i].name; i++)
        kernels_add_provider(b, s, at, i, thread, cold, parts);
    kernels_add_reader(b, s, cold);
    bench_group(b);
}

void bench_kernels(Bench *b)
{
    const BenchPlan *p = bench_plan(b);
    Arena *home = bench_home(b);
    int n_kernels = 0, n_providers = 0;
    while (p->kernels[n_kernels]) n_kernels++;
    while (gemm_providers[n_providers].name) n_providers++;
    Parts *parts = arena_get(home, sizeof *parts);
    parts->gemm = arena_get(home, sizeof *parts->gemm * (size_t)(n_providers * p->n_threads));
    parts->said = arena_get(home, sizeof *parts->said * (size_t)n_kernels);
    parts->noted = arena_get(home, sizeof *parts->noted * (size_t)n_providers);
    parts->asked = arena_get(home, sizeof *parts->asked * (size_t)n_kernels);
    for (int i = 0; i < n_kernels; i++) {
        if (ternary_runs_here(p->kernels[i])) kernels_note_kernel(b, p->kernels[i]);
        else bench_skip(b, p->kernels[i]->name, "not on this CPU");
    }
    if (p->db)                    /* for the figures, whatever binds the cells below */
        for (int i = 0; probes[i].name; i++)
            for (int t = 0; t < p->n_threads; t++) bench_peak(b, probes[i].name, p->threads[t]);
    for (int shape = 0; shape < SHAPES; shape++)
        for (int batch = 0; batch < BATCHES; batch++)
            for (int t = 0; t < p->n_threads; t++)
                for (int cold = 0; cold <= (p->cold && kernels_batches[batch] == 1); cold++)
                    kernels_group(b, shape, batch, t, cold, parts);
}
