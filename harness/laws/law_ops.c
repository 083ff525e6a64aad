/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every operation of the tape: L = sum r y with random r; along a direction u of all its inputs and
 * parameters, (L(x + h u) - L(x - h u)) / 2h  =  <dL/dx, u> for u = the gradient itself and for
 * random u. Each float table of this CPU, one thread and two. Quantised products are not
 * differentiable: they are compared with their definition, written out in double; where rounding is
 * random (bwd=int8) the mean of many draws is, in units of its standard error. */
#include "harness/laws/laws.h"
#include <math.h>
#include <string.h>

enum {
    B = 2,
    T = 37,
    D = 24,
    INNER = 19,
    GROUPS = 3,
    TAPS = 4,
    V = 11,
    MAX_IN = 2,
    MAX_PARAM = 3,
    DIRECTIONS = 3,
    PASS = 64 << 20
};
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
static Var relu2(const Case *c)   { return op_relu2_mul(c->t, c->in[0], c->in[1], 0); }
/* of values that nobody else reads: gradients take their place */
static Var relu2_own(const Case *c)
{
    return op_relu2_mul(c->t, op_mul(c->t, c->in[0], c->in[1]), op_silu(c->t, c->in[1]), 0);
}
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

static const Op ops[] = {
    { "embed", 0, D, { { V, D }, { 0 } }, embed },
    { "rmsnorm", 1, D, { { D }, { 0 } }, rmsnorm },
    { "linear", 1, D, { { INNER, D }, { 0 } }, linear },
    { "add", 2, D, { { 0 }, { 0 } }, add },
    { "mul", 2, D, { { 0 }, { 0 } }, mul },
    { "sigmoid", 1, D, { { 0 }, { 0 } }, sigmoid },
    { "silu", 1, D, { { 0 }, { 0 } }, silu },
    { "relu2_mul", 2, INNER, { { 0 }, { 0 } }, relu2 },
    { "relu2_mul of its own", 2, INNER, { { 0 }, { 0 } }, relu2_own },
    { "gated_conv", 1, D, { { D, D / GROUPS, TAPS }, { D, D / GROUPS, TAPS }, { D } }, conv },
    { "gated_conv of one group", 1, D, { { D, D, TAPS }, { D, D, TAPS }, { D } }, dense },
    { "add to a sigmoid", 2, D, { { 0 }, { 0 } }, add_kept },
    { "residual", 2, D, { { 0 }, { 0 } }, residual },
};

typedef struct { float *v, *g, *u; long n; } Block;      /* one thing to differentiate by */
typedef struct {
    Case c;
    Block block[MAX_IN + MAX_PARAM];
    int blocks;
    float *r;
    const Op *op;
} Bench;

static float *normal(Arena *a, long n, Rng *r)
{
    float *x = arena_get(a, sizeof(float) * (size_t)n);
    for (long i = 0; i < n; i++) x[i] = (float)rng_normal(r);
    return x;
}

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
        b->c.in[i] = (Var){ normal(a, n, r), &b->c.grad[i], B * T, op->cols, NULL };
        add_block(b, b->c.in[i].v, b->c.grad[i].p, n, a);
    }
    for (int i = 0; i < MAX_PARAM && op->shape[i][0]; i++) {
        b->c.p[i] = params_add(ps, arena_text(a, "%d", i), op->shape[i], GROUP_ADAMW, OWNER_CORE);
        const long n = b->c.p[i]->n, fan = n / op->shape[i][0];
        const float *unit = normal(a, n, r), size = fan > 32 ? sqrtf(32.0f / (float)fan) : 1;
        for (long k = 0; k < n; k++) b->c.p[i]->v[k] = size * unit[k];
        add_block(b, b->c.p[i]->v, b->c.p[i]->g, b->c.p[i]->n, a);
    }
    int *tok = arena_get(a, sizeof(int) * B * T);
    for (int i = 0; i < B * T; i++) tok[i] = (int)rng_below(r, V);
    b->c.tok = tok;
    b->r = normal(a, (long)B * T * D, r);
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

