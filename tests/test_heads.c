/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Heads: the laws over the registry; softmax in all its ways and adaptive against an independent
 * dense computation in double; what a filtered gradient leaves out; that sampled softmax estimates
 * the full one; the shape of the tree's classes and of the adaptive cut-offs. EIGHTYSIX_SEED picks
 * another seed. */
#include "harness/laws/laws.h"
#include "models/classes.h"
#include "models/cutoffs.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static Arena arena;

static int start(void **state) { (void)state; arena = arena_new((size_t)1 << 30); return 0; }
static int stop (void **state) { (void)state; arena_drop(&arena); return 0; }

static void laws(void **state)
{
    const char *text = getenv("EIGHTYSIX_SEED");
    const uint64_t seed = text ? strtoull(text, NULL, 10) : 1;
    (void)state;
    for (const HeadDef *const *h = heads; *h; h++) {
        const char *wrong = law_head(*h, seed, &arena);
        if (wrong) fail_msg("%s", wrong);
    }
}

/* ---- against a dense computation in double ---- */

enum { N = 11, D = 20 };

typedef struct {
    void *h;
    const HeadDef *def;
    Params *ps;
    float x[N * D], dx[N * D];
    int y[N], V;
} Setup;

/* most words are rare, no two as often as each other */
static long count_of(long rank) { return 10000000000000 / ((rank + 1) * (rank + 1)); }

/* word v is of rank v stride mod V */
static Setup *set_up_by(const char *name, int V, int stride, int words, const char *const *word)
{
    Setup *s = arena_get(&arena, sizeof *s);
    Spec *spec = spec_new(&arena);
    Rng rng = rng_at(3, STREAM_CHECK, 0);
    const char *why;
    assert_null(spec_set(spec, "threads=2"));
    assert_null(spec_set(spec, "init_sigma=0.4"));
    for (int i = 0; i < words; i++) assert_null(spec_set(spec, word[i]));
    const Exec *e = exec_make(spec, &arena, &why);
    assert_non_null(e);
    long *freq = arena_get(&arena, sizeof *freq * (size_t)V);
    for (int v = 0; v < V; v++) freq[v] = count_of((long)v * stride % V);
    s->ps = params_new(&arena);
    s->V = V;
    param_normal(params_add_embedding(s->ps, "words", V, D), 1, 0, 0.4);
    s->def = head_find(name);
    s->h = s->def->make(spec, e, s->ps, &(HeadData){ .V = V, .freq = freq }, D, &arena);
    for (int i = 0; i < N * D; i++) s->x[i] = (float)rng_normal(&rng);
    for (int i = 0; i < N; i++) s->y[i] = (int)rng_below(&rng, (uint64_t)V);
    return s;
}

static Setup *set_up(const char *name, int V, int words, const char *const *word)
{
    return set_up_by(name, V, 1, words, word);
}

/* p (rows) = softmax(w x); returns log sum exp, and the sum of the logits in *total */
static double dense(double *p, const float *w, const double *x, int rows, int d, double *total)
{
    double sum = 0;
    *total = 0;
    for (int r = 0; r < rows; r++) {
        double z = 0;
        for (int k = 0; k < d; k++) z += (double)w[(size_t)r * d + k] * x[k];
        *total += z;
        sum += p[r] = exp(z);
    }
    for (int r = 0; r < rows; r++) p[r] /= sum;
    return log(sum);
}

static void close_to(const float *got, const double *expected, long n, const char *what)
{
    double top = 0;
    for (long i = 0; i < n; i++) top = fmax(top, fabs(expected[i]));
    for (long i = 0; i < n; i++)
        if (!(fabs((double)got[i] - expected[i]) <= 1e-5 * top))
            fail_msg("%s[%ld] is %.9g, expected %.9g", what, i, (double)got[i], expected[i]);
}

enum { V_DENSE = 2500 };
static double dense_de[V_DENSE * D], dense_dx[N * D];
typedef struct { double loss, nll; } Dense;

/* the loss of a softmax head, and 0.25 times its gradients: of x, and of e (V, D), the matrix that
 * is multiplied */
static Dense dense_softmax(const Setup *s, const float *e, double eps, double zloss)
{
    static double p[V_DENSE];
    const int V = s->V;
    Dense sum = { 0, 0 };
    memset(dense_de, 0, sizeof dense_de);
    memset(dense_dx, 0, sizeof dense_dx);
    for (int i = 0; i < N; i++) {
        double x[D], total;
        for (int k = 0; k < D; k++) x[k] = (double)s->x[i * D + k];
        const double lse = dense(p, e, x, V, D, &total);
        sum.nll -= log(p[s->y[i]]);
        sum.loss += -(1 - eps) * log(p[s->y[i]]) + eps * (lse - total / V) + zloss * lse * lse;
        for (int v = 0; v < V; v++) {
            const double g = (1 + 2 * zloss * lse) * p[v] - eps / V - (1 - eps) * (v == s->y[i]);
            for (int k = 0; k < D; k++) {
                dense_dx[i * D + k] += 0.25 * g * (double)e[v * D + k];
                dense_de[v * D + k] += 0.25 * g * x[k];
            }
        }
    }
    return sum;
}

