/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `merge`. */
#include "harness/cli/cmd.h"
#include "harness/store/db.h"
#include "harness/util/options.h"

static const char merge_help[] =
    "usage: eightysix merge PACK ... --into FILE\n\n"
    "Unites databases of records, packs (`eightysix export --pack FILE`) and directories of text\n"
    "(`--text DIR`) in a new database. A run that several of them have is taken from the first;\n"
    "runs are told apart by their UUIDs. Runs that have not ended are left out.\n\n"
    "exit code: 0 merged, 2 bad usage or input\n";

int merge_main(int argc, char **argv)
{
    const char *into = NULL;
    const Option options[] = { { "--into", &into, NULL }, { NULL, NULL, NULL } };
    const int n = options_read(argc, argv, options, merge_help);
    if (!n || !into) die("merge: expected packs and --into FILE; `eightysix merge --help`");
    Arena a = arena_new((size_t)1 << 34);
    DbMerged m;
    const char *why = db_merge((const char *const *)argv + 1, n, into, &m, &a);
    if (why) die("%s", why);
    printf("%s: %ld runs of %d packs", into, m.runs, n);
    if (m.again) printf(", %ld of them more than once", m.again);
    if (m.running) printf("; left out: %ld that have not ended", m.running);
    putchar('\n');
    arena_drop(&a);
    return 0;
}
