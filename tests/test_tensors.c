/* SPDX-License-Identifier: GPL-3.0-or-later */
/* safetensors: what is saved is loaded; damaged files are refused with an error message and never
 * read beyond their end. */
#include "kernels/cpu.h"
#include "kernels/f32.h"
#include "models/params.h"
#include "tests/test.h"
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

static const char PATH[] = "test_tensors.safetensors";
static Arena arena;
static int setup(void **state) { (void)state; arena = arena_new((size_t)1 << 32); return 0; }
static int drop(void **state)  { (void)state; arena_drop(&arena); unlink(PATH); return 0; }

static float data[6] = { 1, -2, 3, 4, 5, 6 };
static uint16_t half[3] = { 7, 8, 9 };

static void save(void)
{
    const Tensor t[] = {
        { .name = "a.weight", .dtype = "F32", .n = 6, .ndim = 2, .shape = { 2, 3 }, .data = data },
        { .name = "b", .dtype = "U16", .n = 3, .ndim = 1, .shape = { 3 }, .data = half }
    };
    holds(tensors_save(PATH, t, 2, (const char *const[]){ "k", "v w", NULL }, &arena));
}

static void round_trip(void **state)
{
    (void)state;
    const char *why;
    save();
    TensorFile *f = tensors_open(PATH, &arena, &why);
    holds(why);
    const Tensor *t = tensors_find(f, "a.weight");
    assert_non_null(t);
    assert_int_equal(t->ndim, 2);
    assert_memory_equal(t->data, data, sizeof data);
    assert_memory_equal(tensors_find(f, "b")->data, half, sizeof half);
    assert_string_equal(tensors_meta(f, "k"), "v w");
    assert_null(tensors_meta(f, "absent"));
    assert_null(tensors_find(f, "absent"));
    tensors_close(f);
    assert_int_equal(access("test_tensors.safetensors.part", F_OK), -1);
}

/* An odd number of two-byte values before wider ones: what is saved is loaded, and so is a file in
 * which others left the wider ones where they are not aligned. Ones that overlap are refused. */
static void odd_tensors(void **state)
{
    (void)state;
    double wide[2] = { 1.5, -2.25 };
    const char *why = NULL;
    const Tensor t[] = {
        { .name = "b", .dtype = "U16", .n = 3, .ndim = 1, .shape = { 3 }, .data = half },
        { .name = "a", .dtype = "F32", .n = 5, .ndim = 1, .shape = { 5 }, .data = data },
        { .name = "c", .dtype = "F64", .n = 2, .ndim = 1, .shape = { 2 }, .data = wide }
    };
    for (int whole = 0; whole < 2; whole++) {
        TensorWriter *w = whole ? NULL : tensors_begin(PATH, t, 3, NULL, &arena, &why);
        if (whole) holds(tensors_save(PATH, t, 3, NULL, &arena));
        else {
            tensors_put(w, half, sizeof half);
            tensors_put(w, data, 5 * sizeof *data);
            tensors_put(w, wide, sizeof wide);
            holds(tensors_commit(w));
        }
        TensorFile *f = tensors_open(PATH, &arena, &why);
        holds(why);
        for (int i = 0; i < 3; i++) {
            const Tensor *back = tensors_find(f, t[i].name);
            assert_memory_equal(back->data, t[i].data, tensors_bytes(&t[i]));
            assert_int_equal((uintptr_t)back->data % tensors_dtype_bytes(t[i].dtype), 0);
        }
        tensors_close(f);
    }
    static const char twice[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]},"
                                "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]}}";
    const uint64_t len = sizeof twice - 1;
    FILE *f = fopen(PATH, "wb");
    fwrite(&len, 8, 1, f);
    fwrite(twice, 1, len, f);
    fwrite("123456789", 1, 9, f);
    fclose(f);
    assert_null(tensors_open(PATH, &arena, &why));
    assert_non_null(strstr(why, "overlap"));
}

/* A header of any length: every tensor is aligned to its type. */
static void odd_header(void **state)
{
    (void)state;
    static const char form[] =
        "{\"a\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]}}%*s";
    const double value[2] = { 1.5, -2.25 };
    for (int spaces = 1; spaces < 9; spaces++) {
        char text[128];
        const uint64_t len = (uint64_t)snprintf(text, sizeof text, form, spaces, "");
        FILE *f = fopen(PATH, "wb");
        fwrite(&len, 8, 1, f);
        fwrite(text, 1, len, f);
        fwrite(value, 8, 2, f);
        assert_int_equal(fclose(f), 0);
        const char *why;
        TensorFile *t = tensors_open(PATH, &arena, &why);
        holds(why);
        assert_int_equal((uintptr_t)t->t[0].data % 8, 0);
        assert_memory_equal(t->t[0].data, value, sizeof value);
        tensors_close(t);
    }
}

