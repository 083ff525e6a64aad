/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The benchmarks of the gate. Those of the default set are few, and run every time; the others are
 * run where an object that they time has changed: every ternary kernel, every head, every float
 * operation of every instruction set, steps of other settings. */
#include "harness/bench/bench.h"
#include "harness/bench/timed_head.h"
#include "harness/regress/regress_work_parts.h"
#include "harness/train/session.h"
#include "kernels/cpu.h"
#include <math.h>
#include <string.h>

static const Exec *work_exec_of(const char *const *words, Spec **spec, Arena *a)
{
    const char *why = NULL;
    *spec = spec_new(a);
    for (; *words && !why; words++) why = spec_set(*spec, *words);
    const Exec *e = why ? NULL : exec_make(*spec, a, &why);
    if (!e) die("%s", why);
    return e;
}

/* ---- ternary products: prepare and gemm of n rows with a packed weight of 1024 x 1024 ---- */
enum { SIDE = 1024 };
typedef struct {
    const TernaryKernel *k;
    int n;
    void *packed, *room;
    int8_t *x;
    int32_t *y;
} Product;

static void work_run_product(void *ctx, long iters)
{
    for (const Product *p = ctx; iters > 0; iters--) {
        p->k->prepare(p->room, p->x, p->n, SIDE, 8);
        p->k->gemm(p->y, p->packed, p->room, p->n, 0, SIDE, SIDE, SIDE, 8);
    }
}

static const TernaryKernel *work_kernel_of(const GateWork *b)
{
    const TernaryKernel *k = strcmp(b->part, "best") ? ternary_find(b->part) : ternary_best();
    return k && ternary_runs_here(k) ? k : NULL;
}

static Work work_make_product(const GateWork *b, int counted, Arena *a)
{
    (void)counted;
    Product *p = arena_get(a, sizeof *p);
    Rng rng = rng_at(1, STREAM_CHECK, 11);
    int8_t *w = arena_raw(a, SIDE * SIDE);
    *p = (Product){ .k = work_kernel_of(b), .n = b->n, .x = arena_raw(a, (size_t)b->n * SIDE) };
    for (int i = 0; i < SIDE * SIDE; i++) w[i] = (int8_t)((int)rng_below(&rng, 3) - 1);
    for (int i = 0; i < b->n * SIDE; i++) p->x[i] = (int8_t)(rng_u64(&rng) >> 56);
    p->packed = arena_raw(a, p->k->packed_size(SIDE, SIDE));
    p->room = arena_raw(a, p->k->scratch_size(b->n, SIDE, 8));
    p->y = arena_raw(a, sizeof *p->y * (size_t)b->n * SIDE);
    p->k->pack(p->packed, w, SIDE, SIDE);
    return (Work){ work_run_product, p };
}

/* ---- dense products of our own: C (n, 683) = A (n, 256) B' ---- */
enum { DENSE_ROWS = 683, DENSE_COLS = 256 };
typedef struct { const Gemm *g; int n; float *a, *b, *c; } Dense;

static void work_run_dense(void *ctx, long iters)
{
    for (const Dense *w = ctx; iters > 0; iters--)
        gemm(w->g, 'N', 'T', w->n, DENSE_ROWS, DENSE_COLS, 1, w->a, DENSE_COLS, w->b, DENSE_COLS, 0,
             w->c, DENSE_ROWS);
}

static Work work_make_dense(const GateWork *b, int counted, Arena *a)
{
    (void)counted;
    Spec *spec;
    const char *const words[] = { "threads=1", arena_text(a, "gemm=%s", b->part), NULL };
    Dense *w = arena_get(a, sizeof *w);
    Rng rng = rng_at(1, STREAM_CHECK, 14);
    w->g = work_exec_of(words, &spec, a)->gemm;
    w->n = b->n;
    w->a = timed_normals((size_t)b->n * DENSE_COLS, 1, &rng, a);
    w->b = timed_normals((size_t)DENSE_ROWS * DENSE_COLS, 1, &rng, a);
    w->c = arena_get(a, sizeof(float) * (size_t)b->n * DENSE_ROWS);
    return (Work){ work_run_dense, w };
}

