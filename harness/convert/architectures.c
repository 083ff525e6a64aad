/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/convert/published.h"
#include "models/model.h"
#include <string.h>

/* Keys of Hugging Face's configurations that say nothing of what is computed here */
#define FREE_KEYS \
    { "architectures", KEY_FREE, "" }, { "model_type", KEY_FREE, "" }, \
    { "torch_dtype", KEY_FREE, "" }, { "dtype", KEY_FREE, "" }, \
    { "transformers_version", KEY_FREE, "" }, { "use_cache", KEY_FREE, "" }, \
    { "initializer_range", KEY_FREE, "" }, { "max_position_embeddings", KEY_FREE, "" }, \
    { "pad_token_id", KEY_FREE, "" }, { "unk_token_id", KEY_FREE, "" }, \
    { "auto_map", KEY_FREE, "" }, { "fuse_cross_entropy", KEY_FREE, "" }, \
    { "fuse_norm", KEY_FREE, "" }, { "fuse_swiglu", KEY_FREE, "" }, \
    { "bos_token_id", SIZE_BOS, "" }, { "eos_token_id", SIZE_EOS, "" }

/* attn_mode is how the recurrence is computed, num_heads how it is laid out; without a short
 * convolution its width says nothing */
static const ConfigKey mmfree_keys[] = {
    FREE_KEYS,
    { "vocab_size", SIZE_V, NULL },
    { "hidden_size", SIZE_D, NULL },
    { "num_hidden_layers", SIZE_LAYERS, NULL },
    { "intermediate_size", SIZE_INNER, "" },
    { "tie_word_embeddings", KEY_FIXED, "false" },
    { "hidden_ratio", KEY_FIXED, "4" },
    { "expand_ratio", KEY_FIXED, "1" },
    { "hidden_act", KEY_FIXED, "swish|silu" },
    { "rms_norm_eps", KEY_FIXED, "1e-06" },
    { "use_lower_bound", KEY_FIXED, "true" },
    { "use_short_conv", KEY_FIXED, "false" },
    { "attn_mode", KEY_FREE, "" },
    { "num_heads", KEY_FREE, "" },
    { "conv_size", KEY_FREE, "" },
    { "share_conv_kernel", KEY_FREE, "" },
    { NULL, KEY_FREE, NULL },
};
static const PublishedTensor mmfree_tensors[] = {
    { "model.embeddings.weight", "Vd", 0 },
    { "model.lower_bounds", "Ld", 0 },
    { "model.layers.%d.attn_norm.weight", "d", 0 },
    { "model.layers.%d.attn.i_proj.weight", "dd", 0 },
    { "model.layers.%d.attn.i_proj.norm.weight", "d", 0 },
    { "model.layers.%d.attn.f_proj.weight", "dd", 0 },
    { "model.layers.%d.attn.f_proj.norm.weight", "d", 0 },
    { "model.layers.%d.attn.g_proj.weight", "dd", 0 },
    { "model.layers.%d.attn.g_proj.norm.weight", "d", 0 },
    { "model.layers.%d.attn.g_norm.weight", "d", 0 },
    { "model.layers.%d.attn.o_proj.weight", "dd", 0 },
    { "model.layers.%d.attn.o_proj.norm.weight", "d", 0 },
    { "model.layers.%d.mlp_norm.weight", "d", 0 },
    { "model.layers.%d.mlp.gate_proj.weight", "2d", 0 },
    { "model.layers.%d.mlp.gate_proj.norm.weight", "d", 0 },
    { "model.layers.%d.mlp.down_proj.weight", "dI", 0 },
    { "model.layers.%d.mlp.down_proj.norm.weight", "I", 0 },
    { "model.norm.weight", "d", 0 },
    { "lm_head.weight", "Vd", 1 },
    { "lm_head.norm.weight", "d", 1 },
    { NULL, NULL, 0 },
};

