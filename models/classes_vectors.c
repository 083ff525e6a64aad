/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Classes of words with similar predecessors. A class is predicted from what precedes, so a word is
 * described by what stands before it, and by nothing after it: its row of the PPMI matrix whose
 * columns are the CONTEXTS most frequent words one token before, and again two tokens before (rare
 * contexts say little about a class). Its vector is its row of U sqrt(S) with DIMS components,
 * scaled to unit length (Levy, Goldberg, Dagan 2015, section 3.3: better than U S).
 *
 *   kmeans   spherical k-means (Dhillon, Modha 2001) from k-means++ seeds; a centroid is the sum of
 *            the vectors of its tokens: words count as often as they occur, as they do in the loss
 *            (square roots of the counts as weights gave worse classes). By falling count, a word
 *            takes the nearest centroid whose class has room.
 *   svd      words sorted along the first principal direction of their set, cut at an equal share
 *            of the mass, and so on within the halves until there are C.
 *
 * Words that never occur have no vector: they go where they cost least (kmeans), or lie in the
 * middle (svd). */
#include "models/classes_parts.h"
#include "models/cooc.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXTS = 2000, DIMS = 48, POWERS = 2, ROUNDS = 15, BLOCK = 8192 };

typedef struct {
    const Lexicon *l;
    const Exec    *exec;
    int    dims;
    float *x;              /* (V, dims) unit vectors in the order of by_count, or zero */
    double *weight;        /* (V) in that order */
    int   *class_of;
    float *centre;         /* (C, dims) */
} Vectors;

static Vectors vectors_make(const Lexicon *l, const Exec *e, int *class_of, Arena *a)
{
    const Window before = { -2, -1, l->V < CONTEXTS ? l->V : CONTEXTS, 1 };
    const int dims = DIMS < l->V ? DIMS : l->V;
    const size_t V = (size_t)l->V, floats = sizeof(float) * (size_t)dims;
    Vectors k = { l, e, dims, arena_raw(a, floats * V), arena_raw(a, sizeof(double) * V), class_of,
                  arena_raw(a, floats * (size_t)l->C) };
    const size_t mark = a->used;
    Sparse *m = cooc_count(e, l->data, &before, a);
    cooc_ppmi(m, a);
    const LinearMap map = cooc_map(m);
    const Svd svd = svd_truncated(e, &map, dims, POWERS, l->seed, a);
    for (int i = 0; i < l->V; i++) {
        float *x = k.x + (size_t)i * dims;
        const float *u = svd.u + (size_t)l->by_count[i] * dims;
        double sum = 0;
        for (int j = 0; j < dims; j++) sum += svd.s[j] * (double)u[j] * (double)u[j];
        for (int j = 0; j < dims; j++)
            x[j] = sum > 0 ? (float)(sqrt(svd.s[j] / sum) * (double)u[j]) : 0;
        k.weight[i] = (double)l->data->freq[l->by_count[i]];
    }
    arena_reset(a, mark);
    return k;
}

static double vectors_dot(const float *a, const float *b, int n)
{
    double s = 0;
    for (int i = 0; i < n; i++) s += (double)a[i] * (double)b[i];
    return s;
}

/* k-means++ (Arthur, Vassilvitskii 2007): a word is drawn by its weight times 1 - cosine of the
 * nearest centre so far */
static void vectors_seed_centres(const Vectors *k, Arena *a)
{
    const int V = k->l->V, d = k->dims;
    const size_t mark = a->used;
    double *far = arena_raw(a, sizeof *far * (size_t)V);
    Rng rng = rng_at(k->l->seed, STREAM_TREE, 1);
    for (int i = 0; i < V; i++) far[i] = 2;
    for (int c = 0; c < k->l->C; c++) {
        float *centre = k->centre + (size_t)c * d;
        double total = 0;
        int i = 0;
        for (int j = 0; j < V; j++) total += k->weight[j] * far[j];
        for (double u = rng_uniform(&rng) * total; i < V - 1 && (u -= k->weight[i] * far[i]) >= 0;
             i++) {}
        memcpy(centre, k->x + (size_t)i * d, sizeof *centre * (size_t)d);
#pragma omp parallel for num_threads(k->exec->threads) schedule(static)
        for (int j = 0; j < V; j++)
            far[j] = fmin(far[j], fmax(0, 1 - vectors_dot(k->x + (size_t)j * d, centre, d)));
    }
    arena_reset(a, mark);
}

/* The class of word i (by count): the nearest with room; z (C) are the cosines */
static int vectors_nearest(const Room *room, const float *z, double share)
{
    int best = -1;
    for (int c = 0; c < room->C; c++)
        if ((best < 0 || z[c] > z[best]) && room_fits(room, c, share)) best = c;
    return best < 0 ? room_least(room, share) : best;
}

/* Puts every word into a class. How many change theirs */
static int vectors_place(const Vectors *k, Arena *a)
{
    const int V = k->l->V, C = k->l->C, d = k->dims;
    const size_t mark = a->used;
    float *z = arena_raw(a, sizeof *z * BLOCK * (size_t)C);
    Room room = room_new(k->l, a);
    int moved = 0;
    for (int from = 0; from < V; from += BLOCK) {
        const int n = V - from < BLOCK ? V - from : BLOCK;
        gemm_steady(k->exec, 'N', 'T', n, C, d, k->x + (size_t)from * d, d, k->centre, d, z, C);
        for (int i = 0; i < n; i++) {
            const int v = k->l->by_count[from + i];
            const double share = k->l->share[v];
            const int seen = k->l->data->freq[v] > 0;
            const int c = seen ? vectors_nearest(&room, z + (size_t)i * C, share)
                               : room_least(&room, share);
            moved += k->class_of[v] != c;
            k->class_of[v] = c;
            room_add(&room, c, share);
        }
    }
    arena_reset(a, mark);
    return moved;
}

