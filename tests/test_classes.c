/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Classes of words: a permutation cut into full, bounded classes by every assignment; those that
 * look at contexts find the classes of a language that has some, and are the same on any number of
 * threads; the exchange ends where no move of a word raises its likelihood. */
#include "models/classes.h"
#include "tests/test.h"
#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const ways[] = { "freq", "sqrt", "random", "brown", "kmeans", "svd" };
enum { WAYS = sizeof ways / sizeof *ways };

static Arena arena;
static int start(void **state) { (void)state; arena = arena_new((size_t)1 << 32); return 0; }
static int stop (void **state) { (void)state; arena_drop(&arena); return 0; }

static const Classes *make_beside(int shortlist, const char *way, const HeadData *d, int C,
                                  int threads)
{
    const char *why;
    Spec *s = spec_new(&arena);
    holds(spec_set(s, arena_text(&arena, "shortlist=%d", shortlist)));
    holds(spec_set(s, arena_text(&arena, "assign=%s", way)));
    holds(spec_set(s, arena_text(&arena, "threads=%d", threads)));
    const Exec *e = exec_make(s, &arena, &why);
    assert_non_null(e);
    const Classes *k = classes_make(s, e, d, C, &arena, &why);
    if (!k) die("%s", why);
    return k;
}

static const Classes *make(const char *way, const HeadData *d, int C, int threads)
{
    return make_beside(0, way, d, C, threads);
}

static HeadData data_of(uint16_t *tok, long n, int V)
{
    long *freq = arena_get(&arena, sizeof *freq * (size_t)V);
    for (long i = 0; i < n; i++) freq[tok[i]]++;
    return (HeadData){ V, freq, token_ids_2(tok), n, NULL };
}

/* ---- shape ---- */

/* Zipf's law over ids out of order; a tenth never occurs */
static HeadData zipf(int V, long n, uint64_t seed)
{
    Rng r = rng_at(seed, STREAM_CHECK, (uint64_t)V);
    uint16_t *tok = arena_raw(&arena, sizeof *tok * (size_t)n);
    const int used = V - V / 10;
    for (long i = 0; i < n; i++) {
        const int rank = (int)exp(rng_uniform(&r) * log(used + 1)) - 1;
        tok[i] = (uint16_t)((rank < used ? rank : used - 1) * 7L % V);
    }
    return data_of(tok, n, V);
}

static void check_shape(const char *way, const HeadData *d, const Classes *k, int C)
{
    const int V = d->V, cap = (4 * V + C - 1) / C;
    int *seen = arena_get(&arena, sizeof *seen * (size_t)V);
    double total = 0, mass = 0;
    assert_int_equal(k->V, V);
    assert_int_equal(k->C, C);
    assert_int_equal(k->start[0], 0);
    assert_int_equal(k->start[C], V);
    for (int v = 0; v < V; v++) total += (double)d->freq[v] + 1;
    for (int c = 0; c < C; c++) {
        const int size = k->start[c + 1] - k->start[c];
        double m = 0;
        if (size < 1 || size > cap)
            fail_msg("assign=%s V=%d C=%d: class %d has %d words, expected 1 to %d", way, V, C, c,
                     size, cap);
        for (int i = k->start[c]; i < k->start[c + 1]; i++) {
            const int v = k->word[i];
            assert_true(v >= 0 && v < V && !seen[v]++);
            assert_int_equal(k->class_of[v], c);
            assert_int_equal(k->place[v], i);
            m += ((double)d->freq[v] + 1) / total;
        }
        assert_true(fabs(k->mass[c] - m) < 1e-12);
        mass += k->mass[c];
    }
    assert_true(fabs(mass - 1) < 1e-9);
}

/* Of brown and kmeans, with no more classes than the root of V: a class of several words has at
 * most twice its share. */
