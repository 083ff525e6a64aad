/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Refits on frozen states, the laws they must obey, and the views of losses beside speeds. */
#include "harness/train/anatomy.h"
#include "harness/corpus/bigram.h"
#include "harness/corpus/trigram.h"
#include "harness/store/db.h"
#include "harness/cli/cmd.h"
#include "harness/train/trainer.h"
#include "harness/util/stats.h"
#include "tests/place.h"
#include <math.h>

/* ---- laws ---- */

/* n words of V, low ones more often, the last three never */
static void skewed_words(uint16_t *tok, int n, uint64_t V, uint64_t stream)
{
    Rng r = rng_at(test_seed(), STREAM_CHECK, stream);
    for (int i = 0; i < n; i++)
        tok[i] = (uint16_t)(rng_below(&r, V - 3) * rng_below(&r, V - 3) / (V - 3));
}

static void bigrams_sum_to_one(void **state)
{
    (void)state;
    enum { V = 23, N = 400 };
    Arena a = arena_new(1 << 24);
    uint16_t tok[N];
    skewed_words(tok, N, V, 0);
    const Bigram *b = bigram_make(token_ids_2(tok), N, V, &a);
    for (int u = 0; u < V; u++) {
        double sum = 0;
        for (int v = 0; v < V; v++) sum += exp(bigram_logp(b, u, v));
        assert_true(fabs(sum - 1) < 1e-12);
    }
    arena_drop(&a);
}

/* 01 twice, 10 twice, 02 once: D = 2/7, q(1) = 2/6, q(2) = 2/6 */
static void bigrams_by_hand(void **state)
{
    (void)state;
    static const uint16_t tok[] = { 0, 1, 0, 1, 0, 2 };
    Arena a = arena_new(1 << 24);
    const Bigram *b = bigram_make(token_ids_2(tok), 6, 3, &a);
    assert_true(fabs(bigram_logp(b, 0, 1) - log((2 - 2 / 7.) / 3 + 2 / 7. * 2 / 3 / 3)) < 1e-12);
    assert_true(fabs(bigram_logp(b, 1, 2) - log(2 / 7. / 2 / 3)) < 1e-12);
    assert_true(fabs(bigram_logp(b, 2, 1) - log(1 / 3.)) < 1e-12);
    arena_drop(&a);
}

static void trigrams_sum_to_one(void **state)
{
    (void)state;
    enum { V = 19, N = 900 };
    Arena a = arena_new(1 << 24);
    uint16_t tok[N];
    skewed_words(tok, N, V, 1);
    const Trigram *t = trigram_make(token_ids_2(tok), N, V, &a);
    for (int u = 0; u < V; u++)
        for (int v = 0; v < V; v++) {
            double sum = 0;
            for (int w = 0; w < V; w++) sum += exp(trigram_logp(t, u, v, w));
            assert_true(fabs(sum - 1) < 1e-12);
        }
    arena_drop(&a);
}

/* 012, 120 and 201 twice, 010 once: D3 = 2/9. Ends of different triples: 10, 12, 20 and 01, once
 * each: D2 = 5/6; q = 3/7, 2/7, 2/7 */
static void trigrams_by_hand(void **state)
{
    (void)state;
    static const uint16_t tok[] = { 0, 1, 2, 0, 1, 2, 0, 1, 0 };
    Arena a = arena_new(1 << 24);
    const Trigram *t = trigram_make(token_ids_2(tok), 9, 3, &a);
    const double D3 = 2 / 9., D2 = 5 / 6., p2_1 = (1 - D2 + D2 * 2 * 2 / 7.) / 2,
                 p0_1 = (1 - D2 + D2 * 2 * 3 / 7.) / 2, p1_0 = 1 - D2 + D2 * 2 / 7.;
    const struct { int u, v, w; double p; } known[] = {
        { 0, 1, 2, (2 - D3 + D3 * 2 * p2_1) / 3 }, { 0, 1, 0, (1 - D3 + D3 * 2 * p0_1) / 3 },
        { 1, 1, 2, p2_1 }, { 2, 1, 0, p0_1 }, { 2, 0, 1, (2 - D3 + D3 * p1_0) / 2 },
        { 0, 0, 1, p1_0 }, { 2, 0, 2, D3 * D2 * 2 / 7. / 2 }
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const double p = exp(trigram_logp(t, known[i].u, known[i].v, known[i].w));
        if (fabs(p - known[i].p) > 1e-12)
            fail_msg("%d %d %d: %g, expected %g", known[i].u, known[i].v, known[i].w, p,
                     known[i].p);
    }
    arena_drop(&a);
}

