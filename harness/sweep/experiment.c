/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading an experiment. Functions that read a part of the file return NULL or an error message. */
#include "harness/util/share.h"
#include "harness/util/yaml.h"
#include "harness/sweep/experiment_parts.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Checks key = value, gives the setting to `owner`, and stores the word. */
static const char *experiment_read_word(ExperimentFile *l, const Node *key, const Node *value,
                                        const char *owner, const char **word)
{
    const char *why = yaml_want_scalar(&l->doc, value, yaml_text(key));
    if (why) return why;
    const int i = spec_find(yaml_text(key), strlen(yaml_text(key)));
    if (i >= 0 && !strcmp(yaml_text(key), "seed"))
        return yaml_at(&l->doc, key, "seed: expected in the list 'seeds'");
    if (i >= 0 && l->owner[i] && strcmp(l->owner[i], owner))
        return yaml_at(&l->doc, key,
                       "'%s' is already set by %s; a setting is set in one place only",
                       yaml_text(key), l->owner[i]);
    *word = arena_text(l->a, "%s=%s", yaml_text(key), yaml_text(value));
    Budget b;
    Spec *alone = spec_new(l->a);
    why = spec_set(alone, *word);
    if (why) return yaml_at(&l->doc, i < 0 ? key : value, "%s", why);
    if (!strcmp(yaml_text(key), "budget") && (why = spec_budget(yaml_text(value), &b)))
        return yaml_at(&l->doc, value, "budget: %s", why);
    if ((why = spec_check_each(alone))) return yaml_at(&l->doc, value, "%s", why);
    l->owner[i] = owner;
    l->place[i] = yaml_at(&l->doc, value, "%s", "");
    if (!strcmp(yaml_text(key), "corpus"))
        experiment_use(l, "corpus", yaml_text(value), l->place[i]);
    return NULL;
}

static const char *experiment_read_fixed(ExperimentFile *l, const Node *n)
{
    const char *why = yaml_want_map(&l->doc, n, "fixed"), *word;
    for (int i = 0; !why && i < yaml_pairs(n); i++) {
        const Node *key = yaml_key(&l->doc, n, i), *value = yaml_value(&l->doc, n, i);
        why = experiment_read_word(l, key, value, "'fixed'", &word);
        if (!why) CHECK(!spec_set(l->base, word));
    }
    return why;
}

static const char *experiment_read_values(ExperimentFile *l, const Node *key, const Node *n,
                                          const char *owner, Factor *f)
{
    f->levels = yaml_items(n);
    f->level = arena_get(l->a, sizeof *f->level * (size_t)f->levels);
    for (int i = 0; i < f->levels; i++) {
        Node *value = yaml_item(&l->doc, n, i);
        Level *level = &f->level[i];
        level->word = arena_get(l->a, sizeof *level->word);
        level->words = 1;
        const char *why = experiment_read_word(l, key, value, owner, level->word);
        if (why) return why;
        level->label = arena_text(l->a, "%s", yaml_text(value));
        for (int j = 0; j < i; j++)
            if (!strcmp(f->level[j].label, level->label))
                return yaml_at(&l->doc, value, "'%s' is listed twice in factor '%s'", level->label,
                               f->name);
    }
    return NULL;
}

static const char *experiment_read_levels(ExperimentFile *l, const Node *n, const char *owner,
                                          Factor *f)
{
    const char *why = yaml_want_map(&l->doc, n, f->name);
    if (why) return why;
    f->levels = yaml_pairs(n);
    f->level = arena_get(l->a, sizeof *f->level * (size_t)f->levels);
    for (int i = 0; i < f->levels; i++) {
        const Node *name = yaml_key(&l->doc, n, i), *words = yaml_value(&l->doc, n, i);
        Level *level = &f->level[i];
        if ((why = yaml_want_name(&l->doc, name, "a label"))) return why;
        if ((why = yaml_want_map(&l->doc, words, yaml_text(name)))) return why;
        level->label = arena_text(l->a, "%s", yaml_text(name));
        level->word = arena_get(l->a, sizeof *level->word * (size_t)yaml_pairs(words));
        for (int j = 0; j < yaml_pairs(words); j++) {
            const Node *key = yaml_key(&l->doc, words, j), *value = yaml_value(&l->doc, words, j);
            const char **word = &level->word[level->words];
            if (experiment_is_of_program(yaml_text(key))) continue;
            if ((why = experiment_read_word(l, key, value, owner, word))) return why;
            level->words++;
        }
        if ((why = experiment_read_peer(l, words, owner, &level->peer))) return why;
    }
    return NULL;
}

