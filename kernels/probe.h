/* SPDX-License-Identifier: GPL-3.0-or-later */
/* probe.h -- the machine's peaks: the most that one instruction, or one level of memory, can give.
 *
 * A kernel's speed is judged beside the peak of the instruction it is made of, or of the memory its
 * weights come from, measured in the same run. A compute probe repeats that instruction on
 * independent registers: nothing is loaded, so only its ports limit it. A memory probe reads or
 * writes its working set from end to end, with the widest vectors this CPU (and EIGHTYSIX_CPU)
 * allows, and computes nothing with it.
 *
 * probes.def is the list. There is no clock below the harness: the caller times work() and chooses
 * iters so that a call takes long enough; one repetition takes 20 us to 100 ms, but 50 ns from L1.
 * work() runs on the calling thread: for the peak of several threads each of them calls it at the
 * same time, with a buffer of its own. */
#ifndef PROBE_H
#define PROBE_H
#include <stddef.h>

typedef struct Probe {
    /* "f32_fma512"; what work() counts, per second: "FLOP/s" "OP/s" "lookup/s" "B/s" */
    const char *name, *unit;
    unsigned    cpu;              /* CPU_* bits it executes; 0 runs anywhere */
    /* Does iters >= 1 repetitions and returns what was done: operations (2 per multiply-add, 1 per
     * lane of an addition, masked or not), look-ups, or bytes. Never call it where probe_runs_here
     * says no. */
    double    (*work)(int iters, void *buffer, size_t bytes);
    /* bytes of buffer (64-byte aligned), the working set; 0: it needs none. The caller has written
     * all of it once: untouched pages are all the same page of zeros, and would be read from L1.
     * Bytes beyond a multiple of PROBE_BLOCK are not used. */
    size_t      bytes;
} Probe;
enum {
    PROBE_PASSES = 4096,          /* of all registers in one repetition of a compute probe */
    /* bytes of one step through memory; each array of a triad is a third of the buffer */
    PROBE_BLOCK  = 1024,
    /* bytes ahead that read_dram prefetches: 18.0 GB/s instead of 16.5; in caches it only costs */
    PROBE_AHEAD  = 2048
};

extern const Probe probes[];      /* ended by a NULL name */
int probe_runs_here(const Probe *);
#endif
