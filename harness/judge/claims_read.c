/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Claims from YAML; the definition of a claim as one line of JSON, which is YAML too. */
#include "harness/judge/claims.h"
#include "harness/util/share.h"
#include "harness/util/yaml.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct ClaimLoad { Yaml doc; Claims *claims; Claim *one; } ClaimLoad;

static const char *claim_read_number(Yaml *d, const Node *n, const char *what, double *out)
{
    const char *why = yaml_want_scalar(d, n, what);
    if (why) return why;
    char *end;
    *out = strtod(yaml_text(n), &end);
    if (end == yaml_text(n) || *end || !isfinite(*out))
        return yaml_at(d, n, "%s '%.40s': expected a number", what, yaml_text(n));
    return NULL;
}

static const char *claim_read_claimed(Yaml *d, const Node *n, Claim *c)
{
    const char *why = NULL;
    if (n->type == YAML_SCALAR_NODE) {
        why = claim_read_number(d, n, "claimed", &c->low);
        c->high = c->low;
        return why;
    }
    c->low = -INFINITY;
    c->high = INFINITY;
    why = yaml_want_map(d, n, "claimed");
    for (int i = 0; !why && i < yaml_pairs(n); i++) {
        const Node *key = yaml_key(d, n, i);
        const char *k = yaml_text(key);
        if (!strcmp(k, "from") || !strcmp(k, "least"))
            why = claim_read_number(d, yaml_value(d, n, i), k, &c->low);
        else if (!strcmp(k, "to") || !strcmp(k, "most"))
            why = claim_read_number(d, yaml_value(d, n, i), k, &c->high);
        else
            why = yaml_at(d, key,
                          "claimed: unknown key '%.60s'; expected a number, from and to, least or "
                          "most",
                          k);
    }
    if (!why && !yaml_pairs(n))
        why = yaml_at(d, n, "claimed: expected a number, from and to, least or most");
    if (!why && c->low > c->high) why = yaml_at(d, n, "claimed: expected from <= to");
    return why;
}

static const char *claim_read_text(Yaml *d, const Node *n, const char *key, const char **out)
{
    const char *why = yaml_want_scalar(d, n, key);
    if (!why) *out = arena_text(d->a, "%s", yaml_text(n));
    return why;
}

static const char *claim_read_direction(Yaml *d, const Node *key, const Node *n, Claim *c)
{
    if (c->side) return yaml_at(d, key, "expected one of above and below");
    c->side = *yaml_text(key) == 'a' ? 1 : -1;
    return claim_read_number(d, n, yaml_text(key), &c->edge);
}

static const char *claim_read_key(Yaml *d, const Node *key, const Node *n, Claim *c)
{
    const char *k = yaml_text(key);
    if (!strcmp(k, "words")) return claim_read_text(d, n, k, &c->words);
    if (!strcmp(k, "source")) return claim_read_text(d, n, k, &c->source);
    if (!strcmp(k, "experiment")) return claim_read_text(d, n, k, &c->experiment);
    if (!strcmp(k, "unit")) return claim_read_text(d, n, k, &c->unit);
    if (!strcmp(k, "review")) return claim_read_text(d, n, k, &c->review);
    if (!strcmp(k, "claimed")) return claim_read_claimed(d, n, c);
    if (!strcmp(k, "above") || !strcmp(k, "below")) return claim_read_direction(d, key, n, c);
    if (!strcmp(k, "tolerance")) {
        const char *why = claim_read_number(d, n, k, &c->tolerance);
        return why || c->tolerance >= 0 ? why : yaml_at(d, n, "tolerance: expected 0 or more");
    }
    if (!strcmp(k, "value")) {
        c->at_value = arena_text(d->a, "%s:%zu:%zu", d->file, n->start_mark.line + 1,
                                 n->start_mark.column + 1);
        return claim_read_text(d, n, k, &c->value);
    }
    return yaml_at(d, key,
                   "unknown key '%.60s'; expected words, source, experiment, value, claimed, "
                   "tolerance, above, below, unit or review",
                   k);
}

