/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/convert/gguf.h"
#include <math.h>
#include <string.h>

static const char *const gguf_whole[][2] = {
    { "model.embed_tokens.weight", "token_embd.weight" },
    { "model.norm.weight", "output_norm.weight" },
    { "lm_head.weight", "output.weight" },
};
static const char *const gguf_parts[][2] = {
    { "input_layernorm", "attn_norm" }, { "self_attn.q_proj", "attn_q" },
    { "self_attn.k_proj", "attn_k" },   { "self_attn.v_proj", "attn_v" },
    { "self_attn.o_proj", "attn_output" }, { "post_attention_layernorm", "ffn_norm" },
    { "mlp.gate_proj", "ffn_gate" },    { "mlp.up_proj", "ffn_up" },
    { "mlp.down_proj", "ffn_down" },
};

static const ConfigKey gguf_config[] = {
    { "vocab_size", SIZE_V, NULL },
    { "embedding_length", SIZE_D, NULL },
    { "block_count", SIZE_LAYERS, NULL },
    { "feed_forward_length", SIZE_INNER, NULL },
    { "attention.head_count", SIZE_HEADS, NULL },
    { "attention.head_count_kv", SIZE_KV_HEADS, "" },
    { "rope.dimension_count", SIZE_HEAD_WIDTH, "" },
    { "attention.key_length", SIZE_HEAD_WIDTH, "" },
    { "attention.value_length", SIZE_HEAD_WIDTH, "" },
    { "attention.layer_norm_rms_epsilon", KEY_FIXED, "1e-06" },
    { "rope.freq_base", KEY_FIXED, "10000" },
    { "rope.scaling.type", KEY_FIXED, "none" },
    { "expert_count", KEY_FIXED, "0" },
    { "context_length", KEY_FREE, "" },
    { "tied", SIZE_TIED, "" },
    { NULL, KEY_FREE, NULL },
};
const ConfigKey *gguf_keys(void) { return gguf_config; }

const char *gguf_name(const char *ours, Arena *a)
{
    int layer = 0, end = 0;
    for (size_t i = 0; i < sizeof gguf_whole / sizeof *gguf_whole; i++)
        if (!strcmp(ours, gguf_whole[i][0])) return gguf_whole[i][1];
    CHECK(sscanf(ours, "model.layers.%d.%n", &layer, &end) == 1 && end);
    for (size_t i = 0; i < sizeof gguf_parts / sizeof *gguf_parts; i++) {
        const size_t n = strlen(gguf_parts[i][0]);
        if (!strncmp(ours + end, gguf_parts[i][0], n))
            return arena_text(a, "blk.%d.%s%s", layer, gguf_parts[i][1], ours + end + n);
    }
    CHECK(0 && "a tensor of model=transformer");
    return NULL;
}

int gguf_row(const char *ours, int r, int heads, int rows)
{
    const size_t n = strlen(ours);
    const int turned = n > 14 && (!strcmp(ours + n - 14, ".q_proj.weight") ||
                                  !strcmp(ours + n - 14, ".k_proj.weight"));
    if (!turned) return r;
    const int width = rows / heads, half = width / 2, i = r % width;
    return r - i + (i < half ? 2 * i : 2 * (i - half) + 1);
}

uint16_t gguf_half(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const int exponent = (int)(bits >> 23 & 255) - 127;
    const uint32_t low = bits & 0x7fffff;
    if (exponent == 128) return (uint16_t)(sign | 0x7c00 | (low ? 0x200 : 0));
    if (exponent > 15) return sign | 0x7c00;
    if (exponent < -14) return (uint16_t)(sign | (uint16_t)lrintf(fabsf(x) * 16777216.0f));
    uint32_t h = (uint32_t)(exponent + 15) << 10 | low >> 13;
    const uint32_t rest = low & 0x1fff;
    h += rest > 0x1000 || (rest == 0x1000 && (h & 1));
    return (uint16_t)(sign | h);
}

void gguf_pack_tq2(unsigned char *to, const int8_t *codes, float scale)
{
    const uint16_t d = gguf_half(scale);
    memset(to, 0, TQ2_BYTES);
    for (int i = 0; i < TQ2_WEIGHTS; i++)
        to[32 * (i / 128) + i % 32] |= (unsigned char)((codes[i] + 1) << 2 * (i % 128 / 32));
    memcpy(to + TQ2_BYTES - 2, &d, 2);
}

float gguf_unpack_tq2(int8_t *codes, const unsigned char *from)
{
    float scale;
    const Tensor d = { .dtype = "F16", .n = 1, .data = (void *)(from + TQ2_BYTES - 2) };
    for (int i = 0; i < TQ2_WEIGHTS; i++)
        codes[i] = (int8_t)((from[32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3) - 1);
    weights_floats(&scale, &d, 0, 1);
    return scale;
}
