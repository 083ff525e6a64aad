/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A GGUF; one that can be read is converted. */
#include "harness/convert/gguf.h"
#include "tests/fuzz/fuzz.h"
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GgufFile f;
    Arena *a = fuzz_arena();
    const char *path = fuzz_file(data, size), *why = gguf_open(&f, path, a),
               *out = arena_text(a, "%s/out", fuzz_dir());
    if (why) {
        fuzz_want(NULL, why);
        return 0;
    }
    for (int i = 0; i < f.n; i++) fuzz_look(f.t[i].data, f.t[i].bytes);
    gguf_close(&f);
    why = gguf_import(path, out, a);
    if (why) fuzz_want(NULL, why);
    unlink(out);
    return 0;
}
