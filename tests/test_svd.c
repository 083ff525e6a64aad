/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The truncated SVD against spectra that were put in and against GSL's; co-occurrence counts and
 * their PPMI against plain loops; what embed_init writes, and what it refuses. */
#include "models/cooc.h"
#include "models/embed_init.h"
#include "tests/test.h"
#include <gsl/gsl_blas.h>
#include <gsl/gsl_eigen.h>
#include <gsl/gsl_linalg.h>
#include <gsl/gsl_sort_vector.h>
#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char PATH[] = "test_svd.safetensors";
static Arena arena;
static int start(void **state) { (void)state; arena = arena_new((size_t)1 << 32); return 0; }
static int stop (void **state) { (void)state; arena_drop(&arena); unlink(PATH); return 0; }

static Spec *spec_of(int threads, const char *word)
{
    Spec *s = spec_new(&arena);
    holds(spec_set(s, arena_text(&arena, "threads=%d", threads)));
    if (word) holds(spec_set(s, word));
    return s;
}

static const Exec *exec_of(const Spec *s)
{
    const char *why;
    const Exec *e = exec_make(s, &arena, &why);
    holds(why);
    return e;
}

/* ---- matrices ---- */

static gsl_matrix *gaussian(int rows, int cols, Rng *r)
{
    gsl_matrix *m = gsl_matrix_alloc((size_t)rows, (size_t)cols);
    for (int i = 0; i < rows * cols; i++) m->data[i] = rng_normal(r);
    return m;
}

/* U diag(s) V' with U, V from the SVD of noise */
static float *with_spectrum(int rows, int cols, const double *s, Rng *r)
{
    gsl_matrix *u = gaussian(rows, cols, r), *v = gsl_matrix_alloc((size_t)cols, (size_t)cols);
    gsl_vector *w = gsl_vector_alloc((size_t)cols);
    float *a = arena_get(&arena, sizeof *a * (size_t)rows * (size_t)cols);
    gsl_linalg_SV_decomp_jacobi(u, v, w);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            double sum = 0;
            for (int k = 0; k < cols; k++)
                sum += u->data[i * cols + k] * s[k] * v->data[j * cols + k];
            a[i * cols + j] = (float)sum;
        }
    gsl_matrix_free(u);
    gsl_matrix_free(v);
    gsl_vector_free(w);
    return a;
}

static double sumsq(const float *a, long n)
{
    double sum = 0;
    for (long i = 0; i < n; i++) sum += (double)a[i] * (double)a[i];
    return sum;
}

/* |X'X - 1| of the first k columns of x (rows, stride) */
static double crookedness(const float *x, int rows, int stride, int k)
{
    double worst = 0;
    for (int i = 0; i < k; i++)
        for (int j = 0; j <= i; j++) {
            double sum = 0;
            for (int r = 0; r < rows; r++)
                sum += (double)x[r * stride + i] * (double)x[r * stride + j];
            worst = fmax(worst, fabs(sum - (i == j)));
        }
    return worst;
}

/* sum of squares of A - U S V' */
static double residual(const float *a, int rows, int cols, const Svd *d)
{
    double total = 0;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            double x = (double)a[i * cols + j];
            const float *u = d->u + i * d->k, *v = d->v + j * d->k;
            for (int k = 0; k < d->k; k++) x -= d->s[k] * (double)u[k] * (double)v[k];
            total += x * x;
        }
    return total;
}

static Svd svd_of(const float *a, int rows, int cols, int k, int threads)
{
    const Dense dense = { rows, cols, a };
    const LinearMap map = svd_dense(&dense);
    return svd_truncated(exec_of(spec_of(threads, NULL)), &map, k, 8, 5, &arena);
}