/* ---- operations on (512, 256) ---- */
enum { N = 512, D = 256, GROUPS = 16, TAPS = 4, DILATION = 4, T = 128, ALL = N * D,
       WEIGHTS = D * (D / GROUPS) * TAPS };
typedef struct Op Op;
struct Op {
    const F32 *f;
    void (*once)(const Op *);
    float *x, *y, *z, *u, *v, *rstd, *gain, *w, *room;
    int8_t *q;
};

static void work_rmsnorm(const Op *o) { o->f->rmsnorm(o->y, o->rstd, o->x, o->gain, N, D, 1e-6f); }
static void work_rmsnorm_back(const Op *o)
{
    o->f->rmsnorm_back(o->y, o->v, o->u, o->x, o->gain, o->rstd, N, D);
}

static void work_conv(const Op *o)
{
    const ConvShape s = conv_shape(T, D, GROUPS, TAPS, DILATION);
    for (size_t item = 0; item < N / T * GROUPS; item++) {
        const size_t n = item / GROUPS, g = item % GROUPS;
        const size_t at = n * T * D + g * (size_t)s.c;
        const float *w = o->w + g * TAPS * (size_t)(s.c * s.w);
        o->f->conv(o->y + at, o->z + item * (size_t)(T * s.c), o->u + item * (size_t)(T * s.c),
                   o->x + at, o->rstd + n * T, o->gain + g * (size_t)s.c, w, w + WEIGHTS, o->room,
                   &s);
    }
}

static void work_conv_back(const Op *o)
{
    const ConvShape s = conv_shape(T, D, GROUPS, TAPS, DILATION);
    for (size_t item = 0; item < N / T * GROUPS; item++) {
        const size_t n = item / GROUPS, g = item % GROUPS, kept = item * (size_t)(T * s.c);
        const size_t at = n * T * D + g * (size_t)s.c, w = g * TAPS * (size_t)(s.c * s.w);
        o->f->conv_back(o->y + at, o->v + w, o->v + WEIGHTS + w, o->x + at, o->z + kept,
                        o->u + kept, o->x + at, o->rstd + n * T, o->gain + g * (size_t)s.c,
                        o->w + w, o->w + WEIGHTS + w, o->room, &s);
    }
}

static void work_exp(const Op *o)   { o->f->exp(o->y, o->x, ALL, 0.5f); }
static void work_quant(const Op *o) { o->f->quant_rows(o->q, o->rstd, o->x, N, D, 8); }
static void work_glu(const Op *o)
{
    o->f->glu[ACTIVATION_relu2].forward(o->y, o->x, o->z, ALL);
    o->f->glu[ACTIVATION_relu2].back(o->u, o->v, o->y, o->x, o->z, ALL, 0);
}

static void work_adamw(const Op *o)
{
    o->f->adamw(o->y, o->z, o->u, o->v, NULL, ALL, 1, 1e-9f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.5f, 0.5f,
                0.999f);
}

/* Those with a default are in the default set, by the best instruction set */
static const struct {
    const char *name, *shape;
    void (*once)(const Op *);
    int in_default;
} work_ops[] = { { "conv", "512x256/g16/k4/dil4", work_conv, 1 },
            { "rmsnorm", "512x256", work_rmsnorm, 1 },
            { "conv_back", "512x256/g16/k4/dil4", work_conv_back, 0 },
            { "rmsnorm_back", "512x256", work_rmsnorm_back, 0 },
            { "glu", "131072", work_glu, 0 },
            { "exp", "131072", work_exp, 0 },
            { "quant_rows", "512x256", work_quant, 0 },
            { "adamw", "131072", work_adamw, 0 } };
enum { OPS = sizeof work_ops / sizeof *work_ops };

static void work_run_op(void *ctx, long iters)
{
    for (const Op *o = ctx; iters > 0; iters--) o->once(o);
}

static const F32 *work_table_of(const char *isa)
{
    const F32 *f = f32_best();
    for (int i = 0; isa && f32_tables[i]; i++)
        if (!strcmp(f32_tables[i]->isa, isa)) f = f32_tables[i];
    return f;
}

