/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Causal attention of one head, of f32.h; a part of f32_body.h.
 *
 * Keys are taken in tiles of ATTEND_KEYS, which begin at multiples of it; a row of scores exists
 * for one tile, and a running maximum and sum of exponentials make the softmax of all (Milakov,
 * Gimelshein 2018, arXiv 1805.02867). What a row computes, and in which order, follows from its
 * position alone: a token that is decoded by itself gives the bits that it gives among others.
 *
 * Room: keys of a tile, transposed (d, ATTEND_KEYS); scores (ATTEND_ROWS, ATTEND_KEYS); maximum and
 * sum of each row (2, n). */
enum { ATTEND_P = 4, ATTEND_KEYS = ATTEND_P * LANES, ATTEND_ROWS = ROW_P };

typedef struct {
    float *o, *max, *sum, *score;
    const float *q, *kt, *v;          /* q, o: of row 0; kt, v: of key `key` */
    int    key, keys;                 /* the tile's first key; how many it has */
    const AttendShape *s;
} AttendTile;

static void f32_attend_turn(float *kt, const float *k, int keys, const AttendShape *s)
{
    for (int c = 0; c < s->d; c++, kt += ATTEND_KEYS) {
        for (int j = 0; j < keys; j++) kt[j] = s->scale * k[(size_t)j * s->ld_k + c];
        for (int j = keys; j < ATTEND_KEYS; j++) kt[j] = 0;
    }
}

static inline __attribute__((always_inline)) void f32_attend_scores(const AttendTile *a, int rows,
                                                                    int t)
{
    Vec acc[ATTEND_ROWS][ATTEND_P];
    const float *q = a->q + (size_t)t * a->s->ld_q, *kt = a->kt;
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int p = 0; p < ATTEND_P; p++) acc[r][p] = zero();
    for (int c = 0; c < a->s->d; c++, kt += ATTEND_KEYS) {
        Vec k[ATTEND_P];
#pragma GCC unroll 4
        for (int p = 0; p < ATTEND_P; p++) k[p] = load(kt + p * LANES);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            const Vec x = splat(q[(size_t)r * a->s->ld_q + c]);
#pragma GCC unroll 4
            for (int p = 0; p < ATTEND_P; p++) acc[r][p] += x * k[p];
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int p = 0; p < ATTEND_P; p++)
            *(Vec *)(a->score + r * ATTEND_KEYS + p * LANES) = acc[r][p];
}

/* Scores of row t become exp(score - max), zero where the row does not look; returns what its older
 * sums are multiplied with. *seen: keys of the tile that it looks at */
static __attribute__((noinline)) float f32_attend_exp(const AttendTile *a, float *score, int t,
                                                      int *seen)
{
    const int most = a->s->pos + t - a->key + 1;
    *seen = most < a->keys ? most : a->keys;
    const float top = f32_max(score, *seen), last = a->max[t], max = top > last ? top : last;
    const float keep = f32_exp1(last - max);
    a->max[t] = max;
    a->sum[t] = a->sum[t] * keep + f32_exp_shift(score, score, *seen, max);
    for (int j = *seen; j < ATTEND_KEYS; j++) score[j] = 0;
    return keep;
}

/* o = keep o + sum of score v, of rows t.. */
static inline __attribute__((always_inline)) void f32_attend_mix(const AttendTile *a, int rows,
                                                                 int t, const float *keep, int seen)
{
    float *o = a->o + (size_t)t * a->s->ld_o;
    int c = 0;
    for (; c + LANES <= a->s->d; c += LANES) {
        Vec acc[ATTEND_ROWS];
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++)
            acc[r] = splat(keep[r]) * load(o + (size_t)r * a->s->ld_o + c);
        for (int j = 0; j < seen; j++) {
            const Vec v = load(a->v + (size_t)j * a->s->ld_k + c);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++) acc[r] += splat(a->score[r * ATTEND_KEYS + j]) * v;
        }
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) *(Vec *)(o + (size_t)r * a->s->ld_o + c) = acc[r];
    }
    for (; c < a->s->d; c++)
        for (int r = 0; r < rows; r++) {
            float *y = o + (size_t)r * a->s->ld_o + c;
            *y *= keep[r];
            for (int j = 0; j < seen; j++)
                *y += a->score[r * ATTEND_KEYS + j] * a->v[(size_t)j * a->s->ld_k + c];
        }
}

static inline __attribute__((always_inline)) void f32_attend_rows(const AttendTile *a, int rows,
                                                                  int t)
{
    float keep[ATTEND_ROWS];
    int seen = 0;
    f32_attend_scores(a, rows, t);
    for (int r = 0; r < rows; r++)
        keep[r] = f32_attend_exp(a, a->score + r * ATTEND_KEYS, t + r, &seen);
    f32_attend_mix(a, rows, t, keep, seen);     /* the last row looks furthest */
}

static size_t f32_attend_room(const AttendShape *s)
{
    return (size_t)(s->d + ATTEND_ROWS) * ATTEND_KEYS + 2 * (size_t)s->n;
}

static void f32_attend(float *o, float *lse, const float *q, const float *k, const float *v,
                       float *room, const AttendShape *s)
{
    float *kt = room + ATTEND_ROWS * ATTEND_KEYS, *max = kt + (size_t)s->d * ATTEND_KEYS;
    AttendTile a = { .o = o, .max = max, .sum = max + s->n, .score = room, .q = q, .kt = kt,
                     .s = s };
    for (int t = 0; t < s->n; t++) {
        memset(o + (size_t)t * s->ld_o, 0, sizeof(float) * (size_t)s->d);
        a.max[t] = -INFINITY;
        a.sum[t] = 0;
    }
    const int all = s->pos + s->n;
    for (a.key = 0; a.key < all; a.key += ATTEND_KEYS) {
        a.keys = all - a.key < ATTEND_KEYS ? all - a.key : ATTEND_KEYS;
        a.v = v + (size_t)a.key * s->ld_k;
        f32_attend_turn(kt, k + (size_t)a.key * s->ld_k, a.keys, s);
        int t = a.key > s->pos ? a.key - s->pos : 0;
        for (; t + ATTEND_ROWS <= s->n; t += ATTEND_ROWS) f32_attend_rows(&a, ATTEND_ROWS, t);
        for (; t < s->n; t++) f32_attend_rows(&a, 1, t);
    }
    for (int t = 0; t < s->n; t++) {
        f32_scale(o + (size_t)t * s->ld_o, 1.0f / a.sum[t], s->d);
        if (lse) lse[t] = a.max[t] + logf(a.sum[t]);
    }
}
