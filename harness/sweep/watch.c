/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/sweep/watch.h"
#include "harness/store/db.h"
#include "harness/sweep/eta.h"
#include "harness/sweep/table.h"
#include <math.h>
#include <string.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WATCH_EVERY_US = 1000000, WATCH_WIDTH = 100 };

/* What a running cell still takes; its budget as it was written in *budget */
static double watch_left(const DbSweep *s, const DbRunning *r, const char **budget, Arena *a)
{
    Spec *spec = spec_new(a);
    char *rest = arena_text(a, "%s", r->spec);
    /* a setting that this program does not know says nothing of the time */
    for (char *word; (word = strsep(&rest, " ")); )
        if (*word) spec_set(spec, word);
    *budget = spec_str(spec, "budget");
    const EtaCell c = eta_cell(spec, NAN);
    const double left = eta_running(&(Eta){ 0 }, &c, r->seconds, r->step + 1);
    return isnan(left) && !isnan(s->mean_s) ? fmax(0, s->mean_s - r->seconds) : left;
}

/* Its turn, and how many turns there are; 0: it has none */
static int watch_turn(const DbRunning *r, int *of)
{
    int at = 0;
    if (sscanf(r->schedule, "seed %*u, %d of %d", &at, of) != 2) at = *of = 0;
    return at;
}

static const char *watch_cell(const DbRunning *r, const char *budget, double left, Arena *a)
{
    char time[32];
    const char *loss = isnan(r->loss) ? "" : arena_text(a, "  loss %.3f", r->loss);
    const char *step = r->step < 0 ? "" : arena_text(a, "  step %ld", r->step);
    return arena_text(a, "  %s seed=%ld  %.0f s of %s%s%s  (%s left)\n", r->label, r->seed,
                      r->seconds, *budget ? budget : "no budget", step, loss,
                      table_duration(left, time));
}

/* A line on the sweep, one for each cell that runs, one on the time to go */
static const char *watch_sweep(const DbSweep *s, Arena *a)
{
    const char *name = *s->experiment ? s->experiment : "runs of no plan", *cells = "";
    double running = 0, mean = s->mean_s;
    int turn = 0, turns = 0;
    char time[32];
    for (int i = 0; i < s->runs; i++) {
        const char *budget;
        int of;
        const int at = watch_turn(&s->running[i], &of);
        const double left = watch_left(s, &s->running[i], &budget, a);
        if (at > turn) turn = at;
        if (of > turns) turns = of;
        if (isnan(mean)) mean = s->running[i].seconds + left;
        running += left;
        cells = arena_text(a, "%s%s", cells, watch_cell(&s->running[i], budget, left, a));
    }
    const double rest = turns > turn ? (turns - turn) * mean : 0;
    const char *own = turns ? arena_text(a, ", cell %d of the %d of this sweep", turn, turns) : "";
    const char *bad = s->bad ? arena_text(a, ", %ld failed", s->bad) : "";
    const char *head = arena_text(a, "%s: %ld of %ld cells done%s%s (process %ld)\n", name, s->ok,
                                  s->cells, own, bad, s->pid);
    if (!s->alive)
        return arena_text(a, "no sweep runs; the last one, %s, ended with %ld of %ld cells done"
                             "%s\n", name, s->ok, s->cells, bad);
    if (!s->runs) return arena_text(a, "%s  between two cells\n", head);
    return arena_text(a, "%s%s  about %s left\n", head, cells,
                      table_duration((running + rest) / s->runs, time));
}

/* Prints lines cut at the width of the terminal; how many */
static int watch_print(const char *text, int width)
{
    int lines = 0;
    for (; *text; lines++) {
        const int len = (int)strcspn(text, "\n");
        printf("%.*s\n", len < width ? len : width, text);
        text += len + (text[len] == '\n');
    }
    fflush(stdout);
    return lines;
}

static int watch_columns(void)
{
    struct winsize size;
    return !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col - 1 : WATCH_WIDTH;
}

const char *watch_run(const char *db_path, int once, int *code, Arena *a)
{
    const int again = !once && isatty(STDOUT_FILENO);
    const char *host = host_read(a)->hostname, *why = NULL;
    const size_t used = a->used;
    int alive = 1, lines = 0;
    *code = 1;
    while (alive) {
        DbSweep *s;
        int n;
        const char *all = "";
        if ((why = db_watch(db_path, host, &s, &n, a))) return why;
        alive = n && s->alive;
        if (alive) *code = 0;
        for (int i = 0; i < n; i++) all = arena_text(a, "%s%s", all, watch_sweep(&s[i], a));
        if (lines) printf("\033[%dA\033[J", lines);
        lines = watch_print(n ? all : "no sweep runs, and nothing was run\n",
                            again ? watch_columns() : (int)strlen(all) + WATCH_WIDTH);
        arena_reset(a, used);
        if (!again) break;
        if (alive) usleep(WATCH_EVERY_US);
    }
    return NULL;
}
