/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Checkpoints as files: damaged and crafted ones are refused with a sentence, whole ones need
 * nothing but themselves. */
#include "kernels/gemm.h"
#include "models/params.h"
#include "tests/place.h"
#include <math.h>
#include <sys/stat.h>

static const char small[] = "d=32 inner=32 batch=1 accum=1 seq=8 threads=1 gemm=portable "
                            "conv_groups=4 dilations=1,2 budget=3steps valid_tokens=64";

/* DIR/NAME after a short training with these words */
static const char *train(Place *p, const char *name, const char *words)
{
    const char *path = place_in(p, name);
    place_expect(p, 0,
                 arena_text(&p->a, "train --no-db --quiet %s save=%s %s", small, path, words));
    return path;
}

enum { MAX_TENSORS = 400 };
typedef struct Crafted {
    Tensor      t[MAX_TENSORS];
    int         n;
    const char *meta[65];
} Crafted;

static TensorFile *craft(Place *p, const char *path, Crafted *c)
{
    const char *why = NULL;
    TensorFile *f = tensors_open(path, &p->a, &why);
    holds(why);
    assert_true(f->n <= MAX_TENSORS);
    memcpy(c->t, f->t, sizeof *f->t * (size_t)f->n);
    c->n = f->n;
    for (int i = 0; i < 64 && f->meta[i]; i++) c->meta[i] = f->meta[i];
    return f;
}

static void craft_meta(Crafted *c, const char *key, const char *value)
{
    int i = 0;
    while (c->meta[i] && strcmp(c->meta[i], key)) i += 2;
    assert_non_null(c->meta[i]);
    c->meta[i + 1] = value;
}

static Tensor *craft_tensor(Crafted *c, const char *name)
{
    int i = 0;
    while (i < c->n && strcmp(c->t[i].name, name)) i++;
    assert_true(i < c->n);
    return &c->t[i];
}

static void refused(Place *p, const char *command, const char *path, const char *expected)
{
    assert_says(place_expect(p, 2, arena_text(&p->a, "%s %s", command, path)), expected);
}

/* A checkpoint with one value of its metadata replaced */
static void refused_with(Place *p, const char *path, const char *key, const char *value,
                         const char *expected)
{
    Crafted c = { .n = 0 };
    TensorFile *f = craft(p, path, &c);
    const char *other = place_in(p, "crafted.safetensors");
    craft_meta(&c, key, value);
    holds(tensors_save(other, c.t, c.n, c.meta, &p->a));
    tensors_close(f);
    refused(p, "eval", other, expected);
}

static void crafted_metadata_is_refused(void **state)
{
    Place *p = *state;
    const char *path = train(p, "x.safetensors", "V=50 train_tokens=2000");
    refused_with(p, path, "spec", "V=50 d=32 seq=2000000000",
                 "crafted.safetensors: seq=2000000000: expected");
    refused_with(p, path, "spec", "V=50 d=32 d=-3", "crafted.safetensors: d=-3: expected");
    refused_with(p, path, "spec", "V=50 d=32 train_tokens=4294967296",
                 "train_tokens=4294967296");
    refused_with(p, path, "seconds", "nan", "crafted.safetensors: seconds 'nan': expected");
    refused_with(p, path, "step", "-1", "crafted.safetensors: step '-1': expected");
    refused_with(p, path, "tokens", "1e99", "crafted.safetensors: tokens '1e99': expected");
}

/* What an older program allowed and nothing is sized by loads with a warning; what would overflow a
 * size or a float does not. */
static void stored_values_beyond_their_range(void **state)
{
    Place *p = *state;
    static const char *const harmless[] = { "smoothing=1.5", "seed=-7", "warmup=-1", "lr=5000",
                                            "freeze=-3", "finish=-1", "beta2=2", "fraction=1e20",
                                            "ema=7", "init_sigma=-1" };
    const char *path = train(p, "x.safetensors", "V=50 train_tokens=2000");
    const char *whole = place_expect(p, 0, arena_text(&p->a, "eval %s", path));
    const char *other = place_in(p, "crafted.safetensors"), *spec = NULL;
    Crafted c = { .n = 0 };
    TensorFile *f = craft(p, path, &c);
    spec = arena_text(&p->a, "%s", tensors_meta(f, "spec"));
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
        craft_meta(&c, "spec", arena_text(&p->a, "%s %s", spec, harmless[i]));
        holds(tensors_save(other, c.t, c.n, c.meta, &p->a));
        const char *said = place_expect(p, 0, arena_text(&p->a, "eval %s", other));
        const char *warning = arena_text(&p->a, "crafted.safetensors: %s: expected", harmless[i]);
        assert_says(said, warning);
        assert_silent(strstr(said, warning) + 1, warning);
        assert_says(said, arena_text(&p->a, "%.*s", (int)strcspn(whole, "("), whole));
    }
    tensors_close(f);
    static const char *const harmful[] = { "seq=0", "seq=1048577", "batch=-1", "threads=4097",
                                           "recursions=1025", "lr=1e39", "fraction=1e300",
                                           "smoothing=nan", "act_bits=9", "samples=-1",
                                           "seed=99999999999999999999", "quant=other" };
    for (size_t i = 0; i < sizeof harmful / sizeof *harmful; i++)
        refused_with(p, path, "spec", arena_text(&p->a, "%s %s", spec, harmful[i]),
                     arena_text(&p->a, "crafted.safetensors: %s: expected", harmful[i]));
}

