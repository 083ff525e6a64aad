/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One cell: check, train, evaluate. Four clocks are kept: seconds (of training alone), tokens read, supervised
 * positions, FLOPs (counted: three times the forward of the trunk, and what the head says of itself). */
#include "harness/train/trainer.h"
#include "harness/util/clock.h"
#include "harness/util/host.h"
#include "harness/laws/laws.h"
#include "harness/train/session.h"
#include "kernels/cpu.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { CHECKED_SHAPES = 20, WARM_STEPS = 2, COMPARE_EVERY = 100 };
typedef struct { int B, T, accum, frozen; } Plan;              /* of one step */

/* FlashLM v3's schedule of phases: T 64, 128, 256; accumulation 4, at T 256 8; the embedding frozen at first */
static Plan plan_of(const Spec *s, long step)
{
    Plan p = { (int)spec_int(s, "batch"), (int)spec_int(s, "seq"), (int)spec_int(s, "accum"), step < spec_int(s, "freeze") };
    if (spec_is(s, "phases", "v3")) {
        p.T = step < 1000 ? 64 : step < 4000 ? 128 : 256;
        p.accum = step < 4000 ? 4 : 8;
        p.frozen = step < 1000;
    }
    if (p.B < 1 || p.T < 1 || p.accum < 1) die("batch=%d seq=%d accum=%d: expected positive numbers", p.B, p.T, p.accum);
    return p;
}

static int supervised_of(const Spec *s, int n)
{
    const int part = (int)lround(spec_num(s, "fraction") * n);
    return part < 1 ? 1 : part > n ? n : part;
}

