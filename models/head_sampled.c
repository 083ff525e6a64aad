/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sampled softmax (Bengio, Senecal 2008; Jean, Cho, Memisevic, Bengio 2015, arXiv 1412.2007): the
 * sum over V is estimated from S words drawn with replacement from a proposal q, the same for all
 * positions of a chunk.
 *
 *   loss = log(e^{z_y} + sum over s != y of e^{z_s - log(S q_s)}) - z_y        z = E x
 *
 * S q_s is the expected number of draws of s. A draw that hits y is removed, and y itself, which is
 * not drawn, is not corrected (Blanc, Rendle 2018, arXiv 1712.00527): then the expectation of the
 * sum in the logarithm is the full sum. A word drawn c times is one term, with log(c / (S q)). No
 * label smoothing and no z-loss: these need all V words.
 *
 *   proposal     q(v), r the rank of v by count
 *   loguniform   log((r + 2) / (r + 1)) / log(V + 1)
 *   unigram      (count + 1) / sum of them
 *
 * Draws use an alias table (Walker 1977; Vose 1991) and follow from the seed, the number of updates
 * of the rows and the targets alone: computed again, or in a resumed run, a chunk is trained
 * against the same words. Evaluation is the full softmax. */
#include "models/head_full.h"
#include <math.h>
#include <string.h>

typedef struct {
    const Exec  *exec;
    Full        *full;           /* for evaluation */
    Param       *w;              /* (V, d) */
    int          V, d, S, chunk;
    uint64_t     seed;
    double       unique;         /* expected number of different words of S draws */
    double      *q;              /* (V) the proposal */
    float       *stay;           /* (V) of the alias table: the probability that slot v means v */
    int         *alias;          /* (V) otherwise it means this word */
    const float *x;              /* of the last forward: (n, d), (n) */
    const int   *y;
    int          n, U;           /* U different words were drawn */
    int         *word, *count;   /* (S) which, how often */
    int         *place;          /* (V) of a word among them; -1: not drawn */
    float       *correction;     /* (S) log(count / (S q)) */
    float       *rows, *drows;   /* (S, d) their rows of E; their gradients */
    float       *z;              /* (n, U) corrected logits, then dLoss/dz */
    float       *dzy;            /* (n) dLoss/dz_y */
    double      *loss;           /* (n) */
} Sampled;

/* ---- the proposal ---- */

static void sampled_propose(Sampled *h, const Spec *s, const long *freq, Arena *a)
{
    const size_t mark = a->used;
    HeadRank *rank = arena_raw(a, sizeof *rank * (size_t)h->V);
    const int unigram = spec_is(s, "proposal", "unigram");
    double sum = 0;
    head_rank(rank, freq, h->V);
    for (int r = 0; r < h->V; r++)
        sum += h->q[rank[r].word] = unigram ? (double)rank[r].count + 1
                                            : log((r + 2.0) / (r + 1.0));
    for (int v = 0; v < h->V; v++) {
        h->q[v] /= sum;
        h->unique += 1 - pow(1 - h->q[v], h->S);
    }
    arena_reset(a, mark);
}

/* Slots of mass 1/V: one that its own word does not fill is topped up by a word with more than
 * its share. */
static void sampled_fill_alias(Sampled *h, Arena *a)
{
    const size_t mark = a->used;
    double *left = arena_raw(a, sizeof *left * (size_t)h->V);
    /* stack: slots below their share, [0, small), and words above it, [large, V) */
    int *stack = arena_raw(a, sizeof *stack * (size_t)h->V), small = 0, large = h->V;
    for (int v = 0; v < h->V; v++) {
        left[v] = h->q[v] * h->V;
        h->stay[v] = 1;
        h->alias[v] = v;
        if (left[v] < 1) stack[small++] = v;
        else stack[--large] = v;
    }
    while (small > 0 && large < h->V) {
        const int poor = stack[--small], rich = stack[large];
        h->stay[poor] = (float)left[poor];
        h->alias[poor] = rich;
        left[rich] -= 1 - left[poor];
        if (left[rich] >= 1) continue;
        stack[small++] = rich;
        large++;
    }
    arena_reset(a, mark);
}

