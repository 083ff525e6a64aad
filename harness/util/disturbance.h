/* SPDX-License-Identifier: GPL-3.0-or-later */
/* disturbance.h -- what else the machine did while something was measured, as the system counts it.
 * NAN: it does not say. */
#ifndef DISTURBANCE_H
#define DISTURBANCE_H

typedef struct Disturbance {
    double load;                     /* processes that want to run, mean of the last minute */
    /* time of all cores: given to other virtual machines; at work; all */
    double stolen, busy, ticks;
    long   switches;                 /* of this process: how often it had to give way to another */
} Disturbance;
Disturbance disturbance_now(void);
/* The share of the time since then that other virtual machines had */
double disturbance_steal(const Disturbance *since);
/* Of the time between two looks; 0: too little of it passed */
double disturbance_steal_between(const Disturbance *from, const Disturbance *to);
double disturbance_busy_between (const Disturbance *from, const Disturbance *to);
#endif
