/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A token file; every id must be below V. */
#include "harness/corpus/data.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why = NULL;
    TokenFile *f = tokens_open(fuzz_file(data, size), fuzz_arena(), &why);
    fuzz_want(f, why);
    for (long i = 0; f && i < f->n; i++) CHECK((unsigned)token_id(f->tok, i) < (unsigned)f->V);
    if (f) tokens_close(f);
    return 0;
}
