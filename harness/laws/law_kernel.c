/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The law of a ternary kernel: every y equals the reference bit for bit, and nothing else is
 * written.
 *
 *     | margin | w or x, any alignment | margin |      margins of w and x hold values that would
 * show in the sums | canary | packed, 64-byte aligned | canary |    the same for scratch | canary |
 * y = POISON everywhere, any alignment | canary |
 *
 * The rows are computed by 1 to 3 calls as ternary_rows deals them, from either end; after the
 * first, the rows of the others must still be poison. Shapes: the full grid of SIZES in rows, cols
 * and n; adversarial values at cols up to 16,384; more activations than a cache holds; `shapes`
 * random ones. Activation widths go round robin through what the variant accepts. */
#include "harness/laws/laws.h"
#include "kernels/base.h"
#include "kernels/cpu.h"
#include <string.h>

enum { MARGIN = 64, CANARY = 0xc5, ODD = 97, POISON = 0x5a5a5a5a };
typedef enum { RANDOM, HIGH, LOW, MINUS_LOW, ZERO, ONE } Fill;
typedef struct { int rows, cols, n, bits, threads, backwards; Fill fill; } Case;

static const int SIZES[] = { 1, 3, 31, 63, 65, 127, 129, 683 };
enum { N_SIZES = sizeof SIZES / sizeof *SIZES };

/* `size` bytes between two margins filled with `value`, `skew` bytes past a 64-byte boundary */
static void *kernel_guarded(Arena *a, size_t size, size_t skew, int value)
{
    char *p = arena_raw(a, size + 3 * MARGIN);
    memset(p, value, size + 3 * MARGIN);
    return p + MARGIN + skew;
}

static int kernel_intact(const void *p, size_t size)
{
    const uint8_t *before = (const uint8_t *)p - MARGIN, *after = (const uint8_t *)p + size;
    for (int i = 0; i < MARGIN; i++)
        if (before[i] != CANARY || after[i] != CANARY) return 0;
    return 1;
}

static void kernel_fill(int8_t *w, int8_t *x, const Case *c, Rng *rng)
{
    const size_t weights = (size_t)c->rows * (size_t)c->cols, acts = (size_t)c->n * (size_t)c->cols;
    const int low = -(1 << (c->bits - 1)), high = -low - 1, span = 1 << c->bits;
    static const int8_t all[] = { [HIGH] = 1, [LOW] = 1, [MINUS_LOW] = -1, [ZERO] = 0, [ONE] = 0 };
    /* one weight in dense/2 differs from 0 */
    const uint64_t dense = 3 + rng_below(rng, 6) * 2;
    for (size_t i = 0; i < weights; i++) {
        const uint64_t r = c->fill == RANDOM ? rng_below(rng, dense) : 0;
        w[i] = c->fill == RANDOM ? (r > 1 ? 0 : r ? 1 : -1) : all[c->fill];
    }
    for (size_t i = 0; i < acts; i++) {
        const int r = (int)(rng_u64(rng) >> 40);
        x[i] = (int8_t)(c->fill == HIGH                          ? high
                        : c->fill == LOW || c->fill == MINUS_LOW ? low
                        : c->fill == ZERO                        ? 0
                        : r % 19 == 0                            ? low
                        : r % 19 == 1                            ? high
                                                                 : low + r % span);
    }
    if (c->fill == ONE) w[rng_below(rng, weights)] = rng_u64(rng) >> 63 ? 1 : -1;
}

/* y (n, rows) by the kernel's three phases in the arena; NULL and an error message in *wrong when a
 * guard broke */
static const int32_t *kernel_product(const TernaryKernel *k, const Case *c, const int8_t *w,
                              const int8_t *x, size_t skew, Arena *a, const char **wrong)
{
    const size_t y_size = (size_t)c->n * (size_t)c->rows * sizeof(int32_t);
    const size_t packed_size = k->packed_size(c->rows, c->cols),
                 scratch_size = k->scratch_size(c->n, c->cols, c->bits);
    char *packed = kernel_guarded(a, packed_size, 0, CANARY),
         *scratch = kernel_guarded(a, scratch_size, 0, CANARY);
    int32_t *y = kernel_guarded(a, y_size, skew & ~(size_t)3, CANARY);
    for (size_t i = 0; i < y_size / sizeof *y; i++) y[i] = POISON;
    k->pack(packed, w, c->rows, c->cols);
    k->prepare(scratch, x, c->n, c->cols, c->bits);
    for (int part = 0; part < c->threads; part++) {
        int r0, r1;
        ternary_rows(c->rows, c->backwards ? c->threads - 1 - part : part, c->threads, &r0, &r1);
        k->gemm(y, packed, scratch, c->n, r0, r1, c->rows, c->cols, c->bits);
        for (int t = 0; part == 0 && t < c->n; t++)
            for (int r = 0; r < c->rows; r++)
                if ((r < r0 || r >= r1) && y[(size_t)t * c->rows + r] != POISON)
                    *wrong = "wrote a row outside of its range";
    }
    if (!kernel_intact(packed, packed_size)) *wrong = "wrote outside of the packed matrix";
    if (!kernel_intact(scratch, scratch_size)) *wrong = "wrote outside of the scratch";
    if (!kernel_intact(y, y_size)) *wrong = "wrote outside of y";
    return y;
}

