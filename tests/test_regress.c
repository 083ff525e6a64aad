/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The gate. Its decision on a simulated machine whose speed drifts (AR(1), 3 %) and is disturbed to
 * one side; then the command itself with two programs that speak the protocol and invent their
 * times. */
#include "harness/store/db.h"
#include "harness/regress/regress.h"
#include "tests/place.h"
#include <math.h>

/* ---- the decision ---- */
enum { CASES = 8, SAMPLES = 24, ROUNDS = 20, GATES = 150 };
typedef struct { double now, keep, sigma, skew; int slow; Rng rng; } Machine;

/* A neighbour comes and goes, every eighth sample or so, and then all takes 1.6 times as long */
static double tick(Machine *m, double shift)
{
    m->now = m->keep * m->now + sqrt(1 - m->keep * m->keep) * m->sigma * rng_normal(&m->rng);
    m->slow ^= rng_below(&m->rng, 8) == 0;
    return (m->slow ? 1.6e7 : 1e7) *
           exp(m->now + shift - m->skew * log(1 - rng_uniform(&m->rng)));
}

static double one_round(Machine *m, double shift, Arena *a)
{
    double ns[2][SAMPLES];
    const int coin = (int)rng_below(&m->rng, 2);
    for (int k = 0; k < SAMPLES; k++)
        for (int i = 0; i < 2; i++) {
            const int side = i ^ coin ^ (k & 1);
            ns[side][k] = tick(m, side ? shift : 0);
        }
    return gate_pairs(ns[0], ns[1], SAMPLES, a);
}

/* verdicts of the case that is shifted, and of the others */
enum { VERDICTS = GATE_REGRESSED + 1 };
typedef struct { int first[VERDICTS], others[VERDICTS]; } Tally;

static Tally gates(double keep, double shift, double budget, int n)
{
    const uint64_t stream = (uint64_t)(int64_t)(1e4 * keep + 1e6 * shift);
    Machine m = {
        .keep = keep, .sigma = 0.03, .skew = 0.01, .rng = rng_at(test_seed(), STREAM_CHECK, stream)
    };
    Arena a = arena_new(1 << 22);
    Tally t = { { 0 }, { 0 } };
    for (int g = 0; g < n; g++) {
        double d[CASES][2 * ROUNDS];
        GateCase c[CASES];
        for (int i = 0; i < CASES; i++)
            c[i] = (GateCase) { .name = "", .budget = budget, .d = d[i] };
        for (int look = 1, open = 1; look <= gate_rule.looks && open; look++) {
            for (int r = 0; r < ROUNDS; r++)
                for (int i = 0; i < CASES; i++) {
                    d[i][(look - 1) * ROUNDS + r] = one_round(&m, i ? 0 : shift, &a);
                    c[i].rounds += c[i].verdict == GATE_UNKNOWN;
                }
            open = gate_decide(&gate_rule, c, CASES, look, &a);
        }
        t.first[c[0].verdict]++;
        for (int i = 1; i < CASES; i++) t.others[c[i].verdict]++;
    }
    arena_drop(&a);
    return t;
}

static void expect_quiet(const int *verdicts, int gates_run)
{
    if (verdicts[GATE_REGRESSED] * 100 > gates_run || verdicts[GATE_IMPROVED] * 100 > gates_run)
        fail_msg("%d REGRESSED and %d IMPROVED in %d gates, nothing having changed",
                 verdicts[GATE_REGRESSED], verdicts[GATE_IMPROVED], gates_run);
}

static void false_alarms(void **state)
{
    (void)state;
    static const double keeps[] = { 0, 0.9, 0.99 };
    for (int k = 0; k < 3; k++) {
        const Tally t = gates(keeps[k], 0, 0.05, GATES);
        expect_quiet(t.first, GATES);
        expect_quiet(t.others, GATES);
    }
    const Tally slow = gates(0.99, 0, 0.05, GATES);
    assert_true(slow.first[GATE_SAME] >= 0.95 * GATES);
}

