/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The file of numbers, tables and figures. */
#include "harness/doc.h"
#include "harness/paper.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Load { Doc doc; Paper *paper; const Claims *claims; const Node *commands; } Load;

static const char *const sections[] = { "numbers", "tables", "figures" };

static const char *read_text(Doc *d, const Node *n, const char *key, const char **out)
{
    const char *why = doc_want_scalar(d, n, key);
    if (!why) *out = arena_text(d->a, "%s", doc_text(n));
    return why;
}

static const char *read_list(Doc *d, const Node *n, const char *key, const char **out, int most)
{
    if (n->type != YAML_SEQUENCE_NODE || doc_items(n) > most)
        return doc_at(d, n, "%s: expected a list [a, b], of %d at most", key, most);
    const char *why = NULL;
    for (int i = 0; !why && i < doc_items(n); i++) why = read_text(d, doc_item(d, n, i), key, &out[i]);
    return why;
}

static const char *read_digits(Doc *d, const Node *n, int *out)
{
    const char *why = doc_want_scalar(d, n, "digits");
    if (!why) *out = atoi(doc_text(n));
    return why || (*out >= 1 && *out <= 9) ? why : doc_at(d, n, "digits: expected 1 to 9");
}

static const char *read_key(Doc *d, const Node *key, const Node *n, PaperItem *p)
{
    const char *k = doc_text(key);
    const struct { const char *key; int kinds; const char **to; } texts[] = {      /* kinds: bits */
        { "experiment", 7, &p->experiment }, { "value", 1, &p->select }, { "rows", 2, &p->select },
        { "view", 4, &p->view }, { "needs", 4, &p->needs }, { "n", 6, &p->n }, { "of", 6, &p->of },
        { "interval", 6, &p->interval } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!strcmp(k, texts[i].key) && texts[i].kinds >> p->kind & 1) return read_text(d, n, k, texts[i].to);
    if (p->kind == PAPER_NUMBER && !strcmp(k, "digits")) return read_digits(d, n, &p->digits);
    if (p->kind == PAPER_NUMBER && !strcmp(k, "mean")) {
        const char *is, *why = read_text(d, n, k, &is);
        p->mean = 1;
        return why || !strcmp(is, "true") ? why : doc_at(d, n, "mean: expected true");
    }
    if (p->kind == PAPER_TABLE && !strcmp(k, "columns"))
        return read_list(d, n, k, p->column, PAPER_COLUMNS);
    if (p->kind != PAPER_NUMBER && !strcmp(k, "beside")) return read_list(d, n, k, p->beside, PAPER_BESIDE);
    return doc_at(d, key, "unknown key '%.60s' of %s; harness/paper.h has them", k, sections[p->kind]);
}

static const char *check(Doc *d, const Node *n, const PaperItem *p)
{
    if (!*p->experiment) return doc_at(d, n, "%s: expected a key 'experiment'", p->name);
    if (p->kind == PAPER_FIGURE ? !*p->view : !*p->select)
        return doc_at(d, n, "%s: expected a key '%s'", p->name,
                      p->kind == PAPER_FIGURE ? "view" : p->kind == PAPER_TABLE ? "rows" : "value");
    if (p->kind != PAPER_NUMBER && (!*p->of || !*p->interval))
        return doc_at(d, n, "%s: expected keys 'of' and 'interval'", p->name);
    return p->kind != PAPER_TABLE || p->column[0] ? NULL : doc_at(d, n, "%s: expected a key 'columns'", p->name);
}

static const PaperItem *find(const Paper *all, const char *name)
{
    for (int i = 0; i < all->n; i++)
        if (!strcmp(all->item[i].name, name)) return &all->item[i];
    return NULL;
}

static const char *read_item(Load *l, PaperKind kind, const Node *name, const Node *body)
{
    Doc *d = &l->doc;
    const char *why = doc_want_name(d, name, sections[kind]);
    if (!why) why = doc_want_map(d, body, doc_text(name));
    if (!why && (find(l->paper, doc_text(name)) || claims_find(l->claims, doc_text(name))))
        why = doc_at(d, name, "'%s' is given twice", doc_text(name));
    if (why) return why;
    PaperItem *p = &l->paper->item[l->paper->n++];
    *p = (PaperItem){ .kind = kind, .name = arena_text(d->a, "%s", doc_text(name)), .experiment = "", .run = "",
                      .select = "", .view = "", .n = "", .of = "", .interval = "", .needs = "", .digits = 3,
                      .at = arena_text(d->a, "%s:%zu:%zu", d->file, body->start_mark.line + 1,
                                       body->start_mark.column + 1) };
    for (int i = 0; !why && i < doc_pairs(body); i++)
        why = read_key(d, doc_key(d, body, i), doc_value(d, body, i), p);
    return why ? why : check(d, body, p);
}

