/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/head.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define H(name) extern const HeadDef head_##name;
#include "models/heads.def"
#undef H
#define H(name) &head_##name,
const HeadDef *const heads[] = {
#include "models/heads.def"
    NULL
};
#undef H

const HeadDef *head_find(const char *name)
{
    for (const HeadDef *const *h = heads; *h; h++)
        if (!strcmp((*h)->name, name)) return *h;
    return NULL;
}

int head_chunk(int width)
{
    const long n = HEAD_BYTES / (long)sizeof(float) / width / 16 * 16;
    return n < 16 ? 16 : n > HEAD_CHUNK ? HEAD_CHUNK : (int)n;
}

Param *head_matrix(const Spec *s, Params *ps, const char *name, int rows, int cols, int index)
{
    Param *p = params_add(ps, name, (int[]){ rows, cols, 0 }, GROUP_ADAMW, OWNER_HEAD);
    param_normal(p, (uint64_t)spec_int(s, "seed"), (uint64_t)(HEAD_DRAW + index),
                 spec_num(s, "init_sigma"));
    return p;
}

Param *head_embedding(Params *ps, int V, int d)
{
    Param *p = ps->embedding;
    CHECK(p && p->rows == V && p->cols == d);
    p->owner = OWNER_HEAD;
    return p;
}

const char *head_output(const Params *ps) { return ps->output ? ps->output : "head"; }

Param *head_rows(const Spec *s, Params *ps, const char *own, int V, int d, int index)
{
    if (!own) own = arena_text(ps->arena, "%s.weight", head_output(ps));
    return spec_int(s, "tied") ? head_embedding(ps, V, d) : head_matrix(s, ps, own, V, d, index);
}

enum { BLOCK = 4096 };      /* values summed in float before they are added in double */

double head_sum(const F32 *f, const float *z, int c)
{
    double sum = 0;
    for (int i = 0; i < c; i += BLOCK) sum += (double)f->sum(z + i, c - i < BLOCK ? c - i : BLOCK);
    return sum;
}

double head_lse(const F32 *f, const float *z, int c)
{
    const float max = f->max(z, c);
    double sum = 0;
    for (int i = 0; i < c; i += BLOCK)
        sum += (double)f->sumexp(z + i, c - i < BLOCK ? c - i : BLOCK, max);
    return (double)max + log(sum);
}

double head_xent(const F32 *f, float *z, int c, int y, double eps)
{
    const float zy = z[y], max = f->max(z, c);
    const double total = eps > 0 ? head_sum(f, z, c) : 0;
    double sum = 0;
    for (int i = 0; i < c; i += BLOCK)
        sum += (double)f->exp(z + i, z + i, c - i < BLOCK ? c - i : BLOCK, max);
    const double lse = (double)max + log(sum);
    f->affine(z, (float)(1 / sum), -(float)(eps / c), c);
    z[y] -= (float)(1 - eps);
    return (1 - eps) * (lse - (double)zy) + eps * (lse - total / c);
}

void head_xent_rows(const Exec *e, float *z, int n, int c, const int *y, double eps, double *loss)
{
#pragma omp parallel for num_threads(e->threads) schedule(static)
    for (int i = 0; i < n; i++) {
        float *zi = z + (size_t)i * c;
        loss[i] += eps < 0 ? head_lse(e->f, zi, c) - (double)zi[y[i]]
                           : head_xent(e->f, zi, c, y[i], eps);
    }
}

void head_dots(const Exec *e, float *z, const float *w, const float *x, int rows, int d)
{
#pragma omp parallel for num_threads(e->threads) schedule(static) if((long)rows * d > 1 << 16)
    for (int r = 0; r < rows; r++) z[r] = e->f->dot(w + (size_t)r * d, x, d);
}

int head_pick(const float *z, int c, double temperature, Rng *rng)
{
    int best = 0;
    for (int i = 1; i < c; i++)
        if (z[i] > z[best]) best = i;
    if (temperature <= 0) return best;
    const double scale = 1 / temperature, max = (double)z[best];
    double sum = 0;
    for (int i = 0; i < c; i++) sum += exp(((double)z[i] - max) * scale);
    double u = rng_uniform(rng) * sum;
    for (int i = 0; i < c; i++)
        if ((u -= exp(((double)z[i] - max) * scale)) < 0) return i;
    return best;      /* rounding: u was not used up */
}

void head_group(const int *group, int n, int groups, int *at, int *pos)
{
    memset(at, 0, sizeof *at * (size_t)(groups + 1));
    for (int i = 0; i < n; i++) at[group[i] + 1]++;
    for (int g = 0; g < groups; g++) at[g + 1] += at[g];
    for (int i = 0; i < n; i++) pos[at[group[i]]++] = i;
    for (int g = groups; g > 0; g--) at[g] = at[g - 1];   /* at[g] is at its group's end by now */
    at[0] = 0;
}

static int head_by_count(const void *a, const void *b)
{
    const HeadRank *p = a, *q = b;
    return p->count != q->count ? (p->count < q->count) - (p->count > q->count)
                                : (p->word > q->word) - (p->word < q->word);
}

void head_rank(HeadRank *r, const long *freq, int V)
{
    for (int v = 0; v < V; v++) r[v] = (HeadRank){ freq[v], v };
    qsort(r, (size_t)V, sizeof *r, head_by_count);
}

void head_mass(double *mass, const HeadRank *r, int V)
{
    double total = 0, sum = 0;
    for (int i = 0; i < V; i++) total += (double)r[i].count + 1;
    for (int i = 0; i < V; i++) {
        mass[i] = sum / total;
        sum += (double)r[i].count + 1;
    }
    mass[V] = 1;
}

/* ---- products with a matrix ---- */

HeadWeight *head_weight_new(Arena *home)
{
    HeadWeight *w = arena_get(home, sizeof *w);
    w->home = home;
    return w;
}

void head_logits(const Exec *e, const HeadProduct *o, float *z, const float *x)
{
    const GemmProduct p = { .type = GEMM_F32, .tb = 'T', .m = o->n, .n = o->rows, .k = o->d,
                            .ldc = o->ldz, .A = x, .B = o->w, .version = o->version, .C = z };
    gemm_weight(e->head, &o->by->forward, &p, o->by->home);
}

void head_back(const Exec *e, const HeadProduct *o, const float *z, float *dx)
{
    const GemmProduct p = { .type = GEMM_F32, .tb = 'N', .m = o->n, .n = o->d, .k = o->rows,
                            .plus = 1, .lda = o->ldz, .A = z, .B = o->w, .version = o->version,
                            .C = dx };
    gemm_weight(e->head, &o->by->back, &p, o->by->home);
}

void head_scale(const Exec *e, float *z, long n, float by)
{
    const int threads = e->threads;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++) {
        long lo, hi;
        part(n, t, threads, 64, &lo, &hi);
        e->f->scale(z + lo, by, hi - lo);
    }
}
