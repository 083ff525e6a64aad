/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The build as build_id.h, which the Makefile writes, describes it. In an object of its own, which
 * changes with every commit: nothing that is timed depends on it. */
#include "harness/util/host.h"
#include "build_id.h"

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
    return b;
}
