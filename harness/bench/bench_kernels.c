/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ternary product, every kernel beside the dense float products of the same shape: Y (n, rows)
 * = X (n, cols) W'. An iteration is what a layer does: ternary_product, of a weight that was packed
 * before. */
#include "harness/bench/bench.h"
#include "harness/laws/laws.h"
#include "kernels/cpu.h"
#include "kernels/gemm.h"
#include <math.h>
#include <string.h>

static const struct {
    int rows, cols;
} shapes[] = { { 256, 256 },   { 683, 256 },   { 256, 683 },   { 1024, 1024 }, { 2816, 1024 },
               { 2560, 2560 }, { 6912, 2560 }, { 4096, 4096 }, { 11008, 4096 } };
static const int batches[] = { 1, 8, 32, 128, 512, 2048 };
enum {
    SHAPES = sizeof shapes / sizeof *shapes,
    BATCHES = sizeof batches / sizeof *batches,
    MOST_PROVIDERS = 8,
    MOST_KERNELS = 64,
    LAW_SHAPES = 20
};
#define COLD_BYTES 300e6
/* multiply-adds of a check: all of a small shape, a sample of a large one */
#define CHECKED 1.3e8
#define SLOW_MOST 1.1e9      /* multiply-adds of a cell of ref and portable */

typedef struct {                      /* of a group: codes and activations that its cells share */
    int           rows, cols, n, threads;
    const int8_t *w, *x[9];           /* (rows, cols); (n, cols) of so many bits */
    const float  *wf, *xf;
} Shape;

typedef struct {
    const Shape         *s;
    const TernaryKernel *k;
    const Gemm          *gemm;        /* one of the two */
    int      bits, by_n, dense8;      /* dense8: gemm's u8s8 */
    /* copies of the weight, one after the other; prepared activations */
    char    *weight, *room;
    size_t   size, each;              /* of a copy; of what a thread reads */
    long     copies, at;
    const Probe *reader;              /* of run_read */
    int32_t *co;                      /* (rows) -128 sum of the weight's row, of dense8 */
    int32_t *y;                       /* (n, rows); of a dense product: float */
} Job;

static size_t whole_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* packed NULL: prepare alone */
static TernaryProduct product_of(const Job *j, const char *packed)
{
    const Shape *s = j->s;
    return (TernaryProduct) { .kernel = j->k,
                              .packed = packed,
                              .x = s->x[j->bits],
                              .y = j->y,
                              .n = s->n,
                              .rows = s->rows,
                              .cols = s->cols,
                              .act_bits = j->bits,
                              .threads = s->threads };
}

static void product(const Job *j, const char *packed)
{
    const TernaryProduct p = product_of(j, packed);
    ternary_product(&p, j->room);
}

static const char *next_copy(Job *j) { return j->weight + j->size * (size_t)(j->at++ % j->copies); }

static void run_ternary(void *ctx, long iters)
{
    for (Job *j = ctx; iters > 0; iters--) product(j, next_copy(j));
}

static void run_prepare(void *ctx, long iters)
{
    for (; iters > 0; iters--) product(ctx, NULL);
}

static void run_dense(void *ctx, long iters)
{
    Job *j = ctx;
    const Shape *s = j->s;
    for (; iters > 0; iters--)
        gemm(j->gemm, 'N', 'T', s->n, s->rows, s->cols, 1, s->xf, s->cols,
             (const float *)next_copy(j), s->cols, 0, (float *)j->y, s->rows);
}

static void run_dense8(void *ctx, long iters)
{
    Job *j = ctx;
    const Shape *s = j->s;
    const long all = (long)s->n * s->cols;
    for (; iters > 0; iters--) {
        const int8_t *w = (const int8_t *)next_copy(j);
        uint8_t *x = (uint8_t *)j->room;
#pragma omp parallel for simd num_threads(s->threads) schedule(static)
        for (long i = 0; i < all; i++) x[i] = (uint8_t)(s->x[8][i] ^ -128);
        gemm_u8s8(j->gemm, s->n, s->rows, s->cols, x, s->cols, w, s->cols, j->y, s->rows, j->co);
    }
}