static const char *experiment_read_factors(ExperimentFile *l, const Node *n)
{
    const char *why = yaml_want_map(&l->doc, n, "factors");
    if (why) return why;
    l->e->factors = yaml_pairs(n);
    l->e->factor = arena_get(l->a, sizeof *l->e->factor * (size_t)l->e->factors);
    for (int i = 0; i < l->e->factors; i++) {
        const Node *key = yaml_key(&l->doc, n, i), *value = yaml_value(&l->doc, n, i);
        Factor *f = &l->e->factor[i];
        if ((why = yaml_want_name(&l->doc, key, "a factor"))) return why;
        f->name = arena_text(l->a, "%s", yaml_text(key));
        f->baseline = -1;
        if (!strcmp(f->name, "seed"))
            return yaml_at(&l->doc, key, "seed: expected in the list 'seeds'");
        if (!strcmp(f->name, "baseline"))
            return yaml_at(&l->doc, key, "baseline: expected beside 'factors', not as one");
        const char *owner = arena_text(l->a, "factor '%s'", f->name);
        if (value->type == YAML_SCALAR_NODE)
            return yaml_at(&l->doc, value,
                           "factor '%s': expected a list [a, b] or labels with their settings",
                           f->name);
        why = value->type == YAML_SEQUENCE_NODE ? experiment_read_values(l, key, value, owner, f)
                                                : experiment_read_levels(l, value, owner, f);
        if (why) return why;
        if (!f->levels)
            return yaml_at(&l->doc, value, "factor '%s': expected at least one level", f->name);
    }
    return NULL;
}

static const char *experiment_read_sentence(ExperimentFile *l, const Node *n, const char *key,
                                            const char **out)
{
    const char *why = yaml_want_scalar(&l->doc, n, key);
    if (why) return why;
    *out = arena_text(l->a, "%s", yaml_text(n));
    return (*out)[strspn(*out, " \t\n")] ? NULL : yaml_at(&l->doc, n, "%s: expected words", key);
}

/* A level of every factor, or the label of a cell; the cell is looked for when there are cells */
static const char *experiment_read_baseline(ExperimentFile *l, const Node *n)
{
    l->baseline_at = yaml_at(&l->doc, n, "%s", "");
    if (n->type == YAML_SCALAR_NODE)
        return experiment_read_sentence(l, n, "baseline", &l->e->baseline);
    const char *why = yaml_want_map(&l->doc, n, "baseline");
    for (int i = 0; !why && i < yaml_pairs(n); i++) {
        const Node *key = yaml_key(&l->doc, n, i), *value = yaml_value(&l->doc, n, i);
        if ((why = yaml_want_scalar(&l->doc, value, yaml_text(key)))) return why;
        Factor *f = NULL;
        for (int j = 0; j < l->e->factors; j++)
            if (!strcmp(l->e->factor[j].name, yaml_text(key))) f = &l->e->factor[j];
        if (!f) return yaml_at(&l->doc, key, "baseline: there is no factor '%s'", yaml_text(key));
        for (int j = 0; j < f->levels; j++)
            if (!strcmp(f->level[j].label, yaml_text(value))) f->baseline = j;
        if (f->baseline < 0)
            return yaml_at(&l->doc, value, "baseline: factor '%s' has no level '%s'", f->name,
                           yaml_text(value));
    }
    for (int j = 0; !why && j < l->e->factors; j++)
        if (l->e->factor[j].baseline < 0)
            return yaml_at(&l->doc, n, "baseline: expected a level of factor '%s'",
                           l->e->factor[j].name);
    return why;
}

static const char *experiment_read_long(ExperimentFile *l, const Node *n, const char *what,
                                        long low, long high, long *out)
{
    const char *why = yaml_want_scalar(&l->doc, n, what);
    if (why) return why;
    char *end;
    errno = 0;
    *out = strtol(yaml_text(n), &end, 10);
    if (end == yaml_text(n) || *end || errno || *out < low || *out > high)
        return yaml_at(&l->doc, n, "%s '%.40s': expected a whole number from %ld to %ld", what,
                       yaml_text(n), low, high);
    return NULL;
}

