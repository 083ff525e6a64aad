/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every operation of the tape: L = sum r y with random r; along a direction u of all its inputs and
 * parameters, (L(x + h u) - L(x - h u)) / 2h  =  <dL/dx, u> for u = the gradient itself and for
 * random u. Each float table of this CPU, one thread and two. Quantised products: law_linear.c. */
#include "harness/laws/laws.h"
#include <math.h>
#include <string.h>

enum { B = 2, T = 37, D = 24, INNER = 19, GROUPS = 3, TAPS = 4, V = 11 };
enum { MAX_IN = 3, MAX_PARAM = 3, DIRECTIONS = 3, PASS = 64 << 20 };
typedef struct {
    Tape *t;
    Var in[MAX_IN];
    Grad grad[MAX_IN];
    Param *p[MAX_PARAM];
    const int *tok;
} Case;
typedef struct {
    const char *name;
    int in, cols;
    int shape[MAX_PARAM][4];
    Var (*build)(const Case *);
} Op;

static Var embed(const Case *c)   { return op_embed(c->t, c->p[0], c->tok, B * T); }
static Var rmsnorm(const Case *c) { return op_rmsnorm(c->t, c->in[0], c->p[0], 1e-6, 0); }
static Var linear(const Case *c)  { return op_linear(c->t, c->in[0], c->p[0], 0); }
static Var add(const Case *c)     { return op_add(c->t, c->in[0], c->in[1]); }
static Var mul(const Case *c)     { return op_mul(c->t, c->in[0], c->in[1]); }
static Var sigmoid(const Case *c) { return op_sigmoid(c->t, c->in[0]); }
static Var silu(const Case *c)    { return op_silu(c->t, c->in[0]); }
static Var glu(const Case *c, Activation f) { return op_glu(c->t, c->in[0], c->in[1], f, 0); }
/* of values that nobody else reads: gradients take their place */
static Var glu_own(const Case *c, Activation f)
{
    return op_glu(c->t, op_mul(c->t, c->in[0], c->in[1]), op_silu(c->t, c->in[1]), f, 0);
}
#define A(name, f)                                                                             \
    static Var glu_##name(const Case *c)     { return glu(c, ACTIVATION_##name); }             \
    static Var glu_own_##name(const Case *c) { return glu_own(c, ACTIVATION_##name); }
#include "kernels/activations.def"
#undef A
static Var gated(const Case *c, int groups)
{
    const GatedConv conv = { c->p[2], c->p[0], c->p[1], 1e-6, groups, TAPS, 5 };
    return op_gated_conv(c->t, c->in[0], &conv, B, NULL, 0, NULL);
}
static Var conv(const Case *c)    { return gated(c, GROUPS); }
static Var dense(const Case *c)   { return gated(c, 1); }
static Var residual(const Case *c)      /* op_add after another reader of its first operand */
{
    Var a = op_sigmoid(c->t, c->in[0]);
    return op_add(c->t, a, op_mul(c->t, a, c->in[1]));
}
/* op_add may not take the place of a value that the way back reads */
static Var add_kept(const Case *c)
{
    return op_add(c->t, op_silu(c->t, c->in[0]), op_sigmoid(c->t, c->in[1]));
}

