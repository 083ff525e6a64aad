/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The reports of a gate for people: a table, and Markdown for a pull request. */
#include "harness/regress/regress.h"
#include <math.h>
#include <string.h>

void gate_note(Gate *g, const char *sentence)
{
    if (g->notes < GATE_MOST) g->note[g->notes++] = sentence;
}

double gate_percent(double ln_ratio) { return 100 * expm1(ln_ratio); }

static double median_of(const double *x, int n)
{
    Arena a = arena_new((size_t)1 << 20);
    const double m = stats_quantile(x, n, 0.5, &a);
    arena_drop(&a);
    return m;
}

/* the detectable effect; "none" where no effect of any size could be found */
const char *gate_detectable(double ln_ratio, char out[32])
{
    if (isfinite(ln_ratio)) snprintf(out, 32, "%.1f %%", gate_percent(ln_ratio));
    else snprintf(out, 32, "none");
    return out;
}

static const char *time_text(const double *each, int n, char out[32])
{
    const double ns = median_of(each, n);
    if (ns < 1e4) snprintf(out, 32, "%.0f ns", ns);
    else if (ns < 1e7) snprintf(out, 32, "%.1f us", ns / 1e3);
    else snprintf(out, 32, "%.1f ms", ns / 1e6);
    return out;
}

static const char *side_text(const GateBuild *b, char out[80])
{
    if (*b->commit) snprintf(out, 80, "%.40s (%.10s)", b->ref, b->commit);
    else snprintf(out, 80, "%.78s", b->ref);
    return out;
}

static const char *summary(const Gate *g)
{
    if (g->equal) return "SAME: both builds run the same code; nothing was measured";
    if (g->total.wrong) return "REGRESSED: head computes something else than base";
    if (g->total.invalid)
        return "INVALID: a control moved or a canary was not found; this machine cannot be trusted "
               "now";
    if (g->total.regressed) return "REGRESSED: head is slower than base";
    if (g->total.unknown)
        return "UNKNOWN: the noise is larger than what must be seen; a quieter machine or more "
               "rounds may tell";
    if (!g->timed) return "PASS: nothing computes something else; nothing was timed";
    if (g->plan.times_only) return "PASS: nothing is slower by more than the floor";
    return "PASS: nothing is slower by more than the floor, nothing computes something else";
}

/* The verdict, and what it is silent about */
static void verdict_line(const Gate *g, FILE *f)
{
    fputs(summary(g), f);
    if (g->timed && *g->untimed) fprintf(f, "; no benchmark times %s", g->untimed);
}

/* A line of the table; the suffix marks control and canary */
typedef struct Row { const char *suffix; const GateCase *c; } Row;

static int rows_of(const GateBench *b, Row row[3])
{
    row[0] = (Row){ "", &b->pair };
    if (!b->probe) return 1;
    row[1] = (Row){ " (control: base, base)", &b->control };
    row[2] = (Row){ " (canary: base, +5 %)", &b->canary };
    return 3;
}

static void case_row(const GateBench *b, const Row *row, FILE *f, int markdown)
{
    char base[32], head[32], seen[32], name[160];
    const GateCase *c = row->c;
    const int pair = c == &b->pair;
    snprintf(name, sizeof name, "%s%s", pair ? b->name : "", row->suffix);
    fprintf(f,
            markdown ? "| %s | %s | %s | %+.1f %% | %+.1f ... %+.1f %% | %s | %.0f %% | %d | %s |\n"
                     : "%-38s %10s %10s %+7.1f %% [%+6.1f, %+6.1f] %8s %5.0f %% %6d  %s\n",
            name, pair ? time_text(b->base_ns, b->rounds, base) : "",
            pair ? time_text(b->head_ns, b->rounds, head) : "", gate_percent(c->shift.median),
            gate_percent(c->shift.low), gate_percent(c->shift.high),
            gate_detectable(c->detectable, seen),
            100 * c->budget, c->rounds, verdict_names[c->verdict]);
}

static void times(const Gate *g, FILE *f, int markdown)
{
    Row row[3];
    fputs(markdown ? "| benchmark | base | head | change | interval | detectable | budget | rounds "
                     "| verdict |\n"
                     "|---|---:|---:|---:|---:|---:|---:|---:|---|\n"
                   : "benchmark                                    base       head    change  "
                     "interval          "
                     "detectable  budget rounds  verdict\n",
          f);
    for (int i = 0; i < g->benches; i++)
        for (int k = 0, n = rows_of(&g->bench[i], row); k < n; k++)
            case_row(&g->bench[i], &row[k], f, markdown);
}

static void checks(const Gate *g, FILE *f, int markdown)
{
    if (markdown && g->checks.n) fputs("\n| check | of | verdict | |\n|---|---|---|---|\n", f);
    for (int i = 0; i < g->checks.n; i++) {
        const GateCheck *c = &g->checks.list[i];
        fprintf(f, markdown ? "| %s | %s | %s | %s |\n" : "%-13s %-38s %-10s %s\n", c->kind,
                c->name, verdict_names[c->verdict], c->sentence);
    }
}

static void terms(const Gate *g, FILE *f)
{
    fprintf(f,
            "change: of the median time over rounds, with an interval; detectable: the slowdown "
            "that these rounds\n"
            "find %.0f times in 100 (above its budget a benchmark cannot be called SAME). floor "
            "%.3g %%, alpha %g for all\n"
            "benchmarks and %d looks together.\n",
            100 * g->rule.power, 100 * g->rule.floor, g->rule.alpha, g->rule.looks);
}

void gate_report(const Gate *g, FILE *f)
{
    char base[80], head[80];
    long switches = 0, steal = 0;
    fprintf(f, "base  %s\nhead  %s\n\n", side_text(g->base, base), side_text(g->head, head));
    if (g->timed) {
        times(g, f, 0);
        fputc('\n', f);
    }
    checks(g, f, 0);
    if (g->checks.n) fputc('\n', f);
    if (g->timed) terms(g, f);
    for (int i = 0; i < g->benches; i++) {
        switches += g->bench[i].switches;
        steal += g->bench[i].steal;
    }
    if (g->timed)
        fprintf(f,
                "while timing: %ld forced context switches, %ld ticks stolen by the hypervisor\n",
                switches, steal);
    for (int i = 0; i < g->notes; i++) fprintf(f, "note: %s\n", g->note[i]);
    fputc('\n', f);
    verdict_line(g, f);
    fputc('\n', f);
}

void gate_markdown(const Gate *g, FILE *f)
{
    char base[80], head[80];
    fputs("### eightysix regress: ", f);
    verdict_line(g, f);
    fprintf(f, "\n\n`%s` against `%s`\n\n", side_text(g->head, head), side_text(g->base, base));
    if (g->timed) times(g, f, 1);
    checks(g, f, 1);
    fputc('\n', f);
    if (g->timed) terms(g, f);
    for (int i = 0; i < g->notes; i++) fprintf(f, "\n* %s\n", g->note[i]);
}