static const ConfigKey llama_keys[] = {
    FREE_KEYS,
    { "vocab_size", SIZE_V, NULL },
    { "hidden_size", SIZE_D, NULL },
    { "num_hidden_layers", SIZE_LAYERS, NULL },
    { "intermediate_size", SIZE_INNER, NULL },
    { "num_attention_heads", SIZE_HEADS, NULL },
    { "num_key_value_heads", SIZE_KV_HEADS, "" },
    { "head_dim", SIZE_HEAD_WIDTH, "" },
    { "tie_word_embeddings", SIZE_TIED, "false" },
    { "hidden_act", KEY_FIXED, "silu|swish" },
    { "rms_norm_eps", KEY_FIXED, "1e-06" },
    { "rope_theta", KEY_FIXED, "10000" },
    { "rope_scaling", KEY_FIXED, "null" },
    { "attention_bias", KEY_FIXED, "false" },
    { "mlp_bias", KEY_FIXED, "false" },
    { "partial_rotary_factor", KEY_FIXED, "1" },
    { "sliding_window", KEY_FIXED, "null" },
    { "pretraining_tp", KEY_FREE, "" },
    { "attention_dropout", KEY_FREE, "" },
    { NULL, KEY_FREE, NULL },
};
static const PublishedTensor llama_tensors[] = {
    { "model.embed_tokens.weight", "Vd", 0 },
    { "model.layers.%d.input_layernorm.weight", "d", 0 },
    { "model.layers.%d.self_attn.q_proj.weight", "dd", 0 },
    { "model.layers.%d.self_attn.k_proj.weight", "dd", 0 },
    { "model.layers.%d.self_attn.v_proj.weight", "dd", 0 },
    { "model.layers.%d.self_attn.o_proj.weight", "dd", 0 },
    { "model.layers.%d.post_attention_layernorm.weight", "d", 0 },
    { "model.layers.%d.mlp.gate_proj.weight", "Id", 0 },
    { "model.layers.%d.mlp.up_proj.weight", "Id", 0 },
    { "model.layers.%d.mlp.down_proj.weight", "dI", 0 },
    { "model.norm.weight", "d", 0 },
    { "lm_head.weight", "Vd", 1 },
    { NULL, NULL, 0 },
};

static const PublishedTensor llama_bit_tensors[] = {
    { "model.embed_tokens.weight", "Vd", 0 },
    { "model.layers.%d.input_layernorm.weight", "d", 0 },
    { "model.layers.%d.self_attn.q_proj.weight", "dd", 0 },
    { "model.layers.%d.self_attn.q_proj.norm.weight", "d", 0 },
    { "model.layers.%d.self_attn.k_proj.weight", "dd", 0 },
    { "model.layers.%d.self_attn.k_proj.norm.weight", "d", 0 },
    { "model.layers.%d.self_attn.v_proj.weight", "dd", 0 },
    { "model.layers.%d.self_attn.v_proj.norm.weight", "d", 0 },
    { "model.layers.%d.self_attn.o_proj.weight", "dd", 0 },
    { "model.layers.%d.self_attn.o_proj.norm.weight", "d", 0 },
    { "model.layers.%d.post_attention_layernorm.weight", "d", 0 },
    { "model.layers.%d.mlp.gate_proj.weight", "Id", 0 },
    { "model.layers.%d.mlp.gate_proj.norm.weight", "d", 0 },
    { "model.layers.%d.mlp.up_proj.weight", "Id", 0 },
    { "model.layers.%d.mlp.up_proj.norm.weight", "d", 0 },
    { "model.layers.%d.mlp.down_proj.weight", "dI", 0 },
    { "model.layers.%d.mlp.down_proj.norm.weight", "I", 0 },
    { "model.norm.weight", "d", 0 },
    { "lm_head.weight", "Vd", 1 },
    { NULL, NULL, 0 },
};

