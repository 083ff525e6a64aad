/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/head_filter.h"
#include <stdlib.h>
#include <string.h>

Filter *filter_new(double delta, int V, int chunk, Arena *a)
{
    Filter *f = arena_get(a, sizeof *f);
    f->delta = delta;
    f->blocks = (V + FULL_BLOCK - 1) / FULL_BLOCK;
    const size_t blocks = (size_t)f->blocks, n = (size_t)chunk;
    const size_t groups = (n + FILTER_GROUP - 1) / FILTER_GROUP;
    f->lse = arena_raw(a, sizeof(float) * blocks * n);
    f->keep = arena_raw(a, groups * blocks);
    f->rank = arena_raw(a, sizeof(FilterRank) * groups * blocks);
    f->dropped = arena_raw(a, sizeof(double) * n);
    f->skipped = arena_raw(a, sizeof(int) * groups);
    return f;
}

static int filter_by_top(const void *a, const void *b)
{
    const FilterRank *p = a, *q = b;
    return p->top != q->top ? (p->top > q->top) - (p->top < q->top) : p->block - q->block;
}

/* m (n) of one block, dropped (n) so far: 1 when every position may lose the block */
static int filter_fits(const float *m, const double *dropped, int n, double delta)
{
    for (int i = 0; i < n; i++)
        if (dropped[i] + (double)m[i] > delta) return 0;
    return 1;
}

/* group g: positions [i0, i0 + m) of n */
static void filter_choose_group(Filter *f, const F32 *f32, const float *total, int g, int n)
{
    const int i0 = g * FILTER_GROUP, m = n - i0 < FILTER_GROUP ? n - i0 : FILTER_GROUP;
    FilterRank *rank = f->rank + (size_t)g * f->blocks;
    char *keep = memset(f->keep + (size_t)g * f->blocks, 1, (size_t)f->blocks);
    f->skipped[g] = 0;
    for (int i = i0; i < i0 + m; i++) f->dropped[i] = 0;
    for (int b = 0; b < f->blocks; b++) {
        float *mass = f->lse + (size_t)b * n + i0;
        for (int i = 0; i < m; i++) mass[i] -= total[i0 + i];
        f32->exp(mass, mass, m, 0);
        rank[b] = (FilterRank){ f32->max(mass, m), b };
    }
    qsort(rank, (size_t)f->blocks, sizeof *rank, filter_by_top);
    for (int k = 0; k < f->blocks && (double)rank[k].top <= f->delta; k++) {
        const float *mass = f->lse + (size_t)rank[k].block * n + i0;
        if (!filter_fits(mass, f->dropped + i0, m, f->delta)) continue;
        for (int i = 0; i < m; i++) f->dropped[i0 + i] += (double)mass[i];
        keep[rank[k].block] = 0;
        f->skipped[g]++;
    }
}

void filter_choose(Filter *f, const Exec *e, const float *total, int n)
{
    const int groups = (n + FILTER_GROUP - 1) / FILTER_GROUP;
    double skips = 0;
#pragma omp parallel for num_threads(e->threads) schedule(static)
    for (int g = 0; g < groups; g++) filter_choose_group(f, e->f, total, g, n);
    for (int g = 0; g < groups; g++) skips += f->skipped[g];
    for (int i = 0; i < n; i++) f->mass += f->dropped[i];
    f->share = skips / ((double)groups * f->blocks);
    f->skips += skips;
    f->pairs += (double)groups * f->blocks;
    f->positions += n;
}