static const char *experiment_read_seeds(ExperimentFile *l, const Node *n)
{
    Experiment *e = l->e;
    const char *why;
    if (n->type == YAML_SEQUENCE_NODE) {
        e->seeds = yaml_items(n);
        e->seed = arena_get(l->a, sizeof *e->seed * (size_t)e->seeds);
        if (!e->seeds) return yaml_at(&l->doc, n, "seeds: expected at least one");
        for (int i = 0; i < e->seeds; i++) {
            const Node *item = yaml_item(&l->doc, n, i);
            why = experiment_read_long(l, item, "a seed", 0, 1000000000, &e->seed[i]);
            if (why) return why;
            for (int j = 0; j < i; j++)
                if (e->seed[j] == e->seed[i])
                    return yaml_at(&l->doc, item, "seed %ld is listed twice", e->seed[i]);
        }
        return NULL;
    }
    long count = 0;
    if ((why = experiment_read_long(l, n, "seeds", 1, EXPERIMENT_MAX_CELLS, &count))) return why;
    e->seeds = (int)count;
    e->seed = arena_get(l->a, sizeof *e->seed * (size_t)count);
    for (int i = 0; i < e->seeds; i++) e->seed[i] = i + 1;
    return NULL;
}

static const char *experiment_read_limits(ExperimentFile *l, const Node *n)
{
    const char *why = yaml_want_map(&l->doc, n, "limits");
    for (int i = 0; !why && i < yaml_pairs(n); i++) {
        const Node *key = yaml_key(&l->doc, n, i), *value = yaml_value(&l->doc, n, i);
        if ((why = yaml_want_scalar(&l->doc, value, yaml_text(key)))) return why;
        char *unit;
        const double x = strtod(yaml_text(value), &unit);
        const int number = unit != yaml_text(value) && x > 0 && x < 1e9;
        if (!strcmp(yaml_text(key), "seconds")) {
            if (!number || *unit)
                return yaml_at(&l->doc, value, "seconds: expected a number above 0");
            l->e->seconds = x;
        } else if (!strcmp(yaml_text(key), "memory")) {
            const double kb = !strcmp(unit, "GB")   ? 1 << 20
                              : !strcmp(unit, "MB") ? 1 << 10
                                                    : !strcmp(unit, "kB");
            if (!number || !(kb * x >= 1))
                return yaml_at(&l->doc, value, "memory: expected a size in kB, MB or GB: 2GB");
            l->e->memory_kb = (long)(kb * x);
        } else
            return yaml_at(&l->doc, key, "limits: unknown key '%s'; expected seconds, memory",
                           yaml_text(key));
    }
    return why;
}

void experiment_use(ExperimentFile *l, const char *kind, const char *name, const char *place)
{
    ExperimentUse *use = arena_get(l->a, sizeof *use);
    const int overrides = !*place;
    *use = (ExperimentUse){ .kind = arena_text(l->a, "%s", kind),
                            .name = arena_text(l->a, "%s", name), .place = place };
    ExperimentUse **end = &l->e->uses;
    while (*end) {
        if (overrides && !strcmp((*end)->kind, kind)) *end = (*end)->next;
        else end = &(*end)->next;
    }
    *end = use;
}

static const char *experiment_read_budget(ExperimentFile *l, const Node *key, const Node *n)
{
    const char *word, *why = experiment_read_word(l, key, n, "'budget'", &word);
    if (!why) CHECK(!spec_set(l->base, word));
    return why;
}

static const char *experiment_read_measures(ExperimentFile *l, const Node *value)
{
    const char *why = yaml_want_name(&l->doc, value, "measures");
    if (why) return why;
    const int loss = !strcmp(yaml_text(value), "loss");
    if (!loss && strcmp(yaml_text(value), "speed"))
        return yaml_at(&l->doc, value, "measures '%.40s': expected loss or speed",
                       yaml_text(value));
    l->e->measures = loss ? DB_LOSS : DB_SPEED;
    l->measures_given = 1;
    return NULL;
}

static const char *experiment_read_key(ExperimentFile *l, const Node *key, const Node *value)
{
    Experiment *e = l->e;
    const char *k = yaml_text(key), *why = NULL;
    if (!strcmp(k, "question")) return experiment_read_sentence(l, value, k, &e->question);
    if (!strcmp(k, "expectation")) return experiment_read_sentence(l, value, k, &e->expectation);
    if (!strcmp(k, "fixed")) return experiment_read_fixed(l, value);
    if (!strcmp(k, "factors")) return experiment_read_factors(l, value);
    if (!strcmp(k, "seeds")) return experiment_read_seeds(l, value);
    if (!strcmp(k, "limits")) return experiment_read_limits(l, value);
    if (!strcmp(k, "budget")) return experiment_read_budget(l, key, value);
    /* after the factors, wherever it stands */
    if (!strcmp(k, "baseline")) return NULL;
    if (!strcmp(k, "name") || !strcmp(k, "figure")) {
        if ((why = yaml_want_name(&l->doc, value, k))) return why;
        if (*k == 'f') experiment_use(l, k, yaml_text(value), yaml_at(&l->doc, value, "%s", ""));
        return experiment_read_sentence(l, value, k, *k == 'n' ? &e->name : &e->figure);
    }
    if (!strcmp(k, "measures")) return experiment_read_measures(l, value);
    return yaml_at(&l->doc, key,
                   "unknown key '%.60s'; expected name, question, expectation, fixed, factors, "
                   "baseline, seeds, budget, limits, figure or measures",
                   k);
}

