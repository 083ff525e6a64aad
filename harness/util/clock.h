/* SPDX-License-Identifier: GPL-3.0-or-later */
/* clock.h -- the only clock: monotonic seconds, and phases of a step that add up to the whole.
 *
 * laps_mark adds the time since laps_start or the last mark to one phase, so the phases of a step
 * sum to its wall time by construction. */
#ifndef CLOCK_H
#define CLOCK_H
typedef enum {
    PHASE_DATA,
    PHASE_CORE_FORWARD,
    PHASE_CORE_BACKWARD,
    PHASE_HEAD_FORWARD,
    PHASE_HEAD_BACKWARD,
    PHASE_CORE_UPDATE,
    PHASE_HEAD_UPDATE,
    PHASE_OTHER,
    PHASE_LINEAR_FORWARD,
    PHASE_LINEAR_BACKWARD,
    PHASE_MIX_FORWARD,
    PHASE_MIX_BACKWARD,
    PHASES
} Phase;
/* "data" "core.forward" ...; apart from "core.forward" the layers of weights of the core,
 * "core.linear.forward", and what looks along the sequence (attention, recurrence, convolution),
 * "core.mix.forward" */
extern const char *const phase_names[PHASES];

double clock_now(void);                             /* seconds, monotonic */
typedef struct { double last, sum[PHASES]; } Laps;
void laps_start(Laps *);                            /* zero all, start now */
/* adds the time since the last mark to this phase */
void laps_mark (Laps *, Phase);
#endif
