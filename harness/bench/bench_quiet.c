/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Waiting until nobody else uses this machine. */
#include "harness/bench/bench_parts.h"
#include "harness/util/clock.h"
#include "harness/util/progress.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

/* Of the last minute the load average knows, of this second only the time that others took; so the
 * latter decides, and the former is said beside it */
const char *quiet_lacks(const QuietLook *q, Arena *a)
{
    const double moved = q->before > 0 ? fabs(q->probe / q->before - 1) : 1;
    if (q->busy > QUIET_BUSY)
        return arena_text(a, "others use %.0f %% of its cores (load %.2f)", 100 * q->busy, q->load);
    if (q->steal > QUIET_STEAL)
        return arena_text(a, "other virtual machines take %.0f %% of its time", 100 * q->steal);
    if (!(q->before > 0)) return "its speed was measured only once";
    if (moved > QUIET_PROBE) return arena_text(a, "its speed moved by %.0f %%", 100 * moved);
    return NULL;
}

/* What counts operations with the widest vectors; the last of probes.def that does */
static const Probe *quiet_probe(void)
{
    const Probe *best = NULL;
    for (const Probe *p = probes; p->name; p++)
        if (!strcmp(p->unit, "FLOP/s") && probe_runs_here(p)) best = p;
    return best;
}

/* One second in which this process sleeps, then the probe on all threads */
static void quiet_look(QuietLook *q, int threads)
{
    const Probe *p = quiet_probe();
    const Disturbance from = disturbance_now();
    usleep(1000000);
    const Disturbance to = disturbance_now();
    q->busy = disturbance_busy_between(&from, &to);
    q->steal = disturbance_steal_between(&from, &to);
    q->load = to.load;
    q->before = q->probe;
    q->probe = p ? machine_probe(p, threads) : 1;
}

void bench_quiet_wait(Bench *b)
{
    const BenchPlan *p = bench_plan(b);
    const double from = clock_now();
    const char *lacks;
    double said = from, waited;
    QuietLook q = { .load = 0 };
    progress_say("waiting for a quiet machine: at most %.0f s", p->quiet_wait);
    for (;;) {
        Arena a = arena_new(1 << 20);
        quiet_look(&q, p->threads[p->n_threads - 1]);
        lacks = quiet_lacks(&q, &a);
        lacks = lacks ? arena_text(b->home, "%s", lacks) : NULL;
        arena_drop(&a);
        waited = clock_now() - from;
        if (!lacks || waited >= p->quiet_wait) break;
        if (progress_due(&said))
            progress_say("waiting for a quiet machine: %.0f of at most %.0f s; %s", waited,
                         p->quiet_wait, lacks);
    }
    progress_clear();
    if (lacks) fprintf(stderr, "the machine is not quiet after %.0f s: %s\n", waited, lacks);
    else fprintf(stderr, "the machine is quiet, after %.0f s\n", waited);
    bench_note(b, "quiet_wait", waited);
    if (b->db && lacks)
        db_record(b->db, b->run, &(Record){ .kind = 't', .name = "not_quiet", .text = lacks });
}
