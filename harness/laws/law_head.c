/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The laws of a head, on small vocabularies with Zipf counts of which a tenth are zero:
 *
 *   law_head.c           sum over V of exp(lp) = 1; nll = -lp[y], and its sum is that of its parts;
 *                        samples follow p^(1/temperature) (chi square, at 1 and 0.7), and at 0 are
 *                        the most probable word
 *   law_head_backward.c  backward = slope of forward, for x and every parameter: along the
 * gradient, along a random direction, and at single entries, by central differences with one
 * Richardson step, [8 (f(h) - f(-h)) - (f(2h) - f(-2h))] / 12 h; the same inputs give the same
 * bits; backward with flush_grads adds scale times the gradient to what is there, and marks its
 * rows; frozen parameters get none; nll in between changes nothing; two chunks flushed together
 * make the same as one, unless the head draws what a chunk is trained against (normalised = 0) */
#include "harness/laws/law_head_parts.h"
#include <math.h>
#include <omp.h>
#include <string.h>


static const Case cases[] = {
    { 97, 32, 300, 1, { "tied=1" } },
    { 97, 33, 13, 2, { "tied=0", "assign=random", "classes=5", "cutoffs=1,30", "rows=freq",
                       "shortlist=7", "short_tied=1" } },
    { 1000, 33, 13, 2, { "tied=1", "smoothing=0", "assign=sqrt", "rows=freq", "depth=3",
                         "shortlist=20" } },
    { 1000, 32, 40, 1, { "tied=0", "zloss=0", "cutoffs=20,400,401", "assign=brown", "depth=4",
                         "short_tied=1" } },
    /* several tiles of softmax rows per thread */
    { 4500, 8, 17, 2, { "tied=1", "classes=100", "assign=kmeans" } },
    { 90, 24, 50, 3, { "tied=1", "depth=3", "classes=60" } }, /* classes of one word */
    { 2, 16, 1, 2, { "tied=1", "assign=svd", "depth=4" } },
    { 2, 5, 3, 1, { "tied=1", "shortlist=1", "short_tied=1" } },
};

const char *head_lab_broken(const Lab *lab, const char *what)
{
    const Case *c = lab->c;
    char words[256] = "";
    for (int i = 0; i < MOST_WORDS && c->words[i]; i++) {
        strcat(words, " ");
        strcat(words, c->words[i]);
    }
    return arena_text(lab->a, "head %s (V %d, d %d, n %d, threads %d%s, seed %llu): %s",
                      lab->def->name, c->V, c->d, lab->n, c->threads, words,
                      (unsigned long long)lab->seed, what);
}

static const char *head_lab_set_up(Lab *lab)
{
    const Case *c = lab->c;
    const char *why;
    Spec *s = spec_new(lab->a);
    spec_set(s, "init_sigma=0.5");
    spec_set(s, "zloss=0.01");
    for (int i = 0; i < MOST_WORDS && c->words[i]; i++) CHECK(!spec_set(s, c->words[i]));
    spec_set(s, arena_text(lab->a, "threads=%d", c->threads));
    spec_set(s, arena_text(lab->a, "seed=%lld", (long long)(lab->seed >> 1)));
    const Exec *e = exec_make(s, lab->a, &why);
    if (!e) return why;
    long *freq = arena_get(lab->a, sizeof *freq * (size_t)c->V);
    uint16_t *text = arena_raw(lab->a, sizeof *text * TEXT);
    for (int i = 0; i < TEXT; i++) {
        const uint64_t word = rng_below(
            &lab->rng, 1 + rng_below(&lab->rng, 1 + rng_below(&lab->rng, (uint64_t)c->V)));
        freq[text[i] = (uint16_t)(word * 7 % (uint64_t)c->V)]++;
    }
    const HeadData data = { c->V, freq, token_ids_2(text), TEXT, NULL };
    lab->ps = params_new(lab->a);
    param_normal(params_add_embedding(lab->ps, "law.embedding", c->V, c->d), lab->seed, 0, 0.5);
    lab->h = lab->def->make(s, e, lab->ps, &data, c->d, lab->a);
    if (!lab->h) return lab->ps->why;
    const int most = lab->def->chunk(lab->h);
    lab->n = c->n < most ? c->n : most;
    return NULL;
}

/* x, y and every parameter as Inputs; y leans to the first words of the alphabet and touches both
 * ends */
