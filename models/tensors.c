/* SPDX-License-Identifier: GPL-3.0-or-later */
/* safetensors: u64 little-endian length n, n bytes of JSON, then the data:
 *   {"__metadata__":{"k":"v"}, "name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}, ...}
 * offsets count from the end of the header, in order and without holes. Where the header ends at no
 * multiple of 8, the data are moved to one, over its end, in memory of this process only. */
#include "models/params.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_HEADER = 16 << 20 };
static const struct { const char *name; int bytes; } tensors_dtypes[] = {
    { "F32", 4 }, { "F16", 2 }, { "BF16", 2 }, { "I32", 4 }, { "U16", 2 }, { "F64", 8 },
};

size_t tensors_dtype_bytes(const char *name)
{
    for (size_t i = 0; i < sizeof tensors_dtypes / sizeof *tensors_dtypes; i++)
        if (!strcmp(tensors_dtypes[i].name, name)) return (size_t)tensors_dtypes[i].bytes;
    return 0;
}

size_t tensors_bytes(const Tensor *t) { return (size_t)t->n * tensors_dtype_bytes(t->dtype); }

int tensors_same_shape(const Tensor *a, const Tensor *b)
{
    return a->ndim == b->ndim && !memcmp(a->shape, b->shape, sizeof *a->shape * (size_t)a->ndim);
}

static json_t *tensors_header_of(const Tensor *t, int n, const char *const *meta)
{
    json_t *root = json_object(), *m = json_object();
    size_t at = 0;
    for (int i = 0; meta && meta[i]; i += 2)
        json_object_set_new(m, meta[i], json_string(meta[i + 1]));
    json_object_set_new(root, "__metadata__", m);
    for (int i = 0; i < n; i++) {
        json_t *shape = json_array();
        const size_t bytes = (size_t)t[i].n * tensors_dtype_bytes(t[i].dtype);
        for (int k = 0; k < t[i].ndim; k++)
            json_array_append_new(shape, json_integer(t[i].shape[k]));
        json_object_set_new(root, t[i].name,
                            json_pack("{s:s, s:o, s:[I,I]}", "dtype", t[i].dtype, "shape", shape,
                                      "data_offsets", (json_int_t)at, (json_int_t)(at + bytes)));
        at += bytes;
    }
    return root;
}

struct TensorWriter { FILE *f; const char *path, *part; Arena *a; size_t left; int good, error; };

static void tensors_write(TensorWriter *w, const void *data, size_t bytes)
{
    if (!w->good || fwrite(data, 1, bytes, w->f) == bytes) return;
    w->good = 0;
    w->error = errno;
}

static void tensors_write_header(TensorWriter *w, const Tensor *t, int n, const char *const *meta)
{
    json_t *root = tensors_header_of(t, n, meta);
    char *text = json_dumps(root, JSON_COMPACT);
    uint64_t len = (strlen(text) + 7) / 8 * 8;     /* the data begin at a multiple of 8 */
    tensors_write(w, &len, 8);
    tensors_write(w, text, strlen(text));
    tensors_write(w, "        ", len - strlen(text));
    free(text);
    json_decref(root);
}

TensorWriter *tensors_begin(const char *path, const Tensor *t, int n, const char *const *meta,
                            Arena *a, const char **why)
{
    TensorWriter *w = arena_get(a, sizeof *w);
    *w = (TensorWriter){ .path = arena_text(a, "%s", path), .a = a, .good = 1 };
    w->part = arena_text(a, "%s.part", path);
    unlink(w->part);                       /* of a process that was killed, or a link */
    if (!(w->f = fopen(w->part, "wbx"))) {
        *why = arena_text(a, "%s: cannot be written: %s", path, strerror(errno));
        return NULL;
    }
    for (int i = 0; i < n; i++) w->left += (size_t)t[i].n * tensors_dtype_bytes(t[i].dtype);
    tensors_write_header(w, t, n, meta);
    return w;
}

void tensors_put(TensorWriter *w, const void *data, size_t bytes)
{
    CHECK(bytes <= w->left);
    w->left -= bytes;
    tensors_write(w, data, bytes);
}

