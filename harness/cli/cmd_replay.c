/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `replay`. */
#include "harness/cli/cmd.h"
#include "harness/judge/replay.h"
#include "harness/util/options.h"

static const char replay_help[] =
    "usage: eightysix replay PACK [--verbose]\n\n"
    "Computes every recorded verdict once more from the raw records and compares, bit for bit:\n"
    "verdicts on claims (`eightysix claims --record`) from the rows that each names, comparisons\n"
    "of gates (`eightysix regress`) from their samples.\n\n"
    "  --verbose   also print those that come out the same\n\n"
    "exit code: 0 all come out the same, 1 one differs, 2 bad usage or input, 3 there are none\n";

int replay_main(int argc, char **argv)
{
    int verbose = 0, code;
    const Option options[] = { { "--verbose", NULL, &verbose }, { NULL, NULL, NULL } };
    if (options_read(argc, argv, options, replay_help) != 1)
        die("replay: expected one pack; `eightysix replay --help`");
    Arena a = arena_new((size_t)1 << 34);
    const char *why = replay_pack(argv[1], verbose, &code, &a);
    if (why) die("%s", why);
    arena_drop(&a);
    return code;
}
