/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cut-offs: the search against all there are, tables of measured costs; a checkpoint keeps its
 * cut-offs. */
#include "harness/train/autotune.h"
#include "harness/train/checkpoint.h"
#include "harness/train/checkpoint_file.h"
#include "tests/test.h"
#include <limits.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { V = 3000, POINTS = 12, MOST_SEARCHED = 4 };
static const char SAVE[] = "test_cutoffs.safetensors";
static Arena arena;
static double mass[V + 1];

static int start(void **state)
{
    double total = 0;
    (void)state;
    arena = arena_new((size_t)1 << 30);
    for (int v = 0; v < V; v++) total += 1 / (v + 2.7);
    for (int v = 0; v < V; v++) mass[v + 1] = v == V - 1 ? 1 : mass[v] + 1 / (v + 2.7) / total;
    return 0;
}

static int stop(void **state) { (void)state; arena_drop(&arena); return 0; }

/* about k n^0.8 with so much noise that it need not rise; a corner is not measured */
static void random_table(CutoffTable *t, Rng *rng)
{
    *t = (CutoffTable){ .clusters = CUTOFF_CLUSTERS, .ks = 4, .ns = 3,
                        .k = { 64, 256, 1024, V }, .n = { 4, 16, 64 } };
    for (int i = 0; i < t->clusters; i++)
        for (int a = 0; a < t->ks; a++) {
            t->update[i][a] = 1e-9 * t->k[a] * (0.2 + rng_uniform(rng));
            for (int b = 0; b < t->ns; b++) {
                const double work = 1e-9 * t->k[a] * pow(t->n[b], 0.8);
                t->pass[i][a][b] = (1e-5 + work * (0.2 + rng_uniform(rng))) / (i + 1);
            }
        }
    t->pass[0][t->ks - 1][t->ns - 1] = 0;
}

/* ---- the search ---- */

typedef struct { const CutoffModel *m; int rank[POINTS + 1], n; double least; } All;

static void try_all(All *all, int *cut, int i, int K, int from)
{
    if (i == K) {
        long longest = 0;
        cut[K] = V;
        for (int k = 1; k <= K; k++)
            if (cut[k] - cut[k - 1] > longest) longest = cut[k] - cut[k - 1];
        if (mass[cut[0]] >= all->m->short_share && cut[0] + K + longest <= all->m->width)
            all->least = fmin(all->least, cutoffs_cost(all->m, cut, K, mass));
        return;
    }
    for (int g = from; g < all->n - 1; g++) {
        cut[i] = all->rank[g];
        try_all(all, cut, i + 1, K, g + 1);
    }
}

static void search_is_exhaustive(void **state)
{
    (void)state;
    static const double shares[] = { 0, 0.5, 0.9 };
    static const long widths[] = { LONG_MAX, 2000, 1000 };
    Rng rng = rng_at(test_seed(), STREAM_CHECK, 1);
    int most = 0, fewest = MOST_SEARCHED;
    for (int trial = 0; trial < 60; trial++) {
        CutoffTable t;
        random_table(&t, &rng);
        cutoffs_table_mend(&t);
        const CutoffLoad load = { &t, 1 + 60 * rng_uniform(&rng), 1 + (double)rng_below(&rng, 4) };
        const CutoffModel m = { .cost = cutoffs_measured_cost,
                                .g = &load,
                                .short_share = shares[trial % 3],
                                .points = POINTS,
                                .width = widths[trial / 3 % 3] };
        All all = { .m = &m, .least = INFINITY };
        int cut[MOST_TAILS + 1];
        double least;
        all.n = cutoffs_grid(all.rank, POINTS, V);
        for (int K = 1; K <= MOST_SEARCHED; K++) try_all(&all, cut, 0, K, 0);
        const int K = cutoffs_search(cut, &least, &m, mass, V, &arena);
        if (isinf(all.least)) {
            assert_int_equal(K, 0);
            continue;
        }
        assert_true(K >= 1 && cut[K] == V && mass[cut[0]] >= m.short_share);
        assert_true(fabs(least / all.least - 1) < 1e-12);
        assert_true(fabs(cutoffs_cost(&m, cut, K, mass) / least - 1) < 1e-12);
        if (K > most) most = K;
        if (K < fewest) fewest = K;
    }
    assert_true(most > fewest);      /* the number of tails is chosen too */
}

/* ---- the table ---- */

static void mended_table_rises(void **state)
{
    (void)state;
    Rng rng = rng_at(test_seed(), STREAM_CHECK, 2);
    for (int trial = 0; trial < 20; trial++) {
        const double passes = trial % 2;      /* none: the updates alone */
        CutoffTable t;
        random_table(&t, &rng);
        cutoffs_table_mend(&t);
        for (int i = 0; i < t.clusters; i++) {
            double last = 0;
            for (double k = 1; k < 2 * V; k *= 1.3) {
                double before = 0;
                for (double n = 0.5; n < 300; n *= 1.4) {
                    const double c = cutoffs_measured_cost(&(CutoffLoad){ &t, n, passes }, i, k, 1);
                    if (!(c > 0 && c >= before * (1 - 1e-12)))
                        fail_msg("cluster %d, k %g, n %g", i, k, n);
                    before = c;
                }
                if (!(before >= last * (1 - 1e-12))) fail_msg("cluster %d, k %g", i, k);
                last = before;
            }
        }
        for (int a = 0; a < t.ks; a++)
            for (int b = 0; b < t.ns; b++) {
                const double c =
                    cutoffs_measured_cost(&(CutoffLoad){ &t, t.n[b], 3 }, 0, t.k[a], 1);
                assert_true(fabs(c / (3 * t.pass[0][a][b] + t.update[0][a]) - 1) < 1e-12);
            }
    }
}