static void vectors_move_centres(const Vectors *k, Arena *a)
{
    const int C = k->l->C, d = k->dims;
    const size_t mark = a->used;
    double *sum = arena_get(a, sizeof *sum * (size_t)C * (size_t)d);
    for (int i = 0; i < k->l->V; i++) {
        double *s = sum + (size_t)k->class_of[k->l->by_count[i]] * d;
        for (int j = 0; j < d; j++) s[j] += k->weight[i] * (double)k->x[(size_t)i * d + j];
    }
    for (int c = 0; c < C; c++) {
        const double *s = sum + (size_t)c * d;
        double norm = 0;
        for (int j = 0; j < d; j++) norm += s[j] * s[j];
        for (int j = 0; j < d && norm > 0; j++)
            k->centre[(size_t)c * d + j] = (float)(s[j] / sqrt(norm));
    }
    arena_reset(a, mark);
}

void classes_kmeans(const Lexicon *l, const Exec *e, int *class_of, Arena *a)
{
    const size_t mark = a->used;
    const Vectors k = vectors_make(l, e, class_of, a);
    for (int v = 0; v < l->V; v++) class_of[v] = -1;
    vectors_seed_centres(&k, a);
    for (int i = 0; i < ROUNDS && vectors_place(&k, a); i++) vectors_move_centres(&k, a);
    arena_reset(a, mark);
}

/* ---- bisection ---- */

typedef struct { double key; int i; } Sorted;       /* i: place in by_count */

static int vectors_by_key(const void *a, const void *b)
{
    const Sorted *p = a, *q = b;
    return p->key != q->key ? (p->key > q->key) - (p->key < q->key) : (p->i > q->i) - (p->i < q->i);
}

/* Sorts the words of set (n) along the direction of their largest weighted variance */
static void vectors_sort_along(const Vectors *k, Sorted *set, int n, Arena *a)
{
    const int d = k->dims;
    const size_t mark = a->used, square = sizeof(double) * (size_t)d * (size_t)d;
    double *cov = arena_get(a, square), *v = arena_raw(a, square);
    double *mean = arena_get(a, sizeof *mean * (size_t)d), total = 0;
    double *w = arena_raw(a, sizeof *w * (size_t)d);
    for (int s = 0; s < n; s++) {
        total += k->weight[set[s].i];
        for (int j = 0; j < d; j++)
            mean[j] += k->weight[set[s].i] * (double)k->x[(size_t)set[s].i * d + j];
    }
    for (int j = 0; j < d; j++) mean[j] = total > 0 ? mean[j] / total : 0;
    for (int s = 0; s < n; s++) {
        const float *x = k->x + (size_t)set[s].i * d;
        for (int j = 0; j < d; j++) w[j] = (double)x[j] - mean[j];
        for (int i = 0; i < d; i++)
            for (int j = 0; j < d; j++) cov[i * d + j] += k->weight[set[s].i] * w[i] * w[j];
    }
    eigen_psd(cov, w, v, d);
    for (int s = 0; s < n; s++) {
        set[s].key = 0;
        for (int j = 0; j < d; j++)
            set[s].key += v[j] * ((double)k->x[(size_t)set[s].i * d + j] - mean[j]);
        if (k->weight[set[s].i] == 0) set[s].key = 0;
    }
    qsort(set, (size_t)n, sizeof *set, vectors_by_key);
    arena_reset(a, mark);
}

/* How many of the n sorted words go to the first `one` of C classes: their share of the mass, as
 * far as the caps of the classes allow */
static int vectors_cut_at(const Vectors *k, const Sorted *set, int n, int one, int C)
{
    const int cap = classes_cap(k->l->V, k->l->C), two = C - one;
    const long most = (long)one * cap < n - two ? (long)one * cap : n - two;
    const long need = n - (long)two * cap, least = need > one ? need : one;
    double total = 0, mass = 0;
    int at = 0;
    for (int s = 0; s < n; s++) total += k->l->share[k->l->by_count[set[s].i]];
    while (at < most) {
        const double m = k->l->share[k->l->by_count[set[at].i]];
        if (at >= least && mass + m / 2 > total * one / C) break;
        mass += m;
        at++;
    }
    return at;
}

static void vectors_bisect(const Vectors *k, Sorted *set, int n, int first, int C, Arena *a)
{
    if (C == 1) {
        for (int s = 0; s < n; s++) k->class_of[k->l->by_count[set[s].i]] = first;
        return;
    }
    const int one = C / 2;
    vectors_sort_along(k, set, n, a);
    const int at = vectors_cut_at(k, set, n, one, C);
    vectors_bisect(k, set, at, first, one, a);
    vectors_bisect(k, set + at, n - at, first + one, C - one, a);
}

void classes_svd(const Lexicon *l, const Exec *e, int *class_of, Arena *a)
{
    const size_t mark = a->used;
    const Vectors k = vectors_make(l, e, class_of, a);
    Sorted *set = arena_raw(a, sizeof *set * (size_t)l->V);
    for (int i = 0; i < l->V; i++) set[i] = (Sorted){ 0, i };
    vectors_bisect(&k, set, l->V, 0, l->C, a);
    arena_reset(a, mark);
}
