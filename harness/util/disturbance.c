/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/util/disturbance.h"
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>

/* The first line of /proc/stat: ticks since boot, of which the eighth number is stolen; those after
 * it are counted in the first two already */
static void disturbance_read_ticks(Disturbance *d)
{
    enum { COUNTED = 8, STOLEN = 7 };
    double x;
    FILE *f = fopen("/proc/stat", "r");
    int n = 0;
    d->stolen = d->ticks = 0;
    if (f && fscanf(f, "cpu") == 0)
        for (; n < COUNTED && fscanf(f, "%lf", &x) == 1; n++) {
            d->ticks += x;
            if (n == STOLEN) d->stolen = x;
        }
    if (f) fclose(f);
    if (n < COUNTED) d->stolen = d->ticks = NAN;
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

double disturbance_steal(const Disturbance *since)
{
    const Disturbance now = disturbance_now();
    const double ticks = now.ticks - since->ticks;
    if (isnan(ticks)) return NAN;
    return ticks > 0 ? (now.stolen - since->stolen) / ticks : 0;
}
