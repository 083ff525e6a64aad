/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Each thread owns a contiguous range of the V rows and walks it in tiles, so that a tile of E and
 * of logits stays in its cache. Every thread carries its own running maximum and sum of
 * exponentials (Milakov, Gimelshein 2018, arXiv 1805.02867); they are merged in the order of the
 * threads.
 *
 * Quantisers of E, weights alone (arXiv 2406.02528, BitLinear):
 *   int8     per row:    s = 127 / max(absmax, 1e-5); round(w s) / s
 *   ternary  per tensor: a = max(mean|w|, 1e-5);      a clamp(round(w / a), -1, 1) */
#include "models/head_full.h"
#include <math.h>
#include <string.h>

Full *full_new(const Exec *e, Param *w, int most, Arena *a)
{
    Full *f = arena_get(a, sizeof *f);
    const size_t threads = (size_t)e->threads, n = (size_t)(most > FULL_EVAL ? most : FULL_EVAL);
    *f = (Full){ .exec = e, .w = w, .V = w->rows, .d = w->cols, .grain = 16 };
    f->stat = arena_raw(a, sizeof(FullStat) * threads * n);
    f->target = arena_raw(a, sizeof(float) * n);
    f->scan = arena_raw(a, sizeof(float) * threads * FULL_EVAL * FULL_TILE);
    f->lp = arena_raw(a, sizeof(float) * (size_t)f->V);
    return f;
}

/* ---- the matrix ---- */

static void full_need_copy(Full *f, Arena *a)
{
    if (!f->copy) f->copy = arena_raw(a, sizeof(float) * (size_t)f->V * (size_t)f->d);
}

void full_by_count(Full *f, const long *freq, int tied, Arena *a)
{
    const size_t ints = sizeof(int) * (size_t)f->V;
    int *word = arena_raw(a, ints), *row = arena_raw(a, ints);
    f->z = arena_raw(a, sizeof(float) * (size_t)f->V);
    const size_t mark = a->used;
    HeadRank *rank = arena_raw(a, sizeof *rank * (size_t)f->V);
    head_rank(rank, freq, f->V);
    for (int r = 0; r < f->V; r++) row[word[r] = rank[r].word] = r;
    arena_reset(a, mark);
    f->word = word;
    f->row = row;
    if (!tied) return;
    f->from = word;
    full_need_copy(f, a);
}

void full_quantise(Full *f, FullQuant quant, Arena *a)
{
    f->quant = quant;
    if (quant == FULL_F32) return;
    f->codes = arena_raw(a, (size_t)f->exec->threads * (size_t)f->d);
    f->part = arena_raw(a, sizeof(double) * (size_t)f->exec->threads);
    full_need_copy(f, a);
}

void full_range(const Full *f, int t, int *r0, int *r1)
{
    long lo, hi;
    part(f->V, t, f->exec->threads, f->grain, &lo, &hi);
    *r0 = (int)lo;
    *r1 = (int)hi;
}

static float full_mean_abs(const Full *f)
{
    const int threads = f->exec->threads;
    double sum = 0;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        int r0, r1;
        full_range(f, t, &r0, &r1);
        f->part[t] = f->exec->f->sumabs(f->w->v + (size_t)r0 * f->d, (long)(r1 - r0) * f->d);
    }
    for (int t = 0; t < threads; t++) sum += f->part[t];
    return (float)(sum / (double)f->w->n);
}

/* to (d) = the row v (d) in the form that is multiplied, by thread t; a: the scale of ternary */
static void full_copy_row(const Full *f, float *to, const float *v, float a, int t)
{
    const int d = f->d;
    int8_t *codes;
    float inv = 1 / a;
    switch (f->quant) {
    case FULL_F32:
        memcpy(to, v, sizeof *to * (size_t)d);
        break;
    case FULL_INT8:
        codes = f->codes + (size_t)t * d;
        f->exec->f->quant_rows(codes, &inv, v, 1, d, 8);
        for (int k = 0; k < d; k++) to[k] = inv * (float)codes[k];
        break;
    case FULL_TERNARY:
        for (int k = 0; k < d; k++) {
            const float q = rintf(v[k] * inv);
            to[k] = q < -1 ? -a : q > 1 ? a : a * q;
        }
    }
}

const float *full_matrix(Full *f)
{
    const int threads = f->exec->threads;
    if (!f->copy) return f->w->v;
    if (f->version == f->w->version) return f->copy;
    const float mean = f->quant == FULL_TERNARY ? full_mean_abs(f) : 1;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        int r0, r1;
        full_range(f, t, &r0, &r1);
        for (int r = r0; r < r1; r++) {
            const float *v = f->w->v + (size_t)(f->from ? f->from[r] : r) * f->d;
            full_copy_row(f, f->copy + (size_t)r * f->d, v, mean > 1e-5f ? mean : 1e-5f, t);
        }
    }
    f->version = f->w->version;
    return f->copy;
}

/* ---- the pass ---- */

/* One row of logits z (rows) becomes exp(z - max), whose sum is returned; log sum exp of z over
 * block b goes to blocks[b n]. */
