/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/train/hidden_states.h"
#include "harness/util/clock.h"
#include "harness/corpus/cache.h"
#include "harness/util/host.h"
#include "harness/util/progress.h"
#include <string.h>
#include <unistd.h>

enum { AT_ONCE = 512 };          /* tokens of a pass */

/* windows; x, y: (train + valid, T) */
typedef struct { long train, valid; int T; int *x, *y; } Windows;

/* `count` windows into x and y, the first tokens evenly apart */
static void hidden_states_cut_windows(int *x, int *y, TokenIds tok, long n, long count,
                                      int T)
{
    const long apart = (n - 1) / count;
    for (long w = 0; w < count; w++)
        for (int t = 0; t < T; t++) {
            x[w * T + t] = token_id(tok, w * apart + t);
            y[w * T + t] = token_id(tok, w * apart + t + 1);
        }
}

static const char *hidden_states_windows_of(Windows *w, const Session *s, long positions, Arena *a)
{
    const Corpus *c = s->corpus;
    const int T = (int)spec_int(s->spec, "seq");
    const long most = (c->n_train - 1) / T;
    const long wanted = positions / T;
    *w = (Windows){ .T = T, .train = wanted < most ? wanted : most, .valid = (c->valid.n - 1) / T };
    if (w->train < 1 || w->valid < 1)
        return arena_text(
            a,
            "%ld training states of %ld tokens, %ld validation tokens: expected a window "
            "of seq=%d in both",
            positions, c->n_train, c->valid.n, T);
    const size_t n = (size_t)(w->train + w->valid) * (size_t)T,
                 first = (size_t)w->train * (size_t)T;
    w->x = arena_raw(a, 2 * sizeof(int) * n);
    w->y = w->x + n;
    hidden_states_cut_windows(w->x, w->y, c->train, c->n_train, w->train, T);
    for (size_t i = 0; i < n - first; i++) {
        w->x[first + i] = token_id(c->valid.tok, (long)i);
        w->y[first + i] = token_id(c->valid.tok, (long)i + 1);
    }
    return NULL;
}

static const char *hidden_states_key_of(const Session *s, const char *checkpoint, const Windows *w,
                                        Arena *a)
{
    char ids[65];
    sha256_hex(w->x, 2 * sizeof(int) * (size_t)(w->train + w->valid) * (size_t)w->T, ids);
    return arena_text(a, "%s %s %ld %s gemm=%s kernel=%s %s", checkpoint, ids, w->train,
                      build_read(a)->id, s->exec->gemm->name, s->exec->kernel->name,
                      spec_text(s->spec));
}

static void hidden_states_progress(double began, double *said, long done, long all)
{
    const double spent = clock_now() - began;
    if (spent < 2 || !progress_due(said)) return;
    progress_say("hidden states: %ld of %ld windows, %.0f s left", done, all,
                 spent * (double)(all - done) / (double)done);
}

/* h (windows, T, d) */
static void hidden_states_fill(Session *s, float *h, const Windows *w)
{
    const int T = w->T, B = AT_ONCE / T > 0 ? AT_ONCE / T : 1,
              ema = spec_is(s->spec, "eval", "ema");
    const size_t window = (size_t)T * (size_t)s->d;
    const long all = w->train + w->valid;
    const double began = clock_now();
    double said = began;
    if (ema) params_swap_ema(s->params);
    for (long at = 0; at < all; at += B) {
        const int b = all - at < B ? (int)(all - at) : B;
        tape_reset(s->tape, 0);
        const Var v = s->model->forward(s->m, s->tape, w->x + at * T, b, T, NULL);
        memcpy(h + (size_t)at * window, v.v, sizeof *h * (size_t)b * window);
        hidden_states_progress(began, &said, at + b, all);
    }
    if (ema) params_swap_ema(s->params);
    progress_clear();
}

static const char *hidden_states_make(Session *s, const char *path, const char *key,
                                      const Windows *w, Arena *a)
{
    const long n = (w->train + w->valid) * w->T;
    const size_t mark = a->used;
    float *h = arena_raw(a, sizeof *h * (size_t)n * (size_t)s->d);
    hidden_states_fill(s, h, w);
    const int rows = (int)n;
    const Tensor t[] = {
        { .name = "h",
          .dtype = "F32",
          .n = n * s->d,
          .ndim = 2,
          .shape = { rows, s->d },
          .data = h },
        { .name = "x", .dtype = "I32", .n = n, .ndim = 1, .shape = { rows }, .data = w->x },
        { .name = "y", .dtype = "I32", .n = n, .ndim = 1, .shape = { rows }, .data = w->y },
    };
    const char *why = tensors_save(path, t, 3, (const char *const[]){ "key", key, NULL }, a);
    if (!why) arena_reset(a, mark);
    return why;
}

/* NULL when the file has what is wanted, or an error message */
static const char *hidden_states_take(HiddenStatePair *p, const char *path, const char *key,
                                      long train, long all, int d, Arena *a)
{
    const char *why;
    p->file = tensors_open(path, a, &why);
    if (!p->file) return why;
    const Tensor *h = tensors_find(p->file, "h");
    const Tensor *x = tensors_find(p->file, "x"), *y = tensors_find(p->file, "y");
    const char *was = tensors_meta(p->file, "key");
    if (!was || strcmp(was, key) || !h || !x || !y || h->n != all * d || x->n != all || y->n != all)
        return arena_text(a, "%s: not the states of its name (delete it and they are made again)",
                          path);
    p->d = d;
    p->train = (HiddenStates){ train, h->data, x->data, y->data };
    p->valid = (HiddenStates) { all - train, p->train.h + train * d, p->train.x + train,
                                p->train.y + train };
    return NULL;
}

const char *hidden_states_open(HiddenStatePair *p, Session *s, const char *checkpoint,
                               long positions, Arena *a)
{
    Windows w;
    char hash[65];
    *p = (HiddenStatePair){ 0 };
    const char *why = sha256_file(checkpoint, p->checkpoint);
    if (!why) why = hidden_states_windows_of(&w, s, positions, a);
    if (why) return why;
    const char *key = hidden_states_key_of(s, p->checkpoint, &w, a);
    const char *name =
        arena_text(a, "states.%.12s.safetensors", sha256_hex(key, strlen(key), hash));
    const char *path = cache_path(name, a, &why);
    if (!path) return why;
    p->found = !access(path, R_OK);
    if (!p->found && (why = hidden_states_make(s, path, key, &w, a))) return why;
    return hidden_states_take(p, path, key, w.train * w.T, (w.train + w.valid) * w.T, s->d, a);
}

void hidden_states_close(HiddenStatePair *p)
{
    if (p->file) tensors_close(p->file);
    p->file = NULL;
}
