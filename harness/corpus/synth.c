/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The synthetic language.
 *
 * Words are arcs of a circle. The arc of the word of rank r is p(r) ~ (r + b)^-a of the turn (Zipf
 * 1935, Mandelbrot 1953), the arcs lie in random order, and to write a word is to draw a point:
 *
 *     | class 0                           | class 1                           | ... 64 classes
 *     | topic 0 | topic 1 | ... | topic 15 | topic 0 | topic 1 | ... | topic 15 | ...
 *     |  the               | cat |dog|      of    | ...                            words
 *
 * so a frequent word belongs to every topic, maybe to several classes, and a rare one to one of
 * each. The point is
 *
 *     topic   uniform in the cells of the current topic z
 *     class   uniform in the class follow[rule][g], where g is the class of a point drawn in the
 *             previous word's arc and the rule one of two, each a permutation of the classes
 *     pair    a point drawn in the previous word's arc, turned by a fixed angle: a rare word has
 *             one or two partners
 *     plain   uniform
 *
 * with fixed weights. z is drawn anew with probability topic_switch (uniformly, also at the start).
 * Over this runs a second hidden chain: no copy, or a copy with lag l. From "no copy" each lag
 * starts with probability copy_start / 5, only if that many tokens exist; a copy stops with
 * probability copy_stop. While copying, x_t = x_{t-l}, except that with probability slip the word
 * is written as above. The first word has no previous one: class and pair are plain.
 *
 * Every step maps the uniform law of the circle to itself whatever came before: a rotation and a
 * permutation of equal cells do, the topics do on average over z, and the copy chain never looks at
 * the words. So p(r) is the exact law of every single position, and nothing had to be balanced.
 *
 * The filter (Baum and Petrie 1966): with the hidden state s = (m, z) and a_t(s) = P(s_t = s | x_0
 * .. x_{t-1}),
 *
 *     P(x_t | x_0 .. x_{t-1}) = sum_s a_t(s) e(x_t | s)
 *     a_{t+1}(s') = sum_s P(s' | s) a_t(s) e(x_t | s) / P(x_t | x_0 .. x_{t-1})
 *     e(x | 0, z) = plain p(x) + topic |x & T_z| / |T_z|
 *                   + class sum_g |w & g| / |w| mean_rule |x & follow(g)| / |g|
 *                   + pair |x & (w turned)| / |w|
 *     e(x | l, z) = (1 - slip) [x = x_{t-l}] + slip e(x | 0, z)
 *
 * where w is the arc of x_{t-1}: 96 states and lengths of intersections, exact up to double
 * rounding. */
#include "harness/corpus/synth.h"
#include "harness/util/shuffle.h"
#include <math.h>
#include <string.h>

#define TURN  SYNTH_TURN
#define CLASS (TURN / SYNTH_CLASSES)      /* points of a class */
enum { MODES = 1 + SYNTH_LAGS };

const SynthLaw synth_law = {
    .zipf_a = 1.1,
    .zipf_b = 2.7,
    .w_topic = 0.15,
    .w_class = 0.50,
    .w_pair = 0.25,
    .topics = SYNTH_TOPICS,
    .topic_switch = 1 / 150.0,
    .lag = { 17, 61, 130, 209, 260 },
    .copy_start = 1 / 80.0,
    .copy_stop = 1 / 16.0,
    .slip = 0.05,
};

/* ---- the circle ---- */

typedef struct { int64_t from, to; } Arc;       /* [from, to) */

static Arc synth_arc_of(const Synth *s, int id)
{
    const int i = s->slot[id];
    return (Arc){ s->at[i], s->at[i + 1] };
}

static double synth_length(Arc a) { return (double)(a.to - a.from); }

static double synth_common(Arc a, Arc b)
{
    const int64_t from = a.from > b.from ? a.from : b.from, to = a.to < b.to ? a.to : b.to;
    return to > from ? (double)(to - from) : 0.0;
}

