/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Published checkpoints: there and back, the names and shapes of the tables beside our parameters,
 * types of values, files in parts, and directories that are not as they have to be. */
#include "harness/convert/hf.h"
#include "harness/train/checkpoint_file.h"
#include "tests/place.h"
#include "tests/tokenizer.h"
#include <math.h>
#include <sys/stat.h>

static const char *text_of(Place *p, size_t n)
{
    char *s = arena_get(&p->a, n + 1);
    Rng r = rng_at(1, STREAM_CHECK, 1);
    for (size_t i = 0; i < n; i++) s[i] = "ab c"[rng_below(&r, 4)];
    return s;
}

/* A corpus c and a vocabulary of pieces in the data directory, which is this place */
static int set_up(void **state)
{
    if (place_make(state)) return -1;
    Place *p = *state;
    setenv("EIGHTYSIX_CACHE", place_in(p, "cache"), 1);
    setenv("EIGHTYSIX_DATA", p->dir, 1);
    mkdir(place_in(p, "pieces"), 0777);
    mkdir(place_in(p, "c"), 0777);
    place_write(p, "pieces/tokenizer.json",
                tokenizer_json(TOKENIZER_PREPEND, TOKENIZER_MERGES, &p->a));
    place_write(p, "c/train.txt", text_of(p, 4000));
    place_write(p, "c/valid.txt", text_of(p, 600));
    place_write(p, "c/test.txt", text_of(p, 600));
    return 0;
}

#define SMALL "d=16 inner=24 layers=2 batch=1 accum=1 seq=8 threads=1 gemm=portable " \
              "budget=2steps valid_tokens=64 smoothing=0 zloss=0 optimizer=adamw ema=0 "
static const char mmfree[] = SMALL "model=mmfree tied=0 head_quant=bitlinear act=int8",
                  llama[] = SMALL "model=transformer quant=none tied=0",
                  llama_tied[] = SMALL "model=transformer quant=none",
                  bolt[] = SMALL "model=bolt";

static const char *trained(Place *p, const char *name, const char *words)
{
    const char *path = place_in(p, name);
    place_expect(p, 0, arena_text(&p->a, "train --no-db --quiet corpus=c vocab=pieces %s save=%s",
                                  words, path));
    return path;
}

static void converts(Place *p, const char *in, const char *out)
{
    place_expect(p, 0, arena_text(&p->a, "convert hf '%s' '%s'", in, out));
}

static TensorFile *opened(Place *p, const char *path)
{
    const char *why = NULL;
    TensorFile *f = tensors_open(path, &p->a, &why);
    holds(why);
    return f;
}

/* Whether a tensor of a checkpoint is a parameter */
static int is_parameter(const Tensor *t)
{
    return strncmp(t->name, "opt.", 4) && strncmp(t->name, "text.", 5) &&
           strncmp(t->name, "ema/", 4);
}

/* The same parameters to the bit; how many */
static int same_parameters(Place *p, const char *one, const char *other)
{
    TensorFile *f = opened(p, one), *g = opened(p, other);
    int n = 0;
    for (int i = 0; i < f->n; i++) {
        if (!is_parameter(&f->t[i])) continue;
        const Tensor *t = tensors_find(g, f->t[i].name);
        if (!t) fail_msg("%s: no tensor %s", other, f->t[i].name);
        assert_int_equal(t->ndim, f->t[i].ndim);
        assert_memory_equal(t->shape, f->t[i].shape, sizeof t->shape);
        assert_memory_equal(t->data, f->t[i].data, 4 * (size_t)t->n);
        n++;
    }
    tensors_close(f);
    tensors_close(g);
    return n;
}

static double loss_of(Place *p, const char *path)
{
    const char *out = place_expect(p, 0, arena_text(&p->a, "eval %s corpus=c seq=8 valid_tokens=64 "
                                                        "gemm=portable threads=1 --json", path)),
               *at = strstr(out, "\"nll\":");
    assert_non_null(at);
    return atof(at + 6);
}

static void round_trip(Place *p, const char *words, int tensors)
{
    const char *from = trained(p, "from.safetensors", words), *dir = place_in(p, "published"),
               *back = place_in(p, "back.safetensors");
    converts(p, from, dir);
    converts(p, dir, back);
    assert_int_equal(same_parameters(p, from, back), tensors);
    assert_int_equal(same_parameters(p, place_in(p, "published/model.safetensors"), back),
                     tensors);
    assert_true(loss_of(p, from) == loss_of(p, back));
    static const char words_of[] =
        "--prompt 'ab c' --tokens 9 gemm=portable threads=1 2>/dev/null";
    const char *one, *other;
    place_command(p, arena_text(&p->a, "generate %s %s", from, words_of),
                  &one);
    place_command(p, arena_text(&p->a, "generate %s %s", back, words_of),
                  &other);
    assert_string_equal(one, other);
    assert_says(one, "ab c");
}

