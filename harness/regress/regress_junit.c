/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The report of a gate for CI: JUnit XML. */
#include "harness/regress/regress.h"
#include "harness/util/clock.h"
#include <string.h>

static void xml_text(const char *s, FILE *f)
{
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        if (c == '<') fputs("&lt;", f);
        else if (c == '>') fputs("&gt;", f);
        else if (c == '&') fputs("&amp;", f);
        else if (c == '"') fputs("&quot;", f);
        else fputc(c < 32 ? ' ' : c, f);
    }
}

/* One test: bad is "failure", "error", "skipped", or NULL where it passed */
typedef struct XmlCase {
    const char *kind, *name, *bad, *verdict;
    char        sentence[512];
    double      seconds;
} XmlCase;
typedef struct XmlCases { XmlCase c[3 * GATE_MOST + 5 * GATE_MOST + 1]; int n; } XmlCases;

static void xml_add(XmlCases *all, XmlCase c) { all->c[all->n++] = c; }

static void xml_print(const XmlCase *c, FILE *f)
{
    fprintf(f, "  <testcase classname=\"regress.%s\" name=\"", c->kind);
    xml_text(c->name, f);
    fprintf(f, "\" time=\"%.3f\"", c->seconds);
    if (!c->bad) {
        fputs("/>\n", f);
        return;
    }
    fprintf(f, "><%s", c->bad);
    if (strcmp(c->bad, "skipped")) fprintf(f, " type=\"%s\"", c->verdict);
    fprintf(f, " message=\"%s: ", c->verdict);
    xml_text(c->sentence, f);
    fputs("\"/></testcase>\n", f);
}

static const char *xml_bad(Verdict v)
{
    return v == GATE_REGRESSED ? "failure" : v == GATE_UNKNOWN ? "skipped" : NULL;
}

static int xml_moved(const GateCase *c)
{
    return c->verdict == GATE_REGRESSED || c->verdict == GATE_IMPROVED;
}

/* The seconds of a probe are those of all four of its sides */
static void xml_bench(XmlCases *all, const GateBench *b)
{
    char seen[32];
    const GateCase *c = &b->pair;
    XmlCase x = { "time", b->name, xml_bad(c->verdict), verdict_names[c->verdict], "", b->seconds };
    snprintf(x.sentence, sizeof x.sentence,
             "%+.1f %% [%+.1f, %+.1f], detectable %s, budget %.0f %%",
             gate_percent(c->shift.median), gate_percent(c->shift.low),
             gate_percent(c->shift.high), gate_detectable(c->detectable, seen), 100 * c->budget);
    xml_add(all, x);
    if (!b->probe) return;
    xml_add(all, (XmlCase) { "control", b->name, xml_moved(&b->control) ? "error" : NULL, "INVALID",
                             "base differs from its own copy", 0 });
    xml_add(all, (XmlCase) { "canary", b->name,
                             b->canary.verdict != GATE_REGRESSED ? "error" : NULL, "INVALID",
                             "a delay of 5 % was not found", 0 });
}

static void xml_check(XmlCases *all, const GateCheck *c)
{
    XmlCase x = { c->kind, c->name, xml_bad(c->verdict), verdict_names[c->verdict], "",
                  c->seconds };
    snprintf(x.sentence, sizeof x.sentence, "%s", c->sentence);
    xml_add(all, x);
}

static XmlCases *xml_all(const Gate *g, Arena *a)
{
    XmlCases *all = arena_get(a, sizeof *all);
    if (g->equal) xml_add(all, (XmlCase) { "code", "the same code", NULL, "", "", 0 });
    for (int i = 0; i < g->benches && !g->equal; i++) {
        const char *name = g->bench[i].name;
        const XmlCase not_timed = { "time", name, "skipped", "UNKNOWN", "not timed", 0 };
        if (g->timed) xml_bench(all, &g->bench[i]);
        else xml_add(all, not_timed);
    }
    for (int i = 0; i < g->checks.n; i++) xml_check(all, &g->checks.list[i]);
    return all;
}

static int xml_count(const XmlCases *all, const char *bad)
{
    int n = 0;
    for (int i = 0; i < all->n; i++) n += all->c[i].bad && !strcmp(all->c[i].bad, bad);
    return n;
}

void gate_junit(const Gate *g, FILE *f)
{
    Arena a = arena_new((size_t)1 << 24);
    const XmlCases *all = xml_all(g, &a);
    fprintf(f,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"eightysix regress\" "
            "tests=\"%d\" failures=\"%d\" errors=\"%d\" skipped=\"%d\" time=\"%.3f\">\n",
            all->n, xml_count(all, "failure"), xml_count(all, "error"), xml_count(all, "skipped"),
            clock_now() - g->began);
    for (int i = 0; i < all->n; i++) xml_print(&all->c[i], f);
    fputs("</testsuite>\n", f);
    arena_drop(&a);
}
