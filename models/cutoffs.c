/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cut-offs of least expected cost, by an analytic model of n = 512 positions, in float operations.
 *
 *   a softmax over k words in m dimensions, seen by q positions:
 *     g(q, k, m) = 6 q k m          its three products
 *                + 20 q k           maximum, exponential, sum, gradient of a logit
 *                + 250 k m          weight, gradient and optimiser state moved: 25 bytes per weight and chunk,
 *                                   10 operations a byte
 *   total = g(n, J + K, d) + sum over tails of [ 6e6 + 6 q_i d d_i + 250 d d_i + g(q_i, k_i, d_i) ],   q_i = n mass_i
 *
 * 6e6 is the price of a tail's six small products (20 us of 300 GFLOP/s). The minimum is exact over a geometric grid of
 * ranks, by dynamic programming from the last tail to the first, for every number of tails up to MOST. The short list
 * holds at least half of the tokens: without that bound the cheapest head gives every word but a few a narrow row. */
#include "models/cutoffs.h"
#include "kernels/base.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GRID = 96, MOST = 4, POSITIONS = 512 };      /* points; tails of auto; n */
static const double SHORT_SHARE = 0.5;

static double softmax_cost(double q, double k, double m) { return (6 * q * m + 20 * q + 250 * m) * k; }

static double tail_cost(int i, double mass, double k, int d)
{
    const int narrow = d >> (2 * i);
    const double q = POSITIONS * mass, m = narrow > 8 ? narrow : 8;
    return 6e6 + (6 * q + 250) * d * m + softmax_cost(q, k, m);
}

double cutoffs_cost(const int *cut, int K, const double *mass, int d)
{
    double sum = softmax_cost(POSITIONS, cut[0] + K, d);
    for (int i = 1; i <= K; i++) sum += tail_cost(i, mass[cut[i]] - mass[cut[i - 1]], cut[i] - cut[i - 1], d);
    return sum;
}

static int grid(int *rank, int V)
{
    int n = 0;
    for (int g = 0; g <= GRID; g++) {
        const int r = (int)lround(pow(V, (double)g / GRID));
        if (n == 0 || r > rank[n - 1]) rank[n++] = r;
    }
    return n;      /* rank[0] = 1, rank[n-1] = V */
}

/* best[i][g]: the least cost of tails i..K over ranks [rank[g], V); next[i][g]: where tail i then ends */
static double search(int *cut, int K, const int *rank, int n, const double *mass, int d)
{
    double best[MOST + 2][GRID + 1], least = INFINITY;
    int next[MOST + 2][GRID + 1], from = 0;
    for (int g = 0; g < n; g++) best[K + 1][g] = g == n - 1 ? 0 : INFINITY;
    for (int i = K; i >= 1; i--)
        for (int g = 0; g < n; g++) {
            best[i][g] = INFINITY, next[i][g] = n - 1;
            for (int e = g + 1; e < n; e++) {
                const double c = best[i + 1][e] + tail_cost(i, mass[rank[e]] - mass[rank[g]], rank[e] - rank[g], d);
                if (c < best[i][g]) best[i][g] = c, next[i][g] = e;
            }
        }
    for (int g = 0; g < n; g++) {
        const double c = best[1][g] + softmax_cost(POSITIONS, rank[g] + K, d);
        if (c < least && mass[rank[g]] >= SHORT_SHARE) least = c, from = g;
    }
    cut[0] = rank[from];
    for (int i = 1, g = from; i <= K; i++) cut[i] = rank[g = next[i][g]];
    return least;
}

static int automatic(int *cut, const double *mass, int V, int d)
{
    int rank[GRID + 1], K = 0;
    const int n = grid(rank, V);
    double least = INFINITY;
    for (int k = 1; k <= MOST && k < n; k++) {
        int try[MOST + 1];
        const double c = search(try, k, rank, n, mass, d);
        if (c >= least) continue;
        least = c, K = k;
        memcpy(cut, try, sizeof(int) * (size_t)(k + 1));
    }
    return K;
}

int cutoffs_find(int *cut, const char *text, const double *mass, int V, int d)
{
    CHECK(V >= 2);
    if (!strcmp(text, "auto")) return automatic(cut, mass, V, d);
    int K = 0;
    long last = 0;
    for (const char *s = text; ; s++) {
        char *end;
        const long r = strtol(s, &end, 10);
        if (end == s || (*end && *end != ',') || r <= last || r >= V || K == MOST_TAILS)
            die("cutoffs=%s: expected auto, or at most %d ranks that rise between 1 and %d, such as 2000,10000",
                text, MOST_TAILS, V - 1);
        cut[K++] = (int)(last = r);
        s = end;
        if (!*s) break;
    }
    cut[K] = V;
    return K;
}
