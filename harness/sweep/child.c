/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/sweep/child.h"
#include "harness/util/clock.h"
#include "harness/util/exit.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RECORD_PIPE = 1 << 20 };      /* bytes: room for the records between two reads */

static sigset_t child_our_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    return set;
}

int child_signals(void)
{
    const sigset_t set = child_our_signals();
    sigprocmask(SIG_BLOCK, &set, NULL);
    const int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) die("signalfd: %s", strerror(errno));
    return fd;
}

void child_signals_end(int signals)
{
    const sigset_t set = child_our_signals();
    close(signals);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int child_wait(int signals, const Child *c)
{
    struct pollfd p[] = { { .fd = signals, .events = POLLIN },
                          { .fd = c ? c->records : -1, .events = POLLIN } };
    struct signalfd_siginfo s;
    int stop = 0;
    /* one that has closed its records and lives on would be found ready again and again */
    if (poll(p, 2, CHILD_TICK_MS) == 1 && p[1].revents == POLLHUP) poll(p, 1, CHILD_TICK_MS);
    while (read(signals, &s, sizeof s) == sizeof s) stop |= s.ssi_signo != SIGCHLD;
    return stop;
}

/* The number that stands behind `key` in a file; 0: there is none */
static long child_number_in(const char *path, const char *key)
{
    char text[16384];
    FILE *f = fopen(path, "r");
    const size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = 0;
    const char *s = strstr(text, key);
    return s ? strtol(s + strlen(key), NULL, 10) : 0;
}

static long child_oom_kills(void) { return child_number_in("/proc/vmstat", "\noom_kill "); }

/* The most that it had resident so far */
static long child_peak_kb(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    return child_number_in(path, "\nVmHWM:");
}

/* The ends that the child has of its pipes */
typedef struct ChildEnds { int records, words, stored; } ChildEnds;

/* Until a child becomes its program, it has the memory of this process, which is not its own.
 * begun: closed when it does */
static void child_await(int begun)
{
    char none;
    while (read(begun, &none, 1) < 0 && errno == EINTR) continue;
    close(begun);
}

/* Each end under the number that the child knows it by */
static void child_place(const ChildEnds *e)
{
    enum { OUT_OF_THE_WAY = 10 };
    const int nothing = open("/dev/null", O_RDONLY),
              records = fcntl(e->records, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY),
              stored = fcntl(e->stored, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
    dup2(e->words, 1);
    dup2(e->words, 2);
    dup2(nothing, 0);
    dup2(records, 3);
    dup2(stored, 4);
    setenv("EIGHTYSIX_STORED", "4", 1);
}

static _Noreturn void child_become(const ChildPlan *p, pid_t parent, const ChildEnds *ends)
{
    char threads[16], program[64];
    const sigset_t set = child_our_signals();
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    child_place(ends);
    snprintf(threads, sizeof threads, "%d", p->threads);
    /* the file itself, whatever stands in its place by now */
    snprintf(program, sizeof program, "/proc/%ld/exe", (long)parent);
    setenv("EIGHTYSIX_PROGRAM", program, 1);
    if (p->threads) setenv("OMP_NUM_THREADS", threads, 1);
    if (p->bound) setenv("OMP_PROC_BIND", "close", 0);
    /* about 30 us: where other processes want the cores, longer spinning at barriers wastes them */
    setenv("GOMP_SPINCOUNT", "20000", 0);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    execv(p->program, p->argv);
    dprintf(2, "%s: cannot be run: %s\n", p->program, strerror(errno));
    _exit(127);
}

/* Both ends of everything, ours into c; 0: too many open files */
static int child_connect(Child *c, ChildEnds *theirs, int begun[2])
{
    int fd[6] = { -1, -1, -1, -1, -1, -1 };
    if (pipe2(fd, O_CLOEXEC) || pipe2(fd + 2, O_CLOEXEC) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd + 4) || pipe2(begun, O_CLOEXEC)) {
        for (int i = 0; i < 6; i++)
            if (fd[i] >= 0) close(fd[i]);
        return 0;
    }
    c->records = fd[0];
    c->words = fd[2];
    c->stored = fd[4];
    *theirs = (ChildEnds){ fd[1], fd[3], fd[5] };
    fcntl(c->records, F_SETPIPE_SZ, RECORD_PIPE);
    fcntl(c->records, F_SETFL, O_NONBLOCK);
    fcntl(c->words, F_SETFL, O_NONBLOCK);
    return 1;
}

static void child_disconnect(Child *c)
{
    close(c->records);
    close(c->words);
    close(c->stored);
}

const char *child_start(Child *c, const ChildPlan *p)
{
    ChildEnds ends;
    int begun[2];
    *c = (Child){ .plan = *p, .oom_kills = child_oom_kills(), .began = clock_now() };
    if (!child_connect(c, &ends, begun)) return "no pipe: too many open files";
    const pid_t parent = getpid();
    struct rusage ours;
    getrusage(RUSAGE_SELF, &ours);
    c->inherited_kb = ours.ru_maxrss;
    fflush(NULL);
    c->pid = fork();
    if (c->pid == 0) child_become(p, parent, &ends);
    close(ends.records);
    close(ends.words);
    close(ends.stored);
    close(begun[1]);
    child_await(begun[0]);
    if (c->pid > 0) {
        setpgid(c->pid, c->pid);
        return NULL;
    }
    child_disconnect(c);
    return "no child process: out of memory or processes";
}

void child_stored(Child *c) { send(c->stored, "s", 1, MSG_NOSIGNAL | MSG_DONTWAIT); }

static void child_take_records(Child *c, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != '\n') {
            if (c->have < CHILD_LINE - 1) c->buffer[c->have++] = bytes[i] ? bytes[i] : '?';
            else c->too_long = 1;
            continue;
        }
        c->buffer[c->too_long ? 40 : c->have] = 0;
        c->plan.line(c->plan.ctx, c->buffer);
        c->have = 0;
        c->too_long = 0;
    }
}