/* Between two points of a power of n the table is that power, beyond them linear; a product of
 * powers extends to what was not measured; a rare tail costs as often as it is met. */
static void powers_are_kept(void **state)
{
    (void)state;
    CutoffTable t = { .clusters = 2, .ks = 1, .ns = 2, .k = { V }, .n = { 4, 64 },
                      .pass = { { { 2, 8 } }, { { 2, 8 } } }, .update = { { 0 }, { 0 } } };
    assert_true(fabs(cutoffs_measured_cost(&(CutoffLoad){ &t, 16, 1 }, 0, V, 1) - 4) < 1e-9);
    assert_true(fabs(cutoffs_measured_cost(&(CutoffLoad){ &t, 1024, 1 }, 0, V, 1) - 128) < 1e-9);
    CutoffTable corner = { .clusters = 1, .ks = 2, .ns = 2, .k = { 64, V }, .n = { 4, 64 },
                           .pass = { { { 1, 4 }, { 3, 0 } } } };
    cutoffs_table_mend(&corner);
    assert_true(corner.pass[0][1][1] == 12);
    const double rare = cutoffs_measured_cost(&(CutoffLoad){ &t, 1, 1 }, 1, V, 0.01);
    assert_true(fabs(rare - 2 * (1 - exp(-0.01))) < 1e-9);
}

/* ---- cutoffs=auto ---- */

static Spec *small_spec(const char *const *more)
{
    static const char *const small[] = {
        "corpus=synth", "V=300", "train_tokens=20000", "valid_tokens=600", "d=32", "inner=85",
        "conv_groups=4", "dilations=1,4,8", "batch=2", "seq=24", "threads=2", "head=adaptive",
        NULL
    };
    Spec *s = spec_new(&arena);
    for (int i = 0; small[i]; i++) assert_null(spec_set(s, small[i]));
    for (int i = 0; more[i]; i++) assert_null(spec_set(s, more[i]));
    return s;
}

static void auto_is_measured(void **state)
{
    (void)state;
    const Spec *spec = small_spec((const char *[]){ "cutoffs=auto", "short_share=0.9", NULL });
    Session *s = session_make(spec, NULL, SESSION_TRAINS);
    const char *why;
    int cut[MOST_TAILS + 1];
    double *m = arena_raw(&arena, sizeof *m * (size_t)(s->corpus->V + 1));
    HeadRank *rank = arena_raw(&arena, sizeof *rank * (size_t)s->corpus->V);
    head_rank(rank, s->corpus->freq, s->corpus->V);
    head_mass(m, rank, s->corpus->V);
    assert_non_null(s->cutoffs);
    const int K = cutoffs_find(cut, s->cutoffs, m, s->corpus->V, 32, &arena, &why);
    assert_true(m[cut[0]] >= 0.9);
    assert_int_equal(params_find(s->params, "head.short.weight")->rows, cut[0] + K);
    session_drop(s);
}

/* Cut-offs that no measurement gives come back from a checkpoint of cutoffs=auto, to train and to
 * evaluate. */
static void checkpoint_keeps_them(void **state)
{
    (void)state;
    const char *save = arena_text(&arena, "save=%s", SAVE);
    const Spec *spec = small_spec((const char *[]){ "cutoffs=auto", save, NULL });
    Spec *was = spec_new(&arena);
    unlink(SAVE);
    Session *s = session_make(small_spec((const char *[]){ "cutoffs=7,31", NULL }), NULL,
                              SESSION_TRAINS);
    s->spec = spec;
    s->cutoffs = "7,31";
    s->step = 5;
    assert_null(checkpoint_save(s, SAVE));
    session_drop(s);
    s = session_make(spec, SAVE, SESSION_TRAINS);
    assert_string_equal(s->cutoffs, "7,31");
    assert_int_equal(params_find(s->params, "head.short.weight")->rows, 7 + 2);
    holds(checkpoint_load(s, SAVE));
    assert_int_equal(s->step, 5);
    session_drop(s);
    assert_null(checkpoint_spec(SAVE, was, &arena));
    assert_string_equal(spec_str(was, "cutoffs"), "7,31");
    unlink(SAVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(search_is_exhaustive), cmocka_unit_test(mended_table_rises),
        cmocka_unit_test(powers_are_kept), cmocka_unit_test(auto_is_measured),
        cmocka_unit_test(checkpoint_keeps_them) };
    return cmocka_run_group_tests(tests, start, stop);
}
