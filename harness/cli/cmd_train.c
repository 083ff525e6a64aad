/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The commands train, eval and generate. `train` runs its cell as a child and records it, as a sweep does. */
#include "harness/util/clock.h"
#include "harness/util/progress.h"
#include "harness/train/trainer.h"
#include "harness/train/session.h"
#include "harness/sweep/cell.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char train_help[] =
    "usage: eightysix train [key=value ...] [--json] [--quiet] [--db FILE | --no-db]\n\n"
    "Trains one model and records the run. Settings: `eightysix list settings`. Examples:\n\n"
    "  eightysix train head=tree budget=30s                          the synthetic language, nothing to download\n"
    "  eightysix train head=softmax fraction=0.25 corpus=edu vocab=gpt2 budget=5m save=v3.safetensors\n"
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

static void progress(Watch *w)
{
    if (w->quiet || !progress_due(&w->shown)) return;
    char nll[48] = "", left[48] = "";
    double done = 0;
    if (w->budget.seconds > 0) done = w->seconds / w->budget.seconds;
    if (w->budget.steps > 0) done = fmax(done, (double)w->steps / (double)w->budget.steps);
    if (w->nll > 0) snprintf(nll, sizeof nll, ", validation %.3f nats", w->nll);
    if (done > 0)
        snprintf(left, sizeof left, ", %.0f %%, %.0f s left", 100 * fmin(done, 1), w->seconds * (1 / fmin(done, 1) - 1));
    progress_say("step %ld, %.1f s, training loss %.3f%s%s", w->steps, w->seconds, w->loss, nll, left);
}

static void see(void *ctx, const Record *l)
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
        progress(w);
    }
    if (!isfinite(l->value)) return;
    const int whole = l->value == rint(l->value) && fabs(l->value) < 1e15 && strcmp(l->name, "seconds");
    json_object_set_new(w->out, l->name, whole ? json_integer((json_int_t)l->value) : json_real(l->value));
}

static void print_json(json_t *out)
{
    char *text = json_dumps(out, JSON_COMPACT | JSON_REAL_PRECISION(9));
    puts(text);
    free(text);
}

static double number(const json_t *o, const char *key) { return json_number_value(json_object_get(o, key)); }

static void print_summary(const json_t *o, const json_t *phases)
{
    const char *key;
    json_t *v;
    double total = 0;
    json_object_foreach((json_t *)phases, key, v) total += json_real_value(v);
    printf("%.0f steps, %.0f tokens, %.1f s: %.0f tokens/s, %.0f supervised positions/s, peak %.0f MB\n", number(o, "steps"),
           number(o, "tokens"), number(o, "seconds"), number(o, "tokens_per_s"), number(o, "supervised_per_s"), number(o, "peak_rss_mb"));
    json_object_foreach((json_t *)phases, key, v)
        printf("  %-14s %6.2f %%\n", key, total > 0 ? 100 * json_real_value(v) / total : 0);
    if (json_object_get(o, "nll")) printf("validation %.4f nats per token", number(o, "nll"));
    if (json_object_get(o, "bits_per_byte")) printf(", %.4f bits per byte", number(o, "bits_per_byte"));
    if (json_object_get(o, "nll_floor")) printf("; floor %.4f", number(o, "nll_floor"));
    printf("; unigram %.4f\n", number(o, "unigram"));
}

/* The runs of `train` are one experiment that grows, so that `plot curve --experiment train` shows them side by side. */
static void plan_run(Db *db, const Spec *spec, Arena *a)
{
    static const char *const same_for_all[] = { "budget", "seed", "threads", "eval_every", "valid_tokens" };
    Spec *name = spec_copy(spec, a);
    char key[65];
    const char *text = spec_text(spec);
    for (size_t i = 0; i < sizeof same_for_all / sizeof *same_for_all; i++)
        for (const Setting *s = settings; s->key; s++)
            if (!strcmp(s->key, same_for_all[i])) CHECK(!spec_set(name, arena_text(a, "%s=%s", s->key, s->value)));
    const char *head = arena_text(a, "head=%s", spec_str(spec, "head"));
    CHECK(!spec_set(name, "head=softmax"));               /* the default, which spec_text leaves out */
    db_plan_add(db, db_experiment(db, "train", "", ""), sha256_hex(text, strlen(text), key), text,
                arena_text(a, "%s %s", head, spec_text(name)), spec_int(spec, "seed"));
}

