/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `compare`. */
#include "harness/cli/cmd.h"
#include "harness/judge/compare.h"
#include "harness/util/options.h"

static const char compare_help[] =
    "usage: eightysix compare A B [--experiment NAME] [--db FILE]\n\n"
    "Two runs, or two cells over their seeds: the settings and the parts of the code that differ,\n"
    "then loss, speed, time of a step, memory and share of the head: the medians, and B less A\n"
    "over the pairs of the same seed, with an interval of 95 % by Student's t. With fewer than 2\n"
    "pairs there is no interval; with fewer than 6 it is provisional. Speeds of two machine\n"
    "classes are not compared; of speeds of separate sittings it says so.\n\n"
    "A and B are numbers of runs or first digits of UUIDs (`runs` lists them), or labels of cells\n"
    "as a sweep prints them; EXPERIMENT:LABEL where several experiments have the label, and\n"
    "'LABEL seed=N' for one seed.\n\n"
    "  eightysix compare 12 15\n"
    "  eightysix compare 'head=softmax d=128' 'head=tree d=128' --experiment grid\n"
    "  eightysix compare quick:head=softmax grid:head=softmax\n\n"
    "  --experiment NAME  whose labels A and B are\n"
    "  --db FILE          the records (results/results.db)\n\n"
    "exit code: 0 compared, 2 bad usage or input\n";

int compare_main(int argc, char **argv)
{
    CompareQuery q = { .db_path = "results/results.db" };
    const Option options[] = { { "--db", &q.db_path, NULL },
                               { "--experiment", &q.experiment, NULL },
                               { NULL, NULL, NULL } };
    if (options_read(argc, argv, options, compare_help) != 2)
        die("compare: expected two runs or labels of cells; `eightysix compare --help`");
    q.name[0] = argv[1];
    q.name[1] = argv[2];
    Arena a = arena_new((size_t)1 << 32);
    const char *why = compare_report(&q, &a);
    if (why) die("%s", why);
    arena_drop(&a);
    return 0;
}
