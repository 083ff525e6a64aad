/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What both builds can run, and which part of it is compared. */
#include "harness/regress/regress.h"
#include <string.h>

#define LIST_LIMIT_S 120

typedef struct Cells { GateCell cell[GATE_MOST]; int n; } Cells;
typedef struct Lists {
    GateBench bench[GATE_MOST];
    int       benches;
    Cells     quality, gradients;
    Arena    *a;
} Lists;

static GateBench *choose_find(Lists *s, const char *name)
{
    for (int i = 0; i < s->benches; i++)
        if (!strcmp(s->bench[i].name, name)) return &s->bench[i];
    return NULL;
}

static void choose_add_bench(Lists *s, const char *text, int extra)
{
    char name[256];
    double budget;
    int probe;
    if (s->benches == GATE_MOST || sscanf(text, "%255s %lf %d", name, &budget, &probe) != 3) return;
    s->bench[s->benches++] = (GateBench) { .name = arena_text(s->a, "%s", name),
                                           .budget = budget / 100,
                                           .probe = probe,
                                           .extra = extra,
                                           .objects = "" };
}

/* NAME and the rest of the line */
static int choose_split(const Lists *s, const char *text, const char **name, const char **rest)
{
    char word[256];
    int end = 0;
    if (sscanf(text, "%255s %n", word, &end) != 1) return 0;
    *name = arena_text(s->a, "%s", word);
    *rest = arena_text(s->a, "%s", text + end);
    return 1;
}

static void choose_line(void *ctx, const Record *l)
{
    Lists *s = ctx;
    GateCell cell;
    if (l->kind != 't') return;
    const int quality = !strcmp(l->name, "quality"), gradients = !strcmp(l->name, "gradients");
    if (!strcmp(l->name, "bench")) choose_add_bench(s, l->text, 0);
    if (!strcmp(l->name, "extra")) choose_add_bench(s, l->text, 1);
    if (!strcmp(l->name, "times") && choose_split(s, l->text, &cell.name, &cell.words)) {
        GateBench *b = choose_find(s, cell.name);
        if (b) b->objects = cell.words;
    }
    Cells *to = quality ? &s->quality : &s->gradients;
    if ((quality || gradients) && to->n < GATE_MOST &&
        choose_split(s, l->text, &cell.name, &cell.words))
        to->cell[to->n++] = cell;
}

static Lists *choose_list(const GateBuild *b, Arena *a)
{
    Lists *s = arena_get(a, sizeof *s);
    s->a = a;
    const char *const words[] = { b->binary, "regress-sample", "list", NULL };
    gate_run(words, LIST_LIMIT_S, choose_line, s, a);
    return s;
}

/* 1: the word is one of the list, separated by blanks */
static int choose_in(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += n)
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || !at[n])) return 1;
    return 0;
}

static int choose_changed(const Gate *g, const GateBench *b)
{
    for (int i = 0; i < g->changes; i++)
        if (choose_in(b->objects, g->changed[i])) return 1;
    return 0;
}

/* 1: it is to run. A filter names what it likes; without one, what is beside the default set must
 * time something that has changed */
static int choose_wants(const Gate *g, const GateBench *b, const regex_t *filter)
{
    if (regexec(filter, b->name, 0, NULL, 0)) return 0;
    return !b->extra || g->plan.filter || choose_changed(g, b);
}

/* The benchmarks of both; notes what only one of them has. */
static void choose_benches(Gate *g, Lists *base, Lists *head, const regex_t *filter, Arena *a)
{
    g->bench = arena_get(a, sizeof *g->bench * GATE_MOST);
    for (int i = 0; i < base->benches; i++) {
        const GateBench *b = &base->bench[i], *h = choose_find(head, b->name);
        const int wanted = choose_wants(g, b, filter) || (h && choose_wants(g, h, filter));
        if (wanted && h) g->bench[g->benches++] = *b;
        else if (wanted) gate_note(g, arena_text(a, "%s: gone from head, not compared", b->name));
    }
    for (int i = 0; i < head->benches; i++) {
        const char *name = head->bench[i].name;
        if (!choose_find(base, name) && choose_wants(g, &head->bench[i], filter))
            gate_note(g, arena_text(a, "%s: new in head, nothing to compare with", name));
    }
}

static const GateCell *choose_cell(const Cells *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->cell[i].name, name)) return &s->cell[i];
    return NULL;
}

/* The cells of head, with the settings of base where it has them; returns how many */
static int choose_cells(Gate *g, const char *what, const Cells *base, const Cells *head,
                        GateCell **list, Arena *a)
{
    *list = arena_get(a, sizeof **list * GATE_MOST);
    for (int i = 0; i < head->n; i++) {
        const GateCell *same = choose_cell(base, head->cell[i].name);
        (*list)[i] = same ? *same : head->cell[i];
    }
    for (int i = 0; i < base->n; i++)
        if (!choose_cell(head, base->cell[i].name))
            gate_note(g, arena_text(a, "%s: its %s is gone from head, not compared",
                                    base->cell[i].name, what));
    return head->n;
}

/* The sources of the changed objects that no chosen benchmark times */
static void choose_untimed(Gate *g, Arena *a)
{
    g->untimed = "";
    for (int i = 0; i < g->changes; i++) {
        const char *o = g->changed[i];
        int timed = 0;
        for (int k = 0; k < g->benches; k++) timed |= choose_in(g->bench[k].objects, o);
        if (!timed)
            g->untimed = arena_text(a, "%s%s%.*s.c", g->untimed, *g->untimed ? ", " : "",
                                    (int)strlen(o) - 2, o);
    }
}

void gate_choose(Gate *g, const regex_t *filter, Arena *a)
{
    Lists *base = choose_list(g->base, a), *head = choose_list(g->head, a);
    int probes = 0;
    g->changes = gate_changed(g->base, g->head, &g->changed, a);
    choose_benches(g, base, head, filter, a);
    choose_untimed(g, a);
    g->qualities = choose_cells(g, "quality", &base->quality, &head->quality, &g->quality, a);
    g->gradients =
        choose_cells(g, "gradients", &base->gradients, &head->gradients, &g->gradient, a);
    if (!base->gradients.n && head->gradients.n) {
        gate_note(g, "base cannot tell its gradients: they were not compared");
        g->gradients = 0;
    }
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
