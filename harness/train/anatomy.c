/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/train/anatomy.h"
#include <math.h>

void anatomy_deciles(int *decile, const long *freq, int V, Arena *a)
{
    const size_t mark = a->used;
    HeadRank *rank = arena_raw(a, sizeof *rank * (size_t)V);
    double *mass = arena_raw(a, sizeof *mass * ((size_t)V + 1));
    head_rank(rank, freq, V);
    head_mass(mass, rank, V);
    for (int r = 0; r < V; r++) {
        const int d = (int)(DECILES * (mass[r] + mass[r + 1]) / 2);
        decile[rank[r].word] = 1 + (d < DECILES ? d : DECILES - 1);
    }
    arena_reset(a, mark);
}

Anatomy anatomy_of(const int *decile, const int *y, long n, const float *nll, const float *part)
{
    Anatomy a = { 0 };
    for (long i = 0; i < n; i++) {
        const int group[] = { 0, decile[y[i]] };
        for (int k = 0; k < 2; k++) {
            a.nll[group[k]] += (double)nll[i];
            a.part[group[k]] += part ? (double)part[i] : 0;
            a.tokens[group[k]]++;
        }
    }
    for (int g = 0; g <= DECILES; g++) {
        const double count = (double)a.tokens[g];
        a.nll[g] = count > 0 ? a.nll[g] / count : NAN;
        a.part[g] = count > 0 && part ? a.part[g] / count : NAN;
    }
    return a;
}
