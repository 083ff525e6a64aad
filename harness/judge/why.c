/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/judge/why.h"
#include "harness/judge/claims.h"
#include "harness/corpus/data.h"
#include "harness/sweep/eta.h"
#include "harness/sweep/experiment.h"
#include "harness/sweep/table.h"
#include "harness/util/share.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Texts, each once, and how often each was added */
typedef struct WhyList { const char **text; int *times, n, room; } WhyList;
typedef struct Why {
    Arena          *a;
    Db             *db;
    const Build    *build;                   /* of this program */
    const Host     *host;
    const char     *rig;                     /* the machine class of this host */
    const WhyQuery *ask;
    DbTable         runs;                    /* the runs behind it: rows of provenance */
    WhyList         reasons;                 /* what is stale; times: of so many runs */
    WhyList         commands;                /* that would refresh it */
    double          seconds;                 /* that they take, as far as known */
    int             unknown;                 /* commands whose time is not known */
} Why;

/* 1: the text is new */
static int why_add(WhyList *l, const char *text, Arena *a)
{
    int i = 0;
    while (i < l->n && strcmp(l->text[i], text)) i++;
    if (i == l->room) {
        const WhyList old = *l;
        l->room = 2 * l->room + 64;
        l->text = arena_array(a, (size_t)l->room, sizeof *l->text);
        l->times = arena_array(a, (size_t)l->room, sizeof *l->times);
        for (int k = 0; k < l->n; k++) {
            l->text[k] = old.text[k];
            l->times[k] = old.times[k];
        }
    }
    l->text[i] = text;
    l->times[i]++;
    const int is_new = i == l->n;
    l->n += is_new;
    return is_new;
}

static void why_stale(Why *w, const char *reason) { why_add(&w->reasons, reason, w->a); }

/* seconds NAN: not known */
static void why_refresh(Why *w, const char *command, double seconds)
{
    if (!why_add(&w->commands, command, w->a)) return;
    if (isnan(seconds)) w->unknown++;
    else w->seconds += seconds;
}

/* ---- what has changed since a run: row i of t. 1: something has ---- */
/* The words of one text that are not in another */
static const char *why_without(const char *text, const char *other, Arena *a)
{
    const char *all = arena_text(a, " %s ", other), *out = "";
    char *rest = arena_text(a, "%s", text);
    for (char *word; (word = strsep(&rest, " ")); )
        if (*word && !strstr(all, arena_text(a, " %s ", word)))
            out = arena_text(a, "%s%s%s", out, *out ? " " : "", word);
    return *out ? out : "nothing more";
}

static int why_compare_build(Why *w, const DbTable *t, int i)
{
    const char *compiler = db_field(t, i, "compiler"), *flags = db_field(t, i, "flags");
    const char *git = db_field(t, i, "git"), *changes = w->build->dirty ? " with changes" : "";
    const Build *b = w->build;
    const char *parts = db_field(t, i, "changed_parts");
    if (!strcmp(db_field(t, i, "fresh"), "1")) return 0;
    if (parts) why_stale(w, arena_text(w->a, "code: changed since: %s", parts));
    const int same_tools = !strcmp(compiler, b->compiler) && !strcmp(flags, b->flags);
    if (strcmp(compiler, b->compiler))
        why_stale(w, arena_text(w->a, "flag: compiler was %s, is %s", compiler, b->compiler));
    if (strcmp(flags, b->flags))
        why_stale(w, arena_text(w->a, "flag: compiler flags had %s, have %s",
                                why_without(flags, b->flags, w->a),
                                why_without(b->flags, flags, w->a)));
    if (strcmp(git, b->git))
        why_stale(w, arena_text(w->a, "commit: was %.10s, is %.10s%s", git, b->git, changes));
    else if (same_tools)
        why_stale(w, arena_text(w->a, "commit: other changes on top of %.10s", git));
    return 1;
}

static DbMeasures why_measures(const DbTable *t, int i)
{
    return strcmp(db_field(t, i, "counts_tokens"), "1") ? DB_SPEED : DB_LOSS;
}

static int why_compare_host(Why *w, const DbTable *t, int i)
{
    const char *rig = db_field(t, i, "rig");
    if (!strcmp(rig, w->rig) || why_measures(t, i) == DB_LOSS) return 0;
    why_stale(w, arena_text(w->a, "host: was %s, is %s", rig, w->rig));
    return 1;
}

