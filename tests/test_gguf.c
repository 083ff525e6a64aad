/* SPDX-License-Identifier: GPL-3.0-or-later */
/* GGUF: there and back, the layouts of its values, and files that are not as they have to be. */
#include "harness/convert/gguf.h"
#include "kernels/f32.h"
#include "tests/place.h"
#include <math.h>
#include <sys/stat.h>

#define SMALL "--no-db --quiet corpus=synth V=300 train_tokens=2000 valid_tokens=64 batch=1 " \
              "accum=1 seq=8 threads=1 gemm=portable budget=2steps smoothing=0 zloss=0 " \
              "optimizer=adamw ema=0 layers=2 model=transformer "
static const char floats[] = SMALL "quant=none tied=0 d=16 inner=24",
                  tied[] = SMALL "quant=none d=16 inner=24",
                  ternary[] = SMALL "act=int8 d=256 inner=256";

static const char *trained(Place *p, const char *name, const char *words)
{
    const char *path = place_in(p, name);
    place_expect(p, 0, arena_text(&p->a, "train %s save=%s", words, path));
    return path;
}

static const char *converts(Place *p, const char *in, const char *name, const char *more)
{
    const char *out = place_in(p, name);
    place_expect(p, 0, arena_text(&p->a, "convert gguf '%s' '%s' %s", in, out, more));
    return out;
}

/* Each parameter of one checkpoint with that of the other */
typedef void Beside(const Tensor *one, const Tensor *other);
static int beside(Place *p, const char *one, const char *other, Beside *same)
{
    const char *why = NULL;
    TensorFile *f = tensors_open(one, &p->a, &why), *g = tensors_open(other, &p->a, &why);
    holds(why);
    int n = 0;
    for (int i = 0; i < f->n; i++) {
        const Tensor *t = &f->t[i], *u = tensors_find(g, t->name);
        if (!strncmp(t->name, "opt.", 4) || !strncmp(t->name, "text.", 5)) continue;
        assert_non_null(u);
        assert_memory_equal(t->shape, u->shape, sizeof t->shape);
        same(t, u);
        n++;
    }
    tensors_close(f);
    tensors_close(g);
    return n;
}

static void identical(const Tensor *one, const Tensor *other)
{
    assert_memory_equal(one->data, other->data, 4 * (size_t)one->n);
}

static void half_as_exact(const Tensor *one, const Tensor *other)
{
    for (long i = 0; i < one->n; i++) {
        const float x = ((const float *)one->data)[i], y = ((const float *)other->data)[i];
        if (one->ndim < 2) assert_true(x == y);
        else assert_true(fabsf(x - y) <= fabsf(x) / 2048 + 0x1p-25f);
    }
}

/* Ternary matrices have the same codes, and a scale that is half as exact */
static void same_codes(const Tensor *one, const Tensor *other)
{
    if (!strstr(one->name, "_proj.weight")) {
        half_as_exact(one, other);
        return;
    }
    int8_t *codes[2];
    float scale[2], *q = test_malloc(sizeof *q * (size_t)one->n);
    for (int k = 0; k < 2; k++) {
        const float *w = k ? other->data : one->data;
        codes[k] = test_malloc((size_t)one->n);
        scale[k] = (float)(f32_best()->sumabs(w, one->n) / (double)one->n);
        f32_best()->ternary(codes[k], q, w, one->n, scale[k], scale[k], 1);
    }
    assert_memory_equal(codes[0], codes[1], (size_t)one->n);
    assert_true(fabsf(scale[0] - scale[1]) <= scale[0] / 2048 + 1e-9f);
    test_free(codes[0]);
    test_free(codes[1]);
    test_free(q);
}

static void floats_there_and_back(void **state)
{
    Place *p = *state;
    const char *from = trained(p, "f", floats), *gguf = converts(p, from, "f.gguf", "");
    assert_int_equal(beside(p, from, converts(p, gguf, "f2", ""), identical), 21);
    gguf = converts(p, from, "h.gguf", "--type f16");
    assert_int_equal(beside(p, from, converts(p, gguf, "h2", ""), half_as_exact), 21);
    from = trained(p, "t", tied);
    gguf = converts(p, from, "t.gguf", "--type f32");
    assert_int_equal(beside(p, from, converts(p, gguf, "t2", ""), identical), 20);
}

