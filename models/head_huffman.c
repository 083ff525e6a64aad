/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hierarchical softmax over a binary Huffman tree (Morin, Bengio 2005; Mikolov, Sutskever, Chen,
 * Corrado, Dean 2013, arXiv 1310.4546, section 2.1). Words are the leaves, counts + 1 their
 * weights; each of the V - 1 inner nodes decides between its two sides by one logistic:
 *
 *   log p(v) = sum over the path to v of log sigmoid(u)
 *          u = w_node x on side 0, -w_node x on side 1
 *
 * A position costs as many rows as its word is deep, on average within one of the entropy of the
 * counts in bits. Nodes are not words, so nothing is tied. Label smoothing gives eps/2 to the other
 * side of every decision, the smoothed cross entropy of head.h for two classes; a z-loss has no
 * meaning here and is not added:
 *
 *   loss = -(1 - eps/2) log sigmoid(u) - eps/2 log sigmoid(-u) = log(1 + e^-u) + eps/2 u
 *   dLoss/du = sigmoid(u) - 1 + eps/2
 *
 * Node 0 is the root, and the mass of nodes never rises from one to the next: a parent comes before
 * its children, and nodes that many positions pass come first:
 *
 *   node  0 ....... T ................................ V - 1
 *         dense     sparse: a list of steps (position, node)
 *
 * The first T nodes, which at least HUFFMAN_DENSE of all positions pass, are one product over all
 * positions; logits off a position's path are not used. The steps through the other nodes are
 * grouped by node. Each thread owns whole nodes (logits, dW) or whole positions (loss, dx): no
 * locks, and the same sums in any order of arrival. */
#include "models/head.h"
#include <math.h>
#include <string.h>

/* The least share of positions at a node for which a dense product, most of which is not used, is
 * faster than dots and sums of single rows, whose operands come from the second-level cache. */
static const double HUFFMAN_DENSE = 1.0 / 16;

typedef struct { int node, side, pos; float z; } Step;     /* z: the logit w x, then dLoss/dz */

typedef struct {                 /* memory for a block of positions */
    const float *x;
    int     n;
    float  *z;                   /* (n, T) dense logits, then gradients: zero off the path */
    Step   *step;                /* paths, position after position, each from word to root */
    int    *first;               /* (n+1) where the path of a position begins in step */
    int    *group;               /* of a step: 0 when dense, otherwise node - T + 1 */
    int    *at, *order;          /* steps grouped, see head_group */
    int    *part;                /* (threads+1) first group of a thread */
    double *loss;                /* (n) */
} Block;

typedef struct {
    const Exec *exec;
    Param  *w;                   /* (V-1, d) */
    HeadWeight *of_top;          /* of its first T rows */
    int     V, d, T, deepest, chunk;
    double  eps, depth;          /* label smoothing; expected length of a training token's path */
    double *mass;                /* (V-1) share of the training tokens below a node */
    int   (*child)[2];           /* (V-1) an inner node, or ~word */
    int    *above;               /* (2V-1) 2 parent + side; node j > 0 is at j, word v at V-1 + v */
    Block  *train, *eval;        /* nll may be called between forward and backward: its own */
    float  *z1, *lp;             /* (V-1), (V) */
    double *below;               /* (V-1) log probability of reaching a node */
} Huffman;

/* ---- the tree ---- */

/* Two queues in increasing order of mass: words from the rarest, nodes in the order they are made.
 * The lighter front is taken, of equal ones the word, which keeps the tree shallow. Nodes are made
 * from number V - 2 down to the root. */
static void huffman_grow(Huffman *h, const HeadRank *rank, double total)
{
    const int V = h->V;
    int word = V - 1, node = V - 2;
    for (int j = V - 2; j >= 0; j--) {
        h->mass[j] = 0;
        for (int side = 0; side < 2; side++) {
            const double of_word = word >= 0 ? ((double)rank[word].count + 1) / total : INFINITY;
            const int take_word = node <= j || of_word <= h->mass[node];
            const int id = take_word ? V - 1 + rank[word].word : node;
            h->mass[j] += take_word ? of_word : h->mass[node];
            h->child[j][side] = take_word ? ~rank[word].word : node;
            h->above[id] = 2 * j + side;
            if (take_word) word--;
            else node--;
        }
    }
}

