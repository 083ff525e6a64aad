/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A corpus as a run sees it: training and validation tokens, their counts, and the marks a loss is
 * put beside. */
#include "harness/corpus/cache.h"
#include "harness/corpus/data_parts.h"
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 1 << 20, SINGLE_VALID = 20 }; /* of a single file, 1/20 is for validation */

static void corpus_count(TokenIds tok, long n, long *freq)
{
    for (long from = 0; from < n; from += BLOCK) {
        const long to = from + BLOCK < n ? from + BLOCK : n;
        for (long i = from; i < to; i++) freq[token_id(tok, i)]++;
        tokens_leave(tok, n, from, to);
    }
}

/* -mean ln((freq + 1) / (n_train + V)) */
static double corpus_unigram_nll(const Corpus *c)
{
    double sum = 0;
    for (long i = 0; i < c->n_valid; i++)
        sum -= log((double)(c->freq[token_id(c->valid, i)] + 1) / (double)(c->n_train + c->V));
    return sum / (double)c->n_valid;
}

static double corpus_bytes_per_token(const Corpus *c)
{
    double bytes = 0;
    size_t len;
    for (long i = 0; i < c->n_valid; i++) {
        vocab_bytes_of(c->text, token_id(c->valid, i), &len);
        bytes += (double)len;
    }
    return bytes / (double)c->n_valid;
}

/* Everything that follows from both files; valid NULL: the end of train. */
static Corpus *corpus_of(const char *name, const TokenFile *train, const TokenFile *valid,
                         Vocab *text, long valid_most, Arena *a, const char **why)
{
    Corpus *c = arena_get(a, sizeof *c);
    const long held = valid ? 0 : train->n / SINGLE_VALID;
    *c = (Corpus){ .vocab = train->vocab,
                   .vocab_hash = train->vocab_hash,
                   .sha = train->source_hash,
                   .V = train->V,
                   .train = train->tok,
                   .n_train = train->n - held,
                   .mapped = 1,
                   .valid = valid ? valid->tok : token_ids_from(train->tok, train->n - held),
                   .n_valid = valid ? valid->n : held,
                   .text = text,
                   .floor = NAN };
    if (valid_most > 0 && valid_most < c->n_valid) c->n_valid = valid_most;
    if (c->n_train < 2 || c->n_valid < 2) {
        *why = arena_text(a,
                          "corpus=%s: tokens to train on: %ld, to validate on: %ld; expected at "
                          "least 2 of each",
                          name, c->n_train, c->n_valid);
        return NULL;
    }
    c->freq = arena_get(a, (size_t)c->V * sizeof *c->freq);
    corpus_count(c->train, c->n_train, c->freq);
    c->unigram = corpus_unigram_nll(c);
    if (text) c->bytes_per_token = corpus_bytes_per_token(c);
    return c;
}

/* NULL, or what is wrong with the settings of a synthetic text, which is made in memory */
static const char *corpus_synth_misfit(const Spec *s, Arena *a)
{
    const long V = spec_int(s, "V"), n = spec_int(s, "train_tokens"),
               m = spec_int(s, "valid_tokens"), most = 1l << 30;
    if (!spec_is(s, "vocab", "auto") && !spec_is(s, "vocab", "synth"))
        return arena_text(a, "corpus=synth has ids and no text: expected vocab=synth, not vocab=%s",
                          spec_str(s, "vocab"));
    if (V >= 2 && V <= TOKEN_IDS_MOST && n >= 2 && n <= most && m >= 2 && m <= most) return NULL;
    return arena_text(
        a,
        "corpus=synth V=%ld train_tokens=%ld valid_tokens=%ld: expected V from 2 to %d and "
        "lengths from 2 to %ld",
        V, n, m, TOKEN_IDS_MOST, most);
}

static Corpus *corpus_open_synth(const Spec *s, Arena *a, const char **why)
{
    const long V = spec_int(s, "V"), n = spec_int(s, "train_tokens"),
               m = spec_int(s, "valid_tokens");
    if ((*why = corpus_synth_misfit(s, a))) return NULL;
    const uint64_t seed = (uint64_t)spec_int(s, "corpus_seed");
    const TokenFile *train = synth_file((int)V, seed, 0, n, a, why);
    const TokenFile *valid = train ? synth_file((int)V, seed, 1, m, a, why) : NULL;
    Corpus *c = valid ? corpus_of("synth", train, valid, NULL, 0, a, why) : NULL;
    if (!c) return NULL;
    c->name = "synth";
    c->sha = "";
    c->floor = valid->floor;
    c->why_no_text = "the synthetic language is ids, not text";
    return c;
}

