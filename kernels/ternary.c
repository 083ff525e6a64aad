/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernels/ternary.h"
#include "kernels/base.h"
#include "kernels/cpu.h"
#include <string.h>

#define V(name) extern const TernaryKernel ternary_##name;
#include "kernels/variants.def"
#undef V
#define V(name) &ternary_##name,
const TernaryKernel *const ternary_kernels[] = {
#include "kernels/variants.def"
    NULL
};
#undef V

const TernaryKernel *ternary_find(const char *name)
{
    for (const TernaryKernel *const *k = ternary_kernels; *k; k++)
        if (!strcmp((*k)->name, name)) return *k;
    return NULL;
}

int ternary_runs_here(const TernaryKernel *k) { return (k->cpu & ~cpu_has()) == 0; }

/* The preferred kernel that runs here: of the bit-sliced ones, or of all others */
static const TernaryKernel *ternary_preferred(int sliced)
{
    const TernaryKernel *best = ternary_kernels[0];
    for (const TernaryKernel *const *k = ternary_kernels; *k; k++) {
        if (((*k)->min_bits < (*k)->act_bits) != sliced) continue;
        if ((*k)->preference > best->preference && ternary_runs_here(*k)) best = *k;
    }
    return best;
}

const TernaryKernel *ternary_best(void)        { return ternary_preferred(0); }
const TernaryKernel *ternary_best_sliced(void) { return ternary_preferred(1); }

void ternary_rows(int rows, int t, int threads, int *r0, int *r1)
{
    long lo, hi;
    part(rows, t, threads, TERNARY_ROW_STEP, &lo, &hi);
    *r0 = (int)lo;
    *r1 = (int)hi;
}

/* ---- a product split over threads ---- */
enum { BATCH_STEP = 16 };        /* threads share the batch in multiples of so many rows */

static int ternary_splits_batch(const TernaryProduct *p) { return p->n >= BATCH_STEP * p->threads; }

/* bytes of one thread's room: for the largest share of the batch that `part` assigns, or for all */
static size_t ternary_thread_room(const TernaryProduct *p)
{
    int most = p->n;
    if (ternary_splits_batch(p)) most = (p->n + p->threads - 1) / p->threads + BATCH_STEP;
    return (p->kernel->scratch_size(most, p->cols, p->act_bits) + 63) / 64 * 64;
}

size_t ternary_room_size(const TernaryProduct *p)
{
    return ternary_thread_room(p) * (size_t)(ternary_splits_batch(p) ? p->threads : 1);
}

/* rows [r0, r1) of the weight for batch rows [lo, hi), from prepared activations */
static void ternary_part(const TernaryProduct *p, const void *prepared, int lo, int hi, int r0,
                         int r1)
{
    if (lo >= hi || r0 >= r1) return;
    p->kernel->gemm(p->y + (size_t)lo * (size_t)p->rows, p->packed, prepared, hi - lo, r0, r1,
                    p->rows, p->cols, p->act_bits);
    if (p->done) p->done(p->ctx, lo, hi, r0, r1);
}

static void ternary_by_batch(const TernaryProduct *p, char *room)
{
    const size_t each = ternary_thread_room(p);
#pragma omp parallel for num_threads(p->threads) schedule(static, 1)
    for (int t = 0; t < p->threads; t++) {
        long lo, hi;
        char *mine = room + each * (size_t)t;
        part(p->n, t, p->threads, BATCH_STEP, &lo, &hi);
        if (lo >= hi) continue;
        p->kernel->prepare(mine, p->x + (size_t)lo * (size_t)p->cols, (int)(hi - lo), p->cols,
                           p->act_bits);
        if (p->packed) ternary_part(p, mine, (int)lo, (int)hi, 0, p->rows);
    }
}

static void ternary_by_rows(const TernaryProduct *p, void *room)
{
    p->kernel->prepare(room, p->x, p->n, p->cols, p->act_bits);
    if (!p->packed) return;
#pragma omp parallel for num_threads(p->threads) schedule(static, 1)
    for (int t = 0; t < p->threads; t++) {
        int r0, r1;
        ternary_rows(p->rows, t, p->threads, &r0, &r1);
        ternary_part(p, room, 0, p->n, r0, r1);
    }
}

void ternary_product(const TernaryProduct *p, void *room)
{
    if (ternary_splits_batch(p)) ternary_by_batch(p, room);
    else ternary_by_rows(p, room);
}

void ternary_pack_bytes(uint8_t *to, const int8_t *w, int rows, int cols, size_t wide, int block,
                        int group)
{
    const size_t b = (size_t)block, g = (size_t)group;
    for (size_t r = 0; r < (size_t)rows; r++, w += cols) {
        uint8_t *out = to + r / b * wide * b + r % b * g;
        for (size_t c = 0; c < (size_t)cols; c++) out[c / g * g * b + c % g] = (uint8_t)(w[c] + 1);
    }
}
