/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The trunk is read once (hidden_states.h). Every head then starts anew, with rows of its own: what
 * it would share with the embedding is a copy, so that one refit does not move the features of
 * another. Beside them: the head the trunk was trained with, as it was; unigrams, one added to
 * every count; interpolated Kneser-Ney bigrams. */
#include "harness/train/headlab.h"
#include "harness/train/anatomy.h"
#include "harness/corpus/bigram.h"
#include "harness/util/clock.h"
#include "harness/util/disturbance.h"
#include "harness/store/db.h"
#include "harness/util/progress.h"
#include "harness/util/shuffle.h"
#include "harness/train/autotune.h"
#include "harness/train/checkpoint.h"
#include "harness/train/checkpoint_file.h"
#include "harness/train/hidden_states.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const HeadlabPlan *plan;
    Session    *s;               /* the trunk and the head it was trained with */
    HiddenStatePair   pair;
    Anatomy     unigram, bigram;
    int        *decile;          /* (V) */
    float      *nll, *part;      /* (valid.n) */
    Db         *db;
    long        experiment;      /* the row of its plan */
    int         failed;          /* heads that came to no loss */
    Arena      *a;
} Lab;

typedef struct {                 /* of one refit */
    const char    *label;
    const HeadDef *def;
    const Spec    *spec;
    Params        *params;
    Optim         *optim;
    void          *h;
    long           steps, done;  /* states seen */
    double         loss, seconds;
    Anatomy        anatomy;
    long           run;          /* its row */
    Disturbance    before;       /* when it began; 1: something of ours ran beside it then */
    int            shared;
} Fit;

static Anatomy headlab_look(Lab *l, const HeadDef *def, const void *h)
{
    const HiddenStates *v = &l->pair.valid;
    def->nll(h, v->h, v->y, (int)v->n, l->nll);
    if (def->class_nll) def->class_nll(h, v->h, v->y, (int)v->n, l->part);
    return anatomy_of(l->decile, v->y, v->n, l->nll, def->class_nll ? l->part : NULL);
}

static void headlab_anchors(Lab *l)
{
    const Corpus *c = l->s->corpus;
    const HiddenStates *v = &l->pair.valid;
    const double all = (double)(c->n_train + c->V);
    Arena a = arena_new((size_t)1 << 36);
    const Bigram *b = bigram_make(c->train, c->n_train, c->V, &a);
    for (long i = 0; i < v->n; i++) l->nll[i] = (float)-log((double)(c->freq[v->y[i]] + 1) / all);
    l->unigram = anatomy_of(l->decile, v->y, v->n, l->nll, NULL);
    for (long i = 0; i < v->n; i++) l->nll[i] = (float)-bigram_logp(b, v->x[i], v->y[i]);
    l->bigram = anatomy_of(l->decile, v->y, v->n, l->nll, NULL);
    arena_drop(&a);
}

/* ---- a refit ---- */

/* "tree:assign=brown:classes=300" */
static const Spec *headlab_spec_of(const Lab *l, const char *label, Arena *a)
{
    char *words = arena_text(a, "head=%s", label), *save = NULL;
    const char *why;
    Spec *s = spec_copy(l->plan->spec, a);
    for (char *w = strtok_r(words, ":", &save); w; w = strtok_r(NULL, ":", &save))
        if ((why = spec_set(s, w))) die("heads=%s: %s", label, why);
    return s;
}

static uint64_t headlab_seed_of(const Fit *f) { return (uint64_t)spec_int(f->spec, "seed"); }

static void headlab_make_rows(const Lab *l, Fit *f, Arena *a)
{
    const Param *from = l->s->model->embedding(l->s->m);
    f->params = params_new(a);
    Param *rows = params_add_embedding(f->params, from->name, from->rows, from->cols);
    if (!strcmp(l->plan->start, "embedding"))
        memcpy(rows->v, from->v, sizeof(float) * (size_t)rows->n);
    else param_normal(rows, headlab_seed_of(f), HEAD_DRAW - 1, spec_num(f->spec, "init_sigma"));
}

