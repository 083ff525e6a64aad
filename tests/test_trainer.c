/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A run: its losses repeat bit for bit, a killed one continues as if it had not been, its phases
 * add up. */
#include "harness/util/clock.h"
#include "harness/train/trainer.h"
#include "models/params.h"
#include "tests/test.h"
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEPS = 12, MAX_LOSSES = 64 };
static const char SAVE[] = "test_trainer.safetensors";
static const char *const small[] = {
    "corpus=synth", "V=97", "train_tokens=20000", "valid_tokens=600", "d=32", "inner=85",
    "conv_groups=4", "dilations=1,4,8", "batch=2", "accum=2", "seq=24", "schedule=constant",
    "warmup=4", "threads=2", "fraction=0.5", NULL
};

/* What a run recorded; worst_gap: of a step's time from the sum of its phases, relative */
typedef struct {
    char loss[MAX_LOSSES][64];
    int n;
    char nll[64], finish[64], variance[64], unsound[64];
    double worst_gap;
} Told;

static void (*at_loss)(int n);           /* called at loss n, from 1 on; NULL: nothing is done */

/* Runs a cell in a child; kills it after `kill_after` losses when that is > 0.
 * Returns the wait status. */
static int run(Told *t, const char *const *more, int kill_after)
{
    int fd[2], status;
    assert_int_equal(pipe(fd), 0);
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        Arena a = arena_new(1 << 24);
        Spec *s = spec_new(&a);
        for (int i = 0; small[i]; i++) if (spec_set(s, small[i])) _exit(99);
        for (int i = 0; more[i]; i++) if (spec_set(s, more[i])) _exit(98);
        Recorder rec = { .out = fdopen(fd[1], "w") };
        train_cell(s, &rec);
        _exit(0);
    }
    close(fd[1]);
    FILE *in = fdopen(fd[0], "r");
    char line[512], name[64], value[64];
    double sum = 0, x;
    long step;
    int losses = 0;
    *t = (Told){ 0 };
    while (fgets(line, sizeof line, in)) {
        if (sscanf(line, "span %63s %ld %lf", name, &step, &x) == 3) sum += x;
        if (sscanf(line, "num %63s %ld %63s", name, &step, value) != 3) continue;
        if (!strcmp(name, "step_s")) {
            t->worst_gap = fmax(t->worst_gap, fabs(sum / strtod(value, NULL) - 1));
            sum = 0;
        }
        if (!strcmp(name, "nll")) strcpy(t->nll, value);
        if (!strcmp(name, "finish_step")) strcpy(t->finish, value);
        if (!strcmp(name, "unsound")) strcpy(t->unsound, value);
        if (!strcmp(name, "embed_variance")) strcpy(t->variance, value);
        if (!strcmp(name, "loss") && at_loss) at_loss(++losses);
        if (strcmp(name, "loss") || t->n == MAX_LOSSES) continue;
        strcpy(t->loss[t->n++], value);
        if (kill_after && t->n == kill_after) kill(pid, SIGKILL);
    }
    fclose(in);
    waitpid(pid, &status, 0);
    return status;
}

static void same_seed_same_losses(void **state)
{
    (void)state;
    static const char *const heads_[] = { "head=softmax", "head=tree", "head=adaptive" },
                             *const acts[] = { "act=f32", "act=int8" };
    for (int i = 0; i < 6; i++) {
        Told a, b, c;
        const char *more[] = { heads_[i / 2], acts[i % 2], "budget=12steps", NULL },
                   *other[] = { heads_[i / 2], acts[i % 2], "budget=12steps", "seed=2", NULL };
        assert_int_equal(run(&a, more, 0), 0);
        assert_int_equal(run(&b, more, 0), 0);
        assert_int_equal(run(&c, other, 0), 0);
        assert_int_equal(a.n, STEPS);
        assert_memory_equal(a.loss, b.loss, sizeof a.loss);
        assert_string_equal(a.nll, b.nll);
        assert_string_not_equal(a.loss[0], c.loss[0]);
        assert_true(a.worst_gap < 0.01);
    }
}