/* A language of triples, each pair of which has three ends: its entropy is ln 3, and pairs know
 * next to nothing of it; on ids of two bytes and of four */
static void trigrams_know_more(void **state)
{
    (void)state;
    enum { V = 40, N = 60000, M = 4000, FAR = 70000 };
    Arena a = arena_new((size_t)1 << 28);
    Rng r = rng_at(test_seed(), STREAM_CHECK, 2);
    uint16_t *tok = arena_get(&a, sizeof *tok * (N + M));
    uint32_t *wide = arena_raw(&a, sizeof *wide * (N + M));
    for (int i = 0; i < N + M; i++) {
        if (i > 1) tok[i] = (uint16_t)((5 * tok[i - 2] + 3 * tok[i - 1] + rng_below(&r, 3)) % V);
        wide[i] = (uint32_t)tok[i] + FAR;
    }
    const Bigram *b = bigram_make(token_ids_2(tok), N, V, &a);
    const Trigram *t = trigram_make(token_ids_2(tok), N, V, &a),
                  *far = trigram_make(token_ids_4(wide), N, V + FAR, &a);
    double pairs = 0, triples = 0;
    for (int i = N; i < N + M; i++) {
        const uint16_t *w = tok + i;
        const double p = trigram_logp(t, w[-2], w[-1], w[0]);
        pairs -= bigram_logp(b, w[-1], w[0]) / M;
        triples -= p / M;
        /* ids that never come take a little of the probability */
        const double q = trigram_logp(far, w[-2] + FAR, w[-1] + FAR, w[0] + FAR);
        assert_true(q <= p && q > p - 1);
    }
    if (!(pairs > 3 && triples < 1.3 && triples > 1.09))
        fail_msg("%g nats by pairs, %g by triples", pairs, triples);
    arena_drop(&a);
}

static void deciles_share_the_tokens(void **state)
{
    (void)state;
    enum { V = 500 };
    Arena a = arena_new(1 << 24);
    long freq[V], total = 0, of[DECILES + 1] = { 0 };
    int decile[V];
    for (int v = 0; v < V; v++) total += freq[v] = 100000 / (1 + (v * 7 + 3) % V);
    anatomy_deciles(decile, freq, V, &a);
    for (int v = 0; v < V; v++) {
        of[decile[v]] += freq[v];
        for (int u = 0; u < V; u++) assert_true(freq[u] <= freq[v] || decile[u] <= decile[v]);
    }
    for (int g = 3; g <= DECILES; g++)
        assert_true(fabs((double)of[g] / (double)total - 0.1) < 0.05);
    assert_int_equal(decile[(V - 3) / 7], 1);
    arena_drop(&a);
}

static void an_anatomy_adds_up(void **state)
{
    (void)state;
    static const int decile[] = { 1, 1, 10 }, y[] = { 0, 1, 2, 2, 0 };
    static const float nll[] = { 1, 2, 3, 4, 5 }, part[] = { 0.5f, 1, 1, 2, 4 };
    const Anatomy a = anatomy_of(decile, y, 5, nll, part), b = anatomy_of(decile, y, 5, nll, NULL);
    assert_true(a.nll[0] == 3 && fabs(a.nll[1] - 8 / 3.) < 1e-12 && a.nll[10] == 3.5 &&
                isnan(a.nll[5]));
    assert_true(a.part[0] == 1.7 && a.part[10] == 1.5);
    assert_true(a.tokens[0] == 5 && a.tokens[1] == 3 && a.tokens[10] == 2 && a.tokens[5] == 0);
    assert_true(isnan(b.part[0]) && b.nll[0] == 3);
}

