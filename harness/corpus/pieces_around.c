/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What surrounds the model of a tokenizer.json: how blanks become characters, what is put before a
 * text, how ids become text again. pieces_load.c says what is known. */
#include "harness/corpus/pieces_file.h"
#include <stdlib.h>

static const char *pieces_says(const json_t *v, Arena *a)
{
    char *text = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;
    const char *copy = arena_text(a, "%.80s", text ? text : "nothing");
    free(text);
    return copy;
}

const char *pieces_refuse(const PiecesFile *f, const char *key, const json_t *found,
                          const char *expected)
{
    return arena_text(f->a, "%s: %s is %s; expected %s", f->path, key, pieces_says(found, f->room),
                      expected);
}

int pieces_is(const json_t *o, const char *key, const char *value)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text && !strcmp(text, value);
}

static int pieces_is_replace(const json_t *o, const char *from, const char *to)
{
    return pieces_is(o, "type", "Replace") && pieces_is(o, "content", to) &&
           pieces_is(json_object_get(o, "pattern"), "String", from);
}

static const char *pieces_read_normalizer(const PiecesFile *f, const json_t *o)
{
    const json_t *one[2] = { o, NULL }, *list = json_object_get(o, "normalizers");
    size_t n = 1;
    if (pieces_is(o, "type", "Sequence")) {
        n = json_array_size(list);
        for (size_t i = 0; i < 2; i++) one[i] = json_array_get(list, i);
    }
    const int prepends = n > 1 && pieces_is(one[0], "type", "Prepend") &&
                         pieces_is(one[0], "prepend", PIECES_BLANK);
    f->p->prefix = prepends ? PIECES_PREPEND : PIECES_NEVER;
    if (n == 1u + (unsigned)prepends && pieces_is_replace(one[n - 1], " ", PIECES_BLANK))
        return NULL;
    return pieces_refuse(f, "normalizer", o, "Prepend U+2581, then Replace \" \" by it; or null "
                                             "and a Metaspace pre_tokenizer");
}

static const char *pieces_read_metaspace(const PiecesFile *f, const json_t *o)
{
    const json_t *scheme = json_object_get(o, "prepend_scheme"),
                 *split = json_object_get(o, "split"),
                 *old = json_object_get(o, "add_prefix_space");
    const char *word = scheme ? json_string_value(scheme) : json_is_false(old) ? "never" : "always";
    if (!pieces_is(o, "type", "Metaspace") || !pieces_is(o, "replacement", PIECES_BLANK))
        return pieces_refuse(f, "pre_tokenizer", o, "Metaspace with replacement U+2581, or null "
                                                    "and a normalizer that replaces blanks");
    if (!word || (strcmp(word, "first") && strcmp(word, "always") && strcmp(word, "never")))
        return pieces_refuse(f, "pre_tokenizer.prepend_scheme", scheme, "first, always or never");
    if (split && !json_is_boolean(split))
        return pieces_refuse(f, "pre_tokenizer.split", split, "true or false");
    f->p->prefix = *word == 'f' ? PIECES_START : *word == 'a' ? PIECES_ALWAYS : PIECES_NEVER;
    f->p->words = !split || json_is_true(split);
    return NULL;
}

const char *pieces_read_blanks(const PiecesFile *f)
{
    const json_t *normalizer = json_object_get(f->root, "normalizer"),
                 *pre = json_object_get(f->root, "pre_tokenizer");
    if (pieces_absent(normalizer)) return pieces_read_metaspace(f, pre);
    if (!pieces_absent(pre))
        return pieces_refuse(f, "pre_tokenizer", pre, "null with a normalizer");
    return pieces_read_normalizer(f, normalizer);
}

static int pieces_is_strip(const json_t *o)
{
    const json_t *start = json_object_get(o, "start"), *stop = json_object_get(o, "stop");
    return pieces_is(o, "type", "Strip") && pieces_is(o, "content", " ") &&
           json_integer_value(start) == 1 && json_is_integer(stop) && !json_integer_value(stop);
}

const char *pieces_read_decoder(const PiecesFile *f)
{
    const json_t *o = json_object_get(f->root, "decoder"), *list = json_object_get(o, "decoders");
    const size_t n = json_array_size(list);
    f->v->strips = n == 4;
    if (pieces_is(o, "type", "Sequence") && (n == 3 || n == 4) &&
        pieces_is_replace(json_array_get(list, 0), PIECES_BLANK, " ") &&
        pieces_is(json_array_get(list, 1), "type", "ByteFallback") &&
        pieces_is(json_array_get(list, 2), "type", "Fuse") &&
        (n == 3 || pieces_is_strip(json_array_get(list, 3))))
        return NULL;
    return pieces_refuse(f, "decoder", o, "a Sequence of Replace, ByteFallback, Fuse, and maybe "
                                          "Strip of one blank at the start");
}

/* The ids that a template names */
static const char *pieces_read_template(const PiecesFile *f, const json_t *o, const char *token)
{
    const json_t *ids = json_object_get(
        json_object_get(json_object_get(o, "special_tokens"), token), "ids");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        const json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value >= f->v->V || f->p->firsts == PIECES_FIRST)
            return pieces_refuse(f, "post_processor.special_tokens", ids,
                                 "at most two ids of tokens before a text");
        f->p->first[f->p->firsts++] = (int)value;
    }
    if (json_array_size(ids)) return NULL;
    return pieces_refuse(f, "post_processor.special_tokens", ids,
                         "the ids of each token in single");
}

const char *pieces_read_first(const PiecesFile *f)
{
    static const char expected[] = "null, or a TemplateProcessing with tokens before a text only";
    const json_t *o = json_object_get(f->root, "post_processor"),
                 *single = json_object_get(o, "single"), *e;
    size_t i;
    int text = 0;
    if (pieces_absent(o)) return NULL;
    if (!pieces_is(o, "type", "TemplateProcessing") || !json_is_array(single))
        return pieces_refuse(f, "post_processor", o, expected);
    json_array_foreach((json_t *)single, i, e) {
        const char *token = json_string_value(
            json_object_get(json_object_get(e, "SpecialToken"), "id"));
        const int sequence = json_object_get(e, "Sequence") != NULL;
        if (text || (!token && !sequence)) return pieces_refuse(f, "post_processor", o, expected);
        const char *why = token ? pieces_read_template(f, o, token) : NULL;
        if (why) return why;
        text = sequence;
    }
    return text ? NULL : pieces_refuse(f, "post_processor", o, expected);
}
