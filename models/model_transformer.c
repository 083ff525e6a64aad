/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Transformer++, the float control of arXiv 2406.02528: the llama architecture, parameters named as
 * in its checkpoints.
 *
 *   x = embed_tokens[tok];  layers:  x += o_proj(attention(a)), a = input_layernorm(x)
 *                                    b = post_attention_layernorm(x)
 *                                    x += down( silu(gate(b)) up(b) )
 *   norm(x)
 *   attention(a):  q, k, v of a; rotary positions on q and k (halves, theta 10000); causal softmax
 *                  of q k' / sqrt(width of a head), over v; attn_heads heads
 *
 * Norms are RMSNorms of epsilon 1e-6, nothing has a bias. quant=none: linear layers are float, the
 * published baseline. Otherwise each is a BitLinear with a norm of its own, beside the blocks'. */
#include "models/model.h"
#include <stdio.h>
#include <string.h>

enum { TRANSFORMER_GLU_STEP = 256 };
static const double TRANSFORMER_EPS = 1e-6, TRANSFORMER_THETA = 10000, TRANSFORMER_SIGMA = 0.02;

typedef struct {
    BitLinear q, k, v, o, gate, up, down;     /* gain NULL: quant=none */
    Param    *before, *between;
} Layer;

typedef struct {
    int    d, inner, layers, heads, bit;
    Leak   leak;
    double bit_eps;
    Param *embedding, *final;
    Layer *layer;
} Transformer;

typedef struct { Params *ps; uint64_t seed; int l, bit; } Maker;

static BitLinear transformer_linear(const Maker *k, const char *name, int rows, int cols)
{
    char full[96];
    snprintf(full, sizeof full, "model.layers.%d.%s_proj", k->l, name);
    return model_bit_linear(k->ps, full, rows, cols, TRANSFORMER_SIGMA, k->seed, k->bit);
}

static Param *transformer_norm(const Maker *k, const char *name, int d)
{
    char full[96];
    snprintf(full, sizeof full, "model.layers.%d.%s.weight", k->l, name);
    return model_vector(k->ps, full, d, 1);
}

static void transformer_make_layer(const Transformer *m, const Maker *k, Layer *y)
{
    const int d = m->d;
    y->before = transformer_norm(k, "input_layernorm", d);
    y->q = transformer_linear(k, "self_attn.q", d, d);
    y->k = transformer_linear(k, "self_attn.k", d, d);
    y->v = transformer_linear(k, "self_attn.v", d, d);
    y->o = transformer_linear(k, "self_attn.o", d, d);
    y->between = transformer_norm(k, "post_attention_layernorm", d);
    y->gate = transformer_linear(k, "mlp.gate", m->inner, d);
    y->up = transformer_linear(k, "mlp.up", m->inner, d);
    y->down = transformer_linear(k, "mlp.down", d, m->inner);
}

static void *transformer_make(const Spec *s, const Exec *e, Params *ps, int V, Arena *a)
{
    (void)e;
    Transformer *m = arena_get(a, sizeof *m);
    Maker k = { ps, (uint64_t)spec_int(s, "seed"), 0, strcmp(spec_quant(s), "none") != 0 };
    m->d = (int)spec_int(s, "d");
    m->inner = model_inner(s, TRANSFORMER_GLU_STEP);
    m->layers = (int)spec_int(s, "layers");
    m->heads = (int)spec_int(s, "attn_heads");
    m->leak = model_leak(s);
    m->bit_eps = spec_num(s, "bit_eps");
    if (m->d % (2 * m->heads))
        return params_fail(ps, arena_text(a, "d=%d attn_heads=%d: expected heads that divide d "
                                             "into even widths", m->d, m->heads));
    m->layer = arena_get(a, sizeof *m->layer * (size_t)m->layers);
    ps->output = "lm_head";
    m->embedding = model_embedding(s, ps, "model.embed_tokens.weight", V, m->d);
    for (; k.l < m->layers; k.l++) transformer_make_layer(m, &k, &m->layer[k.l]);
    m->final = model_vector(ps, "model.norm.weight", m->d, 1);
    return m;
}

static int transformer_width(const void *model) { return ((const Transformer *)model)->d; }

