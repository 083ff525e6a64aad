/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The list of a vocabulary cut to its most frequent ids; what loads also encodes. */
#include "harness/corpus/vocab.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why = NULL;
    int id[32];
    Arena *a = fuzz_arena();
    Vocab *base = vocab_bytes(a),
          *v = vocab_top((const char *)data, size, "list", base, a, &why);
    fuzz_want(v, why);
    if (!v) return 0;
    CHECK(vocab_encode(v, "the bird", 8, id, 32) == 8);
    for (int i = 0; i < 8; i++) CHECK(id[i] >= 0 && id[i] < vocab_size(v));
    return 0;
}
