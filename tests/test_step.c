/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The training step against what it is defined to be: a golden run of an independent program, loss
 * at some positions, accumulation, schedules, phases, evaluation with averaged weights. */
#include "harness/laws/laws.h"
#include "harness/train/session.h"
#include "harness/train/trainer.h"
#include "tests/place.h"
#include <math.h>

/* ---- a golden run: two steps of FlashLM v3 by PyTorch, in tests/data ---- */
static void golden_run(const char *name)
{
    Arena a = arena_new((size_t)1 << 34);
    int bad = 0;
    const char *dir = arena_text(&a, "%s/tests/data/%s", getenv("EIGHTYSIX_ROOT"), name);
    holds(law_parity(dir, stdout, &bad, &a));
    assert_int_equal(bad, 0);
    arena_drop(&a);
}

static void a_golden_run_repeats(void **state)
{
    (void)state;
    golden_run("v3_tiny");
}

static void a_golden_run_at_a_quarter_of_the_positions_repeats(void **state)
{
    (void)state;
    golden_run("v3_tiny_quarter");
}

/* ---- sessions of small models ---- */
static const char *const small[] = {
    "corpus=synth", "V=97", "train_tokens=20000", "valid_tokens=600", "d=32", "inner=85",
    "conv_groups=4", "dilations=1,4,8", "batch=2", "seq=24", "threads=1", "gemm=portable", NULL
};

static Spec *small_spec(Arena *a, const char *const *more)
{
    Spec *s = spec_new(a);
    for (int i = 0; small[i]; i++) holds(spec_set(s, small[i]));
    for (int i = 0; more[i]; i++) holds(spec_set(s, more[i]));
    return s;
}

/* Token i is i, and the token to come 1000 + i */
static void count(void *ctx, uint64_t seed, long step, int micro, int B, int T, int *x, int *y)
{
    (void)ctx;
    (void)seed;
    (void)step;
    (void)micro;
    for (int i = 0; i < B * T; i++) {
        x[i] = i;
        y[i] = 1000 + i;
    }
}

/* Positions are distinct, in order, each as likely as any other, and have the target of their own
 * token. */
static void supervised_positions_are_aligned(void **state)
{
    (void)state;
    enum { B = 2, T = 8, SOME = 4, DRAWS = 4000 };
    Arena a = arena_new(1 << 24);
    Batch *b = batch_new(B, T, SOME, 1, &a);
    const uint64_t seed = test_seed();
    int seen[B * T] = { 0 };
    for (int step = 0; step < DRAWS; step++) {
        objective_next_token.draw(b, count, NULL, seed, step, step % 3);
        for (int i = 0; i < SOME; i++) {
            assert_true(i == 0 || b->pos[i] > b->pos[i - 1]);
            assert_in_range(b->pos[i], 0, B * T - 1);
            assert_int_equal(b->target[i], 1000 + b->pos[i]);
            seen[b->pos[i]]++;
        }
    }
    /* 1000 of each are expected, with a standard deviation of 27 */
    for (int i = 0; i < B * T; i++) assert_in_range(seen[i], 850, 1150);
    arena_drop(&a);
}

/* The loss of a pass at some positions is the sum over them of -log p(target), and its gradient
 * that of a pass over all positions in which the others have none. */
static void a_pass_at_some_positions_is_its_definition(void **state)
{
    (void)state;
    static const char *const more[] = { "smoothing=0", "zloss=0", NULL };
    Arena a = arena_new(1 << 24);
    Session *s = session_make(small_spec(&a, more), NULL, SESSION_TRAINS);
    const Step step = session_step(s);
    Batch *b = batch_new(2, 24, 12, s->d, &a);
    for (int i = 0; i < 48; i++) {
        b->x[i] = (i * 31 + 5) % 97;
        b->y[i] = (i * 17 + 3) % 97;
    }
    for (int i = 0; i < 12; i++) {
        b->pos[i] = 4 * i + 1;
        b->target[i] = b->y[4 * i + 1];
    }
    const double loss = objective_next_token.pass(&step, b, 1);
    float nll[48];
    tape_reset(s->tape, 0);
    const Var h = s->model->forward(s->m, s->tape, b->x, 2, 24, NULL);
    s->head->nll(s->h, h.v, b->y, 48, nll);
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += nll[4 * i + 1];
    assert_true(fabs(loss - sum) < 1e-4 * sum);
    session_drop(s);
    arena_drop(&a);
}

