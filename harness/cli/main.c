/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command line: one binary, whose first argument is a command. */
#include "harness/cli/cmd.h"
#include "harness/cli/help.h"
#include "harness/util/file.h"
#include <signal.h>
#include <string.h>

static const Command commands[] = {
    { "list",     list_main,     "settings, kernels, heads, models, gemm providers, "
                                 "corpora of this binary" },
    { "check",    check_main,    "the laws every registered part must obey, on this machine" },
    { "bench",    bench_main,    "kernels, heads, operations and the machine, "
                                 "by Google Benchmark" },
    { "tokenize", tokenize_main, "text to ids and back; corpora to token files; fetch corpora" },
    { "train",    train_main,    "train one model, record it" },
    { "eval",     eval_main,     "exact loss of a checkpoint" },
    { "generate", generate_main, "text from a checkpoint" },
    { "convert",  convert_main,  "checkpoints from and to published ones and GGUF" },
    { "headlab",  headlab_main,  "heads refitted on the same frozen hidden states" },
    { "sweep",    sweep_main,    "run the cells of an experiment that have not been run" },
    { "watch",    watch_main,    "how far a sweep of another terminal has come" },
    { "runs",     runs_main,     "what was planned and what was run; what failed, and why" },
    { "compare",  compare_main,  "two runs or two cells side by side, with their differences" },
    { "export",   export_main,   "views of the database as CSV; all of it as a pack, or as text" },
    { "plot",     plot_main,     "figures from the database" },
    { "paper",    paper_main,    "numbers, tables and figures of the paper, "
                                 "and which of them are stale" },
    { "claims",   claims_main,   "what the literature claims, and what the records say" },
    { "why",      why_main,      "what a figure, a claim or a cell rests on, "
                                 "what is stale, what would refresh it" },
    { "merge",    merge_main,    "records of several machines into one database" },
    { "replay",   replay_main,   "every recorded verdict again, from the raw records" },
    { "regress",  regress_main,  "is one commit slower or worse than another? for CI" },
    { "certify",  certify_main,  "losses recorded by an earlier commit stay current where a later "
                                 "one computes the same" },
    { "help",     NULL,          "this overview; of a COMMAND, what `COMMAND --help` prints" },
    { "cell",     cell_main,     NULL },
    { "regress-sample", regress_sample_main, NULL },
    { NULL, NULL, NULL },
};

static int main_unknown(const char *name)
{
    const char *near = command_nearest(commands, name);
    fprintf(stderr, "eightysix: no command '%s'", name);
    if (near) fprintf(stderr, "; the nearest is '%s'", near);
    fputs("\n\n", stderr);
    help_overview(commands, stderr);
    return 2;
}

static int main_run(int argc, char **argv)
{
    static char help_name[] = "help";
    if (!strcmp(argv[1], "--version")) {
        help_version(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) argv[1] = help_name;
    const Command *c = command_find(commands, argv[1]);
    if (!c) return main_unknown(argv[1]);
    if (!c->run) return help_main(commands, argc - 1, argv + 1);
    return c->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        help_overview(commands, stderr);
        return 2;
    }
    /* a file that grows beyond a limit is an error of the write, which then says so */
    signal(SIGXFSZ, SIG_IGN);
    return file_end_stdout(main_run(argc, argv));
}
