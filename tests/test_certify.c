/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Certificates that two programs compute the same losses: the decision on invented cells; the
 * command with two programs that speak the protocol and invent their losses; and, in test-long,
 * with commits of a clone. */
#include "harness/regress/certify.h"
#include "models/params.h"
#include "tests/place.h"
#include <math.h>

/* ---- the decision ---- */
/* "shared=1 head:tree=2" */
static CertifyParts parts_of(Arena *a, const char *text)
{
    CertifyParts p = { .list = arena_get(a, sizeof *p.list * CERTIFY_PARTS) };
    char *copy = arena_text(a, "%s", text), *save = NULL;
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        const int name = (int)strcspn(w, "=");
        p.list[p.n++] = (CertifyPart){ arena_text(a, "%.*s", name, w), w + name + 1 };
    }
    return p;
}

typedef struct Told { const char *old, *new, *differs; } Told;

/* "head:tree=EQUAL ..." of what the cells and the programs name, and the exit code */
static const char *decided(Place *p, const Told *told, int n, const char *old, const char *new)
{
    static const char *const names[] = { "SAME", "EQUAL", "OTHERWISE", "REGROUPED",
                                         "NOT_RUN", "NEW", "GONE", "INCOMPLETE" };
    CertifyCell cell[8] = { { 0 } };
    CertifyRow row[CERTIFY_PARTS];
    for (int i = 0; i < n; i++)
        cell[i] = (CertifyCell){ .name = "cell", .differs = told[i].differs,
                                 .old.parts = parts_of(&p->a, told[i].old),
                                 .new.parts = parts_of(&p->a, told[i].new) };
    const CertifyInput in = { cell, n, parts_of(&p->a, old), parts_of(&p->a, new), "b1", "b2" };
    const int rows = certify_decide(&in, row);
    const char *text = "";
    for (int i = 0; i < rows; i++)
        text = arena_text(&p->a, "%s%s=%s ", text, row[i].part, names[row[i].verdict]);
    return arena_text(&p->a, "%s%d", text, certify_code(row, rows, n));
}

static void parts_are_certified_by_all_of_their_cells(void **state)
{
    Place *p = *state;
    const char *tree = "shared=1 head:tree=1", *soft = "shared=1 head:softmax=1",
               *tree2 = "shared=2 head:tree=2", *soft2 = "shared=2 head:softmax=1";
    const Told agree[] = { { tree, tree2, NULL }, { soft, soft2, NULL } };
    assert_string_equal(decided(p, agree, 2, "", ""),
                        "head:softmax=SAME head:tree=EQUAL shared=EQUAL build=EQUAL 0");
    /* one cell of many is enough to refuse what it executed, and only that */
    const Told one[] = { { "shared=1 head:tree=1", "shared=1 head:tree=2", "a loss" },
                         { "shared=1 head:softmax=1", "shared=1 head:softmax=2", NULL } };
    assert_string_equal(decided(p, one, 2, "", ""),
                        "head:softmax=EQUAL head:tree=OTHERWISE shared=SAME build=OTHERWISE 1");
    const Told both[] = { { soft, soft2, NULL }, { tree, tree2, "a loss" } };
    assert_string_equal(decided(p, both, 2, "", ""),
                        "head:softmax=SAME head:tree=OTHERWISE shared=OTHERWISE "
                        "build=OTHERWISE 1");
    /* a head that is new is no reason to refuse, but a difference without a part that changed is */
    const Told other[] = { { soft, soft, "a loss" } };
    assert_string_equal(decided(p, other, 1, "", ""),
                        "head:softmax=SAME shared=SAME build=OTHERWISE 1");
}

