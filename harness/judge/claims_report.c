/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `claims`. */
#include "harness/judge/claims.h"
#include "harness/util/file.h"
#include "harness/util/options.h"
#include "harness/util/share.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: eightysix claims [NAME ...] [--db FILE] [--tap] [--record] ...\n\n"
    "Asks the records about every claim of " CLAIMS_FILE ":\n"
    "the measured median with its 95 % interval, the verdict, the runs.\n\n"
    "  --db FILE        the records (results/results.db), or a pack\n"
    "  --claims FILE    other claims\n"
    "  --recorded FILE  verdicts to compare with (" CLAIMS_RECORDED ")\n"
    "  --record         keep these verdicts: rows in the database, and that file\n"
    "  --tap            as TAP: not ok is what was held and is not\n\n"
    "exit code: 0 what was held is, 1 one is weakened or refuted, 2 bad usage or input,\n"
    "           3 one is not tested any more\n";

typedef struct Report {
    Claims      claims;
    Judgement  *of;                       /* (claims) */
    char       *chosen;                   /* (claims) */
    const char *recorded, *recorded_path; /* the text of the file, "" */
    int         tap, count[CLAIM_VERDICTS], lost, gone;
} Report;

static const char *amount(double x, Arena *a)
{
    return fabs(x) >= 1e5 && x == floor(x) ? arena_text(a, "%.0f", x) : arena_text(a, "%.4g", x);
}

const char *claim_range(const Claim *c, Arena *a)
{
    const char *low = amount(c->low, a), *high = amount(c->high, a);
    return c->low == c->high ? low
           : isinf(c->low)   ? arena_text(a, "at most %s", high)
           : isinf(c->high)  ? arena_text(a, "at least %s", low)
                             : arena_text(a, "%s to %s", low, high);
}

static const char *claimed(const Claim *c, Arena *a)
{
    const char *range = claim_range(c, a);
    return c->tolerance > 0 ? arena_text(a, "%s within %s", range, amount(c->tolerance, a)) : range;
}

const char *claim_sentence(const Claim *c, const Judgement *j, Arena *a)
{
    const char *unit = arena_text(a, "%s%s", *c->unit ? " " : "", c->unit);
    if (!j->n)
        return arena_text(a, "no rows; claimed %s%s; %s", claimed(c, a), unit, c->experiment);
    const char *interval = j->n == 1 ? "" : arena_text(a, " [%s, %s] %.3g %%", amount(j->of.low, a),
                                                       amount(j->of.high, a),
                                                       100 * j->of.coverage);
    return arena_text(a, "%s%s%s, n %d; claimed %s", amount(j->of.median, a), unit, interval, j->n,
                      claimed(c, a));
}

/* ---- verdicts as they were recorded: name,verdict,value,low,high,n ---- */
static const char *recorded_text(const char *path, Arena *a)
{
    enum { MOST = 1 << 20 };
    char *text = arena_raw(a, MOST + 1);
    FILE *f = fopen(share_path(path, a), "r");
    if (!f) return "";
    const size_t n = fread(text, 1, MOST, f);
    fclose(f);
    text[n] = 0;
    return text;
}

static int was_held(const Report *r, const Claim *c, Arena *a)
{
    const char *line = arena_text(a, "\n%s,held,", c->name);
    return strstr(r->recorded, line) != NULL;
}

static void save_recorded(const Report *r, Arena *a)
{
    const char *why;
    FILE *f = file_begin(r->recorded_path, a, &why);
    if (!f) die("%s", why);
    fputs("name,verdict,value,low,high,n\n", f);
    for (int i = 0; i < r->claims.n; i++) {
        const Judgement *j = &r->of[i];
        fprintf(f, "%s,%s,", r->claims.claim[i].name, claim_verdicts[j->verdict]);
        if (j->n) fprintf(f, "%.17g,%.17g,%.17g,%d\n", j->of.median, j->of.low, j->of.high, j->n);
        else fputs(",,,0\n", f);
    }
    if ((why = file_commit(f, r->recorded_path, a))) die("%s", why);
}