static const char *read_section(Load *l, const Node *key, const Node *n)
{
    Doc *d = &l->doc;
    int kind = 0;
    if (n == l->commands) return NULL;
    while (kind < PAPER_CLAIM && strcmp(doc_text(key), sections[kind])) kind++;
    if (kind == PAPER_CLAIM)
        return doc_at(d, key, "unknown key '%.60s'; expected commands, numbers, tables, figures", doc_text(key));
    const char *why = doc_want_map(d, n, sections[kind]);
    for (int i = 0; !why && i < doc_pairs(n); i++)
        why = read_item(l, (PaperKind)kind, doc_key(d, n, i), doc_value(d, n, i));
    return why;
}

static void add_claims(Load *l)
{
    for (int i = 0; i < l->claims->n; i++) {
        const Claim *c = &l->claims->claim[i];
        l->paper->item[l->paper->n++] = (PaperItem){
            .kind = PAPER_CLAIM, .name = c->name, .experiment = c->experiment, .run = "", .at = c->at, .select = c->value,
            .view = "", .n = "", .of = "", .interval = "", .needs = "", .digits = 3, .claim = c };
    }
}

static const char *find_commands(Load *l, const Node *root)
{
    Doc *d = &l->doc;
    for (int i = 0; i < doc_pairs(root); i++)
        if (!strcmp(doc_text(doc_key(d, root, i)), "commands")) l->commands = doc_value(d, root, i);
    const char *why = l->commands ? doc_want_map(d, l->commands, "commands") : NULL;
    for (int i = 0; !why && l->commands && i < doc_pairs(l->commands); i++)
        why = doc_want_scalar(d, doc_value(d, l->commands, i), "a command");
    return why;
}

/* what makes the records of an experiment: as `commands` says, its sweep, or its name is a command itself */
static const char *command(Load *l, const char *experiment)
{
    Doc *d = &l->doc;
    for (int i = 0; l->commands && i < doc_pairs(l->commands); i++)
        if (!strcmp(doc_text(doc_key(d, l->commands, i)), experiment))
            return arena_text(d->a, "%s", doc_text(doc_value(d, l->commands, i)));
    if (!access(arena_text(d->a, "experiments/%s.yaml", experiment), R_OK))
        return arena_text(d->a, "eightysix sweep experiments/%s.yaml", experiment);
    return arena_text(d->a, "eightysix %s", experiment);
}

static const char *read_paper(void *ctx, const Node *root)
{
    Load *l = ctx;
    Doc *d = &l->doc;
    const char *why = doc_want_map(d, root, "numbers, tables and figures");
    if (!why) why = find_commands(l, root);
    if (why) return why;
    int most = l->claims->n;
    for (int i = 0; i < doc_pairs(root); i++) {
        const Node *n = doc_value(d, root, i);
        most += n->type == YAML_MAPPING_NODE ? doc_pairs(n) : 0;
    }
    *l->paper = (Paper){ .item = arena_get(d->a, sizeof *l->paper->item * (size_t)(most + 1)) };
    for (int i = 0; !why && i < doc_pairs(root); i++)
        why = read_section(l, doc_key(d, root, i), doc_value(d, root, i));
    if (!why) add_claims(l);
    for (int i = 0; !why && i < l->paper->n; i++) l->paper->item[i].run = command(l, l->paper->item[i].experiment);
    return why;
}

const char *paper_load(const char *path, const Claims *claims, Paper *out, Arena *a)
{
    const char *why;
    size_t len;
    const char *text = doc_load(path, &len, a, &why);
    Load l = { .doc = { .file = path, .a = a }, .paper = out, .claims = claims };
    return text ? doc_parse(&l.doc, text, len, "numbers, tables and figures", read_paper, &l) : why;
}

const char *paper_definition(const PaperItem *p, Arena *a)
{
    const char *list = "";
    for (int i = 0; p->column[i]; i++) list = arena_text(a, "%s|%s", list, p->column[i]);
    for (int i = 0; p->beside[i]; i++) list = arena_text(a, "%s+%s", list, p->beside[i]);
    return arena_text(a, "%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%d %d\n%s", p->name, p->experiment, p->run, p->select,
                      p->view, p->needs, p->n, p->of, p->interval, p->digits, p->mean,
                      p->claim ? claim_definition(p->claim, a) : list);
}
