/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A directory of reference tensors: sections @manifest.json and two files of values. */
#include "harness/laws/parity_parts.h"
#include "tests/fuzz/fuzz.h"

static const char *const fuzz_names[] = { "manifest.json", "x.bin", "w.bin", NULL };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Parity p = { .dir = fuzz_dir(), .arena = fuzz_arena() };
    fuzz_files(data, size, fuzz_names);
    if (parity_open(&p)) {
        long n;
        int shape[4];
        for (int i = 0; i < 2; i++) {
            const float *v = parity_fetch(&p, i ? "w" : "x", &n, shape);
            if (v) fuzz_look(v, (size_t)n * sizeof *v);
        }
        parity_matrix(&p, "w", (int[]){ 0 }, (int[]){ 0 });
        parity_vector(&p, "x", 4);
        const Spec *s = parity_spec(&p);
        fuzz_want(s, p.bad);
        const Batch *b = parity_batch(&p, 97, 32);
        fuzz_want(b, p.bad);
    } else
        fuzz_want(NULL, p.bad);
    json_decref(p.manifest);
    return 0;
}
