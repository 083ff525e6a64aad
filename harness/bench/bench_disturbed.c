/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Can the samples of a cell be believed? And the probes that limit it, once more when its group has
 * been measured. */
#include "harness/bench/bench_parts.h"
#include <math.h>
#include <string.h>

static const char *disturbed_add(const char *said, const char *more, Arena *a)
{
    return said ? arena_text(a, "%s; %s", said, more) : more;
}

const char *bench_disturbed(const BenchSeen *s, Arena *a)
{
    const double wide = (s->time.high - s->time.low) / s->time.median,
                 slow = s->time.median / s->guess_ns, moved = s->after / s->before - 1;
    const char *why = NULL;
    if (wide > BENCH_WIDE)
        why = disturbed_add(why, arena_text(a, "its interval is %.2f of its median", wide), a);
    if (s->guess_ns > 0 && slow > BENCH_SLOW)
        why = disturbed_add(why, arena_text(a, "its median is %.3g times its fastest call", slow),
                            a);
    if (s->percent > BENCH_BEATEN)
        why = disturbed_add(why, arena_text(a, "it is at %.0f %% of its limit %s", s->percent,
                                            s->limit), a);
    if (s->before > 0 && s->after > 0 && fabs(moved) > BENCH_MOVED)
        why = disturbed_add(why, arena_text(a, "the probe %s moved by %+.0f %%", s->limit,
                                            100 * moved), a);
    if (!why || (!s->switches && !(s->steal > 0))) return why;
    return arena_text(a, "%s (gave way %ld times, %.1f %% stolen)", why, s->switches,
                      100 * s->steal);
}

/* ---- a cell of the group ---- */
/* Its probe; NULL: none limits it, or a reader of its group does */
static const Probe *disturbed_probe(const BenchCell *c, int *i)
{
    if (!c->limit || c->reads || (c->by_reader && c->limit != c->compute)) return NULL;
    for (*i = 0; probes[*i].name; ++*i)
        if (!strcmp(probes[*i].name, c->limit)) return &probes[*i];
    return NULL;
}

static BenchSeen disturbed_seen(const Bench *b, const BenchCell *c)
{
    BenchSeen s = { .time = c->time, .guess_ns = c->guess_ns, .percent = bench_percent(c),
                    .limit = c->limit };
    int i;
    double most = 0;
    if (disturbed_probe(c, &i)) {
        s.before = b->first[i][c->threads];
        s.after = b->last[i][c->threads];
    }
    for (int k = 0; k < c->samples; k++) {
        s.switches += c->sample[k].switches;
        if (c->sample[k].steal > 0) most += c->sample[k].steal;
    }
    s.steal = c->samples ? most / c->samples : 0;
    return s;
}

int bench_judge(Bench *b)
{
    int n = 0;
    for (int i = 0; i < b->n; i++) {
        BenchCell *c = b->cell[i];
        if (c->broken) continue;
        const BenchSeen s = disturbed_seen(b, c);
        c->disturbed = bench_disturbed(&s, &b->group);
        n += c->disturbed != NULL;
    }
    return n;
}

/* ---- probes ---- */
/* One more look. Of operations the best counts, of bytes the mean */
static double disturbed_look(Bench *b, int i, int threads)
{
    double *peak = &b->peak[i][threads];
    const double now = machine_probe(&probes[i], threads);
    const int bytes = !strcmp(probes[i].unit, "B/s"), k = b->times[i][threads]++;
    *peak = bytes ? (*peak * k + now) / (k + 1) : now > *peak ? now : *peak;
    return now;
}

double bench_peak(Bench *b, const char *name, int threads)
{
    CHECK(threads >= 1 && threads <= BENCH_THREADS);
    for (int i = 0; probes[i].name; i++) {
        CHECK(i < BENCH_PROBES);
        if (strcmp(probes[i].name, name)) continue;
        if (b->probed[i][threads] > b->groups || !probe_runs_here(&probes[i]))
            return b->peak[i][threads];
        const double now = disturbed_look(b, i, threads);            /* once in every group */
        if (!b->probed[i][threads]) {
            b->first[i][threads] = now;
            b->first_group[i][threads] = b->groups;
        }
        b->probed[i][threads] = b->groups + 1;
        return b->peak[i][threads];
    }
    return 0;
}

/* What a limit by this probe becomes when the peak does */
static void disturbed_scale(Bench *b, const Probe *p, int threads, double times)
{
    for (int k = 0; k < b->n; k++) {
        BenchCell *c = b->cell[k];
        if (c->threads != threads || c->broken) continue;
        if (c->compute && !strcmp(c->compute, p->name)) c->compute_ns *= times;
        if (c->level && !c->by_reader && !strcmp(c->level, p->name)) c->level_ns *= times;
        bench_limit(c, c->compute, c->compute_ns, c->level, c->level_ns);
    }
}

void bench_probe_again(Bench *b)
{
    int done[BENCH_PROBES] = { 0 }, i;
    for (int k = 0; k < b->n; k++) {
        const BenchCell *c = b->cell[k];
        const Probe *p = c->broken ? NULL : disturbed_probe(c, &i);
        if (!p || done[i] == c->threads) continue;
        const double old = b->peak[i][c->threads];
        /* measured again in the group of its first look: that may have been disturbed */
        if (b->attempt && b->first_group[i][c->threads] == b->groups)
            b->first[i][c->threads] = b->last[i][c->threads];
        b->last[i][c->threads] = disturbed_look(b, i, c->threads);
        done[i] = c->threads;
        disturbed_scale(b, p, c->threads, old / b->peak[i][c->threads]);
    }
}

/* The samples of a group that is measured again, see results/README.md */
void bench_discard(Bench *b)
{
    for (int i = 0; i < b->n && b->db; i++) {
        const BenchCell *c = b->cell[i];
        for (int r = 0; !c->broken && r < c->samples; r++)
            db_record(b->db, b->run,
                      &(Record){ .kind = 'n',
                                 .name = arena_text(&b->group, "discarded:%s", c->name),
                                 .step = b->attempt * b->plan.rounds + r,
                                 .value = c->sample[r].ns });
    }
}
