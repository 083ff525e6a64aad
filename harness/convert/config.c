/* SPDX-License-Identifier: GPL-3.0-or-later */
/* config.json: a key that this program does not know may change what is computed, and is refused
 * like a value it does not compute. */
#include "harness/convert/published.h"
#include "harness/util/file.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_V_MOST = 1 << 20, CONFIG_D_MOST = 1 << 16, CONFIG_MOST = 1 << 20 };

static const char *config_text(const json_t *v, Arena *a)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_REAL_PRECISION(9);
    char *text = v ? json_dumps(v, flags) : NULL;
    const char *copy = arena_text(a, "%.80s", text ? text : "absent");
    free(text);
    return copy;
}

static const char *config_refuse(const Published *p, const char *key, const json_t *v,
                                 const char *expected, Arena *a)
{
    return arena_text(a, "%s: \"%s\" is %s; expected %s", p->path, key, config_text(v, a),
                      expected);
}

static int config_matches(const json_t *v, const char *word)
{
    if (json_is_string(v)) return !strcmp(json_string_value(v), word);
    if (json_is_boolean(v)) return !strcmp(json_is_true(v) ? "true" : "false", word);
    char *end;
    const double expected = strtod(word, &end), value = json_number_value(v);
    return json_is_number(v) && end != word && !*end &&
           fabs(value - expected) <= 1e-7 * fabs(expected);      /* a float, written out */
}

static const char *config_fixed(const Published *p, const ConfigKey *k, const json_t *v, Arena *a)
{
    char *words = arena_text(a, "%s", k->expected), *save = NULL;
    for (char *w = strtok_r(words, "|", &save); w; w = strtok_r(NULL, "|", &save))
        if (config_matches(v, w)) return NULL;
    return config_refuse(p, k->key, v, k->expected, a);
}

static const char *config_size(Published *p, const ConfigKey *k, const json_t *v, Arena *a)
{
    const json_int_t n = json_integer_value(v),
                     most = k->kind == SIZE_V   ? CONFIG_V_MOST
                            : k->kind == SIZE_D ? CONFIG_D_MOST
                            : k->kind >= SIZE_HEADS || k->kind == SIZE_LAYERS ? 1024
                                                                              : CONFIG_MOST;
    if (k->kind == SIZE_TIED) {
        p->size[SIZE_TIED] = json_is_true(v);
        return json_is_boolean(v) ? NULL : config_refuse(p, k->key, v, "true or false", a);
    }
    if (k->kind == SIZE_BOS || k->kind == SIZE_EOS) {       /* of a list the first */
        const json_t *first = json_is_array(v) ? json_array_get(v, 0) : v;
        p->size[k->kind] = json_is_integer(first) ? (long)json_integer_value(first) : -1;
        return NULL;
    }
    if (!json_is_integer(v) || n < 1 || n > most)
        return config_refuse(p, k->key, v, arena_text(a, "a whole number from 1 to %lld",
                                                      (long long)most), a);
    p->size[k->kind] = (long)n;
    return NULL;
}

/* Newer configurations say theta and the kind of rope in an object */
static const char *config_rope(const Published *p, const json_t *v, Arena *a)
{
    const char *key;
    json_t *e;
    json_object_foreach((json_t *)v, key, e) {
        const int good = !strcmp(key, "rope_theta")  ? config_matches(e, "10000")
                         : !strcmp(key, "rope_type") ? config_matches(e, "default")
                                                     : 0;
        if (!good)
            return config_refuse(p, arena_text(a, "rope_parameters.%s", key), e,
                                 "rope_theta 10000 and rope_type default", a);
    }
    return json_is_object(v) ? NULL : config_refuse(p, "rope_parameters", v, "an object", a);
}

static const char *config_key(Published *p, const ConfigKey *k, const char *key, const json_t *v,
                              Arena *a)
{
    if (*key == '_' || json_is_null(v)) return NULL;
    while (k->key && strcmp(k->key, key)) k++;
    if (!k->key && !strcmp(key, "rope_parameters") && !strcmp(p->arch->type, "llama"))
        return config_rope(p, v, a);
    if (!k->key)
        return config_refuse(p, key, v, arena_text(a, "no such key: it is not known what it "
                                                      "changes in a model of type %s",
                                                   p->arch->type), a);
    if (k->kind == KEY_FREE) return NULL;
    return k->kind == KEY_FIXED ? config_fixed(p, k, v, a) : config_size(p, k, v, a);
}

/* A size is not as the others ask for */
static const char *config_disagrees(const Published *p, const json_t *config, const ConfigKey *k,
                                    ConfigKind kind, const char *expected, Arena *a)
{
    while (k->kind != kind || !json_object_get(config, k->key)) k++;
    return config_refuse(p, k->key, json_object_get(config, k->key), expected, a);
}

