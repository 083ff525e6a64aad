/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The setting precision: what may be said, that each product is in bfloat16 where the setting says
 * so and nowhere else, that training by it stays near training by floats, and that it repeats. */
#include "harness/laws/laws.h"
#include "harness/train/session.h"
#include "tests/place.h"
#include <math.h>

/* ---- the setting ---- */
static void what_may_be_said(void **state)
{
    static const char *const fine[] = { "f32", "bf16", "forward", "dx", "dw", "head",
                                        "forward+head", "dx+dw", "forward+dx+dw" };
    static const char *const wrong[] = { "f16", "head+forward", "dx+dx", "forward+", "+dx", "all",
                                         "forward+dx+dw+head", "forward,dx", "bf16+dx", "headx",
                                         "forward+dx+dw+head+forward+dx+dw+head+forward+dx+dw" };
    Arena a = arena_new(1 << 24);
    (void)state;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        Spec *s = spec_new(&a);
        holds(spec_set(s, arena_text(&a, "precision=%s", fine[i])));
        holds(spec_check(s));
        assert_string_equal(spec_text(s), i ? arena_text(&a, "precision=%s", fine[i]) : "");
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Spec *s = spec_new(&a);
        holds(spec_set(s, arena_text(&a, "precision=%s", wrong[i])));
        const char *why = spec_check(s);
        assert_non_null(why);
        assert_says(why, "expected f32, bf16, or some of forward+dx+dw+head in this order");
    }
    arena_drop(&a);
}

/* ---- one step ---- */
static const char SMALL[] =
    "corpus=synth V=512 train_tokens=20000 valid_tokens=600 d=32 conv_groups=4 dilations=1,4 "
    "batch=2 seq=32 gemm=portable cutoffs=40,200 kernel=ref";

static Spec *spec_of(const char *words, Arena *a)
{
    Spec *s = spec_new(a);
    holds(spec_set_words(s, arena_text(a, "%s %s", SMALL, words)));
    holds(spec_check_values(s));
    return s;
}

/* One forward and backward pass: the loss, and the gradient of every parameter */
typedef struct { Session *s; double loss; } Pass;

static Pass pass_of(const char *words, Arena *a)
{
    enum { B = 2, T = 32 };
    Pass p = { .s = session_make(spec_of(words, a), NULL, SESSION_TRAINS) };
    Step step = session_step(p.s);
    Batch *b = batch_new(B, T, B * T, p.s->d, p.s->arena);
    objective_next_token.draw(b, session_source, p.s->corpus, 1, 0, 0);
    p.loss = objective_next_token.pass(&step, b, 1.0f / (B * T));
    step_norm(&step);
    return p;
}

/* |g - h| / |h| of the gradients of a parameter; 0: the same bits */
static double apart(const Param *p, const Param *q)
{
    double off = 0, size = 0;
    if (!memcmp(p->g, q->g, sizeof(float) * (size_t)p->n)) return 0;
    for (long i = 0; i < p->n; i++) {
        off += pow((double)p->g[i] - (double)q->g[i], 2);
        size += pow((double)q->g[i], 2);
    }
    return sqrt(off / fmax(size, 1e-300));
}

/* The largest distance of a gradient of the trunk's matrices (TRUNK), the head's own parameters and
 * the embedding (HEAD), or any other; and of all together */
typedef enum { TRUNK, HEAD, OTHER, ALL, GROUPS } Which;
typedef struct { double loss, of[GROUPS]; } Apart;

static Apart apart_of(const char *words, const char *precision, Arena *a)
{
    const Pass f = pass_of(words, a),
               h = pass_of(arena_text(a, "%s precision=%s", words, precision), a);
    Apart o = { .loss = fabs(h.loss - f.loss) / f.loss };
    double off = 0, size = 0;
    for (int i = 0; i < f.s->params->n; i++) {
        const Param *p = f.s->params->p[i], *q = h.s->params->p[i];
        const Which which = p->group == GROUP_NORMUON ? TRUNK
                            : p->owner == OWNER_HEAD  ? HEAD
                                                      : OTHER;
        if (!p->trainable || p->frozen) continue;
        const double d = apart(q, p);
        o.of[which] = fmax(o.of[which], d);
        for (long k = 0; k < p->n; k++) {
            off += pow((double)p->g[k] - (double)q->g[k], 2);
            size += pow((double)p->g[k], 2);
        }
    }
    o.of[ALL] = sqrt(off / size);
    session_drop(f.s);
    session_drop(h.s);
    return o;
}

