/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The golden set: what both programs know, of what `regress-sample list` says of each.
 *
 *   every model with every head, x every quantiser x act=f32, int8
 *   the settings that lead to other code than the defaults (regress_cells.c)
 *   every ternary kernel
 *
 * Settings are those of OLD: small, gemm=portable, one thread, unless that is what differs. */
#include "harness/regress/certify.h"
#include "kernels/ternary.h"
#include "models/spec.h"
#include <string.h>

#define CELLS_LIMIT_S 120

/* ---- what a program says ---- */
typedef struct CellsAsked { CertifyProgram *p; Arena *a; } CellsAsked;

static void cells_add_part(CertifyParts *to, const char *text, Arena *a)
{
    const int name = (int)strcspn(text, " ");
    if (to->n == CERTIFY_PARTS || !text[name]) return;
    to->list[to->n++] = (CertifyPart){ arena_text(a, "%.*s", name, text),
                                       arena_text(a, "%s", text + name + 1) };
}

static void cells_add(GateCell *list, int *n, const char *text, Arena *a)
{
    const int name = (int)strcspn(text, " ");
    if (*n == GATE_MOST || !text[name]) return;
    list[(*n)++] = (GateCell){ arena_text(a, "%.*s", name, text),
                               arena_text(a, "%s", text + name + 1) };
}

static void cells_line(void *ctx, const Record *l)
{
    const CellsAsked *e = ctx;
    CertifyProgram *p = e->p;
    if (l->kind != 't') return;
    if (!strcmp(l->name, "part")) cells_add_part(&p->parts, l->text, e->a);
    if (!strcmp(l->name, "quality") && strstr(l->text, "+f32 "))
        cells_add(p->pair, &p->pairs, l->text, e->a);
    if (!strcmp(l->name, "gradients") && strcspn(l->text, "=") < strcspn(l->text, " "))
        cells_add(p->variant, &p->variants, l->text, e->a);
}

CertifyProgram *certify_ask(const GateBuild *b, Arena *a)
{
    CertifyProgram *p = arena_get(a, sizeof *p);
    CellsAsked asked = { p, a };
    const char *const words[] = { b->binary, "regress-sample", "list", NULL };
    p->build = b;
    p->parts.list = arena_get(a, sizeof *p->parts.list * CERTIFY_PARTS);
    p->pair = arena_get(a, sizeof *p->pair * GATE_MOST);
    p->variant = arena_get(a, sizeof *p->variant * GATE_MOST);
    const GateRun r = gate_run(words, CELLS_LIMIT_S, cells_line, &asked, a);
    if (strcmp(r.status, "ok")) die("%s: regress-sample list: %s", b->ref, r.error);
    return p;
}

/* ---- the cells ---- */
/* 1: one of the words sets what the word sets */
static int cells_sets(const char *words, const char *word, size_t len)
{
    const size_t key = (size_t)((const char *)memchr(word, '=', len) - word) + 1;
    for (const char *s = words; *s; s += strcspn(s, " "), s += *s == ' ')
        if (!strncmp(s, word, key)) return 1;
    return 0;
}

/* The words, but for those that `more` sets, and these */
static const char *cells_words(const char *words, const char *more, Arena *a)
{
    const char *all = "";
    for (const char *s = words; *s; s += strcspn(s, " "), s += *s == ' ') {
        const size_t len = strcspn(s, " ");
        if (len && memchr(s, '=', len) && !cells_sets(more, s, len))
            all = arena_text(a, "%s%.*s ", all, (int)len, s);
    }
    return arena_text(a, "%s%s", all, more);
}

static const GateCell *cells_find(const GateCell *list, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(list[i].name, name)) return &list[i];
    return NULL;
}

static void cells_put(CertifyCell *cell, int *n, const char *name, const char *words,
                      const char *more, Arena *a)
{
    const char *steps = arena_text(a, "%s%sbudget=%dsteps", more, *more ? " " : "", CERTIFY_STEPS);
    if (*n < CERTIFY_CELLS)
        cell[(*n)++] = (CertifyCell){ .name = name, .words = cells_words(words, steps, a) };
}

static const char *cells_choices(const char *key)
{
    for (const Setting *s = settings; s->key; s++)
        if (!strcmp(s->key, key)) return s->type + strlen("one of ");
    return "";
}

static void cells_put_pair(CertifyCell *cell, int *n, const GateCell *pair, Arena *a)
{
    const char *quants = cells_choices("quant"), *acts = cells_choices("act");
    const int name = (int)strlen(pair->name) - (int)strlen("+f32");
    for (const char *q = quants; *q; q += strcspn(q, "|"), q += *q == '|')
        for (const char *t = acts; *t; t += strcspn(t, "|"), t += *t == '|') {
            const int quant = (int)strcspn(q, "|"), act = (int)strcspn(t, "|");
            if (!strncmp(q, "native|", 7)) continue;              /* is one of the others */
            cells_put(cell, n,
                      arena_text(a, "%.*s+%.*s+%.*s", name, pair->name, quant, q, act, t),
                      pair->words, arena_text(a, "quant=%.*s act=%.*s", quant, q, act, t), a);
        }
}

int certify_cells(const CertifyProgram *old, const CertifyProgram *new, CertifyCell *cell,
                  Arena *a)
{
    const GateCell *first = NULL;
    int n = 0;
    for (int i = 0; i < old->pairs; i++)
        if (cells_find(new->pair, new->pairs, old->pair[i].name)) {
            if (!first) first = &old->pair[i];
            cells_put_pair(cell, &n, &old->pair[i], a);
        }
    for (int i = 0; i < old->variants; i++) {
        const GateCell *v = &old->variant[i];
        if (cells_find(new->variant, new->variants, v->name))
            cells_put(cell, &n, v->name, v->words, "", a);
    }
    for (int i = 0; first && ternary_kernels[i]; i++) {
        const TernaryKernel *k = ternary_kernels[i];
        if (k->computes && ternary_runs_here(k))
            cells_put(cell, &n, arena_text(a, "kernel=%s", k->name), first->words,
                      arena_text(a, "quant=v3 act=int8 kernel=%s", k->name), a);
    }
    return n;
}
