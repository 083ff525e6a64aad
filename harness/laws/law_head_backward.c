/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Gradients and manners of a head's backward pass: see law_head.c. */
#include "harness/laws/law_head_parts.h"
#include <math.h>
#include <string.h>

/* ---- gradients ---- */

static double head_lab_loss_at(const Lab *lab, Input *in, const float *u, double h)
{
    for (long k = 0; k < in->n; k++) in->v[k] = (float)((double)in->copy[k] + h * (double)u[k]);
    if (in->param) in->param->version++;
    return lab->def->forward(lab->h, lab->x, lab->y, lab->n);
}

/* of forward along u (in->n) */
static double head_lab_slope(const Lab *lab, Input *in, const float *u, double h)
{
    const double near = head_lab_loss_at(lab, in, u, h) - head_lab_loss_at(lab, in, u, -h);
    const double far = head_lab_loss_at(lab, in, u, 2 * h) - head_lab_loss_at(lab, in, u, -2 * h);
    head_lab_loss_at(lab, in, u, 0);
    return (8 * near - far) / (12 * h);
}

static double head_lab_dot(const float *a, const float *b, long n)
{
    double s = 0;
    for (long i = 0; i < n; i++) s += (double)a[i] * (double)b[i];
    return s;
}

static const char *head_lab_compare(const Lab *lab, Input *in, const float *u, double h,
                                    double tolerance, const char *where)
{
    const double expected = head_lab_slope(lab, in, u, h), got = head_lab_dot(in->g, u, in->n);
    if (fabs(expected - got) <= tolerance) return NULL;
    return head_lab_broken(lab, arena_text(lab->a,
                                  "gradient of %s %s: %.7g, slope of forward %.7g, tolerance %.2g",
                                  in->name, where, got, expected, tolerance));
}

/* in->g holds the gradient. Forward is float: its noise, about 1e-7 of a loss, bounds what a step
 * of h can show. */
static const char *head_lab_slopes_of(Lab *lab, Input *in, double loss)
{
    enum { ENTRIES = 10 };
    const double norm = sqrt(head_lab_dot(in->g, in->g, in->n)), noise = 2e-6 * (1 + fabs(loss));
    float *u = arena_get(lab->a, sizeof *u * (size_t)in->n);
    const char *wrong;
    for (long k = 0; k < in->n && norm > 0; k++) u[k] = (float)((double)in->g[k] / norm);
    if ((wrong = head_lab_compare(lab, in, u, 0.05, 1e-3 * norm + noise / 0.05, "along itself")))
        return wrong;
    for (long k = 0; k < in->n; k++) u[k] = (float)rng_normal(&lab->rng);
    const double length = sqrt(head_lab_dot(u, u, in->n));
    for (long k = 0; k < in->n; k++) u[k] = (float)((double)u[k] / length);
    wrong = head_lab_compare(lab, in, u, 0.1, 1e-3 * norm + noise / 0.1,
                             "along a random direction");
    if (wrong) return wrong;
    for (int i = 0; i < ENTRIES; i++) {
        long k = (long)rng_below(&lab->rng, (uint64_t)in->n);
        /* every other one: the largest of a sample, since most rows are hardly used */
        if (i % 2)
            for (int j = 0; j < 50; j++) {
                const long l = (long)rng_below(&lab->rng, (uint64_t)in->n);
                if (fabsf(in->g[l]) > fabsf(in->g[k])) k = l;
            }
        memset(u, 0, sizeof *u * (size_t)in->n);
        u[k] = 1;
        wrong = head_lab_compare(lab, in, u, 0.05, 1e-3 * fabs((double)in->g[k]) + noise / 0.05,
                        arena_text(lab->a, "at entry %ld", k));
        if (wrong) return wrong;
    }
    return NULL;
}

const char *head_lab_gradients(Lab *lab)
{
    head_lab_fill_gradients(lab, 0);
    const double loss = head_lab_pass(lab, 0, lab->n, 1);
    head_flush_grads(lab->def, lab->h);
    for (int i = 0; i < lab->inputs; i++) {
        const size_t mark = lab->a->used;
        const char *wrong = head_lab_slopes_of(lab, &lab->in[i], loss);
        if (wrong) return wrong;
        arena_reset(lab->a, mark);
    }
    return NULL;
}

/* ---- the manners of backward ---- */

/* every gradient is offset + factor times expected[i]; frozen: those of parameters are exactly
 * offset */
