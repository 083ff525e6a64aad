/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The commands `merge` and `replay`. A pack is a database like any other, or a directory of text.
 */
#include "harness/judge/claims.h"
#include "harness/util/options.h"
#include "harness/regress/regress.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char merge_help[] =
    "usage: eightysix merge PACK ... --into FILE\n\n"
    "Unites databases of records, packs and directories of text (`eightysix export --pack FILE`,\n"
    "`--text DIR`) in a new database: every run once, by its UUID, as the first PACK that has it "
    "tells it.\n"
    "Runs that have not ended are left out.\n\n"
    "exit code: 0 merged, 2 bad usage or input\n";

int merge_main(int argc, char **argv)
{
    const char *into = NULL;
    const Option options[] = { { "--into", &into, NULL }, { NULL, NULL, NULL } };
    const int n = options_read(argc, argv, options, merge_help);
    if (!n || !into) die("merge: expected packs and --into FILE; `eightysix merge --help`");
    Arena a = arena_new((size_t)1 << 32);
    DbMerged m;
    const char *why = db_merge((const char *const *)argv + 1, n, into, &m, &a);
    if (why) die("%s", why);
    printf("%s: %ld runs of %d packs", into, m.runs, n);
    if (m.again) printf(", %ld of them more than once", m.again);
    if (m.running) printf("; left out: %ld that have not ended", m.running);
    putchar('\n');
    arena_drop(&a);
    return 0;
}

/* ---- replay ---- */
static const char replay_help[] =
    "usage: eightysix replay PACK [--verbose]\n\n"
    "Takes every recorded verdict again from the raw records and compares bit for bit: verdicts on "
    "claims\n"
    "(`eightysix claims --record`) from the rows each names, comparisons of gates (`eightysix "
    "regress`)\n"
    "from their samples.\n\n"
    "  --verbose   also those that come out the same\n\n"
    "exit code: 0 all come out the same, 1 one differs, 2 bad usage or input, 3 there are none\n";

typedef struct Replay { Db *db; Arena *a; int claims, gates, differ, loud; } Replay;

static void tell(Replay *r, int same, const char *what, const char *was, const char *is)
{
    r->differ += !same;
    if (!same) printf("differs  %s: recorded %s; now %s\n", what, was, is);
    else if (r->loud) printf("same     %s: %s\n", what, was);
}

static const char *const *row(const DbTable *t, int i) { return t->field + (i + 1) * t->columns; }
static double real(const char *text) { return text ? strtod(text, NULL) : NAN; }

/* name, verdict, value, low, high, definition, runs */
static const char *replay_claim(Replay *r, const char *const *v)
{
    Claim c;
    Judgement j;
    const char *why = claim_defined(v[0], v[5], &c, r->a);
    if (!why) why = claim_again(r->db, &c, v[6], &j, r->a);
    if (why) return why;
    const char *was =
        arena_text(r->a, "%s %.17g [%.17g, %.17g]", v[1], real(v[2]), real(v[3]), real(v[4]));
    const char *is = arena_text(r->a, "%s %.17g [%.17g, %.17g]", claim_verdicts[j.verdict],
                                j.of.median, j.of.low, j.of.high);
    tell(r, claim_same(&j, v[1], real(v[2]), real(v[3]), real(v[4])), v[0], was, is);
    r->claims++;
    return NULL;
}

static const char *replay_claims(Replay *r)
{
    DbTable all;
    const char *why =
        db_table(r->db,
                 "SELECT name, verdict, value, low, high, definition, runs FROM judged "
                 "ORDER BY id",
                 &all, r->a);
    for (int i = 0; i < all.rows && !why; i++) why = replay_claim(r, row(&all, i));
    return why;
}

/* ---- gates: the rounds of each comparison, one after the other, are judged as they were ---- */
static const char *const sides[] = { "head", "control", "canary" };
typedef struct Compared {
    const char *was;
    double low, high, shift;
    double *d;
    int rounds;
} Compared;

/* d of every round that has both sides, from samples in the order of rounds */
static const char *shifts(Replay *r, const char *run, const char *bench, const char *side,
                          Compared *c)
{
    DbTable s;
    const char *why = db_table(r->db,
                               arena_text(r->a,
                                          "SELECT round, side, ns FROM gate_sample WHERE run = "
                                          "%s AND bench = '%s' AND "
                                          "side IN ('base', '%s') ORDER BY round",
                                          run, bench, side),
                               &s, r->a);
    if (why) return why;
    double *ns = arena_get(r->a, sizeof *ns * 2 * (size_t)(s.rows + 1)),
           *of[2] = { ns, ns + s.rows };
    c->d = arena_get(r->a, sizeof *c->d * (size_t)(s.rows + 1));
    for (int i = 0, j; i < s.rows; i = j) {
        int n[2] = { 0 };
        for (j = i; j < s.rows && !strcmp(row(&s, j)[0], row(&s, i)[0]); j++) {
            const int k = strcmp(row(&s, j)[1], "base") != 0;
            of[k][n[k]++] = real(row(&s, j)[2]);
        }
        if (n[0] && n[1]) c->d[c->rounds++] = gate_shift(of[0], n[0], of[1], n[1], r->a);
    }
    return NULL;
}

