/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the name of a corpus to its token files.
 *
 * DIR/NAME/train.txt[.xz], valid.txt[.xz], test.txt[.xz], DIR one of EIGHTYSIX_DATA and data; or
 * the path of a text or token file, whose sibling is sought by writing "valid" for "train" in its
 * name. What is made from them lies in the cache directory as NAME.SPLIT.VOCAB.KEY.tok; KEY is of
 * the vocabulary and of the text's path, size and time of change, so that an edited text is
 * tokenized again and nothing stale is ever read. */
#include "harness/corpus/cache.h"
#include "harness/corpus/data_parts.h"
#include "harness/corpus/words.h"
#include "harness/util/clock.h"
#include "harness/util/host.h"
#include "harness/util/progress.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int files_exist(const char *path) { return !access(path, R_OK); }

Vocab *gpt2_find(Arena *a, const char **why)
{
    const char *dir = data_find("gpt2", a);
    if (dir) return vocab_gpt2(dir, a, why);
    *why = arena_text(a, "no GPT-2 vocabulary: expected %s/gpt2/vocab.bpe and encoder.json "
                      "(`eightysix tokenize fetch gpt2` brings them)", data_dir());
    return NULL;
}

Vocab *pieces_find(Arena *a, const char **why)
{
    const char *dir = data_find("pieces", a);
    if (dir) return vocab_pieces(arena_text(a, "%s/tokenizer.json", dir), 0, a, why);
    *why = arena_text(a, "no vocabulary of pieces: expected %s/pieces/tokenizer.json", data_dir());
    return NULL;
}

static const char *files_base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int files_ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

/* The path with `split` in place of the last "train" of its file name; NULL when there is no such
 * file. */
static const char *files_sibling(const char *path, const char *split, Arena *a)
{
    const char *at = NULL;
    for (const char *p = files_base_of(path); (p = strstr(p, "train")); p++) at = p;
    if (!at) return NULL;
    const char *other =
        arena_text(a, "%.*s%s%s", (int)(at - path), path, split, at + strlen("train"));
    return files_exist(other) ? other : NULL;
}