/* ---- views ---- */

static int set_up(void **state)
{
    const char *why;
    if (place_make(state)) return -1;
    Place *p = *state;
    p->db = db_open(p->path, &p->a, &why);
    return p->db ? 0 : -1;
}

static int tear_down(void **state)
{
    Place *p = *state;
    if (p->db) db_close(p->db);
    return place_drop(state);
}

enum { ROWS = 100, COLUMNS = 32 };
/* row 0: names */
typedef struct { int rows, columns; char value[ROWS + 1][COLUMNS][48]; } Table;

static void see(void *ctx, int columns, const char *const *value)
{
    Table *t = ctx;
    assert_true(t->rows <= ROWS && columns <= COLUMNS);
    t->columns = columns;
    for (int i = 0; i < columns; i++)
        snprintf(t->value[t->rows][i], 48, "%s", value[i] ? value[i] : "");
    t->rows++;
}

static Table *view(Place *p, const char *name, const char *experiment)
{
    Table *t = arena_get(&p->a, sizeof *t);
    holds(db_view(p->db, name, experiment, see, t, &p->a));
    return t;
}

static const char *cell(const Table *t, int row, const char *column)      /* rows from 1 */
{
    assert_true(row < t->rows);
    for (int i = 0; i < t->columns; i++)
        if (!strcmp(t->value[0][i], column)) return t->value[row][i];
    fail_msg("no column %s", column);
    return "";
}

static double number(const Table *t, int row, const char *column)
{
    return strtod(cell(t, row, column), NULL);
}

static void put(Place *p, long run, const char *name, long step, double value)
{
    db_record(p->db, run, &(Record){ .kind = 'n', .name = name, .step = step, .value = value });
}

/* a run of so many tokens/s, of `fraction`, whose only evaluation came after 1000 tokens */
static void add_run(Place *p, const char *experiment, int position, const char *fraction,
                    double tokens_per_s)
{
    const char *key = arena_text(&p->a, "%s%d", experiment, position);
    const char *label = arena_text(&p->a, "head=x%s", fraction);
    const char *spec = arena_text(&p->a, "head=tree budget=%s fraction=%s", experiment, fraction);
    const long e = db_experiment(p->db, experiment, "q", "", DB_SPEED);
    db_plan(p->db, e, position, key, spec, label, position, "");
    db_label(p->db, e, position, "head", label + 5);
    const int speed = !strcmp(experiment, "speed");
    const long run = db_run_start(p->db, experiment, key, spec);
    db_config(p->db, run, "fraction", fraction);
    db_config(p->db, run, "head", "tree");
    db_config(p->db, run, "budget", experiment);
    /* the default of a setting that the other program did not have */
    if (speed) db_config(p->db, run, "newer", "0");
    /* of another number, still the same settings */
    db_config(p->db, run, "threads", speed ? "2" : "1");
    put(p, run, "tokens_per_s", 9, tokens_per_s);
    put(p, run, "supervised_per_s", 9, tokens_per_s / 2);
    put(p, run, "nll", 9, 5);
    put(p, run, "eval_tokens", 9, 1000);
    put(p, run, "eval_seconds", 9, 77);
    db_run_end(p->db, run, "ok", "", 1, 1);
}

/* The view has a table of ranks: every n is looked at, all of them by one question */
static void speeds_have_the_interval_of_stats(void **state)
{
    enum { MOST = 41 };
    Place *p = *state;
    Rng r = rng_at(test_seed(), STREAM_CHECK, 1);
    Interval want[MOST + 1];
    DbTable t;
    for (int n = 1; n <= MOST; n++) {
        double x[MOST];
        const char *name = arena_text(&p->a, "rounds%d", n);
        for (int i = 0; i < n; i++)
            add_run(p, name, i, "1", x[i] = 1000 + rint(1000 * rng_uniform(&r)));
        want[n] = stats_median(x, n, 0.95, &p->a);
    }
    holds(db_table(p->db, "SELECT * FROM cell_speed ORDER BY n", &t, &p->a));
    assert_int_equal(t.rows, MOST);
    for (int n = 1; n <= MOST; n++) {
        static const char *const columns[] = { "n", "low_rank", "tokens_per_s", "supervised_per_s",
                                               "tokens_low", "tokens_high" };
        double is[6];
        for (int c = 0; c < 6; c++) is[c] = strtod(db_field(&t, n - 1, columns[c]), NULL);
        assert_int_equal((int)is[0], n);
        assert_int_equal((int)is[1], want[n].low_rank);
        assert_true(is[2] == want[n].median && is[3] == want[n].median / 2);
        assert_true(is[4] == want[n].low && is[5] == want[n].high);
    }
}

