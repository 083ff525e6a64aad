/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading a GGUF. Nothing in it is trusted. */
#include "harness/convert/gguf.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GGUF_MOST = 1 << 16, GGUF_LONGEST = 1 << 16 };
enum { GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_FLOAT, GGUF_BOOL, GGUF_STRING,
       GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_DOUBLE, GGUF_KINDS };
static const unsigned char gguf_widths[GGUF_KINDS] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

/* What is left of the file; left 0 and bad 1 beyond its end */
typedef struct { const unsigned char *p; size_t left; int bad; } Cursor;

static const unsigned char *gguf_take(Cursor *c, uint64_t n)
{
    static const unsigned char nothing[8];
    if (n > c->left) {
        c->bad = 1;
        c->left = 0;
        return nothing;
    }
    const unsigned char *at = c->p;
    c->p += n;
    c->left -= n;
    return at;
}

static uint64_t gguf_number(Cursor *c, int bytes)
{
    uint64_t x = 0;
    memcpy(&x, gguf_take(c, (uint64_t)bytes), (size_t)bytes);
    return x;
}

/* NULL beyond the end, or where it is too long or has a zero byte */
static const char *gguf_string(Cursor *c, uint64_t most, Arena *a)
{
    const uint64_t n = gguf_number(c, 8);
    if (c->bad || n > most) return NULL;
    const char *s = (const char *)gguf_take(c, n);
    return c->bad || memchr(s, 0, n) ? NULL : arena_text(a, "%.*s", (int)n, s);
}

static json_t *gguf_scalar(Cursor *c, uint32_t kind)
{
    const uint64_t bits = gguf_number(c, gguf_widths[kind]);
    float single;
    double wide;
    memcpy(&single, &bits, sizeof single);
    memcpy(&wide, &bits, sizeof wide);
    switch (kind) {
    case GGUF_I8: return json_integer((int8_t)bits);
    case GGUF_I16: return json_integer((int16_t)bits);
    case GGUF_I32: return json_integer((int32_t)bits);
    case GGUF_FLOAT: return json_real((double)single);
    case GGUF_DOUBLE: return json_real(wide);
    case GGUF_BOOL: return json_boolean(bits);
    default: return json_integer((json_int_t)bits);
    }
}

/* A list is stepped over */
static json_t *gguf_list(Cursor *c)
{
    const uint32_t kind = (uint32_t)gguf_number(c, 4);
    const uint64_t n = gguf_number(c, 8);
    if (c->bad || kind >= GGUF_KINDS || kind == GGUF_ARRAY || n > c->left) return NULL;
    if (kind != GGUF_STRING) gguf_take(c, n * gguf_widths[kind]);
    for (uint64_t i = 0; kind == GGUF_STRING && i < n && !c->bad; i++)
        gguf_take(c, gguf_number(c, 8));
    return json_null();
}

static const char *gguf_read_key(GgufFile *f, Cursor *c, uint64_t number, Arena *a)
{
    const char *name = gguf_string(c, GGUF_LONGEST, a), *text;
    const uint32_t kind = (uint32_t)gguf_number(c, 4);
    json_t *v = NULL;
    if (!name || c->bad || kind >= GGUF_KINDS)
        return arena_text(a, "%s: key %llu: expected a name and a type", f->path,
                          (unsigned long long)number);
    if (kind == GGUF_STRING) v = (text = gguf_string(c, 1 << 20, a)) ? json_string(text) : NULL;
    else v = kind == GGUF_ARRAY ? gguf_list(c) : gguf_scalar(c, kind);
    if (!v || c->bad) {
        json_decref(v);
        return arena_text(a, "%s: key '%.60s': expected a value of its type", f->path, name);
    }
    const int again = json_object_get(f->keys, name) != NULL;
    if (json_object_set_new(f->keys, name, v) || again)
        return arena_text(a, "%s: key '%.60s': expected every key once, in UTF-8", f->path, name);
    return NULL;
}

size_t gguf_bytes(uint32_t type, long n)
{
    return type == GGUF_F32     ? 4 * (size_t)n
           : type == GGUF_F16   ? 2 * (size_t)n
           : type == GGUF_TQ2_0 ? (size_t)(n / TQ2_WEIGHTS) * TQ2_BYTES
                                : 0;
}

