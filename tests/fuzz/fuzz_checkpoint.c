/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a checkpoint says of itself: settings, metadata, classes, vocabulary and counts. */
#include "harness/train/checkpoint_file.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena *a = fuzz_arena();
    const char *path = fuzz_file(data, size), *why = NULL, *value;
    const Classes *classes = NULL;
    TextKept kept = { 0 };
    TensorFile *f = checkpoint_file_open(path, a, &why);
    fuzz_want(f, why);
    if (f) tensors_close(f);
    if ((why = checkpoint_meta(path, "gemm", &value, a))) fuzz_want(NULL, why);
    if ((why = checkpoint_classes(path, &classes, a))) fuzz_want(NULL, why);
    if ((why = checkpoint_text(path, &kept, a))) fuzz_want(NULL, why);
    Spec *s = spec_new(a);
    why = checkpoint_spec(path, s, a);
    if (!why) why = spec_check(s);
    if (why) fuzz_want(NULL, why);
    if ((why = checkpoint_check_words(path, "embedding.weight", 64, "fuzz", a)))
        fuzz_want(NULL, why);
    return 0;
}
