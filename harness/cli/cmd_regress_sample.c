/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The hidden command `regress-sample`: what the gate runs of both builds. */
#include "harness/cli/cmd.h"
#include "harness/regress/regress.h"
#include "harness/util/options.h"
#include <string.h>

static const char help[] =
    "usage: eightysix regress-sample list\n"
    "       eightysix regress-sample time NAME [--iters N] [--samples K] [--delay F] [--cpu C]\n"
    "       eightysix regress-sample count NAME --iters N\n"
    "       eightysix regress-sample gradients KEY=VALUE...\n\n"
    "What `eightysix regress` runs of both builds: protocol 1 of harness/regress/regress.h.\n";

int regress_sample_main(int argc, char **argv)
{
    const char *iters = "0", *samples = "5", *delay = "0", *cpu = NULL;
    const Option options[] = {
        { "--iters", &iters, NULL }, { "--samples", &samples, NULL }, { "--delay", &delay, NULL },
        { "--cpu", &cpu, NULL }, { 0 } };
    const int words = options_read(argc, argv, options, help);
    const int listing = words == 1 && !strcmp(argv[1], "list");
    const int timing = words == 2 && !strcmp(argv[1], "time");
    const int counting = words == 2 && !strcmp(argv[1], "count");
    const int gradients = words >= 1 && !strcmp(argv[1], "gradients");
    if (!listing && !timing && !counting && !gradients)
        die("regress-sample: expected list, time NAME, count NAME or gradients KEY=VALUE...");
    argv[words + 1] = NULL;
    const SamplePlan plan = {
        .what = argv[1], .name = listing ? NULL : argv[2],
        .words = (const char *const *)argv + 2,
        .iters = option_int("--iters", iters, 0, 1000000000000),
        .samples = option_int("--samples", samples, 0, 10000),
        .delay = option_number("--delay", delay, 0, 10),
        .cpu = cpu ? (int)option_int("--cpu", cpu, 0, 1023) : -1 };
    return regress_sample(&plan);
}
