/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/util/options.h"
#include "harness/util/file.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const Option *option_find(const Option *o, const char *argument)
{
    const size_t len = strcspn(argument, "=");
    for (; o->name; o++)
        if (strlen(o->name) == len && !memcmp(o->name, argument, len)) return o;
    return NULL;
}

int options_read(int argc, char **argv, const Option *options, const char *help)
{
    int others = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(help, stdout);
            exit(file_end_stdout(0));
        }
        if (strncmp(argv[i], "--", 2)) {
            argv[++others] = argv[i];
            continue;
        }
        const Option *o = option_find(options, argv[i]);
        const char *eq = strchr(argv[i], '=');
        if (!o) die("%s: no such option; `eightysix %s --help` shows them", argv[i], argv[0]);
        if (o->flag && eq && !o->value) die("%s: expected no value", argv[i]);
        if (o->flag) *o->flag = 1;
        if (eq) *o->value = eq + 1;
        else if (o->flag && o->value && i + 1 < argc && isdigit((unsigned char)*argv[i + 1]))
            *o->value = argv[++i];
        else if (o->flag) continue;
        else if (i + 1 < argc) *o->value = argv[++i];
        else die("%s: expected a value", argv[i]);
    }
    return others;
}

/* 1: the text is a whole number within the bounds */
static int option_whole(const char *text, long least, long most, long *x)
{
    char *end;
    errno = 0;
    *x = strtol(text, &end, 10);
    return !errno && end != text && !*end && *x >= least && *x <= most;
}

long option_int(const char *option, const char *text, long least, long most)
{
    long x;
    if (!option_whole(text, least, most, &x))
        die("%s %s: expected a whole number from %ld to %ld", option, text, least, most);
    return x;
}

long word_int(const char *word, long least, long most)
{
    long x;
    if (!option_whole(strchr(word, '=') + 1, least, most, &x))
        die("%s: expected a whole number from %ld to %ld", word, least, most);
    return x;
}

double option_number(const char *option, const char *text, double least, double most)
{
    char *end;
    const double x = strtod(text, &end);
    if (end == text || *end || !(x >= least && x <= most))
        die("%s %s: expected a number from %g to %g", option, text, least, most);
    return x;
}
