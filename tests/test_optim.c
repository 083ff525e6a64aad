/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The optimiser: Newton-Schulz and NorMuon against their definitions in double; update=rows against
 * update=dense; optimizer=adamw against AdamW in double. */
#include "models/normuon.h"
#include "models/step.h"
#include "tests/test.h"
#include <math.h>
#include <string.h>

static Arena arena;
static int start(void **state) { (void)state; arena = arena_new((size_t)1 << 34); return 0; }
static int stop(void **state) { (void)state; arena_drop(&arena); return 0; }

static Spec *spec_of(int threads, const char *word)
{
    Spec *s = spec_new(&arena);
    assert_null(spec_set(s, arena_text(&arena, "threads=%d", threads)));
    if (word) assert_null(spec_set(s, word));
    return s;
}

static const Exec *exec_of(const Spec *s)
{
    const char *why;
    const Exec *e = exec_make(s, &arena, &why);
    if (!e) fail_msg("%s", why);
    return e;
}

/* ---- NorMuon ---- */

/* falling = 0: N(0, 1); otherwise a sum of random outer products, the q-th falling as exp(-falling
 * q): ill-conditioned in directions that are not those of rows or columns */
static float *matrix(int rows, int cols, double falling, Rng *rng)
{
    const int rank = rows < cols ? rows : cols;
    const size_t n = (size_t)rows * (size_t)cols;
    double *m = arena_get(&arena, sizeof *m * n),
           *u = arena_raw(&arena, sizeof *u * (size_t)(rows + cols));
    float *M = arena_raw(&arena, sizeof *M * n);
    for (size_t i = 0; i < n && falling == 0; i++) m[i] = rng_normal(rng);
    for (int q = 0; q < rank && falling > 0; q++) {
        for (int i = 0; i < rows + cols; i++) u[i] = rng_normal(rng);
        for (size_t i = 0; i < n; i++)
            m[i] += exp(-falling * q) * u[i / (size_t)cols] * u[(size_t)rows + i % (size_t)cols];
    }
    for (size_t i = 0; i < n; i++) M[i] = (float)m[i];
    return M;
}

/* five times X = 3.4445 X - 4.7750 (X X') X + 2.0315 (X X')(X X') X, in double */
static double *definition(const float *M, int rows, int cols)
{
    const size_t n = (size_t)rows * (size_t)cols;
    double *X = arena_raw(&arena, sizeof *X * n), *AX = arena_raw(&arena, sizeof *X * n);
    double *AAX = arena_raw(&arena, sizeof *X * n);
    double *A = arena_raw(&arena, sizeof *A * (size_t)rows * (size_t)rows);
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)M[i] * (double)M[i];
    for (size_t i = 0; i < n; i++) X[i] = (double)M[i] / (sqrt(sum) + 1e-7);
    for (int step = 0; step < 5; step++) {
        memset(A, 0, sizeof *A * (size_t)rows * (size_t)rows);
        memset(AX, 0, sizeof *X * n);
        memset(AAX, 0, sizeof *X * n);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < rows; j++)
                for (int k = 0; k < cols; k++) A[i * rows + j] += X[i * cols + k] * X[j * cols + k];
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < rows; j++)
                for (int k = 0; k < cols; k++)
                    AX[i * cols + k] += A[i * rows + j] * X[j * cols + k];
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < rows; j++)
                for (int k = 0; k < cols; k++)
                    AAX[i * cols + k] += A[i * rows + j] * AX[j * cols + k];
        for (size_t i = 0; i < n; i++) X[i] = 3.4445 * X[i] - 4.7750 * AX[i] + 2.0315 * AAX[i];
    }
    return X;
}

/* |x - ref| <= tolerance max|ref| */
static void near(const char *what, const float *x, const double *ref, long n, double tolerance)
{
    double top = 0;
    for (long i = 0; i < n; i++) top = fmax(top, fabs(ref[i]));
    for (long i = 0; i < n; i++)
        if (!(fabs((double)x[i] - ref[i]) <= tolerance * top))
            fail_msg("%s: value %ld of %ld is %.9g, expected %.9g", what, i, n, (double)x[i],
                     ref[i]);
}

