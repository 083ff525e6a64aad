/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tokenizer.json of Hugging Face's tokenizers, as far as pieces are what it says:
 *
 *   model           BPE with byte_fallback, "vocab": {"piece": id} with <0x00> to <0xFF>, "merges"
 *                   as "a b" or ["a", "b"]; no dropout, prefixes, suffixes or ignore_merges
 *   normalizer      Prepend U+2581, then Replace " " by U+2581, and no pre_tokenizer; or null, and
 *   pre_tokenizer   Metaspace: prepend_scheme first, always or never; split
 *   added_tokens    special or not, normalized or not; no lstrip, rstrip, single_word
 *   post_processor  null, or a TemplateProcessing that puts tokens before a text
 *   decoder         Replace U+2581 by " ", ByteFallback, Fuse, and maybe Strip of one blank
 *
 * With a piece for every byte nothing is unknown, so that unk_token and fuse_unk say nothing.
 * Anything else that would change ids is refused. */
#include "harness/corpus/pieces_file.h"
#include <malloc.h>

/* ---- the model ---- */

static const char *pieces_check_model(const PiecesFile *f)
{
    static const char *const none[] = { "dropout", "continuing_subword_prefix",
                                        "end_of_word_suffix", "ignore_merges" };
    const json_t *type = json_object_get(f->model, "type"),
                 *fallback = json_object_get(f->model, "byte_fallback");
    if (type && !pieces_is(f->model, "type", "BPE"))
        return pieces_refuse(f, "model.type", type, "BPE");
    if (!json_is_true(fallback)) return pieces_refuse(f, "model.byte_fallback", fallback, "true");
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        const json_t *v = json_object_get(f->model, none[i]);
        const int empty = json_is_string(v) && !*json_string_value(v);
        if (!pieces_absent(v) && !json_is_false(v) && !empty)
            return pieces_refuse(f, arena_text(f->room, "model.%s", none[i]), v, "none");
    }
    if (!json_is_object(f->vocab)) return pieces_refuse(f, "model.vocab", f->vocab, "an object");
    return NULL;
}

static json_int_t pieces_id(const json_t *v)
{
    return json_is_integer(v) ? json_integer_value(v) : -1;
}

static const char *pieces_count(PiecesFile *f, long V)
{
    const char *key;
    json_t *value;
    size_t i;
    json_int_t most = -1;
    const json_t *added = json_object_get(f->root, "added_tokens");
    json_object_foreach((json_t *)f->vocab, key, value)
        if (pieces_id(value) > most) most = pieces_id(value);
    json_array_foreach((json_t *)added, i, value)
        if (pieces_id(json_object_get(value, "id")) > most)
            most = pieces_id(json_object_get(value, "id"));
    if (V && most >= V)
        return arena_text(f->a, "%s: the largest id is %lld; expected less than the %ld of the "
                                "model's vocabulary", f->path, (long long)most, V);
    if (most + 1 < 256 || most >= TOKEN_IDS_MOST || V > TOKEN_IDS_MOST)
        return arena_text(f->a, "%s: the largest id is %lld; expected 255 to %d", f->path,
                          (long long)most, TOKEN_IDS_MOST - 1);
    f->v->V = V ? (int)V : (int)most + 1;
    f->name = arena_get(f->room, (size_t)f->v->V * sizeof *f->name);
    f->special = arena_get(f->room, (size_t)f->v->V);
    f->added = arena_get(f->room, (size_t)f->v->V);
    return NULL;
}

static const char *pieces_read_names(const PiecesFile *f)
{
    const char *key;
    json_t *value;
    size_t single = 0;
    json_object_foreach((json_t *)f->vocab, key, value) {
        const json_int_t id = pieces_id(value);
        if (id < 0 || id >= f->v->V || f->name[id] || !*key)
            return arena_text(f->a, "%s: model.vocab: piece \"%.40s\": expected an id of its own, "
                                    "from 0 to %d", f->path, key, f->v->V - 1);
        f->name[id] = key;
        single += pieces_character(key, strlen(key)) == strlen(key);
    }
    for (f->p->slots = 64; f->p->slots < 2 * single; ) f->p->slots *= 2;
    f->p->character = arena_get(f->a, f->p->slots * sizeof *f->p->character);
    f->p->character_id = arena_get(f->a, f->p->slots * sizeof *f->p->character_id);
    for (int id = 0; id < f->v->V; id++) {
        const size_t n = f->name[id] ? strlen(f->name[id]) : 0;
        if (!n || pieces_character(f->name[id], n) != n) continue;
        const uint32_t slot = pieces_slot(f->p, pieces_key(f->name[id], n));
        f->p->character[slot] = pieces_key(f->name[id], n);
        f->p->character_id[slot] = id;
    }
    return NULL;
}