static void what_no_cell_executes_is_not_certified(void **state)
{
    Place *p = *state;
    const Told cell[] = { { "shared=1", "shared=2", NULL } };
    assert_string_equal(decided(p, cell, 1, "shared=1 head:huffman=1", "shared=2 head:huffman=2"),
                        "head:huffman=NOT_RUN shared=EQUAL build=INCOMPLETE 0");
    assert_string_equal(decided(p, cell, 1, "shared=1 head:huffman=1", "shared=2 head:huffman=1"),
                        "head:huffman=SAME shared=EQUAL build=EQUAL 0");
    /* OLD does not name its parts: this one's code may be another */
    assert_string_equal(decided(p, cell, 1, "", "shared=2 head:huffman=1"),
                        "head:huffman=NOT_RUN shared=EQUAL build=INCOMPLETE 0");
    assert_string_equal(decided(p, cell, 1, "shared=1 head:gone=1", "shared=2 head:huffman=1"),
                        "head:gone=GONE head:huffman=NEW shared=EQUAL build=EQUAL 0");
    assert_string_equal(decided(p, NULL, 0, "shared=1", "shared=2"),
                        "shared=NOT_RUN build=NOT_RUN 3");
}

/* What belonged to a part may have moved to another: a later change of that would not be seen */
static void code_that_moved_to_another_part_is_not_certified(void **state)
{
    Place *p = *state;
    const Told split[] = { { "shared=1", "shared=2 f32:avx2=1", NULL },
                           { "model:m=1", "model:m=2", NULL } };
    assert_string_equal(decided(p, split, 2, "", ""),
                        "f32:avx2=NEW model:m=EQUAL shared=REGROUPED build=EQUAL 0");
}

/* ---- losses and weights ---- */
static const char *numbers_differ(Place *p, const double *x, int nx, const double *y, int ny,
                                  double tolerance, double *off)
{
    CertifySide s[2] = { { .numbers = nx }, { .numbers = ny } };
    for (int k = 0; k < 2; k++) {
        s[k].number = arena_get(&p->a, sizeof *s[k].number * 8);
        for (int i = 0; i < s[k].numbers; i++)
            s[k].number[i] = (CertifyNumber){ "loss", i, (k ? y : x)[i] };
    }
    *off = 0;
    return certify_numbers(&s[0], &s[1], tolerance, off, &p->a);
}

static void losses_are_compared_bit_for_bit(void **state)
{
    Place *p = *state;
    double off;
    const double x[] = { 5, 4, 3 }, y[] = { 5, nextafter(4, 5), 3.5 }, unreal[] = { 5, NAN, 3 };
    assert_null(numbers_differ(p, x, 3, x, 3, 0, &off));
    assert_true(off <= 0);
    const char *why = numbers_differ(p, x, 3, y, 3, 0, &off);
    assert_says(why, "loss at step 1 is 4 in OLD, 4 in NEW");
    assert_true(off > 0.1 && off < 0.2);
    assert_says(numbers_differ(p, x, 3, y, 3, 1e-9, &off), "loss at step 2 is 3 in OLD, 3.5");
    assert_null(numbers_differ(p, x, 3, y, 3, 0.2, &off));
    assert_says(numbers_differ(p, x, 3, unreal, 3, 1, &off), "loss at step 1");
    assert_says(numbers_differ(p, x, 3, x, 2, 1, &off), "NEW has no loss at step 2");
    assert_says(numbers_differ(p, x, 2, x, 3, 1, &off), "OLD has no loss at step 2");
    assert_says(numbers_differ(p, x, 0, x, 0, 1, &off), "no loss");
}

static const char *weights(Place *p, const char *name, const char *tensor, float last, int rows)
{
    float v[6] = { 1, 2, 3, 4, 5, last };
    float text[2] = { last, last };
    const Tensor t[] = { { .name = tensor, .dtype = "F32", .n = 6, .ndim = 2,
                           .shape = { rows, 6 / rows }, .data = v },
                         { .name = "text.counts", .dtype = "F32", .n = 2, .ndim = 1,
                           .shape = { 2 }, .data = text } };
    const char *path = place_in(p, name);
    holds(tensors_save(path, t, 2, (const char *const[]){ "seconds", name, NULL }, &p->a));
    return path;
}

static const char *weights_differ(Place *p, const char *x, const char *y, double tolerance)
{
    double off = 0;
    return certify_weights(x, y, tolerance, &off, &p->a);
}

