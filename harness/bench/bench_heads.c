/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Output layers: forward and backward of n positions at V = 50,257, d = 256, in chunks as the head
 * asks for them; beside them `sgemm3`, the three bare products of a softmax (Z = X E', dX = Z E, dE
 * += Z' X), which no softmax can undercut. */
#include "harness/bench/bench.h"
#include "harness/bench/timed_head.h"
#include "harness/laws/laws.h"
#include "kernels/cpu.h"

enum { V = 50257, D = 256 };
static const int batches[] = { 128, 512, 2048 };

typedef struct {
    TimedHead   timed;
    const Exec *exec;
    float      *z, *w, *dw;                   /* of sgemm3 */
} HeadJob;

static void heads_sgemm3(void *ctx, long iters)
{
    const HeadJob *j = ctx;
    const Gemm *g = j->exec->gemm;
    const int n = j->timed.n;
    const float *x = j->timed.x;
    for (; iters > 0; iters--) {
        gemm(g, 'N', 'T', n, V, D, 1, x, D, j->w, D, 0, j->z, V);
        gemm(g, 'N', 'N', n, D, V, 1, j->z, V, j->w, D, 0, j->timed.dx, D);
        gemm(g, 'T', 'N', V, D, n, 1e-9f, j->z, V, x, D, 1, j->dw, D);
    }
}

/* random states; targets of frequency 1 / rank, drawn by the inverse of its sum ~ log V */
static HeadJob *heads_job(const Exec *e, int n, uint64_t seed, Arena *a)
{
    HeadJob *j = arena_get(a, sizeof *j);
    Rng rng = rng_at(seed, STREAM_CHECK, (uint64_t)n);
    int *y = arena_raw(a, sizeof *y * (size_t)n);
    j->exec = e;
    j->timed = (TimedHead){ .d = D, .n = n, .y = y, .scale = 1 / (float)n };
    j->timed.x = timed_normals((size_t)n * D, 1, &rng, a);
    j->timed.dx = arena_get(a, sizeof(float) * (size_t)n * D);
    for (int i = 0; i < n; i++) {
        double left = rng_uniform(&rng) * 11.4;        /* H(50257) = ln 50257 + 0.577 */
        int v = 0;
        while (v < V - 1 && (left -= 1.0 / (v + 1)) > 0) v++;
        y[i] = v;
    }
    return j;
}

static void heads_add(Bench *b, const HeadDef *def, const Spec *spec, HeadJob *j, const char *name,
                      const char *broken)
{
    Arena *a = bench_arena(b), *own = arena_get(a, sizeof *own);
    /* what the head takes beside its parameters */
    *own = arena_new((size_t)1 << 33);
    j->timed.def = def;
    const char *why = timed_head_make(&j->timed, spec, j->exec, V, a, own);
    if (why) die("%s", why);
    BenchCell *c = bench_cell(b, name, timed_head_run, &j->timed);
    const Cost cost = def->cost(j->timed.head, j->timed.n);
    c->broken = broken;
    c->ops = cost.flops;
    c->bytes = cost.bytes;
    c->per = j->timed.n;
    c->memory = (double)own->used;
}

static void heads_add_sgemm3(Bench *b, HeadJob *j, const char *name)
{
    Arena *a = bench_arena(b);
    Rng rng = rng_at(1, STREAM_CHECK, 3);
    j->w = timed_normals((size_t)V * D, 0.02f, &rng, a);
    j->dw = arena_get(a, sizeof(float) * V * D);
    j->z = arena_get(a, sizeof(float) * V * (size_t)j->timed.n);
    BenchCell *c = bench_cell(b, name, heads_sgemm3, j);
    c->ops = 6.0 * V * D * j->timed.n;
    c->per = j->timed.n;
    c->memory = 4.0 * V * j->timed.n;
}

void bench_heads(Bench *b)
{
    const BenchPlan *p = bench_plan(b);
    size_t n_heads = 0;
    while (heads[n_heads]) n_heads++;
    const char **said = arena_get(bench_home(b), sizeof *said * n_heads);
    int *asked = arena_get(bench_home(b), sizeof *asked * n_heads);
    for (int k = 0; k < (int)(sizeof batches / sizeof *batches) * p->n_threads; k++) {
        const int n = batches[k / p->n_threads], t = p->threads[k % p->n_threads];
        Spec *spec = spec_new(bench_home(b));
        const Exec *e = timed_exec(spec, t, bench_home(b));
        for (int i = 0; heads[i]; i++) {
            const char *name =
                arena_text(bench_arena(b), "%s/V%d/d%d/n%d/t%d", heads[i]->name, V, D, n, t);
            if (!bench_wants(b, name)) continue;
            Arena lab = arena_new((size_t)1 << 34);
            const char *why = asked[i]++ ? NULL : law_head(heads[i], p->seed, &lab);
            if (why) said[i] = arena_text(bench_home(b), "%s", why);
            arena_drop(&lab);
            heads_add(b, heads[i], spec, heads_job(e, n, p->seed, bench_arena(b)), name, said[i]);
        }
        const char *name =
            arena_text(bench_arena(b), "sgemm3_%s/V%d/d%d/n%d/t%d", e->gemm->name, V, D, n, t);
        if (bench_wants(b, name))
            heads_add_sgemm3(b, heads_job(e, n, p->seed, bench_arena(b)), name);
        bench_group(b);
    }
}
