/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two builds of a gate.
 *
 *   build/regress/NAME         a git work tree of the commit, built there, removed afterwards
 *   build/regress/NAME.log     the output of make
 *   build/regress/cache/KEY    of the 16 builds used last: `eightysix` and `hashed`, below. KEY is
 *                              the commit and what it was built with
 *
 * A build says which objects its benchmarks, laws and quality cells execute. They are hashed
 * without debug sections, so that a commit which only changes comments, documentation or reports
 * has the same code and nothing needs to be measured. A build that does not say (an old one) counts
 * as different from any other. */
#include "harness/regress/regress.h"
#include "harness/util/host.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TREES = 4, CACHED = 16 };
#define BUILD_LIMIT_S 3600

/* For the end of the process, however it ends */
static struct { int n; char tree[TREES][4096]; } left;

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

static void drop_tree(const char *tree, Arena *a)
{
    for (int i = 0; i < left.n; i++)
        if (!strcmp(left.tree[i], tree)) {
            remove_tree(tree, a);
            *left.tree[i] = 0;
        }
}

static void save_log(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

/* Returns the work tree */
static const char *check_out(GateBuild *b, const char *dir, const char *name, int jobs, Arena *a)
{
    const char *tree = arena_text(a, "%s/%s", dir, name),
               *log = arena_text(a, "%s/%s.log", dir, name);
    CHECK(left.n < TREES && strlen(tree) < sizeof left.tree[0]);
    if (!left.n) atexit(remove_all);
    remove_tree(tree, a);                    /* a gate that was killed may have left one */
    GateRun r = RUN(a, "git", "worktree", "add", "--detach", "--force", tree, b->commit);
    if (!ok(&r)) die("%s: git worktree add %s: %s", b->ref, tree, r.error);
    strcpy(left.tree[left.n++], tree);
    b->binary = arena_text(a, "%s/build/eightysix", tree);
    r = RUN(a, "-u", "MAKEFLAGS", "-u", "MFLAGS", "-u", "OUT", "-u", "SAN", "MAKELEVEL=1", "make",
            "-C", tree, arena_text(a, "-j%d", jobs), "OUT=build", "build/eightysix");
    save_log(log, r.said);
    if (gate_interrupted()) exit(130);
    if (!ok(&r)) die("%s: make: %s; all it said is in %s", b->ref, r.error, log);
    return tree;
}

/* Writes `hashed`: a line "OBJECT HASH" for each object that the build says it executes (all where
 * it does not say), sorted, each without debug sections. A missing object is an error: what is not
 * hashed would not be compared. */
static void hash_objects(const GateBuild *b, const char *tree, Arena *a)
{
    static const char script[] = "cd \"$0/build\" && { [ -n \"$1\" ] && printf '%s\\n' $1 || find "
                                 ". -name '*.o'; } | LC_ALL=C sort | while read -r f; do "
                                 "objcopy --strip-debug \"$f\" stripped || exit 1; echo \"$f "
                                 "$(sha256sum < stripped | cut -c1-64)\"; done > hashed";
    const GateRun r = RUN(a, "sh", "-c", script, tree, b->objects);
    if (!ok(&r)) die("%s: its objects cannot be hashed: %s", b->ref, *r.error ? r.error : r.said);
}

/* What the sides differ in must be a difference of commits: the key has the compiler and what the
 * environment says to make */
static const char *cache_of(const GateBuild *b, const char *dir, Arena *a)
{
    static const char script[] = "{ ${CC:-cc} --version; echo \"$CC $CXX $CFLAGS $CPPFLAGS "
                                 "$LDFLAGS $LDLIBS\"; uname -m; } 2>&1 | sha256sum";
    const GateRun r = RUN(a, "sh", "-c", script);
    return arena_text(a, "%s/cache/%s-%.12s", dir, b->commit, r.said);
}

/* Keeps what was built, under another name first: a part of a build is never found. Forgets those
 * that were used longest ago. */
static void cache_keep(GateBuild *b, const char *tree, const char *cache, Arena *a)
{
    static const char script[] =
        "set -e; mkdir -p \"$0.part\"; cp \"$1/build/eightysix\" \"$1/build/hashed\" \"$0.part\"; "
        "rm -rf \"$0\"; mv \"$0.part\" \"$0\"; cd \"$0/..\"; ls -t | tail -n +\"$2\" | "
        "while read -r old; do rm -rf \"./$old\"; done";
    const GateRun r =
        RUN(a, "sh", "-c", script, cache, tree, arena_text(a, "%d", CACHED + 1));
    if (!ok(&r)) die("%s: %s: %s", b->ref, cache, r.error);
    b->binary = arena_text(a, "%s/eightysix", cache);
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
    if (gate_interrupted()) exit(130);
    if (!ok(&r) || !ear.protocol)
        die("%s has no command regress-sample: the gate needs it in both builds, so the oldest "
            "base is the "
            "commit that has it",
            b->ref);
    if (ear.protocol != REGRESS_PROTOCOL)
        die("%s speaks protocol %d of regress-sample, this program %d", b->ref, ear.protocol,
            REGRESS_PROTOCOL);
}

static int is_program(const char *ref)
{
    struct stat st;
    return strchr(ref, '/') && !stat(ref, &st) && S_ISREG(st.st_mode) && !access(ref, X_OK);
}

GateBuild *gate_find(const char *ref, Arena *a)
{
    char path[4096];
    GateBuild *b = arena_get(a, sizeof *b);
    *b = (GateBuild) { .ref = ref, .commit = "", .code = "", .id = "", .compiler = "", .flags = "",
                       .objects = "", .hashed = "" };
    const GateRun r = RUN(a, "git", "rev-parse", "--verify", "--quiet", "--end-of-options",
                          arena_text(a, "%s^{commit}", ref));
    if (gate_interrupted()) exit(130);
    if (ok(&r)) b->commit = first_line(&r, a);
    else if (!is_program(ref))
        die("%s: expected a commit of this repository, or the path, with a slash, of a program "
            "that was built before",
            ref);
    else if (!realpath(ref, path)) die("%s: %s", ref, strerror(errno));
    else b->binary = arena_text(a, "%s", path);
    return b;
}

/* The commit as it was built before, or built now */
static void make_commit(GateBuild *b, const char *dir, const char *name, int jobs, Arena *a)
{
    const char *cache = cache_of(b, dir, a);
    b->binary = arena_text(a, "%s/eightysix", cache);
    if (access(b->binary, X_OK)) {
        fprintf(stderr, "building %s %s\n", name, b->ref);
        const char *tree = check_out(b, dir, name, jobs, a);
        ask_protocol(b, a);
        hash_objects(b, tree, a);
        cache_keep(b, tree, cache, a);
        drop_tree(tree, a);
    } else {
        fprintf(stderr, "%s %s: as built before, %s\n", name, b->ref, cache);
        RUN(a, "touch", cache);
        ask_protocol(b, a);
    }
    const GateRun r = RUN(a, "cat", arena_text(a, "%s/hashed", cache));
    if (!ok(&r)) die("%s: %s/hashed: %s", b->ref, cache, r.error);
    b->hashed = r.said;
    b->code = arena_get(a, 65);
    sha256_hex(b->hashed, strlen(b->hashed), (char *)b->code);
}

void gate_build(GateBuild *b, const char *name, int jobs, Arena *a)
{
    char path[4096];
    mkdir("build", 0777);
    mkdir("build/regress", 0777);
    mkdir("build/regress/cache", 0777);
    if (!realpath("build/regress", path)) die("build/regress: cannot be made: %s", strerror(errno));
    if (*b->commit) {
        make_commit(b, arena_text(a, "%s", path), name, jobs, a);
        return;
    }
    const GateRun r = RUN(a, "sha256sum", "--", b->binary);
    b->code = arena_text(a, "%.64s", r.said + (*r.said == '\\'));
    ask_protocol(b, a);
}

/* ---- what differs ---- */
/* 1: the line, up to its end, is one of the text */
static int has_line(const char *text, const char *line, size_t n)
{
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
        if (strcspn(text, "\n") == n && !strncmp(text, line, n)) return 1;
    return 0;
}

/* Adds the objects of `of` whose lines `other` has not */
static int add_changed(const char *of, const char *other, const char **list, int n, Arena *a)
{
    for (const char *at = of; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        int known = 0;
        if (has_line(other, at, strcspn(at, "\n"))) continue;
        const char *object = arena_text(a, "%.*s", (int)strcspn(at, " \n"), at);
        for (int i = 0; i < n; i++) known |= !strcmp(list[i], object);
        if (!known) list[n++] = object;
    }
    return n;
}

int gate_changed(const GateBuild *base, const GateBuild *head, const char ***list, Arena *a)
{
    if (!base->n_objects || !head->n_objects || !*base->hashed || !*head->hashed) return -1;
    *list = arena_get(a, sizeof **list * (size_t)(base->n_objects + head->n_objects));
    const int n = add_changed(head->hashed, base->hashed, *list, 0, a);
    return add_changed(base->hashed, head->hashed, *list, n, a);
}
