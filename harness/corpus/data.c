/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A corpus as a run sees it: training and validation tokens, their counts, and the marks a loss is
 * put beside. */
#include "harness/corpus/data_parts.h"
#include <math.h>
#include <string.h>

enum { BLOCK = 1 << 20 };

static void corpus_count(TokenIds tok, long n, long *freq)
{
    for (long from = 0; from < n; from += BLOCK) {
        const long to = from + BLOCK < n ? from + BLOCK : n;
        for (long i = from; i < to; i++) freq[token_id(tok, i)]++;
        tokens_leave(tok, n, from, to);
    }
}

/* -mean ln((freq + 1) / (n_train + V)); NAN where nothing was counted */
static double corpus_unigram_nll(const Corpus *c, const HeldText *h)
{
    double sum = 0;
    if (!c->n_train) return NAN;
    for (long i = 0; i < h->n; i++)
        sum -= log((double)(c->freq[token_id(h->tok, i)] + 1) / (double)(c->n_train + c->V));
    return sum / (double)h->n;
}

static void corpus_mark_bytes(const Corpus *c, HeldText *h)
{
    double bytes = 0, naming = 0;
    const Vocab *text = h->whole.at ? vocab_base(c->text) : c->text;
    const TokenIds tok = h->whole.at ? h->whole : h->tok;
    size_t len;
    for (long i = 0; i < h->n; i++) {
        vocab_bytes_of(text, token_id(tok, i), &len);
        bytes += (double)len;
        if (h->whole.at) naming += vocab_naming(c->text, token_id(tok, i));
    }
    h->bytes_per_token = bytes / (double)h->n;
    h->naming = naming / (double)h->n;
}

double corpus_bits_per_byte(const HeldText *h, double nll)
{
    return h->bytes_per_token > 0 ? (nll + h->naming) / log(2) / h->bytes_per_token : NAN;
}

static const HeldText corpus_no_text = { .floor = NAN, .bigram = NAN, .trigram = NAN };

/* n tokens of a file from `from` on, cut to `most` (0: all) */
static HeldText corpus_part_of(const TokenFile *f, long from, long n, long most, const char *sha)
{
    if (most > 0 && most < n) n = most;
    return (HeldText){ .tok = token_ids_from(f->tok, from),
                       .n = n,
                       .sha = sha,
                       .floor = n == f->n && f->floor > 0 ? f->floor : NAN,
                       .unigram = NAN,
                       .bigram = NAN,
                       .trigram = NAN };
}

static HeldText corpus_whole(const TokenFile *f, long most)
{
    return corpus_part_of(f, 0, f->n, most, f->source_hash);
}

/* How many tokens of a single file each text held back of it has */
static long corpus_share(const TokenFile *f) { return f->n * SINGLE_HELD / 100; }

/* valid and test of a corpus with these files; whole: the same in the base of its vocabulary, or
 * NULL; held: percent of file[0] that are theirs */
static void corpus_hold(Corpus *c, TokenFile *const file[3], TokenFile *const *whole, int held,
                        long most, Arena *a)
{
    const TokenFile *all = file[0];
    const long share = held ? corpus_share(all) : 0;
    c->valid = c->test = corpus_no_text;
    if (held)
        c->valid = corpus_part_of(all, all->n - share, share, most,
                                  source_share_sha(all->source_hash, SPLIT_VALID, held, a));
    if (held > SINGLE_HELD)
        c->test = corpus_part_of(all, all->n - 2 * share, share, most,
                                 source_share_sha(all->source_hash, SPLIT_TEST, held, a));
    if (file[1]) c->valid = corpus_whole(file[1], most);
    if (file[2]) c->test = corpus_whole(file[2], most);
    if (!whole || !(whole[0] || whole[1])) return;
    Corpus base = { .name = c->name };
    corpus_hold(&base, whole, NULL, held, most, a);
    CHECK(base.valid.n == c->valid.n && base.test.n == c->test.n);
    c->valid.whole = base.valid.tok;
    c->test.whole = base.test.tok;
}

/* What follows from the counts and the held texts; a test text of one token is none */
static void corpus_mark(Corpus *c)
{
    HeldText *const held[] = { &c->valid, &c->test };
    if (c->test.n < 2) c->test = corpus_no_text;
    for (int i = 0; i < 2; i++) {
        if (!held[i]->n) continue;
        held[i]->unigram = corpus_unigram_nll(c, held[i]);
        if (c->text) corpus_mark_bytes(c, held[i]);
    }
}