static void losses_meet_speeds_of_the_same_settings(void **state)
{
    Place *p = *state;
    for (int i = 0; i < 3; i++) add_run(p, "speed", i, "1", 100 + 10 * i);
    add_run(p, "equal", 0, "1", 55);
    add_run(p, "equal", 1, "0.25", 99);
    const Table *t = view(p, "composed", "equal"), *m = view(p, "equal_tokens", "equal");
    const Table *q = view(p, "pareto", "equal");
    assert_int_equal(t->rows, 2);
    assert_true(fabs(number(t, 1, "seconds") - 1000 / 110.) < 1e-9);
    assert_true(fabs(number(t, 1, "seconds_low") - 1000 / 120.) < 1e-9);
    assert_true(fabs(number(t, 1, "seconds_high") - 1000 / 100.) < 1e-9);
    assert_int_equal(m->rows, 3);
    assert_true(number(m, 1, "seconds") == 77 &&
                fabs(number(m, 1, "clean_seconds") - 1000 / 110.) < 1e-9);
    assert_string_equal(cell(m, 2, "clean_seconds"), "");
    assert_int_equal(q->rows, 3);
    assert_true(number(q, 1, "tokens_per_s") == 110 && number(q, 2, "tokens_per_s") == 99);
}

/* softmax ends at 5 after 40 s; the tree passes 6 at 10 s and 4 at 20 s, so 5 at 15 s; huffman is
 * below 5 when first looked at */
static void clocks_of_made_up_trees(void **state)
{
    Place *p = *state;
    static const struct { const char *head; double rate, flops, nll[2], at[2]; } of[] = {
        { "softmax", 1000, 90, { 7, 5 }, { 20, 40 } }, { "tree", 4000, 10, { 6, 4 }, { 10, 20 } },
        { "huffman", 4000, 10, { 4.5, 4 }, { 10, 20 } } };
    const long e = db_experiment(p->db, "grid", "q", "", DB_SPEED);
    for (int i = 0; i < 3; i++) {
        const char *label = arena_text(&p->a, "head=%s", of[i].head);
        db_plan(p->db, e, i, label, label, label, 1, "");
        db_label(p->db, e, i, "head", of[i].head);
        const long run = db_run_start(p->db, "grid", label, label);
        db_config(p->db, run, "head", of[i].head);
        put(p, run, "tokens_per_s", 9, of[i].rate);
        put(p, run, "supervised_per_s", 9, of[i].rate);
        put(p, run, "core_flops", 0, 10);
        put(p, run, "head_flops", 0, of[i].flops);
        for (int k = 0; k < 2; k++) {
            put(p, run, "nll", k, of[i].nll[k]);
            put(p, run, "eval_seconds", k, of[i].at[k]);
        }
        put(p, run, "test_nll", 1, of[i].nll[1] + 1.5);      /* which the clocks do not read */
        db_record(p->db, run,
                  &(Record){ .kind = 's', .name = "core.forward", .step = 0, .value = 1 });
        db_record(p->db, run,
                  &(Record){ .kind = 's', .name = "head.forward", .step = 0, .value = 2 });
        db_record(p->db, run,
                  &(Record){ .kind = 's', .name = "head.update", .step = 0, .value = 1 });
        db_run_end(p->db, run, "ok", "", 1, 1);
    }
    const Table *t = view(p, "clocks", "grid");
    assert_int_equal(t->rows, 9);
    assert_true(number(t, 1, "value") == 4 && number(t, 2, "value") == 4 &&
                number(t, 3, "value") == 5);
    assert_true(fabs(number(t, 4, "value") - 40 / 15.) < 1e-9);
    assert_true(number(t, 8, "value") == 4);
    assert_string_equal(cell(t, 1, "at_least"), "");
    assert_string_equal(cell(t, 4, "at_least"), "0");
    assert_string_equal(cell(t, 8, "at_least"), "1");
    assert_true(fabs(number(t, 1, "bound") - 4) < 1e-9);
    assert_string_equal(cell(t, 1, "roofline"), "");

    /* products of 4 operations in 100 us: the tree's 10 FLOPs a token take a quarter of the
     * softmax's time, whose head takes half */
    const long run = db_run_start(p->db, "bench", "bench", "bench");
    const char *name = arena_text(&p->a, "sgemm3/n1/t%s", cell(t, 1, "cores"));
    db_config(p->db, run, "bench", "heads");
    put(p, run, arena_text(&p->a, "ops:%s", name), 0, 4);
    const Record r = {
        .kind = 'p', .name = name, .step = 1, .position = 1, .value = 1e5, .iters = 1
    };
    db_record(p->db, run, &r);
    db_run_end(p->db, run, "ok", "", 1, 1);
    t = view(p, "clocks", "grid");
    assert_true(fabs(number(t, 1, "roofline") - 1 / (1 - .5 + .25)) < 1e-9);
}