static void keep(const Report *r, const char *db_path, Arena *a)
{
    const char *why;
    Db *db = db_open(db_path, a, &why);
    if (!db) die("%s", why);
    for (int i = 0; i < r->claims.n; i++) {
        const Claim *c = &r->claims.claim[i];
        const Judgement *j = &r->of[i];
        db_verdict(db, &(DbVerdict) { .name = c->name,
                                      .verdict = claim_verdicts[j->verdict],
                                      .rows = j->rows,
                                      .definition = claim_definition(c, a),
                                      .value = j->of.median,
                                      .low = j->of.low,
                                      .high = j->of.high });
    }
    db_flush(db);
    db_close(db);
    save_recorded(r, a);
}

/* ---- what is shown ---- */
static void show(Report *r, int i, int at, Arena *a)
{
    const Claim *c = &r->claims.claim[i];
    const Judgement *j = &r->of[i];
    const char *verdict = claim_verdicts[j->verdict], *sentence = claim_sentence(c, j, a);
    const int held = was_held(r, c, a),
              changed = held && j->verdict != CLAIM_HELD && j->verdict != CLAIM_REVIEW;
    r->count[j->verdict]++;
    r->lost += changed && j->n;
    r->gone += changed && !j->n;
    if (r->tap) {
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

static void choose(Report *r, char **names, int n, Arena *a)
{
    r->chosen = memset(arena_raw(a, (size_t)r->claims.n + 1), !n, (size_t)r->claims.n + 1);
    for (int i = 0; i < n; i++) {
        const Claim *c = claims_find(&r->claims, names[i]);
        if (!c) die("%s: no claim of this name; `eightysix claims` shows them", names[i]);
        r->chosen[c - r->claims.claim] = 1;
    }
}

int claims_main(int argc, char **argv)
{
    const char *db_path = "results/results.db", *path = CLAIMS_FILE, *why;
    Report r = { .recorded_path = CLAIMS_RECORDED };
    int record = 0, chosen = 0, at = 0;
    const Option options[] = { { "--db", &db_path, NULL }, { "--claims", &path, NULL },
                               { "--recorded", &r.recorded_path, NULL },
                               { "--record", NULL, &record }, { "--tap", NULL, &r.tap },
                               { NULL, NULL, NULL } };
    const int words = options_read(argc, argv, options, help);
    if (words && record) die("--record: expected no names; every verdict is kept or none");
    Arena a = arena_new((size_t)1 << 30);
    if ((why = claims_load(path, &r.claims, &a))) die("%s", why);
    choose(&r, argv + 1, words, &a);
    r.recorded = recorded_text(r.recorded_path, &a);
    r.of = arena_get(&a, sizeof *r.of * (size_t)(r.claims.n + 1));
    Db *db = db_open_read(db_path, &a, &why);
    if (!db || (why = db_hold(db))) die("%s", why);
    for (int i = 0; i < r.claims.n; i++) {
        chosen += r.chosen[i];
        if (r.chosen[i] && (why = claim_judge(db, &r.claims.claim[i], &r.of[i], &a)))
            die("%s", why);
    }
    db_close(db);
    if (r.tap) printf("TAP version 13\n1..%d\n", chosen);
    for (int i = 0; i < r.claims.n; i++)
        if (r.chosen[i]) show(&r, i, ++at, &a);
    if (!r.tap)
        printf("\n%d held, %d weakened, %d refuted, %d under review, %d not tested\n",
               r.count[CLAIM_HELD], r.count[CLAIM_WEAKENED], r.count[CLAIM_REFUTED],
               r.count[CLAIM_REVIEW], r.count[CLAIM_UNTESTED]);
    if (record) keep(&r, db_path, &a);
    arena_drop(&a);
    return r.lost ? 1 : r.gone ? 3 : 0;
}
