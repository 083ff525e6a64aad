/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `claims`. */
#include "harness/cli/cmd.h"
#include "harness/judge/claims.h"
#include "harness/util/options.h"

static const char claims_help[] =
    "usage: eightysix claims [NAME ...] [--db FILE] [--tap] [--record] ...\n\n"
    "Asks the records about every claim of " CLAIMS_FILE ", or about those named:\n"
    "the measured median with its 95 % interval, the verdict, the runs.\n\n"
    "  --db FILE        the records (results/results.db), or a pack\n"
    "  --claims FILE    other claims\n"
    "  --recorded FILE  verdicts to compare with (" CLAIMS_RECORDED ")\n"
    "  --record         keep these verdicts: rows in the database, and that file\n"
    "  --tap            print TAP; not ok is a claim that was held and is not any more\n\n"
    "exit code: 0 what was held is, 1 one is weakened or refuted, 2 bad usage or input,\n"
    "           3 one is not tested any more\n";

int claims_main(int argc, char **argv)
{
    ClaimsQuery q = { .db_path = "results/results.db",
                      .claims_path = CLAIMS_FILE,
                      .recorded_path = CLAIMS_RECORDED };
    const Option options[] = { { "--db", &q.db_path, NULL },
                               { "--claims", &q.claims_path, NULL },
                               { "--recorded", &q.recorded_path, NULL },
                               { "--record", NULL, &q.record },
                               { "--tap", NULL, &q.tap },
                               { NULL, NULL, NULL } };
    int code;
    q.names = options_read(argc, argv, options, claims_help);
    q.name = argv + 1;
    if (q.names && q.record)
        die("--record: expected no names; the verdicts on all claims are kept, or none");
    Arena a = arena_new((size_t)1 << 32);
    const char *why = claims_report(&q, &code, &a);
    if (why) die("%s", why);
    arena_drop(&a);
    return code;
}
