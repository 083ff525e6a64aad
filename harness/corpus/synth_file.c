/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Streams of the synthetic language as token files in the cache directory. */
#include "harness/corpus/cache.h"
#include "harness/corpus/data_parts.h"
#include "harness/corpus/synth.h"
#include "harness/util/host.h"
#include <string.h>
#include <unistd.h>

TokenFile *synth_file(int V, uint64_t seed, int stream, long n, Arena *a, const char **why)
{
    const Build *build = build_read(a);
    const char *name = arena_text(a, "synth.%s.V%d.seed%llu.n%ld.%.12s.tok", split_names[stream], V,
                                  (unsigned long long)seed, n, build->id);
    const char *path = cache_path(name, a, why);
    if (!path || !access(path, R_OK)) return path ? tokens_open(path, a, why) : NULL;
    char hash[65];
    const char *law = arena_text(a, "synth %d %llu %s", V, (unsigned long long)seed, build->id);
    TokenWriter *w = tokens_begin(path, V, a, why);
    if (!w) return NULL;
    Arena work = arena_new((size_t)n * sizeof(int) + ((size_t)256 << 20));
    int *tok = arena_raw(&work, (size_t)n * sizeof *tok);
    const Synth *y = synth_make(V, seed, &work);
    synth_stream(y, (uint64_t)stream, tok, NULL, n);
    tokens_add(w, tok, n);
    const TokenFile head = { .vocab = "synth",
                             .vocab_hash = sha256_hex(law, strlen(law), hash),
                             .source = name,
                             .source_hash = build->id,
                             .floor = stream ? synth_nll(y, tok, n, NULL) : 0 };
    *why = tokens_commit(w, &head);
    arena_drop(&work);
    return *why ? NULL : tokens_open(path, a, why);
}