/* Shapes of one panel and of several, the last of them cut short, both ways round. An
 * ill-conditioned M shows when A is not made anew in time: 1e-3. */
static void newton_schulz_is_its_definition(void **state)
{
    (void)state;
    static const int shape[][2] = { { 1, 1 },   { 1, 40 },    { 7, 5 },    { 64, 64 },
                                    { 65, 80 }, { 150, 129 }, { 100, 210 } };
    Rng rng = rng_at(test_seed(), STREAM_CHECK, 31);
    for (int threads = 1; threads <= 3; threads++) {
        const Exec *e = exec_of(spec_of(threads, NULL));
        for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
            for (int hard = 0; hard < 2; hard++) {
                const int rows = shape[i][0], cols = shape[i][1];
                const float *M = matrix(rows, cols, 0.1 * hard, &rng);
                float *O = arena_raw(&arena, sizeof *O * (size_t)rows * (size_t)cols);
                normuon_ns5(e, O, M, rows, cols, &arena);
                near(arena_text(&arena, "NS5 of %d x %d, %d threads", rows, cols, threads), O,
                     definition(M, rows, cols), (long)rows * cols, 1e-4);
            }
    }
}

/* 3 and 2 steps on the shorter side: 9 and 5 products of symmetric squares; A made twice, X met
 * twice */
static void newton_schulz_is_counted(void **state)
{
    (void)state;
    const double square = 256.0 * 256 * 256, long_side = 256.0 * 256 * 683;
    assert_true(normuon_flops(683, 256) == 14 * square + 2 * long_side + 2 * 2 * long_side);
    assert_true(normuon_flops(256, 683) == normuon_flops(683, 256));
}

enum { ROWS = 90, COLS = 70, N = ROWS * COLS };
static const double CLIP = 0.4, RATE = 0.03, KEEP = 0.9;

/* one step, in double but for NS5's argument */
static void normuon_step(double *v, double *m, double *s, double *ema, const float *g)
{
    double norm = 0;
    float *M = arena_raw(&arena, sizeof *M * N);
    for (int i = 0; i < N; i++) M[i] = (float)(m[i] = 0.95 * m[i] + 0.05 * CLIP * (double)g[i]);
    double *O = definition(M, ROWS, COLS);
    for (int r = 0; r < ROWS; r++) {
        double mean = 0;
        for (int c = 0; c < COLS; c++) mean += O[r * COLS + c] * O[r * COLS + c] / COLS;
        s[r] = 0.999 * s[r] + 0.001 * mean;
        for (int c = 0; c < COLS; c++) O[r * COLS + c] /= sqrt(s[r]) + 1e-8;
    }
    for (int i = 0; i < N; i++) norm += O[i] * O[i];
    for (int i = 0; i < N; i++) {
        v[i] -= RATE * 0.2 * sqrt(N) / (sqrt(norm) + 1e-8) * O[i];
        ema[i] = KEEP * ema[i] + (1 - KEEP) * v[i];
    }
}

static void normuon_is_its_definition(void **state)
{
    (void)state;
    Rng rng = rng_at(test_seed(), STREAM_CHECK, 32);
    for (int threads = 1; threads <= 2; threads++) {
        static double v[N], m[N], s[ROWS], ema[N];
        const Spec *spec = spec_of(threads, NULL);
        const Exec *e = exec_of(spec);
        Params *ps = params_new(&arena);
        Param *p = params_add(ps, "p", (int[]){ ROWS, COLS, 0 }, GROUP_NORMUON, OWNER_CORE);
        param_normal(p, 5, 1, 0.1);
        optim_new(spec, e, ps, &arena);
        memset(m, 0, sizeof m);
        memset(s, 0, sizeof s);
        for (int i = 0; i < N; i++) v[i] = ema[i] = (double)p->v[i];
        for (int step = 0; step < 3; step++) {
            const float *g = matrix(ROWS, COLS, 0, &rng);
            memcpy(p->g, g, sizeof *g * N);
            normuon_step(v, m, s, ema, g);
            normuon_update(e, p, (float)CLIP, (float)RATE, (float)KEEP, &arena);
            for (int i = 0; i < N; i++) assert_true(p->g[i] == 0);
        }
        near("m", p->m, m, N, 1e-6);
        near("s", p->s, s, ROWS, 2e-5);
        near("v", p->v, v, N, 1e-6);
        near("ema", p->ema, ema, N, 1e-6);
    }
}