/* NULL: it has a setting that this program does not know */
static Spec *why_spec(const DbTable *t, int i, Arena *a)
{
    Spec *s = spec_new(a);
    return spec_set_words(s, db_field(t, i, "spec")) ? NULL : s;
}

/* A corpus that is not on this machine counts as unchanged. */
static int why_compare_corpus(Why *w, const DbTable *t, int i)
{
    const char *was = db_field(t, i, "corpus_sha"), *why = NULL;
    Arena a = arena_new((size_t)1 << 30);
    const Spec *s = was ? why_spec(t, i, &a) : NULL;
    const Corpus *c = s ? corpus_open(s, &a, &why) : NULL;
    const int changed = c && strcmp(c->sha, was);
    if (changed)
        why_stale(w, arena_text(w->a, "corpus: %s was %.10s, is %.10s", db_field(t, i, "corpus"),
                                was, c->sha));
    arena_drop(&a);
    return changed;
}

/* ---- what would run it ---- */
/* *out NULL: there is no such file */
static const char *why_experiment(Why *w, const char *name, const char *overrides,
                                  const Experiment **out)
{
    const char *path = share_path(arena_text(w->a, "experiments/%s.yaml", name), w->a), *why = NULL;
    const char **words = arena_array(w->a, strlen(overrides) / 2 + 1, sizeof *words);
    int n = 0;
    *out = NULL;
    if (access(path, R_OK)) return NULL;
    char *rest = arena_text(w->a, "%s", overrides);
    for (char *word; (word = strsep(&rest, " ")); )
        if (*word) words[n++] = word;
    *out = experiment_load(path, words, n, w->a, &why);
    return *out ? NULL : why;
}

static const char *why_sweep(Why *w, const Experiment *e)
{
    return arena_text(w->a, "eightysix sweep experiments/%s.yaml%s%s", e->name,
                      *e->overrides ? " " : "", e->overrides);
}

static const char *why_sweep_cell(Why *w, const Experiment *e, const Cell *c)
{
    const char *filter = "", *quote = "";
    for (int f = 0; f < e->factors; f++) {
        const char *level = c->level[f] < 0 ? NULL : e->factor[f].level[c->level[f]].label;
        const int commas = level && strchr(level, ',');
        if (commas) quote = "'";
        if (level)
            filter = arena_text(w->a, "%s%s=%s%s%s,", filter, e->factor[f].name, commas ? "[" : "",
                                level, commas ? "]" : "");
    }
    return arena_text(w->a, "%s --filter %s%sseed=%ld%s", why_sweep(w, e), quote, filter, c->seed,
                      quote);
}

/* The cell again, unless it has a current run already, which any new plan takes */
static void why_refresh_cell(Why *w, const DbCell *cell, const char *command)
{
    const char *reason;
    double wall = NAN;
    if (db_cell_state(w->db, cell, w->a, &reason, &wall) == CELL_DONE) {
        command = arena_text(w->a, "%s    # finished already: only the plan is made anew", command);
        wall = 0;
    }
    why_refresh(w, command, wall);
}

/* Where a run comes from: the experiment, NULL where its file is not there; and its cell in it,
 * NULL where it has no such cell now */
typedef struct WhyOrigin { const Experiment *experiment; const Cell *cell; } WhyOrigin;

/* A run with these settings stands for the cell: those of a loss but for threads and the like */
static int why_is_cell(const Experiment *e, const Cell *c, const char *key, const char *spec)
{
    return !strcmp(c->key, key) ||
           (e->measures == DB_LOSS && db_same_losses(c->text, spec));
}

static const char *why_origin(Why *w, const DbTable *t, int i, WhyOrigin *o)
{
    const char *name = db_field(t, i, "experiment"), *overrides = db_field(t, i, "overrides");
    *o = (WhyOrigin){ 0 };
    if (!*name) return NULL;
    const char *why = why_experiment(w, name, overrides ? overrides : "", &o->experiment);
    const Experiment *e = o->experiment;
    for (int k = 0; e && k < e->cells; k++)
        if (why_is_cell(e, &e->cell[k], db_field(t, i, "cell"), db_field(t, i, "spec")))
            o->cell = &e->cell[k];
    return why;
}