static const char *differentiate(Bench *b, const char *isa, int threads, uint64_t seed, Rng *r,
                                 Arena *a)
{
    const double h = 2e-3, tolerance = 2e-3;
    for (int k = 0; k < b->blocks; k++)
        memset(b->block[k].g, 0, sizeof(float) * (size_t)b->block[k].n);
    loss(b, 1);
    for (int u = 0; u < DIRECTIONS; u++) {
        const double size = choose(b, u, r), expected = along(b);
        move(b, h);
        const double up = loss(b, 0);
        move(b, -2 * h);
        const double down = loss(b, 0);
        move(b, h);
        const double error = fabs((up - down) / (2 * h) - expected) / size;
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

/* |a - b| <= 1e-5 max|b| */
static int close_to(const float *x, const double *ref, long n)
{
    double top = 0, worst = 0;
    for (long i = 0; i < n; i++) {
        top = fabs(ref[i]) > top ? fabs(ref[i]) : top;
        const double e = fabs((double)x[i] - ref[i]);
        worst = e > worst || isnan(e) ? e : worst;
    }
    return worst <= 1e-5 * top;
}

/* C = A B */
static void product(double *C, const double *A, const double *Bm, int m, int n, int k)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double s = 0;
            for (int p = 0; p < k; p++) s += A[(size_t)i * k + p] * Bm[(size_t)p * n + j];
            C[(size_t)i * n + j] = s;
        }
}

static double *transposed(Arena *a, const double *x, int rows, int cols)
{
    double *y = arena_get(a, sizeof(double) * (size_t)rows * (size_t)cols);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) y[(size_t)j * rows + i] = x[(size_t)i * cols + j];
    return y;
}

static double *quantised_weight(Arena *a, const Param *w, int v3)
{
    double *q = arena_get(a, sizeof(double) * (size_t)w->n), mean = 0;
    for (long i = 0; i < w->n; i++) mean += fabs((double)w->v[i]) / (double)w->n;
    for (long i = 0; i < w->n; i++) {
        const double x = (double)w->v[i], c = rint(x / mean);
        q[i] = v3 ? (x > mean) - (x < -mean) : mean * (c < -1 ? -1 : c > 1 ? 1 : c);
    }
    return q;
}

static double *quantised_rows(Arena *a, const float *x, int n, int d, int int8)
{
    double *q = arena_get(a, sizeof(double) * (size_t)n * (size_t)d);
    for (int t = 0; t < n; t++) {
        double m = 1e-5;
        for (int i = 0; i < d; i++)
            m = fabs((double)x[(size_t)t * d + i]) > m ? fabs((double)x[(size_t)t * d + i]) : m;
        for (int i = 0; i < d; i++) {
            const double v = (double)x[(size_t)t * d + i];
            q[(size_t)t * d + i] = int8 ? rint(v * 127 / m) * m / 127 : v;
        }
    }
    return q;
}

