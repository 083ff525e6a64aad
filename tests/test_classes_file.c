/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Classes of words that are kept: a run with those of the cache is the run that made them, bit for
 * bit; a damaged file is made again; a checkpoint has its own, whatever the cache and the text at
 * hand say. Where it matters which were taken, two words have changed places in those that were
 * kept. */
#include "harness/train/trainer.h"
#include "harness/train/checkpoint.h"
#include "harness/train/checkpoint_file.h"
#include "tests/scratch.h"
#include <glob.h>

static const char *SAVE;

static int start(void **state)
{
    if (scratch_make(state)) return -1;
    SAVE = in_tmp("kept.safetensors");
    return setenv("EIGHTYSIX_CACHE", tmp, 1);
}

static glob_t files(const char *pattern)
{
    glob_t g;
    glob(in_tmp(pattern), 0, NULL, &g);
    return g;
}

static void forget(const char *pattern)
{
    glob_t g = files(pattern);
    for (size_t i = 0; i < g.gl_pathc; i++) unlink(g.gl_pathv[i]);
    globfree(&g);
}

static Spec *spec_of(const char *const *more)
{
    static const char *const small[] = {
        "corpus=synth",  "V=300",    "train_tokens=20000", "valid_tokens=600",
        "d=32",          "inner=85", "conv_groups=4",      "dilations=1,4,8",
        "batch=2",       "seq=24",   "threads=2",          "head=tree",
        "gemm=portable", NULL
    };
    Spec *s = spec_new(&arena);
    for (int i = 0; small[i]; i++) holds(spec_set(s, small[i]));
    for (int i = 0; more[i]; i++) holds(spec_set(s, more[i]));
    return s;
}

static int same(const Classes *a, const Classes *b)
{
    const size_t ints = sizeof(int) * (size_t)a->V;
    return a->V == b->V && a->C == b->C && !memcmp(a->word, b->word, ints) &&
           !memcmp(a->place, b->place, ints) && !memcmp(a->class_of, b->class_of, ints) &&
           !memcmp(a->start, b->start, sizeof(int) * (size_t)(a->C + 2)) &&
           !memcmp(a->mass, b->mass, sizeof(double) * (size_t)a->C);
}

static int *seats(const Classes *k)
{
    int *seat = arena_raw(&arena, 2 * sizeof *seat * (size_t)k->V);
    for (int v = 0; v < k->V; v++) {
        seat[2 * v] = k->place[v];
        seat[2 * v + 1] = k->class_of[v];
    }
    return seat;
}

/* The first word of the first class and the last of the last have changed places */
static const Classes *swapped(const Classes *k)
{
    int *seat = seats(k);
    const int a = k->word[0], b = k->word[k->start[k->C] - 1];
    for (int i = 0; i < 2; i++) {
        const int was = seat[2 * a + i];
        seat[2 * a + i] = seat[2 * b + i];
        seat[2 * b + i] = was;
    }
    const Classes *other = classes_from(seat, k->mass, k->V, k->C, &arena);
    assert_non_null(other);
    assert_false(same(other, k));
    return other;
}

static const Classes *copy(const Classes *k)
{
    return classes_from(seats(k), k->mass, k->V, k->C, &arena);
}

/* What a session with these settings has, kept beyond it */
static const Classes *classes_of(const Spec *s, const char *from)
{
    Session *session = session_make(s, from, from ? SESSION_READS : SESSION_TRAINS);
    const Classes *k = session->classes ? copy(session->classes) : NULL;
    session_drop(session);
    return k;
}

/* ---- seats ---- */

static void seats_are_enough(void **state)
{
    (void)state;
    static const char *const ways[] = { "assign=freq", "assign=random", "assign=brown",
                                        "assign=kmeans" };
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
        for (int listed = 0; listed < 2; listed++) {
            const char *shortlist = listed ? "shortlist=40" : "shortlist=0";
            const Spec *spec = spec_of((const char *[]){ ways[w], shortlist, NULL });
            Session *s = session_make(spec, NULL, SESSION_TRAINS);
            const Classes *again = copy(s->classes);
            assert_non_null(again);
            assert_true(same(again, s->classes));
            session_drop(s);
        }
}