static int why_compare_settings(Why *w, const WhyOrigin *o)
{
    if (!o->experiment || o->cell) return 0;
    why_stale(w, arena_text(w->a, "flag: experiments/%s.yaml has no cell with these settings",
                            o->experiment->name));
    return 1;
}

static void why_refresh_run(Why *w, const DbTable *t, int i, const WhyOrigin *o)
{
    const char *spec = db_field(t, i, "spec"), *corpus = db_field(t, i, "corpus");
    const DbCell cell = { db_field(t, i, "cell"), spec,
                          corpus ? corpus_text_sha(corpus, w->a) : "",
                          o->experiment ? o->experiment->measures : why_measures(t, i) };
    if (o->cell) why_refresh_cell(w, &cell, why_sweep_cell(w, o->experiment, o->cell));
    else if (o->experiment) why_refresh(w, why_sweep(w, o->experiment), NAN);
    else
        why_refresh_cell(
            w, &cell,
            arena_text(w->a, "eightysix %s%s", why_spec(t, i, w->a) ? "train " : "", spec));
}

/* All cells of an experiment that are not done, by one command where that is all of them */
static const char *why_refresh_experiment(Why *w, const char *name)
{
    const Experiment *e;
    const char *why = why_experiment(w, name, "", &e);
    const int before = w->commands.n;
    if (why) return why;
    if (!e) why_refresh(w, arena_text(w->a, "eightysix %s", name), NAN);
    for (int k = 0; e && k < e->cells; k++) {
        const char *reason;
        double wall = NAN;
        const Cell *c = &e->cell[k];
        const char *text = corpus_text_sha(spec_str(c->spec, "corpus"), w->a);
        const DbCell cell = { c->key, c->text, text, e->measures };
        if (db_cell_state(w->db, &cell, w->a, &reason, &wall) == CELL_DONE) continue;
        why_refresh(w, why_sweep_cell(w, e, c), eta_cell(c->spec, wall).expect);
    }
    if (!e || w->commands.n - before < e->cells) return NULL;
    w->commands.text[before] = arena_text(w->a, "%s    # %d cells", why_sweep(w, e), e->cells);
    w->commands.n = before + 1;
    return NULL;
}

/* ---- from a name to runs ---- */
/* where: a SELECT of ids, or ids */
static const char *why_find_runs(Why *w, const char *where)
{
    const char *select = arena_text(w->a,
                                    "SELECT p.*, (SELECT overrides FROM current u WHERE "
                                    "u.experiment = p.experiment) AS overrides "
                                    "FROM provenance p WHERE p.run IN (%s) ORDER BY p.run",
                                    where);
    return db_table(w->db, select, &w->runs, w->a);
}

/* select: how many runs of speeds shared the machine; these are said */
static const char *why_left_out(Why *w, const char *select, long *runs)
{
    DbTable t;
    const char *why = db_table(w->db, select, &t, w->a);
    *runs = !why && t.rows && t.field[1] ? strtol(t.field[1], NULL, 10) : 0;
    table_print_left_out(*runs, stdout);
    return why;
}

static const char *why_left_out_of(Why *w, const char *experiment)
{
    long runs;
    return why_left_out(w, arena_text(w->a, "SELECT left_out FROM records WHERE experiment = %s",
                                      db_quoted(experiment, w->a)), &runs);
}

static const char *why_find_figure(Why *w, const char *figure)
{
    const char *e = w->ask->experiment;
    if (!e) e = db_last_experiment(w->db, figure, w->a);
    if (!e)
        return arena_text(w->a, "%s: the view '%s' has no rows of any experiment", db_path(w->db),
                          figure);
    if (!db_has_experiment(w->db, e))
        return arena_text(w->a, "%s: no experiment '%s'", db_path(w->db), e);
    printf("%s: a figure of experiment %s\n", figure, e);
    const char *why = why_left_out_of(w, e);
    return why ? why : why_find_runs(
        w, arena_text(w->a, "SELECT run FROM figure_runs WHERE experiment = %s",
                      db_quoted(e, w->a)));
}

