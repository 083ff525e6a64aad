/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The file of numbers, tables and figures: paper.yaml. */
#include "harness/util/share.h"
#include "harness/util/yaml.h"
#include "harness/judge/paper.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct PaperLoad {
    Yaml          doc;
    Paper        *paper;
    const Claims *claims;
    const Node   *commands;              /* the mapping of that name; NULL: there is none */
} PaperLoad;

static const char *const paper_sections[] = { "numbers", "tables", "figures", "sentences" };

static const char *paper_read_text(Yaml *d, const Node *n, const char *key, const char **out)
{
    const char *why = yaml_want_scalar(d, n, key);
    if (!why) *out = arena_text(d->a, "%s", yaml_text(n));
    return why;
}

static const char *paper_read_list(Yaml *d, const Node *n, const char *key, const char **out,
                                   int most)
{
    if (n->type != YAML_SEQUENCE_NODE || yaml_items(n) > most)
        return yaml_at(d, n, "%s: expected a list [a, b], of %d at most", key, most);
    const char *why = NULL;
    for (int i = 0; !why && i < yaml_items(n); i++)
        why = paper_read_text(d, yaml_item(d, n, i), key, &out[i]);
    return why;
}

static const char *paper_read_digits(Yaml *d, const Node *n, int *out)
{
    const char *why = yaml_want_scalar(d, n, "digits");
    if (!why) *out = atoi(yaml_text(n));
    return why || (*out >= 1 && *out <= 9) ? why : yaml_at(d, n, "digits: expected 1 to 9");
}

static const char *paper_read_key(Yaml *d, const Node *key, const Node *n, PaperItem *p)
{
    const char *k = yaml_text(key);
    const struct { const char *key; int kinds; const char **to; } texts[] = {      /* kinds: bits */
        { "experiment", 7, &p->experiment }, { "value", 1, &p->select }, { "rows", 2, &p->select },
        { "view", 4, &p->view }, { "needs", 4, &p->needs }, { "n", 6, &p->n }, { "of", 6, &p->of },
        { "interval", 6, &p->interval } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!strcmp(k, texts[i].key) && texts[i].kinds >> p->kind & 1)
            return paper_read_text(d, n, k, texts[i].to);
    if (p->kind == PAPER_NUMBER && !strcmp(k, "digits")) return paper_read_digits(d, n, &p->digits);
    if (p->kind == PAPER_NUMBER && !strcmp(k, "mean")) {
        const char *is, *why = paper_read_text(d, n, k, &is);
        p->mean = 1;
        return why || !strcmp(is, "true") ? why : yaml_at(d, n, "mean: expected true");
    }
    if (p->kind == PAPER_TABLE && !strcmp(k, "columns"))
        return paper_read_list(d, n, k, p->column, PAPER_COLUMNS);
    if (p->kind != PAPER_NUMBER && !strcmp(k, "beside"))
        return paper_read_list(d, n, k, p->beside, PAPER_BESIDE);
    return yaml_at(d, key, "unknown key '%.60s' of %s; harness/judge/paper.h has them", k,
                   paper_sections[p->kind]);
}

static const char *paper_check_item(Yaml *d, const Node *n, const PaperItem *p)
{
    if (!*p->experiment) return yaml_at(d, n, "%s: expected a key 'experiment'", p->name);
    if (p->kind == PAPER_FIGURE ? !*p->view : !*p->select)
        return yaml_at(d, n, "%s: expected a key '%s'", p->name,
                      p->kind == PAPER_FIGURE ? "view" : p->kind == PAPER_TABLE ? "rows" : "value");
    if (p->kind != PAPER_NUMBER && (!*p->of || !*p->interval))
        return yaml_at(d, n, "%s: expected keys 'of' and 'interval'", p->name);
    return p->kind != PAPER_TABLE || p->column[0]
               ? NULL
               : yaml_at(d, n, "%s: expected a key 'columns'", p->name);
}

/* Words with numbers in braces: "{NAME}" */
static const char *paper_read_sentence(Yaml *d, const Node *n, PaperItem *p)
{
    const char *why = paper_read_text(d, n, p->name, &p->select);
    int open = 0, holes = 0;
    for (const char *s = p->select; !why && *s && open >= 0 && open < 2; s++) {
        open += (*s == '{') - (*s == '}');
        holes += *s == '{';
    }
    return why || (!open && holes) ? why : yaml_at(d, n, "%s: expected words {NUMBER} words",
                                                   p->name);
}

static const PaperItem *paper_find(const Paper *all, const char *name)
{
    for (int i = 0; i < all->n; i++)
        if (!strcmp(all->item[i].name, name)) return &all->item[i];
    return NULL;
}

static const char *paper_read_item(PaperLoad *l, PaperKind kind, const Node *name, const Node *body)
{
    Yaml *d = &l->doc;
    const int words = kind == PAPER_SENTENCE;
    const char *why = yaml_want_name(d, name, paper_sections[kind]);
    if (!why && !words) why = yaml_want_map(d, body, yaml_text(name));
    if (!why && (paper_find(l->paper, yaml_text(name)) || claims_find(l->claims, yaml_text(name))))
        why = yaml_at(d, name, "'%s' is given twice", yaml_text(name));
    if (why) return why;
    PaperItem *p = &l->paper->item[l->paper->n++];
    *p = (PaperItem) { .kind = kind,
                       .name = arena_text(d->a, "%s", yaml_text(name)),
                       .experiment = "",
                       .run = "",
                       .select = "",
                       .view = "",
                       .n = "",
                       .of = "",
                       .interval = "",
                       .needs = "",
                       .digits = 3,
                       .at = arena_text(d->a, "%s:%zu:%zu", d->file, body->start_mark.line + 1,
                                        body->start_mark.column + 1) };
    if (words) return paper_read_sentence(d, body, p);
    for (int i = 0; !why && i < yaml_pairs(body); i++)
        why = paper_read_key(d, yaml_key(d, body, i), yaml_value(d, body, i), p);
    return why ? why : paper_check_item(d, body, p);
}