/* ---- the command ---- */

/* Runs f in a child, its standard output in the file `out`; returns the exit code. */
static int apart(int (*f)(int, char **), int argc, char **argv, const char *out)
{
    int status;
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        if (!freopen(out, "w", stdout)) _exit(99);
        const int code = f(argc, argv);
        fflush(stdout);
        _exit(code);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *text_of(Place *p, const char *path)
{
    char *text = arena_get(&p->a, 1 << 16);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, (1 << 16) - 1, f)] = 0;
    fclose(f);
    return text;
}

static int run_words(int argc, char **argv)
{
    Arena a = arena_new(1 << 24);
    Spec *s = spec_new(&a);
    for (int i = 0; i < argc; i++)
        if (spec_set(s, argv[i])) return 98;
    train_cell(s, &(Recorder){ .out = stdout });
    return 0;
}

static char *train(Place *p)
{
    char *save = arena_text(&p->a, "%s/t.safetensors", p->dir);
    char *out = arena_text(&p->a, "%s/train", p->dir);
    char *word[] = {
        "head=tree", "V=97", "train_tokens=20000", "valid_tokens=600", "d=32", "inner=85",
        "conv_groups=4", "dilations=1,4,8", "batch=2", "accum=2", "seq=24", "warmup=4",
        "threads=2", "lr=3e-3", "budget=60steps", arena_text(&p->a, "save=%s", save)
    };
    setenv("EIGHTYSIX_CACHE", arena_text(&p->a, "%s/cache", p->dir), 1);
    assert_int_equal(apart(run_words, sizeof word / sizeof *word, word, out), 0);
    return save;
}

static double after(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    assert_non_null(at);
    return strtod(at + strlen(name), NULL);
}

