/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Curves by least squares, in parameters (A, b, c) that hardly depend on each other. With u =
 * ln(x / x0), x0 the geometric mean of x:
 *
 *   power       f = s exp(A + b u)          A = ln |a| + b ln x0,   a = s exp(A - b ln x0)
 *   saturating  f = c + s exp(A - b u)      A = ln |a| - b ln x0,   a = s exp(A + b ln x0)
 *
 * The sign s is fixed by the start: for power, the sign of y; for saturating, that of the best
 * straight line in x^-b over a grid of b. */
#include "harness/util/stats.h"
#include <gsl/gsl_blas.h>
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_fit.h>
#include <gsl/gsl_multifit_nlinear.h>
#include <math.h>

enum { GRID = 120, STEPS = 500 };

typedef struct Curve {
    FitModel model;
    int      n, logs;            /* logs: residuals of ln f */
    double   sign, ln_x0, *u, *y, *w;       /* y: ln y where logs */
} Curve;

static int residuals(const gsl_vector *p, void *ctx, gsl_vector *out)
{
    const Curve *c = ctx;
    const double A = gsl_vector_get(p, 0), b = gsl_vector_get(p, 1);
    for (int i = 0; i < c->n; i++) {
        double f = A + b * c->u[i];
        if (c->model == FIT_SATURATING) f = gsl_vector_get(p, 2) + c->sign * exp(A - b * c->u[i]);
        else if (!c->logs) f = c->sign * exp(f);
        gsl_vector_set(out, (size_t)i, f - c->y[i]);
    }
    return GSL_SUCCESS;
}

static int slopes(const gsl_vector *p, void *ctx, gsl_matrix *out)
{
    const Curve *c = ctx;
    const double A = gsl_vector_get(p, 0), b = gsl_vector_get(p, 1),
                 way = c->model == FIT_POWER ? 1 : -1;
    for (int i = 0; i < c->n; i++) {
        const double e = c->logs ? 1 : c->sign * exp(A + way * b * c->u[i]);
        gsl_matrix_set(out, (size_t)i, 0, e);
        gsl_matrix_set(out, (size_t)i, 1, way * e * c->u[i]);
        if (c->model == FIT_SATURATING) gsl_matrix_set(out, (size_t)i, 2, 1);
    }
    return GSL_SUCCESS;
}

static const char *start_power(Curve *c, double *start, Arena *a)
{
    double *ln_y = arena_raw(a, sizeof *ln_y * (size_t)c->n), cov[3], squares;
    c->sign = c->logs || c->y[0] > 0 ? 1 : -1;
    for (int i = 0; i < c->n; i++) {
        if (!c->logs && !(c->sign * c->y[i] > 0))
            return "a power law is fitted to values of one sign";
        ln_y[i] = c->logs ? c->y[i] : log(c->sign * c->y[i]);
    }
    gsl_fit_linear(c->u, 1, ln_y, 1, (size_t)c->n, &start[0], &start[1], &cov[0], &cov[1], &cov[2],
                   &squares);
    return NULL;
}

static const char *start_saturating(Curve *c, double *start, Arena *a)
{
    double *z = arena_raw(a, sizeof *z * (size_t)c->n), least = INFINITY;
    for (int k = 0; k < GRID; k++) {         /* b from 0.02 to 8 */
        const double b = 0.02 * exp(6 * k / (GRID - 1.0));
        double level, slope, cov[3], squares;
        for (int i = 0; i < c->n; i++) z[i] = exp(-b * c->u[i]);
        gsl_fit_wlinear(z, 1, c->w, 1, c->y, 1, (size_t)c->n, &level, &slope, &cov[0], &cov[1],
                        &cov[2], &squares);
        if (!(squares < least) || slope == 0) continue;
        least = squares;
        c->sign = slope > 0 ? 1 : -1;
        start[0] = log(fabs(slope));
        start[1] = b;
        start[2] = level;
    }
    return isfinite(least) ? NULL : "no saturating curve is near these points";
}

static Range limits(double value, double se, double t)
{
    return (Range){ value, value - t * se, value + t * se };
}