static void headlab_make_fit(const Lab *l, Fit *f, Arena *a)
{
    const Corpus *c = l->s->corpus;
    const HeadData data = { c->V, c->freq, c->train, c->n_train, NULL };
    const Classes *classes;
    double seconds;
    Spec *spec = spec_copy(f->spec, a);
    f->def = head_find(spec_str(spec, "head"));
    if (!f->def)
        die("heads=%s: no such head; `eightysix list heads` shows those there are", f->label);
    if (spec_is(spec, "head", "adaptive") && spec_is(spec, "cutoffs", "auto")) {
        const char *cutoffs = autotune_cutoffs(spec, l->s->exec, &data, l->pair.d, a);
        CHECK(!spec_set(spec, arena_text(a, "cutoffs=%s", cutoffs)));
    }
    f->spec = spec;
    headlab_make_rows(l, f, a);
    f->h = classes_head(f->def, spec, l->s->exec, f->params, c, NULL, l->pair.d, &classes, &seconds,
                        a);
    f->optim = optim_new(spec, l->s->exec, f->params, a);
}

static void headlab_shuffle(int *order, long n, uint64_t seed, long pass)
{
    Rng r = rng_at(seed, STREAM_BATCH, (uint64_t)pass);
    for (long i = 0; i < n; i++) order[i] = (int)i;
    shuffle(&r, order, n, sizeof *order);
}

/* m states x (m, d), y (m). NULL or an error message */
static const char *headlab_fit_step(Fit *f, const float *x, const int *y, float *dx, int m, int d,
                                    double progress, Arena *a)
{
    const Step step = { .head = f->def, .h = f->h, .optim = f->optim, .d = d };
    memset(dx, 0, sizeof *dx * (size_t)m * (size_t)d);
    const double loss = step_head(&step, x, y, dx, m, 1.0f / (float)m);
    const double norm = step_norm(&step);
    step_update(&step, optim_schedule(f->spec, f->steps, progress), norm);
    f->loss = loss / m;
    f->steps++;
    f->done += m;
    if (isfinite(loss) && isfinite(norm)) return NULL;
    return arena_text(
        a, "heads=%s: the %s is not finite at step %ld; a smaller rate (lr) may help", f->label,
        isfinite(loss) ? "gradient" : "loss", f->steps - 1);
}

static void headlab_say(const Fit *f, long all, double *said)
{
    if (!progress_due(said)) return;
    const double part = (double)f->done / (double)all;
    progress_say("%s: step %ld, training loss %.3f, %.0f %%, %.0f s left", f->label, f->steps,
                 f->loss, 100 * part, f->seconds * (1 / part - 1));
}

/* NULL or an error message */
static const char *headlab_fit(const Lab *l, Fit *f, Arena *a)
{
    const HiddenStates *t = &l->pair.train;
    const Spec *s = f->spec;
    const long size = spec_int(s, "batch") * spec_int(s, "accum") * spec_int(s, "seq");
    const long all = lround(l->plan->passes * (double)t->n);
    const size_t d = (size_t)l->pair.d;
    const char *why = size < 1 ? "batch, accum, seq: expected positive numbers" : NULL;
    if (why) return why;
    float *x = arena_raw(a, sizeof *x * (size_t)size * d),
          *dx = arena_raw(a, sizeof *dx * (size_t)size * d);
    int *y = arena_raw(a, sizeof *y * (size_t)size),
        *order = arena_raw(a, sizeof *order * (size_t)t->n);
    double said = clock_now();
    while (f->done < all && !why) {
        const double began = clock_now();
        const int m = (int)(all - f->done < size ? all - f->done : size);
        for (long i = 0; i < m; i++) {
            const long at = f->done + i;
            if (at % t->n == 0) headlab_shuffle(order, t->n, headlab_seed_of(f), at / t->n);
            memcpy(x + (size_t)i * d, t->h + (size_t)order[at % t->n] * d, sizeof *x * d);
            y[i] = t->y[order[at % t->n]];
        }
        why = headlab_fit_step(f, x, y, dx, m, (int)d, (double)f->done / (double)all, a);
        f->seconds += clock_now() - began;
        headlab_say(f, all, &said);
    }
    progress_clear();
    return why;
}

