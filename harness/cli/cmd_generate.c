/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `generate`: text from a checkpoint. */
#include "harness/cli/cmd.h"
#include "harness/train/checkpoint.h"
#include "harness/util/clock.h"
#include "harness/util/options.h"
#include <limits.h>
#include <string.h>

static const char help[] =
    "usage: eightysix generate CHECKPOINT [key=value ...] [--prompt TEXT] [--tokens N] "
    "[--temperature T] [--seed N]\n\n"
    "Text (or ids, for the synthetic language) from a checkpoint, one token at a time.\n\n"
    "  eightysix generate v3.safetensors --prompt 'The heart is' --tokens 100 --temperature 0.8\n";

typedef struct { const char *prompt; long tokens; double temperature; uint64_t seed; } Wish;

static void generate_put_token(const Session *s, int id, int *begun)
{
    size_t len;
    if (!s->corpus->text) {
        printf("%d ", id);
        return;
    }
    const char *bytes = vocab_text_of(s->corpus->text, id, begun, &len);
    fwrite(bytes, 1, len, stdout);
}

/* The prompt at once (prefill), then one token at a time */
static void generate_print(Session *s, const Wish *w)
{
    Arena *a = s->arena;
    const size_t len = strlen(w->prompt);
    const long room = (long)vocab_room(len);
    int begun = 0, *ids = arena_get(a, sizeof *ids * (size_t)room);
    long n = s->corpus->text ? vocab_encode(s->corpus->text, w->prompt, len, ids, room) : 0;
    Rng rng = rng_at(w->seed, STREAM_SAMPLE, 0);
    if (n < 1) {                /* no prompt: begin with the first token of the validation text */
        ids[0] = token_id(s->corpus->valid.tok, 0);
        n = 1;
    }
    Carry *carry = carry_new(s->model, s->m, n + w->tokens, a);
    int *tok = arena_get(a, sizeof *tok * (size_t)n);
    for (long i = 0; i < n; i++) {
        tok[i] = ids[i];
        generate_put_token(s, ids[i], &begun);
    }
    const double began = clock_now();
    for (long made = 0; made < w->tokens; made++) {
        const int T = made ? 1 : (int)n;
        tape_reset(s->tape, 0);
        Var h = s->model->forward(s->m, s->tape, tok, 1, T, &carry);
        tok[0] = s->head->sample(s->h, h.v + (size_t)(T - 1) * (size_t)s->d, w->temperature, &rng);
        generate_put_token(s, tok[0], &begun);
        fflush(stdout);
    }
    const double seconds = clock_now() - began;
    fprintf(stderr, "\n%ld tokens, %.0f tokens/s\n", n + w->tokens - 1,
            (double)(n + w->tokens - 1) / seconds);
}

int generate_main(int argc, char **argv)
{
    Arena a = arena_new((size_t)1 << 30);
    const char *tokens = "100", *temperature = "0.8", *seed = "1";
    Wish w = { .prompt = "" };
    const Option options[] = { { "--prompt", &w.prompt, NULL },
                               { "--tokens", &tokens, NULL },
                               { "--temperature", &temperature, NULL },
                               { "--seed", &seed, NULL },
                               { 0 } };
    const int n = options_read(argc, argv, options, help);
    w.tokens = option_int("--tokens", tokens, 0, 1000000000);
    w.temperature = option_number("--temperature", temperature, 0, 1000);
    w.seed = (uint64_t)option_int("--seed", seed, 0, LONG_MAX);
    Session *s = checkpoint_open(argv + 1, n, "generate", SESSION_SPEAKS, &a);
    generate_print(s, &w);
    session_drop(s);
    arena_drop(&a);
    return 0;
}