static void ternary_there_and_back(void **state)
{
    Place *p = *state;
    const char *from = trained(p, "f", ternary),
               *gguf = converts(p, from, "f.gguf", "--type tq2_0"),
               *back = converts(p, gguf, "f2", "");
    assert_int_equal(beside(p, from, back, same_codes), 2 + 2 * 16);
    /* settings that a GGUF of llama.cpp does not have: act=int8 */
    const char *out = place_expect(p, 0, arena_text(&p->a, "generate %s --tokens 2", back));
    assert_non_null(out);
    struct stat all, small;
    assert_int_equal(stat(from, &all) | stat(gguf, &small), 0);
    assert_true(small.st_size < all.st_size / 10);
    assert_int_equal(beside(p, from, converts(p, converts(p, from, "w.gguf", ""), "w2", ""),
                            identical), 2 + 2 * 16);
}

/* The layouts as llama.cpp has them */
static void layouts(void **state)
{
    Place *p = *state;
    static const struct { float x; uint16_t h; } half[] = {
        { 0, 0 }, { 1, 0x3c00 }, { -2, 0xc000 }, { 65504, 0x7bff }, { 1e6f, 0x7c00 },
        { 0x1p-24f, 1 }, { 0x1p-14f, 0x0400 }, { 1 + 0x1p-11f, 0x3c00 },
        { 1 + 0x3p-11f, 0x3c02 }, { 0x1.ffep-15f, 0x0400 } };
    for (size_t i = 0; i < sizeof half / sizeof *half; i++)
        assert_int_equal(gguf_half(half[i].x), half[i].h);
    int8_t codes[TQ2_WEIGHTS] = { 0 }, back[TQ2_WEIGHTS];
    unsigned char block[TQ2_BYTES];
    codes[0] = 1;
    codes[33] = -1;
    codes[255] = 1;
    gguf_pack_tq2(block, codes, 0.5f);
    assert_int_equal(block[0], 2 | 1 << 2 | 1 << 4 | 1 << 6);
    assert_int_equal(block[1], 1 | 0 << 2 | 1 << 4 | 1 << 6);
    assert_int_equal(block[63], 1 | 1 << 2 | 1 << 4 | 2 << 6);
    assert_int_equal(block[64] | block[65] << 8, 0x3800);
    assert_true(gguf_unpack_tq2(back, block) == 0.5f);
    assert_memory_equal(codes, back, sizeof codes);
    static const int rows[8] = { 0, 2, 1, 3, 4, 6, 5, 7 };
    for (int r = 0; r < 8; r++) {
        assert_int_equal(gguf_row("model.layers.0.self_attn.q_proj.weight", r, 2, 8), rows[r]);
        assert_int_equal(gguf_row("model.layers.0.self_attn.v_proj.weight", r, 2, 8), r);
    }
    assert_string_equal(gguf_name("model.layers.12.mlp.down_proj.weight", &p->a),
                        "blk.12.ffn_down.weight");
    assert_string_equal(gguf_name("model.layers.0.self_attn.k_proj.norm.weight", &p->a),
                        "blk.0.attn_k.norm.weight");
}

static void refuses(Place *p, const char *arguments, const char *expected)
{
    const char *out = place_expect(p, 2, arena_text(&p->a, "convert %s", arguments));
    assert_says(out, expected);
    assert_int_equal(access(place_in(p, "no"), F_OK), -1);
}

static void what_is_refused(void **state)
{
    Place *p = *state;
    const char *no = place_in(p, "no"), *from = trained(p, "f", floats);
    refuses(p, arena_text(&p->a, "gguf %s %s --type tq2_0", from, no),
            "quant=none; expected quant=absmean");
    refuses(p, arena_text(&p->a, "gguf %s %s --type q8", from, no), "expected f32, f16 or tq2_0");
    refuses(p, arena_text(&p->a, "hf %s %s --type f16", from, no), "--type is of a GGUF");
    refuses(p, arena_text(&p->a, "ggml %s %s", from, no), "no form 'ggml'; expected hf or gguf");
    from = trained(p, "n", SMALL "d=32 inner=32");
    refuses(p, arena_text(&p->a, "gguf %s %s --type tq2_0", from, no),
            "has rows of 32 weights; expected a multiple of 256");
    refuses(p, arena_text(&p->a, "hf %s %s", from, no), "quant=absmean; expected none");
    from = trained(p, "m", "--no-db --quiet budget=1steps corpus=synth V=300 valid_tokens=64 d=32 "
                           "train_tokens=2000 batch=1 accum=1 seq=8 model=bolt inner=32 layers=1");
    refuses(p, arena_text(&p->a, "gguf %s %s", from, no), "expected model=transformer");
}

