/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/train/session.h"
#include "harness/train/checkpoint_file.h"
#include "harness/util/clock.h"
#include "harness/train/autotune.h"
#include "harness/util/exit.h"
#include "models/embed_init.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* reserved, not taken */
static const size_t HOME_BYTES = (size_t)64 << 30, PASS_BYTES = (size_t)64 << 30;

static Session *session_new(void)
{
    Arena *a = arena_boot(HOME_BYTES);
    Session *s = arena_get(a, sizeof *s);
    s->arena = a;
    s->test_step = -1;
    return s;
}

static _Noreturn void session_skip(const char *why)
{
    fflush(stdout);
    fprintf(stderr, "eightysix: %s\n", why);
    exit(EXIT_SKIP);
}

const char *session_resumes(const Spec *spec)
{
    const char *save = spec_str(spec, "save"), *from = spec_str(spec, "from");
    if (*from && !strcmp(save, from)) die("save=%s: expected another file than that of from", save);
    if (*save && spec_int(spec, "resume") && !access(save, F_OK)) return save;
    return *from ? from : NULL;
}

/* What the checkpoint to continue has under this key of its metadata; NULL: nothing */
static const char *session_chosen(Session *s, const char *key)
{
    const char *value = NULL,
               *why = s->from ? checkpoint_meta(s->from, key, &value, s->arena) : NULL;
    if (why) die("%s", why);
    return value;
}

/* The settings the head is made with. cutoffs=auto: as chosen before, or the cheapest here */
static const Spec *session_head_spec(Session *s, const HeadData *data, int training)
{
    if (!spec_is(s->spec, "head", "adaptive") || !spec_is(s->spec, "cutoffs", "auto"))
        return s->spec;
    const double began = clock_now();
    Spec *made = spec_copy(s->spec, s->arena);
    s->cutoffs = training ? session_chosen(s, "cutoffs") : NULL;
    if (!s->cutoffs) s->cutoffs = autotune_cutoffs(s->spec, s->exec, data, s->d, s->arena);
    CHECK(!spec_set(made, arena_text(s->arena, "cutoffs=%s", s->cutoffs)));
    s->cutoffs_s = clock_now() - began;
    return made;
}

/* The settings the parts are made with. gemm=auto in training: as chosen before, or the fastest
 * here */
static const Spec *session_exec_spec(Session *s, int training)
{
    if (!training || !spec_is(s->spec, "gemm", "auto")) return s->spec;
    const char *gemm = session_chosen(s, "gemm");
    s->gemm_reason = "as the checkpoint says";
    if (!gemm) {
        const long threads = spec_int(s->spec, "threads");
        gemm = autotune_gemm(s->spec, threads > 0 ? (int)threads : omp_get_num_procs(),
                             &s->gemm_reason, s->arena);
    }
    Spec *made = spec_copy(s->spec, s->arena);
    CHECK(!spec_set(made, arena_text(s->arena, "gemm=%s", gemm)));
    return made;
}

/* gemm=auto in training: which products have their weight packed, as chosen before, or the faster
 * here. NULL or an error message */
static const char *session_choose_packed(Session *s, int training)
{
    const Gemm *g = s->exec->gemm;
    if (!training || !g->packed || !spec_is(s->spec, "gemm", "auto")) return NULL;
    s->gemm_packed = session_chosen(s, "gemm_packed");
    if (!s->gemm_packed) s->gemm_packed = autotune_packed(s->spec, s->exec, s->params, s->arena);
    const char *why = gemm_choose(g, s->gemm_packed, s->arena);
    return why && s->from ? arena_text(s->arena, "%s: %s", s->from, why) : why;
}

/* The full softmax of finish=...: its rows are the embedding's, whose owner stays the same until
 * this head is in force. */
static void session_make_last(Session *s, const HeadData *data)
{
    const double finish = spec_num(s->spec, "finish");
    if (finish <= 0) return;
    Spec *tied = spec_copy(s->spec, s->arena);
    CHECK(!spec_set(tied, "tied=1"));
    Param *embedding = s->model->embedding(s->m);
    const Owner owner = embedding->owner;
    s->last = head_find("softmax");
    s->last_h = s->last->make(tied, s->exec, s->params, data, s->d, s->arena);
    if (!s->last_h) die("%s", s->params->why);
    embedding->owner = owner;
}

void session_finish(Session *s)
{
    Param *embedding = s->model->embedding(s->m);
    CHECK(s->last);
    for (int i = 0; i < s->params->n; i++)
        if (s->params->p[i]->owner == OWNER_HEAD)
            s->params->p[i]->frozen = s->params->p[i] != embedding || !s->params->gradients;
    embedding->owner = OWNER_HEAD;
    s->head = s->last;
    s->h = s->last_h;
    s->last = NULL;
    s->finishing = 1;
}

static void session_make_head(Session *s, const HeadData *data, int training)
{
    const Classes *given = NULL;
    const char *why =
        s->from && s->head->classes ? checkpoint_classes(s->from, &given, s->arena) : NULL;
    if (why) die("%s", why);
    s->h = classes_head(s->head, session_head_spec(s, data, training), s->exec, s->params,
                        s->corpus, given, s->d, &s->classes, &s->classes_s, s->arena);
}

/* A run goes on on the text that it began with. NULL or an error message */
static const char *session_check_text(const Session *s, const TextKept *k)
{
    const char *sha = s->corpus->sha;
    if (!k->vocab || !*k->sha || !*sha || !strcmp(k->sha, sha)) return NULL;
    return arena_text(s->arena,
                      "%s: trained on another text (SHA-256 %s), and corpus=%s is %s; resume=0 "
                      "starts anew",
                      s->from, k->sha, s->corpus->name, sha);
}