int train_main(int argc, char **argv)
{
    Arena a = arena_new((size_t)1 << 30);
    Spec *spec = spec_new(&a);
    const char *db_path = "results/results.db", *why = NULL;
    int json = 0;
    Watch w = { .out = json_object(), .phases = json_object(), .began = clock_now() };
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) { fputs(train_help, stdout); return 0; }
        if (!strcmp(argv[i], "--json")) json = 1;
        else if (!strcmp(argv[i], "--quiet")) w.quiet = 1;
        else if (!strcmp(argv[i], "--no-db")) db_path = NULL;
        else if (!strcmp(argv[i], "--db") && i + 1 < argc) db_path = argv[++i];
        else if (argv[i][0] == '-') die("train: no option '%s'; see eightysix train --help", argv[i]);
        else if ((why = spec_set_word(spec, argv[i]))) die("%s", why);
    }
    if ((why = spec_budget(spec_str(spec, "budget"), &w.budget))) die("budget=%s: %s", spec_str(spec, "budget"), why);
    if ((why = spec_check(spec))) die("%s", why);
    Db *db = NULL;
    if (db_path && !(db = db_open(db_path, &a, &why))) die("%s", why);
    if (db) plan_run(db, spec, &a);
    const Outcome o = cell_run(db, "train", spec, (Limits){ 0 }, see, &w, &a);
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
    if (json) print_json(w.out);
    else if (ok) print_summary(w.out, w.phases);
    json_decref(w.phases);
    json_decref(w.out);
    arena_drop(&a);
    return ok ? 0 : 1;
}

/* FILE [key=value ...]: the checkpoint's settings, then the words; anything else is left to the caller */
static Session *open_checkpoint(const char *command, const char *path, char **words, int n, Arena *a)
{
    Spec *spec = spec_new(a);
    const char *why;
    if (!path) die("%s: expected a checkpoint; see eightysix %s --help", command, command);
    if ((why = checkpoint_spec(path, spec, a))) die("%s", why);
    for (int i = 0; i < n; i++)
        if ((why = spec_set(spec, words[i]))) die("%s", why);
    Session *s = session_make(spec, path, 0);
    if ((why = checkpoint_load(s, path))) die("%s", why);
    return s;
}

static const char eval_help[] =
    "usage: eightysix eval CHECKPOINT [key=value ...] [--json]\n\n"
    "Exact negative log-likelihood of a checkpoint in nats per token over the validation text (valid_tokens=0: all of it),\n"
    "without label smoothing or z-loss, in windows of seq tokens. Words replace the checkpoint's settings:\n\n"
    "  eightysix eval v3.safetensors valid_tokens=0 eval=ema\n";

int eval_main(int argc, char **argv)
{
    Arena a = arena_new((size_t)1 << 30);
    const char *path = NULL;
    char **words = arena_get(&a, sizeof *words * (size_t)argc);
    int json = 0, n = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) { fputs(eval_help, stdout); return 0; }
        if (!strcmp(argv[i], "--json")) json = 1;
        else if (argv[i][0] == '-') die("eval: no option '%s'; see eightysix eval --help", argv[i]);
        else if (strchr(argv[i], '=')) words[n++] = argv[i];
        else if (path) die("eval: expected one checkpoint, not '%s' and '%s'", path, argv[i]);
        else path = argv[i];
    }
    Session *s = open_checkpoint("eval", path, words, n, &a);
    long positions;
    const double began = clock_now(), nll = session_nll(s, &positions), seconds = clock_now() - began;
    json_t *o = json_pack("{s:f, s:f, s:I, s:f, s:f, s:s, s:s, s:s}", "nll", nll, "unigram", s->corpus->unigram, "tokens",
                          (json_int_t)positions, "seconds", seconds, "tokens_per_s", (double)positions / seconds,
                          "kernel", spec_is(s->spec, "act", "int8") ? s->exec->kernel->name : "dense", "gemm", s->exec->gemm->name,
                          "build", build_read(&a)->id);
    if (!isnan(s->corpus->floor)) json_object_set_new(o, "nll_floor", json_real(s->corpus->floor));
    if (s->corpus->bytes_per_token > 0) json_object_set_new(o, "bits_per_byte", json_real(nll / log(2) / s->corpus->bytes_per_token));
    if (json) print_json(o);
    else {
        printf("%.4f nats per token over %ld tokens (%.0f tokens/s); unigram %.4f", nll, positions, (double)positions / seconds, s->corpus->unigram);
        if (json_object_get(o, "nll_floor")) printf("; floor %.4f", s->corpus->floor);
        if (json_object_get(o, "bits_per_byte")) printf("; %.4f bits per byte", number(o, "bits_per_byte"));
        putchar('\n');
    }
    json_decref(o);
    session_drop(s);
    arena_drop(&a);
    return 0;
}