/* Said once in a process */
static void corpus_say_held(const char *path, long held)
{
    static int said;
    if (said++) return;
    fprintf(stderr, "%s: one file: its last %d %% (%ld tokens) are the validation text\n", path,
            100 / SINGLE_VALID, held);
}

static Corpus *corpus_of_files(const char *name, const Files *f, long valid_most, Arena *a,
                               const char **why)
{
    for (int i = 0; i < 2; i++)
        if (f->file[i] && !f->file[i]->n) {
            *why = arena_text(a, "%s: an empty text", f->source->path[i]);
            return NULL;
        }
    Corpus *c = corpus_of(name, f->file[0], f->file[1], f->vocab, valid_most, a, why);
    if (!c) return NULL;
    if (!f->file[1]) corpus_say_held(f->source->path[0], f->file[0]->n - c->n_train);
    c->name = arena_text(a, "%s", name);
    c->why_no_text = f->why_no_text;
    return c;
}

Corpus *corpus_open(const Spec *s, Arena *a, const char **why)
{
    const char *name = spec_str(s, "corpus"), *vocab = spec_str(s, "vocab");
    if (!strcmp(name, "synth")) return corpus_open_synth(s, a, why);
    const Files *f = files_open(name, vocab, spec_int(s, "V"), a, why);
    Corpus *c = f ? corpus_of_files(name, f, spec_int(s, "valid_tokens"), a, why) : NULL;
    if (!c) return NULL;
    if (f->file[1] && f->file[1]->floor > 0 && c->n_valid == f->file[1]->n)
        c->floor = f->file[1]->floor;
    return c;
}

/* ---- with what a checkpoint kept ---- */

static const char *corpus_misfit(const Spec *s, const TextKept *k, Arena *a)
{
    const char *name = spec_str(s, "corpus"), *vocab = spec_str(s, "vocab");
    const int synth = !strcmp(name, "synth"), kept = !strcmp(k->vocab, "synth");
    if (strcmp(vocab, "auto") && strcmp(vocab, k->vocab))
        return arena_text(a, "vocab=%s: %s was trained with vocab=%s", vocab, k->path, k->vocab);
    if (synth != kept)
        return arena_text(a, "corpus=%s: %s was trained with vocab=%s, expected %s", name, k->path,
                          k->vocab, kept ? "corpus=synth" : "a text");
    if (synth && spec_int(s, "V") != k->V)
        return arena_text(a, "V=%ld: %s was trained with V=%d", spec_int(s, "V"), k->path, k->V);
    return NULL;
}

/* The validation text of a corpus: its file and where it begins in it */
static const TokenFile *corpus_valid_file(const Spec *s, const TextKept *k, long *from, Arena *a,
                                          const char **why)
{
    *from = 0;
    if (!strcmp(k->vocab, "synth"))
        return (*why = corpus_synth_misfit(s, a))
                   ? NULL
                   : synth_file(k->V, (uint64_t)spec_int(s, "corpus_seed"), 1,
                                spec_int(s, "valid_tokens"), a, why);
    const Files *f = files_open_kept(spec_str(s, "corpus"), k, 1, a, why);
    if (!f) return NULL;
    const TokenFile *file = f->file[1] ? f->file[1] : f->file[0];
    if (!f->file[1] && !strcmp(file->source_hash, k->sha))
        corpus_say_held(f->source->path[0], file->n - (*from = file->n - file->n / SINGLE_VALID));
    return file;
}

static Corpus *corpus_valid_kept(Corpus *c, const Spec *s, const TextKept *k, Arena *a,
                                 const char **why)
{
    long from;
    const long most = spec_int(s, "valid_tokens");
    const TokenFile *f = corpus_valid_file(s, k, &from, a, why);
    if (!f) return NULL;
    c->valid = token_ids_from(f->tok, from);
    c->n_valid = f->n - from;
    if (most > 0 && most < c->n_valid) c->n_valid = most;
    if (c->n_valid < 2) {
        *why = arena_text(a, "corpus=%s: tokens to validate on: %ld; expected at least 2", c->name,
                          c->n_valid);
        return NULL;
    }
    if (f->floor > 0 && c->n_valid == f->n) c->floor = f->floor;
    c->unigram = corpus_unigram_nll(c);
    if (c->text) c->bytes_per_token = corpus_bytes_per_token(c);
    return c;
}

