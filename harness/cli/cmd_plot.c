/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `plot`. */
#include "harness/cli/cmd.h"
#include "harness/judge/plot.h"
#include "harness/util/file.h"
#include "harness/util/options.h"
#include <string.h>

static const char plot_help[] =
    "usage: eightysix plot FIGURE [--experiment NAME] [--plan ID] [--at TIME] [--db FILE]\n"
    "                      [--out DIR]\n\n"
    "Draws experiments/FIGURE.gp from the view FIGURE as SVG, PNG and PDF, and says on stderr\n"
    "which experiment and plan it drew.\n\n"
    "  eightysix plot time_split\n"
    "  eightysix plot curve --experiment 'quick d=128'\n"
    "  eightysix plot time_split --plan 3         as an older plan was; `runs` lists them\n\n"
    "  --experiment NAME  whose rows (the last experiment that has some)\n"
    "  --plan ID          this plan in place of later ones of its name and words\n"
    "  --at TIME          what was planned and started until then: 2026-11-30,\n"
    "                     2026-11-30T08:00:00Z\n"
    "  --db FILE          the records (results/results.db)\n"
    "  --out DIR          where to (results/figures)\n\n"
    "exit code: 0 drawn, 2 bad usage or input\n";

/* The experiment of a plan; NULL: it is not one that views show */
static const char *plot_of_plan(Db *db, const char *plan, Arena *a, const char **why)
{
    DbTable t;
    *why = db_table(db, arena_text(a, "SELECT experiment FROM current WHERE plan = %s",
                                   db_quoted(plan, a)), &t, a);
    return !*why && t.rows ? db_field(&t, 0, "experiment") : NULL;
}

/* Says whose rows were drawn, on stderr: "time_split: experiment quick, plan 3 of
 * 2026-11-30T08:00:00Z". */
static const char *plot_tell(Db *db, const char *figure, const char *experiment, Arena *a)
{
    DbTable t;
    const char *why = db_table(db,
                               arena_text(a, "SELECT plan, planned FROM current WHERE experiment = "
                                             "%s", db_quoted(experiment, a)),
                               &t, a);
    if (why) return why;
    const char *of = t.rows ? arena_text(a, ", plan %s of %s", db_field(&t, 0, "plan"),
                                         db_field(&t, 0, "planned")) : "";
    fprintf(stderr, "%s: experiment %s%s\n", figure, experiment, of);
    return NULL;
}

int plot_main(int argc, char **argv)
{
    static const char *const formats[] = { "svg", "png", "pdf", NULL };
    const char *db_name = "results/results.db", *dir = "results/figures", *experiment = NULL,
               *plan = NULL, *at = NULL, *why = NULL;
    const Option options[] = { { "--db", &db_name, NULL },
                               { "--out", &dir, NULL },
                               { "--plan", &plan, NULL },
                               { "--at", &at, NULL },
                               { "--experiment", &experiment, NULL },
                               { NULL, NULL, NULL } };
    if (options_read(argc, argv, options, plot_help) != 1)
        die("plot: expected the name of one figure; `eightysix plot --help`");
    Arena a = arena_new((size_t)1 << 28);
    Db *db = db_open_read(db_name, &a, &why);
    if (!db || (why = db_past(db, plan, at, &a))) die("%s", why);
    if (plan && !experiment) experiment = plot_of_plan(db, plan, &a, &why);
    if (why) die("%s", why);
    const char *stem = arena_text(&a, "%s/%s", dir, argv[1]);
    if (!experiment) experiment = db_last_experiment(db, argv[1], &a);
    file_make_directory(dir, &a);
    why = plot_draw(db, argv[1], experiment, stem, formats, &a);
    if (!why && experiment) why = plot_tell(db, argv[1], experiment, &a);
    db_close(db);
    if (why) die("%s", why);
    for (int i = 0; formats[i]; i++) printf("%s.%s\n", stem, formats[i]);
    arena_drop(&a);
    return 0;
}
