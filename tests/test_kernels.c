/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The law of every ternary kernel of the registry, and that the law can fail. */
#include "harness/laws/laws.h"
#include "kernels/base.h"
#include "kernels/cpu.h"
#include "tests/test.h"
#include <string.h>

enum { SHAPES = 2000 };

static void law_holds(void **state)
{
    const TernaryKernel *k = *state;
    if (!ternary_runs_here(k)) skip();
    Arena a = arena_new((size_t)1 << 30);
    holds(law_kernel(k, test_seed(), SHAPES, &a));
    arena_drop(&a);
}

static void wide_law_holds(void **state)
{
    const TernaryKernel *k = *state;
    if (!ternary_runs_here(k)) skip();
    Arena a = arena_new((size_t)1 << 32);
    holds(law_kernel_wide(k, test_seed(), &a));
    arena_drop(&a);
}

/* A kernel that chooses its body by feature, under every choice; and a mask hides what it
 * should. */
static void law_holds_on_lesser_cpus(void **state)
{
    (void)state;
    typedef struct { const char *mask; unsigned has; } Mask;
    static const Mask masks[] = {
        { "sse2", 0 },
        { "avx2", CPU_AVX2 },
        { "avx512", CPU_AVX2 | CPU_AVX512 },
        { "avx512,vnni", CPU_AVX2 | CPU_AVX512 | CPU_VNNI },
        { "popcnt512", CPU_AVX2 | CPU_AVX512 | CPU_POPCNT512 },
        { "bf16", CPU_AVX2 | CPU_AVX512 | CPU_BF16 },
        { "amx", CPU_AVX2 | CPU_AVX512 | CPU_AMX },
        { "neon", CPU_NEON },
    };
    const unsigned chooses = CPU_AVX2 | CPU_AVX512;
    Arena a = arena_new((size_t)1 << 30);
    unsetenv("EIGHTYSIX_CPU");
    cpu_read();
    const unsigned machine = cpu_has();
    setenv("EIGHTYSIX_CPU", "sse2", 1);
    assert_int_equal(cpu_has(), machine);              /* the environment is read once */
    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++) {
        setenv("EIGHTYSIX_CPU", masks[m].mask, 1);
        cpu_read();
        assert_int_equal(cpu_has(), machine & masks[m].has);
        assert_true(ternary_runs_here(ternary_best()) && ternary_best()->computes);
        for (const TernaryKernel *const *k = ternary_kernels; *k; k++) {
            if (((*k)->cpu & chooses) == chooses && ternary_runs_here(*k))
                holds(law_kernel(*k, test_seed(), 20, &a));
        }
    }
    typedef struct { unsigned needs; const char *mask, *name; } Best;
    static const Best best[] = {
        { 0, "sse2", "i2_scalar" },
        { CPU_AVX512, "avx512", "i2_avx512" },
        { CPU_AMX, "amx", "i2_amx" },
    };
    for (size_t i = 0; i < sizeof best / sizeof *best; i++) {
        setenv("EIGHTYSIX_CPU", best[i].mask, 1);
        cpu_read();
        if (!(best[i].needs & ~machine)) assert_string_equal(ternary_best()->name, best[i].name);
    }
    unsetenv("EIGHTYSIX_CPU");
    cpu_read();
    arena_drop(&a);
}

/* Every buffer a block of its own and exactly as large as stated: the sanitizer sees a read beyond
 * it. */