/* g (V, D) the gradient of the rows, word by word */
static void softmax_is(Setup *s, const float *e, const float *g)
{
    float lp[V_DENSE], nll[N];
    const Dense expected = dense_softmax(s, e, 0.1, 0.02);
    assert_true(fabs(s->def->forward(s->h, s->x, s->y, N) / expected.loss - 1) < 1e-6);
    assert_true(fabs(s->def->nll(s->h, s->x, s->y, N, nll) / expected.nll - 1) < 1e-6);
    s->def->logprob(s->h, s->x, lp);
    assert_true(fabsf(lp[s->y[0]] + nll[0]) < 1e-5f * (1 + nll[0]));
    s->def->backward(s->h, s->dx, 0.25f);
    close_to(s->dx, dense_dx, N * D, "dx");
    close_to(g, dense_de, (long)s->V * D, "dE");
}

static void softmax_is_the_dense_computation(void **state)
{
    (void)state;
    static const char *const names[] = { "softmax", "softmax_naive" };
    for (int i = 0; i < 2; i++) {
        Setup *s = set_up(names[i], V_DENSE, 2, (const char *[]){ "smoothing=0.1", "zloss=0.02" });
        const Param *w = s->ps->embedding;
        softmax_is(s, w->v, w->g);
    }
}

/* out (V, D) row v = in row v stride mod V: of a matrix kept by rank, the words */
static float *words_of(const float *in, int V, int stride)
{
    float *out = arena_raw(&arena, sizeof *out * (size_t)V * D);
    for (int v = 0; v < V; v++)
        memcpy(out + (size_t)v * D, in + (size_t)((long)v * stride % V) * D, sizeof(float) * D);
    return out;
}

static void softmax_by_count_is_the_dense_computation(void **state)
{
    (void)state;
    enum { STRIDE = 7 };
    const char *words[] = { "smoothing=0.1", "zloss=0.02", "rows=freq", "tied=1" };
    Setup *s = set_up_by("softmax", V_DENSE, STRIDE, 4, words);
    const Param *w = s->ps->embedding;
    softmax_is(s, w->v, w->g);
    words[3] = "tied=0";
    s = set_up_by("softmax", V_DENSE, STRIDE, 4, words);
    w = params_find(s->ps, "head.weight");
    const float *e = words_of(w->v, V_DENSE, STRIDE);
    const Dense expected = dense_softmax(s, e, 0.1, 0.02);
    assert_true(fabs(s->def->forward(s->h, s->x, s->y, N) / expected.loss - 1) < 1e-6);
    s->def->backward(s->h, s->dx, 0.25f);
    close_to(s->dx, dense_dx, N * D, "dx");
    close_to(words_of(w->g, V_DENSE, STRIDE), dense_de, (long)V_DENSE * D, "dE by rank");
}

/* int8: s = 127 / absmax of the row; ternary: a = mean|w| of all */
static float *quantised(const Param *w, int ternary)
{
    float *e = arena_raw(&arena, sizeof *e * (size_t)w->n);
    double mean = 0;
    for (long i = 0; i < w->n; i++) mean += fabs((double)w->v[i]) / (double)w->n;
    for (int r = 0; r < w->rows; r++) {
        const float *v = w->v + (size_t)r * D;
        double top = 0;
        for (int k = 0; k < D; k++) top = fmax(top, fabs((double)v[k]));
        const double unit = ternary ? mean : top / 127;
        for (int k = 0; k < D; k++) {
            const double q = nearbyint((double)v[k] / unit);
            e[(size_t)r * D + k] = (float)(unit * (ternary ? fmax(-1, fmin(1, q)) : q));
        }
    }
    return e;
}

/* The gradient goes straight through to the parameter; a new version of it is quantised anew. */
static void quantised_softmax_is_the_dense_computation(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const char *words[] = { "smoothing=0.1", "zloss=0.02",
                                i % 2 ? "head_quant=ternary" : "head_quant=int8",
                                i / 2 ? "rows=freq" : "rows=id" };
        Setup *s = set_up_by("softmax", V_DENSE, 7, 4, words);
        Param *w = s->ps->embedding;
        s->def->forward(s->h, s->x, s->y, N);
        param_normal(w, 9, 0, 0.3);
        softmax_is(s, quantised(w, i % 2), w->g);
    }
}

/* ---- head_quant=bitlinear: a norm of its own, int8 rows, a ternary matrix ---- */

/* x (N, D) becomes what is multiplied; rstd (N) */
static void bit_rows(float *x, double *rstd, const float *gain, int int8)
{
    for (int i = 0; i < N; i++, x += D) {
        double squares = 0, top = 0;
        for (int k = 0; k < D; k++) squares += (double)x[k] * (double)x[k] / D;
        rstd[i] = 1 / sqrt(squares + 1e-6);
        for (int k = 0; k < D; k++) {
            x[k] = (float)((double)x[k] * rstd[i] * (double)gain[k]);
            top = fmax(top, fabs((double)x[k]));
        }
        for (int k = 0; k < D && int8; k++)
            x[k] = (float)(nearbyint((double)x[k] * 127 / top) * top / 127);
    }
}