/* What lies under the name of the part that is written is replaced, not followed. */
static void links_are_not_followed(void **state)
{
    (void)state;
    static const char part[] = "test_tensors.safetensors.part", mine[] = "test_tensors.mine";
    FILE *f = fopen(mine, "w");
    assert_int_equal(fclose(f), 0);
    unlink(part);
    assert_int_equal(symlink(mine, part), 0);
    save();
    f = fopen(mine, "r");
    assert_int_equal(fgetc(f), EOF);
    fclose(f);
    unlink(mine);
}

/* Arithmetic on NaN has no undefined behaviour, which UBSan would tell, and gives NaN. */
static void nan_stays_nan(void **state)
{
    (void)state;
    const float of[4] = { NAN, -NAN, NAN, -NAN };
    for (const F32 *const *f = f32_tables; *f; f++) {
        float y[4] = { 0 };
        if (((*f)->cpu & cpu_has()) != (*f)->cpu) continue;
        (*f)->exp(y, of, 4, 0);
        (*f)->sigmoid(y, of, 4);
        for (int i = 0; i < 4; i++) assert_true(isnan(y[i]));
    }
}

static void wrong_shapes_are_named(void **state)
{
    (void)state;
    const char *why;
    save();
    TensorFile *f = tensors_open(PATH, &arena, &why);
    Params *ps = params_new(&arena);
    params_add(ps, "a.weight", (int[]){ 3, 2, 0 }, GROUP_ADAMW, OWNER_CORE);
    assert_non_null(strstr(params_load(ps, f), "a.weight"));
    params_add(ps, "missing", (int[]){ 3, 0 }, GROUP_ADAMW, OWNER_CORE);
    Params *qs = params_new(&arena);
    params_add(qs, "missing", (int[]){ 3, 0 }, GROUP_ADAMW, OWNER_CORE);
    assert_non_null(strstr(params_load(qs, f), "no tensor 'missing'"));
    tensors_close(f);
}

static void full_disk_is_an_error(void **state)
{
    (void)state;
    save();
    struct rlimit old, small = { 64, 64 };
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    const Tensor t = {
        .name = "a", .dtype = "F32", .n = 6, .ndim = 1, .shape = { 6 }, .data = data
    };
    const char *why = tensors_save(PATH, &t, 1, NULL, &arena);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_non_null(why);
    assert_non_null(strstr(why, "cannot be written"));
    const char *open_why;
    TensorFile *f = tensors_open(PATH, &arena, &open_why);     /* the old file is whole */
    holds(open_why);
    tensors_close(f);
}

/* bytes flipped, cut and doubled at random: an object or a sentence */
static void mutations(void **state)
{
    (void)state;
    Rng r = rng_at(test_seed(), 0, 0);
    unsigned char file[1024], bad[1024];
    save();
    FILE *f = fopen(PATH, "rb");
    const size_t len = fread(file, 1, sizeof file, f);
    fclose(f);
    for (int i = 0; i < 3000; i++) {
        size_t n = len;
        memcpy(bad, file, len);
        for (int k = 0; k < 1 + (int)rng_below(&r, 4); k++)
            bad[rng_below(&r, len)] = (unsigned char)rng_u64(&r);
        if (rng_below(&r, 4) == 0) n = rng_below(&r, len);
        f = fopen(PATH, "wb");
        fwrite(bad, 1, n, f);
        fclose(f);
        const char *why;
        const size_t at = arena.used;
        TensorFile *t = tensors_open(PATH, &arena, &why);
        if (!t) assert_non_null(why);
        for (int k = 0; t && k < t->n; k++) { /* every byte that is offered can be read */
            unsigned sum = 0;
            const char *dtype = t->t[k].dtype;
            const size_t each = dtype[0] == 'I' || (dtype[0] == 'F' && dtype[1] == '3') ? 4 : 2;
            for (size_t b = 0; b < each * (size_t)t->t[k].n; b++)
                sum += ((const unsigned char *)t->t[k].data)[b];
            assert_true(sum < 255u * 1024);
        }
        if (t) tensors_close(t);
        arena_reset(&arena, at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(round_trip),
                                        cmocka_unit_test(odd_tensors), cmocka_unit_test(odd_header),
                                        cmocka_unit_test(links_are_not_followed),
                                        cmocka_unit_test(nan_stays_nan),
                                        cmocka_unit_test(wrong_shapes_are_named),
                                        cmocka_unit_test(full_disk_is_an_error),
                                        cmocka_unit_test(mutations) };
    return cmocka_run_group_tests(tests, setup, drop);
}
