/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/train/saver.h"
#include "harness/train/checkpoint.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file of this name, locked. -1 and errno: EWOULDBLOCK when another process has it. Who had it
 * before may have removed it meanwhile: then what was opened is no longer the file of the name. */
static int saver_lock(const char *name)
{
    for (;;) {
        struct stat ours, now;
        const int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) return -1;
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            const int error = errno;
            close(fd);
            errno = error;
            return -1;
        }
        if (!fstat(fd, &ours) && !stat(name, &now) && ours.st_ino == now.st_ino) return fd;
        close(fd);
    }
}

/* NULL, or why no file can be written at this path */
static const char *saver_try_path(const char *path, Arena *a)
{
    struct stat st;
    const char *part = arena_text(a, "%s.part", path);
    const int there = !stat(path, &st);
    const int fd = open(part, O_WRONLY | O_CREAT | O_CLOEXEC, 0666), error = errno;
    if (fd >= 0) {
        close(fd);
        unlink(part);
    }
    if (fd < 0) return arena_text(a, "save=%s: cannot be written: %s", path, strerror(error));
    if (!there || S_ISREG(st.st_mode)) return NULL;
    return arena_text(a, "save=%s: cannot be written: %s", path,
                      S_ISDIR(st.st_mode) ? strerror(EISDIR) : "not a file");
}

void saver_close(Saver *s)
{
    if (s->lock < 0) return;
    unlink(s->lock_path);
    close(s->lock);
    s->lock = -1;
}

const char *saver_open(Saver *s, const Spec *spec, Recorder *rec, Arena *a)
{
    *s = (Saver){ .path = spec_str(spec, "save"), .lock = -1, .rec = rec };
    if (!*s->path) return NULL;
    s->lock_path = arena_text(a, "%s.lock", s->path);
    s->lock = saver_lock(s->lock_path);
    const int error = errno;
    const char *why = s->lock >= 0 ? saver_try_path(s->path, a) : NULL;
    if (why) saver_close(s);
    if (why || s->lock >= 0) return why;
    if (error == EWOULDBLOCK)
        return arena_text(a, "save=%s: another run writes this checkpoint; expected a file of its "
                             "own for each run", s->path);
    return arena_text(a, "save=%s: cannot be written: %s", s->path, strerror(error));
}

const char *saver_save(const Saver *s, Session *session)
{
    if (!*s->path) return NULL;
    record_sync(s->rec);
    return checkpoint_save(session, s->path);
}

void saver_try(const Saver *s, Session *session)
{
    const size_t used = session->arena->used;
    const char *why = saver_save(s, session);
    if (why) fprintf(stderr, "warning: %s; training goes on\n", why);
    arena_reset(session->arena, used);
}
