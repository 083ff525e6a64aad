/* SPDX-License-Identifier: GPL-3.0-or-later */
/* GPT-2's vocabulary files. Both write a byte as one character, so that blanks and control bytes
 * are visible: bytes 33..126, 161..172, 174..255 are the characters of that code, the other 68 are
 * U+0100, U+0101, ... in order.
 *
 *   encoder.json   {"!": 0, ..., "\u0120the": 262, ...}     every id 0..V-1 once
 *   vocab.bpe      #version: 0.2
 *                  \u0120 t          the pair of rank 0, and so on: both are symbols by then
 *
 * An entry of encoder.json is a byte, the product of exactly one merge, or <|endoftext|>. */
#include "harness/corpus/bpe.h"
#include "harness/util/host.h"
#include "harness/corpus/vocab_parts.h"
#include <jansson.h>
#include <limits.h>
#include <malloc.h>

typedef struct {
    const char *json_path, *bpe_path;
    json_t     *json;
    int         byte_of[512];        /* by character; -1 */
    /* (V) 1: the id is a byte, or the product of a merge seen so far */
    char       *made;
    const char **name;               /* (V) as encoder.json has it */
    int         V;
    Arena      *a, *room;            /* for the tables; for what only the loading needs */
    const char **why;
} Loader;

static void bpe_byte_characters(int byte_of[512])
{
    int other = 256;
    for (int c = 0; c < 512; c++) byte_of[c] = -1;
    for (int b = 0; b < 256; b++) {
        const int shown = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        byte_of[shown ? b : other++] = b;
    }
}

/* The bytes a name stands for, to out (as many as it has characters, at most its length); -1: no
 * such name. */
static long bpe_name_bytes(const Loader *l, const char *name, char *out)
{
    long n = 0;
    for (const unsigned char *p = (const unsigned char *)name; *p; n++) {
        int c = *p++;
        if (c >= 0xc0 && c < 0xe0 && (*p & 0xc0) == 0x80) c = (c & 0x1f) << 6 | (*p++ & 0x3f);
        else if (c >= 0x80) return -1;
        if (c >= 512 || l->byte_of[c] < 0) return -1;
        out[n] = (char)l->byte_of[c];
    }
    return n;
}

/* -1: encoder.json has no such entry */
static int bpe_id_of(const Loader *l, const char *name)
{
    const json_t *id = json_object_get(l->json, name);
    return id ? (int)json_integer_value(id) : -1;
}

/* Every id once, 0 .. V-1. */
static int bpe_read_names(Loader *l)
{
    const char *key;
    json_t *value;
    const size_t n = json_object_size(l->json);
    if (n < 256 || n > TOKEN_IDS_MOST) {
        *l->why = arena_text(l->a, "%s: %zu entries, expected 256 to %d", l->json_path, n,
                             TOKEN_IDS_MOST);
        return 0;
    }
    l->V = (int)n;
    l->name = arena_get(l->room, n * sizeof *l->name);
    l->made = arena_get(l->room, n);
    json_object_foreach(l->json, key, value) {
        const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id >= l->V || l->name[id] || !*key) {
            *l->why = arena_text(l->a, "%s: entry \"%.40s\": expected every id 0..%d once",
                                 l->json_path, key, l->V - 1);
            return 0;
        }
        l->name[id] = key;
    }
    return 1;
}

static int bpe_read_bytes(Loader *l, BpeTables *t)
{
    for (int c = 0; c < 512; c++) {
        const char two[3] = { (char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f)), 0 },
                   one[2] = { (char)c, 0 };
        if (l->byte_of[c] < 0) continue;
        const int id = bpe_id_of(l, c < 0x80 ? one : two);
        if (id < 0) {
            *l->why = arena_text(
                l->a, "%s: no entry \"%s\", expected one for every byte (this is byte %d)",
                l->json_path, c < 0x80 ? one : two, l->byte_of[c]);
            return 0;
        }
        t->byte_id[l->byte_of[c]] = id;
        l->made[id] = 1;
    }
    return 1;
}

/* One merge, "left right" ended by a zero. NULL, or what was expected. */
static const char *bpe_read_merge(Loader *l, BpeTables *t, char *line)
{
    char *right = strchr(line, ' ');
    if (!right || right == line || !right[1] || strchr(right + 1, ' '))
        return "two symbols with one blank between them";
    *right++ = 0;
    const int a = bpe_id_of(l, line), b = bpe_id_of(l, right);
    if (a < 0 || b < 0 || !l->made[a] || !l->made[b])
        return "symbols that are bytes or made by the lines before";
    const size_t left = strlen(line);
    memmove(line + left, right, strlen(right) + 1);
    const int id = bpe_id_of(l, line);
    if (id < 0) return "a pair whose product is in encoder.json";
    if (l->made[id]) return "a product no line before has made";
    l->made[id] = 1;
    const uint64_t pair = bpe_pair(a, b);
    t->slot[bpe_slot(t, pair)] = pair << BPE_RANK_BITS | (uint64_t)t->merges;
    t->product[t->merges++] = id;
    return NULL;
}