static void weights_are_compared_bit_for_bit(void **state)
{
    Place *p = *state;
    const char *x = weights(p, "x", "w", 6, 2), *same = weights(p, "same", "w", 6, 2),
               *near = weights(p, "near", "w", 6.001f, 2), *shape = weights(p, "s", "w", 6, 3),
               *name = weights(p, "name", "u", 6, 2), *unreal = weights(p, "n", "w", NAN, 2);
    assert_null(weights_differ(p, x, same, 0));
    assert_says(weights_differ(p, x, near, 0), "the final 'w' differs");
    assert_null(weights_differ(p, x, near, 1e-3));
    assert_says(weights_differ(p, x, shape, 1), "'w' differs");
    assert_says(weights_differ(p, x, name, 1), "the final 'w' is in one of them only");
    assert_says(weights_differ(p, x, unreal, 1), "'w' differs");
    assert_says(weights_differ(p, x, place_in(p, "nowhere"), 1), "nowhere");
}

/* ---- the command ---- */
/* A program: its parts, a hash of the tree's code, the loss of the tree at step 1, its weights */
static void invent(Place *p, const char *name, const char *shared, const char *tree,
                   const char *loss, const char *file)
{
    place_write(p, name, arena_text(&p->a,
        "#!/bin/sh\n"
        "if [ \"$1\" = regress-sample ]; then cat >&3 <<END\n"
        "text protocol 1\ntext build build-%s\ntext compiler c\ntext flags f\n"
        "text part shared %s\ntext part head:tree %s\ntext part head:softmax same\n"
        "text part head:huffman %s\n"
        "text quality m+tree+f32 head=tree quant=none budget=120steps\n"
        "text quality m+softmax+f32 head=softmax quant=none budget=120steps\n"
        "text quality m+%s+f32 head=%s quant=none budget=120steps\n"
        "END\nexit\nfi\n"
        "head=softmax loss=4\n"
        "for w in \"$@\"; do case $w in\n"
        "  save=*) cp %s \"${w#save=}\";;\n"
        "  head=tree) head=tree loss=%s;;\n"
        "  quant=absmean) [ %s = one ] && echo \"quant=absmean: not known\" >&2 && exit 2;;\n"
        "  budget=*) [ $w = budget=20steps ] || exit 1;; esac; done\n"
        "printf 'sync\\n' >&3\n"
        "timeout 5 dd bs=1 count=1 <&$EIGHTYSIX_STORED > /dev/null 2>&1 || exit 1\n"
        "[ $head = tree ] && hash=%s || hash=same\n"
        "printf 'text part:shared %s\\ntext part:head:%%s %%s\\n' $head $hash >&3\n"
        "printf 'num loss 0 5\\nnum grad_norm 0 1\\nnum loss 1 %%s\\nnum nll 20 3\\n' $loss >&3\n",
        name, shared, tree, shared, name, name, file, loss, name, tree, shared));
    const char *said;
    assert_int_equal(place_shell(p, arena_text(&p->a, "chmod +x %s", place_in(p, name)), &said), 0);
}

/* Exit code of `certify ARGUMENTS`, run in the place */
static int certify(Place *p, const char *arguments, const char **said)
{
    return place_shell(p, arena_text(&p->a, "cd '%s' && \"$EIGHTYSIX_BINARY\" certify %s", p->dir,
                                     arguments), said);
}

static const char *recorded(Place *p)
{
    const char *said;
    place_shell(p, arena_text(&p->a, "sqlite3 '%s' 'SELECT part, old, new FROM certified'",
                              p->path), &said);
    return said;
}

