/* SPDX-License-Identifier: GPL-3.0-or-later */
/* evaluate.h -- the losses that a run records. Training time stands still meanwhile. */
#ifndef EVALUATE_H
#define EVALUATE_H
#include "harness/train/session.h"
#include "harness/util/record.h"

/* kernel=noop computes nothing: a loss under it means nothing and is never recorded */
int  evaluate_computes(const Session *);
/* Dies where the value of this step is not a finite number */
void evaluate_check_finite(const char *what, long step, double value);
/* On the validation text: every choice is made by these */
void evaluate_valid(Session *, Recorder *);
/* Says on stderr that there is no test text for windows of `seq`, and why. Returns 1 when there is
 * one, and nothing was said */
int  evaluate_has_test(const Session *);
/* On the test text, once, at the end; and which text is the one to report. A session that has
 * evaluated it at this step already, or whose checkpoint has, says the same number again. Returns 1
 * when it was evaluated now */
int  evaluate_test (Session *, Recorder *);
#endif