/* The training text too, the counts those that were kept */
static Corpus *corpus_all_kept(const Spec *s, const TextKept *k, Arena *a, const char **why)
{
    if (!strcmp(k->vocab, "synth")) return corpus_open_synth(s, a, why);
    const Files *f = files_open_kept(spec_str(s, "corpus"), k, 0, a, why);
    Corpus *c = f ? corpus_of_files(spec_str(s, "corpus"), f, spec_int(s, "valid_tokens"), a, why)
                  : NULL;
    if (c) c->freq = k->freq;
    return c;
}

Corpus *corpus_open_kept(const Spec *s, const TextKept *k, TextPart part, Arena *a,
                         const char **why)
{
    if (part != TEXT_NONE && (*why = corpus_misfit(s, k, a))) return NULL;
    if (part == TEXT_ALL) return corpus_all_kept(s, k, a, why);
    Corpus *c = arena_get(a, sizeof *c);
    uint32_t *first = arena_raw(a, sizeof *first);
    *first = (uint32_t)k->first;
    *c = (Corpus){ .name = arena_text(a, "%s", spec_str(s, "corpus")),
                   .vocab = k->vocab,
                   .vocab_hash = k->vocab_hash,
                   .why_no_text = k->why_no_text,
                   .sha = k->sha,
                   .V = k->V,
                   .n_train = k->n_train,
                   .valid = { first, 4 },
                   .n_valid = 1,
                   .freq = k->freq,
                   .text = k->text,
                   .floor = NAN,
                   .unigram = NAN };
    return part == TEXT_NONE ? c : corpus_valid_kept(c, s, k, a, why);
}

const char *corpus_check(const char *name, Arena *a)
{
    const char *why = NULL;
    if (!strcmp(name, "synth") || source_find(name, a, &why)) return NULL;
    for (const Recipe *r = recipes; r->name; r++)
        if (!strcmp(r->name, name) && *r->vocab) return NULL;
    return why;
}

void corpus_batch(const Corpus *c, uint64_t seed, long step, int micro, int B, int T, int *x,
                  int *y)
{
    Rng r = rng_at(seed, STREAM_BATCH, (uint64_t)step << 16 | (uint64_t)micro);
    if (c->n_train <= T)
        die("corpus %s: %ld training tokens, expected more than the %d of a sequence", c->name,
            c->n_train, T);
    for (int b = 0; b < B; b++) {
        const long at = (long)rng_below(&r, (uint64_t)(c->n_train - T));
        const TokenIds w = token_ids_from(c->train, at);
        for (int t = 0; t < T; t++) {
            x[b * T + t] = token_id(w, t);
            y[b * T + t] = token_id(w, t + 1);
        }
        if (c->mapped) tokens_leave(c->train, c->n_train, at, at + T + 1);
    }
}

static void corpora_list_one(FILE *out, const char *name, Arena *a)
{
    const char *why = NULL;
    const Source *s = source_find(name, a, &why);
    if (!s) return;
    fprintf(out, "  %-20s vocab=%-6s", name, s->vocab);
    for (int i = 0; i < 3; i++) {
        struct stat st;
        if (s->path[i] && !stat(s->path[i], &st))
            fprintf(out, " %s %.1f MB", split_names[i], (double)st.st_size / 1e6);
    }
    fprintf(out, "  %s\n", s->path[0]);
}

/* Directories with a train.txt[.xz]. */
static int corpora_list_dir(FILE *out, const char *dir, Arena *a)
{
    struct dirent **entry;
    int found = 0;
    const char *why = NULL;
    const int n = scandir(dir, &entry, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = entry[i]->d_name;
        const int hidden = *name == '.' || strchr(name, ' ') || !strcmp(name, "cache");
        if (!hidden && source_find(name, a, &why)) {
            corpora_list_one(out, name, a);
            found++;
        }
        free(entry[i]);
    }
    if (n >= 0) free(entry);
    return found;
}

void corpora_list(FILE *out)
{
    Arena a = arena_new((size_t)64 << 20);
    fputs("corpora here (corpus=NAME), vocabularies they ask for, sizes as stored, place:\n"
          "  synth                vocab=synth  made from corpus_seed; its entropy is known\n", out);
    int found = corpora_list_dir(out, data_dir(), &a);
    if (strcmp(data_dir(), "data")) found += corpora_list_dir(out, "data", &a);
    if (!found) fprintf(out, "  (no texts in %s: set EIGHTYSIX_DATA, or fetch one)\n", data_dir());
    fputs("\nto be had (eightysix tokenize fetch NAME):\n", out);
    for (const Recipe *r = recipes; r->name; r++)
        fprintf(out, "  %-20s %-34s %s\n", r->name, r->file,
                *r->sha256 ? "" : "needs sha256=HEX from you");
    arena_drop(&a);
}