static int ascending(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

/* k of n positions, drawn without replacement, in order; pos (n) */
static void draw_positions(int *pos, int n, int k, uint64_t seed, long step, int micro)
{
    Rng r = rng_at(seed, STREAM_POSITIONS, (uint64_t)step << 16 | (uint64_t)micro);
    for (int i = 0; i < n; i++) pos[i] = i;
    for (int i = 0; i < k; i++) {
        const int j = i + (int)rng_below(&r, (uint64_t)(n - i)), swap = pos[i];
        pos[i] = pos[j];
        pos[j] = swap;
    }
    qsort(pos, (size_t)k, sizeof *pos, ascending);
}

typedef struct {
    Session *s;
    Recorder     *rec;
    Laps     laps;
    int     *x, *y, *pos, *target;
    float   *hidden, *dhidden;           /* of the drawn positions */
    size_t   room;                       /* of the above, in positions */
} Trainer;

static void make_room(Trainer *t, int n, int supervised)
{
    if ((size_t)n <= t->room) return;
    Arena *a = &t->s->arena;
    const size_t ints = sizeof(int) * (size_t)n, floats = sizeof(float) * (size_t)supervised * (size_t)t->s->d;
    t->x = arena_get(a, ints), t->y = arena_get(a, ints), t->pos = arena_get(a, ints), t->target = arena_get(a, ints);
    if (spec_num(t->s->spec, "fraction") < 1) t->hidden = arena_raw(a, floats), t->dhidden = arena_raw(a, floats);
    t->room = (size_t)n;
}

/* The head on n supervised positions: the sum of its loss; dx gets scale times the gradient */
static double head_pass(Trainer *t, const float *x, const int *y, float *dx, int n, float scale)
{
    const Session *s = t->s;
    const int chunk = s->head->chunk(s->h), d = s->d;
    double loss = 0;
    for (int i = 0; i < n; i += chunk) {
        const int m = n - i < chunk ? n - i : chunk;
        loss += s->head->forward(s->h, x + (size_t)i * d, y + i, m);
        laps_mark(&t->laps, PHASE_HEAD_FORWARD);
        s->head->backward(s->h, dx + (size_t)i * d, scale);
        laps_mark(&t->laps, PHASE_HEAD_BACKWARD);
    }
    return loss;
}

/* a ternary layer within the core's way forward or back */
static void linear_lap(void *laps, Lap what)
{
    static const Phase until_now[] = { [LAP_FORWARD] = PHASE_CORE_FORWARD, [LAP_FORWARD_END] = PHASE_LINEAR_FORWARD,
                                       [LAP_BACK] = PHASE_CORE_BACKWARD, [LAP_BACK_END] = PHASE_LINEAR_BACKWARD };
    laps_mark(laps, until_now[what]);
}

static double micro_batch(Trainer *t, const Plan *p, int micro, int supervised)
{
    Session *s = t->s;
    const int n = p->B * p->T, d = s->d;
    const uint64_t seed = (uint64_t)spec_int(s->spec, "seed");
    const float scale = 1.0f / (float)supervised / (float)p->accum;
    double loss;
    corpus_batch(s->corpus, seed, s->step, micro, p->B, p->T, t->x, t->y);
    laps_mark(&t->laps, PHASE_DATA);
    tape_reset(s->tape, 1);
    Var h = s->model->forward(s->m, s->tape, t->x, p->B, p->T, NULL);
    laps_mark(&t->laps, PHASE_CORE_FORWARD);
    if (supervised == n) loss = head_pass(t, h.v, t->y, tape_grad(s->tape, h), n, scale);
    else {
        draw_positions(t->pos, n, supervised, seed, s->step, micro);
        for (int i = 0; i < supervised; i++) {
            memcpy(t->hidden + (size_t)i * d, h.v + (size_t)t->pos[i] * d, sizeof(float) * (size_t)d);
            t->target[i] = t->y[t->pos[i]];
        }
        memset(t->dhidden, 0, sizeof(float) * (size_t)supervised * (size_t)d);
        loss = head_pass(t, t->hidden, t->target, t->dhidden, supervised, scale);
        float *dh = tape_grad(s->tape, h);
        for (int i = 0; i < supervised; i++)
            memcpy(dh + (size_t)t->pos[i] * d, t->dhidden + (size_t)i * d, sizeof(float) * (size_t)d);
    }
    laps_mark(&t->laps, PHASE_HEAD_BACKWARD);
    tape_backward(s->tape);
    laps_mark(&t->laps, PHASE_CORE_BACKWARD);
    return loss;
}

static void update(Trainer *t, double lr_scale)
{
    Session *s = t->s;
    head_flush_grads(s->head, s->h);
    laps_mark(&t->laps, PHASE_HEAD_BACKWARD);
    const double core = optim_norm(s->optim, OWNER_CORE);
    laps_mark(&t->laps, PHASE_CORE_UPDATE);
    const double head = optim_norm(s->optim, OWNER_HEAD);
    optim_begin(s->optim, lr_scale, sqrt(core + head));
    if (s->head->update) s->head->update(s->h, s->optim);
    else optim_update(s->optim, OWNER_HEAD);
    laps_mark(&t->laps, PHASE_HEAD_UPDATE);
    optim_update(s->optim, OWNER_CORE);
    laps_mark(&t->laps, PHASE_CORE_UPDATE);
}

static double progress_of(const Session *s, const Budget *b)
{
    double p = 0;
    if (b->seconds > 0) p = fmax(p, s->seconds / b->seconds);
    if (b->tokens > 0) p = fmax(p, (double)s->tokens / (double)b->tokens);
    if (b->steps > 0) p = fmax(p, (double)s->step / (double)b->steps);
    return p;
}

/* noop does not: a loss under it means nothing and is never recorded */
static int computes(const Session *s) { return s->exec->kernel->computes || spec_is(s->spec, "act", "f32"); }

static void train_step(Trainer *t, const Budget *budget)
{
    Session *s = t->s;
    const Plan p = plan_of(s->spec, s->step);
    const int n = p.B * p.T, supervised = supervised_of(s->spec, n);
    make_room(t, n, supervised);
    laps_start(&t->laps);
    const double began = t->laps.last;
    const int compare = spec_is(s->spec, "bwd", "int8") && s->step % COMPARE_EVERY == COMPARE_EVERY - 1;
    double loss = 0;
    tape_compare(s->tape, compare);
    params_find(s->params, "embedding.weight")->frozen = p.frozen;
    for (int micro = 0; micro < p.accum; micro++) loss += micro_batch(t, &p, micro, supervised);
    update(t, optim_schedule(s->spec, s->step, progress_of(s, budget)));
    laps_mark(&t->laps, PHASE_OTHER);
    const double seconds = t->laps.last - began;
    for (int k = 0; k < PHASES; k++) record_span(t->rec, phase_names[k], s->step, t->laps.sum[k]);
    record_num(t->rec, "step_s", s->step, seconds);
    if (compare) record_num(t->rec, "bwd_cosine", s->step, tape_cosine(s->tape));
    if (computes(s)) record_num(t->rec, "loss", s->step, loss / supervised / p.accum);
    record_flush(t->rec);
    s->step++;
    s->tokens += (long)n * p.accum;
    s->supervised += (long)supervised * p.accum;
    s->seconds += seconds;
    s->flops += 3 * s->model->flops(s->m) * n * p.accum + s->head->cost(s->h, supervised).flops * p.accum;
    if (!isfinite(loss)) die("the loss is not finite at step %ld; a smaller rate (lr, lr_normuon) may help", s->step - 1);
}

/* The full softmax takes over for the last part of the budget. */
static void finish(Trainer *t, const Budget *budget)
{
    Session *s = t->s;
    if (!s->last || progress_of(s, budget) < 1 - spec_num(s->spec, "finish")) return;
    session_finish(s);
    record_num(t->rec, "finish_step", s->step, (double)s->step);
}

static void evaluate(Trainer *t)
{
    Session *s = t->s;
    long n;
    if (!computes(s)) return;
    const size_t at = s->arena.used;
    const double began = clock_now(), nll = session_nll(s, &n);
    arena_reset(&s->arena, at);
    record_num(t->rec, "nll", s->step, nll);
    if (s->corpus->bytes_per_token > 0) record_num(t->rec, "bits_per_byte", s->step, nll / log(2) / s->corpus->bytes_per_token);
    record_num(t->rec, "eval_seconds", s->step, s->seconds);
    record_num(t->rec, "eval_tokens", s->step, (double)s->tokens);
    record_num(t->rec, "eval_positions", s->step, (double)n);
    record_num(t->rec, "eval_s", s->step, clock_now() - began);
    record_flush(t->rec);
}

static void describe(const Session *s, Recorder *rec)
{
    char cpu[128];
    const int int8 = spec_is(s->spec, "act", "int8");
    const Plan p = plan_of(s->spec, s->step);
    const int n = p.B * p.T;
    record_text(rec, "kernel", int8 ? s->exec->kernel->name : "dense");
    record_text(rec, "gemm", s->exec->gemm->name);
    record_text(rec, "gemm_core", s->exec->gemm->core);
    record_text(rec, "f32", s->exec->f->isa);
    record_text(rec, "isa", cpu_text(cpu_has(), cpu, sizeof cpu));
    record_text(rec, "corpus", s->corpus->name);
    record_text(rec, "vocab", s->corpus->vocab);
    if (*s->corpus->sha) record_text(rec, "corpus_sha", s->corpus->sha);
    if (s->cutoffs) record_text(rec, "cutoffs", s->cutoffs), record_num(rec, "cutoffs_s", 0, s->cutoffs_s);
    if (!isnan(s->classes_s)) record_num(rec, "classes_s", 0, s->classes_s);
    record_num(rec, "threads", 0, s->exec->threads);
    record_num(rec, "V", 0, s->corpus->V);
    record_num(rec, "params", 0, (double)params_count(s->params));
    if (!isnan(s->corpus->floor)) record_num(rec, "nll_floor", 0, s->corpus->floor);
    record_num(rec, "unigram", 0, s->corpus->unigram);
    record_num(rec, "core_flops", 0, 3 * s->model->flops(s->m));
    record_num(rec, "head_flops", 0, s->head->cost(s->h, supervised_of(s->spec, n)).flops / n);
    record_num(rec, "update_flops", 0, optim_flops(s->params));
    if (!isnan(s->embed_variance)) record_num(rec, "embed_variance", 0, s->embed_variance);
    record_flush(rec);
}

static void summarise(const Session *s, Recorder *rec, long first_step, double timed_s, long timed_tokens, long timed_supervised)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    record_num(rec, "steps", s->step, (double)s->step);
    record_num(rec, "first_step", s->step, (double)first_step);
    record_num(rec, "tokens", s->step, (double)s->tokens);
    record_num(rec, "supervised", s->step, (double)s->supervised);
    record_num(rec, "seconds", s->step, s->seconds);
    record_num(rec, "flops", s->step, s->flops);
    if (timed_s > 0) {
        record_num(rec, "tokens_per_s", s->step, (double)timed_tokens / timed_s);
        record_num(rec, "supervised_per_s", s->step, (double)timed_supervised / timed_s);
    }
    record_num(rec, "peak_rss_mb", s->step, (double)use.ru_maxrss / 1024);
    record_flush(rec);
}

