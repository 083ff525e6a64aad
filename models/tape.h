/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tape.h -- the differentiable operations. A model is written with these and nothing else.
 *
 * An operation computes its value at once; when the tape records, it also leaves a note of how to
 * send the gradient back. tape_backward plays the notes in reverse; every gradient accumulates with
 * +=. Values and notes live in the tape's arena until tape_reset. Shapes: (rows, cols), row-major.
 */
#ifndef TAPE_H
#define TAPE_H
#include "models/exec.h"
#include "models/params.h"

/* What one sequence keeps between two calls of a model's forward: recurrent state, windows of a
 * convolution, or a KV cache, as the model lays it out. Zeros at the start of a sequence. See
 * model.h. */
typedef struct Carry {
    float *state;               /* (size) */
    size_t size;
    long   pos, capacity;       /* tokens so far; at most */
} Carry;

/* A gradient takes its memory when the backward pass first writes it and gives it up once it has
 * been passed on, so that a pass needs room for a few gradients at a time and not for all: half the
 * memory of a training step. */
typedef struct Grad {
    float *p;
    size_t bytes;
    int    kept;      /* somebody else's memory, never given up */
    int    read;      /* an operation recorded so far reads the value again in the backward pass */
    int    taken;     /* the value's memory holds another one by now */
    /* The value whose gradient this is by now, where an operation has taken it over (op_add,
     * op_gated_conv); NULL: of the value it was made for. Recording a reader of the old value is a
     * bug: its gradient would come too late. */
    const float *owner;
} Grad;
/* The rows of a value as int8 with their scales, made once for all the ternary layers that read it.
 */
/* NULLs: not yet; back: inv q, on the way back */
typedef struct Quant { int8_t *q; float *inv, *back; } Quant;
/* g NULL: not recording; quant: act=int8 */
typedef struct { float *v; Grad *g; int rows, cols; Quant *quant; } Var;
typedef struct Tape Tape;

/* bytes: bound of one pass */
Tape *tape_new  (const Exec *, const Spec *, Arena *home, size_t bytes);
const char *tape_check(const Spec *);    /* NULL, or why there is no tape with such settings */
void  tape_drop (Tape *);
void  tape_reset(Tape *, int recording);
/* the caller has put dLoss/dy into tape_grad of the last Var */
void  tape_backward(Tape *);
/* (rows, cols); zero when nothing has been written yet */
float *tape_grad(Tape *, Var);
/* For parity: see is shown every named value, and every named gradient when it is complete. */
typedef void (*TapeSee)(void *ctx, const char *name, int is_gradient, const float *data, long n);
void  tape_watch(Tape *, TapeSee see, void *ctx);
/* right after the Var is made; nothing unless watched */
void  tape_name (Tape *, const char *name, Var);
/* For the time split: called when a linear layer begins and ends its way forward, and its way back.
 */
typedef enum { LAP_FORWARD, LAP_FORWARD_END, LAP_BACK, LAP_BACK_END } Lap;
void  tape_laps (Tape *, void (*lap)(void *ctx, Lap), void *ctx);
/* For bwd=int8: while on, each dX is computed densely as well; the cosine between all estimates and
 * all exact ones since it was turned on. NAN when there was none. */
void  tape_compare(Tape *, int on);
double tape_cosine(const Tape *);

Var op_embed   (Tape *, Param *, const int *tok, int n);           /* rows of the table */
/* 1: for ternary layers, quantised in the same pass */
Var op_rmsnorm (Tape *, Var x, Param *gain, double eps, int to_linear);
/* y = x W'. W ternary by the settings `quant` (v3: t = mean|W|, q = sign(w) (|w| > t), no scale;
 * absmean: s = 1/max(mean|W|, 1e-5), clamp(round(W s)) / s; none: W itself) and `act` (f32: a dense
 * product; int8: rows quantised by absmax, the integer kernel). Straight-through: dX = dY q, dW =
 * dY' (what was multiplied). By the setting `bwd` (int8, with act=int8) dX is an estimate without
 * bias: rows of dY rounded at random to int8, the integer kernel with the transpose. What is drawn
 * follows from the setting seed, the parameter's name and its steps, and how many of its gradients
 * came before in this step: a resumed run draws what an unbroken one does. */
Var op_linear  (Tape *, Var x, Param *w, int ternary);
/* y = a + b. y shares a's gradient buffer: record all other readers of a first. When recording, y
 * may reuse b's memory: do not read b afterwards. A later reader of either is a bug that is caught
 * (Grad.owner, Grad.taken). */
Var op_add     (Tape *, Var a, Var b);
Var op_mul     (Tape *, Var a, Var b);
Var op_sigmoid (Tape *, Var x);
Var op_silu    (Tape *, Var x);
/* A gated linear unit: y = f(g) u, of one shape; f as in kernels/activations.def. to_linear as of
 * op_rmsnorm. */
Var op_glu     (Tape *, Var g, Var u, Activation f, int to_linear);
extern const char *const activation_names[];                    /* NULL-ended */
Activation activation_find(const char *name);                   /* ACTIVATIONS: there is none */
/* y = x + sigmoid(conv(n; wg)) conv(n; wv), n = rmsnorm(x) gain: causal, dilated, grouped, over B
 * sequences of x.rows / B rows each. y shares x's gradient buffer as op_add's does a's. name:
 * prefix of what is watched (name_gate_pre, name_value), or NULL. */
typedef struct GatedConv {
    Param *gain, *wg, *wv;      /* (d), (d, d / groups, k) twice */
    double eps;                 /* of the norm */
    int    groups, k, dil;
} GatedConv;
/* carry: B carries, of which op_gated_conv_rows(conv) rows of d from state + offset are this
 * convolution's: the last rows of x before these; they are moved on. NULL: sequences from their
 * start */
Var op_gated_conv(Tape *, Var x, const GatedConv *conv, int B, Carry *const *carry, size_t offset,
                  const char *name);
long op_gated_conv_rows(const GatedConv *);
#endif