/* A product is off by 2^-9 of its operands, a gradient by some of those. quant=none: no weight
 * flips. */
#define NEAR 0.02

static void every_head_stays_near(void **state)
{
    Arena a = arena_new((size_t)1 << 28);
    (void)state;
    for (int i = 0; heads[i]; i++) {
        const char *words = arena_text(&a, "head=%s quant=none threads=1", heads[i]->name);
        const Apart o = apart_of(words, "bf16", &a);
        print_message("%-13s loss %.2g, gradient %.2g\n", heads[i]->name, o.loss, o.of[ALL]);
        assert_true(o.loss > 0 && o.loss < 1e-3);
        assert_true(o.of[ALL] > 1e-4 && o.of[ALL] < NEAR);
    }
    arena_drop(&a);
}

/* Each word changes its own product alone: what comes before it keeps its bits */
static void each_product_by_its_word(void **state)
{
    Arena a = arena_new((size_t)1 << 28);
    (void)state;
    for (int i = 0; heads[i]; i++) {
        const char *words = arena_text(&a, "head=%s threads=1", heads[i]->name);
        Apart o = apart_of(words, "dw", &a);
        assert_true(o.loss == 0 && o.of[HEAD] == 0 && o.of[OTHER] == 0);
        assert_true(o.of[TRUNK] > 1e-4 && o.of[TRUNK] < NEAR);
        o = apart_of(words, "dx", &a);
        assert_true(o.loss == 0 && o.of[TRUNK] > 0 && o.of[OTHER] > 0 && o.of[ALL] < NEAR);
        o = apart_of(words, "forward", &a);
        assert_true(o.loss > 0 && o.of[HEAD] > 0);
        o = apart_of(words, "head", &a);
        assert_true(o.loss > 0 && o.of[HEAD] > 0 && o.of[TRUNK] > 0 && o.of[ALL] < NEAR);
    }
    arena_drop(&a);
}

/* int8 products are none of floats: forward changes nothing of the trunk, nor dx with bwd=int8 */
static void int8_stays(void **state)
{
    Arena a = arena_new((size_t)1 << 28);
    (void)state;
    const Apart o = apart_of("head=tree act=int8 bwd=int8 threads=1", "forward+dx", &a);
    assert_true(o.loss == 0 && o.of[ALL] == 0);
    assert_true(apart_of("head=tree act=int8 bwd=int8 threads=1", "dw", &a).of[TRUNK] > 0);
    arena_drop(&a);
}

/* The trunks of other models */
static void every_model_stays_near(void **state)
{
    Arena a = arena_new((size_t)1 << 28);
    (void)state;
    for (int i = 0; models[i]; i++) {
        if (!strcmp(models[i]->name, "flashlm3")) continue;
        Spec *s = spec_new(&a);
        Session *f, *h;
        const char *const words[] = { "corpus=synth", "V=97", "train_tokens=20000",
                                      "valid_tokens=600", "d=32", "inner=64", "layers=2",
                                      "threads=1", "gemm=portable", "quant=none", "seq=24" };
        holds(spec_set(s, arena_text(&a, "model=%s", models[i]->name)));
        for (size_t k = 0; k < sizeof words / sizeof *words; k++) holds(spec_set(s, words[k]));
        f = session_make(spec_copy(s, &a), NULL, SESSION_TRAINS);
        holds(spec_set(s, "precision=bf16"));
        h = session_make(s, NULL, SESSION_TRAINS);
        long n;
        const double one = session_nll(f, &n), two = session_nll(h, &n);
        print_message("%s: %.6f, %.6f\n", models[i]->name, one, two);
        assert_true(one != two && fabs(one - two) < 1e-3 * one);
        session_drop(f);
        session_drop(h);
    }
    arena_drop(&a);
}

/* ---- trainings ---- */
enum { MOST_LOSSES = 64 };
typedef struct { double loss[MOST_LOSSES]; int n; const char *said; } Course;