/* dense_dx, the gradient of the rows, becomes that of x; dgain (D) */
static void bit_rows_back(double *dgain, const float *x, const double *rstd, const float *gain)
{
    memset(dgain, 0, sizeof *dgain * D);
    for (int i = 0; i < N; i++, x += D) {
        double *dn = dense_dx + (size_t)i * D, sum = 0;
        for (int k = 0; k < D; k++) {
            sum += dn[k] * (double)gain[k] * (double)x[k];
            dgain[k] += dn[k] * (double)x[k] * rstd[i];
        }
        for (int k = 0; k < D; k++)
            dn[k] = rstd[i] * (double)gain[k] * dn[k] -
                    (double)x[k] * rstd[i] * rstd[i] * rstd[i] * sum / D;
    }
}

static void a_bitlinear_head_is_the_dense_computation(void **state)
{
    (void)state;
    float x[N * D], nll[N];
    double rstd[N], dgain[D];
    for (int int8 = 0; int8 < 2; int8++) {
        const char *words[] = { "smoothing=0.1", "zloss=0.02", "tied=0", "head_quant=bitlinear",
                                int8 ? "act=int8" : "act=f32" };
        Setup *s = set_up("softmax", V_DENSE, 5, words);
        Param *w = params_find(s->ps, "head.weight"),
              *gain = params_find(s->ps, "head.norm.weight");
        for (int k = 0; k < D; k++) gain->v[k] = 0.5f + 0.05f * (float)k;
        memcpy(x, s->x, sizeof x);
        bit_rows(s->x, rstd, gain->v, int8);
        const Dense expected = dense_softmax(s, quantised(w, 1), 0.1, 0.02);
        bit_rows_back(dgain, x, rstd, gain->v);
        assert_true(fabs(s->def->forward(s->h, x, s->y, N) / expected.loss - 1) < 1e-6);
        assert_true(fabs(s->def->nll(s->h, x, s->y, N, nll) / expected.nll - 1) < 1e-6);
        s->def->backward(s->h, s->dx, 0.25f);
        close_to(s->dx, dense_dx, N * D, "dx");
        close_to(w->g, dense_de, (long)V_DENSE * D, "dE");
        close_to(gain->g, dgain, D, "dgain");
    }
}

static void a_bitlinear_head_has_rows_of_its_own(void **state)
{
    (void)state;
    const char *word = "head_quant=bitlinear";
    Setup *s = set_up("softmax", 50, 1, &word);
    assert_null(s->h);
    assert_non_null(strstr(s->ps->why, "expected tied=0"));
}

/* ---- what the filter leaves out ---- */

/* as head_full.h, head_filter.h */
enum { F_V = 640, F_N = 70, F_BLOCK = 64, F_GROUP = 32, F_BLOCKS = F_V / F_BLOCK };
static const double F_EPS = 0.1, F_ZLOSS = 0.02, F_E = 2;

typedef struct {
    const HeadDef *def;
    void   *h;
    Param  *w;
    float  *x, *dx;
    int     y[F_N], by_count, tied;
    double  mass, skipped;             /* as it reports them */
} Filtered;

/* Word v is of rank 7 v mod V */
static int row_of(const Filtered *s, int word) { return s->by_count ? word * 7 % F_V : word; }
static int row_of_param(const Filtered *s, int word) { return s->tied ? word : row_of(s, word); }

/* E is F_E times the unit matrix, d = V: dx shows each entry of dLoss/dz.
 * z = 5 normal() - 8 rank / V */
static Filtered *filtered(const char *delta, int by_count, int tied)
{
    Filtered *s = arena_get(&arena, sizeof *s);
    Spec *spec = spec_new(&arena);
    Rng rng = rng_at(4, STREAM_CHECK, 0);
    const char *rows = by_count ? "rows=freq" : "rows=id";
    const char *words[] = {
        delta, rows, tied ? "tied=1" : "tied=0", "threads=2", "smoothing=0.1", "zloss=0.02"
    };
    const char *why;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) assert_null(spec_set(spec, words[i]));
    const Exec *e = exec_make(spec, &arena, &why);
    long freq[F_V];
    for (int v = 0; v < F_V; v++) freq[v] = 10000 - v * 7 % F_V;
    Params *ps = params_new(&arena);
    params_add_embedding(ps, "words", F_V, F_V);
    s->def = head_find("softmax");
    s->by_count = by_count;
    s->tied = tied;
    s->h = s->def->make(spec, e, ps, &(HeadData){ .V = F_V, .freq = freq }, F_V, &arena);
    s->w = params_find(ps, tied ? "words" : "head.weight");
    param_fill(s->w, 0);
    for (int v = 0; v < F_V; v++) s->w->v[row_of_param(s, v) * F_V + v] = (float)F_E;
    s->x = arena_raw(&arena, sizeof(float) * F_N * F_V);
    s->dx = arena_get(&arena, sizeof(float) * F_N * F_V);
    for (int i = 0; i < F_N; i++) {
        s->y[i] = (int)rng_below(&rng, F_V);
        for (int v = 0; v < F_V; v++)
            s->x[i * F_V + v] = (float)((5 * rng_normal(&rng) - 8.0 * (v * 7 % F_V) / F_V) / F_E);
    }
    return s;
}