static const char *paper_read_section(PaperLoad *l, const Node *key, const Node *n)
{
    Yaml *d = &l->doc;
    int kind = 0;
    if (n == l->commands) return NULL;
    while (kind < PAPER_CLAIM && strcmp(yaml_text(key), paper_sections[kind])) kind++;
    if (kind == PAPER_CLAIM)
        return yaml_at(d, key, "unknown key '%.60s'; expected commands, numbers, tables, figures, "
                               "sentences",
                       yaml_text(key));
    const char *why = yaml_want_map(d, n, paper_sections[kind]);
    for (int i = 0; !why && i < yaml_pairs(n); i++)
        why = paper_read_item(l, (PaperKind)kind, yaml_key(d, n, i), yaml_value(d, n, i));
    return why;
}

static void paper_add_claims(PaperLoad *l)
{
    for (int i = 0; i < l->claims->n; i++) {
        const Claim *c = &l->claims->claim[i];
        l->paper->item[l->paper->n++] = (PaperItem) { .kind = PAPER_CLAIM,
                                                      .name = c->name,
                                                      .experiment = c->experiment,
                                                      .run = "",
                                                      .at = c->at,
                                                      .select = c->value,
                                                      .view = "",
                                                      .n = "",
                                                      .of = "",
                                                      .interval = "",
                                                      .needs = "",
                                                      .digits = 3,
                                                      .claim = c };
    }
}

static const char *paper_find_commands(PaperLoad *l, const Node *root)
{
    Yaml *d = &l->doc;
    for (int i = 0; i < yaml_pairs(root); i++)
        if (!strcmp(yaml_text(yaml_key(d, root, i)), "commands"))
            l->commands = yaml_value(d, root, i);
    const char *why = l->commands ? yaml_want_map(d, l->commands, "commands") : NULL;
    for (int i = 0; !why && l->commands && i < yaml_pairs(l->commands); i++)
        why = yaml_want_scalar(d, yaml_value(d, l->commands, i), "a command");
    return why;
}

/* What makes the records of an experiment: what `commands` says, else its sweep, else the command
 * of its name */
static const char *paper_command(PaperLoad *l, const char *experiment)
{
    Yaml *d = &l->doc;
    for (int i = 0; l->commands && i < yaml_pairs(l->commands); i++)
        if (!strcmp(yaml_text(yaml_key(d, l->commands, i)), experiment))
            return arena_text(d->a, "%s", yaml_text(yaml_value(d, l->commands, i)));
    if (!access(share_path(arena_text(d->a, "experiments/%s.yaml", experiment), d->a), R_OK))
        return arena_text(d->a, "eightysix sweep experiments/%s.yaml", experiment);
    return arena_text(d->a, "eightysix %s", experiment);
}

static const char *paper_read_all(void *ctx, const Node *root)
{
    PaperLoad *l = ctx;
    Yaml *d = &l->doc;
    const char *why = yaml_want_map(d, root, "numbers, tables and figures");
    if (!why) why = paper_find_commands(l, root);
    if (why) return why;
    int most = l->claims->n;
    for (int i = 0; i < yaml_pairs(root); i++) {
        const Node *n = yaml_value(d, root, i);
        most += n->type == YAML_MAPPING_NODE ? yaml_pairs(n) : 0;
    }
    *l->paper = (Paper){ .item = arena_get(d->a, sizeof *l->paper->item * (size_t)(most + 1)) };
    for (int i = 0; !why && i < yaml_pairs(root); i++)
        why = paper_read_section(l, yaml_key(d, root, i), yaml_value(d, root, i));
    if (!why) paper_add_claims(l);
    for (int i = 0; !why && i < l->paper->n; i++)
        l->paper->item[i].run = paper_command(l, l->paper->item[i].experiment);
    return why;
}

const char *paper_load(const char *path, const Claims *claims, Paper *out, Arena *a)
{
    const char *why;
    size_t len;
    const char *text = yaml_load(share_path(path, a), &len, a, &why);
    PaperLoad l = { .doc = { .file = path, .a = a }, .paper = out, .claims = claims };
    return text ? yaml_parse(&l.doc, text, len, "numbers, tables and figures", paper_read_all, &l)
                : why;
}

const char *paper_definition(const PaperItem *p, Arena *a)
{
    const char *list = "";
    for (int i = 0; p->column[i]; i++) list = arena_text(a, "%s|%s", list, p->column[i]);
    for (int i = 0; p->beside[i]; i++) list = arena_text(a, "%s+%s", list, p->beside[i]);
    return arena_text(a, "%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%d %d\n%s", p->name, p->experiment,
                      p->run, p->select, p->view, p->needs, p->n, p->of, p->interval, p->digits,
                      p->mean, p->claim ? claim_definition(p->claim, a) : list);
}
