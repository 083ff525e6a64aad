/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The gate from start to end: arguments that can be refused at once, two builds, laws, gradients
 * and losses, rounds, instruction counts, the verdict, its reports. */
#include "harness/regress/regress.h"
#include "harness/util/clock.h"
#include "harness/util/progress.h"
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_LIMIT_S 120
#define DELAY 0.05

/* The core to run on: the one asked for, or with -1 the last that this process may use. */
static int gate_core(int asked)
{
    cpu_set_t set;
    int last = 0;
    if (sched_getaffinity(0, sizeof set, &set)) return asked < 0 ? 0 : asked;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET((size_t)i, &set)) last = i;
    if (asked >= CPU_SETSIZE || (asked >= 0 && !CPU_ISSET((size_t)asked, &set)))
        die("--cpu %d: expected a core that this process may use", asked);
    return asked < 0 ? last : asked;
}

static void gate_filter(regex_t *re, const char *filter)
{
    char why[128];
    const int bad = regcomp(re, filter ? filter : ".", REG_EXTENDED | REG_NOSUB);
    if (!bad) return;
    regerror(bad, re, why, sizeof why);
    die("--filter %s: not a POSIX extended regular expression: %s", filter, why);
}

static const char *gate_copy(const char *binary, const char *name, Arena *a)
{
    const char *path = arena_text(a, "build/regress/%s", name);
    const char *const words[] = { "cp", "--", binary, path, NULL };
    const GateRun r = gate_run(words, COPY_LIMIT_S, NULL, NULL, a);
    if (strcmp(r.status, "ok")) die("%s: %s", path, r.error);
    return path;
}

/* A name that nothing of this program has is a slip of the pen; programs that are given have names
 * of their own, which gate_choose looks at */
static void gate_filter_known(const Gate *g, const regex_t *re)
{
    const int given = !*g->base->commit && !*g->head->commit;
    if (given || regress_has(re)) return;
    die("--filter %s: no benchmark has such a name; `eightysix regress-sample list` shows them",
        g->plan.filter ? g->plan.filter : ".");
}

/* Dies unless a report can be written there */
static void gate_writable(const char *option, const char *path, Arena *a)
{
    struct stat st;
    if (!path) return;
    const int there = !stat(path, &st);
    const char *slash = strrchr(path, '/');
    const char *dir = slash ? arena_text(a, "%.*s", (int)(slash - path) + 1, path) : ".";
    if (there && S_ISDIR(st.st_mode)) die("%s %s: a directory, expected a file", option, path);
    if (access(there && !S_ISREG(st.st_mode) ? path : dir, W_OK) || (there && access(path, W_OK)))
        die("%s %s: cannot be written: %s", option, path, strerror(errno));
}

static void gate_build_both(Gate *g, GateBuild *base, GateBuild *head, Arena *a)
{
    gate_build(base, "base", g->plan.jobs, a);
    gate_build(head, "head", g->plan.jobs, a);
    const int known =
        (base->n_objects || !*base->commit) && (head->n_objects || !*head->commit);
    g->equal = known && !strcmp(base->code, head->code) && !g->plan.always;
    g->control = gate_copy(base->binary, "control", a);
}