static Work work_make_op(const GateWork *b, int counted, Arena *a)
{
    (void)counted;
    Op *o = arena_get(a, sizeof *o);
    Rng rng = rng_at(1, STREAM_CHECK, 12);
    *o = (Op){ .f = work_table_of(b->isa), .x = timed_normals(ALL, 1, &rng, a),
               .gain = timed_normals(D, 1, &rng, a),
               .w = timed_normals(2 * WEIGHTS, 0.1f, &rng, a) };
    for (int i = 0; i < OPS; i++)
        if (!strcmp(work_ops[i].name, b->part)) o->once = work_ops[i].once;
    float **const room[] = { &o->y, &o->z, &o->u, &o->v };
    for (size_t i = 0; i < sizeof room / sizeof *room; i++)
        *room[i] = arena_get(a, sizeof(float) * ALL);
    o->rstd = arena_get(a, sizeof(float) * N);
    o->q = arena_get(a, ALL);
    o->f->rmsnorm(o->y, o->rstd, o->x, o->gain, N, D, 1e-6f);
    const ConvShape s = conv_shape(T, D, GROUPS, TAPS, DILATION);
    o->room = arena_get(a, sizeof(float) * conv_room(&s));
    return (Work){ work_run_op, o };
}

/* ---- heads: forward and backward of 512 positions, V = 8192, d = 64; targets of frequency
 * 1 / rank ---- */
enum { HEAD_V = 8192, HEAD_D = 64, COUNTED = 32 };     /* COUNTED: positions under callgrind */
static Work work_make_head(const GateWork *b, int counted, Arena *a)
{
    static const char *const words[] = { "threads=1", "cutoffs=1000,4000", NULL };
    Spec *spec;
    TimedHead *h = arena_get(a, sizeof *h);
    const Exec *e = work_exec_of(words, &spec, a);
    Rng rng = rng_at(1, STREAM_CHECK, 13);
    int *y = arena_raw(a, sizeof *y * N);
    *h = (TimedHead) { .def = head_find(b->part),
                       .d = HEAD_D,
                       .n = counted ? COUNTED : N,
                       .x = timed_normals(N * HEAD_D, 1, &rng, a),
                       .dx = arena_get(a, sizeof(float) * N * HEAD_D),
                       .y = y,
                       .scale = 1.0f / N };
    for (int i = 0; i < N; i++) y[i] = (int)exp(rng_uniform(&rng) * log(HEAD_V)) - 1;
    const char *why = timed_head_make(h, spec, e, HEAD_V, a, a);
    if (why) die("%s", why);
    return (Work){ timed_head_run, h };
}

/* ---- a training step: one batch again and again, at rates so small that the work does not
 * change ---- */
/* so small that it fits in a core's L2, where times vary least between processes */
enum { STEP_B = 1, STEP_T = 64 };
typedef struct { Session *s; Step step; Batch *batch; } TimedStep;

static void work_train_step(const TimedStep *t)
{
    objective_next_token.pass(&t->step, t->batch, 1.0f / (float)t->batch->supervised);
    step_update(&t->step, 1e-6, step_norm(&t->step));
}

static void work_run_step(void *ctx, long iters)
{
    for (; iters > 0; iters--) work_train_step(ctx);
}

static Work work_make_step(const GateWork *b, int counted, Arena *a)
{
    (void)counted;
    static const char *const words[] = {
        "V=1024",           "d=64", "train_tokens=20000", "valid_tokens=2048", "threads=1",
        "cutoffs=200,1000", NULL
    };
    Spec *spec = spec_new(a);
    TimedStep *t = arena_get(a, sizeof *t);
    const char *why = spec_set(spec, arena_text(a, "head=%s", b->part));
    for (int i = 0; words[i] && !why; i++) why = spec_set(spec, words[i]);
    if (!why && b->settings) why = spec_set_words(spec, b->settings);
    if (why) die("%s", why);
    t->s = session_make(spec, NULL, SESSION_TRAINS);
    t->step = session_step(t->s);
    t->batch = batch_new(STEP_B, STEP_T, STEP_B * STEP_T, t->s->d, a);
    corpus_batch(t->s->corpus, 1, 0, 0, STEP_B, STEP_T, t->batch->x, t->batch->y);
    return (Work){ work_run_step, t };
}