static Param *transformer_embedding(const void *model)
{
    return ((const Transformer *)model)->embedding;
}

static size_t transformer_carry_size(const void *model, long capacity)
{
    const Transformer *m = model;
    return (size_t)m->layers * op_attention_size(capacity, m->d);
}

static Var transformer_product(const Transformer *m, Tape *t, Var x, const BitLinear *w)
{
    return op_bit_linear(t, x, w->gain, w->w, m->bit_eps);
}

static Var transformer_attend(const Transformer *m, Tape *t, int l, Var a, Rope r, int B,
                              Carry *const *carry)
{
    const Layer *y = &m->layer[l];
    const size_t offset = carry ? (size_t)l * op_attention_size(carry[0]->capacity, m->d) : 0;
    Var q = transformer_product(m, t, a, &y->q), k = transformer_product(m, t, a, &y->k);
    Var v = model_named(t, l, "v", transformer_product(m, t, a, &y->v));
    q = model_named(t, l, "q", op_rope(t, q, r));
    k = model_named(t, l, "k", op_rope(t, k, r));
    const int back = m->leak == LEAK_TRIU;
    if (back) {
        q = op_reverse(t, q, B);
        k = op_reverse(t, k, B);
        v = op_reverse(t, v, B);
    }
    Var o = op_attention(t, q, k, v, m->heads, B, carry, offset);
    o = back ? op_reverse(t, o, B) : model_leaking(t, m->leak, o, B);
    return transformer_product(m, t, model_named(t, l, "attn", o), &y->o);
}

static Var transformer_glu(const Transformer *m, Tape *t, int l, Var b)
{
    const Layer *y = &m->layer[l];
    Var g = transformer_product(m, t, b, &y->gate), u = transformer_product(m, t, b, &y->up);
    Var glu = model_named(t, l, "glu", op_glu(t, g, u, ACTIVATION_silu, 0));
    return transformer_product(m, t, glu, &y->down);
}

static Var transformer_forward(void *model, Tape *t, const int *tok, int B, int T,
                               Carry *const *carry)
{
    const Transformer *m = model;
    const Rope r = op_rope_angles(t, B, T, carry, m->d / m->heads, TRANSFORMER_THETA);
    Var x = op_embed(t, m->embedding, tok, B * T);
    tape_name(t, "embed", x);
    for (int l = 0; l < m->layers; l++) {
        const Layer *y = &m->layer[l];
        Var a = model_named(t, l, "attn_in", op_rmsnorm(t, x, y->before, TRANSFORMER_EPS, 0));
        Var mix = model_named(t, l, "attn_out", transformer_attend(m, t, l, a, r, B, carry));
        x = model_named(t, l, "mid", op_add(t, x, mix));
        Var b = model_named(t, l, "mlp_in", op_rmsnorm(t, x, y->between, TRANSFORMER_EPS, 0));
        Var mlp = model_named(t, l, "mlp_out", transformer_glu(m, t, l, b));
        x = model_named(t, l, "out", op_add(t, x, mlp));
    }
    x = op_rmsnorm(t, x, m->final, TRANSFORMER_EPS, 0);
    tape_name(t, "final_norm", x);
    carry_advance(carry, B, T);
    return x;
}

/* A token attends to (T + 1) / 2 others on average, with two products of d */
static double transformer_flops(const void *model, int T)
{
    const Transformer *m = model;
    const double linear = 4.0 * m->d * m->d + 3.0 * m->d * m->inner;
    return 2.0 * m->layers * (linear + (double)m->d * (T + 1));
}

const ModelDef model_transformer = {
    "transformer",
    "causal attention and a GLU, of float (quant=none) or ternary layers",
    "Transformer++ of arXiv 2406.02528: llama, Touvron et al. 2023, arXiv 2302.13971",
    .law_words = "d=32 inner=40 layers=2 attn_heads=2 or d=30 inner=40 layers=1 attn_heads=3 "
                 "quant=none",
    .make = transformer_make,
    .width = transformer_width,
    .embedding = transformer_embedding,
    .carry_size = transformer_carry_size,
    .forward = transformer_forward,
    .flops = transformer_flops,
};