static const char *claim_read_one(Yaml *d, const Node *n, Claim *c)
{
    const char *name = c->name, *why = yaml_want_map(d, n, name);
    *c = (Claim) { .name = name,
                   .words = "",
                   .source = "",
                   .experiment = "",
                   .unit = "",
                   .value = "",
                   .low = NAN,
                   .at_value = "",
                   .at = arena_text(d->a, "%s:%zu:%zu", d->file, n->start_mark.line + 1,
                                    n->start_mark.column + 1) };
    for (int i = 0; !why && i < yaml_pairs(n); i++)
        why = claim_read_key(d, yaml_key(d, n, i), yaml_value(d, n, i), c);
    if (why) return why;
    if (isnan(c->low)) return yaml_at(d, n, "%s: expected a key 'claimed'", name);
    return *c->value ? NULL : yaml_at(d, n, "%s: expected a key 'value'", name);
}

static const char *claim_read_all(void *ctx, const Node *root)
{
    ClaimLoad *l = ctx;
    const char *why = yaml_want_map(&l->doc, root, "claims");
    if (why) return why;
    l->claims->n = yaml_pairs(root);
    l->claims->claim = arena_get(l->doc.a, sizeof *l->claims->claim * (size_t)l->claims->n);
    for (int i = 0; !why && i < l->claims->n; i++) {
        const Node *name = yaml_key(&l->doc, root, i), *body = yaml_value(&l->doc, root, i);
        Claim *c = &l->claims->claim[i];
        if ((why = yaml_want_name(&l->doc, name, "a claim"))) return why;
        c->name = arena_text(l->doc.a, "%s", yaml_text(name));
        why = claim_read_one(&l->doc, body, c);
        if (!why && (!*c->words || !*c->source || !*c->experiment))
            why = yaml_at(&l->doc, body, "%s: expected keys 'words', 'source' and 'experiment'",
                          c->name);
    }
    return why;
}

const char *claims_load(const char *path, Claims *out, Arena *a)
{
    const char *why;
    size_t len;
    const char *text = yaml_load(share_path(path, a), &len, a, &why);
    ClaimLoad l = { .doc = { .file = path, .a = a }, .claims = out };
    return text ? yaml_parse(&l.doc, text, len, "claims", claim_read_all, &l) : why;
}

const Claim *claims_find(const Claims *all, const char *name)
{
    for (int i = 0; i < all->n; i++)
        if (!strcmp(all->claim[i].name, name)) return &all->claim[i];
    return NULL;
}

/* ---- as one line ---- */
const char *claim_definition(const Claim *c, Arena *a)
{
    json_t *o = json_object(), *claimed = json_object();
    if (isfinite(c->low)) json_object_set_new(claimed, "from", json_real(c->low));
    if (isfinite(c->high)) json_object_set_new(claimed, "to", json_real(c->high));
    json_object_set_new(o, "claimed", claimed);
    json_object_set_new(o, "tolerance", json_real(c->tolerance));
    if (c->side) json_object_set_new(o, c->side > 0 ? "above" : "below", json_real(c->edge));
    json_object_set_new(o, "value", json_string(c->value));
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(17));
    CHECK(text);
    const char *copy = arena_text(a, "%s", text);
    free(text);
    json_decref(o);
    return copy;
}

static const char *claim_read_definition(void *ctx, const Node *root)
{
    ClaimLoad *l = ctx;
    return claim_read_one(&l->doc, root, l->one);
}

const char *claim_from_definition(const char *name, const char *definition, Claim *out, Arena *a)
{
    ClaimLoad l = { .doc = { .file = name, .a = a }, .one = out };
    out->name = name;
    return yaml_parse(&l.doc, definition, strlen(definition), "a claim", claim_read_definition, &l);
}
