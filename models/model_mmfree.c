/* SPDX-License-Identifier: GPL-3.0-or-later */
/* MatMul-free LM (Zhu et al. 2024, arXiv 2406.02528), as its published code computes it and its
 * checkpoints name it (github.com/ridgerchu/matmulfreellm, HGRN-bit).
 *
 *   x = embeddings[tok];  layers:  x += mix(attn_norm(x));  x += mlp(mlp_norm(x));  norm(x)
 *   mix(a):  f = sigmoid(F a);  beyond the first layer f = low + (1 - low) f
 *            h_t = f h_(t-1) + (1 - f) silu(I a)
 *            O( g_norm(G a) silu(h) )
 *   mlp(a):  [g u] = gate(a);  down( silu(g) u )
 *   low:     sums over the layers of softmax(lower_bounds), without the first
 *
 * I, F, G, O, gate and down are BitLinears: a norm of their own, then a ternary layer (quant=none:
 * the norm, then a float layer). g_norm normalises the projection and the state is the gate; the
 * paper has the roles the other way round (gate_order=paper). Norms have epsilon 1e-6. The
 * published output layer is head=softmax tied=0 head_quant=bitlinear, published activations
 * act=int8. */
#include "models/model.h"
#include <math.h>
#include <stdio.h>

enum { MM_TAPS = 4, MM_GLU_STEP = 256 };
static const double MM_EPS = 1e-6;

typedef struct {
    BitLinear i, f, g, o, gate, down;
    Param    *attn_norm, *mlp_norm, *g_norm, *conv;     /* NULL: not in this variant */
} Layer;

typedef struct {
    int    d, inner, layers, paper;
    double bit_eps;
    Param *embedding, *lower, *final;
    Layer *layer;
} MmFree;

/* A projection of the recurrence: uniform with Xavier's bound, times 2^-2.5 */
static BitLinear mm_projection(Params *ps, int l, const char *name, int d, uint64_t seed)
{
    char full[96];
    snprintf(full, sizeof full, "model.layers.%d.attn.%s_proj", l, name);
    BitLinear b = model_bit_linear(ps, full, d, d, 0, seed, 1);
    param_uniform(b.w, seed, (uint64_t)ps->n, exp2(-2.5) * sqrt(6.0 / (2.0 * d)));
    return b;
}

static Param *mm_gain(Params *ps, int l, const char *name, int n)
{
    char full[96];
    snprintf(full, sizeof full, "model.layers.%d.%s.weight", l, name);
    return model_vector(ps, full, n, 1);
}

static void mm_make_layer(MmFree *m, const Spec *s, Params *ps, int l, uint64_t seed)
{
    char name[96];
    Layer *y = &m->layer[l];
    const int d = m->d, outer = (int)spec_int(s, "double_norm");
    if (outer) y->attn_norm = mm_gain(ps, l, "attn_norm", d);
    if (spec_int(s, "short_conv")) {
        snprintf(name, sizeof name, "model.layers.%d.attn.h_conv1d.weight", l);
        y->conv = model_conv(ps, name, d, 1, MM_TAPS, seed);
    }
    y->i = mm_projection(ps, l, "i", d, seed);
    y->f = mm_projection(ps, l, "f", d, seed);
    y->g = mm_projection(ps, l, "g", d, seed);
    y->g_norm = mm_gain(ps, l, "attn.g_norm", d);
    y->o = mm_projection(ps, l, "o", d, seed);
    if (outer) y->mlp_norm = mm_gain(ps, l, "mlp_norm", d);
    snprintf(name, sizeof name, "model.layers.%d.mlp.gate_proj", l);
    y->gate = model_bit_linear(ps, name, 2 * m->inner, d, 0.02, seed, 1);
    snprintf(name, sizeof name, "model.layers.%d.mlp.down_proj", l);
    y->down = model_bit_linear(ps, name, d, m->inner, 0.02 / sqrt(2.0 * m->layers), seed, 1);
}

static void *mm_make(const Spec *s, const Exec *e, Params *ps, int V, Arena *a)
{
    (void)e;
    MmFree *m = arena_get(a, sizeof *m);
    const uint64_t seed = (uint64_t)spec_int(s, "seed");
    m->d = (int)spec_int(s, "d");
    m->inner = model_inner(s, MM_GLU_STEP);
    m->layers = (int)spec_int(s, "layers");
    m->paper = spec_is(s, "gate_order", "paper");
    m->bit_eps = spec_num(s, "bit_eps");
    m->layer = arena_get(a, sizeof *m->layer * (size_t)m->layers);
    ps->output = "lm_head";
    m->embedding = model_embedding(s, ps, "model.embeddings.weight", V, m->d);
    if (spec_int(s, "lower_bounds"))
        m->lower = params_add(ps, "model.lower_bounds", (int[]){ m->layers, m->d, 0 },
                              GROUP_ADAMW_NODECAY, OWNER_CORE);
    /* of one layer there is no bound to learn */
    if (m->lower) m->lower->trainable = m->layers > 1;
    for (int l = 0; l < m->layers; l++) mm_make_layer(m, s, ps, l, seed);
    m->final = model_vector(ps, "model.norm.weight", m->d, 1);
    return m;
}

