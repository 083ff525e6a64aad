/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A published checkpoint beside what the original code makes of it, expected.json:
 *
 *   {"texts": [{"text", "ids": [...], "decoded", "last_top20": [[id, logit], ...],
 *               "last_logsumexp", "loglik", "greedy16": [...], "greedy_stable", "greedy_text",
 *               "last_max_abs_jitter", "loglik_jitter"}, ...]}
 *
 * ids: of the text; decoded: the text of these ids; last_top20: the largest logits after the last
 * id; loglik: the sum of log p of each id but the first; greedy16: what follows the ids by the
 * largest logit, of which the first greedy_stable do not depend on the order of sums; greedy_text:
 * their text. The jitters, 0 where they are absent, are the largest changes under another order of
 * sums, of activations that lie on ties of rounding: they widen the tolerance by three times that.
 */
#include "harness/convert/hf.h"
#include "harness/train/checkpoint.h"
#include "harness/train/checkpoint_file.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double PARITY_TOLERANCE = 1e-4;

typedef struct {
    const char *path, *why, *bad;    /* the first difference; the first fault of the file */
    Arena      *a;
    Session    *s;
    Vocab      *text;
    long        number;              /* of the text */
    double      logit, loglik;       /* the worst differences */
    long        ids, logits, logliks, greedy, tied;   /* how many were compared; left out */
} Expected;

int published_expects(const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/expected.json", dir);
    return !access(path, F_OK);
}

static void expected_bad(Expected *e, const char *what)
{
    if (!e->bad) e->bad = arena_text(e->a, "%s: text %ld: %s", e->path, e->number, what);
}

static void expected_off(Expected *e, const char *what)
{
    if (!e->why) e->why = arena_text(e->a, "%s: text %ld: %s", e->path, e->number, what);
}

/* Ids of a list, *n of them; NULL and bad */
static int *expected_ids(Expected *e, const json_t *of, const char *key, long *n)
{
    const json_t *list = json_object_get(of, key);
    const int V = e->s->corpus->V;
    *n = (long)json_array_size(list);
    int *id = arena_array(e->a, (size_t)*n + 1, sizeof *id);
    for (long i = 0; i < *n; i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        const json_int_t value = json_is_integer(v) ? json_integer_value(v) : -1;
        id[i] = value >= 0 && value < V ? (int)value : -1;
        if (id[i] < 0) expected_bad(e, arena_text(e->a, "\"%s\": expected ids below %d", key, V));
    }
    if (!*n) expected_bad(e, arena_text(e->a, "expected \"%s\", a list of ids", key));
    return e->bad ? NULL : id;
}

static const char *expected_string(Expected *e, const json_t *of, const char *key)
{
    const char *text = json_string_value(json_object_get(of, key));
    if (!text) expected_bad(e, arena_text(e->a, "expected \"%s\", a string", key));
    return text;
}

/* may 1: 0 where it is absent */
static double expected_number(Expected *e, const json_t *of, const char *key, int may)
{
    const json_t *v = json_object_get(of, key);
    if (!json_is_number(v) && !(may && !v))
        expected_bad(e, arena_text(e->a, "expected \"%s\", a number", key));
    return json_number_value(v);
}

static const char *expected_decode(Expected *e, const int *id, long n)
{
    char *text = arena_get(e->a, 1), *end = text;
    int begun = 0;
    size_t bytes = 1, len;
    for (long i = 0; i < n; i++) {
        vocab_bytes_of(e->text, id[i], &len);
        bytes += len;
    }
    text = end = arena_get(e->a, bytes);
    for (long i = 0; i < n; i++) {
        const char *part = vocab_text_of(e->text, id[i], &begun, &len);
        memcpy(end, part, len);
        end += len;
    }
    return text;
}

