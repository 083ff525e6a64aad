/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A published checkpoint: sections @config.json, @model.safetensors or an index, and its files. */
#include "harness/convert/published.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_config(const char *path, Arena *a)
{
    Published p;
    int n = 0;
    const char *why = config_read(&p, path, a);
    if (why) {
        fuzz_want(NULL, why);
        return;
    }
    if (p.size[SIZE_LAYERS] > 16) return;
    const Tensor *t = published_tensors(&p, &n, a);
    fuzz_want(n > 0 ? t : NULL, NULL);
    fuzz_want(published_spec(&p, a, &why), why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "config.json", "model.safetensors",
                                         "model.safetensors.index.json", "one", "two", NULL };
    Arena *a = fuzz_arena();
    Weights w;
    fuzz_files(data, size, names);
    fuzz_config(arena_text(a, "%s/config.json", fuzz_dir()), a);
    const char *why = weights_open(&w, fuzz_dir(), a);
    if (why) fuzz_want(NULL, why);
    for (int i = 0; i < w.files; i++)
        for (int k = 0; k < w.file[i]->n; k++) {
            float x;
            const Tensor *t = &w.file[i]->t[k];
            if (t->n && (t->dtype[0] == 'B' || t->dtype[0] == 'F') && t->dtype[1] != '6')
                weights_floats(&x, t, t->n - 1, 1);
        }
    weights_close(&w);
    return 0;
}
