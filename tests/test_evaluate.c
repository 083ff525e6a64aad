/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The test text: evaluated once, at the end of a run, by the code that evaluates the validation
 * text; it changes nothing of the run; `eval` says which text it read. */
#include "harness/corpus/bigram.h"
#include "harness/corpus/data.h"
#include "harness/corpus/synth.h"
#include "harness/corpus/trigram.h"
#include "harness/util/host.h"
#include "models/params.h"
#include "tests/place.h"
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char small[] = "d=32 inner=32 batch=1 accum=1 seq=8 threads=1 gemm=portable V=50 "
                            "conv_groups=4 dilations=1,2 valid_tokens=200";
static const char synth[] = "train_tokens=2000 budget=6steps";

/* What a cell records and says */
static const char *cell(Place *p, const char *words)
{
    return place_expect(p, 0, arena_text(&p->a, "cell %s %s 3>&-", small, words));
}

/* The lines that begin with `what` */
static const char *lines(Place *p, const char *said, const char *what)
{
    char *found = arena_text(&p->a, "%s", ""), *copy = arena_text(&p->a, "%s", said);
    for (char *line; (line = strsep(&copy, "\n")); )
        if (!strncmp(line, what, strlen(what))) found = arena_text(&p->a, "%s%s\n", found, line);
    return found;
}

static int count(Place *p, const char *said, const char *what)
{
    int n = 0;
    for (const char *s = lines(p, said, what); (s = strchr(s, '\n')); s++) n++;
    return n;
}

/* The number of the last such line: "num NAME STEP " */
static double number(Place *p, const char *said, const char *what)
{
    const char *s = lines(p, said, what);
    double value = NAN;
    for (; *s; s = strchr(s, '\n') + 1) value = strtod(s + strlen(what), NULL);
    return value;
}

static void text(Place *p, const char *path, uint64_t stream, int letters)
{
    char *s = arena_raw(&p->a, (size_t)letters + 1);
    Rng r = rng_at(1, STREAM_CHECK, stream);
    for (int i = 0; i < letters; i++) s[i] = i % 7 == 6 ? ' ' : (char)('a' + rng_below(&r, 20));
    s[letters] = 0;
    place_write(p, path, s);
}

/* A corpus of one document, so that without a test text of so many letters it has none */
static void corpus(Place *p, const char *name, int test)
{
    mkdir(place_in(p, name), 0777);
    text(p, arena_text(&p->a, "%s/train.txt", name), 1, 3000);
    text(p, arena_text(&p->a, "%s/valid.txt", name), 2, 400);
    if (test) text(p, arena_text(&p->a, "%s/test.txt", name), 3, test);
}

/* Tokens that the language copied are a line for every lag that a window holds, of those positions
 * whose original is in it, on which the law of the language loses less than on others */
static void losses_on_copies(void **state)
{
    Place *p = *state;
    enum { T = 80, N = 4000, V = 50 };
    const char *said = cell(p, "seq=80 valid_tokens=4000 train_tokens=2000 budget=1steps");
    const Synth *y = synth_make(V, 1, &p->a);
    int *tok = arena_array(&p->a, N, sizeof *tok), *from = arena_array(&p->a, N, sizeof *from);
    double *law = arena_array(&p->a, N, sizeof *law);
    synth_stream(y, SPLIT_TEST, tok, from, N);
    synth_nll(y, tok, N, law);
    for (int l = 0; l < SYNTH_LAGS; l++) {
        const int lag = y->law.lag[l];
        const char *const name = arena_text(&p->a, "num copy_positions:%d 1 ", lag);
        double n = 0, sum = 0;
        for (int w = 0; w + T < N; w += T)
            for (int t = w + lag; t <= w + T; t++)
                if (from[t] == lag) {
                    n++;
                    sum += law[t];
                }
        assert_int_equal(count(p, said, name), n > 0);
        if (n < 1) continue;
        const double nll = number(p, said, arena_text(&p->a, "num copy_nll:%d 1 ", lag)),
                     floor = number(p, said, arena_text(&p->a, "num copy_floor:%d 1 ", lag));
        assert_true(number(p, said, name) == n);
        assert_true(fabs(floor / (sum / n) - 1) < 1e-12);
        assert_true(floor < 0.8 * number(p, said, "num test_nll_floor 1 "));
        assert_true(nll > floor && nll < 2 * log(V));
    }
    assert_int_equal(count(p, said, "num copy_positions:61 "), 1);
    assert_int_equal(count(p, said, "num copy_positions:130 "), 0);
    corpus(p, "text", 400);
    said = cell(p, "corpus=text vocab=bytes budget=1steps");
    assert_int_equal(count(p, said, "num copy_"), 0);
}