static void head_lab_set_inputs(Lab *lab)
{
    const size_t values = (size_t)lab->n * (size_t)lab->c->d;
    float *x = arena_raw(lab->a, sizeof *x * values);
    int *y = arena_raw(lab->a, sizeof *y * (size_t)lab->n);
    for (size_t i = 0; i < values; i++) x[i] = (float)rng_normal(&lab->rng);
    for (int i = 0; i < lab->n; i++) {
        const uint64_t a = rng_below(&lab->rng, (uint64_t)lab->c->V),
                       b = rng_below(&lab->rng, (uint64_t)lab->c->V);
        y[i] = (int)(a < b ? a : b);
    }
    y[0] = lab->c->V - 1;
    lab->x = x;
    lab->y = y;
    lab->inputs = lab->ps->n + 1;
    lab->in = arena_get(lab->a, sizeof *lab->in * (size_t)lab->inputs);
    lab->in[0] = (Input){ "x", x, arena_get(lab->a, sizeof *x * values), NULL, (long)values, NULL };
    for (int i = 0; i < lab->ps->n; i++) {
        Param *p = lab->ps->p[i];
        lab->in[i + 1] = (Input){ p->name, p->v, p->g, NULL, p->n, p };
    }
    for (int i = 0; i < lab->inputs; i++) {
        Input *in = &lab->in[i];
        in->copy = arena_raw(lab->a, sizeof(float) * (size_t)in->n);
        memcpy(in->copy, in->v, sizeof(float) * (size_t)in->n);
    }
}

void head_lab_fill_gradients(const Lab *lab, float value)
{
    for (int i = 0; i < lab->inputs; i++)
        for (long k = 0; k < lab->in[i].n; k++) lab->in[i].g[k] = value;
}

/* positions [from, to) through forward and backward; the loss */
double head_lab_pass(const Lab *lab, int from, int to, float scale)
{
    const double loss =
        lab->def->forward(lab->h, lab->x + (size_t)from * lab->c->d, lab->y + from, to - from);
    lab->def->backward(lab->h, lab->in[0].g + (size_t)from * lab->c->d, scale);
    return loss;
}

/* ---- probabilities ---- */

static const char *head_lab_probabilities(const Lab *lab)
{
    const int V = lab->c->V, n = lab->n, d = lab->c->d;
    float *lp = arena_raw(lab->a, sizeof *lp * (size_t)V),
          *nll = arena_raw(lab->a, sizeof *nll * (size_t)n), one;
    const double sum = lab->def->nll(lab->h, lab->x, lab->y, n, nll);
    double parts = 0;
    for (int i = 0; i < n; i++) {
        const float *x = lab->x + (size_t)i * d;
        double total = 0;
        lab->def->logprob(lab->h, x, lp);
        for (int v = 0; v < V; v++) total += exp((double)lp[v]);
        if (!(fabs(total - 1) <= 1e-5))
            return head_lab_broken(lab, arena_text(lab->a, "probabilities sum to %.8f", total));
        if (!(fabsf(nll[i] + lp[lab->y[i]]) <= 1e-5f * (1 + nll[i])))
            return head_lab_broken(lab,
                                   arena_text(lab->a, "nll of word %d is %.7f, its logprob %.7f",
                                              lab->y[i], (double)nll[i], (double)lp[lab->y[i]]));
        lab->def->nll(lab->h, x, lab->y + i, 1, &one);
        if (!(fabsf(one - nll[i]) <= 1e-5f * (1 + nll[i])))
            return head_lab_broken(lab, arena_text(lab->a,
                                          "nll of one position is %.7f alone and %.7f among others",
                                          (double)one, (double)nll[i]));
        parts += (double)nll[i];
    }
    if (!(fabs(sum - parts) <= 1e-6 * (1 + fabs(sum))) ||
        lab->def->nll(lab->h, lab->x, lab->y, n, NULL) != sum)
        return head_lab_broken(lab,
                      arena_text(lab->a, "nll returns %.9g, its parts add up to %.9g", sum, parts));
    return NULL;
}

/* Within each class the words' shares add up to one, so over all words they add up to the number of
 * classes: sum over v of exp(lp[v] + class_nll(v)) = C, a whole number */