static const char *kernel_check(const TernaryKernel *k, const Case *c, uint64_t seed,
                                uint64_t number, Arena *a)
{
    const size_t mark = a->used, total = (size_t)c->n * (size_t)c->rows;
    Rng rng = rng_at(seed, STREAM_CHECK, number);
    int8_t *w = kernel_guarded(a, (size_t)c->rows * c->cols, rng_below(&rng, MARGIN), ODD);
    int8_t *x = kernel_guarded(a, (size_t)c->n * c->cols, rng_below(&rng, MARGIN), ODD);
    kernel_fill(w, x, c, &rng);
    const char *wrong = NULL;
    const int32_t *got = kernel_product(k, c, w, x, rng_below(&rng, MARGIN), a, &wrong);
    const int32_t *right = k->computes
                               ? kernel_product(ternary_kernels[0], c, w, x, 0, a, &wrong)
                               : arena_get(a, total * 4);
    size_t i = 0;
    while (i < total && got[i] == right[i]) i++;
    const int32_t g = i < total ? got[i] : 0, r = i < total ? right[i] : 0;
    arena_reset(a, mark);
    if (i == total && !wrong) return NULL;
    if (!wrong)
        wrong = arena_text(a, "y[%zu][%zu] is %d, the reference says %d", i / c->rows, i % c->rows,
                           g, r);
    static const char *const fills[] = { "random",           "w = 1, x highest", "w = 1, x lowest",
                                         "w = -1, x lowest", "all zero",         "one weight" };
    return arena_text(
        a,
        "kernel %s: %s (rows %d, cols %d, n %d, act_bits %d, %d calls, %s; seed %llu, case %llu)",
        k->name, wrong, c->rows, c->cols, c->n, c->bits, c->threads, fills[c->fill],
        (unsigned long long)seed, (unsigned long long)number);
}

/* mostly small: at most about 2^18 products a case */
static Case kernel_random_case(Rng *rng, int bits)
{
    Case c = { .bits = bits,
               .threads = 1 + (int)rng_below(rng, 3),
               .backwards = (int)rng_below(rng, 2),
               .fill = RANDOM };
    int *const size[] = { &c.rows, &c.cols, &c.n };
    int budget = 18;
    for (uint64_t i = 0, first = rng_below(rng, 3); i < 3; i++) {
        const int log2 = (int)rng_below(rng, (uint64_t)(budget < 10 ? budget : 10) + 1);
        *size[(first + i) % 3] = 1 + (int)rng_below(rng, 1u << log2);
        budget -= log2;
    }
    return c;
}

const char *law_kernel(const TernaryKernel *k, uint64_t seed, int shapes, Arena *a)
{
    CHECK(ternary_runs_here(k));
    static const int wide[] = { 1, 63, 128, 129, 4096, 16384 };
    const char *broken = NULL;
    uint64_t number = 0;
    const int widths = k->act_bits - k->min_bits + 1;
    for (int bits = k->min_bits; bits <= k->act_bits; bits++)
        for (Fill f = HIGH; f <= ONE; f++)
            for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
                const Case c = { 33, wide[i], 3, bits, 2, (int)i % 2, f };
                if ((broken = kernel_check(k, &c, seed, number++, a))) return broken;
            }
    const Case large = { 3, 1500, 1500, k->act_bits, 1, 0, RANDOM };
    if ((broken = kernel_check(k, &large, seed, number++, a))) return broken;
    for (int i = 0; i < N_SIZES * N_SIZES * N_SIZES; i++) {
        const int p = i / (N_SIZES * N_SIZES), q = i / N_SIZES % N_SIZES, s = i % N_SIZES;
        const int bits = k->min_bits + (p + 3 * q + 5 * s) % widths;
        const Case c = { SIZES[p], SIZES[q], SIZES[s], bits, 1 + i % 3, i % 2, RANDOM };
        if ((broken = kernel_check(k, &c, seed, number++, a))) return broken;
    }
    for (int i = 0; i < shapes; i++) {
        Rng rng = rng_at(seed, STREAM_CHECK, number | 1ull << 32);
        const Case c = kernel_random_case(&rng, k->min_bits + i % widths);
        if ((broken = kernel_check(k, &c, seed, number++, a))) return broken;
    }
    return NULL;
}

/* The widest columns of the contract, and some in between: a panel, a counter or a sum that is too
 * narrow shows here. */
const char *law_kernel_wide(const TernaryKernel *k, uint64_t seed, Arena *a)
{
    CHECK(ternary_runs_here(k));
    enum { LAST = (1 << 24) - 1 };
    const int bits = k->act_bits;
    const Case wide[] = {
        { 3, 262145, 2, bits, 1, 0, RANDOM },  { 2, 300001, 3, bits, 2, 1, LOW },
        { 1, 3000001, 1, bits, 1, 0, RANDOM }, { 1, LAST, 1, bits, 1, 0, RANDOM },
        { 1, LAST, 1, bits, 1, 0, LOW },       { 1, LAST, 1, bits, 1, 0, MINUS_LOW } };
    const char *broken = NULL;
    for (size_t i = 0; i < sizeof wide / sizeof *wide && !broken; i++)
        broken = kernel_check(k, &wide[i], seed, i | 1ull << 40, a);
    return broken;
}