/* the bytes of a packed weight of two bits and nothing else: every thread reads its part */
static void run_read(void *ctx, long iters)
{
    Job *j = ctx;
    const int threads = j->s->threads;
    const size_t each = j->each;
    for (; iters > 0; iters--) {
        char *at = j->weight + j->size * (size_t)(j->at++ % j->copies);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (int t = 0; t < threads; t++) j->reader->work(1, at + each * (size_t)t, each);
    }
}

/* ---- checks ---- */
/* Against the definition: all of y, or so many random ones. Poisoned first, so what is not written
 * shows. */
static const char *check(Job *j, GbenchWork *run, uint64_t seed, Arena *a)
{
    const Shape *s = j->s;
    const size_t all = (size_t)s->n * (size_t)s->rows;
    const size_t most = (size_t)(CHECKED / s->cols), some = all < most ? all : most;
    Rng rng = rng_at(seed, STREAM_CHECK, (uint64_t)s->rows << 32 | (uint64_t)s->n);
    for (size_t i = 0; i < all; i++) j->y[i] = 0x7fc0dead;        /* not a number, as a float */
    run(j, 1);
    const int8_t *from = s->x[j->gemm ? 8 : j->bits];
    for (size_t i = 0; i < some; i++) {
        const size_t at = some == all ? i : i == 0 ? all - 1 : (size_t)rng_below(&rng, all);
        const int t = (int)(at / (size_t)s->rows), r = (int)(at % (size_t)s->rows);
        const int8_t *w = s->w + (size_t)r * s->cols, *x = from + (size_t)t * s->cols;
        int32_t sum = 0;
        for (int c = 0; c < s->cols; c++) sum += w[c] * x[c];
        float f;
        memcpy(&f, &j->y[at], sizeof f);
        if (j->gemm && !j->dense8 && !(f == (float)sum))
            return arena_text(a, "y[%d][%d] is %g, expected %d (seed %llu)", t, r, (double)f, sum,
                              (unsigned long long)seed);
        if ((!j->gemm || j->dense8) && j->y[at] != sum)
            return arena_text(a, "y[%d][%d] is %d, expected %d (seed %llu)", t, r, j->y[at], sum,
                              (unsigned long long)seed);
    }
    return NULL;
}

/* the whole law, once for every kernel */
static const char *law(Bench *b, const char **said, int *asked, int i)
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
static void limit(Bench *b, BenchCell *c, const Job *j, int cold)
{
    const Shape *s = j->s;
    const double weights = (double)s->rows * s->cols,
                 read = (double)j->size * (j->by_n ? s->threads : 1);
    const char *level = cold ? "read_dram" : bench_level(b, read / s->threads), *compute = NULL;
    const double bandwidth = bench_peak(b, level, s->threads);
    double ns = 0;
    if (j->gemm) {
        const unsigned has = cpu_has();
        compute = j->dense8 && has & CPU_AMX    ? "int8_amx"
                  : j->dense8 && has & CPU_VNNI ? "int8_vnni512"
                  : has & CPU_NEON              ? "f32_fma_neon"
                  : has & CPU_AVX512            ? "f32_fma512"
                  : has & CPU_AVX2              ? "f32_fma256"
                                                : "f32_fma128";
        const double peak = bench_peak(b, compute, s->threads);
        if (peak > 0) ns = 2 * weights * s->n / peak * 1e9;
    } else {
        const TernaryCost *o = s->n == 1 ? &j->k->single : &j->k->large;
        const double each = o->each * (j->k->min_bits < j->k->act_bits ? j->bits : 1);
        compute = o->probe;
        const double rate = compute ? bench_peak(b, compute, s->threads) / o->unit * o->ports : 0;
        if (rate > 0) ns = weights * s->n * each / rate * 1e9;
    }
    c->compute = compute;
    c->compute_ns = ns;
    c->read = read;
    bench_limit(c, compute, ns, level, bandwidth > 0 ? read / bandwidth * 1e9 : 0);
}

/* ---- cells ---- */
static void fill_copies(Job *j, int cold, Arena *a)
{
    j->copies = cold ? (long)ceil(COLD_BYTES / (double)j->size) : 1;
    j->weight = arena_raw(a, j->size * (size_t)j->copies);
}

static void spread_copies(const Job *j)
{
    for (long i = 1; i < j->copies; i++)
        memcpy(j->weight + j->size * (size_t)i, j->weight, j->size);
}

