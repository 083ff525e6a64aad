/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One cell: check, train, evaluate. Four clocks are kept: seconds (of training alone), tokens read,
 * supervised positions, FLOPs (counted, not measured: three times the trunk's forward, and the
 * head's own count, HeadDef.cost). */
#include "harness/train/trainer.h"
#include "harness/util/clock.h"
#include "harness/util/host.h"
#include "harness/laws/laws.h"
#include "harness/train/checkpoint.h"
#include "harness/train/evaluate.h"
#include "harness/train/saver.h"
#include "models/step.h"
#include "kernels/cpu.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { CHECKED_SHAPES = 20, WARM_STEPS = 2, COMPARE_EVERY = 100 };

TrainerStep trainer_step_plan(const Spec *s, long step)
{
    TrainerStep p = { (int)spec_int(s, "batch"), (int)spec_int(s, "seq"), (int)spec_int(s, "accum"),
               step < spec_int(s, "freeze") };
    if (spec_is(s, "phases", "v3")) {
        p.T = step < 1000 ? 64 : step < 4000 ? 128 : 256;
        p.accum = step < 4000 ? 4 : 8;
        p.frozen = step < 1000;
    }
    if (p.B < 1 || p.T < 1 || p.accum < 1)
        die("batch=%d seq=%d accum=%d: expected positive numbers", p.B, p.T, p.accum);
    return p;
}

static int trainer_supervised_of(const Spec *s, int n)
{
    const int part = (int)lround(spec_num(s, "fraction") * n);
    return part < 1 ? 1 : part > n ? n : part;
}

typedef struct {
    Session  *s;
    Recorder *rec;
    Saver     saver;
    Laps      laps;
    Batch    *batch;                     /* of the shape of the last step; NULL: there was none */
} Trainer;

/* A ternary layer within the core's forward or backward pass */
static void trainer_core_lap(void *laps, Lap what)
{
    static const Phase until_now[] = { [LAP_FORWARD] = PHASE_CORE_FORWARD,
                                       [LAP_FORWARD_END] = PHASE_LINEAR_FORWARD,
                                       [LAP_BACK] = PHASE_CORE_BACKWARD,
                                       [LAP_BACK_END] = PHASE_LINEAR_BACKWARD,
                                       [LAP_MIX] = PHASE_CORE_FORWARD,
                                       [LAP_MIX_END] = PHASE_MIX_FORWARD,
                                       [LAP_MIX_BACK] = PHASE_CORE_BACKWARD,
                                       [LAP_MIX_BACK_END] = PHASE_MIX_BACKWARD };
    laps_mark(laps, until_now[what]);
}

static void trainer_mark(void *laps, StepPart part)
{
    static const Phase phase[] = { [STEP_DATA] = PHASE_DATA,
                                   [STEP_CORE_FORWARD] = PHASE_CORE_FORWARD,
                                   [STEP_CORE_BACKWARD] = PHASE_CORE_BACKWARD,
                                   [STEP_HEAD_FORWARD] = PHASE_HEAD_FORWARD,
                                   [STEP_HEAD_BACKWARD] = PHASE_HEAD_BACKWARD,
                                   [STEP_CORE_UPDATE] = PHASE_CORE_UPDATE,
                                   [STEP_HEAD_UPDATE] = PHASE_HEAD_UPDATE };
    laps_mark(laps, phase[part]);
}

/* The parts of a step: those of the session, whose head may change during the run (finish) */
static Step trainer_step_parts(Trainer *t)
{
    Step step = session_step(t->s);
    step.mark = trainer_mark;
    step.ctx = &t->laps;
    return step;
}

static Batch *trainer_batch(Trainer *t, const TrainerStep *p, int supervised)
{
    const Batch *b = t->batch;
    if (!b || b->B != p->B || b->T != p->T || b->supervised != supervised)
        t->batch = batch_new(p->B, p->T, supervised, t->s->d, t->s->arena);
    return t->batch;
}

static double trainer_progress_of(const Session *s, const Budget *b)
{
    double p = 0;
    if (b->seconds > 0) p = fmax(p, s->seconds / b->seconds);
    if (b->tokens > 0) p = fmax(p, (double)s->tokens / (double)b->tokens);
    if (b->steps > 0) p = fmax(p, (double)s->step / (double)b->steps);
    return p;
}

/* loss: the mean in nats per supervised position; norm: of the gradient, before clipping */
static void trainer_record_step(const Trainer *t, double seconds, double loss, double norm)
{
    const long step = t->s->step;
    for (int k = 0; k < PHASES; k++) record_span(t->rec, phase_names[k], step, t->laps.sum[k]);
    record_num(t->rec, "step_s", step, seconds);
    if (evaluate_computes(t->s)) {
        record_num(t->rec, "loss", step, loss);
        record_num(t->rec, "grad_norm", step, norm);
    }
}

static void trainer_step(Trainer *t, const Budget *budget)
{
    Session *s = t->s;
    const TrainerStep p = trainer_step_plan(s->spec, s->step);
    const int n = p.B * p.T, supervised = trainer_supervised_of(s->spec, n);
    const uint64_t seed = (uint64_t)spec_int(s->spec, "seed");
    const float scale = 1.0f / (float)supervised / (float)p.accum;
    const Objective *objective = &objective_next_token;
    Batch *batch = trainer_batch(t, &p, supervised);
    laps_start(&t->laps);
    const double began = t->laps.last;
    const int compare =
        spec_is(s->spec, "bwd", "int8") && s->step % COMPARE_EVERY == COMPARE_EVERY - 1;
    double loss = 0;
    const Step step = trainer_step_parts(t);
    tape_compare(s->tape, compare);
    s->model->embedding(s->m)->frozen = p.frozen;
    for (int micro = 0; micro < p.accum; micro++) {
        objective->draw(batch, session_source, s->corpus, seed, s->step, micro);
        loss += objective->pass(&step, batch, scale);
    }
    const double norm = step_norm(&step);
    step_update(&step, optim_schedule(s->spec, s->step, trainer_progress_of(s, budget)), norm);
    laps_mark(&t->laps, PHASE_OTHER);
    const double seconds = t->laps.last - began;
    trainer_record_step(t, seconds, loss / supervised / p.accum, norm);
    if (compare) record_num(t->rec, "bwd_cosine", s->step, tape_cosine(s->tape));
    record_flush(t->rec);
    s->step++;
    s->tokens += (long)n * p.accum;
    s->supervised += (long)supervised * p.accum;
    s->seconds += seconds;
    s->flops += 3 * s->model->flops(s->m, p.T) * n * p.accum +
                s->head->cost(s->h, supervised).flops * p.accum;
    evaluate_check_finite("loss", s->step - 1, loss);
    if (evaluate_computes(s)) evaluate_check_finite("gradient", s->step - 1, norm);
}

/* The full softmax takes over for the last part of the budget. */
static void trainer_finish(Trainer *t, const Budget *budget)
{
    Session *s = t->s;
    if (!s->last || trainer_progress_of(s, budget) < 1 - spec_num(s->spec, "finish")) return;
    session_finish(s);
    record_num(t->rec, "finish_step", s->step, (double)s->step);
}

/* The parts of the program that this run executes, where they have a hash of their own */
static void trainer_record_parts(const Session *s, Recorder *rec)
{
    Arena a = arena_new(1 << 20);
    const Build *b = build_read(&a);
    const char *const part[] = {
        "shared",
        arena_text(&a, "model:%s", s->model->name),
        arena_text(&a, "head:%s", s->head->name),
        s->last ? arena_text(&a, "head:%s", s->last->name) : "",
        spec_is(s->spec, "act", "int8") ? arena_text(&a, "kernel:%s", s->exec->kernel->name) : "",
        arena_text(&a, "gemm:%s", s->exec->gemm->name),
        s->exec->bf16 ? "gemm:bf16" : "",
        arena_text(&a, "f32:%s", s->exec->f->isa),
    };
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        const char *hash = build_part(b, part[i], &a);
        if (hash) record_text(rec, arena_text(&a, "part:%s", part[i]), hash);
    }
    arena_drop(&a);
}