/* ---- runs ---- */

/* The number that a run records under this name at this step */
static double recorded(Place *p, Spec *s, const char *name, long step)
{
    const char *path = place_in(p, "records");
    Recorder rec = { .out = fopen(path, "w") };
    char line[512];
    double value = NAN;
    assert_non_null(rec.out);
    train_cell(s, &rec);
    fclose(rec.out);
    FILE *f = fopen(path, "r");
    while (fgets(line, sizeof line, f)) {
        Record r;
        if (record_parse(line, &r) && r.kind == 'n' && r.step == step && !strcmp(r.name, name))
            value = r.value;
    }
    fclose(f);
    assert_true(isfinite(value));
    return value;
}

/* All sequences of a text of one letter are equal, so a step's gradient is that of one of them,
 * however many there are, in one batch or in several. */
static void accumulation_is_a_larger_batch(void **state)
{
    static const char *const shape[][2] = { { "batch=1", "accum=1" }, { "batch=4", "accum=1" },
                                            { "batch=1", "accum=4" }, { "batch=2", "accum=3" } };
    Place *p = *state;
    char *text = arena_raw(&p->a, 20001);
    memset(text, 'a', 20000);
    text[20000] = 0;
    const char *corpus = arena_text(&p->a, "corpus=%s", place_write(p, "a.txt", text));
    double norm[4], loss[4];
    for (int i = 0; i < 4; i++) {
        const char *more[] = { corpus,        "vocab=bytes",    "train_tokens=0", shape[i][0],
                               shape[i][1], "budget=1steps", "valid_tokens=100", NULL };
        norm[i] = recorded(p, small_spec(&p->a, more), "grad_norm", 0);
        loss[i] = recorded(p, small_spec(&p->a, more), "loss", 0);
        assert_true(norm[i] > 1e-3 && fabs(norm[i] / norm[0] - 1) < 1e-5);
        assert_true(fabs(loss[i] / loss[0] - 1) < 1e-6);
    }
}

/* ---- schedules ---- */
static double schedule(const char *name, long step, double progress)
{
    Arena a = arena_new(1 << 20);
    Spec *s = spec_new(&a);
    holds(spec_set(s, arena_text(&a, "schedule=%s", name)));
    holds(spec_set(s, "warmup=10"));
    if (!strcmp(name, "wsd")) holds(spec_set(s, "decay=0.2"));
    const double factor = optim_schedule(s, step, progress);
    arena_drop(&a);
    return factor;
}

static void schedules_are_their_definitions(void **state)
{
    (void)state;
    static const struct { const char *name; long step; double progress, factor; } at[] = {
        { "constant", 0, 0, 0.1 },     { "constant", 4, 0.5, 0.5 },   { "constant", 9, 0, 1 },
        { "constant", 500, 1, 1 },     { "wsd", 4, 0, 0.5 },          { "wsd", 100, 0.79, 1 },
        { "wsd", 100, 0.8, 1 },        { "wsd", 100, 0.9, 0.5 },      { "wsd", 100, 1, 0 },
        { "wsd", 4, 0.9, 0.25 },       { "cosine", 100, 0, 1 },       { "cosine", 100, 0.5, 0.5 },
        { "cosine", 100, 1. / 3, .75 },{ "cosine", 100, 1, 0 },       { "cosine", 4, 0.5, 0.25 },
        { "v3", 8999, 0, 1 },          { "v3", 9000, 0, 1 },          { "v3", 9500, 0, 0.5 },
        { "v3", 9999, 0, 0.001 },      { "v3", 10000, 0, 0 },         { "v3", 0, 0, 0.1 },
    };
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const double factor = schedule(at[i].name, at[i].step, at[i].progress);
        if (fabs(factor - at[i].factor) > 1e-9)
            fail_msg("%s at step %ld, %g of the budget: expected %g, found %g", at[i].name,
                     at[i].step, at[i].progress, at[i].factor, factor);
    }
}

