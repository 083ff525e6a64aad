/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A list of words; what loads also encodes. */
#include "harness/corpus/vocab.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why = NULL;
    int id[32];
    Vocab *v = vocab_words(fuzz_file(data, size), fuzz_arena(), &why);
    fuzz_want(v, why);
    if (v) CHECK(vocab_encode(v, "the bird\n", 9, id, 32) == 3);
    return 0;
}
