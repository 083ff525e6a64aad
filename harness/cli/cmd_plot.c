/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `plot`. */
#include "harness/cli/cmd.h"
#include "harness/judge/plot.h"
#include "harness/util/file.h"
#include "harness/util/options.h"
#include <string.h>

static const char plot_help[] =
    "usage: eightysix plot FIGURE [--experiment NAME] [--db FILE] [--out DIR]\n\n"
    "Draws experiments/FIGURE.gp from the view FIGURE as SVG, PNG and PDF.\n\n"
    "  --experiment NAME  whose rows (the last experiment that has some)\n"
    "  --db FILE          the records (results/results.db)\n"
    "  --out DIR          where to (results/figures)\n\n"
    "exit code: 0 drawn, 2 bad usage or input\n";

/* Says whose rows were drawn: "time_split: experiment quick, planned 2026-11-30T08:00:00Z". */
static const char *plot_tell(Db *db, const char *figure, const char *experiment, Arena *a)
{
    DbTable t;
    const char *why = db_table(db,
                               arena_text(a, "SELECT planned FROM current WHERE experiment = %s",
                                          db_quoted(experiment, a)),
                               &t, a);
    if (why) return why;
    const char *planned = t.rows ? db_field(&t, 0, "planned") : "at a time that is not recorded";
    printf("%s: experiment %s, planned %s\n", figure, experiment, planned);
    return NULL;
}

int plot_main(int argc, char **argv)
{
    static const char *const formats[] = { "svg", "png", "pdf", NULL };
    const char *db_name = "results/results.db", *dir = "results/figures", *experiment = NULL,
               *why = NULL;
    const Option options[] = { { "--db", &db_name, NULL },
                               { "--out", &dir, NULL },
                               { "--experiment", &experiment, NULL },
                               { NULL, NULL, NULL } };
    if (options_read(argc, argv, options, plot_help) != 1)
        die("plot: expected the name of one figure; `eightysix plot --help`");
    Arena a = arena_new((size_t)1 << 28);
    Db *db = db_open_read(db_name, &a, &why);
    if (!db) die("%s", why);
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
