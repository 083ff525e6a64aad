/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two builds of a gate, and how the gate runs a program: as a child in a process group of its
 * own, whose output is kept.
 *
 *   build/regress/NAME         a git work tree of the commit, built there, removed afterwards
 *   build/regress/NAME.log     the output of make
 *
 * A build says which objects its benchmarks, laws and quality cells execute. They are hashed
 * without debug sections, so that a commit which only changes comments, documentation or reports
 * has the same code and nothing needs to be measured. A build that does not say (an old one) counts
 * as different from any other. */
#include "harness/regress/regress.h"
#include "harness/sweep/child.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SAID_MOST = 1 << 20, TREES = 4 };
#define BUILD_LIMIT_S 3600

/* For ^C and for the end of the process, however it ends: the only state that outlives a call. */
static struct { int interrupted, n; char tree[TREES][4096]; } left;
int gate_interrupted(void) { return left.interrupted; }

typedef struct { GateLine *line; void *ctx; char *said; size_t n; } Ear;

static void hear_line(void *ctx, char *line)
{
    const Ear *e = ctx;
    Record l;
    if (e->line && record_parse(line, &l)) e->line(e->ctx, &l);
}

static void hear_words(void *ctx, const char *bytes, size_t n)
{
    Ear *e = ctx;
    for (size_t i = 0; i < n && e->n < SAID_MOST - 1; i++) e->said[e->n++] = bytes[i];
}

GateRun gate_run(const char *const *words, double seconds, GateLine *line, void *ctx, Arena *a)
{
    enum { MOST = 64 };
    char *argv[MOST] = { "env" };
    for (int i = 0; words[i]; i++) {
        CHECK(i < MOST - 2);
        argv[i + 1] = arena_text(a, "%s", words[i]);
    }
    const size_t at = a->used;
    Ear ear = { .line = line, .ctx = ctx, .said = arena_raw(a, SAID_MOST) };
    const ChildPlan plan = { .program = "/usr/bin/env",
                             .argv = argv,
                             .limits = { .seconds = seconds },
                             .line = hear_line,
                             .said = hear_words,
                             .ctx = &ear };
    Child *c = arena_raw(a, sizeof *c);
    const int signals = child_signals();
    const char *why = child_start(c, &plan), *error = why;
    while (!why && !child_step(c))
        if (child_wait(signals)) {
            left.interrupted = 1;
            child_end(c, "crash", "interrupted");
        }
    child_signals_end(signals);
    const char *status = why ? "fail" : child_status(c, &error);
    char sentence[1024];
    snprintf(sentence, sizeof sentence, "%s", error);
    ear.said[ear.n] = 0;
    /* `said` lies at the start of the arena: what is not used of it is given back */
    arena_reset(a, at);
    arena_raw(a, ear.n + 1);
    return (GateRun){ status, arena_text(a, "%s", sentence), ear.said };
}

#define RUN(a, ...)                                                                                \
    gate_run((const char *const[]) { __VA_ARGS__, NULL }, BUILD_LIMIT_S, NULL, NULL, a)
static int ok(const GateRun *r) { return !strcmp(r->status, "ok"); }

static const char *first_line(const GateRun *r, Arena *a)
{
    return arena_text(a, "%.*s", (int)strcspn(r->said, "\n"), r->said);
}

static void remove_tree(const char *tree, Arena *a)
{
    RUN(a, "git", "worktree", "remove", "--force", tree);
    RUN(a, "rm", "-rf", tree);
    RUN(a, "git", "worktree", "prune");
}

static void remove_all(void)
{
    Arena a = arena_new((size_t)1 << 26);
    for (int i = 0; i < left.n; i++)
        if (*left.tree[i]) remove_tree(left.tree[i], &a);
    left.n = 0;
    arena_drop(&a);
}

void gate_build_drop(const GateBuild *b)
{
    Arena a = arena_new((size_t)1 << 26);
    for (int i = 0; b->tree && i < left.n; i++)
        if (!strcmp(left.tree[i], b->tree)) {
            remove_tree(b->tree, &a);
            *left.tree[i] = 0;
        }
    arena_drop(&a);
}

