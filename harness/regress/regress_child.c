/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the gate runs a program: as a child in a process group of its own, whose output is kept. */
#include "harness/regress/regress.h"
#include "harness/sweep/child.h"
#include <string.h>

enum { SAID_MOST = 1 << 20, WORDS_MOST = 96 };

/* Of all children together. ^C outlives a call */
static struct { int interrupted, running, signals; } children;
int gate_interrupted(void) { return children.interrupted; }

typedef struct { GateLine *line; void *ctx; char *said; size_t n; int sync; } Ear;

static void hear_line(void *ctx, char *line)
{
    Ear *e = ctx;
    Record l;
    e->sync |= !strcmp(line, "sync");
    if (e->line && record_parse(line, &l)) e->line(e->ctx, &l);
}

static void hear_words(void *ctx, const char *bytes, size_t n)
{
    Ear *e = ctx;
    for (size_t i = 0; i < n && e->n < SAID_MOST - 1; i++) e->said[e->n++] = bytes[i];
}

/* How many of the words are for env(1): -u NAME, and NAME=VALUE whose NAME is in capitals */
static int env_words(const char *const *words)
{
    static const char capitals[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    int n = 0;
    for (; words[n]; n++) {
        const size_t name = strspn(words[n], capitals);
        if (!strcmp(words[n], "-u") && words[n + 1]) n++;
        else if (!name || words[n][name] != '=') break;
    }
    return n;
}

/* env would take a program whose path has a = for a variable: a shell runs it */
static void run_words(char **argv, int most, const char *const *words, Arena *a)
{
    static const char *const shell[] = { "sh", "-c", "exec \"$@\"", "sh" };
    const int environment = env_words(words);
    int n = 0;
    argv[n++] = arena_text(a, "env");
    for (int i = 0; words[i]; i++) {
        CHECK(n + 6 < most);
        for (int k = 0; i == environment && k < 4; k++) argv[n++] = arena_text(a, "%s", shell[k]);
        argv[n++] = arena_text(a, "%s", words[i]);
    }
    argv[n] = NULL;
}

struct GateChild {
    Ear         ear;
    Arena       talk;
    Child       child;
    const char *why;                 /* it could not be started; NULL: it was */
    int         ended;
    char       *argv[WORDS_MOST];
};

GateChild *gate_start(const char *const *words, double seconds, GateLine *line, void *ctx, Arena *a)
{
    GateChild *g = arena_get(a, sizeof *g);
    run_words(g->argv, WORDS_MOST, words, a);
    g->talk = arena_new(SAID_MOST + 4096);
    g->ear = (Ear){ .line = line, .ctx = ctx, .said = arena_raw(&g->talk, SAID_MOST) };
    const ChildPlan plan = { .program = "/usr/bin/env",
                             .argv = g->argv,
                             .limits = { .seconds = seconds },
                             .line = hear_line,
                             .said = hear_words,
                             .ctx = &g->ear };
    if (!children.running++) children.signals = child_signals();
    g->why = child_start(&g->child, &plan);
    g->ended = g->why != NULL;
    return g;
}

int gate_wait(GateChild *g)
{
    while (!g->ended) {
        g->ended = child_step(&g->child);
        if (g->ended) break;
        if (g->ear.sync) {
            g->ear.sync = 0;
            return 1;
        }
        children.interrupted |= child_wait(children.signals, &g->child);
        if (children.interrupted) child_end(&g->child, "crash", "interrupted");
    }
    return 0;
}

void gate_go(GateChild *g) { child_stored(&g->child); }

GateRun gate_let_end(GateChild *g, Arena *a)
{
    const char *error = g->why;
    while (gate_wait(g)) gate_go(g);
    if (!--children.running) child_signals_end(children.signals);
    const char *status = g->why ? "fail" : child_status(&g->child, &error);
    g->ear.said[g->ear.n] = 0;
    const GateRun r = { status, arena_text(a, "%s", error), arena_text(a, "%s", g->ear.said) };
    arena_drop(&g->talk);
    return r;
}

GateRun gate_run(const char *const *words, double seconds, GateLine *line, void *ctx, Arena *a)
{
    return gate_let_end(gate_start(words, seconds, line, ctx, a), a);
}