static double full_exp_row(const F32 *f, float *z, int rows, float max, float *blocks, int n)
{
    double sum = 0;
    if (!blocks) return (double)f->exp(z, z, rows, max);
    for (int k = 0; k < rows; k += FULL_BLOCK, blocks += n) {
        const int width = rows - k < FULL_BLOCK ? rows - k : FULL_BLOCK;
        const double part = (double)f->exp(z + k, z + k, width, max);
        *blocks = (float)((double)max + log(part));
        sum += part;
    }
    return sum;
}

static void full_add_exps(FullStat *s, double max, double sum)
{
    const double most = max > s->max ? max : s->max;
    s->sum = s->sum * exp(s->max - most) + sum * exp(max - most);
    s->max = most;
}

typedef struct { const float *e, *x; const int *y; int n; const FullKeep *keep; } Pass;

/* Thread t: the logits of rows [r0, r0 + rows) into z (n, rows), and their part of every position's
 * statistics. */
static void full_see_tile(const Full *f, const Pass *p, float *z, int t, int r0, int rows)
{
    const F32 *f32 = f->exec->f;
    const FullKeep *k = p->keep;
    FullStat *stat = f->stat + (size_t)t * p->n;
    float *shift = k ? full_shift(k, t, r0, p->n) : NULL,
          *blocks = k && k->blocks ? k->blocks + (size_t)(r0 / FULL_BLOCK) * p->n : NULL;
    gemm1(f->exec->head, 'N', 'T', p->n, rows, f->d, 1, p->x, f->d, p->e + (size_t)r0 * f->d, f->d,
          0, z, rows);
    for (int i = 0; i < p->n; i++, z += rows) {
        const int target = full_row(f, p->y[i]);
        if (target >= r0 && target < r0 + rows) f->target[i] = z[target - r0];
        if (!k) {
            const float max = f32->max(z, rows);
            full_add_exps(&stat[i], (double)max, (double)f32->sumexp(z, rows, max));
            continue;
        }
        float total;
        shift[i] = f32->max_sum(&total, z, rows);
        stat[i].total += (double)total;
        full_add_exps(&stat[i], (double)shift[i],
                      full_exp_row(f32, z, rows, shift[i], blocks ? blocks + i : NULL, p->n));
    }
}

static void full_merge(const Full *f, int n)
{
    for (int i = 0; i < n; i++) {
        FullStat all = f->stat[i];
        for (int t = 1; t < f->exec->threads; t++) {
            const FullStat s = f->stat[(size_t)t * n + i];
            if (s.sum == 0) continue;      /* a thread without rows */
            full_add_exps(&all, s.max, s.sum);
            all.total += s.total;
        }
        f->stat[i] = all;
    }
}

size_t full_tiles(const Full *f) { return (size_t)(f->V / FULL_TILE + f->exec->threads + 1); }

void full_pass(Full *f, const float *x, const int *y, int n, const FullKeep *keep)
{
    const int threads = f->exec->threads;
    const Pass p = { full_matrix(f), x, y, n, keep };
    CHECK(keep || n <= FULL_EVAL);
    CHECK(!keep || !keep->blocks || f->grain == FULL_BLOCK);
    for (int i = 0; i < n; i++) CHECK(y[i] >= 0 && y[i] < f->V);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        int r0, r1;
        full_range(f, t, &r0, &r1);
        for (int i = 0; i < n; i++) f->stat[(size_t)t * n + i] = (FullStat){ -INFINITY, 0, 0 };
        for (int r = r0; r < r1; r += FULL_TILE) {
            float *z = keep ? keep->exps + (size_t)r * n
                            : f->scan + (size_t)t * FULL_EVAL * FULL_TILE;
            full_see_tile(f, &p, z, t, r, r1 - r < FULL_TILE ? r1 - r : FULL_TILE);
        }
    }
    full_merge(f, n);
}

/* ---- evaluation ---- */

double full_nll(Full *f, const float *x, const int *y, int n, float *out)
{
    double sum = 0;
    for (int at = 0; at < n; at += FULL_EVAL) {
        const int m = n - at < FULL_EVAL ? n - at : FULL_EVAL;
        full_pass(f, x + (size_t)at * f->d, y + at, m, NULL);
        for (int i = 0; i < m; i++) {
            const double one = f->stat[i].max + log(f->stat[i].sum) - (double)f->target[i];
            if (out) out[at + i] = (float)one;
            sum += one;
        }
    }
    return sum;
}

void full_logprob(Full *f, const float *x, float *lp)
{
    float *z = f->word ? f->z : lp;
    head_dots(f->exec, z, full_matrix(f), x, f->V, f->d);
    f->exec->f->affine(z, 1, -(float)head_lse(f->exec->f, z, f->V), f->V);
    if (f->word) for (int r = 0; r < f->V; r++) lp[f->word[r]] = z[r];
}

int full_sample(Full *f, const float *x, double temperature, Rng *rng)
{
    full_logprob(f, x, f->lp);
    return head_pick(f->lp, f->V, temperature, rng);
}
