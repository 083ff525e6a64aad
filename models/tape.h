/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tape.h -- the differentiable operations. A model is written with these and nothing else.
 *
 * An operation computes its value at once; when the tape records, it also leaves a note of how to send the
 * gradient back. tape_backward plays the notes in reverse; every gradient accumulates with +=.
 * Values and notes live in the tape's arena until tape_reset. Shapes: (rows, cols), row-major. */
#ifndef TAPE_H
#define TAPE_H
#include "models/exec.h"
#include "models/params.h"

/* A gradient takes its memory when it is first written on the way back and gives it up once it has been sent on, so
 * that a pass needs room for a few gradients at a time and not for all: half the memory of a training step. */
typedef struct Grad {
    float *p;
    size_t bytes;
    int    kept;      /* somebody else's memory, never given up */
    int    read;      /* an operation recorded so far reads the value again on the way back */
    int    taken;     /* the value's memory holds another one by now */
} Grad;
/* The rows of a value as int8 with their scales, made once for all the ternary layers that read it. */
typedef struct Quant { int8_t *q; float *inv, *back; } Quant;     /* NULLs: not yet; back: inv q, on the way back */
typedef struct { float *v; Grad *g; int rows, cols; Quant *quant; } Var;      /* g NULL: not recording; quant: act=int8 */
typedef struct Tape Tape;

Tape *tape_new  (const Exec *, const Spec *, Arena *home, size_t bytes);   /* bytes: bound of one pass */
void  tape_drop (Tape *);
void  tape_reset(Tape *, int recording);
void  tape_backward(Tape *);                    /* the caller has put dLoss/dy into tape_grad of the last Var */
float *tape_grad(Tape *, Var);                  /* (rows, cols); zero when nothing has been written yet */
/* For parity: see is shown every named value, and every named gradient when it is complete. */
typedef void (*TapeSee)(void *ctx, const char *name, int is_gradient, const float *data, long n);
void  tape_watch(Tape *, TapeSee see, void *ctx);
void  tape_name (Tape *, const char *name, Var);   /* right after the Var is made; nothing unless watched */
/* For the time split: called when a linear layer begins and ends its way forward, and its way back. */
typedef enum { LAP_FORWARD, LAP_FORWARD_END, LAP_BACK, LAP_BACK_END } Lap;
void  tape_laps (Tape *, void (*lap)(void *ctx, Lap), void *ctx);
/* For bwd=int8: while on, each dX is computed densely as well; the cosine between all estimates and all exact ones since
 * it was turned on. NAN when there was none. */
void  tape_compare(Tape *, int on);
double tape_cosine(const Tape *);

Var op_embed   (Tape *, Param *, const int *tok, int n);           /* rows of the table */
Var op_rmsnorm (Tape *, Var x, Param *gain, double eps, int to_linear);   /* 1: for ternary layers, quantised in the same pass */
/* y = x W'. W ternary by the settings `quant` (v3: t = mean|W|, q = sign(w) (|w| > t), no scale;
 * absmean: s = 1/max(mean|W|, 1e-5), clamp(round(W s)) / s; none: W itself) and `act` (f32: a dense product;
 * int8: rows quantised by absmax, the integer kernel). Straight-through: dX = dY q, dW = dY' (what was multiplied).
 * By the setting `bwd` (int8, with act=int8) dX is an estimate without bias: rows of dY rounded at random to int8, the
 * integer kernel with the transpose. What is drawn follows from the setting seed, the parameter's name and its steps, and
 * how many of its gradients came before in this step: a resumed run draws what an unbroken one does. */
Var op_linear  (Tape *, Var x, Param *w, int ternary);
/* The sum a + b. It takes over a's gradient, so every other reader of a must have been recorded before; and b's memory,
 * when recording and unless somebody recorded before reads b again, so nobody may read b from now on. */
Var op_add     (Tape *, Var a, Var b);
Var op_mul     (Tape *, Var a, Var b);
Var op_sigmoid (Tape *, Var x);
Var op_silu    (Tape *, Var x);
Var op_relu2_mul(Tape *, Var g, Var u, int to_linear);          /* relu(g)^2 u */
/* x + sigmoid(conv(n; wg)) conv(n; wv), n = rmsnorm(x) gain; causal, dilated, grouped; B sequences. It takes over x's
 * gradient as op_add does. past: (k-1)*dil rows of x before this one (decoding: one row), moved on by one row; NULL in
 * training. name: prefix of what is watched (name_gate_pre, name_value), or NULL */
Var op_gated_conv(Tape *, Var x, Param *gain, double eps, Param *wg, Param *wv, int B, int groups, int k, int dil,
                  float *past, const char *name);
#endif
