/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Functions that read a part of the file return NULL, or the sentence that refuses it. */
#include "harness/doc.h"
#include "harness/exp.h"
#include "harness/host.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct Load {
    Doc             doc;
    Arena          *a;
    Exp            *e;
    Spec           *base;          /* the fixed settings */
    const char    **owner;         /* per setting: what sets it, NULL: nothing yet */
} Load;

static int setting_index(const char *key)
{
    for (int i = 0; settings[i].key; i++)
        if (!strcmp(settings[i].key, key)) return i;
    return -1;
}

/* Checks key = value, gives the setting to `owner`, and stores the word. */
static const char *read_word(Load *l, const Node *key, const Node *value, const char *owner, const char **word)
{
    const char *why = doc_want_scalar(&l->doc, value, doc_text(key));
    if (why) return why;
    const int i = setting_index(doc_text(key));
    if (i >= 0 && !strcmp(doc_text(key), "seed")) return doc_at(&l->doc, key, "seed: expected in the list 'seeds'");
    if (i >= 0 && l->owner[i] && strcmp(l->owner[i], owner))
        return doc_at(&l->doc, key, "'%s' is already set by %s; a setting is set in one place only", doc_text(key), l->owner[i]);
    *word = arena_text(l->a, "%s=%s", doc_text(key), doc_text(value));
    Budget b;
    why = spec_set(spec_new(l->a), *word);
    if (why) return doc_at(&l->doc, i < 0 ? key : value, "%s", why);
    if (!strcmp(doc_text(key), "budget") && (why = spec_budget(doc_text(value), &b))) return doc_at(&l->doc, value, "budget: %s", why);
    l->owner[i] = owner;
    return NULL;
}

static const char *read_fixed(Load *l, const Node *n)
{
    const char *why = doc_want_map(&l->doc, n, "fixed"), *word;
    for (int i = 0; !why && i < doc_pairs(n); i++) {
        why = read_word(l, doc_key(&l->doc, n, i), doc_value(&l->doc, n, i), "'fixed'", &word);
        if (!why) CHECK(!spec_set(l->base, word));
    }
    return why;
}

static const char *read_values(Load *l, const Node *key, const Node *n, const char *owner, Factor *f)
{
    f->levels = doc_items(n);
    f->level = arena_get(l->a, sizeof *f->level * (size_t)f->levels);
    for (int i = 0; i < f->levels; i++) {
        Node *value = doc_item(&l->doc, n, i);
        Level *level = &f->level[i];
        level->word = arena_get(l->a, sizeof *level->word);
        level->words = 1;
        const char *why = read_word(l, key, value, owner, level->word);
        if (why) return why;
        level->label = arena_text(l->a, "%s", doc_text(value));
        for (int j = 0; j < i; j++)
            if (!strcmp(f->level[j].label, level->label))
                return doc_at(&l->doc, value, "'%s' is listed twice in factor '%s'", level->label, f->name);
    }
    return NULL;
}

static const char *read_levels(Load *l, const Node *n, const char *owner, Factor *f)
{
    const char *why = doc_want_map(&l->doc, n, f->name);
    if (why) return why;
    f->levels = doc_pairs(n);
    f->level = arena_get(l->a, sizeof *f->level * (size_t)f->levels);
    for (int i = 0; i < f->levels; i++) {
        const Node *name = doc_key(&l->doc, n, i), *words = doc_value(&l->doc, n, i);
        Level *level = &f->level[i];
        if ((why = doc_want_name(&l->doc, name, "a label"))) return why;
        if ((why = doc_want_map(&l->doc, words, doc_text(name)))) return why;
        level->label = arena_text(l->a, "%s", doc_text(name));
        level->words = doc_pairs(words);
        level->word = arena_get(l->a, sizeof *level->word * (size_t)level->words);
        for (int j = 0; j < level->words; j++)
            if ((why = read_word(l, doc_key(&l->doc, words, j), doc_value(&l->doc, words, j), owner, &level->word[j]))) return why;
    }
    return NULL;
}

