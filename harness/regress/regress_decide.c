/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The decision. Per benchmark, with n rounds so far, at a look that has alpha' = alpha / looks:
 *
 *   p_slower    sign test of median(d) <= floor
 *   p_faster    sign test of median(-d) <= floor
 *               each adjusted by Holm over all benchmarks; those decided at an earlier look are
 *               counted as p = 1 and not tested again
 *
 *   REGRESSED   p_slower <= alpha'
 *   IMPROVED    p_faster <= alpha'
 *   SAME        the interval of median(d) at level 1 - alpha' / benchmarks lies inside +-floor, and
 *               the detectable effect is within the benchmark's budget
 *   NOT SLOWER  at the last look: the same, but the interval reaches below -floor. Whether it is
 *               faster by more than the floor is open; that it is not slower by more is not
 *   UNKNOWN     otherwise
 *
 * Why signs of pairs: with noise that drifts (AR(1), coefficient 0.8 to 0.99, 3 %) a Mann-Whitney
 * test of A..A against B..B, 20 to 40 samples each, raises 20 to 38 % false alarms at alpha 0.01;
 * pairs within a round stay under 1 %. Order statistics hold for any distribution, however skewed
 * the pairs. */
#include "harness/regress/regress.h"
#include <math.h>

const char *const verdict_names[] = { "UNKNOWN", "SAME", "NOT SLOWER", "IMPROVED", "REGRESSED" };
const GateRule gate_rule = { .floor = 0.02, .alpha = 0.01, .power = 0.95, .looks = 2 };

double gate_pairs(const double *base_ns, const double *head_ns, int n, Arena *a)
{
    const size_t at = a->used;
    double *d = arena_raw(a, sizeof *d * (size_t)n);
    for (int i = 0; i < n; i++) d[i] = log(head_ns[i] / base_ns[i]);
    const double median = stats_quantile(d, n, 0.5, a);
    arena_reset(a, at);
    return median;
}

double gate_shift(const double *base_ns, int n_base, const double *head_ns, int n_head, Arena *a)
{
    return log(stats_quantile(head_ns, n_head, 0.5, a) / stats_quantile(base_ns, n_base, 0.5, a));
}

static double faster(const GateCase *c, double floor, Arena *a)
{
    const size_t at = a->used;
    double *minus = arena_raw(a, sizeof *minus * (size_t)c->rounds);
    for (int i = 0; i < c->rounds; i++) minus[i] = -c->d[i];
    const double p = stats_sign(minus, c->rounds, floor);
    arena_reset(a, at);
    return p;
}

static Verdict judge(const GateRule *rule, const GateCase *c, double alpha, double level, int last)
{
    if (c->p_slower <= alpha) return GATE_REGRESSED;
    if (c->p_faster <= alpha) return GATE_IMPROVED;
    const Interval *s = &c->shift;
    if (s->coverage < level || s->high >= rule->floor || c->detectable > c->budget)
        return GATE_UNKNOWN;
    return s->low > -rule->floor ? GATE_SAME : last ? GATE_NOT_SLOWER : GATE_UNKNOWN;
}

int gate_decide(const GateRule *rule, GateCase *cases, int n, int look, Arena *a)
{
    CHECK(n >= 1 && look >= 1 && look <= rule->looks);
    const size_t at = a->used, bytes = sizeof(double) * (size_t)n;
    const double alpha = rule->alpha / rule->looks, level = 1 - alpha / n;
    double *slow = arena_raw(a, bytes), *fast = arena_raw(a, bytes),
           *adjusted = arena_raw(a, 2 * bytes);
    int open = 0;
    for (int i = 0; i < n; i++) {
        const GateCase *c = &cases[i];
        const int decided = c->verdict != GATE_UNKNOWN;
        slow[i] = decided ? 1 : stats_sign(c->d, c->rounds, rule->floor);
        fast[i] = decided ? 1 : faster(c, rule->floor, a);
    }
    stats_holm(adjusted, slow, n, a);
    stats_holm(adjusted + n, fast, n, a);
    for (int i = 0; i < n; i++) {
        GateCase *c = &cases[i];
        if (c->verdict != GATE_UNKNOWN) continue;
        c->p_slower = adjusted[i];
        c->p_faster = adjusted[n + i];
        c->shift = stats_median(c->d, c->rounds, level, a);
        c->detectable = stats_detectable(c->d, c->rounds, rule->floor, alpha / n, rule->power, a);
        c->verdict = judge(rule, c, alpha, level, look == rule->looks);
        if (c->verdict != GATE_UNKNOWN) c->look = look;
        else open++;
    }
    arena_reset(a, at);
    return open;
}

const char *gate_verdict(const GateTotal *t)
{
    return t->wrong ? "REGRESSED" : t->invalid ? "INVALID" : t->regressed ? "REGRESSED" : t->unknown
            ? "UNKNOWN" : "PASS";
}

int gate_code(const GateTotal *t)
{
    return t->wrong ? 1 : t->invalid ? 3 : t->regressed ? 1 : t->unknown ? 3 : 0;
}
