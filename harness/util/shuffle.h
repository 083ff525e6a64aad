/* SPDX-License-Identifier: GPL-3.0-or-later */
/* shuffle.h -- a random order (Fisher-Yates from the end; n - 1 draws of rng_below). */
#ifndef SHUFFLE_H
#define SHUFFLE_H
#include "kernels/base.h"
#include <string.h>

/* Shuffles n items of `size` bytes each, size <= 64. */
static inline void shuffle(Rng *r, void *items, long n, size_t size)
{
    char kept[64], *x = items;
    CHECK(size <= sizeof kept);
    for (long i = n - 1; i > 0; i--) {
        char *a = x + (size_t)i * size, *b = x + (size_t)rng_below(r, (uint64_t)i + 1) * size;
        memcpy(kept, a, size);
        memmove(a, b, size);
        memcpy(b, kept, size);
    }
}
#endif