/* Of position i: g (V) = dLoss/dz without the blocks that dx shows to be left out, out (F_BLOCKS);
 * the mass of every block, mass (F_BLOCKS). Returns what is lost. */
static double left_out(const Filtered *s, int i, double *g, char *out, double *mass)
{
    double whole[F_V], seen[F_BLOCKS] = { 0 }, sum = 0, lost = 0;
    for (int b = 0; b < F_BLOCKS; b++) mass[b] = 0;
    for (int v = 0; v < F_V; v++) sum += exp(F_E * (double)s->x[i * F_V + v]);
    for (int v = 0; v < F_V; v++) {
        whole[v] = (1 + 2 * F_ZLOSS * log(sum)) * exp(F_E * (double)s->x[i * F_V + v]) / sum;
        g[v] = -F_EPS / F_V - (1 - F_EPS) * (v == s->y[i]);
        seen[row_of(s, v) / F_BLOCK] += (double)s->dx[i * F_V + v] / F_E - g[v];
        mass[row_of(s, v) / F_BLOCK] += whole[v] / (1 + 2 * F_ZLOSS * log(sum));
    }
    for (int b = 0; b < F_BLOCKS; b++) {
        out[b] = seen[b] < mass[b] / 2;
        if (out[b]) lost += mass[b];
    }
    for (int v = 0; v < F_V; v++)
        if (!out[row_of(s, v) / F_BLOCK]) g[v] += whole[v];
    return lost;
}

/* Positions of a group leave the same blocks out, and no other block could be, for some position
 * would lose too much. */
static void full_groups(char out[][F_BLOCKS], double mass[][F_BLOCKS], const double *lost,
                        double delta)
{
    for (int i0 = 0; i0 < F_N; i0 += F_GROUP)
        for (int b = 0; b < F_BLOCKS; b++) {
            int bound = 0;
            for (int i = i0; i < i0 + F_GROUP && i < F_N; i++) {
                assert_int_equal(out[i][b], out[i0][b]);
                bound |= lost[i] + mass[i][b] > delta * (1 - 1e-5);
            }
            if (!out[i0][b] && !bound)
                fail_msg("filter %g keeps block %d of position %d for nothing", delta, b, i0);
        }
}

static void hear(void *ctx, const char *name, double value)
{
    Filtered *s = ctx;
    if (!strcmp(name, "filter_mass")) s->mass = value;
    if (!strcmp(name, "filter_skipped")) s->skipped = value;
}

static void filter_leaves_out_no_more_than_delta(void **state)
{
    (void)state;
    static const struct { const char *word; double delta; int by_count, tied; } cases[] = {
        { "filter=0.03", 0.03, 1, 1 }, { "filter=0.1", 0.1, 1, 0 }, { "filter=0.2", 0.2, 0, 1 },
        { "filter=0.4", 0.4, 0, 0 } };
    static double g[F_V], dx[F_N * F_V], de[F_V * F_V], masses[F_N][F_BLOCKS], lost[F_N];
    static char out[F_N][F_BLOCKS];
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        Filtered *s = filtered(cases[c].word, cases[c].by_count, cases[c].tied);
        double mass = 0, skipped = 0;
        memset(de, 0, sizeof de);
        s->def->forward(s->h, s->x, s->y, F_N);
        s->def->backward(s->h, s->dx, 1);
        for (int i = 0; i < F_N; i++) {
            lost[i] = left_out(s, i, g, out[i], masses[i]);
            if (!(lost[i] <= cases[c].delta * (1 + 1e-5)))
                fail_msg("position %d loses %.6f of %g", i, lost[i], cases[c].delta);
            for (int v = 0; v < F_V; v++) dx[i * F_V + v] = F_E * g[v];
            for (int v = 0; v < F_V; v++)
                for (int k = 0; k < F_V; k++)
                    de[row_of_param(s, v) * F_V + k] += g[v] * (double)s->x[i * F_V + k];
            for (int b = 0; b < F_BLOCKS && i % F_GROUP == 0; b++)
                skipped += out[i][b] / (3.0 * F_BLOCKS);
            mass += lost[i] / F_N;
        }
        full_groups(out, masses, lost, cases[c].delta);
        close_to(s->dx, dx, F_N * F_V, "dx");
        close_to(s->w->g, de, F_V * F_V, "dE");
        s->def->report(s->h, hear, s);
        assert_true(fabs(s->mass - mass) < 1e-5 && fabs(s->skipped - skipped) < 1e-9);
        if (!(skipped > 0.1 && skipped < 0.9))
            fail_msg("%s leaves %g of the products out", cases[c].word, skipped);
    }
}

/* What a head has made of its weights follows them: after other weights, the same bits as without
 * them. */