static void huffman_build(Huffman *h, const long *freq, Arena *a)
{
    const size_t mark = a->used;
    HeadRank *rank = arena_raw(a, sizeof *rank * (size_t)h->V);
    int *depth = arena_get(a, sizeof *depth * (size_t)h->V);
    double total = 0;
    head_rank(rank, freq, h->V);
    for (int v = 0; v < h->V; v++) total += (double)freq[v] + 1;
    huffman_grow(h, rank, total);
    for (int j = 0; j < h->V - 1; j++) {
        depth[j] = j ? depth[h->above[j] / 2] + 1 : 1;      /* of its children */
        if (depth[j] > h->deepest) h->deepest = depth[j];
        if (h->mass[j] >= HUFFMAN_DENSE) h->T = j + 1;
        h->depth += h->mass[j];
    }
    arena_reset(a, mark);
}

/* ---- construction ---- */

static Block *huffman_block_new(const Huffman *h, Arena *a)
{
    Block *b = arena_raw(a, sizeof *b);
    const size_t n = (size_t)h->chunk, steps = n * (size_t)h->deepest;
    *b = (Block){
        .z = arena_raw(a, sizeof(float) * n * (size_t)h->T),
        .step = arena_raw(a, sizeof(Step) * steps),
        .first = arena_raw(a, sizeof(int) * (n + 1)),
        .group = arena_raw(a, sizeof(int) * steps),
        .at = arena_raw(a, sizeof(int) * (size_t)(h->V + 1)),
        .order = arena_raw(a, sizeof(int) * steps),
        .part = arena_raw(a, sizeof(int) * (size_t)(h->exec->threads + 1)),
        .loss = arena_raw(a, sizeof(double) * n),
    };
    return b;
}

static void *huffman_make(const Spec *s, const Exec *e, Params *ps, const HeadData *data, int d,
                          Arena *a)
{
    const size_t V = (size_t)data->V;
    Huffman *h = arena_get(a, sizeof *h);
    CHECK(V >= 2);
    *h = (Huffman){ .exec = e, .V = data->V, .d = d, .eps = spec_num(s, "smoothing") };
    h->mass = arena_raw(a, sizeof(double) * (V - 1));
    h->child = arena_raw(a, sizeof *h->child * (V - 1));
    h->above = arena_raw(a, sizeof(int) * (2 * V - 1));
    huffman_build(h, data->freq, a);
    h->w = head_matrix(s, ps, "head.node.weight", h->V - 1, d, 0);
    h->of_top = head_weight_new(a);
    h->chunk = head_chunk(h->T +
                          h->deepest * (int)((sizeof(Step) + 2 * sizeof(int)) / sizeof(float)));
    h->train = huffman_block_new(h, a);
    h->eval = huffman_block_new(h, a);
    h->z1 = arena_raw(a, sizeof(float) * (V - 1));
    h->lp = arena_raw(a, sizeof(float) * V);
    h->below = arena_raw(a, sizeof(double) * (V - 1));
    return h;
}

static int huffman_chunk(const void *h) { return ((const Huffman *)h)->chunk; }

/* ---- one block ---- */

static const float *huffman_row(const Huffman *h, int node)
{
    return h->w->v + (size_t)node * (size_t)h->d;
}

/* The paths, their steps grouped by node, and whole groups for every thread, of about equally
 * many steps. */
