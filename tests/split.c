/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How a training step divides its work among threads: split [SETTING=VALUE...], made and run by
 * tests/split.sh (`make split`).
 *
 * Nothing here knows a rule of division. The build is one of copies in which `part` of
 * kernels/base.h is the function below, and every loop with schedule(static) asks the OpenMP
 * library for its iterations; the linker sends every start of a team through here as well. So what
 * is shown is what the loops of the program asked for. */
#include "harness/train/session.h"
#include "harness/train/trainer.h"
#include "harness/util/clock.h"
#include <dlfcn.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int split_threads[] = { 4, 8, 16, 32, 64 };
enum { COUNTS = sizeof split_threads / sizeof *split_threads, MOST_THREADS = 64, MOST_LOOPS = 1024,
       MOST_SPLITS = 4, PARTS = STEP_HEAD_UPDATE + 1 };

/* n items, shared in blocks of so many */
/* over: the largest share over the mean one; 0: not with so many threads */
typedef struct { long n, block; double over[COUNTS]; } Shared;
/* A parallel loop, or a few in one team: found by its phase, its function and what it divides */
typedef struct {
    int    phase, n;             /* n: how many splits */
    void (*work)(void *);
    Shared split[MOST_SPLITS];
    double most[COUNTS], mean[COUNTS];      /* seconds of CPU of the busiest thread, of the mean */
} Loop;

static Loop loops[MOST_LOOPS];
static int n_loops, run, threads;
static double serial[PARTS][COUNTS], last, inside;
/* of the team that runs: */
static Loop now;
static int in_team;
static double cpu[MOST_THREADS];

/* ---- what the program calls ---- */
static void note_split(long n, long block, double most)
{
    for (int i = 0; i < now.n; i++)
        if (now.split[i].n == n && now.split[i].block == block) return;
    if (now.n == MOST_SPLITS || n < 1) return;
    Shared *s = &now.split[now.n++];
    *s = (Shared){ .n = n, .block = block };
    s->over[run] = most * threads / (double)n;
}

void part(long n, int t, int parts, long step, long *lo, long *hi)
{
    part_plain(n, t, parts, step, lo, hi);
    if (t || parts != threads || !in_team) return;
    long most = 0;
    for (int i = 0; i < parts; i++) {
        long from, to;
        part_plain(n, i, parts, step, &from, &to);
        if (to - from > most) most = to - from;
    }
    note_split(n, step, (double)most);
}

typedef struct { void (*work)(void *); void *data; } Call;

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void timed(void *call)
{
    const Call *c = call;
    const double from = cpu_now();
    c->work(c->data);
    cpu[omp_get_thread_num()] = cpu_now() - from;
}

static int same(const Loop *a, const Loop *b)
{
    if (a->work != b->work || a->n != b->n || a->phase != b->phase) return 0;
    for (int i = 0; i < a->n; i++)
        if (a->split[i].n != b->split[i].n || a->split[i].block != b->split[i].block) return 0;
    return 1;
}

/* The loop that `now` is; its phase is known at the next mark */
static int find(void)
{
    int i = 0;
    while (i < n_loops && !same(&loops[i], &now)) i++;
    CHECK(i < MOST_LOOPS);
    if (i == n_loops) loops[n_loops++] = now;
    for (int k = 0; k < now.n; k++) loops[i].split[k].over[run] = now.split[k].over[run];
    return i;
}

static void begin(void (*work)(void *))
{
    now = (Loop){ .work = work, .phase = -1 };
    memset(cpu, 0, sizeof cpu);
    in_team = 1;
}

static void end(double seconds)
{
    double most = 0, sum = 0;
    in_team = 0;
    inside += seconds;
    for (int t = 0; t < threads; t++) {
        sum += cpu[t];
        if (cpu[t] > most) most = cpu[t];
    }
    Loop *l = &loops[find()];
    l->most[run] += most;
    l->mean[run] += sum / threads;
}