/* offset: of its data. NULL or an error message */
static const char *gguf_read_tensor(GgufFile *f, Cursor *c, json_t *names, uint64_t *offset,
                                    Arena *a)
{
    GgufTensor *t = &f->t[f->n];
    const char *name = gguf_string(c, GGUF_LONGEST, a);
    const uint64_t ndim = gguf_number(c, 4);
    if (!name || c->bad || ndim < 1 || ndim > 4)
        return arena_text(a, "%s: tensor %d: expected a name and 1 to 4 dimensions", f->path, f->n);
    *t = (GgufTensor){ .name = name, .ndim = (int)ndim, .n = 1 };
    for (int i = t->ndim; i-- > 0;) {
        const uint64_t size = gguf_number(c, 8);
        if (c->bad || size < 1 || size > INT_MAX || t->n > (long)(f->size / size) * 8)
            return arena_text(a, "%s: tensor '%.60s': expected positive dimensions that fit the "
                                 "file", f->path, name);
        t->shape[i] = (int)size;
        t->n *= (long)size;
    }
    t->type = (uint32_t)gguf_number(c, 4);
    *offset = gguf_number(c, 8);
    t->bytes = gguf_bytes(t->type, t->n);
    if (c->bad || !t->bytes || (t->type == GGUF_TQ2_0 && t->shape[t->ndim - 1] % TQ2_WEIGHTS))
        return arena_text(a, "%s: tensor '%.60s' has type %u; expected F32 (0), F16 (1) or TQ2_0 "
                             "(35) in rows of whole blocks", f->path, name, t->type);
    if (json_object_get(names, name) || json_object_set_new(names, name, json_null()))
        return arena_text(a, "%s: tensor '%.60s': expected every tensor once, in UTF-8", f->path,
                          name);
    f->n++;
    return NULL;
}

/* Where the data of each tensor are */
static const char *gguf_place(GgufFile *f, const Cursor *c, const uint64_t *offset, Arena *a)
{
    const json_t *v = json_object_get(f->keys, "general.alignment");
    const json_int_t align = json_is_integer(v) ? json_integer_value(v) : 32;
    if (align < 1 || align > 1 << 20 || (align & (align - 1)))
        return arena_text(a, "%s: general.alignment is %lld; expected a power of two", f->path,
                          (long long)align);
    const size_t at = f->size - c->left, start = (at + (size_t)align - 1) & ~((size_t)align - 1);
    for (int i = 0; i < f->n; i++) {
        GgufTensor *t = &f->t[i];
        if (start > f->size || offset[i] > f->size - start ||
            t->bytes > f->size - start - offset[i] || offset[i] % (uint64_t)align)
            return arena_text(a, "%s: tensor '%.60s': %zu bytes from %llu: expected data that fit "
                                 "the file, from a multiple of %lld", f->path, t->name, t->bytes,
                              (unsigned long long)offset[i], (long long)align);
        t->data = (const unsigned char *)f->map + start + offset[i];
    }
    return NULL;
}

static const char *gguf_read(GgufFile *f, Arena *a)
{
    Cursor c = { f->map, f->size, 0 };
    const int magic = !memcmp(gguf_take(&c, 4), "GGUF", 4);
    const uint64_t version = gguf_number(&c, 4), tensors = gguf_number(&c, 8),
                   keys = gguf_number(&c, 8);
    const char *why = NULL;
    if (c.bad || !magic || version != 3 || tensors > GGUF_MOST || keys > GGUF_MOST)
        return arena_text(a, "%s: expected GGUF of version 3 with at most %d keys and tensors",
                          f->path, GGUF_MOST);
    for (uint64_t i = 0; i < keys && !why; i++) why = gguf_read_key(f, &c, i, a);
    if (why) return why;
    uint64_t *offset = arena_array(a, tensors + 1, sizeof *offset);
    f->t = arena_array(a, tensors + 1, sizeof *f->t);
    json_t *names = json_object();
    for (uint64_t i = 0; i < tensors && !why; i++)
        why = gguf_read_tensor(f, &c, names, &offset[i], a);
    json_decref(names);
    return why ? why : gguf_place(f, &c, offset, a);
}

const char *gguf_open(GgufFile *f, const char *path, Arena *a)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *f = (GgufFile){ .path = arena_text(a, "%s", path), .map = MAP_FAILED };
    if (fd < 0) return arena_text(a, "%s: cannot be opened: %s", path, strerror(errno));
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0) {
        f->size = (size_t)st.st_size;
        f->map = mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    close(fd);
    if (f->map == MAP_FAILED) return arena_text(a, "%s: expected a file with a GGUF in it", path);
    f->keys = json_object();
    const char *why = gguf_read(f, a);
    if (why) gguf_close(f);
    return why;
}

void gguf_close(GgufFile *f)
{
    if (f->map != MAP_FAILED && f->map) munmap(f->map, f->size);
    json_decref(f->keys);
    f->map = NULL;
    f->keys = NULL;
}

int gguf_is(const char *path)
{
    char magic[4] = "";
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return 0;
    const int is = read(fd, magic, 4) == 4 && !memcmp(magic, "GGUF", 4);
    close(fd);
    return is;
}
