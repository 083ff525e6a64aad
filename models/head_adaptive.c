/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Adaptive softmax (Grave, Joulin, Cisse, Grangier, Jegou 2017, arXiv 1609.04309). Words are ranked
 * by count:
 *
 *   rank   0 ........ J ............ cut_2 ................... V
 *          short list | tail 1       | tail 2 ...               K tails
 *
 *   log p(v) = log softmax(S x)[v]                              v in the short list
 *            = log softmax(S x)[J + i - 1]                      v in tail i
 *              + log softmax(O_i P_i x)[v]
 *   S (J + K, d), P_i (d_i, d), O_i (k_i, d_i),  d_i = max(8, d / 4^i)
 *
 * with d_i = max(8, d / 4^i). cutoffs=2000,10000 gives J = 2000 and two tails; counted and auto
 * are the cheapest by the models of cutoffs.c. Label smoothing applies at each softmax with the
 * same eps; a z-loss is not added. The rows of the short list are free, or with short_tied=1
 * those of the embedding; the rows of tails are narrower than the embedding's and always free. */
#include "models/adaptive_level.h"
#include "models/cutoffs.h"
#include <math.h>
#include <string.h>

/* P_i (d_i, d), O_i (k_i, d_i); ranks [first, first + k) */
typedef struct { TailLevel level; int first, k, d; } Tail;

/* S. Tied, its first J rows are rows of `words` and only K are its own: v is then a copy of both,
 * made once per version, and g holds their gradients until flush_grads */
typedef struct {
    Param *own, *words;          /* not tied: (J + K, d), NULL; tied: (K, d), embedding (V, d) */
    float *v, *g;                /* (J + K, d); NULL: not tied */
    long   own_version, words_version;
    HeadWeight *by;
} Short;

typedef struct {                 /* memory for a block of positions */
    const float *x;
    int     n;
    float  *zs;                  /* (n, J + K) logits of the short list, then gradients */
    int    *group, *short_y;     /* (n) 0 or the tail of y; its row in S */
    int    *at, *pos;            /* positions grouped by tail, see head_group */
    int    *tail_y;              /* (n), grouped: rank of y in its tail */
    float  *xs, *p, *z;          /* grouped: x (n, d), P_i x (n, d_1), tail logits (n_i, k_i) tail
                                  * after tail */
    float  *dxs, *dp;            /* (n, d), (n, d_1) */
    double *loss, *tail_loss;    /* (n); (n), grouped */
} Block;

typedef struct {
    const Exec *exec;
    Short  *top;
    int     V, d, J, K, chunk;
    Tail    tail[MOST_TAILS];
    double  eps;
    double *mass;                /* (V+1) share of the training tokens of ranks below */
    int    *word, *rank;         /* (V) word of a rank; rank of a word */
    Block  *train, *eval;        /* nll may be called between forward and backward: its own */
    float  *lp, *z1, *p1;        /* of one position: (V), (J + K), (d_1) */
} Adaptive;

/* ---- construction ---- */

static Block *adaptive_block_new(const Adaptive *h, int widest, Arena *a)
{
    Block *b = arena_raw(a, sizeof *b);
    const size_t n = (size_t)h->chunk, d = (size_t)h->d, d1 = (size_t)h->tail[0].d;
    *b = (Block){
        .zs = arena_raw(a, sizeof(float) * n * (size_t)(h->J + h->K)),
        .group = arena_raw(a, sizeof(int) * n),
        .short_y = arena_raw(a, sizeof(int) * n),
        .at = arena_raw(a, sizeof(int) * (size_t)(h->K + 2)),
        .pos = arena_raw(a, sizeof(int) * n),
        .tail_y = arena_raw(a, sizeof(int) * n),
        .xs = arena_raw(a, sizeof(float) * n * d),
        .p = arena_raw(a, sizeof(float) * n * d1),
        .z = arena_raw(a, sizeof(float) * n * (size_t)widest),
        .dxs = arena_raw(a, sizeof(float) * n * d),
        .dp = arena_raw(a, sizeof(float) * n * d1),
        .loss = arena_raw(a, sizeof(double) * n),
        .tail_loss = arena_raw(a, sizeof(double) * n),
    };
    return b;
}

