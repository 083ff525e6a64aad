/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/corpus/cache.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *data_dir(void)
{
    const char *dir = getenv("EIGHTYSIX_DATA");
    return dir && *dir ? dir : "data";
}

static int cache_readable(const char *path) { return !access(path, R_OK); }

const char *data_find(const char *name, Arena *a)
{
    const char *path = arena_text(a, "%s/%s", data_dir(), name);
    if (!access(path, F_OK)) return path;
    path = arena_text(a, "data/%s", name);
    return !access(path, F_OK) ? path : NULL;
}

/* A directory without any write bit counts as read-only even for root, whom access() lets through.
 */
static int cache_writable(const char *dir)
{
    struct stat st;
    return !stat(dir, &st) && S_ISDIR(st.st_mode) && (st.st_mode & 0222) && !access(dir, W_OK);
}

static int cache_make_dirs(const char *path, Arena *a)
{
    char *p = arena_text(a, "%s", path);
    for (char *s = p + 1; *s; s++) {
        if (*s != '/') continue;
        *s = 0;
        mkdir(p, 0777);
        *s = '/';
    }
    return !mkdir(p, 0777) || errno == EEXIST;
}

const char *cache_path(const char *name, Arena *a, const char **why)
{
    const char *dir = getenv("EIGHTYSIX_CACHE");
    if (!dir || !*dir) {
        dir = arena_text(a, "%s/cache", data_dir());
        if (!cache_writable(dir) && (cache_readable(dir) || !cache_writable(data_dir())))
            dir = "build/cache";
    }
    if (cache_make_dirs(dir, a)) return arena_text(a, "%s/%s", dir, name);
    *why = arena_text(a, "%s: the cache directory cannot be made: %s (set EIGHTYSIX_CACHE)", dir,
                      strerror(errno));
    return NULL;
}