/* activation and optimizer at another value than their default are computed with */
static void activation_and_optimizer_have_an_effect(void **state)
{
    (void)state;
    static const char *const words[] = { "activation=relu2", "activation=silu", "activation=gelu",
                                         "optimizer=normuon", "optimizer=adamw" };
    Told told[5];
    for (int i = 0; i < 5; i++) {
        const char *more[] = { words[i], "act=int8", "budget=4steps", NULL };
        assert_int_equal(run(&told[i], more, 0), 0);
        assert_int_equal(told[i].n, 4);
    }
    assert_memory_equal(told[0].loss, told[3].loss, sizeof told[0].loss);
    for (int i = 1; i < 5; i++) {
        if (i == 3) continue;
        for (int j = 0; j < i; j++) assert_string_not_equal(told[i].loss[3], told[j].loss[3]);
    }
    /* the first loss comes before the first update */
    assert_string_equal(told[4].loss[0], told[0].loss[0]);
}

static void an_embedding_from_the_text_repeats(void **state)
{
    (void)state;
    static const char *const more[] = { "embed_init=pmi", "budget=4steps", NULL },
                             *const drawn[] = { "budget=4steps", NULL };
    Told a, b, c;
    assert_int_equal(run(&a, more, 0), 0);
    assert_int_equal(run(&b, more, 0), 0);
    assert_int_equal(run(&c, drawn, 0), 0);
    assert_memory_equal(a.loss, b.loss, sizeof a.loss);
    assert_string_not_equal(a.loss[0], c.loss[0]);
    assert_true(strtod(a.variance, NULL) > 0 && strtod(a.variance, NULL) < 1);
    assert_string_equal(c.variance, "");
}

/* a full softmax touches every row; of a sampled one, most are left alone */
static void updates_by_row(void **state)
{
    (void)state;
    static const char *const heads_[] = { "head=softmax", "head=sampled" };
    for (int i = 0; i < 2; i++) {
        const char *dense[] = { heads_[i], "samples=5", "budget=12steps", NULL };
        const char *rows[] = { heads_[i], "samples=5", "budget=12steps", "update=rows", NULL };
        Told a, b;
        assert_int_equal(run(&a, dense, 0), 0);
        assert_int_equal(run(&b, rows, 0), 0);
        assert_string_equal(a.loss[0], b.loss[0]);
        assert_int_equal(!strcmp(a.nll, b.nll), i == 0);
    }
}

static void int8_both_ways_repeats(void **state)
{
    (void)state;
    static const char *const more[] = { "act=int8", "bwd=int8", "budget=12steps", NULL },
                             *const f32[] = { "act=int8", "budget=12steps", NULL };
    Told a, b, c;
    assert_int_equal(run(&a, more, 0), 0);
    assert_int_equal(run(&b, more, 0), 0);
    assert_int_equal(run(&c, f32, 0), 0);
    assert_memory_equal(a.loss, b.loss, sizeof a.loss);
    assert_string_equal(a.nll, b.nll);
    assert_string_equal(a.loss[0], c.loss[0]);
    assert_string_not_equal(a.loss[STEPS - 1], c.loss[STEPS - 1]);
    assert_true(fabs(strtod(a.nll, NULL) - strtod(c.nll, NULL)) < 0.02);
}