static void mmfree_there_and_back(void **state) { round_trip(*state, mmfree, 2 * 15 + 5); }
static void llama_there_and_back(void **state) { round_trip(*state, llama, 2 * 9 + 3); }
static void bolt_there_and_back(void **state) { round_trip(*state, bolt, 2 * 8 + 2); }

static void tied_llama_there_and_back(void **state)
{
    round_trip(*state, llama_tied, 2 * 9 + 2);
}

/* Other settings compute something else than what is published */
static void settings_that_are_not_published(void **state)
{
    Place *p = *state;
    static const struct { const char *words, *says; } bad[] = {
        { SMALL "model=mmfree tied=0 head_quant=bitlinear", "act=f32; expected act=int8" },
        { SMALL "model=mmfree act=int8", "head_quant=f32; expected head_quant=bitlinear" },
        { SMALL "model=transformer", "quant=absmean; expected none" },
        { SMALL "model=bolt act=int8", "act=int8; expected act=f32" },
        { "d=16 inner=24 batch=1 accum=1 seq=8 threads=1 budget=1steps valid_tokens=64 "
          "conv_groups=4 dilations=1 gemm=portable", "model=flashlm3; expected mmfree" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *path = trained(p, arena_text(&p->a, "f%zu.safetensors", i), bad[i].words);
        const char *out = place_expect(p, 2, arena_text(&p->a, "convert hf %s %s", path,
                                                        place_in(p, "out")));
        assert_says(out, path);
        assert_says(out, bad[i].says);
    }
}

/* ---- directories made by hand ---- */

enum { MOST = 64 };
typedef struct { Tensor t[MOST]; int n; } Made;

/* A published llama of one layer with these values: d 4, inner 6, V 267 */
static const char config_llama[] =
    "{\"model_type\":\"llama\",\"vocab_size\":267,\"hidden_size\":4,\"num_hidden_layers\":1,"
    "\"num_attention_heads\":2,\"intermediate_size\":6,\"rms_norm_eps\":1e-06}";

static Made made(Place *p)
{
    Made m = { .n = 0 };
    Published as;
    json_t *o = json_loads(config_llama, 0, NULL);
    as = (Published){ .path = "config.json" };
    holds(config_check(&as, o, &p->a));
    json_decref(o);
    Tensor *t = published_tensors(&as, &m.n, &p->a);
    memcpy(m.t, t, sizeof *t * (size_t)m.n);
    for (int i = 0; i < m.n; i++) {
        float *x = arena_raw(&p->a, sizeof *x * (size_t)m.t[i].n);
        for (long k = 0; k < m.t[i].n; k++) x[k] = (float)((i * 37 + k) % 64 - 32) / 32;
        m.t[i].data = x;
    }
    return m;
}

static const char *directory(Place *p, const char *config, const Made *m)
{
    const char *dir = place_in(p, "dir");
    mkdir(dir, 0777);
    place_write(p, "dir/config.json", config);
    place_write(p, "dir/tokenizer.json",
                tokenizer_json(TOKENIZER_PREPEND, TOKENIZER_MERGES, &p->a));
    if (m)
        holds(tensors_save(place_in(p, "dir/model.safetensors"), m->t, m->n, NULL, &p->a));
    return dir;
}

static Tensor *tensor_of(Made *m, const char *name)
{
    int i = 0;
    while (i < m->n && strcmp(m->t[i].name, name)) i++;
    assert_true(i < m->n);
    return &m->t[i];
}

/* bits of the values, which have few digits: exact in both */
static void narrow(Place *p, Tensor *t, const char *dtype)
{
    uint16_t *to = arena_raw(&p->a, sizeof *to * (size_t)t->n);
    for (long i = 0; i < t->n; i++) {
        uint32_t bits;
        memcpy(&bits, (const float *)t->data + i, 4);
        const uint32_t sign = bits >> 16 & 0x8000, exponent = bits >> 23 & 255;
        to[i] = (uint16_t)(*dtype == 'B' ? bits >> 16
                           : exponent    ? sign | (exponent - 112) << 10 | (bits >> 13 & 0x3ff)
                                         : sign);
    }
    t->dtype = dtype;
    t->data = to;
}

static void types_of_values(void **state)
{
    Place *p = *state;
    Made m = made(p);
    converts(p, directory(p, config_llama, &m), place_in(p, "f32"));
    for (int k = 0; k < 2; k++) {
        Made small = m;
        for (int i = 0; i < m.n; i++)
            if (i % 3) narrow(p, &small.t[i], k ? "F16" : "BF16");
        converts(p, directory(p, config_llama, &small), place_in(p, "narrow"));
        assert_int_equal(same_parameters(p, place_in(p, "f32"), place_in(p, "narrow")), m.n);
    }
    /* every half: also subnormal ones */
    uint16_t halves[4] = { 0x0001, 0x83ff, 0x7bff, 0xc000 };
    float wide[4];
    const Tensor t = { .dtype = "F16", .n = 4, .data = halves };
    weights_floats(wide, &t, 0, 4);
    assert_true(wide[0] == 0x1p-24f && wide[1] == -1023 * 0x1p-24f);
    assert_true(wide[2] == 65504 && wide[3] == -2);
}

static void in_parts(Place *p, const Made *m, const char *index)
{
    const int half = m->n / 2;
    unlink(place_in(p, "dir/model.safetensors"));
    holds(tensors_save(place_in(p, "dir/one"), m->t, half, NULL, &p->a));
    holds(tensors_save(place_in(p, "dir/two"), m->t + half, m->n - half, NULL, &p->a));
    place_write(p, "dir/model.safetensors.index.json", index);
}

static const char *index_of(Place *p, const Made *m, int from)
{
    const char *text = "";
    for (int i = from; i < m->n; i++)
        text = arena_text(&p->a, "%s%s\"%s\":\"%s\"", text, *text ? "," : "", m->t[i].name,
                          i < m->n / 2 ? "one" : "two");
    return arena_text(&p->a, "{\"metadata\":{},\"weight_map\":{%s}}", text);
}

static void refuses(Place *p, const char *file, const char *expected)
{
    const char *out = place_expect(p, 2, arena_text(&p->a, "convert hf %s %s", place_in(p, "dir"),
                                                    place_in(p, "no")));
    assert_says(out, file);
    assert_says(out, expected);
    assert_int_equal(access(place_in(p, "no"), F_OK), -1);
}

static void files_in_parts(void **state)
{
    Place *p = *state;
    Made m = made(p);
    converts(p, directory(p, config_llama, &m), place_in(p, "f32"));
    in_parts(p, &m, index_of(p, &m, 0));
    converts(p, place_in(p, "dir"), place_in(p, "parts"));
    assert_int_equal(same_parameters(p, place_in(p, "f32"), place_in(p, "parts")), m.n);
    in_parts(p, &m, index_of(p, &m, 1));
    refuses(p, "dir/one: tensor 'model.embed_tokens.weight' is not in the index",
            "model.safetensors.index.json does not name there");
    in_parts(p, &m, "{\"weight_map\":{\"x\":\"one\"}}");
    refuses(p, "dir/one: no tensor 'x'", "says is there");
    in_parts(p, &m, "{\"weight_map\":{\"x\":\"../one\"}}");
    refuses(p, "index.json: weight_map: tensor 'x'", "expected the name of a file");
    in_parts(p, &m, "{\"weight_map\":{\"x\":\"three\"}}");
    refuses(p, "dir/three: cannot be opened", "No such file");
    in_parts(p, &m, "[");
    refuses(p, "index.json: line 1, column 1: ", "expected JSON");
}

static void tensors_that_do_not_fit(void **state)
{
    Place *p = *state;
    Made m = made(p), bad = m;
    bad.n--;
    directory(p, config_llama, &bad);
    refuses(p, "dir/model.safetensors: no tensor 'lm_head.weight'",
            "expected F32, F16 or BF16 of shape [267, 4]");
    bad = m;
    bad.t[bad.n] = *tensor_of(&bad, "model.norm.weight");
    bad.t[bad.n++].name = "model.layers.0.self_attn.q_proj.bias";
    directory(p, config_llama, &bad);
    refuses(p, "dir/model.safetensors: tensor 'model.layers.0.self_attn.q_proj.bias' of shape [4]",
            "expected none of this name in a model of type llama");
    bad = m;
    Tensor *t = tensor_of(&bad, "model.layers.0.mlp.up_proj.weight");
    t->shape[0] = 4;
    t->shape[1] = 6;
    directory(p, config_llama, &bad);
    refuses(p, "tensor 'model.layers.0.mlp.up_proj.weight' is F32 of shape [4, 6]",
            "expected F32, F16 or BF16 of shape [6, 4]");
    bad = m;
    tensor_of(&bad, "model.norm.weight")->dtype = "I32";
    directory(p, config_llama, &bad);
    refuses(p, "tensor 'model.norm.weight' is I32 of shape [4]", "expected F32");
    unlink(place_in(p, "dir/model.safetensors"));
    refuses(p, "dir/model.safetensors: cannot be opened", "No such file");
}

/* A tied output may be there too, with the same values */
static void a_repeated_embedding(void **state)
{
    Place *p = *state;
    Made m = made(p);
    const char *tied = arena_text(&p->a, "%.*s,\"tie_word_embeddings\":true}",
                                  (int)strlen(config_llama) - 1, config_llama);
    directory(p, tied, &m);
    refuses(p, "tensor 'lm_head.weight' has other values than 'model.embed_tokens.weight'",
            "output and embedding are tied");
    tensor_of(&m, "lm_head.weight")->data = m.t[0].data;
    converts(p, directory(p, tied, &m), place_in(p, "tied"));
}

/* The configuration with one passage replaced, or with one key more (from NULL) */
static void config_refused(Place *p, const char *from, const char *to, const char *expected)
{
    Made m = made(p);
    const char *at = from ? strstr(config_llama, from) : config_llama + 1;
    assert_non_null(at);
    directory(p, arena_text(&p->a, "%.*s%s%s%s", (int)(at - config_llama), config_llama, to,
                            from ? "" : ",", from ? at + strlen(from) : at), &m);
    refuses(p, "dir/config.json: ", expected);
}

static void configurations(void **state)
{
    Place *p = *state;
    config_refused(p, "\"model_type\":\"llama\"", "\"model_type\":\"mamba\"",
                   "\"model_type\" is \"mamba\"; expected hgrn_bit, llama or flashlm_v4");
    config_refused(p, "1e-06", "1e-05", "\"rms_norm_eps\" is 1e-5; expected 1e-06");
    config_refused(p, "\"vocab_size\":267,", "", "\"vocab_size\" is absent; expected");
    config_refused(p, "\"hidden_size\":4", "\"hidden_size\":-4", "from 1 to 65536");
    config_refused(p, NULL, "\"rope_theta\":500000.0",
                   "\"rope_theta\" is 500000.0; expected 10000");
    config_refused(p, NULL, "\"rope_scaling\":{\"factor\":2}",
                   "\"rope_scaling\" is {\"factor\":2}");
    config_refused(p, NULL, "\"rope_parameters\":{\"rope_theta\":1e6}",
                   "\"rope_parameters.rope_theta\" is 1000000.0; expected rope_theta 10000");
    config_refused(p, NULL, "\"num_key_value_heads\":1",
                   "\"num_key_value_heads\" is 1; expected 2, as many as heads of");
    config_refused(p, NULL, "\"head_dim\":4", "\"head_dim\" is 4; expected 2");
    config_refused(p, NULL, "\"hidden_act\":\"gelu\"", "\"hidden_act\" is \"gelu\"; expected silu");
    config_refused(p, NULL, "\"attention_bias\":true", "expected false");
    config_refused(p, NULL, "\"logits_scaling\":8", "it is not known what it changes");
    config_refused(p, "\"num_attention_heads\":2", "\"num_attention_heads\":3", "even widths");
    config_refused(p, "{", "[", "expected JSON");
    directory(p, "{\"n_blocks\":1,\"dim\":4,\"glu_hidden\":6,\"vocab_size\":266}", NULL);
    refuses(p, "dir/tokenizer.json: ", "the largest id is 266; expected less than the 266 of");
}

/* Without a tokenizer there are ids; they can be generated and nothing else */
static void ids_only(void **state)
{
    Place *p = *state;
    Made m = made(p);
    directory(p, config_llama, &m);
    unlink(place_in(p, "dir/tokenizer.json"));
    const char *out = place_expect(p, 0, arena_text(&p->a, "convert hf %s %s", place_in(p, "dir"),
                                                    place_in(p, "ids")));
    assert_says(out, "the checkpoint has ids only");
    place_expect(p, 0, arena_text(&p->a, "generate %s --tokens 3", place_in(p, "ids")));
    out = place_expect(p, 2, arena_text(&p->a, "eval %s corpus=c", place_in(p, "ids")));
    assert_says(out, "has ids only");
}

/* ---- the original code's results ---- */

static const char reference[] = "hf_mmfree_tiny";

/* A copy of the directory of reference results in this place; NULL: there is none here */
static const char *reference_copy(Place *p, const char *data)
{
    const char *from = data ? arena_text(&p->a, "%s/../parity/%s", data, reference) : "", *out;
    if (access(arena_text(&p->a, "%s/expected.json", from), R_OK)) {
        printf("# skipped: needs parity/%s beside EIGHTYSIX_DATA\n", reference);
        return NULL;
    }
    const char *copy = arena_text(&p->a, "cp -r '%s' '%s/ref' && chmod -R u+w '%s/ref'", from,
                                  p->dir, p->dir);
    assert_int_equal(place_shell(p, copy, &out), 0);
    return place_in(p, "ref");
}

/* expected.json with the value of a key of one text replaced (NULL: removed), or an element of it,
 * or an element of that */
typedef struct { int text; const char *key; int at, within; json_t *value; } Edit;

static void parity_says(Place *p, const char *dir, int code, Edit e, const char *expected)
{
    const char *file = arena_text(&p->a, "%s/expected.json", dir);
    json_t *root = json_load_file(file, 0, NULL), *was = json_deep_copy(root),
           *text = json_array_get(json_object_get(root, "texts"), (size_t)e.text),
           *list = json_object_get(text, e.key);
    assert_non_null(list);
    if (e.within >= 0) json_array_set_new(json_array_get(list, (size_t)e.at), 1, e.value);
    else if (e.at >= 0) json_array_set_new(list, (size_t)e.at, e.value);
    else if (e.value) json_object_set_new(text, e.key, e.value);
    else json_object_del(text, e.key);
    assert_int_equal(json_dump_file(root, file, 0), 0);
    const char *out = place_expect(p, code, arena_text(&p->a, "check parity=%s", dir));
    assert_says(out, expected);
    assert_int_equal(json_dump_file(was, file, 0), 0);
    json_decref(root);
    json_decref(was);
}

static char *data_directory;

static void parity_of_a_published_checkpoint(void **state)
{
    Place *p = *state;
    const char *dir = reference_copy(p, data_directory);
    if (!dir) return;
    parity_says(p, dir, 0, (Edit){ 0, "loglik", -1, -1, json_real(5e-5) },
                "ids      20 texts there and back identical");
    parity_says(p, dir, 1, (Edit){ 3, "ids", 2, -1, json_integer(7) },
                "text 3: id 2 is 489, expected 7");
    parity_says(p, dir, 1, (Edit){ 2, "decoded", -1, -1, json_string("b") }, "text 2: decoded as");
    parity_says(p, dir, 1, (Edit){ 4, "last_top20", 5, 1, json_real(4.8900) },
                "text 4: the logit of 411 is");
    parity_says(p, dir, 1, (Edit){ 4, "loglik", -1, -1, json_real(-68.54669) },
                "text 4: the log-likelihood is");
    parity_says(p, dir, 1, (Edit){ 0, "greedy16", 15, -1, json_integer(3) },
                "text 0: greedy id 15 is 275, expected 3");
    parity_says(p, dir, 1, (Edit){ 0, "greedy_text", -1, -1, json_string("x") },
                "text 0: greedy text");
    parity_says(p, dir, 2, (Edit){ 0, "loglik", -1, -1, NULL },
                "expected.json: text 0: expected \"loglik\"");
    parity_says(p, dir, 2, (Edit){ 1, "ids", 1, -1, json_integer(512) },
                "text 1: \"ids\": expected ids below 512");
}

static int remember_data(void **state)
{
    (void)state;
    const char *dir = getenv("EIGHTYSIX_DATA");
    data_directory = dir ? strdup(dir) : NULL;
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, place_drop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mmfree_there_and_back),
        TEST(llama_there_and_back),
        TEST(tied_llama_there_and_back),
        TEST(bolt_there_and_back),
        TEST(settings_that_are_not_published),
        TEST(types_of_values),
        TEST(files_in_parts),
        TEST(tensors_that_do_not_fit),
        TEST(a_repeated_embedding),
        TEST(configurations),
        TEST(ids_only),
        TEST(parity_of_a_published_checkpoint),
    };
    return cmocka_run_group_tests(tests, remember_data, NULL);
}
