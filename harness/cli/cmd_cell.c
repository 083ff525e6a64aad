/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The hidden command `cell KEY=VALUE...`: one run, whose records go to descriptor 3, or to stdout
 * where that is closed. */
#include "harness/cli/cmd.h"
#include "harness/train/trainer.h"
#include <stdlib.h>

int cell_main(int argc, char **argv)
{
    Arena a = arena_new(1 << 24);
    Spec *spec = spec_new(&a);
    for (int i = 1; i < argc; i++) {
        const char *why = spec_set(spec, argv[i]);
        if (why) die("%s", why);
    }
    const char *wrong = spec_check_values(spec);
    if (wrong) die("%s", wrong);
    Recorder rec = record_open();
    train_cell(spec, &rec);
    arena_drop(&a);
    return 0;
}
