/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is not time, and so needs no statistics:
 *
 *   laws           `check` of head's build: what is fast and wrong fails here
 *   quality        a short training per head on the synthetic language, with one seed: the loss of
 *                  the validation text. Fails when it is below the entropy of the language, or has
 *                  moved by more than the tolerance: also down, because a normaliser that is left
 *                  out looks like a better loss, unless accepted (--accept-quality)
 *   instructions   counted by callgrind, on AVX2 for both builds (valgrind knows no AVX-512). More
 *                  of them than the tolerance allows fails, unless the time of the same benchmark
 *                  is SAME or IMPROVED: then it is a note */
#include "harness/regress/regress.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_LIMIT_S = 300, CHECK_LIMIT_S = 1200, CELL_LIMIT_S = 300 };
#define COUNT_TOLERANCE 1e-3
/* ns that the counted iterations take at full speed; under valgrind 50 times that, FMA 500 times */
#define COUNTED_NS 1e6

static int gate_check_ok(const GateRun *r) { return !strcmp(r->status, "ok"); }

static void gate_check_add(Gate *g, GateCheck c, Arena *a)
{
    enum { MOST = 3 * GATE_MOST };
    if (!g->checks.list) g->checks.list = arena_get(a, sizeof *g->checks.list * MOST);
    CHECK(g->checks.n < MOST);
    if (c.verdict == GATE_REGRESSED && strcmp(c.kind, "instructions")) g->total.wrong++;
    if (c.verdict == GATE_REGRESSED && !strcmp(c.kind, "instructions")) g->total.regressed++;
    g->checks.list[g->checks.n++] = c;
}

void gate_check_laws(Gate *g, Arena *a)
{
    const char *const words[] = { g->head->binary, "check", "shapes=20", NULL };
    const GateRun r = gate_run(words, CHECK_LIMIT_S, NULL, NULL, a);
    const char *first = strstr(r.said, "FAIL"), *why = r.error;
    if (first) why = arena_text(a, "%.*s", (int)strcspn(first, "\n"), first);
    const GateCheck good = { "laws", "check", "all hold", GATE_SAME, NAN, NAN };
    const GateCheck bad = { "laws", "check", why, GATE_REGRESSED, NAN, NAN };
    gate_check_add(g, gate_check_ok(&r) ? good : bad, a);
}

/* ---- quality ---- */
typedef struct { double nll, floor; } Loss;

static void gate_check_line(void *ctx, const Record *l)
{
    Loss *loss = ctx;
    if (l->kind == 'n' && !strcmp(l->name, "nll")) loss->nll = l->value;
    if (l->kind == 'n' && !strcmp(l->name, "nll_floor")) loss->floor = l->value;
}

static Loss gate_check_train(const GateBuild *b, const char *words, const char **why, Arena *a)
{
    enum { MOST = 48 };
    const char *argv[MOST] = { b->binary, "cell" };
    char *text = arena_text(a, "%s", words), *save = NULL;
    int n = 2;
    for (char *w = strtok_r(text, " ", &save); w && n < MOST - 1; w = strtok_r(NULL, " ", &save))
        argv[n++] = w;
    Loss loss = { NAN, NAN };
    const GateRun r = gate_run(argv, CELL_LIMIT_S, gate_check_line, &loss, a);
    *why = gate_check_ok(&r) ? isfinite(loss.nll) ? NULL : "no finite loss" : r.error;
    return loss;
}

static GateCheck gate_check_compare(const char *name, Loss base, Loss head, double tolerance,
                                    int accept, Arena *a)
{
    const double moved = head.nll - base.nll, share = fabs(moved) / fabs(base.nll);
    GateCheck c = { "quality", name, NULL, GATE_SAME, base.nll, head.nll };
    if (head.nll < head.floor) {
        c.verdict = GATE_REGRESSED;
        c.sentence = arena_text(a, "%.4f nats per token, below the entropy of the language, %.4f",
                                head.nll, head.floor);
    } else if (share > tolerance) {
        const int better = moved < 0;
        c.verdict = better && accept ? GATE_IMPROVED : GATE_REGRESSED;
        c.sentence = arena_text(a, "loss %.4f -> %.4f nats, %.3f %% %s%s", base.nll, head.nll,
                                100 * share, better ? "better" : "worse",
                                better && !accept ? "; if that is meant, --accept-quality" : "");
    } else
        c.sentence =
            moved == 0 ? "the same loss" : arena_text(a, "loss moved by %+.2g nats", moved);
    return c;
}