/* Unless the file says: a speed where the budget of a cell counts seconds, else a loss */
static void experiment_measure(ExperimentFile *l)
{
    Budget b;
    if (l->measures_given) return;
    l->e->measures = DB_LOSS;
    for (int i = 0; i < l->e->cells; i++)
        if (!spec_budget(spec_str(l->e->cell[i].spec, "budget"), &b) && b.seconds > 0)
            l->e->measures = DB_SPEED;
}

static const char *experiment_read_root(void *ctx, const Node *root)
{
    ExperimentFile *l = ctx;
    const Node *baseline = NULL;
    const char *why = yaml_want_map(&l->doc, root, "an experiment");
    for (int i = 0; !why && i < yaml_pairs(root); i++) {
        why = experiment_read_key(l, yaml_key(&l->doc, root, i), yaml_value(&l->doc, root, i));
        if (!strcmp(yaml_text(yaml_key(&l->doc, root, i)), "baseline"))
            baseline = yaml_value(&l->doc, root, i);
    }
    if (why) return why;
    if (!*l->e->question) return yaml_at(&l->doc, root, "expected a key 'question'");
    if (!l->e->factors)
        return yaml_at(&l->doc, root, "expected a key 'factors' with at least one factor");
    return baseline ? experiment_read_baseline(l, baseline) : NULL;
}

/* The words of the command line take the place of fixed settings. */
static const char *experiment_override(ExperimentFile *l, const char *const *words, int n)
{
    const char *all = "";
    Spec *once = spec_new(l->a);
    for (int i = 0; i < n; i++) {
        const char *why = spec_set_word(once, words[i]);
        if (!why) why = spec_set(l->base, words[i]);
        if (why) return why;
        char *key = arena_text(l->a, "%s", words[i]);
        key[strcspn(key, "=")] = 0;
        const int at = spec_find(key, strlen(key));
        const char *owner = l->owner[at];
        l->place[at] = "";
        if (!strcmp(key, "corpus")) experiment_use(l, key, spec_str(l->base, key), "");
        if (owner && !strncmp(owner, "factor", 6))
            return arena_text(l->a,
                              "%s: '%s' belongs to %s of %s; choose among its levels with --filter",
                              words[i], key, owner, l->doc.file);
        if (!strcmp(key, "seed")) {
            l->e->seeds = 1;
            *(l->e->seed = arena_get(l->a, sizeof *l->e->seed)) = spec_int(l->base, "seed");
        }
        Budget b;
        if (!strcmp(key, "budget") && (why = spec_budget(spec_str(l->base, key), &b)))
            return arena_text(l->a, "%s: %s", words[i], why);
        all = arena_text(l->a, "%s%s%s", all, *all ? " " : "", words[i]);
    }
    l->e->overrides = all;
    return NULL;
}

Experiment *experiment_parse(const char *file, const char *yaml, size_t len,
                             const char *const *words, int n, Arena *a, const char **why)
{
    int count = 0;
    while (settings[count].key) count++;
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file,
               *dot = strrchr(base, '.');
    Experiment *e = arena_get(a, sizeof *e);
    ExperimentFile l = { .doc = { .file = file, .a = a },
               .a = a,
               .e = e,
               .base = spec_new(a),
               .owner = arena_get(a, sizeof(char *) * (size_t)count),
               .place = arena_get(a, sizeof(char *) * (size_t)count) };
    e->name = arena_text(a, "%.*s", (int)(dot ? dot - base : (long)strlen(base)), base);
    e->question = e->expectation = e->figure = e->baseline = e->overrides = "";
    e->text = arena_text(a, "%.*s", (int)len, yaml);
    e->seeds = 1;
    *(e->seed = arena_get(a, sizeof *e->seed)) = 1;
    *why = yaml_parse(&l.doc, yaml, len, "an experiment", experiment_read_root, &l);
    if (!*why) *why = experiment_override(&l, words, n);
    if (!*why) *why = experiment_make_cells(&l);
    if (!*why) experiment_measure(&l);
    return *why ? NULL : e;
}

Experiment *experiment_load(const char *path, const char *const *words, int n, Arena *a,
                            const char **why)
{
    size_t len;
    path = share_experiment(path, a);
    const char *yaml = yaml_load(path, &len, a, why);
    return yaml ? experiment_parse(path, yaml, len, words, n, a, why) : NULL;
}
