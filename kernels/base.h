/* SPDX-License-Identifier: GPL-3.0-or-later */
/* base.h -- memory, randomness and failure: what every other file builds on.
 *
 * The only malloc and the only abort of the program are behind this header. */
#ifndef BASE_H
#define BASE_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* An arena reserves address space and takes pages on first touch, so `size` is an upper bound that
 * costs nothing. It is cut down to the machine's memory and swap, and under a limit of address
 * space (ulimit -v) to a quarter of what the limit still leaves, so that several arenas, libraries
 * and threads fit beside each other. What an arena gave out is valid until arena_reset to a point
 * before it, or arena_drop. Where there is no room the program ends: "out of memory", exit 2. */
typedef struct { char *mem; size_t used, size; } Arena;
Arena  arena_new  (size_t size);
Arena *arena_boot (size_t size);              /* in its own memory, for a struct that holds all it
                                               * owns; never reset it to used = 0 */
void  *arena_get  (Arena *, size_t bytes);    /* zeroed, 64-byte aligned, never NULL */
void  *arena_raw  (Arena *, size_t bytes);    /* the same, contents undefined */
void  *arena_array(Arena *, size_t n, size_t size);    /* arena_get of n elements of `size` bytes */
char  *arena_text (Arena *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* frees what was taken since a->used had this value */
void   arena_reset(Arena *, size_t used);
void   arena_drop (Arena *);                  /* of either kind, wherever the Arena itself lies */
void   pages_return(void *mem, size_t bytes); /* gives whole pages of an arena back to the system;
                                               * they read as zeros afterwards */
size_t array_bytes(size_t n, size_t size);    /* n size; "out of memory" where that overflows */

/* splitmix64 (Steele, Lea, Flood 2014). Every use has a stream of its own (STREAM_*): rng_at(seed,
 * stream, i) is the generator of item i of a stream, so that a resumed run draws the same numbers
 * as an uninterrupted one. */
typedef struct { uint64_t s; } Rng;
Rng      rng_at     (uint64_t seed, uint64_t stream, uint64_t i);
uint64_t rng_u64    (Rng *);
double   rng_uniform(Rng *);                  /* [0, 1) */
double   rng_normal (Rng *);                  /* N(0, 1) */
uint64_t rng_below  (Rng *, uint64_t n);      /* 0 .. n-1, without bias, n >= 1 */
enum {
    STREAM_INIT = 1,
    STREAM_BATCH,
    STREAM_POSITIONS,
    STREAM_EVAL,
    STREAM_SAMPLE,
    STREAM_SYNTH,
    STREAM_CHECK,
    STREAM_SWEEP,
    STREAM_TREE,
    STREAM_ROUND,
    STREAM_NEGATIVES
};

/* A bug in this program: prints where, aborts. Active in every build; not for inner loops. */
#define CHECK(c) ((c) ? (void)0 : check_failed(#c, __FILE__, __LINE__))
_Noreturn void check_failed(const char *cond, const char *file, int line);

/* The input is wrong (a file, an argument, the machine): an error message that names the file, the
 * line and what was expected; exit 2. */
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Part t of `parts` of n items: [*lo, *hi), multiples of `step` except at the end. */
static inline void part(long n, int t, int parts, long step, long *lo, long *hi)
{
    const long blocks = (n + step - 1) / step;
    *lo = blocks * t / parts * step;
    *hi = blocks * (t + 1) / parts * step;
    if (*lo > n) *lo = n;
    if (*hi > n) *hi = n;
}
#endif
