/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The verdict on a claim, from the rows of its question. */
#include "harness/judge/claims.h"
#include <errno.h>
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
typedef struct ClaimId { long run; int at; } ClaimId;      /* at: its place among all of them */
typedef struct ClaimRows {
    double  *x;                       /* (n) values */
    ClaimId *id;                      /* (ids) runs in the order of the rows, some several times */
    int      n, ids;
} ClaimRows;

static int claim_is_run(const char *column) { return !strncmp(column, "run", 3); }

static int claim_by_run(const void *one, const void *other)
{
    const ClaimId *x = one, *y = other;
    return x->run != y->run ? (x->run > y->run) - (x->run < y->run) : x->at - y->at;
}

static int claim_by_place(const void *one, const void *other)
{
    return ((const ClaimId *)one)->at - ((const ClaimId *)other)->at;
}

/* "3,1,2": every run once, in the order in which the rows name them first */
static const char *claim_runs_text(ClaimRows *r, Arena *a)
{
    enum { DIGITS = 21 };             /* of a long, with its sign and a comma */
    char *text = arena_raw(a, array_bytes((size_t)r->ids + 1, DIGITS)), *to = text;
    int n = 0;
    qsort(r->id, (size_t)r->ids, sizeof *r->id, claim_by_run);
    for (int i = 0; i < r->ids; i++)
        if (!i || r->id[i].run != r->id[n - 1].run) r->id[n++] = r->id[i];
    qsort(r->id, (size_t)n, sizeof *r->id, claim_by_place);
    for (int i = 0; i < n; i++) to += sprintf(to, "%s%ld", i ? "," : "", r->id[i].run);
    *to = 0;
    return text;
}

static const char *claim_read_row(ClaimRows *r, const DbTable *t, int row, Arena *a)
{
    char *end;
    const char *value = db_field(t, row, "value");
    if (!value) return NULL;
    const double x = strtod(value, &end);
    if (end == value || *end || !isfinite(x))
        return arena_text(a, "expected a number, not '%.40s'", value);
    r->x[r->n++] = x;
    for (int i = 0; i < t->columns; i++) {
        const char *id = t->field[(row + 1) * t->columns + i];
        if (!claim_is_run(t->field[i])) continue;
        errno = 0;
        const long run = id ? strtol(id, &end, 10) : 0;
        if (!run || *end || errno)
            return arena_text(a, "expected the id of a run in column %s, not '%.40s'", t->field[i],
                              id ? id : "NULL");
        r->id[r->ids] = (ClaimId){ run, r->ids };
        r->ids++;
    }
    return NULL;
}

static const char *claim_read_rows(Db *db, const char *select, ClaimRows *r, Arena *a)
{
    DbTable t;
    int values = 0, runs = 0;
    const char *why = db_table(db, select, &t, a);
    if (why) return why;
    for (int i = 0; i < t.columns; i++) {
        values += !strcmp(t.field[i], "value");
        runs += claim_is_run(t.field[i]);
    }
    if (values != 1 || !runs) return "expected a column value and columns that begin with run";
    r->x = arena_array(a, (size_t)t.rows + 1, sizeof *r->x);
    r->id = arena_array(a, array_bytes((size_t)t.rows + 1, (size_t)runs), sizeof *r->id);
    for (int i = 0; i < t.rows && !why; i++) why = claim_read_row(r, &t, i, a);
    return why;
}

/* The first column of a question, its rows joined by spaces */
static const char *claim_join(Db *db, const char *select, const char **out, Arena *a)
{
    DbTable t;
    size_t room = 1;
    const char *why = db_table(db, select, &t, a);
    if (why) return why;
    for (int i = 1; i <= t.rows; i++) room += strlen(t.field[i * t.columns]) + 1;
    char *text = arena_raw(a, room), *to = text;
    for (int i = 1; i <= t.rows; i++) {
        if (i > 1) *to++ = ' ';
        to = stpcpy(to, t.field[i * t.columns]);
    }
    *to = 0;
    *out = text;
    return NULL;
}

/* The plans that show these runs, then the runs by their UUIDs */
static const char *claim_rows(Db *db, const char *runs, const char **rows, Arena *a)
{
    const char *plans, *uuids;
    const char *why = claim_join(
        db,
        arena_text(a,
                   "SELECT DISTINCT u.experiment || '@' || u.planned || '@' || u.build "
                   "FROM current u JOIN cell_run c ON c.plan = u.plan "
                   "WHERE c.run IN (%s) ORDER BY 1",
                   runs),
        &plans, a);
    if (!why)
        why = claim_join(
            db, arena_text(a, "SELECT uuid FROM provenance WHERE run IN (%s) ORDER BY run", runs),
            &uuids, a);
    if (!why) *rows = arena_text(a, "%s%s%s", plans, *plans && *uuids ? " " : "", uuids);
    return why;
}

static int claim_same_number(double x, double y)
{
    return (isnan(x) && isnan(y)) || !memcmp(&x, &y, sizeof x);
}

int claim_same(const Judgement *j, const char *verdict, double value, double low, double high)
{
    return !strcmp(claim_verdicts[j->verdict], verdict) && claim_same_number(j->of.median, value) &&
           claim_same_number(j->of.low, low) && claim_same_number(j->of.high, high);
}

/* The verdict on the rows that the views show now */
static const char *claim_judge_shown(Db *db, const Claim *c, Judgement *j, Arena *a)
{
    ClaimRows r = { 0 };
    const char *why = claim_read_rows(db, c->value, &r, a);
    if (why) return arena_text(a, "%s: %s: value: %s", c->at_value, c->name, why);
    *j = (Judgement){ .n = r.n, .x = r.x, .runs = claim_runs_text(&r, a), .rows = "" };
    j->verdict = claim_decide(c, r.x, r.n, &j->of, a);
    return r.n ? claim_rows(db, j->runs, &j->rows, a) : NULL;
}

const char *claim_judge_rows(Db *db, const Claim *c, const char *rows, Judgement *j, Arena *a)
{
    db_restrict(db, rows);
    const char *why = claim_judge_shown(db, c, j, a);
    db_restrict(db, NULL);
    return why;
}

const char *claim_judge(Db *db, const Claim *c, Judgement *j, Arena *a)
{
    Judgement again;
    const char *why = claim_judge_shown(db, c, j, a);
    if (!why) why = claim_judge_rows(db, c, j->rows, &again, a);
    if (why || (again.n == j->n && claim_same(j, claim_verdicts[again.verdict], again.of.median,
                                              again.of.low, again.of.high)))
        return why;
    return arena_text(a,
                      "%s: %s: value: depends on runs it does not name; expected the ids of all of "
                      "them in columns that begin with run",
                      c->at_value, c->name);
}
