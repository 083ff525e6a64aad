/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The verdict on a claim. */
#include "harness/judge/claims.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const claim_verdicts[] = { "not tested", "held", "weakened", "refuted",
                                       "under review" };

ClaimVerdict claim_decide(const Claim *c, const double *x, int n, Interval *of, Arena *a)
{
    *of = (Interval){ .median = NAN, .low = NAN, .high = NAN };
    if (!n) return CLAIM_UNTESTED;
    *of = stats_median(x, n, CLAIMS_LEVEL, a);
    if (c->review) return CLAIM_REVIEW;
    const double least = c->low - c->tolerance, most = c->high + c->tolerance;
    if (of->low >= least && of->high <= most) return CLAIM_HELD;
    const int beyond = of->high < least || of->low > most;
    const int against = c->side > 0 ? of->high < c->edge : of->low > c->edge;
    return (c->side ? against : beyond) ? CLAIM_REFUTED : CLAIM_WEAKENED;
}

/* ---- the rows of a question ---- */
enum { MOST_VALUES = 4096 };
/* runs: ids "1,2" */
typedef struct Answer { double x[MOST_VALUES]; int n; const char *runs; } Answer;

/* "," ids "," with one more unless it is there */
static const char *add_run(const char *runs, const char *id, Arena *a)
{
    return strstr(runs, arena_text(a, ",%s,", id)) ? runs : arena_text(a, "%s%s,", runs, id);
}

static const char *add_row(Answer *r, const DbTable *t, int row, Arena *a)
{
    char *end;
    const char *value = db_field(t, row, "value");
    if (!value) return NULL;
    const double x = strtod(value, &end);
    if (*end || !isfinite(x)) return arena_text(a, "expected a number, not '%.40s'", value);
    if (r->n == MOST_VALUES) return arena_text(a, "more than %d rows", MOST_VALUES);
    r->x[r->n++] = x;
    for (int i = 0; i < t->columns; i++) {
        const char *id = t->field[(row + 1) * t->columns + i];
        if (strncmp(t->field[i], "run", 3)) continue;
        if (!id || !atol(id))
            return arena_text(a, "expected the id of a run in column %s", t->field[i]);
        r->runs = add_run(r->runs, id, a);
    }
    return NULL;
}

static const char *answer(Db *db, const char *select, Answer *r, Arena *a)
{
    DbTable t;
    int values = 0, runs = 0;
    const char *why = db_table(db, select, &t, a);
    if (why) return why;
    for (int i = 0; i < t.columns; i++) {
        values += !strcmp(t.field[i], "value");
        runs += !strncmp(t.field[i], "run", 3);
    }
    if (values != 1 || !runs) return "expected a column value and columns that begin with run";
    for (int i = 0; i < t.rows && !why; i++) why = add_row(r, &t, i, a);
    return why;
}

static const char *ask(Db *db, const Claim *c, Answer *r, Arena *a)
{
    *r = (Answer){ .runs = "," };
    const char *why = answer(db, c->value, r, a);
    if (why) return arena_text(a, "%s: %s: value: %s", c->at_value, c->name, why);
    const int len = (int)strlen(r->runs);
    r->runs = len > 1 ? arena_text(a, "%.*s", len - 2, r->runs + 1) : "";
    return NULL;
}

/* the plans that show the runs, then the runs by UUID */
static const char *rows_of(Db *db, const char *runs, Arena *a, const char **rows)
{
    const char *const select[] = {
        arena_text(
            a,
            "SELECT DISTINCT u.experiment || '@' || u.planned || '@' || u.build FROM current u "
            "JOIN cell_run c ON c.plan = u.plan "
            "WHERE c.run IN (%s) ORDER BY 1",
            runs),
        arena_text(a, "SELECT uuid FROM provenance WHERE run IN (%s) ORDER BY run", runs)
    };
    *rows = "";
    for (int k = 0; k < 2; k++) {
        DbTable t;
        const char *why = db_table(db, select[k], &t, a);
        if (why) return why;
        for (int i = 1; i <= t.rows; i++)
            *rows = arena_text(a, "%s%s%s", *rows, **rows ? " " : "", t.field[i]);
    }
    return NULL;
}

static int same(double x, double y) { return (isnan(x) && isnan(y)) || !memcmp(&x, &y, sizeof x); }

int claim_same(const Judgement *j, const char *verdict, double value, double low, double high)
{
    return !strcmp(claim_verdicts[j->verdict], verdict) && same(j->of.median, value) &&
        same(j->of.low, low) && same(j->of.high, high);
}

static const char *judge(Db *db, const Claim *c, Judgement *j, Arena *a)
{
    Answer *r = arena_get(a, sizeof *r);
    const char *why = ask(db, c, r, a);
    if (why) return why;
    *j = (Judgement){ .n = r->n, .x = r->x, .runs = r->runs, .rows = "" };
    j->verdict = claim_decide(c, r->x, r->n, &j->of, a);
    return r->n ? rows_of(db, j->runs, a, &j->rows) : NULL;
}

const char *claim_again(Db *db, const Claim *c, const char *rows, Judgement *j, Arena *a)
{
    db_restrict(db, rows);
    const char *why = judge(db, c, j, a);
    db_restrict(db, NULL);
    return why;
}

const char *claim_judge(Db *db, const Claim *c, Judgement *j, Arena *a)
{
    Judgement again;
    const char *why = judge(db, c, j, a);
    if (!why) why = claim_again(db, c, j->rows, &again, a);
    if (why || (again.n == j->n && claim_same(j, claim_verdicts[again.verdict], again.of.median,
                                              again.of.low, again.of.high)))
        return why;
    return arena_text(
        a,
        "%s: %s: value: depends on runs it does not name; expected them in columns that "
        "begin with run",
        c->at_value, c->name);
}
