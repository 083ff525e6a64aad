/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `why`: from a figure, a claim or a cell to the runs behind it; each is compared with
 * what would run now.
 *
 *   flag     compiler or its flags; or the settings: its experiment has no such cell any more
 *   commit   the sources
 *   corpus   the training text
 *   host     CPU, instruction sets, cores
 *
 * What would refresh it is the set of its cells that have no ok run of this build on this machine.
 */
#include "harness/judge/claims.h"
#include "harness/corpus/data.h"
#include "harness/sweep/experiment.h"
#include "harness/util/options.h"
#include "harness/util/share.h"
#include "harness/sweep/table.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: eightysix why FIGURE|CLAIM|CELL [--experiment NAME] [--db FILE] [--claims FILE]\n\n"
    "Names the runs behind a figure (a view), a claim or a cell (its label, or the first digits of "
    "its key), "
    "what has changed\n"
    "since - a flag, the commit, the corpus, the host - and the fewest runs that would refresh it, "
    "with "
    "their time.\n\n"
    "  --experiment NAME  whose rows the figure shows (the last experiment that has some)\n"
    "  --db FILE          the records (results/results.db)\n"
    "  --claims FILE      other claims (" CLAIMS_FILE ")\n\n"
    "exit code: 0 nothing is stale, 1 something is, or nothing was run, 2 bad usage or input\n";

enum { MOST_REASONS = 64, MOST_CELLS = 4096 };
typedef struct Why {
    Arena       *a;
    Db          *db;
    const Build *build;
    const Host  *host;
    const char  *rig, *experiment;           /* experiment: of a figure; NULL: the last */
    DbTable      runs;                       /* provenance of the runs behind it */
    const char  *reason[MOST_REASONS];       /* what is stale, each once, and of how many runs */
    int          of[MOST_REASONS], reasons;
    const char  *command[MOST_CELLS];        /* that would refresh it, each once */
    int          commands, unknown;
    double       seconds;
} Why;

static void stale(Why *w, const char *reason)
{
    int i = 0;
    while (i < w->reasons && strcmp(w->reason[i], reason)) i++;
    if (i == MOST_REASONS) return;
    if (i == w->reasons) w->reason[w->reasons++] = reason;
    w->of[i]++;
}

static int refresh(Why *w, const char *command, double seconds)
{
    for (int i = 0; i < w->commands; i++)
        if (!strcmp(w->command[i], command)) return 0;
    if (w->commands == MOST_CELLS) die("why: more than %d commands; name one cell", MOST_CELLS);
    w->command[w->commands++] = command;
    if (isnan(seconds)) w->unknown++;
    else w->seconds += seconds;
    return 1;
}

/* ---- what is stale in one run ---- */
/* The words of one text that are not in another */
static const char *without(const char *text, const char *other, Arena *a)
{
    const char *all = arena_text(a, " %s ", other), *out = "";
    char *rest = arena_text(a, "%s", text);
    for (char *word; (word = strsep(&rest, " ")); )
        if (*word && !strstr(all, arena_text(a, " %s ", word)))
            out = arena_text(a, "%s%s%s", out, *out ? " " : "", word);
    return *out ? out : "nothing more";
}

static int compare_build(Why *w, const DbTable *t, int i)
{
    const char *compiler = db_field(t, i, "compiler"), *flags = db_field(t, i, "flags");
    const char *git = db_field(t, i, "git"), *changes = w->build->dirty ? " with changes" : "";
    const Build *b = w->build;
    if (!strcmp(db_field(t, i, "build"), b->id)) return 0;
    const int same_tools = !strcmp(compiler, b->compiler) && !strcmp(flags, b->flags);
    if (strcmp(compiler, b->compiler))
        stale(w, arena_text(w->a, "flag: compiler was %s, is %s", compiler, b->compiler));
    if (strcmp(flags, b->flags))
        stale(w, arena_text(w->a, "flag: compiler flags had %s, have %s",
                            without(flags, b->flags, w->a), without(b->flags, flags, w->a)));
    if (strcmp(git, b->git))
        stale(w, arena_text(w->a, "commit: was %.10s, is %.10s%s", git, b->git, changes));
    else if (same_tools) stale(w, arena_text(w->a, "commit: other changes on top of %.10s", git));
    return 1;
}

static int compare_host(Why *w, const DbTable *t, int i)
{
    const char *rig = db_field(t, i, "rig");
    if (!strcmp(rig, w->rig) || !strcmp(db_field(t, i, "counts_tokens"), "1")) return 0;
    stale(w, arena_text(w->a, "host: was %s, is %s", rig, w->rig));
    return 1;
}

static Spec *spec_of(const DbTable *t, int i, Arena *a)
{
    Spec *s = spec_new(a);
    char *rest = arena_text(a, "%s", db_field(t, i, "spec"));
    for (char *word; (word = strsep(&rest, " ")); )
        if (*word && spec_set(s, word)) return NULL;
    return s;
}

