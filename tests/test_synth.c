/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The synthetic language: the filter against enumeration and against the stream it reads, the
 * unigram law at a single position, copies from beyond 208 tokens, reproducibility. Streams follow
 * from seeds, so no bound here is a gamble. */
#include "harness/corpus/synth.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static Arena arena;

static int start(void **state) { (void)state; arena = arena_new((size_t)256 << 20); return 0; }
static int stop (void **state) { (void)state; arena_drop(&arena); return 0; }

static void within(double value, double low, double high)
{
    if (!(value >= low && value <= high))
        fail_msg("%.12g is not in [%.12g, %.12g]", value, low, high);
}

static int *read_stream(const Synth *s, uint64_t name, long n)
{
    int *tok = arena_raw(&arena, (size_t)n * sizeof *tok);
    synth_stream(s, name, tok, NULL, n);
    return tok;
}

static void unigram_is_zipf_mandelbrot(void **state)
{
    (void)state;
    static const int sizes[] = { 2, 3, 257, 50257, 65536, 70000, TOKEN_IDS_MOST };
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const Synth *s = synth_make(sizes[k], 1, &arena);
        double sum = 0;
        for (int id = 0; id < s->V; id++) {
            sum += synth_unigram(s, id);
            const double ratio =
                pow((id + 1 + s->law.zipf_b) / (1 + s->law.zipf_b), -s->law.zipf_a);
            within(synth_unigram(s, id) / synth_unigram(s, 0) / ratio, 1 - 1e-9, 1 + 1e-9);
        }
        within(sum, 1 - 1e-12, 1 + 1e-12);
    }
    within(synth_unigram_entropy(synth_make(50257, 1, &arena)), 7.0, 7.6);
}

static void next_sums_to_one_and_gives_the_nll(void **state)
{
    (void)state;
    static const int sizes[] = { 2, 3, 41, 300 },
                     at[] = { 0, 1, 2, 17, 18, 61, 130, 208, 209, 210, 260, 261, 399 };
    for (int k = 0; k < 4; k++) {
        const Synth *s = synth_make(sizes[k], 7 + (uint64_t)k, &arena);
        const int *tok = read_stream(s, 0, 400);
        double nll[400], p[300];
        synth_nll(s, tok, 400, nll);
        for (int i = 0; i < 13; i++) {
            double sum = 0;
            synth_next(s, tok, at[i], p);
            for (int id = 0; id < s->V; id++) sum += p[id];
            within(sum, 1 - 1e-12, 1 + 1e-12);
            within(nll[at[i]] + log(p[tok[at[i]]]), -1e-12, 1e-12);
        }
    }
}

/* ---- enumeration: e(x | w, z) from the points of the circle, then a sum over every hidden path
 * ---- */

enum { WORDS = 3, TOPICS = 2, LENGTH = 7, CUTS = 1000 };

/* w = WORDS: none */
typedef struct { const Synth *s; double e[WORDS + 1][TOPICS][WORDS]; const int *tok; } Tiny;

