/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Settings that must be refused: by `train`, before a run is recorded, and in the file of an
 * experiment. */
#include "harness/sweep/experiment.h"
#include "tests/test.h"
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const refused[] = {
    "seq=0",
    "seq=-3",
    "seq=1000000000",
    "batch=4294967298",
    "batch=1000000",
    "accum=2000000000",
    "budget=1e14Gtokens",
    "fraction=-1",
    "fraction=1e300",
    "smoothing=5",
    "ema=2",
    "decay=7",
    "lr=-1",
    "beta2=2",
    "act_bits=9",
    "recursions=4294967297",
    "recursions=100000",
    "dilations=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20",
    "threads=100000",
    "threads=-1",
    "seed=-1",
    "init_sigma=-1",
    "d=64 d=32",
    "head=treee",
    "kernel=reff",
    "gemm=openblass",
    "assign=brown head=softmax"
};

/* Exit code 2 and one line on stderr */
static void expect_refusal(const char *arguments)
{
    char command[1024], line[4][512];
    int lines = 0;
    snprintf(command, sizeof command, "'%s' %s 2>&1 >/dev/null", getenv("EIGHTYSIX_BINARY"),
             arguments);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    while (lines < 4 && fgets(line[lines], sizeof line[0], f)) lines++;
    const int status = pclose(f);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 2 || lines != 1)
        fail_msg("%s: status %d, %d lines: %s", arguments, status, lines, lines ? line[0] : "");
}

static void train_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char arguments[512];
        snprintf(arguments, sizeof arguments, "train %s --db /tmp/eightysix-settings.db",
                 refused[i]);
        expect_refusal(arguments);
        assert_int_not_equal(access("/tmp/eightysix-settings.db", F_OK), 0);
    }
}

static void other_commands_refuse(void **state)
{
    (void)state;
    expect_refusal("eval a.safetensors b.safetensors");
    expect_refusal("check shapes=abc");
    expect_refusal("check seed=x");
}

static void experiments_refuse(void **state)
{
    (void)state;
    Arena a = arena_new((size_t)1 << 26);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const char *eq = strchr(refused[i], '='), *why = NULL;
        if (strchr(refused[i], ' ') || !strncmp(refused[i], "seed", 4)) continue;
        const char *yaml =
            arena_text(&a, "question: q\nfactors: {eval: [raw]}\nfixed:\n  %.*s: \"%s\"\n",
                       (int)(eq - refused[i]), refused[i], eq + 1);
        const Experiment *e = experiment_parse("t.yaml", yaml, strlen(yaml), NULL, 0, &a, &why);
        if (e || !why || strncmp(why, "t.yaml:4:", 9))
            fail_msg("%s: %s", refused[i], why ? why : "accepted");
        arena_reset(&a, 0);
    }
    static const char idle[] = "question: q\nfactors: {head: [softmax]}\nfixed: {assign: brown}\n";
    const char *why = NULL;
    assert_null(experiment_parse("t.yaml", idle, sizeof idle - 1, NULL, 0, &a, &why));
    assert_non_null(strstr(why, "t.yaml:3:17: assign: applies to head=tree"));
    arena_drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(train_refuses),
                                        cmocka_unit_test(other_commands_refuse),
                                        cmocka_unit_test(experiments_refuse) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