static void huffman_plan(const Huffman *h, Block *b, const float *x, const int *y, int n)
{
    const int groups = h->V - h->T, threads = h->exec->threads;
    int steps = 0, g = 1;
    b->x = x;
    b->n = n;
    for (int i = 0; i < n; i++) {
        CHECK(y[i] >= 0 && y[i] < h->V);
        b->first[i] = steps;
        for (int at = h->V - 1 + y[i]; at; at = h->above[at] / 2) {
            const int node = h->above[at] / 2;
            b->step[steps] = (Step){ .node = node, .side = h->above[at] % 2, .pos = i };
            b->group[steps++] = node < h->T ? 0 : node - h->T + 1;
        }
    }
    b->first[n] = steps;
    head_group(b->group, steps, groups, b->at, b->order);
    for (int t = 0; t <= threads; t++) {
        while (g < groups && b->at[g] < b->at[1] + (long)(steps - b->at[1]) * t / threads) g++;
        b->part[t] = t == threads ? groups : g;
    }
}

static void huffman_sparse_logits(const Huffman *h, Block *b, int t)
{
    for (int i = b->at[b->part[t]]; i < b->at[b->part[t + 1]]; i++) {
        Step *s = &b->step[b->order[i]];
        s->z = h->exec->f->dot(huffman_row(h, s->node), b->x + (size_t)s->pos * h->d, h->d);
    }
}

/* log(1 + e^-u), for any u */
static double huffman_softplus_minus(double u)
{
    return u > 0 ? log1p(exp(-u)) : log1p(exp(u)) - u;
}

/* The loss of position i, and dLoss/dz of its steps */
static double huffman_see_path(const Huffman *h, Block *b, int i, double eps)
{
    float *z = b->z + (size_t)i * h->T;
    double loss = 0;
    for (int k = b->first[i]; k < b->first[i + 1]; k++) {
        Step *s = &b->step[k];
        const double sign = s->side ? -1 : 1,
                     u = sign * (double)(s->node < h->T ? z[s->node] : s->z);
        loss += huffman_softplus_minus(u) + eps / 2 * u;
        s->z = (float)(sign * (eps / 2 - 1 / (1 + exp(u))));
    }
    memset(z, 0, sizeof *z * (size_t)h->T);
    for (int k = b->first[i]; k < b->first[i + 1]; k++)
        if (b->step[k].node < h->T) z[b->step[k].node] = b->step[k].z;
    return loss;
}

/* The first T nodes, whose products are dense */
static HeadProduct huffman_top(const Huffman *h, int n)
{
    return (HeadProduct){ h->of_top, h->w->v, h->w->version, h->T, h->d, n, h->T };
}

static double huffman_see_block(const Huffman *h, Block *b, const float *x, const int *y, int n,
                                double eps)
{
    const int threads = h->exec->threads;
    double sum = 0;
    huffman_plan(h, b, x, y, n);
    const HeadProduct top = huffman_top(h, n);
    head_logits(h->exec, &top, b->z, x);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) huffman_sparse_logits(h, b, t);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < n; i++) b->loss[i] = huffman_see_path(h, b, i, eps);
    for (int i = 0; i < n; i++) sum += b->loss[i];
    return sum;
}

static double huffman_forward(void *head, const float *x, const int *y, int n)
{
    Huffman *h = head;
    CHECK(n >= 1 && n <= h->chunk);
    return huffman_see_block(h, h->train, x, y, n, h->eps);
}

static void huffman_weight_back(const Huffman *h, const Block *b, int t, float scale)
{
    for (int i = b->at[b->part[t]]; i < b->at[b->part[t + 1]]; i++) {
        const Step *s = &b->step[b->order[i]];
        param_touch(h->w, s->node);
        h->exec->f->axpy(h->w->g + (size_t)s->node * h->d, scale * s->z,
                         b->x + (size_t)s->pos * h->d, h->d);
    }
}

static void huffman_state_back(const Huffman *h, const Block *b, int i, float *dx, float scale)
{
    /* a path goes upwards, so its dense nodes come last */
    for (int k = b->first[i]; k < b->first[i + 1] && b->step[k].node >= h->T; k++)
        h->exec->f->axpy(dx, scale * b->step[k].z, huffman_row(h, b->step[k].node), h->d);
}

