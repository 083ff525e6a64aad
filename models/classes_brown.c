/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Classes that the previous word predicts best: the exchange algorithm (Kneser, Ney 1993; Martin,
 * Liermann, Ney 1998) on the one-sided class bigram p(w | v) = p(c(w) | v) p(w | c(w)) (Uszkoreit,
 * Brants 2008), which has the form of a tree's two softmaxes with v in place of all that precedes.
 * The part of its log-likelihood that depends on the classes is
 *
 *   L = sum over v, c of N(v, c) ln N(v, c)  -  sum over c of N(c) ln N(c)
 *
 * N(v, c): how often v precedes a word of class c; v is one of the CONTEXTS most frequent words, or
 * any other. The C most frequent words begin one class each; every further word, by falling count,
 * joins the class where L ends highest; then words move, one at a time, wherever that raises L.
 * Words seen fewer than RARE times stay where they were put: a move needs more evidence. Words
 * never seen go where they cost least.
 *
 * Gains are computed for BATCH words at once, over threads, against the same counts; the moves are
 * then made one after the other, each only if it still raises L. So the result does not depend on
 * the number of threads. */
#include "models/classes_parts.h"
#include "models/cooc.h"
#include <math.h>
#include <string.h>

/* a pass that moves at most 1/STILL of the words is the last */
enum { CONTEXTS = 4096, RARE = 10, BATCH = 256, PASSES = 15, STILL = 500, TABLE = 1 << 16 };
/* terms of L computed by all passes together: under a minute on two threads */
static const double BROWN_WORK = 2e10;

typedef struct {
    const Lexicon *l;
    const Exec    *exec;
    const Sparse  *m;          /* (V, CONTEXTS + 1) predecessors */
    Room     room;
    int     *n;                /* (contexts, C) N(v, c) */
    long    *total, *sum;      /* (C) N(c); (V) N(w) */
    int     *class_of;         /* (V), -1: none yet */
    double  *xlogx;            /* (TABLE) x ln x of small x */
    double  *gain;             /* (threads, C) */
    int     *best;             /* (BATCH) */
} Brown;

static inline double brown_term(const Brown *b, long x)
{
    return x < TABLE ? b->xlogx[x] : (double)x * log((double)x);
}

/* What L loses when w leaves class c */
static double brown_loss_of(const Brown *b, int w, int c)
{
    const Sparse *m = b->m;
    double loss = brown_term(b, b->total[c] - b->sum[w]) - brown_term(b, b->total[c]);
    for (long i = m->at[w]; i < m->at[w + 1]; i++) {
        const int n = b->n[(size_t)m->col[i] * b->l->C + c];
        loss += brown_term(b, n) - brown_term(b, n - (long)m->v[i]);
    }
    return loss;
}

/* What L gains when w, now in none, joins class c */
static double brown_gain_of(const Brown *b, int w, int c)
{
    const Sparse *m = b->m;
    double gain = brown_term(b, b->total[c]) - brown_term(b, b->total[c] + b->sum[w]);
    for (long i = m->at[w]; i < m->at[w + 1]; i++) {
        const int n = b->n[(size_t)m->col[i] * b->l->C + c];
        gain += brown_term(b, n + (long)m->v[i]) - brown_term(b, n);
    }
    return gain;
}

/* gain (C): brown_gain_of every class, row by row of the counts */
static void brown_gains(const Brown *b, int w, double *gain)
{
    const Sparse *m = b->m;
    const int C = b->l->C;
    for (int c = 0; c < C; c++)
        gain[c] = brown_term(b, b->total[c]) - brown_term(b, b->total[c] + b->sum[w]);
    for (long i = m->at[w]; i < m->at[w + 1]; i++) {
        const int *n = b->n + (size_t)m->col[i] * C;
        const long more = (long)m->v[i];
        for (int c = 0; c < C; c++) gain[c] += brown_term(b, n[c] + more) - brown_term(b, n[c]);
    }
}

/* The best class with room for w; its own, if that is as good as the best */
static int brown_choose(const Brown *b, int w, double *gain)
{
    const int own = b->class_of[w];
    double most = -INFINITY;
    int best = own;
    brown_gains(b, w, gain);
    if (own >= 0) most = brown_loss_of(b, w, own);
    for (int c = 0; c < b->l->C; c++) {
        const int better = c != own && gain[c] > most + 1e-9 * fabs(most);
        if (!better || !room_fits(&b->room, c, b->l->share[w])) continue;
        most = gain[c];
        best = c;
    }
    return best;
}

