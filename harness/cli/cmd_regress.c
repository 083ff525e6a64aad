/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `regress`: is one commit slower or worse than another? */
#include "harness/cli/cmd.h"
#include "harness/regress/regress.h"
#include "harness/util/options.h"
#include <limits.h>
#include <unistd.h>

static const char help[] =
    "usage: eightysix regress --base REF --head REF [--option ...]\n\n"
    "Builds two commits in work trees under build/regress, with one make and one compiler, and\n"
    "says whether head is slower or worse than base. REF is a commit, or the path of a program,\n"
    "with a slash. Run it in the root of the repository. results/BENCHMARKS.md explains the\n"
    "method.\n\n"
    "  --rounds N        rounds before the first decision (20); undecided benchmarks get N more\n"
    "  --samples K       samples of a side in a round, 4 ms or more each (24)\n"
    "  --floor P         a change of time too small to matter, percent (2)\n"
    "  --filter RE       benchmarks whose name matches (POSIX extended), of all that there are;\n"
    "                    without it the default set, and those that time what has changed\n"
    "  --seed N          of which side begins (1)\n"
    "  --cpu C           the core to run on (the last)\n"
    "  --jobs N          jobs of make (all cores)\n"
    "  --always          measure even when the code is the same\n"
    "  --times-only      no laws, no gradients, no losses, no instruction counts\n"
    "  --losses-only     laws, gradients and losses: nothing is timed\n"
    "  --quality P       a change of a loss too small to matter, percent (0.1)\n"
    "  --accept-quality  losses may get better by more than that, gradients may be others\n"
    "  --markdown FILE   a report for a pull request; --junit FILE: one for CI\n"
    "  --db FILE         where raw samples and verdicts go (results/results.db)\n"
    "  --no-db           record nothing\n\n"
    "exit code: 0 pass; 1 a regression, or wrong results; 2 bad usage, or a build that fails;\n"
    "3 inconclusive, or an invalid measurement; 130 interrupted\n";

int regress_main(int argc, char **argv)
{
    GatePlan p = { .db = "results/results.db" };
    const char *rounds = "20", *samples = "24", *floor = "2", *seed = "1", *quality = "0.1";
    const char *cpu = NULL, *jobs = NULL;
    int no_db = 0;
    const Option options[] = { { "--base", &p.base, NULL },
                               { "--head", &p.head, NULL },
                               { "--rounds", &rounds, NULL },
                               { "--samples", &samples, NULL },
                               { "--floor", &floor, NULL },
                               { "--filter", &p.filter, NULL },
                               { "--seed", &seed, NULL },
                               { "--cpu", &cpu, NULL },
                               { "--jobs", &jobs, NULL },
                               { "--always", NULL, &p.always },
                               { "--times-only", NULL, &p.times_only },
                               { "--losses-only", NULL, &p.losses_only },
                               { "--accept-quality", NULL, &p.accept_quality },
                               { "--quality", &quality, NULL },
                               { "--markdown", &p.markdown, NULL },
                               { "--junit", &p.junit, NULL },
                               { "--db", &p.db, NULL },
                               { "--no-db", NULL, &no_db },
                               { 0 } };
    if (options_read(argc, argv, options, help))
        die("regress %s: expected options only; see eightysix regress --help", argv[1]);
    if (!p.base || !p.head) die("regress: expected --base REF and --head REF");
    if (p.times_only && p.losses_only)
        die("regress: expected --times-only or --losses-only, not both");
    p.rounds = (int)option_int("--rounds", rounds, 2, GATE_ROUNDS);
    p.samples = (int)option_int("--samples", samples, 1, GATE_SAMPLES);
    p.seed = (uint64_t)option_int("--seed", seed, 0, LONG_MAX);
    p.cpu = cpu ? (int)option_int("--cpu", cpu, 0, 1023) : -1;
    p.jobs = jobs ? (int)option_int("--jobs", jobs, 1, 1024) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    p.tolerance = option_number("--quality", quality, 0, 100) / 100;
    p.floor = option_number("--floor", floor, 0, 100) / 100;
    if (no_db) p.db = NULL;
    return gate_compare(&p);
}
