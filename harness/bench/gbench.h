/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gbench.h -- Google Benchmark for C: it takes the times, the caller says what runs when and how
 * often.
 *
 *     Gbench *g = gbench_open("out.json", 15, take, ctx, &why);
 *     int a = gbench_add(g, "a/256x256", run_a, &a_ctx, ops, bytes);
 *     for (round = 0; round < 15; round++) gbench_run(g, order[i], iterations, round);      in any
 * order why = gbench_close(g);
 *
 * One call of gbench_run is one sample: one repetition, exactly the iterations asked for, real
 * time, on the calling thread (CPU time is that of the whole process). The file is Google's own
 * JSON with every repetition in it, under the names given here, ready for its compare.py. */
#ifndef GBENCH_H
#define GBENCH_H
#ifdef __cplusplus
extern "C" {
#endif

typedef struct Gbench Gbench;
typedef void GbenchWork(void *ctx, long iters);                    /* does it iters times */
/* ns per iteration */
typedef void GbenchTake(void *ctx, int bench, const char *name, int round, double ns, long iters);

/* path NULL: no file. rounds: samples that every benchmark will get. NULL and an error message in
 * *why. One at a time. */
Gbench *gbench_open(const char *path, int rounds, GbenchTake *take, void *ctx, const char **why);
/* Its number, from 0. name is copied; ops and bytes are what one iteration does, counters of the
 * file (0: left out). */
int  gbench_add(Gbench *, const char *name, GbenchWork *, void *ctx, double ops, double bytes);
void gbench_run(Gbench *, int bench, long iters, int round);
/* ends the file; NULL, or an error message */
const char *gbench_close(Gbench *);

#ifdef __cplusplus
}
#endif
#endif
