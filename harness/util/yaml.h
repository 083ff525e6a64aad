/* SPDX-License-Identifier: GPL-3.0-or-later */
/* yaml.h -- a YAML file as a tree whose nodes know their line and column, by libyaml.
 *
 * Functions that read a part of it return NULL, or the sentence that refuses it: "file:line:column:
 * ...". */
#ifndef HARNESS_YAML_H
#define HARNESS_YAML_H
#include "kernels/base.h"
#include <yaml.h>

enum { YAML_MAX_BYTES = 1 << 20 };
typedef yaml_node_t Node;
typedef struct Yaml {
    const char     *file;
    Arena          *a;
    yaml_document_t tree;
} Yaml;

/* Hands the root of the one document of the text to `read` (what: "an experiment", should it be
 * empty). NULL, or a sentence: its own, or that the text is no YAML. */
typedef const char *YamlRead(void *ctx, const Node *root);
const char *yaml_parse(Yaml *, const char *text, size_t len, const char *what, YamlRead *,
                       void *ctx);
/* The whole file, ended by a zero byte; NULL and a sentence in *why. */
char       *yaml_load (const char *path, size_t *len, Arena *, const char **why);

/* the sentence */
const char *yaml_at(Yaml *, const Node *, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *yaml_text (const Node *);                    /* of a single value */
int         yaml_pairs(const Node *);                    /* of a mapping */
int         yaml_items(const Node *);                    /* of a sequence */
Node       *yaml_key  (Yaml *, const Node *, int i);
Node       *yaml_value(Yaml *, const Node *, int i);
Node       *yaml_item (Yaml *, const Node *, int i);

const char *yaml_want_scalar(Yaml *, const Node *, const char *what);
/* keys are single values, each once */
const char *yaml_want_map   (Yaml *, const Node *, const char *what);
const char *yaml_want_name  (Yaml *, const Node *, const char *what);
#endif
