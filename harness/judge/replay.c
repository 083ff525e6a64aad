/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Verdicts on claims are computed from the rows that each was recorded with; comparisons of a gate
 * from their samples, look by look, as the gate decided them. */
#include "harness/judge/replay.h"
#include "harness/judge/claims.h"
#include "harness/regress/regress.h"
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* claims, gates: verdicts and comparisons seen */
typedef struct Replay { Db *db; Arena *a; int claims, gates, differ, verbose; } Replay;

static void replay_tell(Replay *r, int same, const char *what, const char *was, const char *is)
{
    r->differ += !same;
    if (!same) printf("differs  %s: recorded %s; now %s\n", what, was, is);
    else if (r->verbose) printf("same     %s: %s\n", what, was);
}

static const char *const *replay_row(const DbTable *t, int i)
{
    return t->field + (i + 1) * t->columns;
}

static double replay_real(const char *text) { return text ? strtod(text, NULL) : NAN; }

/* v: name, verdict, value, low, high, definition, runs */
static const char *replay_claim(Replay *r, const char *const *v)
{
    Claim c;
    Judgement j;
    const double value = replay_real(v[2]), low = replay_real(v[3]), high = replay_real(v[4]);
    const char *why = claim_from_definition(v[0], v[5], &c, r->a);
    if (!why) why = claim_judge_rows(r->db, &c, v[6], &j, r->a);
    if (why) return why;
    const char *was = arena_text(r->a, "%s %.17g [%.17g, %.17g]", v[1], value, low, high);
    const char *is = arena_text(r->a, "%s %.17g [%.17g, %.17g]", claim_verdicts[j.verdict],
                                j.of.median, j.of.low, j.of.high);
    replay_tell(r, claim_same(&j, v[1], value, low, high), v[0], was, is);
    r->claims++;
    return NULL;
}

static const char *replay_claims(Replay *r)
{
    DbTable all;
    const char *why =
        db_table(r->db,
                 "SELECT name, verdict, value, low, high, definition, runs FROM judged ORDER BY id",
                 &all, r->a);
    for (int i = 0; i < all.rows && !why; i++) why = replay_claim(r, replay_row(&all, i));
    return why;
}

/* ---- gates: the rounds of each comparison are added look by look, as when it was decided ---- */
static const char *const replay_sides[] = { "head", "control", "canary" };
typedef struct ReplayCase {
    const char *was;                 /* the recorded verdict */
    double      low, high, shift;    /* as recorded: log of the ratio of times, its interval */
    double     *d;                   /* (rounds) the shift of each round */
    int         rounds;
} ReplayCase;

/* d of every round that has both sides, from samples in the order of rounds. Gates of before took
 * them in blocks, and had one base for all comparisons */
static const char *replay_shifts(Replay *r, const char *run, const char *bench, const char *side,
                                 ReplayCase *c)
{
    DbTable s;
    const char *why = db_table(
        r->db,
        arena_text(r->a,
                   "SELECT round, side, ns FROM gate_sample WHERE run = %s AND bench = %s "
                   "AND side IN ('base', '%s.base', '%s') ORDER BY round, side = '%s', position",
                   run, db_quoted(bench, r->a), side, side, side),
        &s, r->a);
    if (why) return why;
    double *of[2] = { arena_array(r->a, (size_t)s.rows + 1, sizeof **of),
                      arena_array(r->a, (size_t)s.rows + 1, sizeof **of) };
    c->d = arena_array(r->a, (size_t)s.rows + 1, sizeof *c->d);
    for (int i = 0, j; i < s.rows; i = j) {
        int n[2] = { 0 };
        const int blocks = !strcmp(replay_row(&s, i)[1], "base");
        for (j = i; j < s.rows && !strcmp(replay_row(&s, j)[0], replay_row(&s, i)[0]); j++) {
            const int k = !strcmp(replay_row(&s, j)[1], side);
            of[k][n[k]++] = replay_real(replay_row(&s, j)[2]);
        }
        if (blocks && n[1]) c->d[c->rounds++] = gate_shift(of[0], n[0], of[1], n[1], r->a);
        else if (n[1] && n[1] == n[0]) c->d[c->rounds++] = gate_pairs(of[0], of[1], n[1], r->a);
    }
    return NULL;
}

/* A comparison decided once more, against what was recorded */
static void replay_case(Replay *r, const char *run, const GateCase *c, const ReplayCase *x)
{
    const Interval *s = &c->shift;
    const int same = !strcmp(x->was, verdict_names[c->verdict]) && s->median == x->shift &&
                     s->low == x->low && s->high == x->high;
    replay_tell(r, same, arena_text(r->a, "gate of run %s, %s", run, c->name),
                arena_text(r->a, "%s %.17g [%.17g, %.17g]", x->was, x->shift, x->low, x->high),
                arena_text(r->a, "%s %.17g [%.17g, %.17g]", verdict_names[c->verdict], s->median,
                           s->low, s->high));
    r->gates++;
}