static const char *ternary_linear(const Exec *e, const char *quant, const char *act, uint64_t seed,
                                  Arena *a)
{
    Rng r = rng_at(seed, STREAM_CHECK, 77);
    Spec *s = spec_new(a);
    const int n = B * T, rows = INNER, cols = D;
    if (spec_set(s, arena_text(a, "quant=%s", quant)) || spec_set(s, arena_text(a, "act=%s", act)))
        CHECK(0);
    Tape *t = tape_new(e, s, a, PASS);
    Params *ps = params_new(a);
    Param *w = params_add(ps, "w", (int[]){ rows, cols, 0 }, GROUP_NORMUON, OWNER_CORE);
    param_normal(w, seed, 1, 0.1);
    Grad dx_ = { .p = arena_get(a, sizeof(float) * (size_t)(n * cols)),
                 .bytes = sizeof(float) * (size_t)(n * cols),
                 .kept = 1 };
    Var x = { normal(a, (long)n * cols, &r), &dx_, n, cols, NULL };
    float *dy = normal(a, (long)n * rows, &r);
    tape_reset(t, 1);
    Var y = op_linear(t, x, w, 1);
    memcpy(tape_grad(t, y), dy, sizeof(float) * (size_t)(n * rows));
    double *q = quantised_weight(a, w, !strcmp(quant, "v3")),
           *xq = quantised_rows(a, x.v, n, cols, !strcmp(act, "int8"));
    double *ref = arena_get(a, sizeof(double) * (size_t)(n * rows)),
           *dyd = arena_get(a, sizeof(double) * (size_t)(n * rows));
    double *dx = arena_get(a, sizeof(double) * (size_t)(n * cols)),
           *dw = arena_get(a, sizeof(double) * (size_t)(rows * cols));
    for (int i = 0; i < n * rows; i++) dyd[i] = (double)dy[i];
    product(ref, xq, transposed(a, q, rows, cols), n, rows, cols);
    const int good = close_to(y.v, ref, (long)n * rows);
    tape_backward(t);
    product(dx, dyd, q, n, cols, rows);
    product(dw, transposed(a, dyd, n, rows), xq, rows, cols, n);
    const int good_x = close_to(dx_.p, dx, (long)n * cols), good_w = close_to(w->g, dw, w->n);
    tape_drop(t);
    if (good && good_x && good_w) return NULL;
    return arena_text(
        a, "op linear quant=%s act=%s kernel=%s: its %s differs from the definition (seed %llu)",
        quant, act, e->kernel->name,
        !good     ? "value"
        : !good_x ? "gradient to x"
                  : "gradient to W",
        (unsigned long long)seed);
}

/* ---- bwd=int8: many draws of dX ---- */
enum { DRAWS = 300 };
typedef struct { Spec *s; Param *w; Var x; const float *dy; float *draw; int n, rows, cols; } Back;

static Back back_make(const char *quant, uint64_t seed, Arena *a)
{
    Rng r = rng_at(seed, STREAM_CHECK, 78);
    Back b = { spec_new(a), NULL, { 0 }, NULL, NULL, B * T, INNER, D };
    const char *words[] = { arena_text(a, "quant=%s", quant), "act=int8", "bwd=int8",
                            arena_text(a, "seed=%d", (int)(seed & 0xffff)), NULL };
    for (int i = 0; words[i]; i++) if (spec_set(b.s, words[i])) CHECK(0);
    b.w = params_add(params_new(a), "w", (int[]){ b.rows, b.cols, 0 }, GROUP_NORMUON, OWNER_CORE);
    param_normal(b.w, seed, 1, 0.1);
    b.x = (Var){ normal(a, (long)b.n * b.cols, &r), NULL, b.n, b.cols, NULL };
    float *dy = normal(a, (long)b.n * b.rows, &r);
    for (int i = 0; i < b.n; i++)                      /* gradients are small, and not all alike */
        for (int j = 0; j < b.rows; j++)
            dy[(size_t)i * b.rows + j] *= i == 3 ? 0 : 1e-6f * (float)(1 + i);
    /* two that are the same */
    memcpy(dy + 5 * b.rows, dy + 4 * b.rows, sizeof(float) * (size_t)b.rows);
    b.dy = dy;
    b.draw = arena_get(a, sizeof(float) * (size_t)DRAWS * (size_t)b.n * (size_t)b.cols);
    return b;
}

/* `draws` draws of dX, (n, cols) each, from a new cache; every second one onto what is there
 * already */
static void back_draws(const Back *b, const Exec *e, int draws, float *out, Arena *a)
{
    Tape *t = tape_new(e, b->s, a, PASS);
    const size_t all = (size_t)b->n * (size_t)b->cols;
    const float there = 1e-4f;
    b->w->cache = NULL;
    for (int k = 0; k < draws; k++) {
        Grad g = { .p = k % 2 ? out + (size_t)k * all : NULL, .bytes = sizeof(float) * all };
        Var x = { b->x.v, &g, b->n, b->cols, NULL };
        for (size_t i = 0; i < all && g.p; i++) g.p[i] = there;
        tape_reset(t, 1);
        Var y = op_linear(t, x, b->w, 1);
        memcpy(tape_grad(t, y), b->dy, sizeof(float) * (size_t)b->n * (size_t)b->rows);
        tape_backward(t);
        for (size_t i = 0; i < all; i++) out[(size_t)k * all + i] = g.p[i] - (k % 2 ? there : 0);
    }
    tape_drop(t);
}

