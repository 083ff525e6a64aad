/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pieces_file.h -- a tokenizer.json that is being read: what pieces_load.c (the model) and
 * pieces_around.c (what surrounds it) share. Not for other files. */
#ifndef PIECES_FILE_H
#define PIECES_FILE_H
#include "harness/corpus/pieces.h"
#include <jansson.h>

typedef struct {
    const char  *path;
    const json_t *root, *model, *vocab;
    Pieces      *p;
    Vocab       *v;
    const char **name;           /* (V) the piece of an id; NULL: it has none */
    char        *special;        /* (V) 1: has no text */
    char        *added;          /* (V) 1: its name is its text */
    Arena       *a, *room;       /* for the tables; for what only the loading needs */
} PiecesFile;

/* Each returns NULL or an error message that names the file. */
const char *pieces_read_blanks (const PiecesFile *);   /* normalizer and pre_tokenizer */
const char *pieces_read_decoder(const PiecesFile *);
const char *pieces_read_first  (const PiecesFile *);   /* post_processor */

const char *pieces_refuse(const PiecesFile *, const char *key, const json_t *found,
                          const char *expected);
int         pieces_is    (const json_t *object, const char *key, const char *value);
static inline int pieces_absent(const json_t *v) { return !v || json_is_null(v); }
#endif
