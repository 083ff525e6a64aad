/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/convert/hf.h"
#include "harness/util/file.h"
#include <string.h>
#include <unistd.h>

/* The vocabulary of the directory, *text NULL: it has none */
static const char *hf_vocab(Vocab **text, const char *dir, long V, Arena *a)
{
    const char *why = NULL, *path = arena_text(a, "%s/tokenizer.json", dir);
    *text = NULL;
    if (!access(path, F_OK)) *text = vocab_pieces(path, V, a, &why);
    else
        fprintf(stderr, "%s: no such file: the checkpoint has ids only, no text\n", path);
    return why;
}

const char *hf_import(const char *dir, const char *file, Arena *a)
{
    Published p;
    Weights w;
    Vocab *text = NULL;
    int n = 0;
    const char *why = config_read(&p, arena_text(a, "%s/config.json", dir), a);
    Spec *s = why ? NULL : published_spec(&p, a, &why);
    if (!why) why = hf_vocab(&text, dir, p.size[SIZE_V], a);
    if (!why) why = weights_open(&w, dir, a);
    if (why) return why;
    Tensor *t = published_tensors(&p, &n, a);
    why = weights_check(&w, &p, t, n, a);
    TensorWriter *out = why ? NULL : checkpoint_out(file, s, t, n, text, p.size[SIZE_V],
                                                    p.size[SIZE_BOS], a, &why);
    for (int i = 0; out && i < n; i++) weights_put(out, weights_find(&w, t[i].name, NULL));
    if (out) why = tensors_commit(out);
    weights_close(&w);
    return why;
}

static const char *hf_write_tokenizer(const Trained *c, const char *dir, Arena *a)
{
    const char *why = NULL, *path = arena_text(a, "%s/tokenizer.json", dir);
    if (!c->text.text || strcmp(c->text.vocab, "pieces")) {
        fprintf(stderr, "%s: not written: the vocabulary is '%s', which is no tokenizer.json\n",
                path, c->text.vocab);
        return NULL;
    }
    size_t len;
    const char *json = vocab_list(c->text.text, &len, a);
    FILE *f = file_begin(path, a, &why);
    if (!f) return why;
    fwrite(json, 1, len, f);
    return file_commit(f, path, a);
}

const char *hf_export(const char *file, const char *dir, Arena *a)
{
    static const char *const meta[] = { "format", "pt", NULL };
    Trained c;
    const char *why = trained_open(&c, file, a);
    if (why) return why;
    if (c.as.arch == &llama_bitlinear) {
        trained_close(&c);
        return arena_text(a, "%s: quant=absmean; expected none, which is what published "
                             "checkpoints of this model compute", file);
    }
    file_make_directory(dir, a);
    why = config_write(&c.as, arena_text(a, "%s/config.json", dir), a);
    if (!why) why = hf_write_tokenizer(&c, dir, a);
    if (!why)
        why = tensors_save(arena_text(a, "%s/model.safetensors", dir), c.t, c.n, meta, a);
    trained_close(&c);
    return why;
}