static void softmax_follows_its_weights(void **state)
{
    (void)state;
    static const char *const ways[] = { "filter=0.2", "head_quant=int8", "head_quant=ternary",
                                        "rows=freq" };
    for (int i = 0; i < 4; i++) {
        Setup *a = set_up_by("softmax", 300, 7, 1, ways + i),
              *b = set_up_by("softmax", 300, 7, 1, ways + i);
        Param *w = a->ps->embedding,
              *of_b = b->ps->embedding;
        param_normal(w, 9, 0, 0.3);
        a->def->forward(a->h, a->x, a->y, N);
        a->def->backward(a->h, a->dx, 1);
        params_zero_grad(a->ps);
        memset(a->dx, 0, sizeof a->dx);
        param_normal(w, 1, 0, 0.4);
        assert_true(a->def->forward(a->h, a->x, a->y, N) == b->def->forward(b->h, b->x, b->y, N));
        a->def->backward(a->h, a->dx, 1);
        b->def->backward(b->h, b->dx, 1);
        assert_memory_equal(a->dx, b->dx, sizeof a->dx);
        assert_memory_equal(w->g, of_b->g, sizeof(float) * (size_t)w->n);
    }
}

/* ---- sampled softmax ---- */

enum { S_V = 60, S_S = 25, S_DRAWS = 4000 };
static const char *const proposals[] = { "proposal=loguniform", "proposal=unigram" };
static Setup *sampler(int proposal)
{
    return set_up_by("sampled", S_V, 7, 2, (const char *[]){ proposals[proposal], "samples=25" });
}

/* E exp(loss) = exp(nll): what stands in the logarithm is an unbiased estimate of the sum
 * over V. */
static void sampled_estimates_the_full_sum(void **state)
{
    (void)state;
    for (int p = 0; p < 2; p++) {
        Setup *s = sampler(p);
        Param *w = s->ps->embedding;
        for (int i = 0; i < N; i++) {
            float nll;
            double sum = 0, squares = 0;
            s->def->nll(s->h, s->x + i * D, s->y + i, 1, &nll);
            for (w->steps = 0; w->steps < S_DRAWS; w->steps++) {
                const double one =
                    exp(s->def->forward(s->h, s->x + i * D, s->y + i, 1) - (double)nll);
                sum += one;
                squares += one * one;
            }
            const double mean = sum / S_DRAWS,
                         error = sqrt((squares / S_DRAWS - mean * mean) / S_DRAWS);
            if (!(fabs(mean - 1) < 5 * error && error < 0.1))
                fail_msg("%s: position %d: the sum is estimated as %.4f +- %.4f of itself",
                         proposals[p], i, mean, error);
        }
    }
}

/* A row has a gradient when its word was drawn: with probability 1 - (1 - q)^S. */
static void sampled_draws_by_its_proposal(void **state)
{
    (void)state;
    for (int p = 0; p < 2; p++) {
        Setup *s = sampler(p);
        Param *w = s->ps->embedding;
        int seen[S_V] = { 0 };
        double total = 0;
        param_fill(w, 0);
        for (w->steps = 0; w->steps < S_DRAWS; w->steps++) {
            params_zero_grad(s->ps);
            s->def->forward(s->h, s->x, s->y, 1);
            s->def->backward(s->h, s->dx, 1);
            for (int v = 0; v < S_V; v++) seen[v] += w->g[v * D] != 0;
        }
        for (int r = 0; r < S_V; r++) total += (double)count_of(r) + 1;
        for (int v = 0; v < S_V; v++) {
            const int r = v * 7 % S_V;
            const double q =
                p ? ((double)count_of(r) + 1) / total : log((r + 2.0) / (r + 1.0)) / log(S_V + 1.0);
            const double drawn = 1 - pow(1 - q, S_S), error = sqrt(drawn * (1 - drawn) / S_DRAWS);
            if (v == s->y[0]) assert_int_equal(seen[v], S_DRAWS);
            else if (!(fabs((double)seen[v] / S_DRAWS - drawn) < 5 * error + 1e-9))
                fail_msg("%s: rank %d was among the negatives %d times in %d, expected %.4f",
                         proposals[p], r, seen[v], S_DRAWS, drawn);
        }
    }
}

/* rows (V) that the loss of the first n positions has a gradient for */
static void rows_used(Setup *s, int n, char *rows)
{
    const Param *w = s->ps->embedding;
    params_zero_grad(s->ps);
    s->def->forward(s->h, s->x, s->y, n);
    s->def->backward(s->h, s->dx, 1);
    for (int v = 0; v < S_V; v++) rows[v] = w->g[v * D] != 0;
}

/* The draw is a function of the seed, the updates and the targets; nothing that came before
 * matters. */
static void sampled_repeats_its_draw(void **state)
{
    (void)state;
    char one[S_V], other[S_V];
    Setup *a = sampler(0), *b = sampler(0);
    Param *w = a->ps->embedding;
    rows_used(a, N, one);
    w->steps = b->ps->embedding->steps = 3;
    rows_used(a, 1, one);
    rows_used(b, 1, other);
    assert_memory_equal(one, other, S_V);
    w->steps = 4;
    rows_used(a, 1, other);
    assert_memory_not_equal(one, other, S_V);
    w->steps = 3;
    const int was = a->y[0], is = (was + 1) % S_V;
    a->y[0] = is;
    rows_used(a, 1, other);
    one[was] = one[is] = other[was] = other[is] = 1;
    assert_memory_not_equal(one, other, S_V);
}

