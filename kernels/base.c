/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernels/base.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void check_failed(const char *cond, const char *file, int line)
{
    fflush(stdout);
    fprintf(stderr, "%s:%d: bug: %s\n", file, line, cond);
    abort();
}

void die(const char *fmt, ...)
{
    va_list ap;
    fflush(stdout);
    fputs("eightysix: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(2);
}

Arena arena_new(size_t size)
{
    const size_t page = 4096;
    size = (size + page - 1) / page * page;
    void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) die("out of memory: cannot reserve %zu MB", size >> 20);
    madvise(mem, size, MADV_HUGEPAGE);     /* advice: a kernel without huge pages may refuse it */
    return (Arena){ mem, 0, size };
}

void *arena_raw(Arena *a, size_t bytes)
{
    bytes = (bytes + 63) & ~(size_t)63;
    if (bytes > a->size - a->used)
        die("out of memory: an arena of %zu MB has no room for %zu MB more", a->size >> 20, bytes >> 20);
    void *p = a->mem + a->used;
    a->used += bytes;
    return p;
}

void *arena_get(Arena *a, size_t bytes) { return memset(arena_raw(a, bytes), 0, bytes); }

char *arena_text(Arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = arena_raw(a, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return s;
}

void arena_reset(Arena *a, size_t used)
{
    CHECK(used <= a->used);
    a->used = used;
}

void arena_drop(Arena *a)
{
    if (a->mem) munmap(a->mem, a->size);
    *a = (Arena){ NULL, 0, 0 };
}

void pages_return(void *mem, size_t bytes)
{
    const uintptr_t page = 4096, from = ((uintptr_t)mem + page - 1) / page * page, to = ((uintptr_t)mem + bytes) / page * page;
    if (to > from) madvise((void *)from, to - from, MADV_DONTNEED);
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

Rng rng_at(uint64_t seed, uint64_t stream, uint64_t i)
{
    return (Rng){ mix(mix(mix(seed + 0x9e3779b97f4a7c15u) + stream) + i) };
}

uint64_t rng_u64(Rng *r) { return mix(r->s += 0x9e3779b97f4a7c15u); }

double rng_uniform(Rng *r) { return (double)(rng_u64(r) >> 11) * 0x1p-53; }

double rng_normal(Rng *r)      /* Box and Muller 1958; the second value is dropped to keep no state */
{
    const double u = 1.0 - rng_uniform(r), v = rng_uniform(r);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

uint64_t rng_below(Rng *r, uint64_t n)
{
    const uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    uint64_t x;
    do x = rng_u64(r); while (x >= limit);
    return x % n;
}