static const char *why_find_claim(Why *w, const Claim *c)
{
    Judgement j;
    const char *why = claim_judge(w->db, c, &j, w->a);
    if (why) return why;
    printf("%s: %s: %s\n", c->name, claim_verdicts[j.verdict], claim_sentence(c, &j, w->a));
    why = why_left_out_of(w, c->experiment);
    if (!why && !j.n) why = why_refresh_experiment(w, c->experiment);
    return why ? why : why_find_runs(w, j.runs);
}

/* Of each cell with this key or label the last run */
static const char *why_find_cell(Why *w, const char *name)
{
    enum { LEAST_DIGITS = 6 };
    const int hex = strlen(name) >= LEAST_DIGITS && !name[strspn(name, "0123456789abcdef")];
    const char *by_key = "SELECT max(run) FROM provenance WHERE cell LIKE %s GROUP BY cell";
    const char *by_label = "SELECT run FROM cell_run WHERE label = %s AND run IS NOT NULL";
    const char *shared = "SELECT sum(left_out) FROM cell_run WHERE %s %s";
    const char *quoted = db_quoted(hex ? arena_text(w->a, "%s%%", name) : name, w->a);
    const char *why = why_find_runs(w, arena_text(w->a, hex ? by_key : by_label, quoted));
    long left_out = 0;
    if (!why)
        why = why_left_out(w, arena_text(w->a, shared, hex ? "cell LIKE" : "label =", quoted),
                           &left_out);
    if (why || w->runs.rows || left_out) return why;
    return arena_text(w->a, "%s: no figure, claim or cell of this name", name);
}

static const char *why_find(Why *w, const Claims *claims)
{
    const char *const *view, *name = w->ask->name;
    const Claim *c = claims_find(claims, name);
    const int n = db_views(w->db, &view, w->a);
    if (c) return why_find_claim(w, c);
    for (int i = 0; i < n; i++)
        if (!strcmp(view[i], name)) return why_find_figure(w, name);
    return why_find_cell(w, name);
}

/* ---- the answer ---- */
/* *stale: 1 when run i is */
static const char *why_compare_run(Why *w, int i, int *stale)
{
    const DbTable *t = &w->runs;
    const char *status = db_field(t, i, "status");
    WhyOrigin o;
    const char *why = why_origin(w, t, i, &o);
    if (why) return why;
    const int failed = strcmp(status, "ok") != 0;
    *stale = why_compare_build(w, t, i) | why_compare_host(w, t, i) | why_compare_corpus(w, t, i) |
             why_compare_settings(w, &o) | failed;
    if (failed)
        why_stale(w, arena_text(w->a, "run %s ended with %s", db_field(t, i, "run"), status));
    if (*stale) why_refresh_run(w, t, i, &o);
    return NULL;
}

static const char *why_answer(Why *w, int *code)
{
    const char *why = NULL;
    int old = 0;
    char time[32];
    for (int i = 0; i < w->runs.rows && !why; i++) {
        int stale = 0;
        why = why_compare_run(w, i, &stale);
        old += stale;
    }
    if (why) return why;
    printf("%d runs behind it, %d of them stale\n", w->runs.rows, old);
    for (int i = 0; i < w->reasons.n; i++)
        printf("  %s  (%d of %d runs)\n", w->reasons.text[i], w->reasons.times[i], w->runs.rows);
    *code = old || !w->runs.rows || w->commands.n;
    if (!w->commands.n) return NULL;
    printf("to run, about %s%s:\n", table_duration(w->seconds, time),
           w->unknown ? " and what was never timed" : "");
    for (int i = 0; i < w->commands.n; i++) printf("  %s\n", w->commands.text[i]);
    return NULL;
}

const char *why_report(const WhyQuery *q, int *code, Arena *a)
{
    Claims claims = { 0 };
    const char *why = NULL;
    Why w = { .a = a, .ask = q, .build = build_read(a), .host = host_read(a) };
    w.rig = host_class(w.host, a);
    if (!access(share_path(q->claims_path, a), F_OK)) why = claims_load(q->claims_path, &claims, a);
    if (!why) w.db = db_open_read(q->db_path, a, &why);
    if (!why) why = db_past(w.db, q->plan, q->at, a);
    if (!why) why = why_find(&w, &claims);
    if (!why) why = why_answer(&w, code);
    db_close(w.db);
    return why;
}
