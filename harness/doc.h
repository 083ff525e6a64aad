/* SPDX-License-Identifier: GPL-3.0-or-later */
/* doc.h -- a YAML file as a tree whose nodes know their line and column, by libyaml.
 *
 * Functions that read a part of it return NULL, or the sentence that refuses it: "file:line:column: ...". */
#ifndef DOC_H
#define DOC_H
#include "kernels/base.h"
#include <yaml.h>

enum { DOC_MAX_BYTES = 1 << 20 };
typedef yaml_node_t Node;
typedef struct Doc {
    const char     *file;
    Arena          *a;
    yaml_document_t tree;
} Doc;

/* Hands the root of the one document of the text to `read` (what: "an experiment", should it be empty).
 * NULL, or a sentence: its own, or that the text is no YAML. */
typedef const char *DocRead(void *ctx, const Node *root);
const char *doc_parse(Doc *, const char *text, size_t len, const char *what, DocRead *, void *ctx);
/* The whole file, ended by a zero byte; NULL and a sentence in *why. */
char       *doc_load (const char *path, size_t *len, Arena *, const char **why);

/* the sentence */
const char *doc_at(Doc *, const Node *, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *doc_text (const Node *);                    /* of a single value */
int         doc_pairs(const Node *);                    /* of a mapping */
int         doc_items(const Node *);                    /* of a sequence */
Node       *doc_key  (Doc *, const Node *, int i);
Node       *doc_value(Doc *, const Node *, int i);
Node       *doc_item (Doc *, const Node *, int i);

const char *doc_want_scalar(Doc *, const Node *, const char *what);
/* keys are single values, each once */
const char *doc_want_map   (Doc *, const Node *, const char *what);
const char *doc_want_name  (Doc *, const Node *, const char *what);
#endif
