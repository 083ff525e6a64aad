/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `export`. */
#include "harness/cli/cmd.h"
#include "harness/store/csv.h"
#include "harness/util/options.h"
#include <string.h>

static const char export_help[] =
    "usage: eightysix export [VIEW | EXPERIMENT] [--db FILE] [--out DIR] [--experiment NAME]\n"
    "                        [--plan ID] [--at TIME] [--pack FILE] [--text DIR]\n\n"
    "Writes a view as DIR/VIEW.csv, the results of an experiment as DIR/EXPERIMENT.csv, or, with\n"
    "neither, every view.\n\n"
    "  eightysix export summary --experiment quick --out -\n"
    "  eightysix export quick --plan 3 --out old\n\n"
    "  --db FILE          the records (results/results.db)\n"
    "  --out DIR          where to (results); - writes one view to stdout\n"
    "  --experiment NAME  only the rows of this experiment\n"
    "  --plan ID          this plan in place of later ones of its name and words\n"
    "  --at TIME          what was planned and started until then: 2026-11-30,\n"
    "                     2026-11-30T08:00:00Z\n"
    "  --pack FILE        instead: all records in one new file, for `eightysix merge` and\n"
    "                     `eightysix replay`\n"
    "  --text DIR         instead: all records as CSV, one file per table, in a new directory or\n"
    "                     in place of an earlier export; of single steps only means;\n"
    "                     `eightysix merge` reads it too\n\n"
    "exit code: 0 written, 2 bad usage or input\n";

/* A view, or the results of an experiment; dir NULL: to stdout */
static const char *export_one(Db *db, const char *name, const char *experiment, const char *dir,
                              Arena *a)
{
    const char *path = dir ? arena_text(a, "%s/%s.csv", dir, name) : NULL;
    if (path && strchr(name, '/'))
        return arena_text(a, "%s: expected a name without '/'; --out is where to", name);
    if (db_has_experiment(db, name)) return csv_write(db, "result", name, path, a);
    return csv_write(db, name, experiment, path, a);
}

static const char *export_views(Db *db, const char *experiment, const char *dir, Arena *a)
{
    const char *const *view, *why = NULL;
    const int n = db_views(db, &view, a);
    for (int i = 0; i < n && !why; i++)
        why = csv_write(db, view[i], experiment, arena_text(a, "%s/%s.csv", dir, view[i]), a);
    return why;
}

int export_main(int argc, char **argv)
{
    const char *db_path = "results/results.db", *dir = "results", *experiment = NULL, *why = NULL;
    const char *pack = NULL, *text = NULL, *plan = NULL, *at = NULL;
    const Option options[] = { { "--db", &db_path, NULL },
                               { "--out", &dir, NULL },
                               { "--experiment", &experiment, NULL },
                               { "--pack", &pack, NULL },
                               { "--text", &text, NULL },
                               { "--plan", &plan, NULL },
                               { "--at", &at, NULL },
                               { NULL, NULL, NULL } };
    const int words = options_read(argc, argv, options, export_help), to_stdout = !strcmp(dir, "-");
    if (words > 1) die("%s: expected one view or experiment; `eightysix export --help`", argv[2]);
    if (to_stdout && !words) die("--out -: expected the name of one view");
    if ((pack || text) && (words || experiment || plan || at))
        die("--pack, --text: expected no view, experiment, plan or time; all records are written");
    Arena a = arena_new((size_t)1 << 34);
    DbMerged m;
    if (pack && (why = db_merge(&db_path, 1, pack, &m, &a))) die("%s", why);
    Db *db = db_open_read(db_path, &a, &why);
    if (!db || (why = db_past(db, plan, at, &a))) die("%s", why);
    if (text) why = db_save_text(db, text, &a);
    else if (words) why = export_one(db, argv[1], experiment, to_stdout ? NULL : dir, &a);
    else if (!pack) why = export_views(db, experiment, dir, &a);
    db_close(db);
    if (why) die("%s", why);
    arena_drop(&a);
    return 0;
}
