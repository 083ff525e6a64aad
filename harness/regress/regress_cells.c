/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a build trains to show that it computes what it did: the cells of `quality`, short trainings
 * whose losses are compared, and of `gradients`, a few steps of which every number is.
 *
 * Products are those of gemm=portable on one thread, so that nothing depends on a measurement. With
 * quant=none a training is smooth: another rounding moves its end by less than 1e-4. A ternary
 * weight that rounding flips moves it by some 0.4 %, so ternary cells are short and are read at
 * their first steps. */
#include "harness/regress/regress_work_parts.h"
#include "harness/train/session.h"
#include "harness/train/trainer.h"
#include "kernels/cpu.h"
#include <math.h>
#include <string.h>

enum { CELLS_STEPS = 3 };
#define CELLS_NOISE 1e-6           /* of the whole gradient: a smaller part is rounding */

static const char cells_small[] =
    "V=512 d=32 seq=32 accum=1 valid_tokens=2048 cutoffs=40,200 threads=1 "
    "warmup=5 lr=3e-3 gemm=portable";

/* Settings that lead to other code than the defaults; EIGHTYSIX_... is of the environment */
static const char *const cells_variants[] = {
    "head=softmax tied=0",
    "head=softmax head_quant=int8",
    "head=softmax head_quant=ternary",
    "head=softmax tied=0 head_quant=bitlinear act=int8",
    "head=softmax rows=freq",
    "head=softmax filter=0.01",
    "head=softmax smoothing=0 zloss=0",
    "head=softmax embed_init=pmi",
    "head=softmax freeze=2 clip=0 ema=0",
    "head=sampled proposal=unigram smoothing=0",
    "head=tree tied=0 lr_head=1e-3",
    "head=tree depth=3",
    "head=tree shortlist=16",
    "head=tree assign=sqrt",
    "head=tree assign=random",
    "head=tree assign=brown",
    "head=tree assign=kmeans",
    "head=tree assign=svd",
    "head=tree fraction=0.25 accum=2",
    "head=tree update=rows",
    "head=tree optimizer=adamw",
    "head=tree quant=absmean",
    "head=tree quant=none activation=silu",
    "head=tree quant=none activation=gelu",
    "head=tree act=int8 bwd=int8",
    "head=tree act=int8 quant=absmean",
    "head=tree threads=2",
    "head=tree gemm=dnnl",
    "head=tree gemm=openblas",
    "head=tree gemm=amx",
    "head=tree precision=bf16",
    "head=softmax precision=bf16",
    "head=adaptive precision=forward+head",
    "head=tree precision=dx+dw",
    "head=adaptive short_tied=1",
    "head=adaptive update=rows",
    "EIGHTYSIX_CPU=sse2 head=softmax act=int8",
    "EIGHTYSIX_CPU=sse2 head=tree",
    "EIGHTYSIX_CPU=avx2 head=softmax act=int8",
    "EIGHTYSIX_CPU=avx2 head=tree",
    NULL };

/* Smaller than its defaults, for a model that we know */
static const char *cells_model(const ModelDef *m)
{
    static const char *const known[][2] = {
        { "flashlm3", " recursions=1 dilations=1,4 conv_groups=4" },
        { "mmfree", " layers=2 inner=64" },
        { "transformer", " layers=2 inner=64" },
        { "bolt", " layers=2 inner=64" } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(m->name, known[i][0])) return known[i][1];
    return "";
}

static void cells_pair(Recorder *rec, const ModelDef *m, const HeadDef *h, Arena *a)
{
    const char *words = arena_text(a, "model=%s head=%s %s%s", m->name, h->name, cells_small,
                                   cells_model(m));
    /* so little text that every model learns it by heart: losses fall more than batches differ */
    static const struct { const char *name, *quality, *gradients; } kinds[] = {
        { "f32", "quant=none train_tokens=400 budget=60steps", "quant=none train_tokens=20000" },
        { "int8", "act=int8 train_tokens=200 budget=40steps", "act=int8 train_tokens=20000" } };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const char *name = arena_text(a, "%s+%s+%s", m->name, h->name, kinds[k].name);
        record_text(rec, "quality", arena_text(a, "%s %s %s", name, words, kinds[k].quality));
        record_text(rec, "gradients", arena_text(a, "%s %s %s", name, words, kinds[k].gradients));
    }
}

void regress_cells(Recorder *rec, Arena *a)
{
    for (int i = 0; models[i]; i++)
        for (int k = 0; heads[k]; k++) cells_pair(rec, models[i], heads[k], a);
    for (int i = 0; cells_variants[i]; i++) {
        const char *v = cells_variants[i];
        char *name = arena_text(a, "%s", v);
        for (char *c = name; *c; c++) *c = *c == ' ' ? '+' : *c;
        const char *env = strncmp(v, "EIGHTYSIX_", 10) ? "" : arena_text(
            a, "%.*s ", (int)strcspn(v, " "), v);
        record_text(rec, "gradients",
                    arena_text(a, "%s %strain_tokens=20000 %s%s %s", name, env, cells_small,
                               cells_model(models[0]),
                               v + strlen(env)));
    }
}