/* n of every so many seconds, tokens or steps have passed */
static long periods(const Session *s, const Budget *every)
{
    if (every->seconds > 0) return (long)(s->seconds / every->seconds);
    if (every->tokens > 0) return s->tokens / every->tokens;
    return every->steps > 0 ? s->step / every->steps : 0;
}

static Budget budget_of(const Spec *spec, const char *key)
{
    Budget b;
    const char *why = spec_budget(spec_str(spec, key), &b);
    if (why) die("%s=%s: %s", key, spec_str(spec, key), why);
    return b;
}

static void check_kernel(const Session *s)
{
    const TernaryKernel *k = s->exec->kernel;
    if (!spec_is(s->spec, "act", "int8") || !k->computes) return;
    Arena a = arena_new((size_t)1 << 32);
    const char *why = law_kernel(k, (uint64_t)spec_int(s->spec, "seed"), CHECKED_SHAPES, &a);
    if (why) die("kernel=%s is not right on this machine and was not timed: %s", k->name, why);
    arena_drop(&a);
}

/* A branch of a stable phase whose decay would have begun before it is no branch. */
static void check_branch(const Session *s, const char *from, const Budget *budget)
{
    const double done = progress_of(s, budget), stable = 1 - spec_num(s->spec, "decay");
    const int branch = from && !strcmp(from, spec_str(s->spec, "from")) && spec_is(s->spec, "schedule", "wsd");
    if (!branch || done <= stable) return;
    die("from=%s: its %ld steps are %.0f %% of budget=%s; expected at most the %.0f %% before the decay", from, s->step,
        100 * done, spec_str(s->spec, "budget"), 100 * stable);
}

