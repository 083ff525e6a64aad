/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Heads: the laws over the registry; softmax and adaptive against an independent dense computation in double; the shape
 * of the tree's classes and of the adaptive cut-offs. EIGHTYSIX_SEED picks another seed. */
#include "harness/laws.h"
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

typedef struct { void *h; const HeadDef *def; Params *ps; float x[N * D], dx[N * D]; int y[N], V; } Setup;

static Setup *set_up(const char *name, int V, int words, const char *const *word)
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
    for (int v = 0; v < V; v++) freq[v] = 10000000 / ((v + 1L) * (v + 1L));      /* a word is its own rank; most are rare */
    s->ps = params_new(&arena);
    s->V = V;
    param_normal(params_add(s->ps, "embedding.weight", (int[]){ V, D, 0 }, GROUP_ADAMW, OWNER_CORE), 1, 0, 0.4);
    s->def = head_find(name);
    s->h = s->def->make(spec, e, s->ps, &(HeadData){ .V = V, .freq = freq }, D, &arena);
    for (int i = 0; i < N * D; i++) s->x[i] = (float)rng_normal(&rng);
    for (int i = 0; i < N; i++) s->y[i] = (int)rng_below(&rng, (uint64_t)V);
    return s;
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

static void softmax_is_the_dense_computation(void **state)
{
    (void)state;
    enum { V = 2500 };
    const double eps = 0.1, zloss = 0.02;
    static double p[V], dw[V * D], dx[N * D];
    Setup *s = set_up("softmax", V, 2, (const char *[]){ "smoothing=0.1", "zloss=0.02" });
    const Param *w = params_find(s->ps, "embedding.weight");
    double loss = 0, nll = 0;
    for (int i = 0; i < N; i++) {
        double x[D], total;
        for (int k = 0; k < D; k++) x[k] = (double)s->x[i * D + k];
        const double lse = dense(p, w->v, x, V, D, &total);
        nll -= log(p[s->y[i]]);
        loss += -(1 - eps) * log(p[s->y[i]]) + eps * (lse - total / V) + zloss * lse * lse;
        for (int v = 0; v < V; v++) {
            const double g = (1 + 2 * zloss * lse) * p[v] - eps / V - (1 - eps) * (v == s->y[i]);
            for (int k = 0; k < D; k++) {
                dx[i * D + k] += 0.25 * g * (double)w->v[v * D + k];
                dw[v * D + k] += 0.25 * g * x[k];
            }
        }
    }
    assert_true(fabs(s->def->forward(s->h, s->x, s->y, N) / loss - 1) < 1e-6);
    assert_true(fabs(s->def->nll(s->h, s->x, s->y, N, NULL) / nll - 1) < 1e-6);
    s->def->backward(s->h, s->dx, 0.25f);
    close_to(s->dx, dx, N * D, "dx");
    close_to(w->g, dw, V * D, "dE");
}