/* Beside a loss are those of pairs and triples of words: of a short text counted at once, of a long
 * one by a process of its own, which leaves them in the cache */
static void losses_of_pairs_and_triples(void **state)
{
    Place *p = *state;
    enum { V = 50, HELD = 200 };
    static const int lengths[] = { 3000, 1000000, 1000000 };
    for (int k = 0; k < 3; k++) {
        const int n = lengths[k];
        const char *said = cell(p, arena_text(&p->a, "train_tokens=%d budget=1steps", n));
        const Synth *y = synth_make(V, 1, &p->a);
        int *tok = arena_array(&p->a, (size_t)n, sizeof *tok), held[HELD];
        uint16_t *train = arena_array(&p->a, (size_t)n, sizeof *train);
        synth_stream(y, SPLIT_TRAIN, tok, NULL, n);
        for (int i = 0; i < n; i++) train[i] = (uint16_t)tok[i];
        const Bigram *b = bigram_make(token_ids_2(train), n, V, &p->a);
        const Trigram *t = trigram_make(token_ids_2(train), n, V, &p->a);
        for (int split = SPLIT_VALID; split <= SPLIT_TEST; split++) {
            double pairs = 0, triples = 0;
            synth_stream(y, (uint64_t)split, held, NULL, HELD);
            for (int i = 1; i < HELD; i++) pairs -= bigram_logp(b, held[i - 1], held[i]);
            for (int i = 2; i < HELD; i++)
                triples -= trigram_logp(t, held[i - 2], held[i - 1], held[i]);
            const char *of = split == SPLIT_TEST ? "test_" : "";
            const int step = split == SPLIT_TEST;
            const double two = number(p, said, arena_text(&p->a, "num %sbigram %d ", of, step)),
                         three = number(p, said, arena_text(&p->a, "num %strigram %d ", of, step));
            assert_true(fabs(two / (pairs / (HELD - 1)) - 1) < 1e-12);
            assert_true(fabs(three / (triples / (HELD - 2)) - 1) < 1e-12);
        }
        const char *kept = arena_text(&p->a, "ls %s/cache/*.grams.*.txt 2>/dev/null", p->dir);
        assert_int_equal(system(kept) == 0, k > 0);
    }
}

static void a_run_ends_with_its_test_loss(void **state)
{
    Place *p = *state;
    const char *said = cell(p, arena_text(&p->a, "%s eval_every=2steps", synth));
    assert_int_equal(count(p, said, "num nll "), 3);
    assert_int_equal(count(p, said, "num test_nll "), 1);
    assert_int_equal(count(p, said, "num test_nll 6 "), 1);
    assert_int_equal(count(p, said, "text split test"), 1);
    const double nll = number(p, said, "num nll 6 "), test = number(p, said, "num test_nll 6 "),
                 floor = number(p, said, "num test_nll_floor 6 ");
    assert_true(test > floor && floor > 1 && test != nll && fabs(test / nll - 1) < 0.2);
    assert_true(floor != number(p, said, "num nll_floor 0 "));
    assert_true(number(p, said, "num test_positions 6 ") == 192);
    assert_int_equal(count(p, said, "text valid_sha "), 0);
    corpus(p, "three", 400);
    said = cell(p, "corpus=three vocab=bytes budget=4steps");
    assert_true(fabs(number(p, said, "num test_bits_per_byte 4 ") * log(2) /
                         number(p, said, "num test_nll 4 ") - 1) < 1e-9);
    const char *hashes;
    place_shell(p, arena_text(&p->a, "sha256sum < %s/three/train.txt; sha256sum < "
                              "%s/three/valid.txt; sha256sum < %s/three/test.txt", p->dir, p->dir,
                              p->dir), &hashes);
    static const char *const key[] = { "corpus_sha", "valid_sha", "test_sha" };
    for (int i = 0; i < 3; i++, hashes = strchr(hashes, '\n') + 1)
        assert_says(said, arena_text(&p->a, "text %s %.64s\n", key[i], hashes));
}

static void without_a_test_text_valid_is_reported(void **state)
{
    Place *p = *state;
    corpus(p, "two", 0);
    const char *said = cell(p, "corpus=two vocab=bytes budget=2steps");
    assert_int_equal(count(p, said, "num test_nll "), 0);
    assert_int_equal(count(p, said, "text split valid"), 1);
    assert_int_equal(count(p, said, "text test_sha "), 0);
    assert_says(said, "corpus=two has no test text: no test.txt, and no documents");
    corpus(p, "short", 8);
    said = cell(p, "corpus=short vocab=bytes budget=2steps");
    assert_int_equal(count(p, said, "num test_nll "), 0);
    assert_int_equal(count(p, said, "text split valid"), 1);
    assert_says(said, "corpus=short has no test text: 8 tokens, and a window (seq) has 8;");
    said = cell(p, arena_text(&p->a, "%s act=int8 kernel=noop", synth));
    assert_int_equal(count(p, said, "num test_nll ") + count(p, said, "text split "), 0);
}

