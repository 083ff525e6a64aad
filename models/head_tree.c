/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A tree of two levels: C classes of words (Goodman 2001; Morin, Bengio 2005).
 *
 *   log p(v) = log softmax(A x)[c(v)] + log softmax(W_c x)[v in c]      A (C, d), W_c: the rows of the words of class c
 *
 * A position costs C + |c| rows instead of V. Which words share a class: classes.h.
 *
 * Label smoothing applies at each level's own softmax with the same eps; a z-loss has no meaning here and is not added.
 *
 * Positions are grouped by class, so that leaf work is one product per used class. Each thread owns whole classes and so
 * its own embedding rows, positions and gradients: no locks, no order of arrival. The rows of a class are gathered once
 * per pair of passes: forward already turns its logits into dLoss/dz and, with the rows at hand, into dLoss/dx. */
#include "models/classes.h"
#include <math.h>
#include <string.h>

typedef struct {                 /* what one block of positions needs */
    const float *x;
    const int   *y;
    int          n;
    float  *zc;                  /* (n, C) class logits, then gradients */
    int    *class_y, *leaf_y;    /* (n) class of y, place of y in it */
    int    *at, *pos;            /* positions grouped by class, see head_group */
    size_t *zat;                 /* (C+1) where the leaf logits (n_c, |c|) of a class begin */
    float  *z;                   /* the leaf logits, then gradients */
    float  *xs, *dxs;            /* (n, d) positions in grouped order: x, and dLoss/dx through the leaves */
    int    *part;                /* (threads+1) first class of a thread */
    double *loss;                /* (n) */
} Block;

typedef struct {
    const Exec *exec;
    Param  *cls, *leaf;          /* (C, d); (V, d): the embedding, or free rows in class order */
    int     V, d, C, chunk, most;/* most: words of the largest class */
    int     tied;
    double  eps, rows;           /* label smoothing; expected |c| of a position */
    int    *word, *start;        /* (V) words class after class; (C+1) where a class begins in it */
    int    *class_of, *place;    /* (V) of a word: its class, its place in word[] */
    double *mass;                /* (C) share of the training tokens */
    Block  *train, *eval;        /* nll has its own, so that it may come between forward and backward */
    float  *rows_of;             /* (threads, most, d): the rows of a class, then their gradients */
    float  *z1, *lp;             /* (threads, max(C, most)); (V) */
} Tree;

/* ---- making ---- */

static Block *block_new(const Tree *h, Arena *a)
{
    Block *b = arena_raw(a, sizeof *b);
    const size_t n = (size_t)h->chunk, C = (size_t)h->C, d = (size_t)h->d;
    *b = (Block){
        .zc = arena_raw(a, sizeof(float) * n * C), .z = arena_raw(a, sizeof(float) * n * (size_t)h->most),
        .xs = arena_raw(a, sizeof(float) * n * d), .dxs = arena_raw(a, sizeof(float) * n * d),
        .class_y = arena_raw(a, sizeof(int) * n), .leaf_y = arena_raw(a, sizeof(int) * n),
        .pos = arena_raw(a, sizeof(int) * n), .at = arena_raw(a, sizeof(int) * (C + 1)),
        .zat = arena_raw(a, sizeof(size_t) * (C + 1)), .loss = arena_raw(a, sizeof(double) * n),
        .part = arena_raw(a, sizeof(int) * (size_t)(h->exec->threads + 1)),
    };
    return b;
}

