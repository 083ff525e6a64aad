/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tape_inner.h -- what tape.c and the files of operations (op_*.c) share; nobody else includes it. */
#ifndef TAPE_INNER_H
#define TAPE_INNER_H
#include "models/tape.h"

enum { MAX_NOTES = 4096 };
typedef struct { void (*back)(Tape *, void *ctx); void *ctx; } Note;

struct Tape {
    const Exec *exec;
    const Spec *spec;
    Arena      *home, pass;       /* home: caches that outlive a pass */
    Note       *note;
    int         notes, recording, int8, act_bits;
    TapeSee     see;
    void       *see_ctx;
};

/* A note to play on the way back, with room for its operands. */
void *tape_note(Tape *, void (*back)(Tape *, void *ctx), size_t size);
/* A new value, not initialised; its gradient, when recording, is zero. */
Var   tape_var (Tape *, int rows, int cols);

/* Part t of `parts` of n things: [*lo, *hi), in multiples of `step` but for the end. */
static inline void part(long n, int t, int parts, long step, long *lo, long *hi)
{
    const long blocks = (n + step - 1) / step;
    *lo = blocks * t / parts * step;
    *hi = blocks * (t + 1) / parts * step;
    if (*lo > n) *lo = n;
    if (*hi > n) *hi = n;
}
#endif