static Source *source_by_path(const char *path, Arena *a, const char **why)
{
    if (!files_exist(path)) {
        *why = arena_text(a, "%s: cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    Source *s = arena_get(a, sizeof *s);
    *s = (Source){ .name = files_base_of(arena_text(a, "%s", path)),
                   .vocab = "gpt2",
                   .tokens = files_ends_with(path, ".tok") };
    s->path[0] = arena_text(a, "%s", path);
    for (int i = 1; i < 3; i++) s->path[i] = files_sibling(path, split_names[i], a);
    s->by_documents = s->path[1] && !s->path[2] && !s->tokens;
    return s;
}

Source *source_find(const char *name, Arena *a, const char **why)
{
    if (strchr(name, '/') || files_ends_with(name, ".txt") || files_ends_with(name, ".xz") ||
        files_ends_with(name, ".tok"))
        return source_by_path(name, a, why);
    Source *s = arena_get(a, sizeof *s);
    *s = (Source){ .name = arena_text(a, "%s", name), .vocab = "gpt2" };
    for (int i = 0; i < 3; i++) {
        s->path[i] = data_find(arena_text(a, "%s/%s.txt", name, split_names[i]), a);
        if (!s->path[i])
            s->path[i] = data_find(arena_text(a, "%s/%s.txt.xz", name, split_names[i]), a);
    }
    for (const Recipe *r = recipes; r->name; r++)
        if (!strcmp(r->name, name) && *r->vocab) s->vocab = r->vocab;
    s->by_documents = s->path[1] && !s->path[2];
    if (s->path[0]) return s;
    *why = arena_text(
        a,
        "no corpus '%s': expected synth, a path to a .txt, .txt.xz or .tok file, or "
        "%s/%s/train.txt[.xz] "
        "(`eightysix list corpora` shows what is here, `eightysix tokenize fetch` what can be had)",
        name, data_dir(), name);
    return NULL;
}

const char *files_key_of(const char *source, const char *how, Arena *a)
{
    struct stat st = { 0 };
    char *real = realpath(source, NULL), hex[65];
    if (stat(source, &st)) st.st_size = -1;
    const char *text =
        arena_text(a, "%s\n%s\n%lld\n%lld.%09ld", how, real ? real : source, (long long)st.st_size,
                   (long long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec);
    free(real);
    return arena_text(a, "%.12s", sha256_hex(text, strlen(text), hex));
}

/* Two processes that want the same file: the second waits. Returns a descriptor to close. */
static int files_lock(const char *path, Arena *a)
{
    const int fd = open(arena_text(a, "%s.lock", path), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0) flock(fd, LOCK_EX);
    return fd;
}

typedef struct { const char *what; double start, said; } Progress;

static void files_progress(Progress *p, const Text *t)
{
    const double spent = clock_now() - p->start, done = text_done(t);
    if (spent < 2 || done <= 0 || !progress_due(&p->said)) return;
    progress_say("%s: %.0f %%, %.1f MB/s, %.0f s left", p->what, 100 * done,
                 (double)text_bytes(t) / spent / 1e6, spent * (1 - done) / done);
}

/* All pieces of t through `each`; NULL or an error message. */
typedef void FilesPiece(void *ctx, const char *piece, long size);
static const char *files_each_piece(Text *t, const char *what, FilesPiece *each, void *ctx)
{
    const char *piece, *why = NULL;
    Progress p = { what, clock_now(), 0 };
    for (long n; (n = text_piece(t, &piece, &why)) != 0; files_progress(&p, t)) {
        if (n < 0) break;
        each(ctx, piece, n);
    }
    progress_clear();
    return why;
}

typedef struct { Vocab *vocab; TokenWriter *out; int *ids; long room, pieces; } Encoding;

static void files_encode_piece(void *ctx, const char *piece, long size)
{
    Encoding *e = ctx;
    Arena big = { NULL, 0, 0 };
    int *ids = e->ids;
    const long most = (long)vocab_room((size_t)size);
    if (most > e->room) {                /* a stretch without white space */
        big = arena_new((size_t)most * sizeof *ids);
        ids = arena_raw(&big, (size_t)most * sizeof *ids);
    }
    const long n = e->pieces++ ? vocab_encode_more(e->vocab, piece, (size_t)size, ids, most)
                               : vocab_encode(e->vocab, piece, (size_t)size, ids, most);
    CHECK(n <= most);
    tokens_add(e->out, ids, n);
    arena_drop(&big);
}

static const char *files_source_path(const Source *s, int split)
{
    return s->path[s->path[split] ? split : SPLIT_TRAIN];
}

static const char *files_tokenize(Source *s, int split, Vocab *v, const char *path, Arena *a)
{
    const char *why = NULL, *source = files_source_path(s, split);
    char hash[65];
    Text *t = source_open(s, (Split)split, a, &why);
    if (!t) return why;
    TokenWriter *w = tokens_begin(path, vocab_size(v), a, &why);
    if (w) {
        const size_t used = a->used;
        Encoding e = { v, w, NULL, 4 << 20, 0 };
        e.ids = arena_raw(a, (size_t)e.room * sizeof *e.ids);
        why = files_each_piece(t, arena_text(a, "tokenizing %s", source), files_encode_piece, &e);
        const TokenFile head = { .vocab = vocab_name(v),
                                 .vocab_hash = vocab_hash(v),
                                 .source = files_base_of(source),
                                 .source_hash = text_hash(t, hash),
                                 .bytes = text_bytes(t) };
        const char *failed = tokens_commit(w, why ? NULL : &head);
        if (!why) why = failed;
        if (!why) arena_reset(a, used);
    }
    text_close(t);
    return why;
}

/* The cached token file of a split, made now when it is missing. */
static TokenFile *files_text_tokens(Source *s, int split, Vocab *v, double *seconds, Arena *a,
                                    const char **why)
{
    const char *how = source_how(s, (Split)split, vocab_hash(v), a), *inner = NULL;
    const char *key = files_key_of(files_source_path(s, split), how, a);
    const char *path = cache_path(
        arena_text(a, "%s.%s.%s.%s.tok", s->name, split_names[split], vocab_name(v), key), a, why);
    if (!path) return NULL;
    if (!files_exist(path)) {
        const int fd = files_lock(path, a);
        const double start = clock_now();
        if (!files_exist(path)) inner = files_tokenize(s, split, v, path, a);
        *seconds = clock_now() - start;
        if (fd >= 0) {
            unlink(arena_text(a, "%s.lock", path));
            close(fd);
        }
        if (inner) {
            *why = inner;
            return NULL;
        }
    }
    TokenFile *f = tokens_open(path, a, &inner);
    if (f && (f->V != vocab_size(v) || strcmp(f->vocab_hash, vocab_hash(v)))) {
        inner = arena_text(a, "%s: another vocabulary (SHA-256 %.12s...), expected %.12s...", path,
                           f->vocab_hash, vocab_hash(v));
        tokens_close(f);
        f = NULL;
    }
    if (!f) *why = arena_text(a, "%s (delete it and it is made again)", inner);
    return f;
}

static void files_count_piece(void *ctx, const char *piece, long n)
{
    words_count_add(ctx, piece, (size_t)n);
}

/* The words of the training text; the list is kept in the cache. */
static Vocab *files_words_of(Source *s, long most, Arena *a, const char **why)
{
    const char *how = source_how(s, SPLIT_TRAIN, arena_text(a, "words %ld", most), a);
    const char *key = files_key_of(s->path[0], how, a);
    const char *path = cache_path(arena_text(a, "%s.words.%s.list", s->name, key), a, why);
    if (!path || files_exist(path)) return path ? vocab_words(path, a, why) : NULL;
    Text *t = source_open(s, SPLIT_TRAIN, a, why);
    if (!t) return NULL;
    Arena work = arena_new((size_t)1 << 30);
    WordCount *c = words_count_new(&work);
    Vocab *v = NULL;
    const char *what = arena_text(a, "counting the words of %s", s->path[0]);
    *why = files_each_piece(t, what, files_count_piece, c);
    if (!*why) v = words_count_vocab(c, most, a);
    if (v && (*why = vocab_save(v, path))) v = NULL;
    arena_drop(&work);
    text_close(t);
    return v;
}

/* The most frequent ids of GPT-2 in the training text, of a single file in all of it */
static Vocab *files_top_of(Source *s, long most, Arena *a, const char **why)
{
    double seconds;
    Vocab *base = gpt2_find(a, why);
    TokenFile *f = base ? files_text_tokens(s, SPLIT_TRAIN, base, &seconds, a, why) : NULL;
    if (!f) return NULL;
    size_t len;
    long *count = arena_get(a, sizeof *count * (size_t)f->V);
    for (long i = 0; i < f->n; i++) count[token_id(f->tok, i)]++;
    const char *list = vocab_top_list(count, most, base, &len, a);
    tokens_close(f);
    return vocab_top(list, len, s->path[0], base, a, why);
}

static Vocab *files_vocab_open(Source *s, const char *name, long most, Arena *a,
                               const char **why)
{
    if (!strcmp(name, "gpt2")) return gpt2_find(a, why);
    if (!strcmp(name, "pieces")) return pieces_find(a, why);
    if (!strcmp(name, "bytes")) return vocab_bytes(a);
    const int words = !strcmp(name, "words");
    if (!words && strcmp(name, "gpt2-top")) {
        *why = arena_text(a, "vocab=%s: expected gpt2, gpt2-top, words, bytes or pieces for the "
                             "text of corpus %s", name, s->name);
        return NULL;
    }
    if (words && most >= 2) return files_words_of(s, most, a, why);
    if (!words && most > 4) return files_top_of(s, most, a, why);
    *why = words ? arena_text(a, "V=%ld: expected at least 2 words", most)
                 : arena_text(a, "V=%ld: expected at least 5 ids, of which 4 are special", most);
    return NULL;
}

/* Token files say which vocabulary they are of; their text is readable when that vocabulary is
 * here. */
static Files *files_of_tokens(Files *f, const char *vocab, Arena *a, const char **why)
{
    const char *no_text = NULL;
    for (int i = 0; i < 3; i++) {
        if (!f->source->path[i]) continue;
        if (!(f->file[i] = tokens_open(f->source->path[i], a, why))) return NULL;
        const TokenFile *t = f->file[i], *first = f->file[0];
        if (strcmp(vocab, "auto") && strcmp(vocab, t->vocab)) {
            *why = arena_text(a, "%s: tokens of the vocabulary %s, expected vocab=%s", t->path,
                              t->vocab, vocab);
            return NULL;
        }
        if (t->V != first->V || strcmp(t->vocab_hash, first->vocab_hash)) {
            *why = arena_text(
                a, "%s: another vocabulary (SHA-256 %.12s...), expected that of %s (%.12s...)",
                t->path, t->vocab_hash, first->path, first->vocab_hash);
            return NULL;
        }
    }
    const TokenFile *t = f->file[0];
    Vocab *v = !strcmp(t->vocab, "gpt2")     ? gpt2_find(a, &no_text)
               : !strcmp(t->vocab, "pieces") ? pieces_find(a, &no_text)
               : !strcmp(t->vocab, "bytes")  ? vocab_bytes(a)
                                             : NULL;
    if (v && (strcmp(vocab_hash(v), t->vocab_hash) || vocab_size(v) != t->V)) {
        *why = arena_text(a,
                          "%s: tokens of another vocabulary %s (SHA-256 %.12s...), expected the "
                          "one here (%.12s...)",
                          t->path, t->vocab, t->vocab_hash, vocab_hash(v));
        return NULL;
    }
    f->vocab = v;
    if (!v && !no_text)
        no_text = arena_text(a, "%s holds ids only: its vocabulary '%s' is not known here", t->path,
                             t->vocab);
    f->why_no_text = no_text;
    return f;
}

/* The token files of the splits from `first` on. Of a test text that no document came to there is
 * none. NULL and *why */
static Files *files_of_text(Files *f, int first, Arena *a, const char **why)
{
    Source *s = f->source;
    for (int i = first; i < 3; i++) {
        const int held = i == SPLIT_TEST && s->by_documents;
        if (!s->path[i] && !held) continue;
        TokenFile *t = files_text_tokens(s, i, f->vocab, &f->seconds[i], a, why);
        if (!t) return NULL;
        if (t->n || !held) f->file[i] = t;
        else tokens_close(t);
        if (!f->file[i] || !vocab_base(f->vocab)) continue;
        f->whole[i] = files_text_tokens(s, i, vocab_base(f->vocab), &f->seconds[i], a, why);
        if (!f->whole[i]) return NULL;
    }
    return f;
}

Files *files_open(const char *corpus, const char *vocab, long V, Arena *a, const char **why)
{
    Files *f = arena_get(a, sizeof *f);
    Source *s = f->source = source_find(corpus, a, why);
    if (!s) return NULL;
    if (s->tokens) return files_of_tokens(f, vocab, a, why);
    f->vocab = files_vocab_open(s, strcmp(vocab, "auto") ? vocab : s->vocab, V, a, why);
    return f->vocab ? files_of_text(f, 0, a, why) : NULL;
}

/* Token files of another vocabulary than that of the checkpoint are refused. */
static const char *files_of_kept_tokens(Files *f, const TextKept *k, Arena *a)
{
    const char *why = NULL;
    for (int i = 0; i < 3; i++) {
        if (!f->source->path[i]) continue;
        const TokenFile *t = f->file[i] = tokens_open(f->source->path[i], a, &why);
        if (!t) return why;
        if (t->V != k->V || strcmp(t->vocab_hash, k->vocab_hash))
            return arena_text(a,
                              "%s: tokens of another vocabulary (%s, %d ids, SHA-256 %.12s...), "
                              "expected that of %s (%s, %d ids, %.12s...)",
                              t->path, t->vocab, t->V, t->vocab_hash, k->path, k->vocab, k->V,
                              k->vocab_hash);
    }
    return NULL;
}

Files *files_open_kept(const char *corpus, const TextKept *k, int held_only, Arena *a,
                       const char **why)
{
    Files *f = arena_get(a, sizeof *f);
    const Source *s = f->source = source_find(corpus, a, why);
    if (!s) return NULL;
    f->vocab = k->text;
    f->why_no_text = k->why_no_text;
    if (s->tokens) return (*why = files_of_kept_tokens(f, k, a)) ? NULL : f;
    if (!k->text) {
        *why = arena_text(a, "corpus=%s is a text, and %s", corpus, k->why_no_text);
        return NULL;
    }
    return files_of_text(f, held_only && s->path[1], a, why);
}