/* The exact dX, and the variance of a draw: a value f above an integer is rounded with variance f
 * (1 - f); float ends at 2^-17 of a level */
static void back_exact(const Back *b, const double *q, double *dx, double *var)
{
    memset(dx, 0, sizeof(double) * (size_t)(b->n * b->cols));
    memset(var, 0, sizeof(double) * (size_t)(b->n * b->cols));
    for (int i = 0; i < b->n; i++) {
        const float *dy = b->dy + (size_t)i * b->rows;
        double top = 0;
        for (int r = 0; r < b->rows; r++) top = fmax(top, fabs((double)dy[r]));
        for (int r = 0; r < b->rows && top > 0; r++) {
            const double inv = top / 127, v = (double)dy[r] / inv, f = v - floor(v);
            for (int c = 0; c < b->cols; c++) {
                const double w = q[(size_t)r * b->cols + c];
                dx[(size_t)i * b->cols + c] += (double)dy[r] * w;
                var[(size_t)i * b->cols + c] += inv * inv * w * w * (f * (1 - f) + 1e-5);
            }
        }
    }
}

static double cosine(const float *x, const double *ref, long n)
{
    double xr = 0, xx = 0, rr = 0;
    for (long i = 0; i < n; i++) {
        xr += (double)x[i] * ref[i];
        xx += (double)x[i] * (double)x[i];
        rr += ref[i] * ref[i];
    }
    return xr / sqrt(xx * rr);
}

/* Over the draws: |mean - exact| in standard errors, the largest and the mean square; the worst
 * cosine of one draw */
static const char *back_statistics(const Back *b, const double *dx, const double *var, Arena *a)
{
    const long all = (long)b->n * b->cols;
    double worst = 0, square = 0, least = 1;
    long counted = 0;
    for (int k = 0; k < DRAWS; k++)
        least = fmin(least, cosine(b->draw + (size_t)k * (size_t)all, dx, all));
    for (long i = 0; i < all; i++) {
        double mean = 0;
        for (int k = 0; k < DRAWS; k++)
            mean += (double)b->draw[(size_t)k * (size_t)all + (size_t)i] / DRAWS;
        if (var[i] <= 0) {
            if (fabs(mean) > 0) return "the gradient of zeros is not zero";
            continue;
        }
        const double z = fabs(mean - dx[i]) / sqrt(var[i] / DRAWS);
        worst = fmax(worst, z);
        square += z * z;
        counted++;
    }
    square /= (double)counted;
    if (!(worst < 6))
        return arena_text(a, "the mean of %d draws is %.1f standard errors from the exact gradient",
                          DRAWS, worst);
    if (!(square > 0.7 && square < 1.4))
        return arena_text(a, "the mean of %d draws scatters by %.2f of the variance expected",
                          DRAWS, square);
    return least > 0.999 ? NULL
                         : arena_text(a, "a draw has cosine %.5f with the exact gradient", least);
}

/* E dX exact, each draw close to it and unlike the others; the same again, on any number of threads
 */
