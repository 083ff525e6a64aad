/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `sweep`. */
#include "harness/cli/cmd.h"
#include "harness/judge/plot.h"
#include "harness/sweep/sweep.h"
#include "harness/util/options.h"

static const char help[] =
    "usage: eightysix sweep FILE.yaml [key=value ...] [--option ...]\n\n"
    "Runs every cell of the experiment that has no ok run of this build on this machine, each\n"
    "in a process of its own, and records it. A cell whose budget counts tokens is run for its\n"
    "losses: a run on any machine will do. Stopped and started again, a sweep goes on where it\n"
    "was. key=value replaces a fixed setting of the experiment. At the end it prints what was\n"
    "asked, expected and measured, compares with the baseline seed by seed, and draws the\n"
    "figure of the experiment.\n\n"
    "  --db FILE          the records (results/results.db); logs/, figures/, NAME.csv go\n"
    "                     beside it\n"
    "  --dry-run          check the experiment, list its cells as new, stale, done or running,\n"
    "                     with the reason and the time to go; run nothing\n"
    "  --resume           skip finished cells; the default\n"
    "  --fresh            run finished cells again; old rows stay\n"
    "  --jobs N           so many cells at once (1); their timings are not to be compared\n"
    "  --seed S           of the order in which cells run (1)\n"
    "  --filter A=X,B=Y   only cells with these levels of these factors; seed=N too. A cell in\n"
    "                     which a level has no effect does not have that level\n"
    "  --verbose          pass on the output of the cells on stderr (default: on a terminal)\n\n"
    "exit code: 0 every cell is ok or skipped, 1 a cell failed, 2 bad usage or input, 130 "
    "interrupted\n";

int sweep_main(int argc, char **argv)
{
    const char *jobs = "1", *seed = "1", *why;
    SweepPlan p = { .db_path = "results/results.db", .draw = plot_beside };
    int resume = 0;
    const Option options[] = {
        { "--db", &p.db_path, NULL },      { "--filter", &p.filter, NULL },
        { "--jobs", &jobs, NULL },         { "--seed", &seed, NULL },
        { "--dry-run", NULL, &p.dry },     { "--fresh", NULL, &p.fresh },
        { "--resume", NULL, &resume },     { "--verbose", NULL, &p.verbose },
        { NULL, NULL, NULL },
    };
    const int others = options_read(argc, argv, options, help);
    if (!others) die("sweep: expected an experiment file; `eightysix sweep --help`");
    if (p.fresh && resume) die("--fresh and --resume: expected one of them");
    p.jobs = (int)option_int("--jobs", jobs, 1, SWEEP_MAX_JOBS);
    p.seed = (uint64_t)option_int("--seed", seed, 0, 1000000000);
    Arena a = arena_new((size_t)1 << 30);
    p.exp = experiment_load(argv[1], (const char *const *)argv + 2, others - 1, &a, &why);
    if (!p.exp || (why = experiment_check(p.exp, &a))) die("%s", why);
    const int code = sweep_run(&p, &a);
    arena_drop(&a);
    return code;
}