/* ---- update=rows ---- */

/* a matrix shared by threads, one that is not, a convolution and a vector */
typedef struct { Optim *o; Params *ps; } Lot;

static Lot lot(int threads, const char *update)
{
    static const int shape[][4] = { { 301, 33, 0 }, { 20, 7, 0 }, { 8, 4, 3, 0 }, { 65, 0 } };
    Spec *s = spec_of(threads, update);
    assert_null(spec_set(s, "clip=0.5"));
    Lot l = { NULL, params_new(&arena) };
    for (int i = 0; i < 4; i++) {
        const char *name = arena_text(&arena, "p%d", i);
        Param *p = params_add(l.ps, name, shape[i], GROUP_ADAMW, OWNER_HEAD);
        param_normal(p, 3, (uint64_t)i, 0.3);
    }
    l.o = optim_new(s, exec_of(s), l.ps, &arena);
    return l;
}

/* the same random gradient in both; in rows that are not touched there is none, and of b, which
 * must not be read, NaN */
static void gradients(const Lot *a, const Lot *b, double share, Rng *rng)
{
    for (int i = 0; i < a->ps->n; i++) {
        Param *p = a->ps->p[i], *q = b->ps->p[i];
        for (int r = 0; r < p->rows; r++) {
            const int has = !q->touched || rng_uniform(rng) < share;
            if (has) param_touch(q, r);
            for (int c = r * p->cols; c < (r + 1) * p->cols; c++) {
                p->g[c] = has ? (float)rng_normal(rng) : 0;
                q->g[c] = has ? p->g[c] : NAN;
            }
        }
    }
}

static double update(const Lot *l, double scale)
{
    const double norm = optim_norm(l->o, OWNER_HEAD);
    optim_begin(l->o, scale, sqrt(norm));
    optim_update(l->o, OWNER_HEAD);
    return norm;
}

static void same(const float *x, const float *y, size_t n)
{
    assert_memory_equal(x, y, sizeof *x * n);
}

static void all_rows_are_dense(void **state)
{
    (void)state;
    Rng rng = rng_at(test_seed(), STREAM_CHECK, 33);
    for (int threads = 1; threads <= 3; threads++) {
        const Lot a = lot(threads, "update=dense"), b = lot(threads, "update=rows");
        for (int step = 0; step < 4; step++) {
            gradients(&a, &b, 2, &rng);
            assert_true(update(&a, 0.5) == update(&b, 0.5));
        }
        for (int i = 0; i < a.ps->n; i++) {
            const Param *p = a.ps->p[i], *q = b.ps->p[i];
            assert_null(p->touched);
            assert_int_equal(q->touched != NULL, i < 2);
            same(p->v, q->v, (size_t)p->n);
            same(p->m, q->m, (size_t)p->n);
            same(p->s, q->s, (size_t)p->n);
            same(p->ema, q->ema, (size_t)p->n);
        }
    }
}

/* Rows that a step does not touch are as they were, to the bit; those it does touch are as if they
 * were alone. */