static void check_mass(const char *way, const Classes *k)
{
    double rows = 0;
    for (int c = 0; c < k->C; c++) rows += k->mass[c] * (k->start[c + 1] - k->start[c]);
    for (int c = 0; c < k->C; c++)
        if (k->start[c + 1] - k->start[c] > 1 && k->mass[c] * k->C > 2 + 1e-9)
            fail_msg("assign=%s V=%d C=%d: class %d has %.2f times an equal share of the mass",
                     way, k->V, k->C, c, k->mass[c] * k->C);
    assert_true(rows <= 2.0 * k->V / k->C + 1);
}

static void every_assignment_has_full_bounded_classes(void **state)
{
    (void)state;
    static const struct { int V, C; long n; } cases[] = {
        { 1000, 31, 20000 }, { 97, 5, 3000 }, { 97, 40, 300 }, { 50, 50, 500 }, { 50, 1, 500 },
        { 2, 1, 10 }, { 2, 2, 2 }, { 3000, 54, 500 }, { 2500, 50, 30000 } };
    const uint64_t seed = test_seed();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const HeadData d = zipf(cases[i].V, cases[i].n, seed);
        for (int w = 0; w < WAYS; w++) {
            const Classes *k = make(ways[w], &d, cases[i].C, 2);
            const int bounded = !strcmp(ways[w], "brown") || !strcmp(ways[w], "kmeans");
            check_shape(ways[w], &d, k, cases[i].C);
            if (bounded && cases[i].C * cases[i].C <= cases[i].V) check_mass(ways[w], k);
        }
    }
}

/* The short list is the most frequent words and stands behind the classes, of which every one has a
 * word of its own and whose masses add up to what is left. */
