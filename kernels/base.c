/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernels/base.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

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

static size_t arena_page(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static size_t arena_whole(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

/* bytes of address space that this process has taken; 0: unknown */
static size_t arena_taken(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    if (fscanf(f, "%lu", &pages) != 1) pages = 0;
    fclose(f);
    return pages * arena_page();
}

/* The largest reservation allowed: see base.h. */
static size_t arena_limit(void)
{
    const size_t page = arena_page();
    size_t most = SIZE_MAX / 2;
    struct sysinfo info;
    struct rlimit as;
    if (!sysinfo(&info)) most = (info.totalram + info.totalswap) * info.mem_unit;
    if (!getrlimit(RLIMIT_AS, &as) && as.rlim_cur != RLIM_INFINITY) {
        const size_t taken = arena_taken(), left = as.rlim_cur > taken ? as.rlim_cur - taken : 0;
        if (left / 4 < most) most = left / 4;
    }
    return most < page ? page : most / page * page;
}

Arena arena_new(size_t size)
{
    const size_t most = arena_limit();
    size = size > most ? most : arena_whole(size, arena_page());
    void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) die("out of memory: cannot reserve %zu MB", size >> 20);
    madvise(mem, size, MADV_HUGEPAGE);     /* advice: a kernel without huge pages may refuse it */
    return (Arena){ mem, 0, size };
}

Arena *arena_boot(size_t size)
{
    Arena a = arena_new(size), *inside = arena_raw(&a, sizeof a);
    *inside = a;
    return inside;
}

void *arena_raw(Arena *a, size_t bytes)
{
    const size_t left = a->size - a->used;
    /* compared first: rounding up could wrap */
    if (bytes > left || arena_whole(bytes, 64) > left)
        die("out of memory: an arena of %zu MB has no room for %zu MB more", a->size >> 20,
            bytes >> 20);
    void *p = a->mem + a->used;
    a->used += arena_whole(bytes, 64);
    return p;
}

size_t array_bytes(size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        die("out of memory: %zu elements of %zu bytes are more than can be addressed", n, size);
    return bytes;
}

void *arena_array(Arena *a, size_t n, size_t size) { return arena_get(a, array_bytes(n, size)); }

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
    const Arena old = *a;                  /* *a may lie in the memory that is unmapped */
    *a = (Arena){ NULL, 0, 0 };
    if (old.mem) munmap(old.mem, old.size);
}

void pages_return(void *mem, size_t bytes)
{
    const uintptr_t page = arena_page(), start = (uintptr_t)mem;
    const uintptr_t from = arena_whole(start, page), to = (start + bytes) / page * page;
    if (to > from) madvise((void *)from, to - from, MADV_DONTNEED);
}

static uint64_t rng_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

Rng rng_at(uint64_t seed, uint64_t stream, uint64_t i)
{
    return (Rng){ rng_mix(rng_mix(rng_mix(seed + 0x9e3779b97f4a7c15u) + stream) + i) };
}

uint64_t rng_u64(Rng *r) { return rng_mix(r->s += 0x9e3779b97f4a7c15u); }

double rng_uniform(Rng *r) { return (double)(rng_u64(r) >> 11) * 0x1p-53; }

/* Box and Muller 1958; the second value is dropped to keep no state */
double rng_normal(Rng *r)
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