static void other_rows_are_left_alone(void **state)
{
    (void)state;
    Rng rng = rng_at(test_seed(), STREAM_CHECK, 34);
    for (int threads = 1; threads <= 3; threads++) {
        const Lot a = lot(threads, "update=dense"), b = lot(threads, "update=rows");
        Param *p = b.ps->p[0];
        const size_t d = (size_t)p->cols, all = sizeof(float) * (size_t)p->n;
        float *was[4], *const now[4] = { p->v, p->m, p->s, p->ema };
        char touched[301];
        for (int k = 0; k < 4; k++) was[k] = arena_raw(&arena, all);
        for (int step = 0; step < 5; step++) {
            gradients(&a, &b, step == 3 ? 0 : 0.3, &rng);
            memcpy(touched, p->touched, sizeof touched);
            for (int k = 0; k < 4; k++) memcpy(was[k], now[k], all);
            const double dense = update(&a, 0.5), rows = update(&b, 0.5);
            assert_true(fabs(rows / dense - 1) < 1e-6);
            for (int k = 0; k < 4; k++)
                for (size_t r = 0; r < 301; r++) {
                    const int kept = !memcmp(was[k] + r * d, now[k] + r * d, sizeof(float) * d);
                    if (kept == touched[r])
                        fail_msg("step %d, row %zu: touched %d, kept %d", step, r, touched[r],
                                 kept);
                }
            for (size_t r = 0; r < 301 && step == 0; r++)
                for (size_t i = r * d; i < (r + 1) * d && touched[r]; i++)
                    assert_true(fabsf(p->v[i] - a.ps->p[0]->v[i]) < 1e-6f && p->g[i] == 0);
            assert_int_equal(p->steps, step + 1);
            for (int i = 0; i < 2; i++)
                for (int r = 0; r < b.ps->p[i]->rows; r++)
                    assert_int_equal(b.ps->p[i]->touched[r], 0);
        }
    }
}

static void an_embedding_touches_its_tokens(void **state)
{
    (void)state;
    enum { V = 12, D = 5 };
    static const int tok[] = { 3, 7, 3, 11 };
    Spec *s = spec_of(1, "update=rows");
    Params *ps = params_new(&arena);
    Param *p = params_add(ps, "p", (int[]){ V, D, 0 }, GROUP_ADAMW, OWNER_CORE);
    const Exec *e = exec_of(s);
    optim_new(s, e, ps, &arena);
    Tape *t = tape_new(e, s, &arena, 1 << 20);
    for (p->frozen = 0; p->frozen < 2; p->frozen++) {
        memset(p->touched, 0, V);
        tape_reset(t, 1);
        Var y = op_embed(t, p, tok, 4);
        tape_grad(t, y)[0] = 1;
        tape_backward(t);
        for (int v = 0; v < V; v++)
            assert_int_equal(p->touched[v], !p->frozen && (v == 3 || v == 7 || v == 11));
    }
    tape_drop(t);
}

/* ---- optimizer=adamw ---- */

enum { SMALL_V = 31, SMALL_STEPS = 3 };
static const double SMALL_LR = 3e-3, SMALL_DECAY = 0.1, SMALL_KEEP = 0.9, SMALL_CLIP = 0.05;

/* v, m, s and ema of every parameter, in double */
typedef struct { double *v, *m, *s, *ema; } Moments;

static void random_tokens(void *ctx, uint64_t seed, long step, int micro, int B, int T, int *x,
                          int *y)
{
    (void)ctx;
    (void)micro;
    Rng r = rng_at(seed, STREAM_CHECK, (uint64_t)step);
    for (int i = 0; i < B * T; i++) {
        x[i] = (int)rng_below(&r, SMALL_V);
        y[i] = (int)rng_below(&r, SMALL_V);
    }
}

static Moments *moments_of(const Params *ps)
{
    Moments *all = arena_get(&arena, sizeof *all * (size_t)ps->n);
    for (int i = 0; i < ps->n; i++) {
        const Param *p = ps->p[i];
        double **part[] = { &all[i].v, &all[i].m, &all[i].s, &all[i].ema };
        for (int k = 0; k < 4; k++) *part[k] = arena_get(&arena, sizeof(double) * (size_t)p->n);
        for (long j = 0; j < p->n; j++) all[i].v[j] = all[i].ema[j] = (double)p->v[j];
    }
    return all;
}