static int by_place(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int word_of(const Synth *s, int64_t p)
{
    int i = 0;
    while (s->at[i + 1] <= p) i++;
    return s->word[i];
}

/* Every place where the density of the next point, or its word, or the class of a point can change.
 */
static int cut_places(const Synth *s, int64_t *cut)
{
    const int cells = SYNTH_CLASSES * TOPICS;
    int n = 0;
    for (int c = 0; c <= cells; c++) cut[n++] = SYNTH_TURN / cells * c;
    for (int c = 0; c <= cells; c++) cut[n++] = (SYNTH_TURN / cells * c + s->turn) % SYNTH_TURN;
    for (int i = 0; i < WORDS; i++) cut[n++] = s->at[i];
    for (int i = 0; i < WORDS; i++) cut[n++] = (s->at[i] + s->turn) % SYNTH_TURN;
    qsort(cut, (size_t)n, sizeof *cut, by_place);
    return n;
}

#define ONE_CLASS (SYNTH_TURN / SYNTH_CLASSES)

/* Of the next point at p after word w (WORDS: none), the topic aside; 1 is uniform. classes:
 * (WORDS) of a point of w. */
static double density(const Synth *s, int w, int64_t p, double classes[][SYNTH_CLASSES])
{
    const SynthLaw *law = &s->law;
    double sum = 1 - law->w_topic;
    if (w == WORDS) return sum;
    sum -= law->w_class + law->w_pair;
    for (int g = 0; g < SYNTH_CLASSES; g++)
        for (int rule = 0; rule < SYNTH_RULES; rule++)
            if (s->follow[rule][g] == p / ONE_CLASS)
                sum += law->w_class * classes[w][g] * SYNTH_CLASSES / SYNTH_RULES;
    if (word_of(s, (p - s->turn + SYNTH_TURN) % SYNTH_TURN) == w)
        sum += law->w_pair / synth_unigram(s, w);
    return sum;
}

static void emissions(Tiny *tiny)
{
    const Synth *s = tiny->s;
    int64_t cut[CUTS];
    const int n = cut_places(s, cut);
    double classes[WORDS][SYNTH_CLASSES] = { { 0 } };
    for (int i = 0; i + 1 < n; i++) {
        const int w = word_of(s, cut[i]);
        classes[w][cut[i] / ONE_CLASS] +=
            (double)(cut[i + 1] - cut[i]) / (double)SYNTH_TURN / synth_unigram(s, w);
    }
    memset(tiny->e, 0, sizeof tiny->e);
    for (int i = 0; i + 1 < n; i++) {
        const double mass = (double)(cut[i + 1] - cut[i]) / (double)SYNTH_TURN;
        const int x = word_of(s, cut[i]), topic = (int)(cut[i] / (ONE_CLASS / TOPICS)) % TOPICS;
        for (int w = 0; w <= WORDS; w++)
            for (int z = 0; z < TOPICS; z++)
                tiny->e[w][z][x] += mass * (density(s, w, cut[i], classes) +
                                            (topic == z) * s->law.w_topic * TOPICS);
    }
}

static double read_word(const Tiny *tiny, int t, int mode, int z)
{
    const SynthLaw *law = &tiny->s->law;
    const double fresh = tiny->e[t > 0 ? tiny->tok[t - 1] : WORDS][z][tiny->tok[t]];
    if (mode == 0) return fresh;
    const int same = tiny->tok[t] == tiny->tok[t - law->lag[mode - 1]];
    return (1 - law->slip) * same + law->slip * fresh;
}

/* P(tok[t .. n-1] | the state at t - 1), summed over paths; lags 1 and 3 are modes 1 and 2. */
static double paths(const Tiny *tiny, int t, int n, int mode, int z)
{
    const SynthLaw *law = &tiny->s->law;
    if (t == n) return 1;
    double sum = 0;
    for (int y = 0; y < TOPICS; y++) {
        const double p_topic = law->topic_switch / TOPICS + (y == z ? 1 - law->topic_switch : 0);
        for (int m = 0; m <= 2; m++) {
            double p_mode;
            const double one = t >= 1 ? law->copy_start / SYNTH_LAGS : 0,
                         three = t >= 3 ? law->copy_start / SYNTH_LAGS : 0;
            if (mode == 0) p_mode = m == 1 ? one : m == 2 ? three : 1 - one - three;
            else p_mode = m == mode ? 1 - law->copy_stop : m == 0 ? law->copy_stop : 0;
            if (p_mode > 0)
                sum += p_topic * p_mode * read_word(tiny, t, m, y) * paths(tiny, t + 1, n, m, y);
        }
    }
    return sum;
}

static void filter_is_the_sum_over_paths(void **state)
{
    (void)state;
    SynthLaw law = synth_law;
    law.topics = TOPICS;
    law.topic_switch = 0.2;
    law.copy_start = 0.9;
    law.copy_stop = 0.3;
    law.slip = 0.1;
    memcpy(law.lag, (int[SYNTH_LAGS]){ 1, 3 }, sizeof law.lag);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        Tiny tiny = { .s = synth_make_law(&law, WORDS, seed, &arena) };
        tiny.tok = read_stream(tiny.s, seed, LENGTH);
        emissions(&tiny);
        for (int n = 1; n <= LENGTH; n++) {
            double p = 0;
            for (int z = 0; z < TOPICS; z++)
                p += paths(&tiny, 1, n, 0, z) * read_word(&tiny, 0, 0, z) / TOPICS;
            within(n * synth_nll(tiny.s, tiny.tok, n, NULL) + log(p), -1e-11, 1e-11);
        }
    }
}

/* ---- the stream against the law ---- */