static const char *pieces_read_bytes(const PiecesFile *f)
{
    for (int b = 0; b < 256; b++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        const json_t *id = json_object_get(f->vocab, name);
        if (!id)
            return arena_text(f->a, "%s: model.vocab: no piece %s; expected one for every byte",
                              f->path, name);
        f->p->tables->byte_id[b] = (int)json_integer_value(id);
    }
    return NULL;
}

/* Both halves of a merge, in `room`; 0: it is none */
static int pieces_halves(const json_t *e, const char **left, const char **right, Arena *room)
{
    const char *text = json_string_value(e), *blank = text ? strchr(text, ' ') : NULL;
    *left = json_string_value(json_array_get(e, 0));
    *right = json_string_value(json_array_get(e, 1));
    if (blank) {
        *left = arena_text(room, "%.*s", (int)(blank - text), text);
        *right = blank + 1;
    }
    return *left && *right && **left && **right && !(blank && strchr(blank + 1, ' ')) &&
           (blank || json_array_size(e) == 2);
}

static const char *pieces_read_merge(const PiecesFile *f, const json_t *e, size_t number)
{
    const char *left, *right, *expected = NULL;
    BpeTables *t = f->p->tables;
    const size_t at = f->room->used;
    const json_t *a = NULL, *b = NULL, *both = NULL;
    if (!pieces_halves(e, &left, &right, f->room)) expected = "\"a b\" or [\"a\", \"b\"]";
    else {
        a = json_object_get(f->vocab, left);
        b = json_object_get(f->vocab, right);
        both = json_object_get(f->vocab, arena_text(f->room, "%s%s", left, right));
    }
    if (!expected && (!a || !b || !both)) expected = "two pieces that together are a piece";
    const uint64_t pair = expected ? 0 : bpe_pair((int)json_integer_value(a),
                                                  (int)json_integer_value(b));
    const uint32_t slot = expected ? 0 : bpe_slot(t, pair);
    if (!expected && t->slot[slot] != BPE_EMPTY) expected = "every pair once";
    if (expected)
        return pieces_refuse(f, arena_text(f->room, "model.merges: number %zu", number), e,
                             expected);
    t->slot[slot] = pair << BPE_RANK_BITS | (uint64_t)t->merges;
    t->product[t->merges++] = (int)json_integer_value(both);
    arena_reset(f->room, at);
    return NULL;
}

static const char *pieces_read_merges(const PiecesFile *f)
{
    const json_t *merges = json_object_get(f->model, "merges");
    const size_t n = json_array_size(merges);
    BpeTables *t = f->p->tables;
    json_t *e;
    size_t i;
    if (!json_is_array(merges) || n >= 1u << 22)
        return arena_text(f->a, "%s: model.merges: expected an array of less than %u merges",
                          f->path, 1u << 22);
    t->product = arena_raw(f->a, (n + 1) * sizeof *t->product);
    for (t->slots = 1024; t->slots < 2 * n; ) t->slots *= 2;
    t->slot = arena_raw(f->a, t->slots * sizeof *t->slot);
    memset(t->slot, 0xff, t->slots * sizeof *t->slot);       /* BPE_EMPTY */
    json_array_foreach((json_t *)merges, i, e) {
        const char *why = pieces_read_merge(f, e, i);
        if (why) return why;
    }
    return NULL;
}

/* ---- added tokens and texts ---- */

static const char *pieces_check_added(const PiecesFile *f, const json_t *e)
{
    static const char *const flags[] = { "single_word", "lstrip", "rstrip" };
    const char *text = json_string_value(json_object_get(e, "content"));
    const json_int_t id = pieces_id(json_object_get(e, "id"));
    const json_t *in = text ? json_object_get(f->vocab, text) : NULL;
    if (!text || !*text || id < 0 || id >= f->v->V || (in && json_integer_value(in) != id) ||
        (f->name[id] && strcmp(f->name[id], text)))
        return pieces_refuse(f, "added_tokens", e, "\"content\" and an \"id\" that is its own");
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (json_is_true(json_object_get(e, flags[i])))
            return pieces_refuse(f, "added_tokens", e,
                                 arena_text(f->room, "%s false", flags[i]));
    return NULL;
}

/* As a normalizer leaves it */
static const char *pieces_normalized(const PiecesFile *f, const char *text)
{
    if (f->p->prefix != PIECES_PREPEND) return text;
    char *to = arena_raw(f->a, PIECES_BLANK_BYTES * (strlen(text) + 1) + 1), *end = to;
    memcpy(end, PIECES_BLANK, PIECES_BLANK_BYTES);
    end += PIECES_BLANK_BYTES;
    for (; *text; text++) {
        const int blank = *text == ' ';
        memcpy(end, blank ? PIECES_BLANK : text, blank ? PIECES_BLANK_BYTES : 1);
        end += blank ? PIECES_BLANK_BYTES : 1;
    }
    *end = 0;
    return to;
}

