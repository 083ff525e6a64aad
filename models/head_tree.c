/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A tree of softmaxes over classes of words (Goodman 2001; Morin, Bengio 2005), `depth` of them
 * from the root to a word:
 *
 *                  root                  one softmax over its K children and the short list: the N
 *      /      /      |       \      \    most frequent words, each a leaf of its own
 *    node   node    ...    "the"   "of"
 *    / | \                               depth - 3 more levels of nodes: runs of classes, each of
 * class class ...                        about equal mass
 * / | \                                  C classes (classes.h)
 * words                                  a word's row is the embedding's (tied=1), or its own
 *
 *   log p(v) = sum over the levels of log softmax(W_node x)[child towards v]
 *
 * At depth 2 the root's children are the classes, and a position costs C + |c| rows instead of V.
 * Label smoothing applies at each softmax with the same eps; a z-loss has no meaning here and is
 * not added.
 *
 * The root sees every position and is a dense product; the levels below are those of
 * softmax_level.h, which defers the gradients of their rows. A position that ends at the root takes
 * no part in them. */
#include "models/classes.h"
#include "models/softmax_level.h"
#include <math.h>
#include <string.h>

enum { MOST_DEPTH = 8 };

typedef struct {                 /* memory for a block of positions */
    const float *x;
    int        n;
    int       *row;              /* (n) target row in the current level, -1: not in that level */
    float     *z;                /* (n, K + N) logits of the root, then gradients */
    float     *dx;               /* (n, d) the part of dLoss/dx of the levels below the root */
    double    *loss;             /* (n) */
    SoftmaxLevelPass *pass[MOST_DEPTH];
} Block;

typedef struct {
    const Exec    *exec;
    const Classes *words;
    Param  *root, *leaf;         /* (K, d); (V, d): embedding, or rows in the order of classes */
    HeadWeight *of_root;         /* of the root */
    SoftmaxLevel   below[MOST_DEPTH];   /* (levels) from the root's children to the words */
    int     levels, V, d, K, N, chunk, tied;
    double  eps;                 /* label smoothing */
    Block  *train, *eval;        /* nll may be called between forward and backward: its own */
    float  *kept;                /* (2 chunk, d) x of the positions whose gradients are deferred */
    float  *listed;              /* (N, d) tied rows of the short list, or their gradients */
    float  *lp[MOST_DEPTH + 1];  /* log probabilities of one position: of the root's rows, then of
                                  * each level's */
    float  *words_lp;            /* (V) */
} Tree;

/* ---- construction ---- */

/* Level `at` of h->below: nodes whose children are the groups of the level after it */
static void tree_make_nodes(Tree *h, int at, const Spec *s, Params *ps, Param *classes, Arena *a)
{
    const SoftmaxLevel *under = &h->below[at + 1];
    const double C = h->words->C, share = (double)(at + 1) / h->levels;
    SoftmaxLevel *l = &h->below[at];
    *l = (SoftmaxLevel){ .exec = h->exec, .d = h->d, .groups = (int)lround(pow(C, share)) };
    l->w = at == h->levels - 2 ? classes
                               : head_matrix(s, ps, arena_text(a, "head.level%d.weight", at + 2),
                                             under->groups, h->d, at + 3);
    softmax_level_cut(l, under->mass, under->groups, a);
}

static void tree_make_levels(Tree *h, const Spec *s, Params *ps, Arena *a)
{
    const Classes *k = h->words;
    int *owner = arena_raw(a, sizeof *owner * (size_t)h->V);
    Param *classes = head_matrix(s, ps, "head.class.weight", k->C, h->d, 0);
    h->leaf = head_rows(s, ps, "head.leaf.weight", h->V, h->d, 1);
    for (int r = 0; r < h->V; r++) owner[r] = k->class_of[k->word[r]];
    h->below[h->levels - 1] = (SoftmaxLevel){ h->exec,  h->leaf, h->tied ? k->word : NULL,
                                              k->start, owner,   k->mass,
                                              k->C,     h->d };
    for (int at = h->levels - 2; at >= 0; at--) tree_make_nodes(h, at, s, ps, classes, a);
    h->K = h->below[0].groups;
    h->root = h->levels == 1 ? classes : head_matrix(s, ps, "head.level1.weight", h->K, h->d, 2);
}