/* One position of many streams: independent draws, so a plain chi-square holds; as a normal
 * deviate. */
static double unigram_deviate(int V, int at, long streams)
{
    const Synth *s = synth_make(V, 3, &arena);
    int tok[400];
    double *count = arena_get(&arena, (size_t)V * sizeof *count), chi2 = 0;
    for (long i = 0; i < streams; i++) {
        synth_stream(s, (uint64_t)i, tok, NULL, at + 1);
        count[tok[at]]++;
    }
    for (int id = 0; id < V; id++) {
        const double expected = (double)streams * synth_unigram(s, id);
        chi2 += (count[id] - expected) * (count[id] - expected) / expected;
    }
    return (chi2 - (V - 1)) / sqrt(2.0 * (V - 1));
}

static void one_position_follows_the_unigram_law(void **state)
{
    (void)state;
    within(unigram_deviate(50, 399, 20000), -3.5, 3.5);
    within(unigram_deviate(20000, 1, 1500000), -3.5, 3.5);      /* five of the rarest word */
}

/* When the filter is the law of the stream, the sums of (nll - entropy of the prediction) and, for
 * every pair of words, of (seen - predicted) are martingales: zero within their own deviations. */
static void stream_follows_the_filter(void **state)
{
    (void)state;
    enum { V = 32, N = 500, STREAMS = 12 };
    const Synth *s = synth_make(V, 5, &arena);
    double excess = 0, variance = 0, nll[N], p[V], pair[V][V] = { { 0 } }, spread[V][V] = { { 0 } };
    for (uint64_t i = 0; i < STREAMS; i++) {
        const int *tok = read_stream(s, i, N);
        synth_nll(s, tok, N, nll);
        for (int t = 1; t < N; t++) {
            double h = 0, square = 0;
            synth_next(s, tok, t, p);
            for (int id = 0; id < V; id++) {
                h -= p[id] * log(p[id]);
                square += p[id] * log(p[id]) * log(p[id]);
                pair[tok[t - 1]][id] += (tok[t] == id) - p[id];
                spread[tok[t - 1]][id] += p[id] * (1 - p[id]);
            }
            excess += nll[t] - h;
            variance += square - h * h;
        }
    }
    within(excess / sqrt(variance), -3, 3);
    double chi2 = 0;
    int frequent = 0;
    for (int w = 0; w < V; w++)
        for (int id = 0; id < V; id++)
            if (spread[w][id] > 3) {
                chi2 += pair[w][id] * pair[w][id] / spread[w][id];
                frequent++;
            }
    assert_true(frequent > 200);
    within((chi2 - frequent) / sqrt(2.0 * frequent), -3.5, 3.5);
}

/* The stream's own law reads it best: every parameter has its minimum at the truth (Gibbs). */
static void no_other_law_reads_better(void **state)
{
    (void)state;
    static const size_t at[] = {
        offsetof(SynthLaw, w_topic),    offsetof(SynthLaw, w_class),
        offsetof(SynthLaw, w_pair),     offsetof(SynthLaw, topic_switch),
        offsetof(SynthLaw, copy_start), offsetof(SynthLaw, copy_stop),
        offsetof(SynthLaw, slip),
    };
    const long n = 200000;
    const Synth *s = synth_make(2000, 2, &arena);
    const int *tok = read_stream(s, 1, n);
    const double floor = synth_nll(s, tok, n, NULL);
    double unigram = 0;
    for (long t = 0; t < n; t++) unigram -= log(synth_unigram(s, tok[t])) / (double)n;
    within(unigram, synth_unigram_entropy(s) - 0.05, synth_unigram_entropy(s) + 0.05);
    within(floor, 0, unigram - 1.5);
    for (size_t k = 0; k < sizeof at / sizeof *at; k++)
        for (int up = 0; up < 2; up++) {
            SynthLaw law = synth_law;
            *(double *)((char *)&law + at[k]) *= up ? 1.15 : 0.85;
            within(synth_nll(synth_make_law(&law, 2000, 2, &arena), tok, n, NULL), floor + 1e-5,
                   unigram);
        }
    SynthLaw law = synth_law;
    law.lag[3] = 210;
    within(synth_nll(synth_make_law(&law, 2000, 2, &arena), tok, n, NULL), floor + 0.05, unigram);
}

