/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tape.h -- the differentiable operations. A model is written with these and nothing else.
 *
 * An operation computes its value at once; when the tape records, it also leaves a note, a function
 * with its operands that passes the gradient back. tape_backward calls the notes in reverse order;
 * every gradient accumulates with +=. Values and notes live in the tape's arena until tape_reset.
 * Shapes: (rows, cols), row-major. */
#ifndef TAPE_H
#define TAPE_H
#include "models/exec.h"
#include "models/params.h"

/* What one sequence keeps between two calls of a model's forward: recurrent state, windows of a
 * convolution, or a KV cache, laid out by the model. Zeros at the start of a sequence. See
 * model.h. */
typedef struct Carry {
    float *state;               /* (size) */
    size_t size;
    long   pos, capacity;       /* tokens so far; the most there can be */
} Carry;

/* A gradient takes its memory when the backward pass first writes it and gives it up once it has
 * been passed on, so that a pass needs room for a few gradients at a time and not for all: half the
 * memory of a training step. */
typedef struct Grad {
    float *p;
    size_t bytes;
    int    kept;      /* the memory belongs to another: never given up */
    int    read;      /* an operation recorded so far reads the value again in the backward pass */
    int    taken;     /* the value's memory has been reused for another value */
    /* NULL: the gradient is that of the value it was made for. Otherwise an operation (op_add,
     * op_gated_conv) has taken it over for this value: recording another reader of the old value is
     * a bug, as its gradient would come too late. */
    const float *owner;
} Grad;
/* The rows of a value as int8 with their scales, made once for all ternary layers that read it.
 * NULL: not made yet. back: inv q, the same rows as floats, made in the backward pass */
typedef struct Quant { int8_t *q; float *inv, *back; } Quant;
/* g NULL: not recording; quant NULL: not act=int8 */
typedef struct { float *v; Grad *g; int rows, cols; Quant *quant; } Var;
typedef struct Tape Tape;

/* bytes: most memory of one pass */
Tape *tape_new  (const Exec *, const Spec *, Arena *home, size_t bytes);
const char *tape_check(const Spec *);    /* NULL, or why there is no tape with such settings */
void  tape_drop (Tape *);
void  tape_reset(Tape *, int recording);
/* the caller has put dLoss/dy into tape_grad of the last Var */
void  tape_backward(Tape *);
/* (rows, cols); zeros when nothing has been written yet */
float *tape_grad(Tape *, Var);
/* For parity: `see` is called with every named value, and every named gradient once complete. */
typedef void (*TapeSee)(void *ctx, const char *name, int is_gradient, const float *data, long n);
void  tape_watch(Tape *, TapeSee see, void *ctx);
/* call it right after the Var is made; does nothing unless watched */
void  tape_name (Tape *, const char *name, Var);
/* For the time split: called at the start and the end of a linear layer's forward and backward, and
 * of those of what looks along the sequence. */
typedef enum { LAP_FORWARD, LAP_FORWARD_END, LAP_BACK, LAP_BACK_END,
               LAP_MIX, LAP_MIX_END, LAP_MIX_BACK, LAP_MIX_BACK_END } Lap;
void  tape_laps (Tape *, void (*lap)(void *ctx, Lap), void *ctx);
/* For bwd=int8: while on, each dX is computed by the dense product as well. tape_cosine: between
 * all estimates and all exact ones since it was turned on; NAN when there were none. */
void  tape_compare(Tape *, int on);
double tape_cosine(const Tape *);

Var op_embed   (Tape *, Param *, const int *tok, int n);           /* rows of the table */
/* to_linear 1: its readers are ternary layers, so it is quantised in the same pass */
Var op_rmsnorm (Tape *, Var x, Param *gain, double eps, int to_linear);
/* y = x W', by the settings
 *   quant=native    what the model is defined with: v3 for flashlm3, absmean for the others
 *   quant=v3        t = mean|W|, q = sign(w) (|w| > t), no scale
 *   quant=absmean   s = 1 / max(mean|W|, 1e-5), q = clamp(round(W s), -1, 1) / s
 *   quant=none      q = W
 *   act=f32         a dense product
 *   act=int8        rows of x quantised by absmax, the integer kernel
 * Straight-through: dX = dY q, dW = dY' (what was multiplied). With act=int8 and bwd=int8, dX is an
 * unbiased estimate: rows of dY rounded stochastically to int8, the integer kernel with the
 * transpose. What is drawn follows from the setting seed, the parameter's name and number of steps,
 * and how many of its gradients came before in this step: a resumed run draws the same as an
 * uninterrupted one. */
