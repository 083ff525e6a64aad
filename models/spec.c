/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/spec.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const Setting settings[] = {
#define S(key, type, value, min, max, applies, cell, doc)                                          \
    { key, type, value, doc, min, max, applies, cell },
#include "models/settings.def"
#undef S
    { NULL, NULL, NULL, NULL, 0, 0, NULL, 0 }
};
enum { N = sizeof settings / sizeof *settings - 1, MAX_WORD = 4096 };

struct Spec {
    Arena      *arena;
    const char *value[N];
    char        given[N];
};

int spec_find(const char *key, size_t len)
{
    for (int i = 0; i < N; i++)
        if (strlen(settings[i].key) == len && !memcmp(settings[i].key, key, len)) return i;
    return -1;
}

#define Z(size, model, d, layers, attn_heads, parameters)                                          \
    { size, #model, parameters,                                                                    \
      { { "d", #d }, { "layers", #layers }, { "attn_heads", #attn_heads } } },
const SpecSize spec_sizes[] = {
#include "models/sizes.def"
    { NULL, NULL, 0, { { NULL, NULL } } }
};
#undef Z

static const SpecSize *spec_size(const Spec *s)
{
    const char *size = s->value[spec_find("size", strlen("size"))],
               *model = s->value[spec_find("model", strlen("model"))];
    for (const SpecSize *z = spec_sizes; z->size; z++)
        if (!strcmp(z->size, size) && !strcmp(z->model, model)) return z;
    return NULL;
}

/* The value of setting i: given, of the size, or the default */
static const char *spec_value(const Spec *s, int i)
{
    int k = 0;
    while (k < SPEC_SIZED && strcmp(spec_sizes[0].sets[k].key, settings[i].key)) k++;
    const SpecSize *z = s->given[i] || k == SPEC_SIZED ? NULL : spec_size(s);
    return z && strcmp(z->sets[k].value, "0") ? z->sets[k].value : s->value[i];
}

/* Levenshtein's distance, for the nearest known key */
static int spec_distance(const char *a, size_t na, const char *b)
{
    int row[64];
    const int nb = (int)strlen(b);
    for (int j = 0; j <= nb; j++) row[j] = j;
    for (int i = 1; i <= (int)na; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            const int up = row[j], change = diagonal + (a[i - 1] != b[j - 1]);
            int best = up < row[j - 1] ? up + 1 : row[j - 1] + 1;
            if (change < best) best = change;
            diagonal = up;
            row[j] = best;
        }
    }
    return row[nb];
}

static const char *spec_nearest(const char *key, size_t len)
{
    int best = 1 << 30;
    const char *name = "";
    for (int i = 0; i < N; i++) {
        const int d = spec_distance(key, len, settings[i].key);
        if (d < best) {
            best = d;
            name = settings[i].key;
        }
    }
    return name;
}

static int spec_in_choice(const char *type, const char *value)
{
    const size_t len = strlen(value);
    for (const char *s = type + strlen("one of "); *s; ) {
        const size_t n = strcspn(s, "|");
        if (n == len && !memcmp(s, value, n)) return 1;
        s += n + (s[n] == '|');
    }
    return 0;
}

static int spec_is_number(const char *s, int integer, const char **end)
{
    char *e;
    errno = 0;
    *end = s;
    if (integer) strtol(s, &e, 10);
    else if (!isfinite(strtod(s, &e))) return 0;
    *end = e;
    return e != s && !(integer && errno);
}

static int spec_valid(const char *type, const char *v)
{
    const char *end;
    if (!strcmp(type, "text")) return 1;
    if (!strcmp(type, "flag")) return !strcmp(v, "0") || !strcmp(v, "1");
    if (!strcmp(type, "int")) return spec_is_number(v, 1, &end) && !*end;
    if (!strcmp(type, "num")) return spec_is_number(v, 0, &end) && !*end;
    if (!strcmp(type, "list")) {
        while (spec_is_number(v, 1, &end) && *end == ',') v = end + 1;
        return end != v && !*end;
    }
    return spec_in_choice(type, v);
}

static int spec_is_ranged(const Setting *s) { return s->min < s->max; }

/* "an int from 1 to 65536" */
static const char *spec_expected(const Setting *s, Arena *a)
{
    const int one = !strcmp(s->type, "int"), real = !strcmp(s->type, "num");
    const char *type = one ? "an int" : real ? "a num" : "a list of ints";
    if (!strcmp(s->type, "flag")) return "0 or 1";
    if (!spec_is_ranged(s)) return s->type;
    return arena_text(a, "%s from %.16g to %.16g", type, s->min, s->max);
}

/* A valid value of numbers lies in the range. Ints are compared as such: 9e18 + 1 is no double */
static int spec_in_range(const Setting *s, const char *v)
{
    const int real = !strcmp(s->type, "num");
    if (!spec_is_ranged(s)) return 1;
    for (;;) {
        char *end;
        const double x = real ? strtod(v, &end) : 0;
        const long n = real ? 0 : strtol(v, &end, 10);
        if (real ? !(x >= s->min && x <= s->max) : n < (long)s->min || n > (long)s->max) return 0;
        if (!*end) return 1;
        v = end + 1;
    }
}

/* Whether a value beyond the range, which a checkpoint of an older program has, can be used: sizes
 * nothing, and fits a float */
static int spec_harmless(const Setting *s, const char *v)
{
    static const char *const unsized[] = { "seed", "corpus_seed", "freeze", "warmup" };
    if (!strcmp(s->type, "num")) return fabs(strtod(v, NULL)) <= 1e30;
    for (size_t i = 0; i < sizeof unsized / sizeof *unsized; i++)
        if (!strcmp(s->key, unsized[i])) return 1;
    return 0;
}

Spec *spec_new(Arena *a)
{
    Spec *s = arena_get(a, sizeof *s);
    s->arena = a;
    for (int i = 0; i < N; i++) s->value[i] = settings[i].value;
    return s;
}

Spec *spec_copy(const Spec *from, Arena *a)
{
    Spec *s = arena_raw(a, sizeof *s);
    *s = *from;
    s->arena = a;
    for (int i = 0; i < N; i++)
        if (s->given[i]) s->value[i] = arena_text(a, "%s", from->value[i]);
    return s;
}

/* stored: where a warning goes if the value may lie beyond its range; NULL: it may not */
static const char *spec_put(Spec *s, int i, const char *value, const char **stored)
{
    const Setting *t = &settings[i];
    const int valid = spec_valid(t->type, value), inside = valid && spec_in_range(t, value);
    if (!inside) {
        const char *why = arena_text(s->arena, "%s=%s: expected %s (%s)", t->key, value,
                                     spec_expected(t, s->arena), t->doc);
        if (!valid || !stored || !spec_harmless(t, value)) return why;
        *stored = why;
    }
    s->value[i] = arena_text(s->arena, "%s", value);
    s->given[i] = 1;
    return NULL;
}

static const char *spec_set_from(Spec *s, const char *word, const char **stored)
{
    const char *eq = strchr(word, '=');
    if (!eq) return arena_text(s->arena, "'%s': expected key=value", word);
    const size_t len = (size_t)(eq - word);
    if (strlen(word) > MAX_WORD)
        return arena_text(s->arena, "'%.40s...': longer than %d bytes", word, MAX_WORD);
    const int i = spec_find(word, len);
    if (i < 0) {
        if (len > 40)
            return arena_text(
                s->arena, "unknown setting '%.40s...'; `eightysix list settings` shows them all",
                word);
        return arena_text(s->arena,
                          "unknown setting '%.*s'; the nearest is '%s' (`eightysix list settings` "
                          "shows them all)",
                          (int)len, word, spec_nearest(word, len));
    }
    if (strpbrk(eq + 1, " \t\r\n"))
        return arena_text(s->arena, "%s: expected no white space in '%s'", settings[i].key, eq + 1);
    return spec_put(s, i, eq + 1, stored);
}

const char *spec_set(Spec *s, const char *word) { return spec_set_from(s, word, NULL); }

const char *spec_set_stored(Spec *s, const char *word, const char **warning)
{
    *warning = NULL;
    return spec_set_from(s, word, warning);
}

void spec_unset(Spec *s, const char *key)
{
    const int i = spec_find(key, strlen(key));
    CHECK(i >= 0);
    s->value[i] = settings[i].value;
    s->given[i] = 0;
}

const char *spec_set_words(Spec *s, const char *words)
{
    const char *why = NULL;
    char *copy = arena_text(s->arena, "%s", words), *save = NULL;
    for (char *w = strtok_r(copy, " ", &save); w && !why; w = strtok_r(NULL, " ", &save))
        why = spec_set(s, w);
    return why;
}

const char *spec_set_word(Spec *s, const char *word)
{
    const int i = spec_find(word, strcspn(word, "="));
    if (i >= 0 && s->given[i])
        return arena_text(s->arena, "%.40s: '%s' is given twice; before it was %.40s", word,
                          settings[i].key, s->value[i]);
    return spec_set(s, word);
}

const char *spec_str(const Spec *s, const char *key)
{
    const int i = spec_find(key, strlen(key));
    CHECK(i >= 0);
    return spec_value(s, i);
}

long   spec_int(const Spec *s, const char *key) { return strtol(spec_str(s, key), NULL, 10); }
double spec_num(const Spec *s, const char *key) { return strtod(spec_str(s, key), NULL); }
int spec_is(const Spec *s, const char *key, const char *value)
{
    return !strcmp(spec_str(s, key), value);
}

int spec_list(const Spec *s, const char *key, long *out, int max)
{
    const char *v = spec_str(s, key);
    int n = 0;
    while (*v && n < max) {
        char *end;
        out[n++] = strtol(v, &end, 10);
        v = *end ? end + 1 : end;
    }
    return n;
}

int spec_bf16(const Spec *s, const char *product)
{
    const size_t len = strlen(product);
    if (spec_is(s, "precision", "bf16")) return 1;
    for (const char *v = spec_str(s, "precision"); *v; v += strcspn(v, "+"), v += *v == '+')
        if (strcspn(v, "+") == len && !memcmp(v, product, len)) return 1;
    return 0;
}

int spec_given(const Spec *s, const char *key)
{
    const int i = spec_find(key, strlen(key));
    CHECK(i >= 0);
    return s->given[i];
}

#define M(name, quant) { #name, #quant },
static const struct { const char *model, *quant; } spec_natives[] = {
#include "models/models.def"
};
#undef M

static const char *spec_native_quant(const Spec *s)
{
    for (size_t i = 0; i < sizeof spec_natives / sizeof *spec_natives; i++)
        if (spec_is(s, "model", spec_natives[i].model)) return spec_natives[i].quant;
    return "none";                                /* a model that there is not: refused elsewhere */
}

const char *spec_quant(const Spec *s)
{
    return spec_is(s, "quant", "native") ? spec_native_quant(s) : spec_str(s, "quant");
}

/* Setting i is as if it had not been given */
static int spec_plain(const Spec *s, int i)
{
    if (!strcmp(spec_value(s, i), settings[i].value)) return 1;
    return !strcmp(settings[i].key, "quant") && !strcmp(s->value[i], spec_native_quant(s));
}

const char *spec_text(const Spec *s)
{
    size_t size = 1;
    for (int i = 0; i < N; i++) size += strlen(settings[i].key) + strlen(spec_value(s, i)) + 2;
    char *out = arena_get(s->arena, size), *p = out;
    for (int i = 0; i < N; i++)
        if (settings[i].cell && !spec_plain(s, i))
            p += sprintf(p, "%s%s=%s", p > out ? " " : "", settings[i].key, spec_value(s, i));
    return out;
}

const char *spec_budget(const char *text, Budget *b)
{
    char *unit;
    *b = (Budget){ 0 };
    const double x = strtod(text, &unit);
    if (unit == text || !(x >= 0) || x > 1e15)
        return "expected a number with a unit: 60s, 5m, 2h, 2Mtokens or 500steps";
    const double most = 1e15;
    const double scale = *unit == 'k' ? 1e3 : *unit == 'M' ? 1e6 : *unit == 'G' ? 1e9 : 1;
    const char *u = scale > 1 ? unit + 1 : unit;
    if (x * scale > most) return "expected at most 1e15 seconds, tokens or steps";
    if (!strcmp(u, "tokens")) b->tokens = (long)(x * scale);
    else if (!strcmp(u, "steps")) b->steps = (long)(x * scale);
    else if (!strcmp(unit, "s") || !*unit) b->seconds = x;
    else if (!strcmp(unit, "m") || !strcmp(unit, "min")) b->seconds = 60 * x;
    else if (!strcmp(unit, "h")) b->seconds = 3600 * x;
    else return "expected a unit of s, m, h, tokens or steps: 60s, 5m, 2h, 2Mtokens, 500steps";
    return NULL;
}