static const char *printed(Place *p, const char *command, const char *path)
{
    const char *all = place_expect(p, 0, arena_text(&p->a, "%s %s", command, path));
    return arena_text(&p->a, "%.*s", (int)strcspn(all, "("), all);
}

/* The header is one byte longer: every tensor lies at an odd place. They are read all the same. */
static void misaligned_tensors_are_read(void **state)
{
    Place *p = *state;
    const char *path = train(p, "x.safetensors", "V=50 train_tokens=2000"),
               *other = place_in(p, "crafted.safetensors");
    FILE *in = fopen(path, "rb"), *out = fopen(other, "wb");
    char *bytes = arena_raw(&p->a, 1 << 24);
    const size_t n = fread(bytes, 1, 1 << 24, in);
    uint64_t len;
    memcpy(&len, bytes, 8);
    const uint64_t longer = len + 1;
    fwrite(&longer, 8, 1, out);
    fwrite(bytes + 8, 1, len, out);
    fputc(' ', out);
    fwrite(bytes + 8 + len, 1, n - 8 - len, out);
    fclose(in);
    fclose(out);
    assert_string_equal(printed(p, "eval", other), printed(p, "eval", path));
}

static void averages_of_another_type_are_refused(void **state)
{
    Place *p = *state;
    const char *path = train(p, "x.safetensors", "V=50 train_tokens=2000"),
               *other = place_in(p, "crafted.safetensors");
    Crafted c = { .n = 0 };
    TensorFile *f = craft(p, path, &c);
    craft_tensor(&c, "ema/embedding.weight")->dtype = "U16";
    holds(tensors_save(other, c.t, c.n, c.meta, &p->a));
    place_expect(p, 0, arena_text(&p->a, "eval %s", other));
    refused(p, "eval eval=ema", other, "expected 'ema/embedding.weight' with 1600 values of F32");
    c.n = 0;
    for (int i = 0; i < f->n; i++)
        if (strncmp(f->t[i].name, "ema/", 4)) c.t[c.n++] = f->t[i];
    holds(tensors_save(other, c.t, c.n, c.meta, &p->a));
    refused(p, "eval eval=ema", other, "it has no averages");
    tensors_close(f);
}

static void a_loss_that_is_no_number_is_exit_1(void **state)
{
    Place *p = *state;
    const char *path = train(p, "x.safetensors", "V=50 train_tokens=2000"),
               *other = place_in(p, "crafted.safetensors");
    Crafted c = { .n = 0 };
    TensorFile *f = craft(p, path, &c);
    float *broken = arena_raw(&p->a, sizeof *broken * 1600);
    for (int i = 0; i < 1600; i++) broken[i] = NAN;
    craft_tensor(&c, "embedding.weight")->data = broken;
    holds(tensors_save(other, c.t, c.n, c.meta, &p->a));
    tensors_close(f);
    assert_says(place_expect(p, 1, arena_text(&p->a, "eval %s", other)), "not a finite number");
}

/* ---- whole: nothing but the file is needed ---- */

/* `words` words, drawn from `kinds` kinds that begin with this letter */
static void text(Place *p, const char *name, char letter, int kinds, int words)
{
    char *s = arena_raw(&p->a, (size_t)words * 12 + 1), *at = s;
    Rng r = rng_at(1, STREAM_CHECK, (uint64_t)letter);
    for (int i = 0; i < words; i++)
        at += sprintf(at, "%c%llu%c", letter,
                      (unsigned long long)(rng_below(&r, (uint64_t)kinds) *
                                           rng_below(&r, (uint64_t)kinds) / (uint64_t)kinds),
                      i % 9 == 8 ? '\n' : ' ');
    *at = 0;
    place_write(p, name, s);
}

static void corpus(Place *p, const char *name)
{
    mkdir(place_in(p, name), 0777);
    text(p, arena_text(&p->a, "%s/train.txt", name), 'a', 40, 3000);
    text(p, arena_text(&p->a, "%s/valid.txt", name), 'a', 40, 400);
}

