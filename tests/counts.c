/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Products of one kernel and nothing else, for who counts instructions (tests/counts.sh).
 *
 *   counts                   the names of the kernels that run here
 *   counts KERNEL N TIMES    so many products of N rows of activations, W 256x256
 *
 * What one more product adds is what a product executes: preparation of its activations and gemm,
 * of a weight that was packed before. */
#include "kernels/base.h"
#include "kernels/ternary.h"
#include <stdlib.h>

enum { SIZE = 256, BITS = 8 };

static void fill(int8_t *to, long n, int values, int least)
{
    Rng rng = rng_at(1, STREAM_CHECK, (uint64_t)n);
    for (long i = 0; i < n; i++) to[i] = (int8_t)((int)rng_below(&rng, (uint64_t)values) + least);
}

int main(int argc, char **argv)
{
    Arena a = arena_new((size_t)1 << 30);
    if (argc != 4) {
        for (int i = 0; ternary_kernels[i]; i++)
            if (ternary_runs_here(ternary_kernels[i]) && ternary_kernels[i]->computes)
                puts(ternary_kernels[i]->name);
        return argc != 1;
    }
    const TernaryKernel *k = ternary_find(argv[1]);
    const int n = atoi(argv[2]), times = atoi(argv[3]);
    if (!k || !ternary_runs_here(k)) die("counts: %s does not run here", argv[1]);
    int8_t *w = arena_raw(&a, SIZE * SIZE), *x = arena_raw(&a, (size_t)n * SIZE);
    fill(w, (long)SIZE * SIZE, 3, -1);
    fill(x, (long)n * SIZE, 256, -128);
    void *packed = arena_raw(&a, k->packed_size(SIZE, SIZE));
    k->pack(packed, w, SIZE, SIZE);
    const TernaryProduct p = { .kernel = k, .packed = packed, .x = x, .n = n, .rows = SIZE,
                               .cols = SIZE, .act_bits = BITS, .threads = 1,
                               .y = arena_raw(&a, sizeof(int32_t) * (size_t)n * SIZE) };
    void *room = arena_raw(&a, ternary_room_size(&p));
    for (int i = 0; i < times; i++) ternary_product(&p, room);
    return 0;
}
