/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/util/clock.h"
#include <time.h>

const char *const phase_names[PHASES] = {
    "data",        "core.forward", "core.backward", "head.forward",        "head.backward",
    "core.update", "head.update",  "other",         "core.linear.forward", "core.linear.backward",
    "core.mix.forward", "core.mix.backward"
};

double clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void laps_start(Laps *l)
{
    *l = (Laps){ .last = clock_now() };
}

void laps_mark(Laps *l, Phase p)
{
    const double now = clock_now();
    l->sum[p] += now - l->last;
    l->last = now;
}
