/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tape_inner.h -- what tape.c and the files of operations (op_*.c) share; no other file includes
 * it. */
#ifndef TAPE_INNER_H
#define TAPE_INNER_H
#include "models/tape.h"

enum { MAX_NOTES = 4096, MAX_SPARE = 64 };
typedef struct { void (*back)(Tape *, void *ctx); void *ctx; } Note;

struct Tape {
    const Exec *exec;
    const Spec *spec;
    Arena      *home, pass;       /* home: caches that outlive a pass */
    Note       *note;
    int         notes, recording, int8, act_bits;
    const char *quant;            /* spec_quant: the quantiser of the ternary weights */
    int         back8;            /* bwd=int8 */
    int         naive;            /* bitlinear=naive */
    uint64_t    seed;             /* of bwd=int8's stochastic rounding */
    Grad        spare[MAX_SPARE];  /* memory of gradients that have been passed on */
    int         spares;
    int         compare;          /* 1: bwd=int8 is compared with dense products: */
    double      dots[3];          /* estimate . exact, |estimate|^2, |exact|^2 */
    void      (*lap)(void *ctx, Lap);
    void       *lap_ctx;
    TapeSee     see;
    void       *see_ctx;
};

enum { STEP = 64 };      /* values of a thread's share: whole cache lines */

/* Runs BODY with [lo, hi) of n on every thread. */
#define SHARED(n, BODY)                                                          \
    do {                                                                         \
        const int parts_ = t->exec->threads;                                     \
        _Pragma("omp parallel for num_threads(parts_) schedule(static, 1)")      \
        for (int p_ = 0; p_ < parts_; p_++) {                                    \
            long lo, hi;                                                         \
            part(n, p_, parts_, STEP, &lo, &hi);                                 \
            BODY;                                                                \
        }                                                                        \
    } while (0)

static inline void tape_lap(const Tape *t, Lap what) { if (t->lap) t->lap(t->lap_ctx, what); }
/* A note for the backward pass; returns room for its operands. */
void *tape_note(Tape *, void (*back)(Tape *, void *ctx), size_t size);
/* A new value, not initialised; when recording, its gradient is with_grad or, if NULL, its own. */
Var   tape_var (Tape *, int rows, int cols, Grad *with_grad);
/* The gradient to write to. *fresh 1: nothing has been written, not even zeros. */
float *grad_to (Tape *, Var, int *fresh);
/* Every operation calls it for every value it reads, before anything else: it is a bug to read a
 * value whose memory or gradient another operation has taken over. */
#define tape_operand(x) tape_operand_at(x, __func__)
void  tape_operand_at(Var x, const char *op);
/* The new value y, made with x's gradient buffer, takes that gradient over. */
void  tape_take_over(Var y, Var x);
/* Memory of values is reused where nobody reads them in the backward pass:
 *   tape_reads   this operation will read x in the backward pass
 *   value_free   1: no operation recorded so far will
 *   tape_over    a new value in the memory of x's value
 *   grad_over    x's first gradient, in the memory of its value */
void   tape_reads(Var x);
int    value_free(Var x);
Var    tape_over (Tape *, Var x, Grad *with_grad);
float *grad_over (Var x);
void  grad_done(Tape *, Var);            /* it has been passed on: its memory may be reused */
/* RMSNorm's backward, for op_rmsnorm and op_gated_conv. Gradients of gains are summed by blocks of
 * rows and then over the blocks: the same for any number of threads.
 *   norm_sums        zeros for dgain
 *   norm_back_part   thread p's rows of x
 *   norm_back_gain   when all parts are done */
typedef struct { Var x; Param *gain; const float *rstd, *dy; float *dx, *dgain; } NormBack;
float *norm_sums(Tape *, Var x);
void   norm_back_part(const Tape *, const NormBack *, int p);
void   norm_back_gain(const Tape *, const NormBack *);
Quant *quant_room(Tape *, Var);          /* memory for its rows as int8, to be filled */
Var    op_bit_naive(Tape *, Var x, Param *gain, Param *w, double eps);
#endif
