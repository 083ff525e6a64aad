/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/util/record.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Recorder record_open(void)
{
    FILE *out = fdopen(3, "w");
    const char *stored = getenv("EIGHTYSIX_STORED");
    const Recorder r = { out ? out : stdout, out && stored ? (int)strtol(stored, NULL, 10) : 0 };
    unsetenv("EIGHTYSIX_STORED");
    return r;
}

void record_flush(Recorder *r)
{
    if (r->out) fflush(r->out);
}

void record_sync(Recorder *r)
{
    enum { PATIENCE_MS = 10000 };
    char byte;
    struct pollfd p = { .fd = r->stored, .events = POLLIN };
    if (r->out && r->stored > 0) fputs("sync\n", r->out);
    record_flush(r);
    if (r->out && r->stored > 0 && poll(&p, 1, PATIENCE_MS) == 1 &&
        read(r->stored, &byte, 1) < 0)
        r->stored = 0;
}

void record_num(Recorder *r, const char *name, long step, double value)
{
    if (!r->out) return;
    fprintf(r->out, "num %s %ld %.17g\n", name, step, value);
}

void record_text(Recorder *r, const char *key, const char *text)
{
    if (!r->out) return;
    fprintf(r->out, "text %s ", key);
    for (; *text; text++) fputc(*text == '\n' ? ' ' : *text, r->out);
    fputc('\n', r->out);
}

void record_span(Recorder *r, const char *phase, long step, double seconds)
{
    if (!r->out) return;
    fprintf(r->out, "span %s %ld %.9f\n", phase, step, seconds);
}

void record_sample(Recorder *r, const char *name, long round, long position, double ns, long iters)
{
    if (!r->out) return;
    fprintf(r->out, "sample %s %ld %ld %.3f %ld\n", name, round, position, ns, iters);
}

/* 1: the whole word is a number */
static int whole_long(const char *word, long *x)
{
    char *end;
    *x = strtol(word, &end, 10);
    return end != word && !*end;
}

static int whole_double(const char *word, double *x)
{
    char *end;
    *x = strtod(word, &end);
    return end != word && !*end;
}

int record_parse(char *line, Record *l)
{
    char *save = NULL, *word[4];
    int n = 0;
    line[strcspn(line, "\n")] = 0;
    *l = (Record){ 0 };
    const char *kind = strtok_r(line, " ", &save);
    if (!kind || !(l->name = strtok_r(NULL, " ", &save))) return 0;
    if (!strcmp(kind, "text")) {
        l->kind = 't';
        l->text = save ? save : "";
        return 1;
    }
    while (n < 4 && (word[n] = strtok_r(NULL, " ", &save))) n++;
    if (n < 2 || strtok_r(NULL, " ", &save) || !whole_long(word[0], &l->step)) return 0;
    if (!strcmp(kind, "sample")) {
        l->kind = 'p';
        return n == 4 && whole_long(word[1], &l->position) && whole_double(word[2], &l->value) &&
               whole_long(word[3], &l->iters);
    }
    l->kind = *kind == 'n' ? 'n' : 's';
    return n == 2 && (!strcmp(kind, "num") || !strcmp(kind, "span")) &&
           whole_double(word[1], &l->value);
}
