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
    "assign=brown head=softmax",
    "zloss=0.1 head=tree",
    "tied=0 head=adaptive",
    "V=100 vocab=gpt2",
    "train_tokens=500 corpus=edu",
    "kernel=ref",
    "short_share=0.2 head=adaptive",
    "short_share=0.2 head=tree cutoffs=auto",
    "lr_normuon=0.1 optimizer=adamw",
    "lr_head=0.1 head=softmax",
    "smoothing=0.2 head=sampled",
    "optimizer=sgd",
    "activation=tanh",
    "layers=3",
    "leak=mean",
    "model=bolt leak=triu",
    "model=mmfree leak=groupnorm",
    "model=mmfree recursions=2",
    "model=mmfree gate_order=other",
    "model=mmfree attn_heads=2",
    "model=transformer d=36 attn_heads=4",
    "model=transformer d=36 attn_heads=12",
    "bit_eps=1e-8",
    "model=mmfree bit_eps=1e-7",
    "head_quant=bitlinear budget=0steps V=100"
};

/* Exit code 2 and one line on stderr that has these words */
static void expect_message(const char *arguments, const char *says)
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
    if (!strstr(line[0], says)) fail_msg("%s: expected '%s' in: %s", arguments, says, line[0]);
}

static void expect_refusal(const char *arguments) { expect_message(arguments, ""); }

static void train_refuses(void **state)
{
    (void)state;
    char dir[] = "/tmp/eightysix-XXXXXX", db[64];
    assert_non_null(mkdtemp(dir));
    snprintf(db, sizeof db, "%s/t.db", dir);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char arguments[512];
        snprintf(arguments, sizeof arguments, "train %s --db %s", refused[i], db);
        expect_refusal(arguments);
        assert_int_not_equal(access(db, F_OK), 0);
    }
    assert_int_equal(rmdir(dir), 0);
}

/* Of words that stand side by side: NULL or the message of spec_check */
static const char *check(const char *words, Arena *a)
{
    Spec *s = spec_new(a);
    const char *why = NULL;
    char *copy = arena_text(a, "%s", words), *save = NULL;
    for (char *w = strtok_r(copy, " ", &save); w && !why; w = strtok_r(NULL, " ", &save))
        why = spec_set_word(s, w);
    return why ? why : spec_check(s);
}

static void settings_apply_beside_others(void **state)
{
    (void)state;
    static const char *const fine[] = {
        "zloss=0 head=tree", "zloss=0.0 head=tree", "zloss=0.1 head=tree finish=0.2",
        "zloss=0.1 head=softmax_naive", "smoothing=0 head=sampled", "train_tokens=0 corpus=edu",
        "V=100 vocab=words corpus=edu", "short_share=0.2 head=adaptive cutoffs=auto",
        "kernel=ref act=int8", "lr_head=0.1 tied=0", "lr_head=0.1 head=tree", "tied=0 head=sampled",
        "lr_normuon=0.1", "activation=gelu", "inner=40 dilations=1,2",
        "model=mmfree d=40 layers=3 inner=64 short_conv=1 bit_eps=1e-8",
        "model=transformer d=36 attn_heads=6 quant=none", "model=bolt layers=2 quant=native",
        "head_quant=bitlinear tied=0 bit_eps=1e-8",
    };
    static const struct { const char *words, *says; } idle[] = {
        { "zloss=0.1 head=tree", "zloss=0.1: applies to head=softmax|softmax_naive or finish!=0 or "
                                 "zloss=0, and this run has head=tree finish=0" },
        { "zloss=0.1 head=tree finish=0.0", "zloss=0.1: applies" },
        { "short_share=0.2 head=adaptive",
          "short_share=0.2: applies to head=adaptive,cutoffs=auto, and this run has head=adaptive "
          "cutoffs=counted" },
        { "kernel=ref", "kernel=ref: applies to act=int8, and this run has act=f32" },
    };
    Arena a = arena_new((size_t)1 << 24);
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        const char *why = check(fine[i], &a);
        if (why) fail_msg("%s: %s", fine[i], why);
    }
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++) {
        const char *why = check(idle[i].words, &a);
        if (!why || !strstr(why, idle[i].says))
            fail_msg("%s: expected '%s' in '%s'", idle[i].words, idle[i].says, why ? why : "");
    }
    arena_drop(&a);
}

/* Every condition of settings.def names settings, and of a choice values, that there are */
static void conditions_are_about_settings(void **state)
{
    (void)state;
    Arena a = arena_new((size_t)1 << 24);
    for (const Setting *s = settings; s->key; s++) {
        char *text = arena_text(&a, "%s", s->applies), *save = NULL, *p;
        while ((p = strstr(text, " or "))) memcpy(p, ",,,,", 4);
        for (char *c = strtok_r(text, ",", &save); c; c = strtok_r(NULL, ",", &save)) {
            char *values = strchr(c, '='), *of = NULL;
            assert_non_null(values);
            *values++ = 0;
            if (c[strlen(c) - 1] == '!') c[strlen(c) - 1] = 0;
            for (char *v = strtok_r(values, "|", &of); v; v = strtok_r(NULL, "|", &of)) {
                Spec *one = spec_new(&a);
                const char *why = spec_set(one, arena_text(&a, "%s=%s", c, v));
                if (!why) why = spec_check_each(one);
                if (why) fail_msg("%s applies to %s: %s", s->key, s->applies, why);
            }
        }
    }
    arena_drop(&a);
}

static void other_commands_refuse(void **state)
{
    (void)state;
    expect_refusal("eval a.safetensors b.safetensors");
    expect_refusal("check shapes=abc");
    expect_refusal("check seed=x");
}

static void repeated_settings_are_refused(void **state)
{
    (void)state;
    static const char *const commands[] = { "train", "eval a.safetensors",
                                            "generate a.safetensors", "headlab a.safetensors",
                                            "sweep quick --dry-run" };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char arguments[128];
        snprintf(arguments, sizeof arguments, "%s seq=64 seq=32", commands[i]);
        expect_message(arguments, "seq=32: 'seq' is given twice; before it was 64");
    }
    expect_message("headlab a.safetensors heads=tree heads=softmax", "'heads' is given twice");
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
                                        cmocka_unit_test(settings_apply_beside_others),
                                        cmocka_unit_test(conditions_are_about_settings),
                                        cmocka_unit_test(other_commands_refuse),
                                        cmocka_unit_test(repeated_settings_are_refused),
                                        cmocka_unit_test(experiments_refuse) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