static void add_ternary(Bench *b, const Shape *s, const TernaryKernel *k, int bits, int cold,
                        const char *name, const char *broken)
{
    Arena *a = bench_arena(b);
    Job *j = arena_get(a, sizeof *j);
    *j = (Job){ .s = s, .k = k, .bits = bits, .by_n = s->n >= 16 * s->threads,
                .size = whole_lines(k->packed_size(s->rows, s->cols)) };
    fill_copies(j, cold, a);
    k->pack(j->weight, s->w, s->rows, s->cols);
    spread_copies(j);
    const TernaryProduct p = product_of(j, NULL);
    j->room = arena_raw(a, ternary_room_size(&p));
    j->y = arena_raw(a, sizeof *j->y * (size_t)s->n * (size_t)s->rows);
    BenchCell *c = bench_cell(b, name, run_ternary, j);
    c->idle = !k->computes;
    c->broken = broken || !k->computes ? broken : check(j, run_ternary, bench_plan(b)->seed, a);
    if (c->broken) return;
    c->prepare_ns = bench_time(run_prepare, j, 1e-3, NULL);
    if (!k->computes) return;
    c->ops = 2.0 * s->rows * s->cols * s->n;
    c->bytes = (double)j->size;
    limit(b, c, j, cold);
}

static void add_dense(Bench *b, const Shape *s, const Gemm *g, int dense8, int cold,
                      const char *name)
{
    Arena *a = bench_arena(b);
    Job *j = arena_get(a, sizeof *j);
    GbenchWork *work = dense8 ? run_dense8 : run_dense;
    const size_t all = (size_t)s->rows * (size_t)s->cols;
    *j = (Job) {
        .s = s, .gemm = g, .dense8 = dense8, .size = whole_lines((dense8 ? 1 : sizeof(float)) * all)
    };
    fill_copies(j, cold, a);
    if (dense8) {
        memcpy(j->weight, s->w, all);
        j->room = arena_raw(a, (size_t)s->n * (size_t)s->cols);
        j->co = arena_get(a, sizeof *j->co * (size_t)s->rows);
        for (size_t i = 0; i < all; i++) j->co[i / (size_t)s->cols] -= 128 * s->w[i];
    } else for (size_t i = 0; i < all; i++) ((float *)j->weight)[i] = s->w[i];
    spread_copies(j);
    j->y = arena_raw(a, sizeof *j->y * (size_t)s->n * (size_t)s->rows);
    BenchCell *c = bench_cell(b, name, work, j);
    if ((c->broken = check(j, work, bench_plan(b)->seed, a))) return;
    c->ops = 2.0 * s->rows * s->cols * s->n;
    c->bytes = (double)j->size;
    limit(b, c, j, cold);
}

/* Codes uniform over {-1, 0, 1}, activations over all of their bits; whole numbers, whose float
 * sums are exact as well. */
static void fill_shape(Shape *s, int at, uint64_t seed, Arena *a)
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
    const Gemm *gemm[MOST_PROVIDERS][BENCH_THREADS];
    const char *said[MOST_KERNELS];
    int asked[MOST_KERNELS];
} Parts;

static const char *cell_name(const char *prefix, const char *kernel, const Shape *s, int bits,
                             int cold, Arena *a)
{
    return arena_text(a, "%s%s/%dx%d/n%d/t%d%s%s", prefix, kernel, s->rows, s->cols, s->n,
                      s->threads, bits < 8 ? arena_text(a, "/b%d", bits) : "", cold ? "/cold" : "");
}

static void add_kernel(Bench *b, Shape *s, int at, int i, int cold, Parts *parts)
{
    static const int widths[] = { 8, 4, 2, 1 };
    const BenchPlan *p = bench_plan(b);
    const TernaryKernel *k = p->kernels[i];
    const int too_slow = !strcmp(k->name, "ref") && (double)s->rows * s->cols * s->n > SLOW_MOST;
    if (!ternary_runs_here(k) || too_slow) return;
    for (int w = 0; w < 4 && widths[w] >= k->min_bits; w++) {
        const char *name = cell_name("", k->name, s, widths[w], cold, bench_arena(b));
        if (!bench_wants(b, name)) continue;
        if (!s->w) fill_shape(s, at, p->seed, bench_arena(b));
        add_ternary(b, s, k, widths[w], cold, name,
                    k->computes ? law(b, parts->said, parts->asked, i) : NULL);
    }
}

