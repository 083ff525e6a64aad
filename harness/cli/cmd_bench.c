/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `bench`. */
#include "harness/bench/bench.h"
#include "harness/cli/cmd.h"
#include "harness/util/options.h"
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: eightysix bench kernels|heads|ops|sequence|machine [--option ...]\n\n"
    "Checks, then times, cells of\n"
    "  kernels   the ternary product and dense products\n"
    "            <kernel>/<rows>x<cols>/n<n>/t<threads>[/b<bits>][/cold]\n"
    "  heads     forward and backward of every output layer    <head>/V<V>/d<d>/n<n>/t<threads>\n"
    "  ops       float operations by instruction set           <op>/<isa>/<shape>\n"
    "  sequence  attention beside its bare products, and the recurrence, forward and backward\n"
    "            <op>/T<T>/d<d>/.../t<threads>\n"
    "  machine   what this CPU and its memory give at most     <probe>/t<threads>\n\n"
    "  --filter RE   cells whose name matches (POSIX extended); without it a small set (a minute)\n"
    "  --shapes RE   the same, of the usual kernels only: those that figures show and all with\n"
    "                vector instructions\n"
    "  --all         every cell; ref and portable only up to 2^30 multiply-adds\n"
    "  --threads L   numbers of threads, as 1,2 (the number of cores; machine: 1 and that)\n"
    "  --cold        also n = 1 with weights from memory: 300 MB of copies, used in turn\n"
    "  --rounds N    samples of every cell (15)\n"
    "  --again N     so often a group of cells is measured again if one of them was disturbed (2)\n"
    "  --quiet-wait [SECONDS]   wait for a quiet machine first, so long at most (600)\n"
    "  --seed N      of the order of cells (1)\n"
    "  --json        one JSON object per cell and line instead of the table\n"
    "  --benchmark_out FILE   JSON of Google Benchmark, for its compare.py\n"
    "  --db FILE     where raw samples are recorded (results/results.db)\n"
    "  --no-db       record nothing\n\n"
    "A kernel's time is prepare + gemm. Cells of one shape have the same number of iterations (a\n"
    "sample takes 5 ms or more) and are interleaved in random order. %: of the limit named beside\n"
    "it, measured in this run. []: a 95 % interval. DISTURBED: by its own numbers something else\n"
    "ran beside this cell, in its last measurement too; figures leave it out.\n\n"
    "exit code: 0 fine, 1 a check failed, 2 bad usage\n";

static void read_threads(BenchPlan *p, const char *text, int both)
{
    char words[8192], *save = NULL;
    const int cores = omp_get_num_procs();
    if (!text) {
        if (cores > BENCH_THREADS)
            die("bench: this machine has %d cores, and a benchmark at most %d threads: expected "
                "--threads with smaller numbers",
                cores, BENCH_THREADS);
        if (both && cores > 1) p->threads[p->n_threads++] = 1;
        p->threads[p->n_threads++] = cores;
        return;
    }
    if (strlen(text) >= sizeof words) die("--threads: expected at most %d numbers", BENCH_THREADS);
    snprintf(words, sizeof words, "%s", text);
    for (char *w = strtok_r(words, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        if (p->n_threads == BENCH_THREADS)
            die("--threads %s: expected at most %d numbers", text, BENCH_THREADS);
        p->threads[p->n_threads++] = (int)option_int("--threads", w, 1, BENCH_THREADS);
    }
    if (!p->n_threads) die("--threads: expected numbers, as in 1,2");
}

static BenchPlan read_arguments(int argc, char **argv)
{
    BenchPlan plan = { .kernels = ternary_kernels }, *p = &plan;
    const char *threads = NULL, *n_rounds = "15", *seed = "1", *again = "2", *wait = "600";
    int no_db = 0, waits = 0;
    p->db = "results/results.db";
    const Option options[] = { { "--filter", &p->filter, NULL },
                               { "--shapes", &p->shapes, NULL },
                               { "--all", NULL, &p->all },
                               { "--threads", &threads, NULL },
                               { "--cold", NULL, &p->cold },
                               { "--rounds", &n_rounds, NULL },
                               { "--seed", &seed, NULL },
                               { "--again", &again, NULL },
                               { "--quiet-wait", &wait, &waits },
                               { "--json", NULL, &p->json },
                               { "--benchmark_out", &p->out, NULL },
                               { "--db", &p->db, NULL },
                               { "--no-db", NULL, &no_db },
                               { 0 } };
    const int words = options_read(argc, argv, options, help);
    if (words != 1)
        die("bench: expected one of kernels, heads, ops, sequence, machine; see eightysix bench "
            "--help");
    p->what = argv[1];
    p->rounds = (int)option_int("--rounds", n_rounds, 1, BENCH_ROUNDS);
    p->again = (int)option_int("--again", again, 0, 100);
    if (waits) p->quiet_wait = option_number("--quiet-wait", wait, 1, 1e6);
    p->seed = (uint64_t)option_int("--seed", seed, 0, INT64_MAX);
    if (p->shapes && (p->filter || p->all))
        die("bench: expected --shapes alone, without --filter and --all");
    read_threads(p, threads, !strcmp(p->what, "machine"));
    if (no_db) p->db = NULL;
    return plan;
}

/* Threads are bound to cores: two threads that share one, beside other jobs, make a barrier a
 * thousand times slower. Unless another process has bound its own to the same cores. */
int bench_main(int argc, char **argv)
{
    BenchPlan plan = read_arguments(argc, argv);
    MachineLock machine;
    machine_ask(&machine);
    machine_bind_threads(&machine);
    plan.machine = &machine;
    const int code = bench_run(&plan);
    machine_leave(&machine);
    return code;
}
