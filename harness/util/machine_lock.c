/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/util/machine_lock.h"
#include "kernels/base.h"
#include "harness/util/progress.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

const char *machine_lock_name = "eightysix measures on this machine";
static const char machine_variable[] = "EIGHTYSIX_MACHINE";
enum { MACHINE_TRIES = 100, MACHINE_PAUSE_US = 1000 };

/* The address; a zero byte before the name makes it abstract. Returns its length */
static socklen_t machine_address(struct sockaddr_un *to)
{
    *to = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(to->sun_path + 1, sizeof to->sun_path - 1, "%s", machine_lock_name);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(to->sun_path + 1));
}

static void machine_tell_children(const MachineLock *m)
{
    char text[64];
    snprintf(text, sizeof text, "%ld:%d", (long)getpid(), m->fd);
    setenv(machine_variable, text, 1);
}

/* 1: an ancestor has the lock, or this process had it before an exec */
static int machine_inherit(MachineLock *m)
{
    long pid;
    int fd;
    const char *text = getenv(machine_variable);
    if (!text || sscanf(text, "%ld:%d", &pid, &fd) != 2) return 0;
    m->state = MACHINE_OURS;
    m->fd = pid == getpid() ? fd : -1;
    if (m->fd >= 0) fcntl(m->fd, F_SETFD, FD_CLOEXEC);
    return 1;
}

/* Takes the name, or connects to who has it. 0: neither, as when the holder is just ending */
static int machine_try(MachineLock *m)
{
    struct sockaddr_un name;
    const socklen_t length = machine_address(&name);
    const struct sockaddr *address = (const struct sockaddr *)&name;
    m->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (m->fd < 0) return 1;
    if (!bind(m->fd, address, length) && !listen(m->fd, SOMAXCONN)) {
        m->state = MACHINE_OURS;
        return 1;
    }
    if (errno == EADDRINUSE && !connect(m->fd, address, length)) {
        m->state = MACHINE_TAKEN;
        return 1;
    }
    close(m->fd);
    m->fd = -1;
    return 0;
}

static void machine_find(MachineLock *m)
{
    *m = (MachineLock){ .state = MACHINE_UNKNOWN, .fd = -1 };
    if (machine_inherit(m)) return;
    for (int i = 0; i < MACHINE_TRIES && !machine_try(m); i++) usleep(MACHINE_PAUSE_US);
    if (m->state == MACHINE_OURS) machine_tell_children(m);
}

void machine_ask(MachineLock *m)
{
    machine_find(m);
    if (m->state != MACHINE_TAKEN) return;
    progress_clear();
    fputs("another process of eightysix measures on this machine: threads are not bound to cores, "
          "and runs are marked as shared\n",
          stderr);
}

/* 1: the other end of a connection is closed, as it is when its process is dead */
static int machine_is_closed(int fd)
{
    char byte;
    const ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
    return !n || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/* 1: there are guests, or were some since the last look */
static int machine_look_at_guests(MachineLock *m)
{
    int seen = m->guests, fd;
    while (m->guests < MACHINE_GUESTS &&
           (fd = accept4(m->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        m->guest[m->guests++] = fd;
        seen++;
    }
    for (int i = m->guests - 1; i >= 0; i--) {
        if (!machine_is_closed(m->guest[i])) continue;
        close(m->guest[i]);
        m->guest[i] = m->guest[--m->guests];
    }
    return seen > 0;
}

int machine_shared(MachineLock *m)
{
    if (m->state == MACHINE_OURS) return m->fd >= 0 && machine_look_at_guests(m);
    if (m->state == MACHINE_UNKNOWN) return 0;
    if (machine_is_closed(m->fd)) {
        close(m->fd);
        machine_find(m);
    }
    return 1;
}

void machine_leave(MachineLock *m)
{
    for (int i = 0; i < m->guests; i++) close(m->guest[i]);
    if (m->fd >= 0) close(m->fd);
    if (m->state == MACHINE_OURS && m->fd >= 0) unsetenv(machine_variable);
    *m = (MachineLock){ .state = MACHINE_UNKNOWN, .fd = -1 };
}

/* The arguments that this program was started with, each ended by a zero byte; NULL: too many */
static char **machine_arguments(Arena *a)
{
    enum { ROOM = 1 << 20 };
    char *text = arena_get(a, ROOM), **argv = arena_array(a, ROOM / 2, sizeof *argv);
    FILE *f = fopen("/proc/self/cmdline", "r");
    const size_t n = f ? fread(text, 1, ROOM - 1, f) : 0;
    int argc = 0;
    if (f) fclose(f);
    for (size_t at = 0; at < n && argc < ROOM / 2 - 1; at += strlen(text + at) + 1)
        argv[argc++] = text + at;
    argv[argc] = NULL;
    return n && n < ROOM - 1 ? argv : NULL;
}

void machine_bind_threads(MachineLock *m)
{
    if (m->state != MACHINE_OURS || getenv("OMP_PROC_BIND")) return;
    Arena a = arena_new((size_t)1 << 24);
    char **argv = machine_arguments(&a);
    if (m->fd >= 0) fcntl(m->fd, F_SETFD, 0);
    setenv("OMP_PROC_BIND", "close", 1);
    if (argv) execv("/proc/self/exe", argv);
    unsetenv("OMP_PROC_BIND");
    if (m->fd >= 0) fcntl(m->fd, F_SETFD, FD_CLOEXEC);
    arena_drop(&a);
}