/* sgemm_<provider>, and u8s8_<provider> where it has that product */
static void add_provider(Bench *b, Shape *s, int at, int i, int thread, int cold, Parts *parts)
{
    const char *provider = gemm_providers[i].name, *why;
    for (int dense8 = 0; dense8 < 2; dense8++) {
        const char *name =
            cell_name(dense8 ? "u8s8_" : "sgemm_", provider, s, 8, cold, bench_arena(b));
        const int slow =
            !strcmp(provider, "portable") && (double)s->rows * s->cols * s->n > SLOW_MOST;
        if (slow || !bench_wants(b, name)) continue;
        const Gemm **g = &parts->gemm[i][thread];
        if (!*g) *g = gemm_open(provider, s->threads, bench_home(b), &why);
        if (!*g) bench_skip(b, name, why);
        if (!*g || (dense8 && !(*g)->u8s8)) continue;
        if (!s->w) fill_shape(s, at, bench_plan(b)->seed, bench_arena(b));
        add_dense(b, s, *g, dense8, cold, name);
    }
}

/* read/<rows>x<cols>/n1/t<threads>[/cold]: what binds a product of one row, measured between its
 * rounds */
static void add_reader(Bench *b, Shape *s, int cold)
{
    const double weights = (double)s->rows * s->cols;
    const size_t each = (size_t)(weights / 4 / s->threads) / PROBE_BLOCK * PROBE_BLOCK;
    const char *name = cell_name("", "read", s, 8, cold, bench_arena(b));
    if (s->n > 1 || !each || !bench_wants(b, name)) return;
    Arena *a = bench_arena(b);
    Job *j = arena_get(a, sizeof *j);
    *j = (Job){ .s = s, .each = each, .size = each * (size_t)s->threads };
    const char *level = cold ? "read_dram" : bench_level(b, (double)each);
    for (int i = 0; probes[i].name; i++)
        if (!strcmp(probes[i].name, level)) j->reader = &probes[i];
    if (!probe_runs_here(j->reader)) return;
    fill_copies(j, cold, a);
    memset(j->weight, 1, j->size * (size_t)j->copies);
    BenchCell *c = bench_cell(b, name, run_read, j);
    c->bytes = (double)j->size;
    c->limit = level;
    c->reads = 1;
}

static void one_group(Bench *b, int shape, int batch, int thread, int cold, Parts *parts)
{
    const BenchPlan *p = bench_plan(b);
    Shape *s = arena_get(bench_arena(b), sizeof *s);
    *s = (Shape) { .rows = shapes[shape].rows,
                   .cols = shapes[shape].cols,
                   .n = batches[batch],
                   .threads = p->threads[thread] };
    const int at = (shape * BATCHES + batch) * 16 + thread;      /* names random data */
    for (int i = 0; p->kernels[i]; i++) add_kernel(b, s, at, i, cold, parts);
    for (int i = 0; gemm_providers[i].name; i++) add_provider(b, s, at, i, thread, cold, parts);
    add_reader(b, s, cold);
    bench_group(b);
}

void bench_kernels(Bench *b)
{
    const BenchPlan *p = bench_plan(b);
    Parts *parts = arena_get(bench_home(b), sizeof *parts);
    for (int i = 0; p->kernels[i]; i++) {
        CHECK(i < MOST_KERNELS - 1);
        if (!ternary_runs_here(p->kernels[i]))
            bench_skip(b, p->kernels[i]->name, "not on this CPU");
    }
    if (p->db)                    /* for the figures, whatever binds the cells below */
        for (int i = 0; probes[i].name; i++)
            for (int t = 0; t < p->n_threads; t++) bench_peak(b, probes[i].name, p->threads[t]);
    for (int shape = 0; shape < SHAPES; shape++)
        for (int batch = 0; batch < BATCHES; batch++)
            for (int t = 0; t < p->n_threads; t++)
                for (int cold = 0; cold <= (p->cold && batches[batch] == 1); cold++)
                    one_group(b, shape, batch, t, cold, parts);
}