static void *make(const Spec *s, const Exec *e, Params *ps, const HeadData *data, int d, Arena *a)
{
    const int V = data->V;
    Tree *h = arena_get(a, sizeof *h);
    const long C = spec_int(s, "classes");
    if (C < 0 || C > V) die("classes=%ld: expected 1 to the %d words of the vocabulary, or 0 for their square root", C, V);
    const size_t words = (size_t)V, threads = (size_t)e->threads;
    *h = (Tree){ .exec = e, .V = V, .d = d, .C = C ? (int)C : (int)lround(sqrt(V)),
                 .tied = (int)spec_int(s, "tied"), .eps = spec_num(s, "smoothing") };
    const Classes *k = classes_make(s, e, data, h->C, a);
    h->word = k->word, h->start = k->start, h->class_of = k->class_of, h->place = k->place;
    h->mass = k->mass, h->most = k->most, h->rows = k->rows;
    h->cls = head_matrix(s, ps, "head.class.weight", h->C, d, 0);
    h->leaf = head_rows(s, ps, "head.leaf.weight", V, d, 1);
    h->chunk = head_chunk(h->C + h->most);
    h->train = block_new(h, a);
    h->eval = block_new(h, a);
    h->rows_of = arena_raw(a, sizeof(float) * threads * (size_t)h->most * (size_t)d);
    h->z1 = arena_raw(a, sizeof(float) * threads * (size_t)(h->C > h->most ? h->C : h->most));
    h->lp = arena_raw(a, sizeof(float) * words);
    return h;
}

static int chunk(const void *h) { return ((const Tree *)h)->chunk; }

/* ---- one block ---- */

static int size_of(const Tree *h, int c) { return h->start[c + 1] - h->start[c]; }

/* The rows of class c: in place when they are free, gathered into the thread's buffer when they are the embedding's */
static const float *gather(const Tree *h, int c, float *buffer)
{
    const size_t d = (size_t)h->d;
    if (!h->tied) return h->leaf->v + (size_t)h->start[c] * d;
    for (int i = h->start[c], k = 0; i < h->start[c + 1]; i++, k++)
        memcpy(buffer + (size_t)k * d, h->leaf->v + (size_t)h->word[i] * d, sizeof(float) * d);
    return buffer;
}

/* Groups the positions and shares the classes out: moving a row costs as much as five positions' products with it
 * (measured at d = 256), so a class is worth |c| (5 + n_c). */
static void plan(const Tree *h, Block *b, const float *x, const int *y, int n)
{
    b->x = x, b->y = y, b->n = n;
    for (int i = 0; i < n; i++) {
        CHECK(y[i] >= 0 && y[i] < h->V);
        b->class_y[i] = h->class_of[y[i]];
        b->leaf_y[i] = h->place[y[i]] - h->start[b->class_y[i]];
        b->loss[i] = 0;
    }
    head_group(b->class_y, n, h->C, b->at, b->pos);
    double total = 0, done = 0;
    b->zat[0] = 0;
    for (int c = 0; c < h->C; c++) {
        const int n_c = b->at[c + 1] - b->at[c];
        b->zat[c + 1] = b->zat[c] + (size_t)n_c * (size_t)size_of(h, c);
        if (n_c) total += (double)size_of(h, c) * (5 + n_c);
    }
    int t = 0;
    b->part[0] = 0;
    for (int c = 0; c < h->C; c++) {
        while (t < h->exec->threads - 1 && done >= total * (t + 1) / h->exec->threads) b->part[++t] = c;
        const int n_c = b->at[c + 1] - b->at[c];
        if (n_c) done += (double)size_of(h, c) * (5 + n_c);
    }
    while (t < h->exec->threads) b->part[++t] = h->C;
}

/* The leaves of class c: losses; with gradients (eps >= 0) z and dxs too. A class of one word has nothing to say. */
static void see_class(const Tree *h, Block *b, int c, double eps, float *buffer)
{
    const int first = b->at[c], n = b->at[c + 1] - first, size = size_of(h, c), d = h->d;
    if (!n || size == 1) return;
    float *xs = b->xs + (size_t)first * d, *z = b->z + b->zat[c];
    const float *w = gather(h, c, buffer);
    for (int i = 0; i < n; i++) memcpy(xs + (size_t)i * d, b->x + (size_t)b->pos[first + i] * d, sizeof(float) * (size_t)d);
    gemm1(h->exec->gemm, 'N', 'T', n, size, d, 1, xs, d, w, d, 0, z, size);
    for (int i = 0; i < n; i++) {
        const int p = b->pos[first + i];
        float *zi = z + (size_t)i * size;
        b->loss[p] += eps < 0 ? head_lse(h->exec->f, zi, size) - (double)zi[b->leaf_y[p]]
                              : head_xent(h->exec->f, zi, size, b->leaf_y[p], eps);
    }
    if (eps >= 0) gemm1(h->exec->gemm, 'N', 'N', n, d, size, 1, z, size, w, d, 0, b->dxs + (size_t)first * d, d);
}

