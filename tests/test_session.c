/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A session that does not train: its parameters have no gradients, neither in their fields nor in
 * the memory of the process, and it evaluates every head as one that trains. And what an evaluation
 * leaves to the rest of a session. */
#include "harness/train/checkpoint.h"
#include "harness/train/evaluate.h"
#include "tests/test.h"
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const char SAVE[] = "test_session.safetensors";

static const Spec *spec_of(const char *words, Arena *a)
{
    Spec *s = spec_new(a);
    assert_null(spec_set_words(s, "corpus=synth train_tokens=3000 valid_tokens=300 conv_groups=4 "
                                  "seq=24 threads=1 gemm=portable"));
    assert_null(spec_set_words(s, words));
    return s;
}

/* Peak memory in bytes of a process that makes a session; *values: of its parameters */
static double peak_of(const char *words, double *values, Arena *a)
{
    int fd[2], status;
    struct rusage use;
    assert_int_equal(pipe(fd), 0);
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        Session *s = session_make(spec_of(words, a), NULL, SESSION_READS);
        const long n = params_count(s->params);
        _exit(write(fd[1], &n, sizeof n) != sizeof n);
    }
    long n = 0;
    close(fd[1]);
    assert_int_equal(read(fd[0], &n, sizeof n), sizeof n);
    close(fd[0]);
    assert_int_equal(wait4(pid, &status, 0, &use), pid);
    assert_int_equal(status, 0);
    *values = (double)n;
    return 1024.0 * (double)use.ru_maxrss;
}

/* What a wider model takes more is its values, once; with gradients it would be twice that */
static void no_memory_for_gradients(void **state)
{
    (void)state;
    Arena a = arena_new((size_t)1 << 26);
    double narrow, wide;
    const double before = peak_of("V=50000 d=32 head=softmax", &narrow, &a);
    const double after = peak_of("V=50000 d=320 head=softmax", &wide, &a);
    const double times = (after - before) / (sizeof(float) * (wide - narrow));
    if (!(times > 0.5 && times < 1.5)) fail_msg("%.2f times the values", times);
    arena_drop(&a);
}

static void evaluates_as_one_that_trains(void **state)
{
    (void)state;
    Arena a = arena_new((size_t)1 << 26);
    for (int i = 0; heads[i]; i++)
        for (int finish = 0; finish < 2; finish++) {
            const Spec *spec = spec_of(arena_text(&a, "V=97 d=32 inner=40 head=%s finish=%g",
                                                  heads[i]->name, 0.5 * finish), &a);
            long n, m;
            Session *s = session_make(spec, NULL, SESSION_TRAINS);
            if (finish) session_finish(s);
            const char *why = checkpoint_save(s, SAVE);
            if (why) fail_msg("%s", why);
            const double nll = session_nll(s, &n);
            float each[300];
            double sum = 0;
            assert_true(session_nll_of(s, &s->corpus->valid, &m, each) == nll && m == n);
            for (long k = 0; k < n; k++) sum += (double)each[k];
            assert_true(fabs(sum / (double)n / nll - 1) < 1e-5);
            Session *t = checkpoint_open((char *[]){ (char *)SAVE, NULL }, 1, "eval",
                                         SESSION_EVALUATES, &a);
            assert_true(session_nll(t, &m) == nll && n == m);
            for (int k = 0; k < t->params->n; k++) {
                assert_null(t->params->p[k]->g);
                assert_true(t->params->p[k]->frozen);
            }
            session_drop(t);
            session_drop(s);
        }
    unlink(SAVE);
    arena_drop(&a);
}

/* What an evaluation makes of the weights, to multiply by, is still there after it */
static void an_evaluation_leaves_its_weights(void **state)
{
    (void)state;
    Arena a = arena_new((size_t)1 << 26);
    const char *why;
    long n;
    const int packs = gemm_open("dnnl", 1, &a, &why) != NULL;
    for (int i = 0; heads[i]; i++)
        for (int gemm = 0; gemm < 1 + packs; gemm++) {
            const char *words = arena_text(&a, "V=97 d=32 inner=40 head=%s%s", heads[i]->name,
                                           gemm ? " gemm=dnnl" : "");
            Session *s = session_make(spec_of(words, &a), NULL, SESSION_TRAINS);
            Recorder none = { NULL, 0 };
            evaluate_valid(s, &none);
            enum { MORE = 1 << 22 };
            memset(arena_raw(s->arena, MORE), 0xff, MORE);
            const double again = session_nll(s, &n), before = session_nll(s, &n);
            Session *fresh = session_make(s->spec, NULL, SESSION_TRAINS);
            assert_true(again == before && again == session_nll(fresh, &n));
            session_drop(fresh);
            session_drop(s);
        }
    arena_drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(no_memory_for_gradients),
                                        cmocka_unit_test(evaluates_as_one_that_trains),
                                        cmocka_unit_test(an_evaluation_leaves_its_weights) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