static const char *pieces_read_added(const PiecesFile *f)
{
    const json_t *added = json_object_get(f->root, "added_tokens");
    const size_t n = json_array_size(added) + 1;
    f->p->plain.token = arena_get(f->a, n * sizeof *f->p->plain.token);
    f->p->normalized.token = arena_get(f->a, n * sizeof *f->p->plain.token);
    json_t *e;
    size_t i;
    json_array_foreach((json_t *)added, i, e) {
        const char *why = pieces_check_added(f, e);
        if (why) return why;
        const int id = (int)json_integer_value(json_object_get(e, "id")),
                  normal = json_is_true(json_object_get(e, "normalized"));
        const char *text = arena_text(f->a, "%s", json_string_value(json_object_get(e, "content")));
        f->name[id] = text;
        f->added[id] = 1;
        f->special[id] = json_is_true(json_object_get(e, "special"));
        if (normal) text = pieces_normalized(f, text);
        AddedTokens *t = normal ? &f->p->normalized : &f->p->plain;
        t->token[t->n++] = (AddedToken){ text, strlen(text), id };
        t->begins[(unsigned char)*text] = 1;
    }
    return NULL;
}

/* The text of a name to out; returns its length */
static size_t pieces_text_of(const char *name, char *out)
{
    unsigned byte;
    int end = 0;
    if (strlen(name) == 6 && sscanf(name, "<0x%2X>%n", &byte, &end) == 1 && end == 6) {
        *out = (char)byte;
        return 1;
    }
    size_t n = 0;
    for (size_t i = 0, len = strlen(name); i < len;) {
        const int blank = !strncmp(name + i, PIECES_BLANK, PIECES_BLANK_BYTES);
        out[n++] = blank ? ' ' : name[i];
        i += blank ? PIECES_BLANK_BYTES : 1;
    }
    return n;
}

/* The texts of the ids; and that none goes on where vocab_cut may part a text */
static const char *pieces_read_texts(const PiecesFile *f)
{
    size_t size = 1;
    const int V = f->v->V;
    for (int id = 0; id < V; id++) size += f->name[id] ? strlen(f->name[id]) : 0;
    if (size > UINT32_MAX) return arena_text(f->a, "%s: expected less than 4 GB", f->path);
    char *text = arena_raw(f->a, size), *p = text;
    uint32_t *start = arena_raw(f->a, ((size_t)V + 1) * sizeof *start);
    for (int id = 0; id < V; id++) {
        size_t n = 0;
        start[id] = (uint32_t)(p - text);
        if (f->name[id] && f->added[id]) memcpy(p, f->name[id], n = strlen(f->name[id]));
        else if (f->name[id]) n = pieces_text_of(f->name[id], p);
        for (size_t i = 1; i < n; i++)
            if (vocab_cuts_at(p, i))
                return arena_text(f->a, "%s: \"%.40s\": a blank behind another character; expected "
                                        "blanks at the beginning of a piece only",
                                  f->path, f->name[id]);
        if (!f->special[id]) p += n;
    }
    start[V] = (uint32_t)(p - text);
    f->v->text = text;
    f->v->start = start;
    return NULL;
}

static const char *pieces_read(PiecesFile *f, long V)
{
    const char *why = pieces_check_model(f);
    if (!why) why = pieces_count(f, V);
    if (!why) why = pieces_read_blanks(f);
    if (!why) why = pieces_read_names(f);
    if (!why) why = pieces_read_bytes(f);
    if (!why) why = pieces_read_merges(f);
    if (!why) why = pieces_read_added(f);
    if (!why) why = pieces_read_first(f);
    if (!why) why = pieces_read_decoder(f);
    if (!why) why = pieces_read_texts(f);
    return why;
}

const char *pieces_load(Pieces *p, Vocab *v, const char *json, size_t len, const char *path, long V,
                        Arena *a)
{
    json_error_t e;
    Arena room = arena_new((size_t)1 << 30);
    p->tables = arena_get(a, sizeof *p->tables);
    p->tables->end_of_text = -1;
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &e);
    PiecesFile f = { .path = path, .root = root, .p = p, .v = v, .a = a, .room = &room };
    f.model = json_object_get(root, "model");
    f.vocab = json_object_get(f.model, "vocab");
    const char *why = NULL;
    if (!root)
        why = arena_text(a, "%s: line %d, column %d: expected JSON: %s", path, e.line, e.column,
                         e.text);
    else if (!json_is_object(f.model))
        why = arena_text(a, "%s: expected a tokenizer.json with an object \"model\"", path);
    else why = pieces_read(&f, V);
    json_decref(root);
    arena_drop(&room);
    malloc_trim(0);          /* some MB of tree, which would stay in the heap */
    return why;
}