static Course course_of(Place *p, const char *words)
{
    Course c = { .n = 0 };
    c.said = place_expect(p, 0, arena_text(&p->a, "cell %s accum=2 fraction=0.5 warmup=5 lr=3e-3 "
                                           "budget=20steps %s 3>&1", SMALL, words));
    for (const char *s = c.said; s; s = strchr(s, '\n') ? strchr(s, '\n') + 1 : NULL) {
        long step;
        double loss;
        if (sscanf(s, "num loss %ld %lf", &step, &loss) != 2 &&
            sscanf(s, "num nll %ld %lf", &step, &loss) != 2) continue;
        assert_true(c.n < MOST_LOSSES);
        c.loss[c.n++] = loss;
    }
    assert_true(c.n >= 11);
    return c;
}

#define NATS 0.05

/* Rounding flips ternary weights near their threshold, with v3 from 0 to a whole 1: twice as far */
static void losses_stay_near(void **state)
{
    static const struct { const char *quant; double nats; } cases[] = {
        { "none", NATS }, { "absmean", NATS }, { "v3", 2 * NATS } };
    Place *p = *state;
    for (int i = 0; heads[i]; i++)
        for (size_t q = 0; q < sizeof cases / sizeof *cases; q++) {
            const char *words = arena_text(&p->a, "head=%s quant=%s threads=1", heads[i]->name,
                                           cases[q].quant);
            const Course f = course_of(p, words),
                         h = course_of(p, arena_text(&p->a, "%s precision=bf16", words));
            double most = 0;
            assert_int_equal(f.n, h.n);
            for (int k = 0; k < f.n; k++) most = fmax(most, fabs(f.loss[k] - h.loss[k]));
            print_message("%-13s %-8s at most %.3g nats\n", heads[i]->name, cases[q].quant, most);
            assert_true(most > 0 && most < cases[q].nats);
        }
}

static void a_run_repeats_and_says_so(void **state)
{
    Place *p = *state;
    for (int threads = 1; threads <= 2; threads++) {
        const char *words = arena_text(&p->a, "head=tree precision=bf16 threads=%d", threads);
        const Course one = course_of(p, words), two = course_of(p, words);
        assert_int_equal(one.n, two.n);
        assert_memory_equal(one.loss, two.loss, sizeof *one.loss * (size_t)one.n);
        assert_says(one.said, "text bf16 emulated");
        assert_says(one.said, "text part:gemm:bf16 ");
    }
    const Course plain = course_of(p, "head=tree threads=1");
    assert_silent(plain.said, "bf16");
}

/* A checkpoint knows its precision: it goes on with it to the same bits, and is evaluated by it */
static void a_checkpoint_goes_on(void **state)
{
    Place *p = *state;
    const char *words = "head=tree precision=bf16 threads=1 schedule=constant",
               *save = place_in(p, "t.safetensors");
    const Course all = course_of(p, words);
    place_expect(p, 0, arena_text(&p->a, "cell %s accum=2 fraction=0.5 warmup=5 lr=3e-3 "
                                         "budget=10steps %s save=%s", SMALL, words, save));
    const Course rest = course_of(p, arena_text(&p->a, "%s save=%s", words, save));
    assert_int_equal(rest.n, all.n - 10);
    assert_memory_equal(rest.loss, all.loss + 10, sizeof *all.loss * (size_t)rest.n);
    double nll[2];
    for (int i = 0; i < 2; i++) {
        const char *said = place_expect(p, 0, arena_text(&p->a,
                                                         "eval %s split=valid --json%s", save,
                                                         i ? " precision=f32" : ""));
        assert_int_equal(sscanf(strstr(said, "\"nll\""), "\"nll\":%lf", &nll[i]), 1);
    }
    assert_true(fabs(nll[0] - all.loss[all.n - 1]) < 1e-7);
    assert_true(nll[0] != nll[1] && fabs(nll[0] - nll[1]) < NATS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_be_said),
        cmocka_unit_test(every_head_stays_near),
        cmocka_unit_test(each_product_by_its_word),
        cmocka_unit_test(int8_stays),
        cmocka_unit_test(every_model_stays_near),
        cmocka_unit_test_setup_teardown(losses_stay_near, place_make, place_drop),
        cmocka_unit_test_setup_teardown(a_run_repeats_and_says_so, place_make, place_drop),
        cmocka_unit_test_setup_teardown(a_checkpoint_goes_on, place_make, place_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
