/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Parameters with and without gradients; the learning rate of a head's own parameters. */
#include "models/head.h"
#include "models/model.h"
#include "models/optim.h"
#include "tests/test.h"
#include <math.h>
#include <string.h>

enum { V = 40, D = 8, N = 5 };
static Arena arena;
static int start(void **state) { (void)state; arena = arena_new((size_t)1 << 32); return 0; }
static int stop (void **state) { (void)state; arena_drop(&arena); return 0; }

typedef struct { const HeadDef *def; void *h; Params *ps; float x[N * D]; int y[N]; } Lab;

static const Spec *spec_with(const char *const *words)
{
    Spec *s = spec_new(&arena);
    holds(spec_set(s, "threads=2"));
    holds(spec_set(s, "cutoffs=8,20"));
    holds(spec_set(s, "samples=20"));
    for (; *words; words++) holds(spec_set(s, *words));
    return s;
}

static Lab *lab_new(const HeadDef *def, const Spec *s, Params *ps)
{
    const char *why;
    Lab *l = arena_get(&arena, sizeof *l);
    const Exec *e = exec_make(s, &arena, &why);
    long *freq = arena_get(&arena, sizeof *freq * V);
    Rng r = rng_at(1, STREAM_CHECK, 1);
    assert_non_null(e);
    for (int v = 0; v < V; v++) freq[v] = 1000 / (v + 1);
    *l = (Lab){ .def = def, .ps = ps };
    param_normal(params_add_embedding(ps, "words", V, D), 1, 0, 0.4);
    l->h = def->make(s, e, ps, &(HeadData){ .V = V, .freq = freq }, D, &arena);
    for (int i = 0; i < N * D; i++) l->x[i] = (float)rng_normal(&r);
    for (int i = 0; i < N; i++) l->y[i] = i * 7 % V;
    return l;
}

/* Everything that evaluation and generation call, and forward, give the same bits without
 * gradients. */
static void heads_need_no_gradients_for_inference(void **state)
{
    (void)state;
    const char *const words[][3] = { { "tied=1", "short_tied=1" }, { "tied=0", "short_tied=0" } };
    for (const HeadDef *const *def = heads; *def; def++)
        for (int tied = 0; tied < 2; tied++) {
            const Spec *s = spec_with(words[tied]);
            Lab *with = lab_new(*def, s, params_new(&arena));
            Lab *without = lab_new(*def, s, params_new_inference(&arena));
            float nll[2][N], lp[2][V];
            assert_non_null(with->h);
            assert_non_null(without->h);
            Lab *const both[] = { with, without };
            double sum[2], loss[2];
            for (int i = 0; i < 2; i++) {
                Lab *l = both[i];
                sum[i] = l->def->nll(l->h, l->x, l->y, N, nll[i]);
                loss[i] = l->def->forward(l->h, l->x, l->y, N);
                l->def->logprob(l->h, l->x, lp[i]);
                Rng r = rng_at(1, STREAM_SAMPLE, 0);
                const int word = l->def->sample(l->h, l->x, 1, &r);
                assert_true(word >= 0 && word < V);
                params_zero_grad(l->ps);
            }
            assert_true(sum[0] == sum[1] && loss[0] == loss[1]);
            assert_memory_equal(nll[0], nll[1], sizeof nll[0]);
            assert_memory_equal(lp[0], lp[1], sizeof lp[0]);
            for (int i = 0; i < without->ps->n; i++) {
                assert_non_null(with->ps->p[i]->g);
                assert_null(without->ps->p[i]->g);
            }
        }
}

/* Frozen as they are, backward gives dx alone. */
static void backward_leaves_missing_gradients_alone(void **state)
{
    (void)state;
    for (const HeadDef *const *def = heads; *def; def++) {
        const Spec *s = spec_with((const char *const[]){ "tied=1", "short_tied=1", NULL });
        Lab *with = lab_new(*def, s, params_new(&arena));
        Lab *without = lab_new(*def, s, params_new_inference(&arena));
        float dx[2][N * D] = { { 0 }, { 0 } };
        Lab *const both[] = { with, without };
        for (int i = 0; i < 2; i++) {
            both[i]->def->forward(both[i]->h, both[i]->x, both[i]->y, N);
            both[i]->def->backward(both[i]->h, dx[i], 1);
            head_flush_grads(both[i]->def, both[i]->h);
        }
        assert_memory_equal(dx[0], dx[1], sizeof dx[0]);
    }
}

/* How far the first update, whose size is the rate, moves a value of p */
static double moved(Optim *o, Param *p)
{
    const double before = (double)p->v[0];
    for (int i = 0; i < p->n; i++) p->g[i] = 1;
    optim_begin(o, 1, 1);
    optim_update(o, p->owner);
    return fabs((double)p->v[0] - before);
}