static void a_known_spectrum_is_found(void **state)
{
    (void)state;
    enum { ROWS = 700, COLS = 90, K = 30 };
    Rng r = rng_at(test_seed(), STREAM_CHECK, 0);
    double s[COLS], tail = 0;
    for (int i = 0; i < COLS; i++) s[i] = 50 * pow(0.8, i);
    for (int i = K; i < COLS; i++) tail += s[i] * s[i];
    for (int wide = 0; wide < 2; wide++) {
        const float *a = with_spectrum(ROWS, COLS, s, &r);
        float *t = arena_raw(&arena, sizeof *t * ROWS * COLS);
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < COLS; j++) t[j * ROWS + i] = a[i * COLS + j];
        const int rows = wide ? COLS : ROWS, cols = wide ? ROWS : COLS;
        const Svd d = svd_of(wide ? t : a, rows, cols, K, 2);
        for (int i = 0; i < K; i++)
            if (!(fabs(d.s[i] - s[i]) < 1e-4 * s[i]))
                fail_msg("s[%d] is %.9g, expected %.9g", i, d.s[i], s[i]);
        assert_true(crookedness(d.u, rows, K, K) < 1e-5);
        assert_true(crookedness(d.v, cols, K, K) < 1e-4);
        assert_true(residual(wide ? t : a, rows, cols, &d) < 1.001 * tail);
    }
}

static void as_much_variance_as_gsl(void **state)
{
    (void)state;
    enum { ROWS = 200, COLS = 60 };
    Rng r = rng_at(test_seed(), STREAM_CHECK, 1);
    gsl_matrix *u = gaussian(ROWS, COLS, &r), *v = gsl_matrix_alloc(COLS, COLS);
    gsl_vector *w = gsl_vector_alloc(COLS);
    for (int i = 0; i < ROWS * COLS; i++) u->data[i] /= 1 + 0.2 * (i % COLS);
    float a[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++) a[i] = (float)u->data[i];
    gsl_linalg_SV_decomp_jacobi(u, v, w);
    for (int k = 1; k <= COLS; k += k < 10 ? 1 : 10) {
        const Svd d = svd_of(a, ROWS, COLS, k, 2);
        double got = 0, exact = 0;
        for (int i = 0; i < k; i++) {
            got += d.s[i] * d.s[i];
            exact += w->data[i] * w->data[i];
        }
        if (!(fabs(got / exact - 1) < 1e-5))
            fail_msg("%d components keep %.9g, GSL's %.9g", k, got, exact);
    }
    gsl_matrix_free(u);
    gsl_matrix_free(v);
    gsl_vector_free(w);
}

static void rank_deficiency_is_zeros(void **state)
{
    (void)state;
    enum { ROWS = 80, COLS = 40, RANK = 5, K = 12 };
    Rng r = rng_at(test_seed(), STREAM_CHECK, 2);
    double s[COLS] = { 9, 7, 5, 3, 1 };
    const float *a = with_spectrum(ROWS, COLS, s, &r);
    const float *zero = arena_get(&arena, sizeof *zero * ROWS * COLS);
    const Svd d = svd_of(a, ROWS, COLS, K, 1), none = svd_of(zero, ROWS, COLS, 3, 1);
    for (int i = 0; i < K; i++) assert_true(fabs(d.s[i] - s[i]) < 1e-5);
    assert_true(crookedness(d.u, ROWS, K, RANK) < 1e-5);
    for (int i = 0; i < 3; i++) assert_true(none.s[i] == 0 && none.u[i] == 0 && none.v[i] == 0);
    for (int i = 0; i < ROWS * K; i++)
        assert_true(isfinite(d.u[i]) && (i % K < RANK || d.u[i] == 0));
    for (int i = 0; i < COLS * K; i++)
        assert_true(isfinite(d.v[i]) && (i % K < RANK || d.v[i] == 0));
}

