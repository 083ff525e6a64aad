/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Directories of reference tensors that are not as they have to be: an error message with the file
 * and what was expected, never a crash. */
#include "harness/laws/laws.h"
#include "tests/scratch.h"

static void put_floats(const char *name, long n)
{
    float *x = arena_get(&arena, sizeof *x * (size_t)n);
    for (long i = 0; i < n; i++) x[i] = 1;
    write_file(name, x, sizeof *x * (size_t)n);
}

static void put_ints(const char *name, const int *x, long n)
{
    write_file(name, x, sizeof *x * (size_t)n);
}

/* The manifest's text is refused, and the message says so */
static void refused(const char *manifest, const char *expected)
{
    int bad = 0;
    Arena a = arena_new((size_t)1 << 34);
    write_file("manifest.json", manifest, strlen(manifest));
    const char *why = law_parity(tmp, NULL, &bad, &a);
    says(why, "manifest.json: ");
    says(why, expected);
    assert_int_equal(bad, 1);
    arena_drop(&a);
}

#define TENSORS(list) "{\"meta\":{},\"tensors\":[" list "]}"

static void manifests(void **state)
{
    (void)state;
    int bad = 0;
    put_floats("four", 4);
    says(law_parity(in_tmp("none"), NULL, &bad, &arena), "none/manifest.json: expected a file");
    assert_int_equal(bad, 1);
    refused("{", "line 1, column 1: expected JSON");
    refused("{\"a\":1,\"a\":2}", "expected JSON");
    refused("[]", "expected \"tensors\": [...]");
    refused("{\"tensors\":{}}", "expected \"tensors\": [...]");
    refused(TENSORS(""), "expected the tensors of a model");
    refused(TENSORS("3"), "tensor 0: expected a \"name\"");
    refused(TENSORS("{\"name\":null}"), "tensor 0: expected a \"name\"");
    refused(TENSORS("{\"name\":\"x\"}"), "tensor 'x': expected a \"file\"");
    refused(TENSORS("{\"name\":\"x\",\"file\":7}"), "tensor 'x': expected a \"file\"");
}

/* One tensor of this shape in the file `four` */
static const char *shaped(const char *shape)
{
    return arena_text(&arena, "{\"tensors\":[{\"name\":\"x\",\"file\":\"four\",\"shape\":%s}]}",
                      shape);
}

static void shapes(void **state)
{
    (void)state;
    static const char *const bad[] = { "null", "4", "[-4]", "[0]", "[2.5]", "[\"4\"]",
                                       "[1,1,1,1,4]", "[65536,65536]",
                                       "[4611686018427387904,4]" };
    put_floats("four", 4);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(shaped(bad[i]), "tensor 'x': expected a \"shape\" of at most 4 positive sizes");
    refused(shaped("[5]"), "four has 16 bytes, expected 5 values of 4");
    refused(shaped("[3]"), "four has 16 bytes, expected 3 values of 4");
    refused(TENSORS("{\"name\":\"x\",\"file\":\"gone\",\"shape\":[1]}"),
            "gone cannot be read: No such file");
    refused(TENSORS("{\"name\":\"x\",\"file\":\".\",\"shape\":[1]}"), "expected 1 values of 4");
}

#define FOUR(name, shape) "{\"name\":\"" name "\",\"file\":\"four\",\"shape\":" shape "}"

static void units(void **state)
{
    (void)state;
    put_floats("four", 4);
    refused(TENSORS(FOUR("2x2/G", "[2,2]")), "expected '2x2/W0' of shape [2, 2]");
    refused(TENSORS(FOUR("2x2/G", "[4]")), "expected '2x2/G' of shape [any, any]");
    refused(TENSORS(FOUR("2x2/G", "[2,2]") "," FOUR("2x2/W0", "[4,1]")),
            "expected '2x2/W0' of shape [2, 2]");
    refused(TENSORS(FOUR("norm_weight", "[4]") "," FOUR("dy", "[2,2]")),
            "expected 'x' of shape [any, any]");
    refused(TENSORS(FOUR("norm_weight", "[4]") "," FOUR("dy", "[2,2]") "," FOUR("x", "[2,2]") ","
                    FOUR("w", "[2,2]")), "expected 'norm_weight' of 2 values");
    refused("{\"meta\":{\"optimizer\":{\"adamw_lr\":\"fast\"}},\"tensors\":[]}",
            "meta.optimizer.adamw_lr: expected a number or a list");
    refused("{\"meta\":{\"optimizer\":{\"adamw_beta1\":7}},\"tensors\":[]}",
            "meta.optimizer.adamw_beta1: beta1=7");
    refused("{\"meta\":{\"config\":{\"bitlinear_eps\":1e-7}},\"tensors\":[]}",
            "meta.config.bitlinear_eps: expected 1e-6 or 1e-8");
}