/* FlashLM v3: T 64 and a frozen embedding below step 1000, T 128 below 4000, then T 256, accum 8 */
static void phases_of_v3(void **state)
{
    (void)state;
    static const struct { long step; int T, accum, frozen; } at[] = {
        { 0, 64, 4, 1 },     { 999, 64, 4, 1 },   { 1000, 128, 4, 0 },
        { 3999, 128, 4, 0 }, { 4000, 256, 8, 0 }, { 9999, 256, 8, 0 } };
    Arena a = arena_new(1 << 20);
    Spec *s = spec_new(&a);
    holds(spec_set(s, "phases=v3"));
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const TrainerStep p = trainer_step_plan(s, at[i].step);
        assert_int_equal(p.T, at[i].T);
        assert_int_equal(p.accum, at[i].accum);
        assert_int_equal(p.frozen, at[i].frozen);
        assert_int_equal(p.B, 4);
    }
    arena_drop(&a);
}

/* ---- evaluation ---- */
static float *all_values(const Params *ps, int ema, Arena *a, size_t *n)
{
    *n = 0;
    for (int i = 0; i < ps->n; i++) *n += (size_t)ps->p[i]->n;
    float *all = arena_raw(a, sizeof(float) * *n), *to = all;
    for (int i = 0; i < ps->n; i++) {
        const Param *q = ps->p[i];
        memcpy(to, ema && q->ema ? q->ema : q->v, sizeof(float) * (size_t)q->n);
        to += q->n;
    }
    return all;
}

/* Evaluation leaves weights and averages as they were, to the bit; with eval=ema it is that of a
 * model whose weights are the averages. */
static void evaluation_changes_nothing(void **state)
{
    (void)state;
    static const char *const more[] = { "eval=ema", "ema=0.5", NULL };
    Arena a = arena_new((size_t)1 << 28);
    Spec *raw = small_spec(&a, more);
    Session *s = session_make(small_spec(&a, more), NULL, SESSION_TRAINS);
    Rng r = rng_at(test_seed(), STREAM_CHECK, 0);
    size_t n;
    long positions;
    for (int i = 0; i < s->params->n; i++)
        for (long k = 0; k < s->params->p[i]->n && s->params->p[i]->ema; k++)
            s->params->p[i]->ema[k] += 0.01f * (float)(rng_uniform(&r) - 0.5);
    const float *v = all_values(s->params, 0, &a, &n), *ema = all_values(s->params, 1, &a, &n);
    const double of_average = session_nll(s, &positions);
    assert_memory_equal(all_values(s->params, 0, &a, &n), v, sizeof(float) * n);
    assert_memory_equal(all_values(s->params, 1, &a, &n), ema, sizeof(float) * n);
    holds(spec_set(raw, "eval=raw"));
    s->spec = raw;
    assert_true(session_nll(s, &positions) != of_average);
    for (int i = 0; i < s->params->n; i++) {
        Param *q = s->params->p[i];
        if (!q->ema) continue;
        memcpy(q->v, q->ema, sizeof(float) * (size_t)q->n);
        q->version++;
    }
    assert_true(session_nll(s, &positions) == of_average);
    session_drop(s);
    arena_drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_golden_run_repeats),
        cmocka_unit_test(a_golden_run_at_a_quarter_of_the_positions_repeats),
        cmocka_unit_test(supervised_positions_are_aligned),
        cmocka_unit_test(a_pass_at_some_positions_is_its_definition),
        cmocka_unit_test_setup_teardown(accumulation_is_a_larger_batch, place_make, place_drop),
        cmocka_unit_test(schedules_are_their_definitions),
        cmocka_unit_test(phases_of_v3),
        cmocka_unit_test(evaluation_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
