/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What pairs and triples of words say of the held texts: marks that a loss is put beside. Counted
 * in a process of its own, because counting takes more memory than training; kept in the cache
 * directory as NAME.grams.KEY.txt, KEY of the texts and of the vocabulary. */
#include "harness/corpus/bigram.h"
#include "harness/corpus/cache.h"
#include "harness/corpus/data_parts.h"
#include "harness/corpus/trigram.h"
#include "harness/util/file.h"
#include "harness/util/host.h"
#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GRAMS_BESIDE = 1000000,           /* training tokens from which on it is done apart */
       GRAMS_MOST = 200000000,           /* beyond, it is not: some 10 GB */
       GRAMS_BYTES = 72 };               /* a token, at most */
typedef struct Grams { double bigram[2], trigram[2]; } Grams;        /* of valid, test */

static void grams_of(const Bigram *b, const Trigram *t, const HeldText *h, double *bigram,
                     double *trigram)
{
    *bigram = *trigram = 0;
    for (long i = 0; i < h->n; i++) {
        const int w = token_id(h->tok, i), v = i ? token_id(h->tok, i - 1) : -1;
        if (i) *bigram -= bigram_logp(b, v, w) / (double)(h->n - 1);
        if (i > 1)
            *trigram -= trigram_logp(t, token_id(h->tok, i - 2), v, w) / (double)(h->n - 2);
    }
}

/* NAN: of a text of fewer than three tokens */
static Grams grams_count(const Corpus *c)
{
    Grams g = { { NAN, NAN }, { NAN, NAN } };
    Arena a = arena_new((size_t)c->n_train * GRAMS_BYTES + (size_t)c->V * 96 + (16 << 20));
    const HeldText *const held[] = { &c->valid, &c->test };
    const Bigram *b = bigram_make(c->train, c->n_train, c->V, &a);
    const Trigram *t = trigram_make(c->train, c->n_train, c->V, &a);
    for (int i = 0; i < 2; i++)
        if (held[i]->n >= 3) grams_of(b, t, held[i], &g.bigram[i], &g.trigram[i]);
    arena_drop(&a);
    return g;
}

/* The same in a child; 0: it did not end well */
static int grams_count_beside(const Corpus *c, Grams *g)
{
    int fd[2], status;
    if (pipe(fd)) return 0;
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        *g = grams_count(c);
        _exit(write(fd[1], g, sizeof *g) != sizeof *g);
    }
    close(fd[1]);
    const int read_all = pid > 0 && read(fd[0], g, sizeof *g) == sizeof *g;
    close(fd[0]);
    return pid > 0 && waitpid(pid, &status, 0) == pid && !status && read_all;
}

static const char *grams_path(const Corpus *c, Arena *a)
{
    const char *why;
    char hex[65];
    const char *of = arena_text(a, "%s %s %d %ld %s %ld %s %ld", c->sha, c->vocab_hash, c->V,
                                c->n_train, c->valid.sha, c->valid.n, c->test.sha, c->test.n);
    const char *base = strrchr(c->name, '/');
    return cache_path(arena_text(a, "%s.grams.%.16s.txt", base ? base + 1 : c->name,
                                 sha256_hex(of, strlen(of), hex)), a, &why);
}

/* 1: the file has them */
static int grams_read(const char *path, Grams *g)
{
    FILE *f = path ? fopen(path, "r") : NULL;
    const int n = f ? fscanf(f, "%lf %lf %lf %lf", &g->bigram[0], &g->trigram[0], &g->bigram[1],
                             &g->trigram[1]) : 0;
    if (f) fclose(f);
    return n == 4;
}

static void grams_keep(const char *path, const Grams *g, Arena *a)
{
    const char *why;
    FILE *f = path ? file_begin(path, a, &why) : NULL;
    if (!f) return;
    fprintf(f, "%.17g %.17g %.17g %.17g\n", g->bigram[0], g->trigram[0], g->bigram[1],
            g->trigram[1]);
    file_commit(f, path, a);
}

void corpus_grams(Corpus *c)
{
    Grams g = { { NAN, NAN }, { NAN, NAN } };
    if (c->n_train >= 3 && c->n_train < GRAMS_BESIDE) g = grams_count(c);
    else if (c->n_train >= GRAMS_BESIDE && c->n_train <= GRAMS_MOST) {
        Arena a = arena_new(1 << 20);
        const char *path = grams_path(c, &a);
        if (!grams_read(path, &g) && grams_count_beside(c, &g)) grams_keep(path, &g, &a);
        arena_drop(&a);
    }
    c->valid.bigram = g.bigram[0];
    c->valid.trigram = g.trigram[0];
    c->test.bigram = g.bigram[1];
    c->test.trigram = g.trigram[1];
}