/* V 300 = short list 40 + tails of 100 and 160 words; no smoothing. tied: rows 0 .. 39 of S are the
 * embedding's, whose words stand in the order of their counts here */
static void adaptive_way(int tied)
{
    const char *short_tied = tied ? "short_tied=1" : "short_tied=0";
    const char *more[] = { "smoothing=0", "cutoffs=40,140", short_tied };
    Setup *s = set_up("adaptive", 300, 3, more);
    const Param *own = params_find(s->ps, "head.short.weight"),
                *words = s->ps->embedding;
    static float top[42 * D];
    const Param *proj[] = { params_find(s->ps, "head.tail1.proj.weight"),
                            params_find(s->ps, "head.tail2.proj.weight") };
    const Param *out[] = { params_find(s->ps, "head.tail1.out.weight"),
                           params_find(s->ps, "head.tail2.out.weight") };
    double dx[N * D] = { 0 }, dtop[42 * D] = { 0 }, dproj[2][D * D] = { 0 },
                  dout[2][160 * D] = { 0 };
    const int first[] = { 40, 140 };
    double loss = 0, total, p[300];
    assert_int_equal(own->rows, tied ? 2 : 42);
    memcpy(top, tied ? words->v : own->v, sizeof(float) * 42 * D);
    if (tied) memcpy(top + 40 * D, own->v, sizeof(float) * 2 * D);
    assert_int_equal(out[0]->rows, 100);
    assert_int_equal(out[1]->rows, 160);
    for (int i = 0; i < N; i++) {
        const int y = s->y[i], t = y < 40 ? -1 : y < 140 ? 0 : 1, row = t < 0 ? y : 40 + t;
        double x[D], px[D] = { 0 };
        for (int k = 0; k < D; k++) x[k] = (double)s->x[i * D + k];
        dense(p, top, x, 42, D, &total);
        loss -= log(p[row]);
        for (int r = 0; r < 42; r++)
            for (int k = 0; k < D; k++) {
                dx[i * D + k] += (p[r] - (r == row)) * (double)top[r * D + k];
                dtop[r * D + k] += (p[r] - (r == row)) * x[k];
            }
        if (t < 0) continue;
        const int m = proj[t]->rows, rows = out[t]->rows;
        for (int j = 0; j < m; j++)
            for (int k = 0; k < D; k++) px[j] += (double)proj[t]->v[j * D + k] * x[k];
        dense(p, out[t]->v, px, rows, m, &total);
        loss -= log(p[y - first[t]]);
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < m; j++) {
                const double g = p[r] - (r == y - first[t]), w = (double)out[t]->v[r * m + j];
                dout[t][r * m + j] += g * px[j];
                for (int k = 0; k < D; k++) {
                    dx[i * D + k] += g * w * (double)proj[t]->v[j * D + k];
                    dproj[t][j * D + k] += g * w * x[k];
                }
            }
    }
    assert_true(fabs(s->def->forward(s->h, s->x, s->y, N) / loss - 1) < 1e-6);
    s->def->backward(s->h, s->dx, 1);
    close_to(s->dx, dx, N * D, "dx");
    head_flush_grads(s->def, s->h);
    close_to(tied ? words->g : own->g, dtop, (tied ? 40 : 42) * D, "dS");
    if (tied) close_to(own->g, dtop + 40 * D, 2 * D, "dS of the tails");
    for (int t = 0; t < 2; t++) {
        close_to(proj[t]->g, dproj[t], proj[t]->n, "dP");
        close_to(out[t]->g, dout[t], out[t]->n, "dO");
    }
}

static void adaptive_is_the_dense_computation(void **state)
{
    (void)state;
    adaptive_way(0);
    adaptive_way(1);
}

/* ---- tree ---- */

enum { T_V = 300 };

/* One softmax over n listed rows of w: adds 0.25 times the gradient of its smoothed cross entropy
 * to the same rows of g and to dx; returns the loss */
static double dense_level(const float *w, const int *list, int n, const double *x, int y,
                          double eps, double *g, double *dx)
{
    double z[T_V], sum = 0, total = 0;
    for (int r = 0; r < n; r++) {
        z[r] = 0;
        for (int k = 0; k < D; k++) z[r] += (double)w[list[r] * D + k] * x[k];
        sum += exp(z[r]);
        total += z[r];
    }
    for (int r = 0; r < n; r++) {
        const double dz = 0.25 * (exp(z[r]) / sum - eps / n - (1 - eps) * (r == y));
        for (int k = 0; k < D; k++) {
            g[list[r] * D + k] += dz * x[k];
            dx[k] += dz * (double)w[list[r] * D + k];
        }
    }
    return log(sum) - (1 - eps) * z[y] - eps * total / n;
}