typedef struct { const Session *s; Recorder *rec; } Teller;
static void say(void *ctx, const char *name, double value)
{
    const Teller *t = ctx;
    record_num(t->rec, name, t->s->step, value);
}

void train_cell(const Spec *spec, Recorder *rec)
{
    const Budget budget = budget_of(spec, "budget"), evals = budget_of(spec, "eval_every"), saves = budget_of(spec, "save_every");
    const char *save = spec_str(spec, "save"), *from = session_resumes(spec), *why;
    Session *s = session_make(spec, from, 1);
    Trainer t = { .s = s, .rec = rec };
    tape_laps(s->tape, linear_lap, &t.laps);
    check_kernel(s);
    if (from && (why = checkpoint_load(s, from))) die("%s", why);
    check_branch(s, from, &budget);
    describe(s, rec);
    const long first_step = s->step;
    long evaluated = periods(s, &evals), saved = periods(s, &saves), last_eval = -1, tokens0 = s->tokens, supervised0 = s->supervised;
    double seconds0 = s->seconds;
    while (progress_of(s, &budget) < 1 && (budget.seconds > 0 || budget.tokens > 0 || budget.steps > 0)) {
        if (s->step == first_step + WARM_STEPS) seconds0 = s->seconds, tokens0 = s->tokens, supervised0 = s->supervised;
        finish(&t, &budget);
        train_step(&t, &budget);
        if (periods(s, &evals) > evaluated) evaluate(&t), evaluated = periods(s, &evals), last_eval = s->step;
        if (*save && periods(s, &saves) > saved) {
            if ((why = checkpoint_save(s, save))) die("%s", why);
            saved = periods(s, &saves);
        }
    }
    if (*save && (why = checkpoint_save(s, save))) die("%s", why);
    if (last_eval != s->step) evaluate(&t);
    if (s->head->report) s->head->report(s->h, say, &(Teller){ s, rec });
    summarise(s, rec, first_step, s->seconds - seconds0, s->tokens - tokens0, s->supervised - supervised0);
    session_drop(s);
}

int cell_main(int argc, char **argv)
{
    Arena a = arena_new(1 << 24);
    Spec *spec = spec_new(&a);
    for (int i = 1; i < argc; i++) {
        const char *why = spec_set(spec, argv[i]);
        if (why) die("%s", why);
    }
    const char *wrong = spec_check_values(spec);
    if (wrong) die("%s", wrong);
    FILE *out = fdopen(3, "w");
    Recorder rec = { out ? out : stdout };
    train_cell(spec, &rec);
    arena_drop(&a);
    return 0;
}
