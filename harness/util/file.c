/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/util/file.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char *file_beside(const char *path, Arena *a)
{
    return arena_text(a, "%s.new", path);
}

FILE *file_begin(const char *path, Arena *a, const char **why)
{
    FILE *f = fopen(file_beside(path, a), "w");
    *why = f ? NULL : arena_text(a, "%s: cannot be written: %s", path, strerror(errno));
    return f;
}

const char *file_commit(FILE *f, const char *path, Arena *a)
{
    const char *beside = file_beside(path, a);
    errno = 0;
    int bad = fflush(f) || ferror(f) || fsync(fileno(f));
    int error = errno;
    if (fclose(f) && !bad) {
        bad = 1;
        error = errno;
    }
    if (!bad && !rename(beside, path)) return NULL;
    if (!bad) error = errno;
    unlink(beside);
    return arena_text(a, "%s: cannot be written: %s", path, strerror(error));
}

void file_cancel(FILE *f, const char *path, Arena *a)
{
    fclose(f);
    unlink(file_beside(path, a));
}
