/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Counting takes the positions of one word after the other, so that a thread needs no more than one
 * row of counters, and each row belongs to one thread. Two passes: the first finds the lengths of
 * the rows, the second fills them. */
#include "models/cooc.h"
#include <math.h>
#include <string.h>

enum { SLICE = 16 };       /* columns of a product go to threads in whole SIMD vectors */

typedef struct {
    TokenIds      tok;
    const Window *w;
    int       n, cols;
    uint32_t *pos;         /* (n) positions, word after word */
    long     *at;          /* (V+1) where the positions of a word begin */
    int      *rank;        /* (V) column of a context word */
} Index;

/* Lists positions by word: a counting sort */
static void cooc_index_positions(Index *x, int V)
{
    memset(x->at, 0, sizeof *x->at * (size_t)(V + 1));
    for (int i = 0; i < x->n; i++) x->at[token_id(x->tok, i) + 1]++;
    for (int v = 0; v < V; v++) x->at[v + 1] += x->at[v];
    for (int i = 0; i < x->n; i++) x->pos[x->at[token_id(x->tok, i)]++] = (uint32_t)i;
    /* every at[v] has moved to the end of its word's positions */
    for (int v = V; v > 0; v--) x->at[v] = x->at[v - 1];
    x->at[0] = 0;
}

static void cooc_rank_contexts(Index *x, const HeadData *d, Arena *a)
{
    const size_t mark = a->used;
    HeadRank *r = arena_raw(a, sizeof *r * (size_t)d->V);
    head_rank(r, d->freq, d->V);
    for (int i = 0; i < d->V; i++) x->rank[r[i].word] = i < x->w->contexts ? i : x->w->contexts;
    arena_reset(a, mark);
}

/* Counts the contexts of word v into count (cols); how many columns are not zero */
static int cooc_count_row(const Index *x, int v, int *count)
{
    int used = 0;
    memset(count, 0, sizeof *count * (size_t)x->cols);
    for (long k = x->at[v]; k < x->at[v + 1]; k++) {
        int base = 0;
        for (int o = x->w->first; o <= x->w->last; o++) {
            const int p = (int)x->pos[k] + o;
            if (!o) continue;
            if (p >= 0 && p < x->n) used += !count[base + x->rank[token_id(x->tok, p)]]++;
            if (x->w->apart) base += x->w->contexts + 1;
        }
    }
    return used;
}

static void cooc_fill_row(const Sparse *m, int v, const int *count)
{
    long k = m->at[v];
    for (int c = 0; c < m->cols; c++) {
        if (!count[c]) continue;
        m->col[k] = c;
        m->v[k++] = (float)count[c];
    }
}

static void cooc_count_rows(const Exec *e, const Index *x, const Sparse *m, int filling, int *room)
{
#pragma omp parallel for num_threads(e->threads) schedule(static, 1)
    for (int t = 0; t < e->threads; t++) {
        int *count = room + (size_t)t * (size_t)x->cols;
        for (int v = t; v < m->rows; v += e->threads) {
            const int used = cooc_count_row(x, v, count);
            if (filling) cooc_fill_row(m, v, count);
            else m->at[v + 1] = used;
        }
    }
}