void tensors_cancel(TensorWriter *w)
{
    fclose(w->f);
    unlink(w->part);
}

const char *tensors_commit(TensorWriter *w)
{
    CHECK(!w->left);
    if (w->good && (fflush(w->f) || fsync(fileno(w->f)))) {
        w->good = 0;
        w->error = errno;
    }
    const int closed = !fclose(w->f);
    if (w->good && closed && !rename(w->part, w->path)) return NULL;
    const char *why = arena_text(w->a, "%s: cannot be written: %s", w->path,
                                 strerror(w->good ? errno : w->error));
    unlink(w->part);
    return why;
}

/* The widest types first, so that every tensor is aligned to its own */
static Tensor *tensors_aligned(const Tensor *t, int n, Arena *a)
{
    Tensor *to = arena_array(a, (size_t)n, sizeof *to);
    int k = 0;
    for (size_t bytes = 8; bytes; bytes /= 2)
        for (int i = 0; i < n; i++)
            if (tensors_dtype_bytes(t[i].dtype) == bytes) to[k++] = t[i];
    CHECK(k == n);
    return to;
}

const char *tensors_save(const char *path, const Tensor *tensors, int n, const char *const *meta,
                         Arena *a)
{
    const char *why = NULL;
    const Tensor *t = tensors_aligned(tensors, n, a);
    TensorWriter *w = tensors_begin(path, t, n, meta, a, &why);
    for (int i = 0; w && i < n; i++)
        tensors_put(w, t[i].data, (size_t)t[i].n * tensors_dtype_bytes(t[i].dtype));
    return w ? tensors_commit(w) : why;
}

/* Checks one entry of the header against the file's bounds. One that is not aligned to its type is
 * copied; *moved: bytes that may still be. NULL, or what is wrong */
static const char *tensors_read_tensor(const char *name, const json_t *e, char *data, size_t size,
                                       size_t *moved, Arena *a, Tensor *t)
{
    const json_t *dtype = json_object_get(e, "dtype"), *shape = json_object_get(e, "shape"),
                 *offsets = json_object_get(e, "data_offsets");
    if (!json_is_string(dtype) || !json_is_array(shape) || json_array_size(offsets) != 2 ||
        json_array_size(shape) > 4)
        return "expected dtype, shape (at most 4 dimensions) and data_offsets";
    const json_int_t from = json_integer_value(json_array_get(offsets, 0)),
                     to = json_integer_value(json_array_get(offsets, 1));
    const size_t each = tensors_dtype_bytes(json_string_value(dtype));
    if (!each) return "expected dtype F32, F16, BF16, I32, U16 or F64";
    *t = (Tensor){ .name = arena_text(a, "%s", name),
                   .dtype = arena_text(a, "%s", json_string_value(dtype)),
                   .n = 1 };
    for (size_t k = 0; k < json_array_size(shape); k++) {
        const json_int_t s = json_integer_value(json_array_get(shape, k));
        if (s <= 0 || s > INT32_MAX || t->n > (long)(size / (size_t)s) + 1)
            return "expected positive dimensions that fit the file";
        t->shape[t->ndim++] = (int)s;
        t->n *= s;
    }
    if (from < 0 || to < from || (size_t)to > size || (size_t)(to - from) != (size_t)t->n * each)
        return "data_offsets do not fit the shape or the file";
    t->data = data + from;
    if (!((size_t)from % each)) return NULL;
    if ((size_t)(to - from) > *moved) return "data_offsets: expected tensors that do not overlap";
    *moved -= (size_t)(to - from);
    t->data = memcpy(arena_raw(a, (size_t)(to - from)), data + from, (size_t)(to - from));
    return NULL;
}