static void bad_seats_are_refused(void **state)
{
    (void)state;
    static const struct { int seat[8], C; } bad[] = {
        { { 0, 0, 1, 0, 2, 1, 2, 1 }, 2 },  { { 0, 0, 1, 0, 2, 1, 4, 1 }, 2 },
        { { 0, 0, 1, 0, 2, 1, -1, 1 }, 2 }, { { 0, 0, 1, 1, 2, 0, 3, 1 }, 2 },
        { { 0, 0, 1, 0, 2, 2, 3, 2 }, 2 },  { { 0, 1, 1, 1, 2, 2, 3, 2 }, 2 },
        { { 0, 0, 1, 0, 2, 0, 3, 0 }, 2 },  { { 0, 0, 1, 1, 2, 2, 3, 3 }, 2 },
        { { 0, -1, 1, 0, 2, 1, 3, 1 }, 2 }, { { 0, 0, 1, 0, 2, 1, 3, 1 }, 0 },
        { { 0, 0, 1, 0, 2, 1, 3, 1 }, 5 },
    };
    static const double mass[5];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (classes_from(bad[i].seat, mass, 4, bad[i].C, &arena))
            fail_msg("case %zu: expected a refusal", i);
    assert_non_null(classes_from((const int[]){ 3, 1, 1, 0, 2, 1, 0, 0 }, mass, 4, 2, &arena));
    assert_non_null(classes_from((const int[]){ 0, 0, 1, 0, 2, 1, 3, 2 }, mass, 4, 2, &arena));
}

/* ---- the cache ---- */

/* Losses and validation, as a run says them */
static char *losses(const Spec *s)
{
    char *text = NULL, *kept = arena_text(&arena, "%s", "");
    size_t size;
    Recorder rec = { .out = open_memstream(&text, &size) };
    train_cell(s, &rec);
    fclose(rec.out);
    char *save = NULL;
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        if (!strncmp(l, "num loss ", 9) || !strncmp(l, "num nll ", 8))
            kept = arena_text(&arena, "%s%s\n", kept, l);
    free(text);
    return kept;
}

static void cached_is_computed(void **state)
{
    (void)state;
    static const char *const ways[] = { "assign=brown", "assign=kmeans", "assign=svd" };
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        const Spec *s =
            spec_of((const char *[]){ ways[w], "depth=3", "shortlist=9", "budget=4steps", NULL });
        forget("classes.*");
        const char *first = losses(s);
        glob_t g = files("classes.*");
        assert_int_equal(g.gl_pathc, 1);
        globfree(&g);
        assert_string_equal(losses(s), first);
        assert_non_null(strstr(first, "num loss 3 "));
        Session *t = session_make(s, NULL, SESSION_TRAINS);
        const Classes *own = copy(t->classes), *other = swapped(own);
        double seconds = -1;
        assert_true(same(classes_cached(s, t->exec, t->corpus, &seconds, &arena), own));
        assert_true(seconds >= 0 && seconds == t->classes_s);
        classes_cache(other, s, t->exec, t->corpus, 12.5, &arena);
        classes_cached(s, t->exec, t->corpus, &seconds, &arena);
        assert_true(seconds == 12.5);
        session_drop(t);
        assert_true(same(classes_of(s, NULL), other));
        assert_string_not_equal(losses(s), first);
        forget("classes.*");
        assert_true(same(classes_of(s, NULL), own));
    }
}

static void every_setting_has_its_own(void **state)
{
    (void)state;
    static const char *const more[] = { "assign=kmeans", "assign=svd",         "classes=20",
                                        "depth=3",       "shortlist=5",        "seed=2",
                                        "corpus_seed=2", "train_tokens=19000", "V=299",
                                        "lr=0.1",        "assign=freq" };
    const size_t n = sizeof more / sizeof *more;
    forget("classes.*");
    for (size_t i = 0; i < n; i++) {
        const char *assign = i == 1 ? "assign=svd" : "assign=kmeans";
        classes_of(spec_of((const char *[]){ assign, more[i], NULL }), NULL);
    }
    glob_t g = files("classes.*");
    assert_int_equal(g.gl_pathc, n - 2); /* the rate does not matter; counts are cut at once */
    globfree(&g);
    forget("classes.*");
    classes_of(spec_of((const char *[]){ "assign=brown", NULL }), NULL);
    classes_of(spec_of((const char *[]){ "assign=brown", "seed=2", NULL }), NULL);
    g = files("classes.*");
    assert_int_equal(g.gl_pathc, 1);               /* nothing is drawn */
    globfree(&g);
}

static void write_at(const char *path, long at, int change)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    const int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ change, f);
    fclose(f);
}

static void damage_is_mended(void **state)
{
    (void)state;
    const Spec *s = spec_of((const char *[]){ "assign=brown", NULL });
    struct stat is;
    forget("classes.*");
    const Classes *own = classes_of(s, NULL);
    glob_t g = files("classes.*");
    const char *path = g.gl_pathv[0];
    assert_int_equal(stat(path, &is), 0);
    const long size = (long)is.st_size;
    for (int way = 0; way < 40; way++) {
        if (way < 3) assert_int_equal(truncate(path, way == 0 ? 0 : way == 1 ? 5 : size - 4), 0);
        else write_at(path, size - 1 - (way - 3) * (size / 40), 1 << way % 7);
        if (!same(classes_of(s, NULL), own)) fail_msg("damage %d of %s was trusted", way, path);
        Session *t = session_make(s, NULL, SESSION_TRAINS);
        double seconds;
        assert_non_null(classes_cached(s, t->exec, t->corpus, &seconds, &arena));
        session_drop(t);
    }
    globfree(&g);
}

