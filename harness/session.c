/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/session.h"
#include "harness/run.h"
#include "models/embed_init.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t HOME_BYTES = (size_t)64 << 30, PASS_BYTES = (size_t)64 << 30;    /* reserved, not taken */

static Session *session_new(void)
{
    Arena a = arena_new(HOME_BYTES);
    Session *s = arena_get(&a, sizeof *s);
    s->arena = a;
    return s;
}

static _Noreturn void skip(const char *why)
{
    fflush(stdout);
    fprintf(stderr, "eightysix: %s\n", why);
    exit(EXIT_SKIP);
}

Session *session_make(const Spec *spec, int training)
{
    const char *why;
    Session *s = session_new();
    s->spec = spec;
    s->model = model_find(spec_str(spec, "model"));
    s->head = head_find(spec_str(spec, "head"));
    if (!s->model) die("model=%s: no such model; `eightysix list models` shows those there are", spec_str(spec, "model"));
    if (!s->head) die("head=%s: no such head; `eightysix list heads` shows those there are", spec_str(spec, "head"));
    s->exec = exec_make(spec, &s->arena, &why);
    if (!s->exec) skip(why);
    s->corpus = corpus_open(spec, &s->arena, &why);
    if (!s->corpus) die("%s", why);
    s->params = params_new(&s->arena);
    s->m = s->model->make(spec, s->exec, s->params, s->corpus->V, &s->arena);
    s->d = s->model->width(s->m);
    const HeadData data = { s->corpus->V, s->corpus->freq, s->corpus->train, s->corpus->n_train };
    s->embed_variance = training ? embed_init(spec, s->exec, s->params, &data, &s->arena) : NAN;
    s->h = s->head->make(spec, s->exec, s->params, &data, s->d, &s->arena);
    if (training) s->optim = optim_new(spec, s->exec, s->params, &s->arena);
    s->tape = tape_new(s->exec, spec, &s->arena, PASS_BYTES);
    return s;
}

void session_drop(Session *s)
{
    Arena a = s->arena;
    tape_drop(s->tape);
    arena_drop(&a);
}

double session_nll(Session *s, long *n)
{
    enum { AT_ONCE = 512 };        /* tokens: what a pass keeps in memory */
    const int T = (int)spec_int(s->spec, "seq");
    const long windows = (s->corpus->n_valid - 1) / T;
    const int B = AT_ONCE / T > 0 ? AT_ONCE / T : 1;
    int *x = arena_get(&s->arena, sizeof(int) * (size_t)(B * T)), *y = arena_get(&s->arena, sizeof(int) * (size_t)(B * T));
    const int ema = spec_is(s->spec, "eval", "ema");
    double sum = 0;
    *n = windows * T;
    if (windows < 1) die("the validation text has %ld tokens, fewer than one window of seq=%d", s->corpus->n_valid, T);
    if (ema) params_swap_ema(s->params);
    for (long w = 0; w < windows; w += B) {
        const int b = windows - w < B ? (int)(windows - w) : B;
        for (int i = 0; i < b * T; i++) {
            x[i] = s->corpus->valid[w * T + i];
            y[i] = s->corpus->valid[w * T + i + 1];
        }
        tape_reset(s->tape, 0);
        Var h = s->model->forward(s->m, s->tape, x, b, T, NULL);
        sum += s->head->nll(s->h, h.v, y, b * T, NULL);
    }
    if (ema) params_swap_ema(s->params);
    return sum / (double)*n;
}
