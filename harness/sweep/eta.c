/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/sweep/eta.h"
#include <math.h>

enum { ETA_START_S = 5 };        /* beside a budget of seconds: to start, and to evaluate */

EtaCell eta_cell(const Spec *spec, double recorded)
{
    Budget b;
    EtaCell c = { recorded, NAN, NAN };
    if (spec_is(spec, "phases", "none"))
        c.step_tokens = (double)spec_int(spec, "batch") * (double)spec_int(spec, "accum") *
                        (double)spec_int(spec, "seq");
    if (spec_budget(spec_str(spec, "budget"), &b)) return c;
    if (isnan(recorded) && b.seconds > 0) c.expect = b.seconds + ETA_START_S;
    if (b.tokens > 0) c.tokens = (double)b.tokens;
    if (b.steps > 0) c.tokens = (double)b.steps * c.step_tokens;
    return c;
}

static void eta_count(Eta *e, const EtaCell *c, int sign)
{
    if (!isnan(c->expect)) e->expect = fmax(0, e->expect + sign * c->expect);
    else if (!isnan(c->tokens)) e->tokens = fmax(0, e->tokens + sign * c->tokens);
    else e->blind += sign;
}

void eta_add   (Eta *e, const EtaCell *c) { eta_count(e, c, 1); }
void eta_remove(Eta *e, const EtaCell *c) { eta_count(e, c, -1); }

void eta_ended(Eta *e, const EtaCell *c, double wall_s)
{
    if (!isnan(c->expect)) {
        e->spent += wall_s;
        e->spent_expected += c->expect;
    }
    if (!isnan(c->tokens)) {
        e->wall += wall_s;
        e->counted += c->tokens;
    }
}

/* The part of its budget that a cell has spent; NAN: not known, or nothing yet */
static double eta_part(const EtaCell *c, long steps)
{
    const double part = (double)steps * c->step_tokens / c->tokens;
    return part > 0 ? fmin(part, 1) : NAN;
}

/* How what was expected compares with what cells of this sweep took */
static double eta_correction(const Eta *e)
{
    return e->spent_expected > 0 ? e->spent / e->spent_expected : 1;
}

double eta_running(const Eta *e, const EtaCell *c, double seconds, long steps)
{
    const double part = eta_part(c, steps);
    double all = c->tokens * eta_rate(e, c, seconds, steps);
    if (!isnan(part)) return seconds * (1 / part - 1);
    if (!isnan(c->expect)) all = c->expect * eta_correction(e);
    return isnan(all) ? NAN : fmax(0, all - seconds);
}

double eta_rate(const Eta *e, const EtaCell *c, double seconds, long steps)
{
    if (e->counted > 0) return e->wall / e->counted;
    return seconds / (eta_part(c, steps) * c->tokens);
}

double eta_left(const Eta *e, double rate)
{
    if (e->blind) return NAN;
    return e->expect * eta_correction(e) + (e->tokens > 0 ? e->tokens * rate : 0);
}
