/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A ternary tensor is read as codes c and one scale s. absmean of s c would be s times the share of
 * codes that are not zero, so that the weights become c s / share: their mean is s again, and their
 * codes are c. */
#include "harness/convert/gguf.h"
#include "harness/train/checkpoint_file.h"
#include <string.h>

static const GgufTensor *gguf_find(const GgufFile *f, const char *name)
{
    for (int i = 0; i < f->n; i++)
        if (!strcmp(f->t[i].name, name)) return &f->t[i];
    return NULL;
}

/* Its configuration without "ARCH."; what other files leave out follows from its tensors */
static json_t *gguf_configuration(const GgufFile *f, const char *arch)
{
    const size_t n = strlen(arch);
    const char *key;
    json_t *v, *config = json_object();
    const GgufTensor *embedding = gguf_find(f, "token_embd.weight");
    json_object_foreach(f->keys, key, v)
        if (!strncmp(key, arch, n) && key[n] == '.') json_object_set(config, key + n + 1, v);
    if (embedding && !json_object_get(config, "vocab_size"))
        json_object_set_new(config, "vocab_size", json_integer(embedding->shape[0]));
    json_object_set_new(config, "tied", json_boolean(!gguf_find(f, "output.weight")));
    return config;
}

/* The settings that were written with a ternary model; its sizes are those of the file */
static const char *gguf_settings(const GgufFile *f, const Published *p, Spec *s, Arena *a)
{
    Published q;
    const char *text = json_string_value(json_object_get(f->keys, "eightysix.spec"));
    if (!text) return arena_text(a, "%s: no key eightysix.spec; expected our settings", f->path);
    const char *why = checkpoint_read_settings(s, f->path, text, a);
    if (!why && (why = spec_check(s))) why = arena_text(a, "%s: %s", f->path, why);
    if (!why) why = published_from_spec(&q, s, f->path, p->size[SIZE_V], a);
    if (why) return why;
    for (int i = 0; i <= SIZE_HEADS; i++)
        if (q.arch != p->arch || q.size[i] != p->size[i])
            return arena_text(a, "%s: eightysix.spec [%s]: expected the sizes and the architecture "
                                 "of the file", f->path, text);
    return NULL;
}

static const char *gguf_describe(const GgufFile *f, Published *p, Spec **s, Arena *a)
{
    const json_t *arch = json_object_get(f->keys, "general.architecture");
    const char *name = json_string_value(arch), *why = NULL;
    *p = (Published){ .path = f->path };
    if (name && !strcmp(name, "llama")) p->arch = published_find("llama");
    if (name && !strcmp(name, llama_bitlinear.type)) p->arch = &llama_bitlinear;
    if (!p->arch)
        return arena_text(a, "%s: general.architecture is '%.40s'; expected llama or %s", f->path,
                          name ? name : "", llama_bitlinear.type);
    json_t *config = gguf_configuration(f, name);
    why = config_keys(p, config, gguf_keys(), a);
    json_decref(config);
    if (why) return why;
    if (p->arch != &llama_bitlinear) return (*s = published_spec(p, a, &why)) ? NULL : why;
    *s = spec_new(a);
    return gguf_settings(f, p, *s, a);
}

/* That each tensor is there in its shape, and no others */
static const char *gguf_check(const GgufFile *f, const Tensor *t, int n, Arena *a)
{
    for (int i = 0; i < n; i++) {
        const char *name = gguf_name(t[i].name, a);
        const GgufTensor *g = gguf_find(f, name);
        int same = g && g->ndim == t[i].ndim;
        for (int k = 0; same && k < g->ndim; k++) same = g->shape[k] == t[i].shape[k];
        if (!same)
            return arena_text(a, "%s: tensor '%s' %s%s; expected shape %s", f->path, name,
                              g ? "has shape " : "is not there",
                              g ? weights_shape(g->shape, g->ndim, a) : "",
                              weights_shape(t[i].shape, t[i].ndim, a));
    }
    for (int k = 0; k < f->n && f->n > n; k++) {
        int i = 0;
        while (i < n && strcmp(gguf_name(t[i].name, a), f->t[k].name)) i++;
        if (i == n)
            return arena_text(a, "%s: tensor '%.60s': expected none of this name", f->path,
                              f->t[k].name);
    }
    return NULL;
}

