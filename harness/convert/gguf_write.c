/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Float models have the architecture "llama". With quant=absmean every linear layer has a norm of
 * its own, which no architecture of llama.cpp has: these are called "llama-bitlinear", have the
 * norms as *.norm.weight and our settings as the key eightysix.spec. */
#include "harness/convert/gguf.h"
#include "harness/util/file.h"
#include "kernels/f32.h"
#include <stdlib.h>
#include <string.h>

enum { GGUF_ALIGN = 32 };

static void gguf_put(FILE *f, uint64_t x, int bytes) { fwrite(&x, (size_t)bytes, 1, f); }

static void gguf_put_string(FILE *f, const char *s)
{
    gguf_put(f, strlen(s), 8);
    fwrite(s, 1, strlen(s), f);
}

typedef struct { FILE *f; const char *arch; uint64_t n; } GgufHead;

/* name: behind the architecture's, where it begins with a dot */
static void gguf_key(GgufHead *h, const char *name, uint32_t type)
{
    char full[96];
    snprintf(full, sizeof full, "%s%s", *name == '.' ? h->arch : "", name);
    gguf_put_string(h->f, full);
    gguf_put(h->f, type, 4);
    h->n++;
}

static void gguf_key_int(GgufHead *h, const char *name, long value)
{
    gguf_key(h, name, 4);
    gguf_put(h->f, (uint64_t)value, 4);
}

static void gguf_key_float(GgufHead *h, const char *name, float value)
{
    gguf_key(h, name, 6);
    fwrite(&value, 4, 1, h->f);
}

static void gguf_key_text(GgufHead *h, const char *name, const char *value)
{
    gguf_key(h, name, 8);
    gguf_put_string(h->f, value);
}

static void gguf_keys_of(GgufHead *h, const Trained *c, GgufType type)
{
    const long *s = c->as.size;
    gguf_key_text(h, "general.architecture", h->arch);
    gguf_key_int(h, "general.alignment", GGUF_ALIGN);
    gguf_key_int(h, "general.file_type", type == GGUF_AS_TQ2_0 ? 37 : type == GGUF_AS_F16);
    gguf_key_int(h, "general.quantization_version", 2);
    gguf_key_int(h, ".context_length", spec_int(c->spec, "seq"));
    gguf_key_int(h, ".embedding_length", s[SIZE_D]);
    gguf_key_int(h, ".block_count", s[SIZE_LAYERS]);
    gguf_key_int(h, ".feed_forward_length", s[SIZE_INNER]);
    gguf_key_int(h, ".attention.head_count", s[SIZE_HEADS]);
    gguf_key_int(h, ".attention.head_count_kv", s[SIZE_HEADS]);
    gguf_key_float(h, ".attention.layer_norm_rms_epsilon", 1e-6f);
    gguf_key_int(h, ".rope.dimension_count", s[SIZE_D] / s[SIZE_HEADS]);
    gguf_key_float(h, ".rope.freq_base", 10000);
    gguf_key_int(h, ".vocab_size", s[SIZE_V]);
    gguf_key_text(h, "tokenizer.ggml.model", "none");
    gguf_key_text(h, "eightysix.spec", spec_text(c->spec));
}

static int gguf_is_linear(const char *name)
{
    const size_t n = strlen(name);
    return n > 12 && !strcmp(name + n - 12, "_proj.weight");
}

static uint32_t gguf_type_of(const Tensor *t, GgufType type)
{
    if (type == GGUF_AS_F32 || t->ndim < 2) return GGUF_F32;
    return type == GGUF_AS_TQ2_0 && gguf_is_linear(t->name) ? GGUF_TQ2_0 : GGUF_F16;
}

static size_t gguf_padding(size_t n) { return (GGUF_ALIGN - n % GGUF_ALIGN) % GGUF_ALIGN; }

static void gguf_put_info(FILE *f, const Trained *c, GgufType type, Arena *a)
{
    uint64_t at = 0;
    for (int i = 0; i < c->n; i++) {
        const Tensor *t = &c->t[i];
        const size_t bytes = gguf_bytes(gguf_type_of(t, type), t->n);
        gguf_put_string(f, gguf_name(t->name, a));
        gguf_put(f, (uint64_t)t->ndim, 4);
        for (int k = t->ndim; k-- > 0;) gguf_put(f, (uint64_t)t->shape[k], 8);
        gguf_put(f, gguf_type_of(t, type), 4);
        gguf_put(f, at, 8);
        at += bytes + gguf_padding(bytes);
    }
}