/* ---- the list ---- */
#define KERNEL(name) "kernels/ternary_" name ".o"
#define F32_OBJECTS "kernels/f32.o kernels/base.o"
#define STEP_OF(model)                                                                             \
    "models/model_" model ".o models/model.o models/op_basic.o models/op_linear.o models/tape.o "  \
    "models/step.o models/optim.o models/normuon.o models/params.o models/head.o kernels/gemm.o "  \
    F32_OBJECTS
#define STEP_OBJECTS STEP_OF("flashlm3") " models/op_conv.o"
#define STEP_TREE " models/head_tree.o kernels/f32_%s.o"

/* The default set; %s of objects is the best kernel or instruction set of this machine */
static const GateWork work_default_set[] = {
    { "ternary/best/1024x1024/n512", 5, 1, 0, work_make_product, "best", NULL, 512, NULL,
      KERNEL("%s") },
    { "ternary/best/1024x1024/n1", 6, 0, 0, work_make_product, "best", NULL, 1, NULL,
      KERNEL("%s") },
    { "ternary/i2_avx2/1024x1024/n512", 5, 0, 0, work_make_product, "i2_avx2", NULL, 512, NULL,
      KERNEL("%s") },
    { "conv/512x256/g16/k4/dil4", 5, 0, 0, work_make_op, "conv", NULL, 0, NULL,
      "kernels/f32_%s.o" },
    { "rmsnorm/512x256", 5, 0, 0, work_make_op, "rmsnorm", NULL, 0, NULL, "kernels/f32_%s.o" },
    { "step/flashlm3+tree/V1024/d64/B1/T64", 6, 0, 0, work_make_step, "tree", NULL, 0, NULL,
      STEP_OBJECTS " models/head_tree.o kernels/f32_%s.o" },
    { "step/flashlm3+tree+int8/V1024/d64/B1/T64", 6, 0, 1, work_make_step, "tree", NULL, 0,
      "act=int8",
      STEP_OBJECTS " kernels/ternary.o models/head_tree.o kernels/f32_%s.o" },
    { "step/flashlm3+adaptive+rows/V1024/d64/B1/T64", 6, 0, 1, work_make_step, "adaptive", NULL, 0,
      "update=rows", STEP_OBJECTS " models/head_adaptive.o kernels/f32_%s.o" },
    { "step/mmfree+tree/V1024/d64/B1/T64", 6, 0, 1, work_make_step, "tree", NULL, 0,
      "model=mmfree layers=2", STEP_OF("mmfree") " models/op_gates.o models/op_sequence.o"
      STEP_TREE },
    { "step/mmfree+naive+tree/V1024/d64/B1/T64", 6, 0, 1, work_make_step, "tree", NULL, 0,
      "model=mmfree layers=2 act=int8 bitlinear=naive",
      STEP_OF("mmfree") " models/op_gates.o models/op_sequence.o models/op_bit_naive.o" STEP_TREE },
    { "step/transformer+tree/V1024/d64/B1/T64", 6, 0, 1, work_make_step, "tree", NULL, 0,
      "model=transformer layers=2", STEP_OF("transformer") " models/op_attention.o" STEP_TREE },
    { "step/bolt+mean+tree/V1024/d64/B1/T64", 6, 0, 1, work_make_step, "tree", NULL, 0,
      "model=bolt layers=2 leak=mean", STEP_OF("bolt") " models/op_gates.o models/op_sequence.o "
      "models/op_leak.o" STEP_TREE } };
enum { FIRST = sizeof work_default_set / sizeof *work_default_set, MOST_WORKS = 128 };

/* Objects beside its own that a head is made of */
static const char *work_head_objects(const char *name)
{
    static const char *const parts[][2] = {
        { "softmax", "models/head_full.o models/head_filter.o models/head_bit.o" },
        { "softmax_naive", "models/head_full.o" },
        { "sampled", "models/head_full.o" },
        { "tree", "models/softmax_level.o" },
        { "adaptive", "models/adaptive_level.o models/softmax_level.o models/cutoffs.o" } };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strcmp(parts[i][0], name)) return parts[i][1];
    return "";
}

