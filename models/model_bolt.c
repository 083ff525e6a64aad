/* SPDX-License-Identifier: GPL-3.0-or-later */
/* FlashLM v4 "Bolt" (changcheng967, v4/train_v4_bolt.py, 2026), parameters named as in its file.
 *
 *   x = embedding[tok];  blocks:  x += mixer(norm1(x));  x += ffn(norm2(x));  final_norm(x)
 *   mixer(a):  [g v] = up(a);  down( conv(v) sigmoid(g) ), conv: depthwise, causal, 8 taps
 *   ffn(b):    W_down( silu(W_gate b) W_up b )
 *
 * up, down and the W are ternary (absmean; the release divides by mean|W| + 1e-8, here by mean|W|:
 * the same but for ties of rounding), the convolution is float; activations stay float (act=f32).
 * Norms are RMSNorms of epsilon 1e-6. The output layer is the embedding (tied=1). */
#include "models/model.h"
#include <math.h>
#include <stdio.h>

enum { BOLT_TAPS = 8 };
static const double BOLT_EPS = 1e-6;

typedef struct { Param *norm1, *up, *conv, *down, *norm2, *w_gate, *w_up, *w_down; } Block;
typedef struct {
    int    d, inner, layers;
    Leak   leak;
    Param *embedding, *final;
    Block *block;
} Bolt;

/* Kaiming normal by the outputs, sqrt(2 / rows) */
static Param *bolt_matrix(Params *ps, int l, const char *name, int rows, int cols, uint64_t seed)
{
    char full[96];
    snprintf(full, sizeof full, "blocks.%d.%s.weight", l, name);
    return model_matrix(ps, full, rows, cols, sqrt(2.0 / rows), seed);
}

static Param *bolt_norm(Params *ps, int l, const char *name, int d)
{
    char full[96];
    snprintf(full, sizeof full, "blocks.%d.%s.scale", l, name);
    return model_vector(ps, full, d, 1);
}

static void bolt_make_block(const Bolt *m, Params *ps, int l, uint64_t seed)
{
    char name[96];
    Block *b = &m->block[l];
    const int d = m->d, inner = m->inner;
    b->norm1 = bolt_norm(ps, l, "norm1", d);
    b->up = bolt_matrix(ps, l, "mixer.up", 2 * d, d, seed);
    snprintf(name, sizeof name, "blocks.%d.mixer.conv.weight", l);
    b->conv = model_conv(ps, name, d, 1, BOLT_TAPS, seed);
    b->down = bolt_matrix(ps, l, "mixer.down", d, d, seed);
    b->norm2 = bolt_norm(ps, l, "norm2", d);
    b->w_gate = bolt_matrix(ps, l, "ffn.W_gate", inner, d, seed);
    b->w_up = bolt_matrix(ps, l, "ffn.W_up", inner, d, seed);
    b->w_down = bolt_matrix(ps, l, "ffn.W_down", d, inner, seed);
}

static void *bolt_make(const Spec *s, const Exec *e, Params *ps, int V, Arena *a)
{
    (void)e;
    Bolt *m = arena_get(a, sizeof *m);
    const uint64_t seed = (uint64_t)spec_int(s, "seed");
    m->d = (int)spec_int(s, "d");
    m->inner = model_inner(s, 1);
    m->layers = (int)spec_int(s, "layers");
    m->leak = model_leak(s);
    m->block = arena_get(a, sizeof *m->block * (size_t)m->layers);
    m->embedding = model_embedding(s, ps, "embedding.weight", V, m->d);
    for (int l = 0; l < m->layers; l++) bolt_make_block(m, ps, l, seed);
    m->final = model_vector(ps, "final_norm.scale", m->d, 1);
    return m;
}

static int bolt_width(const void *model) { return ((const Bolt *)model)->d; }
static Param *bolt_embedding(const void *model) { return ((const Bolt *)model)->embedding; }

static size_t bolt_past(const Bolt *m) { return (size_t)(BOLT_TAPS - 1) * (size_t)m->d; }

static size_t bolt_carry_size(const void *model, long capacity)
{
    const Bolt *m = model;
    (void)capacity;                       /* windows do not grow */
    return bolt_past(m) * (size_t)m->layers;
}

static Var bolt_mixer(const Bolt *m, Tape *t, int l, Var a, int B, Carry *const *carry)
{
    const Block *b = &m->block[l];
    Var both = op_linear(t, a, b->up, 1);
    Var gate = model_named(t, l, "gate", op_sigmoid(t, op_half(t, both, 0)));
    Var conv = model_named(t, l, "conv", op_depthwise(t, op_half(t, both, 1), b->conv, B, carry,
                                                      bolt_past(m) * (size_t)l));
    return op_linear(t, op_mul(t, model_leaking(t, m->leak, conv, B), gate), b->down, 1);
}

static Var bolt_ffn(const Bolt *m, Tape *t, int l, Var a)
{
    const Block *b = &m->block[l];
    Var g = op_linear(t, a, b->w_gate, 1), u = op_linear(t, a, b->w_up, 1);
    Var glu = model_named(t, l, "glu", op_glu(t, g, u, ACTIVATION_silu, 1));
    return op_linear(t, glu, b->w_down, 1);
}

static Var bolt_forward(void *model, Tape *t, const int *tok, int B, int T, Carry *const *carry)
{
    const Bolt *m = model;
    Var x = op_embed(t, m->embedding, tok, B * T);
    tape_name(t, "embed", x);
    for (int l = 0; l < m->layers; l++) {
        Var a = model_named(t, l, "norm1", op_rmsnorm(t, x, m->block[l].norm1, BOLT_EPS, 1));
        Var mix = model_named(t, l, "mixer", bolt_mixer(m, t, l, a, B, carry));
        x = model_named(t, l, "mid", op_add(t, x, mix));
        Var b = model_named(t, l, "norm2", op_rmsnorm(t, x, m->block[l].norm2, BOLT_EPS, 1));
        Var ffn = model_named(t, l, "ffn", bolt_ffn(m, t, l, b));
        x = model_named(t, l, "out", op_add(t, x, ffn));
    }
    x = op_rmsnorm(t, x, m->final, BOLT_EPS, 0);
    tape_name(t, "final_norm", x);
    carry_advance(carry, B, T);
    return x;
}

static double bolt_flops(const void *model, int T)
{
    const Bolt *m = model;
    (void)T;
    const double linear = 3.0 * m->d * m->d + 3.0 * m->d * m->inner;
    return 2.0 * m->layers * (linear + (double)BOLT_TAPS * m->d);
}

const ModelDef model_bolt = {
    "bolt",
    "gated depthwise convolutions and a ternary GLU",
    "FlashLM v4 \"Bolt\", changcheng967, 2026",
    .law_words = "d=32 inner=40 layers=2",
    .make = bolt_make,
    .width = bolt_width,
    .embedding = bolt_embedding,
    .carry_size = bolt_carry_size,
    .forward = bolt_forward,
    .flops = bolt_flops,
};
