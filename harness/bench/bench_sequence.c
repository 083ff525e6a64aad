/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What looks along a sequence, forward and backward through the tape, on every number of threads:
 * attention beside its bare products, which nothing exact can undercut, and the recurrence, which
 * memory limits.
 *
 * The bare products are seven: Q K' and P V, and backward Q K' again (no T x T matrix is kept),
 * dY V', P' dY, dS K and dS' Q; of each only what is on and below the diagonal, by blocks of
 * rows. */
#include "harness/bench/bench.h"
#include "harness/bench/timed_head.h"
#include "models/tape.h"
#include <string.h>

enum { TOKENS = 2048, WIDTH = 256, HEADS = 4, HEAD = WIDTH / HEADS, BLOCK = 128, SCAN_WIDTH = 1024,
       SCAN_TOKENS = 8192 };
static const int sequence_lengths[] = { 256, 2048 };

typedef struct Sequence {
    const Exec *exec;
    Tape       *t;
    int         T, B, backward;
    Var         in[3];               /* q, k, v; or f, i */
    float      *dy, *scores;         /* scores: of the bare products */
} Sequence;

static Var sequence_value(int rows, int cols, Rng *rng, Arena *a)
{
    const size_t n = (size_t)rows * (size_t)cols;
    Grad *g = arena_get(a, sizeof *g);
    *g = (Grad){ .p = arena_get(a, sizeof(float) * n), .bytes = sizeof(float) * n, .kept = 1 };
    return (Var){ timed_normals(n, 1, rng, a), g, rows, cols, NULL };
}

static Sequence *sequence_new(const Spec *spec, const Exec *e, int inputs, int T, int tokens,
                              int width, uint64_t seed, Arena *a)
{
    Sequence *s = arena_get(a, sizeof *s);
    Rng rng = rng_at(seed, STREAM_CHECK, 15);
    *s = (Sequence){ .exec = e, .t = tape_new(e, spec, a, (size_t)1 << 34), .T = T,
                     .B = tokens / T, .backward = 1 };
    for (int i = 0; i < inputs; i++) s->in[i] = sequence_value(tokens, width, &rng, a);
    s->dy = timed_normals((size_t)tokens * (size_t)width, 1e-3f, &rng, a);
    return s;
}

static void sequence_pass(Sequence *s, Var y)
{
    if (!s->backward) return;
    memcpy(tape_grad(s->t, y), s->dy, sizeof(float) * (size_t)y.rows * (size_t)y.cols);
    tape_backward(s->t);
}

static void sequence_attention(void *ctx, long iters)
{
    for (Sequence *s = ctx; iters > 0; iters--) {
        tape_reset(s->t, s->backward);
        sequence_pass(s, op_attention(s->t, s->in[0], s->in[1], s->in[2], HEADS, s->B, NULL, 0));
    }
}

static void sequence_scan(void *ctx, long iters)
{
    for (Sequence *s = ctx; iters > 0; iters--) {
        tape_reset(s->t, s->backward);
        sequence_pass(s, op_scan(s->t, s->in[0], s->in[1], s->B, NULL, 0));
    }
}

/* The products of `rows` queries from row `at` on, of one head of one sequence, whose first key is
 * at `key`; keys: that they see. p (rows, T) */
static void sequence_block(const Sequence *s, size_t at, size_t key, int rows, int keys, float *p)
{
    const Gemm *g = s->exec->gemm;
    const int ld = WIDTH, T = s->T;
    const float *q = s->in[0].v + at, *k = s->in[1].v + key, *v = s->in[2].v + key,
                *dy = s->dy + at;
    float *dq = s->in[0].g->p + at, *dk = s->in[1].g->p + key, *dv = s->in[2].g->p + key;
    for (int again = 0; again < 2; again++)
        gemm1(g, 'N', 'T', rows, keys, HEAD, 1e-3f, q, ld, k, ld, 0, p, T);
    gemm1(g, 'N', 'N', rows, HEAD, keys, 1, p, T, v, ld, 0, dq, ld);
    gemm1(g, 'T', 'N', keys, HEAD, rows, 1e-9f, p, T, dy, ld, 1, dv, ld);
    gemm1(g, 'N', 'T', rows, keys, HEAD, 1e-3f, dy, ld, v, ld, 0, p, T);
    gemm1(g, 'N', 'N', rows, HEAD, keys, 1, p, T, k, ld, 0, dq, ld);
    gemm1(g, 'T', 'N', keys, HEAD, rows, 1e-9f, p, T, q, ld, 1, dk, ld);
}

