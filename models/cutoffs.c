/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cut-offs of least expected cost (Grave et al. 2017, section 4), by either of two models of cost.
 *
 * Counted: float operations of n = 512 positions,
 *   a softmax over k words in m dimensions, seen by q positions:
 *     g(q, k, m) = 6 q k m          its three products
 *                + 20 q k           maximum, exponential, sum, gradient of a logit
 *                + 250 k m          weight, gradient and optimiser state moved: 25 bytes per
 *                                   weight and chunk, 10 operations a byte
 *   total = g(n, J + K, d)
 *         + sum over tails of [ 6e6 + 6 q_i d d_i + 250 d d_i + g(q_i, k_i, d_i) ]
 *   q_i = n mass_i
 * 6e6 stands for the overhead of a tail's six small products (20 us of 300 GFLOP/s).
 *
 * Measured: seconds of a step from a table t_i(k, n) of passes and u_i(k) of updates, linear in
 * logarithms between points, constant below the first and proportional above the last,
 *   total = sum over clusters of [ passes m_i t_i(k_i, q_i / m_i) + u_i(k_i) ],
 *   q_i = n mass_i,   m_i = 1 - e^-q_i, the share of the passes that meet tail i at all
 *
 * The minimum is exact over a geometric grid of ranks: for every short list and number of tails
 * by dynamic programming from the last tail to the first. The short list holds a least share of
 * the tokens: without that bound the cheapest head gives every word but a few a narrow row. */
#include "models/cutoffs.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GRID = 96, MOST = CUTOFF_CLUSTERS - 1, POSITIONS = 512 };      /* points, n: of counted */
static const double CUTOFF_SHORT_SHARE = 0.5;

int cutoffs_width(int d, int i)
{
    const int narrow = d >> (2 * i);
    return i == 0 || narrow > 8 ? narrow : 8;
}

/* ---- counted ---- */

static double cutoffs_softmax_cost(double q, double k, double m)
{
    return (6 * q * m + 20 * q + 250 * m) * k;
}

static double cutoffs_counted_cost(const void *g, int i, double k, double share)
{
    const int d = *(const int *)g, m = cutoffs_width(d, i);
    const double q = POSITIONS * share;
    if (i == 0) return cutoffs_softmax_cost(POSITIONS, k, d);
    return 6e6 + (6 * q + 250) * d * m + cutoffs_softmax_cost(q, k, m);
}

CutoffModel cutoffs_counted(const int *d)
{
    return (CutoffModel){ .cost = cutoffs_counted_cost,
                          .g = d,
                          .short_share = CUTOFF_SHORT_SHARE,
                          .points = GRID,
                          .width = LONG_MAX };
}

/* ---- measured ---- */

void cutoffs_table_mend(CutoffTable *t)
{
    for (int i = 0; i < t->clusters; i++)
        for (int a = 0; a < t->ks; a++) {
            double (*s)[CUTOFF_NS] = t->pass[i];
            if (a && t->update[i][a] < t->update[i][a - 1]) t->update[i][a] = t->update[i][a - 1];
            for (int b = 0; b < t->ns; b++) {
                if (s[a][b] <= 0) s[a][b] = s[a][b - 1] * s[a - 1][b] / s[a - 1][b - 1];
                if (a && s[a][b] < s[a - 1][b]) s[a][b] = s[a - 1][b];
                if (b && s[a][b] < s[a][b - 1]) s[a][b] = s[a][b - 1];
            }
        }
}

/* Where v lies among increasing points: between lo and hi, in logarithms at the share w from lo to
 * hi; beyond the last point, `beyond` times the last */
typedef struct { int lo, hi; double w, beyond; } Place;

static Place cutoffs_place(const double *x, int n, double v)
{
    const double top = x[n - 1];
    int lo = 0;
    if (v >= top) return (Place){ n - 1, n - 1, 0, v / top };
    if (v <= x[0]) return (Place){ 0, 0, 0, 1 };
    while (v > x[lo + 1]) lo++;
    return (Place){ lo, lo + 1, log(v / x[lo]) / log(x[lo + 1] / x[lo]), 1 };
}

static double cutoffs_between(const double *y, Place p)
{
    return p.beyond * y[p.lo] * pow(y[p.hi] / y[p.lo], p.w);
}

double cutoffs_measured_cost(const void *g, int i, double k, double share)
{
    const CutoffLoad *l = g;
    const CutoffTable *t = l->table;
    const double q = l->n * share, met = i ? -expm1(-q) : 1;
    const Place row = cutoffs_place(t->k, t->ks, k);
    if (met <= 0) return cutoffs_between(t->update[i], row);
    const Place at = cutoffs_place(t->n, t->ns, q / met);
    const double lo = cutoffs_between(t->pass[i][row.lo], at),
                 hi = cutoffs_between(t->pass[i][row.hi], at);
    return cutoffs_between(t->update[i], row) +
           l->passes * met * row.beyond * lo * pow(hi / lo, row.w);
}