/* What the codes of a ternary tensor are multiplied with, see above. NULL or an error message */
static const char *gguf_ternary_scale(const GgufFile *f, const GgufTensor *t, float *scale,
                                      Arena *a)
{
    long nonzero = 0;
    for (long b = 0; b < t->n / TQ2_WEIGHTS; b++) {
        int8_t codes[TQ2_WEIGHTS];
        const float s = gguf_unpack_tq2(codes, t->data + b * TQ2_BYTES);
        if (!b) *scale = s;
        if (s != *scale)
            return arena_text(a, "%s: tensor '%s': block %ld has scale %g and block 0 %g; expected "
                                 "one scale per tensor", f->path, t->name, b, (double)s,
                              (double)*scale);
        for (int i = 0; i < TQ2_WEIGHTS; i++) {
            if (codes[i] > 1)
                return arena_text(a, "%s: tensor '%s': block %ld has a code 3; expected 0 to 2",
                                  f->path, t->name, b);
            nonzero += codes[i] != 0;
        }
    }
    if (nonzero) *scale = (float)((double)*scale * (double)t->n / (double)nonzero);
    return NULL;
}

static void gguf_floats(float *to, const GgufTensor *t, int row, int cols, float scale)
{
    const long at = (long)row * cols;
    const Tensor as = { .dtype = t->type == GGUF_F16 ? "F16" : "F32", .data = (void *)t->data };
    if (t->type != GGUF_TQ2_0) {
        weights_floats(to, &as, at, cols);
        return;
    }
    for (int i = 0; i < cols; i += TQ2_WEIGHTS) {
        int8_t codes[TQ2_WEIGHTS];
        gguf_unpack_tq2(codes, t->data + (at + i) / TQ2_WEIGHTS * TQ2_BYTES);
        for (int k = 0; k < TQ2_WEIGHTS; k++) to[i + k] = scale * (float)codes[k];
    }
}

static const char *gguf_copy(TensorWriter *out, const GgufFile *f, const Tensor *t, int attn,
                             Arena *a)
{
    const size_t used = a->used;
    const GgufTensor *g = gguf_find(f, gguf_name(t->name, a));
    const int cols = t->shape[t->ndim - 1], rows = (int)(t->n / cols);
    float scale = 1, *row = arena_array(a, (size_t)cols, sizeof *row);
    const char *why = g->type == GGUF_TQ2_0 ? gguf_ternary_scale(f, g, &scale, a) : NULL;
    for (int r = 0; r < rows && !why; r++) {
        gguf_floats(row, g, gguf_row(t->name, r, attn, rows), cols, scale);
        tensors_put(out, row, sizeof *row * (size_t)cols);
    }
    if (!why) arena_reset(a, used);
    return why;
}

static const char *gguf_import_open(const GgufFile *f, const char *file, Arena *a)
{
    Published p;
    Spec *s = NULL;
    int n = 0;
    const char *why = gguf_describe(f, &p, &s, a);
    if (why) return why;
    Tensor *t = published_tensors(&p, &n, a);
    if ((why = gguf_check(f, t, n, a))) return why;
    fprintf(stderr, "%s: its tokenizer is not read: the checkpoint has ids only, no text\n",
            f->path);
    TensorWriter *out = checkpoint_out(file, s, t, n, NULL, p.size[SIZE_V], 0, a, &why);
    for (int i = 0; out && i < n && !why; i++)
        why = gguf_copy(out, f, &t[i], (int)p.size[SIZE_HEADS], a);
    if (out && why) tensors_cancel(out);
    return why ? why : tensors_commit(out);
}

const char *gguf_import(const char *path, const char *file, Arena *a)
{
    GgufFile f;
    const char *why = gguf_open(&f, path, a);
    if (why) return why;
    why = gguf_import_open(&f, file, a);
    gguf_close(&f);
    return why;
}