void __real_GOMP_parallel(void (*)(void *), void *, unsigned team, unsigned flags);
void __wrap_GOMP_parallel(void (*)(void *), void *, unsigned team, unsigned flags);
void __wrap_GOMP_parallel(void (*work)(void *), void *data, unsigned team, unsigned flags)
{
    if ((int)team != threads || in_team) {
        __real_GOMP_parallel(work, data, team, flags);
        return;
    }
    const double from = clock_now();
    begin(work);
    __real_GOMP_parallel(timed, &(Call){ work, data }, team, flags);
    end(clock_now() - from);
}

/* Iterations by OpenMP's static schedule; of a dynamic one its chunks */
static void note_loop(long start, long stop, long by, long chunk)
{
    const long n = (stop - start) / by, blocks = (n + chunk - 1) / chunk;
    note_split(n, chunk, fmin((double)n, (double)((blocks + threads - 1) / threads * chunk)));
}

/* Loops within a team: the same for all of its threads, so the first one says it */
typedef _Bool RuntimeStart(long start, long stop, long by, long *from, long *to);
typedef _Bool DynamicStart(long start, long stop, long by, long chunk, long *from, long *to);
RuntimeStart __real_GOMP_loop_maybe_nonmonotonic_runtime_start,
    __wrap_GOMP_loop_maybe_nonmonotonic_runtime_start;
DynamicStart __real_GOMP_loop_nonmonotonic_dynamic_start,
    __wrap_GOMP_loop_nonmonotonic_dynamic_start;

_Bool __wrap_GOMP_loop_maybe_nonmonotonic_runtime_start(long start, long stop, long by, long *from,
                                                        long *to)
{
    if (in_team && !omp_get_thread_num()) note_loop(start, stop, by, 1);
    return __real_GOMP_loop_maybe_nonmonotonic_runtime_start(start, stop, by, from, to);
}

_Bool __wrap_GOMP_loop_nonmonotonic_dynamic_start(long start, long stop, long by, long chunk,
                                                  long *from, long *to)
{
    if (in_team && !omp_get_thread_num()) note_loop(start, stop, by, chunk);
    return __real_GOMP_loop_nonmonotonic_dynamic_start(start, stop, by, chunk, from, to);
}

/* ---- a step ---- */
/* The loops since the last mark are of this phase, as others of before may be */
static void settle(int p)
{
    int kept = 0;
    for (int i = 0; i < n_loops; i++) {
        Loop l = loops[i];
        int k = kept;
        if (l.phase < 0) {
            l.phase = p;
            for (k = 0; k < kept && !same(&loops[k], &l);) k++;
        }
        if (k == kept) loops[kept++] = l;
        else {
            loops[k].most[run] += l.most[run];
            loops[k].mean[run] += l.mean[run];
            for (int j = 0; j < l.n; j++) loops[k].split[j].over[run] = l.split[j].over[run];
        }
    }
    n_loops = kept;
}

static void mark(void *ctx, StepPart p)
{
    (void)ctx;
    const double t = clock_now();
    serial[p][run] += t - last - inside;
    settle((int)p);
    last = clock_now();
    inside = 0;
}

static void forget(void)
{
    for (int i = 0; i < n_loops; i++) loops[i].most[run] = loops[i].mean[run] = 0;
    for (int p = 0; p < PARTS; p++) serial[p][run] = 0;
    inside = 0;
    last = clock_now();
}

/* The second step counts: the first one makes what is made once */
static void step_with(const char *const *words, int n_words)
{
    Arena a = arena_new((size_t)1 << 26);
    Spec *spec = spec_new(&a);
    const char *why = spec_set(spec, "gemm=openblas");
    for (int i = 0; i < n_words && !why; i++) why = spec_set(spec, words[i]);
    if (!why) why = spec_set(spec, arena_text(&a, "threads=%d", threads));
    if (why) die("%s", why);
    Session *s = session_make(spec, NULL, SESSION_TRAINS);
    const TrainerStep p = trainer_step_plan(spec, 0);
    const int n = p.B * p.T, some = (int)(spec_num(spec, "fraction") * n);
    Batch *batch = batch_new(p.B, p.T, some > 0 ? some : 1, s->d, s->arena);
    Step step = session_step(s);
    step.mark = mark;
    /* a provider that packs weights divides products itself, unseen: those of gemm() are shown */
    ((Gemm *)s->exec->gemm)->packed = NULL;
    for (int i = 0; i < 2; i++) {
        forget();
        objective_next_token.draw(batch, session_source, s->corpus, 1, i, 0);
        objective_next_token.pass(&step, batch, 1.0f / (float)batch->supervised);
        step_update(&step, 1e-6, step_norm(&step));
    }
    session_drop(s);
    arena_drop(&a);
}