/* A finished run that is started again knows its test loss; one that was killed after its last
 * checkpoint and before the evaluation finds it then; one that goes on finds another */
static void the_test_loss_is_found_once(void **state)
{
    Place *p = *state;
    const char *path = place_in(p, "x.safetensors"), *why = NULL;
    const char *words = arena_text(&p->a, "%s save=%s", synth, path);
    const char *first = cell(p, words), *again = cell(p, words);
    const char *loss = lines(p, first, "num test_nll ");
    assert_int_equal(count(p, first, "num test_s "), 1);
    assert_int_equal(count(p, again, "num loss "), 0);
    assert_int_equal(count(p, again, "num test_s "), 0);
    assert_string_equal(lines(p, again, "num test_nll "), loss);
    assert_string_equal(lines(p, again, "num test_pos"), lines(p, first, "num test_pos"));
    assert_int_equal(count(p, again, "text split test"), 1);

    TensorFile *f = tensors_open(path, &p->a, &why);
    assert_null(why);
    const char *meta[65] = { NULL };
    for (int i = 0; f->meta[i]; i++)
        meta[i] = i && !strcmp(f->meta[i - 1], "test_step") ? "-1" : f->meta[i];
    assert_null(tensors_save(place_in(p, "killed"), f->t, f->n, meta, &p->a));
    tensors_close(f);
    assert_int_equal(rename(place_in(p, "killed"), path), 0);
    const char *resumed = cell(p, words);
    assert_int_equal(count(p, resumed, "num test_s "), 1);
    assert_string_equal(lines(p, resumed, "num test_nll "), loss);

    const char *more = cell(p, arena_text(&p->a, "%s budget=9steps", words));
    assert_int_equal(count(p, more, "num test_nll 9 "), 1);
    assert_int_equal(count(p, more, "num test_s 9 "), 1);
}

static void same_tensors(Place *p, const char *one, const char *other)
{
    const char *why = NULL;
    TensorFile *a = tensors_open(one, &p->a, &why), *b = tensors_open(other, &p->a, &why);
    assert_null(why);
    assert_int_equal(a->n, b->n);
    for (int i = 0; i < a->n; i++) {
        const Tensor *t = tensors_find(b, a->t[i].name);
        assert_non_null(t);
        assert_int_equal(t->n, a->t[i].n);
        const size_t size = !strcmp(t->dtype, "F64") ? 8 : !strcmp(t->dtype, "U16") ? 2 : 4;
        assert_memory_equal(t->data, a->t[i].data, (size_t)t->n * size);
    }
    tensors_close(a);
    tensors_close(b);
}

/* The same run with a test text and without: broken after six steps, where the one was evaluated */
static void the_test_text_changes_nothing(void **state)
{
    Place *p = *state;
    corpus(p, "three", 400);
    corpus(p, "two", 0);
    static const char *const name[] = { "three", "two" },
                             *const heads[] = { "head=tree eval=ema ema=0.9", "head=sampled" };
    for (int h = 0; h < 2; h++) {
        const char *said[2][2];
        for (int i = 0; i < 2; i++)
            for (int part = 0; part < 2; part++)
                said[i][part] = cell(
                    p, arena_text(&p->a, "corpus=%s vocab=bytes %s schedule=constant "
                                  "eval_every=2steps budget=%dsteps save=%s/%s%d", name[i],
                                  heads[h], part ? 12 : 6, p->dir, name[i], h));
        for (int part = 0; part < 2; part++) {
            assert_int_equal(count(p, said[0][part], "num test_nll "), 1);
            assert_int_equal(count(p, said[1][part], "num test_nll "), 0);
            assert_int_equal(count(p, said[0][part], "num loss "), 6);
            assert_string_equal(lines(p, said[0][part], "num loss "),
                                lines(p, said[1][part], "num loss "));
            assert_string_equal(lines(p, said[0][part], "num nll "),
                                lines(p, said[1][part], "num nll "));
        }
        same_tensors(p, arena_text(&p->a, "%s/three%d", p->dir, h),
                     arena_text(&p->a, "%s/two%d", p->dir, h));
    }
}