static void the_short_list_is_in_no_class(void **state)
{
    (void)state;
    static const struct { int V, C, N; } cases[] = {
        { 1000, 31, 50 }, { 97, 40, 57 }, { 97, 5, 96 }, { 50, 1, 1 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int V = cases[i].V, N = cases[i].N, C = cases[i].C < V - N ? cases[i].C : V - N;
        const HeadData d = zipf(V, 20L * V, test_seed());
        for (int w = 0; w < WAYS; w++) {
            const Classes *k = make_beside(N, ways[w], &d, C, 2);
            double total = 0, mass = 0;
            assert_true(k->C >= 1 && k->C <= C);
            assert_int_equal(k->start[k->C], V - N);
            for (int v = 0; v < V; v++) total += (double)d.freq[v] + 1;
            for (int c = 0; c < k->C; c++) {
                mass += k->mass[c];
                assert_true(k->start[c] < k->start[c + 1]);
            }
            for (int r = 0; r < V; r++) {
                const int v = k->word[r], listed = r >= V - N;
                assert_int_equal(k->place[v], r);
                if (listed) assert_int_equal(k->class_of[v], k->C);
                else assert_true(r >= k->start[k->class_of[v]] && r < k->start[k->class_of[v] + 1]);
                if (listed) mass += ((double)d.freq[v] + 1) / total;
                for (int s = V - N; s < V && !listed; s++)
                    assert_true(d.freq[v] <= d.freq[k->word[s]]);
            }
            assert_true(fabs(mass - 1) < 1e-9);
        }
    }
}

/* 1800 words that occur once, always after word 0: nothing but the caps can part them */
static HeadData crowd(void)
{
    enum { FREQUENT = 200, ALIKE = 1800, N = 20000 };
    Rng r = rng_at(test_seed(), STREAM_CHECK, 5);
    uint16_t *tok = arena_raw(&arena, sizeof *tok * N);
    for (int i = 0; i < N; i++) tok[i] = (uint16_t)(1 + rng_below(&r, FREQUENT - 1));
    for (int i = 0; i < ALIKE; i++) {
        tok[10 * i] = 0;
        tok[10 * i + 1] = (uint16_t)(FREQUENT + i);
    }
    return data_of(tok, N, FREQUENT + ALIKE);
}

static void a_crowd_is_shared_out(void **state)
{
    (void)state;
    static const int classes[] = { 20, 1500 };
    const HeadData d = crowd();
    for (int i = 0; i < 2; i++)
        for (int w = 0; w < WAYS; w++)
            check_shape(ways[w], &d, make(ways[w], &d, classes[i], 2), classes[i]);
}

/* ---- a language with classes ---- */

enum { PLANTED = 20, WORDS = 600, TEXT = 150000 };

typedef struct { HeadData d; int class_of[WORDS]; } Language;

/* Each class is followed by one of four classes, drawn once; a word is drawn in its class by Zipf's
 * law. */
static Language *language(uint64_t seed)
{
    Language *l = arena_raw(&arena, sizeof *l);
    Rng r = rng_at(seed, STREAM_CHECK, 1);
    int next[PLANTED][4], members[PLANTED][WORDS], size[PLANTED] = { 0 }, c = 0;
    uint16_t *tok = arena_raw(&arena, sizeof *tok * TEXT);
    for (int i = 0; i < PLANTED; i++)
        for (int k = 0; k < 4; k++)
            next[i][k] = k ? (int)rng_below(&r, PLANTED) : (i + 1) % PLANTED;
    for (int v = 0; v < WORDS; v++) {
        l->class_of[v] = v < PLANTED ? v : (int)rng_below(&r, PLANTED);
        members[l->class_of[v]][size[l->class_of[v]]++] = v;
    }
    for (int i = 0; i < TEXT; i++) {
        c = next[c][rng_below(&r, 4)];
        const int rank = (int)exp(rng_uniform(&r) * log(size[c] + 1)) - 1;
        tok[i] = (uint16_t)members[c][rank < size[c] ? rank : size[c] - 1];
    }
    l->d = data_of(tok, TEXT, WORDS);
    return l;
}

/* Normalised mutual information of two labellings: 2 I(a; b) / (H(a) + H(b)) */
static double nmi(const int *a, const int *b, int n, int labels)
{
    const size_t bytes = sizeof(double) * (size_t)labels;
    double *joint = arena_get(&arena, bytes * (size_t)labels), *pa = arena_get(&arena, bytes);
    double *pb = arena_get(&arena, bytes), mutual = 0, entropy = 0;
    for (int i = 0; i < n; i++) {
        joint[a[i] * labels + b[i]] += 1.0 / n;
        pa[a[i]] += 1.0 / n;
        pb[b[i]] += 1.0 / n;
    }
    for (int i = 0; i < labels; i++) {
        if (pa[i] > 0) entropy -= pa[i] * log(pa[i]);
        if (pb[i] > 0) entropy -= pb[i] * log(pb[i]);
        for (int j = 0; j < labels; j++) {
            const double p = joint[i * labels + j];
            if (p > 0) mutual += p * log(p / pa[i] / pb[j]);
        }
    }
    return 2 * mutual / entropy;
}

static void planted_classes_are_found(void **state)
{
    (void)state;
    static const struct { const char *way; double least, most; } expected[] = {
        { "freq", 0, 0.3 }, { "random", 0, 0.3 }, { "brown", 0.8, 1 }, { "kmeans", 0.8, 1 },
        { "svd", 0.5, 1 } };
    const Language *l = language(test_seed());
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const Classes *k = make(expected[i].way, &l->d, PLANTED, 2);
        const double got = nmi(k->class_of, l->class_of, WORDS, PLANTED);
        printf("# assign=%s: normalised mutual information %.3f\n", expected[i].way, got);
        if (!(got >= expected[i].least && got <= expected[i].most + 1e-9))
            fail_msg("assign=%s: normalised mutual information %.3f, expected %.2f to %.2f",
                     expected[i].way, got, expected[i].least, expected[i].most);
    }
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    const Language *l = language(test_seed() + 1);
    for (int w = 0; w < WAYS; w++) {
        const Classes *one = make(ways[w], &l->d, 25, 1);
        for (int threads = 2; threads <= 3; threads++) {
            const Classes *more = make(ways[w], &l->d, 25, threads);
            if (memcmp(one->word, more->word, sizeof(int) * WORDS) ||
                memcmp(one->start, more->start, sizeof(int) * 26))
                fail_msg("assign=%s: other classes on %d threads than on one", ways[w], threads);
        }
    }
}

