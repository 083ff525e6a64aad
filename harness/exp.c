/* SPDX-License-Identifier: GPL-3.0-or-later */
/* YAML by libyaml, read as a document tree whose nodes know their line and column. Functions that read a part of it
 * return NULL, or the sentence that refuses it. */
#include "harness/exp.h"
#include "harness/host.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef yaml_node_t Node;
typedef struct Load {
    const char     *file;
    yaml_document_t doc;
    Arena          *a;
    Exp            *e;
    Spec           *base;          /* the fixed settings */
    const char    **owner;         /* per setting: what sets it, NULL: nothing yet */
} Load;

static const char *at(Load *l, const Node *n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static const char *at(Load *l, const Node *n, const char *fmt, ...)
{
    char what[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return arena_text(l->a, "%s:%zu:%zu: %s", l->file, n->start_mark.line + 1, n->start_mark.column + 1, what);
}

static Node       *node(Load *l, int id)      { return yaml_document_get_node(&l->doc, id); }
static const char *text(const Node *n)        { return (const char *)n->data.scalar.value; }
static int         pairs(const Node *n)       { return (int)(n->data.mapping.pairs.top - n->data.mapping.pairs.start); }
static int         items(const Node *n)       { return (int)(n->data.sequence.items.top - n->data.sequence.items.start); }
static Node       *key_of(Load *l, const Node *n, int i)   { return node(l, n->data.mapping.pairs.start[i].key); }
static Node       *value_of(Load *l, const Node *n, int i) { return node(l, n->data.mapping.pairs.start[i].value); }
static Node       *item_of(Load *l, const Node *n, int i)  { return node(l, n->data.sequence.items.start[i]); }

static const char *want_scalar(Load *l, const Node *n, const char *what)
{
    if (n->type != YAML_SCALAR_NODE) return at(l, n, "%s: expected a single value", what);
    if (strlen(text(n)) != n->data.scalar.length) return at(l, n, "%s: expected no zero byte", what);
    return NULL;
}

/* a mapping whose keys are single values, each once */
static const char *want_map(Load *l, const Node *n, const char *what)
{
    if (n->type != YAML_MAPPING_NODE) return at(l, n, "%s: expected a mapping (key: value)", what);
    for (int i = 0; i < pairs(n); i++) {
        const char *why = want_scalar(l, key_of(l, n, i), "a key");
        if (why) return why;
        for (int j = 0; j < i; j++)
            if (!strcmp(text(key_of(l, n, i)), text(key_of(l, n, j))))
                return at(l, key_of(l, n, i), "'%s' is given twice, first in line %zu", text(key_of(l, n, i)),
                          key_of(l, n, j)->start_mark.line + 1);
    }
    return NULL;
}

static const char *want_name(Load *l, const Node *n, const char *what)
{
    const char *why = want_scalar(l, n, what);
    if (why) return why;
    const size_t len = strspn(text(n), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-");
    if (!len || text(n)[len] || *text(n) == '.' || len > 60)
        return at(l, n, "%s '%.80s': expected letters, digits, '_', '-', '+', '.', 60 at most", what, text(n));
    return NULL;
}

static int setting_index(const char *key)
{
    for (int i = 0; settings[i].key; i++)
        if (!strcmp(settings[i].key, key)) return i;
    return -1;
}

/* Checks key = value, gives the setting to `owner`, and stores the word. */
static const char *read_word(Load *l, const Node *key, const Node *value, const char *owner, const char **word)
{
    const char *why = want_scalar(l, value, text(key));
    if (why) return why;
    const int i = setting_index(text(key));
    if (i >= 0 && !strcmp(text(key), "seed")) return at(l, key, "seed: expected in the list 'seeds'");
    if (i >= 0 && l->owner[i] && strcmp(l->owner[i], owner))
        return at(l, key, "'%s' is already set by %s; a setting is set in one place only", text(key), l->owner[i]);
    *word = arena_text(l->a, "%s=%s", text(key), text(value));
    Budget b;
    why = spec_set(spec_new(l->a), *word);
    if (why) return at(l, i < 0 ? key : value, "%s", why);
    if (!strcmp(text(key), "budget") && (why = spec_budget(text(value), &b))) return at(l, value, "budget: %s", why);
    l->owner[i] = owner;
    return NULL;
}

static const char *read_fixed(Load *l, const Node *n)
{
    const char *why = want_map(l, n, "fixed"), *word;
    for (int i = 0; !why && i < pairs(n); i++) {
        why = read_word(l, key_of(l, n, i), value_of(l, n, i), "'fixed'", &word);
        if (!why) CHECK(!spec_set(l->base, word));
    }
    return why;
}

static const char *read_values(Load *l, const Node *key, const Node *n, const char *owner, Factor *f)
{
    f->levels = items(n);
    f->level = arena_get(l->a, sizeof *f->level * (size_t)f->levels);
    for (int i = 0; i < f->levels; i++) {
        Node *value = item_of(l, n, i);
        Level *level = &f->level[i];
        level->word = arena_get(l->a, sizeof *level->word);
        level->words = 1;
        const char *why = read_word(l, key, value, owner, level->word);
        if (why) return why;
        level->label = arena_text(l->a, "%s", text(value));
        for (int j = 0; j < i; j++)
            if (!strcmp(f->level[j].label, level->label))
                return at(l, value, "'%s' is listed twice in factor '%s'", level->label, f->name);
    }
    return NULL;
}

static const char *read_levels(Load *l, const Node *n, const char *owner, Factor *f)
{
    const char *why = want_map(l, n, f->name);
    if (why) return why;
    f->levels = pairs(n);
    f->level = arena_get(l->a, sizeof *f->level * (size_t)f->levels);
    for (int i = 0; i < f->levels; i++) {
        const Node *name = key_of(l, n, i), *words = value_of(l, n, i);
        Level *level = &f->level[i];
        if ((why = want_name(l, name, "a label"))) return why;
        if ((why = want_map(l, words, text(name)))) return why;
        level->label = arena_text(l->a, "%s", text(name));
        level->words = pairs(words);
        level->word = arena_get(l->a, sizeof *level->word * (size_t)level->words);
        for (int j = 0; j < level->words; j++)
            if ((why = read_word(l, key_of(l, words, j), value_of(l, words, j), owner, &level->word[j]))) return why;
    }
    return NULL;
}

static const char *read_factors(Load *l, const Node *n)
{
    const char *why = want_map(l, n, "factors");
    if (why) return why;
    l->e->factors = pairs(n);
    l->e->factor = arena_get(l->a, sizeof *l->e->factor * (size_t)l->e->factors);
    for (int i = 0; i < l->e->factors; i++) {
        const Node *key = key_of(l, n, i), *value = value_of(l, n, i);
        Factor *f = &l->e->factor[i];
        if ((why = want_name(l, key, "a factor"))) return why;
        f->name = arena_text(l->a, "%s", text(key));
        f->baseline = -1;
        if (!strcmp(f->name, "seed")) return at(l, key, "seed: expected in the list 'seeds'");
        const char *owner = arena_text(l->a, "factor '%s'", f->name);
        if (value->type == YAML_SCALAR_NODE)
            return at(l, value, "factor '%s': expected a list [a, b] or labels with their settings", f->name);
        why = value->type == YAML_SEQUENCE_NODE ? read_values(l, key, value, owner, f) : read_levels(l, value, owner, f);
        if (why) return why;
        if (!f->levels) return at(l, value, "factor '%s': expected at least one level", f->name);
    }
    return NULL;
}

static const char *read_baseline(Load *l, const Node *n)
{
    const char *why = want_map(l, n, "baseline");
    for (int i = 0; !why && i < pairs(n); i++) {
        const Node *key = key_of(l, n, i), *value = value_of(l, n, i);
        if ((why = want_scalar(l, value, text(key)))) return why;
        Factor *f = NULL;
        for (int j = 0; j < l->e->factors; j++)
            if (!strcmp(l->e->factor[j].name, text(key))) f = &l->e->factor[j];
        if (!f) return at(l, key, "baseline: there is no factor '%s'", text(key));
        for (int j = 0; j < f->levels; j++)
            if (!strcmp(f->level[j].label, text(value))) f->baseline = j;
        if (f->baseline < 0) return at(l, value, "baseline: factor '%s' has no level '%s'", f->name, text(value));
    }
    for (int j = 0; !why && j < l->e->factors; j++)
        if (l->e->factor[j].baseline < 0) return at(l, n, "baseline: expected a level of factor '%s'", l->e->factor[j].name);
    return why;
}

static const char *read_long(Load *l, const Node *n, const char *what, long low, long high, long *out)
{
    const char *why = want_scalar(l, n, what);
    if (why) return why;
    char *end;
    errno = 0;
    *out = strtol(text(n), &end, 10);
    if (end == text(n) || *end || errno || *out < low || *out > high)
        return at(l, n, "%s '%.40s': expected a whole number from %ld to %ld", what, text(n), low, high);
    return NULL;
}

static const char *read_seeds(Load *l, const Node *n)
{
    Exp *e = l->e;
    const char *why;
    if (n->type == YAML_SEQUENCE_NODE) {
        e->seeds = items(n);
        e->seed = arena_get(l->a, sizeof *e->seed * (size_t)e->seeds);
        if (!e->seeds) return at(l, n, "seeds: expected at least one");
        for (int i = 0; i < e->seeds; i++) {
            if ((why = read_long(l, item_of(l, n, i), "a seed", 0, 1000000000, &e->seed[i]))) return why;
            for (int j = 0; j < i; j++)
                if (e->seed[j] == e->seed[i]) return at(l, item_of(l, n, i), "seed %ld is listed twice", e->seed[i]);
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
    const char *why = want_map(l, n, "limits");
    for (int i = 0; !why && i < pairs(n); i++) {
        const Node *key = key_of(l, n, i), *value = value_of(l, n, i);
        if ((why = want_scalar(l, value, text(key)))) return why;
        char *unit;
        const double x = strtod(text(value), &unit);
        const int number = unit != text(value) && x > 0 && x < 1e9;
        if (!strcmp(text(key), "seconds")) {
            if (!number || *unit) return at(l, value, "seconds: expected a number above 0");
            l->e->seconds = x;
        } else if (!strcmp(text(key), "memory")) {
            const double kb = !strcmp(unit, "GB") ? 1 << 20 : !strcmp(unit, "MB") ? 1 << 10 : !strcmp(unit, "kB");
            if (!number || !(kb * x >= 1)) return at(l, value, "memory: expected a size in kB, MB or GB: 2GB");
            l->e->memory_kb = (long)(kb * x);
        } else return at(l, key, "limits: unknown key '%s'; expected seconds, memory", text(key));
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
    const char *why = want_scalar(l, n, key);
    if (!why) *out = arena_text(l->a, "%s", text(n));
    return why;
}

static const char *read_key(Load *l, const Node *key, const Node *value)
{
    Exp *e = l->e;
    const char *k = text(key), *why = NULL;
    if (!strcmp(k, "question")) return read_sentence(l, value, k, &e->question);
    if (!strcmp(k, "expectation")) return read_sentence(l, value, k, &e->expectation);
    if (!strcmp(k, "fixed")) return read_fixed(l, value);
    if (!strcmp(k, "factors")) return read_factors(l, value);
    if (!strcmp(k, "seeds")) return read_seeds(l, value);
    if (!strcmp(k, "limits")) return read_limits(l, value);
    if (!strcmp(k, "budget")) return read_budget(l, key, value);
    if (!strcmp(k, "baseline")) return NULL;                 /* after the factors, wherever it stands */
    if (!strcmp(k, "name") || !strcmp(k, "figure")) {
        if ((why = want_name(l, value, k))) return why;
        return read_sentence(l, value, k, *k == 'n' ? &e->name : &e->figure);
    }
    return at(l, key, "unknown key '%.60s'; expected name, question, expectation, fixed, factors, baseline, seeds, budget, "
              "limits or figure", k);
}

static const char *read_document(Load *l)
{
    const Node *root = yaml_document_get_root_node(&l->doc), *baseline = NULL;
    if (!root) return arena_text(l->a, "%s:1:1: the file is empty; expected an experiment", l->file);
    const char *why = want_map(l, root, "an experiment");
    for (int i = 0; !why && i < pairs(root); i++) {
        why = read_key(l, key_of(l, root, i), value_of(l, root, i));
        if (!strcmp(text(key_of(l, root, i)), "baseline")) baseline = value_of(l, root, i);
    }
    if (why) return why;
    if (!*l->e->question) return at(l, root, "expected a key 'question'");
    if (!l->e->factors) return at(l, root, "expected a key 'factors' with at least one factor");
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
                              l->file);
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
    if (cells > EXP_MAX_CELLS) return arena_text(l->a, "%s: more than %d cells", l->file, EXP_MAX_CELLS);
    e->cells = (int)cells;
    e->cell = arena_get(l->a, sizeof *e->cell * (size_t)cells);
    int *level = arena_get(l->a, sizeof *level * (size_t)e->factors);
    for (int i = 0; i < e->cells; i++) {
        fill_cell(l, &e->cell[i], level, e->seed[i % e->seeds]);
        for (int j = 0; j < i; j++)
            if (!strcmp(e->cell[i].key, e->cell[j].key))
                return arena_text(l->a, "%s: the cells '%s' and '%s' have the same settings", l->file, e->cell[j].label,
                                  e->cell[i].label);
        if ((i + 1) % e->seeds) continue;
        for (int f = e->factors - 1; f >= 0 && ++level[f] == e->factor[f].levels; f--) level[f] = 0;
    }
    return NULL;
}

static const char *parse_document(Load *l, yaml_parser_t *p)
{
    if (!yaml_parser_load(p, &l->doc)) {
        yaml_mark_t m = p->problem_mark;
        const char *context = p->context ? p->context : "";
        return arena_text(l->a, "%s:%zu:%zu: not YAML: %s%s%s", l->file, m.line + 1, m.column + 1, context, *context ? ", " : "",
                          p->problem ? p->problem : "out of memory");
    }
    const char *why = read_document(l);
    yaml_document_delete(&l->doc);
    if (why) return why;
    if (!yaml_parser_load(p, &l->doc))
        return arena_text(l->a, "%s:%zu:%zu: not YAML: %s", l->file, p->problem_mark.line + 1, p->problem_mark.column + 1,
                          p->problem ? p->problem : "out of memory");
    const Node *second = yaml_document_get_root_node(&l->doc);
    if (second) why = at(l, second, "expected one document only");
    yaml_document_delete(&l->doc);
    return why;
}

Exp *exp_parse(const char *file, const char *yaml, size_t len, const char *const *words, int n, Arena *a, const char **why)
{
    int count = 0;
    while (settings[count].key) count++;
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file, *dot = strrchr(base, '.');
    Exp *e = arena_get(a, sizeof *e);
    Load l = { .file = file, .a = a, .e = e, .base = spec_new(a), .owner = arena_get(a, sizeof(char *) * (size_t)count) };
    e->name = arena_text(a, "%.*s", (int)(dot ? dot - base : (long)strlen(base)), base);
    e->question = e->expectation = e->figure = e->overrides = "";
    e->text = arena_text(a, "%.*s", (int)len, yaml);
    e->seeds = 1;
    *(e->seed = arena_get(a, sizeof *e->seed)) = 1;
    yaml_parser_t p;
    if (!yaml_parser_initialize(&p)) die("out of memory");
    yaml_parser_set_input_string(&p, (const unsigned char *)yaml, len);
    *why = parse_document(&l, &p);
    yaml_parser_delete(&p);
    if (!*why) *why = override(&l, words, n);
    if (!*why) *why = make_cells(&l);
    return *why ? NULL : e;
}

Exp *exp_load(const char *path, const char *const *words, int n, Arena *a, const char **why)
{
    char *yaml = arena_raw(a, EXP_MAX_BYTES + 1);
    FILE *f = fopen(path, "rb");
    const size_t len = f ? fread(yaml, 1, EXP_MAX_BYTES + 1, f) : 0;
    const int bad = !f || ferror(f), error = errno;
    if (f) fclose(f);
    *why = NULL;
    if (bad) *why = arena_text(a, "%s: cannot be read: %s", path, strerror(error));
    else if (len > EXP_MAX_BYTES) *why = arena_text(a, "%s: longer than %d bytes", path, EXP_MAX_BYTES);
    return *why ? NULL : exp_parse(path, yaml, len, words, n, a, why);
}