/* Sizes that follow from others, or have to agree with them */
static const char *config_agree(Published *p, const json_t *config, const ConfigKey *keys, Arena *a)
{
    long *s = p->size;
    for (const ConfigKey *k = keys; k->key; k++)
        if (!k->expected && s[k->kind] < 0)
            return config_refuse(p, k->key, json_object_get(config, k->key), "a whole number", a);
    const long step = p->arch->inner_step, heads = s[SIZE_HEADS];
    if (s[SIZE_INNER] < 0) s[SIZE_INNER] = (s[SIZE_D] * 8 / 3 + step - 1) / step * step;
    if (heads < 0) return NULL;
    if (s[SIZE_KV_HEADS] > 0 && s[SIZE_KV_HEADS] != heads)
        return config_disagrees(p, config, keys, SIZE_KV_HEADS,
                                arena_text(a, "%ld, as many as heads of queries", heads), a);
    if (s[SIZE_D] % (2 * heads))
        return config_disagrees(p, config, keys, SIZE_HEADS,
                                arena_text(a, "heads that divide the width %ld into even widths",
                                           s[SIZE_D]), a);
    if (s[SIZE_HEAD_WIDTH] > 0 && s[SIZE_HEAD_WIDTH] != s[SIZE_D] / heads)
        return config_disagrees(p, config, keys, SIZE_HEAD_WIDTH,
                                arena_text(a, "%ld, the width by the number of heads",
                                           s[SIZE_D] / heads), a);
    return NULL;
}

const char *config_keys(Published *p, const json_t *config, const ConfigKey *keys, Arena *a)
{
    const char *key, *why = NULL;
    json_t *v;
    for (int i = 0; i < SIZES; i++) p->size[i] = -1;
    json_object_foreach((json_t *)config, key, v)
        if (!why) why = config_key(p, keys, key, v, a);
    return why ? why : config_agree(p, config, keys, a);
}

const char *config_check(Published *p, const json_t *config, Arena *a)
{
    const json_t *type = json_object_get(config, "model_type");
    const char *name = json_string_value(type);
    if (!type && json_object_get(config, "n_blocks")) name = "flashlm_v4";
    p->arch = name ? published_find(name) : NULL;
    if (!p->arch)
        return config_refuse(p, "model_type", type, "hgrn_bit, llama or flashlm_v4", a);
    return config_keys(p, config, p->arch->keys, a);
}

const char *config_read(Published *p, const char *path, Arena *a)
{
    json_error_t e;
    const char *why = NULL;
    *p = (Published){ .path = arena_text(a, "%s", path) };
    FILE *f = file_open(path, a, &why);
    if (!f) return why;
    json_t *config = json_loadf(f, JSON_REJECT_DUPLICATES, &e);
    fclose(f);
    if (!config)
        why = arena_text(a, "%s: line %d, column %d: expected JSON: %s", path, e.line, e.column,
                         e.text);
    else if (!json_is_object(config)) why = arena_text(a, "%s: expected an object", path);
    else why = config_check(p, config, a);
    json_decref(config);
    return why;
}

/* ---- writing ---- */

static json_t *config_value(const Published *p, const ConfigKey *k)
{
    const long n = k->kind < SIZES ? p->size[k->kind] : 0;
    if (k->kind == KEY_FREE) return NULL;
    if (k->kind == SIZE_TIED) return json_boolean(n == 1);
    if (k->kind < SIZES) return n >= 0 ? json_integer(n) : NULL;
    const char *word = k->expected;
    char *end;
    const double number = strtod(word, &end);
    if (!strcmp(word, "null")) return NULL;
    if (!strcmp(word, "true") || !strcmp(word, "false")) return json_boolean(*word == 't');
    if (end == word) return json_stringn(word, strcspn(word, "|"));
    return number == floor(number) ? json_integer((json_int_t)number) : json_real(number);
}

const char *config_write(const Published *p, const char *path, Arena *a)
{
    const char *why = NULL;
    FILE *f = file_begin(path, a, &why);
    if (!f) return why;
    json_t *o = json_object();
    json_object_set_new(o, "model_type", json_string(p->arch->type));
    if (p->arch->class_name)
        json_object_set_new(o, "architectures", json_pack("[s]", p->arch->class_name));
    json_object_set_new(o, "torch_dtype", json_string("float32"));
    for (const ConfigKey *k = p->arch->keys; k->key; k++) {
        json_t *v = config_value(p, k);
        if (v) json_object_set_new(o, k->key, v);
    }
    json_dumpf(o, f, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
    fputc('\n', f);
    json_decref(o);
    return file_commit(f, path, a);
}