/* ---- checkpoints ---- */

static void checkpoint_keeps_them(void **state)
{
    (void)state;
    static const char *const ways[] = { "assign=freq", "assign=brown" };
    for (int w = 0; w < 2; w++) {
        const Spec *s =
            spec_of((const char *[]){ ways[w], "depth=3", "shortlist=9", "finish=0.5", NULL });
        const Spec *elsewhere =
            spec_of((const char *[]){ ways[w], "depth=3", "shortlist=9", "corpus_seed=3", NULL });
        unlink(SAVE);
        Session *t = session_make(s, NULL, SESSION_TRAINS);
        const Classes *own = copy(t->classes), *kept = swapped(own);
        t->classes = kept;
        session_finish(t);
        holds(checkpoint_save(t, SAVE));
        session_drop(t);
        assert_true(same(classes_of(s, NULL), own));
        assert_true(same(classes_of(s, SAVE), kept));
        assert_true(same(classes_of(elsewhere, SAVE), kept));
        t = session_make(s, SAVE, SESSION_TRAINS);
        assert_true(same(t->classes, kept));
        holds(checkpoint_load(t, SAVE));
        session_drop(t);
    }
}

/* A file from before classes were kept */
static void without_them_they_are_made(void **state)
{
    (void)state;
    const Spec *s = spec_of((const char *[]){ "assign=brown", NULL });
    const Classes *k = NULL;
    Session *t = session_make(s, NULL, SESSION_TRAINS);
    const Classes *own = copy(t->classes);
    t->classes = NULL;
    holds(checkpoint_save(t, SAVE));
    session_drop(t);
    holds(checkpoint_classes(SAVE, &k, &arena));
    assert_null(k);
    assert_true(same(classes_of(s, SAVE), own));
    t = session_make(s, SAVE, SESSION_TRAINS);
    holds(checkpoint_load(t, SAVE));
    session_drop(t);
}

static void damaged_they_are_refused(void **state)
{
    (void)state;
    int seat[] = { 0, 0, 0, 0, 2, 1 };
    double mass[] = { 0.5, 0.5 };
    const Classes *k = NULL;
    const Tensor t[] = {
        { .name = "head.classes.mass", .dtype = "F64",
          .n = 2, .ndim = 1, .shape = { 2 }, .data = mass },
        { .name = "head.classes", .dtype = "I32",
          .n = 6, .ndim = 2, .shape = { 3, 2 }, .data = seat },
    };
    for (int n = 1; n < 3; n++) {
        holds(tensors_save(SAVE, t, n, NULL, &arena));
        says(checkpoint_classes(SAVE, &k, &arena),
             "expected in 'head.classes' the place and class of every word");
    }
    seat[2] = 1;
    holds(tensors_save(SAVE, t, 2, NULL, &arena));
    holds(checkpoint_classes(SAVE, &k, &arena));
    assert_int_equal(k->class_of[2], 1);
}

static void other_settings_are_refused(void **state)
{
    (void)state;
    const char *program = getenv("EIGHTYSIX_BINARY");
    static const char *const words[] = { "classes=20", "shortlist=3" };
    unlink(SAVE);
    Session *t = session_make(spec_of((const char *[]){ "assign=freq", NULL }), NULL,
                              SESSION_TRAINS);
    holds(checkpoint_save(t, SAVE));
    session_drop(t);
    for (int i = 0; i < 2; i++) {
        char said[1024] = "";
        const char *binary = program ? program : "build/eightysix";
        FILE *p = popen(arena_text(&arena, "%s eval %s %s 2>&1", binary, SAVE, words[i]), "r");
        said[fread(said, 1, sizeof said - 1, p)] = 0;
        assert_int_not_equal(pclose(p), 0);
        says(said, "the classes kept are");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seats_are_enough), cmocka_unit_test(bad_seats_are_refused),
        cmocka_unit_test(cached_is_computed), cmocka_unit_test(every_setting_has_its_own),
        cmocka_unit_test(damage_is_mended), cmocka_unit_test(checkpoint_keeps_them),
        cmocka_unit_test(without_them_they_are_made), cmocka_unit_test(damaged_they_are_refused),
        cmocka_unit_test(other_settings_are_refused) };
    return cmocka_run_group_tests(tests, start, scratch_drop);
}
