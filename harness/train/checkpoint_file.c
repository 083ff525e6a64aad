/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/train/checkpoint_file.h"
#include "harness/train/classes_file.h"
#include <string.h>

const char *checkpoint_read_settings(Spec *spec, const char *path, const char *text, Arena *a)
{
    const char *why = NULL;
    char *words = arena_text(a, "%s", text), *save = NULL;
    for (char *w = strtok_r(words, " ", &save); w && !why; w = strtok_r(NULL, " ", &save))
        if ((why = spec_set_stored(spec, w))) why = arena_text(a, "%s: %s", path, why);
    return why;
}

const char *checkpoint_meta(const char *path, const char *key, const char **value, Arena *a)
{
    const char *why = NULL;
    TensorFile *f = tensors_open(path, a, &why);
    if (!f) return why;
    const char *text = tensors_meta(f, key);
    *value = text && *text ? text : NULL;
    tensors_close(f);
    return NULL;
}

const char *checkpoint_classes(const char *path, const Classes **classes, Arena *a)
{
    const char *why = NULL;
    TensorFile *f = tensors_open(path, a, &why);
    if (!f) return why;
    *classes = classes_read(f, a, &why);
    tensors_close(f);
    return why;
}

const char *checkpoint_spec(const char *path, Spec *spec, Arena *a)
{
    const char *why = NULL;
    TensorFile *f = tensors_open(path, a, &why);
    if (!f) return why;
    const char *text = tensors_meta(f, "spec"), *cutoffs = tensors_meta(f, "cutoffs");
    if (!text)
        why = arena_text(
            a, "%s: not a checkpoint of this program: expected \"spec\" in its metadata", path);
    if (!why) why = checkpoint_read_settings(spec, path, text, a);
    if (!why && cutoffs && *cutoffs) why = spec_set(spec, arena_text(a, "cutoffs=%s", cutoffs));
    tensors_close(f);
    return why;
}
