/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Output layers: forward and backward of n positions at V = 50,257, d = 256, in chunks as the head
 * asks for them; beside them `sgemm3`, the three bare products of a softmax (Z = X E', dX = Z E, dE
 * += Z' X), which no softmax can undercut. */
#include "harness/bench/bench.h"
#include "harness/laws/laws.h"
#include "kernels/cpu.h"

enum { V = 50257, D = 256 };
static const int batches[] = { 128, 512, 2048 };

typedef struct {
    const HeadDef *def;
    const Exec    *exec;
    void          *head;
    int            n, *y;
    float         *x, *dx, *z, *w, *dw;       /* z: of sgemm3 */
} Job;

static void run_head(void *ctx, long iters)
{
    const Job *j = ctx;
    const int chunk = j->def->chunk(j->head);
    for (; iters > 0; iters--) {
        for (int at = 0; at < j->n; at += chunk) {
            const int n = j->n - at < chunk ? j->n - at : chunk;
            j->def->forward(j->head, j->x + (size_t)at * D, j->y + at, n);
            j->def->backward(j->head, j->dx + (size_t)at * D, 1 / (float)j->n);
        }
        head_flush_grads(j->def, j->head);
    }
}

static void run_sgemm3(void *ctx, long iters)
{
    const Job *j = ctx;
    const Gemm *g = j->exec->gemm;
    for (; iters > 0; iters--) {
        gemm(g, 'N', 'T', j->n, V, D, 1, j->x, D, j->w, D, 0, j->z, V);
        gemm(g, 'N', 'N', j->n, D, V, 1, j->z, V, j->w, D, 0, j->dx, D);
        gemm(g, 'T', 'N', V, D, j->n, 1e-9f, j->z, V, j->x, D, 1, j->dw, D);
    }
}

static float *normals(size_t n, float sigma, Rng *rng, Arena *a)
{
    float *x = arena_raw(a, sizeof *x * n);
    for (size_t i = 0; i < n; i++) x[i] = sigma * (float)rng_normal(rng);
    return x;
}

/* random states; targets of frequency 1 / rank, drawn by the inverse of its sum ~ log V */
static Job *job_new(const Exec *e, int n, uint64_t seed, Arena *a)
{
    Job *j = arena_get(a, sizeof *j);
    Rng rng = rng_at(seed, STREAM_CHECK, (uint64_t)n);
    *j = (Job){ .exec = e, .n = n, .y = arena_raw(a, sizeof(int) * (size_t)n) };
    j->x = normals((size_t)n * D, 1, &rng, a);
    j->dx = arena_get(a, sizeof(float) * (size_t)n * D);
    for (int i = 0; i < n; i++) {
        double left = rng_uniform(&rng) * 11.4;        /* H(50257) = ln 50257 + 0.577 */
        int v = 0;
        while (v < V - 1 && (left -= 1.0 / (v + 1)) > 0) v++;
        j->y[i] = v;
    }
    return j;
}

static void add_head(Bench *b, const HeadDef *def, const Spec *spec, Job *j, const char *name,
                     const char *broken)
{
    Arena *a = bench_arena(b), *own = arena_get(a, sizeof *own);
    /* what the head takes beside its parameters */
    *own = arena_new((size_t)1 << 33);
    Params *ps = params_new(a);
    Param *e = params_add(ps, "embedding.weight", (int[]){ V, D, 0 }, GROUP_ADAMW, OWNER_CORE);
    long *freq = arena_get(a, sizeof *freq * V);
    for (int v = 0; v < V; v++) freq[v] = 1000000 / (v + 1);
    param_normal(e, 1, 0, 0.02);
    j->def = def;
    j->head = def->make(spec, j->exec, ps, &(HeadData){ .V = V, .freq = freq }, D, own);
    if (!j->head) die("%s", ps->why);
    BenchCell *c = bench_cell(b, name, run_head, j);
    const Cost cost = def->cost(j->head, j->n);
    c->broken = broken;
    c->ops = cost.flops;
    c->bytes = cost.bytes;
    c->per = j->n;
    c->memory = (double)own->used;
}

static void add_sgemm3(Bench *b, Job *j, const char *name)
{
    Arena *a = bench_arena(b);
    Rng rng = rng_at(1, STREAM_CHECK, 3);
    j->w = normals((size_t)V * D, 0.02f, &rng, a);
    j->dw = arena_get(a, sizeof(float) * V * D);
    j->z = arena_get(a, sizeof(float) * V * (size_t)j->n);
    BenchCell *c = bench_cell(b, name, run_sgemm3, j);
    c->ops = 6.0 * V * D * j->n;
    c->per = j->n;
    c->memory = 4.0 * V * j->n;
}

static const Exec *exec_of(Spec *spec, int threads, Arena *a)
{
    const char *why = spec_set(spec, arena_text(a, "threads=%d", threads));
    const Exec *e = why ? NULL : exec_make(spec, a, &why);
    if (!e) die("%s", why);
    if (e->threads != threads) die("--threads %d: heads run on at most %d", threads, e->threads);
    return e;
}

void bench_heads(Bench *b)
{
    enum { MOST = 32 };
    const BenchPlan *p = bench_plan(b);
    const char *said[MOST] = { 0 };
    int asked[MOST] = { 0 };
    for (int k = 0; k < (int)(sizeof batches / sizeof *batches) * p->n_threads; k++) {
        const int n = batches[k / p->n_threads], t = p->threads[k % p->n_threads];
        Spec *spec = spec_new(bench_home(b));
        const Exec *e = exec_of(spec, t, bench_home(b));
        for (int i = 0; heads[i]; i++) {
            CHECK(i < MOST);
            const char *name =
                arena_text(bench_arena(b), "%s/V%d/d%d/n%d/t%d", heads[i]->name, V, D, n, t);
            if (!bench_wants(b, name)) continue;
            Arena lab = arena_new((size_t)1 << 34);
            const char *why = asked[i]++ ? NULL : law_head(heads[i], p->seed, &lab);
            if (why) said[i] = arena_text(bench_home(b), "%s", why);
            arena_drop(&lab);
            add_head(b, heads[i], spec, job_new(e, n, p->seed, bench_arena(b)), name, said[i]);
        }
        const char *name =
            arena_text(bench_arena(b), "sgemm3_%s/V%d/d%d/n%d/t%d", e->gemm->name, V, D, n, t);
        if (bench_wants(b, name)) add_sgemm3(b, job_new(e, n, p->seed, bench_arena(b)), name);
        bench_group(b);
    }
}
