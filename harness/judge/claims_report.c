/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is said of verdicts on claims, and how they are kept. */
#include "harness/judge/claims.h"
#include "harness/util/file.h"
#include "harness/util/share.h"
#include "harness/util/yaml.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Report {
    const ClaimsQuery *ask;
    Arena      *a;
    Claims      claims;
    Judgement  *of;                       /* (claims.n) */
    char       *chosen;                   /* (claims.n) 1: to be judged */
    const char *recorded;                 /* the text of the recorded verdicts; "" */
    int         count[CLAIM_VERDICTS];    /* of the chosen ones */
    int         lost, gone;               /* was held, and now: is not; has no rows */
} Report;

static const char *report_number(double x, Arena *a)
{
    return fabs(x) >= 1e5 && x == floor(x) ? arena_text(a, "%.0f", x) : arena_text(a, "%.4g", x);
}

const char *claim_range(const Claim *c, Arena *a)
{
    const char *low = report_number(c->low, a), *high = report_number(c->high, a);
    return c->low == c->high ? low
           : isinf(c->low)   ? arena_text(a, "at most %s", high)
           : isinf(c->high)  ? arena_text(a, "at least %s", low)
                             : arena_text(a, "%s to %s", low, high);
}

static const char *report_claimed(const Claim *c, Arena *a)
{
    const char *range = claim_range(c, a);
    if (!(c->tolerance > 0)) return range;
    return arena_text(a, "%s within %s", range, report_number(c->tolerance, a));
}

const char *claim_sentence(const Claim *c, const Judgement *j, Arena *a)
{
    const char *unit = arena_text(a, "%s%s", *c->unit ? " " : "", c->unit), *interval = "";
    const char *claimed = report_claimed(c, a);
    if (!j->n) return arena_text(a, "no rows; claimed %s%s; %s", claimed, unit, c->experiment);
    if (j->n > 1)
        interval = arena_text(a, " [%s, %s] %.3g %%", report_number(j->of.low, a),
                              report_number(j->of.high, a), 100 * j->of.coverage);
    return arena_text(a, "%s%s%s, n %d; claimed %s", report_number(j->of.median, a), unit,
                      interval, j->n, claimed);
}

/* ---- verdicts as they were recorded: name,verdict,value,low,high,n ---- */
static const char *report_read_recorded(Report *r)
{
    const char *why = NULL, *path = share_path(r->ask->recorded_path, r->a);
    size_t len;
    r->recorded = "";
    if (access(path, F_OK)) return NULL;
    const char *text = yaml_load(path, &len, r->a, &why);
    if (text) r->recorded = text;
    return why;
}

static int report_was_held(const Report *r, const Claim *c)
{
    return strstr(r->recorded, arena_text(r->a, "\n%s,held,", c->name)) != NULL;
}

static const char *report_save_recorded(const Report *r)
{
    const char *why, *path = r->ask->recorded_path;
    FILE *f = file_begin(path, r->a, &why);
    if (!f) return why;
    fputs("name,verdict,value,low,high,n\n", f);
    for (int i = 0; i < r->claims.n; i++) {
        const Judgement *j = &r->of[i];
        fprintf(f, "%s,%s,", r->claims.claim[i].name, claim_verdicts[j->verdict]);
        if (j->n) fprintf(f, "%.17g,%.17g,%.17g,%d\n", j->of.median, j->of.low, j->of.high, j->n);
        else fputs(",,,0\n", f);
    }
    return file_commit(f, path, r->a);
}

static const char *report_record(const Report *r)
{
    const char *why;
    Db *db = db_open(r->ask->db_path, r->a, &why);
    if (!db) return why;
    for (int i = 0; i < r->claims.n; i++) {
        const Claim *c = &r->claims.claim[i];
        const Judgement *j = &r->of[i];
        db_verdict(db, &(DbVerdict) { .name = c->name,
                                      .verdict = claim_verdicts[j->verdict],
                                      .rows = j->rows,
                                      .definition = claim_definition(c, r->a),
                                      .value = j->of.median,
                                      .low = j->of.low,
                                      .high = j->of.high });
    }
    db_flush(db);
    db_close(db);
    return report_save_recorded(r);
}

/* ---- what is shown ---- */
/* at: counted from 1, of the chosen ones */
static void report_show(Report *r, int i, int at)
{
    const Claim *c = &r->claims.claim[i];
    const Judgement *j = &r->of[i];
    const char *verdict = claim_verdicts[j->verdict], *sentence = claim_sentence(c, j, r->a);
    const int changed = report_was_held(r, c) && j->verdict != CLAIM_HELD &&
                        j->verdict != CLAIM_REVIEW;
    r->count[j->verdict]++;
    r->lost += changed && j->n;
    r->gone += changed && !j->n;
    if (r->ask->tap) {
        const int skip = !j->n && !changed;
        printf("%s %d - %s: %s: %s%s\n", changed ? "not ok" : "ok", at, c->name, verdict, sentence,
               skip ? " # SKIP not tested" : "");
        return;
    }
    printf("%-10s  %s: %s%s\n", verdict, c->name, sentence, changed ? "  (was held)" : "");
    printf("            \"%s\"\n", c->words);
    if (c->review) printf("            under review: %s\n", c->review);
    if (j->n) printf("            runs %s; from %s\n", j->runs, c->experiment);
}

static void report_show_all(Report *r)
{
    int chosen = 0, at = 0;
    for (int i = 0; i < r->claims.n; i++) chosen += r->chosen[i];
    if (r->ask->tap) printf("TAP version 13\n1..%d\n", chosen);
    for (int i = 0; i < r->claims.n; i++)
        if (r->chosen[i]) report_show(r, i, ++at);
    if (!r->ask->tap)
        printf("\n%d held, %d weakened, %d refuted, %d under review, %d not tested\n",
               r->count[CLAIM_HELD], r->count[CLAIM_WEAKENED], r->count[CLAIM_REFUTED],
               r->count[CLAIM_REVIEW], r->count[CLAIM_UNTESTED]);
}

static const char *report_choose(Report *r)
{
    const ClaimsQuery *q = r->ask;
    const size_t room = (size_t)r->claims.n + 1;
    r->chosen = memset(arena_raw(r->a, room), !q->names, room);
    for (int i = 0; i < q->names; i++) {
        const Claim *c = claims_find(&r->claims, q->name[i]);
        if (!c)
            return arena_text(r->a, "%s: no claim of this name; `eightysix claims` shows them",
                              q->name[i]);
        r->chosen[c - r->claims.claim] = 1;
    }
    return NULL;
}

static const char *report_judge(Report *r)
{
    const char *why;
    Db *db = db_open_read(r->ask->db_path, r->a, &why);
    if (!db) return why;
    r->of = arena_array(r->a, (size_t)r->claims.n + 1, sizeof *r->of);
    for (int i = 0; i < r->claims.n && !why; i++)
        if (r->chosen[i]) why = claim_judge(db, &r->claims.claim[i], &r->of[i], r->a);
    db_close(db);
    return why;
}

const char *claims_report(const ClaimsQuery *q, int *code, Arena *a)
{
    Report r = { .ask = q, .a = a };
    CHECK(!q->record || !q->names);
    const char *why = claims_load(q->claims_path, &r.claims, a);
    if (!why) why = report_choose(&r);
    if (!why) why = report_read_recorded(&r);
    if (!why) why = report_judge(&r);
    if (why) return why;
    report_show_all(&r);
    *code = r.lost ? 1 : r.gone ? 3 : 0;
    return q->record ? report_record(&r) : NULL;
}
