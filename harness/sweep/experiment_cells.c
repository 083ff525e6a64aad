/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The cells of an experiment: the product of its factors and seeds, without the settings of levels
 * that have no effect, each once. */
#include "harness/corpus/data.h"
#include "harness/sweep/experiment_parts.h"
#include "harness/util/host.h"
#include "harness/util/share.h"
#include <search.h>
#include <string.h>
#include <unistd.h>

enum { CELLS_SETTINGS = 256 };       /* more than there are; checked */

typedef struct CellReset { char set_back[CELLS_SETTINGS]; int count; } CellReset;

static int cells_is_of_factor(const ExperimentFile *l, int setting)
{
    return l->owner[setting] && !strncmp(l->owner[setting], "factor", 6);
}

/* Sets the settings of levels that have no effect in this cell back to their defaults, again until
 * none is left: one may have been what another applied to */
static void cells_reset(const ExperimentFile *l, Spec *s, CellReset *r)
{
    int again = 1;
    *r = (CellReset){ 0 };
    while (again) {
        again = 0;
        for (int i = 0; settings[i].key; i++) {
            CHECK(i < CELLS_SETTINGS);
            if (!spec_given(s, settings[i].key) || spec_applies(s, &settings[i]) ||
                !cells_is_of_factor(l, i))
                continue;
            spec_unset(s, settings[i].key);
            r->set_back[i] = 1;
            r->count++;
            again = 1;
        }
    }
}

static int cells_level_has_effect(const Spec *s, const Level *v)
{
    int given = !v->words || v->peer;
    for (int w = 0; w < v->words; w++) {
        char key[64];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(v->word[w], "="), v->word[w]);
        given |= spec_given(s, key);
    }
    return given;
}

static void cells_fill(ExperimentFile *l, Cell *c, CellReset *r, const int *level, long seed)
{
    const Experiment *e = l->e;
    c->spec = spec_copy(l->base, l->a);
    c->seed = seed;
    c->label = "";
    c->peer = NULL;
    for (int f = 0; f < e->factors; f++) {
        const Level *v = &e->factor[f].level[level[f]];
        for (int w = 0; w < v->words; w++) CHECK(!spec_set(c->spec, v->word[w]));
        if (v->peer) c->peer = v->peer;
    }
    cells_reset(l, c->spec, r);
    int *at = arena_raw(l->a, sizeof *level * (size_t)e->factors);
    for (int f = 0; f < e->factors; f++) {
        const Level *v = &e->factor[f].level[level[f]];
        at[f] = cells_level_has_effect(c->spec, v) ? level[f] : -1;
        if (at[f] >= 0)
            c->label = arena_text(l->a, "%s%s%s=%s", c->label, *c->label ? " " : "",
                                  e->factor[f].name, v->label);
    }
    c->level = at;
    CHECK(!spec_set(c->spec, arena_text(l->a, "seed=%ld", seed)));
    c->text = peer_text(c->peer, c->spec, l->a);
    c->key = sha256_hex(c->text, strlen(c->text), arena_raw(l->a, 65));
}

/* Adds what was set back in a cell to the sums */
static void cells_count(Experiment *e, const CellReset *r, int cells, int merged)
{
    for (int i = 0; settings[i].key; i++) {
        if (!r->set_back[i]) continue;
        e->reset[i].setting = &settings[i];
        e->reset[i].cells += cells;
        e->reset[i].merged += merged;
    }
}

/* The settings that were set back somewhere move to the front of e->reset */
static void cells_pack_resets(Experiment *e)
{
    for (int i = 0; settings[i].key; i++)
        if (e->reset[i].setting) e->reset[e->resets++] = e->reset[i];
}

/* A setting that the file or the command line sets and that has no effect in any cell is refused,
 * but a fixed one at its default value: a word on the command line may have made it idle, and it
 * changes nothing */
static const char *cells_check_applies(const ExperimentFile *l)
{
    const Experiment *e = l->e;
    for (int i = 0; settings[i].key; i++) {
        const Setting *s = &settings[i];
        const int fixed = l->place[i] && *l->place[i] && !cells_is_of_factor(l, i);
        int applies = !l->place[i] || (fixed && !strcmp(spec_str(l->base, s->key), s->value));
        for (int c = 0; c < e->cells && !applies; c++)
            applies = spec_given(e->cell[c].spec, s->key) && spec_applies(e->cell[c].spec, s);
        if (!applies)
            return arena_text(l->a, "%s%s: applies to %s, and no cell of the experiment has that",
                              l->place[i], s->key, s->applies);
    }
    return NULL;
}

static int cells_compare(const void *a, const void *b)
{
    return strcmp(((const Cell *)a)->key, ((const Cell *)b)->key);
}

static void cells_leave(void *cell) { (void)cell; }

