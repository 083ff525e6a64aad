/* SPDX-License-Identifier: GPL-3.0-or-later */
/* exec.h -- with what a run computes: every choice the machine leaves open, resolved once and
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
    const Gemm          *gemm;
    const TernaryKernel *kernel;    /* never NULL; used where act=int8 */
} Exec;

/* From the settings threads, gemm, kernel. A name that cannot run here is NULL and an error message
 * in *why: the run becomes a `skip` row, never another variant. */
const Exec *exec_make(const Spec *, Arena *, const char **why);
#endif
