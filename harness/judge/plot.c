/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A figure is the view of its name as CSV, then gnuplot on experiments/FIGURE.gp, once per format:
 *   gnuplot -c experiments/FIGURE.gp DATA.csv OUTPUT FORMAT      (ARG1 ARG2 ARG3 in the script) */
#include "harness/judge/plot.h"
#include "harness/store/csv.h"
#include "harness/util/file.h"
#include "harness/util/share.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* NULL: gnuplot ended well */
static const char *plot_run(const char *script, const char *data, const char *output,
                            const char *format, Arena *a)
{
    int status = 0;
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        setenv("LC_ALL", "C.UTF-8", 1);      /* the fonts' encoding, and a point in every number */
        /* where `load` looks beside this directory */
        setenv("GNUPLOT_LIB", share_dir("experiments/style.gp", a), 1);
        execlp("gnuplot", "gnuplot", "-c", script, data, output, format, (char *)NULL);
        _exit(errno == ENOENT ? 127 : 126);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return arena_text(a, "gnuplot: no child process: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return NULL;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return "gnuplot: not found; install gnuplot-nox (`make deps`)";
    return arena_text(a, "gnuplot failed on %s with %s (its message is above)", script, data);
}

/* Draws under another name, which becomes `output` when there is a figure. */
static const char *plot_figure(const char *script, const char *data, const char *output,
                               const char *format, Arena *a)
{
    struct stat is;
    const char *beside = arena_text(a, "%s.new", output);
    unlink(beside);
    const char *why = plot_run(script, data, beside, format, a);
    if (!why && (stat(beside, &is) || !is.st_size))
        why = arena_text(a, "%s: gnuplot made no figure with %s", output, script);
    if (!why && rename(beside, output))
        why = arena_text(a, "%s: cannot be written: %s", output, strerror(errno));
    if (why) unlink(beside);
    return why;
}

static void plot_count(void *ctx, int columns, const char *const *value)
{
    (void)columns;
    (void)value;
    ++*(int *)ctx;
}

const char *plot_draw(Db *db, const char *figure, const char *experiment, const char *stem,
                      const char *const *formats, Arena *a)
{
    const char *why = NULL, *script = share_path(arena_text(a, "experiments/%s.gp", figure), a);
    int rows = 0;
    if (access(script, R_OK))
        return arena_text(a, "%s: cannot be read: %s", script, strerror(errno));
    if (!experiment) experiment = db_last_experiment(db, figure, a);
    if ((why = db_view(db, figure, experiment, plot_count, &rows, a))) return why;
    if (rows < 2)
        return arena_text(a, "%s: the view '%s' has no rows of %s%s", db_path(db), figure,
                          experiment ? "experiment " : "any experiment",
                          experiment ? experiment : "");
    if ((why = csv_write(db, figure, experiment, arena_text(a, "%s.csv", stem), a))) return why;
    for (int i = 0; formats[i] && !why; i++)
        why = plot_figure(script, arena_text(a, "%s.csv", stem),
                          arena_text(a, "%s.%s", stem, formats[i]), formats[i], a);
    return why;
}

/* NULL, or why an experiment has nothing to draw */
static const char *plot_check_ok(Db *db, const char *experiment, Arena *a)
{
    DbTable t;
    const char *why = db_table(
        db,
        arena_text(a, "SELECT count(*) AS n FROM cell_run WHERE experiment = %s AND status = 'ok'",
                   db_quoted(experiment, a)),
        &t, a);
    return why || strcmp(db_field(&t, 0, "n"), "0") ? why : "no cell is ok";
}

void plot_beside(const char *db_path, const char *figure, const char *experiment, Arena *a)
{
    static const char *const formats[] = { "svg", "png", "pdf", NULL };
    const char *slash = strrchr(db_path, '/'), *why = NULL;
    const char *dir = arena_text(a, "%.*sfigures", slash ? (int)(slash - db_path) + 1 : 0, db_path);
    const char *stem = arena_text(a, "%s/%s", dir, figure);
    Db *db = db_open_read(db_path, a, &why);
    if (!why) why = plot_check_ok(db, experiment, a);
    if (!why) {
        file_make_directory(dir, a);
        why = plot_draw(db, figure, experiment, stem, formats, a);
    }
    db_close(db);
    if (why) printf("figure %s: not drawn: %s\n", figure, why);
    else printf("figure %s: %s.svg, png, pdf\n", figure, stem);
}