static int work_runs_here(const GateWork *b)
{
    return b->make != work_make_product || work_kernel_of(b);
}

typedef struct Works { GateWork *w; int n; Arena *a; } Works;
static void work_add(Works *all, GateWork w)
{
    const char *part = w.make == work_make_product && work_kernel_of(&w) ? work_kernel_of(&w)->name
                       : w.isa                                 ? w.isa
                                                               : f32_best()->isa;
    CHECK(all->n < MOST_WORKS);
    const char *hole = strstr(w.objects, "%s");
    if (hole)
        w.objects = arena_text(all->a, "%.*s%s%s", (int)(hole - w.objects), w.objects, part,
                               hole + 2);
    if (work_runs_here(&w)) all->w[all->n++] = w;
}

static void work_add_heads(Works *all)
{
    for (int i = 0; heads[i]; i++) {
        const char *name = heads[i]->name;
        const int few = strcmp(name, "softmax") && strcmp(name, "tree") && strcmp(name, "adaptive");
        work_add(all, (GateWork) { .name = arena_text(all->a, "%s/V8192/d64/n512", name),
                                    .budget = 6,
                                    .extra = few,
                                    .make = work_make_head,
                                    .part = name,
                                    .objects = arena_text(all->a, "models/head_%s.o models/head.o "
                                                          "harness/bench/timed_head.o "
                                                          F32_OBJECTS " kernels/gemm.o %s "
                                                          "kernels/f32_%s.o",
                                                          name, work_head_objects(name),
                                                          f32_best()->isa) });
    }
}

/* Kernels without vectors are slow: a row at a time */
static void work_add_kernels(Works *all)
{
    for (int i = 0; ternary_kernels[i]; i++) {
        const TernaryKernel *k = ternary_kernels[i];
        const int n = k->cpu ? 512 : 1;
        const char *name = arena_text(all->a, "ternary/%s/1024x1024/n%d", k->name, n);
        if (!k->computes || !strcmp(k->name, "i2_avx2")) continue;
        work_add(all, (GateWork) { .name = name, .budget = 6, .extra = 1, .make = work_make_product,
                                    .part = k->name, .n = n, .objects = KERNEL("%s") });
    }
}

/* The providers whose code is in kernels/ */
static void work_add_dense(Works *all)
{
    const GateWork portable = {
        .name = "gemm/portable/8x683x256", .budget = 6, .extra = 1, .make = work_make_dense,
        .part = "portable", .n = 8, .objects = "kernels/gemm.o" };
    const GateWork amx = {
        .name = "gemm/amx/512x683x256", .budget = 6, .extra = 1, .make = work_make_dense,
        .part = "amx", .n = 512, .objects = "kernels/gemm.o kernels/gemm_amx.o" };
    work_add(all, portable);
    if (cpu_has() & CPU_AMX) work_add(all, amx);
}

static void work_add_ops(Works *all, const F32 *f)
{
    for (int i = 0; i < OPS; i++) {
        if (work_ops[i].in_default && f == f32_best()) continue;
        const char *name = arena_text(all->a, "%s/%s/%s", work_ops[i].name, f->isa,
                                      work_ops[i].shape);
        work_add(all, (GateWork) { .name = name, .budget = 6, .extra = 1, .make = work_make_op,
                                    .part = work_ops[i].name, .isa = f->isa,
                                    .objects = "kernels/f32_%s.o" });
    }
}

const GateWork *regress_works(int *n, Arena *a)
{
    Works all = { .w = arena_get(a, sizeof *all.w * MOST_WORKS), .a = a };
    for (int i = 0; i < FIRST; i++) work_add(&all, work_default_set[i]);
    work_add_heads(&all);
    work_add_kernels(&all);
    work_add_dense(&all);
    for (int i = 0; f32_tables[i]; i++)
        if (!(f32_tables[i]->cpu & ~cpu_has())) work_add_ops(&all, f32_tables[i]);
    *n = all.n;
    return all.w;
}