/* w joins class c (sign 1) or leaves it (-1) */
static void brown_count(Brown *b, int w, int c, int sign)
{
    const Sparse *m = b->m;
    int *n = b->n + c;
    for (long i = m->at[w]; i < m->at[w + 1]; i++)
        n[(size_t)m->col[i] * b->l->C] += sign * (int)m->v[i];
    b->total[c] += sign * b->sum[w];
    if (sign > 0) room_add(&b->room, c, b->l->share[w]);
    else room_remove(&b->room, c, b->l->share[w]);
    b->class_of[w] = sign > 0 ? c : -1;
}

/* Moves words whose best (n) was chosen against earlier counts, if it still raises L. How many */
static int brown_move(Brown *b, const int *word, int n)
{
    int moved = 0;
    for (int i = 0; i < n; i++) {
        const int w = word[i], own = b->class_of[w];
        const int fits = b->best[i] >= 0 && room_fits(&b->room, b->best[i], b->l->share[w]);
        if (own < 0) {
            int c = fits ? b->best[i] : brown_choose(b, w, b->gain);
            if (c < 0) c = room_least(&b->room, b->l->share[w]);
            brown_count(b, w, c, 1);
        } else if (b->best[i] != own && fits && b->room.words[own] > 1) {
            const double stays = brown_loss_of(b, w, own);
            if (brown_gain_of(b, w, b->best[i]) <= stays + 1e-9 * fabs(stays)) continue;
            brown_count(b, w, own, -1);
            brown_count(b, w, b->best[i], 1);
            moved++;
        }
    }
    return moved;
}

/* One pass over word (n), in batches. How many move */
static int brown_pass(Brown *b, const int *word, int n)
{
    int moved = 0;
    for (int from = 0; from < n; from += BATCH) {
        const int end = n - from < BATCH ? n - from : BATCH, threads = b->exec->threads;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (int t = 0; t < threads; t++) {
            double *gain = b->gain + (size_t)t * (size_t)b->l->C;
            for (int i = t; i < end; i += threads)
                b->best[i] = brown_choose(b, word[from + i], gain);
        }
        moved += brown_move(b, word + from, end);
    }
    return moved;
}

static Brown *brown_new(const Lexicon *l, const Exec *e, int *class_of, Arena *a)
{
    const Window before = { -1, -1, l->V < CONTEXTS ? l->V : CONTEXTS, 0 };
    const size_t C = (size_t)l->C;
    Brown *b = arena_get(a, sizeof *b);
    *b = (Brown){ .l = l, .exec = e, .class_of = class_of, .room = room_new(l, a) };
    b->m = cooc_count(e, l->data, &before, a);
    b->n = arena_get(a, sizeof *b->n * (size_t)b->m->cols * C);
    b->total = arena_get(a, sizeof *b->total * C);
    b->sum = arena_get(a, sizeof *b->sum * (size_t)l->V);
    b->xlogx = arena_get(a, sizeof *b->xlogx * TABLE);
    b->gain = arena_raw(a, sizeof *b->gain * C * (size_t)e->threads);
    b->best = arena_raw(a, sizeof *b->best * BATCH);
    for (int x = 2; x < TABLE; x++) b->xlogx[x] = x * log(x);
    for (int v = 0; v < l->V; v++) {
        class_of[v] = -1;
        for (long i = b->m->at[v]; i < b->m->at[v + 1]; i++) b->sum[v] += (long)b->m->v[i];
    }
    return b;
}

void classes_brown(const Lexicon *l, const Exec *e, int *class_of, Arena *a)
{
    const size_t mark = a->used;
    Brown *b = brown_new(l, e, class_of, a);
    int seen = 0, common = 0;
    long terms = 0;
    while (seen < l->V && l->data->freq[l->by_count[seen]] > 0) seen++;
    while (common < seen && l->data->freq[l->by_count[common]] >= RARE) common++;
    for (int i = 0; i < l->C; i++) brown_count(b, l->by_count[i], i, 1);
    if (seen > l->C) brown_pass(b, l->by_count + l->C, seen - l->C);
    for (int i = seen > l->C ? seen : l->C; i < l->V; i++)
        brown_count(b, l->by_count[i], room_least(&b->room, l->share[l->by_count[i]]), 1);
    for (int i = 0; i < common; i++)
        terms += b->m->at[l->by_count[i] + 1] - b->m->at[l->by_count[i]];
    const double passes = BROWN_WORK / ((double)terms * l->C + 1);
    for (int p = 0; p < PASSES && p < passes; p++)
        if (brown_pass(b, l->by_count, common) <= common / STILL) break;
    arena_reset(a, mark);
}
