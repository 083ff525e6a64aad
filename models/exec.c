/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/exec.h"
#include "kernels/cpu.h"
#include <omp.h>
#include <string.h>

/* "auto": the best of this CPU; "bits_auto": the best bit-sliced one; else the name */
static const TernaryKernel *exec_kernel(const char *name)
{
    if (!strcmp(name, "auto")) return ternary_best();
    if (!strcmp(name, "bits_auto")) return ternary_best_sliced();
    return ternary_find(name);
}

void exec_products(Exec *e, const Spec *s, Arena *a)
{
    const Gemm *bf16 = spec_is(s, "precision", "f32") ? NULL : gemm_bf16(e->gemm, a);
    e->forward = bf16 && spec_bf16(s, "forward") ? bf16 : e->gemm;
    e->dx = bf16 && spec_bf16(s, "dx") ? bf16 : e->gemm;
    e->dw = bf16 && spec_bf16(s, "dw") ? bf16 : e->gemm;
    e->head = bf16 && spec_bf16(s, "head") ? bf16 : e->gemm;
    e->bf16 = bf16 ? bf16->core : NULL;
}

const Exec *exec_make(const Spec *spec, Arena *a, const char **why)
{
    Exec *e = arena_get(a, sizeof *e);
    const char *name = spec_str(spec, "kernel");
    const long threads = spec_int(spec, "threads");
    char cpu[128];
    *why = NULL;
    e->threads = threads > 0 ? (int)threads : omp_get_num_procs();
    /* keeps libraries from starting threads of their own: the work is split among ours */
    omp_set_num_threads(1);
    cpu_flush_denormals();        /* here, for OpenMP runtimes whose new threads inherit it, */
#pragma omp parallel num_threads(e->threads)
    cpu_flush_denormals();        /* and here, for those that keep a team of threads */
    e->f = f32_best();
    e->kernel = exec_kernel(name);
    if (!e->kernel) {
        *why = arena_text(
            a, "kernel=%s is not in this binary; `eightysix list kernels` shows those that are",
            name);
        return NULL;
    }
    if (!ternary_runs_here(e->kernel)) {
        *why = arena_text(a, "kernel=%s needs %s, which this CPU (or EIGHTYSIX_CPU) does not have",
                          name, cpu_text(e->kernel->cpu & ~cpu_has(), cpu, sizeof cpu));
        return NULL;
    }
    e->gemm = gemm_open(spec_str(spec, "gemm"), e->threads, a, why);
    if (!e->gemm) return NULL;
    exec_products(e, spec, a);
    return e;
}