static Rng sampled_stream_of(const Sampled *h, const int *y, int n)
{
    uint64_t targets = 0xcbf29ce484222325u;                    /* FNV-1a */
    for (int i = 0; i < n; i++) targets = (targets ^ (uint64_t)y[i]) * 0x100000001b3u;
    Rng of_step = rng_at(h->seed, STREAM_NEGATIVES, (uint64_t)h->w->steps);
    return rng_at(rng_u64(&of_step), STREAM_NEGATIVES, targets);
}

/* S draws: the different words, their corrections and their rows */
static void sampled_draw(Sampled *h, const int *y, int n)
{
    Rng rng = sampled_stream_of(h, y, n);
    const size_t d = (size_t)h->d;
    for (int u = 0; u < h->U; u++) h->place[h->word[u]] = -1;
    h->U = 0;
    for (int i = 0; i < h->S; i++) {
        const int slot = (int)rng_below(&rng, (uint64_t)h->V);
        const int v = rng_uniform(&rng) < (double)h->stay[slot] ? slot : h->alias[slot];
        if (h->place[v] < 0) {
            h->place[v] = h->U;
            h->word[h->U] = v;
            h->count[h->U++] = 0;
        }
        h->count[h->place[v]]++;
    }
#pragma omp parallel for num_threads(h->exec->threads) schedule(static)
    for (int u = 0; u < h->U; u++) {
        h->correction[u] = (float)log(h->count[u] / (h->S * h->q[h->word[u]]));
        memcpy(h->rows + (size_t)u * d, h->w->v + (size_t)h->word[u] * d, sizeof(float) * d);
    }
}

/* ---- making ---- */

static void *sampled_make(const Spec *s, const Exec *e, Params *ps, const HeadData *data, int d,
                          Arena *a)
{
    enum { MOST = 1 << 20 };
    Sampled *h = arena_get(a, sizeof *h);
    const long S = spec_int(s, "samples");
    if (S < 1 || S > MOST)
        return params_fail(ps, arena_text(a, "samples=%ld: expected 1 to %d draws", S, MOST));
    *h = (Sampled){ .exec = e, .V = data->V, .d = d, .S = (int)S, .chunk = head_chunk((int)S),
                    .seed = (uint64_t)spec_int(s, "seed") };
    const size_t V = (size_t)data->V, words = (size_t)S, n = (size_t)h->chunk;
    h->w = head_rows(s, ps, NULL, data->V, d, 0);
    h->full = full_new(e, h->w, FULL_EVAL, a);
    h->q = arena_raw(a, sizeof(double) * V);
    h->stay = arena_raw(a, sizeof(float) * V);
    h->alias = arena_raw(a, sizeof(int) * V);
    h->place = arena_raw(a, sizeof(int) * V);
    for (int v = 0; v < h->V; v++) h->place[v] = -1;
    sampled_propose(h, s, data->freq, a);
    sampled_fill_alias(h, a);
    h->word = arena_raw(a, sizeof(int) * words);
    h->count = arena_raw(a, sizeof(int) * words);
    h->correction = arena_raw(a, sizeof(float) * words);
    h->rows = arena_raw(a, sizeof(float) * words * (size_t)d);
    h->drows = arena_raw(a, sizeof(float) * words * (size_t)d);
    h->z = arena_raw(a, sizeof(float) * n * words);
    h->dzy = arena_raw(a, sizeof(float) * n);
    h->loss = arena_raw(a, sizeof(double) * n);
    return h;
}

static int sampled_chunk(const void *h) { return ((const Sampled *)h)->chunk; }

/* ---- training ---- */

static const float *sampled_row_of(const Sampled *h, int v)
{
    return h->w->v + (size_t)v * (size_t)h->d;
}

/* z (U) of position i: logits -> dLoss/dz */
static void sampled_position(const Sampled *h, int i, float *z)
{
    const F32 *f = h->exec->f;
    const int hit = h->place[h->y[i]];
    const float zy = f->dot(sampled_row_of(h, h->y[i]), h->x + (size_t)i * h->d, h->d);
    f->add(z, z, h->correction, h->U);
    if (hit >= 0) z[hit] = -1e30f;
    const float top = f->max(z, h->U), max = top > zy ? top : zy;
    const double lse = (double)max +
                       log(exp((double)zy - (double)max) + (double)f->sumexp(z, h->U, max));
    h->loss[i] = lse - (double)zy;
    h->dzy[i] = (float)expm1((double)zy - lse);
    f->exp(z, z, h->U, (float)lse);
    if (hit >= 0) z[hit] = 0;
}