static void sequence_products(void *ctx, long iters)
{
    for (const Sequence *s = ctx; iters > 0; iters--)
#pragma omp parallel for num_threads(s->exec->threads) schedule(static)
        for (int item = 0; item < s->B * HEADS; item++) {
            const size_t key = (size_t)(item / HEADS) * (size_t)s->T * WIDTH +
                               (size_t)(item % HEADS) * HEAD;
            float *p = s->scores + (size_t)item * BLOCK * (size_t)s->T;
            for (int i = 0; i < s->T; i += BLOCK)
                sequence_block(s, key + (size_t)i * WIDTH, key, BLOCK, i + BLOCK, p);
        }
}

/* Multiply-adds, two each, of seven products on and below the diagonal */
static double sequence_flops(int T)
{
    return 7.0 * WIDTH * TOKENS * (T + 1);
}

static void sequence_add_attention(Bench *b, const Spec *spec, const Exec *e, int T)
{
    Arena *a = bench_arena(b);
    const char *shape = arena_text(a, "T%d/d%d/h%d/B%d/t%d", T, WIDTH, HEADS, TOKENS / T,
                                   e->threads);
    const char *names[] = { arena_text(a, "attention/%s", shape),
                            arena_text(a, "attention_products_%s/%s", e->gemm->name, shape) };
    GbenchWork *const work[] = { sequence_attention, sequence_products };
    for (int i = 0; i < 2; i++) {
        if (!bench_wants(b, names[i])) continue;
        Sequence *s = sequence_new(spec, e, 3, T, TOKENS, WIDTH, bench_plan(b)->seed, a);
        s->scores = arena_get(a, sizeof(float) * BLOCK * TOKENS * HEADS);
        BenchCell *c = bench_cell(b, names[i], work[i], s);
        c->ops = sequence_flops(T);
        c->per = TOKENS;
    }
    bench_group(b);
}

/* Floats that a value of h moves: forward f and i to h; with the gradients of h, f and i read, and
 * f, h and what df, di and dh were read and written */
static void sequence_add_scan(Bench *b, const Spec *spec, const Exec *e)
{
    static const double moved[] = { 3, 3 + 1 + 2 + 6 };
    Arena *a = bench_arena(b);
    const int T = sequence_lengths[0];
    for (int back = 0; back < 2; back++) {
        const char *name = arena_text(a, "scan%s/T%d/d%d/B%d/t%d", back ? "+back" : "", T,
                                      SCAN_WIDTH, SCAN_TOKENS / T, e->threads);
        if (!bench_wants(b, name)) continue;
        Sequence *s = sequence_new(spec, e, 2, T, SCAN_TOKENS, SCAN_WIDTH,
                                   bench_plan(b)->seed, a);
        s->backward = back;
        for (long i = 0; i < (long)SCAN_TOKENS * SCAN_WIDTH; i++)    /* a forget gate */
            s->in[0].v[i] = 0.9f + 0.01f * s->in[0].v[i];
        BenchCell *c = bench_cell(b, name, sequence_scan, s);
        c->bytes = sizeof(float) * moved[back] * SCAN_TOKENS * SCAN_WIDTH;
        const double peak = bench_peak(b, "triad_dram", e->threads);
        bench_limit(c, NULL, 0, "triad_dram", peak > 0 ? c->bytes / peak * 1e9 : 0);
        c->threads = e->threads;
    }
    bench_group(b);
}

void bench_sequence(Bench *b)
{
    const BenchPlan *p = bench_plan(b);
    for (int t = 0; t < p->n_threads; t++) {
        Spec *spec = spec_new(bench_home(b));
        const Exec *e = timed_exec(spec, p->threads[t], bench_home(b));
        for (int i = 0; i < 2; i++) sequence_add_attention(b, spec, e, sequence_lengths[i]);
        sequence_add_scan(b, spec, e);
    }
}