static const char *tensors_read_header(TensorFile *f, const json_t *root, char *data, size_t size,
                                       Arena *a)
{
    const char *name, *key;
    json_t *e, *value;
    size_t moved = size;
    f->t = arena_get(a, json_object_size(root) * sizeof *f->t);
    json_object_foreach((json_t *)root, name, e) {
        if (strcmp(name, "__metadata__")) {
            const char *why = tensors_read_tensor(name, e, data, size, &moved, a, &f->t[f->n++]);
            if (why) return arena_text(a, "%s: tensor '%.100s': %s", f->path, name, why);
            continue;
        }
        int n = 0;
        f->meta = arena_get(a, (2 * json_object_size(e) + 1) * sizeof *f->meta);
        json_object_foreach(e, key, value) {
            if (!json_is_string(value))
                return arena_text(a, "%s: __metadata__: expected strings", f->path);
            f->meta[n++] = arena_text(a, "%s", key);
            f->meta[n++] = arena_text(a, "%s", json_string_value(value));
        }
    }
    return NULL;
}

/* What is written to it stays in this process. */
static void *tensors_map(int fd, size_t size)
{
    if (size < 8) return MAP_FAILED;
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
}

TensorFile *tensors_open(const char *path, Arena *a, const char **why)
{
    TensorFile *f = arena_get(a, sizeof *f);
    struct stat st;
    /* a pipe that nobody writes to would block for ever */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    f->path = arena_text(a, "%s", path);
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        *why = fd < 0 ? arena_text(a, "%s: cannot be opened: %s", path, strerror(errno))
                      : arena_text(a, "%s: is %s; expected a file", path,
                                   S_ISFIFO(st.st_mode) ? "a pipe" : "a directory or a device");
        if (fd >= 0) close(fd);
        return NULL;
    }
    f->size = (size_t)st.st_size;
    f->map = tensors_map(fd, f->size);
    close(fd);
    uint64_t len = 0;
    if (f->map != MAP_FAILED) memcpy(&len, f->map, 8);
    *why = NULL;
    if (f->map == MAP_FAILED || len > MAX_HEADER || len > f->size - 8)
        *why = arena_text(a,
                          "%s: not a safetensors file: expected 8 bytes of header length, then the "
                          "header",
                          path);
    json_error_t error;
    json_t *root = *why ? NULL
                        : json_loadb((char *)f->map + 8, len, JSON_REJECT_DUPLICATES, &error);
    if (!*why && !json_is_object(root))
        *why = arena_text(a, "%s: header, line %d: %s", path, root ? 1 : error.line,
                          root ? "expected an object" : error.text);
    if (!*why) {
        char *data = (char *)f->map + 8 + len, *to = data - len % 8;
        if (to != data) memmove(to, data, f->size - 8 - len);
        *why = tensors_read_header(f, root, to, f->size - 8 - len, a);
    }
    json_decref(root);
    if (!*why) return f;
    tensors_close(f);
    return NULL;
}

const Tensor *tensors_find(const TensorFile *f, const char *name)
{
    for (int i = 0; i < f->n; i++)
        if (!strcmp(f->t[i].name, name)) return &f->t[i];
    return NULL;
}

const char *tensors_meta(const TensorFile *f, const char *key)
{
    for (char **m = f->meta; m && *m; m += 2)
        if (!strcmp(*m, key)) return m[1];
    return NULL;
}

void tensors_close(TensorFile *f)
{
    if (f->map && f->map != MAP_FAILED) munmap(f->map, f->size);
    f->map = NULL;
}

const char *params_load(Params *ps, const TensorFile *file)
{
    for (int i = 0; i < ps->n; i++) {
        Param *p = ps->p[i];
        const Tensor *t = tensors_find(file, p->name);
        if (!t) return arena_text(ps->arena, "%s: no tensor '%s'", file->path, p->name);
        int same = !strcmp(t->dtype, "F32") && t->ndim == p->ndim;
        for (int k = 0; same && k < p->ndim; k++) same = t->shape[k] == p->shape[k];
        if (!same)
            return arena_text(ps->arena,
                              "%s: tensor '%s' has %ld values of %s in %d dimensions, expected %ld "
                              "of F32 in %d",
                              file->path, p->name, t->n, t->dtype, t->ndim, p->n, p->ndim);
        memcpy(p->v, t->data, sizeof(float) * (size_t)p->n);
        p->version++;
    }
    return NULL;
}