/* ---- what is shown and kept ---- */

static void headlab_show_header(void)
{
    printf("%-36s %9s %8s %8s %8s |", "nats per token", "params", "all", "class", "within");
    for (int g = 1; g <= DECILES; g++) printf(" %6s%d", g == 1 ? "common" : "", g);
    putchar('\n');
}

static void headlab_show(const char *label, long params, const Anatomy *a)
{
    printf("%-36s ", label);
    if (params) printf("%9ld %8.4f", params, a->nll[0]);
    else printf("%9s %8.4f", "", a->nll[0]);
    if (isnan(a->part[0])) printf(" %8s %8s |", "", "");
    else printf(" %8.4f %8.4f |", a->part[0], a->nll[0] - a->part[0]);
    for (int g = 1; g <= DECILES; g++) printf(" %7.3f", a->nll[g]);
    putchar('\n');
    fflush(stdout);
}

static void headlab_record_number(const Lab *l, long run, const char *name, long step, double value)
{
    const Record line = { .kind = 'n', .name = name, .step = step, .value = value };
    if (!isnan(value)) db_record(l->db, run, &line);
}

static void headlab_record_start(Lab *l, Fit *f, const Spec *spec)
{
    char key[65];
    const char *label = f->label;
    f->before = disturbance_now();
    machine_shared(l->plan->machine);    /* forgets who has gone meanwhile */
    f->shared = machine_shared(l->plan->machine);
    if (!l->db) return;
    const char *text = arena_text(l->a, "headlab %s %.12s states=%ld passes=%g start=%s %s", label,
                                  l->pair.checkpoint, l->pair.train.n, l->plan->passes,
                                  l->plan->start, spec_text(spec));
    sha256_hex(text, strlen(text), key);
    db_plan_add(l->db, l->experiment, key, text, label, spec_int(spec, "seed"));
    f->run = db_run_start(l->db, "headlab", key, text);
    for (const Setting *s = settings; s->key; s++)
        db_config(l->db, f->run, s->key, spec_str(spec, s->key));
}

static long headlab_own_params(const Params *ps)
{
    long n = 0;
    for (int i = 0; i < ps->n; i++) n += ps->p[i]->owner == OWNER_HEAD ? ps->p[i]->n : 0;
    return n;
}

static void headlab_record_disturbance(const Lab *l, const Fit *f)
{
    MachineLock *m = l->plan->machine;
    const double switches = (double)(disturbance_now().switches - f->before.switches);
    headlab_record_number(l, f->run, "load", 0, f->before.load);
    headlab_record_number(l, f->run, "steal", 0, disturbance_steal(&f->before));
    headlab_record_number(l, f->run, "switches", 0, switches);
    if (m->state != MACHINE_UNKNOWN)
        headlab_record_number(l, f->run, "shared", 0, f->shared | machine_shared(m));
}

static void headlab_record_end(const Lab *l, const Fit *f)
{
    const long run = f->run;
    for (int g = 0; g <= DECILES; g++) {
        headlab_record_number(l, run, "decile.tokens", g, (double)f->anatomy.tokens[g]);
        headlab_record_number(l, run, "decile.nll", g, f->anatomy.nll[g]);
        headlab_record_number(l, run, "decile.class_nll", g, f->anatomy.part[g]);
        headlab_record_number(l, run, "decile.unigram", g, l->unigram.nll[g]);
        headlab_record_number(l, run, "decile.bigram", g, l->bigram.nll[g]);
    }
    headlab_record_number(l, run, "unigram", f->steps, l->unigram.nll[0]);
    if (f->steps) headlab_record_number(l, run, "loss", f->steps, f->loss);
    headlab_record_number(l, run, "steps", f->steps, (double)f->steps);
    headlab_record_number(l, run, "tokens", f->steps, (double)f->done);
    headlab_record_number(l, run, "seconds", f->steps, f->seconds);
    headlab_record_number(l, run, "params", f->steps, (double)headlab_own_params(f->params));
    headlab_record_disturbance(l, f);
    db_run_end(l->db, run, "ok", "", f->seconds, 0);
}

