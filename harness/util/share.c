/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/util/share.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The directory of the running program; "." where /proc is not mounted */
static const char *share_program_dir(Arena *a)
{
    char exe[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0) return ".";
    exe[n] = 0;
    char *slash = strrchr(exe, '/');
    if (!slash) return ".";
    *slash = 0;
    return arena_text(a, "%s", exe);
}

static int share_has(const char *dir, const char *name, Arena *a)
{
    return !access(arena_text(a, "%s/%s", dir, name), R_OK);
}

const char *share_dir(const char *name, Arena *a)
{
    static const char *const beside[] = { "..", "../..", "../share/eightysix" };
    const char *set = getenv("EIGHTYSIX_SHARE");
    if (*name == '/' || !access(name, R_OK)) return ".";
    if (set && *set) return share_has(set, name, a) ? set : ".";
    const char *program = share_program_dir(a);
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        const char *dir = arena_text(a, "%s/%s", program, beside[i]);
        if (share_has(dir, name, a)) return dir;
    }
    return ".";
}

const char *share_path(const char *name, Arena *a)
{
    const char *dir = share_dir(name, a);
    return strcmp(dir, ".") ? arena_text(a, "%s/%s", dir, name) : name;
}

static int share_is_directory(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

const char *share_experiment(const char *name, Arena *a)
{
    const char *file = share_path(name, a);
    const int is_file = !access(file, R_OK) && !share_is_directory(file);
    if (is_file || strchr(name, '/') || strchr(name, '.')) return file;
    const char *known = arena_text(a, "experiments/%s.yaml", name), *found = share_path(known, a);
    return access(found, R_OK) ? name : found;
}