static void eigenvalues_are_gsls(void **state)
{
    (void)state;
    enum { N = 37 };
    Rng r = rng_at(test_seed(), STREAM_CHECK, 3);
    double a[N * N], copy[N * N], w[N], v[N * N];
    gsl_matrix *x = gaussian(N, N, &r), *g = gsl_matrix_alloc(N, N);
    gsl_vector *exact = gsl_vector_alloc(N);
    gsl_eigen_symm_workspace *space = gsl_eigen_symm_alloc(N);
    gsl_blas_dgemm(CblasTrans, CblasNoTrans, 1, x, x, 0, g);
    memcpy(a, g->data, sizeof a);
    memcpy(copy, a, sizeof a);
    gsl_eigen_symm(g, exact, space);
    gsl_sort_vector(exact);
    eigen_psd(a, w, v, N);
    for (int i = 0; i < N; i++) {
        double high = 0, low = 0;
        assert_true(fabs(w[i] - gsl_vector_get(exact, N - 1 - (size_t)i)) < 1e-10 * w[0]);
        for (int k = 0; k < N; k++) {
            high = fmax(high, v[i * N + k]);
            low = fmin(low, v[i * N + k]);
        }
        assert_true(high >= -low * (1 - 1e-5));
        for (int k = 0; k < N; k++) {
            double av = 0;
            for (int j = 0; j < N; j++) av += copy[k * N + j] * v[i * N + j];
            assert_true(fabs(av - w[i] * v[i * N + k]) < 1e-9 * w[0]);
        }
    }
    gsl_eigen_symm_free(space);
    gsl_matrix_free(x);
    gsl_matrix_free(g);
    gsl_vector_free(exact);
}

/* ---- words beside words ---- */

enum { V = 60, TEXT = 4000 };

/* Pairs of neighbours occur together; the last six words never occur */
static HeadData text(void)
{
    Rng r = rng_at(test_seed(), STREAM_CHECK, 4);
    uint16_t *tok = arena_raw(&arena, sizeof *tok * TEXT);
    long *freq = arena_get(&arena, sizeof *freq * V);
    for (int i = 0; i < TEXT; i++) {
        const int again = i && rng_below(&r, 2);
        tok[i] =
            (uint16_t)(again ? (tok[i - 1] + 1) % 54 : (int)rng_below(&r, 1 + rng_below(&r, 54)));
        freq[tok[i]]++;
    }
    return (HeadData){ V, freq, token_ids_2(tok), TEXT, NULL };
}

static float *dense_of(const Sparse *m)
{
    float *a = arena_get(&arena, sizeof *a * (size_t)m->rows * (size_t)m->cols);
    for (int r = 0; r < m->rows; r++)
        for (long k = m->at[r]; k < m->at[r + 1]; k++) {
            assert_true(m->v[k] > 0 && (k == m->at[r] || m->col[k] > m->col[k - 1]));
            a[r * m->cols + m->col[k]] = m->v[k];
        }
    return a;
}

/* The column of word v: how many words come before it in the order of counts, or the last */
static int column(const HeadData *d, int v, int contexts)
{
    int rank = 0;
    for (int u = 0; u < V; u++)
        rank += d->freq[u] > d->freq[v] || (d->freq[u] == d->freq[v] && u < v);
    return rank < contexts ? rank : contexts;
}

static void counts_are_those_of_the_text(void **state)
{
    (void)state;
    static const Window windows[] = { { -1, -1, 20, 0 }, { -2, -1, 20, 1 }, { -2, 2, 60, 0 },
                                      { -1, 3, 7, 1 } };
    const HeadData d = text();
    for (int i = 0; i < 4; i++) {
        const Window *w = &windows[i];
        const Sparse *one = cooc_count(exec_of(spec_of(1, NULL)), &d, w, &arena);
        const Sparse *m = cooc_count(exec_of(spec_of(2, NULL)), &d, w, &arena);
        const float *got = dense_of(m);
        float *expected = arena_get(&arena, sizeof *expected * V * (size_t)m->cols);
        for (int p = 0; p < TEXT; p++)
            for (int o = w->first, part = 0; o <= w->last; o++) {
                if (!o) continue;
                float *row = expected + token_id(d.tok, p) * m->cols + part * (w->contexts + 1);
                if (p + o >= 0 && p + o < TEXT)
                    row[column(&d, token_id(d.tok, p + o), w->contexts)]++;
                part += w->apart;
            }
        assert_memory_equal(got, expected, sizeof(float) * V * (size_t)m->cols);
        assert_memory_equal(one->at, m->at, sizeof *m->at * (V + 1));
        assert_memory_equal(one->v, m->v, sizeof *m->v * (size_t)m->at[V]);
    }
}