static Corpus *session_corpus(Session *s, SessionUse use, const char **why)
{
    static const TextPart part[] = { [SESSION_READS] = TEXT_ALL,
                                     [SESSION_EVALUATES] = TEXT_HELD,
                                     [SESSION_SPEAKS] = TEXT_NONE };
    TextKept kept = { .vocab = NULL };
    if (s->from && (*why = checkpoint_text(s->from, &kept, s->arena))) return NULL;
    if (use != SESSION_TRAINS && kept.vocab)
        return corpus_open_kept(s->spec, &kept, part[use], s->arena, why);
    if (s->from && !kept.vocab)
        fprintf(stderr,
                "%s: an older checkpoint, without its vocabulary, counts and the SHA-256 of its "
                "text: corpus=%s is read for them\n",
                s->from, spec_str(s->spec, "corpus"));
    s->corpus = corpus_open(s->spec, s->arena, why);
    if (s->corpus && s->from && !kept.vocab && s->corpus->test_shared && s->corpus->test.n) {
        s->corpus->test.n = 0;
        s->corpus->why_no_test = "an older checkpoint may have been trained on it";
    }
    if (s->corpus && (*why = session_check_text(s, &kept))) return NULL;
    return s->corpus;
}

static void session_make_model(Session *s, int training)
{
    s->params = training ? params_new(s->arena) : params_new_inference(s->arena);
    s->m = s->model->make(s->spec, s->exec, s->params, s->corpus->V, s->arena);
    if (!s->m) die("%s", s->params->why);
    s->d = s->model->width(s->m);
    const char *why = session_choose_packed(s, training);
    if (why) die("%s", why);
}

Session *session_make(const Spec *spec, const char *from, SessionUse use)
{
    const char *why;
    const int training = use == SESSION_TRAINS;
    Session *s = session_new();
    s->spec = spec;
    s->from = from;
    s->model = model_find(spec_str(spec, "model"));
    s->head = head_find(spec_str(spec, "head"));
    if (!s->model)
        die("model=%s: no such model; `eightysix list models` shows those there are",
            spec_str(spec, "model"));
    if (!s->head)
        die("head=%s: no such head; `eightysix list heads` shows those there are",
            spec_str(spec, "head"));
    if ((why = tape_check(spec))) die("%s", why);
    s->exec = exec_make(session_exec_spec(s, training), s->arena, &why);
    if (!s->exec) session_skip(why);
    s->corpus = session_corpus(s, use, &why);
    if (!s->corpus) die("%s", why);
    session_make_model(s, training);
    const HeadData data = { s->corpus->V, s->corpus->freq, s->corpus->train, s->corpus->n_train,
                            NULL };
    s->embed_variance = NAN;
    Param *embedding = s->model->embedding(s->m);
    why = from ? checkpoint_check_words(from, embedding->name, s->corpus->V, s->corpus->name,
                                        s->arena)
               : NULL;
    if (why) die("%s", why);
    why =
        training ? embed_init(spec, s->exec, embedding, &data, &s->embed_variance, s->arena) : NULL;
    if (why) die("%s", why);
    session_make_head(s, &data, training);
    session_make_last(s, &data);
    if (training) s->optim = optim_new(spec, s->exec, s->params, s->arena);
    s->tape = tape_new(s->exec, spec, s->arena, PASS_BYTES);
    return s;
}

void session_source(void *corpus, uint64_t seed, long step, int micro, int B, int T, int *x,
                    int *y)
{
    corpus_batch(corpus, seed, step, micro, B, T, x, y);
}

Step session_step(const Session *s)
{
    return (Step) { .model = s->model,
                    .m = s->m,
                    .head = s->head,
                    .h = s->h,
                    .tape = s->tape,
                    .optim = s->optim,
                    .d = s->d };
}

void session_drop(Session *s)
{
    tape_drop(s->tape);
    arena_drop(s->arena);
}

double session_nll(Session *s, long *n)
{
    return session_nll_of(s, &s->corpus->valid, n, NULL);
}

double session_nll_of(Session *s, const HeldText *text, long *n, float *each)
{
    enum { AT_ONCE = 512 };        /* tokens: what a pass keeps in memory */
    const int T = (int)spec_int(s->spec, "seq");
    const long windows = (text->n - 1) / T;
    const int B = AT_ONCE / T > 0 ? AT_ONCE / T : 1;
    Arena ids = arena_new(array_bytes(2 * sizeof(int), (size_t)(B * T)) + (1 << 12));
    int *x = arena_array(&ids, (size_t)(B * T), sizeof *x),
        *y = arena_array(&ids, (size_t)(B * T), sizeof *y);
    const int ema = spec_is(s->spec, "eval", "ema");
    double sum = 0;
    *n = windows * T;
    if (windows < 1)
        die("the text to evaluate has %ld tokens, expected more than the %d of a window (seq)",
            text->n, T);
    if (ema) params_swap_ema(s->params);
    for (long w = 0; w < windows; w += B) {
        const int b = windows - w < B ? (int)(windows - w) : B;
        for (int i = 0; i < b * T; i++) {
            x[i] = token_id(text->tok, w * T + i);
            y[i] = token_id(text->tok, w * T + i + 1);
        }
        tape_reset(s->tape, 0);
        Var h = s->model->forward(s->m, s->tape, x, b, T, NULL);
        sum += s->head->nll(s->h, h.v, y, b * T, each ? each + w * T : NULL);
    }
    if (ema) params_swap_ema(s->params);
    arena_drop(&ids);
    return sum / (double)*n;
}