Sparse *cooc_count(const Exec *e, const HeadData *d, const Window *w, Arena *a)
{
    const int offsets = w->apart ? w->last - w->first + (w->first > 0 || w->last < 0) : 1;
    const int cols = offsets * (w->contexts + 1);
    const long n = d->n < COOC_TEXT ? d->n : COOC_TEXT;
    Sparse *m = arena_get(a, sizeof *m);
    *m = (Sparse){ .rows = d->V,
                   .cols = cols,
                   .at = arena_get(a, sizeof *m->at * (size_t)(d->V + 1)) };
    const size_t mark = a->used;
    Index x = { .tok = d->tok, .w = w, .n = (int)n, .cols = cols };
    x.pos = arena_raw(a, sizeof *x.pos * (size_t)n);
    x.at = arena_raw(a, sizeof *x.at * (size_t)(d->V + 1));
    x.rank = arena_raw(a, sizeof *x.rank * (size_t)d->V);
    int *room = arena_raw(a, sizeof *room * (size_t)cols * (size_t)e->threads);
    cooc_rank_contexts(&x, d, a);
    cooc_index_positions(&x, d->V);
    cooc_count_rows(e, &x, m, 0, room);
    for (int v = 0; v < d->V; v++) m->at[v + 1] += m->at[v];
    const size_t nnz = (size_t)m->at[d->V];
    int *col = m->col = arena_raw(a, sizeof *m->col * nnz);
    float *v = m->v = arena_raw(a, sizeof *m->v * nnz);
    cooc_count_rows(e, &x, m, 1, room);
    arena_reset(a, mark);                              /* the result moves to where the index was */
    m->col = memmove(arena_raw(a, sizeof *col * nnz), col, sizeof *col * nnz);
    m->v = memmove(arena_raw(a, sizeof *v * nnz), v, sizeof *v * nnz);
    return m;
}

void cooc_ppmi(Sparse *m, Arena *a)
{
    const size_t mark = a->used;
    double *row = arena_get(a, sizeof *row * (size_t)m->rows), smooth = 0;
    double *col = arena_get(a, sizeof *col * (size_t)m->cols);
    for (int r = 0; r < m->rows; r++)
        for (long k = m->at[r]; k < m->at[r + 1]; k++) {
            row[r] += (double)m->v[k];
            col[m->col[k]] += (double)m->v[k];
        }
    for (int c = 0; c < m->cols; c++) smooth += pow(col[c], 0.75);
    long to = 0, from = 0;
    for (int r = 0; r < m->rows; r++) {
        const long end = m->at[r + 1];
        for (; from < end; from++) {
            const double n = (double)m->v[from], c = col[m->col[from]],
                         least = c < row[r] ? c : row[r];
            const double pmi = log(n * smooth / (row[r] * pow(c, 0.75)));
            if (pmi <= 0) continue;
            m->col[to] = m->col[from];
            m->v[to++] = (float)(pmi * n / (n + 1) * least / (least + 1));
        }
        m->at[r + 1] = to;
    }
    arena_reset(a, mark);
}

double cooc_sumsq(const Sparse *m)
{
    double sum = 0;
    for (long k = 0; k < m->at[m->rows]; k++) sum += (double)m->v[k] * (double)m->v[k];
    return sum;
}

static void cooc_times(const Exec *e, const void *a, const float *x, int k, float *y)
{
    const Sparse *m = a;
#pragma omp parallel for num_threads(e->threads) schedule(dynamic, 256)
    for (int r = 0; r < m->rows; r++) {
        float *yr = y + (size_t)r * k;
        memset(yr, 0, sizeof *y * (size_t)k);
        for (long i = m->at[r]; i < m->at[r + 1]; i++)
            e->f->axpy(yr, m->v[i], x + (size_t)m->col[i] * k, k);
    }
}

/* Threads share the columns of x and take every row, so there is no race; sums are in row order. */
static void cooc_times_t(const Exec *e, const void *a, const float *x, int k, float *y)
{
    const Sparse *m = a;
    const int parts = e->threads;
    memset(y, 0, sizeof *y * (size_t)m->cols * (size_t)k);
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int t = 0; t < parts; t++) {
        long lo, hi;
        part(k, t, parts, SLICE, &lo, &hi);
        for (int r = 0; r < m->rows && lo < hi; r++)
            for (long i = m->at[r]; i < m->at[r + 1]; i++)
                e->f->axpy(y + (size_t)m->col[i] * k + lo, m->v[i], x + (size_t)r * k + lo,
                           hi - lo);
    }
}

LinearMap cooc_map(const Sparse *m)
{
    return (LinearMap){ m->rows, m->cols, m, cooc_times, cooc_times_t };
}