static const char *random_back(const Exec *e, const char *quant, uint64_t seed, Arena *a)
{
    Back b = back_make(quant, seed, a);
    const size_t all = (size_t)b.n * (size_t)b.cols, bytes = sizeof(float) * all;
    double *dx = arena_get(a, sizeof(double) * all), *var = arena_get(a, sizeof(double) * all);
    float *again = arena_get(a, 2 * bytes);
    Exec other = *e;
    other.threads = 3;
    back_exact(&b, quantised_weight(a, b.w, !strcmp(quant, "v3")), dx, var);
    back_draws(&b, e, DRAWS, b.draw, a);
    const char *why = back_statistics(&b, dx, var, a);
    back_draws(&b, &other, 2, again, a);
    if (!why && memcmp(again, b.draw, 2 * bytes))
        why = "the same seed on three threads draws something else";
    if (!why && !memcmp(b.draw, b.draw + 2 * all, bytes))
        why = "two gradients of one step draw the same";
    if (!why && !memcmp(b.draw + 4 * b.cols, b.draw + 5 * b.cols, sizeof(float) * (size_t)b.cols))
        why = "two rows draw the same";
    b.w->steps++;
    back_draws(&b, e, 1, again, a);
    if (!why && !memcmp(again, b.draw, bytes)) why = "two steps draw the same";
    return why ? arena_text(a, "op linear quant=%s bwd=int8 kernel=%s: %s (seed %llu)", quant,
                            e->kernel->name, why, (unsigned long long)seed)
               : NULL;
}

/* RMSNorm and quantisation in one pass give what they give one after the other, to the bit; every
 * code within half a step of its value; the row of zeros too. And max finds what a loop finds. */
static const char *fused_rows(const F32 *f, uint64_t seed, Arena *a)
{
    enum { ROWS = 5, MOST = 683 };
    static const int widths[] = { 1, 3, 31, 64, 256, MOST };
    Rng r = rng_at(seed, STREAM_CHECK, 79);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const int d = widths[i], bits = 1 + (int)rng_below(&r, 8);
        const size_t all = (size_t)ROWS * (size_t)d;
        float *x = normal(a, (long)all, &r), *gain = normal(a, d, &r), y[2][ROWS * MOST],
              rstd[2][ROWS], inv[2][ROWS];
        int8_t q[2][ROWS * MOST];
        memset(x + d, 0, sizeof *x * (size_t)d);
        f->rmsnorm(y[0], rstd[0], x, gain, ROWS, d, 1e-6f);
        f->quant_rows(q[0], inv[0], y[0], ROWS, d, bits);
        f->rmsnorm_quant(y[1], rstd[1], q[1], inv[1], x, gain, ROWS, d, 1e-6f, bits);
        if (memcmp(y[0], y[1], sizeof(float) * all) || memcmp(rstd[0], rstd[1], sizeof rstd[0]) ||
            memcmp(q[0], q[1], all) || memcmp(inv[0], inv[1], sizeof inv[0]))
            return arena_text(
                a, "rmsnorm_quant (%s, d %d, %d bits) differs from rmsnorm and quant_rows", f->isa,
                d, bits);
        for (size_t k = 0; k < all; k++)
            if (bits > 1 &&
                fabsf(y[0][k] - inv[0][k / (size_t)d] * q[0][k]) > 0.50001f * inv[0][k / (size_t)d])
                return arena_text(a, "quant_rows (%s, d %d, %d bits): %g became %d steps of %g",
                                  f->isa, d, bits, (double)y[0][k], q[0][k],
                                  (double)inv[0][k / (size_t)d]);
        float top = -INFINITY;
        for (int k = 0; k < d; k++) top = fmaxf(top, x[k] - 9);
        for (int k = 0; k < d; k++) y[0][k] = x[k] - 9;
        if (f->max(y[0], d) != top)
            return arena_text(a, "max (%s, n %d) is %g, expected %g", f->isa, d,
                              (double)f->max(y[0], d), (double)top);
    }
    return NULL;
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
    static const char *const quants[] = { "v3", "absmean" }, *const acts[] = { "f32", "int8" };
    for (int q = 0; q < 4 && !why; q++)
        why = ternary_linear(e, quants[q / 2], acts[q % 2], seed, a);
    for (int q = 0; q < 2 && !why; q++) why = random_back(e, quants[q], seed, a);
    if (!why) why = fused_rows(f, seed, a);
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
        for (int threads = 1; threads <= 2 && !why; threads++)
            why = with_table(f32_tables[i], threads, seed, a);
    }
    return why;
}
