/* SPDX-License-Identifier: GPL-3.0-or-later */
/* yaml.h -- a YAML file as a tree whose nodes know their line and column, by libyaml.
 *
 * Functions that read a part of it return NULL, or an error message "file:line:column: ...". */
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

/* Calls `read` with the root of the text's one document (what: "an experiment", for the message
 * when it is empty). NULL, or an error message: that of `read`, or that the text is not YAML. */
typedef const char *YamlRead(void *ctx, const Node *root);
const char *yaml_parse(Yaml *, const char *text, size_t len, const char *what, YamlRead *,
                       void *ctx);
/* The whole file, ended by a zero byte; NULL and an error message in *why. */
char       *yaml_load (const char *path, size_t *len, Arena *, const char **why);

/* an error message with file, line and column of the node */
const char *yaml_at(Yaml *, const Node *, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *yaml_text (const Node *);                    /* of a single value */
int         yaml_pairs(const Node *);                    /* of a mapping */
int         yaml_items(const Node *);                    /* of a sequence */
Node       *yaml_key  (Yaml *, const Node *, int i);
Node       *yaml_value(Yaml *, const Node *, int i);
Node       *yaml_item (Yaml *, const Node *, int i);

const char *yaml_want_scalar(Yaml *, const Node *, const char *what);
/* a mapping whose keys are single values, each once */
const char *yaml_want_map   (Yaml *, const Node *, const char *what);
const char *yaml_want_name  (Yaml *, const Node *, const char *what);
#endif