/* A comparison taken again, against what was recorded */
static void replay_case(Replay *r, const char *run, const GateCase *c, const Compared *x)
{
    const Interval *s = &c->shift;
    const int same = !strcmp(x->was, verdict_names[c->verdict]) && s->median == x->shift &&
        s->low == x->low && s->high == x->high;
    tell(r, same, arena_text(r->a, "gate of run %s, %s", run, c->name),
         arena_text(r->a, "%s %.17g [%.17g, %.17g]", x->was, x->shift, x->low, x->high),
         arena_text(r->a, "%s %.17g [%.17g, %.17g]", verdict_names[c->verdict], s->median, s->low,
                    s->high));
    r->gates++;
}

/* One family: benches against base, or controls, or canaries. rounds: of a look */
static const char *replay_family(Replay *r, const char *run, int side, int rounds,
                                 const GateRule *rule)
{
    static const char *const like[] = { "bench NOT LIKE '%@%'", "bench LIKE '%@control'",
                                        "bench LIKE '%@canary'" };
    DbTable g;
    const char *why = db_table(r->db,
                               arena_text(r->a,
                                          "SELECT bench, verdict, shift, low, high, budget FROM "
                                          "gate WHERE run = %s AND %s "
                                          "AND rounds IS NOT NULL",
                                          run, like[side]),
                               &g, r->a);
    if (why || !g.rows) return why;
    Compared *all = arena_get(r->a, sizeof *all * (size_t)g.rows);
    GateCase *c = arena_get(r->a, sizeof *c * (size_t)g.rows);
    for (int i = 0; i < g.rows && !why; i++) {
        const char *const *v = row(&g, i);
        const char *bench = arena_text(r->a, "%.*s", (int)strcspn(v[0], "@"), v[0]);
        all[i] =
            (Compared) { .was = v[1], .shift = real(v[2]), .low = real(v[3]), .high = real(v[4]) };
        why = shifts(r, run, bench, sides[side], &all[i]);
        c[i] = (GateCase){ .name = v[0], .budget = real(v[5]), .d = all[i].d };
    }
    for (int look = 1, open = 1; look <= rule->looks && open && !why; look++) {
        for (int i = 0; i < g.rows; i++)
            if (c[i].verdict == GATE_UNKNOWN)
                c[i].rounds = all[i].rounds < look * rounds ? all[i].rounds : look * rounds;
        open = gate_decide(rule, c, g.rows, look, r->a);
    }
    for (int i = 0; i < g.rows && !why; i++) replay_case(r, run, &c[i], &all[i]);
    return why;
}

static double setting(const char *spec, const char *key)
{
    const char *at = strstr(spec, key);
    return at ? strtod(at + strlen(key), NULL) : NAN;
}

static const char *replay_gates(Replay *r)
{
    DbTable all;
    const char *why =
        db_table(r->db,
                 "SELECT DISTINCT g.run, p.spec FROM gate g JOIN provenance p ON p.run "
                 "= g.run "
                 "WHERE g.rounds IS NOT NULL ORDER BY g.run",
                 &all, r->a);
    for (int i = 0; i < all.rows && !why; i++) {
        GateRule rule = gate_rule;
        const double rounds = setting(row(&all, i)[1], " rounds=");
        rule.floor = setting(row(&all, i)[1], " floor=");
        if (!(rounds >= 1) || !(rule.floor >= 0))
            return arena_text(r->a, "gate of run %s: expected rounds= and floor= in its words: %s",
                              row(&all, i)[0], row(&all, i)[1]);
        for (int side = 0; side < 3 && !why; side++)
            why = replay_family(r, row(&all, i)[0], side, (int)rounds, &rule);
    }
    return why;
}

/* the pack as a database: a directory of text becomes a temporary one */
static Db *open_pack(const char *path, const char **temporary, Arena *a, const char **why)
{
    struct stat is;
    DbMerged m;
    if (stat(path, &is) || !S_ISDIR(is.st_mode)) return db_open_read(path, a, why);
    *temporary = arena_text(a, "/tmp/eightysix-replay-%ld.db", (long)getpid());
    *why = db_merge(&path, 1, *temporary, &m, a);
    return *why ? NULL : db_open_read(*temporary, a, why);
}

int replay_main(int argc, char **argv)
{
    Replay r = { 0 };
    const Option options[] = { { "--verbose", NULL, &r.loud }, { NULL, NULL, NULL } };
    if (options_read(argc, argv, options, replay_help) != 1)
        die("replay: expected one pack; `eightysix replay --help`");
    Arena a = arena_new((size_t)1 << 34);
    const char *temporary = NULL, *why = NULL;
    r.a = &a;
    r.db = open_pack(argv[1], &temporary, &a, &why);
    if (!why) why = replay_claims(&r);
    if (!why) why = replay_gates(&r);
    db_close(r.db);
    if (temporary) unlink(temporary);
    if (why) die("%s", why);
    printf("%d verdicts on claims, %d comparisons of gates; %d differ\n", r.claims, r.gates,
           r.differ);
    arena_drop(&a);
    return r.differ ? 1 : r.claims + r.gates ? 0 : 3;
}
