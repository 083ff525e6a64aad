/* SPDX-License-Identifier: GPL-3.0-or-later */
/* More threads than a small machine has: every part takes as many as it is told, and the loss is
 * that of few threads but for rounding. */
#include "models/exec.h"
#include "models/optim.h"
#include "tests/place.h"
#include <math.h>

static void exec_takes_what_it_is_told(void **state)
{
    Place *p = *state;
    const char *why;
    Spec *s = spec_new(&p->a);
    assert_null(spec_set(s, "threads=150"));
    const Exec *e = exec_make(s, &p->a, &why);
    if (!e) fail_msg("%s", why);
    assert_int_equal(e->threads, 150);
    Params *ps = params_new(&p->a);
    Param *w = params_add(ps, "w", (int[]){ 1500, 128, 0 }, GROUP_ADAMW, OWNER_CORE);
    for (long i = 0; i < w->n; i++) w->g[i] = 1;
    assert_true(fabs(optim_norm(optim_new(s, e, ps, &p->a), OWNER_CORE) / (double)w->n - 1) < 1e-6);
}

/* The validation loss of three steps */
static double loss(Place *p, const char *words)
{
    const char *said, *line = arena_text(
        &p->a, "EIGHTYSIX_CACHE=%s %s train V=500 d=32 conv_groups=4 recursions=1 seq=32 batch=4 "
               "accum=1 train_tokens=20000 valid_tokens=2000 budget=3steps --no-db %s",
        p->dir, getenv("EIGHTYSIX_BINARY"), words);
    if (place_shell(p, line, &said)) fail_msg("%s: %s", words, said);
    const char *at = strstr(said, "validation ");
    if (!at) fail_msg("no validation in: %s", said);
    return strtod(at + strlen("validation "), NULL);
}

static void many_threads_train_alike(void **state)
{
    static const char *const heads[] = { "head=tree", "head=softmax", "head=sampled",
                                         "head=huffman", "head=tree act=int8",
                                         "head=adaptive cutoffs=50,200" };
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        Place *p = *state;
        const double one = loss(p, arena_text(&p->a, "threads=1 %s", heads[i]));
        const double many = loss(p, arena_text(&p->a, "threads=70 %s", heads[i]));
        if (!(fabs(one - many) < 2e-3))
            fail_msg("%s: %g on one thread, %g on 70", heads[i], one, many);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_threads_train_alike, place_make, place_drop),
        cmocka_unit_test_setup_teardown(exec_takes_what_it_is_told, place_make, place_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
