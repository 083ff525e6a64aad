/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The machine's peaks: every probe of kernels/probes.def, on one thread and on all, each with a
 * buffer of its own. */
#include "harness/bench/bench.h"
#include "harness/util/clock.h"
#include <gsl/gsl_sort.h>
#include <string.h>

enum { SAMPLES = 9 };
#define PROBE_S 0.01

typedef struct { const Probe *probe; int threads; char *buffer; } Job;

static void machine_work(void *ctx, long iters)
{
    const Job *j = ctx;
#pragma omp parallel for num_threads(j->threads) schedule(static, 1)
    for (int t = 0; t < j->threads; t++)
        j->probe->work((int)iters, j->buffer + (size_t)t * j->probe->bytes, j->probe->bytes);
}

/* every page is written by the thread that will read it */
static void machine_job_fill(Job *j, const Probe *p, int threads, Arena *a)
{
    *j = (Job){ p, threads, arena_raw(a, p->bytes * (size_t)threads + 64) };
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++)
        if (p->bytes) memset(j->buffer + (size_t)t * p->bytes, 1, p->bytes);
}

static double machine_amount(const Job *j)     /* of one iteration */
{
    return j->probe->work(1, j->buffer, j->probe->bytes) * j->threads;
}

double machine_probe(const Probe *p, int threads)
{
    Arena a = arena_new(p->bytes * (size_t)threads + (1 << 20));
    Job j;
    double ns[SAMPLES];
    long iters = 1;
    machine_job_fill(&j, p, threads, &a);
    const double per = machine_amount(&j);
    for (int i = 0; i < SAMPLES; i++) {      /* a call that was disturbed finds too few */
        long found;
        bench_time(machine_work, &j, PROBE_S / 2, &found);
        if (found > iters) iters = found;
    }
    for (int i = 0; i < SAMPLES; i++) {
        const double from = clock_now();
        machine_work(&j, iters);
        const double took = clock_now() - from;
        ns[i] = took / (double)iters * 1e9;
        /* calibration was disturbed: the call itself would be measured */
        if (took < PROBE_S / 8) {
            iters *= 4;
            i--;
        }
    }
    gsl_sort(ns, 1, SAMPLES);
    const double rate = per / ns[strcmp(p->unit, "B/s") ? 0 : SAMPLES / 2] * 1e9;
    arena_drop(&a);
    return rate;
}

void bench_machine(Bench *b)
{
    const BenchPlan *plan = bench_plan(b);
    for (const Probe *p = probes; p->name; p++) {
        if (!probe_runs_here(p)) {
            bench_skip(b, p->name, "not on this CPU");
            bench_miss(b, p->name);
            continue;
        }
        for (int i = 0; i < plan->n_threads; i++) {
            Arena *a = bench_arena(b);
            const char *name = arena_text(a, "%s/t%d", p->name, plan->threads[i]);
            if (!bench_wants(b, name)) continue;
            Job *j = arena_get(a, sizeof *j);
            machine_job_fill(j, p, plan->threads[i], a);
            BenchCell *c = bench_cell(b, name, machine_work, j);
            if (strcmp(p->unit, "B/s")) c->ops = machine_amount(j);
            else c->bytes = machine_amount(j);
            bench_group(b);
        }
    }
}