static const char *read_factors(Load *l, const Node *n)
{
    const char *why = doc_want_map(&l->doc, n, "factors");
    if (why) return why;
    l->e->factors = doc_pairs(n);
    l->e->factor = arena_get(l->a, sizeof *l->e->factor * (size_t)l->e->factors);
    for (int i = 0; i < l->e->factors; i++) {
        const Node *key = doc_key(&l->doc, n, i), *value = doc_value(&l->doc, n, i);
        Factor *f = &l->e->factor[i];
        if ((why = doc_want_name(&l->doc, key, "a factor"))) return why;
        f->name = arena_text(l->a, "%s", doc_text(key));
        f->baseline = -1;
        if (!strcmp(f->name, "seed")) return doc_at(&l->doc, key, "seed: expected in the list 'seeds'");
        const char *owner = arena_text(l->a, "factor '%s'", f->name);
        if (value->type == YAML_SCALAR_NODE)
            return doc_at(&l->doc, value, "factor '%s': expected a list [a, b] or labels with their settings", f->name);
        why = value->type == YAML_SEQUENCE_NODE ? read_values(l, key, value, owner, f) : read_levels(l, value, owner, f);
        if (why) return why;
        if (!f->levels) return doc_at(&l->doc, value, "factor '%s': expected at least one level", f->name);
    }
    return NULL;
}

static const char *read_baseline(Load *l, const Node *n)
{
    const char *why = doc_want_map(&l->doc, n, "baseline");
    for (int i = 0; !why && i < doc_pairs(n); i++) {
        const Node *key = doc_key(&l->doc, n, i), *value = doc_value(&l->doc, n, i);
        if ((why = doc_want_scalar(&l->doc, value, doc_text(key)))) return why;
        Factor *f = NULL;
        for (int j = 0; j < l->e->factors; j++)
            if (!strcmp(l->e->factor[j].name, doc_text(key))) f = &l->e->factor[j];
        if (!f) return doc_at(&l->doc, key, "baseline: there is no factor '%s'", doc_text(key));
        for (int j = 0; j < f->levels; j++)
            if (!strcmp(f->level[j].label, doc_text(value))) f->baseline = j;
        if (f->baseline < 0) return doc_at(&l->doc, value, "baseline: factor '%s' has no level '%s'", f->name, doc_text(value));
    }
    for (int j = 0; !why && j < l->e->factors; j++)
        if (l->e->factor[j].baseline < 0) return doc_at(&l->doc, n, "baseline: expected a level of factor '%s'", l->e->factor[j].name);
    return why;
}

static const char *read_long(Load *l, const Node *n, const char *what, long low, long high, long *out)
{
    const char *why = doc_want_scalar(&l->doc, n, what);
    if (why) return why;
    char *end;
    errno = 0;
    *out = strtol(doc_text(n), &end, 10);
    if (end == doc_text(n) || *end || errno || *out < low || *out > high)
        return doc_at(&l->doc, n, "%s '%.40s': expected a whole number from %ld to %ld", what, doc_text(n), low, high);
    return NULL;
}

static const char *read_seeds(Load *l, const Node *n)
{
    Exp *e = l->e;
    const char *why;
    if (n->type == YAML_SEQUENCE_NODE) {
        e->seeds = doc_items(n);
        e->seed = arena_get(l->a, sizeof *e->seed * (size_t)e->seeds);
        if (!e->seeds) return doc_at(&l->doc, n, "seeds: expected at least one");
        for (int i = 0; i < e->seeds; i++) {
            if ((why = read_long(l, doc_item(&l->doc, n, i), "a seed", 0, 1000000000, &e->seed[i]))) return why;
            for (int j = 0; j < i; j++)
                if (e->seed[j] == e->seed[i]) return doc_at(&l->doc, doc_item(&l->doc, n, i), "seed %ld is listed twice", e->seed[i]);
        }
        return NULL;
    }
    long count = 0;
    if ((why = read_long(l, n, "seeds", 1, EXP_MAX_CELLS, &count))) return why;
    e->seeds = (int)count;
    e->seed = arena_get(l->a, sizeof *e->seed * (size_t)count);
    for (int i = 0; i < e->seeds; i++) e->seed[i] = i + 1;
    return NULL;
}

