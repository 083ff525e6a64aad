/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A checkpoint's container; every value of every tensor is read. */
#include "models/params.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

static size_t fuzz_width(const char *dtype)
{
    if (!strcmp(dtype, "F64")) return 8;
    return strcmp(dtype, "F32") && strcmp(dtype, "I32") ? 2 : 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why = NULL;
    TensorFile *f = tensors_open(fuzz_file(data, size), fuzz_arena(), &why);
    fuzz_want(f, why);
    for (int i = 0; f && i < f->n; i++)
        fuzz_look(f->t[i].data, (size_t)f->t[i].n * fuzz_width(f->t[i].dtype));
    if (f) tensors_close(f);
    return 0;
}