/* The release has no config.json: these are the names of its trainer */
static const ConfigKey bolt_keys[] = {
    FREE_KEYS,
    { "vocab_size", SIZE_V, NULL },
    { "dim", SIZE_D, NULL },
    { "n_blocks", SIZE_LAYERS, NULL },
    { "glu_hidden", SIZE_INNER, NULL },
    { "kernel_size", KEY_FIXED, "8" },
    { "tie_word_embeddings", KEY_FIXED, "true" },
    { NULL, KEY_FREE, NULL },
};
static const PublishedTensor bolt_tensors[] = {
    { "embedding.weight", "Vd", 0 },
    { "blocks.%d.norm1.scale", "d", 0 },
    { "blocks.%d.mixer.up.weight", "Dd", 0 },
    { "blocks.%d.mixer.conv.weight", "d18", 0 },
    { "blocks.%d.mixer.down.weight", "dd", 0 },
    { "blocks.%d.norm2.scale", "d", 0 },
    { "blocks.%d.ffn.W_gate.weight", "Id", 0 },
    { "blocks.%d.ffn.W_up.weight", "Id", 0 },
    { "blocks.%d.ffn.W_down.weight", "dI", 0 },
    { "final_norm.scale", "d", 0 },
    { NULL, NULL, 0 },
};

const Architecture architectures[] = {
    { "hgrn_bit", "HGRNBitForCausalLM", "model=mmfree tied=0 head_quant=bitlinear act=int8", NULL,
      256, mmfree_keys, mmfree_tensors },
    { "llama", "LlamaForCausalLM", "model=transformer quant=none", "lm_head.weight", 0, llama_keys,
      llama_tensors },
    { "flashlm_v4", NULL, "model=bolt", "head.weight", 0, bolt_keys, bolt_tensors },
    { NULL, NULL, NULL, NULL, 0, NULL, NULL },
};

const Architecture llama_bitlinear = { "llama-bitlinear", NULL, "model=transformer", NULL, 0,
                                       llama_keys, llama_bit_tensors };

const Architecture *published_find(const char *type)
{
    for (const Architecture *k = architectures; k->type; k++)
        if (!strcmp(k->type, type)) return k;
    return NULL;
}

/* ---- tensors ---- */

static int published_dimension(const Published *p, char letter)
{
    switch (letter) {
    case 'V': return (int)p->size[SIZE_V];
    case 'd': return (int)p->size[SIZE_D];
    case 'L': return (int)p->size[SIZE_LAYERS];
    case 'I': return (int)p->size[SIZE_INNER];
    case '2': return 2 * (int)p->size[SIZE_INNER];
    case 'D': return 2 * (int)p->size[SIZE_D];
    default: return letter - '0';
    }
}

static int published_per_layer(const PublishedTensor *t) { return strstr(t->name, "%d") != NULL; }

/* layer -1: it is of none */
static Tensor published_tensor(const Published *p, const PublishedTensor *of, int layer, Arena *a)
{
    Tensor t = { .name = of->name, .dtype = "F32", .n = 1 };
    const char *at = strstr(of->name, "%d");
    if (at) t.name = arena_text(a, "%.*s%d%s", (int)(at - of->name), of->name, layer, at + 2);
    for (const char *c = of->shape; *c; c++) {
        t.shape[t.ndim] = published_dimension(p, *c);
        t.n *= t.shape[t.ndim++];
    }
    return t;
}

Tensor *published_tensors(const Published *p, int *n, Arena *a)
{
    const PublishedTensor *all = p->arch->tensors;
    int rows = 0;
    while (all[rows].name) rows++;
    Tensor *t = arena_array(a, (size_t)rows * (size_t)p->size[SIZE_LAYERS] + 1, sizeof *t);
    *n = 0;
    for (int i = 0; i < rows;) {
        int end = i + 1;
        while (published_per_layer(&all[i]) && published_per_layer(&all[end])) end++;
        const int layers = published_per_layer(&all[i]) ? (int)p->size[SIZE_LAYERS] : 1;
        for (int l = 0; l < layers; l++)
            for (int k = i; k < end; k++)
                if (!all[k].untied || p->size[SIZE_TIED] != 1)
                    t[(*n)++] = published_tensor(p, &all[k], l, a);
        i = end;
    }
    return t;
}

/* ---- settings ---- */

