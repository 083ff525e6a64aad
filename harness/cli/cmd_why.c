/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `why`. */
#include "harness/cli/cmd.h"
#include "harness/judge/claims.h"
#include "harness/judge/why.h"
#include "harness/util/options.h"

static const char why_help[] =
    "usage: eightysix why FIGURE|CLAIM|CELL [--experiment NAME] [--plan ID] [--at TIME]\n"
    "                     [--db FILE] [--claims FILE]\n\n"
    "Names the runs behind a figure (a view), a claim or a cell (its label, or the first digits\n"
    "of its key), what has changed since - a flag, the commit, the corpus, the host - and the\n"
    "fewest runs that would refresh it, with their time.\n\n"
    "  eightysix why time_split\n"
    "  eightysix why 'head=tree arithmetic=ref' --plan 3\n\n"
    "  --experiment NAME  whose rows the figure shows (the last experiment that has some)\n"
    "  --plan ID          this plan in place of later ones of its name and words\n"
    "  --at TIME          what was planned and started until then: 2026-11-30,\n"
    "                     2026-11-30T08:00:00Z\n"
    "  --db FILE          the records (results/results.db)\n"
    "  --claims FILE      other claims (" CLAIMS_FILE ")\n\n"
    "exit code: 0 nothing is stale, 1 something is, or nothing was run, 2 bad usage or input\n";

int why_main(int argc, char **argv)
{
    WhyQuery q = { .db_path = "results/results.db", .claims_path = CLAIMS_FILE };
    const Option options[] = { { "--db", &q.db_path, NULL },
                               { "--claims", &q.claims_path, NULL },
                               { "--experiment", &q.experiment, NULL },
                               { "--plan", &q.plan, NULL },
                               { "--at", &q.at, NULL },
                               { NULL, NULL, NULL } };
    int code;
    if (options_read(argc, argv, options, why_help) != 1)
        die("why: expected one figure, claim or cell; `eightysix why --help`");
    q.name = argv[1];
    Arena a = arena_new((size_t)1 << 32);
    const char *why = why_report(&q, &code, &a);
    if (why) die("%s", why);
    arena_drop(&a);
    return code;
}