/* ---- along a sequence ---- */
static Var half(const Case *c)    { return op_half(c->t, c->in[0], 1); }
static Var halves(const Case *c)
{
    return op_mul(c->t, op_half(c->t, c->in[0], 0), op_half(c->t, c->in[0], 1));
}
static Var glu_halves(const Case *c)
{
    return op_glu_halves(c->t, c->in[0], ACTIVATION_silu);
}
static Var glu_halves_shared(const Case *c)       /* with another reader of x */
{
    return op_mul(c->t, op_half(c->t, c->in[0], 1),
                  op_glu_halves(c->t, c->in[0], ACTIVATION_silu));
}
static Var scan(const Case *c)
{
    return op_scan(c->t, op_sigmoid(c->t, c->in[0]), c->in[1], B, NULL, 0);
}
static Var depthwise(const Case *c) { return op_depthwise(c->t, c->in[0], c->p[0], B, NULL, 0); }
static Var above(const Case *c)
{
    Var low = op_bounds(c->t, c->p[0]);
    return op_mul(c->t, op_sigmoid_above(c->t, c->in[0], low, 1),
                  op_sigmoid_above(c->t, c->in[1], low, 2));
}
static Var input_gate(const Case *c)
{
    return op_input_gate(c->t, c->in[0], op_sigmoid(c->t, c->in[1]));
}
static Var rope(const Case *c)
{
    return op_rope(c->t, c->in[0], op_rope_angles(c->t, B, T, NULL, D / 3, 10000));
}
static Var attention(const Case *c)
{
    return op_attention(c->t, c->in[0], c->in[1], c->in[2], 3, B, NULL, 0);
}
static Var reverse(const Case *c) { return op_reverse(c->t, c->in[0], B); }
static Var sequence_mean(const Case *c) { return op_sequence_mean(c->t, c->in[0], B); }
static Var sequence_norm(const Case *c) { return op_sequence_norm(c->t, c->in[0], B); }
/* more queries and keys than a tile of the backward pass, and q = k */
static Var long_attention(const Case *c)
{
    return op_attention(c->t, c->in[0], c->in[0], c->in[1], 1, 1, NULL, 0);
}