static void adaptive_rank_words(Adaptive *h, const long *freq, Arena *a)
{
    const size_t mark = a->used;
    HeadRank *r = arena_raw(a, sizeof *r * (size_t)h->V);
    head_rank(r, freq, h->V);
    head_mass(h->mass, r, h->V);
    for (int i = 0; i < h->V; i++) {
        h->word[i] = r[i].word;
        h->rank[r[i].word] = i;
    }
    arena_reset(a, mark);
}

static Short *adaptive_short_new(const Adaptive *h, const Spec *s, Params *ps, Arena *a)
{
    Short *top = arena_get(a, sizeof *top);
    const int tied = (int)spec_int(s, "short_tied"), rows = h->J + h->K;
    top->by = head_weight_new(a);
    top->own = head_matrix(s, ps, "head.short.weight", tied ? h->K : rows, h->d, 0);
    if (!tied) return top;
    top->words = head_embedding(ps, h->V, h->d);
    top->v = arena_raw(a, sizeof(float) * (size_t)rows * (size_t)h->d);
    top->g = arena_get(a, sizeof(float) * (size_t)rows * (size_t)h->d);
    top->own_version = top->words_version = -1;
    return top;
}

static void adaptive_add_tail(Adaptive *h, const Spec *s, Params *ps, int i, int first, int end)
{
    char name[64];
    const int d = cutoffs_width(h->d, i + 1);
    Tail *t = &h->tail[i];
    *t = (Tail){ .first = first, .k = end - first, .d = d };
    snprintf(name, sizeof name, "head.tail%d.proj.weight", i + 1);
    t->level = (TailLevel){ .k = t->k, .m = d, .d = h->d };
    t->level.proj = head_matrix(s, ps, name, d, h->d, 2 * i + 1);
    snprintf(name, sizeof name, "head.tail%d.out.weight", i + 1);
    t->level.out = head_matrix(s, ps, name, t->k, d, 2 * i + 2);
}

static void *adaptive_make(const Spec *s, const Exec *e, Params *ps, const HeadData *data, int d,
                           Arena *a)
{
    const int V = data->V;
    Adaptive *h = arena_get(a, sizeof *h);
    const size_t words = (size_t)V;
    int cut[MOST_TAILS + 1], widest = 0;
    const char *why;
    *h = (Adaptive){ .exec = e, .V = V, .d = d, .eps = spec_num(s, "smoothing") };
    h->word = arena_raw(a, sizeof(int) * words);
    h->rank = arena_raw(a, sizeof(int) * words);
    h->mass = arena_raw(a, sizeof(double) * (words + 1));
    adaptive_rank_words(h, data->freq, a);
    h->K = cutoffs_find(cut, spec_str(s, "cutoffs"), h->mass, V, d, a, &why);
    if (!h->K) return params_fail(ps, why);
    h->J = cut[0];
    h->top = adaptive_short_new(h, s, ps, a);
    for (int i = 0; i < h->K; i++) {
        adaptive_add_tail(h, s, ps, i, cut[i], cut[i + 1]);
        if (h->tail[i].k > widest) widest = h->tail[i].k;
    }
    h->chunk = head_chunk(h->J + h->K + widest);
    h->train = adaptive_block_new(h, widest, a);
    h->eval = adaptive_block_new(h, widest, a);
    h->lp = arena_raw(a, sizeof(float) * words);
    h->z1 = arena_raw(a, sizeof(float) * (size_t)(h->J + h->K > widest ? h->J + h->K : widest));
    h->p1 = arena_raw(a, sizeof(float) * (size_t)h->tail[0].d);
    return h;
}

static int adaptive_chunk(const void *h) { return ((const Adaptive *)h)->chunk; }

/* ---- the short list ---- */

static const float *adaptive_short_rows(const Adaptive *h)
{
    Short *s = h->top;
    const size_t d = (size_t)h->d;
    if (!s->words) return s->own->v;
    if (s->own_version == s->own->version && s->words_version == s->words->version) return s->v;
    for (int r = 0; r < h->J; r++)
        memcpy(s->v + (size_t)r * d, s->words->v + (size_t)h->word[r] * d, sizeof(float) * d);
    memcpy(s->v + (size_t)h->J * d, s->own->v, sizeof(float) * (size_t)h->K * d);
    s->own_version = s->own->version;
    s->words_version = s->words->version;
    return s->v;
}

static ShortLevel adaptive_short(const Adaptive *h)
{
    const Short *s = h->top;
    return (ShortLevel){ .own = s->words ? NULL : s->own, .rows = adaptive_short_rows(h),
                         .g = s->g, .k = h->J + h->K, .d = h->d, .by = s->by,
                         .version = s->own->version + (s->words ? s->words->version : 0) };
}

