/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The weights of a published checkpoint: model.safetensors, or the files that
 * model.safetensors.index.json names. Mapped, widened to floats a part at a time. */
#include "harness/convert/published.h"
#include "harness/util/file.h"
#include <string.h>
#include <unistd.h>

enum { WEIGHTS_PART = 1 << 16, WEIGHTS_FILES = 1000 };

const char *weights_shape(const int *shape, int ndim, Arena *a)
{
    const char *text = "[";
    for (int i = 0; i < ndim; i++)
        text = arena_text(a, "%s%s%d", text, i ? ", " : "", shape[i]);
    return arena_text(a, "%s]", text);
}

/* ---- widening ---- */

static float weights_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float weights_of_half(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, low = h & 0x3ff;
    if (exponent == 31) return weights_of_bits(sign | 0x7f800000 | low << 13);
    if (exponent) return weights_of_bits(sign | (exponent + 112) << 23 | low << 13);
    const float small = (float)low / 16777216;             /* low 2^-24 */
    return sign ? -small : small;
}

void weights_floats(float *to, const Tensor *from, long at, long n)
{
    const char *data = from->data;
    uint16_t h;
    if (!strcmp(from->dtype, "F32")) {
        memcpy(to, data + 4 * at, sizeof *to * (size_t)n);
        return;
    }
    const int half = !strcmp(from->dtype, "F16");
    for (long i = 0; i < n; i++) {
        memcpy(&h, data + 2 * (at + i), sizeof h);
        to[i] = half ? weights_of_half(h) : weights_of_bits((uint32_t)h << 16);
    }
}

void weights_put(TensorWriter *w, const Tensor *from)
{
    static _Thread_local float part[WEIGHTS_PART];
    for (long at = 0; at < from->n; at += WEIGHTS_PART) {
        const long n = from->n - at < WEIGHTS_PART ? from->n - at : WEIGHTS_PART;
        weights_floats(part, from, at, n);
        tensors_put(w, part, sizeof *part * (size_t)n);
    }
}

/* ---- opening ---- */

/* The file of this name of the directory, opened once. NULL and *why */
static TensorFile *weights_add(Weights *w, const char *dir, const char *name, Arena *a,
                               const char **why)
{
    const char *path = arena_text(a, "%s/%s", dir, name);
    for (int i = 0; i < w->files; i++)
        if (!strcmp(w->file[i]->path, path)) return w->file[i];
    if (w->files == WEIGHTS_FILES) {
        *why = arena_text(a, "%s: expected at most %d files", w->path, WEIGHTS_FILES);
        return NULL;
    }
    TensorFile *f = tensors_open(path, a, why);
    if (f) w->file[w->files++] = f;
    return f;
}

/* weight_map: {"tensor": "file"}; every tensor is where it says, and no file has others */
static const char *weights_of_map(Weights *w, const char *dir, const json_t *map, Arena *a)
{
    const char *name, *why = NULL;
    json_t *file;
    if (!json_object_size(map))
        return arena_text(a, "%s: expected \"weight_map\": {\"tensor\": \"file\", ...}", w->path);
    json_object_foreach((json_t *)map, name, file) {
        const char *text = json_string_value(file);
        if (!text || !*text || strchr(text, '/'))
            return arena_text(a, "%s: weight_map: tensor '%.100s': expected the name of a file of "
                                 "its directory", w->path, name);
        const TensorFile *f = weights_add(w, dir, text, a, &why);
        if (!f) return why;
        if (!tensors_find(f, name))
            return arena_text(a, "%s: no tensor '%.100s', which %s says is there", f->path, name,
                              w->path);
    }
    for (int i = 0; i < w->files; i++)
        for (int k = 0; k < w->file[i]->n; k++) {
            const TensorFile *f = w->file[i];
            const char *in = json_string_value(json_object_get(map, f->t[k].name));
            if (!in || strcmp(f->path + strlen(dir) + 1, in))
                return arena_text(a, "%s: tensor '%.100s' is %s; expected none that %s does not "
                                     "name there", f->path, f->t[k].name,
                                  in ? "of another file" : "not in the index", w->path);
        }
    return NULL;
}