static double xlogx(double x) { return x > 0 ? x * log(x) : 0; }

/* sum N(v, c) ln N(v, c) - sum N(c) ln N(c), from the text */
static double likelihood(const HeadData *d, const int *class_of, int C)
{
    const size_t bytes = sizeof(double) * (size_t)C;
    double *n = arena_get(&arena, bytes * (size_t)d->V), *total = arena_get(&arena, bytes), sum = 0;
    for (long i = 1; i < d->n; i++) {
        n[token_id(d->tok, i - 1) * C + class_of[token_id(d->tok, i)]]++;
        total[class_of[token_id(d->tok, i)]]++;
    }
    for (int i = 0; i < d->V * C; i++) sum += xlogx(n[i]);
    for (int c = 0; c < C; c++) sum -= xlogx(total[c]);
    return sum;
}

static void exchange_ends_where_no_move_helps(void **state)
{
    (void)state;
    enum { C = 15, TRIES = 150 };
    const Language *l = language(test_seed() + 2);
    const Classes *k = make("brown", &l->d, C, 2);
    const double best = likelihood(&l->d, k->class_of, C);
    Rng r = rng_at(test_seed(), STREAM_CHECK, 3);
    int raised = 0, tried = 0;
    /* by count: the exchange may end below other ways to a maximum */
    for (int w = 0; w < 3; w++)
        if (likelihood(&l->d, make(ways[w], &l->d, C, 2)->class_of, C) >= best)
            fail_msg("assign=%s has a higher likelihood than brown", ways[w]);
    while (tried < TRIES) {
        const int v = (int)rng_below(&r, WORDS), to = (int)rng_below(&r, C), own = k->class_of[v];
        const size_t mark = arena.used;
        if (l->d.freq[v] < 10 || to == own || k->start[own + 1] - k->start[own] == 1) continue;
        if ((k->mass[to] + ((double)l->d.freq[v] + 1) / (TEXT + WORDS)) * C > 2) continue;
        k->class_of[v] = to;
        raised += likelihood(&l->d, k->class_of, C) > best + 1e-6;
        k->class_of[v] = own;
        arena_reset(&arena, mark);
        tried++;
    }
    if (raised > TRIES / 50)
        fail_msg("%d of %d moves of a word raise the likelihood", raised, TRIES);
}

/* ---- the world ---- */

static void a_text_is_asked_for(void **state)
{
    (void)state;
    const HeadData none = { .V = 50, .freq = arena_get(&arena, sizeof(long) * 50) };
    for (int w = 3; w < WAYS; w++) {
        int fd[2], status;
        char said[512] = "";
        assert_int_equal(pipe(fd), 0);
        fflush(NULL);
        const pid_t pid = fork();
        if (!pid) {
            dup2(fd[1], 2);
            make(ways[w], &none, 7, 1);
            _exit(0);
        }
        close(fd[1]);
        FILE *in = fdopen(fd[0], "r");
        assert_true(fread(said, 1, sizeof said - 1, in) > 0);
        fclose(in);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
        const char *expected = arena_text(&arena, "assign=%s: needs the training text", ways[w]);
        assert_non_null(strstr(said, expected));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: the child of a process with threads has none */
        cmocka_unit_test(a_text_is_asked_for),
        cmocka_unit_test(every_assignment_has_full_bounded_classes),
        cmocka_unit_test(the_short_list_is_in_no_class),
        cmocka_unit_test(a_crowd_is_shared_out),
        cmocka_unit_test(planted_classes_are_found),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(exchange_ends_where_no_move_helps),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