static const char *head_lab_agree(const Lab *lab, float *const *expected, double offset,
                                  double factor, int frozen, const char *what)
{
    for (int i = 0; i < lab->inputs; i++) {
        const Input *in = &lab->in[i];
        double top = 0;
        for (long k = 0; k < in->n; k++) top = fmax(top, fabs((double)expected[i][k]));
        for (long k = 0; k < in->n; k++) {
            const double moved = frozen && i ? 0 : factor * (double)expected[i][k];
            const double tolerance = frozen && i ? 0 : 1e-5 * (fabs(factor) * top + fabs(offset));
            if (!(fabs((double)in->g[k] - offset - moved) <= tolerance))
                return head_lab_broken(
                    lab,
                    arena_text(lab->a, "%s: entry %ld of the gradient of %s is %.8g, expected %.8g",
                               what, k, in->name, (double)in->g[k], offset + moved));
        }
    }
    return NULL;
}

static const char *head_lab_two_chunks(const Lab *lab, float **one, double loss)
{
    const int n = lab->n, half = n / 3;
    head_lab_fill_gradients(lab, 0);
    const double parts = half ? head_lab_pass(lab, 0, half, 1) + head_lab_pass(lab, half, n, 1)
                              : head_lab_pass(lab, 0, n, 1);
    head_flush_grads(lab->def, lab->h);
    if (!(fabs(parts - loss) <= 1e-5 * (1 + fabs(loss))))
        return head_lab_broken(
            lab, arena_text(lab->a, "loss %.9g in one chunk, %.9g in two", loss, parts));
    return head_lab_agree(lab, one, 0, 1, 0, "in two chunks");
}

/* Rows with a gradient are marked, for update=rows. */
static const char *head_lab_touches(const Lab *lab)
{
    for (int i = 0; i < lab->ps->n; i++)
        lab->ps->p[i]->touched = arena_get(lab->a, (size_t)lab->ps->p[i]->rows);
    head_lab_fill_gradients(lab, 0);
    head_lab_pass(lab, 0, lab->n, 1);
    head_flush_grads(lab->def, lab->h);
    for (int i = 0; i < lab->ps->n; i++) {
        Param *p = lab->ps->p[i];
        for (long k = 0; k < p->n; k++)
            if (p->g[k] != 0 && !p->touched[k / p->cols])
                return head_lab_broken(lab,
                              arena_text(lab->a, "row %ld of %s has a gradient and is not marked",
                                         k / p->cols, p->name));
        p->touched = NULL;
    }
    return NULL;
}

const char *head_lab_manners(const Lab *lab)
{
    float **one = arena_raw(lab->a, sizeof *one * (size_t)lab->inputs);
    const char *wrong;
    const int n = lab->n;
    head_lab_fill_gradients(lab, 0);
    const double loss = head_lab_pass(lab, 0, n, 1);
    head_flush_grads(lab->def, lab->h);
    for (int i = 0; i < lab->inputs; i++) {
        one[i] = arena_raw(lab->a, sizeof(float) * (size_t)lab->in[i].n);
        memcpy(one[i], lab->in[i].g, sizeof(float) * (size_t)lab->in[i].n);
    }
    head_lab_fill_gradients(lab, 0);
    if (head_lab_pass(lab, 0, n, 1) != loss)
        return head_lab_broken(lab, "the loss differs when it is computed again");
    head_flush_grads(lab->def, lab->h);
    for (int i = 0; i < lab->inputs; i++)
        if (memcmp(one[i], lab->in[i].g, sizeof(float) * (size_t)lab->in[i].n))
            return head_lab_broken(lab,
                          arena_text(lab->a, "the gradient of %s differs when it is computed again",
                                     lab->in[i].name));
    head_lab_fill_gradients(lab, 0.5f);
    lab->def->forward(lab->h, lab->x, lab->y, n);
    lab->def->nll(lab->h, lab->x + (size_t)(n - 1) * lab->c->d, lab->y + n - 1, 1, NULL);
    lab->def->backward(lab->h, lab->in[0].g, -2);
    head_flush_grads(lab->def, lab->h);
    if ((wrong = head_lab_agree(lab, one, 0.5, -2, 0, "added to 0.5 with scale -2"))) return wrong;
    if (lab->def->normalised && (wrong = head_lab_two_chunks(lab, one, loss))) return wrong;
    if ((wrong = head_lab_touches(lab))) return wrong;
    for (int i = 0; i < lab->ps->n; i++) lab->ps->p[i]->frozen = 1;
    head_lab_fill_gradients(lab, 0);
    head_lab_pass(lab, 0, n, 1);
    head_flush_grads(lab->def, lab->h);
    for (int i = 0; i < lab->ps->n; i++) lab->ps->p[i]->frozen = 0;
    return head_lab_agree(lab, one, 0, 1, 1, "frozen");
}