static void eval_says_which_text(void **state)
{
    Place *p = *state;
    corpus(p, "three", 400);
    const char *path = place_in(p, "x.safetensors");
    const char *said = cell(p, arena_text(&p->a, "corpus=three vocab=bytes budget=4steps save=%s",
                                          path));
    const char *test = arena_text(&p->a, "test: %.4f nats", number(p, said, "num test_nll 4 ")),
               *valid = arena_text(&p->a, "valid: %.4f nats", number(p, said, "num nll 4 "));
    assert_says(place_expect(p, 0, arena_text(&p->a, "eval %s", path)), test);
    assert_says(place_expect(p, 0, arena_text(&p->a, "eval split=test %s", path)), test);
    assert_says(place_expect(p, 0, arena_text(&p->a, "eval %s split=valid", path)), valid);
    assert_says(place_expect(p, 0, arena_text(&p->a, "eval %s split=train", path)), "train: ");
    assert_says(place_expect(p, 0, arena_text(&p->a, "eval %s --json", path)),
                "\"split\":\"test\"");
    assert_says(place_expect(p, 2, arena_text(&p->a, "eval %s split=all", path)),
                "split=all: expected test, valid or train");
    assert_says(place_expect(p, 2, arena_text(&p->a, "eval %s split=test split=valid", path)),
                "split= is given twice");
    corpus(p, "two", 0);
    assert_says(place_expect(p, 0, arena_text(&p->a, "eval %s corpus=two", path)), valid);
    assert_says(place_expect(p, 2, arena_text(&p->a, "eval %s corpus=two split=test", path)),
                "split=test: corpus=two has no test text: no test.txt");
}

/* A checkpoint with another hash of its text */
static const char *with_hash(Place *p, const char *path, const char *file)
{
    const char *why = NULL, *hash, *other = place_in(p, "older.safetensors");
    place_shell(p, arena_text(&p->a, "sha256sum < %s", file), &hash);
    TensorFile *f = tensors_open(path, &p->a, &why);
    assert_null(why);
    const char *meta[65] = { NULL };
    for (int i = 0; f->meta[i]; i++)
        meta[i] = i && !strcmp(f->meta[i - 1], "text.sha") ? arena_text(&p->a, "%.64s", hash)
                                                          : f->meta[i];
    assert_null(tensors_save(other, f->t, f->n, meta, &p->a));
    tensors_close(f);
    return other;
}

/* What an older program trained on is not reported as a test text, and not resumed either */
static void what_was_trained_on_is_no_test_text(void **state)
{
    Place *p = *state;
    char *train = arena_raw(&p->a, 1 << 16), *at = train;
    for (int i = 0; i < 400; i++)
        at += sprintf(at, "document %d\nsays %d\n\n<|endoftext|>\n", i, i * i);
    corpus(p, "documents", 0);
    place_write(p, "documents/train.txt", train);
    text(p, "one.txt", 5, 8000);
    const char *const name[] = { "documents", place_in(p, "one.txt") },
               *const file[] = { place_in(p, "documents/train.txt"), name[1] };
    for (int i = 0; i < 2; i++) {
        const char *path = arena_text(&p->a, "%s/%d.safetensors", p->dir, i);
        const char *words = arena_text(&p->a, "corpus=%s vocab=bytes budget=4steps", name[i]);
        const char *said = cell(p, arena_text(&p->a, "%s save=%s", words, path));
        assert_int_equal(count(p, said, "text split test"), 1);
        const char *valid = arena_text(&p->a, "valid: %.4f", number(p, said, "num nll 4 "));
        assert_says(place_expect(p, 0, arena_text(&p->a, "eval %s", path)), "test: ");
        const char *older = with_hash(p, path, file[i]);
        said = place_expect(p, 0, arena_text(&p->a, "eval %s", older));
        assert_says(said, valid);
        assert_says(said, "by an older program, which held none back");
        place_expect(p, 2, arena_text(&p->a, "eval %s split=test", older));
        said = place_expect(p, 2, arena_text(&p->a, "cell %s %s save=%s", small, words, older));
        assert_says(said, "trained on another text");
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, place_make_data, place_drop)
int main(void)
{
    const struct CMUnitTest tests[] = { T(a_run_ends_with_its_test_loss),
                                        T(losses_on_copies),
                                        T(losses_of_pairs_and_triples),
                                        T(without_a_test_text_valid_is_reported),
                                        T(the_test_loss_is_found_once),
                                        T(the_test_text_changes_nothing),
                                        T(eval_says_which_text),
                                        T(what_was_trained_on_is_no_test_text) };
    return cmocka_run_group_tests_name("evaluate", tests, NULL, NULL);
}
