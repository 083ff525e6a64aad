/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `eval`: the exact loss of a checkpoint. */
#include "harness/cli/cmd.h"
#include "harness/train/checkpoint.h"
#include "harness/util/clock.h"
#include "harness/util/host.h"
#include "harness/util/options.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

static const char help[] =
    "usage: eightysix eval CHECKPOINT [key=value ...] [--json]\n\n"
    "Exact negative log-likelihood of a checkpoint in nats per token over the validation text\n"
    "(valid_tokens=0: all of it), without label smoothing or z-loss, in windows of seq tokens.\n"
    "Settings given here replace the checkpoint's:\n\n"
    "  eightysix eval v3.safetensors valid_tokens=0 eval=ema\n";

typedef struct { double nll, seconds; long positions; } Loss;

static double eval_bits_per_byte(const Corpus *c, double nll)
{
    return nll / log(2) / c->bytes_per_token;
}

static void eval_json(const Session *s, const Loss *l, Arena *a)
{
    const char *kernel = spec_is(s->spec, "act", "int8") ? s->exec->kernel->name : "dense";
    json_t *o = json_pack("{s:f, s:f, s:I, s:f, s:f, s:s, s:s, s:s}", "nll", l->nll, "unigram",
                          s->corpus->unigram, "tokens", (json_int_t)l->positions, "seconds",
                          l->seconds, "tokens_per_s", (double)l->positions / l->seconds, "kernel",
                          kernel, "gemm", s->exec->gemm->name, "build", build_read(a)->id);
    if (!isnan(s->corpus->floor)) json_object_set_new(o, "nll_floor", json_real(s->corpus->floor));
    if (s->corpus->bytes_per_token > 0)
        json_object_set_new(o, "bits_per_byte", json_real(eval_bits_per_byte(s->corpus, l->nll)));
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
    puts(text);
    free(text);
    json_decref(o);
}

static void eval_text(const Session *s, const Loss *l)
{
    const Corpus *c = s->corpus;
    printf("%.4f nats per token over %ld tokens (%.0f tokens/s); unigram %.4f", l->nll,
           l->positions, (double)l->positions / l->seconds, c->unigram);
    if (!isnan(c->floor)) printf("; floor %.4f", c->floor);
    if (c->bytes_per_token > 0) printf("; %.4f bits per byte", eval_bits_per_byte(c, l->nll));
    putchar('\n');
}

int eval_main(int argc, char **argv)
{
    Arena a = arena_new((size_t)1 << 30);
    int json = 0;
    const Option options[] = { { "--json", NULL, &json }, { 0 } };
    const int n = options_read(argc, argv, options, help);
    Session *s = checkpoint_open(argv + 1, n, "eval", SESSION_EVALUATES, &a);
    Loss l;
    const double began = clock_now();
    l.nll = session_nll(s, &l.positions);
    l.seconds = clock_now() - began;
    const int finite = isfinite(l.nll);
    if (!finite) fputs("eightysix: eval: the loss is not a finite number\n", stderr);
    else if (json) eval_json(s, &l, &a);
    else eval_text(s, &l);
    session_drop(s);
    arena_drop(&a);
    return !finite;
}