static int mm_width(const void *model) { return ((const MmFree *)model)->d; }
static Param *mm_embedding(const void *model) { return ((const MmFree *)model)->embedding; }

/* Floats of a layer: the last h, and the rows that the convolution looks back to */
static size_t mm_layer_state(const MmFree *m)
{
    return (size_t)m->d * (m->layer[0].conv ? MM_TAPS : 1);
}

static size_t mm_carry_size(const void *model, long capacity)
{
    const MmFree *m = model;
    (void)capacity;                       /* the state does not grow */
    return mm_layer_state(m) * (size_t)m->layers;
}

/* bounds.v NULL: the forget gate is not bounded */
static Var mm_state(const MmFree *m, Tape *t, int l, Var a, Var bounds, int B, Carry *const *carry)
{
    const Layer *y = &m->layer[l];
    Var i = op_bit_linear(t, a, y->i.gain, y->i.w, m->bit_eps);
    Var f = op_bit_linear(t, a, y->f.gain, y->f.w, m->bit_eps);
    f = bounds.v && l ? op_sigmoid_above(t, f, bounds, l) : op_sigmoid(t, f);
    f = model_named(t, l, "f", f);
    i = model_named(t, l, "i", op_input_gate(t, i, f));
    return model_named(t, l, "h",
                       op_scan(t, f, i, B, carry, mm_layer_state(m) * (size_t)l));
}

static Var mm_mix(const MmFree *m, Tape *t, int l, Var a, Var bounds, int B, Carry *const *carry)
{
    const Layer *y = &m->layer[l];
    if (y->conv) {
        const size_t past = mm_layer_state(m) * (size_t)l + (size_t)m->d;
        a = op_silu(t, op_depthwise(t, a, y->conv, B, carry, past));
    }
    Var h = mm_state(m, t, l, a, bounds, B, carry);
    Var g = model_named(t, l, "g", op_bit_linear(t, a, y->g.gain, y->g.w, m->bit_eps));
    Var normed = op_rmsnorm(t, m->paper ? h : g, y->g_norm, MM_EPS, 0);
    Var gated = op_glu(t, m->paper ? g : h, normed, ACTIVATION_silu, 0);
    return op_bit_linear(t, model_named(t, l, "gated", gated), y->o.gain, y->o.w, m->bit_eps);
}

static Var mm_glu(const MmFree *m, Tape *t, int l, Var a)
{
    const Layer *y = &m->layer[l];
    Var both = op_bit_linear(t, a, y->gate.gain, y->gate.w, m->bit_eps);
    Var glu = model_named(t, l, "glu", op_glu_halves(t, both, ACTIVATION_silu));
    return op_bit_linear(t, glu, y->down.gain, y->down.w, m->bit_eps);
}

static Var mm_norm(Tape *t, Var x, Param *gain)
{
    return gain ? op_rmsnorm(t, x, gain, MM_EPS, 0) : x;
}

static Var mm_forward(void *model, Tape *t, const int *tok, int B, int T, Carry *const *carry)
{
    const MmFree *m = model;
    Var x = op_embed(t, m->embedding, tok, B * T), bounds = { .v = NULL };
    tape_name(t, "embed", x);
    if (m->lower) {
        bounds = op_bounds(t, m->lower);
        tape_name(t, "lower_bounds_eff", bounds);
    }
    for (int l = 0; l < m->layers; l++) {
        const Layer *y = &m->layer[l];
        Var a = model_named(t, l, "attn_in", mm_norm(t, x, y->attn_norm));
        Var mix = model_named(t, l, "attn_out", mm_mix(m, t, l, a, bounds, B, carry));
        x = model_named(t, l, "mid", op_add(t, x, mix));
        Var b = model_named(t, l, "mlp_in", mm_norm(t, x, y->mlp_norm));
        Var mlp = model_named(t, l, "mlp_out", mm_glu(m, t, l, b));
        x = model_named(t, l, "out", op_add(t, x, mlp));
    }
    x = op_rmsnorm(t, x, m->final, MM_EPS, 0);
    tape_name(t, "final_norm", x);
    carry_advance(carry, B, T);
    return x;
}

static double mm_flops(const void *model, int T)
{
    const MmFree *m = model;
    (void)T;
    const double linear = 4.0 * m->d * m->d + 3.0 * m->d * m->inner,
                 taps = m->layer[0].conv ? (double)MM_TAPS * m->d : 0;
    return 2.0 * m->layers * (linear + taps + m->d);
}

const ModelDef model_mmfree = {
    "mmfree",
    "a gated linear recurrence and a GLU of ternary layers with norms of their own",
    "MatMul-free LM, Zhu et al. 2024, arXiv 2406.02528, and its code",
    .law_words = "d=32 inner=40 layers=3 or d=32 inner=40 layers=2 gate_order=paper lower_bounds=0 "
                 "short_conv=1 double_norm=0 bit_eps=1e-8",
    .make = mm_make,
    .width = mm_width,
    .embedding = mm_embedding,
    .carry_size = mm_carry_size,
    .forward = mm_forward,
    .flops = mm_flops,
};
