/* SPDX-License-Identifier: GPL-3.0-or-later */
/* eta.h -- how long the cells of a sweep will take: as their last runs did, or as long as their
 * budget in seconds; where it counts tokens or steps, from the cells of this sweep that have ended,
 * and from how far a running one has come. */
#ifndef ETA_H
#define ETA_H
#include "models/spec.h"

/* NAN: not known */
typedef struct EtaCell {
    double expect;               /* seconds */
    double tokens;               /* that it trains on; of a budget of seconds NAN */
    double step_tokens;          /* of a step */
} EtaCell;
typedef struct Eta {
    /* of cells that have not begun: seconds of those that are known, tokens of the others; how many
     * have neither */
    double expect, tokens;
    int    blind;
    double spent, spent_expected;    /* of ended cells: seconds, and what was expected */
    double wall, counted;            /* of ended cells whose tokens are known: seconds, tokens */
} Eta;

/* recorded: seconds of its last ok run */
EtaCell eta_cell  (const Spec *, double recorded);
void    eta_add   (Eta *, const EtaCell *);      /* a cell that is to run */
void    eta_remove(Eta *, const EtaCell *);      /* it begins, or need not run any more */
void    eta_ended (Eta *, const EtaCell *, double wall_s);
/* A running cell after so many seconds and steps: seconds to its end */
double  eta_running(const Eta *, const EtaCell *, double seconds, long steps);
/* Seconds of a token: of ended cells; where there are none, of one that runs */
double  eta_rate  (const Eta *, const EtaCell *, double seconds, long steps);
/* Seconds of all cells that have not begun */
double  eta_left  (const Eta *, double rate);
#endif