static const char generate_help[] =
    "usage: eightysix generate CHECKPOINT [key=value ...] [--prompt TEXT] [--tokens N] [--temperature T] [--seed N]\n\n"
    "Text (or ids, for the synthetic language) from a checkpoint, one token at a time.\n\n"
    "  eightysix generate v3.safetensors --prompt 'The heart is' --tokens 100 --temperature 0.8\n";

typedef struct { const char *path, *prompt; long tokens; double temperature; uint64_t seed; char **words; int n; } Wish;

static void put_token(const Session *s, int id)
{
    size_t len;
    if (!s->corpus->text) { printf("%d ", id); return; }
    const char *bytes = vocab_bytes_of(s->corpus->text, id, &len);
    fwrite(bytes, 1, len, stdout);
}

static void generate(Session *s, const Wish *w)
{
    Arena *a = &s->arena;
    float *carry = arena_get(a, sizeof(float) * s->model->carry_size(s->m));
    const size_t len = strlen(w->prompt);
    uint16_t *ids = arena_get(a, sizeof *ids * (len + 1));
    long n = s->corpus->text ? vocab_encode(s->corpus->text, w->prompt, len, ids, (long)len) : 0;
    Rng rng = rng_at(w->seed, STREAM_SAMPLE, 0);
    if (n < 1) ids[0] = s->corpus->valid[0], n = 1;       /* a prompt there must be: the first token of the validation text */
    for (long i = 0; i < n; i++) put_token(s, ids[i]);
    int next = 0;
    const double began = clock_now();
    for (long i = 0; i < n + w->tokens - 1; i++) {
        const int tok = i < n ? ids[i] : next;
        tape_reset(s->tape, 0);
        Var h = s->model->forward(s->m, s->tape, &tok, 1, 1, carry);
        if (i < n - 1) continue;
        next = s->head->sample(s->h, h.v, w->temperature, &rng);
        put_token(s, next);
        fflush(stdout);
    }
    fprintf(stderr, "\n%ld tokens, %.0f tokens/s\n", n + w->tokens - 1, (double)(n + w->tokens - 1) / (clock_now() - began));
}

static double option(int argc, char **argv, int *i)
{
    char *end;
    if (*i + 1 >= argc) die("generate: %s: expected a number after it", argv[*i]);
    const double x = strtod(argv[++*i], &end);
    if (*end || end == argv[*i] || !(x >= 0)) die("generate: %s %s: expected a number of at least 0", argv[*i - 1], argv[*i]);
    return x;
}

int generate_main(int argc, char **argv)
{
    Arena a = arena_new((size_t)1 << 30);
    Wish w = { .prompt = "", .tokens = 100, .temperature = 0.8, .seed = 1, .words = arena_get(&a, sizeof(char *) * (size_t)argc) };
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) { fputs(generate_help, stdout); return 0; }
        if (!strcmp(argv[i], "--prompt") && i + 1 < argc) w.prompt = argv[++i];
        else if (!strcmp(argv[i], "--tokens")) w.tokens = (long)option(argc, argv, &i);
        else if (!strcmp(argv[i], "--temperature")) w.temperature = option(argc, argv, &i);
        else if (!strcmp(argv[i], "--seed")) w.seed = (uint64_t)option(argc, argv, &i);
        else if (argv[i][0] == '-') die("generate: no option '%s'; see eightysix generate --help", argv[i]);
        else if (strchr(argv[i], '=')) w.words[w.n++] = argv[i];
        else if (w.path) die("generate: expected one checkpoint, not '%s' and '%s'", w.path, argv[i]);
        else w.path = argv[i];
    }
    Session *s = open_checkpoint("generate", w.path, w.words, w.n, &a);
    generate(s, &w);
    session_drop(s);
    arena_drop(&a);
    return 0;
}