static void two_programs(void **state)
{
    Place *p = *state;
    const char *said, *db = arena_text(&p->a, "--db %s", p->path);
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    const char *w = weights(p, "w1", "w", 6, 2), *w2 = weights(p, "w2", "w", 6.001f, 2);
    invent(p, "one", "s1", "t1", "4.5", w);
    invent(p, "two", "s2", "t2", "4.5", w);
    assert_int_equal(certify(p, arena_text(&p->a, "./one ./two %s", db), &said), 0);
    assert_says(said, "certified, bit for bit");
    assert_says(said, "the same code");
    assert_says(said, "no golden cell executes head:huffman");
    assert_says(said, "do not run in OLD or on this machine, the first m+tree+absmean+f32: fail: "
                      "quant=absmean: not known");
    assert_string_equal(recorded(p), "head:tree|t1|t2\nshared|s1|s2\n");
    /* nothing of what a cell that differs has executed; what others executed alone is */
    invent(p, "two", "s3", "t3", "4.500001", w);
    assert_int_equal(certify(p, arena_text(&p->a, "./one ./two %s", db), &said), 1);
    assert_says(said, "computes otherwise: m+tree+v3+f32: loss at step 1 is 4.5 in OLD, 4.500001");
    assert_string_equal(recorded(p), "head:tree|t1|t2\nshared|s1|s2\n");
    assert_int_equal(certify(p, arena_text(&p->a, "./one ./two %s --tolerance 1e-6", db), &said),
                     0);
    assert_says(said, "certified, within 2.2e-07");
    assert_says(recorded(p), "head:tree|t1|t3\n");
    /* losses agree, and the weights do not */
    invent(p, "two", "s4", "t4", "4.5", w2);
    assert_int_equal(certify(p, arena_text(&p->a, "./one ./two %s", db), &said), 1);
    assert_says(said, "the final 'w' differs");
    assert_silent(recorded(p), "s4");
    assert_int_equal(place_shell(p, arena_text(&p->a, "ls %s/build/regress", p->dir), &said), 0);
    assert_silent(said, "safetensors");
}

static void wrong_arguments(void **state)
{
    Place *p = *state;
    const char *said;
    if (!getenv("EIGHTYSIX_BINARY")) skip();
    assert_int_equal(certify(p, "./one", &said), 2);
    assert_says(said, "expected OLD and NEW");
    assert_int_equal(certify(p, "./nothing ./one", &said), 2);
    assert_says(said, "./nothing: expected a commit");
    assert_int_equal(certify(p, "a b --tolerance -1", &said), 2);
    assert_int_equal(certify(p, "--help", &said), 0);
    assert_says(said, "eightysix certify HEAD~1 HEAD");
}

/* ---- commits ---- */
static void run(Place *p, const char *command)
{
    const char *said;
    if (place_shell(p, command, &said)) fail_msg("%s: %s", command, said);
}

static void commit(Place *p, const char *sed, const char *file)
{
    run(p, arena_text(&p->a, "cd %s/src && sed -i '%s' %s && git -c user.name=t -c user.email=t@t "
                      "-c commit.gpgsign=false commit -q -a -m c", p->dir, sed, file));
}

/* Another name of a function in the optimiser, then its second bias correction left out */
static void two_commits(void **state)
{
    Place *p = *state;
    const char *said;
    if (!getenv("EIGHTYSIX_LONG") || !getenv("EIGHTYSIX_BINARY")) {
        print_message("left to make test-long\n");
        skip();
    }
    run(p, arena_text(&p->a, "git clone -q . %s/src && git -C %s/src checkout -q --detach", p->dir,
                      p->dir));
    commit(p, "s/optim_threads_of/optim_how_many/", "models/optim.c");
    commit(p, "s/c2 = 1 - powf.*;/c2 = 1;/", "models/optim.c");
    const char *in = arena_text(&p->a, "cd %s/src && \"$EIGHTYSIX_BINARY\" certify --db %s",
                                p->dir, p->path);
    assert_int_equal(place_shell(p, arena_text(&p->a, "%s HEAD~2 HEAD~1", in), &said), 0);
    assert_says(recorded(p), "shared|");
    assert_int_equal(place_shell(p, arena_text(&p->a, "%s HEAD~1 HEAD", in), &said), 1);
    assert_says(said, "computes otherwise: flashlm3+");
}

int main(void)
{
#define PLACED(test) cmocka_unit_test_setup_teardown(test, place_make, place_drop)
    const struct CMUnitTest tests[] = {
        PLACED(parts_are_certified_by_all_of_their_cells),
        PLACED(what_no_cell_executes_is_not_certified),
        PLACED(code_that_moved_to_another_part_is_not_certified),
        PLACED(losses_are_compared_bit_for_bit),
        PLACED(weights_are_compared_bit_for_bit),
        PLACED(two_programs),
        PLACED(wrong_arguments),
        PLACED(two_commits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
