/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/util/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *file_beside(const char *path, Arena *a)
{
    return arena_text(a, "%s.new", path);
}

FILE *file_begin(const char *path, Arena *a, const char **why)
{
    const char *beside = file_beside(path, a);
    unlink(beside);                        /* of a process that was killed */
    FILE *f = fopen(beside, "wx");
    *why = f ? NULL : arena_text(a, "%s: cannot be written: %s", path, strerror(errno));
    return f;
}

const char *file_commit(FILE *f, const char *path, Arena *a)
{
    const char *beside = file_beside(path, a);
    errno = 0;
    int bad = fflush(f) || ferror(f) || fsync(fileno(f));
    int error = errno;
    if (fclose(f) && !bad) {
        bad = 1;
        error = errno;
    }
    if (!bad && !rename(beside, path)) return NULL;
    if (!bad) error = errno;
    unlink(beside);
    return arena_text(a, "%s: cannot be written: %s", path, strerror(error));
}

void file_cancel(FILE *f, const char *path, Arena *a)
{
    fclose(f);
    unlink(file_beside(path, a));
}

static const char *file_kind(mode_t mode)
{
    return S_ISDIR(mode) ? "a directory" : S_ISFIFO(mode) ? "a pipe" : S_ISSOCK(mode) ? "a socket"
                                                                                    : "a device";
}

const char *file_check(const char *path, Arena *a)
{
    struct stat is;
    if (stat(path, &is) || S_ISREG(is.st_mode)) return NULL;
    return arena_text(a, "%s: is %s; expected a file", path, file_kind(is.st_mode));
}

FILE *file_open(const char *path, Arena *a, const char **why)
{
    struct stat is;
    FILE *f = NULL;
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    *why = NULL;
    if (fd < 0 || fstat(fd, &is))
        *why = arena_text(a, "%s: cannot be read: %s", path, strerror(errno));
    else if (!S_ISREG(is.st_mode))
        *why = arena_text(a, "%s: is %s; expected a file", path, file_kind(is.st_mode));
    else if (!(f = fdopen(fd, "rb")))
        *why = arena_text(a, "%s: cannot be read: %s", path, strerror(errno));
    if (fd >= 0 && !f) close(fd);
    return f;
}

void file_make_directory(const char *dir, Arena *a)
{
    char *path = arena_text(a, "%s", dir);
    for (char *s = path; *s && (s = strchr(s + 1, '/')); *s = '/') {
        *s = 0;
        mkdir(path, 0777);
    }
    mkdir(path, 0777);
}

int file_end_stdout(int code)
{
    errno = 0;
    if (!fflush(stdout) && !ferror(stdout)) return code;
    fprintf(stderr, "eightysix: standard output cannot be written%s%s\n", errno ? ": " : "",
            errno ? strerror(errno) : "");
    return 2;
}
