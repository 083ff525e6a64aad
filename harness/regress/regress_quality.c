/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The losses of short trainings on the synthetic language, one seed, in both builds. Head fails
 * when
 *
 *   it does not learn        the last quarter of its losses is not below the first quarter
 *   it beats the entropy     of the language: something is not normalised
 *   its first losses differ  by more than rounding: the same parameters and the same batch have
 *                            another loss or another gradient, or another update followed
 *   its end differs          by more than the tolerance: also down, because a normaliser that is
 *                            left out looks like a better loss
 *
 * The last two are let pass by --accept-quality where the end is not worse. Rounding alone moves
 * the losses of the first steps by 1e-9 to 1e-6, and the end of a training without ternary weights
 * (quant=none) by less than 1e-4; where a ternary weight flips, by some 0.4 %: such an end is given
 * ten times the tolerance, unless it began with the same bits. */
#include "harness/regress/regress.h"
#include <math.h>
#include <string.h>

enum { QUALITY_LIMIT_S = 300, QUALITY_STEPS = 1024, QUALITY_EARLY = 4 };
/* shares: of the first loss, of the norm of the first gradient, of the next losses where nothing
 * can flip and where it can; by how much the loss must fall */
#define QUALITY_FIRST 1e-5
#define QUALITY_NORM 1e-4
#define QUALITY_NEXT 1e-4
#define QUALITY_FLIP 1e-2
#define QUALITY_LEARNS 0.016

typedef struct Losses {
    double nll, floor, loss[QUALITY_STEPS], norm[QUALITY_STEPS];
    int n, norms;
} Losses;

static void quality_line(void *ctx, const Record *l)
{
    Losses *s = ctx;
    if (l->kind != 'n') return;
    if (!strcmp(l->name, "nll")) s->nll = l->value;
    if (!strcmp(l->name, "nll_floor")) s->floor = l->value;
    if (!strcmp(l->name, "loss") && s->n < QUALITY_STEPS) s->loss[s->n++] = l->value;
    if (!strcmp(l->name, "grad_norm") && s->norms < QUALITY_STEPS) s->norm[s->norms++] = l->value;
}

const char **gate_words(const char *binary, const char *const *command, const char *settings,
                        Arena *a)
{
    enum { MOST = 62 };
    const char **argv = arena_get(a, sizeof *argv * (MOST + 2));
    char *text = arena_text(a, "%s", settings), *save = NULL;
    char *word = strtok_r(text, " ", &save);
    int n = 0;
    for (; word && !strncmp(word, "EIGHTYSIX_", 10); word = strtok_r(NULL, " ", &save))
        argv[n++] = word;
    argv[n++] = binary;
    for (; *command; command++) argv[n++] = *command;
    for (; word && n < MOST; word = strtok_r(NULL, " ", &save)) argv[n++] = word;
    return argv;
}

static Losses *quality_train(const GateBuild *b, const char *settings, const char **why, Arena *a)
{
    static const char *const command[] = { "cell", NULL };
    Losses *s = arena_get(a, sizeof *s);
    s->nll = s->floor = NAN;
    const GateRun r =
        gate_run(gate_words(b->binary, command, settings, a), QUALITY_LIMIT_S, quality_line, s, a);
    *why = strcmp(r.status, "ok") ? r.error : isfinite(s->nll) ? NULL : "no finite loss";
    return s;
}

static double quality_share(double base, double head)
{
    return base == head ? 0 : fabs(head - base) / fmax(fabs(base), 1e-300);
}

/* What is not rounding in the first steps; NULL: nothing */
static const char *quality_early(const Losses *base, const Losses *head, int smooth, Arena *a)
{
    for (int k = 0; k < QUALITY_EARLY && k < base->n && k < head->n; k++) {
        const double off = quality_share(base->loss[k], head->loss[k]);
        if (off > (k ? smooth ? QUALITY_NEXT : QUALITY_FLIP : QUALITY_FIRST))
            return arena_text(a, "the loss of step %d is %.8g, %.2g of it off that of base: %s", k,
                              head->loss[k], off,
                              k ? "another update" : "another loss of the same parameters");
        if (k || !base->norms || !head->norms) continue;
        const double norm = quality_share(base->norm[0], head->norm[0]);
        if (norm > QUALITY_NORM)
            return arena_text(a, "the gradient of step 0 has the length %.6g, in base %.6g",
                              head->norm[0], base->norm[0]);
    }
    return NULL;
}