static int64_t synth_point(Rng *r, int64_t bound) { return (int64_t)rng_below(r, (uint64_t)bound); }

static int64_t synth_point_in(Rng *r, Arc a) { return a.from + synth_point(r, a.to - a.from); }

static int synth_word_at(const Synth *s, int64_t p)
{
    int i = s->guide[p >> 46];
    while (s->at[i + 1] <= p) i++;
    return s->word[i];
}

/* The points of [0, p) that belong to topic z of K. */
static int64_t synth_topic_before(int64_t p, int z, int64_t K)
{
    const int64_t cell = CLASS / K, in = p % CLASS - z * cell;
    return p / CLASS * cell + (in < 0 ? 0 : in > cell ? cell : in);
}

/* ---- the language ---- */

static double synth_weight(const SynthLaw *law, int id)
{
    return pow(id + 1 + law->zipf_b, -law->zipf_a);
}

/* Arcs in the order of s->word; word 0, the longest, takes what rounding leaves of the turn. */
static void synth_lay_arcs(Synth *s)
{
    double total = 0;
    for (int id = 0; id < s->V; id++) total += synth_weight(&s->law, id);
    int64_t rest = TURN;
    for (int i = 0; i < s->V; i++) {
        const int id = s->word[i];
        s->slot[id] = i;
        s->at[i + 1] = id > 0 ? (int64_t)(synth_weight(&s->law, id) / total * (double)TURN) : 0;
        rest -= s->at[i + 1];
    }
    s->at[s->slot[0] + 1] = rest;
    s->at[0] = 0;
    for (int i = 0; i < s->V; i++) {
        CHECK(s->at[i + 1] > 0);
        s->at[i + 1] += s->at[i];
    }
    for (int i = 0, g = 0; g < 65536; g++) {
        while (s->at[i + 1] <= (int64_t)g << 46) i++;
        s->guide[g] = i;
    }
}

Synth *synth_make_law(const SynthLaw *law, int V, uint64_t seed, Arena *arena)
{
    CHECK(V >= 2 && V <= TOKEN_IDS_MOST);
    CHECK(law->topics >= 1 && law->topics <= SYNTH_TOPICS &&
          (law->topics & (law->topics - 1)) == 0);
    CHECK(law->w_topic + law->w_class + law->w_pair < 1);
    Synth *s = arena_get(arena, sizeof *s);
    Rng r = rng_at(seed, STREAM_SYNTH, 0);
    s->law = *law;
    s->V = V;
    s->seed = seed;
    s->at = arena_raw(arena, ((size_t)V + 1) * sizeof *s->at);
    s->word = arena_raw(arena, (size_t)V * sizeof *s->word);
    s->slot = arena_raw(arena, (size_t)V * sizeof *s->slot);
    s->guide = arena_raw(arena, 65536 * sizeof *s->guide);
    for (int i = 0; i < V; i++) s->word[i] = i;
    shuffle(&r, s->word, V, sizeof *s->word);
    synth_lay_arcs(s);
    s->turn = synth_point(&r, TURN);
    for (int rule = 0; rule < SYNTH_RULES; rule++) {
        int order[SYNTH_CLASSES];
        for (int g = 0; g < SYNTH_CLASSES; g++) order[g] = g;
        shuffle(&r, order, SYNTH_CLASSES, sizeof *order);
        for (int g = 0; g < SYNTH_CLASSES; g++) s->follow[rule][g] = (uint8_t)order[g];
    }
    return s;
}

Synth *synth_make(int V, uint64_t seed, Arena *arena)
{
    return synth_make_law(&synth_law, V, seed, arena);
}

double synth_unigram(const Synth *s, int id)
{
    return synth_length(synth_arc_of(s, id)) / (double)TURN;
}

double synth_unigram_entropy(const Synth *s)
{
    double h = 0;
    for (int id = 0; id < s->V; id++) h -= synth_unigram(s, id) * log(synth_unigram(s, id));
    return h;
}