static void heads_are_refitted(void **state)
{
    Place *p = *state;
    char *save = train(p), *out = arena_text(&p->a, "%s/lab", p->dir), *db = p->path;
    char *word[] = {
        "headlab", save, "heads=softmax,tree:classes=5,huffman",
        "--states", "4800", "--passes", "3", "--db", db
    };
    const int words = sizeof word / sizeof *word;
    db_close(p->db);
    assert_int_equal(apart(headlab_main, words, word, out), 0);
    char *first = text_of(p, out);
    assert_int_equal(apart(headlab_main, words, word, out), 0);
    char *second = text_of(p, out);
    assert_non_null(strstr(first, "(made now)"));
    assert_non_null(strstr(second, "(from the cache)"));
    assert_string_equal(strchr(first, '\n'), strchr(second, '\n'));
    const char *why, *trained = text_of(p, arena_text(&p->a, "%s/train", p->dir));
    p->db = db_open(db, &p->a, &why);
    const Table *t = view(p, "anatomy", "headlab");
    assert_int_equal(t->rows, 1 + 6 * 11);
    assert_string_equal(cell(t, 1, "label"), "tree (as trained)");
    assert_true(fabs(number(t, 1, "nll") - after(trained, "num nll 60 ")) < 1e-5);
    const double unigram = number(t, 1 + 5 * 11, "nll");
    for (int head = 0; head < 4; head++) {
        double sum = 0;
        const int all = 1 + head * 11;
        for (int g = 1; g <= DECILES; g++)
            sum += number(t, all + g, "nll") * number(t, all + g, "tokens");
        assert_true(fabs(sum / number(t, all, "tokens") - number(t, all, "nll")) < 1e-9);
        assert_true(number(t, all, "nll") < unigram);
    }
    assert_true(number(t, 1 + 2 * 11, "class_nll") > 0.5 &&
                number(t, 1 + 2 * 11, "within_nll") > 0.5);
    assert_string_equal(cell(t, 1 + 11, "class_nll"), "");
}

static void other_settings_are_other_states(void **state)
{
    Place *p = *state;
    char *save = train(p), *out = arena_text(&p->a, "%s/lab", p->dir);
    char *word[] = {
        "headlab", save, "heads=huffman", "--states", "2400", "--passes", "0.1", "--no-db", NULL
    };
    static char *const more[] = { "lr=0.01", "act=int8", "eval=ema" };
    assert_int_equal(apart(headlab_main, 8, word, out), 0);
    for (int i = 0; i < 3; i++) {
        word[8] = more[i];
        assert_int_equal(apart(headlab_main, 9, word, out), 0);
        assert_int_equal(strstr(text_of(p, out), "(made now)") != NULL, i > 0);
    }
    word[8] = "heads=oak";
    assert_int_equal(apart(headlab_main, 9, word, out), 2);
}

/* The run of a refit that breaks ends as 'fail' with its reason, and the next head is refitted */
static void a_refit_that_breaks_is_a_failure(void **state)
{
    Place *p = *state;
    char *save = train(p), *out = arena_text(&p->a, "%s/lab", p->dir);
    char *word[] = { "headlab",  save,     "heads=softmax,huffman,tree:decay_weight=0", "lr=1e3",
                     "decay_weight=1e3", "warmup=0", "zloss=0",
                     "--states", "2400",   "--passes", "2", "--db", p->path };
    db_close(p->db);
    p->db = NULL;
    assert_int_equal(apart(headlab_main, sizeof word / sizeof *word, word, out), 1);
    const char *ends = "SELECT group_concat(status, ' ') FROM (SELECT status FROM run ORDER BY id)",
               *reasons = "SELECT count(*) FROM run WHERE status = 'fail' AND "
                          "error LIKE 'heads=%: % not finite%'";
    assert_string_equal(place_ask(p, p->path, ends), "ok fail fail ok");
    assert_string_equal(place_ask(p, p->path, reasons), "2");
    assert_non_null(strstr(text_of(p, out), "is not finite"));
}

int main(void)
{
    /* a command that binds its threads would start this program again */
    setenv("OMP_PROC_BIND", "false", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bigrams_sum_to_one), cmocka_unit_test(bigrams_by_hand),
        cmocka_unit_test(trigrams_sum_to_one), cmocka_unit_test(trigrams_by_hand),
        cmocka_unit_test(trigrams_know_more),
        cmocka_unit_test(deciles_share_the_tokens), cmocka_unit_test(an_anatomy_adds_up),
        cmocka_unit_test_setup_teardown(speeds_have_the_interval_of_stats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(losses_meet_speeds_of_the_same_settings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(clocks_of_made_up_trees, set_up, tear_down),
        cmocka_unit_test_setup_teardown(heads_are_refitted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_settings_are_other_states, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refit_that_breaks_is_a_failure, set_up, tear_down) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
