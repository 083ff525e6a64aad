/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A published tokenizer: tokenizer.json; what loads also encodes. */
#include "harness/corpus/vocab.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why = NULL;
    int id[64], begun = 0;
    Vocab *v = vocab_pieces(fuzz_file(data, size), 0, fuzz_arena(), &why);
    fuzz_want(v, why);
    const long n = v ? vocab_encode(v, "ab  c</s>ab\n\xc3", 13, id, 64) : 0;
    for (long i = 0; i < n && i < 64; i++) {
        size_t len;
        vocab_text_of(v, id[i], &begun, &len);
    }
    if (v && (size_t)n > vocab_room(13)) __builtin_trap();
    return 0;
}