static const char *weights_of_index(Weights *w, const char *dir, Arena *a)
{
    json_error_t e;
    const char *why = NULL;
    FILE *f = file_open(w->path, a, &why);
    if (!f) return why;
    json_t *index = json_loadf(f, JSON_REJECT_DUPLICATES, &e);
    fclose(f);
    why = index ? weights_of_map(w, dir, json_object_get(index, "weight_map"), a)
                : arena_text(a, "%s: line %d, column %d: expected JSON: %s", w->path, e.line,
                             e.column, e.text);
    json_decref(index);
    return why;
}

const char *weights_open(Weights *w, const char *dir, Arena *a)
{
    const char *why = NULL, *index = arena_text(a, "%s/model.safetensors.index.json", dir);
    const int shards = !access(index, F_OK);
    *w = (Weights){ .file = arena_get(a, WEIGHTS_FILES * sizeof *w->file) };
    w->path = shards ? index : arena_text(a, "%s/model.safetensors", dir);
    if (shards) why = weights_of_index(w, dir, a);
    else weights_add(w, dir, "model.safetensors", a, &why);
    if (why) weights_close(w);
    return why;
}

void weights_close(Weights *w)
{
    for (int i = 0; i < w->files; i++) tensors_close(w->file[i]);
    w->files = 0;
}

const Tensor *weights_find(const Weights *w, const char *name, const char **path)
{
    for (int i = 0; i < w->files; i++) {
        const Tensor *t = tensors_find(w->file[i], name);
        if (t && path) *path = w->file[i]->path;
        if (t) return t;
    }
    return NULL;
}

/* ---- checking ---- */

static const char *weights_check_one(const Weights *w, const Tensor *expected, Arena *a)
{
    const char *path = NULL, *shape = weights_shape(expected->shape, expected->ndim, a);
    const Tensor *t = weights_find(w, expected->name, &path);
    if (!t)
        return arena_text(a, "%s: no tensor '%s'; expected F32, F16 or BF16 of shape %s", w->path,
                          expected->name, shape);
    const int known = !strcmp(t->dtype, "F32") || !strcmp(t->dtype, "F16") ||
                      !strcmp(t->dtype, "BF16");
    if (known && tensors_same_shape(t, expected)) return NULL;
    return arena_text(a, "%s: tensor '%s' is %s of shape %s; expected F32, F16 or BF16 of shape %s",
                      path, t->name, t->dtype, weights_shape(t->shape, t->ndim, a), shape);
}

/* A tensor that no table names: a repeated embedding, or an error */
static const char *weights_check_other(const Weights *w, const Published *p, const char *path,
                                       const Tensor *t, const Tensor *embedding, Arena *a)
{
    if (!p->arch->twin || strcmp(t->name, p->arch->twin))
        return arena_text(a, "%s: tensor '%.100s' of shape %s: expected none of this name in a "
                             "model of type %s",
                          path, t->name, weights_shape(t->shape, t->ndim, a), p->arch->type);
    const Tensor *e = weights_find(w, embedding->name, NULL);
    if (!strcmp(t->dtype, e->dtype) && tensors_same_shape(t, e) &&
        !memcmp(t->data, e->data, tensors_bytes(t)))
        return NULL;
    return arena_text(a, "%s: tensor '%s' has other values than '%s'; expected the same, as output "
                         "and embedding are tied", path, t->name, e->name);
}

const char *weights_check(const Weights *w, const Published *p, const Tensor *t, int n, Arena *a)
{
    for (int i = 0; i < n; i++) {
        const char *why = weights_check_one(w, &t[i], a);
        if (why) return why;
    }
    int found = 0;
    for (int i = 0; i < w->files; i++) found += w->file[i]->n;
    for (int i = 0; i < w->files && found > n; i++)
        for (int k = 0; k < w->file[i]->n; k++) {
            const Tensor *has = &w->file[i]->t[k];
            int m = 0;
            while (m < n && strcmp(t[m].name, has->name)) m++;
            const char *why = m < n ? NULL
                                    : weights_check_other(w, p, w->file[i]->path, has, t, a);
            if (why) return why;
        }
    return NULL;
}
