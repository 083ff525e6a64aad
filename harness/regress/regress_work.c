/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The benchmarks of the gate, one per process: the hidden command regress-sample. Each runs on one
 * thread, bound to a core. The name says what is computed: two builds are compared where names are
 * equal. */
#include "harness/bench/bench.h"
#include "harness/bench/timed_head.h"
#include "harness/util/clock.h"
#include "harness/regress/regress.h"
#include "harness/train/session.h"
#include "kernels/cpu.h"
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef struct Work { GbenchWork *run; void *ctx; } Work;
typedef struct Bench1 Bench1;
struct Bench1 {
    const char *name;
    double      budget;          /* the largest effect that may go undetected, percent */
    int         probe;
    /* counted 1: less work, for callgrind, which is slow */
    Work      (*make)(const Bench1 *, int counted, Arena *);
    const char *part;            /* kernel, operation, head */
    int         n;               /* batch rows of a kernel */
};

static const Exec *exec_of(const char *const *words, Spec **spec, Arena *a)
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

static void run_product(void *ctx, long iters)
{
    for (const Product *p = ctx; iters > 0; iters--) {
        p->k->prepare(p->room, p->x, p->n, SIDE, 8);
        p->k->gemm(p->y, p->packed, p->room, p->n, 0, SIDE, SIDE, SIDE, 8);
    }
}

static const TernaryKernel *kernel_of(const Bench1 *b)
{
    const TernaryKernel *k = strcmp(b->part, "best") ? ternary_find(b->part) : ternary_best();
    return k && ternary_runs_here(k) ? k : NULL;
}

static Work make_product(const Bench1 *b, int counted, Arena *a)
{
    (void)counted;
    Product *p = arena_get(a, sizeof *p);
    Rng rng = rng_at(1, STREAM_CHECK, 11);
    int8_t *w = arena_raw(a, SIDE * SIDE);
    *p = (Product){ .k = kernel_of(b), .n = b->n, .x = arena_raw(a, (size_t)b->n * SIDE) };
    for (int i = 0; i < SIDE * SIDE; i++) w[i] = (int8_t)((int)rng_below(&rng, 3) - 1);
    for (int i = 0; i < b->n * SIDE; i++) p->x[i] = (int8_t)(rng_u64(&rng) >> 56);
    p->packed = arena_raw(a, p->k->packed_size(SIDE, SIDE));
    p->room = arena_raw(a, p->k->scratch_size(b->n, SIDE, 8));
    p->y = arena_raw(a, sizeof *p->y * (size_t)b->n * SIDE);
    p->k->pack(p->packed, w, SIDE, SIDE);
    return (Work){ run_product, p };
}

/* ---- operations on (512, 256) ---- */
enum { N = 512, D = 256, GROUPS = 16, TAPS = 4, DILATION = 4, T = 128, ALL = N * D,
       WEIGHTS = D * (D / GROUPS) * TAPS };
typedef struct { const F32 *f; float *x, *y, *z, *u, *rstd, *gain, *w, *room; } Op;

static void run_rmsnorm(void *ctx, long iters)
{
    for (const Op *o = ctx; iters > 0; iters--)
        o->f->rmsnorm(o->y, o->z, o->x, o->gain, N, D, 1e-6f);
}

static void run_conv(void *ctx, long iters)
{
    const Op *o = ctx;
    const ConvShape s = conv_shape(T, D, GROUPS, TAPS, DILATION);
    for (long i = 0; i < iters * (N / T) * GROUPS; i++) {
        const size_t item = (size_t)(i % (N / T * GROUPS)), n = item / GROUPS, g = item % GROUPS;
        const size_t at = n * T * D + g * (size_t)s.c;
        const float *w = o->w + g * TAPS * (size_t)(s.c * s.w);
        o->f->conv(o->y + at, o->z + item * (size_t)(T * s.c), o->u + item * (size_t)(T * s.c),
                   o->x + at, o->rstd + n * T, o->gain + g * (size_t)s.c, w, w + WEIGHTS, o->room,
                   &s);
    }
}