static void ppmi_is_its_formula(void **state)
{
    (void)state;
    const HeadData d = text();
    Sparse *m = cooc_count(exec_of(spec_of(2, NULL)), &d, &(Window){ -1, -1, 20, 0 }, &arena);
    const int cols = m->cols;
    const float *n = dense_of(m);
    cooc_ppmi(m, &arena);
    const float *got = dense_of(m);
    double total = 0, smooth = 0, row[V] = { 0 }, col[21] = { 0 };
    assert_int_equal(cols, 21);
    for (int i = 0; i < V * cols; i++) {
        total += (double)n[i];
        row[i / cols] += (double)n[i];
        col[i % cols] += (double)n[i];
    }
    for (int c = 0; c < cols; c++) smooth += pow(col[c] / total, 0.75);
    for (int i = 0; i < V * cols; i++) {
        const double k = (double)n[i], r = row[i / cols], c = col[i % cols], least = fmin(r, c);
        const double pmi = k > 0 ? log(k / total / (r / total * pow(c / total, 0.75) / smooth)) : 0;
        const double expected = fmax(0, pmi) * k / (k + 1) * least / (least + 1);
        assert_true(fabs((double)got[i] - expected) < 1e-5);
    }
    assert_true(fabs(cooc_sumsq(m) / sumsq(got, V * cols) - 1) < 1e-9);
}

static void products_are_the_dense_ones(void **state)
{
    (void)state;
    enum { K = 37 };
    const HeadData d = text();
    Rng r = rng_at(test_seed(), STREAM_CHECK, 6);
    const Sparse *m = cooc_count(exec_of(spec_of(1, NULL)), &d, &(Window){ -2, 2, 20, 1 }, &arena);
    const LinearMap sparse = cooc_map(m);
    const Dense full = { m->rows, m->cols, dense_of(m) };
    const LinearMap dense = svd_dense(&full);
    float x[100 * K], y[2][100 * K], t[2][100 * K];
    assert_int_equal(m->cols, 84);
    for (int i = 0; i < 100 * K; i++) x[i] = (float)rng_normal(&r);
    for (int threads = 1; threads <= 3; threads++) {
        const Exec *e = exec_of(spec_of(threads, NULL));
        sparse.times(e, sparse.a, x, K, y[0]);
        dense.times(e, dense.a, x, K, y[1]);
        sparse.times_t(e, sparse.a, x, K, t[0]);
        dense.times_t(e, dense.a, x, K, t[1]);
        for (int i = 0; i < V * K; i++) assert_true(fabsf(y[0][i] - y[1][i]) < 1e-2f);
        for (int i = 0; i < m->cols * K; i++) assert_true(fabsf(t[0][i] - t[1][i]) < 1e-2f);
    }
}

/* ---- the embedding ---- */

enum { D = 16, WIDE = 48 };

static Param *embedding(Params *ps)
{
    Param *p = params_add_embedding(ps, "words", V, D);
    param_normal(p, 1, 0, 0.3);
    return p;
}

static float *embed(const char *how, int threads, double *kept)
{
    const HeadData d = text();
    Params *ps = params_new(&arena);
    Param *p = embedding(ps);
    const Spec *s = spec_of(threads, arena_text(&arena, "embed_init=%s", how));
    const char *why = embed_init(s, exec_of(s), p, &d, kept, &arena);
    if (why) die("%s", why);
    return p->v;
}

static void the_text_gives_an_embedding(void **state)
{
    (void)state;
    double kept, same, none;
    const float *drawn = embed("random", 1, &none);
    const float *one = embed("pmi", 1, &kept), *two = embed("pmi", 2, &same);
    double near = 0, far = 0;
    assert_true(isnan(none));
    assert_memory_equal(one, two, sizeof(float) * V * D);
    assert_true(kept == same && kept > 0.5 && kept < 1);
    assert_true(fabs(sqrt(sumsq(one, 54 * D) / (54 * D)) / 0.02 - 1) < 1e-5);
    assert_memory_equal(one + 54 * D, drawn + 54 * D, sizeof(float) * (V - 54) * D);
    /* neighbours share contexts, words half a turn away none */
    for (int v = 0; v < 52; v++)
        for (int k = 0; k < D; k++) {
            near += (double)one[v * D + k] * (double)one[(v + 1) * D + k];
            far += (double)one[v * D + k] * (double)one[(v + 27) % 54 * D + k];
        }
    assert_true(near > 0.1 * sumsq(one, 54 * D) && near > 3 * fabs(far));
}

