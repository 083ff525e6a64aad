/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The records of a bench: its row, its process, its cells. */
#include "harness/bench/bench_parts.h"
#include "harness/util/clock.h"
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static Db *bench_record_db(const char *path, Arena *a)
{
    const char *why;
    Db *db = db_open(path, a, &why);
    if (!db) die("%s", why);
    return db;
}

/* Its row, which is `running`, committed before anything is measured */
static long bench_record_start(const BenchPlan *p, Arena *a)
{
    char key[65], threads[8192] = "";
    Db *db = bench_record_db(p->db, a);
    for (int i = 0; i < p->n_threads; i++)
        snprintf(threads + strlen(threads), sizeof threads - strlen(threads), "%s%d", i ? "," : "",
                 p->threads[i]);
    const char *cells = p->filter   ? p->filter
                        : p->shapes ? arena_text(a, "usual shapes=%s", p->shapes)
                        : p->all    ? "all"
                                    : "default";
    const char *spec =
        arena_text(a, "bench %s filter=%s threads=%s cold=%d rounds=%d seed=%llu", p->what,
                   cells, threads, p->cold, p->rounds, (unsigned long long)p->seed);
    db_experiment(db, "bench", "", "", DB_SPEED);
    const long run = db_run_start(db, "bench", sha256_hex(spec, strlen(spec), key), spec);
    db_config(db, run, "bench", p->what);
    db_config(db, run, "threads", threads);
    db_close(db);
    return run;
}

/* ---- the process ---- */
enum { BENCH_LINE = 512 };
typedef struct { char text[BENCH_LINE]; size_t n; int ended; } BenchLine;

static volatile sig_atomic_t bench_pid;

static void bench_forward(int sig) { kill(bench_pid, sig); }

/* The last line that was said, without the name of this program before it */
static void bench_hear(BenchLine *l, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (l->ended) l->n = 0;
        l->ended = bytes[i] == '\n';
        if (!l->ended && l->n < BENCH_LINE - 1) l->text[l->n++] = bytes[i];
        l->text[l->n] = 0;
    }
}

/* Passes on what the process says on standard error until it has ended; returns waitpid's status */
static int bench_wait(int from, BenchLine *last)
{
    char bytes[4096];
    int status;
    for (ssize_t n; (n = read(from, bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR);) {
        if (n <= 0) continue;
        fwrite(bytes, 1, (size_t)n, stderr);
        bench_hear(last, bytes, (size_t)n);
    }
    while (waitpid(bench_pid, &status, 0) < 0 && errno == EINTR) continue;
    return status;
}

static void bench_record_death(const BenchPlan *p, long run, int status, const BenchLine *last,
                               double seconds, Arena *a)
{
    static const char name[] = "eightysix: ";
    const char *said = last->text;
    if (!strncmp(said, name, sizeof name - 1)) said += sizeof name - 1;
    const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    Db *db = bench_record_db(p->db, a);
    const char *why = !signal ? said
                              : arena_text(a, "killed by signal %d (%s)%s%s", signal,
                                           strsignal(signal), *said ? ": " : "", said);
    db_run_end(db, run, signal ? "crash" : "fail", why, seconds, 0);
    db_close(db);
}

/* In the new process; does not return */
static void bench_child(const BenchPlan *p, BenchBody *body, long run, int *ended, int to)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(to, STDERR_FILENO);
    close(to);
    const int code = body(p, run, ended);
    fflush(NULL);
    _exit(code);
}