static void detection(void **state)
{
    (void)state;
    static const double keeps[] = { 0.9, 0.99 };
    for (int k = 0; k < 2; k++) {
        Tally t = gates(keeps[k], log(1.05), 0.05, GATES);
        if (t.first[GATE_REGRESSED] < 0.95 * GATES)
            fail_msg("5 %% slower: %d of %d REGRESSED", t.first[GATE_REGRESSED], GATES);
        expect_quiet(t.others, GATES);
        t = gates(keeps[k], -log(1.05), 0.05, GATES);
        if (t.first[GATE_IMPROVED] < 0.95 * GATES)
            fail_msg("5 %% faster: %d of %d IMPROVED", t.first[GATE_IMPROVED], GATES);
        /* faster by the floor: whether by more stays open, that it is not slower does not */
        t = gates(keeps[k], -0.02, 0.05, GATES);
        if (t.first[GATE_NOT_SLOWER] + t.first[GATE_IMPROVED] < 0.95 * GATES)
            fail_msg("2 %% faster: %d of %d UNKNOWN", t.first[GATE_UNKNOWN], GATES);
        /* at the floor: neither the same nor, but for one in a hundred, REGRESSED */
        t = gates(keeps[k], 0.02, 0.05, GATES);
        if (t.first[GATE_SAME] + t.first[GATE_NOT_SLOWER])
            fail_msg("a slowdown of the floor was called SAME or NOT SLOWER %d times",
                     t.first[GATE_SAME] + t.first[GATE_NOT_SLOWER]);
        assert_true(t.first[GATE_REGRESSED] * 100 <= 2 * GATES);
    }
}

static void no_pass_beyond_budget(void **state)
{
    (void)state;
    /* nothing changed, but less than 2.1 % over the floor cannot be seen */
    const Tally t = gates(0.99, 0, 0.021, 30);
    assert_int_equal(t.first[GATE_SAME] + t.others[GATE_SAME], 0);
    assert_int_equal(t.first[GATE_NOT_SLOWER] + t.others[GATE_NOT_SLOWER], 0);
}

static void pure(void **state)
{
    (void)state;
    double slow[20], same[20];
    Arena a = arena_new(1 << 20);
    for (int i = 0; i < 20; i++) {
        slow[i] = 0.05 + 0.001 * (i % 5);
        same[i] = 0.001 * (i % 5 - 2);
    }
    for (int again = 0; again < 2; again++) {
        GateCase c[2] = { { .budget = 0.05, .d = slow, .rounds = 20 },
                          { .budget = 0.05, .d = same, .rounds = 20 } };
        assert_int_equal(gate_decide(&gate_rule, c, 2, 1, &a), 0);
        assert_int_equal(c[0].verdict, GATE_REGRESSED);
        assert_int_equal(c[1].verdict, GATE_SAME);
        assert_true(c[0].shift.median > 0.0519 && c[0].shift.median < 0.0521 && c[0].look == 1);
        c[0].d = same;                                /* what is decided stays */
        assert_int_equal(gate_decide(&gate_rule, c, 2, 2, &a), 0);
        assert_true(c[0].verdict == GATE_REGRESSED && c[0].look == 1);
        assert_int_equal(a.used, 0);
    }
    arena_drop(&a);
}

static void codes(void **state)
{
    (void)state;
    typedef struct { GateTotal t; int code; const char *verdict; } Known;
    static const Known known[] = { { { 0, 0, 0, 0 }, 0, "PASS" },
                  { { 0, 0, 0, 1 }, 3, "UNKNOWN" },
                  { { 0, 0, 1, 1 }, 1, "REGRESSED" },
                  { { 0, 1, 1, 0 }, 3, "INVALID" },
                  { { 1, 1, 0, 0 }, 1, "REGRESSED" } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(gate_code(&known[i].t), known[i].code);
        assert_string_equal(gate_verdict(&known[i].t), known[i].verdict);
    }
}