static const char words[] = "corpus=one vocab=words V=30 head=tree classes=5";

/* The same validation text beside another training text: the words are those of the checkpoint */
static void a_checkpoint_keeps_its_words(void **state)
{
    Place *p = *state;
    corpus(p, "one");
    const char *path = train(p, "x.safetensors", words);
    const char *loss = printed(p, "eval split=valid valid_tokens=0", path);
    mkdir(place_in(p, "two"), 0777);
    text(p, "two/train.txt", 'b', 40, 3000);
    text(p, "two/valid.txt", 'a', 40, 400);
    text(p, "given.txt", 'a', 40, 400);
    assert_string_equal(printed(p, "eval split=valid valid_tokens=0 corpus=two", path), loss);
    assert_string_equal(printed(p, arena_text(&p->a, "eval split=valid valid_tokens=0 corpus=%s",
                                              place_in(p, "given.txt")), path), loss);
    refused(p, "eval vocab=bytes", path, "vocab=bytes: ");
    refused(p, "eval vocab=bytes", path, "was trained with vocab=words");
    refused(p, "eval corpus=synth vocab=auto", path, "corpus=synth: ");
}

static void generating_needs_no_text(void **state)
{
    Place *p = *state;
    corpus(p, "one");
    const char *path = train(p, "x.safetensors", words), *command = "generate --tokens 30";
    const char *with_prompt = "generate --tokens 30 --prompt 'a1 a2'";
    const char *said = printed(p, command, path), *more = printed(p, with_prompt, path);
    place_shell(p, arena_text(&p->a, "rm -r %s %s", place_in(p, "one"), place_in(p, "cache")),
                &(const char *){ NULL });
    const char *again = printed(p, command, path);
    assert_string_equal(arena_text(&p->a, "%.*s", (int)strcspn(again, "\n"), again),
                        arena_text(&p->a, "%.*s", (int)strcspn(said, "\n"), said));
    assert_says(printed(p, with_prompt, path), " a1 a2");
    assert_says(more, " a1 a2");
}

static void another_text_is_not_resumed(void **state)
{
    Place *p = *state;
    corpus(p, "one");
    const char *path = train(p, "x.safetensors", words);
    const char *more = arena_text(&p->a, "train --no-db --quiet %s %s budget=5steps save=%s", small,
                                  words, path);
    char *again = arena_text(&p->a, "%s", more);
    memcpy(strstr(again, "budget=3steps"), "             ", 13);
    text(p, "one/train.txt", 'a', 40, 2999);
    const char *output = place_expect(p, 1, again);
    assert_says(output, "x.safetensors: trained on another text (SHA-256 ");
    assert_says(output, "), and corpus=one is ");
    text(p, "one/train.txt", 'a', 40, 3000);
    place_expect(p, 0, again);
}

/* The file without what it keeps of its text */
static void older(Place *p, const char *path, const char *other)
{
    Crafted c = { .n = 0 }, old = { .n = 0 };
    TensorFile *f = craft(p, path, &c);
    for (int i = 0; i < c.n; i++)
        if (strncmp(c.t[i].name, "text.", 5)) old.t[old.n++] = c.t[i];
    for (int i = 0, k = 0; c.meta[i]; i += 2)
        if (strncmp(c.meta[i], "text.", 5)) {
            old.meta[k++] = c.meta[i];
            old.meta[k++] = c.meta[i + 1];
        }
    assert_true(old.n < c.n);
    holds(tensors_save(other, old.t, old.n, old.meta, &p->a));
    tensors_close(f);
}

/* An older file beside a text of other words: what does not fit is said in words, not in shapes */
static void another_vocabulary_is_named(void **state)
{
    Place *p = *state;
    corpus(p, "one");
    const char *path = train(p, "x.safetensors", words), *other = place_in(p, "old.safetensors");
    older(p, path, other);
    text(p, "one/train.txt", 'a', 5, 3000);
    refused(p, "eval", other,
            "old.safetensors: trained with a vocabulary of 30 ids, and corpus=one has ");
}