/* Step t, from 1, of AdamW as its paper has it: moments without bias, decay beside the gradient */
static void plain_adamw(Moments *q, const Param *p, int t, double clip)
{
    const double decay = p->ndim > 1 ? SMALL_DECAY : 0;
    for (long i = 0; i < p->n; i++) {
        const double g = clip * (double)p->g[i];
        q->m[i] = 0.9 * q->m[i] + 0.1 * g;
        q->s[i] = 0.95 * q->s[i] + 0.05 * g * g;
        const double m = q->m[i] / (1 - pow(0.9, t)), s = q->s[i] / (1 - pow(0.95, t));
        q->v[i] -= SMALL_LR * (m / (sqrt(s) + 1e-8) + decay * q->v[i]);
        q->ema[i] = SMALL_KEEP * q->ema[i] + (1 - SMALL_KEEP) * q->v[i];
    }
}

static const char *const small_model[] = { "d=32", "inner=20", "conv_groups=4", "tied=1",
                                           "optimizer=adamw", "lr=3e-3", "clip=0.05", "ema=0.9" };

static Step small_step(const Spec *s, const Exec *e, Params *ps)
{
    static long freq[SMALL_V];
    Step step = { .model = model_find("flashlm3"), .head = head_find("softmax"), .d = 32 };
    for (int i = 0; i < SMALL_V; i++) freq[i] = 1;
    const HeadData data = { .V = SMALL_V, .freq = freq };
    step.m = step.model->make(s, e, ps, SMALL_V, &arena);
    step.h = step.head->make(s, e, ps, &data, step.d, &arena);
    assert_non_null(step.h);
    step.optim = optim_new(s, e, ps, &arena);
    step.tape = tape_new(e, s, &arena, 64 << 20);
    return step;
}

/* Every parameter of a small model, its ternary matrices too, after three steps of training */
static void adamw_for_all_is_plain_adamw(void **state)
{
    (void)state;
    Spec *s = spec_of(2, "update=rows");
    for (size_t i = 0; i < sizeof small_model / sizeof *small_model; i++)
        assert_null(spec_set(s, small_model[i]));
    Params *ps = params_new(&arena);
    const Step step = small_step(s, exec_of(s), ps);
    Batch *b = batch_new(2, 12, 24, step.d, &arena);
    Moments *all = moments_of(ps);
    for (int t = 1; t <= SMALL_STEPS; t++) {
        objective_next_token.draw(b, random_tokens, NULL, test_seed(), t, 0);
        objective_next_token.pass(&step, b, 1.0f / 24);
        const double norm = step_norm(&step);
        assert_true(norm > SMALL_CLIP);
        for (int i = 0; i < ps->n; i++)
            if (ps->p[i]->trainable)
                plain_adamw(&all[i], ps->p[i], t, SMALL_CLIP / (norm + 1e-6));
        step_update(&step, 1, norm);
    }
    for (int i = 0; i < ps->n; i++) {
        const Param *p = ps->p[i];
        assert_true(p->group != GROUP_NORMUON || !p->trainable);
        near(p->name, p->v, all[i].v, p->n, 1e-5);
        if (p->trainable) near(p->name, p->ema, all[i].ema, p->n, 1e-5);
    }
    assert_true(optim_flops(ps) == 0);
    tape_drop(step.tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(newton_schulz_is_its_definition),
                                        cmocka_unit_test(newton_schulz_is_counted),
                                        cmocka_unit_test(normuon_is_its_definition),
                                        cmocka_unit_test(all_rows_are_dense),
                                        cmocka_unit_test(other_rows_are_left_alone),
                                        cmocka_unit_test(an_embedding_touches_its_tokens),
                                        cmocka_unit_test(adamw_for_all_is_plain_adamw) };
    return cmocka_run_group_tests(tests, start, stop);
}