/* scale: of ternary codes */
static void gguf_put_row(FILE *f, const float *x, int cols, uint32_t type, float scale)
{
    if (type == GGUF_F32) fwrite(x, sizeof *x, (size_t)cols, f);
    for (int i = 0; type == GGUF_F16 && i < cols; i++) gguf_put(f, gguf_half(x[i]), 2);
    for (int i = 0; type == GGUF_TQ2_0 && i < cols; i += TQ2_WEIGHTS) {
        int8_t codes[TQ2_WEIGHTS];
        float q[TQ2_WEIGHTS];
        unsigned char block[TQ2_BYTES];
        f32_best()->ternary(codes, q, x + i, TQ2_WEIGHTS, scale, scale, 1);
        gguf_pack_tq2(block, codes, scale);
        fwrite(block, 1, TQ2_BYTES, f);
    }
}

static void gguf_put_data(FILE *f, const Trained *c, const Tensor *t, GgufType as, Arena *a)
{
    const uint32_t type = gguf_type_of(t, as);
    const int cols = t->shape[t->ndim - 1], rows = (int)(t->n / cols);
    const float *v = t->data;
    const float mean = (float)(f32_best()->sumabs(v, t->n) / (double)t->n);
    const size_t at = a->used;
    int *from = arena_array(a, (size_t)rows, sizeof *from);
    for (int r = 0; r < rows; r++)
        from[gguf_row(t->name, r, (int)c->as.size[SIZE_HEADS], rows)] = r;
    for (int r = 0; r < rows; r++)
        gguf_put_row(f, v + (size_t)from[r] * (size_t)cols, cols, type,
                     mean > 1e-5f ? mean : 1e-5f);
    arena_reset(a, at);
    for (size_t n = gguf_padding(gguf_bytes(type, t->n)); n > 0; n--) fputc(0, f);
}

static const char *gguf_misfit(const Trained *c, const char *path, GgufType type, Arena *a)
{
    const char *model = spec_str(c->spec, "model");
    if (strcmp(model, "transformer"))
        return arena_text(a, "%s: model=%s; expected model=transformer: llama.cpp has no "
                             "architecture for others", path, model);
    if (type != GGUF_AS_TQ2_0) return NULL;
    if (strcmp(spec_quant(c->spec), "absmean"))
        return arena_text(a, "%s: quant=%s; expected quant=absmean for ternary weights (tq2_0)",
                          path, spec_quant(c->spec));
    for (int i = 0; i < c->n; i++)
        if (gguf_type_of(&c->t[i], type) == GGUF_TQ2_0 && c->t[i].shape[1] % TQ2_WEIGHTS)
            return arena_text(a, "%s: tensor '%s' has rows of %d weights; expected a multiple of "
                                 "%d for tq2_0", path, c->t[i].name, c->t[i].shape[1],
                              TQ2_WEIGHTS);
    return NULL;
}

static const char *gguf_write(const Trained *c, const char *path, GgufType type, Arena *a)
{
    char *head = NULL;
    size_t len = 0;
    const char *why = NULL;
    FILE *f = file_begin(path, a, &why), *memory = f ? open_memstream(&head, &len) : NULL;
    if (!f) return why;
    GgufHead h = { memory, c->as.arch->type, 0 };
    gguf_keys_of(&h, c, type);
    gguf_put_info(memory, c, type, a);
    fclose(memory);
    fwrite("GGUF", 1, 4, f);
    gguf_put(f, 3, 4);
    gguf_put(f, (uint64_t)c->n, 8);
    gguf_put(f, h.n, 8);
    fwrite(head, 1, len, f);
    for (size_t n = gguf_padding(24 + len); n > 0; n--) fputc(0, f);
    free(head);
    for (int i = 0; i < c->n; i++) gguf_put_data(f, c, &c->t[i], type, a);
    return file_commit(f, path, a);
}

const char *gguf_export(const char *file, const char *path, GgufType type, Arena *a)
{
    Trained c;
    const char *why = trained_open(&c, file, a);
    if (why) return why;
    why = gguf_misfit(&c, file, type, a);
    if (!why) why = gguf_write(&c, path, type, a);
    trained_close(&c);
    return why;
}
