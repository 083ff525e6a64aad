/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/util/disturbance.h"
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>

/* The first line of /proc/stat: ticks since boot, of which the fourth and fifth number are idle and
 * the eighth is stolen; those after it are counted in the first two already */
static void disturbance_read_ticks(Disturbance *d)
{
    enum { IDLE = 3, WAITING = 4, STOLEN = 7, COUNTED = 8 };
    double x;
    FILE *f = fopen("/proc/stat", "r");
    int n = 0;
    d->stolen = d->busy = d->ticks = 0;
    if (f && fscanf(f, "cpu") == 0)
        for (; n < COUNTED && fscanf(f, "%lf", &x) == 1; n++) {
            d->ticks += x;
            if (n == STOLEN) d->stolen = x;
            else if (n != IDLE && n != WAITING) d->busy += x;
        }
    if (f) fclose(f);
    if (n < COUNTED) d->stolen = d->busy = d->ticks = NAN;
}

Disturbance disturbance_now(void)
{
    Disturbance d = { .load = NAN };
    struct rusage use;
    FILE *f = fopen("/proc/loadavg", "r");
    if (f && fscanf(f, "%lf", &d.load) != 1) d.load = NAN;
    if (f) fclose(f);
    disturbance_read_ticks(&d);
    d.switches = getrusage(RUSAGE_SELF, &use) ? 0 : use.ru_nivcsw;
    return d;
}

static double disturbance_share(double part, const Disturbance *from, const Disturbance *to)
{
    const double ticks = to->ticks - from->ticks;
    if (isnan(ticks)) return NAN;
    return ticks > 0 ? part / ticks : 0;
}

double disturbance_steal_between(const Disturbance *from, const Disturbance *to)
{
    return disturbance_share(to->stolen - from->stolen, from, to);
}

double disturbance_busy_between(const Disturbance *from, const Disturbance *to)
{
    return disturbance_share(to->busy - from->busy, from, to);
}

double disturbance_steal(const Disturbance *since)
{
    const Disturbance now = disturbance_now();
    return disturbance_steal_between(since, &now);
}