/* A corpus that is not here cannot be told to have changed. */
static int compare_corpus(Why *w, const DbTable *t, int i)
{
    const char *was = db_field(t, i, "corpus_sha"), *why = NULL;
    Arena a = arena_new((size_t)1 << 30);
    const Spec *s = was ? spec_of(t, i, &a) : NULL;
    const Corpus *c = s ? corpus_open(s, &a, &why) : NULL;
    const int changed = c && strcmp(c->sha, was);
    if (changed)
        stale(w, arena_text(w->a, "corpus: %s was %.10s, is %.10s", db_field(t, i, "corpus"), was,
                            c->sha));
    arena_drop(&a);
    return changed;
}

/* ---- what would run it ---- */
static Experiment *experiment(Why *w, const char *name, const char *overrides)
{
    enum { MOST_WORDS = 64 };
    const char *path = share_path(arena_text(w->a, "experiments/%s.yaml", name), w->a), *why,
               *words[MOST_WORDS];
    int n = 0;
    if (access(path, R_OK)) return NULL;
    char *rest = arena_text(w->a, "%s", overrides);
    for (char *word; (word = strsep(&rest, " ")); )
        if (*word) {
            if (n == MOST_WORDS) die("%s: more than %d overrides", path, MOST_WORDS);
            words[n++] = word;
        }
    Experiment *e = experiment_load(path, words, n, w->a, &why);
    if (!e) die("%s", why);
    return e;
}

static const char *sweep_all(Why *w, const Experiment *e)
{
    return arena_text(w->a, "eightysix sweep experiments/%s.yaml%s%s", e->name,
                      *e->overrides ? " " : "", e->overrides);
}

static const char *sweep_of(Why *w, const Experiment *e, const Cell *c)
{
    char *filter = arena_text(w->a, "%s", c->label);
    for (char *s = filter; (s = strchr(s, ' ')); ) *s = ',';
    return arena_text(w->a, "%s --filter %s,seed=%ld", sweep_all(w, e), filter, c->seed);
}

/* The cell again, unless a run of it is fresh already, which any new plan takes. 1: something is to
 * be run */
static int refresh_cell(Why *w, const char *key, const char *command)
{
    const char *reason;
    double wall = NAN;
    if (db_cell_state(w->db, key, w->a, &reason, &wall) != CELL_DONE)
        return refresh(w, command, wall);
    return refresh(
        w, arena_text(w->a, "%s    # finished already: only the plan is made anew", command), 0);
}

/* The experiment whose file a run came from (NULL: none), and its cell there (NULL: it has none
 * such now) */
static const Experiment *origin(Why *w, const DbTable *t, int i, const Cell **cell)
{
    const char *name = db_field(t, i, "experiment"), *overrides = db_field(t, i, "overrides");
    const Experiment *e = *name ? experiment(w, name, overrides ? overrides : "") : NULL;
    *cell = NULL;
    for (int k = 0; e && k < e->cells; k++)
        if (!strcmp(e->cell[k].key, db_field(t, i, "cell"))) *cell = &e->cell[k];
    return e;
}

static int compare_settings(Why *w, const DbTable *t, int i)
{
    const Cell *cell;
    const Experiment *e = origin(w, t, i, &cell);
    if (!e || cell) return 0;
    stale(w,
          arena_text(w->a, "flag: experiments/%s.yaml has no cell with these settings", e->name));
    return 1;
}

static void refresh_run(Why *w, const DbTable *t, int i)
{
    const char *key = db_field(t, i, "cell"), *spec = db_field(t, i, "spec");
    const Cell *cell;
    const Experiment *e = origin(w, t, i, &cell);
    if (cell) refresh_cell(w, key, sweep_of(w, e, cell));
    else if (e) refresh(w, sweep_all(w, e), NAN);
    else
        refresh_cell(w, key,
                     arena_text(w->a, "eightysix %s%s", spec_of(t, i, w->a) ? "train " : "", spec));
}

/* All of its cells that are not done, by one command when that is all of them */
static void refresh_experiment(Why *w, const char *name)
{
    const Experiment *e = experiment(w, name, "");
    const int before = w->commands;
    if (!e) refresh(w, arena_text(w->a, "eightysix %s", name), NAN);
    for (int k = 0; e && k < e->cells; k++) {
        const char *reason;
        double wall = NAN;
        Budget b;
        const Cell *c = &e->cell[k];
        if (db_cell_state(w->db, c->key, w->a, &reason, &wall) == CELL_DONE) continue;
        if (isnan(wall) && !spec_budget(spec_str(c->spec, "budget"), &b) && b.seconds > 0)
            wall = b.seconds + 5;
        refresh(w, sweep_of(w, e, c), wall);
    }
    if (!e || w->commands - before < e->cells) return;
    w->command[before] = arena_text(w->a, "%s    # %d cells", sweep_all(w, e), e->cells);
    w->commands = before + 1;
}