static int bpe_read_merges(Loader *l, BpeTables *t, char *text, size_t size)
{
    t->product = arena_raw(l->a, (size_t)l->V * sizeof *t->product);
    for (t->slots = 1024; t->slots < 2u * (uint32_t)l->V; ) t->slots *= 2;
    t->slot = arena_raw(l->a, t->slots * sizeof *t->slot);
    memset(t->slot, 0xff, t->slots * sizeof *t->slot);       /* BPE_EMPTY */
    long number = 1;
    for (char *line = text, *end = text + size, *next; line < end; line = next + 1, number++) {
        next = memchr(line, '\n', (size_t)(end - line));
        if (!next) next = end;
        *next = 0;
        if (number == 1 && !strncmp(line, "#version", 8)) continue;
        if (next > line && next[-1] == '\r') next[-1] = 0;
        const char *expected =
            strlen(line) + 1 < (size_t)(next - line) ? "no zero byte" : bpe_read_merge(l, t, line);
        if (expected) {
            *l->why = arena_text(l->a, "%s: line %ld: expected %s", l->bpe_path, number, expected);
            return 0;
        }
    }
    return 1;
}

/* The bytes of every id, and that nothing is left over. */
static int bpe_read_texts(Loader *l, BpeTables *t, Vocab *v)
{
    size_t size = 1;
    for (int id = 0; id < l->V; id++) size += strlen(l->name[id]);
    if (size > UINT32_MAX) return 0;
    char *text = arena_raw(l->a, size), *p = text;
    uint32_t *start = arena_raw(l->a, ((size_t)l->V + 1) * sizeof *start);
    t->end_of_text = -1;
    for (int id = 0; id < l->V; id++) {
        const int special = !l->made[id] && !strcmp(l->name[id], END_OF_TEXT);
        const long n = special ? (long)sizeof END_OF_TEXT - 1 : bpe_name_bytes(l, l->name[id], p);
        if (n < 0 || (!l->made[id] && !special)) {
            *l->why = arena_text(
                l->a, "%s: entry \"%.40s\": expected a byte, the product of a merge of %s, or %s",
                l->json_path, l->name[id], l->bpe_path, END_OF_TEXT);
            return 0;
        }
        if (special) {
            memcpy(p, END_OF_TEXT, sizeof END_OF_TEXT - 1);
            t->end_of_text = id;
        }
        start[id] = (uint32_t)(p - text);
        p += n;
    }
    start[l->V] = (uint32_t)(p - text);
    v->V = l->V;
    v->text = text;
    v->start = start;
    return 1;
}

static BpeTables *bpe_load_file(const char *dir, Vocab *v, Arena *a, Arena *room, const char **why)
{
    size_t json_size, bpe_size;
    json_error_t e;
    char hashes[130];
    Loader l = { arena_text(a, "%s/encoder.json", dir), arena_text(a, "%s/vocab.bpe", dir), .a = a,
                 .room = room, .why = why };
    BpeTables *t = arena_get(a, sizeof *t);
    char *json = file_slurp(l.json_path, 16 << 20, &json_size, room, why);
    char *bpe = json ? file_slurp(l.bpe_path, 16 << 20, &bpe_size, room, why) : NULL;
    if (!bpe) {
        *why = arena_text(a, "%s", *why);
        return NULL;
    }
    sha256_hex(json, json_size, hashes);
    sha256_hex(bpe, bpe_size, hashes + 64);
    v->hash = sha256_hex(hashes, 128, arena_raw(a, 65));
    bpe_byte_characters(l.byte_of);
    l.json = json_loadb(json, json_size, JSON_REJECT_DUPLICATES, &e);
    if (!json_is_object(l.json)) {
        *why = l.json ? arena_text(a, "%s: expected an object of \"token\": id", l.json_path)
                      : arena_text(a, "%s: line %d, column %d: expected JSON: %s", l.json_path,
                                   e.line, e.column, e.text);
        json_decref(l.json);
        return NULL;
    }
    const int good = bpe_read_names(&l) && bpe_read_bytes(&l, t) &&
                     bpe_read_merges(&l, t, bpe, bpe_size) && bpe_read_texts(&l, t, v);
    json_decref(l.json);
    malloc_trim(0);          /* 7 MB of tree, which would stay in the heap */
    return good ? t : NULL;
}

BpeTables *bpe_load(const char *dir, Vocab *v, Arena *a, const char **why)
{
    Arena room = arena_new((size_t)64 << 20);
    BpeTables *t = bpe_load_file(dir, v, a, &room, why);
    arena_drop(&room);
    return t;
}