static Block *tree_block_new(const Tree *h, int room, Arena *a)
{
    Block *b = arena_get(a, sizeof *b);
    const size_t n = (size_t)h->chunk;
    b->row = arena_raw(a, sizeof(int) * n);
    b->z = arena_raw(a, sizeof(float) * n * (size_t)(h->K + h->N));
    b->loss = arena_raw(a, sizeof(double) * n);
    for (int l = 0; l < h->levels; l++)
        b->pass[l] = softmax_level_pass(&h->below[l], h->chunk, room, a);
    return b;
}

/* The chunk counts everything kept of a position: two chunks of deferred logits, one of
 * evaluation. */
static void tree_make_room(Tree *h, Arena *a)
{
    const size_t d = (size_t)h->d, floats = sizeof(float);
    int width = 2 * (h->K + h->N) + 3 * h->d;
    for (int l = 0; l < h->levels; l++) width += 3 * softmax_level_most(&h->below[l]);
    h->chunk = head_chunk(width);
    h->train = tree_block_new(h, h->chunk, a);
    h->eval = tree_block_new(h, 0, a);
    h->train->dx = arena_raw(a, floats * (size_t)h->chunk * d);
    h->kept = arena_raw(a, floats * 2 * (size_t)h->chunk * d);
    h->listed = arena_raw(a, floats * (size_t)h->N * d);
    h->lp[0] = arena_raw(a, floats * (size_t)(h->K + h->N));
    for (int l = 0; l < h->levels; l++) {
        const SoftmaxLevel *level = &h->below[l];
        h->lp[l + 1] = arena_raw(a, floats * (size_t)level->start[level->groups]);
    }
    h->words_lp = arena_raw(a, floats * (size_t)h->V);
}

/* NULL, or the error message */
static const char *tree_check(const Spec *s, int V, Arena *a)
{
    const long C = spec_int(s, "classes"), depth = spec_int(s, "depth"),
               N = spec_int(s, "shortlist");
    if (depth < 2 || depth > MOST_DEPTH)
        return arena_text(a, "depth=%ld: expected 2 to %d", depth, MOST_DEPTH);
    if (N < 0 || N >= V)
        return arena_text(a, "shortlist=%ld: expected 0 to %d, so that one of the %d words is left",
                          N, V - 1, V);
    if (C < 0 || C > V - N)
        return arena_text(a, "classes=%ld: expected 1 to the %ld words that are not short-listed, "
                             "or 0 for a root of their number", C, V - N);
    return NULL;
}

/* How many classes: as set, or so that every level divides its words alike */
static int tree_classes_of(const Tree *h, const Spec *s)
{
    const double words = h->V - h->N, levels = h->levels;
    const long C = spec_int(s, "classes");
    return C ? (int)C : (int)lround(pow(words, levels / (levels + 1)));
}

static void *tree_make(const Spec *s, const Exec *e, Params *ps, const HeadData *data, int d,
                       Arena *a)
{
    const char *why = tree_check(s, data->V, a);
    if (why) return params_fail(ps, why);
    Tree *h = arena_get(a, sizeof *h);
    *h = (Tree){ .exec = e, .V = data->V, .d = d, .N = (int)spec_int(s, "shortlist"),
                 .levels = (int)spec_int(s, "depth") - 1, .tied = (int)spec_int(s, "tied"),
                 .eps = spec_num(s, "smoothing") };
    h->words = classes_make(s, e, data, tree_classes_of(h, s), a, &why);
    if (!h->words) return params_fail(ps, why);
    tree_make_levels(h, s, ps, a);
    tree_make_room(h, a);
    h->of_root = head_weight_new(a);
    return h;
}

static const Classes *tree_classes(const void *h) { return ((const Tree *)h)->words; }
static int tree_chunk(const void *h) { return ((const Tree *)h)->chunk; }

/* ---- the root ---- */

static const float *tree_listed(const Tree *h)      /* the rows of the short list */
{
    const size_t d = (size_t)h->d;
    const int first = h->V - h->N;
    if (!h->tied) return h->leaf->v + (size_t)first * d;
    for (int i = 0; i < h->N; i++)
        memcpy(h->listed + (size_t)i * d, h->leaf->v + (size_t)h->words->word[first + i] * d,
               sizeof(float) * d);
    return h->listed;
}

/* The copy of the short list's rows changes with every call: it is never packed */
static HeadProduct tree_root_product(const Tree *h, int n)
{
    return (HeadProduct){ h->of_root, h->root->v, h->root->version, h->K, h->d, n, h->K + h->N };
}

