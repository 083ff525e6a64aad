/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every activation is its definition in double, and the slope its backward loop multiplies by is
 * that of the definition, from where f is flat to where it is a power of x; with gradients added
 * to what is there, and written over the operands. */
#include "harness/laws/laws.h"
#include <math.h>
#include <string.h>

#define A(name, f) static double law_##name(double x) { return f; }
#include "kernels/activations.def"
#undef A

static const struct { const char *name; double (*f)(double); } law_activation[] = {
#define A(name, f) { #name, law_##name },
#include "kernels/activations.def"
#undef A
};

enum { ACTIVATION_POINTS = 301 };

/* Over [-14.7, 14.7], zero among them, and far outside */
static float law_point(int k)
{
    static const float far[] = { -1000, -100, -30, 30, 100, 1000 };
    const int last = ACTIVATION_POINTS - 3;
    if (k < 3) return far[k];
    return k < last ? 0.1f * (float)(k - ACTIVATION_POINTS / 2) : far[k - last + 3];
}

static int law_near(double got, double want, double size)
{
    return fabs(got - want) <= 2e-6 * (size + fabs(want));
}

/* of u = 2 and dy = 3 at every point; dg, du: after back */
static const char *law_one_activation(const F32 *f, int i, int plus, Arena *a)
{
    float g[ACTIVATION_POINTS], u[ACTIVATION_POINTS], y[ACTIVATION_POINTS], dy[ACTIVATION_POINTS];
    float dg[ACTIVATION_POINTS], du[ACTIVATION_POINTS];
    double (*exact)(double) = law_activation[i].f;
    for (int k = 0; k < ACTIVATION_POINTS; k++) {
        dg[k] = g[k] = law_point(k);
        du[k] = u[k] = 2;
        dy[k] = 3;
    }
    f->glu[i].forward(y, g, u, ACTIVATION_POINTS);
    if (plus) f->glu[i].back(dg, du, dy, g, u, ACTIVATION_POINTS, 1);
    else f->glu[i].back(dg, du, dy, dg, du, ACTIVATION_POINTS, 0);
    for (int k = 0; k < ACTIVATION_POINTS; k++) {
        const double x = (double)g[k], h = 1e-6, slope = (exact(x + h) - exact(x - h)) / (2 * h);
        const double was_g = plus ? x : 0, was_u = plus ? 2 : 0;
        if (!law_near((double)y[k], 2 * exact(x), 0.1) ||
            !law_near((double)dg[k], was_g + 6 * slope, 10) ||
            !law_near((double)du[k], was_u + 3 * exact(x), 1))
            return arena_text(a,
                              "activation %s (%s) at %g: value %.9g, gradients %.9g and %.9g; "
                              "expected %.9g, %.9g and %.9g",
                              law_activation[i].name, f->isa, x, (double)y[k], (double)dg[k],
                              (double)du[k], 2 * exact(x), was_g + 6 * slope,
                              was_u + 3 * exact(x));
    }
    return NULL;
}

const char *law_activations(const F32 *f, Arena *a)
{
    const char *why = NULL;
    for (int i = 0; i < ACTIVATIONS && !why; i++) {
        if (strcmp(activation_names[i], law_activation[i].name))
            why = arena_text(a, "activation %s: expected %s", activation_names[i],
                             law_activation[i].name);
        for (int plus = 0; plus < 2 && !why; plus++) why = law_one_activation(f, i, plus, a);
    }
    return why;
}
