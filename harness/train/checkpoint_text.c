/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a checkpoint keeps of its text, so that it needs it no more: as metadata text.corpus,
 * text.sha, text.vocab, text.vocab_sha, text.V, text.tokens (of the training text), text.first (of
 * the validation text); the tensors text.counts (V) F64 and, a byte a value, U16, of vocab=words
 * text.words: its list, of vocab=gpt2-top text.gpt2-top: its list, of vocab=pieces text.pieces: its
 * tokenizer.json. text.tokens 0: nothing was counted. */
#include "harness/train/checkpoint_file.h"
#include "harness/train/checkpoint_text.h"
#include "harness/corpus/data_parts.h"
#include <stdlib.h>
#include <string.h>

int checkpoint_text_tensors(Tensor *t, const Corpus *c, Arena *a)
{
    double *counts = arena_raw(a, sizeof *counts * (size_t)c->V);
    for (int v = 0; v < c->V; v++) counts[v] = (double)c->freq[v];
    t[0] = (Tensor){ .name = "text.counts", .dtype = "F64", .n = c->V, .ndim = 1,
                     .shape = { c->V }, .data = counts };
    size_t len;
    const char *list = c->text ? vocab_list(c->text, &len, a) : NULL;
    if (!list) return 1;
    uint16_t *words = arena_raw(a, sizeof *words * len);
    for (size_t i = 0; i < len; i++) words[i] = (unsigned char)list[i];
    t[1] = (Tensor){ .name = arena_text(a, "text.%s", c->vocab),
                     .dtype = "U16",
                     .n = (long)len,
                     .ndim = 1,
                     .shape = { (int)len },
                     .data = words };
    return 2;
}

int checkpoint_text_meta(const char **meta, const Corpus *c, Arena *a)
{
    const char *const m[] = { "text.corpus",    c->name,
                              "text.sha",       c->sha,
                              "text.vocab",     c->vocab,
                              "text.vocab_sha", c->vocab_hash,
                              "text.V",         arena_text(a, "%d", c->V),
                              "text.tokens",    arena_text(a, "%ld", c->n_train),
                              "text.first",     arena_text(a, "%d", token_id(c->valid.tok, 0)) };
    memcpy(meta, m, sizeof m);
    return sizeof m / sizeof *m;
}

static long text_number(const TensorFile *f, const char *key)
{
    const char *text = tensors_meta(f, key);
    char *end;
    const long value = text ? strtol(text, &end, 10) : -1;
    return text && end != text && !*end ? value : -1;
}

static const char *text_read_counts(const TensorFile *f, TextKept *k, Arena *a)
{
    const Tensor *t = tensors_find(f, "text.counts");
    const long V = text_number(f, "text.V"), first = text_number(f, "text.first");
    k->n_train = text_number(f, "text.tokens");
    int good = V >= 1 && V <= TOKEN_IDS_MOST && k->n_train >= 0 && k->n_train != 1 &&
               first >= 0 && first < V && t && t->n == V && !strcmp(t->dtype, "F64");
    k->V = good ? (int)V : 0;
    k->first = good ? (int)first : 0;
    if (good) k->freq = arena_raw(a, sizeof *k->freq * (size_t)k->V);
    for (int v = 0; good && v < k->V; v++) {
        const double count = ((const double *)t->data)[v];
        good = count >= 0 && count <= (double)k->n_train;
        k->freq[v] = good ? (long)count : 0;
    }
    if (good) return NULL;
    return arena_text(a, "%s: expected text.V, text.tokens and text.first, and in 'text.counts' "
                         "the count of every word", f->path);
}

/* The vocabulary of text.words, text.gpt2-top or text.pieces; NULL and *why. base: of gpt2-top */
static Vocab *text_read_list(const TensorFile *f, const char *vocab, int V, Vocab *base, Arena *a,
                             const char **why)
{
    const char *name = arena_text(a, "text.%s", vocab);
    const Tensor *t = tensors_find(f, name);
    if (!t || strcmp(t->dtype, "U16")) {
        *why = arena_text(a, "%s: expected '%s', its vocabulary, of U16", f->path, name);
        return NULL;
    }
    char *list = arena_raw(a, (size_t)t->n + 1);
    for (long i = 0; i < t->n; i++) list[i] = (char)((const uint16_t *)t->data)[i];
    if (!strcmp(vocab, "words")) return vocab_words_listed(list, (size_t)t->n, f->path, a, why);
    if (base) return vocab_top(list, (size_t)t->n, f->path, base, a, why);
    return vocab_pieces_of(list, (size_t)t->n, arena_text(a, "%s: text.pieces", f->path), V, a,
                           why);
}

static const char *text_read_vocab(const TensorFile *f, TextKept *k, Arena *a)
{
    const char *why = NULL;
    const int words = !strcmp(k->vocab, "words") && tensors_find(f, "text.words"),
              top = !strcmp(k->vocab, "gpt2-top");
    Vocab *base = top ? gpt2_find(a, &k->why_no_text) : NULL;
    if (words || base || !strcmp(k->vocab, "pieces")) {
        k->text = text_read_list(f, k->vocab, k->V, base, a, &why);
        if (!k->text) return why;
    } else if (!strcmp(k->vocab, "gpt2"))
        k->text = gpt2_find(a, &k->why_no_text);
    else if (!strcmp(k->vocab, "bytes"))
        k->text = vocab_bytes(a);
    if (!k->text && !k->why_no_text)
        k->why_no_text = arena_text(a, "%s has ids only: its vocabulary '%s' is not known here",
                                    f->path, k->vocab);
    if (!k->text || (vocab_size(k->text) == k->V && !strcmp(vocab_hash(k->text), k->vocab_hash)))
        return NULL;
    return arena_text(a,
                      "%s: trained with a vocabulary %s of %d ids (SHA-256 %.12s...), and the one "
                      "here has %d (%.12s...)",
                      f->path, k->vocab, k->V, k->vocab_hash, vocab_size(k->text),
                      vocab_hash(k->text));
}

const char *checkpoint_text(const char *path, TextKept *k, Arena *a)
{
    const char *why = NULL;
    TensorFile *f = checkpoint_file_open(path, a, &why);
    if (!f) return why;
    const char *vocab = tensors_meta(f, "text.vocab"), *hash = tensors_meta(f, "text.vocab_sha"),
               *sha = tensors_meta(f, "text.sha");
    *k = (TextKept){ .path = arena_text(a, "%s", path) };
    if (vocab && hash && sha) {
        k->vocab = vocab;
        k->vocab_hash = hash;
        k->sha = sha;
        why = text_read_counts(f, k, a);
        if (!why) why = text_read_vocab(f, k, a);
    }
    tensors_close(f);
    return why;
}