/* w, g: both matrices as one, the class rows first */
static void tree_way(int tied, const char *shortlist)
{
    static float w[2 * T_V * D];
    static double g[2 * T_V * D], dx[N * D];
    const char *words[] = { "smoothing=0.1", tied ? "tied=1" : "tied=0", shortlist, "classes=17" };
    const char *why;
    Setup *s = set_up("tree", T_V, 4, words);
    Spec *spec = spec_new(&arena);
    long freq[T_V];
    for (int i = 0; i < 4; i++) assert_null(spec_set(spec, words[i]));
    for (int v = 0; v < T_V; v++) freq[v] = count_of(v);
    const Exec *e = exec_make(spec, &arena, &why);
    const Classes *k =
        classes_make(spec, e, &(HeadData) { .V = T_V, .freq = freq }, 17, &arena, &why);
    const Param *root = params_find(s->ps, "head.class.weight");
    const Param *leaf = params_find(s->ps, tied ? "words" : "head.leaf.weight");
    const int C = k->C, behind = k->start[C], top = C + T_V - behind;
    double loss = 0;
    memset(g, 0, sizeof g);
    memset(dx, 0, sizeof dx);
    memcpy(w, root->v, sizeof(float) * (size_t)root->n);
    memcpy(w + C * D, leaf->v, sizeof(float) * (size_t)leaf->n);
    for (int i = 0; i < N; i++) {
        int list[T_V];
        double x[D];
        const int r = k->place[s->y[i]], c = k->class_of[s->y[i]];
        for (int j = 0; j < D; j++) x[j] = (double)s->x[i * D + j];
        for (int j = 0; j < top; j++)
            list[j] = j < C ? j : C + (tied ? k->word[behind + j - C] : behind + j - C);
        loss += dense_level(w, list, top, x, c < C ? c : C + r - behind, 0.1, g, dx + i * D);
        if (c == C) continue;
        for (int j = k->start[c]; j < k->start[c + 1]; j++)
            list[j - k->start[c]] = C + (tied ? k->word[j] : j);
        loss += dense_level(w, list, k->start[c + 1] - k->start[c], x, r - k->start[c], 0.1, g,
                            dx + i * D);
    }
    double got = s->def->forward(s->h, s->x, s->y, 4);
    s->def->backward(s->h, s->dx, 0.25f);
    got += s->def->forward(s->h, s->x + 4 * D, s->y + 4, N - 4);
    s->def->backward(s->h, s->dx + 4 * D, 0.25f);
    s->def->flush_grads(s->h);
    assert_true(fabs(got / loss - 1) < 1e-6);
    close_to(s->dx, dx, N * D, "dx");
    close_to(root->g, g, root->n, "dA");
    close_to(leaf->g, g + C * D, leaf->n, "dW");
}

static void tree_is_the_dense_computation(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        tree_way(tied, "shortlist=0");
        tree_way(tied, "shortlist=25");
    }
}

/* Threads take whole groups: any number of them gives the same bits. */
static void tree_is_the_same_on_any_number_of_threads(void **state)
{
    (void)state;
    static const char *const more[] = { "depth=2", "depth=3", "depth=4" };
    for (int i = 0; i < 3; i++) {
        Setup *s[3];
        double loss[3];
        for (int t = 0; t < 3; t++) {
            const char *words[] = { more[i], arena_text(&arena, "threads=%d", t + 1),
                                    "gemm=portable", "shortlist=9" };
            s[t] = set_up("tree", T_V, 4, words);
            loss[t] = s[t]->def->forward(s[t]->h, s[t]->x, s[t]->y, N);
            s[t]->def->backward(s[t]->h, s[t]->dx, 0.25f);
            s[t]->def->flush_grads(s[t]->h);
            assert_true(loss[t] == loss[0]);
            assert_memory_equal(s[t]->dx, s[0]->dx, sizeof s[t]->dx);
            for (int p = 0; p < s[t]->ps->n; p++) {
                const Param *a = s[t]->ps->p[p], *b = s[0]->ps->p[p];
                assert_memory_equal(a->g, b->g, sizeof(float) * (size_t)a->n);
            }
        }
    }
}

/* Far more positions than can be put off make the same as each of them settled at once. */
static void tree_settles_when_it_is_full(void **state)
{
    (void)state;
    Setup *late = set_up("tree", T_V, 0, NULL), *soon = set_up("tree", T_V, 0, NULL);
    const int times = 3 * late->def->chunk(late->h) / N;
    for (int i = 0; i < times; i++)
        for (int k = 0; k < 2; k++) {
            Setup *s = k ? soon : late;
            s->def->forward(s->h, s->x, s->y, N);
            s->def->backward(s->h, s->dx, 1.0f / (float)times);
            if (k) s->def->flush_grads(s->h);
        }
    const Param *a = late->ps->embedding,
                *b = soon->ps->embedding;
    double deferred = 0, expected[T_V * D];
    for (long i = 0; i < b->n; i++) {
        expected[i] = (double)b->g[i];
        deferred += fabs((double)a->g[i] - expected[i]);
    }
    assert_true(deferred > 0.1);                   /* something is still put off, */
    late->def->flush_grads(late->h);
    for (long i = 0; i < b->n; i++)               /* and is all there is */
        if (!(fabs((double)a->g[i] - expected[i]) <= 1e-4 * (1 + fabs(expected[i]))))
            fail_msg("dE[%ld] is %.9g, expected %.9g", i, (double)a->g[i], expected[i]);
}

/* ---- shapes ---- */

/* Words of the same class keep the ratios of their probabilities when only the class matrix
 * changes. */