/* ---- the command, with programs that invent their times ---- */
static int shell(Place *p, const char *command)
{
    const int status = system(arena_text(&p->a, "cd %s && { %s; } >> out 2>&1", p->dir, command));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A program of the protocol: an iteration takes `ns`, times 1 + delay where it heeds --delay, and a
 * little by process; its laws hold or not, its loss is `nll`. */
static void invent(Place *p, const char *name, double ns, int heeds, int law, double nll)
{
    FILE *f = fopen(arena_text(&p->a, "%s/%s", p->dir, name), "w");
    assert_non_null(f);
    fprintf(f,
            "#!/bin/sh\n"
            "echo \"$1 $2 $3\" >> \"$0.calls\"\n"
            "case \"$1 $2\" in\n"
            "'regress-sample list') printf 'text protocol 1\\ntext build b\\ntext compiler "
            "c\\ntext flags f\\n"
            "text bench probe/1 5 1\\ntext bench plain/1 5 0\\ntext quality q head=q\\n' >&3 ;;\n"
            "'regress-sample time') shift 3; while [ $# -gt 0 ]; do case $1 in --iters) n=$2 ;; "
            "--samples) k=$2 ;; --delay) d=$2 ;; esac; "
            "shift 2; done\n"
            "  if [ \"$n\" = 0 ]; then echo 'num iters 0 10' >&3; exit; fi\n"
            "  awk -v n=$n -v k=$k -v d=$d -v p=$$ 'BEGIN { srand(p); for (i = 0; i < k; i++)\n"
            "    printf \"sample x 0 %%d %%.3f %%d\\n\", i, %.0f * n * (1 + %d * d) * (1 + 0.002 * "
            "rand()), n }' >&3 ;;\n"
            "check*) %s ;;\n"
            "cell*) printf 'num nll_floor 0 3\\nnum nll 40 %g\\n' >&3 ;;\n"
            "esac\n",
            ns, heeds, law ? "exit 0" : "echo 'FAIL  head x does not sum to one'; exit 1", nll);
    fclose(f);
    assert_int_equal(shell(p, arena_text(&p->a, "chmod +x %s", name)), 0);
}

static int regress(Place *p, const char *more)
{
    unlink(arena_text(&p->a, "%s/out", p->dir));
    return shell(
        p,
        arena_text(&p->a,
                   "%s regress --base ./base --head ./head --rounds 12 --db t.db --markdown r.md "
                   "--junit r.xml %s",
                   getenv("EIGHTYSIX_BINARY"), more));
}

static int gate(Place *p, const char *words)
{
    return shell(p, arena_text(&p->a, "%s regress %s --no-db", getenv("EIGHTYSIX_BINARY"), words));
}

/* 1: a file of the place says it */
static int says(Place *p, const char *file, const char *what)
{
    return shell(p, arena_text(&p->a, "grep -qF -- '%s' %s", what, file)) == 0;
}

static void command(void **state)
{
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    invent(p, "base", 1e6, 1, 1, 5);
    invent(p, "head", 1e6, 1, 1, 5);
    assert_int_equal(regress(p, ""), 0);
    assert_true(says(p, "out", "SAME: both builds run the same code"));
    assert_int_equal(regress(p, "--always --times-only"), 0);
    assert_true(says(p, "out", "PASS:"));
    assert_int_equal(shell(p, "! ls *.part"), 0);
    assert_true(says(p, "r.md", "| plain/1 |"));
    assert_true(says(p, "r.xml", "tests=\"4\" failures=\"0\" errors=\"0\" skipped=\"0\""));
    invent(p, "head", 1.06e6, 1, 1, 5);
    assert_int_equal(regress(p, "--times-only"), 1);
    assert_true(says(p, "out", "REGRESSED: head is slower than base"));
    assert_true(says(p, "r.xml", "failures=\"2\" errors=\"0\" skipped=\"0\""));
    /* progress is told to a file as well, and the file for CI knows how long everything took */
    assert_true(says(p, "out", "round 1 of 12"));
    assert_int_equal(shell(p, "grep -qE '<testsuite [^>]* time=\"[0-9.]+\"' r.xml"), 0);
    assert_int_equal(shell(p, "grep -qE 'plain/1\" time=\"[0-9.]+\"' r.xml"), 0);
    invent(p, "head", 0.9e6, 1, 1, 5);
    assert_int_equal(regress(p, "--times-only"), 0);
    assert_true(says(p, "out", "IMPROVED"));
}

/* The machine changes its speed after every fourth sample, whoever takes it. Sides that take turns
 * do not differ by that, and a slowdown is still seen; of builds that do not know turns nothing
 * could be said. */
static void turns(void **state)
{
    Place *p = *state;
    static const char program[] =
        "#!/bin/sh\n"
        "[ $2 = time ] || {\n"
        "  printf 'text protocol 1\\ntext build b\\ntext bench probe/1 5 1\\n' >&3; exit; }\n"
        "case $5 in 0) echo 'num iters 0 10' >&3; exit ;; esac\n"
        "for i in 1 2 3 4; do\n"
        "  echo sync >&3; dd bs=1 count=1 <&4 >/dev/null 2>&1\n"
        "  read n < count; echo $((n + 1)) > count\n"
        "  case $9 in 0) of=100 ;; *) of=105 ;; esac\n"
        "  echo sample x 0 $i $(((10 + n / 4 %% 2 * 6) * of * %d)) 10 >&3\n"
        "done\n";
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    for (int slower = 0; slower < 2; slower++) {
        for (int side = 0; side < 2; side++) {
            FILE *f = fopen(arena_text(&p->a, "%s/%s", p->dir, side ? "head" : "base"), "w");
            assert_non_null(f);
            fprintf(f, program, side && slower ? 1060 : 1000);
            fclose(f);
        }
        assert_int_equal(shell(p, "chmod +x base head; echo 0 > count"), 0);
        assert_int_equal(regress(p, "--times-only --always --samples 4"), slower);
        assert_true(says(p, "out", slower ? "REGRESSED: head" : "PASS:"));
    }
}

static void invalid(void **state)
{
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    invent(p, "base", 1e6, 0, 1, 5);                  /* a machine that does not show a delay */
    invent(p, "head", 1.06e6, 0, 1, 5);
    assert_int_equal(regress(p, "--times-only"), 3);
    assert_true(says(p, "out", "INVALID:") && says(p, "r.xml", "a delay of 5 % was not found"));
}

static void faster_but_wrong(void **state)
{
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    invent(p, "base", 1e6, 1, 1, 5);
    invent(p, "head", 0.9e6, 1, 0, 5);
    assert_int_equal(regress(p, ""), 1);
    assert_true(says(p, "out", "does not sum to one"));
    /* what breaks a law is not timed */
    assert_true(says(p, "head.calls", "cell") && !says(p, "head.calls", "regress-sample time"));
    assert_true(says(p, "out", "not timed: a law is broken"));
    assert_true(says(p, "r.xml", "failures=\"1\" errors=\"0\" skipped=\"2\""));
    invent(p, "head", 0.9e6, 1, 1, 5.1);
    assert_int_equal(regress(p, ""), 1);
    assert_true(says(p, "out", "2.000 % worse"));
    invent(p, "head", 0.9e6, 1, 1, 4.9);
    assert_int_equal(regress(p, ""), 1);
    assert_true(says(p, "out", "if that is meant, --accept-quality"));
    assert_int_equal(regress(p, "--accept-quality"), 0);
    invent(p, "head", 0.9e6, 1, 1, 2.9);
    assert_int_equal(regress(p, "--accept-quality"), 1);
    assert_true(says(p, "out", "below the entropy of the language"));
    invent(p, "head", 0.9e6, 1, 1, 5.001);
    assert_int_equal(regress(p, ""), 0);
    /* much talk of a child leaves what was heard before as it was */
    assert_int_equal(shell(p, "sed -i 's/^check.) exit/check*) yes | head -c 1000000; exit/' head"),
                     0);
    assert_int_equal(regress(p, "--losses-only"), 0);
    assert_true(says(p, "out", "quality       q  "));
}

static void refused(void **state)
{
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    invent(p, "base", 1e6, 1, 1, 5);
    invent(p, "head", 1e6, 1, 1, 5);
    assert_int_equal(gate(p, "--base /bin/true --head ./head"), 2);
    assert_true(says(p, "out", "/bin/true has no command regress-sample"));
    assert_int_equal(gate(p, "--base no-such-ref --head ./head"), 2);
    assert_true(says(p, "out", "no-such-ref: expected a commit"));
    assert_int_equal(regress(p, "--always --filter nothing"), 2);
    assert_int_equal(regress(p, "--rounds many"), 2);
    assert_int_equal(regress(p, "word"), 2);
    /* these before anything is built */
    assert_int_equal(regress(p, "--filter '('"), 2);
    assert_true(says(p, "out", "--filter (: ") && !says(p, "out", "building"));
    assert_int_equal(regress(p, "--cpu 1023"), 2);
    assert_true(says(p, "out", "--cpu 1023: expected a core") && !says(p, "out", "building"));
    static const char *const unwritable[] = { "--markdown no/such/r.md", "--junit no/such/r.xml",
                                              "--markdown .", "--db .", "--db base" };
    for (size_t i = 0; i < sizeof unwritable / sizeof *unwritable; i++) {
        assert_int_equal(regress(p, unwritable[i]), 2);
        if (says(p, "out", "building")) fail_msg("%s: refused after a build", unwritable[i]);
    }
    assert_int_equal(shell(p, "git init -q . && git -c user.name=t -c user.email=t@t "
                              "-c commit.gpgsign=false commit -q --allow-empty -m c"), 0);
    assert_int_equal(gate(p, "--base HEAD --head HEAD --filter no-such-benchmark"), 2);
    assert_true(says(p, "out", "--filter no-such-benchmark") && !says(p, "out", "building"));
}

/* A program that passes everything on to this build, but for what `fault`, lines of sh, does. */
static void wrap(Place *p, const char *name, const char *fault)
{
    FILE *f = fopen(arena_text(&p->a, "%s/%s", p->dir, name), "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\nreal=$EIGHTYSIX_BINARY\n%s\nexec \"$real\" \"$@\"\n", fault);
    fclose(f);
    assert_int_equal(shell(p, arena_text(&p->a, "chmod +x %s", name)), 0);
}

/* one cell of each kind is enough here: the other cells of the list are left out */
static const char few[] =
    "only='^text ([^qg]|(quality|gradients) flashlm3.(tree.f32|softmax.int8) )'\n"
    "if [ $2 = list ]; then exec 4>&3; $real \"$@\" 3>&1 | grep -E \"$only\" >&4; exit; fi\n"
    "if [ $1 = check ]; then exit 0; fi\n";

static int losses(Place *p, const char *fault)
{
    wrap(p, "base", few);
    wrap(p, "head", arena_text(&p->a, "%s%s", few, fault));
    return regress(p, "--losses-only");
}

/* Minutes of small trainings: `make test-long` runs them */
static void only_in_long(void)
{
    if (getenv("EIGHTYSIX_LONG")) return;
    print_message("left to make test-long\n");
    skip();
}

static void a_trainer_that_never_learns(void **state)
{
    only_in_long();
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    assert_int_equal(losses(p, "# the same"), 0);
    assert_true(says(p, "out", "bit for bit"));
    assert_int_equal(
        losses(p, "if [ $1 = cell ]; then exec $real \"$@\" lr=0 lr_normuon=0; fi"), 1);
    assert_true(says(p, "out", "does not learn") && says(p, "out", "REGRESSED: head computes"));
    /* nor does one that never learned in base either pass */
    wrap(p, "base", "if [ $1 = cell ]; then exec $real \"$@\" lr=0 lr_normuon=0; fi");
    assert_int_equal(regress(p, "--losses-only --always"), 1);
    assert_true(says(p, "out", "does not learn"));
}

/* Changes one number of every gradient cell: of a gradient, or its sign, or what an update moves */
static int gradient(Place *p, const char *name, const char *change)
{
    return losses(p, arena_text(&p->a,
                                "if [ $2 = gradients ]; then exec 4>&3; $real \"$@\" 3>&1 | "
                                "awk '$2 ~ /%s/ { %s } { print }' >&4; exit; fi",
                                name, change));
}

static void a_wrong_gradient(void **state)
{
    only_in_long();
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    assert_int_equal(gradient(p, "^gradient:head.class", "$4 /= 2"), 1);
    assert_true(says(p, "out", "0.5 times") && says(p, "out", "gradient:head.class"));
    assert_int_equal(gradient(p, "^gradient:block.norm1.scale", "$4 = 0"), 1);
    assert_int_equal(gradient(p, "^along:", "$4 = -$4"), 1);
    assert_int_equal(gradient(p, "^moved:embedding", "$4 *= 0.9"), 1);
    assert_int_equal(gradient(p, "^gradient:block.glu.up", "next"), 1);
    assert_true(says(p, "out", "head has no"));
    /* the smallest that is seen, and one that is taken for rounding */
    assert_int_equal(gradient(p, "^gradient:head.class", "$4 *= 1.002"), 1);
    assert_int_equal(gradient(p, "^gradient:head.class", "$4 *= 1.00001"), 0);
    assert_true(says(p, "out", "differ by rounding"));
}

static void another_rounding(void **state)
{
    only_in_long();
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
#if !defined(__x86_64__)
    skip();
#endif
    assert_int_equal(losses(p, "export EIGHTYSIX_CPU=sse2"), 0);
    assert_true(says(p, "out", "arithmetic differs from step "));
    assert_true(says(p, "out", "differ by rounding"));
    /* another loss from the same parameters is not rounding */
    assert_int_equal(
        losses(p, "if [ $1 = cell ]; then exec $real \"$@\" smoothing=0.2; fi"), 1);
    assert_true(says(p, "out", "the loss of step 0"));
    assert_int_equal(
        losses(p, "if [ $1 = cell ]; then exec $real \"$@\" smoothing=0.1001; fi"), 1);
    assert_true(says(p, "out", "the gradient of step 0"));
    /* another update: the second step begins elsewhere */
    assert_int_equal(losses(p, "if [ $1 = cell ]; then exec $real \"$@\" lr=2e-3; fi"), 1);
    assert_true(says(p, "out", "another update"));
}

typedef struct { int rows, same, column; } Seen;
static void see(void *ctx, int columns, const char *const *value)
{
    Seen *s = ctx;
    for (int i = 0; !s->rows && i < columns; i++)
        if (!strcmp(value[i], "verdict")) s->column = i;
    s->same += s->rows && !strcmp(value[s->column], "SAME");
    s->rows++;
}

/* A run leaves its verdicts and all of its samples; a history whose level changes is remarked on.
 */
static void records(void **state)
{
    Place *p = *state;
    const char *why;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    invent(p, "base", 1e6, 1, 1, 5);
    for (int i = 0; i < 16; i++) {
        /* + i + 1: always another program */
        invent(p, "head", (i < 8 ? 1 : 1.015) * 1e6 + i + 1, 1, 1, 5);
        assert_int_equal(regress(p, "--times-only --filter plain"), 0);
    }
    assert_true(says(p, "out", "history of 16 runs against this base: plain/1 went from"));
    Db *db = db_open_read(arena_text(&p->a, "%s/t.db", p->dir), &p->a, &why);
    if (!db) fail_msg("%s", why);
    Seen s = { 0 };
    assert_null(db_view(db, "gate", "regress", see, &s, &p->a));
    /* plain/1, its control and canary, and the run as a whole */
    assert_int_equal(s.rows - 1, 16 * 4);
    assert_int_equal(s.same, 16 * 2);
    s = (Seen){ 0 };
    assert_null(db_view(db, "gate_sample", "regress", see, &s, &p->a));
    /* three comparisons of two sides, 24 samples of each in a round */
    assert_int_equal(s.rows - 1, 16 * 12 * 3 * 2 * 24);
    db_close(db);
}

/* Commits of a repository are built in work trees, which are gone afterwards. */
static void commits(void **state)
{
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    if (system("git --version > /dev/null 2>&1")) skip();
    invent(p, "fake", 1e6, 1, 1, 5);
    const char *commit =
        "git -c user.name=t -c user.email=t@t -c commit.gpgsign=false commit -q -a -m c";
    assert_int_equal(
        shell(
            p,
            "git init -q . && git add fake && printf 'build/eightysix: fake\\n\\tmkdir -p build && "
            "cp fake build/eightysix\\n' > Makefile && git add Makefile"),
        0);
    assert_int_equal(shell(p, commit), 0);
    invent(p, "fake", 1.07e6, 1, 1, 5);
    assert_int_equal(shell(p, commit), 0);
    assert_int_equal(gate(p, "--base HEAD~1 --head HEAD --rounds 12 --times-only"), 1);
    assert_true(says(p, "out", "HEAD~1 ("));
    assert_int_equal(shell(p, "test ! -e build/regress/base && test ! -e build/regress/head && "
                              "test $(git worktree list | wc -l) = 1"), 0);
    assert_int_equal(shell(p, "printf 'build/eightysix:\\n\\tfalse\\n' > Makefile"), 0);
    assert_int_equal(shell(p, commit), 0);
    assert_int_equal(gate(p, "--base HEAD~1 --head HEAD"), 2);
    assert_true(says(p, "out", "HEAD: make:"));
    assert_int_equal(shell(p, "test ! -e build/regress/base && test ! -e build/regress/head"), 0);
}

/* What a build executes is what it is compared by: equal objects are SAME, one that is missing is
 * an error, and a build that does not name any is measured. */
static void objects(void **state)
{
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    if (system("git --version > /dev/null 2>&1")) skip();
    static const char commit[] = "git -c user.name=t -c user.email=t@t -c commit.gpgsign=false "
                                 "commit -q -a --allow-empty -m c";
    invent(p, "fake", 1e6, 1, 1, 5);
    assert_int_equal(shell(p, "git init -q . && printf 'build/eightysix: fake\n\tmkdir -p build && "
                              "cp /bin/true build/a.o && "
                              "cp fake build/eightysix\n' > Makefile && git add Makefile fake"),
                     0);
    assert_int_equal(shell(p, arena_text(&p->a, "%s && %s", commit, commit)), 0);
    assert_int_equal(gate(p, "--base HEAD~1 --head HEAD --rounds 12 --times-only"), 0);
    assert_false(says(p, "out", "SAME: both builds run the same code"));
    assert_int_equal(
        shell(
            p,
            "sed -i 's/text compiler c/text object a.o\\\\n&/' fake && grep -q 'object a.o' fake"),
        0);
    assert_int_equal(shell(p, arena_text(&p->a, "%s && %s", commit, commit)), 0);
    assert_int_equal(gate(p, "--base HEAD~1 --head HEAD --rounds 12 --times-only"), 0);
    assert_true(says(p, "out", "SAME: both builds run the same code"));
    assert_int_equal(
        shell(p, arena_text(&p->a, "sed -i 's/object a.o/object b.o/' fake && %s", commit)), 0);
    assert_int_equal(gate(p, "--base HEAD~1 --head HEAD --rounds 12 --times-only"), 2);
    assert_true(says(p, "out", "HEAD: its objects cannot be hashed"));
}

/* A benchmark beside the default set is run where an object that it times has changed; a changed
 * object that none times is named. */
static void what_changed(void **state)
{
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    if (system("git --version > /dev/null 2>&1")) skip();
    static const char commit[] = "git -c user.name=t -c user.email=t@t -c commit.gpgsign=false "
                                 "commit -q -a --allow-empty -m c";
    invent(p, "fake", 1e6, 1, 1, 5);
    assert_int_equal(
        shell(p, "sed -i 's|text bench plain/1 5 0|text object kernels/a.o\\ntext object "
                 "kernels/b.o\\ntext object c.o\\n&\\ntext extra slow/a 5 0\\ntext times slow/a "
                 "kernels/a.o\\ntext extra slow/c 5 0\\ntext times slow/c c.o|' fake && "
                 "git init -q . && mkdir objects && echo a > objects/a && echo b > objects/b && "
                 "printf 'build/eightysix: fake\n\tmkdir -p build/kernels\n"
                 "\tfor o in kernels/a kernels/b c; do cp /bin/true build/$$o.o; done\n"
                 "\tcat objects/a >> build/kernels/a.o; cp objects/b.o build/kernels/b.o\n"
                 "\tcp fake build/eightysix\n' > Makefile"),
        0);
    assert_int_equal(shell(p, "cp /bin/true objects/a.o && cp /bin/true objects/b.o && "
                              "sed -i 's|cat objects/a >>|cp objects/a.o|' Makefile && "
                              "git add Makefile fake objects"), 0);
    assert_int_equal(shell(p, commit), 0);
    assert_int_equal(shell(p, "cp /bin/false objects/a.o && cp /bin/false objects/b.o"), 0);
    assert_int_equal(shell(p, commit), 0);
    assert_int_equal(gate(p, "--base HEAD~1 --head HEAD --rounds 12 --times-only"), 0);
    assert_true(says(p, "out", "slow/a ") && !says(p, "out", "slow/c"));
    assert_int_equal(shell(p, "tail -n 1 out | grep -q 'PASS.*no benchmark times kernels/b.c$'"),
                     0);
    /* a filter may name what is beside the default set */
    assert_int_equal(gate(p, "--base HEAD~1 --head HEAD --rounds 12 --times-only --always"), 0);
}

/* What was built once is not built again; a name is a commit before it is a file, and a file only
 * with a slash; a directory may have = in its name. */
static void references(void **state)
{
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    if (system("git --version > /dev/null 2>&1")) skip();
    const char *commit =
        "git -c user.name=t -c user.email=t@t -c commit.gpgsign=false commit -q -a -m c";
    invent(p, "fake", 1e6, 1, 1, 5);
    assert_int_equal(
        shell(p, "git init -q . && git add fake && printf 'build/eightysix: fake\n\tmkdir -p "
                 "build && cp fake build/eightysix && echo built >> ../../../built\n' > Makefile "
                 "&& git add Makefile"), 0);
    assert_int_equal(shell(p, commit), 0);
    assert_int_equal(shell(p, "git branch some/branch && git branch plain"), 0);
    invent(p, "fake", 1.07e6, 1, 1, 5);
    assert_int_equal(shell(p, commit), 0);
    const char *again = "--base some/branch --head HEAD --rounds 12 --times-only";
    assert_int_equal(gate(p, again), 1);
    assert_int_equal(shell(p, "test $(wc -l < built) = 2"), 0);
    assert_int_equal(gate(p, again), 1);
    assert_int_equal(shell(p, "test $(wc -l < built) = 2"), 0);
    assert_true(says(p, "out", "some/branch ("));
    invent(p, "other", 0.5e6, 1, 1, 5);
    assert_int_equal(shell(p, "mkdir some && cp other some/branch && cp other plain"), 0);
    assert_int_equal(gate(p, again), 1);
    assert_int_equal(gate(p, "--base plain --head HEAD --rounds 12 --times-only"), 1);
    assert_int_equal(gate(p, "--base other --head HEAD --rounds 12 --times-only"), 2);
    assert_true(says(p, "out", "other: expected a commit"));
    assert_int_equal(shell(p, "mkdir a=b"), 0);
    invent(p, "a=b/base", 1e6, 1, 1, 5);
    invent(p, "a=b/head", 1.0001e6, 1, 1, 5);
    assert_int_equal(gate(p, "--base a=b/base --head a=b/head --rounds 12 --times-only"), 0);
}

/* The history goes from one machine of a service to the next as text. */
static void history_as_text(void **state)
{
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    invent(p, "base", 1e6, 1, 1, 5);
    for (int i = 0; i < 16; i++) {
        invent(p, "head", (i < 8 ? 1 : 1.015) * 1e6 + i + 1, 1, 1, 5);
        assert_int_equal(regress(p, "--times-only --filter plain --rounds 2"), 3);
        if (i % 4 < 3) continue;
        assert_int_equal(shell(p, "rm -rf text && $EIGHTYSIX_BINARY export --db t.db --text text "
                                  "&& rm t.db && $EIGHTYSIX_BINARY merge text --into t.db"), 0);
    }
    assert_true(says(p, "out", "history of 16 runs against this base: plain/1 went from"));
}

/* The list of this build: the trainer is in it, and every object of it exists. */
static void own_objects(void **state)
{
    Place *p = *state;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    assert_int_equal(
        shell(p,
              "$EIGHTYSIX_BINARY regress-sample list 3>list && grep '^text object ' list > named"),
        0);
    static const char *const must[] = { "trainer.o",   "checkpoint.o", "session.o",
                                        "op_linear.o", "head_tree.o",  "law_head.o" };
    for (size_t i = 0; i < sizeof must / sizeof *must; i++) assert_true(says(p, "named", must[i]));
    /* every kernel that runs here, every head and every operation is timed by some benchmark */
    assert_int_equal(
        shell(p, "grep '^text times ' list > timed; "
                 "for o in $($EIGHTYSIX_BINARY list kernels | awk '/runs here/ && $1 != \"noop\" "
                 "{ print \"kernels/ternary_\" $1 \".o\" }') $(cut -d' ' -f3 named | "
                 "grep -E '^models/(head_|op_|model_)'); do grep -q \" $o\\( \\|$\\)\" timed || "
                 "{ echo \"$o is not timed\"; exit 1; }; done"),
        0);
    assert_int_equal(shell(p, "cut -d' ' -f3 named | while read o; do test -e \"$(dirname "
                              "$EIGHTYSIX_BINARY)/$o\" || exit 1; done"),
                     0);
}

int main(void)
{
#define PLACED(test) cmocka_unit_test_setup_teardown(test, place_make, place_drop)
    const struct CMUnitTest tests[] = { cmocka_unit_test(false_alarms),
                                        cmocka_unit_test(detection),
                                        cmocka_unit_test(no_pass_beyond_budget),
                                        cmocka_unit_test(pure),
                                        cmocka_unit_test(codes),
                                        PLACED(command),
                                        PLACED(turns),
                                        PLACED(invalid),
                                        PLACED(faster_but_wrong),
                                        PLACED(refused),
                                        PLACED(records),
                                        PLACED(commits),
                                        PLACED(objects),
                                        PLACED(what_changed),
                                        PLACED(references),
                                        PLACED(history_as_text),
                                        PLACED(a_trainer_that_never_learns),
                                        PLACED(a_wrong_gradient),
                                        PLACED(another_rounding),
                                        PLACED(own_objects) };
    return cmocka_run_group_tests_name("regress", tests, NULL, NULL);
}
