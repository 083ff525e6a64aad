/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `eval`: the exact loss of a checkpoint. */
#include "harness/cli/cmd.h"
#include "harness/train/checkpoint.h"
#include "harness/train/evaluate.h"
#include "harness/util/clock.h"
#include "harness/util/host.h"
#include "harness/util/options.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: eightysix eval CHECKPOINT [key=value ...] [split=test|valid|train] [--json]\n\n"
    "Exact negative log-likelihood of a checkpoint in nats per token over the test text of its\n"
    "corpus, or over the validation text where there is no test text, without label smoothing or\n"
    "z-loss, in windows of seq tokens. Of a text the first valid_tokens tokens are read\n"
    "(valid_tokens=0: all of it). split=valid: the text that every choice is made by;\n"
    "split=train: the text that was trained on. Settings given here replace the checkpoint's:\n\n"
    "  eightysix eval v3.safetensors valid_tokens=0 eval=ema\n";

typedef struct { const char *split; HeldText text; double nll, seconds; long positions; } Loss;

static void eval_json(const Session *s, const Loss *l, Arena *a)
{
    const char *kernel = spec_is(s->spec, "act", "int8") ? s->exec->kernel->name : "dense";
    json_t *o = json_pack("{s:f, s:s, s:I, s:f, s:f, s:s, s:s, s:s}", "nll", l->nll, "split",
                          l->split, "tokens", (json_int_t)l->positions, "seconds", l->seconds,
                          "tokens_per_s", (double)l->positions / l->seconds, "kernel", kernel,
                          "gemm", s->exec->gemm->name, "build", build_read(a)->id);
    if (!isnan(l->text.unigram)) json_object_set_new(o, "unigram", json_real(l->text.unigram));
    if (!isnan(l->text.floor)) json_object_set_new(o, "nll_floor", json_real(l->text.floor));
    if (l->text.bytes_per_token > 0)
        json_object_set_new(o, "bits_per_byte", json_real(corpus_bits_per_byte(&l->text, l->nll)));
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
    puts(text);
    free(text);
    json_decref(o);
}

static void eval_text(const Loss *l)
{
    printf("%s: %.4f nats per token over %ld tokens (%.0f tokens/s)", l->split, l->nll,
           l->positions, (double)l->positions / l->seconds);
    if (!isnan(l->text.unigram)) printf("; unigram %.4f", l->text.unigram);
    if (!isnan(l->text.floor)) printf("; floor %.4f", l->text.floor);
    if (l->text.bytes_per_token > 0)
        printf("; %.4f bits per byte", corpus_bits_per_byte(&l->text, l->nll));
    putchar('\n');
}

/* The value of the word split=..., which is taken out of the n words; NULL: there is none */
static const char *eval_split(char **word, int *n)
{
    const char *split = NULL;
    int kept = 0;
    for (int i = 0; i < *n; i++) {
        if (strncmp(word[i], "split=", 6)) {
            word[kept++] = word[i];
            continue;
        }
        if (split) die("eval: split= is given twice, '%s' and '%s'", split, word[i] + 6);
        split = word[i] + 6;
    }
    *n = kept;
    int known = !split;
    for (int i = 0; i < 3 && !known; i++) known = !strcmp(split, split_names[i]);
    if (!known) die("split=%s: expected test, valid or train", split);
    return split;
}

/* The text of a split, NULL: test where there is one */
static void eval_choose(Loss *l, const Session *s, const char *split)
{
    const Corpus *c = s->corpus;
    const long most = spec_int(s->spec, "valid_tokens");
    l->split = split ? split : split_names[evaluate_has_test(s) ? SPLIT_TEST : SPLIT_VALID];
    if (!strcmp(l->split, "test")) l->text = c->test;
    else if (!strcmp(l->split, "valid")) l->text = c->valid;
    else
        l->text = (HeldText){ .tok = c->train,
                              .n = most > 0 && most < c->n_train ? most : c->n_train,
                              .floor = NAN,
                              .unigram = NAN };
    if (!l->text.n)
        die("split=test: corpus=%s has no test text: %s; expected split=valid", c->name,
            c->why_no_test);
}

int eval_main(int argc, char **argv)
{
    Arena a = arena_new((size_t)1 << 30);
    int json = 0;
    const Option options[] = { { "--json", NULL, &json }, { 0 } };
    int n = options_read(argc, argv, options, help);
    const char *split = eval_split(argv + 1, &n);
    const int train = split && !strcmp(split, "train");
    Session *s =
        checkpoint_open(argv + 1, n, "eval", train ? SESSION_READS : SESSION_EVALUATES, &a);
    Loss l;
    eval_choose(&l, s, split);
    const double began = clock_now();
    l.nll = session_nll_of(s, &l.text, &l.positions, NULL);
    l.seconds = clock_now() - began;
    const int finite = isfinite(l.nll);
    if (!finite) fputs("eightysix: eval: the loss is not a finite number\n", stderr);
    else if (json) eval_json(s, &l, &a);
    else eval_text(&l);
    session_drop(s);
    arena_drop(&a);
    return !finite;
}
