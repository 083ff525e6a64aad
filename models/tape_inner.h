/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tape_inner.h -- what tape.c and the files of operations (op_*.c) share; nobody else includes it.
 */
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
    int         back8;            /* bwd=int8 */
    uint64_t    seed;             /* of its stochastic rounding */
    Grad        spare[MAX_SPARE];  /* memory of gradients that have been sent on */
    int         spares;
    int         compare;          /* bwd=int8 is measured: */
    double      dots[3];          /* estimate . exact, |estimate|^2, |exact|^2 */
    void      (*lap)(void *ctx, Lap);
    void       *lap_ctx;
    TapeSee     see;
    void       *see_ctx;
};

/* A note to play on the way back, with room for its operands. */
void *tape_note(Tape *, void (*back)(Tape *, void *ctx), size_t size);
/* A new value, not initialised, with a gradient when recording; with_grad NULL: its own. */
Var   tape_var (Tape *, int rows, int cols, Grad *with_grad);
/* The gradient to write to: *fresh says that nothing is there yet, not even zeros. */
float *grad_to (Tape *, Var, int *fresh);
/* Every operation calls it for every value it reads, before anything else: a value whose memory or
 * gradient another operation has taken over is no longer to be had. */
#define tape_operand(x) tape_operand_at(x, __func__)
void  tape_operand_at(Var x, const char *op);
/* A new value y takes over x's gradient buffer, which y was made with. */
void  tape_take_over(Var y, Var x);
/* Memory of values is used again where nobody reads them on the way back. An operation that will
 * says so by tape_reads; value_free: nobody recorded so far will. tape_over: a new value in the
 * memory of x's; grad_over: x's first gradient. */
void   tape_reads(Var x);
int    value_free(Var x);
Var    tape_over (Tape *, Var x, Grad *with_grad);
float *grad_over (Var x);
void  grad_done(Tape *, Var);            /* it has been sent on: its memory may serve another */
/* RMSNorm's way back, op_rmsnorm's and op_gated_conv's. Gains are summed by blocks of rows and then
 * over the blocks: the same for any number of threads. dgain: norm_sums zeros. norm_back_part:
 * thread p's rows of x; norm_back_gain: when all are done. */
typedef struct { Var x; Param *gain; const float *rstd, *dy; float *dx, *dgain; } NormBack;
float *norm_sums(Tape *, Var x);
void   norm_back_part(const Tape *, const NormBack *, int p);
void   norm_back_gain(const Tape *, const NormBack *);
Quant *quant_room(Tape *, Var);          /* memory for its rows as int8, to be filled */
#endif