/* Shows and records a head that was refitted or looked at; why: the error message of one that
 * failed, or NULL */
static void headlab_conclude(Lab *l, Fit *f, const char *why)
{
    if (!why && !isfinite(f->anatomy.nll[0]))
        why = arena_text(l->a, "heads=%s: its validation loss is not finite", f->label);
    if (!why) {
        headlab_show(f->label, headlab_own_params(f->params), &f->anatomy);
        if (l->db) headlab_record_end(l, f);
        return;
    }
    l->failed++;
    printf("%-36s %s\n", f->label, why);
    fflush(stdout);
    if (l->db) db_run_end(l->db, f->run, "fail", why, f->seconds, 0);
}

static void headlab_open_records(Lab *l)
{
    const char *why;
    if (!l->plan->db_path) return;
    l->db = db_open(l->plan->db_path, l->a, &why);
    if (!l->db) die("%s", why);
    const char *text =
        arena_text(l->a, "%s %s: %ld states, %g passes, start=%s", l->plan->path,
                   l->pair.checkpoint, l->pair.train.n, l->plan->passes, l->plan->start);
    l->experiment = db_experiment(l->db, "headlab", text, l->plan->words, DB_LOSS);
}

/* The head as it was trained together with the trunk */
static void headlab_as_trained(Lab *l)
{
    const char *label = arena_text(l->a, "%s (as trained)", l->s->head->name);
    Fit f = { .label = label, .params = l->s->params };
    headlab_record_start(l, &f, l->s->spec);
    const int ema = spec_is(l->s->spec, "eval", "ema");
    if (ema) params_swap_ema(l->s->params);
    f.anatomy = headlab_look(l, l->s->head, l->s->h);
    if (ema) params_swap_ema(l->s->params);
    headlab_conclude(l, &f, NULL);
}

static void headlab_refit(Lab *l, const char *label)
{
    Arena a = arena_new((size_t)1 << 37);
    Fit f = { .label = label, .spec = headlab_spec_of(l, label, &a) };
    headlab_make_fit(l, &f, &a);
    headlab_record_start(l, &f, f.spec);
    const char *why = headlab_fit(l, &f, &a);
    if (!why) f.anatomy = headlab_look(l, f.def, f.h);
    headlab_conclude(l, &f, why);
    arena_drop(&a);
}

/* Room for losses of single tokens, and the unigram and bigram losses to compare with */
static void headlab_prepare(Lab *l)
{
    const char *why = hidden_states_open(&l->pair, l->s, l->plan->path, l->plan->states, l->a);
    if (why) die("%s", why);
    const size_t n = (size_t)l->pair.valid.n, V = (size_t)l->s->corpus->V;
    l->nll = arena_raw(l->a, sizeof(float) * n);
    l->part = arena_raw(l->a, sizeof(float) * n);
    l->decile = arena_raw(l->a, sizeof(int) * V);
    anatomy_deciles(l->decile, l->s->corpus->freq, (int)V, l->a);
    headlab_open_records(l);
    headlab_anchors(l);
}

int headlab_run(const HeadlabPlan *plan, Session *s, Arena *a)
{
    Lab *l = arena_get(a, sizeof *l);
    char *save = NULL;
    l->plan = plan;
    l->s = s;
    l->a = a;
    headlab_prepare(l);
    printf("%ld + %ld hidden states of %s (%s), %g passes\n", l->pair.train.n, l->pair.valid.n,
           plan->path, l->pair.found ? "from the cache" : "made now", plan->passes);
    headlab_show_header();
    headlab_show("unigram", 0, &l->unigram);
    headlab_show("bigram", 0, &l->bigram);
    headlab_as_trained(l);
    char *labels = arena_text(a, "%s", plan->heads);
    for (char *one = strtok_r(labels, ",", &save); one; one = strtok_r(NULL, ",", &save))
        headlab_refit(l, one);
    if (l->db) db_close(l->db);
    hidden_states_close(&l->pair);
    return l->failed;
}