/* A GGUF with one passage of bytes replaced by another of the same length */
static void changed(Place *p, const char *gguf, const char *from, const char *to, size_t n,
                    const char *expected)
{
    size_t size;
    char *bytes = arena_raw(&p->a, 1 << 22);
    FILE *f = fopen(gguf, "rb");
    size = fread(bytes, 1, 1 << 22, f);
    fclose(f);
    char *at = memmem(bytes, size, from, n);
    assert_non_null(at);
    memcpy(at, to, n);
    f = fopen(place_in(p, "bad.gguf"), "wb");
    fwrite(bytes, 1, size, f);
    fclose(f);
    refuses(p, arena_text(&p->a, "gguf %s %s", place_in(p, "bad.gguf"), place_in(p, "no")),
            expected);
}

static void damaged_files(void **state)
{
    Place *p = *state;
    const char *gguf = converts(p, trained(p, "f", floats), "f.gguf", "");
    const float eps = 1e-6f, other = 1e-5f;
    changed(p, gguf, "GGUF\3", "GGUF\2", 5, "bad.gguf: expected GGUF of version 3");
    changed(p, gguf, "\5\0\0\0\0\0\0\0llama", "\5\0\0\0\0\0\0\0mamba", 13,
            "general.architecture is 'mamba'; expected llama");
    changed(p, gguf, (const char *)&eps, (const char *)&other, 4,
            "\"attention.layer_norm_rms_epsilon\" is ");
    changed(p, gguf, "output_norm", "output_form", 11,
            "bad.gguf: tensor 'output_norm.weight' is not there; expected shape [16]");
    changed(p, gguf, "blk.0.attn_q.weight", "blk.0.attn_k.weight", 19,
            "expected every tensor once");
    changed(p, gguf, "llama.block_count", "llama.block_cruft", 17,
            "it is not known what it changes");
    assert_int_equal(truncate(gguf, 3000), 0);
    refuses(p, arena_text(&p->a, "gguf %s %s", gguf, place_in(p, "no")), "expected data that fit");
    assert_int_equal(truncate(gguf, 200), 0);
    refuses(p, arena_text(&p->a, "gguf %s %s", gguf, place_in(p, "no")), "f.gguf: key ");
}

static char *data_directory;

static int remember_data(void **state)
{
    (void)state;
    const char *dir = getenv("EIGHTYSIX_DATA");
    data_directory = dir ? strdup(dir) : NULL;
    return 0;
}

static void parity_with_another_program(void **state)
{
    Place *p = *state;
    const char *out, *from = arena_text(&p->a, "%s/../parity/gguf_reference",
                                        data_directory ? data_directory : "");
    if (access(from, R_OK)) {
        printf("# skipped: needs parity/gguf_reference beside EIGHTYSIX_DATA\n");
        return;
    }
    out = place_expect(p, 0, arena_text(&p->a, "check parity=%s", from));
    assert_says(out, "21 tensors identical of 21");
    const char *copy = arena_text(&p->a, "cp -r '%s' '%s/ref' && chmod -R u+w '%s/ref' && printf X "
                                         "| dd of='%s/ref/logits.bin' bs=1 seek=3 conv=notrunc",
                                  from, p->dir, p->dir, p->dir);
    assert_int_equal(place_shell(p, copy, &out), 0);
    out = place_expect(p, 1, arena_text(&p->a, "check parity=%s/ref", p->dir));
    assert_says(out, "the logits are off by");
    unlink(place_in(p, "ref/logits.bin"));
    out = place_expect(p, 2, arena_text(&p->a, "check parity=%s/ref", p->dir));
    assert_says(out, "logits.bin: cannot be read");
}

static int set_up(void **state)
{
    if (place_make(state)) return -1;
    Place *p = *state;
    setenv("EIGHTYSIX_CACHE", place_in(p, "cache"), 1);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, place_drop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(floats_there_and_back),
        TEST(ternary_there_and_back),
        TEST(layouts),
        TEST(what_is_refused),
        TEST(damaged_files),
        TEST(parity_with_another_program),
    };
    return cmocka_run_group_tests(tests, remember_data, NULL);
}