static Work make_op(const Bench1 *b, int counted, Arena *a)
{
    (void)counted;
    Op *o = arena_get(a, sizeof *o);
    Rng rng = rng_at(1, STREAM_CHECK, 12);
    *o = (Op){ .f = f32_best(), .x = timed_normals(ALL, 1, &rng, a),
               .gain = timed_normals(D, 1, &rng, a),
               .w = timed_normals(2 * WEIGHTS, 0.1f, &rng, a) };
    o->y = arena_get(a, sizeof(float) * ALL);
    o->z = arena_get(a, sizeof(float) * ALL);
    o->u = arena_get(a, sizeof(float) * ALL);
    o->rstd = arena_get(a, sizeof(float) * N);
    o->f->rmsnorm(o->y, o->rstd, o->x, o->gain, N, D, 1e-6f);
    const ConvShape s = conv_shape(T, D, GROUPS, TAPS, DILATION);
    o->room = arena_get(a, sizeof(float) * conv_room(&s));
    return (Work){ strcmp(b->part, "conv") ? run_rmsnorm : run_conv, o };
}

/* ---- heads: forward and backward of 512 positions, V = 8192, d = 64; targets of frequency
 * 1 / rank ---- */
enum { HEAD_V = 8192, HEAD_D = 64, COUNTED = 32 };     /* COUNTED: positions under callgrind */
static Work make_head(const Bench1 *b, int counted, Arena *a)
{
    static const char *const words[] = { "threads=1", "cutoffs=1000,4000", NULL };
    Spec *spec;
    TimedHead *h = arena_get(a, sizeof *h);
    const Exec *e = exec_of(words, &spec, a);
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

static void train_step(const TimedStep *t)
{
    objective_next_token.pass(&t->step, t->batch, 1.0f / (float)t->batch->supervised);
    step_update(&t->step, 1e-6, step_norm(&t->step));
}

static void run_step(void *ctx, long iters)
{
    for (; iters > 0; iters--) train_step(ctx);
}

static Work make_step(const Bench1 *b, int counted, Arena *a)
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
    if (why) die("%s", why);
    t->s = session_make(spec, NULL, 1);
    t->step = session_step(t->s);
    t->batch = batch_new(STEP_B, STEP_T, STEP_B * STEP_T, t->s->d, a);
    corpus_batch(t->s->corpus, 1, 0, 0, STEP_B, STEP_T, t->batch->x, t->batch->y);
    return (Work){ run_step, t };
}

static const Bench1 benches[] = {
    { "ternary/best/1024x1024/n512",   5, 1, make_product, "best", 512 },
    { "ternary/best/1024x1024/n1",     6, 0, make_product, "best", 1 },
    { "ternary/i2_avx2/1024x1024/n512", 5, 0, make_product, "i2_avx2", 512 },
    { "conv/512x256/g16/k4/dil4",      5, 0, make_op, "conv", 0 },
    { "rmsnorm/512x256",               5, 0, make_op, "rmsnorm", 0 },
    { "softmax/V8192/d64/n512",        6, 0, make_head, "softmax", 0 },
    { "tree/V8192/d64/n512",           6, 0, make_head, "tree", 0 },
    { "adaptive/V8192/d64/n512",       6, 0, make_head, "adaptive", 0 },
    { "step/flashlm3+tree/V1024/d64/B1/T64", 6, 0, make_step, "tree", 0 } };
enum { BENCHES = sizeof benches / sizeof *benches };

static int runs_here(const Bench1 *b) { return b->make != make_product || kernel_of(b); }