static void int8_back_alone_is_refused(void **state)
{
    (void)state;
    const char *more[] = { "bwd=int8", "budget=2steps", NULL };
    Told t;
    const int status = run(&t, more, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
}

static void killed_and_resumed_is_unbroken(void **state)
{
    (void)state;
    char save[64];
    snprintf(save, sizeof save, "save=%s", SAVE);
    static const char *const ways[][3] = { { "head=tree", "act=f32", "bwd=f32" },
                                           { "head=tree", "act=int8", "bwd=int8" },
                                           { "head=sampled", "samples=20", "freeze=9" },
                                           { "head=sampled", "samples=20", "update=rows" },
                                           { "model=mmfree", "act=int8", "inner=40" },
                                           { "model=transformer", "layers=2", "inner=40" },
                                           { "model=bolt", "act=int8", "inner=40" } };
    for (int i = 0; i < 7; i++) {
        const char *whole[] = { ways[i][0], ways[i][1], ways[i][2], "budget=12steps", NULL };
        const char *kept[] = { ways[i][0], ways[i][1],          ways[i][2], "budget=12steps",
                               save,       "save_every=1steps", NULL };
        Told a, b, c;
        unlink(SAVE);
        assert_int_equal(run(&a, whole, 0), 0);
        const int status = run(&b, kept, 5);
        assert_true(WIFSIGNALED(status) || b.n == STEPS);
        assert_int_equal(run(&c, kept, 0), 0);
        assert_true(c.n < STEPS && c.n > 0);
        for (int k = 0; k < c.n; k++) assert_string_equal(c.loss[k], a.loss[STEPS - c.n + k]);
        assert_string_equal(c.nll, a.nll);
        unlink(SAVE);
    }
}

/* The losses are the training head's for half of the budget and others afterwards, wherever a run
 * is broken. */
static void finishes_with_the_full_softmax(void **state)
{
    (void)state;
    enum { LONG = 20, HALF = 10 };
    static const char *const heads_[] = { "head=tree", "head=adaptive" };
    char save[64];
    snprintf(save, sizeof save, "save=%s", SAVE);
    for (int i = 0; i < 4; i++) {
        const char *never[] = { heads_[i / 2], "budget=20steps", NULL };
        const char *whole[] = { heads_[i / 2], "budget=20steps", "finish=0.5", NULL };
        const char *kept[] = { heads_[i / 2], "budget=20steps",    "finish=0.5",
                               save,          "save_every=1steps", NULL };
        Told a, b, c, plain;
        unlink(SAVE);
        assert_int_equal(run(&plain, never, 0), 0);
        assert_int_equal(run(&a, whole, 0), 0);
        assert_string_equal(plain.finish, "");
        assert_string_equal(a.finish, "10");
        assert_int_equal(a.n, LONG);
        for (int k = 0; k <= HALF; k++)
            assert_int_equal(!strcmp(a.loss[k], plain.loss[k]), k < HALF);
        const int status = run(&b, kept, i % 2 ? 13 : 5);
        assert_true(WIFSIGNALED(status) || b.n == LONG);
        assert_int_equal(run(&c, kept, 0), 0);
        assert_true(c.n < LONG && c.n > 0);
        for (int k = 0; k < c.n; k++) assert_string_equal(c.loss[k], a.loss[LONG - c.n + k]);
        assert_string_equal(c.nll, a.nll);
        assert_int_equal(run(&b, kept, 0),
                         0); /* nothing left to train: the checkpoint is evaluated */
        assert_int_equal(b.n, 0);
        assert_string_equal(b.nll, a.nll);
        unlink(SAVE);
    }
}

static void other_settings_do_not_resume(void **state)
{
    (void)state;
    char save[64];
    snprintf(save, sizeof save, "save=%s", SAVE);
    const char *one[] = { "budget=2steps", save, NULL },
               *two[] = { "budget=4steps", save, "lr=0.001", NULL },
               *longer[] = { "budget=4steps", save, NULL };
    Told t;
    unlink(SAVE);
    assert_int_equal(run(&t, one, 0), 0);
    const int status = run(&t, two, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    assert_int_equal(run(&t, longer, 0), 0);
    assert_int_equal(t.n, 2);
    unlink(SAVE);
}

static void keep_trunk(const char *from, const char *more)
{
    char save[64];
    snprintf(save, sizeof save, "save=%s", from);
    const char *const trunk[] = { "budget=8steps", "schedule=wsd", "decay=0", save, more, NULL };
    Told t;
    unlink(from);
    assert_int_equal(run(&t, trunk, 0), 0);
    assert_int_equal(t.n, 8);
}

/* One stable phase serves two budgets: what follows it is what an unbroken run of that budget does,
 * bit for bit. */
static void a_branch_is_the_direct_run(void **state)
{
    (void)state;
    static const char *const budgets[] = { "budget=12steps", "budget=16steps" }, *const heads_[] = {
        "head=tree", "head=adaptive"
    };
    char from[64];
    snprintf(from, sizeof from, "from=%s", SAVE);
    for (int i = 0; i < 4; i++) {
        const char *direct[] = { heads_[i / 2], budgets[i % 2], "schedule=wsd", "decay=0.25",
                                 NULL };
        const char *branch[] = { heads_[i / 2], budgets[i % 2], "schedule=wsd",
                                 "decay=0.25",  from,           NULL };
        Told a, b;
        keep_trunk(SAVE, heads_[i / 2]);
        assert_int_equal(run(&a, direct, 0), 0);
        assert_int_equal(run(&b, branch, 0), 0);
        assert_int_equal(b.n, a.n - 8);
        for (int k = 0; k < b.n; k++) assert_string_equal(b.loss[k], a.loss[8 + k]);
        assert_string_equal(b.nll, a.nll);
    }
    unlink(SAVE);
}

static void a_branch_that_is_none_is_refused(void **state)
{
    (void)state;
    char from[64], save[64];
    snprintf(from, sizeof from, "from=%s", SAVE);
    snprintf(save, sizeof save, "save=%s", SAVE);
    const char *const wrong[][4] = { { "budget=9steps", "schedule=wsd", "decay=0.25", from },
                                     { "budget=16steps", "lr=0.001", "decay=0.25", from },
                                     { "budget=16steps", "schedule=wsd", save, from } };
    keep_trunk(SAVE, "head=tree");
    for (int i = 0; i < 3; i++) {
        const char *more[] = {
            "head=tree", wrong[i][0], wrong[i][1], wrong[i][2], wrong[i][3], NULL
        };
        Told t;
        const int status = run(&t, more, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
        assert_int_equal(t.n, 0);
    }
    unlink(SAVE);
}

static void learns(void **state)
{
    (void)state;
    const char *more[] = { "budget=150steps", "lr=0.003", "fraction=1", NULL },
               *none[] = { "budget=0steps", NULL };
    Told trained, fresh;
    assert_int_equal(run(&trained, more, 0), 0);
    assert_int_equal(run(&fresh, none, 0), 0);
    assert_true(strtod(trained.nll, NULL) < strtod(fresh.nll, NULL) - 0.3);
}

static void noop_records_no_loss(void **state)
{
    (void)state;
    const char *more[] = { "budget=2steps", "act=int8", "kernel=noop", NULL };
    Told t;
    assert_int_equal(run(&t, more, 0), 0);
    assert_int_equal(t.n, 0);
    assert_string_equal(t.nll, "");
}

static void a_leak_is_recorded(void **state)
{
    (void)state;
    const char *leaks[] = { "model=transformer", "inner=40", "budget=2steps", "leak=triu", NULL },
               *none[] = { "model=transformer", "inner=40", "budget=2steps", NULL };
    Told t;
    assert_int_equal(run(&t, leaks, 0), 0);
    assert_string_equal(t.unsound, "1");
    assert_int_equal(run(&t, none, 0), 0);
    assert_string_equal(t.unsound, "");
}

static void unknown_kernel_is_skipped(void **state)
{
    (void)state;
    const char *more[] = { "budget=2steps", "kernel=i2_quantum", NULL };
    Told t;
    const int status = run(&t, more, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP);
}

/* What a cell with these settings says on stderr; its exit code */
static int said(char *text, size_t size, const char *const *more)
{
    int fd[2], status;
    size_t n = 0;
    assert_int_equal(pipe(fd), 0);
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        dup2(fd[1], 2);
        Told t;
        status = run(&t, more, 0);
        if (*t.nll) fprintf(stderr, "nll=%s\n", t.nll);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 255);
    }
    close(fd[1]);
    for (ssize_t got; n + 1 < size && (got = read(fd[0], text + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = 0;
    close(fd[0]);
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

static void expect_said(const char *const *more, int code, const char *expected)
{
    char text[16384];
    const int got = said(text, sizeof text, more);
    if (got != code || !strstr(text, expected))
        fail_msg("exit code %d, expected %d; expected '%s' in: %s", got, code, expected, text);
}

/* Writes a NaN over the first value of the parameter declared first */
static void break_values(const char *path)
{
    Arena a = arena_new(1 << 24);
    const float nan = NAN;
    const char *why = NULL;
    TensorFile *f = tensors_open(path, &a, &why);
    if (!f) fail_msg("%s", why);
    const long at = (char *)tensors_find(f, "embedding.weight")->data - (char *)f->map;
    tensors_close(f);
    FILE *out = fopen(path, "r+b");
    assert_int_equal(fseek(out, at, SEEK_SET) || fwrite(&nan, sizeof nan, 1, out) != 1, 0);
    assert_int_equal(fclose(out), 0);
    arena_drop(&a);
}

/* What is not a number is a failure also where only the gradient or the evaluation shows it */
static void what_is_no_number_is_a_failure(void **state)
{
    (void)state;
    char save[64];
    Told t;
    snprintf(save, sizeof save, "save=%s", SAVE);
    expect_said((const char *const[]){ "lr=1e3", "decay_weight=1e3", "warmup=0", "budget=3steps",
                                       NULL },
                2, "the gradient is not finite at step 2");
    const char *const two[] = { "budget=2steps", save, NULL };
    assert_int_equal(run(&t, two, 0), 0);
    break_values(SAVE);
    expect_said(two, 2, "the validation loss is not finite at step 2");
    unlink(SAVE);
}

/* Whether save= can be written is known before anything is trained */
static void where_to_save_is_tried_first(void **state)
{
    (void)state;
    expect_said((const char *const[]){ "save=none/such.safetensors", "budget=20steps", NULL }, 2,
                "save=none/such.safetensors: cannot be written: No such file or directory");
    assert_int_equal(system("rm -rf test_trainer.dir && mkdir test_trainer.dir"), 0);
    expect_said((const char *const[]){ "save=test_trainer.dir", "budget=20steps", NULL }, 2,
                "save=test_trainer.dir: cannot be written: Is a directory");
    assert_int_equal(rmdir("test_trainer.dir"), 0);
}

static int losses_back;                  /* at which loss the directory comes back; 0: never */
static void directory_goes(int n)        /* in a child, where no assertion may jump back */
{
    if ((n == 5 && rename("test_trainer.dir", "test_trainer.away")) ||
        (n == losses_back && rename("test_trainer.away", "test_trainer.dir")))
        _exit(99);
}

/* A checkpoint that cannot be written on the way is a warning, at the end an error, after the
 * evaluation */
static void a_failed_save_on_the_way_is_a_warning(void **state)
{
    (void)state;
    const char *const more[] = { "save=test_trainer.dir/x.safetensors", "save_every=20steps",
                                 "budget=400steps", "resume=0", "valid_tokens=100", NULL };
    assert_int_equal(system("rm -rf test_trainer.dir test_trainer.away"), 0);
    for (int back = 0; back < 2; back++) {
        assert_int_equal(mkdir("test_trainer.dir", 0777), 0);
        char text[16384];
        at_loss = directory_goes;
        losses_back = back ? 300 : 0;
        const int code = said(text, sizeof text, more);
        at_loss = NULL;
        if (code != (back ? 0 : 2) || !strstr(text, "x.safetensors: cannot be written: No such "
                                                    "file or directory; training goes on") ||
            !strstr(text, "nll="))
            fail_msg("exit code %d: %s", code, text);
        if (!back) assert_int_equal(rename("test_trainer.away", "test_trainer.dir"), 0);
        assert_int_equal(unlink("test_trainer.dir/x.safetensors"), back ? 0 : -1);
        unlink("test_trainer.dir/x.safetensors.lock");
        assert_int_equal(rmdir("test_trainer.dir"), 0);
    }
}

static void another_run(int n)
{
    at_loss = NULL;
    assert_int_equal(n, 1);
    expect_said((const char *const[]){ "save=test_trainer.safetensors", "budget=2steps", NULL }, 2,
                "save=test_trainer.safetensors: another run writes this checkpoint");
}

/* Two runs with one save= are refused, not mixed; one that was killed keeps nobody out */
static void two_runs_do_not_save_to_one_file(void **state)
{
    (void)state;
    char save[64];
    snprintf(save, sizeof save, "save=%s", SAVE);
    const char *const forever[] = { save, "budget=100000steps", NULL },
               *const more[] = { save, "budget=2steps", NULL };
    Told t;
    unlink(SAVE);
    at_loss = another_run;
    assert_true(WIFSIGNALED(run(&t, forever, 3)));
    assert_int_equal(run(&t, more, 0), 0);
    assert_int_equal(t.n, 2);
    assert_int_equal(access("test_trainer.safetensors.lock", F_OK), -1);
    unlink(SAVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(same_seed_same_losses),
                                        cmocka_unit_test(activation_and_optimizer_have_an_effect),
                                        cmocka_unit_test(an_embedding_from_the_text_repeats),
                                        cmocka_unit_test(int8_both_ways_repeats),
                                        cmocka_unit_test(updates_by_row),
                                        cmocka_unit_test(int8_back_alone_is_refused),
                                        cmocka_unit_test(killed_and_resumed_is_unbroken),
                                        cmocka_unit_test(finishes_with_the_full_softmax),
                                        cmocka_unit_test(other_settings_do_not_resume),
                                        cmocka_unit_test(a_branch_is_the_direct_run),
                                        cmocka_unit_test(a_branch_that_is_none_is_refused),
                                        cmocka_unit_test(learns),
                                        cmocka_unit_test(what_is_no_number_is_a_failure),
                                        cmocka_unit_test(where_to_save_is_tried_first),
                                        cmocka_unit_test(a_failed_save_on_the_way_is_a_warning),
                                        cmocka_unit_test(two_runs_do_not_save_to_one_file),
                                        cmocka_unit_test(noop_records_no_loss),
                                        cmocka_unit_test(a_leak_is_recorded),
                                        cmocka_unit_test(unknown_kernel_is_skipped) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
