/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernels/probe.h"
#include "kernels/cpu.h"

#define P(name, unit, cpu, bytes, work) double work(int, void *, size_t);
#define W(isa, cpu) \
    void probe_read_##isa (int iters, const char *x, size_t bytes, int ahead); \
    void probe_triad_##isa(int iters, float *a, const float *b, const float *c, size_t bytes);
#include "kernels/probes.def"
#undef P
#undef W

#define P(name, unit, cpu, bytes, work) { #name, unit, cpu, work, bytes },
#define W(isa, cpu)
const Probe probes[] = {
#include "kernels/probes.def"
    { 0 }
};
#undef P
#undef W

typedef struct {
    unsigned cpu;
    void (*read) (int iters, const char *x, size_t bytes, int ahead);
    /* bytes: of each array */
    void (*triad)(int iters, float *a, const float *b, const float *c, size_t bytes);
} Walk;
#define P(name, unit, cpu, bytes, work)
#define W(isa, cpu) { cpu, probe_read_##isa, probe_triad_##isa },
static const Walk probe_walks[] = {
#include "kernels/probes.def"
};

int probe_runs_here(const Probe *p) { return (p->cpu & ~cpu_has()) == 0; }

static const Walk *probe_best_walk(void)
{
    const unsigned has = cpu_has();
    const Walk *w = probe_walks;
    for (size_t i = 0; i < sizeof probe_walks / sizeof *probe_walks; i++)
        if (!(probe_walks[i].cpu & ~has)) w = &probe_walks[i];
    return w;
}

static double probe_read_all(int iters, const void *buffer, size_t bytes, int ahead)
{
    bytes = bytes / PROBE_BLOCK * PROBE_BLOCK;
    probe_best_walk()->read(iters, buffer, bytes, ahead);
    return (double)iters * (double)bytes;
}

double probe_read(int iters, void *buffer, size_t bytes)
{
    return probe_read_all(iters, buffer, bytes, 0);
}
double probe_read_ahead(int iters, void *buffer, size_t bytes)
{
    return probe_read_all(iters, buffer, bytes, 1);
}

double probe_triad(int iters, void *buffer, size_t bytes)
{
    bytes = bytes / 3 / PROBE_BLOCK * PROBE_BLOCK;
    char *a = buffer;
    probe_best_walk()->triad(iters, (float *)a, (const float *)(a + bytes),
                             (const float *)(a + 2 * bytes), bytes);
    return 3.0 * (double)iters * (double)bytes;
}