/* z (n, K + N) */
static void tree_root_logits(const Tree *h, float *z, const float *x, int n)
{
    const HeadProduct root = tree_root_product(h, n);
    const int d = h->d, width = h->K + h->N;
    float *of_list = z + h->K;
    head_logits(h->exec, &root, z, x);
    if (!h->N) return;
    gemm(h->exec->head, 'N', 'T', n, h->N, d, 1, x, d, tree_listed(h), d, 0, of_list, width);
}

static void tree_root_backward(const Tree *h, float *dx, float scale)
{
    const Gemm *g = h->exec->head;
    const Block *b = h->train;
    const int d = h->d, K = h->K, N = h->N, width = K + N, n = b->n, first = h->V - N;
    const HeadProduct root = tree_root_product(h, n);
    head_scale(h->exec, b->z, (long)n * width, scale);
    head_back(h->exec, &root, b->z, dx);
    if (!h->root->frozen) {
        param_touch_all(h->root);
        gemm(g, 'T', 'N', K, d, n, 1, b->z, width, b->x, d, 1, h->root->g, d);
    }
    if (!N) return;
    gemm(g, 'N', 'N', n, d, N, 1, b->z + K, width, tree_listed(h), d, 1, dx, d);
    if (h->leaf->frozen) return;
    float *dw = h->tied ? h->listed : h->leaf->g + (size_t)first * (size_t)d;
    gemm(g, 'T', 'N', N, d, n, 1, b->z + K, width, b->x, d, h->tied ? 0 : 1, dw, d);
    for (int i = 0; i < N; i++) {
        const long row = h->tied ? h->words->word[first + i] : first + i;
        param_touch(h->leaf, row);
        if (h->tied) h->exec->f->axpy(h->leaf->g + row * d, 1, dw + (size_t)i * (size_t)d, d);
    }
}

/* ---- one block ---- */

/* Sets row (n): of the last level; -1: the word is short-listed */
static void tree_start_at_words(const Tree *h, Block *b, const int *y, int n)
{
    for (int i = 0; i < n; i++) {
        CHECK(y[i] >= 0 && y[i] < h->V);
        b->row[i] = h->words->place[y[i]] < h->V - h->N ? h->words->place[y[i]] : -1;
        b->loss[i] = 0;
    }
}

static void tree_climb(const SoftmaxLevel *l, int *row, int n)
{
    for (int i = 0; i < n; i++) row[i] = row[i] < 0 ? -1 : l->owner[row[i]];
}

/* The loss of the root's softmax; b->row (n): the root's child, -1: the word y is short-listed */
static void tree_see_root(const Tree *h, Block *b, const float *x, const int *y, int n, double eps)
{
    for (int i = 0; i < n; i++)
        if (b->row[i] < 0) b->row[i] = h->K + h->words->place[y[i]] - (h->V - h->N);
    tree_root_logits(h, b->z, x, n);
    head_xent_rows(h->exec, b->z, n, h->K + h->N, b->row, eps, b->loss);
}

/* eps < 0: only exact losses */
static double tree_see_block(const Tree *h, Block *b, const float *x, const int *y, int n,
                             double eps)
{
    double sum = 0;
    b->x = x;
    b->n = n;
    if (eps >= 0) memset(b->dx, 0, sizeof(float) * (size_t)n * (size_t)h->d);
    tree_start_at_words(h, b, y, n);
    for (int l = h->levels - 1; l >= 0; l--) {
        softmax_level_forward(&h->below[l], b->pass[l], x, b->row, n, eps, b->loss, b->dx);
        tree_climb(&h->below[l], b->row, n);
    }
    tree_see_root(h, b, x, y, n, eps);
    for (int i = 0; i < n; i++) sum += b->loss[i];
    return sum;
}

static double tree_forward(void *head, const float *x, const int *y, int n)
{
    Tree *h = head;
    CHECK(n >= 1 && n <= h->chunk);
    return tree_see_block(h, h->train, x, y, n, h->eps);
}

static void tree_flush_grads(void *head)
{
    Tree *h = head;
    for (int l = 0; l < h->levels; l++)
        softmax_level_flush(&h->below[l], h->train->pass[l], h->kept);
}

/* Calls flush_grads itself when another chunk would not fit. */
static void tree_backward(void *head, float *dx, float scale)
{
    Tree *h = head;
    const Block *b = h->train;
    const size_t d = (size_t)h->d;
    const int at = softmax_level_deferred(b->pass[0]);
    tree_root_backward(h, dx, scale);
#pragma omp parallel for num_threads(h->exec->threads) schedule(static)
    for (int i = 0; i < b->n; i++) {
        h->exec->f->axpy(dx + (size_t)i * d, scale, b->dx + (size_t)i * d, h->d);
        memcpy(h->kept + (size_t)(at + i) * d, b->x + (size_t)i * d, sizeof(float) * d);
    }
    for (int l = 0; l < h->levels; l++) softmax_level_defer(&h->below[l], b->pass[l], scale);
    if (at + b->n > h->chunk) tree_flush_grads(h);
}

