/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/util/yaml.h"
#include "harness/util/file.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *yaml_at(Yaml *d, const Node *n, const char *fmt, ...)
{
    char what[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return arena_text(d->a, "%s:%zu:%zu: %s", d->file, n->start_mark.line + 1,
                      n->start_mark.column + 1, what);
}

static Node *node(Yaml *d, int id) { return yaml_document_get_node(&d->tree, id); }

const char *yaml_text(const Node *n)  { return (const char *)n->data.scalar.value; }
int yaml_pairs(const Node *n)
{
    return (int)(n->data.mapping.pairs.top - n->data.mapping.pairs.start);
}
int yaml_items(const Node *n)
{
    return (int)(n->data.sequence.items.top - n->data.sequence.items.start);
}
Node *yaml_key(Yaml *d, const Node *n, int i)
{
    return node(d, n->data.mapping.pairs.start[i].key);
}
Node *yaml_value(Yaml *d, const Node *n, int i)
{
    return node(d, n->data.mapping.pairs.start[i].value);
}
Node *yaml_item (Yaml *d, const Node *n, int i) { return node(d, n->data.sequence.items.start[i]); }

const char *yaml_want_scalar(Yaml *d, const Node *n, const char *what)
{
    if (n->type != YAML_SCALAR_NODE) return yaml_at(d, n, "%s: expected a single value", what);
    if (strlen(yaml_text(n)) != n->data.scalar.length)
        return yaml_at(d, n, "%s: expected no zero byte", what);
    return NULL;
}

/* at: its place in the mapping */
typedef struct YamlKey { const char *text; int at; } YamlKey;

static int yaml_by_text(const void *one, const void *other)
{
    const YamlKey *x = one, *y = other;
    const int order = strcmp(x->text, y->text);
    return order ? order : x->at - y->at;
}

/* The first key that is there before, in the order of the file */
static const char *yaml_want_once(Yaml *d, const Node *n)
{
    const int keys = yaml_pairs(n);
    const size_t used = d->a->used;
    YamlKey *key = arena_array(d->a, (size_t)keys, sizeof *key);
    int again = keys, first = 0, start = 0;
    for (int i = 0; i < keys; i++) key[i] = (YamlKey){ yaml_text(yaml_key(d, n, i)), i };
    qsort(key, (size_t)keys, sizeof *key, yaml_by_text);
    for (int i = 1; i < keys; i++) {
        if (strcmp(key[i].text, key[start].text)) start = i;
        else if (i == start + 1 && key[i].at < again) {
            again = key[i].at;
            first = key[start].at;
        }
    }
    arena_reset(d->a, used);
    if (again == keys) return NULL;
    const Node *twice = yaml_key(d, n, again);
    return yaml_at(d, twice, "'%s' is given twice, first in line %zu", yaml_text(twice),
                   yaml_key(d, n, first)->start_mark.line + 1);
}

const char *yaml_want_map(Yaml *d, const Node *n, const char *what)
{
    if (n->type != YAML_MAPPING_NODE)
        return yaml_at(d, n, "%s: expected a mapping (key: value)", what);
    for (int i = 0; i < yaml_pairs(n); i++) {
        const char *why = yaml_want_scalar(d, yaml_key(d, n, i), "a key");
        if (why) return why;
    }
    return yaml_want_once(d, n);
}

const char *yaml_want_name(Yaml *d, const Node *n, const char *what)
{
    const char *why = yaml_want_scalar(d, n, what), *is = why ? "" : yaml_text(n);
    if (why) return why;
    const size_t len =
        strspn(is, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-");
    if (!len || is[len] || *is == '.' || len > 60)
        return yaml_at(d, n, "%s '%.80s': expected letters, digits, '_', '-', '+', '.', 60 at most",
                       what, is);
    return NULL;
}

static const char *not_yaml(Yaml *d, const yaml_parser_t *p)
{
    const char *context = p->context ? p->context : "";
    return arena_text(d->a, "%s:%zu:%zu: not YAML: %s%s%s", d->file, p->problem_mark.line + 1,
                      p->problem_mark.column + 1, context,
                      *context ? ", " : "", p->problem ? p->problem : "out of memory");
}

static const char *read_one(Yaml *d, yaml_parser_t *p, const char *what, YamlRead *read, void *ctx)
{
    if (!yaml_parser_load(p, &d->tree)) return not_yaml(d, p);
    const Node *root = yaml_document_get_root_node(&d->tree);
    const char *why =
        root ? read(ctx, root)
             : arena_text(d->a, "%s:1:1: the file is empty; expected %s", d->file, what);
    yaml_document_delete(&d->tree);
    if (why) return why;
    if (!yaml_parser_load(p, &d->tree)) return not_yaml(d, p);
    const Node *second = yaml_document_get_root_node(&d->tree);
    if (second) why = yaml_at(d, second, "expected one document only");
    yaml_document_delete(&d->tree);
    return why;
}

const char *yaml_parse(Yaml *d, const char *text, size_t len, const char *what, YamlRead *read,
                       void *ctx)
{
    yaml_parser_t p;
    if (!yaml_parser_initialize(&p)) die("out of memory");
    yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
    const char *why = read_one(d, &p, what, read, ctx);
    yaml_parser_delete(&p);
    return why;
}

char *yaml_load(const char *path, size_t *len, Arena *a, const char **why)
{
    char *text = arena_raw(a, YAML_MAX_BYTES + 1);
    FILE *f = file_open(path, a, why);
    if (!f) return NULL;
    *len = fread(text, 1, YAML_MAX_BYTES + 1, f);
    const int bad = ferror(f), error = errno;
    fclose(f);
    if (bad) *why = arena_text(a, "%s: cannot be read: %s", path, strerror(error));
    else if (*len > YAML_MAX_BYTES)
        *why = arena_text(a, "%s: longer than %d bytes", path, YAML_MAX_BYTES);
    else text[*len] = 0;
    return *why ? NULL : text;
}