/* All comparisons of one side (an index of replay_sides) with base, which the gate decides
 * together. rounds: of a look */
static const char *replay_family(Replay *r, const char *run, int side, long rounds,
                                 const GateRule *rule)
{
    static const char *const like[] = { "bench NOT LIKE '%@%'", "bench LIKE '%@control'",
                                        "bench LIKE '%@canary'" };
    DbTable g;
    const char *why = db_table(r->db,
                               arena_text(r->a,
                                          "SELECT bench, verdict, shift, low, high, budget FROM "
                                          "gate WHERE run = %s AND %s AND rounds IS NOT NULL",
                                          run, like[side]),
                               &g, r->a);
    if (why || !g.rows) return why;
    ReplayCase *all = arena_array(r->a, (size_t)g.rows, sizeof *all);
    GateCase *c = arena_array(r->a, (size_t)g.rows, sizeof *c);
    for (int i = 0; i < g.rows && !why; i++) {
        const char *const *v = replay_row(&g, i);
        const char *bench = arena_text(r->a, "%.*s", (int)strcspn(v[0], "@"), v[0]);
        all[i] = (ReplayCase){ .was = v[1],
                               .shift = replay_real(v[2]),
                               .low = replay_real(v[3]),
                               .high = replay_real(v[4]) };
        why = replay_shifts(r, run, bench, replay_sides[side], &all[i]);
        c[i] = (GateCase){ .name = v[0], .budget = replay_real(v[5]), .d = all[i].d };
    }
    for (int look = 1, open = 1; look <= rule->looks && open && !why; look++) {
        for (int i = 0; i < g.rows; i++)
            if (c[i].verdict == GATE_UNKNOWN)
                c[i].rounds =
                    all[i].rounds < look * rounds ? all[i].rounds : (int)(look * rounds);
        open = gate_decide(rule, c, g.rows, look, r->a);
    }
    for (int i = 0; i < g.rows && !why; i++) replay_case(r, run, &c[i], &all[i]);
    return why;
}

/* The number behind " key=" in the settings of a gate; NAN: there is none */
static double replay_setting(const char *spec, const char *key)
{
    const char *at = strstr(spec, key);
    return at ? strtod(at + strlen(key), NULL) : NAN;
}

static const char *replay_gates(Replay *r)
{
    DbTable all;
    const char *why =
        db_table(r->db,
                 "SELECT DISTINCT g.run, p.spec FROM gate g JOIN provenance p ON p.run = g.run "
                 "WHERE g.rounds IS NOT NULL ORDER BY g.run",
                 &all, r->a);
    for (int i = 0; i < all.rows && !why; i++) {
        const char *run = replay_row(&all, i)[0], *spec = replay_row(&all, i)[1];
        GateRule rule = gate_rule;
        const double rounds = replay_setting(spec, " rounds=");
        rule.floor = replay_setting(spec, " floor=");
        if (!(rounds >= 1 && rounds <= INT_MAX) || !(rule.floor >= 0))
            return arena_text(r->a,
                              "gate of run %s: expected rounds= and floor= in its settings: %s",
                              run, spec);
        for (int side = 0; side < 3 && !why; side++)
            why = replay_family(r, run, side, (long)rounds, &rule);
    }
    return why;
}

/* ---- packs ---- */
/* The pack as a database: one of its text, in a new directory `temporary`, where it is text */
static Db *replay_open(const char *path, char *temporary, Arena *a, const char **why)
{
    struct stat is;
    DbMerged m;
    if (stat(path, &is) || !S_ISDIR(is.st_mode)) {
        *temporary = 0;
        return db_open_read(path, a, why);
    }
    if (!mkdtemp(temporary)) {
        *why = arena_text(a, "%s: cannot be made: %s", temporary, strerror(errno));
        *temporary = 0;
        return NULL;
    }
    const char *made = arena_text(a, "%s/pack.db", temporary);
    *why = db_merge(&path, 1, made, &m, a);
    return *why ? NULL : db_open_read(made, a, why);
}

static void replay_close(Replay *r, const char *temporary)
{
    db_close(r->db);
    if (!*temporary) return;
    unlink(arena_text(r->a, "%s/pack.db", temporary));
    rmdir(temporary);
}

const char *replay_pack(const char *pack, int verbose, int *code, Arena *a)
{
    const char *set = getenv("TMPDIR"), *why = NULL;
    char *temporary = arena_text(a, "%s/eightysix-replay-XXXXXX", set && *set ? set : "/tmp");
    Replay r = { .a = a, .verbose = verbose };
    r.db = replay_open(pack, temporary, a, &why);
    if (!why) why = db_check_whole(r.db);
    if (!why) why = replay_claims(&r);
    if (!why) why = replay_gates(&r);
    replay_close(&r, temporary);
    if (why) return why;
    printf("%d verdicts on claims, %d comparisons of gates; %d differ\n", r.claims, r.gates,
           r.differ);
    *code = r.differ ? 1 : r.claims + r.gates ? 0 : 3;
    return NULL;
}
