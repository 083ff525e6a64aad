/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/train/evaluate.h"
#include "harness/corpus/synth.h"
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
    const double began = clock_now(), nll = session_nll_of(s, valid, &n, NULL);
    record_num(rec, "nll", s->step, nll);
    if (valid->bytes_per_token > 0)
        record_num(rec, "bits_per_byte", s->step, corpus_bits_per_byte(valid, nll));
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
        record_num(rec, "test_bits_per_byte", s->step, corpus_bits_per_byte(test, s->test_nll));
    record_num(rec, "test_positions", s->step, (double)s->test_positions);
    record_num(rec, "test_unigram", s->step, test->unigram);
    if (!isnan(test->trigram)) {
        record_num(rec, "test_bigram", s->step, test->bigram);
        record_num(rec, "test_trigram", s->step, test->trigram);
    }
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

/* Of tokens that the synthetic language copied from l tokens ago, where these lie in the same
 * window: the mean loss, the mean under the true law of the language, and how many there are.
 * nll: as session_nll_of leaves it */
static void evaluate_copies(const Session *s, const float *nll, Recorder *rec)
{
    const HeldText *test = &s->corpus->test;
    const long T = spec_int(s->spec, "seq"), n = test->n;
    Arena a = arena_new((size_t)n * (2 * sizeof(int) + sizeof(double)) + ((size_t)256 << 20));
    const Synth *y = synth_make(s->corpus->V, (uint64_t)spec_int(s->spec, "corpus_seed"), &a);
    int *tok = arena_array(&a, (size_t)n, sizeof *tok),
        *from = arena_array(&a, (size_t)n, sizeof *from);
    double *law = arena_array(&a, (size_t)n, sizeof *law);
    synth_stream(y, SPLIT_TEST, tok, from, n);
    synth_nll(y, tok, n, law);
    for (int l = 0; l < SYNTH_LAGS; l++) {
        double of_model = 0, of_law = 0, positions = 0;
        const int lag = y->law.lag[l];
        for (long i = 0; i < s->test_positions; i++) {
            if (from[i + 1] != lag || i % T + 1 < lag) continue;
            of_model += (double)nll[i];
            of_law += law[i + 1];
            positions++;
        }
        if (positions < 1) continue;
        record_num(rec, arena_text(&a, "copy_nll:%d", lag), s->step, of_model / positions);
        record_num(rec, arena_text(&a, "copy_floor:%d", lag), s->step, of_law / positions);
        record_num(rec, arena_text(&a, "copy_positions:%d", lag), s->step, positions);
    }
    arena_drop(&a);
}

static void evaluate_test_now(Session *s, Recorder *rec)
{
    const HeldText *test = &s->corpus->test;
    const double began = clock_now();
    Arena a = arena_new(array_bytes(sizeof(float), (size_t)test->n) + (1 << 12));
    float *each = arena_array(&a, (size_t)test->n, sizeof *each);
    s->test_nll = session_nll_of(s, test, &s->test_positions, each);
    s->test_step = s->step;
    record_num(rec, "test_s", s->step, clock_now() - began);
    if (spec_is(s->spec, "corpus", "synth")) evaluate_copies(s, each, rec);
    arena_drop(&a);
}

int evaluate_test(Session *s, Recorder *rec)
{
    if (!evaluate_computes(s)) return 0;
    const int has = evaluate_has_test(s), now = has && s->test_step != s->step;
    if (now) evaluate_test_now(s, rec);
    if (has) evaluate_record_test(s, rec);
    record_text(rec, "split", has ? split_names[SPLIT_TEST] : split_names[SPLIT_VALID]);
    record_flush(rec);
    if (has) evaluate_check_finite("test loss", s->step, s->test_nll);
    return now;
}
