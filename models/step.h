/* SPDX-License-Identifier: GPL-3.0-or-later */
/* step.h -- one training step: draw, forward, loss, backward, update. The trainer, the gate, parity
 * and headlab all use this one.
 *
 *   for every micro-batch:
 *     objective->draw(...)   tokens and supervised positions
 *     objective->pass(...)   forward, loss, backward; gradients accumulate
 *   step_norm(...)           adds deferred gradients; the global norm
 *   step_update(...)         clips; updates the head, then the trunk; gradients become zero */
#ifndef STEP_H
#define STEP_H
#include "models/head.h"
#include "models/model.h"
#include "models/optim.h"

/* What the time since the last mark was spent on */
typedef enum {
    STEP_DATA,
    STEP_CORE_FORWARD,
    STEP_CORE_BACKWARD,
    STEP_HEAD_FORWARD,
    STEP_HEAD_BACKWARD,
    STEP_CORE_UPDATE,
    STEP_HEAD_UPDATE
} StepPart;

typedef struct Step {
    const ModelDef *model;       /* NULL: a head alone, on hidden states that are given */
    void           *m;
    const HeadDef  *head;
    void           *h;
    Tape           *tape;
    Optim          *optim;
    int             d;           /* width of the hidden states */
    void          (*mark)(void *ctx, StepPart);     /* NULL: nothing is measured */
    void           *ctx;
} Step;

typedef struct Batch {
    int    B, T, supervised;     /* sequences, tokens of each, positions with a loss: 1 .. B T */
    int   *x, *y;                /* (B*T) tokens read; the tokens that follow */
    /* (supervised) positions in increasing order, and their y; all where supervised = B T */
    int   *pos, *target;
    float *hidden, *dhidden;     /* (supervised, d) at these; NULL where all are supervised */
} Batch;
Batch *batch_new(int B, int T, int supervised, int d, Arena *);

/* Writes the tokens of a micro-batch: x, y (B*T) */
typedef void StepSource(void *ctx, uint64_t seed, long step, int micro, int B, int T, int *x,
                        int *y);

typedef struct Objective {
    const char *name, *brief;
    /* fills a batch, by seed, step and micro alone, so that a resumed run draws the same as an
     * uninterrupted one */
    void   (*draw)(Batch *, StepSource *, void *ctx, uint64_t seed, long step, int micro);
    /* forward, loss and backward: gradients += scale dLoss; returns the loss in nats, summed over
     * supervised positions */
    double (*pass)(const Step *, const Batch *, float scale);
} Objective;
/* cross entropy of the next token, as the head defines its loss */
extern const Objective objective_next_token;

/* The head on n hidden states x (n, d) with targets y (n), in chunks: returns the sum of the loss;
 * dx (n, d) += scale dLoss/dx */
double step_head(const Step *, const float *x, const int *y, float *dx, int n, float scale);
/* the global norm of all gradients, deferred ones included */
double step_norm(const Step *);
void   step_update(const Step *, double lr_scale, double norm);
#endif