static void huffman_backward(void *head, float *dx, float scale)
{
    Huffman *h = head;
    const Block *b = h->train;
    const Gemm *g = h->exec->head;
    const int threads = h->exec->threads, n = b->n, d = h->d, T = h->T;
    const HeadProduct top = huffman_top(h, n);
    head_scale(h->exec, b->z, (long)n * T, scale);
    head_back(h->exec, &top, b->z, dx);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < n; i++) huffman_state_back(h, b, i, dx + (size_t)i * d, scale);
    if (h->w->frozen) return;
    for (int j = 0; j < T; j++) param_touch(h->w, j);
    gemm(g, 'T', 'N', T, d, n, 1, b->z, T, b->x, d, 1, h->w->g, d);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) huffman_weight_back(h, b, t, scale);
}

static double huffman_nll(const void *head, const float *x, const int *y, int n, float *out)
{
    const Huffman *h = head;
    double sum = 0;
    for (int at = 0; at < n; at += h->chunk) {
        const int m = n - at < h->chunk ? n - at : h->chunk;
        sum += huffman_see_block(h, h->eval, x + (size_t)at * h->d, y + at, m, 0);
        if (out) for (int i = 0; i < m; i++) out[at + i] = (float)h->eval->loss[i];
    }
    return sum;
}

/* ---- one position ---- */

/* All logits at once, then every node passes its probability on: log sigmoid(-z) =
 * log sigmoid(z) - z. */
static void huffman_logprob(const void *head, const float *x, float *lp)
{
    const Huffman *h = head;
    head_dots(h->exec, h->z1, h->w->v, x, h->V - 1, h->d);
    h->below[0] = 0;
    for (int j = 0; j < h->V - 1; j++) {
        const double z = (double)h->z1[j], yes = h->below[j] - huffman_softplus_minus(z);
        for (int side = 0; side < 2; side++) {
            const int c = h->child[j][side];
            const double reached = side ? yes - z : yes;
            if (c < 0) lp[~c] = (float)reached;
            else h->below[c] = reached;
        }
    }
}

/* Down the tree, decision after decision. Only at temperature 1 does that factor: others use all
 * probabilities. */
static int huffman_sample(const void *head, const float *x, double temperature, Rng *rng)
{
    const Huffman *h = head;
    if (temperature != 1) {
        huffman_logprob(h, x, h->lp);
        return head_pick(h->lp, h->V, temperature, rng);
    }
    int at = 0;
    while (at >= 0) {
        const double z = (double)h->exec->f->dot(huffman_row(h, at), x, h->d);
        at = h->child[at][rng_uniform(rng) >= 1 / (1 + exp(-z))];
    }
    return ~at;
}

/* Expected over the training counts. Three products of the dense nodes; a step at a sparse one is a
 * dot and two sums of rows. n positions pass a node with probability 1 - (1 - mass)^n; its row is
 * then read twice, its gradient read and written. A dense logit is written, read, rewritten as a
 * gradient, and read by two products; a step is written, read grouped by node, turned into a
 * gradient, and read by both products of backward. */
static Cost huffman_cost(const void *head, int n)
{
    const Huffman *h = head;
    const double chunks = ceil((double)n / h->chunk), d = h->d;
    double rows = h->T, steps = h->T;
    for (int j = h->T; j < h->V - 1; j++) {
        rows += 1 - pow(1 - h->mass[j], n < h->chunk ? n : h->chunk);
        steps += h->mass[j];
    }
    const double floats = 4 * chunks * rows * d + 5.0 * n * h->T;
    return (Cost){ 6.0 * n * d * steps,
                   sizeof(float) * floats + 5.0 * sizeof(Step) * n * h->depth };
}

const HeadDef head_huffman = {
    "huffman",
    "a binary tree by counts, one logistic per node",
    "Mikolov et al. 2013, arXiv 1310.4546",
    1,
    .make = huffman_make,
    .chunk = huffman_chunk,
    .forward = huffman_forward,
    .backward = huffman_backward,
    .nll = huffman_nll,
    .logprob = huffman_logprob,
    .sample = huffman_sample,
    .cost = huffman_cost,
};