/* ---- writing ---- */

static int synth_may_copy(const Synth *s, int l, long t)
{
    return s->law.lag[l] > 0 && s->law.lag[l] <= t;
}

/* A new word after `previous` (-1: none) under topic z. */
static int synth_draw_word(const Synth *s, Rng *r, int previous, int z)
{
    const SynthLaw *law = &s->law;
    double u = rng_uniform(r) - law->w_topic;
    if (u < 0) {
        const int64_t cell = CLASS / law->topics, in = synth_point(r, cell);
        return synth_word_at(s, synth_point(r, SYNTH_CLASSES) * CLASS + z * cell + in);
    }
    if (previous < 0) return synth_word_at(s, synth_point(r, TURN));
    const int64_t p = synth_point_in(r, synth_arc_of(s, previous));
    if ((u -= law->w_class) < 0) {
        const int g = s->follow[rng_below(r, SYNTH_RULES)][p / CLASS];
        return synth_word_at(s, g * CLASS + synth_point(r, CLASS));
    }
    if ((u -= law->w_pair) < 0) return synth_word_at(s, (p + s->turn) % TURN);
    return synth_word_at(s, synth_point(r, TURN));
}

/* 0: no copy; 1 + l: copying with lag[l]. */
static int synth_next_mode(const Synth *s, Rng *r, int mode, long t)
{
    const double u = rng_uniform(r);
    if (mode > 0) return u < s->law.copy_stop ? 0 : mode;
    if (u >= s->law.copy_start) return 0;
    const int l = (int)rng_below(r, SYNTH_LAGS);
    return synth_may_copy(s, l, t) ? 1 + l : 0;
}

void synth_stream(const Synth *s, uint64_t stream, int *tok, int *copied, long n)
{
    Rng r = rng_at(s->seed, STREAM_SYNTH, stream + 1);
    const uint64_t topics = (uint64_t)s->law.topics;
    int z = (int)rng_below(&r, topics), mode = 0;
    for (long t = 0; t < n; t++) {
        if (rng_uniform(&r) < s->law.topic_switch) z = (int)rng_below(&r, topics);
        mode = synth_next_mode(s, &r, mode, t);
        const int lag = mode > 0 && rng_uniform(&r) >= s->law.slip ? s->law.lag[mode - 1] : 0;
        tok[t] = lag ? tok[t - lag] : synth_draw_word(s, &r, t > 0 ? tok[t - 1] : -1, z);
        if (copied) copied[t] = lag;
    }
}

/* ---- reading ---- */

/* P(mode, topic | what was read), sums to one */
typedef struct { double a[MODES][SYNTH_TOPICS]; } Filter;

static Filter synth_filter_start(const Synth *s)
{
    Filter f = { 0 };
    for (int z = 0; z < s->law.topics; z++) f.a[0][z] = 1.0 / s->law.topics;
    return f;
}

/* From the state at token t - 1 to the state at token t, before it is read. */
static void synth_filter_predict(const Synth *s, Filter *f, long t)
{
    const int K = s->law.topics;
    const double change = s->law.topic_switch, stop = s->law.copy_stop,
                 start = s->law.copy_start / SYNTH_LAGS;
    for (int m = 0; m < MODES; m++) {
        double mass = 0;
        for (int z = 0; z < K; z++) mass += f->a[m][z];
        for (int z = 0; z < K; z++) f->a[m][z] += change * (mass / K - f->a[m][z]);
    }
    double begin[SYNTH_LAGS], any = 0;
    for (int l = 0; l < SYNTH_LAGS; l++) any += begin[l] = synth_may_copy(s, l, t) ? start : 0.0;
    for (int z = 0; z < K; z++) {
        const double idle = f->a[0][z];
        f->a[0][z] = idle * (1 - any);
        for (int l = 0; l < SYNTH_LAGS; l++) {
            f->a[0][z] += stop * f->a[1 + l][z];
            f->a[1 + l][z] = (1 - stop) * f->a[1 + l][z] + begin[l] * idle;
        }
    }
}

