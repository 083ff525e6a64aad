/* SPDX-License-Identifier: GPL-3.0-or-later */
/* GPT-2's vocabulary: sections @vocab.bpe and @encoder.json; what loads also encodes. */
#include "harness/corpus/vocab.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "vocab.bpe", "encoder.json", NULL };
    const char *why = NULL;
    int id[32];
    fuzz_files(data, size, names);
    Vocab *v = vocab_gpt2(fuzz_dir(), fuzz_arena(), &why);
    fuzz_want(v, why);
    const long n = v ? vocab_encode(v, "in the inn", 10, id, 32) : 0;
    for (long i = 0; i < n; i++) {
        size_t len;
        vocab_bytes_of(v, id[i], &len);
    }
    return 0;
}