/* The first step at which a bit differs, and by what share; -1: none does */
static int quality_parts_at(const Losses *base, const Losses *head, double *share)
{
    for (int k = 0; k < base->n && k < head->n; k++) {
        const int norms = k < base->norms && k < head->norms;
        const double loss = quality_share(base->loss[k], head->loss[k]),
                     norm = norms ? quality_share(base->norm[k], head->norm[k]) : 0;
        *share = fmax(loss, norm);
        if (*share > 0) return k;
    }
    return -1;
}

static double quality_mean(const double *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return sum / n;
}

/* NULL: it learns, or reports no losses. Batches alone, without an update, differ by up to 0.5 %;
 * the cell that learns least falls by 4 % */
static const char *quality_learns(const Losses *s, Arena *a)
{
    const int n = s->n / 4;
    if (n < 1) return NULL;
    const double first = quality_mean(s->loss, n), last = quality_mean(s->loss + s->n - n, n);
    if (last < first * (1 - QUALITY_LEARNS)) return NULL;
    return arena_text(a, "does not learn: loss %.4f over the first %d steps, %.4f over the last",
                      first, n, last);
}

static const char *quality_same(const Losses *base, const Losses *head, Arena *a)
{
    double share;
    const int at = quality_parts_at(base, head, &share);
    const double end = quality_share(base->nll, head->nll);
    if (at < 0) return end > 0 ? arena_text(a, "loss moved by %.2g", end)
                       : base->n ? "the same losses, bit for bit" : "the same loss";
    return arena_text(a, "arithmetic differs from step %d by %.2g, the end by %.2g: rounding", at,
                      share, end);
}

static GateCheck quality_compare(const Gate *g, GateCheck c, const Losses *base, const Losses *head,
                                 int smooth, Arena *a)
{
    double share;
    const int accept = g->plan.accept_quality, early = quality_parts_at(base, head, &share);
    const int flips = !smooth && early >= 0;
    const double tolerance = g->plan.tolerance * (flips ? 10 : 1);
    const double moved = head->nll - base->nll, off = quality_share(base->nll, head->nll);
    const char *other = quality_early(base, head, smooth, a), *learns = quality_learns(head, a);
    static const char hint[] = "; if that is meant, --accept-quality";
    c.verdict = GATE_REGRESSED;
    if (head->nll < head->floor)
        c.sentence = arena_text(a, "%.4f nats per token, below the entropy of the language, %.4f",
                                head->nll, head->floor);
    else if (learns) c.sentence = learns;
    else if (off > tolerance) {
        const int better = moved < 0;
        if (better && accept) c.verdict = GATE_IMPROVED;
        c.sentence = arena_text(a, "loss %.4f -> %.4f nats, %.3f %% %s%s%s%s", base->nll, head->nll,
                                100 * off, better ? "better" : "worse", other ? "; " : "",
                                other ? other : "", better && !accept ? hint : "");
    } else if (other && !accept)
        c.sentence = arena_text(a, "%s; the end by %.2g%s", other, off, hint);
    else {
        c.verdict = GATE_SAME;
        c.sentence = other ? other : quality_same(base, head, a);
    }
    return c;
}

void gate_check_quality(Gate *g, Arena *a)
{
    gate_check_begin(g);
    for (int i = 0; i < g->qualities && !gate_interrupted(); i++) {
        const GateCell *cell = &g->quality[i];
        const char *base_why, *head_why;
        gate_progress(g, "quality of %s", cell->name);
        const Losses *head = quality_train(g->head, cell->words, &head_why, a);
        const Losses *base = quality_train(g->base, cell->words, &base_why, a);
        GateCheck c = { "quality", cell->name, head_why, GATE_REGRESSED, base->nll, head->nll, 0 };
        if (gate_interrupted()) return;
        if (!head_why && base_why) {
            c.verdict = GATE_UNKNOWN;
            c.sentence = arena_text(a, "new in head; error of base: %s", base_why);
        } else if (!head_why)
            c = quality_compare(g, c, base, head, strstr(cell->words, "quant=none") != NULL, a);
        gate_check_add(g, c, a);
    }
}