/* P(x | previous) by class and by pair, each weighted; previous >= 0. */
static double synth_successor(const Synth *s, int previous, Arc x)
{
    const Arc w = synth_arc_of(s, previous), turned = { w.from + s->turn, w.to + s->turn };
    const Arc back = { turned.from - TURN, turned.to - TURN };
    double by_class = 0;
    for (int64_t g = w.from / CLASS; g * CLASS < w.to; g++) {
        double hit = 0;
        for (int rule = 0; rule < SYNTH_RULES; rule++) {
            const int64_t next = s->follow[rule][g] * CLASS;
            hit += synth_common(x, (Arc){ next, next + CLASS });
        }
        if (hit > 0) by_class += hit * synth_common(w, (Arc){ g * CLASS, (g + 1) * CLASS });
    }
    return (s->law.w_class * by_class / (SYNTH_RULES * (double)CLASS)
            + s->law.w_pair * (synth_common(x, turned) + synth_common(x, back))) / synth_length(w);
}

/* e[z] = P(x | previous, topic z), not copying; previous -1: none. */
static void synth_new_word(const Synth *s, int previous, int id, double *e)
{
    const SynthLaw *law = &s->law;
    const Arc x = synth_arc_of(s, id);
    const double plain = 1 - law->w_topic - law->w_class - law->w_pair,
                 p = synth_length(x) / (double)TURN;
    const double base =
        previous < 0 ? (1 - law->w_topic) * p : plain * p + synth_successor(s, previous, x);
    const double scale = law->w_topic * law->topics / (double)TURN;
    for (int z = 0; z < law->topics; z++)
        e[z] = base + scale * (double)(synth_topic_before(x.to, z, law->topics) -
                                       synth_topic_before(x.from, z, law->topics));
}

/* P(tok[t] = id | what was read) from the predicted state; `seen` (may be f) receives P(state, id |
 * what was read). */
static double synth_filter_word(const Synth *s, const Filter *f, const int *tok, long t, int id,
                          Filter *seen)
{
    double e[SYNTH_TOPICS], total = 0;
    synth_new_word(s, t > 0 ? tok[t - 1] : -1, id, e);
    for (int m = 0; m < MODES; m++) {
        const int lag = m > 0 ? s->law.lag[m - 1] : 0;
        const double fresh = m > 0 ? s->law.slip : 1.0;
        const double copied = lag > 0 && lag <= t && tok[t - lag] == id ? 1 - fresh : 0.0;
        for (int z = 0; z < s->law.topics; z++)
            total += seen->a[m][z] = f->a[m][z] * (copied + fresh * e[z]);
    }
    return total;
}

static void synth_filter_read(const Synth *s, Filter *f, const int *tok, long t, double *p)
{
    if (t > 0) synth_filter_predict(s, f, t);
    CHECK(tok[t] < s->V);
    *p = synth_filter_word(s, f, tok, t, tok[t], f);
    for (int m = 0; m < MODES; m++)
        for (int z = 0; z < s->law.topics; z++) f->a[m][z] /= *p;
}

double synth_nll(const Synth *s, const int *tok, long n, double *nll)
{
    Filter f = synth_filter_start(s);
    double sum = 0, p;
    for (long t = 0; t < n; t++) {
        synth_filter_read(s, &f, tok, t, &p);
        sum -= log(p);
        if (nll) nll[t] = -log(p);
    }
    return n > 0 ? sum / (double)n : 0.0;
}

void synth_next(const Synth *s, const int *tok, long n, double *p)
{
    Filter f = synth_filter_start(s), unused;
    double q;
    for (long t = 0; t < n; t++) synth_filter_read(s, &f, tok, t, &q);
    if (n > 0) synth_filter_predict(s, &f, n);
    for (int id = 0; id < s->V; id++) p[id] = synth_filter_word(s, &f, tok, n, id, &unused);
}