static double repeats(const int *tok, long n, long lag)
{
    long hits = 0;
    for (long t = lag; t < n; t++) hits += tok[t] == tok[t - lag];
    return (double)hits / (double)(n - lag);
}

/* The loss of a reader who sees no copies from further back than `reach`. */
static double nll_within(const Synth *s, int reach, const int *tok, long n)
{
    Synth reader = *s;
    for (int l = 0; l < SYNTH_LAGS; l++)
        if (reader.law.lag[l] > reach) reader.law.lag[l] = 0;
    return synth_nll(&reader, tok, n, NULL);
}

/* Each lag copies a sixth of a fifth of the words; a reader who sees only 208 words pays for two
 * lags of five. */
static void copies_reach_beyond_208(void **state)
{
    (void)state;
    const long n = 100000;
    const Synth *s = synth_make(2000, 4, &arena);
    const int *tok = read_stream(s, 0, n);
    for (int l = 0; l < SYNTH_LAGS; l++)
        within(repeats(tok, n, s->law.lag[l]) - repeats(tok, n, 250), 0.02, 0.05);
    within(repeats(tok, n, 208) - repeats(tok, n, 250), -0.005, 0.005);

    const double floor = synth_nll(s, tok, n, NULL), all = nll_within(s, 260, tok, n);
    const double window = nll_within(s, 208, tok, n);
    const double none = nll_within(s, 0, tok, n);
    within(all, floor, floor);
    within(window, floor + 0.1, none - 0.1);
}

/* Where a token is said to be a copy it is one; a sixth of the time is spent in copies, but for
 * slips, a fifth of it with each lag */
static void copies_are_told(void **state)
{
    (void)state;
    enum { N = 200000 };
    const Synth *s = synth_make(2000, 4, &arena);
    int *tok = arena_raw(&arena, N * sizeof *tok), *from = arena_raw(&arena, N * sizeof *from);
    long copies[SYNTH_LAGS] = { 0 }, others = 0;
    synth_stream(s, 0, tok, from, N);
    assert_memory_equal(tok, read_stream(s, 0, N), N * sizeof *tok);
    for (long t = 0; t < N; t++) {
        if (from[t]) assert_true(from[t] <= t && tok[t] == tok[t - from[t]]);
        for (int l = 0; l < SYNTH_LAGS; l++) copies[l] += from[t] == s->law.lag[l];
        others += !from[t];
    }
    const double start = s->law.copy_start, stop = s->law.copy_stop,
                 expected = start / (start + stop) * (1 - s->law.slip);
    for (int l = 0; l < SYNTH_LAGS; l++)
        within((double)copies[l] / N * SYNTH_LAGS / expected, 0.85, 1.15);
    within((double)others / N, 1 - 1.05 * expected, 1 - 0.95 * expected);
}

/* ---- reproducibility ---- */

static void streams_repeat_and_differ(void **state)
{
    (void)state;
    enum { N = 3000 };
    const Synth *s = synth_make(50257, 1, &arena), *same = synth_make(50257, 1, &arena);
    const Synth *other = synth_make(50257, 2, &arena);
    const int *tok = read_stream(s, 0, N);
    assert_memory_equal(tok, read_stream(same, 0, N), N * sizeof *tok);
    for (long n = 1; n < N; n += 271)
        assert_memory_equal(tok, read_stream(s, 0, n), (size_t)n * sizeof *tok);
    long by_stream = 0, by_seed = 0;
    const int *valid = read_stream(s, 1, N), *elsewhere = read_stream(other, 0, N);
    for (int t = 0; t < N; t++) {
        by_stream += tok[t] == valid[t];
        by_seed += tok[t] == elsewhere[t];
    }
    within((double)by_stream, 1, N / 20);
    within((double)by_seed, 1, N / 20);
    assert_memory_not_equal(s->word, other->word, 50257 * sizeof *s->word);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unigram_is_zipf_mandelbrot),
        cmocka_unit_test(next_sums_to_one_and_gives_the_nll),
        cmocka_unit_test(filter_is_the_sum_over_paths),
        cmocka_unit_test(one_position_follows_the_unigram_law),
        cmocka_unit_test(stream_follows_the_filter),
        cmocka_unit_test(no_other_law_reads_better),
        cmocka_unit_test(copies_reach_beyond_208),
        cmocka_unit_test(copies_are_told),
        cmocka_unit_test(streams_repeat_and_differ),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