static void nothing_outside_is_read(void **state)
{
    const TernaryKernel *k = *state;
    if (!ternary_runs_here(k)) skip();
    static const int sizes[][3] = { { 1, 1, 1 },   { 3, 5, 7 },     { 33, 17, 2 },
                                    { 31, 63, 9 }, { 65, 129, 13 }, { 100, 257, 5 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int bits = k->min_bits; bits <= k->act_bits; bits++) {
            const int rows = sizes[i][0], cols = sizes[i][1], n = sizes[i][2];
            const size_t packed_size = k->packed_size(rows, cols),
                         scratch_size = k->scratch_size(n, cols, bits);
            int8_t *w = calloc((size_t)rows * cols, 1), *x = calloc((size_t)n * cols, 1);
            int32_t *y = malloc((size_t)n * rows * sizeof *y);
            void *packed = NULL, *scratch = NULL;
            assert_int_equal(posix_memalign(&packed, 64, packed_size), 0);
            assert_int_equal(posix_memalign(&scratch, 64, scratch_size), 0);
            k->pack(packed, w, rows, cols);
            k->prepare(scratch, x, n, cols, bits);
            k->gemm(y, packed, scratch, n, 0, rows, rows, cols, bits);
            for (int j = 0; j < n * rows; j++) assert_int_equal(y[j], 0);
            free(w);
            free(x);
            free(y);
            free(packed);
            free(scratch);
        }
}

/* Faulty kernels made of the reference: each must break the law. */
static void ref_gemm(int32_t *y, const void *p, const void *s, int n, int r0, int r1, int rows,
                     int cols, int bits)
{
    ternary_kernels[0]->gemm(y, p, s, n, r0, r1, rows, cols, bits);
}

static void off_by_one(int32_t *y, const void *p, const void *s, int n, int r0, int r1, int rows,
                       int cols, int bits)
{
    ref_gemm(y, p, s, n, r0, r1, rows, cols, bits);
    if (rows > 64 && r1 == rows) y[(size_t)n * rows - 1]++;
}

static void one_row_only(int32_t *y, const void *p, const void *s, int n, int r0, int r1, int rows,
                         int cols, int bits)
{
    (void)n;
    ref_gemm(y, p, s, 1, r0, r1, rows, cols, bits);
}

static void all_rows(int32_t *y, const void *p, const void *s, int n, int r0, int r1, int rows,
                     int cols, int bits)
{
    (void)r0;
    (void)r1;
    ref_gemm(y, p, s, n, 0, rows, rows, cols, bits);
}

static void wraps(int32_t *y, const void *p, const void *s, int n, int r0, int r1, int rows,
                  int cols, int bits)
{
    ref_gemm(y, p, s, n, r0, r1, rows, cols, bits);
    for (int t = 0; t < n; t++)
        for (int r = r0; r < r1; r++) y[(size_t)t * rows + r] = (int16_t)y[(size_t)t * rows + r];
}

static void writes_past_y(int32_t *y, const void *p, const void *s, int n, int r0, int r1, int rows,
                          int cols, int bits)
{
    ref_gemm(y, p, s, n, r0, r1, rows, cols, bits);
    if (r1 == rows) ((uint8_t *)(y + (size_t)n * rows))[3] = 0;
}

static void prepare_past_scratch(void *scratch, const int8_t *x, int n, int cols, int bits)
{
    ternary_kernels[0]->prepare(scratch, x, n, cols, bits);
    ((uint8_t *)scratch)[(size_t)n * cols] = 0;
}

static void law_sees_faults(void **state)
{
    (void)state;
    Arena a = arena_new((size_t)1 << 30);
    typedef struct { const char *says; __typeof__(ref_gemm) *gemm; } Fault;
    static const Fault faults[] = {
        { "the reference says", off_by_one }, { "the reference says", one_row_only },
        { "the reference says", wraps },      { "outside of its range", all_rows },
        { "outside of y", writes_past_y },
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        TernaryKernel k = *ternary_kernels[0];
        k.gemm = faults[i].gemm;
        const char *broken = law_kernel(&k, 1, 0, &a);
        assert_non_null(broken);
        assert_non_null(strstr(broken, faults[i].says));
    }
    TernaryKernel k = *ternary_kernels[0];
    k.prepare = prepare_past_scratch;
    const char *broken = law_kernel(&k, 1, 0, &a);
    assert_non_null(broken);
    assert_non_null(strstr(broken, "outside of the scratch"));
    arena_drop(&a);
}

static void rows_are_dealt_once(void **state)
{
    (void)state;
    for (int rows = 1; rows < 300; rows++)
        for (int threads = 1; threads < 9; threads++) {
            int end = 0;
            for (int t = 0; t < threads; t++) {
                int r0, r1;
                ternary_rows(rows, t, threads, &r0, &r1);
                assert_int_equal(r0, end);
                assert_true(r1 >= r0 && (r1 % TERNARY_ROW_STEP == 0 || r1 == rows));
                end = r1;
            }
            assert_int_equal(end, rows);
        }
}

static void registry_is_sound(void **state)
{
    (void)state;
    assert_string_equal(ternary_kernels[0]->name, "ref");
    assert_null(ternary_find("no such kernel"));
    for (const TernaryKernel *const *k = ternary_kernels; *k; k++) {
        assert_ptr_equal(ternary_find((*k)->name), *k);
        assert_true((*k)->min_bits >= 1 && (*k)->min_bits <= (*k)->act_bits && (*k)->act_bits == 8);
        assert_non_null((*k)->brief);
    }
}

int main(void)
{
    enum { MAX = 64 };
    struct CMUnitTest tests[3 * MAX + 4] = {
        cmocka_unit_test(registry_is_sound),
        cmocka_unit_test(rows_are_dealt_once),
        cmocka_unit_test(law_sees_faults),
        cmocka_unit_test(law_holds_on_lesser_cpus),
    };
    size_t count = 4;
    for (const TernaryKernel *const *k = ternary_kernels;
         *k && count + 3 <= sizeof tests / sizeof *tests; k++) {
        tests[count++] = (struct CMUnitTest){ (*k)->name, law_holds, NULL, NULL, (void *)*k };
        tests[count++] = (struct CMUnitTest){ (*k)->name, wide_law_holds, NULL, NULL, (void *)*k };
        tests[count++] = (struct CMUnitTest){ (*k)->name, nothing_outside_is_read, NULL, NULL,
                                              (void *)*k };
    }
    return _cmocka_run_group_tests("kernels", tests, count, NULL, NULL);
}
