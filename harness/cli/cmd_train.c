/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `train`: runs its cell as a child and records it, as a sweep does. */
#include "harness/cli/cmd.h"
#include "harness/util/clock.h"
#include "harness/util/host.h"
#include "harness/util/options.h"
#include "harness/util/progress.h"
#include "harness/sweep/cell.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: eightysix train [key=value ...] [--json] [--quiet] [--db FILE | --no-db]\n\n"
    "Trains one model and records the run. Settings: `eightysix list settings`. Examples:\n\n"
    "  eightysix train head=tree budget=30s                          the synthetic language, "
    "nothing to download\n"
    "  eightysix train head=softmax fraction=0.25 corpus=edu vocab=gpt2 budget=5m "
    "save=v3.safetensors\n"
    "  eightysix train act=int8 kernel=i2_avx2 budget=200steps seed=2 threads=1\n\n"
    "  --json     end with one JSON object on stdout\n"
    "  --quiet    no progress on stderr\n"
    "  --db FILE  where the run is recorded (results/results.db); --no-db records nothing\n\n"
    "^C stops; with save=FILE the same command continues where the last checkpoint was.\n";

typedef struct {
    json_t *out, *phases;
    Budget  budget;
    double  began, shown, seconds, loss, nll, floor, total, step_tokens;
    long    steps;
    int     quiet;
} Watch;

static void train_progress(Watch *w)
{
    if (w->quiet || !progress_due(&w->shown)) return;
    char nll[48] = "", left[48] = "";
    double done = 0;
    if (w->budget.seconds > 0) done = w->seconds / w->budget.seconds;
    if (w->budget.steps > 0) done = fmax(done, (double)w->steps / (double)w->budget.steps);
    if (w->nll > 0) snprintf(nll, sizeof nll, ", validation %.3f nats", w->nll);
    if (done > 0)
        snprintf(left, sizeof left, ", %.0f %%, %.0f s left", 100 * fmin(done, 1),
                 w->seconds * (1 / fmin(done, 1) - 1));
    progress_say("step %ld, %.1f s, training loss %.3f%s%s", w->steps, w->seconds, w->loss, nll,
                 left);
}

static void train_see(void *ctx, const Record *l)
{
    Watch *w = ctx;
    if (l->kind == 't') json_object_set_new(w->out, l->name, json_string(l->text));
    if (l->kind == 's') {
        const json_t *old = json_object_get(w->phases, l->name);
        json_object_set_new(w->phases, l->name, json_real(json_real_value(old) + l->value));
    }
    if (l->kind != 'n') return;
    if (!strcmp(l->name, "loss")) w->loss = l->value;
    if (!strcmp(l->name, "nll")) w->nll = l->value;
    if (!strcmp(l->name, "step_s")) {
        w->steps = l->step + 1;
        w->seconds += l->value;
        train_progress(w);
    }
    if (!isfinite(l->value)) return;
    const int whole =
        l->value == rint(l->value) && fabs(l->value) < 1e15 && strcmp(l->name, "seconds");
    json_object_set_new(w->out, l->name,
                        whole ? json_integer((json_int_t)l->value) : json_real(l->value));
}

static void train_print_json(json_t *out)
{
    char *text = json_dumps(out, JSON_COMPACT | JSON_REAL_PRECISION(9));
    puts(text);
    free(text);
}

static double train_number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

/* What a loss is put beside: those of frequencies, pairs and triples of words */
static void train_say_marks(const json_t *o, const char *prefix)
{
    static const char *const marks[] = { "unigram", "bigram", "trigram" };
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s%s", prefix, marks[i]);
        if (json_object_get(o, name)) printf("; %s %.4f", marks[i], train_number(o, name));
    }
    putchar('\n');
}