/* A file from before checkpoints kept their text */
static void an_older_checkpoint_says_what_is_missing(void **state)
{
    Place *p = *state;
    corpus(p, "one");
    const char *path = train(p, "x.safetensors", words), *other = place_in(p, "old.safetensors");
    const char *loss = printed(p, "eval split=valid", path);
    older(p, path, other);
    const char *output = place_expect(p, 0, arena_text(&p->a, "eval %s split=valid", other));
    assert_says(output, "old.safetensors: an older checkpoint, without its vocabulary, counts and "
                        "the SHA-256 of its text: corpus=one is read for them");
    assert_says(output, loss);
    text(p, "alone.txt", 'a', 40, 3000);
    path = train(p, "y.safetensors", arena_text(&p->a, "corpus=%s vocab=words V=30",
                                                place_in(p, "alone.txt")));
    assert_says(place_expect(p, 0, arena_text(&p->a, "eval %s", path)), "test: ");
    older(p, path, other);
    output = place_expect(p, 0, arena_text(&p->a, "eval %s", other));
    assert_says(output, "alone.txt has no test text: an older checkpoint may have been trained on");
    assert_says(output, "valid: ");
}

static const char *meta_of(Place *p, const char *path, const char *key)
{
    const char *why = NULL;
    TensorFile *f = tensors_open(path, &p->a, &why);
    holds(why);
    const char *value = tensors_meta(f, key);
    value = arena_text(&p->a, "%s", value ? value : "");
    tensors_close(f);
    return value;
}

/* every choice the other way round */
static const char *turned(Place *p, const char *choices)
{
    const char *other = "";
    for (const char *at = choices; *at; at += strcspn(at, " ") + (at[strcspn(at, " ")] == ' '))
        other = arena_text(&p->a, "%s%s%.*s=%s", other, *other ? " " : "", (int)strcspn(at, "="),
                           at, strncmp(at + strcspn(at, "="), "=plain", 6) ? "plain" : "packed");
    return other;
}

/* DIR/NAME: the checkpoint as of a run whose gemm=auto came to dnnl and these packed weights */
static const char *chose(Place *p, const char *path, const char *packed, const char *name)
{
    Crafted c = { .n = 0 };
    TensorFile *f = craft(p, path, &c);
    const char *other = place_in(p, name);
    craft_meta(&c, "gemm", "dnnl");
    craft_meta(&c, "gemm_packed", packed);
    holds(tensors_save(other, c.t, c.n, c.meta, &p->a));
    tensors_close(f);
    return other;
}

/* Trains until so many steps, with the products that gemm=auto chooses; NAME is continued */
static const char *train_auto(Place *p, int code, const char *path, int steps)
{
    return place_expect(p, code,
                        arena_text(&p->a, "train --no-db --quiet V=50 train_tokens=2000 d=32 "
                                          "inner=32 batch=1 accum=1 seq=8 threads=1 conv_groups=4 "
                                          "dilations=1,2 valid_tokens=64 save=%s budget=%dsteps",
                                   path, steps));
}

/* What gemm=auto chose is kept by the cache and by a checkpoint, and a run that goes on measures
 * nothing anew. */
static void choices_of_products_are_kept(void **state)
{
    Place *p = *state;
    const char *why, *path = place_in(p, "x.safetensors");
    if (!gemm_open("dnnl", 1, &p->a, &why)) skip();
    train_auto(p, 0, path, 3);
    const char *measured = chose(p, path, "", "a.safetensors"),
               *again = chose(p, path, "", "b.safetensors");
    train_auto(p, 0, measured, 6);
    const char *chosen = meta_of(p, measured, "gemm_packed"), *other = turned(p, chosen);
    assert_non_null(strstr(chosen, "8x32x32T="));
    assert_non_null(strstr(chosen, "8x32x32N="));
    assert_null(strstr(chosen, "8x1x32"));         /* the router is multiplied by nothing */
    train_auto(p, 0, again, 6);
    assert_string_equal(meta_of(p, again, "gemm_packed"), chosen);
    const char *kept = chose(p, path, other, "c.safetensors");
    train_auto(p, 0, kept, 6);
    assert_string_equal(meta_of(p, kept, "step"), "6");
    assert_string_equal(meta_of(p, kept, "gemm_packed"), other);
    const char *wrong = chose(p, path, "8x32x32T=folded", "d.safetensors");
    assert_says(train_auto(p, 1, wrong, 6),
                "d.safetensors: '8x32x32T=folded' at '8x32x32T=folded': expected MxNxKT=");
}

#define T(f) cmocka_unit_test_setup_teardown(f, place_make_data, place_drop)
int main(void)
{
    const struct CMUnitTest tests[] = { T(crafted_metadata_is_refused),
                                        T(stored_values_beyond_their_range),
                                        T(misaligned_tensors_are_read),
                                        T(averages_of_another_type_are_refused),
                                        T(a_loss_that_is_no_number_is_exit_1),
                                        T(a_checkpoint_keeps_its_words),
                                        T(generating_needs_no_text),
                                        T(another_text_is_not_resumed),
                                        T(another_vocabulary_is_named),
                                        T(an_older_checkpoint_says_what_is_missing),
                                        T(choices_of_products_are_kept) };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