/* V 300 = short list 40 + tails of 100 and 160 words; no smoothing */
static void adaptive_is_the_dense_computation(void **state)
{
    (void)state;
    Setup *s = set_up("adaptive", 300, 2, (const char *[]){ "smoothing=0", "cutoffs=40,140" });
    const Param *top = params_find(s->ps, "head.short.weight");
    const Param *proj[] = { params_find(s->ps, "head.tail1.proj.weight"), params_find(s->ps, "head.tail2.proj.weight") };
    const Param *out[] = { params_find(s->ps, "head.tail1.out.weight"), params_find(s->ps, "head.tail2.out.weight") };
    static double dx[N * D], dtop[42 * D];
    const int first[] = { 40, 140 };
    double loss = 0, total, p[300];
    assert_int_equal(top->rows, 42);
    assert_int_equal(out[0]->rows, 100);
    assert_int_equal(out[1]->rows, 160);
    for (int i = 0; i < N; i++) {
        const int y = s->y[i], t = y < 40 ? -1 : y < 140 ? 0 : 1, row = t < 0 ? y : 40 + t;
        double x[D], px[D] = { 0 };
        for (int k = 0; k < D; k++) x[k] = (double)s->x[i * D + k];
        dense(p, top->v, x, 42, D, &total);
        loss -= log(p[row]);
        for (int r = 0; r < 42; r++)
            for (int k = 0; k < D; k++) {
                dx[i * D + k] += (p[r] - (r == row)) * (double)top->v[r * D + k];
                dtop[r * D + k] += (p[r] - (r == row)) * x[k];
            }
        if (t < 0) continue;
        const int m = proj[t]->rows, rows = out[t]->rows;
        for (int j = 0; j < m; j++)
            for (int k = 0; k < D; k++) px[j] += (double)proj[t]->v[j * D + k] * x[k];
        dense(p, out[t]->v, px, rows, m, &total);
        loss -= log(p[y - first[t]]);
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < m; j++)
                for (int k = 0; k < D; k++) {
                    const double w = (double)out[t]->v[r * m + j] * (double)proj[t]->v[j * D + k];
                    dx[i * D + k] += (p[r] - (r == y - first[t])) * w;
                }
    }
    assert_true(fabs(s->def->forward(s->h, s->x, s->y, N) / loss - 1) < 1e-6);
    s->def->backward(s->h, s->dx, 1);
    close_to(s->dx, dx, N * D, "dx");
    close_to(top->g, dtop, 42 * D, "dS");
}

/* ---- shapes ---- */

/* Words of the same class keep the ratios of their probabilities when only the class matrix changes. */
static void tree_classes(const char *const *words, int n, int V, int cap)
{
    Setup *s = set_up("tree", V, n, words);
    Param *cls = params_find(s->ps, "head.class.weight");
    float *a = arena_raw(&arena, sizeof *a * (size_t)V), *b = arena_raw(&arena, sizeof *b * (size_t)V);
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
        if (sizes[c] > cap) fail_msg("%s: a class of %d words, at most %d expected", words[0], sizes[c], cap);
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
    int cut[MOST_TAILS + 1];
    assert_int_equal(cutoffs_find(cut, "2000,10000", mass, WORDS, 256, &arena), 2);
    assert_int_equal(cut[0], 2000);
    assert_int_equal(cut[1], 10000);
    assert_int_equal(cut[2], WORDS);
}

/* No short list with at least half of the tokens and one or two tails is cheaper by more than the grid's coarseness. */
static void cutoffs_counted_is_the_cheapest(void **state)
{
    (void)state;
    int cut[MOST_TAILS + 1];
    const CutoffModel m = cutoffs_counted(&(int){ 256 });
    const int K = cutoffs_find(cut, "counted", mass, WORDS, 256, &arena);
    const double least = cutoffs_cost(&m, cut, K, mass);
    assert_int_equal(cut[K], WORDS);
    assert_true(mass[cut[0]] >= 0.5);
    for (int a = 60; a < WORDS; a += a / 15) {
        if (mass[a] < 0.5) continue;
        const double one = cutoffs_cost(&m, (const int[]){ a, WORDS }, 1, mass);
        if (!(one >= 0.99 * least)) fail_msg("cut-off %d costs %.4g, counted %.4g", a, one, least);
        for (int b = a + a / 15; b < WORDS; b += b / 15) {
            const double two = cutoffs_cost(&m, (const int[]){ a, b, WORDS }, 2, mass);
            if (!(two >= 0.99 * least)) fail_msg("cut-offs %d, %d cost %.4g, counted %.4g", a, b, two, least);
        }
    }
    assert_int_equal(cutoffs_find(cut, "counted", (const double[]){ 0, 0.5, 1 }, 2, 8, &arena), 1);
    assert_int_equal(cut[0], 1);
    assert_int_equal(cut[1], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(laws),
        cmocka_unit_test(softmax_is_the_dense_computation),
        cmocka_unit_test(adaptive_is_the_dense_computation),
        cmocka_unit_test(tree_has_full_bounded_classes),
        cmocka_unit_test(cutoffs_are_read),
        cmocka_unit_test(cutoffs_counted_is_the_cheapest),
    };
    zipf();
    return cmocka_run_group_tests(tests, start, stop);
}
