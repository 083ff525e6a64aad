/* SPDX-License-Identifier: GPL-3.0-or-later */
/* FlashLM v3 (changcheng967, notebook of the first release, February 2026).
 *
 *   x = embedding[tok];  `recursions` times the one shared block;  final norm
 *   block:  x += mixer(norm1(x));  x += glu(norm2(x))
 *   mixer:  for each dilation j: x = x + sigmoid(conv_gate_j(norm_j(x))) conv_value_j(norm_j(x));
 *           then out_proj(x)
 *   glu:    down( relu(gate(x))^2 up(x) ), or another `activation`;  inner = int(2.67 d)
 *   norm:   x rsqrt(mean(x^2) + 1e-8) scale
 *
 * out_proj, gate, up and down are ternary (op_linear); the convolutions are float. 13,555,969
 * parameters at d 256, V 50,257, of which 257 belong to a router whose output is not used: they are
 * declared, saved and counted, but never computed with. */
#include "models/model.h"
#include <math.h>
#include <stdio.h>

enum { MAX_DILATIONS = 16 };
static const double EPS = 1e-8;

typedef struct {
    int    d, inner, recursions, groups, k, n_dil;
    Activation activation;
    long   dil[MAX_DILATIONS];
    Param *embedding, *norm1, *norm2, *final, *out, *gate, *up, *down;
    Param *norm[MAX_DILATIONS], *conv_gate[MAX_DILATIONS], *conv_value[MAX_DILATIONS];
} Flash;

/* sigma 0: Kaiming normal for a linear layer, sqrt(1 / fan in) */
static Param *flash_matrix(Params *ps, const char *name, int rows, int cols, double sigma,
                           uint64_t seed)
{
    return model_matrix(ps, name, rows, cols, sigma > 0 ? sigma : sqrt(1.0 / cols), seed);
}

static void flash_make_mixer(Flash *m, Params *ps, uint64_t seed)
{
    char name[96];
    for (int j = 0; j < m->n_dil; j++) {
        snprintf(name, sizeof name, "block.token_mixer.layers.%d.conv_gate.conv.weight", j);
        m->conv_gate[j] = model_conv(ps, name, m->d, m->d / m->groups, m->k, seed);
        snprintf(name, sizeof name, "block.token_mixer.layers.%d.conv_value.conv.weight", j);
        m->conv_value[j] = model_conv(ps, name, m->d, m->d / m->groups, m->k, seed);
        snprintf(name, sizeof name, "block.token_mixer.norms.%d.scale", j);
        m->norm[j] = model_vector(ps, name, m->d, 1);
    }
}

/* NULL, or why there is no such model */
static const char *flash_check(const Flash *m, const Spec *s, Arena *a)
{
    if (m->d < 1 || m->groups < 1 || m->d % m->groups || m->d / m->groups > 1024)
        return arena_text(a, "d=%d conv_groups=%d: expected groups that divide d into at most 1024 "
                             "channels each", m->d, m->groups);
    if (m->k < 1 || m->k > 16 || m->recursions < 1 || m->inner < 1)
        return arena_text(a, "conv_kernel=%d recursions=%d inner=%d: expected 1..16 taps, at least "
                             "one recursion, a positive inner", m->k, m->recursions, m->inner);
    for (int j = 0; j < m->n_dil; j++)
        if (m->dil[j] < 1 || m->dil[j] > 1 << 20)
            return arena_text(a, "dilations=%s: expected numbers from 1 to 1048576",
                              spec_str(s, "dilations"));
    return NULL;
}

static void *flash_make(const Spec *s, const Exec *e, Params *ps, int V, Arena *a)
{
    (void)e;
    Flash *m = arena_get(a, sizeof *m);
    const uint64_t seed = (uint64_t)spec_int(s, "seed");
    m->d = (int)spec_int(s, "d");
    m->inner = spec_int(s, "inner") ? (int)spec_int(s, "inner") : (int)(m->d * 2.67);
    m->recursions = (int)spec_int(s, "recursions");
    m->groups = (int)spec_int(s, "conv_groups");
    m->k = (int)spec_int(s, "conv_kernel");
    m->n_dil = spec_list(s, "dilations", m->dil, MAX_DILATIONS);
    m->activation = activation_find(spec_str(s, "activation"));
    CHECK(m->activation < ACTIVATIONS);
    const char *why = flash_check(m, s, a);
    if (why) return params_fail(ps, why);
    m->embedding = model_embedding(s, ps, "embedding.weight", V, m->d);
    m->norm1 = model_vector(ps, "block.norm1.scale", m->d, 1);
    flash_make_mixer(m, ps, seed);
    m->out = flash_matrix(ps, "block.token_mixer.out_proj.weight", m->d, m->d, 0.01, seed);
    m->norm2 = model_vector(ps, "block.norm2.scale", m->d, 1);
    m->gate = flash_matrix(ps, "block.glu.gate_proj.weight", m->inner, m->d, 0, seed);
    m->up = flash_matrix(ps, "block.glu.up_proj.weight", m->inner, m->d, 0, seed);
    m->down = flash_matrix(ps, "block.glu.down_proj.weight", m->d, m->inner, 0.01, seed);
    flash_matrix(ps, "block.router.linear.weight", 1, m->d, 0, seed)->trainable = 0;
    model_vector(ps, "block.router.linear.bias", 1, 0)->trainable = 0;
    m->final = model_vector(ps, "final_norm.scale", m->d, 1);
    return m;
}

