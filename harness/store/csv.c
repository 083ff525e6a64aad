/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/store/csv.h"
#include "harness/util/file.h"
#include <errno.h>
#include <string.h>

void csv_put(FILE *out, const char *text)
{
    const int quote = strpbrk(text, ",\"\r\n") != NULL;
    if (quote) fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    if (quote) fputc('"', out);
}

static void csv_put_row(void *ctx, int columns, const char *const *value)
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
    const char *why = NULL;
    FILE *out = path ? file_begin(path, a, &why) : stdout;
    if (!out) return why;
    why = db_view(db, view, experiment, csv_put_row, out, a);
    if (path && !why) return file_commit(out, path, a);
    if (path) file_cancel(out, path, a);
    if (path || why) return why;
    const int bad = fflush(out) || ferror(out);
    return bad ? arena_text(a, "stdout: cannot be written: %s", strerror(errno)) : NULL;
}