static void conclude(Fit *f, const Curve *c, const gsl_vector *p, const gsl_matrix *cov,
                     double squares, double level)
{
    const int parameters = c->model == FIT_POWER ? 2 : 3;
    const double dof = c->n - parameters, scale = squares / dof,
                 t = gsl_cdf_tdist_Pinv((1 + level) / 2, dof);
    const double back = c->model == FIT_POWER ? -c->ln_x0 : c->ln_x0, b = gsl_vector_get(p, 1);
    const double ln_a = gsl_vector_get(p, 0) + back * b;
    const double se =
        sqrt(scale * (gsl_matrix_get(cov, 0, 0) + 2 * back * gsl_matrix_get(cov, 0, 1) +
                      back * back * gsl_matrix_get(cov, 1, 1)));
    *f = (Fit){ .residual = sqrt(scale), .b_se = sqrt(scale * gsl_matrix_get(cov, 1, 1)),
                .a_se = exp(ln_a) * se };
    const double near = exp(ln_a - t * se), far = exp(ln_a + t * se);
    f->a = (Range){ c->sign * exp(ln_a), c->sign > 0 ? near : -far, c->sign > 0 ? far : -near };
    f->b = limits(b, f->b_se, t);
    if (parameters < 3) return;
    f->c_se = sqrt(scale * gsl_matrix_get(cov, 2, 2));
    f->c = limits(gsl_vector_get(p, 2), f->c_se, t);
}

static const char *solve(Fit *f, Curve *c, const double *start, double level)
{
    const size_t n = (size_t)c->n, parameters = c->model == FIT_POWER ? 2 : 3;
    gsl_multifit_nlinear_parameters how = gsl_multifit_nlinear_default_parameters();
    gsl_multifit_nlinear_fdf fdf = {
        .f = residuals, .df = slopes, .n = n, .p = parameters, .params = c
    };
    gsl_multifit_nlinear_workspace *s =
        gsl_multifit_nlinear_alloc(gsl_multifit_nlinear_trust, &how, n, parameters);
    gsl_matrix *cov = gsl_matrix_alloc(parameters, parameters);
    CHECK(s && cov);
    const gsl_vector_const_view p0 = gsl_vector_const_view_array(start, parameters);
    const gsl_vector_const_view w = gsl_vector_const_view_array(c->w, n);
    int info;
    double squares;
    gsl_multifit_nlinear_winit(&p0.vector, &w.vector, &fdf, s);
    const int status = gsl_multifit_nlinear_driver(STEPS, 1e-11, 1e-11, 0, NULL, NULL, &info, s);
    const int bad = (status && status != GSL_ENOPROG && info != GSL_ENOPROG) ||
            gsl_multifit_nlinear_covar(gsl_multifit_nlinear_jac(s), 0, cov);
    const gsl_vector *r = gsl_multifit_nlinear_residual(s);
    gsl_blas_ddot(r, r, &squares);
    if (!bad) conclude(f, c, gsl_multifit_nlinear_position(s), cov, squares, level);
    gsl_matrix_free(cov);
    gsl_multifit_nlinear_free(s);
    return bad || !isfinite(f->a_se) || !isfinite(f->b_se)
            ? "the fit does not converge: the points do not fix the curve" : NULL;
}

const char *stats_fit(Fit *f, FitModel model, int relative, const double *x, const double *y, int n,
                      double level, Arena *a)
{
    const size_t at = a->used, bytes = sizeof(double) * (size_t)(n > 0 ? n : 0);
    Curve c = { .model = model, .n = n, .logs = relative && model == FIT_POWER };
    double start[3] = { 0 };
    gsl_set_error_handler_off();
    if (n < (model == FIT_POWER ? 3 : 4))
        return "too few points: expected one more than the curve has parameters";
    c.u = arena_raw(a, bytes);
    c.y = arena_raw(a, bytes);
    c.w = arena_raw(a, bytes);
    for (int i = 0; i < n; i++) {
        if (!(x[i] > 0) || !isfinite(x[i]) || !isfinite(y[i]))
            return "expected finite numbers, and x > 0";
        if (relative && !(y[i] > 0)) return "expected y > 0, errors being relative";
        c.ln_x0 += log(x[i]) / n;
        c.y[i] = c.logs ? log(y[i]) : y[i];
        c.w[i] = relative && !c.logs ? 1 / (y[i] * y[i]) : 1;
    }
    for (int i = 0; i < n; i++) c.u[i] = log(x[i]) - c.ln_x0;
    const char *why =
        model == FIT_POWER ? start_power(&c, start, a) : start_saturating(&c, start, a);
    if (!why) why = solve(f, &c, start, level);
    arena_reset(a, at);
    return why;
}
