/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/sweep/grid.h"
#include "harness/util/file.h"
#include "harness/util/yaml.h"
#include <string.h>
#include <unistd.h>

#define GRID_FILE "words"        /* in messages, of which grid_without_place removes it */

typedef struct GridWord { const char *key, **level; int levels; } GridWord;
typedef struct Grid {
    Arena      *a;
    GridWord   *word;
    int         n;
    const char *seeds;           /* as YAML has them; "": not given */
    Spec       *once;            /* what was given, to find what is given twice */
} Grid;

int grid_is_word(const char *argument)
{
    const size_t end = strcspn(argument, "=/");
    return end > 0 && argument[end] == '=';
}

char *grid_next_level(char **rest)
{
    char *at = *rest, *end;
    if (*at == '[') {
        end = strchr(++at, ']');
        if (!end || (end[1] && end[1] != ',')) return NULL;
        *end++ = 0;
    } else
        end = at + strcspn(at, ",");
    *rest = *end ? end + 1 : NULL;
    *end = 0;
    return at;
}

/* As a value of YAML, whatever characters it has */
static const char *grid_value(const char *text, Arena *a)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-";
    char *out = arena_raw(a, 2 * strlen(text) + 3), *to = out;
    if (*text && !text[strspn(text, plain)] && *text != '-' && *text != '.') return text;
    *to++ = '\'';
    for (; *text; *to++ = *text++)
        if (*text == '\'') *to++ = '\'';
    strcpy(to, "'");
    return out;
}

static const char *grid_list(const char *const *level, int n, Arena *a)
{
    const char *all = "";
    for (int i = 0; i < n; i++)
        all = arena_text(a, "%s%s%s", all, i ? ", " : "", grid_value(level[i], a));
    return arena_text(a, "[%s]", all);
}

/* seeds=3: how many; seeds=1,4 and seeds=[7]: these */
static const char *grid_read_seeds(Grid *g, const char *word, char *value)
{
    const char **seed = arena_array(g->a, strlen(value) + 1, sizeof *seed);
    const int bracket = *value == '[';
    int n = 0;
    if (*g->seeds) return arena_text(g->a, "%s: 'seeds' is given twice", word);
    if (bracket) {
        char *rest = value;
        value = grid_next_level(&rest);
        if (!value || rest)
            return arena_text(g->a, "%s: expected how many, or one list: seeds=3, seeds=[1,4]",
                              word);
    }
    for (char *one; (one = strsep(&value, ",")); ) seed[n++] = one;
    g->seeds = n > 1 || bracket ? grid_list(seed, n, g->a) : grid_value(seed[0], g->a);
    return NULL;
}

static const char *grid_read_levels(Grid *g, const char *word, const char *key, char *value)
{
    GridWord *w = &g->word[g->n];
    const char *why = NULL;
    *w = (GridWord){ .key = key,
                     .level = arena_array(g->a, strlen(value) + 1, sizeof *w->level) };
    for (char *rest = value; rest && !why; w->levels++) {
        const char *level = grid_next_level(&rest);
        if (!level)
            return arena_text(g->a, "%s: expected levels with commas between; a level that has "
                                    "commas in brackets: dilations=[1,4,64],[1]", word);
        if (!*level) return arena_text(g->a, "%s: expected a value before and after a comma", word);
        const char *one = arena_text(g->a, "%s=%s", key, level);
        w->level[w->levels] = level;
        why = w->levels ? spec_set(g->once, one) : spec_set_word(g->once, one);
    }
    g->n++;
    return why;
}

static const char *grid_read_word(Grid *g, const char *word)
{
    char *key = arena_text(g->a, "%s", word), *value = strchr(key, '=');
    if (!value || value == key)
        return arena_text(g->a, "%s: expected key=value, as all words of a grid", word);
    *value++ = 0;
    if (!strcmp(key, "seeds")) return grid_read_seeds(g, word, value);
    if (!strcmp(key, "seed"))
        return arena_text(g->a, "%s: expected seeds=N, how many, or a list: seeds=[7]", word);
    return grid_read_levels(g, word, key, value);
}

/* The word that is a factor though it has one level, where none has more; -1: there is no such */
static int grid_only_factor(const Grid *g)
{
    int first = -1;
    for (int i = g->n - 1; i >= 0; i--) {
        if (g->word[i].levels > 1) return -1;
        if (strcmp(g->word[i].key, "budget")) first = i;
    }
    return first;
}

static const char *grid_text(const Grid *g, const char *name, const char *words)
{
    const char *fixed = "", *factors = "", *budget = "";
    const int only = grid_only_factor(g);
    for (int i = 0; i < g->n; i++) {
        const GridWord *w = &g->word[i];
        const char *one = grid_value(w->level[0], g->a);
        if (w->levels > 1 || i == only)
            factors = arena_text(g->a, "%s  %s: %s\n", factors, w->key,
                                 grid_list(w->level, w->levels, g->a));
        else if (!strcmp(w->key, "budget")) budget = arena_text(g->a, "budget: %s\n", one);
        else fixed = arena_text(g->a, "%s%s%s: %s", fixed, *fixed ? ", " : "", w->key, one);
    }
    if (!*factors) return NULL;
    if (*fixed) fixed = arena_text(g->a, "fixed: {%s}\n", fixed);
    const char *seeds = *g->seeds ? arena_text(g->a, "seeds: %s\n", g->seeds) : "";
    const char *question = grid_value(arena_text(g->a, "eightysix sweep %s", words), g->a);
    return arena_text(g->a, "question: %s\nname: %s\n%sfactors:\n%s%s%s", question,
                      grid_value(name, g->a), fixed, factors, seeds, budget);
}

/* A message without its "FILE:LINE:COLUMN: ": there is no file */
static const char *grid_without_place(const char *why)
{
    if (strncmp(why, GRID_FILE ":", strlen(GRID_FILE ":"))) return why;
    why += strlen(GRID_FILE ":");
    for (int i = 0; i < 2 && why[strspn(why, "0123456789")] == ':'; i++) why = strchr(why, ':') + 1;
    return why + strspn(why, " ");
}

Experiment *grid_experiment(const char *name, const char *const *words, int n, Arena *a,
                            const char **why)
{
    Grid g = { .a = a, .seeds = "", .once = spec_new(a) };
    const char *all = "";
    *why = NULL;
    g.word = arena_array(a, (size_t)n + 1, sizeof *g.word);
    for (int i = 0; i < n && !*why; i++) {
        *why = grid_read_word(&g, words[i]);
        all = arena_text(a, "%s%s%s", all, *all ? " " : "", words[i]);
    }
    if (*why) return NULL;
    const char *text = grid_text(&g, name, all);
    if (!text) {
        *why = arena_text(a, "%s: expected a setting and its levels too: head=softmax,tree", all);
        return NULL;
    }
    Experiment *e = experiment_parse(GRID_FILE, text, strlen(text), NULL, 0, a, why);
    if (!e) *why = grid_without_place(*why);
    for (ExperimentUse *u = e ? e->uses : NULL; u; u = u->next) u->place = "";
    return e;
}

const char *grid_save(const Experiment *e, const char *path, Arena *a)
{
    const char *why = NULL;
    size_t len;
    if (!access(path, F_OK)) {
        const char *there = yaml_load(path, &len, a, &why);
        if (why || (len == strlen(e->text) && !memcmp(there, e->text, len))) return why;
        return arena_text(a, "%s: is there already and says something else; expected the name of a "
                             "new file", path);
    }
    FILE *f = file_begin(path, a, &why);
    if (!f) return why;
    fputs(e->text, f);
    return file_commit(f, path, a);
}
