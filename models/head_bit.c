/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/head_bit.h"
#include "models/head_full.h"
#include <string.h>

enum { BIT_BLOCK = 32 };      /* positions whose part of the gain's gradient is summed first */

struct BitInput {
    const Exec  *exec;
    Param       *gain;
    float        eps;
    int          d, bits, n;              /* bits 0: the rows stay floats */
    const float *x;                       /* of the last bit_input */
    float       *rows, *seen, *rstd, *grad, *parts;
    int8_t      *codes;                   /* (threads, d) */
};

BitInput *bit_input_new(const Spec *s, const Exec *e, Params *ps, int d, int most, Arena *a)
{
    BitInput *b = arena_get(a, sizeof *b);
    const size_t row = sizeof(float) * (size_t)d, n = (size_t)most;
    *b = (BitInput){ .exec = e, .d = d, .eps = (float)spec_num(s, "bit_eps") };
    if (spec_is(s, "act", "int8")) b->bits = (int)spec_int(s, "act_bits");
    b->gain = params_add(ps, arena_text(a, "%s.norm.weight", head_output(ps)), (int[]){ d, 0 },
                         GROUP_ADAMW_NODECAY, OWNER_HEAD);
    param_fill(b->gain, 1);
    b->rows = arena_raw(a, row * n);
    b->grad = arena_raw(a, row * n);
    b->rstd = arena_raw(a, sizeof(float) * n);
    b->parts = arena_raw(a, row * (n / BIT_BLOCK + 1));
    b->seen = arena_raw(a, row * FULL_EVAL);
    b->codes = arena_raw(a, (size_t)e->threads * (size_t)d);
    return b;
}

/* to (n, d); rstd (n), or NULL */
static void bit_rows(const BitInput *b, float *to, float *rstd, const float *x, int n)
{
    const F32 *f = b->exec->f;
    const int threads = b->exec->threads, d = b->d;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int p = 0; p < threads; p++) {
        int8_t *codes = b->codes + (size_t)p * (size_t)d;
        long lo, hi;
        part(n, p, threads, 1, &lo, &hi);
        for (long i = lo; i < hi; i++) {
            float r, inv, *y = to + i * d;
            f->rmsnorm(y, rstd ? rstd + i : &r, x + i * d, b->gain->v, 1, d, b->eps);
            if (!b->bits) continue;
            f->quant_rows(codes, &inv, y, 1, d, b->bits);
            for (int c = 0; c < d; c++) y[c] = inv * (float)codes[c];
        }
    }
}

const float *bit_input(BitInput *b, const float *x, int n)
{
    b->x = x;
    b->n = n;
    bit_rows(b, b->rows, b->rstd, x, n);
    return b->rows;
}

const float *bit_input_eval(const BitInput *b, const float *x, int n)
{
    CHECK(n <= FULL_EVAL);
    bit_rows(b, b->seen, NULL, x, n);
    return b->seen;
}

float *bit_input_grad(BitInput *b, int n)
{
    return memset(b->grad, 0, sizeof(float) * (size_t)n * (size_t)b->d);
}

/* Sums by blocks, then over the blocks: the same for any number of threads */
void bit_input_back(BitInput *b, float *dx)
{
    const int n = b->n, d = b->d, blocks = (n + BIT_BLOCK - 1) / BIT_BLOCK;
    memset(b->parts, 0, sizeof(float) * (size_t)blocks * (size_t)d);
#pragma omp parallel for num_threads(b->exec->threads) schedule(static)
    for (int i = 0; i < blocks; i++) {
        const int first = i * BIT_BLOCK, m = n - first < BIT_BLOCK ? n - first : BIT_BLOCK;
        const size_t at = (size_t)first * (size_t)d;
        b->exec->f->rmsnorm_back(dx + at, b->parts + (size_t)i * d, b->grad + at, b->x + at,
                                 b->gain->v, b->rstd + first, m, d);
    }
    for (int i = 0; i < blocks && !b->gain->frozen; i++)
        b->exec->f->axpy(b->gain->g, 1, b->parts + (size_t)i * d, d);
}