/* Rows of g are added to what they are rows of, and become zero */
static void adaptive_flush_grads(void *head)
{
    const Adaptive *h = head;
    Short *s = h->top;
    const int J = h->J, d = h->d, threads = h->exec->threads;
    if (!s->words) return;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int r = 0; r < J + h->K; r++) {
        Param *p = r < J ? s->words : s->own;
        const long row = r < J ? h->word[r] : r - J;
        float *g = s->g + (size_t)r * (size_t)d;
        if (!p->frozen) {
            h->exec->f->axpy(p->g + row * d, 1, g, d);
            param_touch(p, row);
        }
        memset(g, 0, sizeof(float) * (size_t)d);
    }
}

/* ---- one block ---- */

static void adaptive_plan(const Adaptive *h, Block *b, const float *x, const int *y, int n)
{
    b->x = x;
    b->n = n;
    for (int i = 0; i < n; i++) {
        CHECK(y[i] >= 0 && y[i] < h->V);
        const int r = h->rank[y[i]];
        int g = 0;
        while (g < h->K && r >= h->tail[g].first) g++;
        b->group[i] = g;
        b->short_y[i] = g ? h->J + g - 1 : r;
        b->loss[i] = b->tail_loss[i] = 0;
    }
    head_group(b->group, n, h->K + 1, b->at, b->pos);
    for (int i = b->at[1]; i < n; i++) {
        const int p = b->pos[i];
        b->tail_y[i] = h->rank[y[p]] - h->tail[b->group[p] - 1].first;
        memcpy(b->xs + (size_t)i * h->d, x + (size_t)p * h->d, sizeof(float) * (size_t)h->d);
    }
}

/* eps < 0: only exact losses */
static double adaptive_see_block(const Adaptive *h, Block *b, const float *x, const int *y, int n,
                                 double eps)
{
    const ShortLevel top = adaptive_short(h);
    adaptive_plan(h, b, x, y, n);
    short_level_forward(h->exec, &top, x, b->short_y, n, eps, b->zs, b->loss);
    float *z = b->z;
    for (int i = 0; i < h->K; i++) {
        const Tail *t = &h->tail[i];
        const int first = b->at[i + 1], m = b->at[i + 2] - first;
        if (!m) continue;
        tail_level_forward(h->exec, &t->level, b->xs + (size_t)first * h->d, b->tail_y + first, m,
                           eps, b->p + (size_t)first * h->tail[0].d, z, b->tail_loss + first);
        z += (size_t)m * t->k;
    }
    double sum = 0;
    for (int i = b->at[1]; i < n; i++) b->loss[b->pos[i]] += b->tail_loss[i];
    for (int i = 0; i < n; i++) sum += b->loss[i];
    return sum;
}

static double adaptive_forward(void *head, const float *x, const int *y, int n)
{
    Adaptive *h = head;
    CHECK(n >= 1 && n <= h->chunk);
    return adaptive_see_block(h, h->train, x, y, n, h->eps);
}

static void adaptive_backward(void *head, float *dx, float scale)
{
    Adaptive *h = head;
    const Block *b = h->train;
    const ShortLevel top = adaptive_short(h);
    const int d = h->d;
    short_level_backward(h->exec, &top, b->x, b->zs, b->n, scale, dx);
    const float *z = b->z;
    for (int i = 0; i < h->K; i++) {
        const Tail *t = &h->tail[i];
        const int first = b->at[i + 1], m = b->at[i + 2] - first;
        if (!m) continue;
        tail_level_backward(h->exec, &t->level, b->xs + (size_t)first * d,
                            b->p + (size_t)first * h->tail[0].d, z, m, scale, b->dp,
                            b->dxs + (size_t)first * d);
        z += (size_t)m * t->k;
    }
    for (int i = b->at[1]; i < b->n; i++)
        h->exec->f->axpy(dx + (size_t)b->pos[i] * d, 1, b->dxs + (size_t)i * d, d);
}

static double adaptive_nll(const void *head, const float *x, const int *y, int n, float *out)
{
    const Adaptive *h = head;
    double sum = 0;
    for (int at = 0; at < n; at += h->chunk) {
        const int m = n - at < h->chunk ? n - at : h->chunk;
        sum += adaptive_see_block(h, h->eval, x + (size_t)at * h->d, y + at, m, -1);
        if (out) for (int i = 0; i < m; i++) out[at + i] = (float)h->eval->loss[i];
    }
    return sum;
}