static int flash_width(const void *model) { return ((const Flash *)model)->d; }

static long flash_past_rows(const Flash *m)
{
    long rows = 0;
    for (int j = 0; j < m->n_dil; j++) rows += (m->k - 1) * m->dil[j];
    return rows * m->recursions;
}

static size_t flash_carry_size(const void *model, long capacity)
{
    const Flash *m = model;
    (void)capacity;                       /* windows do not grow */
    return (size_t)flash_past_rows(m) * (size_t)m->d;
}

static Param *flash_embedding(const void *model) { return ((const Flash *)model)->embedding; }

/* rec: number of the recursion. Of a sequence's carry it has the last rows of the input of each
 * dilation, recursion after recursion */
static Var flash_mixer(const Flash *m, Tape *t, Var x, int B, Carry *const *carry, int rec)
{
    char name[64];
    size_t offset = (size_t)(flash_past_rows(m) / m->recursions * rec) * (size_t)m->d;
    for (int j = 0; j < m->n_dil; j++) {
        const GatedConv conv = { m->norm[j], m->conv_gate[j], m->conv_value[j], EPS, m->groups,
                                 m->k,       (int)m->dil[j] };
        snprintf(name, sizeof name, "rec%d.conv%d", rec, j);
        x = op_gated_conv(t, x, &conv, B, carry, offset, name);
        offset += (size_t)op_gated_conv_rows(&conv) * (size_t)m->d;
    }
    return op_linear(t, x, m->out, 1);
}

static Var flash_glu(const Flash *m, Tape *t, Var x)
{
    Var gate = op_linear(t, x, m->gate, 1), up = op_linear(t, x, m->up, 1);
    return op_linear(t, op_glu(t, gate, up, m->activation, 1), m->down, 1);
}

static Var flash_named(Tape *t, int rec, const char *what, Var x)
{
    char name[64];
    snprintf(name, sizeof name, "rec%d.%s", rec, what);
    tape_name(t, name, x);
    return x;
}

static Var flash_forward(void *model, Tape *t, const int *tok, int B, int T, Carry *const *carry)
{
    const Flash *m = model;
    Var x = op_embed(t, m->embedding, tok, B * T);
    tape_name(t, "embed", x);
    for (int r = 0; r < m->recursions; r++) {
        Var a = flash_named(t, r, "norm1", op_rmsnorm(t, x, m->norm1, EPS, 0));
        x = op_add(t, x, flash_named(t, r, "mixer", flash_mixer(m, t, a, B, carry, r)));
        Var b = flash_named(t, r, "norm2", op_rmsnorm(t, x, m->norm2, EPS, 1));
        x = flash_named(t, r, "out", op_add(t, x, flash_named(t, r, "glu", flash_glu(m, t, b))));
    }
    x = op_rmsnorm(t, x, m->final, EPS, 0);
    tape_name(t, "final_hidden", x);
    carry_advance(carry, B, T);
    return x;
}

static double flash_flops(const void *model, int T)
{
    const Flash *m = model;
    (void)T;
    const double conv = 2.0 * m->n_dil * m->d * (m->d / m->groups) * m->k,
                 linear = (double)m->d * m->d + 3.0 * m->d * m->inner;
    return 2.0 * m->recursions * (conv + linear);
}

const ModelDef model_flashlm3 = {
    "flashlm3",
    "gated dilated convolutions and a ternary GLU, one shared block",
    "FlashLM v3, changcheng967, 2026",
    .law_words = "d=32 inner=85 conv_groups=4",
    .make = flash_make,
    .width = flash_width,
    .embedding = flash_embedding,
    .carry_size = flash_carry_size,
    .forward = flash_forward,
    .flops = flash_flops,
};
