/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What both builds can run, and which part of it is compared. */
#include "harness/regress/regress.h"
#include <string.h>

#define LIST_LIMIT_S 120

typedef struct Lists {
    GateBench   bench[GATE_MOST];
    const char *quality[GATE_MOST], *words[GATE_MOST];
    int         benches, qualities;
    Arena      *a;
} Lists;

static void choose_line(void *ctx, const Record *l)
{
    Lists *s = ctx;
    char name[256];
    double budget;
    int probe, end = 0;
    if (l->kind != 't') return;
    if (!strcmp(l->name, "bench") && s->benches < GATE_MOST &&
        sscanf(l->text, "%255s %lf %d", name, &budget, &probe) == 3)
        s->bench[s->benches++] = (GateBench) { .name = arena_text(s->a, "%s", name),
                                               .budget = budget / 100,
                                               .probe = probe };
    if (!strcmp(l->name, "quality") && s->qualities < GATE_MOST &&
        sscanf(l->text, "%255s %n", name, &end) == 1) {
        s->quality[s->qualities] = arena_text(s->a, "%s", name);
        s->words[s->qualities++] = arena_text(s->a, "%s", l->text + end);
    }
}

static Lists *choose_list(const GateBuild *b, Arena *a)
{
    Lists *s = arena_get(a, sizeof *s);
    s->a = a;
    const char *const words[] = { b->binary, "regress-sample", "list", NULL };
    gate_run(words, LIST_LIMIT_S, choose_line, s, a);
    return s;
}

static int choose_index(const char *const *list, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(list[i], name)) return i;
    return -1;
}

static const GateBench *choose_find(const Lists *s, const char *name)
{
    for (int i = 0; i < s->benches; i++)
        if (!strcmp(s->bench[i].name, name)) return &s->bench[i];
    return NULL;
}

/* The benchmarks of both; notes what only one of them has. */
static void choose_benches(Gate *g, const Lists *base, const Lists *head, const regex_t *filter,
                           Arena *a)
{
    g->bench = arena_get(a, sizeof *g->bench * GATE_MOST);
    for (int i = 0; i < base->benches; i++) {
        const char *name = base->bench[i].name;
        if (regexec(filter, name, 0, NULL, 0)) continue;
        if (choose_find(head, name)) g->bench[g->benches++] = base->bench[i];
        else gate_note(g, arena_text(a, "%s: gone from head, not compared", name));
    }
    for (int i = 0; i < head->benches; i++)
        if (!choose_find(base, head->bench[i].name))
            gate_note(g, arena_text(a, "%s: new in head, nothing to compare with",
                                    head->bench[i].name));
}

static void choose_quality(Gate *g, const Lists *base, const Lists *head, Arena *a)
{
    g->quality = arena_get(a, sizeof *g->quality * GATE_MOST);
    g->quality_words = arena_get(a, sizeof *g->quality_words * GATE_MOST);
    for (int i = 0; i < head->qualities; i++) {
        const int k = choose_index(base->quality, base->qualities, head->quality[i]);
        g->quality[g->qualities] = head->quality[i];
        g->quality_words[g->qualities++] = k < 0 ? head->words[i] : base->words[k];
    }
    for (int i = 0; i < base->qualities; i++)
        if (choose_index(head->quality, head->qualities, base->quality[i]) < 0)
            gate_note(g, arena_text(a, "%s: its quality is gone from head, not compared",
                                    base->quality[i]));
}

void gate_choose(Gate *g, const regex_t *filter, Arena *a)
{
    const Lists *base = choose_list(g->base, a), *head = choose_list(g->head, a);
    int probes = 0;
    choose_benches(g, base, head, filter, a);
    choose_quality(g, base, head, a);
    if (!g->benches)
        die("--filter %s: no benchmark that both builds have has such a name",
            g->plan.filter ? g->plan.filter : ".");
    for (int i = 0; i < g->benches; i++) probes += g->bench[i].probe;
    if (!probes) g->bench[0].probe = 1;      /* every run has a probe, whatever the filter */
    if (strcmp(g->base->compiler, g->head->compiler))
        gate_note(g, "compilers differ: the comparison includes that");
    if (strcmp(g->base->flags, g->head->flags))
        gate_note(g, "compiler flags differ: the change includes that");
}
