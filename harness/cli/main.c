/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command line: one binary, one word that says what to do. */
#include "harness/cli/cmd.h"
#include <stdio.h>
#include <string.h>

static const struct { const char *name; int (*run)(int, char **); const char *brief; } commands[] = {
    { "list",     list_main,     "settings, kernels, heads, models, gemm providers, corpora of this binary" },
    { "check",    check_main,    "the laws every registered part must obey, on this machine" },
    { "bench",    bench_main,    "kernels, heads, operations and the machine, by Google Benchmark" },
    { "tokenize", tokenize_main, "text to ids and back; corpora to token files; fetch corpora" },
    { "train",    train_main,    "train one model, record it" },
    { "eval",     eval_main,     "exact loss of a checkpoint" },
    { "generate", generate_main, "text from a checkpoint" },
    { "headlab",  headlab_main,  "heads refitted on the same frozen hidden states" },
    { "sweep",    sweep_main,    "run the cells of an experiment that have not been run" },
    { "export",   export_main,   "views of the database as CSV; all of it as a pack, or as text" },
    { "plot",     plot_main,     "figures from the database" },
    { "paper",    paper_main,    "numbers, tables and figures of the paper, and which of them are stale" },
    { "claims",   claims_main,   "what the literature claims, and what the records say" },
    { "why",      why_main,      "what a figure, a claim or a cell rests on, what is stale, what would refresh it" },
    { "merge",    merge_main,    "records of several machines into one database" },
    { "replay",   replay_main,   "every recorded verdict again, from the raw records" },
    { "regress",  regress_main,  "is one commit slower or worse than another? for CI" },
    { "cell",     cell_main,     NULL },
    { "regress-sample", regress_sample_main, NULL },
};
enum { N = sizeof commands / sizeof *commands };

static int help(FILE *out, int code)
{
    fputs("eightysix: where does the time of a ternary language model go, and what gets rid of it?\n\n"
          "usage: eightysix COMMAND [key=value ...] [--option ...]      eightysix COMMAND --help\n\n", out);
    for (int i = 0; i < N; i++)
        if (commands[i].brief) fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].brief);
    fputs("\nFirst steps:  eightysix check\n"
          "              eightysix train head=tree budget=30s\n"
          "              eightysix sweep experiments/quick.yaml && eightysix plot time_split\n", out);
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2) return help(stderr, 2);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) return help(stdout, 0);
    for (int i = 0; i < N; i++)
        if (!strcmp(argv[1], commands[i].name)) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "eightysix: no command '%s'\n\n", argv[1]);
    return help(stderr, 2);
}
