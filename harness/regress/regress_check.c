/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is not time, and so needs no statistics:
 *
 *   laws           `check` of head's build: what is fast and wrong fails here
 *   gradients      regress_gradients.c: every number of a few steps
 *   quality        regress_quality.c: the losses of short trainings
 *   instructions   counted by callgrind, on AVX2 for both builds (valgrind knows no AVX-512). More
 *                  of them than the tolerance allows fails, unless the time of the same benchmark
 *                  is SAME, NOT SLOWER or IMPROVED: then it is a note */
#include "harness/regress/regress.h"
#include "harness/util/clock.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_LIMIT_S = 300, CHECK_LIMIT_S = 1200 };
#define COUNT_TOLERANCE 1e-3
/* ns that the counted iterations take at full speed; under valgrind 50 times that, FMA 500 times */
#define COUNTED_NS 1e6

static int gate_check_ok(const GateRun *r) { return !strcmp(r->status, "ok"); }

void gate_check_begin(Gate *g) { g->checks.began = clock_now(); }

void gate_check_add(Gate *g, GateCheck c, Arena *a)
{
    enum { MOST = 5 * GATE_MOST };
    const double now = clock_now();
    if (!g->checks.list) g->checks.list = arena_get(a, sizeof *g->checks.list * MOST);
    CHECK(g->checks.n < MOST);
    c.seconds = now - g->checks.began;
    g->checks.began = now;
    if (c.verdict == GATE_REGRESSED && strcmp(c.kind, "instructions")) g->total.wrong++;
    if (c.verdict == GATE_REGRESSED && !strcmp(c.kind, "instructions")) g->total.regressed++;
    g->checks.list[g->checks.n++] = c;
}

int gate_check_laws(Gate *g, Arena *a)
{
    gate_check_begin(g);
    const char *const words[] = { g->head->binary, "check", "shapes=20", NULL };
    const GateRun r = gate_run(words, CHECK_LIMIT_S, NULL, NULL, a);
    const char *first = strstr(r.said, "FAIL"), *why = r.error;
    if (first) why = arena_text(a, "%.*s", (int)strcspn(first, "\n"), first);
    const GateCheck good = { "laws", "check", "all hold", GATE_SAME, NAN, NAN, 0 };
    const GateCheck bad = { "laws", "check", why, GATE_REGRESSED, NAN, NAN, 0 };
    if (!gate_interrupted()) gate_check_add(g, gate_check_ok(&r) ? good : bad, a);
    return gate_check_ok(&r);
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
    const int fine = b->pair.verdict != GATE_UNKNOWN && b->pair.verdict != GATE_REGRESSED;
    GateCheck c = { "instructions", b->name, arena_text(a, "%+.3f %%", 100 * more),
                    GATE_SAME,      base,    head,
                    0 };
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
    gate_check_begin(g);
    if (!gate_check_ok(&r)) {
        gate_note(g, "instructions were not counted: there is no valgrind");
        return;
    }
    for (int i = 0; i < g->benches && !gate_interrupted(); i++) {
        const GateBench *b = &g->bench[i];
        gate_progress(g, "instructions of %s", b->name);
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
