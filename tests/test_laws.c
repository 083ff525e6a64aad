/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operations and models against their laws, and the law of parity against itself. */
#include "harness/laws/laws.h"
#include "models/optim.h"
#include "tests/test.h"
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void ops_obey(void **state)
{
    (void)state;
    Arena a = arena_new((size_t)1 << 34);
    holds(law_ops(test_seed(), &a));
    arena_drop(&a);
}

static void models_obey(void **state)
{
    (void)state;
    for (int i = 0; models[i]; i++) {
        Arena a = arena_new((size_t)1 << 34);
        holds(law_model(models[i], "", test_seed(), NULL, &a));
        arena_drop(&a);
    }
}

/* A model that looks ahead is refused: the first token that does, where, and by how much */
static void leaks_are_found(void **state)
{
    (void)state;
    static const struct { const char *model, *words; int token; } cases[] = {
        { "bolt", " leak=groupnorm", 1 },        { "bolt", " leak=mean", 1 },
        { "transformer", " leak=groupnorm", 1 }, { "transformer", " leak=mean", 1 },
        { "transformer", " leak=triu", 1 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena a = arena_new((size_t)1 << 34);
        const char *why = law_model(model_find(cases[i].model), cases[i].words, 1, NULL, &a);
        int token = -1, position = -1;
        double by = 0;
        if (!why) fail_msg("model %s%s: accepted", cases[i].model, cases[i].words);
        const char *at = strstr(why, ": token ");
        if (!at || sscanf(at, ": token %d changes the output at position %d before it, by %lf",
                          &token, &position, &by) != 3)
            fail_msg("model %s%s: %s", cases[i].model, cases[i].words, why);
        assert_int_equal(token, cases[i].token);
        assert_int_equal(position, 0);
        assert_true(by > 1e-4 && by < 10);
        arena_drop(&a);
    }
}

/* A program that reads a value after another operation has taken over its gradient or memory does
 * not train on a wrong gradient: it ends with a message. */
/* x + f(x) + g(x), g recorded too late */
static Var parallel_block(Tape *t, Var x, Param *gain)
{
    Var y = op_add(t, x, op_rmsnorm(t, x, gain, 1e-6, 0));
    return op_add(t, y, op_silu(t, x));
}

/* b of op_add, whose memory the sum may take */
static Var reads_the_summand(Tape *t, Var x, Param *gain)
{
    Var f = op_rmsnorm(t, x, gain, 1e-6, 0);
    Var y = op_add(t, x, f);
    return op_mul(t, y, f);
}

static Var in_order(Tape *t, Var x, Param *gain)
{
    Var f = op_rmsnorm(t, x, gain, 1e-6, 0), g = op_silu(t, x);
    return op_add(t, op_add(t, x, f), g);
}

static int ends_with(Var (*block)(Tape *, Var, Param *), int recording)
{
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        const char *why;
        Arena a = arena_new((size_t)1 << 26);
        Spec *s = spec_new(&a);
        if (spec_set(s, "threads=1") || spec_set(s, "gemm=portable")) _exit(99);
        Tape *t = tape_new(exec_make(s, &a, &why), s, &a, 1 << 24);
        Params *ps = params_new(&a);
        Param *table = params_add(ps, "table", (int[]){ 3, 8, 0 }, GROUP_ADAMW, OWNER_CORE);
        Param *gain = params_add(ps, "gain", (int[]){ 8, 0 }, GROUP_ADAMW_NODECAY, OWNER_CORE);
        tape_reset(t, recording);
        Var y = block(t, op_embed(t, table, (int[]){ 0, 2 }, 2), gain);
        if (recording) {
            memset(tape_grad(t, y), 0, sizeof(float) * 16);
            tape_backward(t);
        }
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void late_readers_die(void **state)
{
    (void)state;
    assert_int_equal(ends_with(in_order, 1), 0);
    assert_int_equal(ends_with(parallel_block, 1), SIGABRT);
    assert_int_equal(ends_with(reads_the_summand, 1), SIGABRT);
    /* without gradients nothing is taken over */
    assert_int_equal(ends_with(parallel_block, 0), 0);
}

static void parity_with(const char *name)
{
    const char *data = test_data("../parity beside it");
    char dir[4096];
    struct stat st;
    snprintf(dir, sizeof dir, "%s/../parity/%s", data ? data : "", name);
    if (!data || stat(dir, &st)) {
        if (data) printf("# skipped: no %s\n", dir);
        skip();
    }
    Arena a = arena_new((size_t)1 << 34);
    int bad;
    holds(law_parity(dir, stdout, &bad, &a));
    arena_drop(&a);
}

static void parity_v3_full(void **state)   { (void)state; parity_with("v3_full"); }
static void parity_v3_frac25(void **state) { (void)state; parity_with("v3_frac25"); }
static void parity_normuon(void **state)   { (void)state; parity_with("normuon_unit"); }
static void parity_bitlinear(void **state) { (void)state; parity_with("bitlinear_unit"); }
static void parity_mmfree(void **state)    { (void)state; parity_with("mmfree"); }
static void parity_hgrn_bit(void **state)  { (void)state; parity_with("hgrn_bit"); }
static void parity_transformer(void **state) { (void)state; parity_with("transformer"); }
static void parity_transformer_ternary(void **state)
{
    (void)state;
    parity_with("transformer_ternary");
}
static void parity_bolt(void **state)      { (void)state; parity_with("bolt"); }

static void put(const char *dir, const char *name, const float *x, size_t n)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(x, 4, n, f), n);
    fclose(f);
}