/* The loss of the short list's softmax; for words of the short list that is all. */
static void adaptive_class_nll(const void *head, const float *x, const int *y, int n,
                               float *class_nll)
{
    const Adaptive *h = head;
    const Block *b = h->eval;
    const ShortLevel top = adaptive_short(h);
    for (int at = 0; at < n; at += h->chunk) {
        const int m = n - at < h->chunk ? n - at : h->chunk;
        adaptive_plan(h, h->eval, x + (size_t)at * h->d, y + at, m);
        short_level_forward(h->exec, &top, b->x, b->short_y, m, -1, b->zs, b->loss);
        for (int i = 0; i < m; i++) class_nll[at + i] = (float)b->loss[i];
    }
}

/* ---- one position ---- */

/* z (rows) = log softmax(w x) */
static void adaptive_level(const Adaptive *h, float *z, const float *w, int rows, int d,
                           const float *x)
{
    head_dots(h->exec, z, w, x, rows, d);
    h->exec->f->affine(z, 1, -(float)head_lse(h->exec->f, z, rows), rows);
}

static void adaptive_tail_level(const Adaptive *h, float *z, const Tail *t, const float *x)
{
    head_dots(h->exec, h->p1, t->level.proj->v, x, t->d, h->d);
    adaptive_level(h, z, t->level.out->v, t->k, t->d, h->p1);
}

static void adaptive_logprob(const void *head, const float *x, float *lp)
{
    const Adaptive *h = head;
    float *z = h->z1, of_tail[MOST_TAILS];
    adaptive_level(h, z, adaptive_short_rows(h), h->J + h->K, h->d, x);
    memcpy(of_tail, z + h->J, sizeof(float) * (size_t)h->K);
    for (int r = 0; r < h->J; r++) lp[h->word[r]] = z[r];
    for (int i = 0; i < h->K; i++) {
        const Tail *t = &h->tail[i];
        adaptive_tail_level(h, z, t, x);
        for (int k = 0; k < t->k; k++) lp[h->word[t->first + k]] = of_tail[i] + z[k];
    }
}

/* Short list, then tail. Only at temperature 1 does that factor: others use all probabilities. */
static int adaptive_sample(const void *head, const float *x, double temperature, Rng *rng)
{
    const Adaptive *h = head;
    if (temperature != 1) {
        adaptive_logprob(h, x, h->lp);
        return head_pick(h->lp, h->V, temperature, rng);
    }
    adaptive_level(h, h->z1, adaptive_short_rows(h), h->J + h->K, h->d, x);
    const int r = head_pick(h->z1, h->J + h->K, 1, rng);
    if (r < h->J) return h->word[r];
    const Tail *t = &h->tail[r - h->J];
    adaptive_tail_level(h, h->z1, t, x);
    return h->word[t->first + head_pick(h->z1, t->k, 1, rng)];
}

/* Expected over the training counts. Per chunk every weight is read twice, its gradient read and
 * written; every logit is written, read and rewritten as a gradient, and read by two products. */
static Cost adaptive_cost(const void *head, int n)
{
    const Adaptive *h = head;
    const double top = h->J + h->K, d = h->d, chunks = ceil((double)n / h->chunk);
    double products = top * d, logits = top, weights = top * d;
    for (int i = 0; i < h->K; i++) {
        const Tail *t = &h->tail[i];
        const double share = h->mass[t->first + t->k] - h->mass[t->first],
                     w = (double)t->d * (d + t->k);
        products += share * w;
        logits += share * t->k;
        weights += w;
    }
    return (Cost){ 6.0 * n * products, sizeof(float) * (4 * chunks * weights + 5.0 * n * logits) };
}

const HeadDef head_adaptive = {
    "adaptive",
    "a short list and projected tails",
    "Grave et al. 2017, arXiv 1609.04309",
    1,
    .make = adaptive_make,
    .chunk = adaptive_chunk,
    .forward = adaptive_forward,
    .backward = adaptive_backward,
    .flush_grads = adaptive_flush_grads,
    .nll = adaptive_nll,
    .class_nll = adaptive_class_nll,
    .logprob = adaptive_logprob,
    .sample = adaptive_sample,
    .cost = adaptive_cost,
};