static void trainer_describe(const Session *s, Recorder *rec)
{
    char cpu[128];
    const int int8 = spec_is(s->spec, "act", "int8");
    const TrainerStep p = trainer_step_plan(s->spec, s->step);
    const int n = p.B * p.T;
    trainer_record_parts(s, rec);
    record_text(rec, "kernel", int8 ? s->exec->kernel->name : "dense");
    record_text(rec, "gemm", s->exec->gemm->name);
    record_text(rec, "gemm_core", s->exec->gemm->core);
    if (s->exec->bf16) record_text(rec, "bf16", s->exec->bf16);
    if (s->gemm_reason) record_text(rec, "gemm_reason", s->gemm_reason);
    if (s->gemm_packed) record_text(rec, "gemm_packed", s->gemm_packed);
    record_text(rec, "f32", s->exec->f->isa);
    record_text(rec, "isa", cpu_text(cpu_has(), cpu, sizeof cpu));
    corpus_record(s->corpus, rec);
    if (s->cutoffs) {
        record_text(rec, "cutoffs", s->cutoffs);
        record_num(rec, "cutoffs_s", 0, s->cutoffs_s);
    }
    if (!isnan(s->classes_s)) record_num(rec, "classes_s", 0, s->classes_s);
    if (!spec_is(s->spec, "leak", "none")) record_num(rec, "unsound", 0, 1);
    record_num(rec, "threads", 0, s->exec->threads);
    record_num(rec, "V", 0, s->corpus->V);
    record_num(rec, "params", 0, (double)params_count(s->params));
    if (!isnan(s->corpus->valid.floor)) record_num(rec, "nll_floor", 0, s->corpus->valid.floor);
    record_num(rec, "unigram", 0, s->corpus->valid.unigram);
    corpus_grams(s->corpus);
    if (!isnan(s->corpus->valid.trigram)) {
        record_num(rec, "bigram", 0, s->corpus->valid.bigram);
        record_num(rec, "trigram", 0, s->corpus->valid.trigram);
    }
    record_num(rec, "core_flops", 0, 3 * s->model->flops(s->m, p.T));
    record_num(rec, "head_flops", 0,
               s->head->cost(s->h, trainer_supervised_of(s->spec, n)).flops / n);
    record_num(rec, "update_flops", 0, optim_flops(s->params));
    if (!isnan(s->embed_variance)) record_num(rec, "embed_variance", 0, s->embed_variance);
    record_flush(rec);
}

