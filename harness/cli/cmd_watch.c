/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `watch`. */
#include "harness/cli/cmd.h"
#include "harness/sweep/watch.h"
#include "harness/util/options.h"

static const char watch_help[] =
    "usage: eightysix watch [--once] [--db FILE]\n\n"
    "How far a sweep has come, from another terminal: cells done and all, the cell that runs with\n"
    "its seconds, budget, last step and training loss, the time to go. On a terminal the lines\n"
    "are renewed every second until no sweep runs; elsewhere they are printed once. It reads a\n"
    "few rows and writes nothing; the sweep does not wait for it.\n\n"
    "  eightysix watch\n"
    "  eightysix watch --once --db results/other.db\n\n"
    "  --once     print once, on a terminal too\n"
    "  --db FILE  the records that the sweep writes (results/results.db)\n\n"
    "exit code: 0 a sweep runs, or was watched to its end, 1 none runs, 2 bad usage or input\n";

int watch_main(int argc, char **argv)
{
    const char *db_path = "results/results.db";
    int once = 0, code;
    const Option options[] = { { "--db", &db_path, NULL },
                               { "--once", NULL, &once },
                               { NULL, NULL, NULL } };
    if (options_read(argc, argv, options, watch_help))
        die("watch: expected options only; `eightysix watch --help`");
    Arena a = arena_new((size_t)1 << 30);
    const char *why = watch_run(db_path, once, &code, &a);
    if (why) die("%s", why);
    arena_drop(&a);
    return code;
}
