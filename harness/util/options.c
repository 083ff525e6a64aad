/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/util/options.h"
#include "kernels/base.h"
#include <stdlib.h>
#include <string.h>

static const Option *find(const Option *o, const char *word)
{
    const size_t len = strcspn(word, "=");
    for (; o->name; o++)
        if (strlen(o->name) == len && !memcmp(o->name, word, len)) return o;
    return NULL;
}

int options_read(int argc, char **argv, const Option *options, const char *help)
{
    int words = 0;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2)) {
            argv[++words] = argv[i];
            continue;
        }
        if (!strcmp(argv[i], "--help")) {
            fputs(help, stdout);
            exit(0);
        }
        const Option *o = find(options, argv[i]);
        const char *eq = strchr(argv[i], '=');
        if (!o) die("%s: no such option; `eightysix %s --help` shows them", argv[i], argv[0]);
        if (o->flag && eq) die("%s: expected no value", argv[i]);
        if (o->flag) *o->flag = 1;
        else if (eq) *o->value = eq + 1;
        else if (i + 1 < argc) *o->value = argv[++i];
        else die("%s: expected a value", argv[i]);
    }
    return words;
}
