/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An experiment file. */
#include "harness/sweep/experiment.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why = NULL, *text = (const char *)data;
    const void *made = experiment_parse("fuzz.yaml", text, size, NULL, 0, fuzz_arena(), &why);
    fuzz_want(made, why);
    return 0;
}
