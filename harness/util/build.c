/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The build as build_id.h, which the Makefile writes, describes it. In an object of its own, which
 * changes with every commit: nothing that is timed depends on it. */
#include "harness/util/host.h"
#include "build_id.h"
#include "parts.h"
#include <string.h>

const Build *build_read(Arena *a)
{
    static const char all[] = BUILD_SOURCES "\n" BUILD_COMPILER "\n" BUILD_FLAGS;
    Build *b = arena_get(a, sizeof *b);
    b->id = sha256_hex(all, sizeof all - 1, arena_raw(a, 65));
    b->version = BUILD_VERSION;
    b->git = BUILD_GIT;
    b->compiler = BUILD_COMPILER;
    b->flags = BUILD_FLAGS;
    b->dirty = BUILD_DIRTY;
    b->executed = BUILD_EXECUTED;
    b->parts = BUILD_PARTS;
    return b;
}

const char *build_part(const Build *b, const char *name, Arena *a)
{
    const size_t len = strlen(name);
    for (const char *s = b->parts; *s; s += strcspn(s, " ") + 1)
        if (!strncmp(s, name, len) && s[len] == '=')
            return arena_text(a, "%.*s", (int)strcspn(s + len + 1, " "), s + len + 1);
    return NULL;
}
