/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/train/evaluate.h"
#include "harness/util/clock.h"
#include <math.h>

int evaluate_computes(const Session *s)
{
    return s->exec->kernel->computes || spec_is(s->spec, "act", "f32");
}

void evaluate_check_finite(const char *what, long step, double value)
{
    if (!isfinite(value))
        die("the %s is not finite at step %ld; a smaller rate (lr, lr_normuon) may help", what,
            step);
}

void evaluate_valid(Session *s, Recorder *rec)
{
    const HeldText *valid = &s->corpus->valid;
    long n;
    if (!evaluate_computes(s)) return;
    const double began = clock_now(), nll = session_nll_of(s, valid, &n);
    record_num(rec, "nll", s->step, nll);
    if (valid->bytes_per_token > 0)
        record_num(rec, "bits_per_byte", s->step, nll / log(2) / valid->bytes_per_token);
    record_num(rec, "eval_seconds", s->step, s->seconds);
    record_num(rec, "eval_tokens", s->step, (double)s->tokens);
    record_num(rec, "eval_positions", s->step, (double)n);
    record_num(rec, "eval_s", s->step, clock_now() - began);
    record_flush(rec);
    evaluate_check_finite("validation loss", s->step, nll);
}

static void evaluate_record_test(const Session *s, Recorder *rec)
{
    const HeldText *test = &s->corpus->test;
    record_num(rec, "test_nll", s->step, s->test_nll);
    if (test->bytes_per_token > 0)
        record_num(rec, "test_bits_per_byte", s->step,
                   s->test_nll / log(2) / test->bytes_per_token);
    record_num(rec, "test_positions", s->step, (double)s->test_positions);
    record_num(rec, "test_unigram", s->step, test->unigram);
    if (!isnan(test->floor)) record_num(rec, "test_nll_floor", s->step, test->floor);
}

int evaluate_has_test(const Session *s)
{
    const Corpus *c = s->corpus;
    const long T = spec_int(s->spec, "seq");
    if (c->test.n > T) return 1;
    fprintf(stderr, "corpus=%s has no test text: ", c->name);
    if (c->test.n) fprintf(stderr, "%ld tokens, and a window (seq) has %ld", c->test.n, T);
    else fputs(c->why_no_test, stderr);
    fputs("; the loss to report is that of the validation text\n", stderr);
    return 0;
}

int evaluate_test(Session *s, Recorder *rec)
{
    if (!evaluate_computes(s)) return 0;
    const int has = evaluate_has_test(s), now = has && s->test_step != s->step;
    if (now) {
        const double began = clock_now();
        s->test_nll = session_nll_of(s, &s->corpus->test, &s->test_positions);
        s->test_step = s->step;
        record_num(rec, "test_s", s->step, clock_now() - began);
    }
    if (has) evaluate_record_test(s, rec);
    record_text(rec, "split", has ? split_names[SPLIT_TEST] : split_names[SPLIT_VALID]);
    record_flush(rec);
    if (has) evaluate_check_finite("test loss", s->step, s->test_nll);
    return now;
}