/* A whole model of these settings with these tensors beside its batch */
static const char *model_of(const char *config, const char *tensors)
{
    return arena_text(&arena, "{\"meta\":{\"config\":{%s}},\"tensors\":[%s]}", config, tensors);
}

#define SMALL "\"d\":8,\"inner\":8,\"conv_groups\":2,\"dilations\":[1],\"recursions\":1"
#define BATCH FOUR("input_ids", "[2,2]") ",{\"name\":\"targets\",\"file\":\"ids\",\"shape\":[2,2]}"

static void models_of_manifests(void **state)
{
    (void)state;
    put_ints("four", (int[]){ 0, 1, 2, 3 }, 4);
    put_ints("ids", (int[]){ 3, 2, 1, 0 }, 4);
    refused(model_of(SMALL, ""), "meta.config.vocab: expected 2 to");
    refused(model_of(SMALL ",\"vocab\":9", ""), "expected 'input_ids' of shape [any, any]");
    refused(model_of(SMALL ",\"vocab\":9", FOUR("input_ids", "[2,2]")),
            "expected 'targets' of shape [2, 2]");
    refused(model_of(SMALL ",\"vocab\":3", BATCH), "'input_ids': value 3 is 3, expected 0 to 2");
    refused(model_of(SMALL ",\"vocab\":9", BATCH ",{\"name\":\"pos_indices\",\"file\":\"far\","
                     "\"shape\":[1]}"), "far cannot be read");
    put_ints("far", (int[]){ 4 }, 1);
    refused(model_of(SMALL ",\"vocab\":9", BATCH ",{\"name\":\"pos_indices\",\"file\":\"far\","
                     "\"shape\":[1]}"), "'pos_indices': value 0 is 4, expected 0 to 3");
    refused(model_of(SMALL ",\"vocab\":9", BATCH), "expected 'param/");
    refused(model_of("\"d\":9,\"conv_groups\":2,\"vocab\":9", BATCH),
            "d=9 conv_groups=2: expected groups that divide d");
}

/* The golden directory with one more tensor. A name that nothing here makes is not passed over: it
 * may be that of a value which is misspelt here. */
static void a_tensor_that_is_not_made_is_an_error(void **state)
{
    (void)state;
    static const struct { const char *name, *says; } more[] = {
        { "act/rec0.mixed", "'act/rec0.mixed': this program makes nothing of that name" },
        { "grad/block.norm3.scale", "'grad/block.norm3.scale': this program makes nothing" },
        { "s1/after/block.norm3.scale", "this program makes nothing of that name" },
        { "somebody/else", NULL } };
    const char *from = arena_text(&arena, "%s/tests/data/v3_tiny", getenv("EIGHTYSIX_ROOT"));
    size_t n;
    assert_int_equal(system(arena_text(&arena, "cp '%s'/*.bin '%s'", from, tmp)), 0);
    char *text = read_file(arena_text(&arena, "%s/manifest.json", from), &n);
    char *list = strstr(text, "\"tensors\": [");
    assert_non_null(list);
    list += strlen("\"tensors\": [");
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        int bad = 0;
        Arena a = arena_new((size_t)1 << 34);
        const char *with = arena_text(
            &arena, "%.*s{\"name\":\"%s\",\"file\":\"s0__loss_total.bin\",\"shape\":[1]},%s",
            (int)(list - text), text, more[i].name, list);
        write_file("manifest.json", with, strlen(with));
        const char *why = law_parity(tmp, NULL, &bad, &a);
        assert_int_equal(bad, 0);
        if (more[i].says) says(why, more[i].says);
        else holds(why);
        arena_drop(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifests),
        cmocka_unit_test(shapes),
        cmocka_unit_test(units),
        cmocka_unit_test(models_of_manifests),
        cmocka_unit_test(a_tensor_that_is_not_made_is_an_error),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}
