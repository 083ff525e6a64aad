/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Chosen rows of a matrix against a few vectors (rows_dot, rows_mix, rows_add of f32.h) are what
 * sums in double give, for any width, number of rows and of vectors, listed or side by side; rows
 * not chosen stay as they are. */
#include "harness/laws/laws.h"
#include <math.h>
#include <string.h>

enum { ROWS = 23, WIDE = 150, MOST = 11, CASES = 60 };

typedef struct { float w[ROWS * WIDE], x[MOST * WIDE], y[MOST * WIDE], z[MOST * ROWS]; } Room;
typedef struct { int d, rows, n, listed, list[ROWS]; } Shape;

static double rows_one(const Shape *s, const Room *r, int what, int i, int k, int c)
{
    double sum = what == 0   ? 0
                 : what == 1 ? (double)r->y[i * s->d + c]
                             : (double)r->w[s->list[k] * s->d + c];
    if (what == 0)
        for (int l = 0; l < s->d; l++)
            sum += (double)r->w[s->list[k] * s->d + l] * (double)r->x[i * s->d + l];
    if (what == 1)
        for (int j = 0; j < s->rows; j++)
            sum += (double)r->z[i * ROWS + j] * (double)r->w[s->list[j] * s->d + c];
    if (what == 2)
        for (int j = 0; j < s->n; j++)
            sum += (double)r->z[j * ROWS + k] * (double)r->x[j * s->d + c];
    return sum;
}

static int rows_differ(double got, double expected)
{
    return !(fabs(got - expected) <= 1e-5 * (10 + fabs(expected)));
}

/* after the operation `what`, is `now` as it should be? */
static int rows_wrong(const Shape *s, const Room *was, const Room *now, int what)
{
    char chosen[ROWS] = { 0 };
    for (int k = 0; k < s->rows; k++) chosen[s->list[k]] = 1;
    for (int i = 0; i < s->n; i++)
        for (int k = 0; k < s->rows; k++)
            if (rows_differ((double)now->z[i * ROWS + k],
                       what == 0 ? rows_one(s, was, 0, i, k, 0) : (double)was->z[i * ROWS + k]))
                return 1;
    for (int i = 0; i < s->n; i++)
        for (int c = 0; c < s->d; c++)
            if (rows_differ((double)now->y[i * s->d + c],
                       what == 1 ? rows_one(s, was, 1, i, 0, c) : (double)was->y[i * s->d + c]))
                return 1;
    for (int k = 0; k < s->rows; k++)
        for (int c = 0; c < s->d; c++) {
            const float w = was->w[s->list[k] * s->d + c];
            if (rows_differ((double)now->w[s->list[k] * s->d + c],
                       what == 2 ? rows_one(s, was, 2, 0, k, c) : (double)w))
                return 1;
        }
    for (int row = 0; row < ROWS; row++)
        if (!chosen[row] &&
            memcmp(now->w + row * s->d, was->w + row * s->d, sizeof(float) * (size_t)s->d))
            return 1;
    return 0;
}

static Shape rows_shape_of(Rng *r)
{
    Shape s = { .d = 1 + (int)rng_below(r, WIDE),
                .rows = 1 + (int)rng_below(r, ROWS),
                .n = 1 + (int)rng_below(r, MOST),
                .listed = (int)rng_below(r, 2) };
    for (int i = 0; i < ROWS; i++) s.list[i] = i;
    for (int i = 0; i < ROWS - 1 && s.listed; i++) {
        const int j = i + (int)rng_below(r, (uint64_t)(ROWS - i)), swap = s.list[i];
        s.list[i] = s.list[j];
        s.list[j] = swap;
    }
    return s;
}

const char *law_rows(const F32 *f, uint64_t seed, Arena *a)
{
    static const char *const names[] = { "rows_dot", "rows_mix", "rows_add" };
    Rng rng = rng_at(seed, STREAM_CHECK, 31);
    Room *was = arena_get(a, sizeof *was), *now = arena_get(a, sizeof *now);
    for (int i = 0; i < CASES; i++) {
        const Shape s = rows_shape_of(&rng);
        for (float *p = (float *)was; p < (float *)(was + 1); p++) *p = (float)rng_normal(&rng);
        for (int what = 0; what < 3; what++) {
            RowJob j[MOST];
            const RowSet set = { now->w, s.listed ? s.list : NULL, s.rows, s.d };
            *now = *was;
            for (int k = 0; k < s.n; k++)
                j[k] = (RowJob) { now->x + k * s.d, now->z + k * ROWS, now->y + k * s.d };
            if (what == 0) f->rows_dot(j, s.n, set);
            if (what == 1) f->rows_mix(j, s.n, set);
            if (what == 2) f->rows_add(j, s.n, set);
            if (rows_wrong(&s, was, now, what))
                return arena_text(a,
                                  "%s of %s differs from its definition (d %d, %d rows, %d "
                                  "vectors, %s, seed %llu)",
                                  names[what], f->isa, s.d, s.rows, s.n,
                                  s.listed ? "listed" : "side by side", (unsigned long long)seed);
        }
    }
    return NULL;
}

float *law_normals(Arena *a, long n, Rng *r)
{
    float *x = arena_get(a, sizeof(float) * (size_t)n);
    for (long i = 0; i < n; i++) x[i] = (float)rng_normal(r);
    return x;
}