void gate_progress(Gate *g, const char *fmt, ...)
{
    char what[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    if (progress_terminal() || progress_due(&g->said))
        progress_say("%s, %.0f s", what, clock_now() - g->began);
}

static void gate_add_up(Gate *g)
{
    for (int i = 0; i < g->benches; i++) {
        const GateBench *b = &g->bench[i];
        g->total.regressed += b->pair.verdict == GATE_REGRESSED;
        g->total.unknown += b->pair.verdict == GATE_UNKNOWN;
        if (!b->probe) continue;
        const int moved =
            b->control.verdict == GATE_REGRESSED || b->control.verdict == GATE_IMPROVED;
        g->total.invalid += moved + (b->canary.verdict != GATE_REGRESSED);
    }
}

/* A file is written under another name and renamed, so that a report is complete; what is not a
 * regular file (/dev/stdout) is written directly. */
static void gate_write(const char *path, void (*report)(const Gate *, FILE *), const Gate *g,
                       Arena *a)
{
    struct stat st;
    if (!path) return;
    const int file = stat(path, &st) || S_ISREG(st.st_mode);
    const char *part = file ? arena_text(a, "%s.%ld.part", path, (long)getpid()) : path;
    FILE *f = fopen(part, "w");
    if (!f) die("%s: cannot be written: %s", path, strerror(errno));
    report(g, f);
    const int bad = fflush(f) || ferror(f) || (file && fsync(fileno(f)));
    if (!(fclose(f) || bad) && !(file && rename(part, path))) return;
    const int error = errno;
    if (file) unlink(part);
    die("%s: cannot be written: %s", path, strerror(error));
}

/* Where another process measures, no core is claimed but one that was asked for. */
static void gate_ask_machine(Gate *g, int asked)
{
    machine_ask(&g->machine);
    if (g->machine.state == MACHINE_TAKEN && asked < 0) g->plan.cpu = -1;
}

static void gate_leave_machine(Gate *g)
{
    if (machine_shared(&g->machine))
        gate_note(g, "another process of eightysix measured on this machine meanwhile");
    machine_leave(&g->machine);
}

static const char *gate_spec(Gate *g, Arena *a)
{
    const GatePlan *p = &g->plan;
    return arena_text(
        a, "regress base=%s head=%s filter=%s rounds=%d samples=%d floor=%g seed=%llu cpu=%d",
        gate_build_name(g->base), gate_build_name(g->head), p->filter ? p->filter : ".", p->rounds,
        p->samples, g->rule.floor, (unsigned long long)p->seed, p->cpu);
}

/* 1: the laws hold. Numbers of training are looked at all the same: they say more of the fault. */
static int gate_look_right(Gate *g, Arena *a)
{
    gate_progress(g, "laws");
    const int hold = gate_check_laws(g, a);
    gate_check_gradients(g, a);
    gate_check_quality(g, a);
    progress_clear();
    return hold;
}

static void gate_look(Gate *g, GateRecord *record, Arena *a)
{
    int hold = 1;
    if (g->plan.times_only)
        gate_note(g, "times only: laws, gradients, losses and instructions were not looked at");
    else hold = gate_look_right(g, a);
    if (!hold) gate_note(g, "not timed: a law is broken");
    else if (g->plan.losses_only) gate_note(g, "losses only: nothing was timed");
    else if (!gate_interrupted()) {
        g->timed = 1;
        gate_measure(g, record, a);
        if (!g->plan.times_only && !gate_interrupted()) gate_check_counts(g, a);
        gate_add_up(g);
    }
    progress_clear();
}

static void gate_report_all(const Gate *g, Arena *a)
{
    gate_report(g, stdout);
    gate_write(g->plan.markdown, gate_markdown, g, a);
    gate_write(g->plan.junit, gate_junit, g, a);
}

static void gate_end(Gate *g, GateRecord *record, int stopped)
{
    if (record && !stopped) {
        gate_record_verdicts(record, g);
        gate_record_history(record, g);
    }
    if (record) gate_record_end(record, stopped, clock_now() - g->began);
}

int gate_compare(const GatePlan *plan)
{
    Arena a = arena_new((size_t)1 << 32);
    Gate *g = arena_get(&a, sizeof *g);
    GateRecord *record = NULL;
    regex_t filter;
    *g = (Gate){ .plan = *plan, .rule = gate_rule, .delay = DELAY, .began = clock_now() };
    g->rule.floor = plan->floor;
    g->note = arena_get(&a, sizeof *g->note * GATE_MOST);
    g->plan.cpu = gate_core(plan->cpu);
    gate_filter(&filter, plan->filter);
    gate_writable("--markdown", plan->markdown, &a);
    gate_writable("--junit", plan->junit, &a);
    GateBuild *base = gate_find(plan->base, &a), *head = gate_find(plan->head, &a);
    g->base = base;
    g->head = head;
    gate_filter_known(g, &filter);
    gate_ask_machine(g, plan->cpu);
    if (plan->db) record = gate_record_open(plan->db, &a);
    gate_build_both(g, base, head, &a);
    gate_choose(g, &filter, &a);
    regfree(&filter);
    if (record) gate_record_begin(record, g, gate_spec(g, &a));
    if (!g->equal) gate_look(g, record, &a);
    gate_leave_machine(g);
    const int stopped = gate_interrupted(), code = stopped ? 130 : gate_code(&g->total);
    gate_end(g, record, stopped);
    if (!stopped) gate_report_all(g, &a);
    arena_drop(&a);
    return code;
}