/* ---- from a name to runs ---- */
static const char *runs_where(Why *w, const char *where)
{
    const char *select = arena_text(w->a,
                                    "SELECT p.*, (SELECT overrides FROM current u WHERE "
                                    "u.experiment = p.experiment) AS overrides "
                                    "FROM provenance p WHERE p.run IN (%s) ORDER BY p.run",
                                    where);
    return db_table(w->db, select, &w->runs, w->a);
}

static const char *runs_of_figure(Why *w, const char *figure)
{
    const char *e = w->experiment ? w->experiment : db_last_experiment(w->db, figure, w->a);
    if (!e)
        return arena_text(w->a, "%s: the view '%s' has no rows of any experiment", db_path(w->db),
                          figure);
    if (!db_has_experiment(w->db, e))
        return arena_text(w->a, "%s: no experiment '%s'", db_path(w->db), e);
    printf("%s: a figure of experiment %s\n", figure, e);
    return runs_where(w,
                      arena_text(w->a, "SELECT run FROM figure_runs WHERE experiment = '%s'", e));
}

static const char *runs_of_claim(Why *w, const Claim *c)
{
    Judgement j;
    const char *why = claim_judge(w->db, c, &j, w->a);
    if (why) return why;
    printf("%s: %s: %s\n", c->name, claim_verdicts[j.verdict], claim_sentence(c, &j, w->a));
    if (!j.n) refresh_experiment(w, c->experiment);
    return runs_where(w, j.runs);
}

/* by the first digits of its key, six or more, or by its label; the last run of each */
static const char *runs_of_cell(Why *w, const char *name)
{
    const int hex = strlen(name) >= 6 && !name[strspn(name, "0123456789abcdef")];
    if (strchr(name, '\''))
        return arena_text(w->a, "%s: no figure, claim or cell of this name", name);
    const char *by_key = "SELECT max(run) FROM provenance WHERE cell LIKE '%s%%' GROUP BY cell";
    const char *by_label = "SELECT run FROM cell_run WHERE label = '%s' AND run IS NOT NULL";
    const char *why = runs_where(w, arena_text(w->a, hex ? by_key : by_label, name));
    if (why || w->runs.rows) return why;
    return arena_text(w->a, "%s: no figure, claim or cell of this name", name);
}

static const char *find(Why *w, const char *name, const Claims *claims)
{
    enum { MAX = 64 };
    const char *view[MAX];
    const Claim *c = claims_find(claims, name);
    const int n = db_views(w->db, view, MAX, w->a);
    if (c) return runs_of_claim(w, c);
    for (int i = 0; i < n; i++)
        if (!strcmp(view[i], name)) return runs_of_figure(w, name);
    return runs_of_cell(w, name);
}

static int answer(Why *w)
{
    int old = 0;
    char time[32];
    for (int i = 0; i < w->runs.rows; i++) {
        const DbTable *t = &w->runs;
        const char *status = db_field(t, i, "status");
        const int changed = compare_build(w, t, i) | compare_host(w, t, i) |
                            compare_corpus(w, t, i) | compare_settings(w, t, i);
        const int failed = strcmp(status, "ok");
        if (failed)
            stale(w, arena_text(w->a, "run %s ended with %s", db_field(t, i, "run"), status));
        if (changed || failed) refresh_run(w, t, i);
        old += changed || failed;
    }
    printf("%d runs behind it, %d of them stale\n", w->runs.rows, old);
    for (int i = 0; i < w->reasons; i++)
        printf("  %s  (%d of %d runs)\n", w->reason[i], w->of[i], w->runs.rows);
    if (!w->commands) return old || !w->runs.rows;
    const char *more = w->unknown ? " and what was never timed" : "";
    printf("to run, about %s%s:\n", table_duration(w->seconds, time), more);
    for (int i = 0; i < w->commands; i++) printf("  %s\n", w->command[i]);
    return 1;
}

int why_main(int argc, char **argv)
{
    const char *db_path = "results/results.db", *path = CLAIMS_FILE, *experiment_name = NULL,
               *why = NULL;
    const Option options[] = { { "--db", &db_path, NULL }, { "--claims", &path, NULL },
                               { "--experiment", &experiment_name, NULL }, { NULL, NULL, NULL } };
    if (options_read(argc, argv, options, help) != 1)
        die("why: expected one figure, claim or cell; `eightysix why --help`");
    Arena a = arena_new((size_t)1 << 32);
    Claims claims = { 0 };
    Why *w = arena_get(&a, sizeof *w);
    *w = (Why) {
        .a = &a, .build = build_read(&a), .host = host_read(&a), .experiment = experiment_name
    };
    w->rig = host_class(w->host, &a);
    if (!access(share_path(path, &a), F_OK) && (why = claims_load(path, &claims, &a)))
        die("%s", why);
    w->db = db_open_read(db_path, &a, &why);
    if (!w->db) die("%s", why);
    if ((why = find(w, argv[1], &claims))) die("%s", why);
    const int code = answer(w);
    db_close(w->db);
    arena_drop(&a);
    return code;
}