/* Keeps the last line that is not blank, control characters replaced by "?" */
static void child_take_words(Child *c, const char *bytes, size_t n)
{
    c->plan.said(c->plan.ctx, bytes, n);
    for (size_t i = 0; i < n; i++) {
        const unsigned char b = (unsigned char)bytes[i];
        const int blank = b == ' ' || b == '\t' || b == '\r';
        if (b == '\n') c->last_ended = 1;
        if (b == '\n' || (blank && (c->last_ended || !c->have_last))) continue;
        if (c->last_ended) {
            c->last_ended = 0;
            c->have_last = 0;
        }
        if (c->have_last < sizeof c->last - 1)
            c->last[c->have_last++] = blank ? ' ' : b < 32 || b == 127 ? '?' : (char)b;
        c->last[c->have_last] = 0;
    }
}

static void child_drain(Child *c, int fd, void (*take)(Child *, const char *, size_t))
{
    char bytes[65536];
    ssize_t n;
    for (size_t sum = 0; sum < 4 * RECORD_PIPE && (n = read(fd, bytes, sizeof bytes)) > 0;
         sum += (size_t)n)
        take(c, bytes, (size_t)n);
}

void child_end(Child *c, const char *verdict, const char *why)
{
    if (c->verdict) return;
    c->verdict = verdict;
    c->killed = clock_now();
    snprintf(c->why, sizeof c->why, "%s", why);
    if (c->ended <= 0) kill(-c->pid, SIGTERM);
}

static void child_watch_memory(Child *c, long kb)
{
    const long most = c->plan.limits.mem_kb;
    char why[160];
    if (!most || kb <= most) return;
    snprintf(why, sizeof why, "over its limit of %ld MB: %ld MB resident", most >> 10, kb >> 10);
    child_end(c, "oom", why);
}

static void child_watch(Child *c)
{
    const Limits *l = &c->plan.limits;
    const double now = clock_now();
    char why[160];
    if (l->seconds > 0 && now - c->began > l->seconds) {
        snprintf(why, sizeof why, "over its limit of %g s", l->seconds);
        child_end(c, "timeout", why);
    }
    child_watch_memory(c, l->mem_kb ? child_peak_kb(c->pid) : 0);
    if (c->verdict && (now - c->killed > CHILD_GRACE_S || !strcmp(c->verdict, "oom")))
        kill(-c->pid, SIGKILL);
}

int child_step(Child *c)
{
    struct rusage use;
    const pid_t ended = wait4(c->pid, &c->exit_status, WNOHANG, &use);
    if (ended == c->pid) {
        c->ended = clock_now();
        kill(-c->pid, SIGKILL);          /* processes that it started and left behind */
    }
    child_drain(c, c->records, child_take_records);
    child_drain(c, c->words, child_take_words);
    if (ended != c->pid) {
        child_watch(c);
        return 0;
    }
    c->peak_rss_kb = use.ru_maxrss;
    c->switches = use.ru_nivcsw;
    /* before it became the program it had as much as this process, and a little of its own; a peak
     * between two looks shows here only */
    if (use.ru_maxrss > c->inherited_kb + CHILD_BEFORE_KB) child_watch_memory(c, use.ru_maxrss);
    child_disconnect(c);
    return 1;
}

const char *child_status(Child *c, const char **error)
{
    const char *last = strncmp(c->last, "eightysix: ", 11) ? c->last : c->last + 11;
    const int code = WIFEXITED(c->exit_status) ? WEXITSTATUS(c->exit_status) : -1;
    *error = *last ? last : c->why;
    if (c->verdict) {
        *error = c->why;
        return c->verdict;
    }
    if (WIFSIGNALED(c->exit_status)) {
        const int number = WTERMSIG(c->exit_status);
        if (number == SIGKILL && child_oom_kills() > c->oom_kills) {
            *error = "killed by the kernel: the machine is out of memory";
            return "oom";
        }
        snprintf(c->why, sizeof c->why, "killed by signal %d (%s)%s%s", number, strsignal(number),
                 *last ? ": " : "", last);
        *error = c->why;
        return "crash";
    }
    if (code == 0) {
        *error = "";
        return "ok";
    }
    if (!*last)
        snprintf(c->why, sizeof c->why, "ended with exit code %d and no error message", code);
    return code == EXIT_SKIP ? "skip" : "fail";
}
