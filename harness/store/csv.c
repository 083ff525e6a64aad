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

/* out: NULL until the view has answered */
typedef struct CsvFile { FILE *out; const char *path, *why; Arena *a; } CsvFile;

static void csv_put_row(void *ctx, int columns, const char *const *value)
{
    CsvFile *c = ctx;
    if (!c->out && !c->why) c->out = file_begin(c->path, c->a, &c->why);
    if (!c->out) return;
    for (int i = 0; i < columns; i++) {
        if (i) fputc(',', c->out);
        if (value[i]) csv_put(c->out, value[i]);
    }
    fputc('\n', c->out);
}

const char *csv_write(Db *db, const char *view, const char *experiment, const char *path, Arena *a)
{
    CsvFile c = { .out = path ? NULL : stdout, .path = path, .a = a };
    const char *why = db_view(db, view, experiment, csv_put_row, &c, a);
    if (!why) why = c.why;
    if (path && c.out && !why) return file_commit(c.out, path, a);
    if (path && c.out) file_cancel(c.out, path, a);
    if (path || why) return why;
    const int bad = fflush(stdout) || ferror(stdout);
    return bad ? arena_text(a, "stdout: cannot be written: %s", strerror(errno)) : NULL;
}