static double sampled_forward(void *head, const float *x, const int *y, int n)
{
    Sampled *h = head;
    double loss = 0;
    CHECK(n >= 1 && n <= h->chunk);
    for (int i = 0; i < n; i++) CHECK(y[i] >= 0 && y[i] < h->V);
    h->x = x;
    h->y = y;
    h->n = n;
    sampled_draw(h, y, n);
    gemm(h->exec->head, 'N', 'T', n, h->U, h->d, 1, x, h->d, h->rows, h->d, 0, h->z, h->U);
#pragma omp parallel for num_threads(h->exec->threads) schedule(static)
    for (int i = 0; i < n; i++) sampled_position(h, i, h->z + (size_t)i * h->U);
    for (int i = 0; i < n; i++) loss += h->loss[i];
    return loss;
}

/* Gradients of the drawn rows, then of the targets': each thread takes the targets of its own
 * words. */
static void sampled_rows_back(Sampled *h, float scale)
{
    const F32 *f = h->exec->f;
    const int U = h->U, d = h->d, n = h->n, threads = h->exec->threads;
    for (int u = 0; u < U; u++) param_touch(h->w, h->word[u]);
    for (int i = 0; i < n; i++) param_touch(h->w, h->y[i]);
    gemm(h->exec->head, 'T', 'N', U, d, n, scale, h->z, U, h->x, d, 0, h->drows, d);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int u = 0; u < U; u++)
        f->axpy(h->w->g + (size_t)h->word[u] * d, 1, h->drows + (size_t)u * d, d);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++)
        for (int i = 0; i < n; i++)
            if (h->y[i] % threads == t)
                f->axpy(h->w->g + (size_t)h->y[i] * d, scale * h->dzy[i], h->x + (size_t)i * d, d);
}

static void sampled_backward(void *head, float *dx, float scale)
{
    Sampled *h = head;
    const int d = h->d, n = h->n;
    gemm(h->exec->head, 'N', 'N', n, d, h->U, scale, h->z, h->U, h->rows, d, 1, dx, d);
#pragma omp parallel for num_threads(h->exec->threads) schedule(static)
    for (int i = 0; i < n; i++)
        h->exec->f->axpy(dx + (size_t)i * d, scale * h->dzy[i], sampled_row_of(h, h->y[i]), d);
    if (!h->w->frozen) sampled_rows_back(h, scale);
}

/* ---- evaluation ---- */

static double sampled_nll(const void *h, const float *x, const int *y, int n, float *out)
{
    return full_nll(((const Sampled *)h)->full, x, y, n, out);
}

static void sampled_logprob(const void *h, const float *x, float *lp)
{
    full_logprob(((const Sampled *)h)->full, x, lp);
}

static int sampled_sample(const void *h, const float *x, double temperature, Rng *rng)
{
    return full_sample(((const Sampled *)h)->full, x, temperature, rng);
}

/* Three products with the different words and the target. Per chunk their rows are read, copied,
 * read twice; their gradients written, read, added. Every position reads its target's row twice
 * and adds to its gradient; every logit is written, read and rewritten as a gradient, and read
 * by two products. */
static Cost sampled_cost(const void *head, int n)
{
    const Sampled *h = head;
    const double d = h->d, chunks = ceil((double)n / h->chunk);
    return (Cost){ 6.0 * n * d * (h->unique + 1),
                   sizeof(float) *
                       (8 * chunks * h->unique * d + 4.0 * n * d + 5.0 * n * h->unique) };
}

const HeadDef head_sampled = {
    "sampled",
    "softmax over sampled words, evaluated in full",
    "Jean et al. 2015, arXiv 1412.2007; Bengio and Senecal 2008",
    0,
    .make = sampled_make,
    .chunk = sampled_chunk,
    .forward = sampled_forward,
    .backward = sampled_backward,
    .nll = sampled_nll,
    .logprob = sampled_logprob,
    .sample = sampled_sample,
    .cost = sampled_cost,
};
