/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/adaptive_level.h"

/* w (rows, cols) gets dW += scale dY' X, dY (n, rows), X (n, cols) */
static void level_weight_backward(const Gemm *g, Param *w, float scale, const float *dy,
                                  const float *x, int n)
{
    if (w->frozen) return;
    param_touch_all(w);
    gemm(g, 'T', 'N', w->rows, w->cols, n, scale, dy, w->rows, x, w->cols, 1, w->g, w->cols);
}

static HeadProduct level_short(const ShortLevel *s, int n)
{
    return (HeadProduct){ s->by, s->rows, s->version, s->k, s->d, n, s->k };
}

void short_level_forward(const Exec *e, const ShortLevel *s, const float *x, const int *y, int n,
                         double eps, float *z, double *loss)
{
    const HeadProduct p = level_short(s, n);
    head_logits(e, &p, z, x);
    head_xent_rows(e, z, n, s->k, y, eps, loss);
}

void short_level_backward(const Exec *e, const ShortLevel *s, const float *x, float *z, int n,
                          float scale, float *dx)
{
    const HeadProduct p = level_short(s, n);
    const int k = s->k, d = s->d;
    head_scale(e, z, (long)n * k, scale);
    head_back(e, &p, z, dx);
    if (s->own) level_weight_backward(e->head, s->own, 1, z, x, n);
    else gemm(e->head, 'T', 'N', k, d, n, 1, z, k, x, d, 1, s->g, d);
}

void tail_level_forward(const Exec *e, const TailLevel *t, const float *x, const int *y, int n,
                        double eps, float *p, float *z, double *loss)
{
    const int k = t->k, m = t->m, d = t->d;
    gemm(e->head, 'N', 'T', n, m, d, 1, x, d, t->proj->v, d, 0, p, m);
    gemm(e->head, 'N', 'T', n, k, m, 1, p, m, t->out->v, m, 0, z, k);
    head_xent_rows(e, z, n, k, y, eps, loss);
}

void tail_level_backward(const Exec *e, const TailLevel *t, const float *x, const float *p,
                         const float *z, int n, float scale, float *dp, float *dx)
{
    const Gemm *g = e->head;
    const int k = t->k, m = t->m, d = t->d;
    gemm(g, 'N', 'N', n, m, k, scale, z, k, t->out->v, m, 0, dp, m);
    gemm(g, 'N', 'N', n, d, m, 1, dp, m, t->proj->v, d, 0, dx, d);
    level_weight_backward(g, t->out, scale, z, p, n);
    level_weight_backward(g, t->proj, 1, dp, x, n);
}