int bench_record_run(const BenchPlan *p, BenchBody *body)
{
    const struct sigaction forward = { .sa_handler = bench_forward, .sa_flags = SA_RESTART };
    struct sigaction on_int, on_term;
    BenchLine last = { .n = 0 };
    Arena a = arena_new((size_t)1 << 26);
    int pipes[2];
    const long run = bench_record_start(p, &a);
    const double began = clock_now();
    int *ended =
        mmap(NULL, sizeof *ended, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fflush(NULL);
    if (ended == MAP_FAILED || pipe(pipes) || (bench_pid = fork()) < 0)
        die("bench: a process cannot be started: %s", strerror(errno));
    if (!bench_pid) {
        close(pipes[0]);
        bench_child(p, body, run, ended, pipes[1]);
    }
    close(pipes[1]);
    sigaction(SIGINT, &forward, &on_int);
    sigaction(SIGTERM, &forward, &on_term);
    const int status = bench_wait(pipes[0], &last);
    sigaction(SIGINT, &on_int, NULL);
    sigaction(SIGTERM, &on_term, NULL);
    close(pipes[0]);
    if (!*ended) bench_record_death(p, run, status, &last, clock_now() - began, &a);
    munmap(ended, sizeof *ended);
    arena_drop(&a);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- what is recorded ---- */
void bench_record_open(Bench *b, long run)
{
    b->db = bench_record_db(b->plan.db, b->home);
    b->run = run;
    b->before = disturbance_now();
    b->shared = b->plan.machine && machine_shared(b->plan.machine);
}

/* A number of the run; one that is none fails the run, see bench_parts.h */
static void bench_record_number(Bench *b, const char *name, double value)
{
    if (!isfinite(value) && !*b->unreal)
        snprintf(b->unreal, sizeof b->unreal, "'%.80s' is %s: expected a number", name,
                 isnan(value) ? "nan" : "infinite");
    if (b->db && isfinite(value))
        db_record(b->db, b->run, &(Record){ .kind = 'n', .name = name, .value = value });
}

void bench_note(Bench *b, const char *name, double value) { bench_record_number(b, name, value); }

void bench_record_disturbance(Bench *b)
{
    MachineLock *m = b->plan.machine;
    const double steal = disturbance_steal(&b->before);
    if (!isnan(b->before.load)) bench_note(b, "load", b->before.load);
    if (!isnan(steal)) bench_note(b, "steal", steal);
    bench_note(b, "switches", (double)(disturbance_now().switches - b->before.switches));
    if (m && m->state != MACHINE_UNKNOWN) bench_note(b, "shared", b->shared | machine_shared(m));
}

/* What is recorded of a cell where it is not 0 */
enum { BENCH_NUMBERS = 8 };
typedef struct BenchNumber { const char *what; double value; } BenchNumber;
static void bench_numbers(const BenchCell *c, BenchNumber out[BENCH_NUMBERS])
{
    const BenchNumber all[BENCH_NUMBERS] = { { "ops", c->ops },
                                             { "bytes", c->bytes },
                                             { "limit_ns", c->limit_ns },
                                             { "prepare_ns", c->prepare_ns },
                                             { "memory", c->memory },
                                             { "positions", c->per },
                                             { "ci_low", c->broken ? 0 : c->time.low },
                                             { "ci_high", c->broken ? 0 : c->time.high } };
    memcpy(out, all, sizeof all);
}

const char *bench_record_unreal(const BenchCell *c, Arena *a)
{
    BenchNumber n[BENCH_NUMBERS];
    bench_numbers(c, n);
    for (int i = 0; i < BENCH_NUMBERS; i++)
        if (!isfinite(n[i].value))
            return arena_text(a, "its %s is %s: expected a number", n[i].what,
                              isnan(n[i].value) ? "nan" : "infinite");
    return NULL;
}

static void bench_record_text(Bench *b, const char *what, const BenchCell *c, const char *text)
{
    if (text)
        db_record(b->db, b->run,
                  &(Record) { .kind = 't',
                              .text = text,
                              .name = arena_text(&b->group, "%s:%s", what, c->name) });
}

/* Its samples, and where there was something what disturbed them */
static void bench_record_samples(Bench *b, const BenchCell *c)
{
    const char *names[] = { arena_text(&b->group, "switches:%s", c->name),
                            arena_text(&b->group, "steal:%s", c->name) };
    for (int r = 0; r < c->samples; r++) {
        const BenchSample *s = &c->sample[r];
        const double value[] = { (double)s->switches, s->steal };
        db_record(b->db, b->run,
                  &(Record) { .kind = 'p', .name = c->name, .step = r, .position = s->position,
                              .value = s->ns * (double)s->iters, .iters = s->iters });
        for (int k = 0; k < 2; k++)
            if (value[k] > 0)
                db_record(b->db, b->run,
                          &(Record) { .kind = 'n', .name = names[k], .step = r,
                                      .value = value[k] });
    }
}

void bench_record_cell(Bench *b, const BenchCell *c)
{
    BenchNumber n[BENCH_NUMBERS];
    bench_numbers(c, n);
    bench_record_samples(b, c);
    for (int i = 0; i < BENCH_NUMBERS; i++)
        if (n[i].value > 0 && isfinite(n[i].value))
            bench_record_number(b, arena_text(&b->group, "%s:%s", n[i].what, c->name), n[i].value);
    bench_record_text(b, "limit", c, c->limit);
    bench_record_text(b, "wrong", c, c->broken);
    bench_record_text(b, "disturbed", c, c->broken ? NULL : c->disturbed);
}

void bench_record_peaks(Bench *b)
{
    for (int i = 0; probes[i].name; i++)
        for (int t = 1; t <= BENCH_THREADS; t++) {
            const double peak = b->peak[i][t];
            if (peak > 0 || isnan(peak))
                bench_record_number(b, arena_text(b->home, "peak:%s/t%d", probes[i].name, t), peak);
        }
}