static void expected_text(Expected *e, const json_t *of, const int *id, long n)
{
    const char *text = expected_string(e, of, "text"), *decoded = expected_string(e, of, "decoded");
    if (e->bad) return;
    const size_t len = strlen(text);
    const long room = (long)vocab_room(len);
    int *ours = arena_array(e->a, (size_t)room, sizeof *ours);
    const long m = vocab_encode(e->text, text, len, ours, room);
    for (long i = 0; i < m && i < n; i++)
        if (ours[i] != id[i]) {
            expected_off(e, arena_text(e->a, "id %ld is %d, expected %d", i, ours[i], id[i]));
            break;
        }
    if (m != n) expected_off(e, arena_text(e->a, "%ld ids, expected %ld", m, n));
    const char *back = expected_decode(e, id, n);
    if (strcmp(back, decoded))
        expected_off(e, arena_text(e->a, "decoded as \"%.60s\", expected \"%.60s\"", back,
                                   decoded));
    e->ids++;
}

/* What jitter explains is not counted against the tolerance */
static void expected_compare(Expected *e, const char *what, double ours, double theirs,
                             double jitter, double *worst)
{
    const double d = fabs(ours - theirs);
    if (d > *worst || isnan(d)) *worst = d;
    if (!(d <= PARITY_TOLERANCE + 3 * fabs(jitter)))
        expected_off(e, arena_text(e->a, "%s is %.7g, expected %.7g, the tolerance is %.0e%s", what,
                                   ours, theirs, PARITY_TOLERANCE,
                                   jitter > 0 ? " and three times the jitter" : ""));
}

static float *expected_logprob(Expected *e, const float *x)
{
    float *lp = arena_array(e->a, (size_t)e->s->corpus->V, sizeof *lp);
    e->s->head->logprob(e->s->h, x, lp);
    return lp;
}

static void expected_logits(Expected *e, const json_t *of, const float *x)
{
    const json_t *top = json_object_get(of, "last_top20");
    const double all = expected_number(e, of, "last_logsumexp", 0),
                 jitter = expected_number(e, of, "last_max_abs_jitter", 1);
    const float *lp = expected_logprob(e, x);
    if (!json_array_size(top)) expected_bad(e, "expected \"last_top20\", a list of [id, logit]");
    for (size_t i = 0; i < json_array_size(top) && !e->bad; i++) {
        const json_t *id = json_array_get(json_array_get(top, i), 0),
                     *logit = json_array_get(json_array_get(top, i), 1);
        const json_int_t k = json_is_integer(id) ? json_integer_value(id) : -1;
        if (k < 0 || k >= e->s->corpus->V || !json_is_number(logit)) {
            expected_bad(e, "expected \"last_top20\", a list of [id, logit]");
            return;
        }
        expected_compare(e, arena_text(e->a, "the logit of %d", (int)k), (double)lp[k] + all,
                         json_number_value(logit), jitter, &e->logit);
        e->logits++;
    }
}

/* The text's ids at once: the logits behind the last, and the log-likelihood */
static void expected_forward(Expected *e, const json_t *of, const int *id, long n)
{
    Session *s = e->s;
    tape_reset(s->tape, 0);
    Var h = s->model->forward(s->m, s->tape, id, 1, (int)n, NULL);
    expected_logits(e, of, h.v + (size_t)(n - 1) * (size_t)s->d);
    const double ours = n > 1 ? -s->head->nll(s->h, h.v, id + 1, (int)n - 1, NULL) : 0,
                 theirs = expected_number(e, of, "loglik", 0),
                 jitter = expected_number(e, of, "loglik_jitter", 1);
    if (e->bad) return;
    expected_compare(e, "the log-likelihood", ours, theirs, jitter, &e->loglik);
    e->logliks++;
}

static int expected_best(Expected *e, const float *x)
{
    const float *lp = expected_logprob(e, x);
    int best = 0;
    for (int k = 1; k < e->s->corpus->V; k++)
        if (lp[k] > lp[best]) best = k;
    return best;
}