/* eps < 0: exact losses and nothing else */
static double see_block(const Tree *h, Block *b, const float *x, const int *y, int n, double eps)
{
    const int threads = h->exec->threads;
    plan(h, b, x, y, n);
    gemm(h->exec->gemm, 'N', 'T', n, h->C, h->d, 1, x, h->d, h->cls->v, h->d, 0, b->zc, h->C);
    head_xent_rows(h->exec, b->zc, n, h->C, b->class_y, eps, b->loss);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++)
        for (int c = b->part[t]; c < b->part[t + 1]; c++)
            see_class(h, b, c, eps, h->rows_of + (size_t)t * (size_t)h->most * (size_t)h->d);
    double sum = 0;
    for (int i = 0; i < n; i++) sum += b->loss[i];
    return sum;
}

static double forward(void *head, const float *x, const int *y, int n)
{
    Tree *h = head;
    CHECK(n >= 1 && n <= h->chunk);
    return see_block(h, h->train, x, y, n, h->eps);
}

static void class_backward(const Tree *h, int c, float *dx, float scale, float *buffer)
{
    const Block *b = h->train;
    const F32 *f = h->exec->f;
    const int first = b->at[c], n = b->at[c + 1] - first, size = size_of(h, c), d = h->d;
    if (!n || size == 1) return;
    const float *z = b->z + b->zat[c], *xs = b->xs + (size_t)first * d;
    for (int i = 0; i < n; i++) f->axpy(dx + (size_t)b->pos[first + i] * d, scale, b->dxs + (size_t)(first + i) * d, d);
    if (h->leaf->frozen) return;
    for (int k = h->start[c]; k < h->start[c + 1]; k++) param_touch(h->leaf, h->tied ? h->word[k] : k);
    float *dw = h->tied ? buffer : h->leaf->g + (size_t)h->start[c] * d;
    gemm1(h->exec->gemm, 'T', 'N', size, d, n, scale, z, size, xs, d, h->tied ? 0 : 1, dw, d);
    if (!h->tied) return;
    for (int k = 0; k < size; k++)
        f->axpy(h->leaf->g + (size_t)h->word[h->start[c] + k] * d, 1, buffer + (size_t)k * d, d);
}

static void backward(void *head, float *dx, float scale)
{
    Tree *h = head;
    const Block *b = h->train;
    const Gemm *g = h->exec->gemm;
    const int threads = h->exec->threads, d = h->d, C = h->C, n = b->n;
    gemm(g, 'N', 'N', n, d, C, scale, b->zc, C, h->cls->v, d, 1, dx, d);
    if (!h->cls->frozen) {
        param_touch_all(h->cls);
        gemm(g, 'T', 'N', C, d, n, scale, b->zc, C, b->x, d, 1, h->cls->g, d);
    }
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++)
        for (int c = b->part[t]; c < b->part[t + 1]; c++)
            class_backward(h, c, dx, scale, h->rows_of + (size_t)t * (size_t)h->most * (size_t)d);
}

static double nll(const void *head, const float *x, const int *y, int n, float *out)
{
    const Tree *h = head;
    Block *b = h->eval;
    double sum = 0;
    for (int at = 0; at < n; at += h->chunk) {
        const int m = n - at < h->chunk ? n - at : h->chunk;
        sum += see_block(h, b, x + (size_t)at * h->d, y + at, m, -1);
        if (out) for (int i = 0; i < m; i++) out[at + i] = (float)b->loss[i];
    }
    return sum;
}

