/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `check`: every law over every registry, on this machine. */
#include "harness/cli/cmd.h"
#include "harness/convert/gguf.h"
#include "harness/laws/laws.h"
#include "harness/util/options.h"
#include <limits.h>
#include <string.h>

static const char help[] =
    "usage: eightysix check [kernels] [gemm] [heads] [ops] [models] [parity=DIR] [seed=N]\n"
    "                       [shapes=N] [SETTING=VALUE ...]\n\n"
    "Runs the laws that every registered part must obey; all of them when none is named.\n\n"
    "  kernels     equal to the reference bit for bit on random and adversarial shapes\n"
    "  gemm        dense products of every provider, in float and in bfloat16\n"
    "  heads       sum to one, nll = -logprob, gradients, samples\n"
    "  ops         gradients of every operation against finite differences\n"
    "  models      decoding equals forward, no look-ahead, save and load\n"
    "  parity=DIR  reference tensors in DIR (manifest.json): the worst relative error per group;\n"
    "              or a published checkpoint with expected.json: ids, logits, text; or\n"
    "              model.gguf with input_ids.bin and logits.bin: tensors, logits\n"
    "  seed=N      replays a failure, which prints its seed\n"
    "  shapes=N    random shapes per kernel and provider\n"
    "  SETTING=VALUE  of models, beside those of their laws: model=bolt leak=mean\n\n"
    "exit code: 0 all hold, 1 one is broken, 2 bad usage or input\n";

/* words: settings of models, " leak=mean" */
typedef struct {
    uint64_t    seed;
    int         shapes, failed, passed, skipped;
    const char *words;
} Check;

static void report(Check *c, const char *what, const char *name, const char *why)
{
    printf("%-5s %-7s %-14s %s\n", why ? "FAIL" : "ok", what, name, why ? why : "");
    fflush(stdout);
    if (why) c->failed++;
    else c->passed++;
}

static void check_kernels(Check *c)
{
    for (int i = 0; ternary_kernels[i]; i++) {
        const TernaryKernel *k = ternary_kernels[i];
        if (!k->computes) continue;
        if (!ternary_runs_here(k)) {
            printf("skip  kernel  %-14s not on this CPU\n", k->name);
            c->skipped++;
            continue;
        }
        Arena a = arena_new((size_t)1 << 32);
        report(c, "kernel", k->name, law_kernel(k, c->seed, c->shapes, &a));
        arena_drop(&a);
    }
}

static void check_gemm(Check *c)
{
    for (const GemmProvider *p = gemm_providers; p->name; p++) {
        Arena a = arena_new((size_t)1 << 32);
        const char *why;
        const Gemm *g = gemm_open(p->name, 2, &a, &why);
        if (g) {
            report(c, "gemm", p->name, law_gemm(g, c->seed, c->shapes, &a));
            const Gemm *bf16 = gemm_bf16(g, &a);
            report(c, "gemm", arena_text(&a, "%s bf16", p->name),
                   law_gemm(bf16, c->seed, c->shapes, &a));
        } else {
            printf("skip  gemm    %-14s %s\n", p->name, why);
            c->skipped++;
        }
        arena_drop(&a);
    }
}

static void check_heads(Check *c)
{
    for (int i = 0; heads[i]; i++) {
        Arena a = arena_new((size_t)1 << 34);
        report(c, "head", heads[i]->name, law_head(heads[i], c->seed, &a));
        arena_drop(&a);
    }
}

static void check_ops(Check *c)
{
    Arena a = arena_new((size_t)1 << 34);
    report(c, "ops", "all", law_ops(c->seed, &a));
    arena_drop(&a);
}

/* The settings of the command on this model; ends the program where they cannot be. 0: they are of
 * another model, or do not apply to it */
static int check_apply(const Check *c, const ModelDef *m, Arena *a)
{
    Spec *s = spec_new(a);
    const char *why = spec_set_words(s, arena_text(a, "model=%s %s", m->name, c->words));
    if (why) die("check: %s", why);
    return spec_is(s, "model", m->name) && !spec_check(s);
}

static void check_models(Check *c)
{
    for (int i = 0; models[i]; i++) {
        Arena a = arena_new((size_t)1 << 34);
        if (check_apply(c, models[i], &a))
            report(c, "model", models[i]->name,
                   law_model(models[i], c->words, c->seed, stdout, &a));
        else {
            printf("skip  model   %-14s not with%s\n", models[i]->name, c->words);
            c->skipped++;
        }
        arena_drop(&a);
    }
}

static void check_parity(Check *c, const char *dir)
{
    int bad;
    Arena a = arena_new((size_t)1 << 34);
    printf("parity with %s\n", dir);
    const char *why = published_expects(dir) ? published_parity(dir, stdout, &bad, &a)
                      : gguf_expects(dir)    ? gguf_parity(dir, stdout, &bad, &a)
                                             : law_parity(dir, stdout, &bad, &a);
    if (bad) die("%s", why);
    report(c, "parity", "", why);
    arena_drop(&a);
}

typedef struct { const char *name; void (*run)(Check *); } Law;
static const Law laws[] = { { "kernels", check_kernels },
             { "gemm", check_gemm },
             { "heads", check_heads },
             { "ops", check_ops },
             { "models", check_models } };
enum { N = sizeof laws / sizeof *laws };

int check_main(int argc, char **argv)
{
    Arena of_words = arena_new(1 << 20);
    Check c = { .seed = 1, .shapes = 200, .words = "" };
    int named = 0, chosen[N] = { 0 };
    for (int i = 1; i < argc; i++) {
        int k = 0;
        while (k < N && strcmp(argv[i], laws[k].name)) k++;
        if (!strcmp(argv[i], "--help")) {
            fputs(help, stdout);
            return 0;
        }
        if (k < N) {
            chosen[k] = 1;
            named++;
        } else if (!strncmp(argv[i], "seed=", 5)) c.seed = (uint64_t)word_int(argv[i], 0, LONG_MAX);
        else if (!strncmp(argv[i], "shapes=", 7)) c.shapes = (int)word_int(argv[i], 1, 1000000000);
        else if (!strncmp(argv[i], "parity=", 7)) {
            check_parity(&c, argv[i] + 7);
            named++;
        } else if (strchr(argv[i], '=')) c.words = arena_text(&of_words, "%s %s", c.words, argv[i]);
        else die("check: no law '%s'; see eightysix check --help", argv[i]);
    }
    for (int k = 0; k < N; k++)
        if (chosen[k] || !named) laws[k].run(&c);
    printf("%d passed, %d failed, %d skipped (seed %llu)\n", c.passed, c.failed, c.skipped,
           (unsigned long long)c.seed);
    arena_drop(&of_words);
    return c.failed ? 1 : 0;
}
