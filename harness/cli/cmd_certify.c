/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `certify`: does a commit compute the losses that an earlier one computed? */
#include "harness/cli/cmd.h"
#include "harness/regress/certify.h"
#include "harness/util/options.h"
#include <unistd.h>

static const char certify_help[] =
    "usage: eightysix certify OLD NEW [--option ...]\n\n"
    "A changed program makes recorded runs stale. Where the change was none of what is computed\n"
    "(a file renamed, a loop rewritten), this shows it, and recorded losses stay current: OLD and\n"
    "NEW are built, both train the golden set (every model, head, quantiser and act that both\n"
    "know, and every kernel, small, 20 steps, gemm=portable, one thread), and each part of the\n"
    "program whose code differs is compared: a part is certified where every cell that executed\n"
    "it has the same losses and the same final weights in both. Speeds are never certified.\n\n"
    "OLD and NEW are commits, or paths, with a slash, of programs. Run it in the root of the\n"
    "repository. Builds are kept in build/regress/cache, as those of `eightysix regress`.\n\n"
    "  --tolerance X  the largest difference that is still the same, a share of a loss or of the\n"
    "                 length of a tensor (0: bit for bit); recorded as evidence\n"
    "  --jobs N       jobs of make (all cores)\n"
    "  --db FILE      where certificates go (results/results.db), table `certified`\n"
    "  --no-db        record nothing\n\n"
    "examples:\n"
    "  eightysix certify HEAD~1 HEAD\n"
    "  eightysix certify v0.2.0 HEAD --tolerance 1e-6 --no-db\n\n"
    "exit code: 0 nothing computes otherwise; 1 some part does: nothing is recorded of it; 2 bad\n"
    "usage, or a build that fails; 3 there is no cell that both could run; 130 interrupted\n";

int certify_main(int argc, char **argv)
{
    CertifyPlan p = { .db = "results/results.db" };
    const char *jobs = NULL, *tolerance = "0";
    int no_db = 0;
    const Option options[] = { { "--db", &p.db, NULL },
                               { "--no-db", NULL, &no_db },
                               { "--jobs", &jobs, NULL },
                               { "--tolerance", &tolerance, NULL },
                               { 0 } };
    const int n = options_read(argc, argv, options, certify_help);
    if (n != 2) die("certify: expected OLD and NEW; see eightysix certify --help");
    p.old = argv[1];
    p.new = argv[2];
    p.tolerance = option_number("--tolerance", tolerance, 0, 1);
    p.jobs = jobs ? (int)option_int("--jobs", jobs, 1, 1024) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (no_db) p.db = NULL;
    return certify_run(&p);
}
