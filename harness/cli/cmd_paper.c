/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `paper`. */
#include "harness/cli/cmd.h"
#include "harness/judge/paper.h"
#include "harness/util/options.h"

static const char paper_help[] =
    "usage: eightysix paper [--check] [--db FILE] [--out DIR] [--text FILE] [--parts FILE]\n\n"
    "Writes DIR/numbers.tex, DIR/tables, DIR/figures and DIR/stamps from the records: every\n"
    "number, table and figure of " PAPER_TEXT ", and the claims. `make paper` typesets the\n"
    "text with them.\n\n"
    "  --check       write nothing; print which parts are stale, or were never made\n"
    "  --db FILE     the records (results/results.db)\n"
    "  --out DIR     where to (build/paper)\n"
    "  --text FILE   the text, in which no number may be typed (" PAPER_TEXT ")\n"
    "  --parts FILE  what is asked of the records (" PAPER_FILE ")\n\n"
    "exit code: 0 written, or nothing is stale; 1 something is stale; 2 bad usage or input\n";

int paper_main(int argc, char **argv)
{
    PaperQuery q = { .db_path = "results/results.db",
                     .dir = "build/paper",
                     .text_path = PAPER_TEXT,
                     .parts_path = PAPER_FILE };
    const Option options[] = { { "--db", &q.db_path, NULL },
                               { "--out", &q.dir, NULL },
                               { "--text", &q.text_path, NULL },
                               { "--parts", &q.parts_path, NULL },
                               { "--check", NULL, &q.check },
                               { NULL, NULL, NULL } };
    int code;
    if (options_read(argc, argv, options, paper_help))
        die("paper: expected options only; `eightysix paper --help`");
    Arena a = arena_new((size_t)1 << 32);
    const char *why = paper_make(&q, &code, &a);
    if (why) die("%s", why);
    arena_drop(&a);
    return code;
}
