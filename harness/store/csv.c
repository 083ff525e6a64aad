/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/store/csv.h"
#include <errno.h>
#include <string.h>

static void write_row(void *ctx, int columns, const char *const *value)
{
    FILE *out = ctx;
    for (int i = 0; i < columns; i++) {
        if (i) fputc(',', out);
        if (value[i]) csv_put(out, value[i]);
    }
    fputc('\n', out);
}

const char *csv_write(Db *db, const char *view, const char *experiment, const char *path, Arena *a)
{
    FILE *out = path ? fopen(path, "w") : stdout;
    if (!out) return arena_text(a, "%s: cannot be written: %s", path, strerror(errno));
    const char *why = db_view(db, view, experiment, write_row, out, a);
    const int bad = fflush(out) || ferror(out), error = errno;
    if (path) fclose(out);
    return why ? why : bad ? arena_text(a, "%s: cannot be written: %s", path ? path : "stdout", strerror(error)) : NULL;
}
