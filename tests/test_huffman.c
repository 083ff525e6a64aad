/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The Huffman tree seen from outside: with all rows zero a word of depth k has log probability
 * -k log 2. So the tree can be compared with the least sum of weights, that of a naive construction
 * (Huffman 1952). */
#include "models/head.h"
#include "tests/test.h"
#include <math.h>

enum { D = 8 };
static Arena arena;

static int start(void **state) { (void)state; arena = arena_new((size_t)1 << 30); return 0; }
static int stop (void **state) { (void)state; arena_drop(&arena); return 0; }

/* depth (V) of every word; the parameters stay zero */
static void depths(int *depth, const long *freq, int V, const HeadDef **def, void **h)
{
    static const float x[D] = { 1 };
    const char *why;
    Spec *spec = spec_new(&arena);
    assert_null(spec_set(spec, "threads=2"));
    const Exec *e = exec_make(spec, &arena, &why);
    assert_non_null(e);
    Params *ps = params_new(&arena);
    float *lp = arena_raw(&arena, sizeof *lp * (size_t)V);
    *def = head_find("huffman");
    assert_non_null(*def);
    *h = (*def)->make(spec, e, ps, &(HeadData){ .V = V, .freq = freq }, D, &arena);
    assert_int_equal(params_find(ps, "head.node.weight")->rows, V - 1);
    param_fill(params_find(ps, "head.node.weight"), 0);
    (*def)->logprob(*h, x, lp);
    for (int v = 0; v < V; v++) depth[v] = (int)lround(-(double)lp[v] / log(2));
}

/* the sum over words of weight times depth, by joining the two lightest again and again */
static double least_sum(const long *freq, int V)
{
    double *w = arena_raw(&arena, sizeof *w * (size_t)V), sum = 0;
    for (int v = 0; v < V; v++) w[v] = (double)freq[v] + 1;
    for (int n = V; n > 1; n--) {
        for (int k = 0; k < 2; k++) {         /* the lightest of w[k..n) to w[k] */
            int least = k;
            for (int i = k; i < n; i++) if (w[i] < w[least]) least = i;
            const double swap = w[k];
            w[k] = w[least];
            w[least] = swap;
        }
        w[0] += w[1];
        sum += w[0];
        w[1] = w[n - 1];
    }
    return sum;
}

static void tree_is_optimal(void **state)
{
    (void)state;
    static const int sizes[] = { 2, 3, 97, 1500 };
    Rng rng = rng_at(test_seed(), STREAM_CHECK, 0);
    for (int i = 0; i < 4; i++) {
        const int V = sizes[i];
        long *freq = arena_get(&arena, sizeof *freq * (size_t)V);
        int *depth = arena_raw(&arena, sizeof *depth * (size_t)V);
        const HeadDef *def;
        void *h;
        double sum = 0, kraft = 0;
        for (int v = 0; v < V; v++)
            freq[v] = (long)rng_below(&rng, 1 + 100000 / (1 + rng_below(&rng, 5000)));
        depths(depth, freq, V, &def, &h);
        for (int v = 0; v < V; v++) {
            sum += ((double)freq[v] + 1) * depth[v];
            kraft += ldexp(1, -depth[v]);
        }
        assert_true(kraft == 1);
        assert_true(sum == least_sum(freq, V));
    }
}

/* Powers of two make a chain: the deepest tree there is, and losses of as many decisions. */
static void chain_is_followed_to_its_end(void **state)
{
    (void)state;
    enum { V = 41 };
    static const float x[V * D] = { 1 };
    long freq[V];
    int depth[V], y[V];
    float nll[V];
    const HeadDef *def;
    void *h;
    for (int v = 0; v < V; v++) {
        freq[v] = (1L << v) - 1;
        y[v] = v;
    }
    depths(depth, freq, V, &def, &h);
    def->nll(h, x, y, V, nll);
    for (int v = 0; v < V; v++) {
        assert_int_equal(depth[v], v ? V - v : V - 1);
        assert_true(fabs((double)nll[v] / (depth[v] * log(2)) - 1) < 1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_is_optimal), cmocka_unit_test(chain_is_followed_to_its_end) };
    return cmocka_run_group_tests(tests, start, stop);
}