static const char *read_limits(Load *l, const Node *n)
{
    const char *why = doc_want_map(&l->doc, n, "limits");
    for (int i = 0; !why && i < doc_pairs(n); i++) {
        const Node *key = doc_key(&l->doc, n, i), *value = doc_value(&l->doc, n, i);
        if ((why = doc_want_scalar(&l->doc, value, doc_text(key)))) return why;
        char *unit;
        const double x = strtod(doc_text(value), &unit);
        const int number = unit != doc_text(value) && x > 0 && x < 1e9;
        if (!strcmp(doc_text(key), "seconds")) {
            if (!number || *unit) return doc_at(&l->doc, value, "seconds: expected a number above 0");
            l->e->seconds = x;
        } else if (!strcmp(doc_text(key), "memory")) {
            const double kb = !strcmp(unit, "GB") ? 1 << 20 : !strcmp(unit, "MB") ? 1 << 10 : !strcmp(unit, "kB");
            if (!number || !(kb * x >= 1)) return doc_at(&l->doc, value, "memory: expected a size in kB, MB or GB: 2GB");
            l->e->memory_kb = (long)(kb * x);
        } else return doc_at(&l->doc, key, "limits: unknown key '%s'; expected seconds, memory", doc_text(key));
    }
    return why;
}

static const char *read_budget(Load *l, const Node *key, const Node *n)
{
    const char *word, *why = read_word(l, key, n, "'budget'", &word);
    if (!why) CHECK(!spec_set(l->base, word));
    return why;
}

static const char *read_sentence(Load *l, const Node *n, const char *key, const char **out)
{
    const char *why = doc_want_scalar(&l->doc, n, key);
    if (!why) *out = arena_text(l->a, "%s", doc_text(n));
    return why;
}

static const char *read_key(Load *l, const Node *key, const Node *value)
{
    Exp *e = l->e;
    const char *k = doc_text(key), *why = NULL;
    if (!strcmp(k, "question")) return read_sentence(l, value, k, &e->question);
    if (!strcmp(k, "expectation")) return read_sentence(l, value, k, &e->expectation);
    if (!strcmp(k, "fixed")) return read_fixed(l, value);
    if (!strcmp(k, "factors")) return read_factors(l, value);
    if (!strcmp(k, "seeds")) return read_seeds(l, value);
    if (!strcmp(k, "limits")) return read_limits(l, value);
    if (!strcmp(k, "budget")) return read_budget(l, key, value);
    if (!strcmp(k, "baseline")) return NULL;                 /* after the factors, wherever it stands */
    if (!strcmp(k, "name") || !strcmp(k, "figure")) {
        if ((why = doc_want_name(&l->doc, value, k))) return why;
        return read_sentence(l, value, k, *k == 'n' ? &e->name : &e->figure);
    }
    return doc_at(&l->doc, key, "unknown key '%.60s'; expected name, question, expectation, fixed, factors, baseline, seeds, budget, "
              "limits or figure", k);
}

static const char *read_root(void *ctx, const Node *root)
{
    Load *l = ctx;
    const Node *baseline = NULL;
    const char *why = doc_want_map(&l->doc, root, "an experiment");
    for (int i = 0; !why && i < doc_pairs(root); i++) {
        why = read_key(l, doc_key(&l->doc, root, i), doc_value(&l->doc, root, i));
        if (!strcmp(doc_text(doc_key(&l->doc, root, i)), "baseline")) baseline = doc_value(&l->doc, root, i);
    }
    if (why) return why;
    if (!*l->e->question) return doc_at(&l->doc, root, "expected a key 'question'");
    if (!l->e->factors) return doc_at(&l->doc, root, "expected a key 'factors' with at least one factor");
    return baseline ? read_baseline(l, baseline) : NULL;
}