/* ---- the search ---- */

double cutoffs_cost(const CutoffModel *m, const int *cut, int K, const double *mass)
{
    double sum = m->cost(m->g, 0, cut[0] + K, 1);
    for (int i = 1; i <= K; i++)
        sum += m->cost(m->g, i, cut[i] - cut[i - 1], mass[cut[i]] - mass[cut[i - 1]]);
    return sum;
}

int cutoffs_grid(int *rank, int points, int V)
{
    int n = 0;
    for (int g = 0; g <= points; g++) {
        const int r = (int)lround(pow(V, (double)g / points));
        if (n == 0 || r > rank[n - 1]) rank[n++] = r;
    }
    return n;      /* rank[0] = 1, rank[n-1] = V */
}

typedef struct {
    const CutoffModel *m;
    const double *mass;
    int     n, rank[CUTOFF_POINTS + 1];
    double *tail;                /* (MOST, n, n) of tail i + 1 over [rank[from], rank[end]) */
    int     next[MOST + 2][CUTOFF_POINTS + 1];
} Search;

/* The least cost of K tails over ranks [rank[from], V), none longer than `longest`. best[i][g]:
 * the cost of tails i..K over [rank[g], V); next[i][g]: where tail i then ends */
static double cutoffs_best_tails(Search *s, int K, int from, long longest)
{
    const int n = s->n;
    double best[MOST + 2][CUTOFF_POINTS + 1];
    for (int g = from; g < n; g++) best[K + 1][g] = g == n - 1 ? 0 : INFINITY;
    for (int i = K; i >= 1; i--)
        for (int g = from; g < (i == 1 ? from + 1 : n); g++) {
            const double *cost = s->tail + ((size_t)(i - 1) * (size_t)n + (size_t)g) * (size_t)n;
            best[i][g] = INFINITY;
            s->next[i][g] = n - 1;
            for (int e = g + 1; e < n && s->rank[e] - s->rank[g] <= longest; e++) {
                const double c = best[i + 1][e] + cost[e];
                if (c >= best[i][g]) continue;
                best[i][g] = c;
                s->next[i][g] = e;
            }
        }
    return best[1][from];
}

static void cutoffs_tail_costs(Search *s)
{
    double *cost = s->tail;
    for (int i = 1; i <= MOST; i++)
        for (int g = 0; g < s->n; g++, cost += s->n)
            for (int e = g + 1; e < s->n; e++) {
                const int from = s->rank[g], end = s->rank[e];
                cost[e] = s->m->cost(s->m->g, i, end - from, s->mass[end] - s->mass[from]);
            }
}

int cutoffs_search(int *cut, double *least, const CutoffModel *m, const double *mass, int V,
                   Arena *a)
{
    const size_t mark = a->used;
    Search *s = arena_raw(a, sizeof *s);
    int found = 0;
    CHECK(m->points <= CUTOFF_POINTS);
    s->m = m;
    s->mass = mass;
    s->n = cutoffs_grid(s->rank, m->points, V);
    s->tail = arena_raw(a, sizeof(double) * MOST * (size_t)s->n * (size_t)s->n);
    cutoffs_tail_costs(s);
    *least = INFINITY;
    for (int K = 1; K <= MOST && K < s->n; K++)
        for (int from = 0; from < s->n - 1; from++) {
            const int J = s->rank[from];
            if (mass[J] < m->short_share) continue;
            const double c = cutoffs_best_tails(s, K, from, m->width - J - K) +
                             m->cost(m->g, 0, J + K, 1);
            if (c >= *least) continue;
            *least = c;
            found = K;
            cut[0] = J;
            for (int i = 1, g = from; i <= K; i++) cut[i] = s->rank[g = s->next[i][g]];
        }
    arena_reset(a, mark);
    return found;
}

/* Increasing ranks, "2000,10000", into cut. Returns how many; 0: malformed */
static int cutoffs_parse(int *cut, const char *text, int V)
{
    int K = 0;
    long last = 0;
    for (const char *s = text; ; s++) {
        char *end;
        const long r = strtol(s, &end, 10);
        if (end == s || (*end && *end != ',') || r <= last || r >= V || K == MOST_TAILS) return 0;
        cut[K++] = (int)(last = r);
        s = end;
        if (!*s) break;
    }
    cut[K] = V;
    return K;
}

int cutoffs_find(int *cut, const char *text, const double *mass, int V, int d, Arena *a,
                 const char **why)
{
    const CutoffModel counted = cutoffs_counted(&d);
    double least;
    CHECK(V >= 2);
    if (!strcmp(text, "counted")) {
        const int K = cutoffs_search(cut, &least, &counted, mass, V, a);
        CHECK(K);
        return K;
    }
    const int K = cutoffs_parse(cut, text, V);
    if (!K)
        *why = arena_text(a, "cutoffs=%s: expected auto, counted, or at most %d increasing "
                             "ranks between 1 and %d (2000,10000)", text, MOST_TAILS, V - 1);
    return K;
}