static const Op ops[] = {
    { "embed", 0, D, { { V, D }, { 0 } }, embed },
    { "rmsnorm", 1, D, { { D }, { 0 } }, rmsnorm },
    { "linear", 1, D, { { INNER, D }, { 0 } }, linear },
    { "add", 2, D, { { 0 }, { 0 } }, add },
    { "mul", 2, D, { { 0 }, { 0 } }, mul },
    { "sigmoid", 1, D, { { 0 }, { 0 } }, sigmoid },
    { "silu", 1, D, { { 0 }, { 0 } }, silu },
#define A(name, f)                                                                             \
    { "glu with " #name, 2, INNER, { { 0 }, { 0 } }, glu_##name },                             \
    { "glu with " #name " of its own", 2, INNER, { { 0 }, { 0 } }, glu_own_##name },
#include "kernels/activations.def"
#undef A
    { "gated_conv", 1, D, { { D, D / GROUPS, TAPS }, { D, D / GROUPS, TAPS }, { D } }, conv },
    { "gated_conv of one group", 1, D, { { D, D, TAPS }, { D, D, TAPS }, { D } }, dense },
    { "add to a sigmoid", 2, D, { { 0 }, { 0 } }, add_kept },
    { "residual", 2, D, { { 0 }, { 0 } }, residual },
    { "half", 1, D, { { 0 }, { 0 } }, half },
    { "half twice", 1, D, { { 0 }, { 0 } }, halves },
    { "glu_halves", 1, D, { { 0 }, { 0 } }, glu_halves },
    { "glu_halves of a value read twice", 1, D, { { 0 }, { 0 } }, glu_halves_shared },
    { "scan", 2, D, { { 0 }, { 0 } }, scan },
    { "depthwise", 1, D, { { D, 1, TAPS }, { 0 } }, depthwise },
    { "sigmoid_above", 2, D, { { 3, D }, { 0 } }, above },
    { "input_gate", 2, D, { { 0 }, { 0 } }, input_gate },
    { "rope", 1, D, { { 0 }, { 0 } }, rope },
    { "attention", 3, D, { { 0 }, { 0 } }, attention },
    { "reverse", 1, D, { { 0 }, { 0 } }, reverse },
    { "sequence_mean", 1, D, { { 0 }, { 0 } }, sequence_mean },
    { "sequence_norm", 1, D, { { 0 }, { 0 } }, sequence_norm },
    { "attention over several tiles", 2, D, { { 0 }, { 0 } }, long_attention },
};

typedef struct { float *v, *g, *u; long n; } Block;      /* one thing to differentiate by */
typedef struct {
    Case c;
    Block block[MAX_IN + MAX_PARAM];
    int blocks;
    float *r;
    const Op *op;
} Bench;

static void add_block(Bench *b, float *v, float *g, long n, Arena *a)
{
    b->block[b->blocks++] = (Block){ v, g, arena_get(a, sizeof(float) * (size_t)n), n };
}

static void bench_make(Bench *b, const Op *op, Tape *t, Arena *a, Rng *r)
{
    Params *ps = params_new(a);
    *b = (Bench){ .op = op, .c.t = t };
    for (int i = 0; i < op->in; i++) {
        const long n = (long)B * T * op->cols;
        b->c.grad[i] = (Grad) { .p = arena_get(a, sizeof(float) * (size_t)n),
                                .bytes = sizeof(float) * (size_t)n,
                                .kept = 1 };
        b->c.in[i] = (Var){ law_normals(a, n, r), &b->c.grad[i], B * T, op->cols, NULL };
        add_block(b, b->c.in[i].v, b->c.grad[i].p, n, a);
    }
    for (int i = 0; i < MAX_PARAM && op->shape[i][0]; i++) {
        b->c.p[i] = params_add(ps, arena_text(a, "%d", i), op->shape[i], GROUP_ADAMW, OWNER_CORE);
        const long n = b->c.p[i]->n, fan = n / op->shape[i][0];
        const float *unit = law_normals(a, n, r), size = fan > 32 ? sqrtf(32.0f / (float)fan) : 1;
        for (long k = 0; k < n; k++) b->c.p[i]->v[k] = size * unit[k];
        add_block(b, b->c.p[i]->v, b->c.p[i]->g, b->c.p[i]->n, a);
    }
    int *tok = arena_get(a, sizeof(int) * B * T);
    for (int i = 0; i < B * T; i++) tok[i] = (int)rng_below(r, V);
    b->c.tok = tok;
    b->r = law_normals(a, (long)B * T * D, r);
}

static double loss(Bench *b, int recording)
{
    tape_reset(b->c.t, recording);
    for (int i = 0; i < MAX_IN; i++) {          /* the inputs are new to every pass */
        b->c.grad[i].owner = NULL;
        b->c.grad[i].read = 0;
    }
    Var y = b->op->build(&b->c);
    double sum = 0;
    for (long i = 0; i < (long)y.rows * y.cols; i++) sum += (double)y.v[i] * (double)b->r[i];
    if (recording) {
        memcpy(tape_grad(b->c.t, y), b->r, sizeof(float) * (size_t)y.rows * (size_t)y.cols);
        tape_backward(b->c.t);
    }
    return sum;
}

static void move(Bench *b, double h)
{
    for (int k = 0; k < b->blocks; k++)
        for (long i = 0; i < b->block[k].n; i++)
            b->block[k].v[i] += (float)(h * (double)b->block[k].u[i]);
    for (int i = 0; i < MAX_PARAM && b->c.p[i]; i++) b->c.p[i]->version++;
}

static double along(const Bench *b)
{
    double s = 0;
    for (int k = 0; k < b->blocks; k++)
        for (long i = 0; i < b->block[k].n; i++)
            s += (double)b->block[k].g[i] * (double)b->block[k].u[i];
    return s;
}

/* u: the gradient (direction 0) or random, of length |x| / sqrt(n) per value; returns |gradient|
 * |u| */
static double choose(Bench *b, int direction, Rng *r)
{
    double gg = 0, uu = 0;
    for (int k = 0; k < b->blocks; k++)
        for (long i = 0; i < b->block[k].n; i++)
            gg += (double)b->block[k].g[i] * (double)b->block[k].g[i];
    long n = 0;
    for (int k = 0; k < b->blocks; k++) n += b->block[k].n;
    const double unit = gg > 0 ? sqrt((double)n / gg) : 0;
    for (int k = 0; k < b->blocks; k++)
        for (long i = 0; i < b->block[k].n; i++) {
            Block *q = &b->block[k];
            q->u[i] = direction ? (float)rng_normal(r) : (float)(unit * (double)q->g[i]);
            uu += (double)q->u[i] * (double)q->u[i];
        }
    return sqrt(gg * uu);
}

/* (L(x + h u) - L(x - h u)) / 2h */
static double difference(Bench *b, double h)
{
    move(b, h);
    const double up = loss(b, 0);
    move(b, -2 * h);
    const double down = loss(b, 0);
    move(b, h);
    return (up - down) / (2 * h);
}

static const char *differentiate(Bench *b, const char *isa, int threads, uint64_t seed, Rng *r,
                                 Arena *a)
{
    const double h = 2e-3, tolerance = 1e-3;
    for (int k = 0; k < b->blocks; k++)
        memset(b->block[k].g, 0, sizeof(float) * (size_t)b->block[k].n);
    loss(b, 1);
    for (int u = 0; u < DIRECTIONS; u++) {
        const double size = choose(b, u, r), expected = along(b);
        /* Richardson: two steps cancel the error of the third derivative */
        const double slope = (4 * difference(b, h) - difference(b, 2 * h)) / 3;
        const double error = fabs(slope - expected) / size;
        if (!(error < tolerance))
            return arena_text(a,
                              "op %s (%s, %d threads): gradient differs from finite differences by "
                              "%.2e of its length (seed %llu)",
                              b->op->name, isa, threads, error, (unsigned long long)seed);
    }
    return NULL;
}

/* Gradients do not depend on how many threads share the work, to the bit. */
static const char *same_on_threads(Bench *b, Exec *e, const char *isa, uint64_t seed, Arena *a)
{
    static const int counts[] = { 1, 2, 3, 7 };
    const int threads = e->threads;
    float *was[MAX_IN + MAX_PARAM];
    const char *why = NULL;
    for (int i = 0; i < 4 && !why; i++) {
        e->threads = counts[i];
        for (int k = 0; k < b->blocks; k++)
            memset(b->block[k].g, 0, sizeof(float) * (size_t)b->block[k].n);
        loss(b, 1);
        for (int k = 0; k < b->blocks; k++) {
            const size_t bytes = sizeof(float) * (size_t)b->block[k].n;
            if (!i) was[k] = memcpy(arena_raw(a, bytes), b->block[k].g, bytes);
            else if (memcmp(was[k], b->block[k].g, bytes))
                why = arena_text(
                    a, "op %s (%s): another gradient on %d threads than on one (seed %llu)",
                    b->op->name, isa, counts[i], (unsigned long long)seed);
        }
    }
    e->threads = threads;
    return why;
}

static const char *with_table(const F32 *f, int threads, uint64_t seed, Arena *a)
{
    const char *why = NULL;
    const size_t at = a->used;
    Spec *s = spec_new(a);
    if (spec_set(s, arena_text(a, "threads=%d", threads))) CHECK(0);
    const Exec *made = exec_make(s, a, &why);
    if (!made) return why;
    Exec *e = arena_get(a, sizeof *e);
    *e = *made;
    e->f = f;
    Tape *t = tape_new(e, s, a, PASS);
    for (size_t i = 0; i < sizeof ops / sizeof *ops && !why; i++) {
        Rng r = rng_at(seed, STREAM_CHECK, i);
        Bench b;
        bench_make(&b, &ops[i], t, a, &r);
        why = differentiate(&b, f->isa, threads, seed, &r, a);
        if (!why) why = same_on_threads(&b, e, f->isa, seed, a);
    }
    if (!why) why = law_linear(e, seed, a);
    tape_drop(t);
    if (!why) arena_reset(a, at);
    return why;
}

const char *law_ops(uint64_t seed, Arena *a)
{
    const char *why = NULL;
    for (int i = 0; f32_tables[i] && !why; i++) {
        if (f32_tables[i]->cpu & ~f32_best()->cpu) continue;
        why = law_rows(f32_tables[i], seed, a);
        if (!why) why = law_activations(f32_tables[i], a);
        for (int threads = 1; threads <= 2 && !why; threads++)
            why = with_table(f32_tables[i], threads, seed, a);
    }
    return why;
}