static void save(const char *name, const float *a, int rows, int cols)
{
    const Tensor t = { .name = name, .dtype = "F32", .n = (long)rows * cols, .ndim = 2,
                       .shape = { rows, cols }, .data = (float *)a };
    holds(tensors_save(PATH, &t, 1, NULL, &arena));
}

/* E E' is the best approximation of rank D to A A'; the variance kept is that of its spectrum. */
static void a_file_gives_its_components(void **state)
{
    (void)state;
    Rng r = rng_at(test_seed(), STREAM_CHECK, 5);
    double s[WIDE], kept, all = 0, first = 0;
    for (int i = 0; i < WIDE; i++) {
        s[i] = 20 / (1 + 0.3 * i);
        all += s[i] * s[i];
        if (i < D) first += s[i] * s[i];
    }
    const float *a = with_spectrum(V, WIDE, s, &r);
    static const char *const names[] = { "wte.weight", "transformer.wte.weight" };
    for (int i = 0; i < 2; i++) {
        save(names[i], a, V, WIDE);
        const float *e = embed(PATH, 2, &kept);
        if (!(fabs(kept - first / all) < 1e-5))
            fail_msg("variance kept %.7f, expected %.7f", kept, first / all);
        assert_true(fabs(sumsq(e, V * D) / first - 1) < 1e-4);
        double worst = 0;
        for (int k = 0; k < D; k++) { /* columns are orthogonal, of lengths s */
            for (int j = 0; j <= k; j++) {
                double sum = 0;
                for (int v = 0; v < V; v++) sum += (double)e[v * D + k] * (double)e[v * D + j];
                worst = fmax(worst, fabs(sum - (j == k ? s[k] * s[k] : 0)));
            }
        }
        assert_true(worst < 1e-3 * s[0] * s[0]);
    }
}

/* What embed_init says before it ends the process */
static void refuses(const char *how, const char *sentence)
{
    int fd[2], status;
    char said[1024] = "";
    assert_int_equal(pipe(fd), 0);
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        double kept;
        dup2(fd[1], 2);
        embed(how, 1, &kept);
        _exit(0);
    }
    close(fd[1]);
    FILE *in = fdopen(fd[0], "r");
    assert_true(fread(said, 1, sizeof said - 1, in) > 0);
    fclose(in);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    if (!strstr(said, sentence))
        fail_msg("embed_init=%s said '%s', expected '%s'", how, said, sentence);
}

static void wrong_files_are_refused(void **state)
{
    (void)state;
    const float *a = arena_get(&arena, sizeof *a * 61 * WIDE);
    refuses("no/such.safetensors", "embed_init=no/such.safetensors: cannot be opened");
    save("embedding", a, V, WIDE);
    refuses(PATH, "expected a tensor 'wte.weight'");
    save("wte.weight", a, V + 1, WIDE);
    refuses(PATH, "F32 of shape (61, 48), expected F32 of shape (60, 16 or more)");
    save("wte.weight", a, V, D - 1);
    refuses(PATH, "F32 of shape (60, 15), expected F32 of shape (60, 16 or more)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: a child of a process with threads has none */
        cmocka_unit_test(wrong_files_are_refused),
        cmocka_unit_test(a_known_spectrum_is_found),
        cmocka_unit_test(as_much_variance_as_gsl),
        cmocka_unit_test(rank_deficiency_is_zeros),
        cmocka_unit_test(eigenvalues_are_gsls),
        cmocka_unit_test(counts_are_those_of_the_text),
        cmocka_unit_test(ppmi_is_its_formula),
        cmocka_unit_test(products_are_the_dense_ones),
        cmocka_unit_test(the_text_gives_an_embedding),
        cmocka_unit_test(a_file_gives_its_components),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