static void trainer_summarise(const Session *s, Recorder *rec, long first_step, double timed_s,
                      long timed_tokens, long timed_supervised)
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

/* How many whole periods of so many seconds, tokens or steps have passed */
static long trainer_periods(const Session *s, const Budget *every)
{
    if (every->seconds > 0) return (long)(s->seconds / every->seconds);
    if (every->tokens > 0) return s->tokens / every->tokens;
    return every->steps > 0 ? s->step / every->steps : 0;
}

static Budget trainer_budget_of(const Spec *spec, const char *key)
{
    Budget b;
    const char *why = spec_budget(spec_str(spec, key), &b);
    if (why) die("%s=%s: %s", key, spec_str(spec, key), why);
    return b;
}

static void trainer_check_kernel(const Session *s)
{
    const TernaryKernel *k = s->exec->kernel;
    if (!spec_is(s->spec, "act", "int8") || !k->computes) return;
    if (k == ternary_kernels[0]) return;            /* the definition: it would judge itself */
    Arena a = arena_new((size_t)1 << 32);
    const char *why = law_kernel(k, (uint64_t)spec_int(s->spec, "seed"), CHECKED_SHAPES, &a);
    if (why) die("kernel=%s is not right on this machine and was not timed: %s", k->name, why);
    arena_drop(&a);
}