/* The words of the command line take the place of fixed settings. */
static const char *override(Load *l, const char *const *words, int n)
{
    const char *all = "";
    for (int i = 0; i < n; i++) {
        const char *why = spec_set(l->base, words[i]);
        if (why) return why;
        char *key = arena_text(l->a, "%s", words[i]);
        key[strcspn(key, "=")] = 0;
        const char *owner = l->owner[setting_index(key)];
        if (owner && !strncmp(owner, "factor", 6))
            return arena_text(l->a, "%s: '%s' belongs to %s of %s; choose among its levels with --filter", words[i], key, owner,
                              l->doc.file);
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

static void fill_cell(Load *l, Cell *c, const int *level, long seed)
{
    const Exp *e = l->e;
    c->spec = spec_copy(l->base, l->a);
    c->seed = seed;
    c->label = "";
    c->level = memcpy(arena_raw(l->a, sizeof *level * (size_t)e->factors), level, sizeof *level * (size_t)e->factors);
    for (int f = 0; f < e->factors; f++) {
        const Level *v = &e->factor[f].level[level[f]];
        for (int w = 0; w < v->words; w++) CHECK(!spec_set(c->spec, v->word[w]));
        c->label = arena_text(l->a, "%s%s%s=%s", c->label, f ? " " : "", e->factor[f].name, v->label);
    }
    char word[40];
    snprintf(word, sizeof word, "seed=%ld", seed);
    CHECK(!spec_set(c->spec, word));
    const char *canonical = spec_text(c->spec);
    c->key = sha256_hex(canonical, strlen(canonical), arena_raw(l->a, 65));
}

static const char *make_cells(Load *l)
{
    Exp *e = l->e;
    long cells = e->seeds;
    for (int f = 0; f < e->factors && cells <= EXP_MAX_CELLS; f++) cells *= e->factor[f].levels;
    if (cells > EXP_MAX_CELLS) return arena_text(l->a, "%s: more than %d cells", l->doc.file, EXP_MAX_CELLS);
    e->cells = (int)cells;
    e->cell = arena_get(l->a, sizeof *e->cell * (size_t)cells);
    int *level = arena_get(l->a, sizeof *level * (size_t)e->factors);
    for (int i = 0; i < e->cells; i++) {
        fill_cell(l, &e->cell[i], level, e->seed[i % e->seeds]);
        for (int j = 0; j < i; j++)
            if (!strcmp(e->cell[i].key, e->cell[j].key))
                return arena_text(l->a, "%s: the cells '%s' and '%s' have the same settings", l->doc.file, e->cell[j].label,
                                  e->cell[i].label);
        if ((i + 1) % e->seeds) continue;
        for (int f = e->factors - 1; f >= 0 && ++level[f] == e->factor[f].levels; f--) level[f] = 0;
    }
    return NULL;
}

Exp *exp_parse(const char *file, const char *yaml, size_t len, const char *const *words, int n, Arena *a, const char **why)
{
    int count = 0;
    while (settings[count].key) count++;
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file, *dot = strrchr(base, '.');
    Exp *e = arena_get(a, sizeof *e);
    Load l = { .doc = { .file = file, .a = a }, .a = a, .e = e, .base = spec_new(a), .owner = arena_get(a, sizeof(char *) * (size_t)count) };
    e->name = arena_text(a, "%.*s", (int)(dot ? dot - base : (long)strlen(base)), base);
    e->question = e->expectation = e->figure = e->overrides = "";
    e->text = arena_text(a, "%.*s", (int)len, yaml);
    e->seeds = 1;
    *(e->seed = arena_get(a, sizeof *e->seed)) = 1;
    *why = doc_parse(&l.doc, yaml, len, "an experiment", read_root, &l);
    if (!*why) *why = override(&l, words, n);
    if (!*why) *why = make_cells(&l);
    return *why ? NULL : e;
}

Exp *exp_load(const char *path, const char *const *words, int n, Arena *a, const char **why)
{
    size_t len;
    const char *yaml = doc_load(path, &len, a, why);
    return yaml ? exp_parse(path, yaml, len, words, n, a, why) : NULL;
}