static double tree_nll(const void *head, const float *x, const int *y, int n, float *out)
{
    const Tree *h = head;
    Block *b = h->eval;
    double sum = 0;
    for (int at = 0; at < n; at += h->chunk) {
        const int m = n - at < h->chunk ? n - at : h->chunk;
        sum += tree_see_block(h, b, x + (size_t)at * (size_t)h->d, y + at, m, -1);
        if (out) for (int i = 0; i < m; i++) out[at + i] = (float)b->loss[i];
    }
    return sum;
}

static void tree_class_nll(const void *head, const float *x, const int *y, int n, float *root_nll)
{
    const Tree *h = head;
    Block *b = h->eval;
    for (int at = 0; at < n; at += h->chunk) {
        const int m = n - at < h->chunk ? n - at : h->chunk;
        tree_start_at_words(h, b, y + at, m);
        for (int l = h->levels - 1; l >= 0; l--) tree_climb(&h->below[l], b->row, m);
        tree_see_root(h, b, x + (size_t)at * (size_t)h->d, y + at, m, -1);
        for (int i = 0; i < m; i++) root_nll[at + i] = (float)b->loss[i];
    }
}

/* ---- one position ---- */

static void tree_root_logprob(const Tree *h, const float *x)
{
    const int width = h->K + h->N;
    tree_root_logits(h, h->lp[0], x, 1);
    h->exec->f->affine(h->lp[0], 1, -(float)head_lse(h->exec->f, h->lp[0], width), width);
}

static void tree_logprob(const void *head, const float *x, float *lp)
{
    const Tree *h = head;
    tree_root_logprob(h, x);
    for (int l = 0; l < h->levels; l++)
        softmax_level_logprob(&h->below[l], h->lp[l], x, h->lp[l + 1]);
    for (int r = 0; r < h->V - h->N; r++) lp[h->words->word[r]] = h->lp[h->levels][r];
    for (int i = 0; i < h->N; i++) lp[h->words->word[h->V - h->N + i]] = h->lp[0][h->K + i];
}

/* Down the tree, from softmax to softmax. Only at temperature 1 does that factor: others use all
 * probabilities. */
static int tree_sample(const void *head, const float *x, double temperature, Rng *rng)
{
    const Tree *h = head;
    if (temperature != 1) {
        tree_logprob(h, x, h->words_lp);
        return head_pick(h->words_lp, h->V, temperature, rng);
    }
    tree_root_logprob(h, x);
    int row = head_pick(h->lp[0], h->K + h->N, 1, rng);
    if (row >= h->K) return h->words->word[h->V - h->N + row - h->K];
    for (int l = 0; l < h->levels; l++) {
        const SoftmaxLevel *level = &h->below[l];
        const int first = level->start[row];
        softmax_level_logprob_of(level, row, x, h->lp[l + 1]);
        row = first + head_pick(h->lp[l + 1], level->start[row + 1] - first, 1, rng);
    }
    return h->words->word[row];
}

/* The root's rows are read twice a chunk, their gradients read and written. */
static Cost tree_cost(const void *head, int n)
{
    const Tree *h = head;
    const double chunks = ceil((double)n / h->chunk), rows = h->K + h->N, d = h->d;
    Cost sum = { 6.0 * n * d * rows, sizeof(float) * d * chunks * 4 * rows };
    for (int l = 0; l < h->levels; l++) {
        const Cost c = softmax_level_cost(&h->below[l], n, h->chunk);
        sum.flops += c.flops;
        sum.bytes += c.bytes;
    }
    return sum;
}

const HeadDef head_tree = {
    "tree",
    "classes of words, or a deeper tree",
    "Goodman 2001; Morin and Bengio 2005",
    1,
    .make = tree_make,
    .chunk = tree_chunk,
    .forward = tree_forward,
    .backward = tree_backward,
    .flush_grads = tree_flush_grads,
    .nll = tree_nll,
    .class_nll = tree_class_nll,
    .logprob = tree_logprob,
    .sample = tree_sample,
    .cost = tree_cost,
    .classes = tree_classes,
};