static const char *head_lab_parts(const Lab *lab)
{
    const int V = lab->c->V, d = lab->c->d;
    if (!lab->def->class_nll) return NULL;
    float *lp = arena_raw(lab->a, sizeof *lp * (size_t)V),
          *part = arena_raw(lab->a, sizeof *part * (size_t)V);
    float *x = arena_raw(lab->a, sizeof *x * (size_t)V * (size_t)d);
    int *y = arena_raw(lab->a, sizeof *y * (size_t)V);
    for (int v = 0; v < V; v++) {
        memcpy(x + (size_t)v * d, lab->x, sizeof *x * (size_t)d);
        y[v] = v;
    }
    lab->def->logprob(lab->h, lab->x, lp);
    lab->def->class_nll(lab->h, x, y, V, part);
    double classes = 0;
    for (int v = 0; v < V; v++) {
        if (!(part[v] >= 0 && part[v] <= -lp[v] + 1e-5f * (1 - lp[v])))
            return head_lab_broken(lab, arena_text(lab->a,
                                          "the first level takes %.7f of the %.7f nats of word %d",
                                          (double)part[v], -(double)lp[v], v));
        classes += exp((double)lp[v] + (double)part[v]);
    }
    if (fabs(classes - rint(classes)) <= 1e-5 * classes) return NULL;
    return head_lab_broken(lab, arena_text(lab->a,
                                  "shares within classes add up to %.6f, expected a whole number",
                                  classes));
}

/* ---- samples ---- */

/* chi square over words expected at least five times, the rest together; z by Wilson and Hilferty
 * (1931) */
static double head_lab_chi_z(const double *p, const long *count, int V, long draws)
{
    double chi = 0, rest = 0, seen = 0;
    int bins = 0;
    for (int v = 0; v < V; v++) {
        const double e = p[v] * (double)draws;
        if (e < 5) {
            rest += e;
            seen += (double)count[v];
            continue;
        }
        chi += ((double)count[v] - e) * ((double)count[v] - e) / e;
        bins++;
    }
    if (rest >= 5) {
        chi += (seen - rest) * (seen - rest) / rest;
        bins++;
    }
    if (bins < 2) return 0;
    const double k = bins - 1;
    return (cbrt(chi / k) - (1 - 2 / (9 * k))) / sqrt(2 / (9 * k));
}

static const char *head_lab_samples(Lab *lab)
{
    enum { DRAWS = 20000 };
    static const double temperatures[] = { 1, 0.7 };
    const int V = lab->c->V;
    float *lp = arena_raw(lab->a, sizeof *lp * (size_t)V);
    double *p = arena_raw(lab->a, sizeof *p * (size_t)V);
    if (V > 100) return NULL;
    lab->def->logprob(lab->h, lab->x, lp);
    for (int t = 0; t < 2; t++) {
        long *count = arena_get(lab->a, sizeof *count * (size_t)V);
        double sum = 0;
        for (int v = 0; v < V; v++) sum += p[v] = exp((double)lp[v] / temperatures[t]);
        for (int v = 0; v < V; v++) p[v] /= sum;
        for (int i = 0; i < DRAWS; i++)
            count[lab->def->sample(lab->h, lab->x, temperatures[t], &lab->rng)]++;
        const double z = head_lab_chi_z(p, count, V, DRAWS);
        if (!(z < 5))
            return head_lab_broken(
                lab,
                arena_text(lab->a,
                           "samples at temperature %g leave logprob by %.1f standard deviations",
                           temperatures[t], z));
    }
    const int best = lab->def->sample(lab->h, lab->x, 0, &lab->rng);
    for (int v = 0; v < V; v++)
        if (lp[v] > lp[best])
            return head_lab_broken(lab, arena_text(lab->a,
                                          "temperature 0 gives word %d, word %d is more probable",
                                          best, v));
    return NULL;
}

const char *law_head(const HeadDef *def, uint64_t seed, Arena *a)
{
    const int threads = omp_get_max_threads();
    const char *wrong = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases && !wrong; i++) {
        const size_t mark = a->used;
        Lab lab = {
            .def = def, .c = &cases[i], .seed = seed, .rng = rng_at(seed, STREAM_CHECK, i), .a = a
        };
        wrong = head_lab_set_up(&lab);
        if (wrong) break;
        head_lab_set_inputs(&lab);
        wrong = head_lab_probabilities(&lab);
        if (!wrong) wrong = head_lab_parts(&lab);
        if (!wrong) wrong = head_lab_gradients(&lab);
        if (!wrong) wrong = head_lab_manners(&lab);
        if (!wrong) wrong = head_lab_samples(&lab);
        if (!wrong) arena_reset(a, mark);
    }
    omp_set_num_threads(threads);
    return wrong;
}
