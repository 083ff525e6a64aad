/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ternary.h -- Y = X W' with W in {-1,0,+1}: the contract every variant obeys.
 *
 *     y[t][r] = sum_c W[r][c] * x[t][c]        x int8, y int32, exact for cols < 2^24
 *
 * Integer sums are exact in any order, so a variant is right when memcmp says so. Scales and floats
 * belong to the caller. Any rows >= 1, any cols >= 1, any n >= 1: pack and prepare pad as they need
 * to; nothing outside the stated sizes is read or written.
 *
 * The three phases are timed apart:
 *   pack      once per weight
 *   prepare   once per activation: copies, bit planes, look-up tables
 *   gemm      per range of rows; n = 1 is decoding, large n is training, and each variant chooses
 *             where its code for few rows ends
 * A variant file includes only this header, cpu.h and libc.
 *
 * Packed bytes depend on the matrix and on `layout` alone, never on the CPU that packed them: a
 * variant that has several bodies chooses one at gemm (cpu_has). */
#ifndef TERNARY_H
#define TERNARY_H
#include <stddef.h>
#include <stdint.h>

/* How many vector instructions a kernel executes, and the probe (probes.def) of the ports that they
 * use: peak / unit * ports of them can be executed per second. probe NULL: no limit is known. */
typedef struct TernaryCost {
    const char *probe;
    double      unit;           /* what the probe counts for each of its instructions */
    /* ports that take the kernel's instructions, over ports that take the probe's */
    double      ports;
    double      each;           /* instructions per weight and batch row; of bit-sliced kernels also
                                 * per bit of the activations */
} TernaryCost;

typedef struct TernaryKernel {
    const char *name, *brief;   /* "i2_avx512": what experiments and the database call it */
    unsigned    cpu;            /* CPU_* bits it executes; 0 runs anywhere */
    int         act_bits;       /* widest activation it accepts: 8 */
    int         min_bits;       /* narrowest whose cost it lowers: 8, or 1 for bit-sliced kernels */
    double      weight_bits;    /* of storage per weight, as packed */
    int         computes;       /* 0 only for `noop`, which leaves the product out of a timing */
    int         layout;         /* version of the packed bytes: raise it when pack changes them */
    int         preference;     /* kernel=auto takes the highest that runs here, bits_auto the
                                 * highest of the bit-sliced ones; 0: neither takes it */
    int         drawn;          /* 1: figures show it; 0: tables only, as the lesser of two */
    TernaryCost large, single;  /* for large n and for n = 1 */
    /* bytes of a packed matrix; w is (rows, cols) row-major */
    size_t (*packed_size) (int rows, int cols);
    void   (*pack)        (void *packed, const int8_t *w, int rows, int cols);
    /* bytes of prepared activations; x is (n, cols) row-major, two's complement of act_bits bits:
     * -2^(act_bits-1) <= x < 2^(act_bits-1), so {-1, 0} for act_bits = 1 */
    size_t (*scratch_size)(int n, int cols, int act_bits);
    void   (*prepare)     (void *scratch, const int8_t *x, int n, int cols, int act_bits);
    /* y is (n, rows) row-major; writes rows [r0, r1) of every batch row. The caller shares rows
     * among its threads: r0 and r1 are multiples of TERNARY_ROW_STEP, or r1 = rows */
    void   (*gemm)        (int32_t *y, const void *packed, const void *scratch,
                           int n, int r0, int r1, int rows, int cols, int act_bits);
} TernaryKernel;
enum { TERNARY_ROW_STEP = 32 };

extern const TernaryKernel *const ternary_kernels[];  /* NULL-ended; [0] is the reference */
const TernaryKernel *ternary_find(const char *name);  /* NULL: not in this binary */
const TernaryKernel *ternary_best(void);              /* of those that run here, by preference */
const TernaryKernel *ternary_best_sliced(void);       /* the same among bit-sliced kernels */
int ternary_runs_here(const TernaryKernel *);

/* The rows of thread t of `threads`: [*r0, *r1), a multiple of TERNARY_ROW_STEP or the end. */
void ternary_rows(int rows, int t, int threads, int *r0, int *r1);

/* The packing of kernels with a byte a weight: w + 1, the rows in blocks of `block`, the columns in
 * groups of `group`, `wide` of them with padding. Of a block group after group, and of a group row
 * after row:
 *   to[(r / block (wide / group) + c / group) block group + r % block group + c % group]
 * to: zeros */
void ternary_pack_bytes(uint8_t *to, const int8_t *w, int rows, int cols, size_t wide, int block,
                        int group);

/* A product split over threads. With 16 or more batch rows a thread, each thread prepares and
 * multiplies its share of them with the whole weight; with fewer, all is prepared first and each
 * thread takes a share of the weight's rows. */
typedef struct TernaryProduct {
    const TernaryKernel *kernel;
    const void   *packed;         /* NULL: prepare only, to time it; y is not written */
    const int8_t *x;              /* (n, cols) */
    int32_t      *y;              /* (n, rows) */
    int           n, rows, cols, act_bits, threads;
    /* NULL, or called by the thread that has just written y[lo..hi)[r0..r1), for what follows */
    void        (*done)(void *ctx, int lo, int hi, int r0, int r1);
    void         *ctx;
} TernaryProduct;
/* bytes of room; of the fields only kernel, n, rows, cols, act_bits, threads are read */
size_t ternary_room_size(const TernaryProduct *);
void ternary_product(const TernaryProduct *, void *room);    /* room: 64-byte aligned */
#endif
