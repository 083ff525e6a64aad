/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/sweep/peer.h"
#include "harness/sweep/child.h"
#include "harness/util/host.h"
#include "harness/util/record.h"
#include "harness/util/share.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PEER_PATIENCE_S = 60, PEER_LOOK_US = 20000, PEER_HASH = 16, PEER_LINE = 256 };

static int peer_is_python(const char *path)
{
    const size_t n = strlen(path);
    return n > 3 && !strcmp(path + n - 3, ".py");
}

/* The path of a command, as a shell finds it; NULL: there is none */
static const char *peer_command_path(const char *name, Arena *a)
{
    const char *dirs = getenv("PATH");
    if (strchr(name, '/')) return access(name, X_OK) ? NULL : name;
    for (const char *s = dirs ? dirs : "/usr/bin:/bin"; *s; s += *s == ':') {
        const int n = (int)strcspn(s, ":");
        const char *path = arena_text(a, "%.*s/%s", n, s, name);
        if (n && !access(path, X_OK)) return path;
        s += n;
    }
    return NULL;
}

/* The Python of `make peers`, else python3 */
static void peer_find_python(PeerProgram *p, Arena *a)
{
    const char *own = share_path("cache/peers/bin/python", a);
    p->interpreter = access(own, X_OK) ? peer_command_path("python3", a) : own;
    if (!p->interpreter)
        p->why = arena_text(a, "%s: expected python3 to run it, which is not there (`make peers`)",
                            p->path);
}

/* NULL, or that the interpreter of the first line, "#!/bin/sh" or "#!/usr/bin/env NAME", is not
 * there */
static const char *peer_check_interpreter(const PeerProgram *p, Arena *a)
{
    char line[PEER_LINE] = "";
    FILE *f = fopen(p->path, "r");
    if (!f || !fgets(line, sizeof line, f)) *line = 0;
    if (f) fclose(f);
    if (strncmp(line, "#!", 2)) return NULL;
    char *rest = line + 2;
    const char *word = strtok_r(rest, " \t\n", &rest);
    const char *slash = word ? strrchr(word, '/') : NULL;
    if (slash && !strcmp(slash, "/env") && !access(word, X_OK))
        word = strtok_r(NULL, " \t\n", &rest);
    if (!word || peer_command_path(word, a)) return NULL;
    return arena_text(a, "%s: expected %s to run it, which is not there", p->path, word);
}

PeerProgram *peer_find(const char *name, const char *file, Arena *a)
{
    PeerProgram *p = arena_get(a, sizeof *p);
    const char *slash = strrchr(file, '/');
    const int dir = slash ? (int)(slash - file) + 1 : 0;
    *p = (PeerProgram){ .name = arena_text(a, "%s", name), .versions = "" };
    p->path = *name == '/' ? p->name : arena_text(a, "%.*s%s", dir, file, name);
    if (access(p->path, F_OK)) {
        const char *installed = share_path(arena_text(a, "experiments/%s", name), a);
        if (!access(installed, F_OK)) p->path = installed;
    }
    /* a path without '/' would not be run from this directory */
    if (!strchr(p->path, '/')) p->path = arena_text(a, "./%s", p->path);
    if (access(p->path, F_OK))
        p->why = arena_text(a, "program %s: there is no such file beside %s or in experiments/",
                            name, file);
    else if (access(p->path, R_OK))
        p->why = arena_text(a, "%s: cannot be read: %s", p->path, strerror(errno));
    else if (peer_is_python(p->path)) peer_find_python(p, a);
    else if (access(p->path, X_OK))
        p->why = arena_text(a, "%s: cannot be run: %s", p->path, strerror(errno));
    else p->why = peer_check_interpreter(p, a);
    return p;
}

/* ---- what it says of itself ---- */

typedef struct PeerAnswer { PeerProgram *program; Arena *a; } PeerAnswer;

static void peer_take_line(void *ctx, char *line)
{
    const PeerAnswer *answer = ctx;
    Record l;
    if (record_parse(line, &l) && l.kind == 't' && !strcmp(l.name, "peer_versions"))
        answer->program->versions = arena_text(answer->a, "%s", l.text);
}

static void peer_take_said(void *ctx, const char *bytes, size_t n)
{
    (void)ctx;
    (void)bytes;
    (void)n;
}

int peer_command(const PeerProgram *p, char **argv, Arena *a)
{
    int argc = 0;
    if (p->interpreter) argv[argc++] = arena_text(a, "%s", p->interpreter);
    argv[argc++] = arena_text(a, "%s", p->path);
    return argc;
}

void peer_ask(PeerProgram *p, Arena *a)
{
    char *argv[4] = { NULL };
    const char *error;
    if (p->asked++ || p->why) return;
    const int argc = peer_command(p, argv, a);
    argv[argc] = arena_text(a, "versions");
    const ChildPlan plan = { .program = argv[0],
                             .argv = argv,
                             .limits = { .seconds = PEER_PATIENCE_S },
                             .line = peer_take_line,
                             .said = peer_take_said,
                             .ctx = &(PeerAnswer){ p, a } };
    Child *c = arena_get(a, sizeof *c);
    p->why = child_start(c, &plan);
    if (p->why) return;
    while (!child_step(c)) usleep(PEER_LOOK_US);
    if (!strcmp(child_status(c, &error), "skip")) p->why = arena_text(a, "%s", error);
}

/* ---- what makes its cells and runs the same ---- */

const char *peer_text(const Peer *p, const Spec *s, Arena *a)
{
    const char *text = spec_text(s);
    if (!p) return text;
    text = arena_text(a, "%s%sprogram=%s", text, *text ? " " : "", p->program->name);
    for (int i = 0; i < p->words; i++) text = arena_text(a, "%s %s", text, p->word[i]);
    return text;
}

const char *peer_part(const PeerProgram *p, Arena *a) { return arena_text(a, "peer:%s", p->name); }

const char *peer_file_hash(const PeerProgram *p, Arena *a)
{
    char hex[65];
    return sha256_file(p->path, hex) ? "" : arena_text(a, "%.*s", PEER_HASH, hex);
}

const char *peer_versions_part(const PeerProgram *p, Arena *a)
{
    return arena_text(a, "peer_versions:%s", p->name);
}

const char *peer_versions_hash(const char *versions, Arena *a)
{
    char hex[65];
    return arena_text(a, "%.*s", PEER_HASH, sha256_hex(versions, strlen(versions), hex));
}
