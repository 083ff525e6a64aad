/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/train/checkpoint_file.h"
#include "harness/train/classes_file.h"
#include <string.h>

TensorFile *checkpoint_file_open(const char *path, Arena *a, const char **why)
{
    TensorFile *f = tensors_open(path, a, why);
    for (int i = 0; f && i < f->n; i++) {
        const size_t bytes = tensors_dtype_bytes(f->t[i].dtype);
        if ((uintptr_t)f->t[i].data % bytes == 0) continue;
        *why = arena_text(a, "%s: tensor '%.100s': expected values aligned to %zu bytes", path,
                          f->t[i].name, bytes);
        tensors_close(f);
        return NULL;
    }
    return f;
}

/* loud: what lies beyond its range is said on stderr */
static const char *checkpoint_read_words(Spec *spec, const char *path, const char *text, int loud,
                                         Arena *a)
{
    const char *why = NULL, *warning;
    char *words = arena_text(a, "%s", text), *save = NULL;
    for (char *w = strtok_r(words, " ", &save); w && !why; w = strtok_r(NULL, " ", &save)) {
        /* a setting that this program does not have is left out: another version had it */
        if (spec_find(w, strcspn(w, "=")) < 0) continue;
        if ((why = spec_set_stored(spec, w, &warning))) why = arena_text(a, "%s: %s", path, why);
        else if (warning && loud)
            fprintf(stderr, "warning: %s: %s; used as it is, an older program allowed it\n", path,
                    warning);
    }
    return why;
}

const char *checkpoint_read_settings(Spec *spec, const char *path, const char *text, Arena *a)
{
    return checkpoint_read_words(spec, path, text, 0, a);
}

const char *checkpoint_meta(const char *path, const char *key, const char **value, Arena *a)
{
    const char *why = NULL;
    TensorFile *f = checkpoint_file_open(path, a, &why);
    if (!f) return why;
    const char *text = tensors_meta(f, key);
    *value = text && *text ? text : NULL;
    tensors_close(f);
    return NULL;
}

const char *checkpoint_classes(const char *path, const Classes **classes, Arena *a)
{
    const char *why = NULL;
    TensorFile *f = checkpoint_file_open(path, a, &why);
    if (!f) return why;
    *classes = classes_read(f, a, &why);
    tensors_close(f);
    return why;
}

const char *checkpoint_check_words(const char *path, const char *embedding, int V,
                                   const char *corpus, Arena *a)
{
    const char *why = NULL;
    TensorFile *f = checkpoint_file_open(path, a, &why);
    if (!f) return why;
    const Tensor *t = tensors_find(f, embedding);
    if (t && t->ndim == 2 && t->shape[0] != V)
        why = arena_text(a, "%s: trained with a vocabulary of %d ids, and corpus=%s has %d", path,
                         t->shape[0], corpus, V);
    tensors_close(f);
    return why;
}

const char *checkpoint_spec(const char *path, Spec *spec, Arena *a)
{
    const char *why = NULL;
    TensorFile *f = checkpoint_file_open(path, a, &why);
    if (!f) return why;
    const char *text = tensors_meta(f, "spec"), *cutoffs = tensors_meta(f, "cutoffs");
    if (!text)
        why = arena_text(
            a, "%s: not a checkpoint of this program: expected \"spec\" in its metadata", path);
    if (!why) why = checkpoint_read_words(spec, path, text, 1, a);
    if (!why && cutoffs && *cutoffs) why = spec_set(spec, arena_text(a, "cutoffs=%s", cutoffs));
    tensors_close(f);
    return why;
}
