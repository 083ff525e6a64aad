/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/softmax_level.h"
#include <math.h>
#include <string.h>

struct SoftmaxLevelPass {
    int     kept, n;             /* positions deferred; of the last forward, stored after them */
    int    *group;               /* (room) of a position; l->groups: not in this level */
    size_t *zat;                 /* (room+1) where the logits of a position begin */
    float  *z;                   /* logits, then dLoss/dz */
    int    *at, *pos;            /* (groups+2), (room): positions by group, see head_group */
    RowJob *job;                 /* (room) in the order of pos */
};

static int level_size_of(const SoftmaxLevel *l, int g)
{
    return g == l->groups ? 0 : l->start[g + 1] - l->start[g];
}

int softmax_level_most(const SoftmaxLevel *l)
{
    int most = 0;
    for (int g = 0; g < l->groups; g++)
        if (level_size_of(l, g) > most) most = level_size_of(l, g);
    return most;
}

void softmax_level_cut(SoftmaxLevel *l, const double *mass, int rows, Arena *a)
{
    int *start = arena_raw(a, sizeof *start * (size_t)(l->groups + 1)),
        *owner = arena_raw(a, sizeof *owner * (size_t)rows);
    double *sum = arena_get(a, sizeof *sum * (size_t)l->groups), left = 0;
    for (int r = 0; r < rows; r++) left += mass[r];
    for (int g = 0, r = 0; g < l->groups; g++) {
        const int after = l->groups - g - 1;
        const double share = left / (after + 1);
        start[g] = r;
        do {
            sum[g] += mass[r];
            owner[r++] = g;
        } while (r < rows - after && (!after || sum[g] + mass[r] / 2 <= share));
        left -= sum[g];
    }
    start[l->groups] = rows;
    l->start = start;
    l->owner = owner;
    l->mass = sum;
}

SoftmaxLevelPass *softmax_level_pass(const SoftmaxLevel *l, int chunk, int room, Arena *a)
{
    SoftmaxLevelPass *p = arena_get(a, sizeof *p);
    const size_t n = (size_t)(room + chunk);
    p->group = arena_raw(a, sizeof(int) * n);
    p->zat = arena_get(a, sizeof(size_t) * (n + 1));
    p->z = arena_raw(a, sizeof(float) * n * (size_t)softmax_level_most(l));
    p->at = arena_raw(a, sizeof(int) * (size_t)(l->groups + 2));
    p->pos = arena_raw(a, sizeof(int) * n);
    p->job = arena_raw(a, sizeof(RowJob) * n);
    return p;
}

/* The rows of group g; w: the level's values or gradients */
static RowSet level_rows_of(const SoftmaxLevel *l, float *w, int g)
{
    return (RowSet){ l->list ? w : w + (size_t)l->start[g] * (size_t)l->d,
                     l->list ? l->list + l->start[g] : NULL, level_size_of(l, g), l->d };
}

/* ---- many positions ---- */

/* Groups positions [from, from + n) of the stored ones; x (n, d), dx (n, d) or NULL */
static void level_sort(const SoftmaxLevel *l, SoftmaxLevelPass *p, int from, int n, const float *x,
                       float *dx)
{
    head_group(p->group + from, n, l->groups + 1, p->at, p->pos);
    for (int i = 0; i < n; i++) {
        const size_t at = (size_t)p->pos[i] * (size_t)l->d;
        p->job[i] = (RowJob){ x + at, p->z + p->zat[from + p->pos[i]], dx ? dx + at : NULL };
    }
}

static void level_see_group(const SoftmaxLevel *l, const SoftmaxLevelPass *p, int g, const int *row,
                            double eps, double *loss)
{
    const F32 *f = l->exec->f;
    const int first = p->at[g], n = p->at[g + 1] - first;
    const RowJob *j = p->job + first;
    const RowSet rows = level_rows_of(l, l->w->v, g);
    f->rows_dot(j, n, rows);
    for (int i = 0; i < n; i++) {
        const int at = p->pos[first + i], y = row[at] - l->start[g];
        loss[at] += eps < 0 ? head_lse(f, j[i].z, rows.rows) - (double)j[i].z[y]
                            : head_xent(f, j[i].z, rows.rows, y, eps);
    }
    if (eps >= 0) f->rows_mix(j, n, rows);
}

