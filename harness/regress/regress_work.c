/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The hidden command regress-sample: the list of what the gate can ask of this build, and one
 * benchmark in this process, on one thread bound to a core. */
#include "harness/bench/bench.h"
#include "harness/regress/regress.h"
#include "harness/regress/regress_work_parts.h"
#include "harness/util/clock.h"
#include "kernels/cpu.h"
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* ---- the protocol ---- */
static void list_parts(Recorder *rec, const Build *b, Arena *a)
{
    char *parts = arena_text(a, "%s", b->parts), *save = NULL;
    for (char *p = strtok_r(parts, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
        *strchr(p, '=') = ' ';
        record_text(rec, "part", p);
    }
}

static void list(Recorder *rec, Arena *a)
{
    const Build *b = build_read(a);
    record_text(rec, "protocol", arena_text(a, "%d", REGRESS_PROTOCOL));
    record_text(rec, "build", b->id);
    record_text(rec, "compiler", b->compiler);
    record_text(rec, "flags", b->flags);
    char *objects = arena_text(a, "%s", b->executed), *save = NULL;
    for (char *o = strtok_r(objects, " ", &save); o; o = strtok_r(NULL, " ", &save))
        record_text(rec, "object", o);
    list_parts(rec, b, a);
    int n;
    const GateWork *w = regress_works(&n, a);
    for (int i = 0; i < n; i++) {
        record_text(rec, w[i].extra ? "extra" : "bench",
                    arena_text(a, "%s %g %d", w[i].name, w[i].budget, w[i].probe));
        record_text(rec, "times", arena_text(a, "%s %s", w[i].name, w[i].objects));
    }
    regress_cells(rec, a);
}

/* What callgrind counts, found by its name: so it must stay a function that is called. */
void regress_counted(GbenchWork *run, void *ctx, long iters);
__attribute__((noinline)) void regress_counted(GbenchWork *run, void *ctx, long iters)
{
    run(ctx, iters);
    __asm__ volatile("" ::: "memory");
}

/* seconds of one sample; delay: a share of them, waited for before the clock is read again */
static double sample(const Work *w, long iters, double delay)
{
    const double from = clock_now();
    regress_counted(w->run, w->ctx, iters);
    double took = clock_now() - from;
    const double until = took * (1 + delay);
    while (took < until) took = clock_now() - from;
    return took;
}

/* ticks that the hypervisor gave to others while core `cpu` (-1: any core) was ready to run */
static long stolen(int cpu)
{
    char line[512], name[16];
    long ticks = 0;
    FILE *f = fopen("/proc/stat", "r");
    if (cpu < 0) snprintf(name, sizeof name, "cpu ");
    else snprintf(name, sizeof name, "cpu%d ", cpu);
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name))) {
            sscanf(line, "%*s %*d %*d %*d %*d %*d %*d %*d %ld", &ticks);
            break;
        }
    if (f) fclose(f);
    return ticks;
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        die("--cpu %d: expected a core that this process may use", cpu);
}

/* From so many iterations on a sample begins with one that is not timed: the other side had the
 * caches before. Of longer ones what that costs is a small part */
enum { WARMED = 4 };

static void time_it(const GateWork *b, const Work *w, long iters, long samples, double delay,
                    int cpu, Recorder *rec)
{
    struct rusage before, after;
    if (!iters) {
        long least = 0;
        for (int i = 0; i < 3; i++) {
            bench_time(w->run, w->ctx, REGRESS_SAMPLE_S, &iters);
            if (!i || iters < least) least = iters;
        }
        record_num(rec, "iters", 0, (double)least);
        return;
    }
    sample(w, iters, delay);
    const long steal = stolen(cpu);
    getrusage(RUSAGE_SELF, &before);
    for (long k = 0; k < samples; k++) {
        record_sync(rec);            /* its turn */
        if (iters >= WARMED) w->run(w->ctx, 1);
        record_sample(rec, b->name, 0, k, sample(w, iters, delay) * 1e9, iters);
    }
    getrusage(RUSAGE_SELF, &after);
    record_num(rec, "switches", 0, (double)(after.ru_nivcsw - before.ru_nivcsw));
    record_num(rec, "steal", 0, (double)(stolen(cpu) - steal));
}

static const GateWork *find(const char *name, Arena *a)
{
    int n;
    const GateWork *w = regress_works(&n, a);
    for (int i = 0; i < n; i++)
        if (!strcmp(w[i].name, name)) return &w[i];
    die("regress-sample %s: no such benchmark here; `eightysix regress-sample list` shows them",
        name);
}

int regress_has(const regex_t *filter)
{
    Arena a = arena_new((size_t)1 << 24);
    int n, found = 0;
    const GateWork *w = regress_works(&n, &a);
    for (int i = 0; i < n; i++) found |= !regexec(filter, w[i].name, 0, NULL, 0);
    arena_drop(&a);
    return found;
}

static void one(const SamplePlan *p, Recorder *rec, Arena *a)
{
    const int timing = !strcmp(p->what, "time");
    const GateWork *b = find(p->name, a);
    if (p->cpu >= 0) pin(p->cpu);
    cpu_flush_denormals();
    const Work w = b->make(b, !timing, a);
    w.run(w.ctx, 1);
    if (timing) time_it(b, &w, p->iters, p->samples, p->delay, p->cpu, rec);
    else regress_counted(w.run, w.ctx, p->iters);
}

int regress_sample(const SamplePlan *p)
{
    Recorder rec = record_open();
    Arena a = arena_new((size_t)1 << 33);
    if (!strcmp(p->what, "list")) list(&rec, &a);
    else if (!strcmp(p->what, "gradients")) regress_gradients(p->words, &rec, &a);
    else one(p, &rec, &a);
    record_flush(&rec);
    arena_drop(&a);
    return 0;
}