/* ---- the table ---- */
/* The function of a loop, from the symbols of this program */
static const char *name_of(void (*work)(void *))
{
    static char line[512], name[256];
    Dl_info info;
    union { void (*f)(void *); void *p; } at = { work };
    unsigned long want, is;
    char kind;
    if (!dladdr(at.p, &info)) return "?";
    want = (unsigned long)((char *)at.p - (char *)info.dli_fbase);
    FILE *f = popen("nm /proc/$PPID/exe", "r");
    snprintf(name, sizeof name, "?");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "%lx %c %255s", &is, &kind, name) == 3 && is == want) break;
    if (f) pclose(f);
    name[strcspn(name, ".")] = 0;
    return name;
}

static void show(double over, int by_time)
{
    if (over > 0) printf(" %s%5.2f", by_time ? "~" : " ", over);
    else printf("  %5s", "-");
}

static void show_loop(const Loop *l)
{
    const char *name = name_of(l->work);
    for (int i = 0; i < (l->n ? l->n : 1); i++) {
        const Shared *s = l->n ? &l->split[i] : NULL;
        printf("  %-30s", i ? "" : name);
        if (s) printf(" %9ld %6ld ", s->n, s->block);
        else printf(" %9s %6s ", "", "");
        for (int k = 0; k < COUNTS; k++)
            show(s ? s->over[k] : l->mean[k] > 0 ? l->most[k] / l->mean[k] : 0, !s);
        putchar('\n');
    }
}

/* The worst of what a loop divides, else by time */
static double worst(const Loop *l, int k)
{
    double over = 0;
    for (int i = 0; i < l->n; i++) over = fmax(over, l->split[i].over[k]);
    return over > 0 ? over : l->mean[k] > 0 ? l->most[k] / l->mean[k] : 1;
}

static int seen(const Loop *l)
{
    for (int k = 0; k < COUNTS; k++)
        if (l->mean[k] > 0) return 1;
    return 0;
}

/* What phase p, or p < 0 all of them, takes over what it would if it divided evenly */
static void show_total(int p)
{
    printf("  %-30s %9s %6s ", p < 0 ? "" : "all, by time", "", "");
    for (int k = 0; k < COUNTS; k++) {
        double takes = 0, all = 0;
        for (int i = 0; i < n_loops; i++) {
            if (p >= 0 && loops[i].phase != p) continue;
            takes += loops[i].mean[k] * worst(&loops[i], k);
            all += loops[i].mean[k];
        }
        for (int i = 0; i < PARTS; i++) {
            if (p >= 0 && i != p) continue;
            takes += serial[i][k];
            all += serial[i][k] / split_threads[k];
        }
        show(all > 0 ? takes / all : 0, 1);
    }
    putchar('\n');
}

int main(int argc, char **argv)
{
    for (run = 0; run < COUNTS; run++) {
        threads = split_threads[run];
        step_with((const char *const *)argv + 1, argc - 1);
    }
    printf("largest share over mean share; ~: by seconds of CPU\n  %-30s %9s %6s  ", "threads",
           "items", "block");
    for (int k = 0; k < COUNTS; k++) printf(" %6d", split_threads[k]);
    putchar('\n');
    for (int p = 0; p < PARTS; p++) {
        int any = 0;
        for (int i = 0; i < n_loops; i++) {
            if (loops[i].phase != p || !seen(&loops[i])) continue;
            if (!any++) printf("%s\n", phase_names[p]);
            show_loop(&loops[i]);
        }
        if (any) show_total(p);
    }
    puts("step");
    show_total(-1);
    return 0;
}