/* Decoding one by one; ids beyond the stable ones are not compared */
static void expected_greedy(Expected *e, const json_t *of, const int *id, long n)
{
    Session *s = e->s;
    long m;
    const int *theirs = expected_ids(e, of, "greedy16", &m);
    const double said = expected_number(e, of, "greedy_stable", 0);
    const char *text = expected_string(e, of, "greedy_text");
    if (e->bad) return;
    const long stable = said < 0 ? 0 : said > (double)m ? m : (long)said;
    Carry *carry = carry_new(s->model, s->m, n + m, e->a);
    int *ours = arena_array(e->a, (size_t)m, sizeof *ours);
    for (long i = 0; i < stable; i++) {
        const int T = i ? 1 : (int)n;
        tape_reset(s->tape, 0);
        Var h = s->model->forward(s->m, s->tape, i ? &ours[i - 1] : id, 1, T, &carry);
        ours[i] = expected_best(e, h.v + (size_t)(T - 1) * (size_t)s->d);
        if (ours[i] == theirs[i]) continue;
        expected_off(e, arena_text(e->a, "greedy id %ld is %d, expected %d", i, ours[i],
                                   theirs[i]));
        return;
    }
    e->greedy += stable;
    e->tied += m - stable;
    const char *back = stable == m && e->text ? expected_decode(e, ours, m) : text;
    if (strcmp(back, text))
        expected_off(e, arena_text(e->a, "greedy text \"%.60s\", expected \"%.60s\"", back, text));
}

static void expected_run(Expected *e, const json_t *root)
{
    const json_t *texts = json_object_get(root, "texts");
    if (!json_array_size(texts)) expected_bad(e, "expected \"texts\": [...]");
    for (size_t i = 0; i < json_array_size(texts) && !e->bad; i++) {
        const json_t *of = json_array_get(texts, i);
        const size_t at = e->a->used;
        long n;
        e->number = (long)i;
        const int *id = expected_ids(e, of, "ids", &n);
        if (!e->bad && e->text) expected_text(e, of, id, n);
        if (!e->bad) expected_forward(e, of, id, n);
        if (!e->bad) expected_greedy(e, of, id, n);
        if (!e->bad && !e->why) arena_reset(e->a, at);
    }
}

static void expected_print(const Expected *e, FILE *out)
{
    fprintf(out, "  ids     %3ld texts there and back identical\n", e->ids);
    fprintf(out, "  logits  %3ld, worst error %.2e (tolerance %.0e and three jitters)\n",
            e->logits, e->logit, PARITY_TOLERANCE);
    fprintf(out, "  loglik  %3ld texts, worst error %.2e nats (tolerance %.0e and three jitters)\n",
            e->logliks, e->loglik, PARITY_TOLERANCE);
    fprintf(out, "  greedy  %3ld ids identical, %ld that depend on the order of sums left out\n",
            e->greedy, e->tied);
}

/* The checkpoint that was made of it, for decoding; gone from the disk when this returns */
static Session *expected_session(const char *dir, Arena *a, const char **why)
{
    const char *tmp = getenv("TMPDIR");
    char *place = arena_text(a, "%s/eightysix-parity-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(place)) {
        *why = arena_text(a, "%s: a directory cannot be made there", place);
        return NULL;
    }
    const char *file = arena_text(a, "%s/model.safetensors", place);
    Spec *spec = spec_new(a);
    Session *s = NULL;
    *why = hf_import(dir, file, a);
    if (!*why) *why = checkpoint_spec(file, spec, a);
    if (!*why) {
        s = session_make(spec, file, SESSION_SPEAKS);
        *why = checkpoint_load(s, file);
    }
    unlink(file);
    rmdir(place);
    return *why ? NULL : s;
}

const char *published_parity(const char *dir, FILE *out, int *bad, Arena *a)
{
    json_error_t error;
    Expected e = { .path = arena_text(a, "%s/expected.json", dir), .a = a };
    e.s = expected_session(dir, a, &e.bad);
    if (e.s) e.text = e.s->corpus->text;
    json_t *root = e.s ? json_load_file(e.path, JSON_REJECT_DUPLICATES, &error) : NULL;
    if (e.s && !root)
        e.bad = arena_text(a, "%s: line %d, column %d: expected JSON: %s", e.path, error.line,
                           error.column, error.text);
    if (root) expected_run(&e, root);
    if (root && !e.bad && out) expected_print(&e, out);
    json_decref(root);
    if (e.s) session_drop(e.s);
    *bad = e.bad != NULL;
    return e.bad ? e.bad : e.why;
}