static void tree_classes(const char *const *words, int n, int V, int cap)
{
    Setup *s = set_up("tree", V, n, words);
    Param *cls = params_find(s->ps, "head.class.weight");
    float *a = arena_raw(&arena, sizeof *a * (size_t)V),
          *b = arena_raw(&arena, sizeof *b * (size_t)V);
    int sizes[64] = { 0 }, classes = 0;
    float shift[64];
    param_fill(cls, 0);
    s->def->logprob(s->h, s->x, a);
    param_normal(cls, 5, 0, 1);
    s->def->logprob(s->h, s->x, b);
    assert_true(cls->rows <= 64);
    for (int v = 0; v < V; v++) {
        int c = 0;
        while (c < classes && fabsf(b[v] - a[v] - shift[c]) > 1e-4f) c++;
        assert_true(c < cls->rows);
        if (c == classes) shift[classes++] = b[v] - a[v];
        sizes[c]++;
    }
    assert_int_equal(classes, cls->rows);                        /* none is empty */
    for (int c = 0; c < classes; c++)
        if (sizes[c] > cap)
            fail_msg("%s: a class of %d words, at most %d expected", words[0], sizes[c], cap);
}

static void tree_has_full_bounded_classes(void **state)
{
    (void)state;
    tree_classes((const char *[]){ "assign=freq", "classes=20" }, 2, 1000, 200);
    tree_classes((const char *[]){ "assign=sqrt", "classes=20" }, 2, 1000, 200);
    tree_classes((const char *[]){ "assign=random", "classes=30" }, 2, 1000, 34);
    tree_classes((const char *[]){ "assign=freq", "classes=0" }, 2, 100, 40);
    tree_classes((const char *[]){ "assign=freq", "classes=1" }, 2, 100, 100);
}

enum { WORDS = 50257 };
static double mass[WORDS + 1];

static void zipf(void)
{
    double total = 0;
    for (int v = 0; v < WORDS; v++) total += 1 / (v + 2.7);
    for (int v = 0; v < WORDS; v++) mass[v + 1] = mass[v] + 1 / (v + 2.7) / total;
}

static void cutoffs_are_read(void **state)
{
    (void)state;
    const char *why;
    int cut[MOST_TAILS + 1];
    assert_int_equal(cutoffs_find(cut, "2000,10000", mass, WORDS, 256, &arena, &why), 2);
    assert_int_equal(cut[0], 2000);
    assert_int_equal(cut[1], 10000);
    assert_int_equal(cut[2], WORDS);
}

/* No short list with at least half of the tokens and one or two tails is cheaper by more than the
 * grid's coarseness. */
static void cutoffs_counted_is_the_cheapest(void **state)
{
    (void)state;
    const char *why;
    int cut[MOST_TAILS + 1];
    const CutoffModel m = cutoffs_counted(&(int){ 256 });
    const int K = cutoffs_find(cut, "counted", mass, WORDS, 256, &arena, &why);
    const double least = cutoffs_cost(&m, cut, K, mass);
    assert_int_equal(cut[K], WORDS);
    assert_true(mass[cut[0]] >= 0.5);
    for (int a = 60; a < WORDS; a += a / 15) {
        if (mass[a] < 0.5) continue;
        const double one = cutoffs_cost(&m, (const int[]){ a, WORDS }, 1, mass);
        if (!(one >= 0.99 * least)) fail_msg("cut-off %d costs %.4g, counted %.4g", a, one, least);
        for (int b = a + a / 15; b < WORDS; b += b / 15) {
            const double two = cutoffs_cost(&m, (const int[]){ a, b, WORDS }, 2, mass);
            if (!(two >= 0.99 * least))
                fail_msg("cut-offs %d, %d cost %.4g, counted %.4g", a, b, two, least);
        }
    }
    assert_int_equal(
        cutoffs_find(cut, "counted", (const double[]) { 0, 0.5, 1 }, 2, 8, &arena, &why), 1);
    assert_int_equal(cut[0], 1);
    assert_int_equal(cut[1], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(laws),
        cmocka_unit_test(softmax_is_the_dense_computation),
        cmocka_unit_test(softmax_by_count_is_the_dense_computation),
        cmocka_unit_test(quantised_softmax_is_the_dense_computation),
        cmocka_unit_test(a_bitlinear_head_is_the_dense_computation),
        cmocka_unit_test(a_bitlinear_head_has_rows_of_its_own),
        cmocka_unit_test(adaptive_is_the_dense_computation),
        cmocka_unit_test(tree_is_the_dense_computation),
        cmocka_unit_test(tree_is_the_same_on_any_number_of_threads),
        cmocka_unit_test(tree_settles_when_it_is_full),
        cmocka_unit_test(filter_leaves_out_no_more_than_delta),
        cmocka_unit_test(softmax_follows_its_weights),
        cmocka_unit_test(sampled_estimates_the_full_sum),
        cmocka_unit_test(sampled_draws_by_its_proposal),
        cmocka_unit_test(sampled_repeats_its_draw),
        cmocka_unit_test(tree_has_full_bounded_classes),
        cmocka_unit_test(cutoffs_are_read),
        cmocka_unit_test(cutoffs_counted_is_the_cheapest),
    };
    zipf();
    return cmocka_run_group_tests(tests, start, stop);
}