static void parts(const void *head, const float *x, const int *y, int n, float *class_nll)
{
    const Tree *h = head;
    Block *b = h->eval;
    const int d = h->d;
    for (int at = 0; at < n; at += h->chunk) {
        const int m = n - at < h->chunk ? n - at : h->chunk;
        for (int i = 0; i < m; i++) b->class_y[i] = h->class_of[y[at + i]], b->loss[i] = 0;
        gemm(h->exec->gemm, 'N', 'T', m, h->C, d, 1, x + (size_t)at * d, d, h->cls->v, d, 0, b->zc, h->C);
        head_xent_rows(h->exec, b->zc, m, h->C, b->class_y, -1, b->loss);
        for (int i = 0; i < m; i++) class_nll[at + i] = (float)b->loss[i];
    }
}

/* ---- one position ---- */

static const float *row_of(const Tree *h, int i)       /* of word[i] */
{
    return h->leaf->v + (size_t)(h->tied ? h->word[i] : i) * (size_t)h->d;
}

/* z (|c|) = log softmax(W_c x) */
static void leaf_logprob(const Tree *h, int c, const float *x, float *z)
{
    const F32 *f = h->exec->f;
    const int size = size_of(h, c);
    for (int k = 0; k < size; k++) z[k] = f->dot(row_of(h, h->start[c] + k), x, h->d);
    head_affine(z, size, 1, (float)head_lse(f, z, size));
}

static void logprob(const void *head, const float *x, float *lp)
{
    const Tree *h = head;
    float *zc = h->eval->zc;
    head_dots(h->exec, zc, h->cls->v, x, h->C, h->d);
    const float lse = (float)head_lse(h->exec->f, zc, h->C);
    const size_t stride = (size_t)(h->C > h->most ? h->C : h->most);
    const int threads = h->exec->threads;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        float *z = h->z1 + (size_t)t * stride;
        for (int c = t; c < h->C; c += threads) {
            leaf_logprob(h, c, x, z);
            for (int k = 0; k < size_of(h, c); k++) lp[h->word[h->start[c] + k]] = zc[c] - lse + z[k];
        }
    }
}

/* By the tree itself, class then word; other temperatures than 1 do not factor and take the full way. */
static int sample(const void *head, const float *x, double temperature, Rng *rng)
{
    const Tree *h = head;
    if (temperature != 1) {
        logprob(h, x, h->lp);
        return head_pick(h->lp, h->V, temperature, rng);
    }
    head_dots(h->exec, h->z1, h->cls->v, x, h->C, h->d);
    const int c = head_pick(h->z1, h->C, 1, rng);
    leaf_logprob(h, c, x, h->z1);
    return h->word[h->start[c] + head_pick(h->z1, size_of(h, c), 1, rng)];
}

/* Expected over the training counts. A class is used by n positions with probability 1 - (1 - mass)^n; its rows are then
 * read, copied (tied), and their gradients written, read, added. */
static Cost cost(const void *head, int n)
{
    const Tree *h = head;
    double used = 0;
    for (int c = 0; c < h->C; c++) used += size_of(h, c) * (1 - pow(1 - h->mass[c], n < h->chunk ? n : h->chunk));
    const double chunks = ceil((double)n / h->chunk), d = h->d;
    return (Cost){ 6.0 * n * d * (h->C + h->rows), sizeof(float) * d * chunks * (4.0 * h->C + used * (h->tied ? 6 : 4)) };
}

const HeadDef head_tree = {
    "tree", "two levels, a class and a word of it", "Goodman 2001; Morin and Bengio 2005", 1,
    .make = make, .chunk = chunk, .forward = forward, .backward = backward, .nll = nll, .parts = parts,
    .logprob = logprob, .sample = sample, .cost = cost,
};