void gate_check_quality(Gate *g, Arena *a)
{
    for (int i = 0; i < g->qualities && !gate_interrupted(); i++) {
        const char *base_why, *head_why, *name = g->quality[i];
        const Loss head = gate_check_train(g->head, g->quality_words[i], &head_why, a);
        const Loss base = gate_check_train(g->base, g->quality_words[i], &base_why, a);
        GateCheck c = { "quality", name, head_why, GATE_REGRESSED, base.nll, head.nll };
        if (!head_why && base_why) {
            c.verdict = GATE_UNKNOWN;
            c.sentence = arena_text(a, "new in head; error of base: %s", base_why);
        } else if (!head_why) {
            c = gate_check_compare(name, base, head, g->plan.tolerance, g->plan.accept_quality, a);
        }
        gate_check_add(g, c, a);
    }
}

/* ---- instructions ---- */
/* NAN and an error message when valgrind reports no number */
static double gate_check_count(const GateBuild *b, const char *bench, long iters, const char **why,
                               Arena *a)
{
    const char *const words[] = { "EIGHTYSIX_CPU=avx2",
                                  "OMP_NUM_THREADS=1",
                                  "valgrind",
                                  "--tool=callgrind",
                                  "--callgrind-out-file=/dev/null",
                                  "--toggle-collect=regress_counted",
                                  b->binary,
                                  "regress-sample",
                                  "count",
                                  bench,
                                  "--iters",
                                  arena_text(a, "%ld", iters),
                                  NULL };
    const GateRun r = gate_run(words, COUNT_LIMIT_S, NULL, NULL, a);
    const char *s = strstr(r.said, "Collected :");
    const double n = s ? strtod(s + strlen("Collected :"), NULL) : 0;
    /* where both failed, the program's own message is the reason, valgrind's only the result */
    const char *own = strstr(r.said, "eightysix: ");
    *why = gate_check_ok(&r) && n > 0 ? NULL
           : gate_check_ok(&r)        ? "callgrind counted nothing"
                                      : r.error;
    if (*why && own) *why = arena_text(a, "%.*s", (int)strcspn(own, "\n"), own);
    return *why ? NAN : n;
}

static void gate_check_judge(Gate *g, const GateBench *b, double base, double head, Arena *a)
{
    const double more = head / base - 1;
    const int fine = b->pair.verdict == GATE_SAME || b->pair.verdict == GATE_IMPROVED;
    GateCheck c = { "instructions", b->name, arena_text(a, "%+.3f %%", 100 * more),
                    GATE_SAME,      base,    head };
    if (more < -COUNT_TOLERANCE) c.verdict = GATE_IMPROVED;
    if (more > COUNT_TOLERANCE && !fine) c.verdict = GATE_REGRESSED;
    if (more > COUNT_TOLERANCE && fine)
        c.sentence = arena_text(a, "%+.3f %%; its time is %s", 100 * more,
                                verdict_names[b->pair.verdict]);
    gate_check_add(g, c, a);
}

void gate_check_counts(Gate *g, Arena *a)
{
    const char *const ask[] = { "valgrind", "--version", NULL };
    const GateRun r = gate_run(ask, 60, NULL, NULL, a);
    if (!gate_check_ok(&r)) {
        gate_note(g, "instructions were not counted: there is no valgrind");
        return;
    }
    for (int i = 0; i < g->benches && !gate_interrupted(); i++) {
        const GateBench *b = &g->bench[i];
        const double each = REGRESS_SAMPLE_S * 1e9 / (double)b->iters;
        const long iters = each > COUNTED_NS ? 1 : (long)ceil(COUNTED_NS / each);
        const char *why, *head_why;
        const double base = gate_check_count(g->base, b->name, iters, &why, a);
        const double head = gate_check_count(g->head, b->name, iters, &head_why, a);
        if (why || head_why)
            gate_note(g, arena_text(a, "%s: instructions were not counted: %s", b->name,
                                    why ? why : head_why));
        else gate_check_judge(g, b, base, head, a);
    }
}