/* lr_head is for what a head declares; the embedding that it claims keeps lr */
static void a_claimed_embedding_keeps_its_rate(void **state)
{
    (void)state;
    const char *why;
    const Spec *s = spec_with((const char *const[]){ "lr=0.001", "lr_head=0.01", "decay_weight=0",
                                                     "clip=0", "short_tied=1", NULL });
    Lab *l = lab_new(head_find("adaptive"), s, params_new(&arena));
    Optim *o = optim_new(s, exec_make(s, &arena, &why), l->ps, &arena);
    Param *embedding = l->ps->embedding;
    assert_int_equal(embedding->owner, OWNER_HEAD);
    assert_int_equal(embedding->declared_by, OWNER_CORE);
    assert_true(fabs(moved(o, embedding) / 0.001 - 1) < 1e-3);
    l = lab_new(head_find("adaptive"), s, params_new(&arena));
    o = optim_new(s, exec_make(s, &arena, &why), l->ps, &arena);
    assert_true(fabs(moved(o, params_find(l->ps, "head.short.weight")) / 0.01 - 1) < 1e-3);
}

static void a_head_that_cannot_be_made_says_why(void **state)
{
    (void)state;
    static const struct { const char *head, *word, *why; } cases[] = {
        { "tree",     "depth=1",           "depth=1: expected 2 to 8" },
        { "tree",     "shortlist=40",      "shortlist=40: expected 0 to 39" },
        { "tree",     "classes=41",        "classes=41: expected 1 to the 40 words" },
        { "tree",     "assign=kmeans",     "assign=kmeans: needs the training text" },
        { "adaptive", "cutoffs=20,10",     "cutoffs=20,10: expected auto, counted" },
        { "sampled",  "samples=0",         "samples=0: expected 1 to" },
        { "softmax",  "filter=1",          "filter=1: expected a mass" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Spec *s = spec_with((const char *const[]){ cases[i].word, NULL });
        Lab *l = lab_new(head_find(cases[i].head), s, params_new(&arena));
        assert_null(l->h);
        if (!strstr(l->ps->why, cases[i].why)) fail_msg("%s: '%s'", cases[i].word, l->ps->why);
    }
}

/* ---- size= ---- */
static long parameters_of(const char *size, const char *model)
{
    const char *why;
    const Spec *s = spec_with((const char *const[]){ arena_text(&arena, "model=%s", model),
                                                     arena_text(&arena, "size=%s", size), NULL });
    const size_t mark = arena.used;
    holds(spec_check_values(s));
    const Exec *e = exec_make(s, &arena, &why);
    Params *ps = params_new_inference(&arena);
    assert_non_null(e);
    assert_non_null(model_find(model)->make(s, e, ps, V, &arena));
    const long n = params_count(ps) - ps->embedding->n;
    arena_reset(&arena, mark);
    return n;
}

/* What sizes.def says; two models of a size, and a size and its name, are within 10 % */
static void sizes_have_their_parameters(void **state)
{
    (void)state;
    const long most = getenv("EIGHTYSIX_LONG") ? 100000000 : 5000000;
    for (const SpecSize *z = spec_sizes; z->size; z++) {
        if (z->parameters > most) continue;
        assert_int_equal(parameters_of(z->size, z->model), z->parameters);
        const double named = strtod(z->size, NULL) * 1e6;
        assert_true(fabs((double)z->parameters / named - 1) < 0.1);
        for (const SpecSize *y = spec_sizes; y->size; y++)
            if (!strcmp(y->size, z->size))
                assert_true(fabs((double)y->parameters / (double)z->parameters - 1) < 0.1);
    }
}

/* A size is the cell of what it sets; a word beside it that it sets is refused */
static void a_size_is_what_it_sets(void **state)
{
    (void)state;
    const Spec *size = spec_with((const char *const[]){ "model=transformer", "size=4M", NULL }),
               *same = spec_with((const char *const[]){ "model=transformer", "d=256", "layers=5",
                                                        "attn_heads=4", NULL }),
               *both = spec_with((const char *const[]){ "model=transformer", "size=4M", "d=256",
                                                        NULL }),
               *none = spec_with((const char *const[]){ "model=bolt", "size=2.7B", NULL });
    assert_string_equal(spec_text(size), spec_text(same));
    assert_null(spec_check_values(size));
    assert_non_null(strstr(spec_check(both), "d=256: applies to size=none"));
    assert_non_null(strstr(spec_check(none), "expected a size that there is of this model: 1M"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_need_no_gradients_for_inference),
        cmocka_unit_test(backward_leaves_missing_gradients_alone),
        cmocka_unit_test(a_claimed_embedding_keeps_its_rate),
        cmocka_unit_test(a_head_that_cannot_be_made_says_why),
        cmocka_unit_test(sizes_have_their_parameters),
        cmocka_unit_test(a_size_is_what_it_sets),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