/* A 1x1 NorMuon step by hand: |m| normalised is 1; five steps of
 * x -> 3.4445x - 4.7750x^3 + 2.0315x^5; the update has length 0.2 lr */
static void parity_sees_a_wrong_value(void **state)
{
    (void)state;
    char dir[] = "/tmp/eightysix-parity-XXXXXX", path[4096];
    assert_non_null(mkdtemp(dir));
    double x = 1;
    for (int i = 0; i < 5; i++) x = 3.4445 * x - 4.7750 * x * x * x + 2.0315 * x * x * x * x * x;
    put(dir, "G", (float[]){ 3 }, 1);
    put(dir, "W0", (float[]){ 1 }, 1);
    put(dir, "ns5", (float[]){ (float)x }, 1);
    snprintf(path, sizeof path, "%s/manifest.json", dir);
    FILE *f = fopen(path, "w");
    fputs("{\"meta\":{\"optimizer\":{\"normuon_lr\":0.02}},\"tensors\":["
          "{\"name\":\"1x1/G\",\"file\":\"G\",\"shape\":[1,1]},"
          "{\"name\":\"1x1/W0\",\"file\":\"W0\",\"shape\":[1,1]},"
          "{\"name\":\"1x1/W1\",\"file\":\"W1\",\"shape\":[1,1]},"
          "{\"name\":\"1x1/ns5\",\"file\":\"ns5\",\"shape\":[1,1]}]}", f);
    fclose(f);
    for (int wrong = 0; wrong < 2; wrong++) {
        Arena a = arena_new((size_t)1 << 34);
        put(dir, "W1", (float[]){ 1 - 0.02f * 0.2f * (x > 0 ? 1 : -1) * (wrong ? 1.01f : 1) }, 1);
        int bad;
        const char *why = law_parity(dir, NULL, &bad, &a);
        assert_int_equal(bad, 0);
        if (!wrong) holds(why);
        else assert_non_null(why);
        if (wrong) assert_non_null(strstr(why, "1x1/W1"));
        arena_drop(&a);
    }
    snprintf(path, sizeof path, "rm -r %s", dir);
    assert_int_equal(system(path), 0);
}

/* the optimiser on denormal momenta, in every thread: they become zero */
static void denormals_are_flushed(void **state)
{
    (void)state;
    enum { N = 8192 };
    Arena a = arena_new((size_t)1 << 30);
    const char *why;
    Spec *s = spec_new(&a);
    assert_null(spec_set(s, "threads=2"));
    const Exec *e = exec_make(s, &a, &why);
    assert_non_null(e);
    Params *ps = params_new(&a);
    Param *p = params_add(ps, "p", (int[]){ N, 0 }, GROUP_ADAMW, OWNER_CORE);
    Optim *o = optim_new(s, e, ps, &a);
    for (int i = 0; i < N; i++) p->m[i] = 1e-40f;
    optim_begin(o, 1, 0);
    optim_update(o, OWNER_CORE);
    for (int i = 0; i < N; i++) assert_true(p->m[i] == 0);
    arena_drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(ops_obey),
                                        cmocka_unit_test(models_obey),
                                        cmocka_unit_test(leaks_are_found),
                                        cmocka_unit_test(late_readers_die),
                                        cmocka_unit_test(parity_v3_full),
                                        cmocka_unit_test(parity_v3_frac25),
                                        cmocka_unit_test(parity_normuon),
                                        cmocka_unit_test(parity_bitlinear),
                                        cmocka_unit_test(parity_mmfree),
                                        cmocka_unit_test(parity_hgrn_bit),
                                        cmocka_unit_test(parity_transformer),
                                        cmocka_unit_test(parity_transformer_ternary),
                                        cmocka_unit_test(parity_bolt),
                                        cmocka_unit_test(parity_sees_a_wrong_value),
                                        cmocka_unit_test(denormals_are_flushed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