/* ---- gradients: a few steps, and numbers of each parameter ---- */
typedef struct Cells {
    Session  *s;
    Step      step;
    Recorder *rec;
    float   **before;              /* the values of each parameter at the start */
    int      *quiet;               /* 1: its gradient was rounding at the first step */
} Cells;

/* The part of g along fixed signs, for a g of length one: it changes with every sign of g */
static double cells_along(const float *g, long n, double norm, int param)
{
    Rng rng = rng_at(1, STREAM_CHECK, 100 + (uint64_t)param);
    double sum = 0;
    for (long i = 0; i < n; i++) sum += rng_u64(&rng) >> 63 ? g[i] : -g[i];
    return norm > 0 ? sum / norm : 0;
}

static double cells_length(const float *x, const float *from, long n)
{
    double sum = 0;
    for (long i = 0; i < n; i++) {
        const double d = from ? (double)x[i] - (double)from[i] : (double)x[i];
        sum += d * d;
    }
    return sqrt(sum);
}

static void cells_say(const Cells *c, const char *what, const char *name, long step, double value)
{
    char both[256];
    snprintf(both, sizeof both, "%s:%s", what, name);
    record_num(c->rec, both, step, value);
}

static void cells_gradients(Cells *c, long step, double norm)
{
    for (int i = 0; i < c->s->params->n; i++) {
        const Param *p = c->s->params->p[i];
        if (!p->trainable || p->frozen) continue;
        const double length = cells_length(p->g, NULL, p->n);
        if (!step) c->quiet[i] = length < CELLS_NOISE * norm;
        const int quiet = length < CELLS_NOISE * norm;
        cells_say(c, "gradient", p->name, step, quiet ? 0 : length);
        cells_say(c, "along", p->name, step, quiet ? 0 : cells_along(p->g, p->n, length, i));
    }
}

static void cells_moved(const Cells *c, long step)
{
    double average = 0;
    for (int i = 0; i < c->s->params->n; i++) {
        const Param *p = c->s->params->p[i];
        if (!p->trainable || c->quiet[i]) continue;
        cells_say(c, "moved", p->name, step, cells_length(p->v, c->before[i], p->n));
        if (p->ema) average = hypot(average, cells_length(p->ema, c->before[i], p->n));
    }
    record_num(c->rec, "moved_average", step, average);
}

static void cells_step(Cells *c, long k)
{
    Session *s = c->s;
    const TrainerStep p = trainer_step_plan(s->spec, k);
    const int n = p.B * p.T;
    const int supervised = (int)lround(spec_num(s->spec, "fraction") * n);
    Batch *b = batch_new(p.B, p.T, supervised, s->d, s->arena);
    double loss = 0;
    s->model->embedding(s->m)->frozen = p.frozen;
    for (int micro = 0; micro < p.accum; micro++) {
        objective_next_token.draw(b, session_source, s->corpus, 1, k, micro);
        loss += objective_next_token.pass(&c->step, b, 1.0f / (float)supervised / (float)p.accum);
    }
    const double norm = step_norm(&c->step);
    record_num(c->rec, "loss", k, loss / supervised / p.accum);
    record_num(c->rec, "grad_norm", k, norm);
    cells_gradients(c, k, norm);
    step_update(&c->step, 1, norm);
    cells_moved(c, k);
}

void regress_gradients(const char *const *words, Recorder *rec, Arena *a)
{
    Spec *spec = spec_new(a);
    const char *why = NULL;
    long n;
    for (; *words && !why; words++) why = spec_set(spec, *words);
    if (!why) why = spec_check_values(spec);
    if (why) die("%s", why);
    Cells c = { .s = session_make(spec, NULL, SESSION_TRAINS), .rec = rec };
    const Params *ps = c.s->params;
    c.step = session_step(c.s);
    c.before = arena_get(a, sizeof *c.before * (size_t)ps->n);
    c.quiet = arena_get(a, sizeof *c.quiet * (size_t)ps->n);
    for (int i = 0; i < ps->n; i++) {
        c.before[i] = arena_raw(a, sizeof(float) * (size_t)ps->p[i]->n);
        memcpy(c.before[i], ps->p[i]->v, sizeof(float) * (size_t)ps->p[i]->n);
    }
    for (long k = 0; k < CELLS_STEPS; k++) cells_step(&c, k);
    record_num(rec, "nll", CELLS_STEPS, session_nll(c.s, &n));
    session_drop(c.s);
}
