/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A directory of records as text, which `merge` reads: sections @TABLE.csv. */
#include "harness/store/db.h"
#include "tests/fuzz/fuzz.h"
#include <unistd.h>

static const char *const fuzz_tables[] = { "machine.csv", "build.csv",    "experiment.csv",
                                           "cell.csv",    "plan.csv",     "label.csv",
                                           "run.csv",     "config.csv",   "metric.csv",
                                           "span.csv",    "sample.csv",   "text.csv",
                                           "verdict.csv", "artifact.csv", NULL };

typedef struct Merge {
    const char *from, *into, *why;
    Arena *a;
} Merge;

static void fuzz_merge(void *ctx)
{
    Merge *m = ctx;
    DbMerged merged;
    m->why = db_merge(&m->from, 1, m->into, &merged, m->a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena *a = fuzz_arena();
    Merge m = { fuzz_dir(), arena_text(a, "%s/into.db", fuzz_dir()), NULL, a };
    unlink(m.into);
    fuzz_files(data, size, fuzz_tables);
    fuzz_dies(fuzz_merge, &m); /* db.h: what the disk refuses ends the program */
    return 0;
}