/* Refuses to branch off a checkpoint that lies beyond the step at which this run's decay begins */
static void trainer_check_branch(const Session *s, const char *from, const Budget *budget)
{
    const double done = trainer_progress_of(s, budget), stable = 1 - spec_num(s->spec, "decay");
    const int branch =
        from && !strcmp(from, spec_str(s->spec, "from")) && spec_is(s->spec, "schedule", "wsd");
    if (!branch || done <= stable) return;
    die("from=%s: its %ld steps are %.0f %% of budget=%s; expected at most the %.0f %% before the "
        "decay",
        from, s->step, 100 * done, spec_str(s->spec, "budget"), 100 * stable);
}

typedef struct { const Session *s; Recorder *rec; } Teller;
static void trainer_say(void *ctx, const char *name, double value)
{
    const Teller *t = ctx;
    record_num(t->rec, name, t->s->step, value);
}

/* The clocks at a moment of a run */
typedef struct { double seconds; long tokens, supervised; } Clocks;
static Clocks trainer_clocks(const Session *s)
{
    return (Clocks){ s->seconds, s->tokens, s->supervised };
}

/* What is done once a period, and the period in which it was done last */
typedef struct { Budget every; long done; } Periodic;
static Periodic trainer_periodic(const Session *s, const char *setting)
{
    Periodic p = { .every = trainer_budget_of(s->spec, setting) };
    p.done = trainer_periods(s, &p.every);
    return p;
}

static int trainer_due(const Session *s, Periodic *p)
{
    const long now = trainer_periods(s, &p->every);
    const int due = now > p->done;
    p->done = now;
    return due;
}

/* Steps until the budget is spent; returns the clocks after the first, untimed ones */
static Clocks trainer_steps(Trainer *t, const Budget *budget, long *last_eval)
{
    Session *s = t->s;
    const long warm = s->step + WARM_STEPS;
    const int limited = budget->seconds > 0 || budget->tokens > 0 || budget->steps > 0;
    Periodic evals = trainer_periodic(s, "eval_every"), saves = trainer_periodic(s, "save_every");
    Clocks timed = trainer_clocks(s);
    while (limited && trainer_progress_of(s, budget) < 1) {
        if (s->step == warm) timed = trainer_clocks(s);
        trainer_finish(t, budget);
        trainer_step(t, budget);
        if (trainer_due(s, &evals)) {
            evaluate_valid(s, t->rec);
            *last_eval = s->step;
        }
        if (trainer_due(s, &saves)) saver_try(&t->saver, s);
    }
    return timed;
}

void train_cell(const Spec *spec, Recorder *rec)
{
    const Budget budget = trainer_budget_of(spec, "budget");
    Arena a = arena_new(1 << 20);
    Trainer t = { .rec = rec };
    const char *why = saver_open(&t.saver, spec, rec, &a);
    if (why) die("%s", why);
    const char *from = session_resumes(spec);
    Session *s = t.s = session_make(spec, from, SESSION_TRAINS);
    tape_laps(s->tape, trainer_core_lap, &t.laps);
    trainer_check_kernel(s);
    if (from && (why = checkpoint_load(s, from))) die("%s", why);
    trainer_check_branch(s, from, &budget);
    trainer_describe(s, rec);
    const long first_step = s->step;
    long last_eval = -1;
    const Clocks timed = trainer_steps(&t, &budget, &last_eval);
    why = saver_save(&t.saver, s);
    if (last_eval != s->step) evaluate_valid(s, rec);
    /* saved again, so that a run which is resumed when it has ended knows its test loss */
    if (evaluate_test(s, rec) && !why) why = saver_save(&t.saver, s);
    if (s->head->report) s->head->report(s->h, trainer_say, &(Teller){ s, rec });
    trainer_summarise(s, rec, first_step, s->seconds - timed.seconds, s->tokens - timed.tokens,
                      s->supervised - timed.supervised);
    if (why) die("%s", why);
    session_drop(s);
    saver_close(&t.saver);
    arena_drop(&a);
}
