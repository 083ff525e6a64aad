/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/rec.h"
#include <stdlib.h>
#include <string.h>

void rec_flush(Rec *r)
{
    if (r->out) fflush(r->out);
}

void rec_num(Rec *r, const char *name, long step, double value)
{
    if (!r->out) return;
    fprintf(r->out, "num %s %ld %.17g\n", name, step, value);
}

void rec_text(Rec *r, const char *key, const char *text)
{
    if (!r->out) return;
    fprintf(r->out, "text %s ", key);
    for (; *text; text++) fputc(*text == '\n' ? ' ' : *text, r->out);
    fputc('\n', r->out);
}

void rec_span(Rec *r, const char *phase, long step, double seconds)
{
    if (!r->out) return;
    fprintf(r->out, "span %s %ld %.9f\n", phase, step, seconds);
}

void rec_sample(Rec *r, const char *name, long round, long position, double ns, long iters)
{
    if (!r->out) return;
    fprintf(r->out, "sample %s %ld %ld %.3f %ld\n", name, round, position, ns, iters);
}

int rec_parse(char *line, RecLine *l)
{
    char *save = NULL;
    line[strcspn(line, "\n")] = 0;
    *l = (RecLine){ 0 };
    const char *kind = strtok_r(line, " ", &save);
    if (!kind) return 0;
    l->name = strtok_r(NULL, " ", &save);
    if (!l->name) return 0;
    if (!strcmp(kind, "text")) {
        l->kind = 't';
        l->text = save ? save : "";
        return 1;
    }
    char *word[4];
    int n = 0;
    while (n < 4 && (word[n] = strtok_r(NULL, " ", &save))) n++;
    if (!strcmp(kind, "sample") && n == 4) {
        l->kind = 'p';
        l->position = strtol(word[1], NULL, 10);
        l->value = strtod(word[2], NULL);
        l->iters = strtol(word[3], NULL, 10);
    } else if ((!strcmp(kind, "num") || !strcmp(kind, "span")) && n == 2) {
        l->kind = *kind == 'n' ? 'n' : 's';
        l->value = strtod(word[1], NULL);
    } else return 0;
    l->step = strtol(word[0], NULL, 10);
    return 1;
}