/* Everything that follows from the files; held: percent of the first that are valid and test */
static Corpus *corpus_of(const char *name, TokenFile *const file[3], TokenFile *const *whole,
                         int held, Vocab *text, long most, Arena *a, const char **why)
{
    Corpus *c = arena_get(a, sizeof *c);
    const TokenFile *train = file[0];
    *c = (Corpus){ .vocab = train->vocab,
                   .vocab_hash = train->vocab_hash,
                   .sha = held ? source_share_sha(train->source_hash, SPLIT_TRAIN, held, a)
                               : train->source_hash,
                   .V = train->V,
                   .train = train->tok,
                   .n_train = train->n - held / SINGLE_HELD * corpus_share(train),
                   .mapped = 1,
                   .text = text };
    memcpy(c->file, file, sizeof c->file);
    corpus_hold(c, file, whole, held, most, a);
    if (c->n_train < 2 || c->valid.n < 2) {
        *why = arena_text(a,
                          "corpus=%s: tokens to train on: %ld, to validate on: %ld; expected at "
                          "least 2 of each",
                          name, c->n_train, c->valid.n);
        return NULL;
    }
    c->freq = arena_get(a, (size_t)c->V * sizeof *c->freq);
    corpus_count(c->train, c->n_train, c->freq);
    corpus_mark(c);
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
    TokenFile *file[3] = { NULL };
    for (int i = 0; i < 3; i++)
        if (!(file[i] = synth_file((int)V, seed, i, i ? m : n, a, why))) return NULL;
    Corpus *c = corpus_of("synth", file, NULL, 0, NULL, 0, a, why);
    if (!c) return NULL;
    c->name = "synth";
    c->sha = c->valid.sha = c->test.sha = "";
    c->why_no_text = "the synthetic language is ids, not text";
    return c;
}

/* Said once in a process */
static void corpus_say_held(const char *path, long share, int held)
{
    static int said;
    if (said++) return;
    fprintf(stderr, "%s: one file: its last %d %% (%ld tokens) are the validation text", path,
            SINGLE_HELD, share);
    if (held > SINGLE_HELD)
        fprintf(stderr, ", the %d %% before them the test text", SINGLE_HELD);
    fputc('\n', stderr);
}

static void corpus_explain_no_test(Corpus *c, const Source *s)
{
    if (c->test.n || c->why_no_test) return;
    c->why_no_test = s->tokens         ? "there are token files of train and valid, none of test"
                     : s->by_documents ? "no test.txt, and no documents of train, each ended by a "
                                         "line <|endoftext|>, of which some could be held back"
                                       : "it is too small for one";
}

static Corpus *corpus_of_files(const char *name, const Files *f, long most, Arena *a,
                               const char **why)
{
    const int held = source_held(f->source);
    for (int i = 0; i < 3; i++)
        if (f->file[i] && !f->file[i]->n) {
            *why = arena_text(a, "%s: an empty text", f->source->path[i] ? f->source->path[i]
                                                                        : f->source->path[0]);
            return NULL;
        }
    Corpus *c = corpus_of(name, f->file, f->whole, held, f->vocab, most, a, why);
    if (!c) return NULL;
    if (held) corpus_say_held(f->source->path[0], corpus_share(f->file[0]), held);
    c->name = arena_text(a, "%s", name);
    c->why_no_text = f->why_no_text;
    c->test_shared = held > SINGLE_HELD || f->source->by_documents;
    corpus_explain_no_test(c, f->source);
    return c;
}

Corpus *corpus_open(const Spec *s, Arena *a, const char **why)
{
    const char *name = spec_str(s, "corpus"), *vocab = spec_str(s, "vocab");
    if (!strcmp(name, "synth")) return corpus_open_synth(s, a, why);
    const Files *f = files_open(name, vocab, spec_int(s, "V"), a, why);
    return f ? corpus_of_files(name, f, spec_int(s, "valid_tokens"), a, why) : NULL;
}

TokenPlace corpus_place(const Corpus *c, Split split)
{
    const HeldText *held = split == SPLIT_VALID ? &c->valid : &c->test;
    const TokenIds tok = split == SPLIT_TRAIN ? c->train : held->tok;
    const long n = split == SPLIT_TRAIN ? c->n_train : held->n;
    for (int i = 0; i < 3 && n; i++) {
        const TokenFile *f = c->file[i];
        const long bytes = f ? (intptr_t)tok.at - (intptr_t)f->tok.at : -1;
        const long first = bytes / tok.bytes;
        if (bytes >= 0 && first + n <= f->n) return (TokenPlace){ f->path, first, n };
    }
    return (TokenPlace){ NULL, 0, 0 };
}

