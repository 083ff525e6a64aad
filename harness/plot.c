/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `plot`: the view of a figure's name as CSV, then gnuplot on experiments/FIGURE.gp, once per format:
 *   gnuplot -c experiments/FIGURE.gp DATA.csv OUTPUT FORMAT      (ARG1 ARG2 ARG3 in the script) */
#include "harness/options.h"
#include "harness/sweep.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char help[] =
    "usage: eightysix plot FIGURE [--experiment NAME] [--db FILE] [--out DIR]\n\n"
    "Draws experiments/FIGURE.gp from the view FIGURE as SVG, PNG and PDF.\n\n"
    "  --experiment NAME  whose rows (the last experiment that has some)\n"
    "  --db FILE          the records (results/results.db)\n"
    "  --out DIR          where to (results/figures)\n\n"
    "exit code: 0 drawn, 2 bad usage or input\n";

static const char *gnuplot(const char *script, const char *data, const char *output, const char *format, Arena *a)
{
    int status = 0;
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        setenv("LC_ALL", "C.UTF-8", 1);      /* the fonts' encoding, and a point in every number */
        execlp("gnuplot", "gnuplot", "-c", script, data, output, format, (char *)NULL);
        _exit(errno == ENOENT ? 127 : 126);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return arena_text(a, "gnuplot: no child process: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return NULL;
    unlink(output);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return "gnuplot: not found; install gnuplot-nox (`make deps`)";
    return arena_text(a, "gnuplot failed on %s with %s (its words are above)", script, data);
}

static void count_row(void *ctx, int columns, const char *const *value)
{
    (void)columns;
    (void)value;
    ++*(int *)ctx;
}

const char *plot_draw(Db *db, const char *figure, const char *experiment, const char *stem, const char *const *formats, Arena *a)
{
    const char *why = NULL, *script = arena_text(a, "experiments/%s.gp", figure);
    int rows = 0;
    if (access(script, R_OK)) return arena_text(a, "%s: cannot be read: %s", script, strerror(errno));
    if (!experiment) experiment = db_last_experiment(db, figure, a);
    if ((why = db_view(db, figure, experiment, count_row, &rows, a))) return why;
    if (rows < 2) return arena_text(a, "%s: the view '%s' has no rows of %s%s", db_path(db), figure,
                                     experiment ? "experiment " : "any experiment", experiment ? experiment : "");
    if ((why = export_csv(db, figure, experiment, arena_text(a, "%s.csv", stem), a))) return why;
    for (int i = 0; formats[i] && !why; i++)
        why = gnuplot(script, arena_text(a, "%s.csv", stem), arena_text(a, "%s.%s", stem, formats[i]), formats[i], a);
    return why;
}

int plot_main(int argc, char **argv)
{
    static const char *const formats[] = { "svg", "png", "pdf", NULL };
    const char *db_name = "results/results.db", *dir = "results/figures", *experiment = NULL, *why = NULL;
    const Option options[] = { { "--db", &db_name, NULL }, { "--out", &dir, NULL }, { "--experiment", &experiment, NULL },
                               { NULL, NULL, NULL } };
    if (options_read(argc, argv, options, help) != 1) die("plot: expected the name of one figure; `eightysix plot --help`");
    Arena a = arena_new((size_t)1 << 28);
    Db *db = db_open_read(db_name, &a, &why);
    if (!db) die("%s", why);
    mkdir(dir, 0777);
    const char *stem = arena_text(&a, "%s/%s", dir, argv[1]);
    why = plot_draw(db, argv[1], experiment, stem, formats, &a);
    db_close(db);
    if (why) die("%s", why);
    for (int i = 0; formats[i]; i++) printf("%s.%s\n", stem, formats[i]);
    arena_drop(&a);
    return 0;
}