/* Keeps the cell unless an earlier one has the same settings: then one of both was made equal by
 * what was set back, or the grid asks for the same twice. r: of every cell, kept or not, in the
 * order of the product */
static const char *cells_add(ExperimentFile *l, void **kept, const CellReset *r, int *from,
                             int product)
{
    Experiment *e = l->e;
    const Cell *c = &e->cell[e->cells], *const *same = tsearch(c, kept, cells_compare);
    if (!same) die("out of memory");
    if (*same == c) {
        cells_count(e, &r[product], 1, 0);
        from[e->cells++] = product;
        return NULL;
    }
    const int first = from[*same - e->cell];
    if (!r[product].count && !r[first].count)
        return arena_text(l->a, "%s: the cells '%s' and '%s' have the same settings", l->doc.file,
                          (*same)->label, c->label);
    if (r[product].count) cells_count(e, &r[product], 1, 1);
    else cells_count(e, &r[first], 0, 1);
    return NULL;
}

/* Every cell of the product; kept: a tree of those that were kept (tsearch) */
static const char *cells_make(ExperimentFile *l, long cells, void **kept)
{
    Experiment *e = l->e;
    CellReset *r = arena_get(l->a, sizeof *r * (size_t)cells);
    int *level = arena_get(l->a, sizeof *level * (size_t)e->factors);
    int *from = arena_get(l->a, sizeof *from * (size_t)cells);
    const char *why = NULL;
    for (int i = 0; i < cells && !why; i++) {
        Cell *c = &e->cell[e->cells];
        cells_fill(l, c, &r[i], level, e->seed[i % e->seeds]);
        why = spec_check_values(c->spec);
        if (why) return arena_text(l->a, "%s: cell '%s': %s", l->doc.file, c->label, why);
        why = cells_add(l, kept, r, from, i);
        if ((i + 1) % e->seeds) continue;
        for (int f = e->factors - 1; f >= 0 && ++level[f] == e->factor[f].levels; f--) level[f] = 0;
    }
    return why;
}

/* The label of the baseline: of the cell that has its levels' settings, under whatever label it was
 * kept, or of the cell that is named */
static const char *cells_find_baseline(ExperimentFile *l)
{
    Experiment *e = l->e;
    const char *named = e->baseline;
    Cell wanted = { .key = "" };
    CellReset r;
    if (!l->baseline_at) return NULL;
    if (!*named) {
        int *level = arena_get(l->a, sizeof *level * (size_t)e->factors);
        for (int f = 0; f < e->factors; f++) level[f] = e->factor[f].baseline;
        cells_fill(l, &wanted, &r, level, e->seed[0]);
    }
    for (int i = 0; i < e->cells; i++) {
        if (strcmp(*named ? named : wanted.key, *named ? e->cell[i].label : e->cell[i].key))
            continue;
        e->baseline = e->cell[i].label;
        return NULL;
    }
    return arena_text(l->a, "%sbaseline '%.80s': no cell has this label; the first is '%s'",
                      l->baseline_at, *named ? named : wanted.label, e->cell[0].label);
}

const char *experiment_make_cells(ExperimentFile *l)
{
    Experiment *e = l->e;
    long cells = e->seeds;
    void *kept = NULL;
    for (int f = 0; f < e->factors && cells <= EXPERIMENT_MAX_CELLS; f++)
        cells *= e->factor[f].levels;
    if (cells > EXPERIMENT_MAX_CELLS)
        return arena_text(l->a, "%s: more than %d cells", l->doc.file, EXPERIMENT_MAX_CELLS);
    e->cell = arena_get(l->a, sizeof *e->cell * (size_t)cells);
    e->reset = arena_get(l->a, sizeof *e->reset * CELLS_SETTINGS);
    const char *why = cells_make(l, cells, &kept);
    tdestroy(kept, cells_leave);
    if (!why) why = cells_check_applies(l);
    if (!why) cells_pack_resets(e);
    return why ? why : cells_find_baseline(l);
}

static const char *cells_check_figure(const char *name, Arena *a)
{
    const char *script = arena_text(a, "experiments/%s.gp", name);
    if (access(share_path(script, a), R_OK))
        return arena_text(a, "figure '%s': expected a script %s", name, script);
    return db_is_view(name, a) ? NULL
                               : arena_text(a, "figure '%s': expected a view of that name", name);
}

const char *experiment_check(const Experiment *e, Arena *a)
{
    const char *why = NULL;
    for (const ExperimentUse *u = e->uses; u && !why; u = u->next) {
        if (!strcmp(u->kind, "corpus")) why = corpus_check(u->name, a);
        else why = cells_check_figure(u->name, a);
        if (why) why = arena_text(a, "%s%s", u->place, why);
    }
    return why;
}
