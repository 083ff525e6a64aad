/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `runs`. */
#include "harness/cli/cmd.h"
#include "harness/judge/runs.h"
#include "harness/util/options.h"

static const char runs_help[] =
    "usage: eightysix runs [EXPERIMENT] [--failed] [--last N] [--plan ID] [--at TIME]\n"
    "                      [--db FILE]\n\n"
    "Lists what was planned: the number of each plan, when, the experiment with the words that\n"
    "changed it, how many of its cells are ok, failed and all, commit, host, note. Of an\n"
    "EXPERIMENT lists the runs of its cells, whichever plan or machine asked for them: number,\n"
    "label, seed, what became of it, loss, speed, seconds, and why it failed. Reads the database\n"
    "only.\n\n"
    "  eightysix runs\n"
    "  eightysix runs quick --failed\n"
    "  eightysix runs quick d=128 --last 20       of the words that made it another experiment\n"
    "  eightysix runs --plan 3                    the runs of an older plan\n\n"
    "  --failed     only plans with a cell that failed; only runs that failed\n"
    "  --last N     at most N, the last ones (all)\n"
    "  --plan ID    this plan in place of later ones of its name and words\n"
    "  --at TIME    what was planned and started until then: 2026-11-30, 2026-11-30T08:00:00Z\n"
    "  --db FILE    the records (results/results.db)\n\n"
    "exit code: 0 listed, 2 bad usage or input\n";

int runs_main(int argc, char **argv)
{
    enum { MOST = 1000000000 };
    const char *last = NULL;
    RunsQuery q = { .db_path = "results/results.db", .last = MOST };
    const Option options[] = { { "--db", &q.db_path, NULL },   { "--plan", &q.plan, NULL },
                               { "--at", &q.at, NULL },        { "--last", &last, NULL },
                               { "--failed", NULL, &q.failed }, { NULL, NULL, NULL } };
    const int words = options_read(argc, argv, options, runs_help);
    Arena a = arena_new((size_t)1 << 32);
    for (int i = 1; i <= words; i++)
        q.experiment = i == 1 ? argv[1] : arena_text(&a, "%s %s", q.experiment, argv[i]);
    if (last) q.last = option_int("--last", last, 1, MOST);
    const char *why = runs_report(&q, &a);
    if (why) die("%s", why);
    arena_drop(&a);
    return 0;
}
