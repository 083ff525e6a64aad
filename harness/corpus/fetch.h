/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fetch.h -- downloads of public corpora and vocabularies by the recipes of recipes.def. */
#ifndef FETCH_H
#define FETCH_H
#include "kernels/base.h"

typedef struct FetchQuery {
    const char *name;                  /* of a recipe */
    const char *file;                  /* one of its files; NULL: all */
    const char *url, *sha256;          /* in place of those of the recipe, of one file; or NULL */
} FetchQuery;
/* Brings the files into the data directory, by curl, which resumes where it stopped; prints the
 * SHA-256 and path of each. A file that does not have its SHA-256 (64 digits, lower case) is not
 * kept. NULL, or an error message. */
const char *fetch_recipe(const FetchQuery *, Arena *);
/* The table of recipes, a line for each file */
void        fetch_list(FILE *);
#endif