void corpus_record(const Corpus *c, Recorder *rec)
{
    record_text(rec, "corpus", c->name);
    record_text(rec, "vocab", c->vocab);
    if (!*c->sha) return;
    record_text(rec, "corpus_sha", c->sha);
    record_text(rec, "valid_sha", c->valid.sha);
    if (c->test.n) record_text(rec, "test_sha", c->test.sha);
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

/* The held texts of a single file; what it is to the checkpoint: its training text, that of a
 * program which held only the validation text back of it, or another text, read whole */
static void corpus_hold_single(Corpus *c, const Files *f, const TextKept *k, long most, Arena *a)
{
    const char *sha = f->file[0]->source_hash;
    const int held = source_held(f->source),
              own = !strcmp(k->sha, source_share_sha(sha, SPLIT_TRAIN, held, a)),
              older = !strcmp(k->sha, sha);
    corpus_hold(c, f->file, f->whole, own ? held : older ? SINGLE_HELD : 0, most, a);
    if (!own && !older) c->valid = corpus_whole(f->file[0], most);
    if (!own && !older && f->whole[0]) c->valid.whole = f->whole[0]->tok;
    if (own || older)
        corpus_say_held(f->source->path[0], corpus_share(f->file[0]), own ? held : SINGLE_HELD);
    if (!own && !c->test.n)
        c->why_no_test = older ? "this checkpoint was trained on it by an older program, which "
                                 "held none back"
                               : "a single file that is another text than the training text is "
                                 "read whole";
}

/* valid and test of a text or of token files. NULL or an error message */
static const char *corpus_hold_kept(Corpus *c, const Spec *s, const TextKept *k, Arena *a)
{
    const char *why = NULL;
    const long most = spec_int(s, "valid_tokens");
    const Files *f = files_open_kept(spec_str(s, "corpus"), k, 1, a, &why);
    if (!f) return why;
    if (!f->file[1]) corpus_hold_single(c, f, k, most, a);
    else corpus_hold(c, f->file, f->whole, 0, most, a);
    const char *whole = c->test.n && f->source->by_documents ? source_sha(f->source, 1, a) : NULL;
    if (whole && !strcmp(whole, k->sha)) {
        c->test.n = 0;
        c->why_no_test = "this checkpoint was trained on all documents by an older program, which "
                         "held none back";
    }
    corpus_explain_no_test(c, f->source);
    return NULL;
}

static const char *corpus_hold_synth(Corpus *c, const Spec *s, const TextKept *k, Arena *a)
{
    TokenFile *file[3] = { NULL };
    const char *why = corpus_synth_misfit(s, a);
    const uint64_t seed = (uint64_t)spec_int(s, "corpus_seed");
    for (int i = 1; i < 3 && !why; i++)
        file[i] = synth_file(k->V, seed, i, spec_int(s, "valid_tokens"), a, &why);
    if (!why) corpus_hold(c, file, NULL, 0, 0, a);
    return why;
}

static Corpus *corpus_held_kept(Corpus *c, const Spec *s, const TextKept *k, Arena *a,
                                const char **why)
{
    const int synth = !strcmp(k->vocab, "synth");
    if ((*why = synth ? corpus_hold_synth(c, s, k, a) : corpus_hold_kept(c, s, k, a))) return NULL;
    if (c->valid.n < 2) {
        *why = arena_text(a, "corpus=%s: tokens to validate on: %ld; expected at least 2", c->name,
                          c->valid.n);
        return NULL;
    }
    corpus_mark(c);
    return c;
}

/* The training text too, the counts those that were kept */
static Corpus *corpus_all_kept(const Spec *s, const TextKept *k, Arena *a, const char **why)
{
    if (!strcmp(k->vocab, "synth")) return corpus_open_synth(s, a, why);
    const Files *f = files_open_kept(spec_str(s, "corpus"), k, 0, a, why);
    Corpus *c = f ? corpus_of_files(spec_str(s, "corpus"), f, spec_int(s, "valid_tokens"), a, why)
                  : NULL;
    if (c && k->n_train) c->freq = k->freq;
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
                   .valid = { .tok = { first, 4 }, .n = 1, .floor = NAN, .unigram = NAN,
                              .bigram = NAN, .trigram = NAN },
                   .test = corpus_no_text,
                   .freq = k->freq,
                   .text = k->text };
    return part == TEXT_NONE ? c : corpus_held_kept(c, s, k, a, why);
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