Spec *published_spec(const Published *p, Arena *a, const char **why)
{
    Spec *s = spec_new(a);
    const char *sizes = arena_text(a, "d=%ld inner=%ld layers=%ld", p->size[SIZE_D],
                                   p->size[SIZE_INNER], p->size[SIZE_LAYERS]);
    *why = spec_set_words(s, p->arch->words);
    if (!*why) *why = spec_set_words(s, sizes);
    if (!*why && p->size[SIZE_HEADS] > 0)
        *why = spec_set_words(s, arena_text(a, "attn_heads=%ld tied=%d", p->size[SIZE_HEADS],
                                            p->size[SIZE_TIED] == 1));
    if (!*why) *why = spec_set_words(s, "smoothing=0 zloss=0 ema=0 optimizer=adamw");
    if (!*why) *why = spec_check(s);
    if (*why) *why = arena_text(a, "%s: %s", p->path, *why);
    return *why ? NULL : s;
}

/* What a published checkpoint leaves no choice of, per model of ours. Of several conditions every
 * one must hold */
static const char *const published_fixed[][3] = {
    { "mmfree", "head", "softmax" }, { "mmfree", "head_quant", "bitlinear" },
    { "mmfree", "tied", "0" }, { "mmfree", "act", "int8" }, { "mmfree", "act_bits", "8" },
    { "mmfree", "gate_order", "code" }, { "mmfree", "lower_bounds", "1" },
    { "mmfree", "short_conv", "0" }, { "mmfree", "double_norm", "1" },
    { "mmfree", "bit_eps", "1e-6" },
    { "transformer", "head", "softmax" }, { "transformer", "head_quant", "f32" },
    { "transformer", "leak", "none" },
    { "bolt", "head", "softmax" }, { "bolt", "head_quant", "f32" }, { "bolt", "tied", "1" },
    { "bolt", "act", "f32" }, { "bolt", "leak", "none" },
};

static const char *published_misfit(const Spec *s, const char *path, const char *quant, Arena *a)
{
    const char *model = spec_str(s, "model");
    for (size_t i = 0; i < sizeof published_fixed / sizeof *published_fixed; i++) {
        const char *const *f = published_fixed[i];
        if (!strcmp(f[0], model) && !spec_is(s, f[1], f[2]))
            return arena_text(a, "%s: %s=%s; expected %s=%s, which is what published checkpoints "
                                 "of this model compute",
                              path, f[1], spec_str(s, f[1]), f[1], f[2]);
    }
    if (strcmp(spec_quant(s), quant))
        return arena_text(a, "%s: quant=%s; expected %s, which is what published checkpoints of "
                             "this model compute",
                          path, spec_quant(s), quant);
    return NULL;
}

const char *published_from_spec(Published *p, const Spec *s, const char *path, long V, Arena *a)
{
    const char *model = spec_str(s, "model");
    *p = (Published){ .path = path };
    for (const Architecture *k = architectures; k->type && !p->arch; k++)
        if (!strncmp(k->words + strlen("model="), model, strlen(model))) p->arch = k;
    if (!p->arch)
        return arena_text(a, "%s: model=%s; expected mmfree, transformer or bolt, which are "
                             "published in this form", path, model);
    for (int i = 0; i < SIZES; i++) p->size[i] = -1;
    const int llama = !strcmp(model, "transformer"), bolt = !strcmp(model, "bolt");
    if (llama && strcmp(spec_quant(s), "none")) p->arch = &llama_bitlinear;
    p->size[SIZE_V] = V;
    p->size[SIZE_D] = spec_int(s, "d");
    p->size[SIZE_LAYERS] = spec_int(s, "layers");
    p->size[SIZE_INNER] = model_inner(s, bolt ? 1 : 256);
    p->size[SIZE_TIED] = spec_int(s, "tied");
    if (llama) p->size[SIZE_HEADS] = p->size[SIZE_KV_HEADS] = spec_int(s, "attn_heads");
    return published_misfit(s, path, p->arch == published_find("llama") ? "none" : "absmean", a);
}