static void save_log(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

static void check_out(GateBuild *b, const char *dir, const char *name, int jobs, Arena *a)
{
    const char *tree = arena_text(a, "%s/%s", dir, name),
               *log = arena_text(a, "%s/%s.log", dir, name);
    CHECK(left.n < TREES && strlen(tree) < sizeof left.tree[0]);
    if (!left.n) atexit(remove_all);
    remove_tree(tree, a);                    /* a gate that was killed may have left one */
    GateRun r = RUN(a, "git", "worktree", "add", "--detach", "--force", tree, b->commit);
    if (!ok(&r)) die("%s: git worktree add %s: %s", b->ref, tree, r.error);
    strcpy(left.tree[left.n++], tree);
    b->tree = tree;
    b->binary = arena_text(a, "%s/build/eightysix", tree);
    r = RUN(a, "-u", "MAKEFLAGS", "-u", "MFLAGS", "-u", "OUT", "-u", "SAN", "MAKELEVEL=1", "make",
            "-C", tree, arena_text(a, "-j%d", jobs), "OUT=build", "build/eightysix");
    save_log(log, r.said);
    if (left.interrupted) exit(130);
    if (!ok(&r)) die("%s: make: %s; all it said is in %s", b->ref, r.error, log);
}

/* A hash of the objects that the build says it executes (all where it does not say), sorted by
 * name, each without debug sections. A missing object is an error: what is not hashed would not be
 * compared. */
static const char *code_of(const GateBuild *b, Arena *a)
{
    static const char script[] = "cd \"$0/build\" && { [ -n \"$1\" ] && printf '%s\\n' $1 || find "
                                 ". -name '*.o'; } | LC_ALL=C sort | while read -r f; do "
                                 "objcopy --strip-debug \"$f\" stripped || exit 1; echo \"$f "
                                 "$(sha256sum < stripped)\"; done > hashed && "
                                 "sha256sum < hashed";
    const GateRun r = RUN(a, "sh", "-c", script, b->tree, b->objects);
    if (!ok(&r) || strlen(r.said) < 64)
        die("%s: its objects cannot be hashed: %s", b->ref, *r.error ? r.error : r.said);
    return arena_text(a, "%.64s", r.said);
}

typedef struct { GateBuild *b; Arena *a; int protocol; } Asked;

static void hear_build(void *ctx, const Record *l)
{
    Asked *e = ctx;
    if (l->kind != 't') return;
    if (!strcmp(l->name, "protocol")) e->protocol = atoi(l->text);
    if (!strcmp(l->name, "build")) e->b->id = arena_text(e->a, "%s", l->text);
    if (!strcmp(l->name, "compiler")) e->b->compiler = arena_text(e->a, "%s", l->text);
    if (!strcmp(l->name, "flags")) e->b->flags = arena_text(e->a, "%s", l->text);
    if (strcmp(l->name, "object")) return;
    e->b->objects = arena_text(e->a, "%s%s%s", e->b->objects, e->b->n_objects ? " " : "", l->text);
    e->b->n_objects++;
}

static void ask_protocol(GateBuild *b, Arena *a)
{
    Asked ear = { b, a, 0 };
    const char *const words[] = { b->binary, "regress-sample", "list", NULL };
    const GateRun r = gate_run(words, 60, hear_build, &ear, a);
    if (left.interrupted) exit(130);
    if (!ok(&r) || !ear.protocol)
        die("%s has no command regress-sample: the gate needs it in both builds, so the oldest "
            "base is the "
            "commit that has it",
            b->ref);
    if (ear.protocol != REGRESS_PROTOCOL)
        die("%s speaks protocol %d of regress-sample, this program %d", b->ref, ear.protocol,
            REGRESS_PROTOCOL);
}

GateBuild *gate_build(const char *ref, const char *name, int jobs, Arena *a)
{
    char path[4096];
    struct stat st;
    GateBuild *b = arena_get(a, sizeof *b);
    *b = (GateBuild) {
        .ref = ref, .commit = "", .code = "", .id = "", .compiler = "", .flags = "", .objects = ""
    };
    mkdir("build", 0777);
    mkdir("build/regress", 0777);
    if (!realpath("build/regress", path)) die("build/regress: cannot be made: %s", strerror(errno));
    const char *dir = arena_text(a, "%s", path);
    if (strchr(ref, '/') && !stat(ref, &st) && S_ISREG(st.st_mode) && !access(ref, X_OK)) {
        if (!realpath(ref, path)) die("%s: %s", ref, strerror(errno));
        b->binary = arena_text(a, "%s", path);
        const GateRun r = RUN(a, "sha256sum", b->binary);
        b->code = first_line(&r, a);
        b->code = arena_text(a, "%.64s", b->code);
    } else {
        const char *commit = arena_text(a, "%s^{commit}", ref);
        const GateRun r = RUN(a, "git", "rev-parse", "--verify", "--quiet", commit);
        if (!ok(&r))
            die("%s: expected a commit of this repository, or the path of a program that was built "
                "before",
                ref);
        b->commit = first_line(&r, a);
        check_out(b, dir, name, jobs, a);
    }
    ask_protocol(b, a);
    if (b->tree) b->code = code_of(b, a);
    return b;
}
