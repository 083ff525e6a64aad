/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cache.h -- where files are: data that was fetched, and files that can be made again. */
#ifndef CACHE_H
#define CACHE_H
#include "kernels/base.h"

/* The directory for downloads: EIGHTYSIX_DATA, or "data". */
const char *data_dir  (void);
/* EIGHTYSIX_DATA/name, or data/name; NULL when neither exists. Whether it can be read is for who
 * opens it to say. */
const char *data_find (const char *name, Arena *);
/* The path of `name` in the cache directory (EIGHTYSIX_CACHE, or cache/ in the data directory when
 * that is writable, or build/cache), which is created. NULL and an error message in *why. */
const char *cache_path(const char *name, Arena *, const char **why);
#endif
