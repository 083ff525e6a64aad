/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which corpora there are. */
#include "harness/corpus/cache.h"
#include "harness/corpus/data_parts.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *corpus_check(const char *name, Arena *a)
{
    const char *why = NULL;
    if (!strcmp(name, "synth") || source_find(name, a, &why)) return NULL;
    for (const Recipe *r = recipes; r->name; r++)
        if (!strcmp(r->name, name) && *r->vocab) return NULL;
    return why;
}

static void corpora_list_one(FILE *out, const char *name, Arena *a)
{
    const char *why = NULL;
    const Source *s = source_find(name, a, &why);
    if (!s) return;
    fprintf(out, "  %-20s vocab=%-6s", name, s->vocab);
    for (int i = 0; i < 3; i++) {
        struct stat st;
        if (s->path[i] && !stat(s->path[i], &st))
            fprintf(out, " %s %.1f MB", split_names[i], (double)st.st_size / 1e6);
    }
    fprintf(out, "  %s\n", s->path[0]);
}

/* Directories with a train.txt[.xz]. */
static int corpora_list_dir(FILE *out, const char *dir, Arena *a)
{
    struct dirent **entry;
    int found = 0;
    const char *why = NULL;
    const int n = scandir(dir, &entry, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = entry[i]->d_name;
        const int hidden = *name == '.' || strchr(name, ' ') || !strcmp(name, "cache");
        if (!hidden && source_find(name, a, &why)) {
            corpora_list_one(out, name, a);
            found++;
        }
        free(entry[i]);
    }
    if (n >= 0) free(entry);
    return found;
}

void corpora_list(FILE *out)
{
    Arena a = arena_new((size_t)64 << 20);
    fputs("corpora here (corpus=NAME), vocabularies they ask for, sizes as stored, place:\n"
          "  synth                vocab=synth  made from corpus_seed; its entropy is known\n", out);
    int found = corpora_list_dir(out, data_dir(), &a);
    if (strcmp(data_dir(), "data")) found += corpora_list_dir(out, "data", &a);
    if (!found) fprintf(out, "  (no texts in %s: set EIGHTYSIX_DATA, or fetch one)\n", data_dir());
    fputs("\nto be had (eightysix tokenize fetch NAME):\n", out);
    for (const Recipe *r = recipes; r->name; r++)
        fprintf(out, "  %-20s %-34s %s\n", r->name, r->file,
                *r->sha256 ? "" : "needs sha256=HEX from you");
    arena_drop(&a);
}
