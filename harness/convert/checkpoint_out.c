/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/convert/hf.h"
#include "harness/train/checkpoint_file.h"
#include "harness/train/checkpoint_text.h"
#include <string.h>

TensorWriter *checkpoint_out(const char *file, const Spec *s, const Tensor *t, int n, Vocab *text,
                             long V, long first, Arena *a, const char **why)
{
    uint32_t *token = arena_raw(a, sizeof *token);
    *token = first >= 0 && first < V ? (uint32_t)first : 0;
    const Corpus c = { .name = "",
                       .sha = "",
                       .vocab = text ? vocab_name(text) : "ids",
                       .vocab_hash = text ? vocab_hash(text) : "",
                       .V = (int)V,
                       .valid = { .tok = { token, 4 }, .n = 1 },
                       .freq = arena_get(a, sizeof *c.freq * (size_t)V),
                       .text = text };
    const char *meta[CHECKPOINT_TEXT_META + 8] = { "format", "eightysix 1", "spec", spec_text(s) };
    checkpoint_text_meta(meta + 4, &c, a);
    Tensor *all = arena_array(a, (size_t)n + CHECKPOINT_TEXT_TENSORS, sizeof *all);
    const int texts = checkpoint_text_tensors(all, &c, a);
    memcpy(all + texts, t, sizeof *t * (size_t)n);
    TensorWriter *w = tensors_begin(file, all, n + texts, meta, a, why);
    for (int i = 0; w && i < texts; i++)
        tensors_put(w, all[i].data, tensors_bytes(&all[i]));
    return w;
}

/* NULL or an error message */
static const char *trained_find(Trained *c, const char *path, Arena *a)
{
    const char *prefix = spec_is(c->spec, "eval", "ema") ? "ema/" : "";
    for (int i = 0; i < c->n; i++) {
        const char *name = arena_text(a, "%s%s", prefix, c->t[i].name);
        const Tensor *t = tensors_find(c->file, name);
        if (!t || t->n != c->t[i].n || strcmp(t->dtype, "F32"))
            return arena_text(a, "%s: expected tensor '%s' with %ld values of F32", path, name,
                              c->t[i].n);
        c->t[i].data = t->data;
    }
    return NULL;
}

const char *trained_open(Trained *c, const char *path, Arena *a)
{
    *c = (Trained){ .spec = spec_new(a) };
    const char *why = checkpoint_spec(path, c->spec, a);
    if (!why) why = checkpoint_text(path, &c->text, a);
    if (!why && !c->text.vocab)
        why = arena_text(a, "%s: an older checkpoint, which does not say its vocabulary; expected "
                            "one that is trained by this program", path);
    if (!why) why = published_from_spec(&c->as, c->spec, path, c->text.V, a);
    if (!why && !(c->file = checkpoint_file_open(path, a, &why))) return why;
    if (!why) {
        if (!strcmp(c->text.vocab, "pieces")) c->as.size[SIZE_BOS] = c->text.first;
        c->t = published_tensors(&c->as, &c->n, a);
        why = trained_find(c, path, a);
    }
    if (why) trained_close(c);
    return why;
}

void trained_close(Trained *c)
{
    if (c->file) tensors_close(c->file);
    c->file = NULL;
}