static void train_print_summary(const json_t *o, const json_t *phases)
{
    const char *key;
    json_t *v;
    double total = 0;
    json_object_foreach((json_t *)phases, key, v) total += json_real_value(v);
    printf("%.0f steps, %.0f tokens, %.1f s: %.0f tokens/s, %.0f supervised positions/s, peak %.0f "
           "MB\n",
           train_number(o, "steps"), train_number(o, "tokens"), train_number(o, "seconds"),
           train_number(o, "tokens_per_s"), train_number(o, "supervised_per_s"),
           train_number(o, "peak_rss_mb"));
    json_object_foreach((json_t *)phases, key, v)
        printf("  %-14s %6.2f %%\n", key, total > 0 ? 100 * json_real_value(v) / total : 0);
    if (json_object_get(o, "nll")) printf("validation %.4f nats per token", train_number(o, "nll"));
    if (json_object_get(o, "bits_per_byte"))
        printf(", %.4f bits per byte", train_number(o, "bits_per_byte"));
    if (json_object_get(o, "nll_floor")) printf("; floor %.4f", train_number(o, "nll_floor"));
    train_say_marks(o, "");
    if (!json_object_get(o, "test_nll")) return;
    printf("test %.4f nats per token", train_number(o, "test_nll"));
    if (json_object_get(o, "test_bits_per_byte"))
        printf(", %.4f bits per byte", train_number(o, "test_bits_per_byte"));
    if (json_object_get(o, "test_nll_floor"))
        printf("; floor %.4f", train_number(o, "test_nll_floor"));
    train_say_marks(o, "test_");
}

/* The runs of `train` are one experiment that grows, so that `plot curve --experiment train` shows
 * them side by side. */
static void train_plan_run(Db *db, const Spec *spec, Arena *a)
{
    static const char *const same_for_all[] = { "budget", "seed", "threads", "eval_every",
                                                "valid_tokens" };
    Spec *name = spec_copy(spec, a);
    char key[65];
    const char *text = spec_text(spec);
    for (size_t i = 0; i < sizeof same_for_all / sizeof *same_for_all; i++)
        for (const Setting *s = settings; s->key; s++)
            if (!strcmp(s->key, same_for_all[i]))
                CHECK(!spec_set(name, arena_text(a, "%s=%s", s->key, s->value)));
    const char *head = arena_text(a, "head=%s", spec_str(spec, "head"));
    /* the default, which spec_text leaves out */
    CHECK(!spec_set(name, "head=softmax"));
    db_plan_add(db, db_experiment_growing(db, "train", DB_SPEED),
                sha256_hex(text, strlen(text), key), text,
                arena_text(a, "%s %s", head, spec_text(name)), spec_int(spec, "seed"));
}

int train_main(int argc, char **argv)
{
    Arena a = arena_new((size_t)1 << 30);
    Spec *spec = spec_new(&a);
    const char *db_path = "results/results.db", *why = NULL;
    int json = 0, no_db = 0;
    Watch w = { .out = json_object(), .phases = json_object(), .began = clock_now() };
    const Option options[] = { { "--json", NULL, &json },
                               { "--quiet", NULL, &w.quiet },
                               { "--no-db", NULL, &no_db },
                               { "--db", &db_path, NULL },
                               { 0 } };
    const int n = options_read(argc, argv, options, help);
    for (int i = 1; i <= n; i++)
        if ((why = spec_set_word(spec, argv[i]))) die("%s", why);
    if ((why = spec_check(spec))) die("%s", why);
    if (no_db) db_path = NULL;
    if ((why = spec_budget(spec_str(spec, "budget"), &w.budget)))
        die("budget=%s: %s", spec_str(spec, "budget"), why);
    Db *db = NULL;
    if (db_path && !(db = db_open(db_path, &a, &why))) die("%s", why);
    if (db) train_plan_run(db, spec, &a);
    const Outcome o = cell_run(db, "train", spec, (Limits){ 0 }, train_see, &w, &a);
    if (db) db_close(db);
    if (!w.quiet) progress_clear();
    const Build *build = build_read(&a);
    json_object_set_new(w.out, "status", json_string(o.status));
    json_object_set_new(w.out, "error", json_string(o.error));
    json_object_set_new(w.out, "spec", json_string(spec_text(spec)));
    json_object_set_new(w.out, "build", json_string(build->id));
    json_object_set_new(w.out, "git", json_string(build->git));
    json_object_set(w.out, "phases", w.phases);
    const int ok = !strcmp(o.status, "ok");
    if (!ok) fprintf(stderr, "eightysix: the run ended as '%s': %s\n", o.status, o.error);
    if (json) train_print_json(w.out);
    else if (ok) train_print_summary(w.out, w.phases);
    json_decref(w.phases);
    json_decref(w.out);
    arena_drop(&a);
    return ok ? 0 : 1;
}