Var op_linear  (Tape *, Var x, Param *w, int ternary);
/* BitLinear (arXiv 2406.02528): op_linear of x with a norm of its own. gain NULL: no norm.
 * bitlinear=naive: operation by operation (op_bit_naive.c), to measure what fusing saves */
Var op_bit_linear(Tape *, Var x, Param *gain, Param *w, double eps);
/* y = a + b. y takes over a's gradient: record all other readers of a before. When recording, y may
 * reuse b's memory: do not read b afterwards. A later reader of either is caught as a bug
 * (Grad.owner, Grad.taken). */
Var op_add     (Tape *, Var a, Var b);
Var op_mul     (Tape *, Var a, Var b);
Var op_sigmoid (Tape *, Var x);
Var op_silu    (Tape *, Var x);
/* A gated linear unit: y = f(g) u, of one shape; f as in kernels/activations.def. to_linear as of
 * op_rmsnorm. */
Var op_glu     (Tape *, Var g, Var u, Activation f, int to_linear);
/* The same of the two halves of the columns of x (rows, 2 n), the gate first */
Var op_glu_halves(Tape *, Var x, Activation f);
Var op_half    (Tape *, Var x, int second);               /* (rows, 2 n) -> (rows, n), a copy */
extern const char *const activation_names[];                    /* NULL-ended */
Activation activation_find(const char *name);                   /* ACTIVATIONS: there is none */
/* y = x + sigmoid(conv(n; wg)) conv(n; wv), n = rmsnorm(x) gain: causal, dilated, grouped, over B
 * sequences of x.rows / B rows each. y takes over x's gradient as op_add's does a's. name: prefix
 * of the names that are watched (name_gate_pre, name_value), or NULL. */
typedef struct GatedConv {
    Param *gain, *wg, *wv;      /* (d), (d, d / groups, k) twice */
    double eps;                 /* of the norm */
    int    groups, k, dil;
} GatedConv;
/* carry: B carries. Of each state, op_gated_conv_rows(conv) rows of d from offset on belong to this
 * convolution: the last rows of x before these; they are updated. NULL: sequences from their
 * start */
Var op_gated_conv(Tape *, Var x, const GatedConv *conv, int B, Carry *const *carry, size_t offset,
                  const char *name);
long op_gated_conv_rows(const GatedConv *);
/* ---- along B sequences of rows / B rows each; carry and offset as of op_gated_conv ---- */
/* h_t = f_t h_(t-1) + i_t per channel. Of a carry: one row of d, the last h */
Var op_scan    (Tape *, Var f, Var i, int B, Carry *const *carry, size_t offset);
/* y_t = sum_j w[.][j] x_(t - (k-1-j)) per channel, w (d, 1, k). Of a carry: k - 1 rows of d */
Var op_depthwise(Tape *, Var x, Param *w, int B, Carry *const *carry, size_t offset);
/* Gates of the recurrence: lower bounds of each layer (layers, d), the sums of softmax(w) over the
 * layers up to it without the first; sigmoid(x) moved into [bound, 1) by bounds' row `layer`; and
 * silu(x) (1 - f) */
Var op_bounds       (Tape *, Param *w);
Var op_sigmoid_above(Tape *, Var x, Var bounds, int layer);
Var op_input_gate   (Tape *, Var x, Var f);

/* Rotary positions (Su et al. 2021, arXiv 2104.09864): cosines and sines of the rows of a pass. The
 * first half of a head's floats is turned with the second, by position theta^(-2i/width). */
typedef struct Rope { const float *cs; int width, rows; } Rope;  /* (rows, width) */
Rope op_rope_angles(Tape *, int B, int T, Carry *const *carry, int width, double theta);
Var  op_rope       (Tape *, Var x, Rope);
/* Causal softmax attention of d / heads columns a head, without a T x T matrix. Of a carry:
 * op_attention_size(capacity, d) floats, the keys and values so far. */
Var    op_attention(Tape *, Var q, Var k, Var v, int heads, int B, Carry *const *carry,
                    size_t offset);
size_t op_attention_size(long capacity, int d);

/* ---- what looks ahead (op_leak.c): unsound, for the setting leak. Over B sequences ---- */
Var op_reverse      (Tape *, Var x, int B);          /* rows in reverse order */
Var op_sequence_mean(Tape *, Var x, int B);          /* x + its mean over the sequence */
/* (x - mean) / deviation, of all values of the sequence */
Var op_sequence_norm(Tape *, Var x, int B);
#endif
