/* SPDX-License-Identifier: GPL-3.0-or-later */
/* exec.h -- what a run computes with: the choices that depend on the machine, made once and
 * recorded. */
#ifndef EXEC_H
#define EXEC_H
#include "kernels/f32.h"
#include "kernels/gemm.h"
#include "kernels/ternary.h"
#include "models/spec.h"

typedef struct Exec {
    int                  threads;   /* as many as there are processors, or the setting threads */
    const F32           *f;
    const Gemm          *gemm;      /* products of floats */
    /* the same provider, in bfloat16 where the setting precision says so: of the trunk's layers
     * forward, to the gradient of their input, to that of their weight; all of the head */
    const Gemm          *forward, *dx, *dw, *head;
    const char          *bf16;      /* by what: GemmBf16.name; NULL: all products are of floats */
    const TernaryKernel *kernel;    /* never NULL; used where act=int8 */
} Exec;

/* Sets forward, dx, dw, head and bf16 from gemm and the setting precision */
void exec_products(Exec *, const Spec *, Arena *);
/* From the settings threads, gemm, precision, kernel. NULL and an error message in *why for a name
 * that cannot run here: the run is then recorded as `skip`, never made with another variant. */
const Exec *exec_make(const Spec *, Arena *, const char **why);
#endif
