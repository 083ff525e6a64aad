/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `tokenize tokens`: where a run with these settings finds its tokens. */
#include "harness/cli/cmd.h"
#include "harness/corpus/data.h"
#include <math.h>
#include <string.h>

static int tokens_help(void)
{
    fputs("usage: eightysix tokenize tokens SETTING=VALUE ...\n\n"
          "Prints where a run with these settings (corpus, vocab, V, corpus_seed, train_tokens,\n"
          "valid_tokens; others change nothing) finds the tokens that it trains on and is\n"
          "evaluated on, so that the program of another engine reads the same ones. Token files\n"
          "that are missing are made first, those of corpus=synth too. Lines are\n\n"
          "  tokens train|valid|test FIRST COUNT PATH   COUNT ids of a token file from number\n"
          "                                             FIRST: harness/corpus/data.h\n"
          "  text ...  num ...                          records on the text, for the engine to\n"
          "                                             hand on: harness/util/record.h\n\n"
          "Example:  eightysix tokenize tokens corpus=synth V=50257\n",
          stdout);
    return 0;
}

static void tokens_print(const Corpus *c)
{
    Recorder rec = { stdout, 0 };
    corpus_record(c, &rec);
    record_num(&rec, "V", 0, c->V);
    record_num(&rec, "unigram", 0, c->valid.unigram);
    if (!isnan(c->valid.floor)) record_num(&rec, "nll_floor", 0, c->valid.floor);
    if (c->test.n) record_num(&rec, "test_unigram", 0, c->test.unigram);
    if (c->test.n && !isnan(c->test.floor)) record_num(&rec, "test_nll_floor", 0, c->test.floor);
    for (int i = SPLIT_TRAIN; i <= SPLIT_TEST; i++) {
        const TokenPlace at = corpus_place(c, (Split)i);
        if (at.n) printf("tokens %s %ld %ld %s\n", split_names[i], at.first, at.n, at.path);
    }
}

int tokenize_tokens_main(int argc, char **argv)
{
    Arena a = arena_new((size_t)1 << 30);
    Spec *spec = spec_new(&a);
    const char *why = NULL;
    for (int i = 1; i < argc && !why; i++) {
        if (!strcmp(argv[i], "--help")) return tokens_help();
        why = spec_set_word(spec, argv[i]);
    }
    if (!why) why = spec_check_values(spec);
    const Corpus *c = why ? NULL : corpus_open(spec, &a, &why);
    if (!c) die("%s", why);
    tokens_print(c);
    arena_drop(&a);
    return 0;
}