/* ---- the protocol ---- */
static void list(Recorder *rec, Arena *a)
{
    static const char small[] =
        "V=512 d=32 recursions=1 dilations=1,4 conv_groups=4 seq=32 accum=1 train_tokens=20000 "
        "valid_tokens=2048 cutoffs=40,200 threads=1 warmup=5 lr=3e-3 budget=40steps";
    const Build *b = build_read(a);
    record_text(rec, "protocol", arena_text(a, "%d", REGRESS_PROTOCOL));
    record_text(rec, "build", b->id);
    record_text(rec, "compiler", b->compiler);
    record_text(rec, "flags", b->flags);
    char *objects = arena_text(a, "%s", b->executed), *save = NULL;
    for (char *o = strtok_r(objects, " ", &save); o; o = strtok_r(NULL, " ", &save))
        record_text(rec, "object", o);
    for (int i = 0; i < BENCHES; i++)
        if (runs_here(&benches[i]))
            record_text(rec, "bench", arena_text(a, "%s %g %d", benches[i].name, benches[i].budget,
                                              benches[i].probe));
    for (int i = 0; heads[i]; i++)
        record_text(rec, "quality",
                    arena_text(a, "%s head=%s %s", heads[i]->name, heads[i]->name, small));
    record_text(rec, "quality",
                arena_text(a, "softmax+int8 head=softmax act=int8 quant=absmean %s", small));
}

/* What callgrind counts, found by its name: so it must stay a function that is called. */
void regress_counted(GbenchWork *run, void *ctx, long iters);
__attribute__((noinline)) void regress_counted(GbenchWork *run, void *ctx, long iters)
{
    run(ctx, iters);
    __asm__ volatile("" ::: "memory");
}

/* seconds of one sample; delay: a share of them, waited for before the clock is read again */
static double sample(const Work *w, long iters, double delay)
{
    const double from = clock_now();
    regress_counted(w->run, w->ctx, iters);
    double took = clock_now() - from;
    const double until = took * (1 + delay);
    while (took < until) took = clock_now() - from;
    return took;
}

/* ticks that the hypervisor gave to others while core `cpu` (-1: any core) was ready to run */
static long stolen(int cpu)
{
    char line[512], name[16];
    long ticks = 0;
    FILE *f = fopen("/proc/stat", "r");
    if (cpu < 0) snprintf(name, sizeof name, "cpu ");
    else snprintf(name, sizeof name, "cpu%d ", cpu);
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name))) {
            sscanf(line, "%*s %*d %*d %*d %*d %*d %*d %*d %ld", &ticks);
            break;
        }
    if (f) fclose(f);
    return ticks;
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        die("--cpu %d: expected a core that this process may use", cpu);
}

static void time_it(const Bench1 *b, const Work *w, long iters, long samples, double delay, int cpu,
                    Recorder *rec)
{
    struct rusage before, after;
    if (!iters) {
        long least = 0;
        for (int i = 0; i < 3; i++) {
            bench_time(w->run, w->ctx, REGRESS_SAMPLE_S, &iters);
            if (!i || iters < least) least = iters;
        }
        record_num(rec, "iters", 0, (double)least);
        return;
    }
    sample(w, iters, delay);
    const long steal = stolen(cpu);
    getrusage(RUSAGE_SELF, &before);
    for (long k = 0; k < samples; k++)
        record_sample(rec, b->name, 0, k, sample(w, iters, delay) * 1e9, iters);
    getrusage(RUSAGE_SELF, &after);
    record_num(rec, "switches", 0, (double)(after.ru_nivcsw - before.ru_nivcsw));
    record_num(rec, "steal", 0, (double)(stolen(cpu) - steal));
}

static const Bench1 *find(const char *name)
{
    for (int i = 0; i < BENCHES; i++)
        if (!strcmp(benches[i].name, name) && runs_here(&benches[i])) return &benches[i];
    die("regress-sample %s: no such benchmark here; `eightysix regress-sample list` shows them",
        name);
}

int regress_sample(const SamplePlan *p)
{
    FILE *out = fdopen(3, "w");
    Recorder rec = { .out = out ? out : stdout };
    Arena a = arena_new((size_t)1 << 33);
    const int timing = !strcmp(p->what, "time");
    if (!strcmp(p->what, "list")) list(&rec, &a);
    else {
        const Bench1 *b = find(p->name);
        if (p->cpu >= 0) pin(p->cpu);
        cpu_flush_denormals();
        const Work w = b->make(b, !timing, &a);
        w.run(w.ctx, 1);
        if (timing) time_it(b, &w, p->iters, p->samples, p->delay, p->cpu, &rec);
        else regress_counted(w.run, w.ctx, p->iters);
    }
    record_flush(&rec);
    arena_drop(&a);
    return 0;
}