/* A group of one row has probability 1 and is left out. The last groups come first: assignments put
 * the large ones there, which are best begun early. */
void softmax_level_forward(const SoftmaxLevel *l, SoftmaxLevelPass *p, const float *x,
                           const int *row, int n, double eps, double *loss, float *dx)
{
    p->n = n;
    for (int i = 0, at = p->kept; i < n; i++, at++) {
        const int g = row[i] < 0 ? l->groups : l->owner[row[i]], size = level_size_of(l, g);
        p->group[at] = size > 1 ? g : l->groups;
        p->zat[at + 1] = p->zat[at] + (size_t)(size > 1 ? size : 0);
    }
    level_sort(l, p, p->kept, n, x, dx);
#pragma omp parallel for num_threads(l->exec->threads) schedule(dynamic, 1)
    for (int g = l->groups - 1; g >= 0; g--)
        if (p->at[g] < p->at[g + 1]) level_see_group(l, p, g, row, eps, loss);
}

int softmax_level_deferred(const SoftmaxLevelPass *p) { return p->kept; }

void softmax_level_defer(const SoftmaxLevel *l, SoftmaxLevelPass *p, float scale)
{
    const size_t from = p->zat[p->kept];
    l->exec->f->scale(p->z + from, scale, (long)(p->zat[p->kept + p->n] - from));
    p->kept += p->n;
    p->n = 0;
}

void softmax_level_flush(const SoftmaxLevel *l, SoftmaxLevelPass *p, const float *x)
{
    const int n = p->kept;
    p->kept = 0;
    if (!n || l->w->frozen) return;
    level_sort(l, p, 0, n, x, NULL);
#pragma omp parallel for num_threads(l->exec->threads) schedule(dynamic, 1)
    for (int g = l->groups - 1; g >= 0; g--) {
        if (p->at[g] == p->at[g + 1]) continue;
        l->exec->f->rows_add(p->job + p->at[g], p->at[g + 1] - p->at[g],
                             level_rows_of(l, l->w->g, g));
        for (int r = l->start[g]; r < l->start[g + 1]; r++)
            param_touch(l->w, l->list ? l->list[r] : r);
    }
}

/* ---- one position ---- */

void softmax_level_logprob_of(const SoftmaxLevel *l, int g, const float *x, float *z)
{
    const RowSet rows = level_rows_of(l, l->w->v, g);
    l->exec->f->rows_dot(&(RowJob){ x, z, NULL }, 1, rows);
    l->exec->f->affine(z, 1, -(float)head_lse(l->exec->f, z, rows.rows), rows.rows);
}

void softmax_level_logprob(const SoftmaxLevel *l, const float *above, const float *x, float *lp)
{
#pragma omp parallel for num_threads(l->exec->threads) schedule(dynamic, 1)
    for (int g = l->groups - 1; g >= 0; g--) {
        float *z = lp + l->start[g];
        softmax_level_logprob_of(l, g, x, z);
        l->exec->f->affine(z, 1, above[g], level_size_of(l, g));
    }
}

/* n positions use a group with probability 1 - (1 - mass)^n; its rows are then read, and their
 * gradients read and written once for all n. */
Cost softmax_level_cost(const SoftmaxLevel *l, int n, int chunk)
{
    const double d = l->d, chunks = ceil((double)n / chunk);
    double rows = 0, used = 0, flushed = 0;
    for (int g = 0; g < l->groups; g++) {
        const double size = level_size_of(l, g), m = l->mass[g];
        rows += m * size;
        used += size * (1 - pow(1 - m, n < chunk ? n : chunk));
        flushed += size * (1 - pow(1 - m, n));
    }
    return (Cost){ 6.0 * n * d * rows, sizeof(float) * d * (chunks * used + 2 * flushed) };
}
